// SPDX-License-Identifier: MIT
/* Comparisons of profiles made by hand: rows of functions, split and not. */
#include "tests/unit/prof_fixture.h"

#include <errno.h>

#define VM_2 0x42000000u

struct want {
	const char *label, *group;
	uint64_t self[2], total[2];
};

/* heavy is called in two threads, VMs, coroutines, states and traces, before and after otherwise.
 */
static struct prof *profile(unsigned int split, unsigned int here, unsigned int there)
{
	struct prof *p = start(&(struct prof_opts){.split = split});
	struct ev_vm vm = {.h.pid = PID, .g = VM_2, .number = 2, .build = 1};

	ADD(p, vm, EV_VM);
	SAMPLE(p, ({.state = EV_STATE_INTERP, .tid = 7, .L = 0x70, .times = here}),
	       LUA(HEAVY, 1, 0), LUA(MAIN, 7, 0));
	SAMPLE(p,
	       ({.state = EV_STATE_C, .tid = 8, .L = 0x80, .g = VM_2, .trace = 3, .times = there}),
	       LUA(HEAVY, 1, 0), LUA(HEAVY, 2, 0), LUA(MAIN, 7, 0));
	assert_int_equal(prof_finish(p), 0);
	return p;
}

static struct prof *compared(unsigned int split)
{
	struct prof *d = diff_new(split);

	assert_non_null(d);
	for (int side = DIFF_BEFORE; side <= DIFF_AFTER; side++) {
		struct prof *p = profile(split, side ? 100 : 300, side ? 900 : 200);

		assert_int_equal(diff_add(d, (enum diff_side)side, p), 0);
		prof_free(p);
	}
	assert_int_equal(prof_finish(d), 0);
	return d;
}

/* These rows, in this order; frees the comparison. */
static void check_rows(struct prof *d, const struct want *want, size_t n)
{
	char group[PROF_SPLIT_TEXT];
	struct diff_row *row;
	size_t got;

	row = diff_rows(d, &got);
	assert_non_null(row);
	assert_int_equal(got, n);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(prof_frame(d, row[i].frame)->label, want[i].label);
		assert_string_equal(prof_group_label(d, row[i].group, group, sizeof(group)),
				    want[i].group);
		for (int side = 0; side < 2; side++) {
			assert_int_equal(row[i].self[side], want[i].self[side]);
			assert_int_equal(row[i].total[side], want[i].total[side]);
		}
	}
	free(row);
	prof_free(d);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEAVY_LABEL "foo /srv/lib/b.lua:4"
#define MAIN_LABEL "main chunk /srv/a.lua"

/* Recursion counts once, and what grew is on top. */
static void test_rows(void **state)
{
	static const struct want want[] = {
	    {HEAVY_LABEL, "", {500, 1000}, {500, 1000}},
	    {MAIN_LABEL, "", {0, 0}, {500, 1000}},
	};

	(void)state;
	check_rows(compared(0), want, COUNT(want));
}

/* By each of what it can be split by: of both groups their own rows, and no row for a group. */
static void test_split(void **state)
{
	static const char *const groups[PROF_BY_MAX][2] = {
	    [PROF_BY_THREAD] = {"thread:8", "thread:7"},
	    [PROF_BY_VM] = {"VM:2", "VM:1"},
	    [PROF_BY_COROUTINE] = {"coroutine:0x80", "coroutine:0x70"},
	    [PROF_BY_STATE] = {"[C]", "[interpreted]"},
	    [PROF_BY_TRACE] = {"trace:3", "[no trace]"},
	};

	(void)state;
	for (unsigned int by = PROF_BY_THREAD; by < PROF_BY_MAX; by++) {
		const struct want want[] = {
		    {HEAVY_LABEL, groups[by][0], {200, 900}, {200, 900}},
		    {MAIN_LABEL, groups[by][0], {0, 0}, {200, 900}},
		    {MAIN_LABEL, groups[by][1], {0, 0}, {300, 100}},
		    {HEAVY_LABEL, groups[by][1], {300, 100}, {300, 100}},
		};

		check_rows(compared(1u << by), want, COUNT(want));
	}
}

/* One process: as if it were not split, but for the group. By all at once: joined, in one order. */
static void test_split_by_all(void **state)
{
	static const struct want one[] = {
	    {HEAVY_LABEL, "luajit:100", {500, 1000}, {500, 1000}},
	    {MAIN_LABEL, "luajit:100", {0, 0}, {500, 1000}},
	};
	static const char here[] =
	    "luajit:100;thread:7;VM:1;coroutine:0x70;[interpreted];[no trace]";
	static const char there[] = "luajit:100;thread:8;VM:2;coroutine:0x80;[C];trace:3";
	static const struct want all[] = {
	    {HEAVY_LABEL, there, {200, 900}, {200, 900}},
	    {MAIN_LABEL, there, {0, 0}, {200, 900}},
	    {MAIN_LABEL, here, {0, 0}, {300, 100}},
	    {HEAVY_LABEL, here, {300, 100}, {300, 100}},
	};

	(void)state;
	check_rows(compared(1u << PROF_BY_PROCESS), one, COUNT(one));
	check_rows(compared((1u << PROF_BY_MAX) - 1), all, COUNT(all));
}

/* What is folded is as the profile it was folded from; a group that came and one that went. */
static void test_lines(void **state)
{
	static const struct want want[] = {
	    {"f", "[GC]", {0, 900}, {0, 900}},
	    {"[profile full]", "[profile full]", {0, 2}, {0, 2}},
	    {"f", "[C]", {900, 0}, {900, 0}},
	};
	struct prof *d = diff_new(1u << PROF_BY_STATE);

	(void)state;
	assert_int_equal(diff_add_line(d, DIFF_BEFORE, "[C];f 900"), 0);
	assert_int_equal(diff_add_line(d, DIFF_AFTER, "[GC];f 900"), 0);
	assert_int_equal(diff_add_line(d, DIFF_AFTER, "[profile full] 2"), 0);
	assert_int_equal(diff_add_line(d, DIFF_AFTER, "[GC]f;g 900"), -EDOM);
	assert_int_equal(prof_finish(d), 0);
	check_rows(d, want, COUNT(want));
	d = diff_new(1u << PROF_BY_STATE);
	assert_int_equal(prof_finish(d), 0);
	check_rows(d, want, 0);
}

/* A line must begin with what it is said to be split by. */
static void test_lines_not_split_so(void **state)
{
	static const struct {
		unsigned int split;
		const char *line;
		int err;
	} lines[] = {
	    {1u << PROF_BY_PROCESS, "nginx: worker:12;f 1", 0},
	    {1u << PROF_BY_PROCESS, "main chunk a.lua;f 1", -EDOM},
	    {1u << PROF_BY_PROCESS, "nginx:;f 1", -EDOM},
	    {1u << PROF_BY_THREAD, "thread:12;f 1", 0},
	    {1u << PROF_BY_THREAD, "[no thread];f 1", 0},
	    {1u << PROF_BY_THREAD, "f;thread:12 1", -EDOM},
	    {1u << PROF_BY_VM, "VM:1 1", 0},
	    {1u << PROF_BY_VM, "[no VM];x 1", 0},
	    {1u << PROF_BY_VM, "vm 1", -EDOM},
	    {1u << PROF_BY_COROUTINE, "coroutine:0x12;f 1", 0},
	    {1u << PROF_BY_COROUTINE, "[no coroutine];f 1", 0},
	    {1u << PROF_BY_COROUTINE, "[no VM];f 1", -EDOM},
	    {1u << PROF_BY_STATE, "[compiled];f 1", 0},
	    {1u << PROF_BY_STATE, "[no trace];f 1", -EDOM},
	    {1u << PROF_BY_TRACE, "trace:1;f 1", 0},
	    {1u << PROF_BY_TRACE, "[no trace];f 1", 0},
	    {1u << PROF_BY_TRACE, "trace#1:a.lua:1;f 1", -EDOM},
	    {1u << PROF_BY_STATE | 1u << PROF_BY_TRACE, "[GC];[no trace];f 1", 0},
	    {1u << PROF_BY_STATE | 1u << PROF_BY_TRACE, "[no trace];[GC];f 1", -EDOM},
	    {0, "anything;at all 1", 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		struct prof *d = diff_new(lines[i].split);

		assert_int_equal(diff_add_line(d, DIFF_AFTER, lines[i].line), lines[i].err);
		prof_free(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_split),
	    cmocka_unit_test(test_split_by_all),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_lines_not_split_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
