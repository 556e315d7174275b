// SPDX-License-Identifier: MIT
/* What functions are called in stacks: by their callers, by their chunks; cleaned. */
#include "profiler/label.h"
#include "tests/unit/prof_fixture.h"

static void test_names(void **state)
{
	struct prof *p = start_default();

	(void)state;
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 2}), LUA(HEAVY, 1, 5), LUA(FOO, 5, 11),
	       LUA(MAIN, 7, 20));
	SAMPLE(p, ({.state = EV_STATE_INTERP}), LUA(FOO, EV_NO_PC, 0), LUA(MAIN, EV_NO_PC, 0));
	/* A caller that is not Lua, or a coroutine in between, gives no name. */
	SAMPLE(p, ({.state = EV_STATE_C}), CFUNC(0x2010), LUA(FOO, 6, 12), FAST(FF_MATCH),
	       LUA(OTHER, 0, 0), CORO, LUA(FOO, 5, 0));
	check(p, "foo /srv/a.lua:10;/srv/lib/b.lua:4;string.match;foo /srv/a.lua:10;"
		 "C:md5@lmd5.so+0x2000 1\n"
		 "main chunk /srv/a.lua;foo /srv/a.lua:10 1\n"
		 "main chunk /srv/a.lua;foo /srv/a.lua:10;heavy /srv/lib/b.lua:4 2\n");
}

static void test_votes(void **state)
{
	struct prof *p = start_default();

	(void)state;
	def_name(p, FOO, 20, EV_NAME_FIELD, "zeta");
	def_name(p, FOO, 21, EV_NAME_FIELD, "beta");
	def_name(p, FOO, 22, 0, "nothing");
	SAMPLE(p, ({.times = 2}), LUA(HEAVY, 1, 0), LUA(FOO, 20, 0));
	SAMPLE(p, ({.times = 2}), LUA(HEAVY, 1, 0), LUA(FOO, 21, 0));
	SAMPLE(p, ({.times = 9}), LUA(HEAVY, 1, 0), LUA(FOO, 22, 0));
	char *text = folded(p);
	assert_string_equal(text, "/srv/a.lua:10;beta /srv/lib/b.lua:4 13\n");
	free(text);
	/* More samples may come: then the other name wins, and nothing is counted twice. */
	SAMPLE(p, ({0}), LUA(HEAVY, 1, 0), LUA(FOO, 20, 0));
	check(p, "/srv/a.lua:10;zeta /srv/lib/b.lua:4 14\n");
}

static void test_main_takes_no_name(void **state)
{
	struct prof *p = start_default();

	(void)state;
	def_func(p, 9, "=init_by_lua", 0, 5, EV_FUNC_MAIN, 9);
	def_func(p, 10, "@7", 0, 5, EV_FUNC_MAIN, 10);
	SAMPLE(p, ({0}), LUA(MAIN, 0, 0), LUA(FOO, 5, 0), LUA(9, 0, 0));
	SAMPLE(p, ({0}), LUA(10, 0, 0));
	check(p, "init_by_lua;/srv/a.lua:10;main chunk /srv/a.lua 1\n"
		 "main chunk:7 1\n");
}

static void test_metamethod(void **state)
{
	struct prof *p = start_default();

	(void)state;
	def_name(p, FOO, 30, EV_NAME_METAMETHOD, "__index");
	SAMPLE(p, ({0}), LUA(HEAVY, 0, 0), LUA(FOO, 30, 0));
	check(p, "/srv/a.lua:10;__index /srv/lib/b.lua:4 1\n");
}

static void test_chunknames(void **state)
{
	static const struct {
		const char *chunk;
		uint32_t flags;
		const char *shown, *start;
	} cases[] = {
	    {"@/a/b.lua", 0, "/a/b.lua", "b.lua"},
	    {"@c:\\a\\b.lua", 0, "c:\\a\\b.lua", "b.lua"},
	    {"@", 0, "?", "?"},
	    {"=stdin", 0, "stdin", "stdin"},
	    {"=", 0, "?", "?"},
	    {"", 0, "[string \"\"]", "\"\""},
	    {"return 1", 0, "[string \"return 1\"]", "\"return 1\""},
	    {"a = 1\nb = 2", 0, "[string \"a = 1...\"]", "\"a = 1 b = 2\""},
	    {"a;b", 0, "[string \"a:b\"]", "\"a:b\""},
	    {"local x = 'a long line of source text that goes on'", 0,
	     "[string \"local x = 'a long line of source text that go...\"]",
	     "[string \"local x = 'a long line of source text that go...\"]"},
	    {"@/very/long", EV_FUNC_CUT, "/very/long...", "/very/long..."},
	    {"foreach", EV_FUNC_BUILTIN, "[builtin:foreach]", "builtin:foreach"},
	};
	char out[LABEL_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		label_chunk(out, cases[i].chunk, cases[i].flags);
		assert_string_equal(out, cases[i].shown);
		label_trace_start(out, cases[i].chunk, cases[i].flags);
		assert_string_equal(out, cases[i].start);
	}
	/* 48 bytes fit, and a cut does not split a character. */
	label_chunk(out, "123456789 123456789 123456789 123456789 12345678", 0);
	assert_int_equal(strlen(out), 59);
	label_chunk(out, "123456789 123456789 123456789 123456789 1234\xc3\xa9 6789", 0);
	assert_string_equal(out, "[string \"123456789 123456789 123456789 123456789 1234...\"]");
}

static void test_builtin(void **state)
{
	struct prof *p = start_default();

	(void)state;
	def_func(p, 9, "foreach", -1, 0, EV_FUNC_BUILTIN, 9);
	def_name(p, FOO, 30, EV_NAME_FIELD, "foreach");
	SAMPLE(p, ({0}), LUA(9, 0, 0), LUA(FOO, 30, 0));
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 3, .flags = EV_SF_MCODE}), START(9, 1, 0),
	       LUA(9, 0, 0), LUA(FOO, EV_NO_PC, 0));
	check(p, "/srv/a.lua:10;foreach [builtin:foreach] 1\n"
		 "/srv/a.lua:10;foreach [builtin:foreach];trace#3:builtin:foreach 1\n");
}

static void clean(const char *text, const char *want)
{
	char out[LABEL_MAX + 1];

	label_format(out, "%s", text);
	assert_string_equal(out, want);
}

static void test_sanitise(void **state)
{
	char text[2048], out[LABEL_MAX + 1], small[8];

	(void)state;
	clean("a;b", "a:b");
	clean("a\nb\tc\x7f", "a b c ");
	clean("\x1b[31mred", " [31mred");
	clean("nel\xc2\x85ls\xe2\x80\xa8.", "nel ls .");
	clean("worker 4242", "worker:4242");
	clean("worker\t4242", "worker:4242");
	clean("x 1.5", "x:1.5");
	clean("x 1.", "x:1.");
	clean("x .5", "x .5");
	clean("x 1.2.3", "x 1.2.3");
	clean("worker 4242 ", "worker 4242 ");
	clean("4242", "4242");
	clean("", "");
	clean("caf\xc3\xa9", "caf\xc3\xa9");
	clean("\xff", "\xef\xbf\xbd");
	clean("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd");		       /* overlong */
	clean("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* surrogate */
	clean("\xf4\x90\x80\x80.",
	      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd."); /* > 10ffff */
	clean("\xef\xbf\xbf", "\xef\xbf\xbd");			    /* not a character of XML */
	clean("cut\xe2\x82", "cut\xef\xbf\xbd\xef\xbf\xbd");
	memset(text, 'x', sizeof(text));
	text[2000] = '\0';
	text[LABEL_MAX - 1] = '\xc3'; /* half of it would fit */
	text[LABEL_MAX] = '\xa9';
	label_format(out, "%s", text);
	assert_int_equal(strlen(out), LABEL_MAX - 1);
	/* What a cut brings to the end is looked at too. */
	memcpy(text + LABEL_MAX - 3, " 12", 3);
	label_format(out, "%s", text);
	assert_string_equal(out + LABEL_MAX - 3, ":12");
	label_clean(small, sizeof(small), "a;b c 12", 0);
	assert_string_equal(small, "a;b c 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_votes),
	    cmocka_unit_test(test_main_takes_no_name),
	    cmocka_unit_test(test_metamethod),
	    cmocka_unit_test(test_chunknames),
	    cmocka_unit_test(test_builtin),
	    cmocka_unit_test(test_sanitise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
