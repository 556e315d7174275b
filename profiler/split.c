/* SPDX-License-Identifier: MIT */
/* What samples are split by: frames between the root and their stacks. */
#include "profiler/fold.h"
#include "profiler/label.h"

#include <inttypes.h>

static int descend(struct prof *p, uint32_t *node, const char *label)
{
	uint32_t frame;
	int err = frames_fixed(p, PROF_PROCESS, label, &frame);

	return err ? err : tree_child(p, node, frame, 0);
}

static int by_process(struct prof *p, struct proc *proc, uint32_t *node)
{
	char label[LABEL_MAX + 1];

	if (proc->frame == NO_FRAME) {
		int err;

		label_format(label, "%s:%" PRIu32, *proc->pub.comm ? proc->pub.comm : "?",
			     proc->pub.pid);
		err = frames_fixed(p, PROF_PROCESS, label, &proc->frame);
		if (err)
			return err;
	}
	return tree_child(p, node, proc->frame, 0);
}

static int by_other(struct prof *p, const struct proc *proc, const struct ev_sample *s,
		    unsigned int state, enum prof_split by, uint32_t *node)
{
	char label[LABEL_MAX + 1];
	uint32_t vm;

	switch (by) {
	case PROF_BY_THREAD:
		label_format(label, s->h.tid ? "thread:%" PRIu32 : "[no thread]", s->h.tid);
		break;
	case PROF_BY_VM:
		vm = defs_vm(p, proc, s->g);
		label_format(label, vm ? "VM:%" PRIu32 : "[no VM]", vm);
		break;
	case PROF_BY_COROUTINE:
		label_format(label, s->L ? "coroutine:0x%" PRIx64 : "[no coroutine]", s->L);
		break;
	case PROF_BY_STATE:
		label_format(label, "[%s]", prof_state_name(state));
		break;
	default:
		label_format(label, s->trace ? "trace:%" PRIu32 : "[no trace]", s->trace);
	}
	return descend(p, node, label);
}

int split_descend(struct prof *p, struct proc *proc, const struct ev_sample *s, unsigned int state,
		  uint32_t *node)
{
	unsigned int split = p->opts.split;
	int err = split & 1u << PROF_BY_PROCESS ? by_process(p, proc, node) : 0;

	for (enum prof_split by = PROF_BY_THREAD; by < PROF_BY_MAX && !err; by++)
		if (split & 1u << by)
			err = by_other(p, proc, s, state, by, node);
	return err;
}
