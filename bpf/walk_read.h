/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What a walk reads of a target: slots and values of a Lua stack, and the parts of prototypes and
 * traces that a frame tells. For walk.h only, which says what is to be defined before.
 *
 * Mirrors LuaJIT src/lj_obj.h, lj_jit.h:GCtrace, and lj_debug.c:lj_debug_line and debug_framepc.
 */
#ifndef BPF_WALK_READ_H
#define BPF_WALK_READ_H

#include "bpf/event.h"
#include "bpf/inside.h"
#include "bytecode/layout.h"

#define GCMASK ((1ULL << 47) - 1)
#define TAG_FUNC 0x1fff7ULL		   /* LJ_TFUNC << 47, lj_obj.h */
#define TAG_THREAD 0x1fff9ULL		   /* LJ_TTHREAD */
#define TAG32(gct) (0xffffffffULL - (gct)) /* with 32-bit references it is the upper half */
enum { GCT_STR = 4, GCT_THREAD = 6, GCT_FUNC = 8 };

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

/*
 * Reading costs by the call, hardly by the byte, so what a walk will want next is read in advance:
 * what is around a frame's slots; and around the instruction that called a function, where all of
 * the caller's prototype is if it is small: header, code, constants and lines are one piece
 * (lj_parse.c:lj_parse, fs_finish).
 */
#define SLOTS_COPY 64u /* words */
#define CODE_COPY 64u
#define CODE_BEFORE 256u /* bytes before that instruction */

/*
 * What is used of a lua_State and of a GCfunc. Both are read in one go, as so many words, at places
 * that never moved: bpf/vm_check.c checks that. With 32-bit references some lie in half a word.
 */
#define WALK_L_WORDS 11
#define WALK_FUNC_WORDS 6 /* of a C function; a Lua function may have one less */

/* Where a sample is put together. */
struct scratch {
	struct ev_proto_raw raw;
	u64 slots[SLOTS_COPY];
	u64 fn[WALK_FUNC_WORDS];	       /* the function of the frame */
	u64 code[CODE_COPY];		       /* its prototype is in there, */
	u32 proto_at;			       /* so many bytes from the start */
	u32 sampler;			       /* 1: of the sampler, 0: of the tracer */
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

/* For an index in a buffer: compilers leave out a mask that an older verifier wants to see. */
#define WALK_OPAQUE(v) __asm__ volatile("" : "+r"(v))

struct walk_L {
	u64 g, base, stack, maxstack, cframe;
};

WALK_INLINE struct walk_L walk_L(const struct layout *l, const u64 *s)
{
	struct walk_L L;

	if (l->gc64)
		L = (struct walk_L){s[2], s[4], s[7], s[6], s[10] & ~3ULL};
	else
		L = (struct walk_L){(u32)s[1], s[2], s[4] >> 32, (u32)s[4], s[6] & ~3ULL};
	return L;
}

/* The same of a C frame, CFRAME_OFS_* of lj_frame.h. */
#define WALK_CF_WORDS 5

WALK_INLINE u64 walk_cf_prev(const u64 *cf)
{
	return cf[4] & ~3ULL;
}

WALK_INLINE u64 walk_cf_pc(const struct layout *l, const u64 *cf)
{
	return l->gc64 ? cf[3] : cf[3] >> 32;
}

WALK_INLINE s32 walk_cf_nres(const struct layout *l, const u64 *cf)
{
	return (s32)(l->gc64 ? cf[1] : cf[2]);
}

WALK_INLINE u64 walk_func_pc(const struct layout *l, const u64 *head)
{
	return l->gc64 ? head[4] : (u32)head[2];
}

/* Of a C function or fast function: what it calls. */
WALK_INLINE u64 walk_func_f(const struct layout *l, const u64 *head)
{
	return l->gc64 ? head[5] : head[3];
}

/* gct and, above it, ffid. */
WALK_INLINE u32 walk_func_type(const struct layout *l, const u64 *head)
{
	return (l->gc64 ? head[1] >> 8 : head[0] >> 40) & 0xffff;
}

/*
 * A frame's slots, lj_frame.h: with LJ_FR2 the function below the link, as TValue; else both in
 * one, where only what is behind the function's reference tells its type.
 */
struct slots {
	u64 fn, link;
	u32 type; /* GCT_FUNC, GCT_THREAD, 0: neither; without LJ_FR2 always GCT_FUNC */
};

WALK_INLINE struct slots slots_of(const struct layout *l, const u64 *v)
{
	u64 tag = v[0] >> 47;

	if (!l->gc64)
		return (struct slots){(u32)v[1], v[1] >> 32, GCT_FUNC};
	return (struct slots){v[0] & GCMASK, v[1],
			      tag == TAG_FUNC	  ? GCT_FUNC
			      : tag == TAG_THREAD ? GCT_THREAD
						  : 0};
}

/* TValues, lj_obj.h. */
WALK_INLINE int tv_is(const struct layout *l, u64 tv, u32 gct)
{
	return l->gc64 ? tv >> 47 == 0x1ffff - gct : tv >> 32 == TAG32(gct);
}

/* An integer of DUALNUM: LJ_TISNUM. Above are tags, and light userdata of up to 48 bits. */
#define TISNUM 0x1fff2ULL
#define TISNUM32 0xfffeffffULL
WALK_INLINE int tv_is_int(const struct layout *l, u64 tv)
{
	return l->gc64 ? tv >> 47 == TISNUM : tv >> 32 == TISNUM32;
}

WALK_INLINE u64 tv_ptr(const struct layout *l, u64 tv)
{
	return l->gc64 ? tv & GCMASK : (u32)tv;
}

/* What goes into a record: integers look the same whatever the build. */
WALK_INLINE u64 tv_record(const struct layout *l, u64 tv)
{
	return !l->gc64 && tv_is_int(l, tv) ? TISNUM << 47 | (u32)tv : tv;
}

struct walk {
	u32 layout; /* index; functions of their own look it up again, the verifier wants it so */
	u32 tgid;
	u64 g, L;
	u64 frame;  /* the slot with the frame's link: base - 8 */
	u64 bottom; /* the lowest frame's: no frame at or below */
	u64 stack, maxstack;
	u64 cf;	       /* C frame that belongs to the Lua frames being walked */
	u64 cf_last;   /* the last one that was not 0 */
	u64 cframe_at; /* whose words are in cframe; 0: none's */
	u64 cframe[WALK_CF_WORDS];
	u64 slots_at;  /* address of what the scratch buffer has of the stack; 0: nothing */
	u64 fn;	       /* the function that is in the scratch buffer; 0: none */
	u64 code_at;   /* address of the code that is there */
	u64 proto;     /* the prototype that is in it; 0: none */
	u64 pt;	       /* the same, once id and like are its */
	u64 chunkname; /* of that, and of str; 0: none */
	u32 str[4];    /* ..., string id if it has one, hash, length */
	u32 ncode;     /* words of code in the buffer */
	u64 like;      /* the same for prototypes that the same source made */
	u32 id;	       /* its id */
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
static u32 proto_seen(const struct scratch *sc, const struct seen_key *key, u64 *like);
WALK_FN u64 proto_like(struct scratch *sc, u64 code, u32 sizebc, u64 shape);
WALK_FN u32 define_proto(struct scratch *sc, const struct seen_key *key, u64 chunkname);
static void remember_proto(const struct seen_key *key, u32 id, u64 like);

/* What is used of the GCfunc at fn. Behind a Lua function without upvalues memory may end. */
WALK_INLINE int read_func(struct walk *w, struct scratch *sc, u64 fn)
{
	if (fn && fn == w->fn)
		return 0;
	w->fn = 0;
	if (peek(sc->fn, sizeof(sc->fn), fn) && rd(sc->fn, sizeof(sc->fn) - 8, fn))
		return -1;
	w->fn = fn;
	return 0;
}

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

/* A GCRef or MRef; it reads 8 bytes in any case. */
WALK_INLINE u64 rdref(const struct layout *l, u64 addr)
{
	return layout_ref(l, rd64(addr));
}

WALK_INLINE u64 mix(u64 h, u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

/* The two words at addr, where the stack is. */
WALK_INLINE int read_slots(struct walk *w, struct scratch *sc, u64 addr, u64 *v)
{
	u64 i = (addr - w->slots_at) >> 3, from;

	if (addr & 7)
		return rd(v, 16, addr);
	if (!w->slots_at || i > SLOTS_COPY - 2) {
		/* A walk goes down, but not below the stack. */
		from = addr + 16 - 8 * (u64)SLOTS_COPY;
		if (from < w->stack)
			from = w->stack & ~7ULL;
		i = (addr - from) >> 3;
		w->slots_at = 0;
		if (i > SLOTS_COPY - 2 || peek(sc->slots, sizeof(sc->slots), from))
			return rd(v, 16, addr);
		w->slots_at = from;
	}
	WALK_OPAQUE(i);
	v[0] = sc->slots[i & (SLOTS_COPY - 1)];
	i++;
	WALK_OPAQUE(i);
	v[1] = sc->slots[i & (SLOTS_COPY - 1)];
	return 0;
}

/* Where the header of the prototype is in the scratch buffer. */
WALK_INLINE const u8 *proto_head(const struct scratch *sc)
{
	u64 at = sc->proto_at;

	WALK_OPAQUE(at);
	return (const u8 *)sc->code + (at & (8 * CODE_COPY - 8));
}

/* Its fields, at the layout's offsets. */
WALK_INLINE u32 head32(const u8 *head, u16 off)
{
	return *(const u32 *)(head + (off & (EV_PROTO_HEAD - 4)));
}

WALK_INLINE u64 headref(const struct layout *l, const u8 *head, u16 off)
{
	return layout_ref(l, (u64)head32(head, off + 4) << 32 | head32(head, off));
}

/* Of the code in the scratch buffer, the word with the byte at addr. 0: *out, else -1. */
WALK_INLINE int code_word(const struct walk *w, const struct scratch *sc, u64 addr, u64 *out)
{
	u64 i = (addr - w->code_at) >> 3;

	if (i >= w->ncode)
		return -1;
	WALK_OPAQUE(i);
	*out = sc->code[i & (CODE_COPY - 1)];
	return 0;
}

/* The word at addr, which is likely in the code. */
WALK_INLINE u64 code64(const struct walk *w, const struct scratch *sc, u64 addr)
{
	u64 v = 0;

	return (addr - w->code_at) & 7 || code_word(w, sc, addr, &v) ? rd64(addr) : v;
}

/*
 * What changes when a prototype is freed and its memory becomes another one. shape: the part of it
 * that does not if that is the same code, loaded again.
 */
WALK_INLINE u64 identity(const struct layout *l, struct walk *w, const struct scratch *sc,
			 const u8 *head, u64 *shape)
{
	u64 chunkname = headref(l, head, l->PT_chunkname), k = headref(l, head, l->PT_k);
	u32 ref = layout_ref_size(l);
	u64 kgc[2] = {}, h;

	/* Most functions of a stack are of a few files. */
	if (chunkname != w->chunkname) {
		__builtin_memset(w->str, 0, sizeof(w->str));
		w->chunkname =
		    rd(w->str, sizeof(w->str), chunkname + l->STR_len - 12) ? 0 : chunkname;
	}
	if (head32(head, l->PT_sizekgc) >= 2) {
		kgc[1] = code64(w, sc, k - 8);
		if (ref == 8) {
			kgc[0] = code64(w, sc, k - 16);
		} else {
			kgc[0] = (u32)kgc[1];
			kgc[1] >>= 32;
		}
	} else if (head32(head, l->PT_sizekgc) == 1) {
		kgc[0] = layout_ref(l, code64(w, sc, k - ref));
	}
	h = mix(chunkname, (u64)w->str[2] << 32 | w->str[3]);
	if (l->STR_len == 12 + layout_ref_size(l))
		h = mix(h, w->str[1]);
	h = mix(h, (u64)head32(head, l->PT_firstline) << 32 | head32(head, l->PT_numline));
	h = mix(h, (u64)head32(head, l->PT_sizebc) << 32 | head32(head, l->PT_sizept));
	*shape = h;
	return mix(mix(h, kgc[0]), kgc[1]);
}

/* Copies the code at addr into the scratch buffer. 0, or -1: memory ends too soon. */
WALK_INLINE int copy_code(struct walk *w, struct scratch *sc, u64 addr)
{
	w->pt = w->proto = 0;
	w->code_at = addr;
	w->ncode = peek(sc->code, sizeof(sc->code), addr) ? 0 : CODE_COPY;
	return w->ncode ? 0 : -1;
}

/* Has prototype pt in the scratch buffer, where it may be already. 0 or -1. */
WALK_FN int copy_proto(struct walk *w, struct scratch *sc, u64 pt)
{
	u64 at;

	if (!w || !sc)
		return -1;
	if (pt && pt == w->proto)
		return 0;
	w->pt = w->proto = 0;
	at = pt - w->code_at;
	if (at & 7 || at >= 8 * CODE_COPY || at + EV_PROTO_HEAD > 8 * (u64)w->ncode) {
		at = 0;
		if (copy_code(w, sc, pt)) {
			if (rd(sc->code, EV_PROTO_HEAD, pt))
				return -1;
			w->ncode = EV_PROTO_HEAD / 8;
		}
	}
	sc->proto_at = at;
	w->proto = pt;
	return 0;
}

/* The same, and sets w->id. 0 or EV_WHY_READ. */
WALK_INLINE int load_proto(const struct layout *l, struct walk *w, struct scratch *sc, u64 pt)
{
	struct seen_key key = {.pt = pt, .tgid = w->tgid};
	const u8 *head;
	u64 shape;

	if (pt && pt == w->pt)
		return 0;
	if (copy_proto(w, sc, pt))
		return EV_WHY_READ;
	head = proto_head(sc);
	key.identity = identity(l, w, sc, head, &shape);
	w->id = proto_seen(sc, &key, &w->like);
	if (!w->id)
		w->like = proto_like(sc, pt + l->PT_size, head32(head, l->PT_sizebc), shape);
	if (!w->id && !w->quiet) {
		sc->raw.g = w->g;
		sc->raw.chunklen = w->str[3];
		w->id = define_proto(sc, &key, headref(l, head, l->PT_chunkname) + l->STR_size);
		if (w->id)
			remember_proto(&key, w->id, w->like);
	}
	w->pt = pt;
	return 0;
}

/* The instruction at addr, and copies what is around it. NO_INS: it cannot be read. */
#define NO_INS (~0ULL)
WALK_FN u64 copy_ins(struct walk *w, struct scratch *sc, u64 addr)
{
	u64 word;
	u32 ins;

	if (!w || !sc)
		return NO_INS;
	if (!copy_code(w, sc, (addr - CODE_BEFORE) & ~7ULL) && !code_word(w, sc, addr, &word))
		return (u32)(word >> 8 * ((addr - w->code_at) & 4));
	return rd(&ins, 4, addr) ? NO_INS : ins;
}

/* The same, of a caller, whose prototype will be wanted next: it is likely in the buffer. */
WALK_INLINE u64 read_ins(struct walk *w, struct scratch *sc, u64 addr)
{
	u64 word;

	if (code_word(w, sc, addr, &word))
		return copy_ins(w, sc, addr);
	return (u32)(word >> 8 * ((addr - w->code_at) & 4));
}

/* lj_debug.c:lj_debug_line, for the prototype in the scratch buffer. */
WALK_INLINE u32 line_of(const struct layout *l, const struct walk *w, const struct scratch *sc,
			u32 pos)
{
	const u8 *head = proto_head(sc);
	u64 lineinfo = headref(l, head, l->PT_lineinfo), at, word;
	u32 first = head32(head, l->PT_firstline), num = head32(head, l->PT_numline), delta = 0;

	if (!lineinfo || pos > head32(head, l->PT_sizebc))
		return 0;
	if (pos == head32(head, l->PT_sizebc))
		return first + num;
	if (pos == 0)
		return first;
	pos--;
	if (num < 256) {
		at = lineinfo + pos;
		if (!code_word(w, sc, at, &word))
			delta = word >> ((at - w->code_at) & 7) * 8 & 0xff;
		else
			rd(&delta, 1, at);
	} else if (num < 65536) {
		rd(&delta, 2, lineinfo + 2 * (u64)pos);
	} else {
		rd(&delta, 4, lineinfo + 4 * (u64)pos);
	}
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
		ofs = rdref(l, pc - 4 - l->T_startins + l->T_startpc) + 4 - bc;
		if (ofs > 4 * (u64)sizebc)
			return EV_NO_PC;
	}
	return ofs ? (u32)(ofs >> 2) - 1 : 0;
}

/* Entry of J->trace[]. */
WALK_INLINE u64 trace_at(const struct layout *l, u64 J, u32 trace)
{
	return rdref(l, rd64(J + l->J_trace) + layout_ref_size(l) * (u64)trace);
}

/* A GCtrace in the scratch buffer: fields at the layout's offsets. */
WALK_INLINE u32 trace32(const struct ev_proto_raw *raw, u32 off)
{
	return *(const u32 *)(raw->chunk + (off & (EV_CHUNK_COPY - 4)));
}

WALK_INLINE u32 trace16(const struct ev_proto_raw *raw, u32 off)
{
	return *(const u16 *)(raw->chunk + (off & (EV_CHUNK_COPY - 2)));
}

WALK_INLINE u64 trace64(const struct ev_proto_raw *raw, u32 off)
{
	return (u64)trace32(raw, off + 4) << 32 | trace32(raw, off);
}

#endif
