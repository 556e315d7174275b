/* SPDX-License-Identifier: MIT */
/*
 * What a recording that starts at some instruction can run into, read off the code: bytecodes that
 * the build cannot compile, and starts that were blacklisted.
 *
 * The start's region is a loop's body or a whole function, with the functions that it calls as far
 * as the caller knows them. All ways through it are followed, each up to the first obstacle, as the
 * recorder stops there. Which of the ways the program took is not known: what comes out is an
 * inference. Nothing in the code is trusted: jumps are checked, the work is bounded.
 */
#ifndef BYTECODE_REGION_H
#define BYTECODE_REGION_H

#include "bytecode/bc.h"

/* The code of a function. */
struct region_code {
	const struct bc_gen *gen;
	const uint32_t *bc;
	uint32_t n;  /* instructions */
	uint64_t id; /* what the caller tells functions apart by */
};

#define REGION_OPS 6u
#define REGION_BLACK 4u

struct region {
	uint32_t nops, nblack;
	uint8_t op[REGION_OPS]; /* different opcodes that cannot be compiled */
	struct {
		uint64_t id;
		uint32_t pos;
	} black[REGION_BLACK]; /* different blacklisted starts: loops, or functions (pos 0) */
};

/* Puts the function that the instruction at pos calls into *out, if it is known. 0: it is not. */
typedef int region_callee_fn(void *ctx, const struct region_code *code, uint32_t pos,
			     struct region_code *out);

#define REGION_NEXT 1u /* this build compiles ITERN and ISNEXT, which came on 2021-09-19 */
#define REGION_STOP 2u /* blacklisted starts are obstacles; else as before they were blacklisted \
			*/

/*
 * Walks the region of the start at pos. callee may be NULL. 0, or -EINVAL: no start, or one whose
 * extent is not in the code any more because a trace's number stands there; -ENOMEM.
 */
int region_walk(const struct region_code *code, uint32_t pos, unsigned int flags,
		region_callee_fn *callee, void *ctx, struct region *out);

/*
 * Where the function comes from that the instruction at pos calls: by the instruction before it
 * that filled the slot, as lj_debug.c:lj_debug_slotname looks for it.
 */
enum region_source {
	REGION_SOURCE_NONE,  /* a table's field, a global, an argument, a result: not known here */
	REGION_SOURCE_CHILD, /* made by FNEW: collectable constant idx is its prototype */
	REGION_SOURCE_UPVALUE, /* upvalue idx of the function that runs */
};
enum region_source region_source(const struct region_code *code, uint32_t pos, uint32_t *idx);

#endif
