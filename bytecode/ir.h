/* SPDX-License-Identifier: MIT */
/*
 * Names of IR instructions by generation. LuaJIT src/lj_ir.h IRDEF. All tables are static and
 * const. Needed for the number that comes with "cannot assemble IR instruction".
 */
#ifndef BYTECODE_IR_H
#define BYTECODE_IR_H

#include <stddef.h>
#include <stdint.h>

/* A numbering of IR instructions. */
struct ir_table {
	const char *name; /* the point of history since which it is so */
	uint32_t n;	  /* instructions 0 .. n-1 */
	const char *const *names;
};

/*
 * The table by the run of lj_ir_mode[] in a binary's read-only data (LuaJIT src/lj_ir.c), one byte
 * per instruction and a zero. NULL: there is none (no JIT compiler, or an unknown build), or there
 * are several that disagree.
 */
const struct ir_table *ir_by_mode(const void *rodata, size_t len);

/* The one table of n instructions; NULL: none, or more than one. */
const struct ir_table *ir_by_count(uint32_t n);

/* All tables, *n of them. */
const struct ir_table *ir_all(size_t *n);
const struct ir_table *ir_by_name(const char *name); /* or NULL */

/* Name of instruction op, or NULL. t may be NULL. */
const char *ir_name(const struct ir_table *t, uint32_t op);

#endif
