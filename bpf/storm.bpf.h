/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Storms of trace events. Part of tracer.bpf.h: what one VM's recorder remembers, and the counts
 * that stand for events which are not sent, because their place sends too many or the ring is full.
 *
 * Whether an attempt is told is decided at its START, by the place where it starts. One that is not
 * is counted when it ends, with all that say the same; but the first of these is always sent, its
 * START before it, so that the count has something to be about.
 */
#ifndef BPF_STORM_BPF_H
#define BPF_STORM_BPF_H

#define SECOND 1000000000ULL
#define PENALTIES 11 /* lj_trace.c:penalty_pc, from PENALTY_MIN to PENALTY_MAX */

/* Attempts a second of one place that are told; 0: all. */
const volatile __u32 limit = 0;

/* A place where recordings of a VM start: prototypes that are alike are one. */
struct start_key {
	u64 g;
	u64 place;
	u32 tgid;
	u32 kind; /* enum ev_trace_kind */
};

struct start {
	u64 window;   /* ns: when the second began */
	u32 n;	      /* attempts in it */
	u32 attempts; /* aborted since it compiled, or since a flush */
	u32 flushes;  /* of the VM as of the last attempt */
	u32 dark;     /* attempts were not told */
};

/* What is known of the recorder of one VM. Only the thread that runs the VM gets here: no races. */
struct recorder {
	u32 state;     /* jit_State.state as of the last hit */
	u32 trace;     /* being recorded and announced; 0: none */
	u32 restarted; /* number of a trace that gave up for down-recursion; see probe_err */
	u8 starting;   /* a recording begins, its trace number is not known yet */
	u8 hidden;     /* its START was not sent */
	u8 at_return;  /* it is a restart for down-recursion: aborts have no penalty */
	u8 pad;
	u64 downrec; /* pc where the last one gave up for down-recursion, until the next start */
	u64 site;    /* hash of the event under way; smp_tally_key */
	u64 near;    /* of the innermost Lua frame of its stack; 0: none so far */
	struct start_key start;
	u64 flush_window; /* as in struct start, for flushes */
	u32 flush_n;
	u32 flushes;
	struct smp_tally tally; /* for a new entry of tallies */
	struct walk w;
	struct scratch sc;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SMP_RECORDERS);
	__type(key, struct smp_recorder_key);
	__type(value, struct recorder);
} recorders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SMP_WATCHED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct smp_watch_key);
	__type(value, u32);
} watched SEC(".maps");

/* Too large for the stack: what a new entry of recorders is copied from. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct recorder);
} new_recorder SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SMP_STARTS);
	__type(key, struct start_key);
	__type(value, struct start);
} starts SEC(".maps");

/* Not LRU: a count that was not read yet must not go. User space removes idle ones. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SMP_TALLIES);
	__type(key, struct smp_tally_key);
	__type(value, struct smp_tally);
} tallies SEC(".maps");

/* All places together; that CPUs mix it up a little does no harm. */
static u64 budget_window;
static u32 budget_n;

__u32 tallies_full; /* no room for new ones; reset by user space */

static __always_inline u64 place_of(const struct walk *w, const struct ev_frame *f)
{
	if (f->kind == EV_FRAME_LUA)
		return mix(w->like, EV_FRAME_PC(f->addr)) | 1;
	return mix(f->addr, (u64)f->kind << 8 | f->ffid) | 1;
}

static __always_inline struct start *start_of(const struct recorder *r)
{
	struct start *s = bpf_map_lookup_elem(&starts, &r->start);
	struct start none = {};

	if (s)
		return s;
	bpf_map_update_elem(&starts, &r->start, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&starts, &r->start);
}

/* Is an event beyond what is told a second? *window and *n are its place's. */
static __always_inline int too_many(u64 *window, u32 *n)
{
	u64 now = bpf_ktime_get_ns();

	if (now - *window >= SECOND) {
		*window = now;
		*n = 0;
	}
	++*n;
	if (!limit)
		return 0;
	if (*n > limit)
		return 1;
	if (now - budget_window >= SECOND) {
		budget_window = now;
		budget_n = 0;
	}
	__sync_fetch_and_add(&budget_n, 1);
	return *(volatile u32 *)&budget_n > SMP_BUDGET && *n > SMP_SHARE;
}

/* An attempt starts, at r->start. Is it not to be told? */
static __always_inline int hide_start(struct recorder *r)
{
	u32 most = r->start.kind == EV_TRACE_ROOT	? PENALTIES
		   : r->start.kind == EV_TRACE_STITCHED ? 1
							: ~0u;
	struct start *s = start_of(r);

	if (!s)
		return 0;
	/* One that was given up and starts again was not: its penalty slot went to another. */
	if (s->flushes != r->flushes || s->attempts >= most)
		s->attempts = 0;
	s->flushes = r->flushes;
	return too_many(&s->window, &s->n);
}

/* The attempt was aborted. How often that was, if user space cannot know; else 0. */
static __always_inline u32 count_attempt(struct recorder *r, u32 error)
{
	struct start *s = start_of(r);

	if (!s)
		return 0;
	if (!r->at_return && (r->start.kind != EV_TRACE_ROOT || error != TRERR_RETRY))
		s->attempts++;
	if (r->hidden)
		s->dark = 1;
	return s->dark ? s->attempts : 0;
}

static __always_inline struct smp_tally *tally_of(const struct recorder *r, u32 type)
{
	struct smp_tally_key key = {
	    .g = r->start.g, .site = r->site, .tgid = r->start.tgid, .type = type};

	return bpf_map_lookup_elem(&tallies, &key);
}

/* Counts n events, and starts of them, that were not sent. */
static __always_inline void count_unsent(struct smp_tally *t, u32 type, u32 n, u32 nstarts)
{
	__sync_fetch_and_add(&counters.tallied, n + nstarts);
	if (!t) {
		__sync_fetch_and_add(&counters.untold[type], n);
		if (nstarts)
			__sync_fetch_and_add(&counters.untold[EV_TRACE_START], nstarts);
		return;
	}
	t->last = bpf_ktime_get_ns();
	if (!t->count)
		t->first = t->last;
	t->count += n;
	t->starts += nstarts;
}

/* Are the prototypes defined that it is about? They are not if the ring was full. */
static __always_inline int is_whole(const struct ev_trace *e)
{
	return (e->start.kind != EV_FRAME_LUA || EV_FRAME_PROTO(e->start.addr)) &&
	       (e->end.kind != EV_FRAME_LUA || EV_FRAME_PROTO(e->end.addr));
}

/* Keeps the event that was just put together as the one that its tally stands for. */
static __always_inline struct smp_tally *remember(struct recorder *r, u32 type)
{
	struct smp_tally_key key = {
	    .g = r->start.g, .site = r->site, .tgid = r->start.tgid, .type = type};
	struct smp_tally *t = bpf_map_lookup_elem(&tallies, &key);
	struct ev_trace *e = trace_of(&r->sc);

	if (t && ((struct ev_trace *)t->like)->start.addr == e->start.addr &&
	    ((struct ev_trace *)t->like)->end.addr == e->end.addr)
		return t;
	if (t) {
		__builtin_memcpy(t->like, r->sc.head, sizeof(t->like));
		__builtin_memcpy(t->f, r->sc.f, sizeof(t->f));
		return t;
	}
	__builtin_memset(&r->tally, 0, sizeof(r->tally));
	__builtin_memcpy(r->tally.like, r->sc.head, sizeof(r->tally.like));
	__builtin_memcpy(r->tally.f, r->sc.f, sizeof(r->tally.f));
	if (bpf_map_update_elem(&tallies, &key, &r->tally, BPF_ANY))
		tallies_full = 1;
	return bpf_map_lookup_elem(&tallies, &key);
}

#endif
