/* SPDX-License-Identifier: MIT */
/*
 * What the bytes of a prototype mean: lines, and the names by which code calls.
 *
 * The caller has copied the parts of a GCproto from a target into a struct proto and owns them.
 * Nothing in them is trusted: every index is checked against the sizes given here, and a lie gives
 * "not known". No allocation, no failure but that.
 */
#ifndef BYTECODE_PROTO_H
#define BYTECODE_PROTO_H

#include "bytecode/bc.h"
#include "bytecode/layout.h"

#include <stddef.h>
#include <stdint.h>

/* The fixed header of a GCproto, decoded. Addresses are the target's. */
struct proto_head {
	uint64_t k, chunkname, lineinfo, uvinfo, varinfo;
	uint32_t sizebc, sizekgc, sizekn, sizept;
	int32_t firstline, numline;
	uint8_t numparams, framesize, sizeuv, flags;
	uint8_t fr2; /* from the layout: how far a method's object lies from its function */
};

/* GCproto.flags, src/lj_obj.h */
#define PROTO_VARARG 0x02
#define PROTO_NOJIT 0x08
#define PROTO_ILOOP 0x10

/*
 * Decodes a header from buf (len bytes, at least l->PT_size). 0, or -EINVAL if it cannot be a
 * GCproto: wrong gct, sizes that contradict each other.
 */
int proto_decode_head(const struct layout *l, const void *buf, size_t len, struct proto_head *out);

/* Fetches string constant idx (as in the operand D or C of an instruction); NULL: not known. */
typedef const char *proto_kstr_fn(void *ctx, uint32_t idx);

struct proto {
	struct proto_head h;
	const struct bc_gen *gen;
	const uint32_t *bc;   /* h.sizebc instructions, or NULL */
	const void *lineinfo; /* lineinfo_len bytes, or NULL */
	size_t lineinfo_len;
	const char *uvinfo; /* names, NUL-terminated each */
	size_t uvinfo_len;
	const uint8_t *varinfo;
	size_t varinfo_len;
	proto_kstr_fn *kstr;
	void *kstr_ctx;
};

/* Bytes that the line table of a prototype takes (lj_debug.c:lj_debug_line). */
size_t proto_lineinfo_size(const struct proto_head *h);

/* Line of bytecode position pos; 0: not known. Mirrors lj_debug.c:lj_debug_line. */
int32_t proto_line(const struct proto *pt, uint32_t pos);

/*
 * The name by which the instruction at pos calls a function, as debug.getinfo(,"n") would find it.
 * Returns enum ev_name_what's number (1 global, 2 local, 3 method, 4 field, 5 upvalue,
 * 6 metamethod) and points *name at it, or 0 if there is none. The name is borrowed from pt, from
 * what kstr returned, or static. Mirrors lj_debug.c:lj_debug_funcname, lj_debug_slotname.
 */
int proto_callname(const struct proto *pt, uint32_t pos, const char **name);

/* A loop: its counted instruction (FORL, ITERL, ITERN, LOOP or what the JIT made of it). */
struct proto_loop {
	uint32_t pos;
	uint32_t first, last; /* bytecode positions of condition and body, both included */
};

#define PROTO_LOOPS_MAX 512u

/*
 * Finds the loops, in order of pos; those of one ITERN and ITERL count twice. Returns how many,
 * never more than max. Where the JIT has overwritten a jump, the jumps around it tell: a loop that
 * they do not tell of is left out.
 */
size_t proto_loops(const struct proto *pt, struct proto_loop *out, size_t max);

/* Name of upvalue idx, "" if it was stripped; NULL: not known. Mirrors lj_debug.c:lj_debug_uvname. */
const char *proto_uvname(const struct proto *pt, uint32_t idx);

/*
 * The name of the global, field, upvalue or local that the closure of constant idx is stored in
 * right after it is made. As proto_callname.
 */
int proto_closure_name(const struct proto *pt, uint32_t idx, const char **name);

/*
 * Hash of the code with everything left out that the interpreter and the JIT patch at run time:
 * equal for a prototype before and after it was compiled or blacklisted, and in each process that
 * loads it. Tells apart the functions on one line. Also hashes the first 16 string constants that
 * the code uses, as far as kstr knows them; without bc only the sizes count.
 */
uint32_t proto_content(const struct proto *pt);

#endif
