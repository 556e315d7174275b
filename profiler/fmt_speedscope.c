/* SPDX-License-Identifier: MIT */
/*
 * speedscope's own format: a "sampled" profile for each thread, in order of time. A frame is what
 * its index says, so it has the line where its function is defined; current lines are frames of
 * their own, with --lines. A sample weighs what it stands for, 1/rate of CPU time.
 */
#include "profiler/jsonw.h"
#include "profiler/timeline.h"
#include "profiler/write.h"

#include <stdlib.h>

static void put_frames(struct jsonw *w, const struct prof *p)
{
	jw_begin(w, "shared", '{');
	jw_begin(w, "frames", '[');
	for (uint32_t i = 0; i < prof_frames(p); i++) {
		const struct prof_frame *f = prof_frame(p, i);

		jw_begin(w, NULL, '{');
		jw_string(w, "name", f->label);
		if (*f->file)
			jw_string(w, "file", f->file);
		if (f->line)
			jw_int(w, "line", f->line);
		jw_end(w, '}');
		jw_newline(w);
	}
	jw_end(w, ']');
	jw_end(w, '}');
}

/* From i on, the ticks of one stack: how many there are and what they count. */
static size_t same_stack(const struct timeline *tl, size_t i, size_t end, uint64_t *count)
{
	size_t npiles, n = 0;
	const struct prof_pile *piles = prof_piles(tl->p, &npiles);
	uint32_t stack = piles[timeline_tick(tl, i)->pile].stack;

	*count = 0;
	do
		*count += timeline_tick(tl, i + n++)->count;
	while (i + n < end && piles[timeline_tick(tl, i + n)->pile].stack == stack);
	return n;
}

static int put_samples(struct jsonw *w, const struct timeline *tl, size_t from, size_t to)
{
	struct stack_frames s = {.n = 0};
	size_t npiles;
	const struct prof_pile *piles = prof_piles(tl->p, &npiles);
	uint64_t count;
	int err = 0;

	jw_begin(w, "samples", '[');
	for (size_t i = from; i < to && !err; i += same_stack(tl, i, to, &count)) {
		err = stack_frames_of(&s, tl->p, piles[timeline_tick(tl, i)->pile].stack);
		jw_begin(w, NULL, '[');
		for (uint32_t k = 0; k < s.n && !err; k++)
			jw_uint(w, NULL, s.frame[k]);
		jw_end(w, ']');
	}
	jw_end(w, ']');
	free(s.frame);
	return err;
}

static void put_weights(struct jsonw *w, const struct timeline *tl, size_t from, size_t to)
{
	uint64_t count;

	jw_begin(w, "weights", '[');
	for (size_t i = from; i < to;) {
		i += same_stack(tl, i, to, &count);
		jw_uint(w, NULL, count * tl->period);
	}
	jw_end(w, ']');
}

static int put_profile(struct jsonw *w, const struct timeline *tl, size_t thread)
{
	const struct prof_thread *t = &tl->threads[thread];
	uint64_t start = prof_stats(tl->p)->start_time;
	static const char *const unit[] = {[PROF_SAMPLES] = "nanoseconds",
					   [PROF_ABORTS] = "none",
					   [PROF_LOST_MS] = "milliseconds"};
	char name[256];
	int err;

	timeline_name(tl, thread, name, sizeof(name));
	start = t->first_time > start ? t->first_time - start : 0;
	jw_begin(w, NULL, '{');
	jw_string(w, "type", "sampled");
	jw_string(w, "name", name);
	jw_string(w, "unit", unit[prof_stats(tl->p)->unit]);
	jw_uint(w, "startValue", start);
	jw_uint(w, "endValue", start + t->samples * tl->period);
	err = put_samples(w, tl, tl->from[thread], tl->from[thread + 1]);
	put_weights(w, tl, tl->from[thread], tl->from[thread + 1]);
	jw_end(w, '}');
	jw_newline(w);
	return err;
}

/* A reader takes no file without a profile. */
static void put_nothing(struct jsonw *w)
{
	jw_begin(w, NULL, '{');
	jw_string(w, "type", "sampled");
	jw_string(w, "name", "no samples");
	jw_string(w, "unit", "nanoseconds");
	jw_uint(w, "startValue", 0);
	jw_uint(w, "endValue", 0);
	jw_begin(w, "samples", '[');
	jw_end(w, ']');
	jw_begin(w, "weights", '[');
	jw_end(w, ']');
	jw_end(w, '}');
}

/* The thread that is shown first. */
static size_t busiest(const struct timeline *tl)
{
	size_t best = 0;

	for (size_t i = 1; i < tl->nthreads; i++)
		if (tl->threads[i].samples > tl->threads[best].samples)
			best = i;
	return best;
}

int write_speedscope(FILE *f, const struct prof *p, const struct write_info *info)
{
	struct jsonw w = {.f = f};
	struct timeline tl;
	char exporter[64];
	int err = timeline_init(&tl, p);

	if (err)
		return err;
	snprintf(exporter, sizeof(exporter), "ljx@%s", info->version ? info->version : "?");
	jw_begin(&w, NULL, '{');
	jw_string(&w, "$schema", "https://www.speedscope.app/file-format-schema.json");
	jw_clean(&w, "exporter", exporter);
	jw_clean(&w, "name", info->title ? info->title : "ljx");
	jw_uint(&w, "activeProfileIndex", busiest(&tl));
	put_frames(&w, p);
	jw_begin(&w, "profiles", '[');
	for (size_t i = 0; i < tl.nthreads && !err; i++)
		err = put_profile(&w, &tl, i);
	if (!tl.nthreads)
		put_nothing(&w);
	jw_end(&w, ']');
	jw_end(&w, '}');
	jw_newline(&w);
	timeline_release(&tl);
	return write_end(f, err);
}
