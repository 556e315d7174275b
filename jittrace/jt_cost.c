// SPDX-License-Identifier: MIT
/*
 * What the interpretation of code costs that could not be compiled: CPU samples, charged to the
 * innermost start of traces in whose region they fall. See jt.h for the rules.
 */
#include "jittrace/jt_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

/* ---- sums ---- */

static void forward(struct jt_sum *s, uint64_t sec)
{
	uint64_t i, gap = sec > s->newest ? sec - s->newest : 0;

	for (i = 0; i < (gap < JT_COST_SECONDS ? gap : JT_COST_SECONDS); i++)
		s->second[(sec - i) % JT_COST_SECONDS] = 0;
	s->newest += gap;
}

static void count(struct jt_sum *s, uint64_t time)
{
	uint64_t sec = time / SECOND;

	forward(s, sec);
	s->all++;
	if (s->newest - sec < JT_COST_SECONDS)
		s->second[sec % JT_COST_SECONDS]++;
}

struct jt_share jt_sum_share(struct jt_sum *s, uint64_t now)
{
	struct jt_share out = {.samples = s->all};
	uint32_t i;

	forward(s, now / SECOND);
	for (i = 0; i < JT_COST_SECONDS; i++)
		out.recent += s->second[i];
	return out;
}

const struct jt_costs *jt_costs(struct jt *jt, uint64_t now)
{
	uint32_t i;

	now = now ? now : jt->sample_time;
	jt->costs.all = jt_sum_share(&jt->samples, now);
	jt->costs.charged = jt_sum_share(&jt->charged, now);
	for (i = 0; i < EV_STATE_MAX; i++)
		jt->costs.by_state[i] = jt_sum_share(&jt->by_state[i], now);
	return &jt->costs;
}

/* ---- regions ---- */

/* *out: NULL if there are too many. 0 or -ENOMEM. */
static int region_get(struct jt *jt, struct jt_ident *ident, uint32_t first, uint32_t last,
		      struct jt_region **out)
{
	struct jt_region_key key;
	struct jt_region *r;

	memset(&key, 0, sizeof(key));
	key.ident = ident;
	key.first = first;
	key.last = last;
	HASH_FIND(hh, jt->regions, &key, sizeof(key), r);
	*out = r;
	if (r)
		return 0;
	if (HASH_COUNT(jt->regions) >= JT_REGIONS_MAX) {
		jt->costs.dropped++;
		return 0;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->key = key;
	HASH_ADD(hh, jt->regions, key, sizeof(r->key), r);
	if (!r->hh.tbl) {
		free(r);
		return -ENOMEM;
	}
	ident->refs++;
	*out = r;
	return 0;
}

/* The region of a root trace's start: its loop; for a function, or a return in it, all of it. */
static int root_region(struct jt *jt, const struct jt_place *start, struct jt_region **out)
{
	const struct jt_ident *i = start->ident;
	uint32_t k;

	*out = NULL;
	if (start->kind != JT_LOC_LUA || (start->pos && !i->loops_known))
		return 0;
	for (k = 0; k < i->nloops; k++)
		if (i->loop[k].pos == start->pos)
			return region_get(jt, start->ident, i->loop[k].first, i->loop[k].last, out);
	return region_get(jt, start->ident, 0, UINT32_MAX, out);
}

static struct jt_scope *scope_get(struct jt *jt, const struct jt_vm *vm,
				  const struct jt_ident *ident, int create)
{
	struct jt_scope_key key = {vm, ident};
	struct jt_scope *s;

	HASH_FIND(hh, jt->scopes, &key, sizeof(key), s);
	if (s || !create)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = key;
	HASH_ADD(hh, jt->scopes, key, sizeof(s->key), s);
	if (s->hh.tbl)
		return s;
	free(s);
	return NULL;
}

/* Traces of the VM start in this region: from now on it takes samples. */
static int scope_add(struct jt *jt, const struct jt_vm *vm, struct jt_region *r)
{
	struct jt_scope *s = scope_get(jt, vm, r->key.ident, 1);
	struct jt_region **bigger;
	uint32_t i;

	if (!s)
		return -ENOMEM;
	for (i = 0; i < s->n; i++)
		if (s->region[i] == r)
			return 0;
	bigger = realloc(s->region, (s->n + 1) * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	s->region = bigger;
	/* Loops nest, so the narrowest comes first. */
	for (i = s->n++; i && s->region[i - 1]->key.last - s->region[i - 1]->key.first >
				  r->key.last - r->key.first;
	     i--)
		s->region[i] = s->region[i - 1];
	s->region[i] = r;
	return 0;
}

int jt_cost_start(struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
		  const struct jt_place *start, struct jt_region **out)
{
	uint32_t from = ev->kind == EV_TRACE_ROOT ? 0 : ev->parent ? ev->parent : ev->root;
	const struct jt_live *parent = from ? jt_traces_find(vm, from) : NULL;
	int err = 0;

	*out = parent ? parent->region : NULL;
	if (ev->kind == EV_TRACE_ROOT)
		err = root_region(jt, start, out);
	return err || !*out ? err : scope_add(jt, vm, *out);
}

static void scope_free(struct jt *jt, struct jt_scope *s)
{
	HASH_DEL(jt->scopes, s);
	free(s->region);
	free(s);
}

void jt_cost_drop(struct jt *jt, const struct jt_vm *vm)
{
	struct jt_scope *s, *tmp;

	HASH_ITER(hh, jt->scopes, s, tmp)
	{
		if (s->key.vm == vm)
			scope_free(jt, s);
	}
}

void jt_cost_free(struct jt *jt)
{
	struct jt_region *r, *tmp;
	struct jt_charge *c, *ctmp;

	while (jt->scopes)
		scope_free(jt, jt->scopes);
	HASH_ITER(hh, jt->regions, r, tmp)
	{
		HASH_ITER(hh, r->charges, c, ctmp)
		{
			HASH_DEL(r->charges, c);
			free(c);
		}
		HASH_DEL(jt->regions, r);
		jt_ident_put(jt, r->key.ident);
		free(r);
	}
}

/* ---- samples ---- */

static int charge(struct jt *jt, struct jt_region *r, uint32_t pos, uint64_t time)
{
	struct jt_charge *c;

	HASH_FIND(hh, r->charges, &pos, sizeof(pos), c);
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return -ENOMEM;
		c->pos = pos;
		HASH_ADD(hh, r->charges, pos, sizeof(c->pos), c);
		if (!c->hh.tbl) {
			free(c);
			return -ENOMEM;
		}
	}
	count(&c->sum, time);
	count(&jt->charged, time);
	return 0;
}

static struct jt_region *region_at(struct jt *jt, const struct jt_vm *vm, const struct ev_frame *f)
{
	const struct jt_func *func = jt_func_find(jt, EV_FRAME_PROTO(f->addr));
	const struct jt_scope *s = func ? scope_get(jt, vm, func->ident, 0) : NULL;
	uint32_t pos = EV_FRAME_PC(f->addr), i;

	for (i = 0; s && i < s->n; i++)
		if (pos >= s->region[i]->key.first && pos <= s->region[i]->key.last)
			return s->region[i];
	return NULL;
}

int jt_cost_sample(struct jt *jt, const struct ev_sample *ev, uint32_t nframes)
{
	const struct jt_vm *vm = jt_vm_find(jt, ev->h.pid, ev->g);
	struct jt_region *r = NULL;
	struct jt_live *t;
	uint32_t i;

	jt->sample_time = ev->h.time;
	count(&jt->samples, ev->h.time);
	count(&jt->by_state[ev->state < EV_STATE_MAX ? ev->state : 0], ev->h.time);
	switch (ev->state) {
	case EV_STATE_TRACE:
		t = vm ? jt_traces_find(vm, ev->trace) : NULL;
		if (t)
			count(&t->sum, ev->h.time);
		else
			jt->costs.other_traces++;
		return 0;
	case EV_STATE_INTERP:
	case EV_STATE_C:
	case EV_STATE_RECORD:
	case EV_STATE_OPT:
	case EV_STATE_ASM:
		break;
	default:
		return 0;
	}
	for (i = 0; vm && i < nframes && !r; i++) {
		if (ev->f[i].kind == EV_FRAME_LUA)
			r = region_at(jt, vm, &ev->f[i]);
		if (r)
			return charge(jt, r, EV_FRAME_PC(ev->f[i].addr), ev->h.time);
	}
	return 0;
}

void jt_forget_samples(struct jt *jt)
{
	struct jt_region *r;
	struct jt_charge *c;
	struct jt_live *t;
	struct jt_vm *vm;

	jt->samples = jt->charged = (struct jt_sum){.all = 0};
	memset(jt->by_state, 0, sizeof(jt->by_state));
	jt->costs.other_traces = 0;
	for (r = jt->regions; r; r = r->hh.next)
		for (c = r->charges; c; c = c->hh.next)
			c->sum = (struct jt_sum){.all = 0};
	for (vm = jt->vms; vm; vm = vm->hh.next)
		for (t = vm->traces; t; t = t->hh.next)
			t->sum = (struct jt_sum){.all = 0};
}

/* ---- rows ---- */

/* How much of a site's cost a row gets: as it came in the last minute; else as it ever came. */
static void weigh(struct jt_cost_row *row, size_t n, uint32_t head, int aborts)
{
	uint64_t recent = 0, ever = 0;
	uint32_t i;

	for (i = head; i != JT_NO_ROW; i = row[i].next) {
		row[i].weight = 0;
		if (aborts && row[i].site->kind != JT_SITE_ABORT)
			continue;
		recent += row[i].site->recent;
		ever += row[i].site->count;
	}
	for (i = head; i != JT_NO_ROW && i < n; i = row[i].next) {
		if (aborts && row[i].site->kind != JT_SITE_ABORT)
			continue;
		row[i].weight = recent ? (double)row[i].site->recent
				: ever ? (double)row[i].site->count
				       : 1;
	}
}

static int any_abort(const struct jt_cost_row *row, uint32_t head)
{
	uint32_t i;

	for (i = head; i != JT_NO_ROW; i = row[i].next)
		if (row[i].site->kind == JT_SITE_ABORT)
			return 1;
	return 0;
}

/* The stitch at this very call, or JT_NO_ROW. */
static uint32_t stitch_at(const struct jt_cost_row *row, uint32_t head, const struct jt_region *r,
			  uint32_t pos)
{
	uint32_t i;

	for (i = head; i != JT_NO_ROW; i = row[i].next)
		if (row[i].site->kind == JT_SITE_STITCH && row[i].site->at.key == r->key.ident &&
		    row[i].site->at.pos == pos)
			return i;
	return JT_NO_ROW;
}

/* Divides what a region was charged among its rows. */
static void divide(struct jt_region *r, struct jt_cost_row *row, size_t n, uint32_t head,
		   uint64_t now)
{
	struct jt_share rest = {0, 0}, s;
	struct jt_charge *c;
	double sum = 0;
	uint32_t i;

	for (c = r->charges; c; c = c->hh.next) {
		s = jt_sum_share(&c->sum, now);
		i = stitch_at(row, head, r, c->pos);
		if (i != JT_NO_ROW) {
			row[i].samples += (double)s.samples;
			row[i].recent += (double)s.recent;
		} else {
			rest.samples += s.samples;
			rest.recent += s.recent;
		}
	}
	weigh(row, n, head, any_abort(row, head));
	for (i = head; i != JT_NO_ROW; i = row[i].next)
		sum += row[i].weight;
	for (i = head; i != JT_NO_ROW; i = row[i].next) {
		row[i].samples += (double)rest.samples * row[i].weight / sum;
		row[i].recent += (double)rest.recent * row[i].weight / sum;
	}
}

int jt_cost_rows(struct jt *jt, struct jt_site *site, struct jt_region *const *region, size_t n,
		 uint64_t now)
{
	struct jt_share base = jt_sum_share(&jt->samples, now);
	struct jt_cost_row *row = calloc(n + 1, sizeof(*row));
	struct jt_region *r;
	size_t i;

	if (!row)
		return -ENOMEM;
	for (r = jt->regions; r; r = r->hh.next)
		r->head = JT_NO_ROW;
	for (i = 0; i < n; i++) {
		row[i] = (struct jt_cost_row){.site = &site[i], .next = JT_NO_ROW};
		if (!region[i])
			continue;
		row[i].next = region[i]->head;
		region[i]->head = (uint32_t)i;
	}
	for (r = jt->regions; r; r = r->hh.next)
		if (r->head != JT_NO_ROW)
			divide(r, row, n, r->head, now);
	for (i = 0; i < n; i++) {
		int known = region[i] && base.samples;

		site[i].cost = known ? 100 * row[i].samples / (double)base.samples : -1;
		site[i].cost_recent =
		    known && base.recent ? 100 * row[i].recent / (double)base.recent : -1;
	}
	free(row);
	return 0;
}
