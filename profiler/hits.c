/* SPDX-License-Identifier: MIT */
/* What source lines count, from a tree that has them as frames. */
#include "profiler/label.h"
#include "profiler/table.h"
#include "profiler/walk.h"
#include "profiler/write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct hits {
	struct write_hit *list;
	uint32_t n, cap;
	struct pool keys; /* file and line; number - 1 is an index of list */
};

/* Of a walk's step: index + 1 of the line that samples here belong to, 0: none. */
enum { LINE };

static struct write_hit *hit_of(struct hits *h, const struct prof_frame *f)
{
	char key[LABEL_MAX + 16];
	struct write_hit *list;
	uint32_t id;

	snprintf(key, sizeof(key), "%d:%s", (int)f->line, f->file);
	id = pool_str(&h->keys, key);
	list = id ? table_room(h->list, &h->cap, id, sizeof(*list)) : NULL;
	if (!list)
		return NULL;
	h->list = list;
	if (id > h->n)
		list[h->n++] = (struct write_hit){.file = f->file, .line = f->line};
	return &list[id - 1];
}

static void count(struct write_hit *hit, const struct prof_node *n, int sign)
{
	uint64_t by[PROF_GROUP_MAX];

	prof_groups(n->by_state, by);
	hit->self += sign > 0 ? n->total : 0 - n->total;
	for (int g = 0; g < PROF_GROUP_MAX; g++)
		hit->by[g] += sign > 0 ? by[g] : 0 - by[g];
}

/* Is the line further out on the stack, too? */
static int is_above(const struct walk *w, uint64_t line)
{
	for (uint32_t i = 0; i + 1 < w->depth; i++)
		if (w->path[i].aux[LINE] == line)
			return 1;
	return 0;
}

/* A line has what ends in it or in what is no Lua: what other Lua functions do there is theirs. */
static int enter(struct hits *h, const struct prof *p, const struct walk *w, struct walk_step *step)
{
	const struct prof_frame *f = prof_frame(p, step->node->frame);
	uint64_t outer = w->depth > 1 ? step[-1].aux[LINE] : 0;
	struct write_hit *hit;

	step->aux[LINE] = outer;
	if (f->kind == PROF_LUA && outer)
		count(&h->list[outer - 1], step->node, -1);
	if (f->kind == PROF_LUA)
		step->aux[LINE] = 0;
	if (f->kind != PROF_LINE)
		return 0;
	hit = hit_of(h, f);
	if (!hit)
		return -ENOMEM;
	step->aux[LINE] = (uint64_t)(hit - h->list) + 1;
	count(hit, step->node, 1);
	if (!is_above(w, step->aux[LINE]))
		hit->total += step->node->total;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct write_hit *x = a, *y = b;
	int order = strcmp(x->file, y->file);

	return order ? order : (x->line > y->line) - (x->line < y->line);
}

struct write_hit *prof_hits(const struct prof *lined, size_t *n)
{
	struct walk w = {.root = prof_root(lined)};
	struct hits h = {.list = calloc(1, sizeof(*h.list)), .cap = 1};
	struct walk_step *step;
	int err = h.list ? 0 : -ENOMEM;

	while (!err && (step = walk_next(&w)))
		if (!w.leaving)
			err = enter(&h, lined, &w, step);
	err = err ? err : w.err;
	walk_release(&w);
	pool_release(&h.keys);
	if (err) {
		free(h.list);
		return NULL;
	}
	qsort(h.list, h.n, sizeof(*h.list), by_place);
	*n = h.n;
	return h.list;
}

const struct write_source *write_source_of(const struct write_info *info, const char *file)
{
	size_t from = 0, to = info->nsources;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		int order = strcmp(info->sources[mid].file, file);

		if (!order)
			return &info->sources[mid];
		if (order < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return NULL;
}
