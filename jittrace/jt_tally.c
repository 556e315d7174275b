// SPDX-License-Identifier: MIT
/* Events that came too fast to be told one by one: they count, but have no stacks and no numbers.
 */
#include "jittrace/jt_int.h"

#include "bytecode/jitnames.h"

#include <errno.h>

/* Later events of this start have told already how it goes on. */
static int outdated(const struct jt_start *s, const struct ev_tally *t)
{
	return s->time > t->last;
}

static int aborts(struct jt *jt, struct jt_vm *vm, const struct ev_tally *t,
		  const struct jt_place *start, struct jt_region *region, struct jt_start *s)
{
	const struct ev_trace *ev = &t->like;
	uint32_t limit = jt_attempts_limit(vm, ev->kind);
	struct jt_found found = {.kind = JT_SITE_ABORT,
				 .start = start,
				 .err = jt_err_id(jt_build_of(jt, vm), ev),
				 .region = region,
				 .n = t->count,
				 .time = t->last};
	struct jt_site_int *site;
	struct jt_failure f;

	if (!outdated(s, t)) {
		s->attempts = t->attempts;
		s->state = ev->kind != EV_TRACE_SIDE && s->attempts >= limit ? JT_STATE_BLACKLISTED
									     : JT_STATE_RETRYING;
		s->time = t->last;
		s->live = 1;
	}
	jt_failed(jt, vm, ev, &f, &found);
	return jt_site_count(jt, ev, &found, &site);
}

static int stops(struct jt *jt, struct jt_vm *vm, const struct ev_tally *t,
		 const struct jt_place *start, struct jt_region *region, struct jt_start *s)
{
	const struct ev_trace *ev = &t->like;
	struct jt_site_int *site;
	struct jt_ending end;

	if (!outdated(s, t)) {
		s->attempts = 0;
		s->state = ev->linktype == LINK_INTERP ? JT_STATE_INTERP : JT_STATE_COMPILED;
		s->time = t->last;
	}
	if (ev->linktype != LINK_STITCH && ev->linktype != LINK_RETURN)
		return 0;
	jt_end(jt, vm, ev, &end);
	return jt_count_end(jt, ev, start, &end, region, t->count, t->last, &site);
}

/* Which total an event counts in; NULL: it is none. */
static uint64_t *total(struct jt *jt, uint32_t type)
{
	switch (type) {
	case EV_TRACE_STOP:
		return &jt->stats.stops;
	case EV_TRACE_ABORT:
		return &jt->stats.aborts;
	case EV_TRACE_FLUSH:
		return &jt->stats.flushes;
	default:
		return NULL;
	}
}

/* Their place is not known. */
static int nowhere(struct jt *jt, const struct ev_tally *t)
{
	*total(jt, t->like.type) += t->count;
	if (t->like.type == EV_TRACE_ABORT)
		jt->stats.elsewhere += t->count;
	if (t->like.type == EV_TRACE_FLUSH)
		jt->stats.flush_by[0] += t->count;
	return 0;
}

int jt_tally(struct jt *jt, const struct ev_tally *t)
{
	const struct ev_trace *ev = &t->like;
	struct jt_region *region;
	struct jt_place start;
	struct jt_start *s;
	struct jt_vm *vm;
	int err;

	if (!total(jt, ev->type))
		return 0;
	jt->last =
	    (struct jt_last){.time = t->last, .g = ev->g, .type = ev->type, .trace = ev->trace};
	jt->stats.tallied += t->count + t->starts;
	jt->stats.starts += t->starts;
	jt->stats.first_time = jt->stats.first_time ? jt->stats.first_time : t->first;
	if (t->last > jt->stats.last_time)
		jt->stats.last_time = t->last;
	if (!t->count || (!ev->start.kind && ev->type != EV_TRACE_FLUSH) || !ev->g)
		return nowhere(jt, t);
	vm = jt_vm_get(jt, ev->h.pid, ev->g);
	if (!vm)
		return -ENOMEM;
	if (ev->type == EV_TRACE_FLUSH) {
		jt_flushed(jt, vm, ev, t->count, t->last);
		return 0;
	}
	*total(jt, ev->type) += t->count;
	err = jt_defs_used(jt, &ev->start, 3); /* start, end, about */
	if (!err)
		err = jt_learn(jt, ev->h.pid, ev->f, jt_nframes(ev));
	if (err)
		return err;
	jt_place(jt, ev->h.pid, vm, &ev->start, NULL, &start);
	jt->stats.undefined += !!start.undefined;
	err = jt_cost_start(jt, vm, ev, &start, &region);
	if (err)
		return err;
	s = jt_start_get(jt, vm, start.ident, start.pos, ev->kind, 1);
	if (!s)
		return -ENOMEM;
	return ev->type == EV_TRACE_ABORT ? aborts(jt, vm, t, &start, region, s)
					  : stops(jt, vm, t, &start, region, s);
}
