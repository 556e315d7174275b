// SPDX-License-Identifier: MIT
/* What the live view keeps of the stream: of samples and their C stacks the newest. */
#include "tui/keep.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int count(void *ctx, const struct ev_hdr *h)
{
	unsigned int *n = ctx;

	n[h->kind == EV_NATIVE]++;
	return 0;
}

/* C stacks come again and again: they must not take the room of definitions. */
static void test_natives(void **state)
{
	struct {
		struct ev_native e;
		ev_u64 word[64];
	} r = {.e = {.h = {.kind = EV_NATIVE, .size = sizeof(r)}, .nwords = 64}};
	struct ev_sample s = {.h = {.kind = EV_SAMPLE, .size = sizeof(s)}};
	struct keep *k = keep_new(1u << 20, 4096);
	unsigned int n[2] = {0, 0}, i;
	int whole;

	(void)state;
	assert_non_null(k);
	for (i = 0; i < 10000; i++) {
		r.e.h.time = s.h.time = i;
		assert_int_equal(keep_add(k, &r.e.h), 0);
		assert_int_equal(keep_add(k, &s.h), 0);
	}
	assert_int_equal(keep_each(k, count, n), 0); /* -E2BIG: definitions were dropped */
	assert_true(n[0] > 1000 && n[0] < 10000);
	assert_true(n[1] + 1 >= n[0] && n[1] <= n[0]);
	keep_since(k, &whole);
	assert_false(whole);
	keep_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_natives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
