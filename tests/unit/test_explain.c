/* SPDX-License-Identifier: MIT */
/* Explanations: complete, well-formed, and found by whatever a user has at hand. */
#include "bytecode/explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* A paragraph: plain ASCII, one line, sentences with single blanks. */
static void check_text(const char *key, const char *s)
{
	size_t len, i;

	if (!s || !*s)
		fail_msg("%s: a text is missing", key);
	len = strlen(s);
	for (i = 0; i < len; i++)
		if (s[i] < ' ' || s[i] > '~')
			fail_msg("%s: byte %#x in '%s'", key, (unsigned char)s[i], s);
	if (strstr(s, "  ") || s[0] == ' ' || !strchr(".)", s[len - 1]))
		fail_msg("%s: '%s'", key, s);
}

static void all_texts_are_there(void **state)
{
	const struct explain *e;
	size_t i, j;

	(void)state;
	for (i = 0; (e = explain_at(i)); i++) {
		assert_non_null(e->key);
		check_text(e->key, e->words);
		check_text(e->key, e->why);
		check_text(e->key, e->effect);
		check_text(e->key, e->fix);
		if (e->differs)
			check_text(e->key, e->differs);
		assert_non_null(explain_class_name(e->class));
		assert_non_null(explain_class_meaning(e->class));
		for (j = 0; j < i; j++)
			assert_string_not_equal(explain_at(j)->key, e->key);
	}
	assert_true(i > ERR_MAX + 30);
}

static void each_error_of_each_generation(void **state)
{
	const struct err_table *t;
	size_t n, i;
	uint32_t c;
	int id;

	(void)state;
	for (id = 0; id < ERR_MAX; id++) {
		const struct explain *e = explain_err((enum err_id)id);

		assert_string_equal(e->key, err_id_name((enum err_id)id));
		assert_int_equal(e->kind, EXPLAIN_ERR);
		assert_int_equal(e->class == EXPLAIN_LOW, id == ERR_LLEAVE || id == ERR_LINNER ||
							      id == ERR_DOWNREC || id == ERR_RETRY);
	}
	t = err_all(&n);
	for (i = 0; i < n; i++)
		for (c = 0; c < t[i].n; c++) {
			const struct explain *out[8];
			const struct err_row *r = &t[i].rows[c];

			assert_int_equal(explain_find(r->name, NULL, out, 8), 1);
			assert_ptr_equal(out[0], explain_err(r->id));
			assert_true(explain_find(r->text, NULL, out, 8) >= 1);
			assert_ptr_equal(out[0], explain_err(r->id));
		}
	assert_null(explain_err(ERR_MAX));
}

static void each_uncompilable_bytecode(void **state)
{
	static const char *const nyi[] = {"UCLO",  "FNEW", "VARG", "ISNEXT",
					  "ITERN", "CAT",  "TSETM"};
	const struct bc_gen *g = bc_gen_by_count(104);
	size_t i, n = 0;
	uint32_t op;

	(void)state;
	for (i = 0; i < COUNT(nyi); i++)
		assert_non_null(explain_bytecode(nyi[i]));
	for (op = 0; op < g->n; op++)
		n += explain_bytecode(bc_name(g, op)) != NULL;
	assert_int_equal(n, COUNT(nyi));
}

/* Those without a recorder in all of 2.0.0, 2.0.5, 2.1 betas, OpenResty's branch and 2026. */
static const char *const never[] = {"setfenv",
				    "error",
				    "loadfile",
				    "load",
				    "loadstring",
				    "dofile",
				    "gcinfo",
				    "collectgarbage",
				    "newproxy",
				    "print",
				    "coroutine.status",
				    "coroutine.running",
				    "coroutine.create",
				    "coroutine.yield",
				    "coroutine.resume",
				    "coroutine.wrap_aux",
				    "coroutine.wrap",
				    "coroutine.isyieldable",
				    "math.randomseed",
				    "string.dump",
				    "string.match",
				    "string.gmatch_aux",
				    "string.gmatch",
				    "string.gsub",
				    "table.maxn",
				    "table.sort",
				    "table.pack",
				    "io.method.close",
				    "io.method.read",
				    "io.method.seek",
				    "io.method.setvbuf",
				    "io.method.lines",
				    "io.method.__gc",
				    "io.method.__tostring",
				    "io.open",
				    "io.popen",
				    "io.tmpfile",
				    "io.close",
				    "io.read",
				    "io.input",
				    "io.output",
				    "io.lines",
				    "io.type",
				    "os.execute",
				    "os.remove",
				    "os.rename",
				    "os.tmpname",
				    "os.getenv",
				    "os.exit",
				    "os.clock",
				    "os.date",
				    "os.time",
				    "os.difftime",
				    "os.setlocale",
				    "debug.getregistry",
				    "debug.setmetatable",
				    "debug.getfenv",
				    "debug.setfenv",
				    "debug.getinfo",
				    "debug.getlocal",
				    "debug.setlocal",
				    "debug.getupvalue",
				    "debug.setupvalue",
				    "debug.upvalueid",
				    "debug.upvaluejoin",
				    "debug.getuservalue",
				    "debug.setuservalue",
				    "debug.sethook",
				    "debug.gethook",
				    "debug.debug",
				    "debug.traceback",
				    "jit.on",
				    "jit.off",
				    "jit.flush",
				    "jit.status",
				    "jit.security",
				    "jit.prngstate",
				    "jit.attach",
				    "jit.util.funcinfo",
				    "jit.util.funcbc",
				    "jit.util.funck",
				    "jit.util.funcuvname",
				    "jit.util.traceinfo",
				    "jit.util.traceir",
				    "jit.util.tracek",
				    "jit.util.tracesnap",
				    "jit.util.tracemc",
				    "jit.util.traceexitstub",
				    "jit.util.ircalladdr",
				    "jit.opt.start",
				    "jit.profile.start",
				    "jit.profile.stop",
				    "jit.profile.dumpstack",
				    "ffi.meta.__tostring",
				    "ffi.meta.__pairs",
				    "ffi.meta.__ipairs",
				    "ffi.clib.__gc",
				    "ffi.callback.free",
				    "ffi.callback.set",
				    "ffi.cdef",
				    "ffi.typeinfo",
				    "ffi.metatype",
				    "ffi.load",
				    "buffer.new",
				    "buffer.method.free",
				    "buffer.method.__gc"};

/* Those that some generation or some arguments do not compile. */
static const char *const sometimes[] = {"next",		 "pairs",	   "getfenv",
					"unpack",	 "bit.tohex",	   "debug.getmetatable",
					"string.char",	 "string.rep",	   "string.reverse",
					"string.lower",	 "string.upper",   "string.find",
					"string.format", "table.foreachi", "table.foreach",
					"table.concat",	 "table.insert",   "table.remove",
					"tostring",	 "tonumber",	   "select",
					"ffi.typeof",	 "pcall",	   "xpcall"};

static bool is_in(const char *name, const char *const *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

/* Tarantool's own library is not among the sources that the lists were made from. */
static bool is_known(const char *name)
{
	return strncmp(name, "misc.", 5) != 0;
}

static void functions_are_explained_if_they_do_not_compile(void **state)
{
	const struct ff_table *t;
	size_t n, i;
	uint32_t id;

	(void)state;
	t = ff_all(&n);
	for (i = 0; i < n; i++)
		for (id = 2; id < t[i].n; id++) {
			const char *name = t[i].names[id];
			bool nyi = is_in(name, never, COUNT(never)) ||
				   is_in(name, sometimes, COUNT(sometimes));

			if (is_known(name) && nyi != (explain_function(name) != NULL))
				fail_msg("%s: %s", t[i].name, name);
		}
	for (i = 0; i < COUNT(never); i++)
		assert_non_null(explain_function(never[i]));
	for (i = 0; i < COUNT(sometimes); i++)
		assert_non_null(explain_function(sometimes[i]));
}

static void found_by_what_a_user_has(void **state)
{
	static const struct {
		const char *reason, *first;
		size_t n;
	} cases[] = {
	    {"FNEW", "FNEW", 1},
	    {"fnew", "FNEW", 1},
	    {"BC_UCLO", "UCLO", 1},
	    {"LLEAVE", "LLEAVE", 1},
	    {"LJ_TRERR_LLEAVE", "LLEAVE", 1},
	    {"leaving loop in root trace", "LLEAVE", 1},
	    {"Leaving loop", "LLEAVE", 1},
	    {"NYI: bytecode FNEW", "FNEW", 2},
	    {"NYI: bytecode FNEW  ", "FNEW", 2},
	    {"NYI: bytecode 51", "FNEW", 2},
	    {"NYI: bytecode 71", "VARG", 2},
	    {"NYI: bytecode 49", "FNEW", 2},	/* 2.0's */
	    {"NYI: bytecode CALL", "NYIBC", 1}, /* it compiles */
	    {"NYI: FastFunc table.concat", "table.concat", 2},
	    {"NYI: unsupported variant of FastFunc ffi.typeof at x.lua:3", "ffi.typeof", 2},
	    {"NYI: C function 0x1234", "NYICF", 1},
	    {"string.gsub", "string.gsub", 1},
	    {"string.match", "string.gsub", 1},
	    {"os.getenv", "os.time", 1},
	    {"C:7f3210", "C function", 1},
	    {"stitch", "stitch", 1},
	    {"stitch string.gsub", "string.gsub", 2},
	    {"fallback to interpreter", "interpreter", 1},
	    {"[TRACE --- v.lua:8 -- NYI: bytecode 51 at v.lua:9]", "FNEW", 2},
	    {"[TRACE --- (1/4) v.lua:2 -- loop unroll limit reached]", "LUNROLL", 1},
	    {"[TRACE   8 v.lua:7 stitch string.gsub]", "string.gsub", 2},
	    {"[TRACE   2 (1/4) v.lua:2 -- fallback to interpreter]\n", "interpreter", 1},
	    {"unroll limit", "LUNROLL", 2},
	    {"call to JIT-disabled function", "CJITOFF", 1},
	    {"5", "NYIBC", 2}, /* in 2.0 NYIBC, since then BLACKL; SNAPOV nowhere */
	};
	const struct explain *out[16];
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		n = explain_find(cases[i].reason, NULL, out, COUNT(out));
		if (n != cases[i].n || strcmp(out[0]->key, cases[i].first) != 0)
			fail_msg("'%s': %zu, %s", cases[i].reason, n, n ? out[0]->key : "nothing");
	}
}

static void nothing_to_explain(void **state)
{
	static const char *const none[] = {"",	  " ",	     "CALL",  "string.sub", "xyz",
					   "NYI", "99999",   "4711x", "loop",	    "type",
					   "[",	  "ngx.say", "os",    "%"};
	const struct explain *out[4];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(none); i++)
		if (explain_find(none[i], NULL, out, 4))
			fail_msg("'%s': %s", none[i], out[0]->key);
}

/* Numbers mean what the build's tables say. */
static void numbers_of_a_build(void **state)
{
	const struct explain *out[4];
	struct tables t;

	(void)state;
	assert_int_equal(tables_by_name("upstream 2.0.5", &t), 1);
	assert_int_equal(explain_find("5", &t, out, 4), 1);
	assert_string_equal(out[0]->key, "NYIBC");
	assert_int_equal(explain_find("NYI: bytecode 49", &t, out, 4), 2);
	assert_string_equal(out[0]->key, "FNEW");
	assert_int_equal(explain_find("NYI: bytecode 51", &t, out, 4), 1);
	assert_string_equal(out[0]->key, "NYIBC");
	assert_int_equal(tables_by_name("beta3", &t), 1);
	assert_int_equal(explain_find("5", &t, out, 4), 1);
	assert_string_equal(out[0]->key, "BLACKL");
	assert_int_equal(explain_find("35", &t, out, 4), 0);
}

static void no_more_than_asked_for(void **state)
{
	const struct explain *out[1] = {NULL};

	(void)state;
	assert_int_equal(explain_find("NYI: bytecode FNEW", NULL, out, 1), 1);
	assert_int_equal(explain_find("limit", NULL, out, 1), 1);
	assert_int_equal(explain_find("limit", NULL, out, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_texts_are_there),
	    cmocka_unit_test(each_error_of_each_generation),
	    cmocka_unit_test(each_uncompilable_bytecode),
	    cmocka_unit_test(functions_are_explained_if_they_do_not_compile),
	    cmocka_unit_test(found_by_what_a_user_has),
	    cmocka_unit_test(nothing_to_explain),
	    cmocka_unit_test(numbers_of_a_build),
	    cmocka_unit_test(no_more_than_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
