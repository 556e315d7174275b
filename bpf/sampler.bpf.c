// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The sampler: at each cpu-clock event of a target it finds the VM that the thread is in, walks the
 * Lua stack and emits one EV_SAMPLE. Only reads; no loop without a bound; never wakes user space.
 *
 * It mirrors LuaJIT src/lj_frame.h (frame links), lj_debug.c:lj_debug_frame, debug_framepc and
 * lj_debug_line, and vm_x64.dasc for what is in which register when. Registers of the interpreter
 * on x64: rdx BASE, rbx PC (after the current instruction), r14 DISPATCH, rsp the C frame; with
 * 32-bit references their lower halves, and in compiled code r14 is free.
 */
#include "bpf/sampler.h"
#include "bpf/event.h"
#include "bytecode/layout.h"

#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;

#define WALK_INLINE static __always_inline
#define WALK_FN_NUM __noinline
#ifdef OLD_KERNEL /* see compat.bpf.h */
#define WALK_FN static __noinline
#define WALK_STEP static __noinline
#else
#define WALK_FN __noinline
#define WALK_STEP static __always_inline
#endif
struct walk;
static void walk_cut(const struct walk *w);
#include "bpf/walk.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SMP_LAYOUTS);
	__type(key, u32);
	__type(value, struct layout);
} layouts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SMP_PROCS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct smp_proc);
} procs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SMP_ALL_VMS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct smp_vmkey);
	__type(value, struct smp_vm);
} vms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20); /* set by the loader */
} ring SEC(".maps");

struct seen_proto {
	u64 like;
	u32 id;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct seen_key);
	__type(value, struct seen_proto);
} seen SEC(".maps");

/*
 * What the sampler found in seen last: a lookup costs as much as a read. Not for the tracer, which
 * the sampler may interrupt at any place.
 */
#define RECENT 128u
struct recent_proto {
	struct seen_key key;
	u64 like;
	u64 id;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECENT);
	__type(key, u32);
	__type(value, struct recent_proto);
} recent SEC(".maps");

struct smp_counters counters;

/* Filled in by the loader. */
const volatile struct smp_config config = {};

#define COUNT(field) __sync_fetch_and_add(&counters.field, 1)

static __always_inline int peek(void *dst, u32 size, u64 addr)
{
	return bpf_probe_read_user(dst, size, (const void *)addr) ? -1 : 0;
}

static __always_inline int rd(void *dst, u32 size, u64 addr)
{
	int err = peek(dst, size, addr);

	if (err)
		COUNT(faults);
	return err;
}

static __always_inline const struct layout *layout_at(u32 idx)
{
	return bpf_map_lookup_elem(&layouts, &idx);
}

static __always_inline u32 proto_seen(const struct scratch *sc, const struct seen_key *key,
				      u64 *like)
{
	u32 slot = (u32)key->identity & (RECENT - 1);
	struct recent_proto *r = sc->sampler ? bpf_map_lookup_elem(&recent, &slot) : 0;
	struct seen_proto *s;

	if (r && r->key.pt == key->pt && r->key.identity == key->identity &&
	    r->key.tgid == key->tgid) {
		*like = r->like;
		return r->id;
	}
	s = bpf_map_lookup_elem(&seen, key);
	if (!s)
		return EV_NO_PROTO;
	if (r)
		*r = (struct recent_proto){*key, s->like, s->id};
	*like = s->like;
	return s->id;
}

/*
 * Two prototypes are alike if the same source made them, so that the places in them are one. Of an
 * instruction that the JIT compiler may patch (lj_trace.c: trace_stop, blacklist_pc; and ITERN,
 * which vm_x64.dasc turns into ITERC) only the register counts. All of them are ITERC or above in
 * every numbering with GC64. Alike prototypes that are taken for different ones do no harm.
 */
#define BC_FIRST_PATCHED 69 /* ITERC */
#define LIKE_INS (EV_CHUNK_COPY / 4)
WALK_FN u64 proto_like(struct scratch *sc, u64 code, u32 sizebc, u64 shape)
{
	const u32 *ins;
	u32 i, patched;

	if (!sc || !sizebc)
		return shape;
	ins = (const u32 *)sc->raw.chunk; /* not needed yet */
	if (sizebc > LIKE_INS)
		sizebc = LIKE_INS;
	if (rd(sc->raw.chunk, 4 * sizebc, code))
		return shape;
	for (i = 0; i < LIKE_INS && i < sizebc; i++) {
		/* 1 or 0. No branch, which the verifier would go both ways of, each time. */
		patched = ((ins[i] & 0xff) + 256 - BC_FIRST_PATCHED) >> 8;
		shape = mix(shape, ins[i] & (0xffffffff - patched * 0xffff00ff));
	}
	return shape;
}

static u32 new_proto_id(const struct scratch *sc);

/* Sends the definition of the prototype in the scratch buffer. Returns its id or EV_NO_PROTO. */
WALK_FN u32 define_proto(struct scratch *sc, const struct seen_key *key, u64 chunkname)
{
	struct ev_proto_raw *raw;
	u32 id;

	if (!sc || !key)
		return EV_NO_PROTO;
	raw = &sc->raw;
	id = new_proto_id(sc);
	raw->h.kind = EV_PROTO_RAW;
	raw->h.cpu = bpf_get_smp_processor_id();
	raw->h.size = sizeof(*raw);
	raw->h.time = bpf_ktime_get_ns();
	raw->h.pid = key->tgid;
	raw->h.tid = key->tgid;
	raw->id = id;
	raw->pt = key->pt;
	raw->identity = key->identity;
	__builtin_memcpy(raw->head, proto_head(sc), sizeof(raw->head));
	__builtin_memset(raw->chunk, 0, sizeof(raw->chunk));
	bpf_probe_read_user_str(raw->chunk, sizeof(raw->chunk), (const void *)chunkname);
	/* Known only once its definition is in the ring: another CPU may use it at once. */
	if (bpf_ringbuf_output(&ring, raw, sizeof(*raw), BPF_RB_NO_WAKEUP)) {
		COUNT(lost_protos);
		return EV_NO_PROTO;
	}
	return id;
}

/* Not in define_proto: before Linux 6.3 a key must be on the stack of who uses it. */
static __always_inline void remember_proto(const struct seen_key *key, u32 id, u64 like)
{
	struct seen_proto known = {.like = like, .id = id};

	bpf_map_update_elem(&seen, key, &known, BPF_ANY);
}

#define CSTACK_MAX (64ULL << 20) /* no C stack is deeper */

/* The kernel's structures: only the fields used, found by BTF. */
struct thread_struct {
	unsigned long fsbase;
} __attribute__((preserve_access_index));

struct task_struct {
	void *stack;
	int pid;
	int tgid;
	int exit_code;
	struct pid *thread_pid;
	struct thread_struct thread;
} __attribute__((preserve_access_index));

struct upid {
	int nr;
} __attribute__((preserve_access_index));

struct pid {
	unsigned int level;
	struct upid numbers[1];
} __attribute__((preserve_access_index));

/* struct pt_regs of x86-64, as the perf context and a task's stack hold it. */
struct regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs,
	    flags, sp, ss;
};

/* pid and tid as bpf_get_current_pid_tgid gives them, in ljx's pid namespace; 0: not in it. */
static __always_inline u64 current_id(void)
{
	struct bpf_pidns_info ns;

	if (!config.ns_ino)
		return bpf_get_current_pid_tgid();
	if (bpf_get_ns_current_pid_tgid(config.ns_dev, config.ns_ino, &ns, sizeof(ns)))
		return 0;
	return (u64)ns.tgid << 32 | ns.pid;
}

#include "bpf/pick.bpf.h"

/*
 * What is copied of a global_State, from vmstate on: no build has more between what is used. If the
 * main thread is likely to run, from there on: a GG_State has it right before.
 */
#define GLOBAL_COPY 256u
#define GG_COPY 512u

/* A sample in the making: more than fits on the stack. */
struct making {
	struct scratch sc;
	struct walk w;
	struct pick p;
	struct regs r;
	u64 blind;     /* r is not known */
	u64 stack_end; /* of the C stack that r.sp is in, at most */
	u64 global_at; /* the VM that gg is of; 0: none */
	u64 gg_at;     /* address of what is in gg */
	u32 gg_size;
	u32 in_main; /* the last sample was in a main thread */
	u64 gg[GG_COPY / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct making);
} makings SEC(".maps");

static __always_inline struct making *making_now(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&makings, &zero);
}

#include "bpf/compat.bpf.h"

static __always_inline int copy_global(const struct layout *l, struct making *m, u64 g)
{
	int err;

	if (m->in_main) {
		m->gg_at = g - l->GG_g;
		m->gg_size = GG_COPY;
		err = peek(m->gg, GG_COPY, m->gg_at);
	} else {
		m->gg_at = g + (l->G_vmstate & ~7u);
		m->gg_size = GLOBAL_COPY;
		err = peek(m->gg, GLOBAL_COPY, m->gg_at);
	}
	m->global_at = err ? 0 : g;
	return err;
}

/* The word at offset off of the global_State that was copied, or of it itself. */
static __always_inline u64 global64(const struct making *m, u32 off)
{
	u32 i = (u32)(m->global_at + off - m->gg_at), j = i + 4;
	const u32 *gg = (const u32 *)m->gg;

	if (i & 3 || i > m->gg_size - 8)
		return rd64(m->global_at + off);
	WALK_OPAQUE(i);
	WALK_OPAQUE(j);
	return (u64)gg[(j & (GG_COPY - 4)) / 4] << 32 | gg[(i & (GG_COPY - 4)) / 4];
}

static __always_inline u64 global_ref(const struct layout *l, const struct making *m, u32 off)
{
	return layout_ref(l, global64(m, off));
}

#include "bpf/start.bpf.h"

/*
 * Where the C stack that sp is in ends at most. A thread's own control block lies at the upper end
 * of its stack (fs points at it), but for the main thread, whose stack is above all others.
 */
static __always_inline u64 stack_end(u64 sp)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 fs = 0;

#ifndef OLD_KERNEL
	if (config.btf) /* no call is needed then */
		fs = bpf_get_current_task_btf()->thread.fsbase;
	else
#endif
	    if (bpf_core_field_exists(task->thread.fsbase))
		fs = BPF_CORE_READ(task, thread.fsbase);
	return fs > sp && fs - sp < CSTACK_MAX ? fs : sp + CSTACK_MAX;
}

/* The coroutine that runs, if the thread at stack pointer sp is inside the VM. */
static __always_inline u64 enter_current(const struct layout *l, struct making *m,
					 struct ev_sample *s)
{
	u64 L = global_ref(l, m, l->G_cur_L), sp = m->r.sp, base;
	struct walk *w = &m->w;
	u32 i;

	m->in_main = L == w->g - l->GG_g;
	base = L == m->gg_at ? enter_words(l, w, L, m->gg) : enter(w, L);
	if (base && w->cf >= sp && w->cf < m->stack_end)
		return base;
	if (!(s->flags & EV_SF_VMCODE))
		return 0;
	/*
	 * cur_L lags behind for a moment when a coroutine returns. The C frame of its resumer
	 * begins where sp is, or where it will be when the registers that were saved are popped.
	 */
	for (i = 0; i <= 80; i += 8) {
		base = enter(w, rdref(l, sp + i + l->CF_L));
		if (base && w->cf == sp + i) {
			s->flags |= EV_SF_REPAIRED;
			return base;
		}
	}
	return 0;
}

static __always_inline void sample_vm(struct making *m, u64 g, u32 layout)
{
	const struct layout *l = bpf_map_lookup_elem(&layouts, &layout);
	struct ev_sample *s = sample_of(&m->sc);
	struct walk *w = &m->w;
	s32 vmstate;
	u64 base;

	if (!l)
		return;
	__builtin_memset(w, 0, sizeof(*w));
	w->layout = layout;
	w->g = g;
	w->tgid = s->h.pid;
	s->g = g;
	if (m->global_at != g && copy_global(l, m, g)) {
		COUNT(faults);
		s->why = EV_WHY_READ;
		return;
	}
	vmstate = (s32)global64(m, l->G_vmstate);
	base = enter_current(l, m, s);
	if (!base) {
		s->state = EV_STATE_OUTSIDE;
		s->why = EV_WHY_OUTSIDE;
		return;
	}
	s->L = w->L;
	s->state = state_of(l, vmstate);
	if (s->state == EV_STATE_TRACE)
		s->trace = vmstate;
	w->why = start(l, m, base);
	if (!w->why) {
		walk_all();
		if (!w->why && !w->done && !w->truncated)
			w->why = EV_WHY_DEPTH;
	}
	s->why = w->why;
	s->nframes = w->n;
	if (w->truncated)
		s->flags |= EV_SF_TRUNCATED;
}

/*
 * The VM by the dispatch register, valid in the interpreter, in machine code and often in C:
 * verified by the self-pointing pattern of GG_State. *known: it is in the list.
 */
static __always_inline u64 vm_by_register(const struct smp_proc *p, struct making *m, u32 *layout,
					  int *known)
{
	u64 r14 = m->r.r14;
	u32 i;

#pragma unroll
	for (i = 0; i < SMP_MODULES; i++) {
		const struct layout *l;
		u32 idx = p->module[i].layout;
		u64 g, mainth, glref = 0;

		if (i >= p->nmodules || r14 < 0x10000 || r14 & 7 || r14 >> 47)
			continue;
		l = bpf_map_lookup_elem(&layouts, &idx);
		if (!l)
			continue;
		g = r14 - l->GG_dispatch + l->GG_g;
		if (copy_global(l, m, g))
			continue;
		mainth = global_ref(l, m, l->G_mainthref);
		if (mainth != g - l->GG_g)
			continue;
		*known = g == p->first_vm || vm_known(p->vmkey, g);
		if (!*known && (peek(&glref, 8, mainth + l->L_glref) || layout_ref(l, glref) != g))
			continue;
		*layout = idx;
		return g;
	}
	m->global_at = 0;
	return 0;
}

static __always_inline void hint_vm(const struct ev_hdr *h, u64 g)
{
	struct ev_vm_hint e = {.h = *h, .g = g};

	e.h.kind = EV_VM_HINT;
	e.h.size = sizeof(e);
	if (bpf_ringbuf_output(&ring, &e, sizeof(e), BPF_RB_NO_WAKEUP))
		COUNT(lost_notes);
}

/*
 * Where the C stack of a thread was when it was last seen in user mode. Only where the registers of
 * user mode cannot be had in the kernel.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SMP_THREADS);
	__type(key, u32);
	__type(value, u64);
} stacks SEC(".maps");

/* So far from there it may be by now; other threads' stacks are further away. */
#define STACK_REACH (256ULL << 10)

/* Sets p's window to around the thread's last known place, or tells that there is none. */
static __always_inline int guess_stack(struct pick *p)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	u64 *sp = bpf_map_lookup_elem(&stacks, &tid);

	if (!sp)
		return -1;
	p->sp = *sp - STACK_REACH;
	p->dist = 2 * STACK_REACH;
	return 0;
}

static __always_inline void remember_stack(u64 sp)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();

	bpf_map_update_elem(&stacks, &tid, &sp, BPF_ANY);
}

/*
 * Without registers, all comes from memory: jit_base and L->base are right in these states, but
 * the interpreter has its own in registers.
 */
static __always_inline int known_without_regs(const struct ev_sample *s)
{
	return !s->why && (s->state == EV_STATE_TRACE || s->state == EV_STATE_C ||
			   s->state == EV_STATE_GC || s->state >= EV_STATE_RECORD);
}

/* Finds the VM and walks its stack, or says why not. blind: the registers are not known. */
static __always_inline void fill(struct making *m, const struct smp_proc *proc, int blind)
{
	struct ev_sample *s = sample_of(&m->sc);
	struct pick *p = &m->p;
	int known = 0;
	u32 layout = 0;
	u64 g = 0;

	m->global_at = 0;
	__builtin_memset(p, 0, __builtin_offsetof(struct pick, near)); /* that goes with nnear */
	p->key.key = proc->vmkey;
	if (blind) {
		s->why = EV_WHY_NO_REGS;
		if (guess_stack(p))
			return;
		__builtin_memset(&m->r, 0, sizeof(m->r));
		m->r.sp = p->sp;
	} else {
		p->sp = m->r.sp;
		g = vm_by_register(proc, m, &layout, &known);
	}
	m->stack_end = stack_end(m->r.sp);
	if (!blind)
		p->dist = m->stack_end - p->sp;
	if (g && !known) { /* not verified yet: ask for it, trust nothing */
		hint_vm(&s->h, g);
		s->why = EV_WHY_NO_VM;
		return;
	}
	if (!g)
		pick_by_stack(p, proc, s->h.time, blind);
	else if (proc->nvms > SMP_NEAR)
		remember_near(p, proc->vmkey, g, 0);
	if (blind && !p->g && (p->busy || !p->any)) /* in one of them, or not: who knows */
		return;
	if (!g) {
		g = p->g ? p->g : p->any;
		layout = p->g ? p->layout : p->any_layout;
	}
	if (!g) {
		s->why = EV_WHY_NO_VM;
		return;
	}
	s->why = EV_WHY_NONE;
	sample_vm(m, g, layout);
	if (!blind || s->why == EV_WHY_OUTSIDE)
		return;
	if (known_without_regs(s)) {
		s->flags |= EV_SF_REPAIRED;
	} else {
		s->why = EV_WHY_NO_REGS;
		s->nframes = 0;
	}
}

static __always_inline int in_vmcode(const struct smp_proc *p, u64 ip)
{
	return (p->nmodules > 0 && ip >= p->module[0].asm_start && ip < p->module[0].asm_end) ||
	       (p->nmodules > 1 && ip >= p->module[1].asm_start && ip < p->module[1].asm_end);
}

/* The registers of user mode. 0, or -1 if there are none. */
static __always_inline int user_regs(struct bpf_perf_event_data *ctx, struct regs *r, u32 *flags)
{
	/* bpf_perf_event_data's fields must be read as words of 8 bytes, one by one. */
	volatile const struct regs *c = (volatile const struct regs *)&ctx->regs;

	if (c->cs & 3) {
		r->r14 = c->r14;
		r->bp = c->bp;
		r->bx = c->bx;
		r->dx = c->dx;
		r->ip = c->ip;
		r->sp = c->sp;
		return 0;
	}
	*flags |= EV_SF_KERNEL;
	return saved_regs(r);
}

static __always_inline int send_sample(void *rec, u32 size)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > config.room ||
	       bpf_ringbuf_output(&ring, rec, size, BPF_RB_NO_WAKEUP);
}

static __always_inline void deliver(struct ev_sample *s)
{
	u32 size = s->nframes;

	if (size > EV_MAX_FRAMES)
		size = EV_MAX_FRAMES;
	size = sizeof(*s) + size * sizeof(struct ev_frame);
	s->h.size = size;
	if (send_sample(s, size))
		COUNT(lost_samples);
}

#include "bpf/native.bpf.h"

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	u64 id = current_id();
	u32 tgid = id >> 32;
	struct smp_proc *proc;
	struct ev_sample *s;
	struct making *m;
	int blind;

	COUNT(events);
	proc = bpf_map_lookup_elem(&procs, &tgid);
	if (!proc || proc->flags & SMP_IDLE)
		return 0;
	m = making_now();
	if (!m)
		return 0;
	COUNT(samples);
	m->sc.sampler = 1;
	forget_cuts();
	s = sample_of(&m->sc);
	__builtin_memset(s, 0, sizeof(*s));
	s->h.kind = EV_SAMPLE;
	s->h.cpu = bpf_get_smp_processor_id();
	s->h.time = bpf_ktime_get_ns();
	s->h.pid = tgid;
	s->h.tid = (u32)id;
	blind = m->blind = user_regs(ctx, &m->r, &s->flags);
	if (!blind) {
		s->ip = m->r.ip;
		if (in_vmcode(proc, s->ip))
			s->flags |= EV_SF_VMCODE;
		if (config.blind)
			remember_stack(m->r.sp);
	}
	if (blind && !config.blind)
		s->why = EV_WHY_NO_REGS;
	else
		fill(m, proc, config.blind && blind);
	if (config.native) /* goes on there, and comes back only if that cannot run */
		bpf_tail_call(ctx, &then, 0);
	deliver(s);
	return 0;
}

/* The floor for benchmarks: the same event with nothing behind it. */
SEC("perf_event")
int sample_nothing(struct bpf_perf_event_data *ctx)
{
	COUNT(events);
	return 0;
}

#include "bpf/lifetime.bpf.h"
#include "bpf/tracer.bpf.h"
