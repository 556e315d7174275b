/* SPDX-License-Identifier: MIT */
/*
 * Which instructions lie between two places of a function that the trace recorder went through.
 *
 * The recorder takes snapshots only now and then, and at some it notes where the code does not go
 * on: LuaJIT src/lj_record.c:rec_comp_fixup and rec_for_loop make a failed comparison continue at
 * the branch that was not taken. Walking the bytecode tells both what ran between two snapshots and
 * which comparison such a one belongs to. Nothing is trusted: the code may be anything.
 */
#ifndef BYTECODE_PATH_H
#define BYTECODE_PATH_H

#include "bytecode/bc.h"

#include <stdint.h>

struct path_code {
	const struct bc_gen *gen;
	const uint32_t *bc; /* n instructions */
	uint32_t n;
};

enum path_end {
	PATH_TO,      /* before the instruction at to */
	PATH_COMPARE, /* the same; or at a comparison that has it as a target */
	PATH_CALL,    /* after the call at to */
	PATH_RETURN,  /* where the function returns */
};

enum path_found { PATH_LOST, PATH_DONE, PATH_COMPARED };

/* The walk passes pos. works: its share of the machine code, 0 if it has none as a rule. */
typedef void path_visit_fn(void *ctx, uint32_t pos, unsigned int works);

/*
 * Walks from the instruction at from. PATH_COMPARED: to is a target of the comparison at *at, and
 * the code goes on at *next. PATH_LOST: it did not come there in reasonable time.
 */
enum path_found path_walk(const struct path_code *c, uint32_t from, uint32_t to, enum path_end end,
			  path_visit_fn *visit, void *ctx, uint32_t *at, uint32_t *next);

#endif
