/* SPDX-License-Identifier: MIT */
/*
 * Lists the bytecode of a prototype as `luajit -bl` of its build does (LuaJIT src/jit/bc.lua).
 *
 * What the JIT compiler has written over is shown as it was, and a comment of ours, after two
 * blanks and ';', says what it is now. The caller has copied the prototype out of a target; its
 * constants come through callbacks. Nothing is trusted: what does not fit is shown as '?'. Strings
 * keep their bytes from 128 on, as bc.lua does; control bytes are escaped.
 */
#ifndef BYTECODE_DISASM_H
#define BYTECODE_DISASM_H

#include "bytecode/proto.h"

#include <stddef.h>
#include <stdint.h>

#define DISASM_LINE 1024u /* no line is longer, its NUL included; names are cut */
#define DISASM_STR 40u	  /* bytes of a string constant that are shown at most */

enum disasm_kind { DISASM_UNKNOWN, DISASM_STRING, DISASM_PROTO, DISASM_TABLE, DISASM_CDATA };

/* A collectable constant. */
struct disasm_const {
	enum disasm_kind kind;
	size_t len; /* STRING: true length */
	char
	    text[256]; /* STRING: its first DISASM_STR bytes or fewer; PROTO: its place, a string */
};

struct disasm {
	const struct proto *pt; /* with bc and gen */
	const char *place;	/* of the function, see disasm_place */
	int lists_constants;	/* bc.lua of the build lists them before the code */
	int dualnum;		/* layout's */
	const uint64_t *knum;	/* number constants, as TValues; NULL: not known */
	uint32_t nknum;

	/* Constant idx, as operand D says; out->kind is UNKNOWN before. */
	void (*kgc)(const void *ctx, uint32_t idx, struct disasm_const *out);
	/* GCtrace.startins of a live trace that starts at pos; 0: not known. */
	uint32_t (*startins)(const void *ctx, uint32_t trace, uint32_t pos);
	const void *ctx;
};

/* Does bc.lua of a build list the constants? By its fast functions: names of ids 0 .. n-1. */
int disasm_lists_constants(const char *const *ff, uint32_t n);

/*
 * The place of a function as bc.lua shows it (lj_debug.c:lj_debug_pushloc): "x.lua:12". chunk: the
 * chunkname, len: its true length, pt: the prototype's address.
 */
int disasm_place(char *buf, size_t size, const char *chunk, size_t len, uint64_t pt,
		 const struct proto_head *h, int32_t line);

/* An instruction as the parser made it. */
struct disasm_patch {
	uint32_t ins;
	char note[56]; /* what it is now: "JFORL -> trace 3"; "": the same */
};
void disasm_original(const struct disasm *d, uint32_t pos, struct disasm_patch *out);

/* Both without the line's end, as snprintf. The header covers position 0. target: a jump leads
 * here. */
int disasm_header(const struct disasm *d, char *buf, size_t size);
int disasm_ins(const struct disasm *d, uint32_t pos, int target, int notes, char *buf, size_t size);

/* A line of a listing; pos 0: of what comes before the code. Non-zero stops and is returned. */
typedef int disasm_fn(void *ctx, uint32_t pos, const char *line);

/*
 * The whole listing, without the empty line at its end. notes: with what the JIT compiler did. 0,
 * -EINVAL: it has no instruction, -ENOMEM, or what fn returned.
 */
int disasm_list(const struct disasm *d, int notes, disasm_fn *fn, void *ctx);

#endif
