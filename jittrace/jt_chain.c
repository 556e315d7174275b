// SPDX-License-Identifier: MIT
/*
 * Contagion: a recording that runs into a blacklisted loop or function aborts, and after eleven
 * times its own start is blacklisted too. Where such a recording ended is where another one starts.
 */
#include "jittrace/jt_int.h"

#include <errno.h>
#include <stdlib.h>

#define CHAIN_MAX 8u

static int by_start(const struct jt_site *x, const void *key, uint32_t pos)
{
	if (x->start.key != key)
		return x->start.key < key ? -1 : 1;
	return x->start.pos < pos ? -1 : x->start.pos > pos;
}

/* By start; of several reasons of one start the most frequent first, a cause of its own before. */
static int in_order(const void *a, const void *b)
{
	const struct jt_site *x = *(struct jt_site *const *)a, *y = *(struct jt_site *const *)b;
	int by = by_start(x, y->start.key, y->start.pos);

	if (by)
		return by;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return (x->err == ERR_BLACKL) - (y->err == ERR_BLACKL);
}

/* The row of what starts at a place; NULL: none. */
static struct jt_site *starting_at(struct jt_site **row, size_t n, const struct jt_loc *at)
{
	size_t lo = 0, hi = n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (by_start(row[mid], at->key, at->pos) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && !by_start(row[lo], at->key, at->pos) ? row[lo] : NULL;
}

/* The rows that s leads to, from it to the first cause. Returns how many. */
static uint32_t follow(struct jt_site **row, size_t n, const struct jt_site *s,
		       const struct jt_site *chain[CHAIN_MAX])
{
	const struct jt_site *first = s;
	uint32_t len = 0, i;

	while (len < CHAIN_MAX && s->err == ERR_BLACKL && s->at.kind == JT_LOC_LUA) {
		const struct jt_site *next = starting_at(row, n, &s->at);

		for (i = 0; i < len && chain[i] != next; i++)
			;
		if (!next || next == first || i < len) /* in a circle: each is the other's */
			break;
		chain[len++] = s = next;
	}
	return len;
}

int jt_chain(struct jt *jt, struct jt_site *site, size_t n)
{
	const struct jt_site *chain[CHAIN_MAX];
	struct jt_because *out;
	struct jt_site **row = calloc(n + 1, sizeof(*row));
	size_t roots = 0, ill = 0, i;
	uint32_t len, k;

	free(jt->because_rows);
	for (i = 0; row && i < n; i++) {
		if (site[i].kind != JT_SITE_ABORT)
			continue;
		ill += site[i].err == ERR_BLACKL;
		if (site[i].trace_kind == EV_TRACE_ROOT && site[i].start.kind == JT_LOC_LUA)
			row[roots++] = &site[i];
	}
	jt->because_rows = out = calloc(CHAIN_MAX * ill + 1, sizeof(*out));
	if (!row || !out) {
		free(row);
		return -ENOMEM;
	}
	qsort(row, roots, sizeof(*row), in_order);
	for (i = 0; i < n; i++) {
		if (site[i].kind != JT_SITE_ABORT || site[i].err != ERR_BLACKL)
			continue;
		len = follow(row, roots, &site[i], chain);
		site[i].because = out;
		site[i].nbecause = len;
		for (k = len; k--; out++)
			*out = (struct jt_because){chain[k]->start, chain[k]->reason,
						   chain[k]->inferred};
	}
	free(row);
	return 0;
}
