// SPDX-License-Identifier: MIT
/* The C code addresses of a process: ranges, of which the newest definition counts. */
#include "jittrace/jt_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First of the ranges that ends after addr. */
static uint32_t range_after(const struct jt_proc *p, uint64_t addr)
{
	uint32_t lo = 0, hi = p->nranges;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (p->ranges[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Room for need elements of an array; NULL if out of memory. */
static void *room(void *array, uint32_t *cap, uint32_t need, size_t size)
{
	uint32_t more = *cap ? *cap * 2 : 64;
	void *moved;

	if (need <= *cap)
		return array;
	moved = realloc(array, more * size);
	if (moved)
		*cap = more;
	return moved;
}

/* Gives [start, end) to sym and leaves to others what of theirs lies outside. */
static int claim(struct jt_proc *p, uint64_t start, uint64_t end, uint32_t sym)
{
	uint32_t first = range_after(p, start), last = first, n = 0;
	struct jt_range put[3], *ranges;

	while (last < p->nranges && p->ranges[last].start < end)
		last++;
	if (first < last && p->ranges[first].start < start) {
		put[n] = p->ranges[first];
		put[n++].end = start;
	}
	put[n++] = (struct jt_range){start, end, sym};
	if (first < last && p->ranges[last - 1].end > end) {
		put[n] = p->ranges[last - 1];
		put[n++].start = end;
	}
	ranges = room(p->ranges, &p->ranges_cap, p->nranges + n, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	p->ranges = ranges;
	memmove(ranges + first + n, ranges + last, (p->nranges - last) * sizeof(*ranges));
	memcpy(ranges + first, put, n * sizeof(*ranges));
	p->nranges = p->nranges - (last - first) + n;
	return 0;
}

/* Both strings, cleaned, one after the other. */
static char *two_strings(const char *a, const char *b)
{
	char ca[JT_TEXT / 2], cb[JT_TEXT / 4], *both;
	size_t la, lb;

	jt_clean(ca, sizeof(ca), a);
	jt_clean(cb, sizeof(cb), b);
	la = strlen(ca) + 1;
	lb = strlen(cb) + 1;
	both = malloc(la + lb);
	if (!both)
		return NULL;
	memcpy(both, ca, la);
	memcpy(both + la, cb, lb);
	return both;
}

#define UNNAMED "C:?@"

/* Processes share them: modules are told by their names. *out: NULL if there are too many. */
static int cfunc_get(struct jt *jt, const struct jt_sym *s, struct jt_cfunc **out)
{
	char key[JT_TEXT];
	size_t len = (size_t)snprintf(key, sizeof(key), UNNAMED "%s+0x%" PRIx64,
				      s->name + strlen(s->name) + 1, s->offset);
	struct jt_cfunc *c;

	HASH_FIND(hh, jt->cfuncs, key, len, *out);
	if (*out)
		return 0;
	if (HASH_COUNT(jt->cfuncs) >= JT_CFUNCS_MAX) {
		jt->stats.dropped_syms++;
		return 0;
	}
	c = calloc(1, sizeof(*c) + len + 1);
	if (!c)
		return -ENOMEM;
	memcpy(c->unnamed, key, len);
	HASH_ADD(hh, jt->cfuncs, unnamed, len, c);
	if (!c->hh.tbl) {
		free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

const char *jt_cfunc_shown(const struct jt_cfunc *c, const char *text)
{
	return c && c->named && !strcmp(text, c->unnamed) ? c->named : text;
}

int jt_cfunc_learn(struct jt_cfunc *c, const char *name)
{
	const char *where = c->unnamed + strlen(UNNAMED);
	size_t size = strlen("C:@") + strlen(name) + strlen(where) + 1;

	c->named = malloc(size);
	if (!c->named)
		return -ENOMEM;
	snprintf(c->named, size, "C:%s@%s", name, where);
	return 0;
}

void jt_cfuncs_free(struct jt *jt)
{
	struct jt_cfunc *c, *tmp;

	HASH_ITER(hh, jt->cfuncs, c, tmp)
	{
		HASH_DEL(jt->cfuncs, c);
		free(c->named);
		free(c);
	}
}

int jt_syms_add(struct jt *jt, struct jt_proc *p, const struct ev_sym *ev, const char *name,
		const char *module)
{
	struct jt_sym *syms, *s;
	int err;

	if (ev->start >= ev->end)
		return 0;
	if (p->nsyms >= JT_SYMS_MAX) {
		jt->stats.dropped_syms++;
		return 0;
	}
	syms = room(p->syms, &p->syms_cap, p->nsyms + 1, sizeof(*syms));
	if (!syms)
		return -ENOMEM;
	p->syms = syms;
	s = &syms[p->nsyms];
	*s = (struct jt_sym){.start = ev->start, .offset = ev->offset, .kind = ev->kind};
	s->name = two_strings(name, module);
	if (!s->name)
		return -ENOMEM;
	if (!*s->name && ev->kind != EV_SYM_ANON) {
		err = cfunc_get(jt, s, &s->cfunc);
		if (err) {
			free(s->name);
			return err;
		}
	}
	return claim(p, ev->start, ev->end, p->nsyms++);
}

const struct jt_sym *jt_syms_find(const struct jt_proc *p, uint64_t addr)
{
	uint32_t i = range_after(p, addr);

	if (i == p->nranges || p->ranges[i].start > addr)
		return NULL;
	return &p->syms[p->ranges[i].sym];
}

void jt_syms_drop(struct jt_proc *p)
{
	uint32_t i;

	for (i = 0; i < p->nsyms; i++)
		free(p->syms[i].name);
	free(p->syms);
	free(p->ranges);
	p->syms = NULL;
	p->ranges = NULL;
	p->nsyms = p->syms_cap = p->nranges = p->ranges_cap = 0;
}
