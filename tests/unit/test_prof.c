// SPDX-License-Identifier: MIT
/* The fold: stacks as text, rows, what is hostile or missing. */
#include "tests/unit/prof_fixture.h"

static void test_trace(void **state)
{
	struct prof *p = start_default();

	(void)state;
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 1, .flags = EV_SF_MCODE, .ip = 0x1010}),
	       START(HEAVY, 9, 7), LUA(HEAVY, EV_NO_PC, 0), LUA(FOO, 5, 0), LUA(MAIN, 7, 0));
	/* Called from compiled code. */
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 1, .ip = 0x1010}), START(HEAVY, 9, 7),
	       LUA(HEAVY, EV_NO_PC, 0));
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 1, .ip = 0x3110}), START(HEAVY, 9, 7),
	       LUA(HEAVY, EV_NO_PC, 0));
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 1, .ip = 0x2050}), START(HEAVY, 9, 7),
	       LUA(HEAVY, EV_NO_PC, 0));
	/* The start is not known; the walk failed. */
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 5, .flags = EV_SF_MCODE}),
	       LUA(HEAVY, EV_NO_PC, 0));
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 6, .flags = EV_SF_MCODE}), START(999, 9, 7),
	       LUA(HEAVY, EV_NO_PC, 0));
	BARE(p, ({.state = EV_STATE_TRACE,
		  .trace = 5,
		  .why = EV_WHY_BAD_BASE,
		  .flags = EV_SF_MCODE | EV_SF_KERNEL}));
	check(p,
	      "[no Lua stack: no valid stack base];trace#5;[kernel] 1\n"
	      "heavy /srv/lib/b.lua:4;trace#1:b.lua:7;C:?@lmd5.so+0x2000 1\n"
	      "heavy /srv/lib/b.lua:4;trace#1:b.lua:7;C:sha1_block 1\n"
	      "heavy /srv/lib/b.lua:4;trace#1:b.lua:7;lj_meta_arith 1\n"
	      "heavy /srv/lib/b.lua:4;trace#5 1\n"
	      "heavy /srv/lib/b.lua:4;trace#6:[undefined] 1\n"
	      "main chunk /srv/a.lua;foo /srv/a.lua:10;heavy /srv/lib/b.lua:4;trace#1:b.lua:7 1\n");
}

static void test_state_leaves(void **state)
{
	static const struct {
		struct sample s;
		const char *leaf;
	} cases[] = {
	    {{.state = EV_STATE_INTERP, .ip = 0x3010}, ";lj_BC_IFORL"},
	    {{.state = EV_STATE_INTERP, .ip = 0x3110}, ";lj_meta_arith"},
	    {{.state = EV_STATE_INTERP, .ip = 0x3210}, ";lj_vm"},
	    {{.state = EV_STATE_INTERP, .ip = 0x1010}, ";C:sha1_block"},
	    {{.state = EV_STATE_INTERP, .ip = 0x2010}, ";C:?@lmd5.so+0x2000"},
	    {{.state = EV_STATE_INTERP, .ip = 0x4010}, ""},
	    {{.state = EV_STATE_INTERP, .ip = 0x9999, .flags = EV_SF_VMCODE}, ";lj_vm"},
	    {{.state = EV_STATE_INTERP, .ip = 0x9999}, ""},
	    {{.state = EV_STATE_INTERP, .ip = 0x3010, .flags = EV_SF_KERNEL}, ";[kernel]"},
	    {{.state = EV_STATE_C, .ip = 0x1010}, ";C:sha1_block"},
	    {{.state = EV_STATE_C, .ip = 0x1010, .flags = EV_SF_KERNEL}, ";[kernel]"},
	    {{.state = EV_STATE_C, .ip = 0x3010}, ""},
	    {{.state = EV_STATE_C, .ip = 0x2010}, ""},
	    {{.state = EV_STATE_GC}, ";[GC]"},
	    {{.state = EV_STATE_EXIT}, ";[exit]"},
	    {{.state = EV_STATE_RECORD}, ";[JIT] record"},
	    {{.state = EV_STATE_OPT}, ";[JIT] optimise"},
	    {{.state = EV_STATE_ASM}, ";[JIT] assemble"},
	    {{.state = EV_STATE_GC, .flags = EV_SF_KERNEL}, ";[GC];[kernel]"},
	    {{.state = EV_STATE_UNKNOWN, .ip = 0x1010}, ""},
	    {{.state = 200}, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct prof *p = start_default();
		struct ev_frame f[] = {LUA(FOO, 1, 0)};
		char want[256];

		add_sample(p, &cases[i].s, f, 1);
		snprintf(want, sizeof(want), "/srv/a.lua:10%s 1\n", cases[i].leaf);
		check(p, want);
	}
}

static void test_c_leaf_is_not_doubled(void **state)
{
	struct prof *p = start_default();

	(void)state;
	def_sym(p, PID, 0x5000, 0x5100, EV_SYM_FUNC, "lua_sha1", "libsha.so");
	SAMPLE(p, ({.state = EV_STATE_C, .ip = 0x5080}), CFUNC(0x5000), LUA(FOO, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_C, .ip = 0x1010}), CFUNC(0x5000), LUA(FOO, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_C}), CFUNC(0x4000), LUA(FOO, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_C}), CFUNC(0x3100), LUA(FOO, 1, 0));
	/* The same function in two parts. */
	def_sym_at(p, PID, 0x5000, 0x5040, 0x5000, EV_SYM_FUNC, 0, "lua_sha1", "libsha.so");
	def_sym_at(p, PID, 0x5040, 0x5100, 0x5000, EV_SYM_FUNC, 0, "lua_sha1", "libsha.so");
	SAMPLE(p, ({.state = EV_STATE_C, .ip = 0x5080}), CFUNC(0x5000), LUA(FOO, 1, 0));
	check(p, "/srv/a.lua:10;C:?@[vdso] 1\n"
		 "/srv/a.lua:10;C:lj_meta_arith 1\n"
		 "/srv/a.lua:10;C:lua_sha1 2\n"
		 "/srv/a.lua:10;C:lua_sha1;C:sha1_block 1\n");
}

static void test_no_stack(void **state)
{
	struct prof *p = start_default();

	(void)state;
	BARE(p, ({.state = EV_STATE_OUTSIDE, .why = EV_WHY_OUTSIDE, .ip = 0x1010}));
	BARE(p, ({.state = EV_STATE_OUTSIDE,
		  .why = EV_WHY_OUTSIDE,
		  .ip = 0x1010,
		  .flags = EV_SF_KERNEL}));
	BARE(p, ({.state = EV_STATE_OUTSIDE, .why = EV_WHY_OUTSIDE, .ip = 0x2010}));
	BARE(p, ({.why = EV_WHY_NO_VM}));
	BARE(p, ({.why = EV_WHY_NO_REGS, .flags = EV_SF_KERNEL}));
	BARE(p, ({.why = 99}));
	BARE(p, ({.state = EV_STATE_GC}));
	SAMPLE(p, ({.why = EV_WHY_BAD_FRAME}), LUA(HEAVY, 1, 0), LUA(FOO, 1, 0));
	SAMPLE(p, ({.flags = EV_SF_TRUNCATED}), LUA(HEAVY, 1, 0), LUA(FOO, 1, 0));
	SAMPLE(p, ({0}), CORO);
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 2, .flags = EV_SF_MCODE}), START(FOO, 1, 11));
	assert_int_equal(prof_stats(p)->samples, 11);
	assert_int_equal(prof_stats(p)->with_lua, 2);
	assert_int_equal(prof_stats(p)->kernel, 2);
	assert_int_equal(prof_stats(p)->truncated, 1);
	assert_int_equal(prof_stats(p)->by_state[EV_STATE_OUTSIDE], 3);
	assert_int_equal(prof_stats(p)->by_why[EV_WHY_OUTSIDE], 4);
	assert_int_equal(prof_stats(p)->by_why[EV_WHY_NONE], 1);
	check(p, "[no Lua stack: inconsistent frame] 2\n"
		 "[no Lua stack: inconsistent frame];/srv/a.lua:10;/srv/lib/b.lua:4 1\n"
		 "[no Lua stack: inconsistent frame];trace#2:a.lua:11 1\n"
		 "[no Lua stack: kernel: no user registers];[kernel] 1\n"
		 "[no Lua stack: no VM found yet] 1\n"
		 "[no Lua stack: outside Lua] 1\n"
		 "[no Lua stack: outside Lua];C:sha1_block 1\n"
		 "[no Lua stack: outside Lua];[GC] 1\n"
		 "[no Lua stack: outside Lua];[kernel] 1\n"
		 "[truncated];/srv/a.lua:10;/srv/lib/b.lua:4 1\n");
}

static void test_undefined(void **state)
{
	struct prof *p = start_default();

	(void)state;
	SAMPLE(p, ({0}), LUA(999, 1, 5), CFUNC(0x777), LUA(EV_NO_PROTO, 1, 0), FAST(200),
	       {.kind = 77}, START(FOO, 1, 1));
	SAMPLE(p, ({.pid = 555}), CFUNC(0x1000), FAST(FF_MATCH));
	def_ff(p, 1, 201, "");
	SAMPLE(p, ({0}), FAST(201));
	assert_int_equal(prof_stats(p)->undefined, 2);
	check(p, "[undefined];[undefined];fastfunc#200;[undefined];[undefined];[undefined] 1\n"
		 "fastfunc#201 1\n"
		 "fastfunc#77;[undefined] 1\n");
}

static void test_generations(void **state)
{
	struct prof *p = start_default();

	(void)state;
	SAMPLE(p, ({.state = EV_STATE_C, .ip = 0x1010}), FAST(FF_MATCH), LUA(FOO, 1, 0));
	def_proc(p, PID, "luajit");
	SAMPLE(p, ({.state = EV_STATE_C, .ip = 0x1010}), FAST(FF_MATCH), LUA(FOO, 1, 0));
	def_vm(p, PID, 1);
	def_sym(p, PID, 0x1000, 0x1100, EV_SYM_FUNC, "other", "x");
	SAMPLE(p, ({.state = EV_STATE_C, .ip = 0x1010}), FAST(FF_MATCH), LUA(FOO, 1, 0));
	ADD(p, ((struct ev_exec){.h.pid = PID}), EV_EXEC);
	SAMPLE(p, ({.state = EV_STATE_C, .ip = 0x1010}), CFUNC(0x1000), LUA(FOO, 1, 0));
	check(p, "/srv/a.lua:10;[undefined] 1\n"
		 "/srv/a.lua:10;fastfunc#77 1\n"
		 "/srv/a.lua:10;string.match;C:other 1\n"
		 "/srv/a.lua:10;string.match;C:sha1_block 1\n");
}

static void test_newest_symbol(void **state)
{
	struct prof *p = start_default();

	(void)state;
	def_sym(p, PID, 0x6000, 0x6100, EV_SYM_FUNC, "wide", "m");
	def_sym(p, PID, 0x6040, 0x6080, EV_SYM_FUNC, "inner", "m");
	def_sym(p, PID, 0x60f0, 0x6200, EV_SYM_FUNC, "tail", "m");
	def_sym(p, PID, 0x6300, 0x6300, EV_SYM_FUNC, "empty", "m");
	SAMPLE(p, ({0}), CFUNC(0x6000));
	SAMPLE(p, ({0}), CFUNC(0x6040));
	SAMPLE(p, ({0}), CFUNC(0x607f));
	SAMPLE(p, ({0}), CFUNC(0x6080));
	SAMPLE(p, ({0}), CFUNC(0x60f0));
	SAMPLE(p, ({0}), CFUNC(0x61ff));
	SAMPLE(p, ({0}), CFUNC(0x6300));
	def_sym(p, PID, 0x5f00, 0x7000, EV_SYM_FUNC, "all", "m");
	SAMPLE(p, ({0}), CFUNC(0x6050));
	check(p, "C:all 1\nC:inner 2\nC:tail 2\nC:wide 2\n[undefined] 1\n");
}

static void test_lines(void **state)
{
	struct prof *p = start(&(struct prof_opts){.lines = 1});

	(void)state;
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 1, .flags = EV_SF_MCODE}), START(HEAVY, 9, 7),
	       LUA(HEAVY, 1, 7), LUA(FOO, 5, 12), LUA(MAIN, 7, 0));
	SAMPLE(p, ({.state = EV_STATE_INTERP}), LUA(HEAVY, 1, 8), LUA(FOO, 5, 12), LUA(MAIN, 7, 0));
	check(p, "main chunk /srv/a.lua;foo /srv/a.lua:10;/srv/a.lua:12;heavy /srv/lib/b.lua:4;"
		 "/srv/lib/b.lua:7;trace#1:b.lua:7 1\n"
		 "main chunk /srv/a.lua;foo /srv/a.lua:10;/srv/a.lua:12;heavy /srv/lib/b.lua:4;"
		 "/srv/lib/b.lua:8 1\n");
}

static void test_processes(void **state)
{
	struct prof *p = start(&(struct prof_opts){.split = 1u << PROF_BY_PROCESS});
	const struct prof_process *procs;
	size_t n;

	(void)state;
	def_proc(p, 101, "evil; 7");
	SAMPLE(p, ({.times = 2}), LUA(FOO, 1, 0));
	SAMPLE(p, ({.pid = 101}), LUA(FOO, 1, 0));
	SAMPLE(p, ({.pid = 102}), LUA(FOO, 1, 0));
	assert_int_equal(prof_finish(p), 0);
	procs = prof_processes(p, &n);
	assert_int_equal(n, 3);
	assert_int_equal(procs[0].pid, PID);
	assert_int_equal(procs[0].samples, 2);
	assert_string_equal(procs[1].comm, "evil: 7");
	assert_string_equal(prof_builds(p), "LuaJIT 2.1.0-beta3 (luajit2-20230119)");
	check(p,
	      "?:102;/srv/a.lua:10 1\nevil: 7:101;/srv/a.lua:10 1\nluajit:100;/srv/a.lua:10 2\n");

	p = start(&(struct prof_opts){.pid = 101});
	SAMPLE(p, ({.times = 2}), LUA(FOO, 1, 0));
	SAMPLE(p, ({.pid = 101}), LUA(HEAVY, 1, 0));
	check(p, "/srv/lib/b.lua:4 1\n");
}

/* Workers run the same code: one function. Another function on the same line is another one. */
static void test_identity(void **state)
{
	struct prof *p = start_default();
	struct ev_func ev = {
	    .h.pid = 101, .id = 20, .g = VM_G, .firstline = 10, .numline = 3, .content = 2};

	(void)state;
	def_proc(p, 101, "luajit");
	def_vm(p, 101, 1);
	ADD_STRS(p, ev, EV_FUNC, "@/srv/a.lua");
	SAMPLE(p, ({.state = EV_STATE_INTERP}), LUA(FOO, 1, 0));
	SAMPLE(p, ({.pid = 101}), LUA(20, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_INTERP}), LUA(HEAVY, 1, 0), LUA(FOO, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_INTERP}), LUA(OTHER, 1, 0), LUA(FOO, 1, 0));
	assert_int_equal(prof_finish(p), 0);
	assert_int_equal(prof_root(p)->nchildren, 1);
	assert_int_equal(prof_root(p)->children[0]->nchildren, 2);
	assert_int_equal(prof_root(p)->by_state[EV_STATE_INTERP], 3);
	/* Their text is the same, and so they share a line. */
	check(p, "/srv/a.lua:10 2\n/srv/a.lua:10;/srv/lib/b.lua:4 2\n");
}

/* Lines are in the order of LC_ALL=C sort, which sees the blank and the count too. */
static void test_order(void **state)
{
	struct prof *p = prof_new(&(struct prof_opts){0});
	static const char *const names[] = {"@a", "@a b", "@a!", "@a b 1x", "@a\xc3\xa9", "@a-"};
	const char *prev = "";
	unsigned int lines = 0;
	char *text;

	(void)state;
	for (uint32_t i = 0; i < 6; i++)
		def_func(p, i + 1, names[i], 0, 1, EV_FUNC_BUILTIN, i);
	for (uint32_t i = 1; i <= 6; i++)
		for (uint32_t k = 1; k <= 6; k++) {
			SAMPLE(p, ({.times = i * k}), LUA(i, 1, 0), LUA(k, 1, 0));
			SAMPLE(p, ({.times = 7 * k}), LUA(k, 1, 0));
		}
	text = folded(p);
	for (char *s = strtok(text, "\n"); s; s = strtok(NULL, "\n"), lines++) {
		assert_true(strcmp(prev, s) < 0);
		prev = s;
	}
	assert_int_equal(lines, 42);
	free(text);
	prof_free(p);
}

static const struct prof_row *row(const struct prof *p, const struct prof_row *rows, size_t n,
				  const char *label)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(prof_frame(p, rows[i].frame)->label, label))
			return &rows[i];
	return NULL;
}

static void check_row(const struct prof *p, const struct prof_row *rows, size_t n,
		      const char *label, uint64_t self, uint64_t total)
{
	const struct prof_row *r = row(p, rows, n, label);

	assert_non_null(r);
	assert_int_equal(r->self, self);
	assert_int_equal(r->total, total);
}

static void test_rows(void **state)
{
	struct prof *p = start_default();
	struct prof_row *rows;
	uint64_t self = 0;
	size_t n;

	(void)state;
	/* foo calls itself: counted once. The handler at the top is not a function. */
	SAMPLE(p, ({.state = EV_STATE_INTERP, .ip = 0x3010, .times = 4}), LUA(FOO, 1, 0),
	       LUA(HEAVY, 1, 0), LUA(FOO, 1, 0), LUA(MAIN, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 1, .flags = EV_SF_MCODE, .times = 3}),
	       START(HEAVY, 9, 7), LUA(HEAVY, 1, 0), LUA(MAIN, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_GC, .times = 2}), LUA(FOO, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_C, .ip = 0x1010, .times = 2}), FAST(FF_MATCH),
	       LUA(FOO, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_INTERP, .ip = 0x1010}), LUA(FOO, 1, 0));
	BARE(p, ({.state = EV_STATE_OUTSIDE, .why = EV_WHY_OUTSIDE, .ip = 0x1010, .times = 2}));
	BARE(p, ({.state = EV_STATE_OUTSIDE, .why = EV_WHY_OUTSIDE, .flags = EV_SF_KERNEL}));
	BARE(p, ({.state = EV_STATE_TRACE, .trace = 8, .why = EV_WHY_READ, .flags = EV_SF_MCODE}));
	SAMPLE(p, ({0}), LUA(999, 1, 0), LUA(FOO, 1, 0));
	assert_int_equal(prof_finish(p), 0);
	rows = prof_rows(p, &n);
	assert_non_null(rows);
	check_row(p, rows, n, "/srv/a.lua:10", 7, 10);
	check_row(p, rows, n, "/srv/lib/b.lua:4", 3, 7);
	check_row(p, rows, n, "main chunk /srv/a.lua", 0, 7);
	check_row(p, rows, n, "trace#1:b.lua:7", 3, 3);
	check_row(p, rows, n, "trace#8", 1, 1);
	check_row(p, rows, n, "[GC]", 0, 2);
	check_row(p, rows, n, "string.match", 2, 2);
	check_row(p, rows, n, "C:sha1_block", 2, 5);
	check_row(p, rows, n, "[kernel]", 1, 1);
	check_row(p, rows, n, "[undefined]", 1, 1);
	check_row(p, rows, n, "[no Lua stack: outside Lua]", 0, 3);
	check_row(p, rows, n, "[no Lua stack: memory not readable]", 1, 1);
	assert_null(row(p, rows, n, "lj_BC_IFORL"));
	assert_null(row(p, rows, n, "all"));
	assert_int_equal(row(p, rows, n, "/srv/a.lua:10")->by_state[EV_STATE_INTERP], 5);
	assert_int_equal(row(p, rows, n, "/srv/a.lua:10")->by_state[EV_STATE_GC], 2);
	assert_int_equal(row(p, rows, n, "trace#1:b.lua:7")->by_state[EV_STATE_TRACE], 3);
	for (size_t i = 0; i < n; i++) {
		if (i)
			assert_true(rows[i - 1].self >= rows[i].self);
		if (prof_frame(p, rows[i].frame)->kind != PROF_TRACE)
			self += rows[i].self;
	}
	/* Each sample is in exactly one row. */
	assert_int_equal(self, prof_stats(p)->samples);
	free(rows);
	prof_free(p);
}

static void test_frame_fields(void **state)
{
	struct prof *p = start_default();
	const struct prof_node *n;

	(void)state;
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 1, .flags = EV_SF_MCODE}), START(HEAVY, 9, 7),
	       CFUNC(0x1000), LUA(FOO, 1, 0), LUA(MAIN, 7, 0));
	assert_int_equal(prof_finish(p), 0);
	n = prof_root(p)->children[0];
	assert_int_equal(prof_frame(p, n->frame)->kind, PROF_LUA);
	assert_string_equal(prof_frame(p, n->frame)->name, "main chunk");
	assert_string_equal(prof_frame(p, n->frame)->file, "/srv/a.lua");
	n = n->children[0];
	assert_string_equal(prof_frame(p, n->frame)->name, "foo");
	assert_int_equal(prof_frame(p, n->frame)->line, 10);
	n = n->children[0];
	assert_string_equal(prof_frame(p, n->frame)->name, "sha1_block");
	assert_string_equal(prof_frame(p, n->frame)->file, "libsha.so");
	assert_int_equal(prof_frame(p, n->frame)->kind, PROF_C);
	n = n->children[0];
	assert_string_equal(prof_frame(p, n->frame)->name, "trace#1");
	assert_string_equal(prof_frame(p, n->frame)->file, "b.lua");
	assert_int_equal(prof_frame(p, n->frame)->line, 7);
	assert_int_equal(n->self, 1);
	prof_free(p);
}

static void test_counts(void **state)
{
	struct prof *p = start_default();
	struct ev_lost lost = {.samples = 5};
	struct ev_meta meta = {.rate = 99};

	(void)state;
	ADD(p, lost, EV_LOST);
	ADD(p, lost, EV_LOST);
	ADD_STRS(p, meta, EV_META, "1", "h", "k", "c");
	SAMPLE(p, ({.time = 70, .flags = EV_SF_REPAIRED}), LUA(FOO, 1, 0));
	SAMPLE(p, ({.time = 50}), LUA(FOO, 1, 0));
	assert_int_equal(prof_stats(p)->lost, 10);
	assert_int_equal(prof_stats(p)->rate, 99);
	assert_int_equal(prof_stats(p)->first_time, 50);
	assert_int_equal(prof_stats(p)->last_time, 70);
	assert_int_equal(prof_stats(p)->repaired, 1);
	prof_free(p);
}

static void test_empty(void **state)
{
	struct prof *p = prof_new(&(struct prof_opts){0});
	struct prof_row *rows;
	size_t n;

	(void)state;
	assert_int_equal(prof_finish(p), 0);
	rows = prof_rows(p, &n);
	assert_int_equal(n, 0);
	free(rows);
	assert_string_equal(prof_builds(p), "");
	prof_processes(p, &n);
	assert_int_equal(n, 0);
	check(p, "");
	prof_free(NULL);
}

/* The samples go, the definitions stay. */
static void test_reset(void **state)
{
	struct prof *p = start_default();
	struct prof_row *rows;
	size_t n;

	(void)state;
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 5}), LUA(HEAVY, 1, 0), LUA(FOO, 5, 0));
	assert_int_equal(prof_finish(p), 0);
	assert_int_equal(prof_reset(p), 0);
	assert_int_equal(prof_stats(p)->samples, 0);
	assert_int_equal(prof_finish(p), 0);
	rows = prof_rows(p, &n);
	assert_int_equal(n, 0);
	free(rows);
	assert_int_equal(prof_processes(p, &n)->samples, 0);
	SAMPLE(p, ({.state = EV_STATE_INTERP}), LUA(HEAVY, 1, 0), LUA(FOO, 5, 0));
	check(p, "/srv/a.lua:10;heavy /srv/lib/b.lua:4 1\n");
}

/* As deep as a sample's count allows: nothing may recurse. */
static void test_deep(void **state)
{
	static struct ev_frame f[65535];
	struct prof *p = start_default();
	struct prof_row *rows;
	size_t n;
	char *text;

	(void)state;
	for (size_t i = 0; i < 65535; i++)
		f[i] = (struct ev_frame)LUA(i & 1 ? FOO : HEAVY, 5, 0);
	add_sample(p, &(struct sample){.state = EV_STATE_INTERP}, f, 65535);
	text = folded(p);
	assert_true(strlen(text) > 65535 * 15);
	free(text);
	rows = prof_rows(p, &n);
	assert_int_equal(n, 2);
	assert_int_equal(rows[0].total, 1);
	free(rows);
	prof_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_trace),
	    cmocka_unit_test(test_state_leaves),
	    cmocka_unit_test(test_c_leaf_is_not_doubled),
	    cmocka_unit_test(test_no_stack),
	    cmocka_unit_test(test_undefined),
	    cmocka_unit_test(test_generations),
	    cmocka_unit_test(test_newest_symbol),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_processes),
	    cmocka_unit_test(test_identity),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_frame_fields),
	    cmocka_unit_test(test_counts),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_reset),
	    cmocka_unit_test(test_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
