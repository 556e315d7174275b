/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The walk of a Lua stack, one step at a time. One piece of code for BPF (sampler.bpf.c, by
 * bpf_loop) and for user space (walk.c), so that both say the same of the same memory.
 *
 * It mirrors LuaJIT src/lj_frame.h (frame links) and lj_debug.c:lj_debug_frame, debug_framepc and
 * lj_debug_line. It trusts nothing: a frame counts if its slot holds a function, and every link
 * must lead downwards within the stack. No loop is unbounded, no address is followed but by rd().
 *
 * Before including it define u8 to u64, s32, WALK_INLINE, WALK_FN, and
 *   int rd(void *dst, u32 size, u64 addr)      reads the target; non-zero: failed, counted
 *   int peek(void *dst, u32 size, u64 addr)    the same where failing is an answer
 *   const struct layout *layout_at(u32 idx)
 *   u32 proto_seen(const struct seen_key *, u64 *like)
 *                        id and likeness of a prototype that was defined, or EV_NO_PROTO
 *   u64 proto_like(struct scratch *, u64 code, u32 sizebc, u64 shape)
 *   u32 define_proto(struct scratch *, const struct seen_key *, u64 chunkname, u64 like)
 * The last four may be declared only; struct layout must be known.
 */
#ifndef BPF_WALK_H
#define BPF_WALK_H

#include "bpf/event.h"
#include "bytecode/layout.h"

#define GCMASK ((1ULL << 47) - 1)
#define TAG_FUNC 0x1fff7ULL   /* LJ_TFUNC << 47, lj_obj.h */
#define TAG_THREAD 0x1fff9ULL /* LJ_TTHREAD */

enum { FRAME_LUA, FRAME_C, FRAME_CONT, FRAME_VARG }; /* link type & 3, lj_frame.h */
#define FRAME_TYPEP 7
#define CONT_FFI_CALLBACK 1

/* What tells a prototype from another one, also at the same address later. */
struct seen_key {
	u64 pt;
	u64 identity;
	u32 tgid;
	u32 pad;
};
/* Where a sample is put together. */
struct scratch {
	struct ev_proto_raw raw;
	u64 head[sizeof(struct ev_trace) / 8]; /* at its end the record that f belongs to */
	struct ev_frame f[EV_MAX_FRAMES];
};
WALK_INLINE struct ev_sample *sample_of(struct scratch *sc)
{
	return (struct ev_sample *)((char *)sc->head + sizeof(sc->head) - sizeof(struct ev_sample));
}

WALK_INLINE struct ev_trace *trace_of(struct scratch *sc)
{
	return (struct ev_trace *)sc->head;
}

/* A GCfunc and a lua_State are read in one go: on 64 bit these never moved. bpf/vm.c checks that.
 */
#define WALK_FUNC_FFID 10
#define WALK_FUNC_PC 32
#define WALK_L_GLREF 16
#define WALK_L_BASE 32
#define WALK_L_MAXSTACK 48
#define WALK_L_STACK 56
#define WALK_L_CFRAME 80

struct walk {
	u32 layout; /* index; functions of their own look it up again, the verifier wants it so */
	u32 tgid;
	u64 g, L;
	u64 frame;  /* the frame slot: base - 8 */
	u64 bottom; /* stack + 8: no frame at or below */
	u64 stack, maxstack;
	u64 cf;	     /* C frame that belongs to the Lua frames being walked */
	u64 cf_last; /* the last one that was not 0 */
	u64 pt;	     /* the prototype whose header is in the scratch buffer; 0: none */
	u64 like;    /* the same for prototypes that the same source made */
	u32 id;	     /* its id */
	u32 n;
	u64 pc;	 /* of the next frame, pointing after its current instruction; 0: not known */
	u8 skip; /* the next frame is the real one of a vararg pseudo-frame: already emitted */
	u8 done;
	u8 why;
	u8 truncated;
	u8 quiet; /* nothing is defined: frames of new prototypes have EV_NO_PROTO */
};

static int rd(void *dst, u32 size, u64 addr);
static int peek(void *dst, u32 size, u64 addr);
static const struct layout *layout_at(u32 idx);
static u32 proto_seen(const struct seen_key *key, u64 *like);
WALK_FN u64 proto_like(struct scratch *sc, u64 code, u32 sizebc, u64 shape);
WALK_FN u32 define_proto(struct scratch *sc, const struct seen_key *key, u64 chunkname, u64 like);

WALK_INLINE u64 rd64(u64 addr)
{
	u64 v = 0;

	rd(&v, 8, addr);
	return v;
}

WALK_INLINE u32 rd32(u64 addr)
{
	u32 v = 0;

	rd(&v, 4, addr);
	return v;
}

WALK_INLINE u64 mix(u64 h, u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

/* The header of a prototype in the scratch buffer: fields at the layout's offsets. */
WALK_INLINE u64 head64(const struct ev_proto_raw *raw, u16 off)
{
	return *(const u64 *)(raw->head + (off & (EV_PROTO_HEAD - 8)));
}

WALK_INLINE u32 head32(const struct ev_proto_raw *raw, u16 off)
{
	return *(const u32 *)(raw->head + (off & (EV_PROTO_HEAD - 4)));
}

/*
 * What changes when a prototype is freed and its memory becomes another one. shape: the part of it
 * that does not if that is the same code, loaded again.
 */
WALK_INLINE u64 identity(const struct layout *l, const struct ev_proto_raw *raw, u32 *chunklen,
			 u64 *shape)
{
	u64 chunkname = head64(raw, l->PT_chunkname), k = head64(raw, l->PT_k);
	u32 str[4] = {}; /* ..., string id where the build has one, hash, length */
	u64 kgc[2] = {}, h;

	rd(str, sizeof(str), chunkname + l->STR_len - 12);
	*chunklen = str[3];
	if (head32(raw, l->PT_sizekgc) >= 2)
		rd(kgc, sizeof(kgc), k - sizeof(kgc));
	else if (head32(raw, l->PT_sizekgc) == 1)
		rd(kgc, sizeof(kgc[0]), k - sizeof(kgc[0]));
	h = mix(chunkname, (u64)str[2] << 32 | str[3]);
	if (l->STR_len == 20)
		h = mix(h, str[1]);
	h = mix(h, (u64)head32(raw, l->PT_firstline) << 32 | head32(raw, l->PT_numline));
	h = mix(h, (u64)head32(raw, l->PT_sizebc) << 32 | head32(raw, l->PT_sizept));
	*shape = h;
	return mix(mix(h, kgc[0]), kgc[1]);
}

/*
 * Loads the header of a prototype into the scratch buffer and sets w->id. The prototype of the
 * frame before is there already. 0 or EV_WHY_READ.
 */
WALK_INLINE int load_proto(const struct layout *l, struct walk *w, struct scratch *sc, u64 pt)
{
	struct seen_key key = {.pt = pt, .tgid = w->tgid};
	u64 shape;

	if (pt == w->pt)
		return 0;
	w->pt = 0;
	if (rd(sc->raw.head, EV_PROTO_HEAD, pt))
		return EV_WHY_READ;
	key.identity = identity(l, &sc->raw, &sc->raw.chunklen, &shape);
	w->id = proto_seen(&key, &w->like);
	if (!w->id)
		w->like = proto_like(sc, pt + l->PT_size, head32(&sc->raw, l->PT_sizebc), shape);
	if (!w->id && !w->quiet) {
		sc->raw.g = w->g;
		w->id = define_proto(sc, &key, head64(&sc->raw, l->PT_chunkname) + l->STR_size,
				     w->like);
	}
	w->pt = pt;
	return 0;
}

/* lj_debug.c:lj_debug_line, for the prototype in the scratch buffer. */
WALK_INLINE u32 line_of(const struct layout *l, const struct ev_proto_raw *raw, u32 pos)
{
	u64 lineinfo = head64(raw, l->PT_lineinfo);
	u32 first = head32(raw, l->PT_firstline), num = head32(raw, l->PT_numline), delta = 0;

	if (!lineinfo || pos > head32(raw, l->PT_sizebc))
		return 0;
	if (pos == head32(raw, l->PT_sizebc))
		return first + num;
	if (pos == 0)
		return first;
	pos--;
	if (num < 256)
		rd(&delta, 1, lineinfo + pos);
	else if (num < 65536)
		rd(&delta, 2, lineinfo + 2 * (u64)pos);
	else
		rd(&delta, 4, lineinfo + 4 * (u64)pos);
	return first + delta;
}

/*
 * Bytecode position of the instruction before pc, in code that starts at bc. After a trace exit to
 * a JLOOP over a return, pc points into the trace's own copy (lj_debug.c:debug_framepc).
 */
WALK_INLINE u32 position(const struct layout *l, u64 bc, u32 sizebc, u64 pc)
{
	u64 ofs = pc - bc;

	if (!pc)
		return EV_NO_PC;
	if (ofs > 4 * (u64)sizebc) {
		ofs = rd64(pc - 4 - l->T_startins + l->T_startpc) + 4 - bc;
		if (ofs > 4 * (u64)sizebc)
			return EV_NO_PC;
	}
	return ofs ? (u32)(ofs >> 2) - 1 : 0;
}

WALK_INLINE struct ev_frame *next_frame(struct walk *w, struct scratch *sc)
{
	u32 n = w->n;

	if (n >= EV_MAX_FRAMES) {
		w->truncated = 1;
		return 0;
	}
	w->n = n + 1;
	sc->f[n].pad[0] = 0;
	sc->f[n].pad[1] = 0;
	sc->f[n].line = 0;
	sc->f[n].ffid = 0;
	return &sc->f[n];
}

/* Appends the frame of function fn. 0, or why the walk must end. */
WALK_FN int emit(struct walk *w, struct scratch *sc, u64 fn)
{
	const struct layout *l = w ? layout_at(w->layout) : 0;
	struct ev_frame *f;
	u64 head[WALK_FUNC_PC / 8 + 1] = {}, bc;
	u8 ffid;
	u32 pos;

	if (!l || !sc || rd(head, sizeof(head), fn))
		return EV_WHY_READ;
	ffid = ((const u8 *)head)[WALK_FUNC_FFID];
	if (ffid) {
		f = next_frame(w, sc);
		if (!f)
			return EV_WHY_NONE;
		f->kind = ffid == 1 ? EV_FRAME_C : EV_FRAME_FF;
		f->ffid = ffid;
		f->addr = rd64(fn + l->C_f);
		return 0;
	}
	bc = head[WALK_FUNC_PC / 8];
	if (load_proto(l, w, sc, bc - l->PT_size))
		return EV_WHY_READ;
	f = next_frame(w, sc);
	if (!f)
		return EV_WHY_NONE;
	pos = position(l, bc, head32(&sc->raw, l->PT_sizebc), w->pc);
	f->kind = EV_FRAME_LUA;
	f->addr = EV_FRAME_ADDR(w->id, pos);
	f->line = pos == EV_NO_PC ? 0 : line_of(l, &sc->raw, pos);
	return 0;
}

/* lj_frame.h: cframe_prev. */
WALK_INLINE void cframe_pop(const struct layout *l, struct walk *w)
{
	if (!w->cf)
		return;
	w->cf_last = w->cf;
	w->cf = rd64(w->cf + l->CF_prev) & ~3ULL;
}

/* Skips C frames that have no Lua frame: cpcall without nres (lj_debug.c:debug_framepc). */
WALK_INLINE void cframe_skip(const struct layout *l, struct walk *w, u64 frame)
{
	int i;

	for (i = 0; i < 4; i++) {
		s32 nres = 0;

		if (!w->cf)
			return;
		rd(&nres, 4, w->cf + l->CF_nres);
		if (nres >= 0 || frame >= w->stack + (u64) - (__INT64_TYPE__)nres)
			return;
		cframe_pop(l, w);
	}
}

WALK_INLINE u64 cframe_pc(const struct layout *l, const struct walk *w)
{
	return w->cf ? rd64(w->cf + l->CF_pc) : 0;
}

/*
 * Reads the coroutine at L. Sets stack bounds and C frame, returns its base, or 0 if L is no
 * lua_State of this VM.
 */
WALK_FN u64 enter(struct walk *w, u64 L)
{
	u64 s[WALK_L_CFRAME / 8 + 1] = {};

	if (!w || !L || rd(s, sizeof(s), L) || s[WALK_L_GLREF / 8] != w->g)
		return 0;
	w->L = L;
	w->stack = s[WALK_L_STACK / 8];
	w->maxstack = s[WALK_L_MAXSTACK / 8];
	w->bottom = w->stack + 8;
	w->cf = s[WALK_L_CFRAME / 8] & ~3ULL;
	return s[WALK_L_BASE / 8];
}

/*
 * At the bottom of a coroutine's stack: its lowest C frame lies right below that of the resumer,
 * which called lj_vm_resume from the VM. Goes on with the resumer if that is what memory says.
 */
WALK_FN int resumer(struct walk *w, struct scratch *sc)
{
	const struct layout *l = w ? layout_at(w->layout) : 0;
	u64 cf, parent, L, base;
	struct ev_frame *f;

	if (!l || !sc)
		return 1;
	cf = w->cf ? w->cf : w->cf_last;
	if (!cf)
		return 1;
	parent = cf + l->CF_size;
	L = rd64(parent + l->CF_L);
	if (!L || L == w->L)
		return 1;
	if (rd64(L + l->L_glref) != w->g || (rd64(L + l->L_cframe) & ~3ULL) != parent)
		return 1;
	base = enter(w, L);
	if (!base)
		return 1;
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
WALK_FN int follow(struct walk *w, u64 ft)
{
	const struct layout *l = w ? layout_at(w->layout) : 0;
	u32 type = ft & FRAME_TYPEP;
	u64 frame, prev;

	if (!l)
		return EV_WHY_READ;
	frame = w->frame;
	if ((ft & 3) == FRAME_LUA) {
		u32 ins = 0;

		if (rd(&ins, 4, ft - 4))
			return EV_WHY_READ;
		prev = frame - 8 * (2 + (u64)(ins >> 8 & 0xff));
		w->pc = ft;
	} else {
		prev = frame - (ft & ~(u64)FRAME_TYPEP);
		if (type == FRAME_CONT) {
			u64 c[2] = {}; /* continuation, pc */

			if (rd(c, sizeof(c), frame - 24))
				return EV_WHY_READ;
			if (c[0] == CONT_FFI_CALLBACK) {
				cframe_pop(l, w);
				cframe_skip(l, w, prev);
				w->pc = cframe_pc(l, w);
			} else {
				w->pc = c[1];
			}
		} else if (type == FRAME_VARG) {
			w->skip = 1;
		} else if ((type & 3) == FRAME_C) {
			cframe_pop(l, w);
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
	u64 v[2], tag, fn;
	int err;

	if (w->frame <= w->bottom) {
		if (!resumer(w, sc))
			return 0;
		w->done = 1;
		return 1;
	}
	if (rd(v, sizeof(v), w->frame - 8)) {
		w->why = EV_WHY_READ;
		return 1;
	}
	tag = v[0] >> 47;
	fn = v[0] & GCMASK;
	if (tag != TAG_FUNC && tag != TAG_THREAD) {
		w->why = EV_WHY_BAD_FRAME;
		return 1;
	}
	if (w->skip) {
		w->skip = 0;
	} else if (tag == TAG_FUNC) { /* a thread: dummy frame, lj_err.c:lj_err_optype_call */
		err = emit(w, sc, fn);
		if (err || w->truncated) {
			w->why = err;
			return 1;
		}
	}
	err = follow(w, v[1]);
	if (err) {
		w->why = err;
		return 1;
	}
	return 0;
}

/* Does pc point after an instruction of the prototype whose code starts at bc? */
WALK_INLINE int pc_in(const struct layout *l, u64 bc, u64 pc)
{
	u32 sizebc = 0;

	if (pc < bc || pc & 3)
		return 0;
	if (peek(&sizebc, 4, bc - l->PT_size + l->PT_sizebc))
		return 0;
	return pc - bc <= 4 * (u64)sizebc;
}

enum base_is { BASE_NOT, BASE_FF, BASE_LUA, BASE_LUA_PC };

/*
 * What base would be: no frame of this stack; that of a C or fast function; of a Lua function that
 * pc does not, or does, belong to.
 */
WALK_FN int judge(const struct walk *w, u64 base, u64 pc)
{
	const struct layout *l = w ? layout_at(w->layout) : 0;
	u64 fn = 0, bc = 0;
	u8 gf[2] = {}; /* gct, ffid */

	if (!l || base & 7 || base < w->stack + 16 || base > w->maxstack + 512)
		return BASE_NOT;
	if (peek(&fn, 8, base - 16) || fn >> 47 != TAG_FUNC)
		return BASE_NOT;
	fn &= GCMASK;
	if (peek(gf, 2, fn + l->F_ffid - 1) || gf[0] != 8)
		return BASE_NOT;
	if (gf[1])
		return BASE_FF;
	if (peek(&bc, 8, fn + l->F_pc))
		return BASE_NOT;
	return pc_in(l, bc, pc) ? BASE_LUA_PC : BASE_LUA;
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
		u64 prev = rd64(w->cf + l->CF_prev) & ~3ULL;

		pc = prev ? rd64(prev + l->CF_pc) : 0;
	}
	start_at(w, base, pc);
}

/* Adds the trace as the leaf frame and tells whether ip is in its machine code. */
WALK_INLINE void emit_trace(const struct layout *l, struct walk *w, struct scratch *sc, u32 trace,
			    u64 ip, u32 *flags)
{
	u64 J = w->g - l->GG_g + l->GG_J, T, pt, pc, mcode;
	struct ev_frame *f;
	u16 traceno = 0;
	u32 pos;

	if (trace >= rd32(J + l->J_sizetrace))
		return;
	T = rd64(rd64(J + l->J_trace) + 8 * (u64)trace);
	if (!T || rd(&traceno, 2, T + l->T_traceno) || traceno != trace)
		return;
	mcode = rd64(T + l->T_mcode);
	if (ip - mcode < rd32(T + l->T_szmcode))
		*flags |= EV_SF_MCODE;
	pt = rd64(T + l->T_startpt);
	pc = rd64(T + l->T_startpc);
	if (load_proto(l, w, sc, pt))
		return;
	f = next_frame(w, sc);
	if (!f)
		return;
	pos = (u32)((pc - pt - l->PT_size) >> 2);
	f->kind = EV_FRAME_TRACE;
	f->addr = EV_FRAME_ADDR(w->id, pos);
	f->line = line_of(l, &sc->raw, pos);
}

/* Fills f with position pc (not after it) of prototype pt. */
WALK_INLINE void emit_position(const struct layout *l, struct walk *w, struct scratch *sc, u64 pt,
			       u64 pc, struct ev_frame *f)
{
	u32 pos = (u32)((pc - pt - l->PT_size) >> 2);

	if (load_proto(l, w, sc, pt))
		return;
	if (pos > head32(&sc->raw, l->PT_sizebc))
		pos = EV_NO_PC;
	f->kind = EV_FRAME_LUA;
	f->addr = EV_FRAME_ADDR(w->id, pos);
	f->line = pos == EV_NO_PC ? 0 : line_of(l, &sc->raw, pos);
}

/* Fills f with function fn, at pc if it is a Lua function. */
WALK_INLINE void emit_function(const struct layout *l, struct walk *w, struct scratch *sc, u64 fn,
			       u64 pc, struct ev_frame *f)
{
	u64 head[WALK_FUNC_PC / 8 + 1] = {};
	u8 ffid;

	if (rd(head, sizeof(head), fn))
		return;
	ffid = ((const u8 *)head)[WALK_FUNC_FFID];
	if (!ffid) {
		pc = pc ? pc : head[WALK_FUNC_PC / 8];
		emit_position(l, w, sc, head[WALK_FUNC_PC / 8] - l->PT_size, pc, f);
		return;
	}
	f->kind = ffid == 1 ? EV_FRAME_C : EV_FRAME_FF;
	f->ffid = ffid;
	f->addr = rd64(fn + l->C_f);
}

/* LJ_VMST_* of lj_obj.h, stored inverted, are in the order of the states from INTERP on. */
WALK_INLINE u8 state_of(s32 vmstate)
{
	if (vmstate >= 0)
		return EV_STATE_TRACE;
	return ~vmstate <= EV_STATE_ASM - EV_STATE_INTERP ? EV_STATE_INTERP + ~vmstate
							  : EV_STATE_UNKNOWN;
}

#endif
