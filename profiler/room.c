// SPDX-License-Identifier: MIT
/*
 * A target may make new code, stacks and threads for ever. What a profile remembers is bounded:
 * once that is reached nothing new is learnt. What is known goes on being counted where it belongs,
 * and the rest at one place.
 */
#include "profiler/fold.h"

#include <errno.h>
#include <string.h>

#define ROOM (UINT64_C(256) << 20)

/* A map is at least a third full. */
#define MAP_ITEM (2 * sizeof(struct map_slot))
#define POOL_ITEM (sizeof(struct pool_entry) + MAP_ITEM)

static uint64_t used(const struct prof *p)
{
	const struct samples *sm = &p->samples;

	return p->nnodes * (uint64_t)(sizeof(struct node) + MAP_ITEM) +
	       p->nframes * (uint64_t)(sizeof(struct frame) + POOL_ITEM) +
	       p->nvotes * (uint64_t)(sizeof(struct vote) + MAP_ITEM) +
	       p->nprocs * (uint64_t)(sizeof(struct proc) + MAP_ITEM) + p->strs.bytes +
	       p->strs.n * (uint64_t)POOL_ITEM + p->def_bytes +
	       (recent_count(&p->funcs) + (uint64_t)recent_count(&p->names) + p->ffs.n) * MAP_ITEM +
	       (p->vmids.n + (uint64_t)p->events.places.n) * 2 * POOL_ITEM +
	       p->events.nbegun * (uint64_t)(sizeof(*p->events.begun) + MAP_ITEM) +
	       sm->npiles * (uint64_t)(sizeof(struct prof_pile) + MAP_ITEM) +
	       sm->labels.n * (uint64_t)(sizeof(struct prof_labels) + POOL_ITEM) +
	       sm->nthreads * (uint64_t)(sizeof(struct prof_thread) + 2 * POOL_ITEM);
}

int room_is_used(const struct prof *p)
{
	return used(p) >= (p->opts.room ? p->opts.room : ROOM);
}

int room_check(struct prof *p)
{
	uint32_t frame, crowd = 0;
	int err;

	if (p->full || !room_is_used(p))
		return 0;
	err = frames_fixed(p, PROF_OTHER, "[profile full]", &frame);
	if (!err)
		err = tree_child(p, &crowd, frame, 0);
	if (!err && p->opts.keep)
		err = samples_crowd(p);
	if (!err) {
		p->crowd = crowd;
		p->full = 1;
	}
	return err;
}

int room_error(const struct prof *p)
{
	return p->full ? -ENOSPC : -ENOMEM;
}

uint32_t room_text(struct prof *p, const char *s)
{
	return p->full ? pool_find(&p->strs, s, strlen(s)) : pool_str(&p->strs, s);
}
