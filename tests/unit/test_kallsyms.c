// SPDX-License-Identifier: MIT
#include "bpf/kallsyms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "ffffffff81000200 T second\n"
			   "ffffffff81000100 T first\n"
			   "ffffffff81000100 t alias\n"
			   "ffffffff81000180 D data\n"
			   "ffffffffc0000000 t in_module\t[nf_tables]\n"
			   "0000000000000000 A hidden\n"
			   "not a line\n"
			   "ffffffffc0000100 t torn\t[nf_tab\n"
			   "ffffffffc0000200 t last";

static struct kallsyms_sym find(const struct kallsyms *k, uint64_t addr)
{
	struct kallsyms_sym s;

	assert_int_equal(kallsyms_find(k, addr, &s), 0);
	assert_true(s.start <= addr && addr < s.end);
	return s;
}

static void test_find(void **state)
{
	struct kallsyms *k = kallsyms_parse(text, sizeof(text) - 1);
	struct kallsyms_sym s;

	(void)state;
	assert_non_null(k);
	s = find(k, 0xffffffff81000100);
	assert_string_equal(s.name, "alias");
	assert_string_equal(s.module, "");
	assert_int_equal(s.end, 0xffffffff81000200);
	assert_string_equal(find(k, 0xffffffff810001ff).name, "alias"); /* data is no function */
	assert_string_equal(find(k, 0xffffffff81000200).name, "second");
	s = find(k, 0xffffffffc0000080);
	assert_string_equal(s.name, "in_module");
	assert_string_equal(s.module, "nf_tables");
	s = find(k, 0xffffffffc0000180);
	assert_string_equal(s.name, "torn");
	assert_string_equal(s.module, "");
	assert_int_not_equal(kallsyms_find(k, 0xffffffff81000000, &s), 0);
	assert_int_not_equal(kallsyms_find(k, 0xffffffffc0000200, &s),
			     0); /* nobody knows its end */
	assert_int_not_equal(kallsyms_find(k, 0, &s), 0);
	kallsyms_free(k);
}

static void test_empty(void **state)
{
	struct kallsyms *k = kallsyms_parse("", 0);
	struct kallsyms_sym s;

	(void)state;
	assert_non_null(k);
	assert_int_not_equal(kallsyms_find(k, 0xffffffff81000100, &s), 0);
	kallsyms_free(k);
	kallsyms_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
