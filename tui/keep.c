// SPDX-License-Identifier: MIT
#include "tui/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (256u << 10)

/* Records one after the other, each behind its number in the stream. */
struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(8) char data[];
};

struct chain {
	struct chunk *first, *last;
	size_t bytes;
};

struct keep {
	struct chain defs, events;
	size_t max_defs, max_events;
	int defs_full, events_dropped;
	uint64_t n;
};

struct keep *keep_new(size_t events, size_t defs)
{
	struct keep *k = calloc(1, sizeof(*k));

	if (k) {
		k->max_events = events;
		k->max_defs = defs;
	}
	return k;
}

static void drop_first(struct chain *c)
{
	struct chunk *gone = c->first;

	c->first = gone->next;
	if (!c->first)
		c->last = NULL;
	c->bytes -= gone->size;
	free(gone);
}

void keep_free(struct keep *k)
{
	if (!k)
		return;
	while (k->defs.first)
		drop_first(&k->defs);
	while (k->events.first)
		drop_first(&k->events);
	free(k);
}

static int append(struct chain *c, uint64_t number, const struct ev_hdr *h)
{
	size_t need = sizeof(number) + h->size;
	struct chunk *last = c->last;

	if (!last || last->size - last->used < need) {
		size_t size = need > CHUNK ? need : CHUNK;

		last = malloc(sizeof(*last) + size);
		if (!last)
			return -ENOMEM;
		*last = (struct chunk){.size = size};
		if (c->last)
			c->last->next = last;
		else
			c->first = last;
		c->last = last;
		c->bytes += size;
	}
	memcpy(last->data + last->used, &number, sizeof(number));
	memcpy(last->data + last->used + sizeof(number), h, h->size);
	last->used += need;
	return 0;
}

/* What comes again and again, and what only tells of its time; the others define. */
static int is_event(const struct ev_hdr *h)
{
	switch (h->kind) {
	case EV_SAMPLE:
	case EV_NATIVE:
	case EV_TRACE:
	case EV_TALLY:
	case EV_SPOT:
	case EV_JIT:
	case EV_SCAN:
		return 1;
	default:
		return 0;
	}
}

int keep_add(struct keep *k, const struct ev_hdr *h)
{
	int err;

	k->n++;
	if (!is_event(h)) {
		k->defs_full |= k->defs.bytes + h->size > k->max_defs;
		return k->defs_full ? 0 : append(&k->defs, k->n, h);
	}
	err = append(&k->events, k->n, h);
	while (k->events.bytes > k->max_events && k->events.first != k->events.last) {
		drop_first(&k->events);
		k->events_dropped = 1;
	}
	return err;
}

static const struct ev_hdr *record_at(const struct chunk *c, size_t at)
{
	return (const struct ev_hdr *)(const void *)(c->data + at + sizeof(uint64_t));
}

uint64_t keep_since(const struct keep *k, int *whole)
{
	*whole = !k->events_dropped;
	return k->events.first ? record_at(k->events.first, 0)->time : 0;
}

/* Where reading a chain has got to. */
struct place {
	const struct chunk *c;
	size_t at;
};

/* Its number; UINT64_MAX at the end. */
static uint64_t here(struct place *p)
{
	uint64_t number;

	while (p->c && p->at >= p->c->used) {
		p->c = p->c->next;
		p->at = 0;
	}
	if (!p->c)
		return UINT64_MAX;
	memcpy(&number, p->c->data + p->at, sizeof(number));
	return number;
}

int keep_each(const struct keep *k, int (*fn)(void *ctx, const struct ev_hdr *h), void *ctx)
{
	struct place d = {k->defs.first, 0}, e = {k->events.first, 0};
	int err = 0;

	if (k->defs_full)
		return -E2BIG;
	while (!err) {
		uint64_t def = here(&d), ev = here(&e);
		struct place *next = def < ev ? &d : &e;
		const struct ev_hdr *h;

		if (!next->c)
			break;
		h = record_at(next->c, next->at);
		err = fn(ctx, h);
		next->at += sizeof(uint64_t) + h->size;
	}
	return err;
}

static int write(void *ctx, const struct ev_hdr *h)
{
	return rec_write(ctx, h);
}

int keep_write(const struct keep *k, struct rec_writer *w)
{
	return keep_each(k, write, w);
}
