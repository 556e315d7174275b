// SPDX-License-Identifier: MIT
/* The maps that forget: what is in use stays, and there are never many. */
#include "profiler/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MANY (10 * RECENT_MAX)

static void test_few(void **state)
{
	struct recent r = {0};
	uint64_t key;

	(void)state;
	assert_int_equal(recent_get(&r, 7), 0);
	for (key = 1; key <= RECENT_MAX; key++)
		assert_int_equal(recent_set(&r, key, (uint32_t)key + 1), 0);
	assert_int_equal(recent_set(&r, 7, 70), 0);
	assert_int_equal(recent_count(&r), RECENT_MAX);
	for (key = 1; key <= RECENT_MAX; key++)
		assert_int_equal(recent_get(&r, key), key == 7 ? 70 : key + 1);
	recent_release(&r);
	assert_int_equal(recent_count(&r), 0);
}

static void test_forgets_what_is_not_used(void **state)
{
	struct recent r = {0};
	uint64_t key;

	(void)state;
	for (key = 1; key <= MANY; key++) {
		assert_int_equal(recent_set(&r, key, 1), 0);
		assert_true(recent_count(&r) <= 2 * RECENT_MAX);
		/* As long as it promises. */
		if (key > RECENT_MAX)
			assert_int_equal(recent_peek(&r, key - RECENT_MAX), 1);
		if (key > 2 * RECENT_MAX)
			assert_int_equal(recent_peek(&r, key - 2 * RECENT_MAX), 0);
	}
	recent_release(&r);
}

static void test_use(void **state)
{
	struct recent r = {0};
	uint64_t key;

	(void)state;
	assert_int_equal(recent_set(&r, MANY + 1, 5), 0);
	assert_int_equal(recent_set(&r, MANY + 2, 6), 0);
	for (key = 1; key <= MANY; key++) {
		assert_int_equal(recent_set(&r, key, 1), 0);
		if (key % RECENT_MAX)
			continue;
		assert_int_equal(recent_get(&r, MANY + 1), 5);
		/* Looking is no use. */
		assert_int_equal(recent_peek(&r, MANY + 2), key <= RECENT_MAX ? 6 : 0);
	}
	recent_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_few),
	    cmocka_unit_test(test_forgets_what_is_not_used),
	    cmocka_unit_test(test_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
