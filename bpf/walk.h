/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The walk of a Lua stack, one step at a time. One piece of code for BPF (sampler.bpf.c, by
 * bpf_loop) and for user space (userwalk.c), so that both say the same of the same memory.
 *
 * It mirrors LuaJIT src/lj_frame.h (frame links) and lj_debug.c:lj_debug_frame. It trusts nothing:
 * a frame counts if its slot holds a function, and every link must lead downwards within the stack.
 * No loop is unbounded, no address is followed but by rd().
 *
 * Before including it define u8 to u64, s32, WALK_INLINE, WALK_FN, WALK_STEP (for the two functions
 * that each step calls), and
 *   int rd(void *dst, u32 size, u64 addr)      reads the target; non-zero: failed, counted
 *   int peek(void *dst, u32 size, u64 addr)    the same where failing is an answer
 *   const struct layout *layout_at(u32 idx)
 *   u32 proto_seen(const struct scratch *, const struct seen_key *, u64 *like)
 *                                              id, likeness of a known one; EV_NO_PROTO
 *   u64 proto_like(struct scratch *, u64 code, u32 sizebc, u64 shape)
 *   u32 define_proto(struct scratch *, const struct seen_key *, u64 chunkname)
 *   void remember_proto(const struct seen_key *, u32 id, u64 like)   proto_seen knows it then
 *   void walk_cut(const struct walk *)         frames so far were under C frame w->cf, the next not
 *
 * The last six may be declared only; struct layout must be known.
 */
#ifndef BPF_WALK_H
#define BPF_WALK_H

#include "bpf/walk_read.h"

WALK_INLINE struct ev_frame *next_frame(struct walk *w, struct scratch *sc)
{
	u32 n = w->n;

	if (n >= EV_MAX_FRAMES) {
		w->truncated = 1;
		return 0;
	}
	w->n = n + 1;
	sc->f[n].mark = 0;
	sc->f[n].line = 0;
	sc->f[n].ffid = 0;
	return &sc->f[n];
}

/* Appends the frame of function fn. 0, or why the walk must end. */
WALK_STEP int emit(struct walk *w, struct scratch *sc, u64 fn)
{
	const struct layout *l = w ? layout_at(w->layout) : 0;
	struct ev_frame *f;
	u32 pos, type;
	u8 ffid;
	u64 bc;

	if (!l || !sc || read_func(w, sc, fn))
		return EV_WHY_READ;
	type = walk_func_type(l, sc->fn);
	if ((type & 0xff) != GCT_FUNC)
		return EV_WHY_BAD_FRAME;
	ffid = type >> 8;
	if (ffid) {
		f = next_frame(w, sc);
		if (!f)
			return EV_WHY_NONE;
		f->kind = ffid == 1 ? EV_FRAME_C : EV_FRAME_FF;
		f->ffid = ffid;
		f->addr = walk_func_f(l, sc->fn);
		return 0;
	}
	bc = walk_func_pc(l, sc->fn);
	if (load_proto(l, w, sc, bc - l->PT_size))
		return EV_WHY_READ;
	f = next_frame(w, sc);
	if (!f)
		return EV_WHY_NONE;
	pos = position(l, bc, head32(proto_head(sc), l->PT_sizebc), w->pc);
	f->kind = EV_FRAME_LUA;
	f->addr = EV_FRAME_ADDR(w->id, pos);
	f->line = pos == EV_NO_PC ? 0 : line_of(l, w, sc, pos);
	return 0;
}

WALK_FN int read_cframe(struct walk *w)
{
	if (!w)
		return 0;
	w->cframe_at = w->cf;
	__builtin_memset(w->cframe, 0, sizeof(w->cframe));
	rd(w->cframe, sizeof(w->cframe), w->cf);
	return 0;
}

/* Copies the words of C frame w->cf; zeros if they cannot be read. */
WALK_INLINE void copy_cframe(struct walk *w)
{
	if (w->cf != w->cframe_at)
		read_cframe(w);
}

/* lj_frame.h: cframe_prev, of the one that was copied. */
WALK_INLINE void cframe_leave(struct walk *w)
{
	walk_cut(w);
	w->cf_last = w->cf;
	w->cf = walk_cf_prev(w->cframe);
}

WALK_INLINE void cframe_pop(struct walk *w)
{
	if (!w->cf)
		return;
	copy_cframe(w);
	cframe_leave(w);
}

/* Skips C frames that have no Lua frame: cpcall without nres (lj_debug.c:debug_framepc). */
WALK_INLINE void cframe_skip(const struct layout *l, struct walk *w, u64 frame)
{
	s32 nres;
	int i;

	for (i = 0; i < 4; i++) {
		if (!w->cf)
			return;
		copy_cframe(w);
		nres = walk_cf_nres(l, w->cframe);
		if (nres >= 0 || frame >= w->stack + (u64) - (__INT64_TYPE__)nres)
			return;
		cframe_leave(w);
	}
}

WALK_INLINE u64 cframe_pc(const struct layout *l, struct walk *w)
{
	if (!w->cf)
		return 0;
	copy_cframe(w);
	return walk_cf_pc(l, w->cframe);
}

/*
 * Takes the coroutine at L, whose words are s. Sets stack bounds and C frame, returns its base, or
 * 0 if L is no lua_State of this VM.
 */
WALK_INLINE u64 enter_words(const struct layout *l, struct walk *w, u64 L, const u64 *s)
{
	struct walk_L th = walk_L(l, s);

	if (th.g != w->g)
		return 0;
	w->L = L;
	w->stack = th.stack;
	w->maxstack = th.maxstack;
	w->bottom = w->stack + 8 * (u64)l->fr2;
	w->cf = th.cframe;
	return th.base;
}

/* The same, and reads it. */
WALK_FN u64 enter(struct walk *w, u64 L)
{
	const struct layout *l = w ? layout_at(w->layout) : 0;
	u64 s[WALK_L_WORDS] = {};

	if (!l || !L || rd(s, sizeof(s), L))
		return 0;
	return enter_words(l, w, L, s);
}

/*
 * At the bottom of a coroutine's stack: its lowest C frame lies right below that of the resumer,
 * which called lj_vm_resume from the VM. Goes on with the resumer if that is what memory says.
 */
WALK_FN int resumer(struct walk *w, struct scratch *sc)
{
	const struct layout *l = w ? layout_at(w->layout) : 0;
	u64 cf, last, parent, L, base;
	struct ev_frame *f;

	if (!l || !sc || w->L == w->g - l->GG_g) /* the main thread: nobody's coroutine */
		return 1;
	last = w->cf;
	cf = last ? last : w->cf_last;
	if (!cf)
		return 1;
	parent = cf + l->CF_size;
	L = rdref(l, parent + l->CF_L);
	if (!L || L == w->L)
		return 1;
	base = enter(w, L);
	if (!base || w->cf != parent) {
		w->cf = last; /* for those who look where the walk came to its end */
		return 1;
	}
	w->frame = base - 8;
	w->cf_last = 0;
	w->skip = 0;
	w->pc = cframe_pc(l, w);
	f = next_frame(w, sc);
	if (!f)
		return 1;
	f->kind = EV_FRAME_CO;
	f->addr = L;
	return 0;
}

/* Sets frame and pc to those of the caller of the frame with link ft. 0, or why it cannot. */
WALK_STEP int follow(struct walk *w, struct scratch *sc, u64 ft)
{
	const struct layout *l = w ? layout_at(w->layout) : 0;
	u32 type = ft & FRAME_TYPEP;
	u64 frame, prev;

	if (!l || !sc)
		return EV_WHY_READ;
	frame = w->frame;
	if ((ft & 3) == FRAME_LUA) {
		u64 ins = read_ins(w, sc, ft - 4);

		if (ins == NO_INS)
			return EV_WHY_READ;
		prev = frame - 8 * (1 + l->fr2 + (ins >> 8 & 0xff));
		w->pc = ft;
	} else {
		prev = frame - (ft & ~(u64)FRAME_TYPEP);
		if (type == FRAME_CONT) {
			u64 c[2] = {}; /* continuation, pc */

			if (rd(c, sizeof(c), frame - 8 - 16 * (u64)l->fr2))
				return EV_WHY_READ;
			if (!l->fr2) { /* in one slot */
				c[1] = c[0] >> 32;
				c[0] = (u32)c[0];
			}
			if (c[0] == CONT_FFI_CALLBACK) {
				cframe_pop(w);
				cframe_skip(l, w, prev);
				w->pc = cframe_pc(l, w);
			} else {
				w->pc = c[1];
			}
		} else if (type == FRAME_VARG) {
			w->skip = 1;
		} else if ((type & 3) == FRAME_C) {
			cframe_pop(w);
			cframe_skip(l, w, prev);
			w->pc = cframe_pc(l, w);
		} else {
			w->pc = 0; /* pcall: the frame below is the fast function's own */
		}
	}
	if (prev >= frame || prev < w->stack)
		return EV_WHY_BAD_FRAME;
	w->frame = prev;
	return 0;
}

/*
 * One step of the walk: handles the frame at w->frame and moves to its caller. Returns non-zero at
 * the end. Bounded and free of loops, for bpf_loop here or tail calls elsewhere.
 */
WALK_INLINE int walk_step(struct walk *w, struct scratch *sc)
{
	const struct layout *l = layout_at(w->layout);
	struct slots s;
	u64 v[2];
	int err;

	if (!l)
		return 1;
	if (w->frame <= w->bottom) {
		if (!resumer(w, sc))
			return 0;
		w->done = 1;
		return 1;
	}
	if (read_slots(w, sc, w->frame - 8, v)) {
		w->why = EV_WHY_READ;
		return 1;
	}
	s = slots_of(l, v);
	if (!s.type) {
		w->why = EV_WHY_BAD_FRAME;
		return 1;
	}
	if (w->skip) {
		w->skip = 0;
	} else if (s.type == GCT_FUNC && s.fn != w->L) {
		/* A thread: dummy frame, lj_err.c:lj_err_optype_call. */
		err = emit(w, sc, s.fn);
		if (err || w->truncated) {
			w->why = err;
			return 1;
		}
	}
	err = follow(w, sc, s.link);
	if (err) {
		w->why = err;
		return 1;
	}
	return 0;
}

/* Does pc point after an instruction of the prototype whose code starts at bc? */
WALK_INLINE int pc_in(const struct layout *l, struct walk *w, struct scratch *sc, u64 bc, u64 pc)
{
	if (pc < bc || pc & 3 || copy_proto(w, sc, bc - l->PT_size))
		return 0;
	return pc - bc <= 4 * (u64)head32(proto_head(sc), l->PT_sizebc);
}

enum base_is { BASE_NOT, BASE_FF, BASE_LUA, BASE_LUA_PC };

/*
 * What base would be: no frame of this stack; that of a C or fast function; of a Lua function that
 * pc does not, or does, belong to.
 */
WALK_INLINE int judge_base(const struct layout *l, struct walk *w, struct scratch *sc, u64 base,
			   u64 pc)
{
	struct slots s;
	u64 v[2] = {};
	u32 type;

	if (base & 7 || base < w->stack + 8 * (1 + (u64)l->fr2) || base > w->maxstack + 512)
		return BASE_NOT;
	if (read_slots(w, sc, base - 16, v))
		return BASE_NOT;
	s = slots_of(l, v);
	/* Without LJ_FR2 a slot with a tag for a link holds a function, but is no frame's. */
	if (s.type != GCT_FUNC || (!l->fr2 && s.link >= TISNUM32) || read_func(w, sc, s.fn))
		return BASE_NOT;
	type = walk_func_type(l, sc->fn);
	if ((type & 0xff) != GCT_FUNC)
		return BASE_NOT;
	if (type >> 8)
		return BASE_FF;
	return pc_in(l, w, sc, walk_func_pc(l, sc->fn), pc) ? BASE_LUA_PC : BASE_LUA;
}

WALK_INLINE int start_at(struct walk *w, u64 base, u64 pc)
{
	w->frame = base - 8;
	w->pc = pc;
	return 1;
}

/* Where C code left them: L->base, and the pc that the VM saved in its C frame. */
WALK_INLINE void start_saved(const struct layout *l, struct walk *w, u64 base)
{
	u64 pc = cframe_pc(l, w);

	if (pc == w->L) { /* cpcall around the recorder: the pc is in the frame below */
		u64 prev = walk_cf_prev(w->cframe);

		pc = prev ? rdref(l, prev + l->CF_pc) : 0;
	}
	start_at(w, base, pc);
}

/* Adds the trace as the leaf frame. */
WALK_INLINE void emit_trace(const struct layout *l, struct walk *w, struct scratch *sc, u32 trace,
			    struct walk_trace *t)
{
	u64 J = w->g - l->GG_g + l->GG_J, T, pt, pc;
	u32 size = l->T_size, pos;
	struct ev_frame *f;

	if (trace >= rd32(J + l->J_sizetrace))
		return;
	T = trace_at(l, J, trace);
	if (!T || size >= EV_CHUNK_COPY)
		return;
	/*
	 * All of it in one go, where the chunkname will be. Verifiers before Linux 6.12 have
	 * forgotten the check if the size was on the stack since: it is masked where it is used.
	 */
	WALK_OPAQUE(size);
	if (rd(sc->raw.chunk, size & (EV_CHUNK_COPY - 1), T) ||
	    trace16(&sc->raw, l->T_traceno) != trace)
		return;
	t->T = T;
	t->mcode = trace64(&sc->raw, l->T_mcode);
	t->szmcode = trace32(&sc->raw, l->T_szmcode);
	t->spadjust = trace16(&sc->raw, (u32)l->T_traceno - INSIDE_SPADJUST);
	pt = layout_ref(l, trace64(&sc->raw, l->T_startpt));
	pc = layout_ref(l, trace64(&sc->raw, l->T_startpc));
	if (load_proto(l, w, sc, pt))
		return;
	f = next_frame(w, sc);
	if (!f)
		return;
	pos = (u32)((pc - pt - l->PT_size) >> 2);
	f->kind = EV_FRAME_TRACE;
	f->addr = EV_FRAME_ADDR(w->id, pos);
	f->line = line_of(l, w, sc, pos);
	f->mark = inside_mark(T, t->mcode, t->szmcode);
}

/* Fills f with position pc (not after it) of prototype pt. */
WALK_INLINE void emit_position(const struct layout *l, struct walk *w, struct scratch *sc, u64 pt,
			       u64 pc, struct ev_frame *f)
{
	u32 pos = (u32)((pc - pt - l->PT_size) >> 2);

	if (load_proto(l, w, sc, pt))
		return;
	if (pos > head32(proto_head(sc), l->PT_sizebc))
		pos = EV_NO_PC;
	f->kind = EV_FRAME_LUA;
	f->addr = EV_FRAME_ADDR(w->id, pos);
	f->line = pos == EV_NO_PC ? 0 : line_of(l, w, sc, pos);
}

/* Fills f with function fn, at pc if it is a Lua function. */
WALK_INLINE void emit_function(const struct layout *l, struct walk *w, struct scratch *sc, u64 fn,
			       u64 pc, struct ev_frame *f)
{
	u8 ffid;
	u64 bc;

	if (read_func(w, sc, fn) || (walk_func_type(l, sc->fn) & 0xff) != GCT_FUNC)
		return;
	ffid = walk_func_type(l, sc->fn) >> 8;
	if (!ffid) {
		bc = walk_func_pc(l, sc->fn);
		emit_position(l, w, sc, bc - l->PT_size, pc ? pc : bc, f);
		return;
	}
	f->kind = ffid == 1 ? EV_FRAME_C : EV_FRAME_FF;
	f->ffid = ffid;
	f->addr = walk_func_f(l, sc->fn);
}

/*
 * LJ_VMST_* of lj_obj.h, stored inverted, are in the order of the states from INTERP on. Tarantool
 * has LFUNC, FFUNC and CFUNC in place of C.
 */
WALK_INLINE u8 state_of(const struct layout *l, s32 vmstate)
{
	u32 state = ~(u32)vmstate;

	if (vmstate >= 0)
		return EV_STATE_TRACE;
	if (l->vmstates)
		state = state < 2 ? 0 : state < 4 ? EV_STATE_C - EV_STATE_INTERP : state - 2;
	return state <= EV_STATE_ASM - EV_STATE_INTERP ? EV_STATE_INTERP + state : EV_STATE_UNKNOWN;
}

#endif
