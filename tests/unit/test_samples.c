/* SPDX-License-Identifier: MIT */
/* What is kept besides the tree: piles, threads, ticks, all of it whole and bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/unit/prof_records.h"

static struct prof *start(unsigned int keep)
{
	struct prof *p = prof_new(&(struct prof_opts){.keep = keep});

	assert_non_null(p);
	def_proc(p, PID, "luajit");
	def_vm(p, PID, 1);
	return p;
}

/* A sample of one frame, by thread and VM. */
static void sample_in(struct prof *p, uint32_t tid, uint64_t g, uint64_t time)
{
	union {
		struct ev_sample s;
		char room[sizeof(struct ev_sample) + sizeof(struct ev_frame)];
	} ev = {
	    .s = {
		.h = {.kind = EV_SAMPLE, .size = sizeof(ev), .time = time, .pid = PID, .tid = tid},
		.g = g,
		.state = g ? EV_STATE_INTERP : EV_STATE_OUTSIDE,
		.nframes = 1}};
	struct ev_frame f = LUA(1, 0, 0);

	memcpy(ev.s.f, &f, sizeof(f));
	assert_int_equal(prof_add(p, &ev.s.h), 0);
}

static void test_threads(void **state)
{
	struct prof *p = start(PROF_KEEP_TICKS);
	struct ev_vm second = {.h.pid = PID, .g = 0x5000, .number = 2, .build = 1};
	const struct prof_thread *t;
	size_t n;

	(void)state;
	ADD(p, second, EV_VM);
	sample_in(p, 1, 0, 10);	   /* before its first VM */
	sample_in(p, 1, VM_G, 20); /* which it goes to */
	sample_in(p, 1, 0, 30);
	sample_in(p, 1, 0x5000, 40);
	sample_in(p, 1, 0, 50); /* of the second now */
	sample_in(p, 1, VM_G, 60);
	sample_in(p, 2, 0, 70); /* never in one */
	assert_int_equal(prof_finish(p), 0);
	t = prof_threads(p, &n);
	assert_int_equal(n, 3);
	assert_int_equal(t[0].vm, 1);
	assert_int_equal(t[0].samples, 4);
	assert_int_equal(t[0].first_time, 10);
	assert_int_equal(t[0].last_time, 60);
	assert_int_equal(t[1].vm, 2);
	assert_int_equal(t[1].samples, 2);
	assert_int_equal(t[2].tid, 2);
	assert_int_equal(t[2].vm, 0);
	assert_string_equal(t[2].comm, "luajit");
	prof_free(p);
}

static void test_ticks_in_order(void **state)
{
	struct prof *p = start(PROF_KEEP_TICKS);
	const struct prof_tick *t;
	size_t n;

	(void)state;
	sample_in(p, 1, VM_G, 30);
	sample_in(p, 1, VM_G, 10);
	sample_in(p, 2, VM_G, 20);
	assert_int_equal(prof_finish(p), 0);
	t = prof_ticks(p, &n);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(t[i].time, 10 * (i + 1));
		assert_int_equal(t[i].count, 1);
	}
	prof_free(p);
}

/* Far more than are kept: none is lost, and none moves far. */
static void test_ticks_are_bounded(void **state)
{
	const uint64_t all = 5000000, step = 100000;
	struct prof *p = start(PROF_KEEP_TICKS);
	const struct prof_pile *piles;
	const struct prof_tick *t;
	uint64_t sum = 0;
	size_t n, npiles;

	(void)state;
	for (uint64_t i = 0; i < all; i++)
		sample_in(p, 1 + i % 3, VM_G, (i + 1) * step);
	assert_int_equal(prof_finish(p), 0);
	t = prof_ticks(p, &n);
	piles = prof_piles(p, &npiles);
	assert_true(n <= 1u << 20);
	assert_int_equal(npiles, 3);
	for (size_t i = 0; i < n; i++) {
		sum += t[i].count;
		assert_true(!i || t[i].time >= t[i - 1].time);
		assert_true(t[i].count * step <= 1000 * step);
	}
	assert_int_equal(sum, all);
	sum = 0;
	for (size_t i = 0; i < npiles; i++)
		sum += piles[i].count;
	assert_int_equal(sum, all);
	prof_free(p);
}

/* A frame that means something else from now on is another one, however often it was seen. */
static void test_redefinition(void **state)
{
	struct prof *p = start(0);
	char *text;

	(void)state;
	def_func(p, 1, "@a", 1, 1, 0, 1);
	def_func(p, 2, "@b", 2, 1, 0, 2);
	def_name(p, 2, 1, EV_NAME_FIELD, "first");
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 3}), LUA(1, 0, 0), LUA(2, 1, 0));
	def_name(p, 2, 1, EV_NAME_FIELD, "second");
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 2}), LUA(1, 0, 0), LUA(2, 1, 0));
	text = folded(p);
	assert_string_equal(text, "b:2;first a:1 5\n");
	free(text);
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 2}), LUA(1, 0, 0), LUA(2, 1, 0));
	text = folded(p);
	assert_string_equal(text, "b:2;second a:1 7\n");
	free(text);
	def_func(p, 1, "@c", 1, 1, 0, 1);
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 4}), LUA(1, 0, 0), LUA(2, 1, 0));
	text = folded(p);
	assert_string_equal(text, "b:2;second a:1 7\nb:2;second c:1 4\n");
	free(text);
	prof_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_ticks_in_order),
	    cmocka_unit_test(test_ticks_are_bounded),
	    cmocka_unit_test(test_redefinition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
