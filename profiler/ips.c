// SPDX-License-Identifier: MIT
#include "profiler/ips.h"

#include "profiler/fold.h"
#include "profiler/ticks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRACES_MAX 20000u /* all are forgotten when there are more */
#define STEPS_MAX 24u	  /* of a trace's path */
#define HITS_MAX 4096u	  /* instructions of a trace */

struct owner {
	uint64_t samples, recent; /* recent: as of ips_choose */
	uint64_t mcode;		  /* 0: no SNAPS came */
	uint32_t loop;
	struct ips_step *steps;
	uint32_t nsteps;
	struct ips_hit *hits; /* by address */
	uint32_t n, cap;
};

struct key {
	uint64_t g;
	uint32_t pid, trace, epoch, pad;
};

struct ips {
	struct prof *p;
	struct pool keys; /* number - 1 is the index of owners */
	struct owner *owners;
	uint32_t nowners, owners_cap;
	struct pool vms;    /* (g, pid) */
	struct map flushes; /* by number of vms: epoch + 1 */
	struct ticks ticks; /* a: index of owners */
	int recent;
	uint64_t dropped;
};

struct ips *ips_new(struct prof *p, uint64_t window)
{
	struct ips *s = calloc(1, sizeof(*s));

	if (s) {
		s->p = p;
		s->ticks.window = window;
	}
	return s;
}

static void forget(struct ips *s)
{
	uint32_t i;

	for (i = 0; i < s->nowners; i++) {
		free(s->owners[i].hits);
		free(s->owners[i].steps);
	}
	s->nowners = 0;
	ticks_release(&s->ticks);
	pool_release(&s->keys);
	memset(&s->keys, 0, sizeof(s->keys));
}

void ips_free(struct ips *s)
{
	if (!s)
		return;
	forget(s);
	free(s->owners);
	pool_release(&s->vms);
	map_release(&s->flushes);
	free(s);
}

void ips_reset(struct ips *s)
{
	forget(s);
	s->dropped = 0;
}

static struct key vm_key(uint32_t pid, uint64_t g)
{
	struct key k;

	memset(&k, 0, sizeof(k));
	k.g = g;
	k.pid = pid;
	return k;
}

static struct key trace_key(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace)
{
	struct key k = vm_key(pid, g);
	uint32_t vm = pool_find(&s->vms, &k, sizeof(k));

	k.trace = trace;
	k.epoch = vm ? map_get(&s->flushes, vm) : 0;
	return k;
}

/* From now on the numbers mean other traces. */
static int flush(struct ips *s, const struct ev_trace *ev)
{
	struct key k = vm_key(ev->h.pid, ev->g);
	uint32_t vm = pool_add(&s->vms, &k, sizeof(k));

	return vm ? map_set(&s->flushes, vm, map_get(&s->flushes, vm) + 1) : -ENOMEM;
}

static struct owner *owner_of(struct ips *s, uint32_t pid, uint64_t g, uint32_t trace)
{
	struct key k = trace_key(s, pid, g, trace);
	struct owner *owners;
	uint32_t at = pool_find(&s->keys, &k, sizeof(k));

	if (at)
		return &s->owners[at - 1];
	if (s->nowners == TRACES_MAX) {
		s->dropped += s->nowners;
		forget(s);
	}
	owners = table_room(s->owners, &s->owners_cap, (size_t)s->nowners + 1, sizeof(*owners));
	if (!owners)
		return NULL;
	s->owners = owners;
	at = pool_add(&s->keys, &k, sizeof(k));
	if (!at)
		return NULL;
	owners[at - 1] = (struct owner){.n = 0};
	s->nowners = at;
	return &owners[at - 1];
}

/* The first hit at ip or behind it. */
static uint32_t find(const struct owner *o, uint64_t ip)
{
	uint32_t lo = 0, hi = o->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (o->hits[mid].ip < ip)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int count(struct ips *s, struct owner *o, uint64_t ip)
{
	struct ips_hit *hits;
	uint32_t at = find(o, ip);

	if (at < o->n && o->hits[at].ip == ip) {
		o->hits[at].samples++;
		return 0;
	}
	if (o->n == HITS_MAX) {
		s->dropped++;
		return 0;
	}
	hits = table_room(o->hits, &o->cap, (size_t)o->n + 1, sizeof(*hits));
	if (!hits)
		return -ENOMEM;
	o->hits = hits;
	memmove(hits + at + 1, hits + at, (o->n - at) * sizeof(*hits));
	hits[at] = (struct ips_hit){ip, 1};
	o->n++;
	return 0;
}

static int sample(struct ips *s, const struct ev_sample *ev)
{
	struct owner *o = owner_of(s, ev->h.pid, ev->g, ev->trace);
	struct tick tick = {.time = ev->h.time};
	int err;

	if (!o)
		return -ENOMEM;
	o->samples++;
	tick.a = (uint32_t)(o - s->owners);
	err = ticks_add(&s->ticks, &tick);
	if (!err && (ev->flags & EV_SF_MCODE))
		err = count(s, o, ev->ip);
	else if (!err && (ev->flags & EV_SF_CALLED) && o->mcode && ev->mcofs)
		err = count(s, o, o->mcode + ev->mcofs - 1); /* in the call */
	return err;
}

/* The lines, in the order of the machine code, of the functions that are innermost there. */
static int take_path(struct ips *s, struct owner *o, const struct ev_snaps *ev)
{
	const struct ev_snap_frame *frame = (const void *)(ev->range + ev->nranges);
	struct ips_step step[STEPS_MAX];
	uint32_t i, n = 0;

	for (i = 0; i < ev->nranges && n < STEPS_MAX; i++) {
		uint32_t at = ev->range[i].frame, known;
		const struct ev_frame *f = at && at <= ev->nframes ? &frame[at - 1].f : NULL;

		if (!f || f->kind != EV_FRAME_LUA || !f->line)
			continue;
		known = recent_get(&s->p->funcs, EV_FRAME_PROTO(f->addr));
		if (!known || (n && step[n - 1].frame == known - 1 && step[n - 1].line == f->line))
			continue;
		step[n++] = (struct ips_step){known - 1, f->line};
	}
	free(o->steps);
	o->nsteps = 0;
	o->steps = malloc((n + 1) * sizeof(*step));
	if (!o->steps)
		return -ENOMEM;
	memcpy(o->steps, step, n * sizeof(*step));
	o->nsteps = n;
	return 0;
}

/* Another mcode under that number: another trace, whose start went by unseen. */
static int take_code(struct ips *s, const struct ev_snaps *ev)
{
	struct owner *o = owner_of(s, ev->h.pid, ev->g, ev->trace);

	if (!o)
		return -ENOMEM;
	if (o->mcode && o->mcode != ev->mcode)
		o->samples = o->n = 0;
	o->mcode = ev->mcode;
	o->loop = ev->mcloop;
	return take_path(s, o, ev);
}

int ips_add(struct ips *s, const struct ev_hdr *h)
{
	const struct ev_sample *ev = (const void *)h;
	const struct ev_trace *t = (const void *)h;

	if (h->kind == EV_SAMPLE && ev->state == EV_STATE_TRACE)
		return sample(s, ev);
	if (h->kind == EV_SNAPS)
		return take_code(s, (const void *)h);
	return h->kind == EV_TRACE && t->type == EV_TRACE_FLUSH ? flush(s, t) : 0;
}

void ips_choose(struct ips *s, int recent, uint64_t now)
{
	uint32_t i;

	s->recent = recent;
	ticks_drop(&s->ticks, now);
	for (i = 0; i < s->nowners; i++)
		s->owners[i].recent = 0;
	for (i = 0; i < s->ticks.n; i++)
		s->owners[ticks_at(&s->ticks, i)->a].recent += ticks_at(&s->ticks, i)->time <= now;
}

static const struct owner *owner_at(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace)
{
	struct key k = trace_key(s, pid, g, trace);
	uint32_t at = pool_find(&s->keys, &k, sizeof(k));

	return at ? &s->owners[at - 1] : NULL;
}

uint64_t ips_samples(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace)
{
	const struct owner *o = owner_at(s, pid, g, trace);

	return !o ? 0 : s->recent ? o->recent : o->samples;
}

const struct ips_hit *ips_get(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace,
			      size_t *n)
{
	const struct owner *o = owner_at(s, pid, g, trace);

	*n = o ? o->n : 0;
	return o ? o->hits : NULL;
}

int ips_code(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace, uint64_t *mcode,
	     uint32_t *loop)
{
	const struct owner *o = owner_at(s, pid, g, trace);

	if (!o || !o->mcode)
		return -ENOENT;
	*mcode = o->mcode;
	*loop = o->loop;
	return 0;
}

const struct ips_step *ips_path(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace,
				size_t *n)
{
	const struct owner *o = owner_at(s, pid, g, trace);

	*n = o ? o->nsteps : 0;
	return *n ? o->steps : NULL;
}

uint64_t ips_dropped(const struct ips *s)
{
	return s->dropped;
}
