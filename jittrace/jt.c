// SPDX-License-Identifier: MIT
#include "jittrace/jt_int.h"

#include "bytecode/jitnames.h"

#include <errno.h>
#include <stdlib.h>

struct jt *jt_new(const struct jt_opts *opts)
{
	struct jt *jt = calloc(1, sizeof(*jt));

	if (jt)
		jt->opts = *opts;
	return jt;
}

void jt_free(struct jt *jt)
{
	if (!jt)
		return;
	jt_sites_free(jt);
	jt_defs_free(jt);
	jt_cfuncs_free(jt);
	jt_cost_free(jt);
	free(jt->trace_rows);
	free(jt->exit_rows);
	free(jt->because_rows);
	free(jt->vm_rows);
	free(jt->site_rows);
	free(jt->stack_rows);
	free(jt);
}

const struct jt_stats *jt_stats(const struct jt *jt)
{
	return &jt->stats;
}

uint64_t jt_realtime(const struct jt *jt, uint64_t time)
{
	return jt->clock_real ? jt->clock_real + (time - jt->clock_time) : 0;
}

/* A recording ends: was it the one that began? */
static void check_recording(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev)
{
	jt->stats.missed += vm->seen && vm->recording != ev->trace;
	vm->recording = 0;
}

/* The call at which a trace was stitched is where the next one starts. */
static int learn_call(struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
		      const struct jt_place *start)
{
	const struct jt_live *parent = jt_traces_find(vm, ev->parent);
	struct jt_site_int *s = parent ? jt_site_find(jt, parent->site) : NULL;
	struct jt_kept at;
	int err;

	if (!s || s->at.kind == JT_LOC_LUA || start->kind != JT_LOC_LUA)
		return 0;
	err = jt_keep(start, &at);
	if (err)
		return err;
	jt_kept_release(jt, &s->at);
	s->at = at;
	return 0;
}

static int on_start(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev,
		    const struct jt_place *start)
{
	struct jt_start *s = jt_start_get(jt, vm, start->ident, start->pos, ev->kind, 0);

	jt->stats.starts++;
	jt->stats.missed += vm->recording != 0;
	vm->recording = ev->trace;
	vm->at_return = vm->downrec && vm->downrec_at == ev->start.addr;
	vm->downrec = 0;
	if (s && (s->state == JT_STATE_BLACKLISTED || s->state == JT_STATE_INTERP)) {
		/* It was not given up after all: its penalty slot went to another one. */
		s->attempts = 0;
		s->state = JT_STATE_RETRYING;
	}
	return ev->kind == EV_TRACE_STITCHED ? learn_call(jt, vm, ev, start) : 0;
}

int jt_count_end(struct jt *jt, const struct ev_trace *ev, const struct jt_place *start,
		 const struct jt_ending *end, struct jt_region *region, uint64_t n, uint64_t time,
		 struct jt_site_int **out)
{
	int stitch = ev->linktype == LINK_STITCH;
	struct jt_found found = {.kind = stitch ? JT_SITE_STITCH : JT_SITE_RETURN,
				 .start = start,
				 .at = &end->at,
				 .reason = end->in,
				 .subject = end->in,
				 .cfunc = end->cfunc,
				 .err = ERR_MAX,
				 .region = region,
				 .n = n,
				 .time = time};

	*(stitch ? &jt->stats.stitches : &jt->stats.returns) += n;
	return jt_site_count(jt, ev, &found, out);
}

static int count_stop(struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
		      const struct jt_place *start, const struct jt_ending *end,
		      struct jt_region *region, struct jt_live *live)
{
	struct jt_site_int *s;
	int err = jt_count_end(jt, ev, start, end, region, 1, ev->h.time, &s);

	if (!err)
		s->pub.at_return = vm->at_return != 0;
	if (!err && live)
		live->site = s->serial;
	return err;
}

/* trace_stop patches the link of the trace that a stitched one goes on from. */
static void link_parent(struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev)
{
	struct jt_live *parent = jt_traces_find(vm, ev->parent);
	struct jt_site_int *s;

	if (!parent)
		return;
	parent->pub.link = ev->trace;
	s = jt_site_find(jt, parent->site);
	if (s && s->pub.trace == ev->parent)
		s->pub.link = ev->trace;
}

static int on_stop(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev,
		   const struct jt_place *start, struct jt_region *region)
{
	struct jt_start *s = jt_start_get(jt, vm, start->ident, start->pos, ev->kind, 1);
	struct jt_live *live;
	struct jt_ending end;
	uint32_t aborts;
	int err;

	jt->stats.stops++;
	check_recording(jt, vm, ev);
	if (!s)
		return -ENOMEM;
	aborts = s->attempts;
	s->attempts = 0;
	s->state = ev->linktype == LINK_INTERP ? JT_STATE_INTERP : JT_STATE_COMPILED;
	s->time = ev->h.time;
	jt_end(jt, vm, ev, &end);
	err = jt_traces_stop(jt, vm, ev, start, aborts, &live);
	if (live)
		live->region = region;
	if (!err && (ev->linktype == LINK_STITCH || ev->linktype == LINK_RETURN))
		err = count_stop(jt, vm, ev, start, &end, region, live);
	if (!err && ev->kind == EV_TRACE_STITCHED)
		link_parent(jt, vm, ev);
	return err;
}

uint32_t jt_attempts_limit(const struct jt_vm *vm, uint32_t kind)
{
	return kind == EV_TRACE_ROOT ? JT_PENALTIES : kind == EV_TRACE_SIDE ? vm->tryside : 1;
}

/* LuaJIT src/lj_trace.c:trace_abort, penalty_pc and trace_hotside: what an abort leads to. */
static void penalty(struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
		    struct jt_start *s, enum err_id err)
{
	s->live = 1;
	if (ev->h.time < s->memory) /* memory told of it before the event came */
		return;
	s->state = JT_STATE_RETRYING;
	s->time = ev->h.time;
	if (vm->at_return || (ev->kind == EV_TRACE_ROOT && err == ERR_RETRY))
		return;
	s->attempts = ev->link ? ev->link : s->attempts + 1;
	jt->last.attempts = s->attempts;
	jt->last.limit = jt_attempts_limit(vm, ev->kind);
	if (ev->kind != EV_TRACE_SIDE && s->attempts >= jt->last.limit)
		s->state = JT_STATE_BLACKLISTED;
}

void jt_failed(const struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
	       struct jt_failure *out, struct jt_found *found)
{
	jt_end(jt, vm, ev, &out->end);
	found->at = &out->end.at;
	found->cfunc = jt_reason(jt, vm, ev, out->reason, out->subject);
	found->reason = out->reason;
	found->subject = out->subject;
	if (!*out->subject) {
		found->subject = out->end.in;
		found->cfunc = out->end.cfunc;
	}
}

static int on_abort(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev,
		    const struct jt_place *start, struct jt_region *region)
{
	struct jt_start *s = jt_start_get(jt, vm, start->ident, start->pos, ev->kind, 1);
	struct jt_found found = {.kind = JT_SITE_ABORT,
				 .start = start,
				 .err = jt_err_id(jt_build_of(jt, vm), ev),
				 .region = region,
				 .n = 1,
				 .time = ev->h.time};
	struct jt_site_int *site;
	struct jt_failure f;
	int err;

	jt->stats.aborts++;
	check_recording(jt, vm, ev);
	vm->downrec = found.err == ERR_DOWNREC;
	vm->downrec_at = ev->end.addr;
	if (!s)
		return -ENOMEM;
	penalty(jt, vm, ev, s, found.err);
	jt_failed(jt, vm, ev, &f, &found);
	err = jt_site_count(jt, ev, &found, &site);
	if (err)
		return err;
	site->pub.at_return = vm->at_return != 0;
	return jt_site_stack(jt, vm, site, ev, jt_nframes(ev));
}

void jt_flushed(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev, uint64_t n,
		uint64_t time)
{
	struct jt_live *t;

	jt->stats.flushes += n;
	jt->stats.flush_by[ev->cause < JT_FLUSH_CAUSES ? ev->cause : 0] += n;
	/* A look at the memory may have come in between. */
	jt->last.dropped = jt_traces_drop(jt, vm, time);
	jt_starts_flush(jt, vm, time);
	vm->epoch += (uint32_t)n;
	for (t = vm->traces; t; t = t->hh.next) /* they came after it */
		t->pub.epoch = vm->epoch;
}

int jt_learn(struct jt *jt, uint32_t pid, const struct ev_frame *f, uint32_t n)
{
	int err = jt_defs_used(jt, f, n);

	return err ? err : jt_learn_names(jt, pid, f, n);
}

static int on_event(struct jt *jt, const struct ev_trace *ev)
{
	struct jt_vm *vm = jt_vm_get(jt, ev->h.pid, ev->g);
	struct jt_region *region = NULL;
	struct jt_event text;
	struct jt_place start;
	int err = 0;

	if (!vm)
		return -ENOMEM;
	if (ev->type == EV_TRACE_LIVE) {
		jt_place(jt, ev->h.pid, vm, &ev->start, NULL, &start);
		return jt_scan_trace(jt, vm, ev, &start);
	}
	jt->stats.first_time = jt->stats.first_time ? jt->stats.first_time : ev->h.time;
	jt->stats.last_time = ev->h.time;
	jt->last =
	    (struct jt_last){.time = ev->h.time, .g = ev->g, .type = ev->type, .trace = ev->trace};
	err = jt_defs_used(jt, &ev->start, 3); /* start, end, about */
	if (!err)
		err = jt_learn(jt, ev->h.pid, ev->f, jt_nframes(ev));
	if (err)
		return err;
	jt_place(jt, ev->h.pid, vm, &ev->start, NULL, &start);
	if (ev->type != EV_TRACE_FLUSH)
		err = jt_cost_start(jt, vm, ev, &start, &region);
	if (err)
		return err;
	switch (ev->type) {
	case EV_TRACE_START:
		err = on_start(jt, vm, ev, &start);
		break;
	case EV_TRACE_STOP:
		err = on_stop(jt, vm, ev, &start, region);
		break;
	case EV_TRACE_ABORT:
		err = on_abort(jt, vm, ev, &start, region);
		break;
	case EV_TRACE_FLUSH:
		jt_flushed(jt, vm, ev, 1, ev->h.time);
		break;
	default:
		return 0;
	}
	vm->seen = 1;
	jt_describe(jt, ev, &text);
	jt->stats.undefined += !!text.undefined;
	return err;
}

int jt_add(struct jt *jt, const struct ev_hdr *h)
{
	const struct ev_sample *s = (const struct ev_sample *)h;
	const struct ev_clock *clock = (const struct ev_clock *)h;
	const struct ev_lost *lost = (const struct ev_lost *)h;
	size_t room;
	int err;

	switch (h->kind) {
	case EV_TRACE:
		if (jt->opts.pid && jt->opts.pid != h->pid)
			return 0;
		return on_event(jt, (const struct ev_trace *)h);
	case EV_SAMPLE:
		if (jt->opts.pid && jt->opts.pid != h->pid)
			return 0;
		room = (h->size - sizeof(*s)) / sizeof(s->f[0]);
		room = s->nframes < room ? s->nframes : room;
		err = jt_learn(jt, h->pid, s->f, (uint32_t)room);
		return err ? err : jt_cost_sample(jt, s, (uint32_t)room);
	case EV_TALLY:
		if (jt->opts.pid && jt->opts.pid != h->pid)
			return 0;
		return jt_tally(jt, (const struct ev_tally *)h);
	case EV_SPOT:
	case EV_JIT:
	case EV_SCAN:
		if (jt->opts.pid && jt->opts.pid != h->pid)
			return 0;
		if (h->kind == EV_SCAN)
			return jt_rescan(jt, (const struct ev_scan *)h);
		return h->kind == EV_SPOT ? jt_scan_spot(jt, (const struct ev_spot *)h)
					  : jt_scan_jit(jt, (const struct ev_jit *)h);
	case EV_CLOCK:
		jt->clock_time = h->time;
		jt->clock_real = clock->realtime;
		return 0;
	case EV_LOST:
		jt->stats.lost += lost->samples + lost->protos;
		if (!jt->opts.pid || jt->opts.pid == h->pid)
			jt->stats.unwatched += EV_LOST_VMS(lost);
		return 0;
	default:
		return jt_defs_add(jt, h);
	}
}
