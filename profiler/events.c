/* SPDX-License-Identifier: MIT */
/*
 * Events of the trace recorder: as a list, for the formats that show them beside the samples, or in
 * the place of the samples, as stacks of what failed.
 */
#include "profiler/fold.h"
#include "profiler/label.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX (1u << 18)

/* What events of one place have in common. */
struct place_key {
	uint64_t g, start, end;
	uint32_t pid, error;
};

/* Room for a sample of the deepest stack that an event can have. */
union as_sample {
	struct ev_sample s;
	char room[sizeof(struct ev_sample) + UINT8_MAX * sizeof(struct ev_frame)];
};

/* The event as if it were a sample, so that its stack is folded as any other. */
static void to_sample(const struct ev_trace *ev, union as_sample *out)
{
	size_t room = (ev->h.size - sizeof(*ev)) / sizeof(ev->f[0]);
	uint32_t n = ev->nframes < room ? ev->nframes : (uint32_t)room;

	memset(&out->s, 0, sizeof(out->s));
	out->s.h = ev->h;
	out->s.h.size = (ev_u32)(sizeof(out->s) + n * sizeof(ev->f[0]));
	out->s.g = ev->g;
	out->s.trace = ev->trace;
	out->s.state = EV_STATE_RECORD;
	out->s.why = n ? EV_WHY_NONE : EV_WHY_OUTSIDE;
	out->s.nframes = (ev_u16)n;
	memcpy(out->s.f, ev->f, n * sizeof(ev->f[0]));
}

static int clean_text(struct prof *p, const char *text, const char **out)
{
	char clean[LABEL_MAX + 1];
	uint32_t id;

	label_clean(clean, sizeof(clean), text ? text : "", TEXT_NO_SEMICOLON);
	id = room_text(p, clean);
	*out = pool_get(&p->strs, id);
	return id ? 0 : room_error(p);
}

/* Where the newest event of this place went that had a stack; 0: there was none. NULL: no room. */
static uint32_t *last_stack(struct prof *p, const struct ev_trace *ev)
{
	struct place_key key = {ev->g, ev->start.addr, ev->end.addr, ev->h.pid, ev->error};
	struct events *e = &p->events;
	uint32_t id = p->full ? pool_find(&e->places, &key, sizeof(key))
			      : pool_add(&e->places, &key, sizeof(key));
	uint32_t *stacks =
	    id ? table_room(e->stacks, &e->stacks_cap, (size_t)id + 1, sizeof(*stacks)) : NULL;

	if (!stacks)
		return NULL;
	e->stacks = stacks;
	while (e->nstacks <= id)
		stacks[e->nstacks++] = 0;
	return &stacks[id];
}

/* Begins of recordings, by process and VM: there is one at a time. */
static int note_start(struct prof *p, const struct ev_trace *ev)
{
	uint64_t *begun, key = (uint64_t)ev->h.pid << 32 ^ ev->g;
	struct events *e = &p->events;
	uint32_t at = map_get(&e->begun_at, key);

	if (!at && p->full)
		return 0;
	if (!at) {
		begun = table_room(e->begun, &e->begun_cap, (size_t)e->nbegun + 1, sizeof(*begun));
		if (!begun || map_set(&e->begun_at, key, e->nbegun + 1))
			return -ENOMEM;
		e->begun = begun;
		at = ++e->nbegun;
	}
	e->begun[at - 1] = ev->h.time;
	return 0;
}

static uint64_t begun_at(struct prof *p, const struct ev_trace *ev)
{
	uint32_t at = map_get(&p->events.begun_at, (uint64_t)ev->h.pid << 32 ^ ev->g);
	uint64_t begun = at ? p->events.begun[at - 1] : 0;

	if (at)
		p->events.begun[at - 1] = 0;
	return begun && begun <= ev->h.time ? begun : 0;
}

static int add_to_list(struct prof *p, const struct ev_trace *ev, const struct prof_about *about,
		       uint32_t stack)
{
	struct events *e = &p->events;
	struct prof_event *list;
	int err;

	if (e->n == EVENTS_MAX) {
		p->stats.events_dropped++;
		return 0;
	}
	list = table_room(e->list, &e->cap, (size_t)e->n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	e->list = list;
	list[e->n] = (struct prof_event){.time = ev->h.time,
					 .began = about->times > 1 ? about->first : begun_at(p, ev),
					 .count = about->times,
					 .pid = ev->h.pid,
					 .tid = ev->h.tid,
					 .stack = stack,
					 .trace = ev->trace,
					 .type = ev->type};
	err = clean_text(p, about->start, &list[e->n].start);
	if (!err)
		err = clean_text(p, about->end, &list[e->n].end);
	if (!err)
		err = clean_text(p, about->reason, &list[e->n].reason);
	e->n += !err;
	if (err != -ENOSPC)
		return err;
	p->stats.events_dropped++;
	return 0;
}

static int is_wanted(const struct prof *p, const struct ev_trace *ev)
{
	uint64_t at = ev->h.time > p->stats.start_time ? ev->h.time - p->stats.start_time : 0;

	return (!p->opts.pid || p->opts.pid == ev->h.pid) && at >= p->opts.from &&
	       (!p->opts.to || at < p->opts.to);
}

int prof_event(struct prof *p, const struct ev_trace *ev, const struct prof_about *about)
{
	union as_sample as;
	uint32_t stack = 0, *last;
	int err = room_check(p);

	if (err)
		return err;
	tree_reopen(p);
	if (ev->type == EV_TRACE_START)
		return note_start(p, ev);
	if (!is_wanted(p, ev) || ev->type == EV_TRACE_LIVE)
		return 0;
	if (ev->type == EV_TRACE_ABORT) {
		last = last_stack(p, ev);
		if (!last && !p->full)
			return -ENOMEM;
		to_sample(ev, &as);
		/* Those that were counted only have the stack of the last one that was told. */
		if (about->times > 1 && last && *last)
			err = abort_again(p, &as.s, about, stack = *last);
		else
			err = abort_add(p, &as.s, about, &stack);
		if (!err && last && ev->nframes)
			*last = stack;
	}
	if (!err && (p->opts.keep & PROF_KEEP_EVENTS))
		err = add_to_list(p, ev, about, stack);
	return err;
}

void events_release(struct prof *p)
{
	struct events *e = &p->events;

	pool_release(&e->places);
	map_release(&e->begun_at);
	free(e->begun);
	free(e->stacks);
	free(e->list);
	memset(e, 0, sizeof(*e));
}

const struct prof_event *prof_events(const struct prof *p, size_t *n)
{
	*n = p->events.n;
	return p->events.list;
}

int prof_unseen(struct prof *p, uint32_t pid, struct prof_about *about)
{
	const struct prof_stats *st = &p->stats;
	const struct ev_sample s = {.h = {.kind = EV_SAMPLE,
					  .size = sizeof(s),
					  .time = st->last_time ? st->last_time : st->start_time,
					  .pid = pid,
					  .tid = pid},
				    .state = EV_STATE_RECORD};
	uint32_t stack;

	tree_reopen(p);
	about->unseen = 1;
	return abort_add(p, &s, about, &stack);
}
