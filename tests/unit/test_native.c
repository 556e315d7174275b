// SPDX-License-Identifier: MIT
/* profiler/native.c: C and Lua frames of a sample in one stack, by what EV_NATIVE says. */
#include "tests/unit/prof_records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
	F_MAIN = 1,
	F_WORK,
	/* addresses */
	A_START = 0x1000,
	A_MAIN = 0x1100,
	A_PCALL = 0x2000, /* of the file with the VM */
	A_STR_NEW = 0x2100,
	A_LCALL = 0x3000, /* a C function that Lua calls */
	A_INNER = 0x3100,
	A_BARE = 0x4000, /* of a file without symbols */
};
#define A_READ 0xffffffff81000000ull

static struct prof *setup(void)
{
	struct prof *p = prof_new(&(struct prof_opts){.lines = 0});

	assert_non_null(p);
	def_proc(p, PID, "app");
	def_vm(p, PID, 1);
	def_func(p, F_MAIN, "@a.lua", 0, 30, EV_FUNC_MAIN, 1);
	def_func(p, F_WORK, "@a.lua", 5, 3, 0, 2);
	def_name(p, F_MAIN, 4, EV_NAME_LOCAL, "work");
	def_sym(p, PID, A_START, A_START + 0x100, EV_SYM_FUNC, "_start", "app");
	def_sym(p, PID, A_MAIN, A_MAIN + 0x100, EV_SYM_FUNC, "main", "app");
	def_sym_at(p, PID, A_PCALL, A_PCALL + 0x100, A_PCALL, EV_SYM_FUNC, EV_SYM_LUAJIT,
		   "lua_pcall", "l.so");
	def_sym_at(p, PID, A_STR_NEW, A_STR_NEW + 0x100, A_STR_NEW, EV_SYM_FUNC, EV_SYM_LUAJIT,
		   "lj_str_new", "l.so");
	def_sym(p, PID, A_LCALL, A_LCALL + 0x100, EV_SYM_FUNC, "l_call", "m.so");
	def_sym(p, PID, A_INNER, A_INNER + 0x100, EV_SYM_FUNC, "inner", "m.so");
	def_sym(p, PID, A_BARE, A_BARE + 0x100, EV_SYM_MODULE, "", "bare.so");
	def_sym(p, PID, A_READ, A_READ + 0x100, EV_SYM_KERNEL, "vfs_read", "");
	def_ff(p, 1, FF_MATCH, "string.match");
	return p;
}

static void add_native(struct prof *p, uint64_t time, unsigned int why, unsigned int nkernel,
		       const ev_u64 *word, size_t n)
{
	struct {
		struct ev_native e;
		ev_u64 word[32];
	} r = {.e = {.h = {.kind = EV_NATIVE, .pid = PID, .time = time},
		     .nkernel = (ev_u16)nkernel,
		     .nwords = (ev_u16)n,
		     .why = (ev_u8)why}};

	r.e.h.size = (ev_u32)(sizeof(r.e) + n * sizeof(*word));
	memcpy(r.e.word, word, n * sizeof(*word));
	assert_int_equal(prof_add(p, &r.e.h), 0);
}

/* The words, leaf first. */
#define NATIVE(p, time, why, nkernel, ...)                               \
	add_native(p, time, why, nkernel, (const ev_u64[]){__VA_ARGS__}, \
		   sizeof((const ev_u64[]){__VA_ARGS__}) / sizeof(ev_u64))
#define IN(from, to) EV_NATIVE_LUA(from, to)
#define BOTTOM A_PCALL + 8, A_MAIN + 8, A_START + 8

static void check(struct prof *p, const char *want)
{
	char *got = folded(p);

	assert_string_equal(got, want);
	free(got);
	prof_free(p);
}

#define WORK LUA(F_WORK, 2, 6)
#define MAIN LUA(F_MAIN, 4, 9)

static void test_order(void **state)
{
	struct prof *p = setup();

	(void)state;
	/* C leaf, C function, Lua, C, Lua, C down to _start; the C function is on both sides. */
	NATIVE(p, 5, 0, 0, A_INNER + 4, A_LCALL + 9, IN(0, 2), A_INNER + 6, A_LCALL + 7, IN(2, 4),
	       BOTTOM);
	SAMPLE(p, ({.state = EV_STATE_C, .time = 5}), CFUNC(A_LCALL), WORK, CFUNC(A_LCALL), MAIN);
	check(p, "C:_start;C:main;C:lua_pcall;main chunk a.lua;C:l_call;C:inner;"
		 "a.lua:5;C:l_call;C:inner 1\n");
}

static void test_other_coroutine(void **state)
{
	struct prof *p = setup();

	(void)state;
	/* Frames of a coroutine that C resumed come behind those of the sample's own. */
	NATIVE(p, 5, 0, 0, IN(0, 1), A_INNER + 6, A_LCALL + 7, IN(1, 4), BOTTOM);
	SAMPLE(p, ({.state = EV_STATE_TRACE, .flags = EV_SF_MCODE, .time = 5, .trace = 7}), WORK,
	       CORO, CFUNC(A_LCALL), MAIN);
	check(p, "C:_start;C:main;C:lua_pcall;main chunk a.lua;C:l_call;C:inner;"
		 "a.lua:5;trace#7 1\n");
}

static void test_helpers_and_gc(void **state)
{
	struct prof *p = setup();
	struct prof_row *rows;
	size_t n;

	(void)state;
	NATIVE(p, 5, 0, 0, A_STR_NEW + 4, IN(0, 2), BOTTOM);
	SAMPLE(p, ({.state = EV_STATE_GC, .time = 5}), WORK, MAIN);
	/* A sample of another time has none. */
	SAMPLE(p, ({.state = EV_STATE_GC, .time = 6}), WORK, MAIN);
	NATIVE(p, 7, 0, 1, A_READ + 1, A_STR_NEW + 4, IN(0, 2), BOTTOM);
	SAMPLE(p, ({.state = EV_STATE_INTERP, .time = 7, .flags = EV_SF_KERNEL}), WORK, MAIN);
	assert_int_equal(prof_finish(p), 0);
	rows = prof_rows(p, &n);
	/* What the VM does for a function is the function's own time. */
	assert_string_equal(prof_frame(p, rows[0].frame)->name, "work");
	assert_int_equal(rows[0].self, 3);
	free(rows);
	assert_int_equal(prof_stats(p)->native, 2);
	assert_int_equal(prof_stats(p)->by_native[EV_NATIVE_NONE], 2);
	check(p, "C:_start;C:main;C:lua_pcall;main chunk a.lua;work "
		 "a.lua:5;C:lj_str_new;[kernel];kernel:vfs_read 1\n"
		 "C:_start;C:main;C:lua_pcall;main chunk a.lua;work a.lua:5;[GC];C:lj_str_new 1\n"
		 "main chunk a.lua;work a.lua:5;[GC] 1\n");
}

static void test_gaps(void **state)
{
	struct prof *p = setup();

	(void)state;
	/* It goes on at the next crossing. */
	NATIVE(p, 5, 0, 0, A_BARE + 1, EV_NATIVE_GAP(EV_NATIVE_NO_INFO), IN(0, 2), BOTTOM);
	SAMPLE(p, ({.state = EV_STATE_C, .time = 5}), WORK, MAIN);
	/* Or it ends, before and behind the Lua frames. */
	NATIVE(p, 6, EV_NATIVE_NO_INFO, 0, A_INNER + 1, IN(0, 2), A_PCALL + 8, A_BARE + 8);
	SAMPLE(p, ({.state = EV_STATE_C, .time = 6}), WORK, MAIN);
	NATIVE(p, 7, EV_NATIVE_READ, 0, A_INNER + 1, IN(0, 1));
	SAMPLE(p, ({.state = EV_STATE_C, .time = 7}), WORK, MAIN);
	assert_int_equal(prof_finish(p), 0);
	assert_int_equal(prof_stats(p)->native, 3);
	assert_int_equal(prof_stats(p)->by_native[EV_NATIVE_NO_INFO], 2);
	assert_int_equal(prof_stats(p)->by_native[EV_NATIVE_READ], 1);
	check(p,
	      "C:_start;C:main;C:lua_pcall;main chunk a.lua;work a.lua:5;[native: no unwind info "
	      "in bare.so];"
	      "C:?@bare.so+0x4000 1\n"
	      "[native: no unwind info in bare.so];C:?@bare.so+0x4000;C:lua_pcall;main chunk a.lua;"
	      "work a.lua:5;C:inner 1\n"
	      "main chunk a.lua;[native: stack not readable];work a.lua:5;C:inner 1\n");
}

static void test_outside(void **state)
{
	struct prof *p = setup();

	(void)state;
	NATIVE(p, 5, 0, 1, A_READ + 4, A_INNER + 4, A_MAIN + 8, A_START + 8);
	BARE(
	    p,
	    ({.state = EV_STATE_OUTSIDE, .why = EV_WHY_OUTSIDE, .time = 5, .flags = EV_SF_KERNEL}));
	/* The kernel's alone: as without C frames otherwise. */
	NATIVE(p, 6, EV_NATIVE_NOT_ASKED, 1, A_READ + 4);
	BARE(
	    p,
	    ({.state = EV_STATE_OUTSIDE, .why = EV_WHY_OUTSIDE, .time = 6, .flags = EV_SF_KERNEL}));
	assert_int_equal(prof_finish(p), 0);
	assert_int_equal(prof_stats(p)->native, 1);
	/* Places of Lua frames that there are not: nothing is known of it. */
	NATIVE(p, 7, EV_NATIVE_NONE, 0, IN(0, 1), IN(3, 2));
	SAMPLE(p, ({.state = EV_STATE_OUTSIDE, .why = EV_WHY_OUTSIDE, .time = 7}));
	assert_int_equal(prof_stats(p)->by_why[EV_WHY_OUTSIDE], 3);
	check(p, "C:_start;C:main;C:inner;[kernel];kernel:vfs_read 1\n"
		 "[no Lua stack: outside Lua] 1\n"
		 "[no Lua stack: outside Lua];[kernel];kernel:vfs_read 1\n");
}

static void test_inlined(void **state)
{
	struct ev_inline one = {.h.pid = PID, .addr = A_INNER + 4, .n = 2};
	struct ev_inline two = {.h.pid = PID, .addr = A_LCALL + 9, .n = 1};
	struct prof *p = setup();

	(void)state;
	ADD_STRS(p, one, EV_INLINE, "leaf\tx.c:17\nouter");
	ADD_STRS(p, two, EV_INLINE, "wrap");
	NATIVE(p, 5, 0, 0, A_INNER + 4, A_LCALL + 9, IN(0, 3), BOTTOM);
	SAMPLE(p, ({.state = EV_STATE_C, .time = 5}), CFUNC(A_LCALL), WORK, MAIN);
	/* At another address they are not. */
	NATIVE(p, 6, 0, 0, A_INNER + 5, A_LCALL + 8, IN(0, 3), BOTTOM);
	SAMPLE(p, ({.state = EV_STATE_C, .time = 6}), CFUNC(A_LCALL), WORK, MAIN);
	check(p, "C:_start;C:main;C:lua_pcall;main chunk a.lua;work a.lua:5;C:l_call;C:inner 1\n"
		 "C:_start;C:main;C:lua_pcall;main chunk a.lua;work a.lua:5;C:l_call;"
		 "C:wrap (inlined);C:inner;C:outer (inlined);C:leaf (inlined at x.c:17) 1\n");
}

/* Places that are in no Lua stack, and words of nothing. */
static void test_hostile(void **state)
{
	struct prof *p = setup();

	(void)state;
	NATIVE(p, 5, 77, 0, IN(200, 256), IN(1, 2), IN(0, 2), EV_NATIVE_GAP(99), 7ull << 56);
	SAMPLE(p, ({.state = EV_STATE_C, .time = 5}), WORK, MAIN);
	NATIVE(p, 6, 0, 3, 1, 2, 3);
	SAMPLE(p, ({.state = EV_STATE_C, .time = 6}), WORK, MAIN);
	assert_int_equal(prof_finish(p), 0);
	assert_int_equal(prof_stats(p)->samples, 2);
	prof_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),	   cmocka_unit_test(test_other_coroutine),
	    cmocka_unit_test(test_helpers_and_gc), cmocka_unit_test(test_gaps),
	    cmocka_unit_test(test_outside),	   cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_inlined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
