// SPDX-License-Identifier: MIT
#include "bpf/unwind.h"
#include "bpf/sampler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#define CODE_MAX (1ull << 31) /* from the first function to the last */

struct builder {
	uint64_t base;
	uint64_t *row;
	size_t n, cap;
};

static const uint8_t kinds[] = {
    [ELFOBJ_CFA_NONE] = SMP_CFA_NONE, [ELFOBJ_CFA_SP] = SMP_CFA_SP,
    [ELFOBJ_CFA_BP] = SMP_CFA_BP,     [ELFOBJ_CFA_AT_BP] = SMP_CFA_AT_BP,
    [ELFOBJ_CFA_PLT] = SMP_CFA_PLT,   [ELFOBJ_CFA_SIGNAL] = SMP_CFA_SIGNAL,
    [ELFOBJ_CFA_END] = SMP_CFA_END,
};

/* What does not fit into a row is as if it were not known. */
static uint64_t pack(const struct elfobj_row *r, uint32_t pc)
{
	uint8_t kind = kinds[r->cfa], bp = SMP_BP_LOST;
	int64_t off = r->off;

	if (kind == SMP_CFA_SP || kind == SMP_CFA_BP || kind == SMP_CFA_AT_BP) {
		if (off % 8)
			kind = SMP_CFA_NONE;
		off /= 8;
	}
	if (off < INT16_MIN || off > INT16_MAX)
		kind = SMP_CFA_NONE;
	if (kind == SMP_CFA_NONE || kind == SMP_CFA_SIGNAL || kind == SMP_CFA_END)
		return SMP_ROW(pc, kind, 0, 0);
	if (r->bp == ELFOBJ_BP_SAME)
		bp = SMP_BP_SAME;
	else if (r->bp == ELFOBJ_BP_AT_BP)
		bp = SMP_BP_AT_BP;
	else if (r->bp == ELFOBJ_BP_SAVED && r->bp_off % 8 == 0 && r->bp_off < 0 &&
		 r->bp_off > -8 * (int64_t)SMP_BP_AT_BP)
		bp = (uint8_t)(-r->bp_off / 8);
	return SMP_ROW(pc, kind, (uint16_t)off, bp);
}

static int add_row(void *ctx, const struct elfobj_row *r)
{
	struct builder *b = ctx;
	uint64_t row, *bigger;

	if (!b->n)
		b->base = r->pc & ~(uint64_t)(SMP_UNWIND_STEP - 1);
	if (r->pc < b->base || r->pc - b->base > CODE_MAX)
		return -E2BIG;
	row = pack(r, (uint32_t)(r->pc - b->base));
	/* A function right behind another one: its first row in place of the end's. */
	if (b->n && SMP_ROW_PC(b->row[b->n - 1]) == SMP_ROW_PC(row)) {
		b->row[b->n - 1] = row;
		return 0;
	}
	if (b->n && SMP_ROW_RULE(b->row[b->n - 1]) == SMP_ROW_RULE(row))
		return 0; /* the same goes on */
	if (b->n == b->cap) {
		b->cap = b->cap ? 2 * b->cap : 4096;
		bigger = realloc(b->row, b->cap * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		b->row = bigger;
	}
	b->row[b->n++] = row;
	return 0;
}

/* Word i of the index: the last row at or before its 256 bytes, or the first of all. */
static void make_index(const struct builder *b, struct unwind_table *t)
{
	uint32_t i, row = 0;

	for (i = 0; i < t->index; i++) {
		while (row + 1 < t->nrows &&
		       SMP_ROW_PC(b->row[row + 1]) <= (uint64_t)i * SMP_UNWIND_STEP)
			row++;
		t->word[i] = row;
	}
}

int unwind_build(const struct elfobj *eo, struct unwind_table *out)
{
	struct builder b = {.n = 0};
	struct unwind_table t = {.word = NULL};
	int err = elfobj_cfi(eo, add_row, &b);

	if (!err && b.n) {
		t.base = b.base;
		t.nrows = (uint32_t)b.n;
		/* One more word than there are steps: where the last one's rows end. */
		t.index = SMP_ROW_PC(b.row[b.n - 1]) / SMP_UNWIND_STEP + 2;
		t.word = malloc(((size_t)t.index + t.nrows) * sizeof(*t.word));
		err = t.word ? 0 : -ENOMEM;
	}
	if (!err && b.n) {
		make_index(&b, &t);
		memcpy(t.word + t.index, b.row, b.n * sizeof(*b.row));
	}
	free(b.row);
	if (!err)
		*out = t;
	return err;
}

#define KEY_MAX 136

struct entry {
	struct unwind_ref ref;
	char key[KEY_MAX];
	size_t bytes;
	unsigned int users;
	uint64_t last; /* when it was given back, for those without users */
	int err;       /* there is no table */
	UT_hash_handle hh;
};

struct unwind_store {
	struct unwind_ops ops;
	struct entry *entries;
	struct entry **slot;
	uint32_t slots;
	size_t max, bytes;
	uint64_t now, built;
};

struct unwind_store *unwind_store_new(const struct unwind_ops *ops, uint32_t slots, size_t bytes)
{
	struct unwind_store *st = calloc(1, sizeof(*st));

	if (st)
		st->slot = calloc(slots, sizeof(*st->slot));
	if (!st || !st->slot) {
		free(st);
		return NULL;
	}
	st->ops = *ops;
	st->slots = slots;
	st->max = bytes;
	return st;
}

static void evict(struct unwind_store *st, struct entry *e)
{
	if (!e->err) {
		st->ops.drop(st->ops.ctx, e->ref.slot);
		st->slot[e->ref.slot] = NULL;
		st->bytes -= e->bytes;
	}
	HASH_DEL(st->entries, e);
	free(e);
}

void unwind_store_free(struct unwind_store *st)
{
	struct entry *e, *tmp;

	if (!st)
		return;
	HASH_ITER(hh, st->entries, e, tmp)
	{
		evict(st, e);
	}
	free(st->slot);
	free(st);
}

static void make_key(const struct elfobj *eo, char key[KEY_MAX])
{
	const char *id = elfobj_build_id(eo);

	memset(key, 0, KEY_MAX);
	if (*id)
		snprintf(key, KEY_MAX, "%s", id);
	else
		snprintf(key, KEY_MAX, "%p", (const void *)eo);
}

static struct entry *find(const struct unwind_store *st, const char *key)
{
	struct entry *e;

	HASH_FIND(hh, st->entries, key, KEY_MAX, e);
	return e;
}

/* A free slot with room for so many bytes: throws out what nobody uses, the oldest first. */
static int make_room(struct unwind_store *st, size_t bytes, uint32_t *slot)
{
	struct entry *oldest;
	uint32_t i, empty;

	for (;;) {
		oldest = NULL;
		empty = st->slots;
		for (i = 0; i < st->slots; i++) {
			struct entry *e = st->slot[i];

			if (!e && empty == st->slots)
				empty = i;
			if (e && !e->users && (!oldest || e->last < oldest->last))
				oldest = e;
		}
		if (empty < st->slots && bytes <= st->max - st->bytes) {
			*slot = empty;
			return 0;
		}
		if (!oldest || bytes > st->max)
			return -ENOSPC;
		evict(st, oldest);
	}
}

/* Makes the table of e. 0, or why there is none. */
static int build(struct unwind_store *st, const struct elfobj *eo, struct entry *e)
{
	struct unwind_table t;
	int err = unwind_build(eo, &t);

	if (err)
		return err;
	st->built++;
	e->bytes = ((size_t)t.index + t.nrows) * sizeof(*t.word);
	err = t.nrows ? make_room(st, e->bytes, &e->ref.slot) : -ENOENT;
	if (!err)
		err = st->ops.put(st->ops.ctx, e->ref.slot, &t);
	if (!err) {
		e->ref.base = t.base;
		e->ref.index = t.index;
		e->ref.nrows = t.nrows;
		st->slot[e->ref.slot] = e;
		st->bytes += e->bytes;
	}
	free(t.word);
	return err;
}

int unwind_take(struct unwind_store *st, const struct elfobj *eo, const struct unwind_ref **out)
{
	char key[KEY_MAX];
	struct entry *e;

	make_key(eo, key);
	e = find(st, key);
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		memcpy(e->key, key, KEY_MAX);
		e->err = build(st, eo, e);
		if (e->err && e->err != -ENOENT && e->err != -E2BIG) {
			int err = e->err; /* another time, maybe */

			free(e);
			return err;
		}
		HASH_ADD(hh, st->entries, key, KEY_MAX, e);
	}
	if (e->err)
		return e->err;
	e->users++;
	*out = &e->ref;
	return 0;
}

int unwind_is_known(const struct unwind_store *st, const struct elfobj *eo)
{
	char key[KEY_MAX];

	make_key(eo, key);
	return find(st, key) != NULL;
}

void unwind_give(struct unwind_store *st, const struct unwind_ref *ref)
{
	struct entry *e = st->slot[ref->slot];

	e->users--;
	e->last = ++st->now;
}

void unwind_stats(const struct unwind_store *st, struct unwind_stats *out)
{
	uint32_t i;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < st->slots; i++) {
		out->tables += st->slot[i] != NULL;
		out->used += st->slot[i] && st->slot[i]->users;
	}
	out->bytes = st->bytes;
	out->built = st->built;
}
