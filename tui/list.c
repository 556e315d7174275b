// SPDX-License-Identifier: MIT
#include "tui/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void list_release(struct list *l)
{
	free(l->id);
	memset(l, 0, sizeof(*l));
}

int list_room(struct list *l, size_t n)
{
	uint64_t *id;

	l->n = 0;
	if (n <= l->cap)
		return 0;
	id = realloc(l->id, n * sizeof(*id));
	if (!id)
		return -ENOMEM;
	l->id = id;
	l->cap = n;
	return 0;
}

static void clamp(struct list *l)
{
	long last = (long)l->n - 1;

	if (l->cursor > last)
		l->cursor = last;
	if (l->cursor < l->above)
		l->cursor = l->above;
}

static void remember(struct list *l)
{
	clamp(l);
	l->has_selected = l->cursor >= 0 && (size_t)l->cursor < l->n;
	if (l->has_selected)
		l->selected = l->id[l->cursor];
}

void list_settle(struct list *l)
{
	size_t i;

	if (l->has_selected && l->cursor >= 0)
		for (i = 0; i < l->n; i++)
			if (l->id[i] == l->selected) {
				/* The row stays where it is on the screen, unless all fits. */
				if (l->top)
					l->top += (long)i - l->cursor;
				l->cursor = (long)i;
				break;
			}
	clamp(l);
	if (!l->has_selected)
		remember(l);
}

int list_held(const struct list *l, uint64_t now)
{
	return l->moved && now < l->moved + LIST_HOLD;
}

struct rank {
	uint64_t id;
	size_t at;
};

static int by_id(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int by_rank(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static uint64_t id_at(const char *rows, size_t i, size_t size)
{
	uint64_t id;

	memcpy(&id, rows + i * size, sizeof(id));
	return id;
}

int list_keep_order(const struct list *l, void *rows, size_t n, size_t size)
{
	struct rank *old = malloc((l->n + 1) * sizeof(*old));
	struct rank *new = malloc((n + 1) * sizeof(*new));
	char *copy = malloc(n * size + 1);
	size_t i;

	if (!old || !new || !copy) {
		free(old);
		free(new);
		free(copy);
		return -ENOMEM;
	}
	for (i = 0; i < l->n; i++)
		old[i] = (struct rank){l->id[i], i};
	qsort(old, l->n, sizeof(*old), by_id);
	for (i = 0; i < n; i++) {
		struct rank key = {id_at(rows, i, size), 0};
		const struct rank *r = bsearch(&key, old, l->n, sizeof(*old), by_id);

		new[i] = (struct rank){i, r ? r->at : l->n + i}; /* .id: where it is now */
	}
	qsort(new, n, sizeof(*new), by_rank);
	memcpy(copy, rows, n * size);
	for (i = 0; i < n; i++)
		memcpy((char *)rows + i * size, copy + new[i].id *size, size);
	free(old);
	free(new);
	free(copy);
	return 0;
}

void list_go(struct list *l, long to, uint64_t now)
{
	l->cursor = to;
	l->moved = now;
	remember(l);
}

void list_move(struct list *l, long by, uint64_t now)
{
	list_go(l, l->cursor + by, now);
}

int list_select(struct list *l, uint64_t id, uint64_t now)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (l->id[i] == id) {
			list_go(l, (long)i, now);
			return 1;
		}
	return 0;
}

void list_scroll(struct list *l, long height)
{
	long most = (long)l->n - height;

	l->height = height;
	if (l->follow)
		l->top = l->cursor - height / 2;
	if (l->cursor >= l->top + height)
		l->top = l->cursor - height + 1;
	if (l->cursor >= 0 && l->cursor < l->top)
		l->top = l->cursor;
	if (l->cursor < 0)
		l->top = 0;
	if (l->top > most)
		l->top = most;
	if (l->top < 0)
		l->top = 0;
}
