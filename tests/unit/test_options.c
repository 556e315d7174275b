// SPDX-License-Identifier: MIT
/* tui/options.h: no two options can be taken for each other, and each does what its name says. */
#include "tui/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_unique(void **state)
{
	enum option_id i, k;

	(void)state;
	for (i = 0; i < OPT_MAX; i++) {
		assert_true(strlen(options_name(i)) > 1 && strlen(options_name(i)) < 31);
		assert_null(strchr(options_name(i), ' '));
		for (k = 0; k < i; k++) {
			assert_string_not_equal(options_name(i), options_name(k));
			if (options_letter(i))
				assert_int_not_equal(options_letter(i), options_letter(k));
		}
	}
}

static void test_accept(void **state)
{
	(void)state;
	assert_true(options_accept("pid rate ", "rate"));
	assert_true(options_accept("pid -- rate", OPTIONS_COMMAND));
	assert_false(options_accept("pid rate", "rat"));
	assert_false(options_accept("refresh", "fresh"));
	assert_false(options_accept("pid rate", ""));
	assert_true(options_known("pid -- rate "));
	assert_true(options_known(""));
	assert_false(options_known("pid p"));
}

static int parse(struct options *o, const char *accepts, const char *const *arg)
{
	char *argv[16] = {(char *)(uintptr_t) "ljx", (char *)(uintptr_t) "top"};
	int argc = 2;

	for (; *arg; arg++)
		argv[argc++] = (char *)(uintptr_t)*arg;
	return options_parse(o, argc, argv, "top", accepts);
}

/* What has no value sets one field, and no other option sets it. */
static void test_flags(void **state)
{
	static const char *const flags[] = {
#define OPTION(id, name, letter, field) "--" name,
	    FLAG_OPTIONS(OPTION)
#undef OPTION
	};
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		const char *const arg[] = {flags[i], NULL};
		struct options o;
		int set = 0;

		assert_int_equal(parse(&o, flags[i] + 2, arg), 0);
		const int value[] = {
#define OPTION(id, name, letter, field) o.field,
		    FLAG_OPTIONS(OPTION)
#undef OPTION
		};
		for (k = 0; k < sizeof(value) / sizeof(value[0]); k++)
			set += value[k];
		assert_int_equal(value[i], 1);
		assert_int_equal(set, 1);
	}
}

static void test_values(void **state)
{
	static const char *const args[] = {
	    "-p",    "7,8", "-d",      "5m", "--rows=3",      "--refresh",
	    "250ms", "-N4", "--state", "N",  "--color=never", NULL};
	static const char *const all = "pid duration rows refresh frames state color";
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, all, args), 0);
	assert_int_equal(o.npids, 2);
	assert_int_equal(o.pid[1], 8);
	assert_int_equal((int)o.duration, 300);
	assert_int_equal(o.rows, 3);
	assert_int_equal((int)(o.refresh * 1000), 250);
	assert_int_equal(o.frames, 4);
	assert_int_equal(o.states, prof_states('N'));
	assert_int_equal(o.color, TERM_NEVER);
}

/* -f reads a file where that is accepted, and names a format elsewhere. */
static void test_file(void **state)
{
	static const char *const file[] = {"-f", "x.so", NULL}, *const format[] = {"-f", "svg",
										   NULL};
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, "file", file), 0);
	assert_string_equal(o.file, "x.so");
	assert_int_equal(parse(&o, "format", format), 0);
	assert_string_equal(o.format, "svg");
	assert_null(o.file);
	assert_int_equal(parse(&o, "pid", format), WHY_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_unique), cmocka_unit_test(test_accept),
	    cmocka_unit_test(test_flags),  cmocka_unit_test(test_values),
	    cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
