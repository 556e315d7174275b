/* SPDX-License-Identifier: MIT */
/* Trace errors, IR, small numberings, and how a build's tables are chosen. */
#include "bytecode/jitnames.h"
#include "bytecode/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The data itself, to make what a binary has. */
struct bc_modes {
	uint32_t n;
	const uint16_t *modes;
	const char *const *names;
};
struct ir_modes {
	const char *since;
	const uint8_t *modes;
	const struct ir_table *table;
};
#include "bytecode/bc_tables.h"
#include "bytecode/ir_tables.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* --- trace errors --- */

static void err_tables_are_sane(void **state)
{
	const struct err_table *t;
	size_t n, i;
	uint32_t c;

	(void)state;
	t = err_all(&n);
	assert_int_equal(n, 8);
	for (i = 0; i < n; i++) {
		bool seen[ERR_MAX] = {false};

		assert_true(t[i].n >= 34 && t[i].n <= 37);
		for (c = 0; c < t[i].n; c++) {
			const struct err_row *r = err_row(&t[i], c);
			const char *arg = strchr(r->text, '%');

			assert_string_equal(r->name, err_id_name(r->id));
			assert_false(seen[r->id]);
			seen[r->id] = true;
			assert_int_equal(err_code(&t[i], r->id), c);
			if (arg)
				assert_true(strchr("dsp", arg[1]) && !strchr(arg + 1, '%'));
		}
		assert_null(err_row(&t[i], t[i].n));
	}
	assert_null(err_row(NULL, 0));
	assert_int_equal(err_code(NULL, ERR_RECERR), -1);
}

static void err_names_go_both_ways(void **state)
{
	int id;

	(void)state;
	for (id = 0; id < ERR_MAX; id++)
		assert_int_equal(err_id_by_name(err_id_name((enum err_id)id)), id);
	assert_int_equal(err_id_by_name("NOPE"), ERR_MAX);
	assert_null(err_id_name(ERR_MAX));
}

/* How many there are and where three of them lie, as the headers of that time have it. */
static void known_codes(void **state)
{
	static const struct {
		const char *version;
		unsigned int n, nyibc, lleave, nyicoal;
		const char *nyibc_text, *cjitoff_text;
	} known[] = {
	    {"LuaJIT 2.0.0", 35, 5, 6, 34, "NYI: bytecode %d", "call to JIT-disabled function"},
	    {"LuaJIT 2.0.2", 35, 5, 6, 34, "NYI: bytecode %d", "call to JIT-disabled function"},
	    {"LuaJIT 2.0.4", 35, 5, 6, 34, "NYI: bytecode %d",
	     "JIT compilation disabled for function"},
	    {"LuaJIT 2.0.5", 35, 5, 6, 34, "NYI: bytecode %d",
	     "JIT compilation disabled for function"},
	    {"LuaJIT 2.0.1693340858", 35, 5, 6, 34, "NYI: bytecode %d",
	     "JIT compilation disabled for function"},
	    {"LuaJIT 2.1.0-beta2", 35, 7, 8, 34, "NYI: bytecode %d",
	     "JIT compilation disabled for function"},
	    {"LuaJIT 2.1.0-beta3", 35, 7, 8, 34, "NYI: bytecode %d",
	     "JIT compilation disabled for function"},
	    {"LuaJIT 2.1.1693350652", 35, 7, 8, 34, "NYI: bytecode %d",
	     "JIT compilation disabled for function"},
	    {"LuaJIT 2.1.1713478341", 35, 7, 8, 34, "NYI: bytecode %d",
	     "JIT compilation disabled for function"},
	    {"LuaJIT 2.1.1713478342", 35, 7, 8, 34, "NYI: bytecode %s",
	     "JIT compilation disabled for function"},
	    {"LuaJIT 2.1.1737090214", 35, 7, 8, 34, "NYI: bytecode %s",
	     "JIT compilation disabled for function"},
	    {"LuaJIT 2.1.ROLLING", 35, 7, 8, 34, "NYI: bytecode %s",
	     "JIT compilation disabled for function"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(known); i++) {
		const char *why = NULL;
		const struct err_table *t = err_choose(known[i].version, NULL, NULL, NULL, &why);

		assert_non_null(t);
		assert_non_null(why);
		assert_int_equal(t->n, known[i].n);
		assert_int_equal(err_code(t, ERR_NYIBC), known[i].nyibc);
		assert_int_equal(err_code(t, ERR_LLEAVE), known[i].lleave);
		assert_int_equal(err_code(t, ERR_NYICOAL), known[i].nyicoal);
		assert_string_equal(err_row(t, known[i].nyibc)->text, known[i].nyibc_text);
		assert_string_equal(err_row(t, (uint32_t)err_code(t, ERR_CJITOFF))->text,
				    known[i].cjitoff_text);
	}
}

static void unknown_versions_have_no_errors(void **state)
{
	static const char *const unknown[] = {NULL,
					      "",
					      "LuaJIT",
					      "LuaJIT 3.0.0",
					      "LuaJIT 2.2.1",
					      "LuaJIT 2.0.0-beta9",
					      "LuaJIT 2.1.0-alpha",
					      "LuaJIT 2.1.0-beta1",
					      "LuaJIT 2.1.",
					      "LuaJIT 2.1.17x",
					      "LuaJIT 2.1.5",
					      "LuaJIT 2.1.0-beta33"};
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(unknown); i++) {
		why = NULL;
		assert_null(err_choose(unknown[i], NULL, NULL, NULL, &why));
		assert_non_null(why);
	}
}

/* Forks that kept a version string while the text changed. */
static void forks_of_one_version(void **state)
{
	const struct ff_table *tt = ff_by_name("tarantool HEAD");
	const struct ff_table * or = ff_by_name("openresty v2.1-20211210");
	const struct err_table *t;
	const char *why;

	(void)state;
	t = err_choose("LuaJIT 2.1.0-beta3", NULL, tt, ir_by_count(99), &why);
	assert_string_equal(err_row(t, 7)->text, "NYI: bytecode %s");
	assert_non_null(strstr(why, "not certain"));
	t = err_choose("LuaJIT 2.1.0-beta3", NULL, tt, &ir_all(&(size_t){0})[1], &why);
	assert_string_equal(err_row(t, 7)->text, "NYI: bytecode %d");
	t = err_choose("LuaJIT 2.1.0-beta3", NULL, or, ir_by_count(101), &why);
	assert_string_equal(err_row(t, 7)->text, "NYI: bytecode %d");
	t = err_choose("LuaJIT 2.1.1720000000", NULL, or, NULL, &why);
	assert_non_null(strstr(why, "not certain"));
	t = err_choose("LuaJIT 2.1.1720000000", NULL, ff_by_name("upstream 2.1 2021-06-01"), NULL,
		       &why);
	assert_null(strstr(why, "not certain"));
	t = err_choose("LuaJIT 2.1.ROLLING", bc_gen_by_count(104), NULL, NULL, &why);
	assert_null(strstr(why, "not certain"));
	assert_string_equal(err_row(t, 7)->text, "NYI: bytecode %s");
}

static void expect(const char *version, enum err_id id, struct err_info info, enum err_style style,
		   const char *text)
{
	const char *why;
	const struct err_table *t = err_choose(version, NULL, NULL, NULL, &why);
	const struct bc_gen *bc = bc_gen_by_count(!strncmp(version, "LuaJIT 2.0", 10) ? 93 : 97);
	char buf[128], small[8];
	int len;

	assert_non_null(t);
	len = err_format(buf, sizeof(buf), t, (uint32_t)err_code(t, id), &info, bc,
			 ir_by_count(101), style);
	assert_string_equal(buf, text);
	assert_int_equal(len, strlen(text));
	assert_int_equal(err_format(small, sizeof(small), t, (uint32_t)err_code(t, id), &info, bc,
				    ir_by_count(101), style),
			 len);
	assert_int_equal(strlen(small), len < 7 ? len : 7);
}

static void messages_of_each_generation(void **state)
{
	static const char *const b3 = "LuaJIT 2.1.0-beta3", *const rolling =
								"LuaJIT 2.1.1737090214";
	static const char *const v20 = "LuaJIT 2.0.5";
	const struct err_info none = {.kind = ERR_INFO_NONE};
	const struct err_info fnew = {.kind = ERR_INFO_NUMBER, .number = 51};
	const struct err_info fnew20 = {.kind = ERR_INFO_NUMBER, .number = 49};
	const struct err_info carg = {.kind = ERR_INFO_NUMBER, .number = 100};
	const struct err_info far = {.kind = ERR_INFO_NUMBER, .number = 4711};
	const struct err_info gsub = {.kind = ERR_INFO_FUNC, .func = "string.gsub"};

	(void)state;
	expect(b3, ERR_NYIBC, fnew, ERR_JV, "NYI: bytecode 51");
	expect(b3, ERR_NYIBC, fnew, ERR_JV_NUMBER, "NYI: bytecode 51");
	expect(b3, ERR_NYIBC, fnew, ERR_JV_NAME, "NYI: bytecode FNEW  ");
	expect(b3, ERR_NYIBC, fnew, ERR_PLAIN, "NYI: bytecode FNEW");
	expect(rolling, ERR_NYIBC, fnew, ERR_JV, "NYI: bytecode FNEW  ");
	expect(rolling, ERR_NYIBC, fnew, ERR_JV_NUMBER, "NYI: bytecode 51");
	expect(rolling, ERR_NYIBC, far, ERR_JV_NAME, "NYI: bytecode 4711");
	expect(rolling, ERR_NYIBC, none, ERR_JV, "NYI: bytecode ?");
	expect(v20, ERR_NYIBC, fnew20, ERR_JV, "NYI: bytecode 49");
	expect(v20, ERR_NYIBC, fnew20, ERR_PLAIN, "NYI: bytecode FNEW");
	expect(v20, ERR_NYIFF, gsub, ERR_JV, "NYI: FastFunc string.gsub");
	expect(v20, ERR_NYIFFU, gsub, ERR_PLAIN,
	       "NYI: unsupported variant of FastFunc string.gsub");
	expect("LuaJIT 2.0.4", ERR_NYICF, gsub, ERR_JV, "NYI: C function string.gsub");
	expect(b3, ERR_NYIIR, fnew, ERR_JV, "NYI: cannot assemble IR instruction 51");
	expect(b3, ERR_NYIIR, carg, ERR_PLAIN, "NYI: cannot assemble IR instruction CARG");
	expect(b3, ERR_LLEAVE, fnew, ERR_JV, "leaving loop in root trace");
	expect(b3, ERR_MCODELM, none, ERR_JV, "hit mcode limit (retrying)");
}

static void without_tables_there_are_numbers(void **state)
{
	const struct err_info info = {.kind = ERR_INFO_NUMBER, .number = 51};
	char buf[64];
	size_t n;

	(void)state;
	err_format(buf, sizeof(buf), NULL, 7, NULL, NULL, NULL, ERR_PLAIN);
	assert_string_equal(buf, "trace error 7");
	err_format(buf, sizeof(buf), NULL, 7, &info, NULL, NULL, ERR_PLAIN);
	assert_string_equal(buf, "trace error 7 (51)");
	err_format(buf, sizeof(buf), &err_all(&n)[3], 99, NULL, NULL, NULL, ERR_JV);
	assert_string_equal(buf, "trace error 99");
	err_format(buf, sizeof(buf), &err_all(&n)[3], 7, &info, NULL, NULL, ERR_PLAIN);
	assert_string_equal(buf, "NYI: bytecode 51");
}

/* --- bytecodes and IR --- */

static void bytecode_lists_agree(void **state)
{
	const struct bc_gen *g;
	size_t n, i;
	uint32_t op;

	(void)state;
	g = bc_gens(&n);
	assert_int_equal(n, COUNT(bc_modes));
	for (i = 0; i < n; i++) {
		for (op = 0; op < g[i].n; op++)
			assert_string_equal(bc_name(&g[i], op), bc_listed_name(g[i].n, op));
		assert_null(bc_listed_name(g[i].n, g[i].n));
	}
}

/* lj_bc_mode[] of list m at buf: with metamethods above the modes; zeros behind it. */
static size_t put_bc(uint8_t *buf, size_t m, unsigned int zeros)
{
	size_t i, len = 2 * (bc_modes[m].n + zeros);

	memset(buf, 0, len);
	for (i = 0; i < bc_modes[m].n; i++) {
		unsigned int v = bc_modes[m].modes[i] | (unsigned int)(i % 23) << 11;

		buf[2 * i] = (uint8_t)v;
		buf[2 * i + 1] = (uint8_t)(v >> 8);
	}
	return len;
}

/* Calls with an exact copy on the heap, for ASan. */
static const struct bc_gen *by_mode(const void *p, size_t len)
{
	void *copy = malloc(len ? len : 1);
	const struct bc_gen *g;

	assert_non_null(copy);
	memcpy(copy, p, len);
	g = bc_gen_by_mode(copy, len);
	free(copy);
	return g;
}

static void bytecodes_by_their_modes(void **state)
{
	uint8_t buf[1024];
	size_t m, len, cut;

	(void)state;
	for (m = 0; m < COUNT(bc_modes); m++) {
		memset(buf, 0xee, sizeof(buf));
		len = put_bc(buf + 7, m, 64);
		assert_ptr_equal(by_mode(buf, sizeof(buf)), bc_gen_by_count(bc_modes[m].n));
		assert_ptr_equal(by_mode(buf + 7, len), bc_gen_by_count(bc_modes[m].n));
		for (cut = 0; cut < 2 * (bc_modes[m].n + 16); cut++)
			assert_null(by_mode(buf + 7, cut));
		for (cut = 0; cut < bc_modes[m].n; cut += 5) {
			buf[7 + 2 * cut] ^= 1;
			assert_null(by_mode(buf, sizeof(buf)));
			buf[7 + 2 * cut] ^= 1;
		}
		buf[7 + 2 * bc_modes[m].n] = 3; /* one opcode more: another generation */
		assert_null(by_mode(buf, sizeof(buf)));
	}
}

static void two_runs_that_disagree(void **state)
{
	uint8_t buf[1024] = {0};

	(void)state;
	put_bc(buf, 0, 64);
	put_bc(buf + 400, 1, 64);
	assert_null(by_mode(buf, sizeof(buf)));
	put_bc(buf + 400, 0, 64);
	assert_ptr_equal(by_mode(buf, sizeof(buf)), bc_gen_by_count(93));
}

static void ir_by_its_modes(void **state)
{
	const struct ir_table *t;
	uint8_t buf[512];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(ir_modes); i++) {
		memset(buf, 0xee, sizeof(buf));
		memcpy(buf + 3, ir_modes[i].modes, ir_modes[i].table->n);
		assert_null(ir_by_mode(buf, sizeof(buf)));
		buf[3 + ir_modes[i].table->n] = 0;
		t = ir_by_mode(buf, sizeof(buf));
		assert_non_null(t);
		assert_string_equal(t->name, ir_modes[i].table->name);
		assert_null(ir_by_mode(buf, 3 + ir_modes[i].table->n));
		assert_non_null(ir_by_mode(buf, 4 + ir_modes[i].table->n));
		buf[3 + i] ^= 0x80;
		assert_null(ir_by_mode(buf, sizeof(buf)));
	}
}

static void ir_names(void **state)
{
	(void)state;
	assert_int_equal(ir_by_count(94)->n, 94);
	assert_int_equal(ir_by_count(101)->n, 101);
	assert_null(ir_by_count(100)); /* two of them */
	assert_null(ir_by_count(7));
	assert_string_equal(ir_name(ir_by_count(94), 0), "LT");
	assert_string_equal(ir_name(ir_by_count(101), 100), "CARG");
	assert_null(ir_name(ir_by_count(101), 101));
	assert_null(ir_name(NULL, 0));
}

/* --- small numberings --- */

static void small_numberings(void **state)
{
	struct layout l = {
	    .ST_RECORD = 17, .ST_START = 18, .ST_END = 19, .ST_ASM = 20, .ST_ERR = 21};
	uint32_t i;

	(void)state;
	assert_string_equal(vmstate_name(0, 1), "C");
	assert_string_equal(vmstate_name(0, 6), "ASM");
	assert_null(vmstate_name(0, 7));
	assert_string_equal(vmstate_name(1, 3), "CFUNC");
	assert_string_equal(vmstate_name(1, 8), "ASM");
	assert_null(vmstate_name(1, 9));
	assert_null(vmstate_name(2, 0));
	assert_string_equal(trace_link_name(LINK_TAILREC), "tail-recursion");
	assert_string_equal(trace_link_name(8), "stitch");
	assert_null(trace_link_name(9));
	for (i = 0; i < 16; i++) {
		assert_true((jit_param_name(15, i) != NULL) == (i < 15));
		assert_true((jit_param_name(14, i) != NULL) == (i < 14));
		assert_null(jit_param_name(13, i));
	}
	assert_string_equal(jit_param_name(15, 5), "minstitch");
	assert_string_equal(jit_param_name(14, 5), "hotloop");
	assert_string_equal(jit_param_name(14, 13), "maxmcode");
	assert_string_equal(trace_state_name(&l, 0), "IDLE");
	assert_string_equal(trace_state_name(&l, 17), "RECORD");
	assert_string_equal(trace_state_name(&l, 18), "START");
	assert_string_equal(trace_state_name(&l, 21), "ERR");
	assert_null(trace_state_name(&l, 16));
	l.ST_START = 19;
	assert_string_equal(trace_state_name(&l, 18), "RECORD_1ST");
}

/* --- all together --- */

static void evidence_is_weighed(void **state)
{
	struct layout l = {.bc_max = 97, .ir_max = 101};
	struct tables_evidence e = {.version = "LuaJIT 2.1.0-beta3"};
	struct tables t;
	uint8_t buf[1024];
	size_t len = put_bc(buf, 1, 64);

	(void)state;
	tables_choose(&e, &t);
	assert_null(t.bc);
	assert_null(t.ff);
	assert_null(t.ir);
	assert_non_null(t.err);
	assert_true(t.bc_why[0] && t.ff_why[0] && t.ir_why[0] && t.err_why[0]);

	e.layout = &l;
	tables_choose(&e, &t);
	assert_ptr_equal(t.bc, bc_gen_by_count(97));
	assert_ptr_equal(t.ir, ir_by_count(101));
	assert_non_null(strstr(t.bc_why, "live"));

	tables_scan(&e, buf, len);
	tables_choose(&e, &t);
	assert_ptr_equal(t.bc, bc_gen_by_count(97));
	assert_non_null(strstr(t.bc_why, "lj_bc_mode"));

	l.bc_max = 104; /* the file and the process disagree */
	tables_choose(&e, &t);
	assert_null(t.bc);

	l.bc_max = 97;
	tables_scan(&e, buf, len); /* the same again is no contradiction */
	tables_choose(&e, &t);
	assert_non_null(t.bc);
	tables_scan(&e, buf, put_bc(buf, 2, 64));
	tables_choose(&e, &t);
	assert_null(t.bc);
}

static void builds_by_name(void **state)
{
	struct tables t;
	const char *name;
	size_t i;

	(void)state;
	for (i = 0; (name = tables_point(i)); i++) {
		char lua52[64];

		assert_int_equal(tables_by_name(name, &t), 1);
		assert_true(t.bc && t.ff && t.err && t.ir);
		assert_false(t.ff->lua52);
		snprintf(lua52, sizeof(lua52), "%s+52", name);
		assert_int_equal(tables_by_name(lua52, &t), 1);
		assert_true(t.ff->lua52);
	}
	assert_true(i >= 26);
	assert_int_equal(tables_by_name("g21B", &t), 1);
	assert_int_equal(t.bc->n, 104);
	assert_null(t.ff);
	assert_int_equal(tables_by_name("BETA2", &t), 1);
	assert_string_equal(t.err->name, "upstream 2.1.0-beta2");
	assert_true(tables_by_name("openresty", &t) > 5);
	assert_int_equal(tables_by_name("nothing", &t), 0);
	assert_int_equal(tables_by_name("", &t), 0);
	assert_int_equal(tables_by_name("+52", &t), 0);
}

static void check_file(const char *path, const char *version)
{
	FILE *f = path ? fopen(path, "rb") : NULL;
	struct tables_evidence e = {.version = version};
	struct tables t;
	long len;
	void *p;

	if (!f)
		skip();
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	len = ftell(f);
	rewind(f);
	assert_true(len > 0);
	p = malloc((size_t)len);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)len, f), len);
	fclose(f);
	tables_scan(&e, p, (size_t)len);
	free(p);
	tables_choose(&e, &t);
	assert_string_equal(t.bc->name, "G21");
	assert_string_equal(t.ff->name, "openresty v2.1-20211210");
	assert_int_equal(t.err->n, 35);
	assert_int_equal(t.ir->n, 101);
	assert_non_null(strstr(t.ir_why, "lj_ir_mode"));
}

static void twin(void **state)
{
	(void)state;
	check_file(getenv("LJX_TWIN"), "LuaJIT 2.1.0-beta3");
}

static void installed_luajit(void **state)
{
	(void)state;
	check_file("/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2", "LuaJIT 2.1.0-beta3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(err_tables_are_sane),
	    cmocka_unit_test(err_names_go_both_ways),
	    cmocka_unit_test(known_codes),
	    cmocka_unit_test(unknown_versions_have_no_errors),
	    cmocka_unit_test(forks_of_one_version),
	    cmocka_unit_test(messages_of_each_generation),
	    cmocka_unit_test(without_tables_there_are_numbers),
	    cmocka_unit_test(bytecode_lists_agree),
	    cmocka_unit_test(bytecodes_by_their_modes),
	    cmocka_unit_test(two_runs_that_disagree),
	    cmocka_unit_test(ir_by_its_modes),
	    cmocka_unit_test(ir_names),
	    cmocka_unit_test(small_numberings),
	    cmocka_unit_test(evidence_is_weighed),
	    cmocka_unit_test(builds_by_name),
	    cmocka_unit_test(twin),
	    cmocka_unit_test(installed_luajit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
