/* SPDX-License-Identifier: MIT */
/*
 * Why recordings abort: trace errors by generation, and jit.v's words for them. LuaJIT
 * src/lj_traceerr.h. The strings are not in a binary, only in its jit/vmdef.lua, so the table is
 * chosen by what else is known of the build. All tables are static and const.
 */
#ifndef BYTECODE_TRACEERR_H
#define BYTECODE_TRACEERR_H

#include "bytecode/bc.h"
#include "bytecode/ff.h"
#include "bytecode/ir.h"

#include <stddef.h>
#include <stdint.h>

/* Every trace error there ever was since 2.0.0, by an id of our own that no generation changes. */
/* clang-format off */
#define ERR_IDS(_)                                                                                 \
	_(RECERR) _(TRACEUV) _(TRACEOV) _(STACKOV) _(SNAPOV) _(BLACKL) _(RETRY) _(NYIBC)           \
	_(LLEAVE) _(LINNER) _(LUNROLL) _(BADTYPE) _(CJITOFF) _(CUNROLL) _(DOWNREC) _(NYICF)        \
	_(NYIFF) _(NYIFFU) _(NYIRETL) _(STORENN) _(NOMM) _(IDXLOOP) _(NYITMIX) _(NOCACHE)          \
	_(NYICONV) _(NYICALL) _(GFAIL) _(PHIOV) _(TYPEINS) _(MCODEAL) _(MCODEOV) _(MCODELM)        \
	_(SPILLOV) _(BADRA) _(NYIIR) _(NYIPHI) _(NYICOAL)
enum err_id {
#define ERR_ENUM(name) ERR_##name,
	ERR_IDS(ERR_ENUM)
#undef ERR_ENUM
	ERR_MAX
};
/* clang-format on */

struct err_row {
	const char *name; /* "NYIBC" */
	const char *text; /* "NYI: bytecode %d": at most one argument, %d, %s or %p */
	enum err_id id;
};

/* A numbering of trace errors, with the texts of its time. */
struct err_table {
	const char *name; /* the first point of history that has it */
	uint32_t n;	  /* codes 0 .. n-1 */
	const struct err_row *rows;
};

/*
 * The table by the version string ("LuaJIT 2.1.0-beta3") and, where known, the numbering of
 * bytecodes, the fast functions and the IR, which tell forks and dates apart (each may be NULL).
 * NULL: not known. *why: a sentence's end that says what decided, or why nothing did; static.
 */
const struct err_table *err_choose(const char *version, const struct bc_gen *bc,
				   const struct ff_table *ff, const struct ir_table *ir,
				   const char **why);

/* All tables, *n of them. */
const struct err_table *err_all(size_t *n);
const struct err_table *err_by_name(const char *name); /* or NULL */

/* Row of code, or NULL. t may be NULL. */
const struct err_row *err_row(const struct err_table *t, uint32_t code);

/* Code of id in this table, or -1. */
int err_code(const struct err_table *t, enum err_id id);

/* "LLEAVE", of any generation; and back (ERR_MAX: no such name). */
const char *err_id_name(enum err_id id);
enum err_id err_id_by_name(const char *name);

/* jit_State.errinfo, decoded. It is stale but for the errors whose text has an argument. */
enum err_info_kind { ERR_INFO_NONE, ERR_INFO_NUMBER, ERR_INFO_FUNC };
struct err_info {
	enum err_info_kind kind;
	uint32_t number;  /* opcode, IR instruction */
	const char *func; /* what jit.v calls the function: "string.gsub", "x.lua:3", "C:7f00" */
};

enum err_style {
	ERR_PLAIN,     /* ours: names where there are any, no padding */
	ERR_JV,	       /* byte for byte what jit.v of that build prints */
	ERR_JV_NAME,   /* the same, bytecodes always by name, padded to six */
	ERR_JV_NUMBER, /* the same, bytecodes always by number */
};

/*
 * Writes the reason as snprintf does. bc and ir may be NULL: then there are numbers; also t, then
 * it is "trace error 7". One thing cannot be had: builds of 2013 to 2015 and 2.0.0 to 2.0.4 print
 * a C function as the address of a string (%p); here it is the function.
 */
int err_format(char *buf, size_t size, const struct err_table *t, uint32_t code,
	       const struct err_info *info, const struct bc_gen *bc, const struct ir_table *ir,
	       enum err_style style);

#endif
