/* SPDX-License-Identifier: MIT */
/* Samples in compiled code with what runs there, from SNAPS records made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profiler/lines.h"
#include "tests/unit/prof_records.h"

#define TRACE 3u
#define MARK 77u
#define MCODE 0x550000u

struct snaps {
	struct ev_snaps e;
	struct ev_snap_range range[5];
	struct ev_snap_frame f[5];
};

/* main (1) calls mid (2), which calls leaf (3): at 0 main, from 100 on mid, from 200 on leaf in it.
 */
static struct snaps usual(void)
{
	return (struct snaps){
	    .e = {.h = {.kind = EV_SNAPS, .size = sizeof(struct snaps), .pid = PID},
		  .g = VM_G,
		  .mcode = MCODE,
		  .start = EV_FRAME_ADDR(1, 5),
		  .trace = TRACE,
		  .szmcode = 400,
		  .mcloop = 200,
		  .mark = MARK,
		  .nranges = 5,
		  .nframes = 5},
	    .range = {{0, 1}, {100, 3}, {200, 4}, {300, 0}, {350, 5}},
	    .f = {{.f = LUA(1, 5, 11)},
		  {.f = LUA(1, 7, 12)},
		  {.f = LUA(2, 3, 22), .caller = 2},
		  {.f = LUA(3, 4, 33), .caller = 3},
		  {.f = LUA(2, 6, 24), .flags = EV_SNAP_TAIL}}};
}

static struct prof *begin(const struct prof_opts *opts, const struct snaps *s)
{
	struct prof *p = prof_new(opts);

	def_proc(p, PID, "luajit");
	def_vm(p, PID, 1);
	def_func(p, 1, "@a.lua", 1, 9, 0, 11);
	def_func(p, 2, "@a.lua", 20, 9, 0, 12);
	def_func(p, 3, "@a.lua", 30, 9, 0, 13);
	def_func(p, 4, "@a.lua", 1, 9, 0, 11); /* the first one, told by another id */
	def_sym(p, PID, 0x7000, 0x7100, EV_SYM_FUNC, "sqrt", "libm.so.6");
	if (s)
		assert_int_equal(prof_add(p, &s->e.h), 0);
	return p;
}

/* In the machine code of a trace that was entered in func, or in what that called. */
static void put(struct prof *p, struct lines *l, uint32_t func, uint32_t flags, uint32_t mcofs,
		uint16_t mark)
{
	union {
		struct ev_sample s;
		char room[sizeof(struct ev_sample) + 2 * sizeof(struct ev_frame)];
	} u = {.s = {.h = {.kind = EV_SAMPLE, .size = sizeof(u), .pid = PID},
		     .g = VM_G,
		     .trace = TRACE,
		     .state = EV_STATE_TRACE,
		     .flags = flags,
		     .nframes = 2,
		     .ip = flags & EV_SF_MCODE ? MCODE + mcofs : 0x7010,
		     .mcofs = mcofs}};

	u.s.f[0] = (struct ev_frame)START(1, 5, 11);
	u.s.f[0].mark = mark;
	u.s.f[1] = (struct ev_frame)LUA(func, EV_NO_PC, 0);
	assert_int_equal(prof_add(p, &u.s.h), 0);
	if (l)
		assert_int_equal(lines_add(l, &u.s.h), 0);
}

static void expect(struct prof *p, const char *want)
{
	char *text = folded(p);

	assert_string_equal(text, want);
	free(text);
	prof_free(p);
}

static void test_frames_by_offset(void **state)
{
	struct prof_opts o = {.lines = 1};
	struct snaps s = usual();
	struct prof *p = begin(&o, &s);
	const struct prof_stats *st = prof_stats(p);

	(void)state;
	put(p, NULL, 4, EV_SF_MCODE, 99, MARK);
	put(p, NULL, 4, EV_SF_MCODE, 100, MARK);
	put(p, NULL, 4, EV_SF_MCODE, 299, MARK);
	put(p, NULL, 4, EV_SF_MCODE, 300, MARK);
	assert_int_equal(st->by_inside[PROF_INSIDE_HEAD], 2);
	assert_int_equal(st->by_inside[PROF_INSIDE_LOOP], 1);
	assert_int_equal(st->by_inside[PROF_INSIDE_UNKNOWN], 1);
	expect(p, "a.lua:1;a.lua:11;trace#3:a.lua:11 1\n"
		  "a.lua:1;a.lua:12;a.lua:20;a.lua:22;a.lua:30;a.lua:33;trace#3:a.lua:11 1\n"
		  "a.lua:1;a.lua:12;a.lua:20;a.lua:22;trace#3:a.lua:11 1\n"
		  "a.lua:1;trace#3:a.lua:11 1\n");
}

/* A call belongs to where it was made, which is before the place that it returns to. */
static void test_called(void **state)
{
	struct prof_opts o = {.lines = 0};
	struct snaps s = usual();
	struct prof *p = begin(&o, &s);

	(void)state;
	put(p, NULL, 1, EV_SF_CALLED, 200, MARK);
	put(p, NULL, 1, EV_SF_CALLED, 201, MARK);
	put(p, NULL, 1, 0, 0, MARK);
	expect(p, "a.lua:1;a.lua:20;a.lua:30;trace#3:a.lua:11;C:sqrt 1\n"
		  "a.lua:1;a.lua:20;trace#3:a.lua:11;C:sqrt 1\n"
		  "a.lua:1;trace#3:a.lua:11;C:sqrt 1\n");
}

/* The stack still has the function that made a tail call; or has its caller back already. */
static void test_other_base(void **state)
{
	struct prof_opts o = {.lines = 0};
	struct snaps s = usual();
	struct prof *p = begin(&o, &s);

	(void)state;
	put(p, NULL, 1, EV_SF_MCODE, 360, MARK); /* mid, in the place of main */
	put(p, NULL, 3, EV_SF_MCODE, 100, MARK); /* main was called by leaf */
	expect(p, "a.lua:20;trace#3:a.lua:11 1\n"
		  "a.lua:30;a.lua:1;a.lua:20;trace#3:a.lua:11 1\n");
}

/* Another trace of that number, or at another place, is not this one. */
static void test_identity(void **state)
{
	struct prof_opts o = {.lines = 0};
	struct snaps s = usual();
	struct prof *p;

	(void)state;
	s.e.mcode++;
	p = begin(&o, &s);
	put(p, NULL, 1, EV_SF_MCODE, 210, MARK);
	s.e.mcode--;
	s.e.mark++;
	assert_int_equal(prof_add(p, &s.e.h), 0);
	put(p, NULL, 1, EV_SF_MCODE, 210, MARK);
	expect(p, "a.lua:1;trace#3:a.lua:11 2\n");
}

static void test_no_mcofs(void **state)
{
	struct prof_opts o = {.lines = 0};
	struct snaps s = usual();
	struct prof *p;

	(void)state;
	s.e.why = EV_SNAPS_NO_MCOFS;
	s.e.nranges = s.e.nframes = 0;
	s.e.h.size = sizeof(s.e);
	p = begin(&o, &s);
	put(p, NULL, 1, EV_SF_MCODE, 210, MARK);
	assert_int_equal(prof_stats(p)->by_inside[PROF_INSIDE_NO_MCOFS], 1);
	expect(p, "a.lua:1;trace#3:a.lua:11 1\n");
}

static const struct prof_row *row_of(const struct prof *p, const struct prof_row *rows, size_t n,
				     const char *label)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strcmp(prof_frame(p, rows[i].frame)->label, label))
			return &rows[i];
	fail_msg("no row %s", label);
	return NULL;
}

/* The innermost function has the time, inlined or not; nodes and labels tell. */
static void test_rows_and_labels(void **state)
{
	struct prof_opts o = {.keep = PROF_KEEP_PILES};
	struct snaps s = usual();
	struct prof *p = begin(&o, &s);
	const struct prof_node *node;
	struct prof_row *rows;
	size_t n, piles;

	(void)state;
	put(p, NULL, 1, EV_SF_MCODE, 210, MARK);
	put(p, NULL, 1, EV_SF_MCODE, 50, MARK);
	assert_int_equal(prof_finish(p), 0);
	rows = prof_rows(p, &n);
	assert_int_equal(row_of(p, rows, n, "a.lua:30")->self, 1);
	assert_int_equal(row_of(p, rows, n, "a.lua:20")->self, 0);
	assert_int_equal(row_of(p, rows, n, "a.lua:1")->self, 1);
	assert_int_equal(row_of(p, rows, n, "a.lua:1")->total, 2);
	free(rows);
	node = prof_root(p)->children[0];
	assert_int_equal(node->inlined, 0);
	assert_int_equal(node->children[0]->inlined, 1);
	prof_piles(p, &piles);
	assert_int_equal(piles, 2);
	assert_string_equal(prof_phase(prof_labels(p, prof_piles(p, &piles)[0].labels)->inside),
			    "loop");
	assert_string_equal(prof_phase(prof_labels(p, prof_piles(p, &piles)[1].labels)->inside),
			    "head");
	prof_free(p);
}

/* Annotated source counts at the inlined function's line. */
static void test_lines(void **state)
{
	struct prof_opts o = {.lines = 0};
	struct snaps s = usual();
	struct prof *p = begin(&o, NULL);
	struct lines *l = lines_new(p);
	const struct lines_func *f;
	struct ev_func ev = {
	    .h.pid = PID, .id = 3, .g = VM_G, .firstline = 30, .numline = 9, .content = 13};
	const char *chunk = "@a.lua";
	struct ev_hdr *h = record(&ev, sizeof(ev), EV_FUNC, &chunk, 1);
	size_t n;

	(void)state;
	assert_int_equal(prof_add(p, &s.e.h), 0);
	assert_int_equal(lines_add(l, h), 0);
	free(h);
	put(p, l, 1, EV_SF_MCODE, 210, MARK);
	f = lines_funcs(l, &n);
	assert_int_equal(n, 1);
	assert_int_equal(f[0].self, 1);
	assert_int_equal(lines_positions(l, &f[0]), 0);
	assert_int_equal(f[0].npos, 1);
	assert_int_equal(f[0].pos[0].line, 33);
	assert_int_equal(f[0].pos[0].pos, 4);
	lines_free(l);
	prof_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frames_by_offset),
	    cmocka_unit_test(test_called),
	    cmocka_unit_test(test_other_base),
	    cmocka_unit_test(test_identity),
	    cmocka_unit_test(test_no_mcofs),
	    cmocka_unit_test(test_rows_and_labels),
	    cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
