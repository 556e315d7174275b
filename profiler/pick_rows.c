/* SPDX-License-Identifier: MIT */
/* Rows of what a query chose: flat, by line, and as a tree of callees or callers. */
#include "profiler/pick_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TREE_DEPTH 100u /* levels of a tree */
#define TALLIES 512u	/* steps of weight */

/* ---- flat ---- */

/* What is found out of each key before its row is made: most keys may have none. */
struct tally {
	uint64_t *self, *total;
	uint32_t *row;		  /* index + 1 of its row; 0: it has none */
	uint32_t weight[TALLIES]; /* rows that weigh so much */
};

static void add_mark(struct pick_row *row, const struct mark *m)
{
	row->self += m->n;
	row->by[m->group] += m->n;
}

/* Steps of weight, an eighth of a power of two each. */
static unsigned int step_of(uint64_t weight)
{
	unsigned int log = weight ? 63u - (unsigned int)__builtin_clzll(weight) : 0;

	return log < 3 ? (unsigned int)weight : log * 8 + (unsigned int)(weight >> (log - 3) & 7);
}

static int is_shown(const struct pick *k, const struct tally *t, uint32_t key)
{
	enum prof_kind kind = k->p->frames[k->keys[key].frame].pub.kind;

	return t->total[key] && rows_is_row(kind) && (kind != PROF_VM || t->self[key]);
}

static uint64_t weight_of(const struct tally *t, uint32_t key)
{
	return t->self[key] > t->total[key] ? t->self[key] : t->total[key];
}

/* Of each key self and total. Returns how many rows there are. */
static size_t tally(const struct pick *k, struct tally *t)
{
	size_t n = 0;
	uint32_t i;

	for (i = 0; i < k->nmarks; i++) {
		const struct mark *m = &k->marks[i];

		if (m->n && m->row != NO_KEY)
			t->self[m->row] += m->n;
		if (m->n && m->trace != NO_KEY)
			t->self[m->trace] += m->n;
	}
	for (i = 1; i < k->chosen; i++) /* others are newer than the selection */
		if (k->nodes[i].first)
			t->total[k->nodes[i].own] += k->total[i];
	for (i = 0; i < k->nkeys; i++)
		if (is_shown(k, t, i)) {
			t->weight[step_of(weight_of(t, i))]++;
			n++;
		}
	return n;
}

/* The rows of the heaviest keys, max at most. Returns how many. */
static size_t fill_rows(const struct pick *k, struct tally *t, struct pick_row *rows, size_t max)
{
	unsigned int least = TALLIES; /* from this step on there is room for all */
	size_t n = 0, room = max;
	uint32_t i;

	while (least && t->weight[least - 1] <= room)
		room -= t->weight[--least];
	for (i = 0; i < k->nkeys; i++) {
		unsigned int step;

		if (!is_shown(k, t, i))
			continue;
		step = step_of(weight_of(t, i));
		if (step < least && (step + 1 != least || !room))
			continue;
		room -= step < least;
		rows[n++] = (struct pick_row){.id = i,
					      .frame = k->keys[i].frame,
					      .group = k->keys[i].group,
					      .total = t->total[i]};
		t->row[i] = (uint32_t)n;
	}
	for (i = 0; i < k->nmarks; i++) {
		const struct mark *m = &k->marks[i];

		if (m->n && m->row != NO_KEY && t->row[m->row])
			add_mark(&rows[t->row[m->row] - 1], m);
		if (m->n && m->trace != NO_KEY && t->row[m->trace])
			add_mark(&rows[t->row[m->trace] - 1], m);
	}
	return n;
}

static struct pick_row *function_rows(struct pick *k, size_t *n, size_t *left)
{
	struct tally t = {.self = calloc(k->nkeys + (size_t)1, sizeof(*t.self)),
			  .total = calloc(k->nkeys + (size_t)1, sizeof(*t.total)),
			  .row = calloc(k->nkeys + (size_t)1, sizeof(*t.row))};
	struct pick_row *rows = NULL;
	size_t all, max;

	if (t.self && t.total && t.row) {
		all = tally(k, &t);
		max = all < PICK_ROWS ? all : PICK_ROWS;
		rows = malloc((max + 1) * sizeof(*rows));
		*n = rows ? fill_rows(k, &t, rows, max) : 0;
		*left = all - *n;
	}
	free(t.self);
	free(t.total);
	free(t.row);
	return rows;
}

static struct pick_row *line_rows(struct pick *k, size_t *n)
{
	struct pick_row *rows = calloc(k->nmarks + (size_t)1, sizeof(*rows));
	struct map at = {.n = 0};
	uint32_t i;

	*n = 0;
	for (i = 0; rows && i < k->nmarks; i++) {
		const struct mark *m = &k->marks[i];
		uint32_t slot;
		uint64_t id;

		if (!m->n || m->row == NO_KEY)
			continue;
		id = (uint64_t)m->line << 32 | m->row;
		slot = map_get(&at, id);
		if (!slot) {
			rows[*n] = (struct pick_row){.id = id,
						     .frame = k->keys[m->row].frame,
						     .group = k->keys[m->row].group,
						     .line = m->line};
			slot = (uint32_t)++ * n;
			if (map_set(&at, id, slot)) {
				free(rows);
				rows = NULL;
				break;
			}
		}
		add_mark(&rows[slot - 1], m);
		rows[slot - 1].total = rows[slot - 1].self;
	}
	map_release(&at);
	return rows;
}

struct pick_row *pick_rows(struct pick *k, int lines, size_t *n, size_t *left)
{
	*n = *left = 0;
	return lines ? line_rows(k, n) : function_rows(k, n, left);
}

uint32_t pick_hot_line(const struct pick *k, uint32_t frame, uint32_t group, uint64_t *count)
{
	struct map by = {.n = 0};
	uint32_t i, line = 0;

	*count = 0;
	for (i = pick_mark(k, frame, group, 0); i; i = pick_mark(k, frame, group, i)) {
		const struct mark *m = &k->marks[i - 1];
		uint32_t n;

		if (!m->n || !m->line)
			continue;
		n = map_get(&by, m->line) + (uint32_t)m->n;
		if (map_set(&by, m->line, n))
			break;
		if (n > *count) {
			*count = n;
			line = m->line;
		}
	}
	map_release(&by);
	return line;
}

/* ---- trees ---- */

/* A mark on its way through a tree: the node that it has got to. */
struct item {
	uint32_t mark, node;
};

/* A row that is being made: the items [from, from + n) are what it holds. */
struct group {
	uint32_t frame, from, n;
	uint64_t weight;
};

struct builder {
	struct pick *k;
	const struct pick_tree_opts *o;
	struct pick_row *rows;
	size_t n, cap;
	int err;
};

/* The node above in depth d of the one that a mark ended at. */
static uint32_t ancestor(const struct pick *k, uint32_t node, uint32_t d)
{
	while (k->nodes[node].depth > d)
		node = k->nodes[node].parent;
	return node;
}

/* Moves an item a level on. 0: its stack is over. */
static int step(const struct builder *b, struct item *it)
{
	const struct pick *k = b->k;
	uint32_t end = k->marks[it->mark].node;

	if (b->o->dir == PICK_CALLERS) {
		it->node = k->nodes[it->node].parent;
		return it->node != 0;
	}
	if (it->node == end)
		return 0;
	it->node = ancestor(k, end, k->nodes[it->node].depth + 1u);
	return 1;
}

static int heavier(const void *a, const void *b, void *ctx)
{
	const struct group *x = a, *y = b;
	const struct prof *p = ctx;
	int order;

	if (x->weight != y->weight)
		return x->weight < y->weight ? 1 : -1;
	order = strcmp(p->frames[x->frame].pub.label, p->frames[y->frame].pub.label);
	return order ? order : (x->frame > y->frame) - (x->frame < y->frame);
}

/*
 * Sorts n items by the frame that they are at, the heaviest frame first. Returns the groups, *ng of
 * them, and the items in *sorted, both to be freed; NULL if out of memory.
 */
static struct group *group(struct builder *b, const struct item *items, uint32_t n, uint32_t *ng,
			   struct item **sorted)
{
	struct pick *k = b->k;
	struct group *g = calloc(n + (size_t)1, sizeof(*g));
	uint32_t i, from = 0;

	*sorted = malloc((n + (size_t)1) * sizeof(**sorted));
	*ng = 0;
	if (!g || !*sorted) {
		free(g);
		free(*sorted);
		return NULL;
	}
	for (i = 0; i < n; i++) {
		uint32_t frame = k->nodes[items[i].node].frame;

		if (!k->slots[frame]) {
			g[*ng].frame = frame;
			k->slots[frame] = ++*ng;
		}
		g[k->slots[frame] - 1].n++;
		g[k->slots[frame] - 1].weight += k->marks[items[i].mark].n;
	}
	for (i = 0; i < *ng; i++) {
		g[i].from = from;
		from += g[i].n;
		g[i].n = 0;
	}
	for (i = 0; i < n; i++) {
		struct group *to = &g[k->slots[k->nodes[items[i].node].frame] - 1];

		(*sorted)[to->from + to->n++] = items[i];
	}
	for (i = 0; i < *ng; i++)
		k->slots[g[i].frame] = 0;
	qsort_r(g, *ng, sizeof(*g), heavier, k->p);
	return g;
}

static struct pick_row *new_row(struct builder *b)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 256;
		struct pick_row *rows = realloc(b->rows, cap * sizeof(*rows));

		if (!rows) {
			b->err = -ENOMEM;
			return NULL;
		}
		b->rows = rows;
		b->cap = cap;
	}
	memset(&b->rows[b->n], 0, sizeof(b->rows[0]));
	return &b->rows[b->n++];
}

/* Does the mark's own time belong to the function where the item is? */
static int is_own(const struct builder *b, const struct item *it, uint32_t depth)
{
	if (b->o->dir == PICK_CALLERS)
		return !depth;
	return b->k->marks[it->mark].node == it->node;
}

static void level(struct builder *b, const struct item *items, uint32_t n, uint64_t path,
		  uint32_t depth);

/* The items of a row go on: moved in place, those whose stacks are over left out. */
static uint32_t move_on(const struct builder *b, struct item *items, uint32_t n)
{
	uint32_t i, left = 0;

	for (i = 0; i < n; i++)
		if (step(b, &items[i]))
			items[left++] = items[i];
	return left;
}

/* In a tree of callees a row is of one group if what it is split by is above it. */
static uint32_t group_of(const struct builder *b, const struct item *it)
{
	uint32_t group = b->k->keys[b->k->nodes[it->node].own].group;

	return b->o->dir == PICK_CALLEES && group ? group : PICK_ALL;
}

static void emit(struct builder *b, const struct group *g, struct item *items, uint64_t path,
		 uint32_t depth)
{
	uint64_t id = (path ^ (g->frame + 1u)) * UINT64_C(0x9e3779b97f4a7c15);
	struct pick_row *row = new_row(b);
	uint32_t i, left;
	int open;

	if (!row)
		return;
	id = (id ^ id >> 29) | UINT64_C(1) << 63;
	*row = (struct pick_row){.id = id,
				 .frame = g->frame,
				 .group = group_of(b, &items[0]),
				 .depth = depth,
				 .total = g->weight};
	for (i = 0; i < g->n; i++) {
		const struct mark *m = &b->k->marks[items[i].mark];

		row->by[m->group] += m->n;
		row->self += is_own(b, &items[i], depth) ? m->n : 0;
	}
	left = move_on(b, items, g->n);
	open = (g->weight >= b->o->open_from) != !!b->o->flipped(b->o->ctx, id);
	row->children = left != 0;
	row->open = left && open && depth < TREE_DEPTH && depth < b->o->depth;
	if (row->open)
		level(b, items, left, id, depth + 1);
}

static void level(struct builder *b, const struct item *items, uint32_t n, uint64_t path,
		  uint32_t depth)
{
	struct item *sorted;
	struct group *g;
	uint32_t ng, i;

	g = group(b, items, n, &ng, &sorted);
	if (!g) {
		b->err = -ENOMEM;
		return;
	}
	for (i = 0; i < ng && !b->err && b->n < b->o->max && g[i].weight >= b->o->least; i++)
		emit(b, &g[i], sorted + g[i].from, path, depth);
	free(g);
	free(sorted);
}

/* All that was chosen, each at its first level. Returns how many. */
static uint32_t all_items(const struct pick *k, enum pick_tree dir, struct item *items)
{
	uint32_t i, n = 0;

	for (i = 0; i < k->nmarks; i++) {
		const struct mark *m = &k->marks[i];
		uint32_t at = k->nodes[m->node].at;

		if (!m->n || !m->node)
			continue;
		if (dir == PICK_CALLEES)
			items[n++] = (struct item){i, ancestor(k, m->node, 1)};
		else if (at != NO_NODE)
			items[n++] = (struct item){i, at};
	}
	return n;
}

/* The same of one function, at which they are. */
static uint32_t items_of(const struct pick *k, uint32_t frame, uint32_t group, struct item *items)
{
	uint32_t i, n = 0;

	for (i = pick_mark(k, frame, group, 0); i; i = pick_mark(k, frame, group, i))
		if (k->marks[i - 1].n)
			items[n++] = (struct item){i - 1, k->nodes[k->marks[i - 1].node].at};
	return n;
}

struct pick_row *pick_tree(struct pick *k, const struct pick_tree_opts *o, size_t *n)
{
	struct builder b = {.k = k, .o = o};
	struct item *items = malloc((k->nmarks + (size_t)1) * sizeof(*items));

	*n = 0;
	b.err = items ? pick_slots(k) : -ENOMEM;
	if (!b.err)
		level(&b, items,
		      o->frame == PICK_ALL ? all_items(k, o->dir, items)
					   : items_of(k, o->frame, o->group, items),
		      0, 0);
	free(items);
	if (!b.err && !b.rows)
		b.rows = calloc(1, sizeof(*b.rows));
	if (b.err) {
		free(b.rows);
		b.rows = NULL;
	}
	*n = b.rows ? b.n : 0;
	return b.rows;
}
