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
#define WALK_FN __noinline
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

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

struct smp_counters counters;

/* ljx's pid namespace, if it is not the first one: pids are to be those that ljx sees. */
const volatile __u64 ns_dev = 0, ns_ino = 0;

#define COUNT(field) __sync_fetch_and_add(&counters.field, 1)

__u32 next_proto; /* the last id given to a prototype */

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

static __always_inline u32 proto_seen(const struct seen_key *key, u64 *like)
{
	struct seen_proto *s = bpf_map_lookup_elem(&seen, key);

	if (!s)
		return EV_NO_PROTO;
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
__noinline u64 proto_like(struct scratch *sc, u64 code, u32 sizebc, u64 shape)
{
	const u32 *ins;
	u32 i, v;

	if (!sc || !sizebc)
		return shape;
	ins = (const u32 *)sc->raw.chunk; /* not needed yet */
	if (sizebc > LIKE_INS)
		sizebc = LIKE_INS;
	if (rd(sc->raw.chunk, 4 * sizebc, code))
		return shape;
	for (i = 0; i < LIKE_INS && i < sizebc; i++) {
		v = ins[i];
		shape = mix(shape, (v & 0xff) >= BC_FIRST_PATCHED ? v & 0xff00 : v);
	}
	return shape;
}

/* Sends the definition of the prototype in the scratch buffer. Returns its id or EV_NO_PROTO. */
__noinline u32 define_proto(struct scratch *sc, const struct seen_key *key, u64 chunkname, u64 like)
{
	struct seen_proto known = {.like = like};
	struct ev_proto_raw *raw;
	u32 id;

	if (!sc || !key)
		return EV_NO_PROTO;
	raw = &sc->raw;
	id = __sync_fetch_and_add(&next_proto, 1) + 1;
	raw->h.kind = EV_PROTO_RAW;
	raw->h.cpu = bpf_get_smp_processor_id();
	raw->h.size = sizeof(*raw);
	raw->h.time = bpf_ktime_get_ns();
	raw->h.pid = key->tgid;
	raw->h.tid = key->tgid;
	raw->id = id;
	raw->pt = key->pt;
	raw->identity = key->identity;
	__builtin_memset(raw->chunk, 0, sizeof(raw->chunk));
	bpf_probe_read_user_str(raw->chunk, sizeof(raw->chunk), (const void *)chunkname);
	/* Known only once its definition is in the ring: another CPU may use it at once. */
	if (bpf_ringbuf_output(&ring, raw, sizeof(*raw), BPF_RB_NO_WAKEUP)) {
		COUNT(lost_protos);
		return EV_NO_PROTO;
	}
	known.id = id;
	bpf_map_update_elem(&seen, key, &known, BPF_ANY);
	return id;
}

#define CSTACK_MAX (64ULL << 20) /* no C stack is deeper */

/* The kernel's structures: only the fields used, found by BTF. */
struct thread_struct {
	unsigned long fsbase;
} __attribute__((preserve_access_index));

struct task_struct {
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

static long walk_cb(u32 i, void *ctx)
{
	u32 zero = 0;
	struct walk *w = ctx;
	struct scratch *sc = bpf_map_lookup_elem(&scratch, &zero);

	return sc ? walk_step(w, sc) : 1;
}

/* The base of the caller if the frame at base was, or is about to be, called from before pc. */
static __always_inline u64 caller_base(u64 fr2, u64 base, u64 pc)
{
	u32 ins = 0;

	if (pc & 3 || peek(&ins, 4, pc - 4))
		return 0;
	return base - 8 * (1 + fr2 + (u64)(ins >> 8 & 0xff));
}

/* mov [BASE-8], PC: ins_call of vm_x64.dasc; mov [BASE-4], PC: of vm_x86.dasc, of 3 bytes. */
#define STORE_LINK 0xf85a8948u
#define STORE_LINK32 0xfc5a89u

static __always_inline int stores_link(const struct layout *l, u64 ip)
{
	u32 ins = 0;

	if (peek(&ins, 4, ip))
		return 0;
	return l->gc64 ? ins == STORE_LINK : (ins & 0xffffff) == STORE_LINK32;
}

/*
 * In the VM's assembly: BASE and PC are in registers, but for a few instructions around calls and
 * returns, where one of the two has already moved. A base counts only if its function and the pc
 * agree.
 */
__noinline int start_in_asm(struct walk *w, const struct regs *r, u32 *flags)
{
	const struct layout *l = w ? layout_at(w->layout) : 0;
	u64 link = 0, v[2] = {};
	int is;

	if (!l || !r || !flags)
		return 0;
	/* A call whose link is not stored yet: what is in its place is an old one. */
	if (stores_link(l, r->ip)) {
		start_at(w, r->dx, 0);
		*flags |= EV_SF_REPAIRED;
		if (!follow(w, r->bx) && judge(w, w->frame + 8, w->pc) != BASE_NOT)
			return 1;
	}
	is = judge(w, r->dx, r->bx);
	if (is == BASE_LUA_PC)
		return start_at(w, r->dx, r->bx);
	if (is == BASE_FF) {
		peek(v, sizeof(v), r->dx - 16);
		if (slots_of(l, v).link == r->bx)
			return start_at(w, r->dx, 0);
	}
	link = caller_base(l->fr2, r->dx, r->bx);
	if (link && judge(w, link, r->bx) == BASE_LUA_PC) {
		*flags |= EV_SF_REPAIRED;
		return start_at(w, link, r->bx);
	}
	/* A function that was entered or is being left: right, its position not known. */
	if (is != BASE_NOT)
		return start_at(w, r->dx, is == BASE_LUA ? r->bx : 0);
	is = judge(w, r->bp, r->bx);
	if (is == BASE_LUA_PC || is == BASE_FF) {
		*flags |= EV_SF_REPAIRED;
		return start_at(w, r->bp, is == BASE_FF ? 0 : r->bx);
	}
	/*
	 * A fast function that returns puts its results where it stood. Without LJ_FR2 that is
	 * where its link was, too; PC holds it.
	 */
	if (l->fr2 || r->bx & 3)
		return 0;
	start_at(w, r->dx, 0);
	*flags |= EV_SF_REPAIRED;
	return !follow(w, r->bx) && judge(w, w->frame + 8, w->pc) == BASE_LUA_PC;
}

/*
 * In C code called by the interpreter. Helpers find BASE in L->base and PC in the C frame. But a
 * few C library calls (math.sin, `^`) are made with BASE in rbp and PC in rbx only, both
 * callee-saved: if they are not there any more, they are among the words pushed right below the
 * VM's C frame.
 */
#define SAVED_WORDS 10
__noinline int start_in_helper(struct walk *w, const struct regs *r, u32 *flags)
{
	u64 word[SAVED_WORDS + 1] = {}; /* what was pushed; last, a register */
	int i, j, is;

	if (!w || !r || !flags)
		return 0;
	is = judge(w, r->bp, r->bx);
	if (is == BASE_LUA_PC || is == BASE_FF)
		return start_at(w, r->bp, is == BASE_FF ? 0 : r->bx);
	if (r->bp == w->L || peek(word, 8 * SAVED_WORDS, w->cf - 8 * SAVED_WORDS))
		return 0;
	word[SAVED_WORDS] = r->bp;
	for (i = SAVED_WORDS; i >= 0; i--) {
		if (i < SAVED_WORDS && w->cf - 8 * (u64)(SAVED_WORDS - i) < r->sp)
			word[i] = 0; /* not on the stack any more, or not yet */
		if (word[i] == w->L) /* rbp of a caller that stored both */
			return 0;
	}
	for (i = SAVED_WORDS; i >= 0; i--) {
		is = judge(w, word[i], r->bx);
		if (is == BASE_NOT)
			continue;
		*flags |= EV_SF_REPAIRED;
		if (is != BASE_LUA)
			return start_at(w, word[i], is == BASE_FF ? 0 : r->bx);
		for (j = SAVED_WORDS; j >= 0; j--)
			if (judge(w, word[i], word[j]) == BASE_LUA_PC)
				return start_at(w, word[i], word[j]);
	}
	return 0;
}

/*
 * A fast function that returns puts its results where it stood: goes on with its caller. Without
 * LJ_FR2 that is where its link was, too, which the C frame has as pc. 0 or -1.
 */
__noinline int start_in_caller(struct walk *w)
{
	const struct layout *l = w ? layout_at(w->layout) : 0;
	u64 link, v[2] = {};

	if (!l)
		return -1;
	rd(v, sizeof(v), w->frame - 8);
	link = l->fr2 ? slots_of(l, v).link : w->pc;
	if (!link || (!l->fr2 && link & 3) || follow(w, link))
		return -1;
	return judge(w, w->frame + 8, w->pc) == BASE_NOT ? -1 : 0;
}

/* Chooses where the walk starts. 0 or EV_WHY_*. */
static __always_inline int start(const struct layout *l, struct walk *w, struct scratch *sc,
				 struct regs *r, u64 base)
{
	struct ev_sample *s = sample_of(sc);
	u64 jit_base = rdref(l, w->g + l->G_jit_base);
	u32 flags = s->flags;
	int ok = 0;

	if (s->state == EV_STATE_TRACE) {
		emit_trace(l, w, sc, s->trace, r->ip, &flags);
		start_at(w, jit_base ? jit_base : base, 0);
		s->flags = flags;
		return judge(w, w->frame + 8, 0) == BASE_NOT ? EV_WHY_BAD_BASE : 0;
	}
	if (flags & EV_SF_VMCODE)
		ok = start_in_asm(w, r, &flags);
	else if (jit_base && judge(w, jit_base, r->bx) == BASE_LUA_PC)
		ok = start_at(w, jit_base, r->bx);
	else if (s->state == EV_STATE_INTERP)
		ok = start_in_helper(w, r, &flags);
	if (!ok && jit_base && s->state != EV_STATE_INTERP && s->state != EV_STATE_C)
		ok = start_at(w, jit_base, 0);
	if (!ok)
		start_saved(l, w, base);
	s->flags = flags;
	if (w->frame <= w->bottom || judge(w, w->frame + 8, 0) != BASE_NOT)
		return 0;
	s->flags |= EV_SF_REPAIRED;
	return start_in_caller(w) ? EV_WHY_BAD_BASE : 0;
}

/*
 * Where the C stack that sp is in ends at most. A thread's own control block lies at the upper end
 * of its stack (fs points at it), but for the main thread, whose stack is above all others.
 */
static __always_inline u64 stack_end(u64 sp)
{
	u64 fs = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), thread.fsbase);

	return fs > sp && fs - sp < CSTACK_MAX ? fs : sp + CSTACK_MAX;
}

/* The coroutine that runs, if the thread at stack pointer sp is inside the VM. */
static __always_inline u64 enter_current(const struct layout *l, struct walk *w,
					 struct ev_sample *s, u64 sp)
{
	u64 base = enter(w, rdref(l, w->g + l->G_cur_L));
	u32 i;

	if (base && w->cf >= sp && w->cf < stack_end(sp))
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

static __always_inline void sample_vm(struct scratch *sc, struct regs *r, u64 g, u32 layout)
{
	const struct layout *l = bpf_map_lookup_elem(&layouts, &layout);
	struct ev_sample *s = sample_of(sc);
	struct walk w = {.layout = layout, .g = g, .tgid = s->h.pid};
	s32 vmstate = 0;
	u64 base;

	if (!l)
		return;
	s->g = g;
	if (rd(&vmstate, 4, g + l->G_vmstate)) {
		s->why = EV_WHY_READ;
		return;
	}
	base = enter_current(l, &w, s, r->sp);
	if (!base) {
		s->state = EV_STATE_OUTSIDE;
		s->why = EV_WHY_OUTSIDE;
		return;
	}
	s->L = w.L;
	s->state = state_of(l, vmstate);
	if (s->state == EV_STATE_TRACE)
		s->trace = vmstate;
	w.why = start(l, &w, sc, r, base);
	if (!w.why) {
		bpf_loop(2 * EV_MAX_FRAMES, walk_cb, &w, 0);
		if (!w.why && !w.done && !w.truncated)
			w.why = EV_WHY_DEPTH;
	}
	s->why = w.why;
	s->nframes = w.n;
	if (w.truncated)
		s->flags |= EV_SF_TRUNCATED;
}

/*
 * The VM by the dispatch register, valid in the interpreter, in machine code and often in C:
 * verified by the self-pointing pattern of GG_State.
 */
static __always_inline u64 vm_by_register(const struct smp_proc *p, u64 r14, u32 *layout)
{
	u32 i;

#pragma unroll
	for (i = 0; i < SMP_MODULES; i++) {
		const struct layout *l;
		u32 idx = p->module[i].layout;
		u64 g, mainth = 0, glref = 0;

		if (i >= p->nmodules || r14 < 0x10000 || r14 & 7 || r14 >> 47)
			continue;
		l = bpf_map_lookup_elem(&layouts, &idx);
		if (!l)
			continue;
		g = r14 - l->GG_dispatch + l->GG_g;
		if (peek(&mainth, 8, g + l->G_mainthref))
			continue;
		mainth = layout_ref(l, mainth);
		if (mainth != g - l->GG_g || peek(&glref, 8, mainth + l->L_glref) ||
		    layout_ref(l, glref) != g)
			continue;
		*layout = idx;
		return g;
	}
	return 0;
}

/* Choosing a VM by the C stack: the innermost C frame above sp. */
struct pick {
	struct smp_vmkey key;
	u64 sp, seek; /* seek: the VM the register shows; is it in the list? */
	u64 g, dist;
	u64 any; /* a VM at all, for samples outside Lua */
	u32 layout, any_layout, found;
	u32 pad;
};

static long pick_cb(u32 i, void *ctx)
{
	struct pick *p = ctx;
	const struct layout *l;
	struct smp_vm *vm;
	u64 L = 0, cf, s[WALK_L_WORDS] = {};
	struct walk_L th;

	p->key.idx = i;
	vm = bpf_map_lookup_elem(&vms, &p->key);
	if (!vm)
		return 0;
	if (p->seek) {
		p->found = vm->g == p->seek;
		return p->found;
	}
	l = bpf_map_lookup_elem(&layouts, &vm->layout);
	if (!l || peek(&L, 8, vm->g + l->G_cur_L))
		return 0;
	L = layout_ref(l, L);
	if (!L || peek(s, sizeof(s), L))
		return 0;
	th = walk_L(l, s);
	if (th.g != vm->g)
		return 0;
	p->any = vm->g;
	p->any_layout = vm->layout;
	cf = th.cframe;
	if (cf >= p->sp && cf - p->sp < p->dist) {
		p->dist = cf - p->sp;
		p->g = vm->g;
		p->layout = vm->layout;
	}
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

/* Finds the VM and walks its stack, or says why not. */
static __always_inline void fill(struct scratch *sc, struct regs *r, const struct smp_proc *proc)
{
	struct ev_sample *s = sample_of(sc);
	struct pick p = {.key.key = proc->vmkey, .sp = r->sp, .dist = stack_end(r->sp) - r->sp};
	u32 n = proc->nvms < SMP_VMS ? proc->nvms : SMP_VMS, layout = 0;
	u64 g = vm_by_register(proc, r->r14, &layout);

	if (g) {
		p.seek = g;
		bpf_loop(n, pick_cb, &p, 0);
		if (!p.found) { /* not verified yet: ask for it, trust nothing */
			hint_vm(&s->h, g);
			s->why = EV_WHY_NO_VM;
			return;
		}
	} else {
		bpf_loop(n, pick_cb, &p, 0);
		g = p.g ? p.g : p.any;
		layout = p.g ? p.layout : p.any_layout;
	}
	if (!g) {
		s->why = EV_WHY_NO_VM;
		return;
	}
	sample_vm(sc, r, g, layout);
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
	struct task_struct *task;

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
	task = bpf_get_current_task_btf();
	return bpf_probe_read_kernel(r, sizeof(*r), (const void *)bpf_task_pt_regs(task)) ? -1 : 0;
}

/* pid and tid as bpf_get_current_pid_tgid gives them, in ljx's pid namespace; 0: not in it. */
static __always_inline u64 current_id(void)
{
	struct bpf_pidns_info ns;

	if (!ns_ino)
		return bpf_get_current_pid_tgid();
	if (bpf_get_ns_current_pid_tgid(ns_dev, ns_ino, &ns, sizeof(ns)))
		return 0;
	return (u64)ns.tgid << 32 | ns.pid;
}

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	u64 id = current_id();
	u32 tgid = id >> 32, zero = 0, size;
	struct smp_proc *proc;
	struct regs r = {};
	struct scratch *sc;
	struct ev_sample *s;

	COUNT(events);
	proc = bpf_map_lookup_elem(&procs, &tgid);
	if (!proc || proc->flags & SMP_IDLE)
		return 0;
	sc = bpf_map_lookup_elem(&scratch, &zero);
	if (!sc)
		return 0;
	COUNT(samples);
	s = sample_of(sc);
	__builtin_memset(s, 0, sizeof(*s));
	s->h.kind = EV_SAMPLE;
	s->h.cpu = bpf_get_smp_processor_id();
	s->h.time = bpf_ktime_get_ns();
	s->h.pid = tgid;
	s->h.tid = (u32)id;
	if (user_regs(ctx, &r, &s->flags)) {
		s->why = EV_WHY_NO_REGS;
	} else {
		s->ip = r.ip;
		if (in_vmcode(proc, r.ip))
			s->flags |= EV_SF_VMCODE;
		fill(sc, &r, proc);
	}
	size = s->nframes;
	if (size > EV_MAX_FRAMES)
		size = EV_MAX_FRAMES;
	size = sizeof(*s) + size * sizeof(struct ev_frame);
	s->h.size = size;
	/* The last eighth is kept for trace events: they are few, and each one counts. */
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >
		bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE) / 8 * 7 ||
	    bpf_ringbuf_output(&ring, s, size, BPF_RB_NO_WAKEUP))
		COUNT(lost_samples);
	return 0;
}

/* The floor for benchmarks: the same event with nothing behind it. */
SEC("perf_event")
int sample_nothing(struct bpf_perf_event_data *ctx)
{
	COUNT(events);
	return 0;
}

/* A task's pid in the innermost of its namespaces: ljx's own, for a child of a target. */
static __always_inline u32 inner_pid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level);
	int nr = 0;

	if (level < 32) /* MAX_PID_NS_LEVEL */
		bpf_probe_read_kernel(&nr, sizeof(nr),
				      (const char *)pid + bpf_core_field_offset(pid->numbers) +
					  level * bpf_core_type_size(struct upid));
	return nr;
}

SEC("raw_tp/sched_process_fork")
int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0], *task = (void *)ctx->args[1];
	u32 tgid = BPF_CORE_READ(parent, tgid), child = BPF_CORE_READ(task, tgid);
	struct ev_fork e = {};
	struct smp_proc *proc, copy;

	if (child == tgid) /* a thread */
		return 0;
	if (ns_ino) {
		tgid = current_id() >> 32;
		child = inner_pid(task);
	}
	proc = bpf_map_lookup_elem(&procs, &tgid);
	if (!proc || !(proc->flags & SMP_FOLLOW))
		return 0;
	copy = *proc;
	bpf_map_update_elem(&procs, &child, &copy, BPF_ANY);
	e.h.kind = EV_FORK;
	e.h.size = sizeof(e);
	e.h.time = bpf_ktime_get_ns();
	e.h.pid = tgid;
	e.h.tid = tgid;
	e.child = child;
	if (bpf_ringbuf_output(&ring, &e, sizeof(e), BPF_RB_NO_WAKEUP))
		COUNT(lost_notes);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
	u32 tgid = current_id() >> 32;
	struct ev_exec e = {};
	struct smp_proc *proc = bpf_map_lookup_elem(&procs, &tgid);

	if (!proc)
		return 0;
	proc->flags |= SMP_IDLE; /* all addresses are void */
	e.h.kind = EV_EXEC;
	e.h.size = sizeof(e);
	e.h.time = bpf_ktime_get_ns();
	e.h.pid = tgid;
	e.h.tid = tgid;
	if (bpf_ringbuf_output(&ring, &e, sizeof(e), BPF_RB_NO_WAKEUP))
		COUNT(lost_notes);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	u64 id = current_id();
	u32 tgid = id >> 32;
	struct ev_exit e = {};

	/* The leader's exit; other threads may run on, user space looks. */
	if (tgid != (u32)id || !bpf_map_lookup_elem(&procs, &tgid))
		return 0;
	e.h.kind = EV_EXIT;
	e.h.size = sizeof(e);
	e.h.time = bpf_ktime_get_ns();
	e.h.pid = tgid;
	e.h.tid = tgid;
	e.status = BPF_CORE_READ(task, exit_code);
	if (bpf_ringbuf_output(&ring, &e, sizeof(e), BPF_RB_NO_WAKEUP))
		COUNT(lost_notes);
	return 0;
}

#include "bpf/tracer.bpf.h"
