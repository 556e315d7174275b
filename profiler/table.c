/* SPDX-License-Identifier: MIT */
#include "profiler/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536u
#define ALIGN 16u

struct pool_chunk {
	struct pool_chunk *next;
	size_t size;
	_Alignas(ALIGN) char data[];
};

/* Spreads every bit of x over the result, so that keys in steps of any size do not pile up. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
	x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

void map_release(struct map *m)
{
	free(m->slots);
	memset(m, 0, sizeof(*m));
}

static struct map_slot *map_find(const struct map *m, uint64_t key)
{
	uint32_t i = (uint32_t)mix(key) & m->mask;

	while (m->slots[i].val && m->slots[i].key != key)
		i = (i + 1) & m->mask;
	return &m->slots[i];
}

uint32_t map_get(const struct map *m, uint64_t key)
{
	return m->slots ? map_find(m, key)->val : 0;
}

static int map_grow(struct map *m)
{
	struct map bigger = {.n = m->n};
	uint32_t size = m->slots ? (m->mask + 1) * 2 : 64;

	if (!size)
		return -ENOMEM;
	bigger.slots = calloc(size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	bigger.mask = size - 1;
	for (uint32_t i = 0; m->slots && i <= m->mask; i++)
		if (m->slots[i].val)
			*map_find(&bigger, m->slots[i].key) = m->slots[i];
	free(m->slots);
	*m = bigger;
	return 0;
}

int map_set(struct map *m, uint64_t key, uint32_t val)
{
	struct map_slot *slot;

	/* At most two thirds full: probes stay short. */
	if (!m->slots || m->n >= m->mask - m->mask / 3) {
		int err = map_grow(m);

		if (err)
			return err;
	}
	slot = map_find(m, key);
	if (!slot->val)
		m->n++;
	slot->key = key;
	slot->val = val;
	return 0;
}

void recent_release(struct recent *r)
{
	map_release(&r->young);
	map_release(&r->old);
}

uint32_t recent_peek(const struct recent *r, uint64_t key)
{
	uint32_t val = map_get(&r->young, key);

	return val ? val : map_get(&r->old, key);
}

uint32_t recent_get(struct recent *r, uint64_t key)
{
	uint32_t val = map_get(&r->young, key);

	if (val)
		return val;
	val = map_get(&r->old, key);
	if (val)
		recent_set(r, key, val); /* out of memory: it is still in the old one */
	return val;
}

int recent_set(struct recent *r, uint64_t key, uint32_t val)
{
	if (r->young.n >= RECENT_MAX && !map_get(&r->young, key)) {
		map_release(&r->old);
		r->old = r->young;
		memset(&r->young, 0, sizeof(r->young));
	}
	return map_set(&r->young, key, val);
}

uint32_t recent_count(const struct recent *r)
{
	return r->young.n + r->old.n;
}

void *table_room(void *array, uint32_t *cap, size_t need, size_t size)
{
	size_t more = *cap ? (size_t)*cap * 2 : 16;
	void *moved;

	if (need <= *cap)
		return array;
	if (more < need)
		more = need;
	if (more > UINT32_MAX || more > SIZE_MAX / size)
		return NULL;
	moved = realloc(array, more * size);
	if (moved)
		*cap = (uint32_t)more;
	return moved;
}

void pool_release(struct pool *p)
{
	struct pool_chunk *next;

	for (struct pool_chunk *c = p->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	map_release(&p->by_hash);
	free(p->entries);
	memset(p, 0, sizeof(*p));
}

static uint64_t hash_word(uint64_t h, const unsigned char *s)
{
	uint64_t word;

	memcpy(&word, s, 8);
	h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
	return h ^ h >> 29;
}

/* Whole stacks are hashed too: two words at a time that do not wait for each other. */
static uint64_t hash_bytes(const void *data, size_t len)
{
	const unsigned char *s = data;
	uint64_t h = len, k = 0, word = 0;

	for (; len >= 16; s += 16, len -= 16) {
		h = hash_word(h, s);
		k = hash_word(k, s + 8);
	}
	if (len >= 8) {
		h = hash_word(h, s);
		s += 8;
		len -= 8;
	}
	memcpy(&word, s, len);
	return mix(h ^ mix(k ^ word));
}

static uint32_t pool_search(const struct pool *p, uint64_t hash, const void *data, size_t len)
{
	uint32_t id = map_get(&p->by_hash, hash);

	for (; id; id = p->entries[id].next)
		if (p->entries[id].len == len && !memcmp(p->entries[id].p, data, len))
			break;
	return id;
}

static char *pool_alloc(struct pool *p, size_t len)
{
	size_t need = (len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	char *at;

	if (!p->chunks || p->chunks->size - p->used < need) {
		size_t size = need > CHUNK ? need : CHUNK;
		struct pool_chunk *c = malloc(sizeof(*c) + size);

		if (!c)
			return NULL;
		c->size = size;
		c->next = p->chunks;
		p->chunks = c;
		p->used = 0;
	}
	at = p->chunks->data + p->used;
	p->used += need;
	return at;
}

uint32_t pool_add(struct pool *p, const void *data, size_t len)
{
	uint64_t hash = hash_bytes(data, len);
	uint32_t id = pool_search(p, hash, data, len);
	struct pool_entry *entries;
	char *copy;

	if (id)
		return id;
	if (len >= UINT32_MAX - ALIGN)
		return 0;
	id = p->n ? p->n : 1;
	entries = table_room(p->entries, &p->cap, (size_t)id + 1, sizeof(*entries));
	if (!entries)
		return 0;
	p->entries = entries;
	copy = pool_alloc(p, len + 1);
	if (!copy)
		return 0;
	memcpy(copy, data, len);
	copy[len] = '\0';
	entries[id] = (struct pool_entry){copy, (uint32_t)len, map_get(&p->by_hash, hash)};
	if (map_set(&p->by_hash, hash, id))
		return 0;
	p->n = id + 1;
	p->bytes += len;
	return id;
}

uint32_t pool_str(struct pool *p, const char *s)
{
	return pool_add(p, s, strlen(s));
}

uint32_t pool_find(const struct pool *p, const void *data, size_t len)
{
	return pool_search(p, hash_bytes(data, len), data, len);
}

const char *pool_get(const struct pool *p, uint32_t id)
{
	return id && id < p->n ? p->entries[id].p : "";
}
