// SPDX-License-Identifier: MIT
#include "tui/arena.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK (256u << 10)
#define ALIGN 16u

struct block {
	struct block *next;
	size_t size;
	_Alignas(ALIGN) char data[];
};

struct arena {
	struct block *first, *at; /* at: the one being filled; those behind it are empty */
	size_t used;
};

struct arena *arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

void arena_free(struct arena *a)
{
	struct block *next;

	while (a && a->first) {
		next = a->first->next;
		free(a->first);
		a->first = next;
	}
	free(a);
}

void arena_reset(struct arena *a)
{
	a->at = a->first;
	a->used = 0;
}

/* A block of at least size after the one that is full. */
static struct block *next_block(struct arena *a, size_t size)
{
	struct block *b = a->at ? a->at->next : a->first;

	if (b && b->size >= size)
		return b;
	b = malloc(sizeof(*b) + (size > BLOCK ? size : BLOCK));
	if (!b)
		return NULL;
	b->size = size > BLOCK ? size : BLOCK;
	b->next = a->at ? a->at->next : a->first;
	if (a->at)
		a->at->next = b;
	else
		a->first = b;
	return b;
}

static void *take(struct arena *a, size_t size)
{
	void *p;

	if (!a->at || a->at->size - a->used < size) {
		struct block *b = next_block(a, size);

		if (!b)
			return NULL;
		a->at = b;
		a->used = 0;
	}
	p = a->at->data + a->used;
	a->used += (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (a->used > a->at->size)
		a->used = a->at->size;
	return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *p = take(a, size);

	return p ? memset(p, 0, size) : NULL;
}

const char *arena_str(struct arena *a, const char *s)
{
	size_t len = s ? strlen(s) + 1 : 0;
	char *p = len > 1 ? take(a, len) : NULL;

	return p ? memcpy(p, s, len) : "";
}
