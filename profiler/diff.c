/* SPDX-License-Identifier: MIT */
/* Two profiles in one tree. What is gone stays in it, with nothing after. */
#include "profiler/fold.h"
#include "profiler/label.h"
#include "profiler/walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct prof *diff_new(unsigned int split)
{
	struct prof *p = prof_new(&(struct prof_opts){.split = split});

	if (p)
		p->is_diff = 1;
	return p;
}

int prof_is_diff(const struct prof *p)
{
	return p->is_diff;
}

/*
 * Goes down to the frame of this label, whatever it is of; kind is PROF_PROCESS for those that
 * samples are split by.
 */
static int descend(struct prof *diff, uint32_t *node, enum prof_kind kind, const char *label)
{
	uint32_t frame;
	int err = frames_fixed(diff, kind, label, &frame);

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
			const struct prof_frame *f = &p->frames[n->pub.frame].pub;

			to[i] = to[n->parent];
			err =
			    descend(diff, &to[i],
				    f->kind == PROF_PROCESS ? PROF_PROCESS : PROF_OTHER, f->label);
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

static int begins(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

/* Can a profile that is split by it have that label there? */
static int is_split_by(enum prof_split by, const char *label)
{
	char state[64];

	switch (by) {
	case PROF_BY_PROCESS:
		label = strrchr(label, ':');
		return label && label[1] && !label[1 + strspn(label + 1, "0123456789")];
	case PROF_BY_THREAD:
		return begins(label, "thread:") || !strcmp(label, "[no thread]");
	case PROF_BY_VM:
		return begins(label, "VM:") || !strcmp(label, "[no VM]");
	case PROF_BY_COROUTINE:
		return begins(label, "coroutine:0x") || !strcmp(label, "[no coroutine]");
	case PROF_BY_STATE:
		for (unsigned int i = 0; i < EV_STATE_MAX; i++) {
			snprintf(state, sizeof(state), "[%s]", prof_state_name(i));
			if (!strcmp(label, state))
				return 1;
		}
		return 0;
	default:
		return begins(label, "trace:") || !strcmp(label, "[no trace]");
	}
}

/* The kind of frame number level of a line; -EDOM: it should be what samples are split by. */
static int kind_of(const struct prof *diff, unsigned int level, const char *label)
{
	unsigned int left = diff->opts.split;

	if (level >= (unsigned int)__builtin_popcount(left))
		return PROF_OTHER;
	for (; level; level--)
		left &= left - 1;
	return is_split_by((enum prof_split)__builtin_ctz(left), label) ? PROF_PROCESS : -EDOM;
}

int diff_add_line(struct prof *diff, enum diff_side side, const char *line)
{
	size_t len = strcspn(line, "\r\n"), at, n;
	uint64_t samples = take_count(line, &len);
	char label[LABEL_MAX + 1];
	uint32_t node = 0;
	unsigned int level = 0;
	int err = 0;

	if (!samples)
		return -EINVAL;
	/* Those whose frames nobody knows are not split. */
	if (begins(line, "[profile full]"))
		level = PROF_BY_MAX;
	tree_reopen(diff);
	for (at = 0; at <= len && !err; at += n + 1) {
		size_t cut;
		int kind;

		n = strcspn(line + at, ";");
		n = n < len - at ? n : len - at;
		cut = n < LABEL_MAX ? n : LABEL_MAX;
		memcpy(label, line + at, cut);
		label[cut] = '\0';
		kind = kind_of(diff, level++, label);
		err = kind < 0 ? kind : descend(diff, &node, (enum prof_kind)kind, label);
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
	int x_rank, y_rank, order;
	double i, j;

	growth(diff, x, &i, &x_rank);
	growth(diff, y, &j, &y_rank);
	if (x_rank != y_rank)
		return y_rank - x_rank;
	if (i != j)
		return i > j ? -1 : 1;
	if (x->total[1] != y->total[1])
		return x->total[1] > y->total[1] ? -1 : 1;
	order = strcmp(diff->frames[x->frame].pub.label, diff->frames[y->frame].pub.label);
	if (!order)
		order = (x->frame > y->frame) - (x->frame < y->frame);
	return order ? order : (x->group > y->group) - (x->group < y->group);
}

static void begin_row(void *row, uint32_t frame, uint32_t group)
{
	*(struct diff_row *)row = (struct diff_row){.frame = frame, .group = group};
}

static void add_node(const struct prof *diff, void *rows, struct walk_step *step, int top,
		     int again)
{
	const struct prof_node *node = step->node;
	struct diff_row *row = (struct diff_row *)rows + node->frame;

	(void)diff;
	(void)top;
	row->self[0] += node->before_self;
	row->self[1] += node->self;
	if (again)
		return;
	row->total[0] += node->before;
	row->total[1] += node->total;
}

static int is_shown(const struct prof *diff, const void *r)
{
	const struct diff_row *row = r;
	enum prof_kind kind = diff->frames[row->frame].pub.kind;

	return kind != PROF_ROOT && kind != PROF_PROCESS && (row->total[0] || row->total[1]);
}

struct diff_row *diff_rows(const struct prof *diff, size_t *n)
{
	static const struct rows_type type = {sizeof(struct diff_row), begin_row, add_node,
					      is_shown, by_growth};

	return rows_sum(diff, &type, n);
}
