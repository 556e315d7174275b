// SPDX-License-Identifier: MIT
/* Hardware watchpoints on the VMs of a process: two each, so on two of them. */
#include "bpf/probes_int.h"

#include "bpf/mem.h"

#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Threads that start while watchpoints are set: so often it is begun again. */
#define WATCH_TRIES 5

static void forget_recorder(struct probes *p, uint64_t J)
{
	struct smp_recorder_key key = {.J = J, .tgid = (ev_u32)p->pid};

	bpf_map_delete_elem(p->prog.recorders, &key);
}

void probes_unwatch(struct probes *p, const struct probe_set *s)
{
	struct smp_watch_key key = {.tgid = (ev_u32)p->pid};
	int i;

	for (i = 0; i < 2 && s->J; i++) {
		key.addr = s->addr[i];
		bpf_map_delete_elem(p->prog.watched, &key);
	}
	if (s->J)
		forget_recorder(p, s->J);
}

/* A watchpoint in one thread and those that it will start, but not in other processes. */
static int watch_thread(struct probes *p, struct probe_set *s, int tid, uint64_t addr)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
				       .type = PERF_TYPE_BREAKPOINT,
				       .bp_type = HW_BREAKPOINT_W,
				       .bp_addr = addr,
				       .bp_len = HW_BREAKPOINT_LEN_4,
				       .sample_period = 1,
				       .exclude_kernel = 1,
				       .exclude_hv = 1,
				       .inherit = 1,
				       .inherit_thread = 1};
	int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC), err;
	struct bpf_link *link;

	/* Before Linux 5.13 other processes inherit it too: their hits are dropped in BPF. */
	if (fd < 0 && errno == EINVAL) {
		attr.inherit_thread = 0;
		fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	link = bpf_program__attach_perf_event(p->prog.watch, fd);
	if (link)
		return probes_keep(s, link);
	err = -errno;
	close(fd);
	return err;
}

/* Are all of a's threads in b? */
static int same_threads(const int *a, size_t na, const int *b, size_t nb)
{
	size_t i, j = 0;

	for (i = 0; i < na; i++) {
		while (j < nb && b[j] < a[i])
			j++;
		if (j == nb || b[j] != a[i])
			return 0;
	}
	return 1;
}

/* In all threads. 1: others have started meanwhile, of which it is not known who started them. */
static int watch_threads(struct probes *p, struct probe_set *s)
{
	size_t n, after, i;
	int *tid = proc_threads(p->pid, &n), *now,
	    err = tid		    ? 0
		  : errno == ENOMEM ? -ENOMEM
				    : -ESRCH;

	for (i = 0; i < 2 * n && !err; i++) {
		err = watch_thread(p, s, tid[i / 2], s->addr[i % 2]);
		if (err == -ESRCH) /* this one has just ended */
			err = 0;
	}
	now = err ? NULL : proc_threads(p->pid, &after);
	if (now)
		err = !same_threads(now, after, tid, n);
	free(now);
	free(tid);
	return err;
}

static int watch_vm(const struct update *u, const struct vm *vm, uint32_t layout)
{
	const struct layout *l = &vm->row->l;
	struct probes *p = u->p;
	struct probe_set s = {.key = vm->g, .J = vm_main(vm) + l->GG_J};
	struct smp_watch_key key = {.tgid = (ev_u32)p->pid};
	int err = 0, i, tries;

	s.addr[0] = s.J + l->J_state;
	s.addr[1] = s.J + l->J_freetrace;
	forget_recorder(p, s.J);
	for (i = 0; i < 2 && !err; i++) {
		ev_u32 what = layout | (ev_u32)i << 8;

		key.addr = s.addr[i];
		err = bpf_map_update_elem(p->prog.watched, &key, &what, BPF_ANY);
	}
	for (tries = 0; !err && tries < WATCH_TRIES; tries++) {
		probes_drop_links(&s);
		err = watch_threads(p, &s);
		if (err <= 0)
			break;
		err = 0;
	}
	if (!err)
		err = probes_add_set(p, &s);
	if (err) {
		probes_drop_links(&s);
		probes_unwatch(p, &s);
	}
	return err;
}

/* How much a VM has to tell: with the JIT compiler on, by the number its next trace gets. */
static uint32_t activity(int pid, const struct vm *vm)
{
	const struct layout *l = &vm->row->l;
	uint32_t next;

	if (vm_jit_on(pid, vm) != 1 ||
	    mem_read(pid, vm_main(vm) + l->GG_J + l->J_freetrace, &next, sizeof(next)))
		return 0;
	return next < UINT32_MAX ? next + 1 : next;
}

/* The one without watchpoints that is most active; of equals the first found. */
static size_t next_vm(const struct update *u)
{
	size_t i, best = u->vms->n;
	uint32_t most = 0, a;

	for (i = 0; i < u->vms->n; i++) {
		if (probes_find_set(u->p, u->vms->vm[i].g))
			continue;
		a = activity(u->p->pid, &u->vms->vm[i]);
		if (best == u->vms->n || a > most) {
			best = i;
			most = a;
		}
	}
	return best;
}

int probes_watch(const struct update *u)
{
	int err = 0, more = 0;
	size_t i;

	/* One text for all processes that are alike: numbers, but no pid. */
	while (!err && u->p->nsets < PROBE_WATCH_VMS) {
		i = next_vm(u);
		if (i == u->vms->n)
			break;
		err = watch_vm(u, &u->vms->vm[i], u->layout[i]);
		if (!err)
			probes_say(u, "%s VM %u", more++ ? "," : "watchpoints on",
				   u->vms->vm[i].number);
	}
	if (more)
		probes_say(u, "; ");
	if (err == -ENOSPC || err == -EBUSY)
		probes_say(
		    u,
		    "no %swatchpoints: a thread's debug registers are taken, by a debugger or "
		    "another tracer; ",
		    u->p->nsets ? "more " : "");
	else if (err)
		probes_say(u, "no %swatchpoints: %s; ", u->p->nsets ? "more " : "", strerror(-err));
	return err;
}
