/* SPDX-License-Identifier: MIT */
/*
 * The two containers of the fold: a map from 64-bit keys to small numbers, and a pool that keeps
 * one copy of each string or key and numbers them 1, 2, ... in order of first sight.
 *
 * Own code and not uthash because nearly all the time of a fold goes here: one probe of 16 bytes
 * per look-up, no pointer chase. All-zero is an empty container; nothing fails but for memory.
 */
#ifndef PROFILER_TABLE_H
#define PROFILER_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct map_slot {
	uint64_t key;
	uint32_t val; /* 0: free */
};

struct map {
	struct map_slot *slots;
	uint32_t mask; /* slots - 1 */
	uint32_t n;
};

void map_release(struct map *m);

/* The value of key, 0 if there is none. */
uint32_t map_get(const struct map *m, uint64_t key);

/* Sets or replaces; val must not be 0. 0 or -ENOMEM. */
int map_set(struct map *m, uint64_t key, uint32_t val);

/*
 * A map that forgets, for keys that never end: what was neither set nor got while RECENT_MAX others
 * were set may be gone. All-zero is an empty one.
 */
#define RECENT_MAX 65536u

struct recent {
	struct map young, old;
};

void recent_release(struct recent *r);

/* As map_get and map_set. */
uint32_t recent_get(struct recent *r, uint64_t key);
int recent_set(struct recent *r, uint64_t key, uint32_t val);

/* As recent_get, and is no use of the key. */
uint32_t recent_peek(const struct recent *r, uint64_t key);

/* How many there are, at most. */
uint32_t recent_count(const struct recent *r);

struct pool_entry {
	const char *p; /* NUL-terminated, aligned as malloc */
	uint32_t len;
	uint32_t next; /* another one with the same hash */
};

struct pool_chunk;

struct pool {
	struct map by_hash;
	struct pool_entry *entries; /* [0] is not used */
	uint32_t n, cap;
	struct pool_chunk *chunks;
	size_t used;  /* of the newest chunk */
	size_t bytes; /* of all */
};

void pool_release(struct pool *p);

/* Number of these bytes, which are copied if new. 0: out of memory. */
uint32_t pool_add(struct pool *p, const void *data, size_t len);

/* As pool_add of a string. */
uint32_t pool_str(struct pool *p, const char *s);

/* Number of these bytes, 0 if they were never added. */
uint32_t pool_find(const struct pool *p, const void *data, size_t len);

/* The bytes of a number; "" for 0. Valid until pool_release. */
const char *pool_get(const struct pool *p, uint32_t id);

/*
 * Makes room for need elements in an array of *cap elements of this size. Returns the array, moved
 * perhaps, or NULL if out of memory (then the old one is untouched).
 */
void *table_room(void *array, uint32_t *cap, size_t need, size_t size);

#endif
