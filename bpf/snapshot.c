// SPDX-License-Identifier: MIT
#include "bpf/snapshot.h"

#include "bpf/mem.h"
#include "bpf/userwalk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Coroutines of a process; more are not shown. */
#define THREADS_MAX 65536

/* A resumer's frames were shown below those of the coroutine that it resumed. */
static int shown_before(const struct ev_sample *s, uint64_t L)
{
	unsigned int i;

	for (i = 0; s && i < s->nframes; i++)
		if (s->f[i].kind == EV_FRAME_CO && s->f[i].addr == L)
			return 1;
	return 0;
}

/* Keeps the current stack, to know which resumers it passed through. */
static struct ev_sample *copy_of(const struct ev_sample *s)
{
	struct ev_sample *copy = s ? malloc(s->h.size) : NULL;

	if (copy)
		memcpy(copy, s, s->h.size);
	return copy;
}

static int one_vm(struct resolve *r, int pid, const struct vm *vm, const struct vm_thread *thread,
		  size_t n)
{
	uint64_t cur = vm_ref(pid, &vm->row->l, vm->g + vm->row->l.G_cur_L);
	struct userwalk *u = userwalk_new(r, pid, vm);
	const struct ev_sample *s;
	struct ev_sample *first;
	size_t i;
	int err;

	if (!u)
		return -ENOMEM;
	s = userwalk_stack(u, cur, 1);
	first = copy_of(s);
	err = userwalk_error(u);
	if (!err && s)
		err = resolve_record(r, &s->h);
	for (i = 0; i < n && !err; i++) {
		if (thread[i].L == cur || shown_before(first, thread[i].L))
			continue;
		s = userwalk_stack(u, thread[i].L, 0);
		err = userwalk_error(u);
		if (!err && s)
			err = resolve_record(r, &s->h);
	}
	free(first);
	userwalk_free(u);
	return err;
}

int snapshot(struct resolve *r, int pid, const struct vm_list *vms)
{
	struct vm_thread *thread;
	size_t n, i, at = 0, k;
	int err = 0;

	thread = vm_threads(pid, resolve_maps(r, pid), vms, THREADS_MAX, &n);
	for (i = 0; i < vms->n && !err; i++, at = k) {
		for (k = at; k < n && thread[k].vm == i; k++)
			;
		err = one_vm(r, pid, &vms->vm[i], thread ? thread + at : NULL, k - at);
	}
	free(thread);
	return err;
}
