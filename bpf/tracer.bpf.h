/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The trace recorder seen from outside. Part of the sampler's BPF object, which includes it: both
 * use the same maps, walk and ring.
 *
 * Two kinds of probes tell the same story (LuaJIT src/lj_trace.c:trace_state, trace_start,
 * trace_abort). Uprobes: lj_dispatch_update, which the recorder calls after it started, finished or
 * gave up a trace; lj_trace_err, which alone sees a down-recursion being restarted; and
 * lj_trace_flushall. Or a hardware watchpoint on jit_State.state, whose values are the steps of the
 * recorder, with one on jit_State.freetrace, which only a flush sets to 0.
 */

#ifndef BPF_TRACER_BPF_H
#define BPF_TRACER_BPF_H

#define ABORT_FRAMES 64
#define ST_ACTIVE 0x10 /* LJ_TRACE_ACTIVE, lj_jit.h: without it: aborted asynchronously */
/* lj_traceerr.h; these have had their numbers since August 2015. */
#define TRERR_RECERR 0
#define TRERR_RETRY 6
#define TRERR_DOWNREC 14
#define TRERR_MCODELM 29
/* The same as TValues. */
#define DOWNREC_TV 0x402c000000000000ULL
#define MCODELM_TV 0x403d000000000000ULL
#define HOOK_GC 0x40

#include "bpf/storm.bpf.h"

struct trace_ctx {
	u64 J, g;
	u32 layout;
	u32 tgid, tid;
	u32 flags; /* EV_TF_* */
};

static __always_inline struct recorder *recorder_of(const struct trace_ctx *c)
{
	struct smp_recorder_key key = {.J = c->J, .tgid = c->tgid};
	struct recorder *r = bpf_map_lookup_elem(&recorders, &key);
	u32 zero = 0;

	if (r)
		return r;
	r = bpf_map_lookup_elem(&new_recorder, &zero);
	if (!r)
		return 0;
	bpf_map_update_elem(&recorders, &key, r, BPF_NOEXIST);
	return bpf_map_lookup_elem(&recorders, &key);
}

/* Non-zero: it is lost. */
static __always_inline int send(struct recorder *r, u32 nframes)
{
	struct ev_trace *e = trace_of(&r->sc);
	u32 size;

	COUNT(traces);
	if (nframes > ABORT_FRAMES)
		nframes = ABORT_FRAMES;
	e->nframes = nframes;
	size = sizeof(*e) + nframes * sizeof(struct ev_frame);
	e->h.size = size;
	if (!bpf_ringbuf_output(&ring, e, size, BPF_RB_NO_WAKEUP))
		return 0;
	COUNT(lost_traces);
	return -1;
}

/* Sends what may be sent of an event, and counts what was not. */
static __always_inline void tell(struct recorder *r, u32 type, u32 nframes)
{
	struct smp_tally *t = tally_of(r, type);
	int lost;

	/* Without its definitions it would be counted, but at no place. */
	if (t && !is_whole(trace_of(&r->sc))) {
		COUNT(traces);
		COUNT(lost_traces);
		count_unsent(t, type, 1, r->hidden);
		return;
	}
	lost = send(r, nframes);
	if (!t || !lost)
		t = remember(r, type);
	if (lost || r->hidden)
		count_unsent(t, type, lost != 0, r->hidden);
}

static __always_inline struct walk *cleared_walk(const struct trace_ctx *c, struct recorder *r,
						 u32 quiet)
{
	struct walk *w = &r->w;

	__builtin_memset(w, 0, sizeof(*w));
	w->layout = c->layout;
	w->tgid = c->tgid;
	w->g = c->g;
	w->quiet = quiet;
	return w;
}

/*
 * Fills in what all events have, and where the trace began, which also is noted in r->start. quiet:
 * no prototype is defined.
 */
WALK_FN int describe(const struct trace_ctx *c, struct recorder *r, u32 type, u32 quiet)
{
	const struct layout *l = c ? layout_at(c->layout) : 0;
	struct walk *w;
	struct ev_trace *e;
	u64 cur;

	if (!l || !r)
		return 0;
	e = trace_of(&r->sc);
	__builtin_memset(e, 0, sizeof(*e));
	e->h.kind = EV_TRACE;
	e->h.cpu = bpf_get_smp_processor_id();
	e->h.time = bpf_ktime_get_ns();
	e->h.pid = c->tgid;
	e->h.tid = c->tid;
	e->g = c->g;
	e->type = type;
	e->flags = c->flags;
	e->trace = r->trace;
	if (type == EV_TRACE_FLUSH)
		return 0;
	e->parent = rd32(c->J + l->J_parent);
	e->exitno = rd32(c->J + l->J_exitno);
	e->kind = e->parent ? EV_TRACE_SIDE : e->exitno ? EV_TRACE_STITCHED : EV_TRACE_ROOT;
	if (e->kind == EV_TRACE_STITCHED) {
		e->parent = e->exitno;
		e->exitno = 0;
	}
	w = cleared_walk(c, r, quiet);
	cur = c->J + l->J_cur;
	emit_position(l, w, &r->sc, rdref(l, cur + l->T_startpt), rdref(l, cur + l->T_startpc),
		      &e->start);
	r->start.g = c->g;
	r->start.tgid = c->tgid;
	r->start.kind = e->kind;
	r->start.place = place_of(w, &e->start);
	r->site = mix(r->start.place, e->kind);
	return 0;
}

/* Tells of the start of the recording that is under way. */
static __always_inline void send_start(const struct trace_ctx *c, struct recorder *r)
{
	describe(c, r, EV_TRACE_START, 0);
	r->hidden = !is_whole(trace_of(&r->sc)) || send(r, 0);
}

/* A trace whose number is known starts: tells of it, unless too many start there. */
WALK_FN int announce(const struct trace_ctx *c, struct recorder *r, u32 trace)
{
	const struct layout *l = c ? layout_at(c->layout) : 0;

	if (!l || !r)
		return 0;
	r->trace = trace;
	r->at_return = r->downrec && r->downrec == rdref(l, c->J + l->J_cur + l->T_startpc);
	r->downrec = 0;
	describe(c, r, EV_TRACE_START, 1);
	r->hidden = hide_start(r);
	if (!r->hidden)
		send_start(c, r);
	return 0;
}

static __always_inline void on_start(const struct trace_ctx *c, struct recorder *r,
				     const struct layout *l)
{
	u16 trace = 0;

	r->starting = 0;
	rd(&trace, sizeof(trace), c->J + l->J_cur + l->T_traceno);
	if (trace) /* else silently ignored, see trace_start */
		announce(c, r, trace);
}

/* Puts a STOP together. */
WALK_FN int fill_stop(const struct trace_ctx *c, struct recorder *r)
{
	const struct layout *l = c ? layout_at(c->layout) : 0;
	struct walk *w;
	struct ev_trace *e;
	u16 v = 0;
	u64 T;

	if (!l || !r)
		return 0;
	T = trace_at(l, c->J, r->trace);
	e = trace_of(&r->sc);
	describe(c, r, EV_TRACE_STOP, r->hidden);
	w = cleared_walk(c, r, r->hidden);
	rd(&v, 2, T + l->T_link);
	e->link = v;
	rd(&v, 2, T + l->T_root);
	e->root = v;
	rd(&v, 2, T + l->T_nsnap);
	e->nsnap = v;
	rd(&e->linktype, 1, T + l->T_linktype);
	e->szmcode = rd32(T + l->T_szmcode);
	e->mcode = rd64(T + l->T_mcode);
	e->nins = rd32(T + l->T_nins) - rd32(T + l->T_nk);
	emit_function(l, w, &r->sc, rd64(c->J + l->J_fn), rd64(c->J + l->J_pc), &e->end);
	r->site = mix(mix(r->site, e->linktype), place_of(w, &e->end));
	return 0;
}

WALK_FN int on_stop(const struct trace_ctx *c, struct recorder *r)
{
	struct smp_tally *t;
	struct start *s;

	if (!c || !r)
		return 0;
	fill_stop(c, r);
	s = start_of(r);
	if (s)
		s->attempts = 0;
	if (r->hidden) {
		t = tally_of(r, EV_TRACE_STOP);
		if (t || tallies_full) {
			count_unsent(t, EV_TRACE_STOP, 1, 1);
			r->trace = 0;
			return 0;
		}
		send_start(c, r);
		fill_stop(c, r);
	}
	tell(r, EV_TRACE_STOP, 0);
	r->trace = 0;
	return 0;
}

/* The thrown error: a number as double or, on DUALNUM, as tagged integer; or a string. */
static __always_inline void read_error(struct ev_trace *e, const struct layout *l, u64 tv)
{
	u64 str = tv_ptr(l, tv), exp = tv >> 52 & 0x7ff;
	u8 gct = 0;

	e->error = EV_ERROR_OTHER;
	if (tv_is_int(l, tv)) {
		e->error = (u32)tv;
	} else if (tv == 0) {
		e->error = 0;
	} else if (exp >= 1023 && exp < 1023 + 16 && !(tv >> 63)) {
		e->error = (u32)(((tv & ((1ULL << 52) - 1)) | 1ULL << 52) >> (1075 - exp));
	} else if (tv_is(l, tv, GCT_STR) && !peek(&gct, 1, str + layout_gct(l)) && gct == GCT_STR) {
		e->error = EV_ERROR_STRING;
		bpf_probe_read_user_str(e->text, sizeof(e->text),
					(const void *)(str + l->STR_size));
	}
}

/* What an abort says but for addresses. */
static __always_inline u64 error_hash(const struct ev_trace *e, const struct walk *w)
{
	u64 h = e->error, i;

	if (e->error == EV_ERROR_STRING)
		for (i = 0; i < EV_TRACE_TEXT / 8; i++)
			h = mix(h, ((const u64 *)e->text)[i]);
	return mix(h, e->about.kind ? place_of(w, &e->about) : e->info);
}

/*
 * A trace was given up. Where, as trace_abort finds it: at J->pc if the function on top is a Lua
 * function, else in that function.
 */
WALK_FN int on_abort(const struct trace_ctx *c, struct recorder *r, u64 error)
{
	const struct layout *l = c ? layout_at(c->layout) : 0;
	struct ev_trace *e;
	struct walk *w;
	u64 L, base, pc, v[2] = {};
	struct slots s;

	if (!l || !r)
		return 0;
	describe(c, r, EV_TRACE_ABORT, r->hidden);
	e = trace_of(&r->sc);
	read_error(e, l, error);
	e->info = tv_record(l, rd64(c->J + l->J_errinfo));
	L = rd64(c->J + l->J_L);
	pc = rd64(c->J + l->J_pc);
	w = cleared_walk(c, r, r->hidden);
	if (tv_is(l, rd64(c->J + l->J_errinfo), GCT_FUNC))
		emit_function(l, w, &r->sc, tv_ptr(l, e->info), 0, &e->about);
	r->site = mix(r->site, error_hash(e, w));
	base = enter(w, L);
	if (base) {
		start_at(w, base, pc + 4);
		rd(v, sizeof(v), base - 16);
		s = slots_of(l, v);
		if (s.type == GCT_FUNC)
			emit_function(l, w, &r->sc, s.fn, pc, &e->end);
	}
	r->site = mix(r->site, place_of(w, &e->end));
	r->downrec = e->error == TRERR_DOWNREC ? pc : 0;
	r->near = 0;
	return base != 0;
}

/* Verified once, not for each turn of the loop: it is in all programs of the tracer. */
WALK_FN int step_of_abort(struct walk *w, struct scratch *sc)
{
	return !w || !sc || walk_step(w, sc);
}

static __always_inline int abort_step(struct recorder *r)
{
	u32 n;
	int end;

	if (!r || r->w.n >= ABORT_FRAMES)
		return 1;
	n = r->w.n;
	end = step_of_abort(&r->w, &r->sc);
	if (!r->near && r->w.n > n &&
	    (r->sc.f[n].kind == EV_FRAME_LUA || r->sc.f[n].kind == EV_FRAME_CO))
		r->near = r->sc.f[n].kind == EV_FRAME_CO ? 1 : place_of(&r->w, &r->sc.f[n]);
	return end || (r->hidden && r->near);
}

#ifdef OLD_KERNEL
__noinline int abort_walk_one(u64 J, u32 tgid)
{
	struct smp_recorder_key key = {.J = J, .tgid = tgid};

	return abort_step(bpf_map_lookup_elem(&recorders, &key));
}

static __always_inline void abort_walk(struct smp_recorder_key *key)
{
	int i;

	for (i = 0; i < 2 * ABORT_FRAMES; i++)
		if (abort_walk_one(key->J, key->tgid))
			break;
}
#else
static long abort_walk_cb(u32 i, void *ctx)
{
	return abort_step(bpf_map_lookup_elem(&recorders, ctx));
}

static __always_inline void abort_walk(struct smp_recorder_key *key)
{
	bpf_loop(2 * ABORT_FRAMES, abort_walk_cb, key, 0);
}
#endif

/* Puts an ABORT together: all of it, or, if it is hidden, what tells it from others. */
static __always_inline void fill_abort(const struct trace_ctx *c, struct recorder *r, u64 error)
{
	struct smp_recorder_key key = {.J = c->J, .tgid = c->tgid};

	if (on_abort(c, r, error))
		abort_walk(&key);
	r->site = mix(r->site, r->near);
}

WALK_FN int abort_now(const struct trace_ctx *c, struct recorder *r, u64 error)
{
	struct smp_tally *t;
	struct ev_trace *e;
	u32 attempts;

	if (!c || !r)
		return 0;
	fill_abort(c, r, error);
	e = trace_of(&r->sc);
	attempts = count_attempt(r, e->error);
	if (r->hidden) {
		t = tally_of(r, EV_TRACE_ABORT);
		if (t || tallies_full) {
			count_unsent(t, EV_TRACE_ABORT, 1, 1);
			if (t)
				t->attempts = attempts;
			r->trace = 0;
			return 0;
		}
		send_start(c, r);
		fill_abort(c, r, error);
	}
	e->link = attempts;
	tell(r, EV_TRACE_ABORT, r->w.n);
	r->trace = 0;
	return 0;
}

/* Also when a finalizer, which ran within jit.v, has aborted what is being aborted. */
static __always_inline int is_err(const struct layout *l, u32 state)
{
	return (state | ST_ACTIVE) == l->ST_ERR;
}

/* The recorder reached a state: the common part of all probes. */
static __always_inline void step(const struct trace_ctx *c, struct recorder *r,
				 const struct layout *l, u32 state)
{
	u64 L = rd64(c->J + l->J_L), top, T;
	u32 before = r->state;

	r->state = state;
	if (state == l->ST_ERR) {
		if (r->starting)
			on_start(c, r, l);
		top = rd64(L + l->L_top);
		/* Out of room in the machine code area: it tries again, that is no abort. */
		if (r->trace && rd64(top - 8) != MCODELM_TV &&
		    tv_record(l, rd64(top - 8)) != (TISNUM << 47 | TRERR_MCODELM))
			abort_now(c, r, rd64(top - 8));
	} else if (state) {
		if (r->starting)
			on_start(c, r, l);
		if (state == l->ST_RECORD && (before == l->ST_START || is_err(l, before)))
			r->starting = 1;
	} else {
		if (r->starting)
			on_start(c, r, l);
		if (!r->trace)
			return;
		T = trace_at(l, c->J, r->trace);
		/* Not by the state of before: a finalizer that ran meanwhile takes its bit away. */
		if (T && T != c->J + l->J_cur)
			on_stop(c, r);
		else /* aborted asynchronously, lj_trace_abort */
			abort_now(c, r, TRERR_RECERR);
	}
}

/* The target's ids, if it is one that is followed. */
static __always_inline int trace_ctx_init(struct trace_ctx *c)
{
	u64 id = current_id();

	COUNT(probes);
	c->tgid = id >> 32;
	c->tid = (u32)id;
	return bpf_map_lookup_elem(&procs, &c->tgid) ? 0 : -1;
}

/* Argument n of the probed function, from the register that holds it at the probe. */
static __always_inline u64 probe_arg(struct pt_regs *ctx, u64 cookie, u32 n)
{
	u64 reg = 0;

	bpf_probe_read_kernel(&reg, sizeof(reg), (const u64 *)ctx + PROBE_REG(cookie, n));
	return reg;
}

/* The VM from a probe's first argument. */
static __always_inline void trace_ctx_arg(struct trace_ctx *c, const struct layout *l, u64 cookie,
					  u64 arg)
{
	if (PROBE_ARG(cookie) == PROBE_ARG_L)
		arg = rdref(l, arg + l->L_glref);
	if (PROBE_ARG(cookie) == PROBE_ARG_J)
		arg = arg - l->GG_J + l->GG_g;
	c->g = arg;
	c->J = arg - l->GG_g + l->GG_J;
}

/*
 * The number of a restarted trace that was compiled: trace_stop has put it into the return
 * instruction where it starts. 0: it was not compiled; then the number there is an older trace's,
 * and trace_abort has taken the link away.
 */
static __always_inline u32 restarted_trace(const struct trace_ctx *c, const struct layout *l)
{
	u64 pc = rdref(l, c->J + l->J_cur + l->T_startpc), T;
	u32 trace = rd32(pc) >> 16;
	u8 linktype = 0;

	rd(&linktype, 1, c->J + l->J_cur + l->T_linktype);
	if (!linktype || !trace || trace >= rd32(c->J + l->J_sizetrace))
		return 0;
	T = trace_at(l, c->J, trace);
	return T && rdref(l, T + l->T_startpc) == pc ? trace : 0;
}

/* The recorder is idle again: it compiled the trace, or gave it up. */
static __always_inline void on_finish(const struct trace_ctx *c, struct recorder *r,
				      const struct layout *l)
{
	/* trace_abort has popped the error, which still is where it was. */
	u64 error = rd64(rd64(rd64(c->J + l->J_L) + l->L_top)), T;
	u32 trace = r->trace, stopped;

	if (trace) {
		T = trace_at(l, c->J, trace);
		stopped = T && T != c->J + l->J_cur;
	} else {
		trace = restarted_trace(c, l);
		stopped = trace != 0;
		if (!trace && error != DOWNREC_TV) /* that: not restarted, see trace_downrec */
			trace = r->restarted;
		if (trace)
			announce(c, r, trace);
	}
	r->restarted = 0;
	if (!trace)
		return;
	if (stopped)
		on_stop(c, r);
	else
		abort_now(c, r, error);
}

/* lj_dispatch_update(g): after each start, end and abort, and when hooks or modes change. */
SEC("uprobe")
int probe_update(struct pt_regs *ctx)
{
	u64 cookie = cookie_of(ctx, PT_REGS_IP(ctx));
	struct trace_ctx c = {};
	const struct layout *l;
	struct recorder *r;
	u32 state;

	l = layout_at(PROBE_LAYOUT(cookie));
	c.layout = PROBE_LAYOUT(cookie);
	if (!l || trace_ctx_init(&c))
		return 0;
	trace_ctx_arg(&c, l, cookie, probe_arg(ctx, cookie, 0));
	r = recorder_of(&c);
	if (!r)
		return 0;
	state = rd32(c.J + l->J_state);
	/* Also if it was aborted at once, by a finalizer that ran within jit.v: not active then. */
	if (state && state != l->ST_START && !r->trace) {
		r->restarted = 0;
		on_start(&c, r, l);
	} else if (!state && (r->trace || r->restarted)) {
		on_finish(&c, r, l);
	}
	return 0;
}

/* The number that trace_findfree gives next, when trace itself is free again. */
static __always_inline u32 free_before(const struct trace_ctx *c, const struct layout *l, u32 trace)
{
	u32 from = rd32(c->J + l->J_freetrace), found;

	found = first_free(rd64(c->J + l->J_trace), layout_ref_size(l), from ? from : 1, trace);
	return found < trace ? found : trace;
}

/*
 * lj_trace_err(J, e): only for down-recursion, which trace_downrec restarts at once, without a call
 * of lj_dispatch_update. The new recording gets the lowest free trace number: its own, which is
 * free by then, or a lower one that was freed meanwhile, to which freetrace points
 * (trace_findfree).
 */
SEC("uprobe")
int probe_err(struct pt_regs *ctx)
{
	u64 cookie = cookie_of(ctx, PT_REGS_IP(ctx));
	struct trace_ctx c = {};
	const struct layout *l;
	struct recorder *r;
	u32 trace;

	if ((u32)probe_arg(ctx, cookie, 1) != TRERR_DOWNREC)
		return 0;
	l = layout_at(PROBE_LAYOUT(cookie));
	c.layout = PROBE_LAYOUT(cookie);
	if (!l || trace_ctx_init(&c))
		return 0;
	trace_ctx_arg(&c, l, cookie, probe_arg(ctx, cookie, 0));
	r = recorder_of(&c);
	if (!r)
		return 0;
	if (r->restarted)
		announce(&c, r, r->restarted);
	trace = r->trace;
	if (trace)
		abort_now(&c, r, DOWNREC_TV);
	r->restarted = trace ? free_before(&c, l, trace) : 0;
	return 0;
}

WALK_FN int flush(const struct trace_ctx *c, struct recorder *r, u32 cause)
{
	const struct layout *l = c ? layout_at(c->layout) : 0;
	struct smp_tally *t;
	struct ev_trace *e;

	if (!l || !r)
		return 0;
	r->flushes++;
	r->start.g = c->g;
	r->start.tgid = c->tgid;
	r->site = cause;
	if (too_many(&r->flush_window, &r->flush_n)) {
		t = tally_of(r, EV_TRACE_FLUSH);
		if (t || tallies_full) {
			count_unsent(t, EV_TRACE_FLUSH, 1, 0);
			return 0;
		}
	}
	describe(c, r, EV_TRACE_FLUSH, 0);
	e = trace_of(&r->sc);
	e->trace = rd32(c->J + l->J_sizetrace);
	e->cause = cause;
	if (send(r, 0))
		count_unsent(remember(r, EV_TRACE_FLUSH), EV_TRACE_FLUSH, 1, 0);
	else
		remember(r, EV_TRACE_FLUSH);
	return 0;
}

/* lj_trace_flushall(L), entered before anything is flushed. */
SEC("uprobe")
int probe_flushall(struct pt_regs *ctx)
{
	u64 cookie = cookie_of(ctx, PT_REGS_IP(ctx)), L;
	struct trace_ctx c = {};
	const struct layout *l;
	struct recorder *r;
	u32 state;
	u8 hooks = 0;

	l = layout_at(PROBE_LAYOUT(cookie));
	c.layout = PROBE_LAYOUT(cookie);
	if (!l || trace_ctx_init(&c))
		return 0;
	trace_ctx_arg(&c, l, cookie, probe_arg(ctx, cookie, 0));
	r = recorder_of(&c);
	if (!r || rd(&hooks, 1, c.g + l->G_hookmask) || hooks & HOOK_GC)
		return 0;
	state = rd32(c.J + l->J_state);
	if (is_err(l, state) && r->trace) { /* trace_abort calls it: the abort comes first */
		L = rd64(c.J + l->J_L);
		abort_now(&c, r, rd64(rd64(L + l->L_top)));
		flush(&c, r, EV_FLUSH_MCODE);
	} else {
		flush(&c, r,
		      state == l->ST_RECORD && !r->trace ? EV_FLUSH_TABLE : EV_FLUSH_EXPLICIT);
	}
	return 0;
}

/* A write to jit_State.state (arg 0) or to jit_State.freetrace (arg 1). */
SEC("perf_event")
int watch(struct bpf_perf_event_data *ctx)
{
	struct trace_ctx c = {.flags = EV_TF_WATCH};
	struct smp_watch_key key = {};
	const struct layout *l;
	struct recorder *r;
	u32 state, *what;

	if (trace_ctx_init(&c))
		return 0;
	key.addr = ctx->addr;
	key.tgid = c.tgid;
	what = bpf_map_lookup_elem(&watched, &key);
	if (!what)
		return 0;
	c.layout = PROBE_LAYOUT(*what);
	l = layout_at(c.layout);
	if (!l)
		return 0;
	c.J = ctx->addr - (PROBE_ARG(*what) ? l->J_freetrace : l->J_state);
	c.g = c.J - l->GG_J + l->GG_g;
	r = recorder_of(&c);
	if (!r)
		return 0;
	state = rd32(c.J + l->J_state);
	if (!PROBE_ARG(*what)) {
		if (state != r->state || state)
			step(&c, r, l, state);
		return 0;
	}
	if (rd32(c.J + l->J_freetrace))
		return 0;
	flush(&c, r,
	      is_err(l, r->state)		     ? EV_FLUSH_MCODE
	      : state == l->ST_RECORD && r->starting ? EV_FLUSH_TABLE
						     : EV_FLUSH_EXPLICIT);
	return 0;
}

#endif
