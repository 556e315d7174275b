// SPDX-License-Identifier: MIT
#include "bpf/told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_once(void **state)
{
	struct told *set = NULL;

	(void)state;
	assert_false(told_before(&set, 1, 0x1000));
	assert_true(told_before(&set, 1, 0x1000));
	assert_false(told_before(&set, 2, 0x1000));
	assert_false(told_before(&set, 1, 0x1001));
	told_forget(&set, 1);
	assert_true(told_before(&set, 2, 0x1000));
	assert_false(told_before(&set, 1, 0x1000));
	told_forget(&set, 0);
	assert_null(set);
}

static void test_bounded(void **state)
{
	struct told *set = NULL;
	uint64_t again = 0, addr;

	(void)state;
	for (addr = 0; addr < 300000; addr++)
		assert_false(told_before(&set, 1, addr));
	for (addr = 0; addr < 300000; addr++)
		again += (uint64_t)told_before(&set, 1, addr);
	assert_in_range(again, 0, 65536);
	told_forget(&set, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_once),
	    cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
