// SPDX-License-Identifier: MIT
/* What is chosen of a profile, against the fold that it was chosen from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiler/fold.h"
#include "profiler/pick.h"
#include "tui/ljx.h"

#define SECOND 1000000000ull

static const char *const files[] = {"tests/golden/mixed.ljx", "tests/golden/hostile.ljx",
				    "tests/golden/workers.ljx"};
static const struct pick_query everything = {.pid = PICK_ALL, .only = PROF_GROUP_MAX};

static const struct options quiet = {.quiet = 1};

struct taken {
	struct pick *k;
	struct prof *p;
	uint64_t last;
	unsigned int samples, at, split; /* before sample at: split by that from now on */
};

static int take(void *ctx, const struct ev_hdr *h)
{
	struct taken *t = ctx;

	if (h->kind == EV_SAMPLE && h->time > t->last)
		t->last = h->time;
	if (h->kind == EV_SAMPLE && t->at && t->samples++ == t->at)
		assert_int_equal(pick_split(t->k, t->split), 0);
	return pick_add(t->k, h);
}

static int fold(void *ctx, const struct ev_hdr *h)
{
	return prof_add(ctx, h);
}

static void open_turned(struct taken *t, const char *file, unsigned int split, unsigned int at,
			unsigned int to)
{
	struct prof_opts po = {.split = split};
	struct why why = {.code = 0};

	memset(t, 0, sizeof(*t));
	t->at = at;
	t->split = to;
	t->p = prof_new(&po);
	assert_non_null(t->p);
	t->k = pick_new(t->p, 2 * SECOND);
	assert_non_null(t->k);
	assert_int_equal(replay(&quiet, file, take, t, &why), 0);
	assert_int_equal(pick_labels(t->k), 0);
}

static void open_split(struct taken *t, const char *file, unsigned int split)
{
	open_turned(t, file, split, 0, 0);
}

static void open_file(struct taken *t, const char *file)
{
	open_split(t, file, 0);
}

static void close_file(struct taken *t)
{
	pick_free(t->k);
	prof_free(t->p);
}

static const struct pick_row *row_of(const struct pick_row *rows, size_t n, uint32_t frame)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (rows[i].frame == frame)
			return &rows[i];
	return NULL;
}

/* The rows of a fold with these options, by label, are those of the query. */
static void same_rows(struct taken *t, const char *file, const struct pick_query *q,
		      const struct prof_opts *po)
{
	struct prof *p = prof_new(po);
	struct why why = {.code = 0};
	struct pick_row *rows;
	struct prof_row *want;
	struct pick_sum sum;
	size_t n, nwant, left, i, k;

	assert_int_equal(replay(&quiet, file, fold, p, &why), 0);
	assert_int_equal(prof_finish(p), 0);
	want = prof_rows(p, &nwant);
	assert_int_equal(pick_select(t->k, q, &sum), 0);
	rows = pick_rows(t->k, 0, &n, &left);
	assert_int_equal(left, 0);
	assert_non_null(rows);
	assert_int_equal(n, nwant);
	for (i = 0; i < nwant; i++) {
		const char *label = prof_frame(p, want[i].frame)->label;
		uint64_t by = 0, wanted = 0;
		char group[2][128];

		/* Labels may be the same: numbers of frames are not of two profiles. */
		for (k = 0; k < n; k++)
			if (!strcmp(prof_frame(t->p, rows[k].frame)->label, label) &&
			    !strcmp(prof_group_label(p, want[i].group, group[0], 128),
				    prof_group_label(t->p, rows[k].group, group[1], 128)) &&
			    rows[k].self == want[i].self && rows[k].total == want[i].total)
				break;
		assert_true(k < n);
		by = rows[k].by[PROF_GROUP_I];
		wanted = want[i].by_state[EV_STATE_INTERP];
		assert_int_equal(by, wanted);
	}
	free(rows);
	free(want);
	prof_free(p);
}

static int all_open(void *ctx, uint64_t id)
{
	(void)ctx;
	(void)id;
	return 0;
}

static void test_rows(void **state)
{
	size_t i, n, c;

	(void)state;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const struct pick_context *ctx;
		struct prof_opts po = {.lines = 0};
		struct taken t;

		open_file(&t, files[i]);
		same_rows(&t, files[i], &everything, &po);
		ctx = pick_contexts(t.k, &n);
		assert_true(n >= 1);
		for (c = 0; c < n; c++) {
			struct pick_query q = everything;

			q.pid = po.pid = ctx[c].pid;
			same_rows(&t, files[i], &q, &po);
		}
		po.pid = 0;
		po.states = 1u << EV_STATE_INTERP;
		same_rows(&t, files[i], &(struct pick_query){.pid = PICK_ALL, .only = PROF_GROUP_I},
			  &po);
		close_file(&t);
	}
}

/* Of a split profile there are rows for each group: by each of what it can be, and by all. */
static void test_split_rows(void **state)
{
	unsigned int by;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		for (by = 0; by <= PROF_BY_MAX; by++) {
			struct prof_opts po = {.split = by < PROF_BY_MAX ? 1u << by
									 : (1u << PROF_BY_MAX) - 1};
			struct taken t;

			open_split(&t, files[i], po.split);
			same_rows(&t, files[i], &everything, &po);
			po.states = 1u << EV_STATE_INTERP;
			same_rows(&t, files[i],
				  &(struct pick_query){.pid = PICK_ALL, .only = PROF_GROUP_I}, &po);
			close_file(&t);
		}
}

/* Whatever it was split by, and whenever it is split by something else: as if it always had been.
 */
static void test_split_again(void **state)
{
	const unsigned int all = (1u << PROF_BY_MAX) - 1;
	unsigned int from, to;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		for (from = 0; from <= PROF_BY_MAX; from++)
			for (to = 0; to <= PROF_BY_MAX + 1; to++) {
				struct prof_opts po = {.split = to < PROF_BY_MAX    ? 1u << to
								: to == PROF_BY_MAX ? all
										    : 0};
				unsigned int was = from < PROF_BY_MAX ? 1u << from : all;
				struct pick_query q = everything;
				struct pick_sum sum;
				struct taken t;

				if (po.split & ~was & 1u << PROF_BY_COROUTINE)
					continue;
				open_turned(&t, files[i], was, 70, po.split);
				assert_true(t.samples > 100);
				same_rows(&t, files[i], &everything, &po);
				/* And back, and there again. */
				assert_int_equal(pick_split(t.k, was), 0);
				assert_int_equal(pick_split(t.k, po.split), 0);
				same_rows(&t, files[i], &everything, &po);
				pick_advance(t.k, t.last);
				q.recent = 1;
				po.from = t.last - 2 * SECOND - prof_stats(t.p)->start_time;
				same_rows(&t, files[i], &q, &po);
				/* A writer gets the same samples. */
				assert_int_equal(pick_apply(t.k, &everything), 0);
				assert_int_equal(prof_root(t.p)->total, t.samples);
				assert_int_equal(pick_restore(t.k), 0);
				assert_int_equal(pick_select(t.k, &everything, &sum), 0);
				assert_int_equal(sum.samples, t.samples);
				close_file(&t);
			}
}

/* Without room for another tree it stays as it is. */
static void test_split_without_room(void **state)
{
	struct prof_opts po = {.split = 1u << PROF_BY_STATE};
	struct taken t;

	(void)state;
	open_split(&t, files[0], po.split);
	t.p->opts.room = 1;
	assert_int_equal(pick_split(t.k, 1u << PROF_BY_THREAD), -ENOSPC);
	same_rows(&t, files[0], &everything, &po);
	t.p->opts.room = 0;
	po.split = 1u << PROF_BY_THREAD;
	assert_int_equal(pick_split(t.k, po.split), 0);
	same_rows(&t, files[0], &everything, &po);
	close_file(&t);
}

/* Nothing to split, before most samples and after all were forgotten. */
static void test_split_nothing(void **state)
{
	struct prof_opts po = {.split = 1u << PROF_BY_STATE};
	struct pick_sum sum;
	struct taken t;

	(void)state;
	open_turned(&t, files[0], 0, 1, po.split);
	same_rows(&t, files[0], &everything, &po);
	pick_reset(t.k);
	assert_int_equal(pick_split(t.k, 0), 0);
	assert_int_equal(pick_select(t.k, &everything, &sum), 0);
	assert_int_equal(sum.samples, 0);
	close_file(&t);
}

/*
 * What is said of one row is of its group only, and together it is what is said of the function:
 * its trend, its callers, its hot line, its lines, its process.
 */
static void test_split_panels(void **state)
{
	struct pick_tree_opts o = {
	    .dir = PICK_CALLERS, .flipped = all_open, .max = 100000, .depth = 0};
	uint32_t trend[PICK_TREND];
	struct pick_row *rows, *lines;
	size_t n, nlines, left, i, k, pids = 0;
	struct pick_sum sum;
	struct taken t;

	(void)state;
	open_split(&t, files[2], 1u << PROF_BY_PROCESS);
	assert_int_equal(pick_select(t.k, &everything, &sum), 0);
	rows = pick_rows(t.k, 0, &n, &left);
	lines = pick_rows(t.k, 1, &nlines, &left);
	for (i = 0; i < n; i++) {
		uint64_t recent = 0, count, by_line = 0;
		char group[64], pid[16];
		size_t ntree, c;

		pick_trend(t.k, rows[i].frame, rows[i].group, t.last, trend);
		for (c = 0; c < PICK_TREND; c++)
			recent += trend[c];
		assert_true(recent <= rows[i].self);
		if (prof_frame(t.p, rows[i].frame)->kind != PROF_TRACE) {
			struct pick_row *tree;

			o.frame = rows[i].frame;
			o.group = rows[i].group;
			tree = pick_tree(t.k, &o, &ntree);
			assert_int_equal(ntree ? tree[0].total : 0, rows[i].self);
			free(tree);
			for (k = 0; k < nlines; k++)
				if (lines[k].frame == rows[i].frame &&
				    lines[k].group == rows[i].group)
					by_line += lines[k].self;
			assert_int_equal(by_line, rows[i].self);
			pick_hot_line(t.k, rows[i].frame, rows[i].group, &count);
			assert_true(count <= rows[i].self);
			snprintf(pid, sizeof(pid), ":%u",
				 pick_pid(t.k, rows[i].frame, rows[i].group));
			if (rows[i].self) {
				prof_group_label(t.p, rows[i].group, group, sizeof(group));
				assert_string_equal(strrchr(group, ':'), pid);
				pids++;
			}
		}
	}
	assert_true(pids > 2);
	free(rows);
	free(lines);
	close_file(&t);
}

/* The last seconds are the samples of these seconds; and older ones go as time goes on. */
static void test_window(void **state)
{
	struct pick_query q = everything;
	struct prof_opts po = {.lines = 0};
	uint32_t trend[PICK_TREND];
	struct pick_row *rows;
	struct pick_sum sum;
	struct taken t;
	uint64_t all = 0;
	size_t n, left, i;

	(void)state;
	open_file(&t, files[0]);
	q.recent = 1;
	pick_advance(t.k, t.last);
	po.from = t.last - 2 * SECOND - prof_stats(t.p)->start_time;
	same_rows(&t, files[0], &q, &po);
	rows = pick_rows(t.k, 0, &n, &left);
	assert_int_equal(pick_select(t.k, &everything, &sum), 0);
	for (i = 0; i < n; i++) {
		uint64_t seconds[2];

		pick_trend(t.k, rows[i].frame, rows[i].group, t.last, trend);
		seconds[0] = trend[PICK_TREND - 1];
		seconds[1] = trend[PICK_TREND - 2];
		assert_true(seconds[0] + seconds[1] <= rows[i].self);
		all += seconds[0];
	}
	assert_true(all > 0);
	free(rows);
	pick_advance(t.k, t.last + 3 * SECOND);
	assert_int_equal(pick_select(t.k, &q, &sum), 0);
	assert_int_equal(sum.samples, 0);
	pick_reset(t.k);
	assert_int_equal(pick_select(t.k, &everything, &sum), 0);
	assert_int_equal(sum.samples, 0);
	close_file(&t);
}

/* Below each row of a tree there is what it holds, less what is its own. */
static void test_trees(void **state)
{
	struct pick_tree_opts o = {.frame = PICK_ALL,
				   .group = PICK_ALL,
				   .flipped = all_open,
				   .max = 100000,
				   .depth = UINT32_MAX};
	struct pick_row *flat, *tree;
	struct pick_sum sum;
	struct taken t;
	size_t n, nflat, left, i, k;
	uint64_t roots;

	(void)state;
	open_file(&t, files[0]);
	assert_int_equal(pick_select(t.k, &everything, &sum), 0);
	flat = pick_rows(t.k, 0, &nflat, &left);
	for (o.dir = PICK_CALLEES; o.dir <= PICK_CALLERS; o.dir++) {
		tree = pick_tree(t.k, &o, &n);
		assert_non_null(tree);
		for (i = roots = 0; i < n; i++) {
			uint64_t below = 0;

			roots += tree[i].depth ? 0 : tree[i].total;
			for (k = i + 1; k < n && tree[k].depth > tree[i].depth; k++)
				below += tree[k].depth == tree[i].depth + 1 ? tree[k].total : 0;
			assert_true(below <= tree[i].total);
			if (o.dir == PICK_CALLEES)
				assert_int_equal(below + tree[i].self, tree[i].total);
			if (o.dir == PICK_CALLERS && !tree[i].depth)
				assert_int_equal(tree[i].total,
						 row_of(flat, nflat, tree[i].frame)->self);
		}
		assert_int_equal(roots, sum.samples);
		free(tree);
	}
	free(flat);
	close_file(&t);
}

static void test_apply(void **state)
{
	struct pick_query q = {.pid = PICK_ALL, .only = PROF_GROUP_I};
	struct pick_sum sum;
	struct taken t;
	uint64_t all;

	(void)state;
	open_file(&t, files[0]);
	assert_int_equal(pick_select(t.k, &everything, &sum), 0);
	all = prof_stats(t.p)->samples;
	assert_int_equal(all, sum.samples);
	assert_int_equal(pick_apply(t.k, &q), 0);
	assert_int_equal(prof_root(t.p)->total, sum.by[PROF_GROUP_I]);
	assert_int_equal(prof_stats(t.p)->samples, sum.by[PROF_GROUP_I]);
	assert_int_equal(pick_restore(t.k), 0);
	assert_int_equal(prof_root(t.p)->total, all);
	assert_int_equal(prof_stats(t.p)->samples, all);
	close_file(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_split_rows),
	    cmocka_unit_test(test_split_again),
	    cmocka_unit_test(test_split_without_room),
	    cmocka_unit_test(test_split_nothing),
	    cmocka_unit_test(test_split_panels),
	    cmocka_unit_test(test_window),
	    cmocka_unit_test(test_trees),
	    cmocka_unit_test(test_apply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
