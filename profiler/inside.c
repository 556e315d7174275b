/* SPDX-License-Identifier: MIT */
#include "profiler/inside.h"

#include "profiler/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (128u << 20) /* of all records; samples in traces beyond are the trace's only */

struct key {
	uint64_t g, start;
	uint32_t pid, trace, mark, pad;
};

int inside_add(struct prof *p, const struct ev_snaps *e)
{
	struct inside_traces *t = &p->inside;
	struct key key = {e->g, e->start, e->h.pid, e->trace, e->mark, 0};
	uint32_t before = t->keys.n, id;
	struct ev_snaps **list, *copy;

	if (t->bytes + e->h.size > BYTES_MAX)
		return 0;
	id = pool_add(&t->keys, &key, sizeof(key));
	list = id ? table_room(t->e, &t->cap, (size_t)id + 1, sizeof(*list)) : NULL;
	if (!list)
		return -ENOMEM;
	t->e = list;
	if (t->keys.n != before)
		list[id] = NULL;
	copy = malloc(e->h.size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, e, e->h.size);
	if (list[id])
		t->bytes -= list[id]->h.size;
	free(list[id]);
	list[id] = copy;
	t->bytes += e->h.size;
	return 0;
}

void inside_release(struct prof *p)
{
	for (uint32_t id = 1; id < p->inside.keys.n; id++)
		free(p->inside.e[id]);
	free(p->inside.e);
	pool_release(&p->inside.keys);
}

static const struct ev_snaps *snaps_of(const struct prof *p, const struct ev_sample *s)
{
	struct key key = {s->g, s->f[0].addr, s->h.pid, s->trace, s->f[0].mark, 0};
	uint32_t id = pool_find(&p->inside.keys, &key, sizeof(key));
	const struct ev_snaps *e = id ? p->inside.e[id] : NULL;

	if (!e || ((s->flags & EV_SF_MCODE) && s->ip - s->mcofs != e->mcode))
		return NULL;
	return e;
}

static const struct ev_snap_frame *frames_of(const struct ev_snaps *e)
{
	return (const struct ev_snap_frame *)(const void *)(e->range + e->nranges);
}

/* The innermost frame at an offset, + 1; 0: not known. As lj_trace.c:lj_trace_unwind. */
static uint32_t frame_at(const struct ev_snaps *e, uint32_t ofs)
{
	uint32_t lo = 0, hi = e->nranges;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (ofs < e->range[mid].mcofs)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo ? e->range[lo - 1].frame : 0;
}

/* Are both the same function? */
static int same_function(const struct prof *p, const struct ev_frame *a, const struct ev_frame *b)
{
	uint32_t f = recent_peek(&p->funcs, EV_FRAME_PROTO(a->addr));

	if (a->kind != EV_FRAME_LUA || b->kind != EV_FRAME_LUA)
		return a->kind == b->kind && a->addr == b->addr;
	return f && f == recent_peek(&p->funcs, EV_FRAME_PROTO(b->addr));
}

/* Puts the frames from at on between the trace's and the VM's. 0: there is no room for them. */
static int put_frames(const struct prof *p, const struct ev_snaps *e, uint32_t at, uint32_t nframes,
		      struct inside *out)
{
	const struct ev_snap_frame *frame = frames_of(e), *f = NULL;
	const struct ev_sample *s = out->s;
	struct ev_frame *to = out->at.sample.f;
	uint32_t n = 0, from = 1;

	memcpy(&out->at.sample, s, sizeof(*s));
	to[n++] = s->f[0];
	for (; at; at = f->caller) {
		if (n == EV_MAX_FRAMES)
			return 0;
		f = &frame[at - 1];
		to[n] = f->f;
		to[n++].mark = INSIDE_INLINED;
	}
	/*
	 * The last one is the one that the VM's stack begins with, unless a tail call took its
	 * place, or the trace has just returned from it to its caller and no snapshot tells yet.
	 */
	if (f && from < nframes) {
		if (same_function(p, &f->f, &s->f[from]))
			to[n - 1].mark = 0;
		if (!to[n - 1].mark || (f->flags & EV_SNAP_TAIL))
			from++;
	}
	memcpy(to + n, s->f + from, (nframes - from) * sizeof(*to));
	out->at.sample.nframes = (ev_u16)(n + nframes - from);
	return 1;
}

void inside_expand(const struct prof *p, const struct ev_sample *s, uint32_t nframes,
		   struct inside *out)
{
	const struct ev_snaps *e;
	uint32_t at;

	out->s = s;
	out->nframes = nframes;
	out->what = PROF_INSIDE_NOT;
	if (s->state != EV_STATE_TRACE)
		return;
	out->what = PROF_INSIDE_UNKNOWN;
	if (!nframes || nframes > EV_MAX_FRAMES || s->f[0].kind != EV_FRAME_TRACE ||
	    !(s->flags & (EV_SF_MCODE | EV_SF_CALLED)))
		return;
	e = snaps_of(p, s);
	if (!e)
		return;
	if (e->why == EV_SNAPS_NO_MCOFS)
		out->what = PROF_INSIDE_NO_MCOFS;
	/* What a call returns to may be the next snapshot's. */
	at = frame_at(e, s->flags & EV_SF_CALLED ? s->mcofs - 1 : s->mcofs);
	if (!at || !put_frames(p, e, at, nframes, out))
		return;
	out->what = e->mcloop && s->mcofs >= e->mcloop ? PROF_INSIDE_LOOP : PROF_INSIDE_HEAD;
	out->s = &out->at.sample;
	out->nframes = out->at.sample.nframes;
}
