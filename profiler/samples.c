/* SPDX-License-Identifier: MIT */
/*
 * What the tree forgets: of which thread, VM, trace and state the samples of a stack were, and
 * when. A stack is a node of the tree, so none is kept twice.
 */
#include "profiler/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TICKS_MAX (1u << 20)
#define FIRST_WIDTH UINT64_C(1000000) /* ns */

struct thread_id {
	uint32_t pid, tid, vm;
};

/* Makes the timeline. 0: out of memory, else its index + 1. */
static uint32_t new_thread(struct samples *sm, const struct thread_id *id)
{
	struct prof_thread *threads =
	    table_room(sm->threads, &sm->threads_cap, (size_t)sm->nthreads + 1, sizeof(*threads));

	if (!threads)
		return 0;
	sm->threads = threads;
	threads[sm->nthreads] =
	    (struct prof_thread){.pid = id->pid, .tid = id->tid, .vm = id->vm, .comm = ""};
	return ++sm->nthreads;
}

/* The timeline of a sample in VM number vm, or outside. */
static int find_thread(struct prof *p, const struct ev_sample *s, uint32_t vm, uint32_t *out)
{
	struct samples *sm = &p->samples;
	struct thread_id id = {s->h.pid, s->h.tid, vm};
	uint64_t key = (uint64_t)s->h.pid << 32 | s->h.tid;
	uint32_t now = map_get(&sm->thread_now, key), known, at;

	if (now && (!vm || sm->threads[now - 1].vm == vm)) {
		*out = now - 1;
		return 0;
	}
	known = p->full ? pool_find(&sm->thread_ids, &id, sizeof(id))
			: pool_add(&sm->thread_ids, &id, sizeof(id));
	if (!known)
		return room_error(p);
	at = map_get(&sm->threads_at, known);
	if (!at && now && !sm->threads[now - 1].vm) {
		/* So far it was in none: this is the one that it goes to. */
		sm->threads[now - 1].vm = vm;
		at = now;
	} else if (!at) {
		at = new_thread(sm, &id);
	}
	if (!at || map_set(&sm->threads_at, known, at) || map_set(&sm->thread_now, key, at))
		return -ENOMEM;
	*out = at - 1;
	return 0;
}

static int find_pile(struct prof *p, uint32_t stack, uint32_t labels, uint32_t *out)
{
	struct samples *sm = &p->samples;
	uint64_t key = (uint64_t)stack << 32 | labels;
	uint32_t at = map_get(&sm->piles_at, key);
	struct prof_pile *piles;

	if (at) {
		*out = at - 1;
		return 0;
	}
	if (p->full && stack != p->crowd)
		return -ENOSPC;
	piles = table_room(sm->piles, &sm->piles_cap, (size_t)sm->npiles + 1, sizeof(*piles));
	if (!piles)
		return -ENOMEM;
	sm->piles = piles;
	piles[sm->npiles] = (struct prof_pile){stack, labels, 0};
	*out = sm->npiles++;
	return map_set(&sm->piles_at, key, sm->npiles);
}

static int by_time(const void *a, const void *b)
{
	const struct prof_tick *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return (x->pile > y->pile) - (x->pile < y->pile);
}

static int by_slot(const void *a, const void *b, void *ctx)
{
	uint64_t width = *(const uint64_t *)ctx;
	const struct prof_tick *x = a, *y = b;
	uint64_t i = x->time / width, j = y->time / width;

	if (i != j)
		return i < j ? -1 : 1;
	if (x->pile != y->pile)
		return x->pile < y->pile ? -1 : 1;
	return (x->time > y->time) - (x->time < y->time);
}

/* Takes ticks of one pile and slot together. */
static void merge_slots(struct samples *sm)
{
	uint32_t n = 0;

	qsort_r(sm->ticks, sm->nticks, sizeof(*sm->ticks), by_slot, &sm->width);
	for (uint32_t i = 0; i < sm->nticks; i++) {
		const struct prof_tick *t = &sm->ticks[i];
		struct prof_tick *last = n ? &sm->ticks[n - 1] : NULL;

		if (last && last->pile == t->pile &&
		    last->time / sm->width == t->time / sm->width &&
		    t->count <= UINT32_MAX - last->count)
			last->count += t->count;
		else
			sm->ticks[n++] = *t;
	}
	sm->nticks = n;
	sm->unsorted = 1;
}

/* The list is full: time gets coarser until half of it is free, or is allowed more. */
static void make_room(struct samples *sm)
{
	while (sm->nticks > sm->limit / 2 && sm->width < UINT64_MAX / 2) {
		sm->width *= 2;
		merge_slots(sm);
	}
	if (sm->nticks > sm->limit / 2)
		sm->limit *= 2;
}

static int add_tick(struct samples *sm, uint64_t time, uint32_t pile, uint64_t times)
{
	struct prof_tick *ticks;

	if (!sm->limit) {
		sm->limit = TICKS_MAX;
		sm->width = FIRST_WIDTH;
	}
	if (sm->nticks == sm->limit)
		make_room(sm);
	ticks = table_room(sm->ticks, &sm->ticks_cap, (size_t)sm->nticks + 1, sizeof(*ticks));
	if (!ticks)
		return -ENOMEM;
	sm->ticks = ticks;
	if (sm->nticks && ticks[sm->nticks - 1].time > time)
		sm->unsorted = 1;
	ticks[sm->nticks++] =
	    (struct prof_tick){time, pile, times < UINT32_MAX ? (uint32_t)times : UINT32_MAX};
	return 0;
}

/* Those of the sample, or of what has no place of its own in a full profile. */
static int make_labels(struct prof *p, const struct proc *proc, const struct ev_sample *s,
		       const struct prof_place *at, const struct prof_about *about,
		       struct prof_labels *out)
{
	*out = (struct prof_labels){.state = at->state, .site = about ? about->site : 0};
	if (at->node == p->crowd) {
		out->thread = p->samples.crowd;
		return 0;
	}
	out->vm = defs_vm(p, proc, s->g);
	out->trace = s->trace;
	out->inside = at->inside;
	if (about) {
		out->reason = room_text(p, about->reason);
		if (!out->reason)
			return room_error(p);
	}
	return find_thread(p, s, out->vm, &out->thread);
}

int samples_add(struct prof *p, const struct proc *proc, const struct ev_sample *s,
		const struct prof_place *at, const struct prof_about *about)
{
	struct samples *sm = &p->samples;
	uint64_t times = about ? about->times : 1;
	struct prof_labels labels;
	struct prof_thread *thread;
	uint32_t id, pile;
	int err;

	err = make_labels(p, proc, s, at, about, &labels);
	if (err)
		return err;
	id = p->full && at->node != p->crowd ? pool_find(&sm->labels, &labels, sizeof(labels))
					     : pool_add(&sm->labels, &labels, sizeof(labels));
	if (!id)
		return room_error(p);
	err = find_pile(p, at->node, id - 1, &pile);
	if (err)
		return err;
	thread = &sm->threads[labels.thread];
	if (!thread->samples || s->h.time < thread->first_time)
		thread->first_time = s->h.time;
	thread->samples += times;
	if (s->h.time > thread->last_time)
		thread->last_time = s->h.time;
	sm->piles[pile].count += times;
	return p->opts.keep & PROF_KEEP_TICKS ? add_tick(sm, s->h.time, pile, times) : 0;
}

int samples_crowd(struct prof *p)
{
	uint32_t n = new_thread(&p->samples, &(struct thread_id){0});

	p->samples.crowd = n - 1;
	return n ? 0 : -ENOMEM;
}

int samples_finish(struct prof *p)
{
	struct samples *sm = &p->samples;

	for (uint32_t i = 0; i < sm->nthreads; i++) {
		const struct proc *proc;

		if (i == sm->crowd) {
			sm->threads[i].comm = "[profile full]";
			continue;
		}
		proc = defs_proc(p, sm->threads[i].pid);
		if (!proc)
			return -ENOMEM;
		sm->threads[i].comm = proc->pub.comm;
	}
	if (sm->unsorted)
		qsort(sm->ticks, sm->nticks, sizeof(*sm->ticks), by_time);
	sm->unsorted = 0;
	return 0;
}

void samples_release(struct prof *p)
{
	struct samples *sm = &p->samples;

	pool_release(&sm->labels);
	pool_release(&sm->thread_ids);
	map_release(&sm->piles_at);
	map_release(&sm->thread_now);
	map_release(&sm->threads_at);
	free(sm->piles);
	free(sm->ticks);
	free(sm->threads);
	memset(sm, 0, sizeof(*sm));
	sm->crowd = UINT32_MAX;
}

void prof_weigh(struct prof *p, const double *weight, size_t n)
{
	struct samples *sm = &p->samples;

	tree_reopen(p);
	for (uint32_t i = 0; i < p->nnodes; i++) {
		struct prof_node *node = &node_at(p, i)->pub;

		node->self = 0;
		memset(node->by_state, 0, sizeof(node->by_state));
	}
	for (uint32_t i = 0; i < sm->nthreads; i++)
		sm->threads[i].samples = 0;
	p->stats.samples = 0;
	p->stats.unit = PROF_LOST_MS;
	for (uint32_t i = 0; i < sm->npiles; i++) {
		struct prof_pile *pile = &sm->piles[i];
		const struct prof_labels *l = prof_labels(p, pile->labels);
		double ms = l->site < n ? weight[l->site] * (double)pile->count : 0;
		struct prof_node *node = &node_at(p, pile->stack)->pub;

		pile->count = (uint64_t)(ms + 0.5);
		node->self += pile->count;
		node->by_state[l->state] += pile->count;
		sm->threads[l->thread].samples += pile->count;
		p->stats.samples += pile->count;
	}
	memset(p->stats.by_state, 0, sizeof(p->stats.by_state));
	p->stats.by_state[EV_STATE_RECORD] = p->stats.samples;
}

const char *prof_text(const struct prof *p, uint32_t id)
{
	return pool_get(&p->strs, id);
}

const struct prof_thread *prof_threads(const struct prof *p, size_t *n)
{
	*n = p->samples.nthreads;
	return p->samples.threads;
}

const struct prof_labels *prof_labels(const struct prof *p, uint32_t labels)
{
	return (const struct prof_labels *)pool_get(&p->samples.labels, labels + 1);
}

const struct prof_pile *prof_piles(const struct prof *p, size_t *n)
{
	*n = p->samples.npiles;
	return p->samples.piles;
}

const struct prof_tick *prof_ticks(const struct prof *p, size_t *n)
{
	*n = p->samples.nticks;
	return p->samples.ticks;
}
