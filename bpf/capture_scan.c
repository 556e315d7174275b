// SPDX-License-Identifier: MIT
/* The looks at the memory of the targets' JIT compilers: what they know from before we came. */
#include "bpf/capture_int.h"
#include "bpf/jitscan.h"

#include <errno.h>

#include <bpf/libbpf.h>

#define MS 1000000ull	       /* ns */
#define FIRST_SLICE (200 * MS) /* of the pass over the memory, when a process is attached */
#define SLICE (30 * MS)	       /* in each round after that */
#define PASS_EVERY (10000 * MS)
#define RESCAN_EVERY (1000 * MS)
#define RESCAN_SHARE 50 /* looking again takes at most this part of our time */
#define LOOK_EVERY (5000 * MS)
#define LOOK_SHARE 500 /* the same, while nothing was lost */

void capture_scan_drop(struct capture *c, struct follow *f)
{
	c->cut += f->scan ? jitscan_cut(f->scan) : 0;
	jitscan_free(f->scan);
	f->scan = NULL;
}

/* A process that has just ended is no failure, but not looked at again. */
static int settle(struct capture *c, struct follow *f, int err)
{
	if (err != -ESRCH && err != -EPERM)
		return err < 0 ? err : 0;
	capture_scan_drop(c, f);
	return 0;
}

static int step(struct capture *c, struct follow *f, uint64_t ns)
{
	int done = jitscan_step(f->scan, ns);

	if (done == 1)
		f->next_pass = resolve_now() + PASS_EVERY;
	return settle(c, f, done);
}

int capture_scan(struct capture *c, struct follow *f, const struct vm_list *vms)
{
	int first = !f->scan, err;

	if (first)
		f->scan = jitscan_new(c->resolve, f->pid);
	if (!f->scan)
		return -ENOMEM;
	err = settle(c, f, jitscan_update(f->scan, vms, 0));
	if (err || !f->scan)
		return err;
	if (!first) { /* a VM that has just been made has little to tell */
		f->pass = 1;
		return 0;
	}
	err = jitscan_pass(f->scan);
	return err ? err : step(c, f, FIRST_SLICE);
}

int capture_scan_met(struct capture *c, struct follow *f, const struct vm_list *vms)
{
	if (!f->scan)
		f->scan = jitscan_new(c->resolve, f->pid);
	return f->scan ? settle(c, f, jitscan_update(f->scan, vms, 1)) : -ENOMEM;
}

/* pass: all memory follows. */
static int look(struct capture *c, int pass)
{
	const struct smp_counters *n = (const void *)&c->skel->bss->counters;
	uint64_t start = resolve_now(), took;
	struct follow *f, *tmp;
	int err = 0;

	/* Events of before come before what follows from them. */
	c->lost_traces = n->lost_traces;
	c->stale = 0;
	if (c->running)
		capture_consume(c);
	HASH_ITER(hh, c->procs, f, tmp)
	{
		if (err || !f->scan)
			continue;
		err = settle(c, f, jitscan_now(f->scan));
		f->pass |= pass;
	}
	took = resolve_now() - start;
	c->next_rescan = start + RESCAN_EVERY + took * RESCAN_SHARE;
	c->next_look = start + LOOK_EVERY + took * LOOK_SHARE;
	return err ? err : c->err;
}

int capture_rescan(struct capture *c)
{
	return look(c, 1);
}

int capture_look(struct capture *c)
{
	return resolve_now() >= c->next_look ? look(c, 0) : 0;
}

int capture_scan_more(struct capture *c)
{
	const struct smp_counters *n = (const void *)&c->skel->bss->counters;
	struct follow *f, *tmp;
	int err = 0;

	int lost = n->lost_traces != c->lost_traces;

	if ((lost || c->stale) && resolve_now() >= c->next_rescan) {
		if (lost && !c->stats.rescans++ && c->opts.say)
			c->opts.say(c->opts.say_ctx,
				    "trace events were lost: the VMs' memory is read again");
		err = capture_rescan(c);
	}
	HASH_ITER(hh, c->procs, f, tmp)
	{
		if (err || !f->scan)
			continue;
		if (f->pass && !jitscan_running(f->scan) && resolve_now() >= f->next_pass) {
			f->pass = 0;
			err = jitscan_pass(f->scan);
		}
		if (!err && jitscan_running(f->scan))
			return step(c, f, SLICE); /* the others' turn comes after it */
	}
	return err;
}

int capture_scan_wait(struct capture *c, int ms)
{
	uint64_t end = resolve_now() + (uint64_t)ms * MS;
	struct follow *f, *tmp;
	int err = 0;

	HASH_ITER(hh, c->procs, f, tmp)
	{
		while (!err && f->scan && jitscan_running(f->scan) && resolve_now() < end)
			err = step(c, f, SLICE);
	}
	return err;
}
