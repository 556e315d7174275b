/* SPDX-License-Identifier: MIT */
#include "profiler/timeline.h"

#include "profiler/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static size_t thread_of(const struct timeline *tl, const struct prof_pile *piles, size_t tick)
{
	return prof_labels(tl->p, piles[tl->ticks[tick].pile].labels)->thread;
}

int timeline_init(struct timeline *tl, const struct prof *p)
{
	const struct prof_stats *st = prof_stats(p);
	const struct prof_pile *piles;
	size_t n, npiles;

	*tl = (struct timeline){.p = p, .period = 1};
	if (st->unit == PROF_SAMPLES)
		tl->period = 1000000000u / (st->rate ? st->rate : 1);
	tl->threads = prof_threads(p, &tl->nthreads);
	tl->ticks = prof_ticks(p, &n);
	piles = prof_piles(p, &npiles);
	tl->order = calloc(n + 1, sizeof(*tl->order));
	tl->from = calloc(tl->nthreads + 2, sizeof(*tl->from));
	if (!tl->order || !tl->from) {
		timeline_release(tl);
		return -ENOMEM;
	}
	/* from[t + 2] counts, then from[t + 1] is where t's next one goes, and so its end at last.
	 */
	for (size_t i = 0; i < n; i++)
		tl->from[thread_of(tl, piles, i) + 2]++;
	for (size_t t = 1; t < tl->nthreads; t++)
		tl->from[t + 1] += tl->from[t];
	for (size_t i = 0; i < n; i++)
		tl->order[tl->from[thread_of(tl, piles, i) + 1]++] = (uint32_t)i;
	return 0;
}

void timeline_release(struct timeline *tl)
{
	free(tl->order);
	free(tl->from);
	tl->order = NULL;
	tl->from = NULL;
}

void timeline_name(const struct timeline *tl, size_t thread, char *out, size_t size)
{
	const struct prof_thread *t = &tl->threads[thread];
	int vms = 0;
	size_t n;

	for (size_t i = 0; i < tl->nthreads; i++)
		vms |= tl->threads[i].pid == t->pid && tl->threads[i].vm != t->vm;
	n = (size_t)snprintf(out, size, "%.*s %" PRIu32, (int)size / 2, *t->comm ? t->comm : "?",
			     t->pid);
	if (t->tid != t->pid && n < size)
		n += (size_t)snprintf(out + n, size - n, " thread %" PRIu32, t->tid);
	if (vms && n < size)
		snprintf(out + n, size - n, t->vm ? " VM %" PRIu32 : " no VM", t->vm);
}

int stack_frames_of(struct stack_frames *s, const struct prof *p, uint32_t stack)
{
	uint32_t depth = 0;

	for (uint32_t i = stack; i; i = prof_parent(p, i))
		depth++;
	if (depth > s->cap) {
		uint32_t *frame = table_room(s->frame, &s->cap, depth, sizeof(*frame));

		if (!frame)
			return -ENOMEM;
		s->frame = frame;
	}
	s->n = depth;
	for (uint32_t i = stack; i; i = prof_parent(p, i))
		s->frame[--depth] = prof_stack(p, i)->frame;
	return 0;
}
