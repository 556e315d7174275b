// SPDX-License-Identifier: MIT
#include "bpf/told.h"

#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define TOLD_MAX 65536u

struct told {
	struct {
		uint64_t addr;
		uint32_t of, pad;
	} key;
	UT_hash_handle hh;
};

int told_before(struct told **set, uint32_t of, uint64_t addr)
{
	struct told like = {.key = {addr, of, 0}}, *t;

	HASH_FIND(hh, *set, &like.key, sizeof(like.key), t);
	if (t)
		return 1;
	if (HASH_COUNT(*set) >= TOLD_MAX)
		told_forget(set, 0);
	t = calloc(1, sizeof(*t));
	if (!t)
		return 1;
	t->key = like.key;
	HASH_ADD(hh, *set, key, sizeof(t->key), t);
	if (t->hh.tbl)
		return 0;
	free(t);
	return 1;
}

void told_forget(struct told **set, uint32_t of)
{
	struct told *t, *next;

	HASH_ITER(hh, *set, t, next)
	{
		if (of && t->key.of != of)
			continue;
		HASH_DEL(*set, t);
		free(t);
	}
}
