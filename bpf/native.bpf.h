/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * C stacks, part of sampler.bpf.c: a program of its own, to which a sample goes on (a tail call) if
 * C frames are wanted. It emits one EV_NATIVE before the sample.
 *
 * Frames of C functions are unwound by tables made of their files' .eh_frame (bpf/unwind.h). Those
 * of the interpreter and of traces need none: the VM's C frame (cframe, lj_frame.h) is where the
 * stack pointer was when C code called the VM, and below it lies all that the VM called. So each
 * crossing from C into Lua is an exact place, also after C code that cannot be unwound; and the
 * walk of the Lua stack says which of its frames ran there.
 */
#ifndef BPF_NATIVE_BPF_H
#define BPF_NATIVE_BPF_H

#define NATIVE_CUTS 64u	 /* crossings into Lua */
#define NATIVE_STACKS 8u /* other coroutines or VMs that C code in between was called from */

/* A C frame of the VM. */
struct native_cut {
	u64 cf;
	u32 to; /* frames from where the cut before it ends up to here ran under it */
	u32 pad;
};

/* Where a search has got to. */
struct native_search {
	u32 lo, hi, found, pad;
	u64 least;
};

/* A C stack in the making. */
struct native {
	u64 ip, sp, bp;
	u64 refused; /* a place in the VM's code where no coroutine was found */
	u32 ncuts;
	u32 len;  /* of rec.word */
	u8 exact; /* ip is where the CPU is, not a return address */
	u8 adopt; /* it has come to a coroutine that was not walked; layout is its VM's */
	u8 done;
	u8 trace; /* the innermost VM runs a trace: what is in no file may be its machine code */
	u32 layout;
	u32 tgid;
	u32 nmodules;
	struct smp_module module[SMP_MODULES];
	struct smp_range at; /* where the last address was */
	struct native_search search;
	struct native_cut cut[NATIVE_CUTS];
	u64 rec[sizeof(struct ev_native) / 8]; /* word belongs to it */
	u64 word[EV_NATIVE_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct native);
} natives SEC(".maps");

/* The words of the tables, by slot; the ranges of the processes, by pid. */
struct native_words {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, u32);
	__type(value, u64);
};

struct native_ranges {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, u32);
	__type(value, struct smp_range);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SMP_TABLES);
	__type(key, u32);
	__array(values, struct native_words);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, SMP_UNWOUND);
	__type(key, u32);
	__array(values, struct native_ranges);
} unwound SEC(".maps");

/* Where samples go on: nothing, or the program below. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} then SEC(".maps");

static __always_inline struct native *native_now(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&natives, &zero);
}

static __always_inline struct ev_native *native_rec(struct native *n)
{
	return (struct ev_native *)n->rec;
}

static __always_inline void forget_cuts(void)
{
	struct native *n = config.native ? native_now() : 0;

	if (n)
		n->ncuts = 0;
}

static __always_inline void native_cut(struct native *n, u64 cf, u32 to)
{
	u32 i = n->ncuts;

	if (i >= NATIVE_CUTS)
		return;
	n->cut[i].cf = cf;
	n->cut[i].to = to;
	n->ncuts = i + 1;
}

static __always_inline void walk_cut(const struct walk *w)
{
	struct native *n = config.native ? native_now() : 0;

	if (n)
		native_cut(n, w->cf, w->n);
}

static __always_inline void native_add(struct native *n, u64 word)
{
	u32 i = n->len;

	if (i >= EV_NATIVE_MAX)
		return;
	n->word[i] = word;
	n->len = i + 1;
}

static __always_inline int native_end(struct native *n, u8 why)
{
	native_rec(n)->why = why;
	n->done = 1;
	return 1;
}

/*
 * The functions that take numbers only are looked at by the verifier on their own. What their loops
 * find is kept in memory: of that it knows nothing, so that all ways through a loop are one to it.
 */

/* The cut with the lowest C frame at or above sp; NATIVE_CUTS: none. */
WALK_FN_NUM u32 native_next_cut(void)
{
	struct native *n = native_now();
	volatile struct native_search *q;
	u64 cf;
	u32 i;

	if (!n)
		return NATIVE_CUTS;
	q = &n->search;
	q->found = NATIVE_CUTS;
	q->least = ~0ULL;
	for (i = 0; i < NATIVE_CUTS; i++) {
		if (i >= n->ncuts)
			break;
		cf = n->cut[i].cf;
		if (cf < n->sp || cf >= q->least)
			continue;
		q->least = cf;
		q->found = i;
	}
	return q->found;
}

/*
 * Over the frames that ran under a C frame of the VM, to the C function that called it: saveregs of
 * vm_x64.dasc pushes rbp first.
 */
WALK_FN_NUM int native_cross(u32 layout, u32 i)
{
	const struct layout *l = layout_at(layout);
	struct native *n = native_now();
	u64 cf, v[2] = {};
	u32 from = 0;

	if (!n)
		return 1;
	if (!l || i >= NATIVE_CUTS)
		return native_end(n, EV_NATIVE_NO_FRAME);
	cf = n->cut[i].cf;
	if (i)
		from = n->cut[(i - 1) & (NATIVE_CUTS - 1)].to;
	native_add(n, EV_NATIVE_LUA(from, n->cut[i].to));
	if (rd(v, sizeof(v), cf + l->CF_size - 16))
		return native_end(n, EV_NATIVE_READ);
	n->bp = v[0];
	n->ip = v[1];
	n->sp = cf + l->CF_size;
	n->exact = 0;
	n->trace = 0;
	return 0;
}

/* What lies between here and the next C frame of the VM is not known. */
WALK_FN_NUM int native_gap(u32 why)
{
	struct native *n = native_now();
	u32 i;

	if (!n)
		return 1;
	i = native_next_cut();
	if (i >= NATIVE_CUTS)
		return native_end(n, why);
	native_add(n, EV_NATIVE_GAP(why));
	return native_cross(n->layout, i);
}

/* In the VM's code, of a module with this layout. */
static __always_inline int native_vm(struct native *n, u32 layout)
{
	u32 i = native_next_cut();

	/*
	 * Code that C functions return to has the C frame at its stack pointer, but for that which
	 * leaves traces. What is there and was not met by the walk is of another coroutine.
	 */
	if (!n->exact && n->refused != n->sp && (i >= NATIVE_CUTS || n->cut[i].cf != n->sp)) {
		n->layout = layout;
		n->adopt = 1;
		return 1;
	}
	return native_cross(layout, i);
}

/* Finds the range that holds addr. 0 or EV_NATIVE_*. */
WALK_FN_NUM int native_range(u64 addr)
{
	struct native *n = native_now();
	volatile struct native_search *q;
	const struct smp_range *r;
	void *ranges;
	u32 tgid, i;

	if (!n)
		return EV_NATIVE_NO_MAP;
	if (addr >= n->at.start && addr < n->at.end)
		return 0;
	tgid = n->tgid;
	ranges = bpf_map_lookup_elem(&unwound, &tgid);
	if (!ranges)
		return EV_NATIVE_NO_MAP;
	i = 0;
	r = bpf_map_lookup_elem(ranges, &i);
	if (!r)
		return EV_NATIVE_NO_MAP;
	q = &n->search;
	q->lo = 1;
	q->hi = r->start + 1;
	for (i = 0; i < 13; i++) { /* SMP_RANGES is 1 << 12 */
		u32 mid = (q->lo + q->hi) / 2;

		if (q->lo >= q->hi)
			break;
		r = bpf_map_lookup_elem(ranges, &mid);
		if (!r)
			break;
		if (addr < r->start) {
			q->hi = mid;
		} else if (addr >= r->end) {
			q->lo = mid + 1;
		} else {
			n->at = *r;
			return 0;
		}
	}
	return EV_NATIVE_NO_MAP;
}

/* The row for an address in n->at; 0: none, which is SMP_CFA_NONE. */
WALK_FN_NUM u64 native_row(u64 addr)
{
	struct native *n = native_now();
	volatile struct native_search *q;
	u32 table, first, i;
	const u64 *w;
	void *words;
	u64 rel;

	if (!n || addr < n->at.base)
		return 0;
	table = n->at.table;
	first = n->at.index;
	rel = addr - n->at.base;
	i = rel / SMP_UNWIND_STEP;
	words = bpf_map_lookup_elem(&tables, &table);
	if (!words || rel >> 32 || i + 1 >= first)
		return 0;
	q = &n->search;
	w = bpf_map_lookup_elem(words, &i);
	q->lo = w ? *w : 0;
	i++;
	w = bpf_map_lookup_elem(words, &i);
	q->hi = w ? *w : 0;
	for (i = 0; i < 9; i++) { /* SMP_UNWIND_STEP is 1 << 8 */
		u32 mid = (q->lo + q->hi + 1) / 2, at = mid + first;

		if (q->lo >= q->hi)
			break;
		w = bpf_map_lookup_elem(words, &at);
		if (!w)
			return 0;
		if (SMP_ROW_PC(*w) <= rel)
			q->lo = mid;
		else
			q->hi = mid - 1;
	}
	i = q->lo + first;
	w = bpf_map_lookup_elem(words, &i);
	return w && SMP_ROW_PC(*w) <= rel ? *w : 0;
}

/* Registers at the time of a signal: struct sigcontext in struct ucontext, which sp is at. */
#define UC_BP 0x78
#define UC_SP 0xa0 /* then ip */

static __always_inline int native_signal(struct native *n)
{
	u64 bp, v[2];

	if (rd(&bp, 8, n->sp + UC_BP) || rd(v, sizeof(v), n->sp + UC_SP))
		return native_end(n, EV_NATIVE_READ);
	n->bp = bp;
	n->sp = v[0];
	n->ip = v[1];
	n->exact = 1;
	return 0;
}

/* The CFA of the frame at sp, and the rbp of its caller. 0 or EV_NATIVE_*. */
static __always_inline int native_frame(const struct native *n, u64 row, u64 *cfa, u64 *bp)
{
	s64 off = 8 * (s64)SMP_ROW_OFF(row);
	u32 saved = SMP_ROW_BP(row);

	switch (SMP_ROW_KIND(row)) {
	case SMP_CFA_SP:
		*cfa = n->sp + off;
		break;
	case SMP_CFA_BP:
		*cfa = n->bp + off;
		break;
	case SMP_CFA_AT_BP:
		if (rd(cfa, 8, n->bp + off))
			return EV_NATIVE_READ;
		break;
	case SMP_CFA_PLT:
		*cfa = n->sp + 8 + ((n->ip & 15) >= SMP_ROW_OFF(row) ? 8 : 0);
		break;
	default:
		return EV_NATIVE_NO_INFO;
	}
	if (*cfa <= n->sp || *cfa - n->sp > CSTACK_MAX || *cfa & 7)
		return EV_NATIVE_ODD;
	*bp = n->bp;
	if (saved == SMP_BP_LOST)
		*bp = 0;
	else if (saved != SMP_BP_SAME &&
		 rd(bp, 8, saved == SMP_BP_AT_BP ? n->bp : *cfa - 8 * (u64)saved))
		return EV_NATIVE_READ;
	return 0;
}

/* From a C function to its caller. */
static __always_inline int native_unwind(struct native *n, u64 addr)
{
	u64 row, cfa = 0, bp = 0, ra = 0;
	int why;

	if (n->at.table == SMP_LATER)
		return native_gap(EV_NATIVE_LATER);
	row = native_row(addr);
	if (SMP_ROW_KIND(row) == SMP_CFA_END)
		return native_end(n, EV_NATIVE_NONE);
	if (SMP_ROW_KIND(row) == SMP_CFA_SIGNAL)
		return native_signal(n);
	why = native_frame(n, row, &cfa, &bp);
	if (!why && rd(&ra, 8, cfa - 8))
		why = EV_NATIVE_READ;
	if (why)
		return native_gap(why);
	if (!ra)
		return native_end(n, EV_NATIVE_NONE);
	n->ip = ra;
	n->sp = cfa;
	n->bp = bp;
	n->exact = 0;
	return 0;
}

/* One frame. Non-zero: no further, for now. */
static __always_inline int native_step(struct native *n)
{
	u64 addr = n->ip - !n->exact;
	int why;

	if (n->len >= EV_NATIVE_MAX)
		return native_end(n, EV_NATIVE_DEPTH);
	if (n->nmodules > 0 && addr >= n->module[0].asm_start && addr < n->module[0].asm_end)
		return native_vm(n, n->module[0].layout);
	if (n->nmodules > 1 && addr >= n->module[1].asm_start && addr < n->module[1].asm_end)
		return native_vm(n, n->module[1].layout);
	why = native_range(addr);
	if (!why) {
		native_add(n, addr);
		return native_unwind(n, addr);
	}
	if (n->trace)
		return native_cross(n->layout, native_next_cut());
	native_add(n, addr);
	return native_gap(why);
}

/*
 * C code was called by a coroutine that the walk has not met: one of another VM, or one that
 * resumed through C. Its Lua stack goes behind what is there.
 */
static __always_inline void native_adopt(struct native *n, struct making *m)
{
	const struct layout *l = layout_at(n->layout);
	struct ev_sample *s = sample_of(&m->sc);
	struct walk *w = &m->w;
	u32 had = s->nframes;
	struct ev_frame *f;
	u64 L, base;

	n->adopt = 0;
	n->refused = n->sp;
	if (!l || had >= EV_MAX_FRAMES)
		return;
	L = rdref(l, n->sp + l->CF_L);
	__builtin_memset(w, 0, sizeof(*w));
	w->layout = n->layout;
	w->tgid = n->tgid;
	w->g = L ? rdref(l, L + l->L_glref) : 0;
	if (!w->g || rdref(l, w->g + l->G_mainthref) != w->g - l->GG_g)
		return;
	base = enter(w, L);
	if (!base || w->cf != n->sp)
		return;
	w->n = had;
	f = next_frame(w, &m->sc);
	if (!f)
		return;
	f->kind = EV_FRAME_CO;
	f->addr = L;
	start_saved(l, w, base);
	if (w->frame > w->bottom && judge(w->frame + 8, 0) == BASE_NOT && start_in_caller())
		native_cut(n, w->cf, w->n); /* no Lua frames, but a place */
	else
		walk_all();
	if (w->cf)
		native_cut(n, w->cf, w->n);
	s->nframes = w->n;
	if (w->truncated)
		s->flags |= EV_SF_TRUNCATED;
}

#ifdef OLD_KERNEL

__noinline int native_one(void)
{
	struct native *n = native_now();

	return !n || native_step(n) != 0;
}

/* Up to the end, or to a coroutine to adopt. */
__noinline int native_run(u32 max)
{
	u32 i;

	for (i = 0; i < EV_NATIVE_MAX && i < max; i++)
		if (native_one())
			break;
	return 0;
}

/* Whether it goes on. */
__noinline int native_adopt_one(void)
{
	struct making *m = making_now();
	struct native *n = native_now();

	if (!m || !n || !n->adopt)
		return 0;
	native_adopt(n, m);
	return 1;
}

static __always_inline void native_stacks(void)
{
	u32 i;

	for (i = 0; i < NATIVE_STACKS; i++) {
		native_run(EV_NATIVE_MAX);
		if (!native_adopt_one())
			break;
	}
}

#else

static long native_cb(u32 i, void *ctx)
{
	struct native *n = native_now();

	return n ? native_step(n) != 0 : 1;
}

static long native_stack_cb(u32 i, void *ctx)
{
	struct making *m = making_now();
	struct native *n = native_now();

	if (!m || !n)
		return 1;
	bpf_loop(EV_NATIVE_MAX, native_cb, 0, 0);
	if (!n->adopt)
		return 1;
	native_adopt(n, m);
	return 0;
}

static __always_inline void native_stacks(void)
{
	bpf_loop(NATIVE_STACKS, native_stack_cb, 0, 0);
}

#endif

/* The innermost VM, whose stack the sample has. */
static __always_inline void native_innermost(struct native *n, struct making *m)
{
	const struct ev_sample *s = sample_of(&m->sc);
	struct walk *w = &m->w;
	const struct layout *l;

	if (!s->g || s->why == EV_WHY_OUTSIDE || s->why == EV_WHY_NO_VM)
		return;
	n->layout = w->layout;
	if (w->cf) /* the walk did not come to its end */
		native_cut(n, w->cf, w->n);
	l = layout_at(w->layout);
	n->trace = l && rdref(l, s->g + l->G_jit_base) != 0;
}

static __always_inline void native_user(struct native *n, struct making *m,
					const struct smp_proc *proc)
{
	n->ip = m->r.ip;
	n->sp = m->r.sp;
	n->bp = m->r.bp;
	n->exact = 1;
	n->tgid = sample_of(&m->sc)->h.pid;
	n->nmodules = proc->nmodules;
	n->module[0] = proc->module[0];
	n->module[1] = proc->module[1];
	native_innermost(n, m);
	native_stacks();
	if (!n->done)
		native_rec(n)->why = EV_NATIVE_DEPTH;
}

/* Sends what there is of it. */
static __always_inline void native_deliver(struct native *n, const struct ev_sample *s)
{
	u32 size = n->len;

	if (size > EV_NATIVE_MAX)
		size = EV_NATIVE_MAX;
	native_rec(n)->nwords = size;
	size = sizeof(struct ev_native) + size * sizeof(u64);
	native_rec(n)->h = s->h;
	native_rec(n)->h.kind = EV_NATIVE;
	native_rec(n)->h.size = size;
	if (send_sample(native_rec(n), size))
		COUNT(lost_natives);
}

SEC("perf_event")
int native(struct bpf_perf_event_data *ctx)
{
	struct native *n = native_now();
	struct making *m = making_now();
	struct smp_proc *proc;
	struct ev_sample *s;
	long got;
	u32 tgid;

	if (!n || !m)
		return 0;
	s = sample_of(&m->sc);
	tgid = s->h.pid;
	proc = bpf_map_lookup_elem(&procs, &tgid);
	if (!proc)
		return 0;
	n->refused = 0;
	n->adopt = n->done = n->trace = 0;
	n->at.start = n->at.end = 0;
	__builtin_memset(native_rec(n), 0, sizeof(struct ev_native));
	n->len = 0;
	if (config.native & SMP_NATIVE_KERNEL && s->flags & EV_SF_KERNEL) {
		got = bpf_get_stack(ctx, n->word, EV_KERNEL_MAX * sizeof(u64), 0);
		if (got > 0)
			n->len = native_rec(n)->nkernel = got / sizeof(u64);
	}
	if (!(config.native & SMP_NATIVE_USER))
		native_end(n, EV_NATIVE_NOT_ASKED);
	else if (m->blind)
		native_end(n, EV_NATIVE_NO_REGS);
	else
		native_user(n, m, proc);
	native_deliver(n, s);
	deliver(s);
	return 0;
}

#endif
