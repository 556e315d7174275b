/* SPDX-License-Identifier: MIT */
/*
 * Folded stacks. Functions that differ but read the same must share a line, and the lines must come
 * out as LC_ALL=C sort would put them. Both are done on the way down: at each level the nodes of
 * one label are taken together, and what goes out is ordered by the text that the lines begin with,
 * "label count" for what ends there and "label;" for all that is below. No such text is the
 * beginning of another's, so no sorting is left to do, however large the tree.
 */
#include "profiler/table.h"
#include "profiler/write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Some lines: those that begin with label and then tail. */
struct item {
	const char *label;
	char tail[48];			/* " COUNT", " BEFORE AFTER" or ";" */
	const struct prof_node **nodes; /* of this label, if tail is ";" */
	uint32_t nnodes;
};

/* The lines below some nodes of one label. */
struct level {
	struct item *items;
	uint32_t nitems, next;
	const struct prof_node **nodes; /* what the items point into */
	size_t prefix;			/* length of the path that leads here */
};

struct folder {
	FILE *f;
	const struct prof *p;
	struct level *levels;
	uint32_t depth, cap;
	char *path;
	uint32_t path_cap;
};

static const char *label_of(const struct prof *p, const struct prof_node *n)
{
	return prof_frame(p, n->frame)->label;
}

static int by_label(const void *a, const void *b, void *ctx)
{
	const struct prof_node *const *x = a, *const *y = b;

	return strcmp(label_of(ctx, *x), label_of(ctx, *y));
}

/* Compares label and tail as if they were one string. */
static int by_text(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	const char *s = x->label, *t = y->label;
	int s_tail = 0, t_tail = 0;

	for (;; s++, t++) {
		if (!*s && !s_tail++)
			s = x->tail;
		if (!*t && !t_tail++)
			t = y->tail;
		if (*s != *t || !*s)
			return (unsigned char)*s - (unsigned char)*t;
	}
}

/* Items for n nodes of one label: what ends in them and what is below. */
static void add_items(const struct folder *fo, struct level *l, const char *label,
		      const struct prof_node **nodes, uint32_t n)
{
	struct item *item;
	uint64_t self = 0, before = 0;
	int below = 0;

	for (uint32_t i = 0; i < n; i++) {
		self += nodes[i]->self;
		before += nodes[i]->before_self;
		below |= nodes[i]->nchildren > 0;
	}
	if (self || before) {
		int n2 = 0;

		item = &l->items[l->nitems++];
		*item = (struct item){.label = label};
		if (prof_is_diff(fo->p))
			n2 = snprintf(item->tail, sizeof(item->tail), " %" PRIu64, before);
		snprintf(item->tail + n2, sizeof(item->tail) - (size_t)n2, " %" PRIu64, self);
	}
	if (below)
		l->items[l->nitems++] = (struct item){label, ";", nodes, n};
}

/* Goes one level down: to the children of these nodes, whose lines begin with prefix bytes of path.
 */
static int descend(struct folder *fo, const struct prof_node **nodes, uint32_t n, size_t prefix)
{
	struct level l = {.prefix = prefix}, *levels;
	size_t total = 0, used = 0;

	for (uint32_t i = 0; i < n; i++)
		total += nodes[i]->nchildren;
	levels = table_room(fo->levels, &fo->cap, (size_t)fo->depth + 1, sizeof(*levels));
	if (!levels)
		return -ENOMEM;
	fo->levels = levels;
	l.nodes = calloc(total + 1, sizeof(struct prof_node *));
	l.items = calloc(total + 1, 2 * sizeof(*l.items));
	levels[fo->depth++] = l;
	if (!l.nodes || !l.items)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < nodes[i]->nchildren; k++)
			l.nodes[used++] = nodes[i]->children[k];
	qsort_r(l.nodes, total, sizeof(*l.nodes), by_label, (void *)(uintptr_t)fo->p);
	for (size_t from = 0, to; from < total; from = to) {
		const char *label = label_of(fo->p, l.nodes[from]);

		for (to = from + 1; to < total && !strcmp(label, label_of(fo->p, l.nodes[to]));)
			to++;
		add_items(fo, &l, label, l.nodes + from, (uint32_t)(to - from));
	}
	qsort(l.items, l.nitems, sizeof(*l.items), by_text);
	levels[fo->depth - 1] = l;
	return 0;
}

/* The deepest level's next item: writes its line, or goes below it. */
static int step(struct folder *fo)
{
	struct level *l = &fo->levels[fo->depth - 1];
	const struct item *item;
	size_t label, len;
	char *path;

	if (l->next == l->nitems) {
		free(l->items);
		free(l->nodes);
		fo->depth--;
		return 0;
	}
	item = &l->items[l->next++];
	label = strlen(item->label);
	len = l->prefix + label + strlen(item->tail);
	path = table_room(fo->path, &fo->path_cap, len + 2, 1);
	if (!path)
		return -ENOMEM;
	fo->path = path;
	memcpy(path + l->prefix, item->label, label);
	strcpy(path + l->prefix + label, item->tail);
	if (item->nodes)
		return descend(fo, item->nodes, item->nnodes, len);
	path[len] = '\n';
	errno = EIO;
	return fwrite(path, 1, len + 1, fo->f) == len + 1 ? 0 : -errno;
}

int write_folded(FILE *f, const struct prof *p, const struct write_info *info)
{
	struct folder fo = {.f = f, .p = p};
	const struct prof_node *root = prof_root(p);
	int err = descend(&fo, &root, 1, 0);

	(void)info; /* the format has no place for it */
	while (!err && fo.depth)
		err = step(&fo);
	while (fo.depth) {
		free(fo.levels[--fo.depth].items);
		free(fo.levels[fo.depth].nodes);
	}
	free(fo.levels);
	free(fo.path);
	return write_end(f, err);
}
