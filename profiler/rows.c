/* SPDX-License-Identifier: MIT */
/* The rows of `top`: what the tree holds, by function. */
#include "profiler/fold.h"
#include "profiler/walk.h"

#include <stdlib.h>
#include <string.h>

/* Of a walk's step: whom samples that end here belong to. */
enum {
	OWNER,	/* the innermost function's frame, or NO_FRAME */
	PSEUDO, /* the last pseudo-frame that can be a row, or NO_FRAME */
};

/* walk.h knows prof.h's nodes; all nodes are of this kind. */
static const struct node *full(const struct prof_node *n)
{
	return (const struct node *)((const char *)n - offsetof(struct node, pub));
}

int rows_is_function(const struct prof *p, const struct node *n)
{
	enum prof_kind kind = p->frames[n->pub.frame].pub.kind;

	/* A C function that only the instruction pointer shows is where its caller spends time. */
	if (kind == PROF_C)
		return !(n->leaf & NODE_LEAF);
	return kind == PROF_LUA || n->pub.frame == p->undefined;
}

int rows_is_row(enum prof_kind kind)
{
	return kind != PROF_ROOT && kind != PROF_PROCESS && kind != PROF_LINE;
}

static void enter(const struct prof *p, struct walk_step *step, int top)
{
	enum prof_kind kind = p->frames[step->node->frame].pub.kind;

	step->aux[OWNER] = top ? NO_FRAME : step[-1].aux[OWNER];
	step->aux[PSEUDO] = top ? NO_FRAME : step[-1].aux[PSEUDO];
	if (rows_is_function(p, full(step->node)))
		step->aux[OWNER] = step->node->frame;
	else if (rows_is_row(kind) && kind != PROF_TRACE)
		step->aux[PSEUDO] = step->node->frame;
}

/* The samples that end in n, into the row of their owner. */
static void add_self(struct prof_row *rows, const struct walk_step *step)
{
	const struct prof_node *n = step->node;
	uint32_t owner = step->aux[OWNER] != NO_FRAME ? step->aux[OWNER] : step->aux[PSEUDO];

	if (!n->self || owner == NO_FRAME)
		return;
	rows[owner].self += n->self;
	for (int k = 0; k < EV_STATE_MAX; k++) {
		uint64_t self = n->by_state[k];

		for (uint32_t i = 0; i < n->nchildren; i++)
			self -= n->children[i]->by_state[k];
		rows[owner].by_state[k] += self;
	}
}

/* A node that is not below another one of its frame: all that is in it counts. */
static void add_total(const struct prof *p, struct prof_row *rows, const struct prof_node *n)
{
	struct prof_row *row = &rows[n->frame];

	row->total += n->total;
	if (p->frames[n->frame].pub.kind != PROF_TRACE)
		return;
	row->self += n->total;
	for (int k = 0; k < EV_STATE_MAX; k++)
		row->by_state[k] += n->by_state[k];
}

static int by_weight(const void *a, const void *b, void *ctx)
{
	const struct prof_row *x = a, *y = b;
	const struct prof *p = ctx;
	int order;

	if (x->self != y->self)
		return x->self < y->self ? 1 : -1;
	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	order = strcmp(p->frames[x->frame].pub.label, p->frames[y->frame].pub.label);
	return order ? order : (x->frame > y->frame) - (x->frame < y->frame);
}

/* Keeps the rows that are to be shown. Returns how many. */
static size_t select_rows(const struct prof *p, struct prof_row *rows)
{
	size_t n = 0;

	for (uint32_t i = 0; i < p->nframes; i++) {
		enum prof_kind kind = p->frames[i].pub.kind;

		if (!rows[i].total || !rows_is_row(kind) || (kind == PROF_VM && !rows[i].self))
			continue;
		rows[n] = rows[i];
		rows[n++].frame = i;
	}
	qsort_r(rows, n, sizeof(*rows), by_weight, (void *)(uintptr_t)p);
	return n;
}

struct prof_row *prof_rows(const struct prof *p, size_t *n)
{
	struct walk w = {.root = prof_root(p)};
	struct prof_row *rows = calloc(p->nframes, sizeof(*rows));
	uint32_t *open = calloc(p->nframes, sizeof(*open));
	struct walk_step *step;

	while (rows && open && (step = walk_next(&w))) {
		uint32_t frame = step->node->frame;

		if (w.leaving) {
			open[frame]--;
			continue;
		}
		enter(p, step, w.depth == 1);
		if (!open[frame]++)
			add_total(p, rows, step->node);
		add_self(rows, step);
	}
	walk_release(&w);
	if (!rows || !open || w.err) {
		free(rows);
		rows = NULL;
	}
	free(open);
	*n = rows ? select_rows(p, rows) : 0;
	return rows;
}
