/* SPDX-License-Identifier: MIT */
/* The rows of `top`: what the tree holds, by function. */
#include "profiler/fold.h"
#include "profiler/walk.h"

#include <errno.h>
#include <stdio.h>
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

int rows_is_group(const struct prof *p, uint32_t i)
{
	unsigned int depth = 0;

	if (p->frames[node_at(p, i)->pub.frame].pub.kind != PROF_PROCESS)
		return p->is_diff ? !node_at(p, i)->parent : i == p->crowd;
	for (; i; i = node_at(p, i)->parent)
		depth++;
	return depth == (unsigned int)__builtin_popcount(p->opts.split);
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
	if (!order)
		order = (x->frame > y->frame) - (x->frame < y->frame);
	return order ? order : (x->group > y->group) - (x->group < y->group);
}

static void begin(void *row, uint32_t frame, uint32_t group)
{
	*(struct prof_row *)row = (struct prof_row){.frame = frame, .group = group};
}

static void add(const struct prof *p, void *rows, struct walk_step *step, int top, int again)
{
	enter(p, step, top);
	if (!again)
		add_total(p, rows, step->node);
	add_self(rows, step);
}

static int is_shown(const struct prof *p, const void *r)
{
	const struct prof_row *row = r;
	enum prof_kind kind = p->frames[row->frame].pub.kind;

	return row->total && rows_is_row(kind) && (kind != PROF_VM || row->self);
}

/* Rows while they are summed up: those of one group by frame, then all that are shown. */
struct sums {
	const struct prof *p;
	const struct rows_type *type;
	char *by_frame;
	uint32_t *group;       /* by frame: which its row was last used for */
	uint32_t *open;	       /* by frame: how often it is on the current path */
	uint32_t *used, nused; /* frames of this group */
	char *out;
	uint32_t nout, cap;
};

static void use(struct sums *s, uint32_t frame, uint32_t group)
{
	if (s->group[frame] == group)
		return;
	s->group[frame] = group;
	s->type->begin(s->by_frame + frame * s->type->size, frame, group);
	s->used[s->nused++] = frame;
}

/* Keeps the rows that are to be shown. 0 or -ENOMEM. */
static int select_rows(struct sums *s)
{
	size_t size = s->type->size;

	for (; s->nused; s->nused--) {
		const char *row = s->by_frame + s->used[s->nused - 1] * size;
		char *out;

		if (!s->type->is_shown(s->p, row))
			continue;
		out = table_room(s->out, &s->cap, (size_t)s->nout + 1, size);
		if (!out)
			return -ENOMEM;
		s->out = out;
		memcpy(out + s->nout++ * size, row, size);
	}
	return 0;
}

/* All below root, which is node number group. 0 or -ENOMEM. */
static int sum_group(struct sums *s, const struct prof_node *root, uint32_t group)
{
	struct walk w = {.root = root};
	struct walk_step *step;
	int err;

	while ((step = walk_next(&w))) {
		uint32_t frame = step->node->frame;

		if (w.leaving) {
			s->open[frame]--;
			continue;
		}
		use(s, frame, group);
		s->type->add(s->p, s->by_frame, step, w.depth == 1, s->open[frame]++ > 0);
	}
	err = w.err;
	walk_release(&w);
	return err ? err : select_rows(s);
}

void *rows_sum(const struct prof *p, const struct rows_type *type, size_t *n)
{
	struct sums s = {.p = p,
			 .type = type,
			 .by_frame = calloc(p->nframes, type->size),
			 .group = calloc(p->nframes, sizeof(*s.group)),
			 .open = calloc(p->nframes, sizeof(*s.open)),
			 .used = calloc(p->nframes, sizeof(*s.used)),
			 .out = calloc(1, type->size),
			 .cap = 1};
	int err = s.by_frame && s.group && s.open && s.used && s.out ? 0 : -ENOMEM;

	for (uint32_t i = 0; !err && i < p->nframes; i++)
		s.group[i] = UINT32_MAX;
	if (!err && !p->opts.split)
		err = sum_group(&s, prof_root(p), 0);
	for (uint32_t i = 1; !err && p->opts.split && i < p->nnodes; i++)
		if (rows_is_group(p, i))
			err = sum_group(&s, &node_at(p, i)->pub, i);
	if (!err)
		qsort_r(s.out, s.nout, type->size, type->compare, (void *)(uintptr_t)p);
	free(s.by_frame);
	free(s.group);
	free(s.open);
	free(s.used);
	if (err) {
		free(s.out);
		s.out = NULL;
		s.nout = 0;
	}
	*n = s.nout;
	return s.out;
}

struct prof_row *prof_rows(const struct prof *p, size_t *n)
{
	static const struct rows_type type = {sizeof(struct prof_row), begin, add, is_shown,
					      by_weight};

	return rows_sum(p, &type, n);
}

const char *prof_group_label(const struct prof *p, uint32_t group, char *buf, size_t size)
{
	uint32_t path[PROF_BY_MAX], depth = 0;
	size_t at = 0;

	for (; group && depth < PROF_BY_MAX; group = node_at(p, group)->parent)
		path[depth++] = node_at(p, group)->pub.frame;
	buf[0] = '\0';
	while (depth-- && at < size)
		at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? ";" : "",
				       p->frames[path[depth]].pub.label);
	return buf;
}

uint32_t prof_group(const struct prof *p, uint32_t stack)
{
	for (; stack && p->opts.split; stack = node_at(p, stack)->parent)
		if (rows_is_group(p, stack))
			return stack;
	return 0;
}

int prof_is_split(const struct prof *p)
{
	return p->opts.split != 0;
}
