/* SPDX-License-Identifier: MIT */
/* A profile of one process with a few functions, and what its stacks must be. */
#ifndef TESTS_UNIT_PROF_FIXTURE_H
#define TESTS_UNIT_PROF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/prof_records.h"

#define MAIN 1u
#define FOO 2u
#define HEAVY 3u
#define OTHER 4u

/* A process, a VM, four functions, names, code. */
static inline struct prof *start(const struct prof_opts *opts)
{
	struct prof *p = prof_new(opts);

	assert_non_null(p);
	def_proc(p, PID, "luajit");
	def_vm(p, PID, 1);
	def_func(p, MAIN, "@/srv/a.lua", 0, 40, EV_FUNC_MAIN, 1);
	def_func(p, FOO, "@/srv/a.lua", 10, 3, 0, 2);
	def_func(p, HEAVY, "@/srv/lib/b.lua", 4, 9, 0, 3);
	def_func(p, OTHER, "@/srv/lib/b.lua", 4, 9, 0, 4);
	def_name(p, MAIN, 7, EV_NAME_GLOBAL, "foo");
	def_name(p, FOO, 5, EV_NAME_LOCAL, "heavy");
	def_name(p, FOO, 6, EV_NAME_METHOD, "md5");
	def_sym(p, PID, 0x1000, 0x1100, EV_SYM_FUNC, "sha1_block", "libsha.so");
	def_sym(p, PID, 0x2000, 0x2100, EV_SYM_MODULE, "", "lmd5.so");
	def_sym(p, PID, 0x3000, 0x3100, EV_SYM_BC, "lj_BC_IFORL", "libluajit.so");
	def_sym(p, PID, 0x3100, 0x3200, EV_SYM_VM, "lj_meta_arith", "libluajit.so");
	def_sym(p, PID, 0x3200, 0x3300, EV_SYM_VM, "", "libluajit.so");
	def_sym(p, PID, 0x4000, 0x4100, EV_SYM_ANON, "[vdso]", "");
	def_sym_at(p, PID, 0x5800, 0x5900, 0x800, EV_SYM_MODULE, EV_SYM_LUAJIT, "", "libluajit.so");
	def_ff(p, 1, FF_MATCH, "string.match");
	return p;
}

static inline struct prof *start_default(void)
{
	return start(&(struct prof_opts){0});
}

/* The profile's folded text is this; frees it. */
static inline void check(struct prof *p, const char *want)
{
	char *text = folded(p);

	assert_string_equal(text, want);
	free(text);
	prof_free(p);
}

#endif
