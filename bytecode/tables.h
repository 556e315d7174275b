/* SPDX-License-Identifier: MIT */
/*
 * All numberings of one build, chosen together by evidence from its binary.
 *
 * Fill a struct tables_evidence: zero it, set what is known, call tables_scan with each read-only
 * segment, then tables_choose. What cannot be told is NULL, and callers print numbers. Nothing
 * fails, nothing is allocated; the tables are static.
 */
#ifndef BYTECODE_TABLES_H
#define BYTECODE_TABLES_H

#include "bytecode/bc.h"
#include "bytecode/ff.h"
#include "bytecode/ir.h"
#include "bytecode/layout.h"
#include "bytecode/traceerr.h"

#include <stddef.h>
#include <stdint.h>

struct tables_evidence {
	const char *version;	     /* "LuaJIT 2.1.0-beta3", or NULL or "": not known */
	const struct layout *layout; /* as verified against a live VM; NULL: there is none */
	/* What tables_scan found. */
	const struct bc_gen *bc;
	const struct ff_table *ff;
	const struct ir_table *ir;
	uint32_t ff_named;		     /* names in the streams of fast functions */
	int bc_differ, ff_differ, ir_differ; /* two segments disagree */
};

/* Adds what is found in a read-only segment. */
void tables_scan(struct tables_evidence *e, const void *rodata, size_t len);
/* The same of opcodes and IR instructions only: fast functions take most of the time. */
void tables_scan_modes(struct tables_evidence *e, const void *rodata, size_t len);

#define TABLES_WHY 192

struct tables {
	const struct bc_gen *bc;
	const struct ff_table *ff;
	const struct err_table *err;
	const struct ir_table *ir;
	/* What chose each, or why it is not known. */
	char bc_why[TABLES_WHY], ff_why[TABLES_WHY], err_why[TABLES_WHY], ir_why[TABLES_WHY];
};

void tables_choose(const struct tables_evidence *e, struct tables *out);

/*
 * The tables of a point of history ("openresty v2.1-20230119", "+52" after it for LUA52COMPAT) or
 * of a generation of bytecodes ("G21"), where only bc is set. A unique part of a name will do, in
 * any case. Returns how many points match: 1, or 0 or more and out is untouched.
 */
size_t tables_by_name(const char *name, struct tables *out);

/* Name of point i, oldest upstream first; NULL: there are no more. */
const char *tables_point(size_t i);

#endif
