// SPDX-License-Identifier: MIT
/* Events that were only counted: what they add to the fold's tables, and what they cannot tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bpf/rec.h"
#include "bytecode/bc.h"
#include "bytecode/jitnames.h"
#include "jittrace/jt.h"

#define PID 7u
#define G 0x41000000u
#define SECOND 1000000000ull
#define LLEAVE 8 /* leaving loop in root trace */

static void define(struct jt *jt, struct ev_hdr *h, size_t size, const char *const *strs,
		   unsigned int n)
{
	uint64_t buf[64];
	const struct ev_hdr *r;

	h->pid = PID;
	r = rec_build(buf, sizeof(buf), h, size, strs, n);
	assert_non_null(r);
	assert_int_equal(jt_add(jt, r), 0);
}

static struct jt *start(void)
{
	const char *const build_strs[] = {"LuaJIT 2.1.0-beta3", "luajit2-20230119", "/l.so", "ab"};
	const char *const chunk[] = {"@/srv/a.lua"};
	struct ev_build build = {.h.kind = EV_BUILD, .id = 1};
	struct ev_vm vm = {
	    .h = {.kind = EV_VM, .size = sizeof(vm), .pid = PID}, .g = G, .number = 1, .build = 1};
	struct ev_func f = {
	    .h.kind = EV_FUNC, .id = 1, .g = G, .firstline = 1, .numline = 20, .content = 1};
	const struct jt_opts opts = {.pid = 0};
	struct jt *jt = jt_new(&opts);

	assert_non_null(jt);
	define(jt, &build.h, sizeof(build), build_strs, 4);
	assert_int_equal(jt_add(jt, &vm.h), 0);
	define(jt, &f.h, sizeof(f), chunk, 1);
	return jt;
}

static struct ev_frame at(uint32_t line)
{
	return (struct ev_frame){
	    .addr = EV_FRAME_ADDR(1, line), .kind = EV_FRAME_LUA, .line = line};
}

/* Of what began at line 2, and, of an abort, ended at line 3. */
static struct ev_trace event(enum ev_trace_type type, uint64_t time)
{
	struct ev_trace e = {.h = {.kind = EV_TRACE, .size = sizeof(e), .time = time, .pid = PID},
			     .g = G,
			     .type = (ev_u8)type};

	if (type == EV_TRACE_FLUSH) {
		e.cause = EV_FLUSH_EXPLICIT;
		return e;
	}
	e.trace = 1;
	e.kind = EV_TRACE_ROOT;
	e.start = at(2);
	e.end = at(3);
	if (type == EV_TRACE_ABORT)
		e.error = LLEAVE;
	else
		e.linktype = LINK_LOOP;
	return e;
}

static void add(struct jt *jt, enum ev_trace_type type, uint64_t time)
{
	struct ev_trace e = event(type, time);

	assert_int_equal(jt_add(jt, &e.h), 0);
}

static struct ev_tally of(enum ev_trace_type type, uint64_t count, uint64_t last)
{
	return (struct ev_tally){
	    .h = {.kind = EV_TALLY, .size = sizeof(struct ev_tally), .pid = PID},
	    .first = last - SECOND / 2,
	    .last = last,
	    .count = count,
	    .starts = type == EV_TRACE_FLUSH ? 0 : count,
	    .like = event(type, last - SECOND)};
}

static void tally(struct jt *jt, struct ev_tally t)
{
	assert_true(rec_check(&t.h, t.h.size));
	assert_int_equal(jt_add(jt, &t.h), 0);
}

static const struct jt_site *only_site(struct jt *jt)
{
	size_t n;
	const struct jt_site *s = jt_sites(jt, 0, &n);

	assert_int_equal(n, 1);
	return s;
}

static void test_adds_up(void **state)
{
	struct jt *jt = start();
	const struct jt_stats *st = jt_stats(jt);
	const struct jt_site *s;

	(void)state;
	add(jt, EV_TRACE_START, 100 * SECOND);
	add(jt, EV_TRACE_ABORT, 100 * SECOND + 1);
	tally(jt, of(EV_TRACE_ABORT, 9000, 101 * SECOND));
	tally(jt, of(EV_TRACE_STOP, 50, 101 * SECOND + 1));
	tally(jt, of(EV_TRACE_FLUSH, 7, 101 * SECOND + 2));
	assert_int_equal(st->starts, 9051);
	assert_int_equal(st->aborts, 9001);
	assert_int_equal(st->stops, 50);
	assert_int_equal(st->flushes, 7);
	assert_int_equal(st->flush_by[EV_FLUSH_EXPLICIT], 7);
	assert_int_equal(st->tallied, 2 * 9000 + 2 * 50 + 7);
	assert_int_equal(st->missed, 0);
	assert_int_equal(st->elsewhere, 0);
	assert_int_equal(st->last_time, 101 * SECOND + 2);
	s = only_site(jt);
	assert_int_equal(s->count, 9001);
	assert_int_equal(s->recent, 9001);
	assert_int_equal(s->last, 101 * SECOND);
	assert_int_equal(s->nprocs, 1);
	assert_int_equal(s->proc[0].count, 9001);
	assert_int_equal(s->start.line, 2);
	assert_int_equal(s->at.line, 3);
	/* What is under way is not touched by what was counted. */
	add(jt, EV_TRACE_START, 102 * SECOND);
	tally(jt, of(EV_TRACE_ABORT, 10, 102 * SECOND + 5));
	add(jt, EV_TRACE_STOP, 102 * SECOND + 9);
	assert_int_equal(st->missed, 0);
	jt_free(jt);
}

static void test_attempts(void **state)
{
	struct jt *jt = start();
	struct ev_tally t = of(EV_TRACE_ABORT, 9000, 101 * SECOND);
	struct ev_trace e;

	(void)state;
	add(jt, EV_TRACE_ABORT, 100 * SECOND);
	t.attempts = 4;
	tally(jt, t);
	assert_int_equal(only_site(jt)->attempts, 4);
	assert_int_equal(only_site(jt)->state, JT_STATE_RETRYING);
	/* Later ones say themselves how many came before. */
	e = event(EV_TRACE_ABORT, 102 * SECOND);
	e.link = 6;
	assert_int_equal(jt_add(jt, &e.h), 0);
	assert_int_equal(only_site(jt)->attempts, 6);
	/* What is told late, of before, counts but changes no state. */
	t.attempts = 5;
	t.count = 1;
	tally(jt, t);
	assert_int_equal(only_site(jt)->attempts, 6);
	assert_int_equal(only_site(jt)->count, 9003);
	t.attempts = 11;
	t.last = 103 * SECOND;
	tally(jt, t);
	assert_int_equal(only_site(jt)->state, JT_STATE_BLACKLISTED);
	tally(jt, of(EV_TRACE_STOP, 1, 104 * SECOND));
	assert_int_equal(only_site(jt)->state, JT_STATE_COMPILED);
	assert_int_equal(only_site(jt)->attempts, 0);
	jt_free(jt);
}

/* A flush that is told late does not throw away what came after it. */
static void test_flush_is_of_its_time(void **state)
{
	struct jt *jt = start();
	const struct jt_trace *t;
	size_t n;

	(void)state;
	add(jt, EV_TRACE_STOP, 100 * SECOND);
	tally(jt, of(EV_TRACE_FLUSH, 3, 99 * SECOND));
	t = jt_traces(jt, &n);
	assert_int_equal(n, 1);
	assert_int_equal(t[0].epoch, 3);
	tally(jt, of(EV_TRACE_FLUSH, 1, 101 * SECOND));
	jt_traces(jt, &n);
	assert_int_equal(n, 0);
	jt_free(jt);
}

static void test_stitches(void **state)
{
	struct jt *jt = start();
	struct ev_tally t = of(EV_TRACE_STOP, 20, 100 * SECOND);

	(void)state;
	t.like.linktype = LINK_STITCH;
	t.like.end = (struct ev_frame){.addr = 0x7a6c50, .kind = EV_FRAME_C, .ffid = 1};
	tally(jt, t);
	assert_int_equal(jt_stats(jt)->stitches, 20);
	assert_int_equal(only_site(jt)->count, 20);
	assert_int_equal(only_site(jt)->kind, JT_SITE_STITCH);
	jt_free(jt);
}

static void test_nowhere(void **state)
{
	struct jt *jt = start();
	struct ev_tally t = of(EV_TRACE_ABORT, 20, 100 * SECOND);
	size_t n;

	(void)state;
	t.like = (struct ev_trace){.h = t.like.h, .type = EV_TRACE_ABORT};
	tally(jt, t);
	assert_int_equal(jt_stats(jt)->aborts, 20);
	assert_int_equal(jt_stats(jt)->elsewhere, 20);
	jt_sites(jt, 0, &n);
	assert_int_equal(n, 0);
	t.like.type = EV_TRACE_START; /* never counted so */
	tally(jt, t);
	assert_int_equal(jt_stats(jt)->starts, 20);
	jt_free(jt);
}

static void test_lines(void **state)
{
	struct jt *jt = start();
	struct ev_tally t = of(EV_TRACE_ABORT, 9000, 100 * SECOND);
	char line[JT_LINE];

	(void)state;
	assert_true(jt_format_tally(jt, &t, line, sizeof(line)) > 0);
	assert_string_equal(line, "7 abort ... and 9000 more like it: /srv/a.lua:2 -- leaving loop "
				  "in root trace at /srv/a.lua:3");
	t = of(EV_TRACE_STOP, 2, 100 * SECOND);
	jt_format_tally(jt, &t, line, sizeof(line));
	assert_string_equal(line, "7 stop ... and 2 more like it: /srv/a.lua:2 loop");
	t = of(EV_TRACE_FLUSH, 5, 100 * SECOND);
	jt_format_tally(jt, &t, line, sizeof(line));
	assert_string_equal(line, "7 flush ... and 5 more like it: -- explicit");
	t.count = 0;
	assert_int_equal(jt_format_tally(jt, &t, line, sizeof(line)), 0);
	assert_string_equal(line, "");
	t = of(EV_TRACE_ABORT, 3, 100 * SECOND);
	memset(&t.like.start, 0, sizeof(t.like.start));
	jt_format_tally(jt, &t, line, sizeof(line));
	assert_non_null(strstr(line, "at places not known"));
	jt_free(jt);
}

/* The record in the record is held to the same rules. */
static void test_shape(void **state)
{
	struct ev_tally t = of(EV_TRACE_ABORT, 1, SECOND);

	(void)state;
	assert_true(rec_check(&t.h, sizeof(t)));
	assert_false(rec_check(&t.h, sizeof(t) - 8));
	t.like.h.kind = EV_SAMPLE;
	assert_false(rec_check(&t.h, sizeof(t)));
	t.like.h.kind = EV_TRACE;
	t.like.h.size += 16;
	assert_false(rec_check(&t.h, sizeof(t)));
	t.like.h.size -= 16;
	t.like.nframes = 1;
	assert_false(rec_check(&t.h, sizeof(t)));
	t.like.nframes = 0;
	memset(t.like.text, 'x', sizeof(t.like.text));
	assert_false(rec_check(&t.h, sizeof(t)));
}

/* What bpf/sampler.bpf.c:proto_like takes for granted: no build with GC64 patches lower opcodes. */
static void test_patched_opcodes(void **state)
{
	static const uint32_t counts[] = {97, 104};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		const struct bc_gen *gen = bc_gen_by_count(counts[i]);

		assert_non_null(gen);
		assert_string_equal(bc_name(gen, 69), "ITERC");
		assert_true(gen->of[BC_ID_IFORL] > 69 && gen->of[BC_ID_JLOOP] > 69 &&
			    gen->of[BC_ID_IFUNCF] > 69);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_adds_up),
	    cmocka_unit_test(test_attempts),
	    cmocka_unit_test(test_flush_is_of_its_time),
	    cmocka_unit_test(test_stitches),
	    cmocka_unit_test(test_nowhere),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_shape),
	    cmocka_unit_test(test_patched_opcodes),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
