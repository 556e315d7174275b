// SPDX-License-Identifier: MIT
/* ljx bt --native: C and Lua in one stack, of each thread that runs while we look. */
#include "tui/bt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 1024
#define SHOWN_MAX 16 /* threads without a stack */
/* A thread that waits for a CPU has a sample after a while; one that sleeps has none. */
#define WAIT_MS 1000
#define STEP_MS 50

/* The latest stack of a thread, a whole one if there was one. */
struct thread {
	uint32_t tid;
	int whole;
	struct ev_native *native; /* owned, as sample */
	struct ev_sample *sample;
};

struct bt_native {
	struct prof *defs;
	struct ev_native *last; /* whose sample is still to come; or NULL */
	struct thread thread[THREADS_MAX];
	size_t n, whole;
};

static int is_whole(const struct ev_native *e)
{
	unsigned int i;

	for (i = e->nkernel; i < e->nwords; i++)
		if (EV_NATIVE_IS_GAP(e->word[i]))
			return 0;
	return e->why == EV_NATIVE_NONE;
}

/* Its place among those that have a stack; b->n: it has none. */
static size_t find(const struct bt_native *b, uint32_t tid)
{
	size_t i;

	for (i = 0; i < b->n && b->thread[i].tid != tid; i++)
		;
	return i;
}

static struct thread *thread_of(struct bt_native *b, uint32_t tid)
{
	size_t i = find(b, tid);

	if (i == THREADS_MAX)
		return NULL;
	if (i == b->n)
		b->thread[b->n++] = (struct thread){.tid = tid};
	return &b->thread[i];
}

/* Takes b->last for the sample that it belongs to. */
static int keep_stack(struct bt_native *b, const struct ev_sample *s)
{
	struct ev_native *e = b->last;
	struct thread *t;
	struct ev_sample *copy;
	int whole;

	if (!e || e->h.time != s->h.time || e->h.tid != s->h.tid)
		return 0;
	t = thread_of(b, s->h.tid);
	whole = is_whole(e);
	if (!t || t->whole > whole)
		return 0;
	copy = bt_copy(&s->h);
	if (!copy)
		return -ENOMEM;
	b->whole += (size_t)(whole - t->whole);
	free(t->native);
	free(t->sample);
	*t = (struct thread){s->h.tid, whole, e, copy};
	b->last = NULL;
	return 0;
}

static int keep(void *ctx, const struct ev_hdr *h)
{
	struct bt_native *b = ctx;

	if (h->kind == EV_SAMPLE)
		return keep_stack(b, (const struct ev_sample *)h);
	if (h->kind != EV_NATIVE)
		return prof_add(b->defs, h);
	free(b->last);
	b->last = bt_copy(h);
	return b->last ? 0 : -ENOMEM;
}

/* Is there a thread without a stack that runs, or would if a CPU were free? */
static int one_is_late(const struct bt_native *b, int pid)
{
	size_t n = 0, i;
	int *tid = proc_threads(pid, &n), late = 0;

	for (i = 0; tid && i < n && !late; i++)
		late = find(b, (uint32_t)tid[i]) == b->n && proc_thread_state(pid, tid[i]) == 'R';
	free(tid);
	return late && b->n < THREADS_MAX;
}

static int sample(const struct options *o, struct bt_native *b, int pid, struct why *why)
{
	struct capture_opts co = {.rate = 999,
				  .layout = o->layout,
				  .native = 1,
				  .inlines = o->inlines,
				  .say = say_unless_quiet,
				  .say_ctx = (void *)(uintptr_t)o};
	struct capture *c;
	int err = capture_new(&co, keep, b, &c, why), ms, done = 0;
	size_t before;

	if (err)
		return err;
	err = capture_add(c, pid, why);
	if (!err)
		err = capture_start(c, why);
	for (ms = 0; ms < WAIT_MS && !err && !done; ms += STEP_MS) {
		before = b->n;
		err = capture_poll(c, STEP_MS);
		done = b->n && b->n == before && b->whole == b->n && !one_is_late(b, pid);
	}
	if (!err)
		err = capture_stop(c);
	capture_free(c);
	return err;
}

/* What is to be said of a thread without a stack. */
static void print_others(const struct bt_native *b, int pid)
{
	size_t n = 0, i, left = 0;
	int *tid = proc_threads(pid, &n);

	for (i = 0; tid && i < n; i++)
		if (find(b, (uint32_t)tid[i]) == b->n && left++ < SHOWN_MAX)
			printf(" thread %d  did not run: no C stack, which is told by a sample "
			       "only\n",
			       tid[i]);
	if (left > SHOWN_MAX)
		printf(" and %zu more threads that did not run\n", left - SHOWN_MAX);
	free(tid);
}

static int show(const struct options *o, struct prof *defs, const struct thread *t,
		struct json_t *list)
{
	const struct prof_frame *f[BT_FRAMES];
	const struct ev_sample *s = t->sample;
	size_t n;
	int err = prof_add(defs, &t->native->h);

	if (!err)
		err = prof_add(defs, &s->h);
	if (!err)
		err = prof_finish(defs);
	if (err)
		return err;
	n = bt_path(defs, f, BT_FRAMES);
	if (!o->json) {
		printf(" thread %" PRIu32 "  %s%s\n", t->tid, state_name(s->state),
		       t->whole ? "" : ", not down to the bottom");
		bt_print_frames(f, n);
		return prof_reset(defs);
	}
	json_array_append_new(list, json_pack("{s:i,s:i,s:s,s:b,s:o}", "pid", (int)s->h.pid, "tid",
					      (int)t->tid, "state", state_name(s->state), "whole",
					      t->whole, "frames", bt_json_frames(f, n)));
	return prof_reset(defs);
}

int bt_native(const struct options *o, int pid, json_t *list, struct why *why)
{
	struct prof_opts po = {.lines = !o->json || o->lines};
	struct bt_native *b = calloc(1, sizeof(*b));
	int err = 0;
	size_t i;

	if (b)
		b->defs = prof_new(&po);
	if (!b || !b->defs)
		err = why_set(why, WHY_INTERNAL, -ENOMEM, "out of memory");
	else
		err = sample(o, b, pid, why);
	for (i = 0; b && i < b->n && !err; i++)
		err = show(o, b->defs, &b->thread[i], list);
	if (!err && !o->json)
		print_others(b, pid);
	for (i = 0; b && i < b->n; i++) {
		free(b->thread[i].native);
		free(b->thread[i].sample);
	}
	if (b) {
		free(b->last);
		prof_free(b->defs);
	}
	free(b);
	return err;
}
