// SPDX-License-Identifier: MIT
/* profiler/ips.h: samples by machine instruction, on streams made by hand. */
#include "profiler/ips.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#define G 0x41000000u

static ev_u64 now;
static struct prof *prof;

static void sample(struct ips *s, uint32_t pid, uint32_t trace, uint64_t ip)
{
	struct ev_sample ev = {
	    .h = {.kind = EV_SAMPLE, .size = sizeof(ev), .pid = pid, .time = now},
	    .g = G,
	    .trace = trace,
	    .ip = ip,
	    .flags = EV_SF_MCODE,
	    .state = EV_STATE_TRACE};

	assert_int_equal(ips_add(s, &ev.h), 0);
}

static void flush(struct ips *s, uint32_t pid)
{
	struct ev_trace ev = {.h = {.kind = EV_TRACE, .size = sizeof(ev), .pid = pid},
			      .g = G,
			      .type = EV_TRACE_FLUSH};

	assert_int_equal(ips_add(s, &ev.h), 0);
}

static uint64_t total(struct ips *s, uint32_t pid, uint32_t trace)
{
	const struct ips_hit *h;
	uint64_t sum = 0;
	size_t n, i;

	h = ips_get(s, pid, G, trace, &n);
	for (i = 0; i < n; i++) {
		assert_true(!i || h[i - 1].ip < h[i].ip);
		sum += h[i].samples;
	}
	return sum;
}

static void counts(void **state)
{
	static const uint64_t ip[] = {50, 10, 30, 10, 90, 30, 10};
	struct ips *s = ips_new(prof, 5);
	const struct ips_hit *h;
	size_t n, i;

	(void)state;
	for (i = 0; i < sizeof(ip) / sizeof(ip[0]); i++)
		sample(s, 7, 3, ip[i]);
	sample(s, 7, 4, 10);
	sample(s, 8, 3, 10);
	h = ips_get(s, 7, G, 3, &n);
	assert_int_equal(n, 4);
	assert_int_equal(h[0].ip, 10);
	assert_int_equal(h[0].samples, 3);
	assert_int_equal(total(s, 7, 3), 7);
	assert_int_equal(total(s, 7, 4), 1);
	assert_null(ips_get(s, 7, G + 1, 3, &n));
	assert_int_equal(n, 0);
	/* Another trace has that number then; the other process has its own. */
	flush(s, 7);
	assert_int_equal(total(s, 7, 3), 0);
	assert_int_equal(total(s, 8, 3), 1);
	sample(s, 7, 3, 10);
	assert_int_equal(total(s, 7, 3), 1);
	ips_reset(s);
	assert_int_equal(total(s, 7, 3), 0);
	sample(s, 7, 3, 10);
	assert_int_equal(total(s, 7, 3), 1);
	ips_free(s);
}

/* Of the last seconds, or of all; in its machine code or in what it calls. */
static void window(void **state)
{
	struct ev_sample helper = {.h = {.kind = EV_SAMPLE, .size = sizeof(helper), .pid = 7},
				   .g = G,
				   .trace = 3,
				   .ip = 99,
				   .state = EV_STATE_TRACE};
	struct ips *s = ips_new(prof, 5);
	size_t n;

	(void)state;
	for (now = 1; now <= 20; now++)
		sample(s, 7, now & 1 ? 3 : 4, 10);
	helper.h.time = 20;
	assert_int_equal(ips_add(s, &helper.h), 0);
	assert_int_equal(ips_samples(s, 7, G, 3), 11);
	ips_choose(s, 1, 20); /* 15 to 20 */
	assert_int_equal(ips_samples(s, 7, G, 3), 4);
	assert_int_equal(ips_samples(s, 7, G, 4), 3);
	assert_int_equal(ips_samples(s, 8, G, 4), 0);
	ips_get(s, 7, G, 3, &n);
	assert_int_equal(n, 1);
	ips_choose(s, 1, 30);
	assert_int_equal(ips_samples(s, 7, G, 3), 0);
	ips_choose(s, 0, 30);
	assert_int_equal(ips_samples(s, 7, G, 3), 11);
	now = 0;
	ips_free(s);
}

/* Where the loop begins; what the code calls counts at the call. */
static void code(void **state)
{
	struct ev_snaps snaps = {.h = {.kind = EV_SNAPS, .size = sizeof(snaps), .pid = 7},
				 .g = G,
				 .mcode = 1000,
				 .szmcode = 100,
				 .mcloop = 40,
				 .trace = 3};
	struct ev_sample call = {.h = {.kind = EV_SAMPLE, .size = sizeof(call), .pid = 7},
				 .g = G,
				 .trace = 3,
				 .ip = 99999,
				 .mcofs = 51,
				 .flags = EV_SF_CALLED,
				 .state = EV_STATE_TRACE};
	struct ips *s = ips_new(prof, 5);
	const struct ips_hit *h;
	uint64_t mcode = 0;
	uint32_t loop = 0;
	size_t n;

	(void)state;
	assert_int_equal(ips_code(s, 7, G, 3, &mcode, &loop), -ENOENT);
	assert_int_equal(ips_add(s, &call.h), 0); /* nobody knows where */
	assert_int_equal(total(s, 7, 3), 0);
	assert_int_equal(ips_add(s, &snaps.h), 0);
	assert_int_equal(ips_code(s, 7, G, 3, &mcode, &loop), 0);
	assert_int_equal(mcode, 1000);
	assert_int_equal(loop, 40);
	assert_int_equal(ips_add(s, &call.h), 0);
	h = ips_get(s, 7, G, 3, &n);
	assert_int_equal(n, 1);
	assert_int_equal(h[0].ip, 1050);
	snaps.mcode = 5000; /* another trace */
	assert_int_equal(ips_add(s, &snaps.h), 0);
	assert_int_equal(total(s, 7, 3), 0);
	assert_int_equal(ips_samples(s, 7, G, 3), 0);
	ips_free(s);
}

/* No number of traces or instructions lets it grow without end. */
static void limits(void **state)
{
	struct ips *s = ips_new(prof, 5);
	uint32_t i;

	(void)state;
	for (i = 0; i < 5000; i++)
		sample(s, 7, 1, (i * 7919) % 5003);
	assert_int_equal(total(s, 7, 1), 4096);
	assert_int_equal(ips_dropped(s), 5000 - 4096);
	for (i = 0; i < 50000; i++)
		sample(s, 7, i, 1);
	assert_int_equal(total(s, 7, 49999), 1);
	assert_int_equal(total(s, 7, 1), 0);
	ips_free(s);
	ips_free(NULL);
}

int main(void)
{
	struct prof_opts o = {.pid = 0};

	const struct CMUnitTest tests[] = {cmocka_unit_test(counts), cmocka_unit_test(window),
					   cmocka_unit_test(code), cmocka_unit_test(limits)};

	int failed;

	prof = prof_new(&o);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	prof_free(prof);
	return failed;
}
