// SPDX-License-Identifier: MIT
/*
 * C stacks: names for their addresses, and their place in the stream, right before their sample.
 * BPF sends them one after the other, but what other CPUs send may come between.
 */
#include "bpf/kallsyms.h"
#include "bpf/resolve_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The last C stack of a CPU, whose sample is still to come. */
struct rnative {
	int cpu;
	int pending;
	UT_hash_handle hh;
	uint64_t rec[(sizeof(struct ev_native) + EV_NATIVE_MAX * 8) / 8];
};

static struct rnative *of_cpu(struct resolve *r, int cpu)
{
	struct rnative *n;

	HASH_FIND_INT(r->natives, &cpu, n);
	return n;
}

int resolve_native_keep(struct resolve *r, const struct ev_native *e)
{
	struct rnative *n = of_cpu(r, e->h.cpu);

	if (!n) {
		n = calloc(1, sizeof(*n));
		if (!n)
			return -ENOMEM;
		n->cpu = e->h.cpu;
		HASH_ADD_INT(r->natives, cpu, n);
	}
	memcpy(n->rec, e, e->h.size);
	n->pending = 1;
	return 0;
}

void resolve_natives_free(struct resolve *r)
{
	struct rnative *n, *tmp;

	HASH_ITER(hh, r->natives, n, tmp)
	{
		HASH_DEL(r->natives, n);
		free(n);
	}
	kallsyms_free(r->kallsyms);
}

int resolve_want_kernel(struct resolve *r)
{
	r->kallsyms = kallsyms_new();
	return r->kallsyms ? 0 : -ENOMEM;
}

/* A function of the kernel, by the table that the kernel gives. */
static int kernel_sym(struct resolve *r, struct rproc *p, uint64_t addr, uint64_t time)
{
	struct ev_sym e = {.h = {.kind = EV_SYM, .time = time, .pid = (ev_u32)p->pid},
			   .kind = EV_SYM_KERNEL};
	struct kallsyms_sym s;
	const char *strs[2];

	if (resolve_is_known(p, addr))
		return 0;
	if (!r->kallsyms || kallsyms_find(r->kallsyms, addr, &s))
		return 0;
	e.h.tid = e.h.pid;
	e.start = s.start;
	e.end = s.end;
	e.offset = addr - s.start;
	strs[0] = s.name;
	strs[1] = s.module;
	return resolve_add_range(r, p, &e, addr, strs);
}

static int resolve_code_addr(struct resolve *r, struct rproc *p, uint64_t addr, uint64_t time)
{
	int err = resolve_sym(r, p, addr, time);

	return err ? err : resolve_inline(r, p, addr, time);
}

/* Code that is in no file is known after all: to have nothing by which it could be unwound. */
static unsigned int explain_why(const struct rproc *p, unsigned int why, uint64_t addr)
{
	const struct proc_map *m = why == EV_NATIVE_NO_MAP ? proc_maps_at(&p->maps, addr) : NULL;

	return m && !m->module ? EV_NATIVE_NO_INFO : why;
}

static void explain(const struct rproc *p, struct ev_native *e)
{
	unsigned int i;

	for (i = e->nkernel + 1u; i < e->nwords; i++)
		if (EV_NATIVE_IS_GAP(e->word[i]))
			e->word[i] = EV_NATIVE_GAP(
			    explain_why(p, EV_NATIVE_WHY(e->word[i]), e->word[i - 1]));
	if (e->nwords > e->nkernel)
		e->why = (ev_u8)explain_why(p, e->why, e->word[e->nwords - 1]);
}

int resolve_native(struct resolve *r, const struct ev_sample *s)
{
	struct rnative *n = of_cpu(r, s->h.cpu);
	struct rproc *p = resolve_proc(r, (int)s->h.pid);
	const struct ev_native *e;
	unsigned int i;
	int err = 0;

	if (!n || !n->pending)
		return 0;
	n->pending = 0;
	e = (const struct ev_native *)n->rec;
	if (e->h.time != s->h.time || e->h.tid != s->h.tid)
		return 0;
	if (p)
		explain(p, (struct ev_native *)n->rec);
	for (i = 0; p && i < e->nwords && !err; i++) {
		if (i < e->nkernel)
			err = kernel_sym(r, p, e->word[i], s->h.time);
		else if (!(e->word[i] >> 56))
			err = resolve_code_addr(r, p, e->word[i], s->h.time);
	}
	return err ? err : r->sink(r->ctx, &e->h);
}
