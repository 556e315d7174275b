// SPDX-License-Identifier: MIT
/* Events that BPF only counted (bpf/storm.bpf.h), as records. */
#include "bpf/capture_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define TALLY_EVERY 1000000000ull /* ns */
/* A place that was quiet for so long gives its room to others, when there is little. */
#define TALLY_IDLE (10 * TALLY_EVERY)

/* What of a tally the stream knows. */
struct told {
	struct smp_tally_key key;
	uint64_t count, starts;
	uint64_t time; /* ns: when it was told last */
	UT_hash_handle hh;
};

/* What is to be told. */
struct news {
	struct smp_tally_key key;
	struct smp_tally t;
	uint64_t count, starts, first;
};

struct reading {
	struct news *news;
	size_t n, cap;
	int pid; /* only its; 0: all */
	int forget;
	int crowded; /* few entries are left */
	uint64_t now;
};

void capture_tallies_free(struct capture *c)
{
	struct told *t, *tmp;

	HASH_ITER(hh, c->tallies, t, tmp)
	{
		HASH_DEL(c->tallies, t);
		free(t);
	}
}

static struct told *told_of(struct capture *c, const struct smp_tally_key *key)
{
	struct told *t;

	HASH_FIND(hh, c->tallies, key, sizeof(*key), t);
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->key = *key;
	HASH_ADD(hh, c->tallies, key, sizeof(t->key), t);
	if (!t->hh.tbl) {
		free(t);
		return NULL;
	}
	return t;
}

/* Notes what is new in a tally. gone: it has been removed. */
static int take(struct capture *c, struct reading *r, const struct smp_tally_key *key,
		const struct smp_tally *t, int gone)
{
	struct told *told = told_of(c, key);
	struct news *bigger;

	if (!told)
		return -ENOMEM;
	if (t->count != told->count || t->starts != told->starts) {
		if (r->n == r->cap) {
			bigger = realloc(r->news, (2 * r->cap + 64) * sizeof(*bigger));
			if (!bigger)
				return -ENOMEM;
			r->news = bigger;
			r->cap = 2 * r->cap + 64;
		}
		r->news[r->n++] = (struct news){
		    .key = *key,
		    .t = *t,
		    .count = t->count - told->count,
		    .starts = t->starts - told->starts,
		    .first = told->time > t->first ? told->time : t->first,
		};
		told->count = t->count;
		told->starts = t->starts;
		told->time = r->now;
	}
	if (gone) {
		HASH_DEL(c->tallies, told);
		free(told);
	}
	return 0;
}

/* Reads one entry, and removes it if it is not needed any more. */
static int visit(struct capture *c, struct reading *r, const struct smp_tally_key *key)
{
	int fd = bpf_map__fd(c->skel->maps.tallies), gone = r->forget;
	const struct ev_trace *like;
	struct smp_tally t;

	if ((r->pid && (int)key->tgid != r->pid) || bpf_map_lookup_elem(fd, key, &t))
		return 0;
	like = (const struct ev_trace *)(const void *)t.like;
	if (r->crowded && r->now > t.last + TALLY_IDLE && r->now > like->h.time + TALLY_IDLE)
		gone = 1;
	if (gone && bpf_map_lookup_and_delete_elem(fd, key, &t))
		return 0;
	if (gone)
		c->skel->bss->tallies_full = 0;
	return take(c, r, key, &t, gone);
}

static int by_last(const void *a, const void *b)
{
	const struct news *x = a, *y = b;

	return x->t.last < y->t.last ? -1 : x->t.last > y->t.last;
}

static int emit(struct capture *c, const struct news *n, uint64_t now)
{
	uint64_t buf[(sizeof(struct ev_tally) + sizeof(n->t.f)) / 8];
	struct ev_tally *e = (struct ev_tally *)(void *)buf;
	struct ev_trace like;
	size_t frames;

	memset(buf, 0, sizeof(buf));
	memcpy(&like, n->t.like, sizeof(like));
	if (like.nframes > SMP_TALLY_FRAMES)
		like.nframes = SMP_TALLY_FRAMES;
	like.text[sizeof(like.text) - 1] = '\0';
	frames = like.nframes * sizeof(n->t.f[0]);
	like.h.size = (ev_u32)(sizeof(like) + frames);
	e->h.kind = EV_TALLY;
	e->h.size = (ev_u32)(sizeof(*e) + frames);
	e->h.time = now;
	e->h.pid = like.h.pid;
	e->h.tid = like.h.tid;
	e->first = n->first;
	e->last = n->t.last;
	e->count = n->count;
	e->starts = n->starts;
	e->attempts = n->t.attempts;
	memcpy(&e->like, &like, sizeof(like));
	memcpy(e->like.f, n->t.f, frames);
	return resolve_record(c->resolve, &e->h);
}

/* What had no room in the map: only how many there were. */
static int emit_untold(struct capture *c, uint64_t now)
{
	const struct smp_counters *k = (const void *)&c->skel->bss->counters;
	struct ev_tally e = {
	    .h = {.kind = EV_TALLY, .size = sizeof(e), .time = now},
	    .first = c->next_tally > TALLY_EVERY ? c->next_tally - TALLY_EVERY : 0,
	    .last = now,
	    .like = {.h = {.kind = EV_TRACE, .size = sizeof(e.like), .time = now}}};
	uint64_t n, starts;
	unsigned int type;
	int err = 0;

	starts = k->untold[EV_TRACE_START] - c->untold[EV_TRACE_START];
	c->untold[EV_TRACE_START] += starts;
	for (type = EV_TRACE_STOP; type <= EV_TRACE_FLUSH && !err; type++) {
		n = k->untold[type] - c->untold[type];
		c->untold[type] += n;
		e.count = n;
		e.starts = starts;
		e.like.type = (ev_u8)type;
		starts = 0;
		if (n || e.starts)
			err = c->sink(c->ctx, &e.h);
	}
	return err;
}

int capture_tallies(struct capture *c, int pid, int forget)
{
	const struct smp_counters *k = (const void *)&c->skel->bss->counters;
	struct reading r = {.pid = pid, .forget = forget, .now = resolve_now()};
	struct smp_tally_key key, next;
	int fd = bpf_map__fd(c->skel->maps.tallies), err = 0, more;
	size_t i;

	if (c->opts.traces == CAPTURE_TRACES_OFF)
		return 0;
	r.crowded = HASH_COUNT(c->tallies) > SMP_TALLIES / 2;
	c->tallied = k->tallied;
	more = !bpf_map_get_next_key(fd, NULL, &key);
	for (i = 0; more && !err && i < 2 * SMP_TALLIES; i++) {
		more = !bpf_map_get_next_key(fd, &key, &next); /* key may go */
		err = visit(c, &r, &key);
		key = next;
	}
	/* What they are about was sent before, and so were the definitions of it. */
	capture_consume(c);
	if (r.n)
		qsort(r.news, r.n, sizeof(*r.news), by_last);
	for (i = 0; i < r.n && !err; i++) {
		err = emit(c, &r.news[i], r.now);
		c->stale |= r.news[i].key.type != EV_TRACE_ABORT;
	}
	if (!err)
		err = emit_untold(c, r.now);
	free(r.news);
	return err;
}

int capture_tallies_tick(struct capture *c, uint64_t now)
{
	const struct smp_counters *k = (const void *)&c->skel->bss->counters;

	if (k->tallied == c->tallied || now < c->next_tally)
		return 0;
	c->next_tally = now + TALLY_EVERY;
	return capture_tallies(c, 0, 0);
}
