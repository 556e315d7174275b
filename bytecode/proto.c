/* SPDX-License-Identifier: MIT */
/* Decoding of prototypes. All input is a stranger's memory: see proto.h. */
#include "bytecode/proto.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define GCT_PROTO 7	  /* LuaJIT src/lj_obj.h, ~LJ_TPROTO */
#define MAX_BC (1u << 26) /* src/lj_def.h LJ_MAX_BCINS */
#define MAX_K (1u << 16)  /* operand D reaches no more constants */

/* Longest chain of moves followed to a name: real code has at most one per slot. */
#define MAX_MOVES 256

/* String constants that go into proto_content. */
#define MAX_KSTR 16

/* enum ev_name_what; its numbers are part of the interface in proto.h. */
enum { NAME_NONE, NAME_GLOBAL, NAME_LOCAL, NAME_METHOD, NAME_FIELD, NAME_UPVALUE, NAME_META };

static uint32_t get_u32(const uint8_t *p, size_t at)
{
	uint32_t v;

	memcpy(&v, p + at, sizeof(v));
	return v;
}

static uint64_t get_ref(const struct layout *l, const uint8_t *p, size_t at)
{
	uint64_t v;

	if (!l->gc64)
		return get_u32(p, at);
	memcpy(&v, p + at, sizeof(v));
	return v;
}

/*
 * Whether the sizes and the pointers into the prototype fit together. It is one allocation: header,
 * bytecode, collectable constants, padding, k pointing here, numbers, upvalues, debug information.
 * src/lj_parse.c:fs_finish and src/lj_bcread.c:lj_bcread_proto lay it out alike.
 */
static bool head_fits(const struct layout *l, const struct proto_head *h)
{
	const uint64_t info[] = {h->lineinfo, h->uvinfo, h->varinfo};
	uint64_t ofsk, ofsdbg;
	size_t i;

	if (!h->sizebc || h->sizebc > MAX_BC || h->sizekgc > MAX_K || h->sizekn > MAX_K)
		return false;
	if (h->numparams > h->framesize || h->numline < 0 || h->sizept > INT32_MAX)
		return false;
	ofsk = l->PT_size + h->sizebc * 4ULL + h->sizekgc * (l->gc64 ? 8ULL : 4ULL);
	ofsk = (ofsk + 7) & ~7ULL;
	ofsdbg = ofsk + h->sizekn * 8ULL + ((h->sizeuv + 1ULL) & ~1ULL) * 2;
	if (ofsdbg > h->sizept || h->k < ofsk)
		return false;
	for (i = 0; i < sizeof(info) / sizeof(*info); i++)
		if (info[i] &&
		    (info[i] - (h->k - ofsk) < ofsdbg || info[i] - (h->k - ofsk) > h->sizept))
			return false;
	return true;
}

int proto_decode_head(const struct layout *l, const void *buf, size_t len, struct proto_head *out)
{
	size_t gct = l->gc64 ? 9 : 5; /* after GCRef nextgc and uint8_t marked */
	const uint8_t *p = buf;
	struct proto_head h = {0};

	if (len < l->PT_size || len <= gct || p[gct] != GCT_PROTO)
		return -EINVAL;
	h.k = get_ref(l, p, l->PT_k);
	h.chunkname = get_ref(l, p, l->PT_chunkname);
	h.lineinfo = get_ref(l, p, l->PT_lineinfo);
	h.uvinfo = get_ref(l, p, l->PT_uvinfo);
	h.varinfo = get_ref(l, p, l->PT_varinfo);
	h.sizebc = get_u32(p, l->PT_sizebc);
	h.sizekgc = get_u32(p, l->PT_sizekgc);
	h.sizekn = get_u32(p, l->PT_sizekn);
	h.sizept = get_u32(p, l->PT_sizept);
	h.firstline = (int32_t)get_u32(p, l->PT_firstline);
	h.numline = (int32_t)get_u32(p, l->PT_numline);
	h.numparams = p[l->PT_numparams];
	h.framesize = p[l->PT_framesize];
	h.sizeuv = p[l->PT_sizeuv];
	h.flags = p[l->PT_flags];
	h.fr2 = l->fr2;
	if (!head_fits(l, &h))
		return -EINVAL;
	*out = h;
	return 0;
}

/* Bytes per entry of the line table, as a shift. */
static unsigned int line_shift(const struct proto_head *h)
{
	return h->numline < 256 ? 0 : h->numline < 65536 ? 1 : 2;
}

size_t proto_lineinfo_size(const struct proto_head *h)
{
	return h->sizebc ? (size_t)(h->sizebc - 1) << line_shift(h) : 0;
}

int32_t proto_line(const struct proto *pt, uint32_t pos)
{
	unsigned int shift = line_shift(&pt->h);
	uint32_t line = 0;
	size_t at;

	if (!pt->lineinfo || pos > pt->h.sizebc)
		return 0;
	if (pos == pt->h.sizebc) {
		line = (uint32_t)pt->h.numline;
	} else if (pos > 0) {
		/* The header at position 0 has no entry. */
		at = (size_t)(pos - 1) << shift;
		if (at + (1u << shift) > pt->lineinfo_len)
			return 0;
		/* Little-endian, so a short entry fills the low bytes. */
		memcpy(&line, (const char *)pt->lineinfo + at, 1u << shift);
	}
	return (int32_t)((uint32_t)pt->h.firstline + line);
}

/* src/lj_buf.c:lj_buf_ruleb128, but it stays inside of the buffer. */
static bool get_uleb(const uint8_t **p, const uint8_t *end, uint32_t *out)
{
	uint64_t v = 0;
	unsigned int shift;

	for (shift = 0; shift < 35 && *p < end; shift += 7) {
		uint8_t b = *(*p)++;

		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80) {
			*out = (uint32_t)v;
			return v <= UINT32_MAX;
		}
	}
	return false;
}

/* Names the compiler gives to hidden variables: src/lj_debug.h VARNAMEDEF. */
static const char *const hidden_names[] = {
    NULL, /* end of the list */
    "(for index)", "(for limit)", "(for step)", "(for generator)", "(for state)", "(for control)",
};
#define N_HIDDEN (sizeof(hidden_names) / sizeof(*hidden_names))

/*
 * Local variable in slot at pos: src/lj_debug.c:debug_varname. 1: found, 0: none, -1: not known,
 * because the information is missing or broken.
 */
static int varname(const struct proto *pt, uint32_t pos, uint32_t slot, const char **name)
{
	const uint8_t *p = pt->varinfo, *end;
	uint64_t lastpc = 0;

	if (!p)
		return pt->h.varinfo ? -1 : 0;
	for (end = p + pt->varinfo_len; p < end;) {
		const uint8_t *start = p;
		uint32_t delta, range;

		if (*p == 0)
			return 0;
		if (*p >= N_HIDDEN) {
			p = memchr(p, 0, (size_t)(end - p));
			if (!p)
				return -1;
		}
		p++;
		if (!get_uleb(&p, end, &delta))
			return -1;
		lastpc += delta;
		if (lastpc > pos)
			return 0;
		if (!get_uleb(&p, end, &range))
			return -1;
		if (pos >= lastpc + range || slot-- != 0)
			continue;
		*name = *start < N_HIDDEN ? hidden_names[*start] : (const char *)start;
		return 1;
	}
	return -1;
}

/* src/lj_debug.c:lj_debug_uvname. A prototype without names has empty ones. */
static int uvname(const struct proto *pt, uint32_t idx, const char **name)
{
	const char *p = pt->uvinfo, *end, *nul;

	if (idx >= pt->h.sizeuv)
		return NAME_NONE;
	if (!p) {
		if (pt->h.uvinfo)
			return NAME_NONE;
		*name = "";
		return NAME_UPVALUE;
	}
	for (end = p + pt->uvinfo_len; p < end; p = nul + 1) {
		nul = memchr(p, 0, (size_t)(end - p));
		if (!nul)
			return NAME_NONE;
		if (idx-- == 0) {
			*name = p;
			return NAME_UPVALUE;
		}
	}
	return NAME_NONE;
}

const char *proto_uvname(const struct proto *pt, uint32_t idx)
{
	const char *name;

	return uvname(pt, idx, &name) == NAME_UPVALUE ? name : NULL;
}

/* src/lj_obj.h:proto_kgc with a string behind it. */
static const char *kstr(const struct proto *pt, uint32_t idx)
{
	return pt->kstr && idx < pt->h.sizekgc ? pt->kstr(pt->kstr_ctx, idx) : NULL;
}

static int kstr_name(const struct proto *pt, uint32_t idx, int what, const char **name)
{
	const char *s = kstr(pt, idx);

	if (!s)
		return NAME_NONE;
	*name = s;
	return what;
}

/* What put the callee into its slot: the last part of src/lj_debug.c:lj_debug_slotname. */
static int load_name(const struct proto *pt, uint32_t pos, const char **name)
{
	const struct bc_gen *g = pt->gen;
	uint32_t ins = pt->bc[pos], op = bc_op(ins), prev;

	if (op == g->of[BC_ID_GGET])
		return kstr_name(pt, bc_d(ins), NAME_GLOBAL, name);
	if (op == g->of[BC_ID_UGET])
		return uvname(pt, bc_d(ins), name);
	if (op != g->of[BC_ID_TGETS])
		return NAME_NONE;
	/* A method call copies its object to the first argument, then looks up the function. */
	prev = pt->bc[pos - 1];
	if (bc_op(prev) == g->of[BC_ID_MOV] && bc_a(prev) == bc_a(ins) + 1 + pt->h.fr2 &&
	    bc_d(prev) == bc_b(ins))
		return kstr_name(pt, bc_c(ins), NAME_METHOD, name);
	return kstr_name(pt, bc_c(ins), NAME_FIELD, name);
}

/* src/lj_debug.c:lj_debug_slotname: walks back to the instruction that wrote the slot. */
static int slotname(const struct proto *pt, uint32_t pos, uint32_t slot, const char **name)
{
	const struct bc_gen *g = pt->gen;
	int moves = 0, found = varname(pt, pos, slot, name);

	while (!found && pos-- > 1) {
		uint32_t ins = pt->bc[pos], op = bc_op(ins), a = bc_a(ins);
		uint8_t mode;

		if (op >= g->n)
			return NAME_NONE;
		mode = g->ops[op].mode_a;
		if (mode == BC_M_BASE) {
			if (slot >= a && (op != g->of[BC_ID_KNIL] || slot <= bc_d(ins)))
				return NAME_NONE;
		} else if (mode == BC_M_DST && a == slot) {
			if (op != g->of[BC_ID_MOV])
				return load_name(pt, pos, name);
			if (++moves > MAX_MOVES)
				return NAME_NONE;
			slot = bc_d(ins);
			found = varname(pt, pos, slot, name);
		}
	}
	return found > 0 ? NAME_LOCAL : NAME_NONE;
}

int proto_callname(const struct proto *pt, uint32_t pos, const char **name)
{
	const struct bc_gen *g = pt->gen;
	const struct bc_op *op;
	const char *found;
	uint32_t slot;
	int what;

	if (!pt->bc || !g || pos >= pt->h.sizebc || bc_op(pt->bc[pos]) >= g->n)
		return NAME_NONE;
	op = &g->ops[bc_op(pt->bc[pos])];
	if (!op->mm)
		return NAME_NONE;
	if (strcmp(op->mm, "call")) {
		*name = op->mm_name;
		return NAME_META;
	}
	slot = bc_a(pt->bc[pos]);
	if (bc_op(pt->bc[pos]) == g->of[BC_ID_ITERC]) {
		/* It calls a copy; the iterator itself lies three slots below, FR2 or not. */
		if (slot < 3)
			return NAME_NONE;
		slot -= 3;
	}
	what = slotname(pt, pos, slot, &found);
	if (what != NAME_NONE)
		*name = found;
	return what;
}

/* Where the value in slot a goes at pos, if that is all the instruction does. */
static int store_name(const struct proto *pt, uint32_t pos, uint32_t a, const char **name)
{
	const struct bc_gen *g = pt->gen;
	uint32_t ins = pt->bc[pos], op = bc_op(ins);

	if (op == g->of[BC_ID_GSET] && bc_a(ins) == a)
		return kstr_name(pt, bc_d(ins), NAME_GLOBAL, name);
	if (op == g->of[BC_ID_TSETS] && bc_a(ins) == a)
		return kstr_name(pt, bc_c(ins), NAME_FIELD, name);
	if (op == g->of[BC_ID_USETV] && bc_d(ins) == a)
		return uvname(pt, bc_a(ins), name);
	return varname(pt, pos, a, name) > 0 ? NAME_LOCAL : NAME_NONE;
}

int proto_closure_name(const struct proto *pt, uint32_t idx, const char **name)
{
	uint32_t pos;

	for (pos = 1; pt->bc && pt->gen && pos + 1 < pt->h.sizebc; pos++) {
		uint32_t ins = pt->bc[pos];

		if (bc_op(ins) == pt->gen->of[BC_ID_FNEW] && bc_d(ins) == idx)
			return store_name(pt, pos + 1, bc_a(ins), name);
	}
	return NAME_NONE;
}

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t h, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return h;
}

#define KEEP_OP 0x000000ffu
#define KEEP_A 0x0000ffffu
#define KEEP_ALL 0xffffffffu

/*
 * Instructions that are rewritten in place, the one that stands for all its forms, and which bits
 * survive every form. src/lj_trace.c:trace_stop puts the number of the trace into D, and JLOOP over
 * the whole of RET* and ITERN; blacklist_pc turns ITERN into ITERC and the start of its loop into
 * JMP, as does the interpreter for ISNEXT. Hence a return, a loop and an iterator call look alike
 * here: that loses little, as their number and places stay.
 */
static const struct {
	uint8_t id, as; /* enum bc_id */
	uint32_t keep;
} patches[] = {
    {BC_ID_JFORI, BC_ID_FORI, KEEP_ALL}, {BC_ID_ISNEXT, BC_ID_JMP, KEEP_ALL},
    {BC_ID_FORL, BC_ID_FORL, KEEP_A},	 {BC_ID_IFORL, BC_ID_FORL, KEEP_A},
    {BC_ID_JFORL, BC_ID_FORL, KEEP_A},	 {BC_ID_ITERL, BC_ID_ITERL, KEEP_A},
    {BC_ID_IITERL, BC_ID_ITERL, KEEP_A}, {BC_ID_JITERL, BC_ID_ITERL, KEEP_A},
    {BC_ID_LOOP, BC_ID_LOOP, KEEP_OP},	 {BC_ID_ILOOP, BC_ID_LOOP, KEEP_OP},
    {BC_ID_JLOOP, BC_ID_LOOP, KEEP_OP},	 {BC_ID_ITERC, BC_ID_LOOP, KEEP_OP},
    {BC_ID_ITERN, BC_ID_LOOP, KEEP_OP},	 {BC_ID_RETM, BC_ID_LOOP, KEEP_OP},
    {BC_ID_RET, BC_ID_LOOP, KEEP_OP},	 {BC_ID_RET0, BC_ID_LOOP, KEEP_OP},
    {BC_ID_RET1, BC_ID_LOOP, KEEP_OP},	 {BC_ID_FUNCF, BC_ID_FUNCF, KEEP_A},
    {BC_ID_IFUNCF, BC_ID_FUNCF, KEEP_A}, {BC_ID_JFUNCF, BC_ID_FUNCF, KEEP_A},
    {BC_ID_FUNCV, BC_ID_FUNCV, KEEP_A},	 {BC_ID_IFUNCV, BC_ID_FUNCV, KEEP_A},
    {BC_ID_JFUNCV, BC_ID_FUNCV, KEEP_A},
};

static uint64_t hash_code(const struct proto *pt, uint64_t h)
{
	uint32_t keep[256], i, ins;
	uint8_t as[256];

	for (i = 0; i < 256; i++) {
		keep[i] = KEEP_ALL;
		as[i] = (uint8_t)i;
	}
	for (i = 0; i < sizeof(patches) / sizeof(*patches); i++) {
		uint8_t op = pt->gen->of[patches[i].id];

		keep[op] = patches[i].keep;
		as[op] = pt->gen->of[patches[i].as];
	}
	for (i = 0; i < pt->h.sizebc; i++) {
		ins = pt->bc[i] & keep[bc_op(pt->bc[i])];
		ins = (ins & ~0xffu) | as[bc_op(ins)];
		h = hash(h, &ins, sizeof(ins));
	}
	return h;
}

/* The string constants by first use in the code; no others, as only these are surely strings. */
static uint64_t hash_kstr(const struct proto *pt, uint64_t h)
{
	uint32_t seen[MAX_KSTR], n = 0, i, j, idx;

	for (i = 1; i < pt->h.sizebc && n < MAX_KSTR; i++) {
		uint32_t ins = pt->bc[i];
		const char *s;

		if (bc_op(ins) >= pt->gen->n || pt->gen->ops[bc_op(ins)].kstr == BC_K_NONE)
			continue;
		idx = pt->gen->ops[bc_op(ins)].kstr == BC_K_C ? bc_c(ins) : bc_d(ins);
		for (j = 0; j < n && seen[j] != idx; j++)
			;
		if (j < n)
			continue;
		seen[n++] = idx;
		s = kstr(pt, idx);
		if (s)
			h = hash(h, s, strlen(s) + 1);
	}
	return h;
}

uint32_t proto_content(const struct proto *pt)
{
	/* Of the flags, only this one never changes after the function was made. */
	const uint32_t fixed[] = {
	    pt->h.numparams,
	    pt->h.framesize,
	    pt->h.sizeuv,
	    pt->h.sizebc,
	    pt->h.sizekgc,
	    pt->h.sizekn,
	    (uint32_t)pt->h.numline,
	    pt->h.flags & PROTO_VARARG,
	};
	uint64_t h = hash(0xcbf29ce484222325ULL, fixed, sizeof(fixed));

	if (pt->bc && pt->gen) {
		h = hash_code(pt, h);
		h = hash_kstr(pt, h);
	}
	return (uint32_t)(h ^ h >> 32);
}
