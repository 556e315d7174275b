/* SPDX-License-Identifier: MIT */
/*
 * jit/vmdef.lua, which LuaJIT's build writes beside its library: names of bytecodes, fast
 * functions, trace errors and IR instructions by number (LuaJIT src/host/buildvm.c, buildvm_lib.c).
 * jit.v and jit.dump print from it, and it is the one place that has the texts of trace errors.
 *
 * It is read as data, never run, and may be anything: nothing is believed but what has the form
 * that buildvm gives it. Nothing is allocated.
 */
#ifndef BYTECODE_VMDEF_H
#define BYTECODE_VMDEF_H

#include "bytecode/tables.h"

#include <stddef.h>
#include <stdint.h>

#define VMDEF_SIZE_MAX (1u << 20) /* bytes; those of LuaJIT have less than ten thousand */
#define VMDEF_NAMES_MAX 1024u	  /* of a list; the rest is not looked at */

enum vmdef_list { VMDEF_BC, VMDEF_FF, VMDEF_ERR, VMDEF_IR, VMDEF_LISTS };

struct vmdef {
	const char *text; /* the caller's, as long as this is used */
	struct {
		uint32_t n; /* 0: the file has no such list */
		struct {
			uint32_t at, len;
		} name[VMDEF_NAMES_MAX];
	} list[VMDEF_LISTS];
};

/* 0, or -EINVAL: not one of the lists is there; -E2BIG: longer than VMDEF_SIZE_MAX. */
int vmdef_parse(const char *text, size_t len, struct vmdef *out);

/* Entry i, control characters replaced, as snprintf does; "" if there is none. */
int vmdef_name(const struct vmdef *v, enum vmdef_list list, uint32_t i, char *buf, size_t size);

/* What the tables have in its place; NULL: nothing. */
const char *vmdef_ours(const struct tables *t, enum vmdef_list list, uint32_t i);

/*
 * Do the tables say something else? -1: no, or the file or the tables have no such list; else the
 * first number where they differ.
 */
int64_t vmdef_differs(const struct vmdef *v, enum vmdef_list list, const struct tables *t);

/* The tables that say the same as the file, list by list. NULL where none does. */
void vmdef_tables(const struct vmdef *v, struct tables *out);

#endif
