/* SPDX-License-Identifier: MIT */
/*
 * Fast functions by number. The numbers differ between builds, so a table is chosen by evidence:
 * the lj_lib_init_* streams in a binary's read-only data (LuaJIT src/lj_lib.c:lj_lib_register,
 * src/host/buildvm_lib.c), which list the names in the order of their numbers.
 */
#ifndef BYTECODE_FF_H
#define BYTECODE_FF_H

#include <stddef.h>
#include <stdint.h>

/* A numbering of fast functions; static and const. Ids 0 and 1 are Lua and C functions. */
struct ff_table {
	const char *name;	  /* which point of history, "+52" for LUA52COMPAT */
	uint32_t n;		  /* ids 0 .. n-1 */
	const char *const *names; /* "string.match" */
	uint8_t lua52;
};

/*
 * The one table that agrees with all the streams found in a binary's read-only data; NULL if there
 * are no streams or none agrees. *n_named: how many names the streams gave (0: no streams).
 */
const struct ff_table *ff_choose(const void *rodata, size_t len, uint32_t *n_named);

/* All tables, *n of them. */
const struct ff_table *ff_all(size_t *n);
const struct ff_table *ff_by_name(const char *name); /* or NULL */

/* Name of fast function id, or NULL. t may be NULL. */
const char *ff_name(const struct ff_table *t, uint32_t id);

#endif
