/* SPDX-License-Identifier: MIT */
/* Two profiles in one tree. What is gone stays in it, with nothing after. */
#include "profiler/fold.h"
#include "profiler/label.h"
#include "profiler/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct prof *diff_new(void)
{
	struct prof *p = prof_new(&(struct prof_opts){0});

	if (p)
		p->is_diff = 1;
	return p;
}

int prof_is_diff(const struct prof *p)
{
	return p->is_diff;
}

/* Goes down to the frame of this label, whatever it is of. */
static int descend(struct prof *diff, uint32_t *node, const char *label)
{
	uint32_t frame;
	int err = frames_fixed(diff, PROF_OTHER, label, &frame);

	return err ? err : tree_child(diff, node, frame, 0);
}

static void count(struct prof *diff, enum diff_side side, uint32_t node, uint64_t samples)
{
	struct node *n = node_at(diff, node);

	if (side == DIFF_BEFORE) {
		n->pub.before_self += samples;
	} else {
		n->pub.self += samples;
		diff->stats.samples += samples;
	}
}

int diff_add(struct prof *diff, enum diff_side side, const struct prof *p)
{
	uint32_t *to = calloc(p->nnodes, sizeof(*to)); /* by node of p: that of diff */
	int err = to ? 0 : -ENOMEM;

	tree_reopen(diff);
	for (uint32_t i = 0; i < p->nnodes && !err; i++) {
		const struct node *n = node_at(p, i);

		if (i) {
			to[i] = to[n->parent];
			err = descend(diff, &to[i], p->frames[n->pub.frame].pub.label);
		}
		if (!err)
			count(diff, side, to[i], n->pub.self);
	}
	free(to);
	if (!err && !diff->stats.rate)
		diff->stats.rate = p->stats.rate;
	return err;
}

/* The count at the end of a line of len characters, which becomes shorter; 0: there is none. */
static uint64_t take_count(const char *line, size_t *len)
{
	size_t at = *len;
	uint64_t n = 0;

	while (at && line[at - 1] >= '0' && line[at - 1] <= '9')
		at--;
	if (at < 2 || line[at - 1] != ' ' || *len - at > 18)
		return 0;
	for (size_t i = at; i < *len; i++)
		n = n * 10 + (uint64_t)(line[i] - '0');
	*len = at - 1;
	return n;
}

int diff_add_line(struct prof *diff, enum diff_side side, const char *line)
{
	size_t len = strcspn(line, "\r\n"), at, n;
	uint64_t samples = take_count(line, &len);
	char label[LABEL_MAX + 1];
	uint32_t node = 0;
	int err = 0;

	if (!samples)
		return -EINVAL;
	tree_reopen(diff);
	for (at = 0; at <= len && !err; at += n + 1) {
		size_t cut;

		n = strcspn(line + at, ";");
		n = n < len - at ? n : len - at;
		cut = n < LABEL_MAX ? n : LABEL_MAX;
		memcpy(label, line + at, cut);
		label[cut] = '\0';
		err = descend(diff, &node, label);
	}
	if (!err)
		count(diff, side, node, samples);
	return err;
}

/* Shares of both sides, 0 to 1. */
static void shares(const struct prof *diff, uint64_t before, uint64_t after, double out[2])
{
	const struct prof_node *root = prof_root(diff);

	out[0] = root->before ? (double)before / (double)root->before : 0;
	out[1] = root->total ? (double)after / (double)root->total : 0;
}

double prof_change(const struct prof *diff, uint64_t before, uint64_t after)
{
	double share[2], most;

	shares(diff, before, after, share);
	most = share[0] > share[1] ? share[0] : share[1];
	return most > 0 ? (share[1] - share[0]) / most : 0;
}

int prof_is_change(const struct prof *diff, uint64_t before, uint64_t after)
{
	const struct prof_node *root = prof_root(diff);
	double share[2], variance = 0, change;

	/* Of a share p of n samples: p (1 - p) / n; one sample more, so that none is not certain.
	 */
	shares(diff, before, after, share);
	change = share[1] - share[0];
	for (int i = 0; i < 2; i++) {
		double n = (double)(i ? root->total : root->before) + 1;
		double p = ((double)(i ? after : before) + 1) / (n + 1);

		variance += p * (1 - p) / n;
	}
	return change * change > 4 * variance;
}

/* Of its own share; of what came or went altogether, of all that was in it. */
static void growth(const struct prof *diff, const struct diff_row *row, double *by, int *rank)
{
	const uint64_t *n = row->total[0] && row->total[1] ? row->self : row->total;
	double share[2];

	shares(diff, n[0], n[1], share);
	*by = share[1] - share[0];
	*rank = !prof_is_change(diff, n[0], n[1]) ? 0 : *by > 0 ? 1 : -1;
}

/* What certainly grew, the rest, what certainly shrank. */
static int by_growth(const void *a, const void *b, void *ctx)
{
	const struct diff_row *x = a, *y = b;
	const struct prof *diff = ctx;
	int x_rank, y_rank;
	double i, j;

	growth(diff, x, &i, &x_rank);
	growth(diff, y, &j, &y_rank);
	if (x_rank != y_rank)
		return y_rank - x_rank;
	if (i != j)
		return i > j ? -1 : 1;
	if (x->total[1] != y->total[1])
		return x->total[1] > y->total[1] ? -1 : 1;
	return strcmp(diff->frames[x->frame].pub.label, diff->frames[y->frame].pub.label);
}

struct diff_row *diff_rows(const struct prof *diff, size_t *n)
{
	struct walk w = {.root = prof_root(diff)};
	struct diff_row *rows = calloc(diff->nframes, sizeof(*rows));
	uint32_t *open = calloc(diff->nframes, sizeof(*open));
	const struct walk_step *step;

	while (rows && open && (step = walk_next(&w))) {
		const struct prof_node *node = step->node;
		struct diff_row *row = &rows[node->frame];

		if (w.leaving) {
			open[node->frame]--;
			continue;
		}
		row->self[0] += node->before_self;
		row->self[1] += node->self;
		if (!open[node->frame]++) {
			row->total[0] += node->before;
			row->total[1] += node->total;
		}
	}
	walk_release(&w);
	if (!rows || !open || w.err) {
		free(rows);
		rows = NULL;
	}
	free(open);
	*n = 0;
	for (uint32_t i = 0; rows && i < diff->nframes; i++) {
		rows[i].frame = i;
		if (diff->frames[i].pub.kind != PROF_ROOT && (rows[i].total[0] || rows[i].total[1]))
			rows[(*n)++] = rows[i];
	}
	if (rows)
		qsort_r(rows, *n, sizeof(*rows), by_growth, (void *)(uintptr_t)diff);
	return rows;
}
