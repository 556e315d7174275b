/* SPDX-License-Identifier: MIT */
/* Memory that is filled bit by bit and given back at once. */
#ifndef TUI_ARENA_H
#define TUI_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);

/* Gives all of it back, to be used again. */
void arena_reset(struct arena *a);

/* Zeroed, aligned for anything; NULL if out of memory. */
void *arena_alloc(struct arena *a, size_t size);

/* A copy; "" of NULL, and if out of memory. */
const char *arena_str(struct arena *a, const char *s);

#endif
