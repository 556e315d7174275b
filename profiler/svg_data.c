/* SPDX-License-Identifier: MIT */
/*
 * What svg.js makes other views from: frames as [label, kind, hue, heat, note], stacks as pairs
 * (how many before it its parent is, twice the frame, one more if it is inlined) from the root on,
 * piles as (stack, process, group, count). With embedded source frames have [source, line] besides,
 * and sources are [file, status, text or null, numbers of lines]: (line, self, total, compiled,
 * interpreted) each.
 */
#include "profiler/jsonw.h"
#include "profiler/svg.h"

#include <inttypes.h>

static void put_frames(struct jsonw *w, const struct picture *pic, const struct prof *p)
{
	jw_begin(w, "frames", '[');
	for (uint32_t i = 0; i < prof_frames(p); i++) {
		const struct prof_frame *f = prof_frame(p, i);
		double cost = pic->cost ? pic->cost[i] : 0;
		char note[64] = "";

		if (cost > 0)
			snprintf(note, sizeof(note), "aborts cost %d.%d%%", (int)cost,
				 (int)(cost * 10) % 10);
		jw_newline(w);
		jw_begin(w, NULL, '[');
		jw_string(w, NULL, f->label);
		jw_string(w, NULL, (char[2]){svg_kind(f), 0});
		jw_int(w, NULL, svg_hue(f));
		jw_uint(w, NULL, svg_heat(cost));
		jw_string(w, NULL, note);
		if (pic->info->nsources) {
			const struct write_source *s = write_source_of(pic->info, f->file);

			jw_int(w, NULL, s ? s - pic->info->sources : -1);
			jw_int(w, NULL, f->line);
		}
		jw_end(w, ']');
	}
	jw_end(w, ']');
}

static void put_processes(struct jsonw *w, const struct prof *p)
{
	size_t n;
	const struct prof_process *procs = prof_processes(p, &n);

	jw_begin(w, "processes", '[');
	for (size_t i = 0; i < n; i++) {
		char name[128];

		snprintf(name, sizeof(name), "%.100s %" PRIu32, procs[i].comm, procs[i].pid);
		jw_clean(w, NULL, name);
	}
	jw_end(w, ']');
}

/* Index of prof_processes(). */
static size_t process_of(const struct prof *p, uint32_t pid)
{
	size_t n, i = 0;
	const struct prof_process *procs = prof_processes(p, &n);

	while (i < n && procs[i].pid != pid)
		i++;
	return i;
}

static unsigned int group_of(uint32_t state)
{
	uint64_t by_state[EV_STATE_MAX] = {0}, by[PROF_GROUP_MAX];
	unsigned int g = 0;

	by_state[state] = 1;
	prof_groups(by_state, by);
	while (!by[g])
		g++;
	return g;
}

static void put_piles(struct jsonw *w, const struct prof *p)
{
	size_t n, nthreads;
	const struct prof_pile *piles = prof_piles(p, &n);
	const struct prof_thread *threads = prof_threads(p, &nthreads);

	jw_begin(w, "piles", '[');
	for (size_t i = 0; i < n; i++) {
		const struct prof_labels *l = prof_labels(p, piles[i].labels);

		if (i % 16 == 0)
			jw_newline(w);
		jw_uint(w, NULL, piles[i].stack);
		jw_uint(w, NULL, process_of(p, threads[l->thread].pid));
		jw_uint(w, NULL, group_of(l->state));
		jw_uint(w, NULL, piles[i].count);
	}
	jw_end(w, ']');
}

static void put_sources(struct jsonw *w, const struct write_info *info)
{
	jw_begin(w, "sources", '[');
	for (size_t i = 0; i < info->nsources; i++) {
		const struct write_source *s = &info->sources[i];

		jw_newline(w);
		jw_begin(w, NULL, '[');
		jw_string(w, NULL, s->file);
		jw_string(w, NULL, s->status);
		if (s->text)
			jw_string(w, NULL, s->text);
		else
			jw_null(w, NULL);
		jw_begin(w, NULL, '[');
		for (size_t k = 0; k < s->nhits; k++) {
			const struct write_hit *hit = &s->hits[k];

			jw_int(w, NULL, hit->line);
			jw_uint(w, NULL, hit->self);
			jw_uint(w, NULL, hit->total);
			jw_uint(w, NULL, hit->by[PROF_GROUP_N]);
			jw_uint(w, NULL, hit->by[PROF_GROUP_I]);
		}
		jw_end(w, ']');
		jw_end(w, ']');
	}
	jw_end(w, ']');
}

int svg_has_data(const struct prof *p)
{
	size_t n;
	const struct prof_pile *piles = prof_piles(p, &n);
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += piles[i].count;
	return n && sum == prof_root(p)->total;
}

void svg_data(const struct picture *pic, const struct prof *p)
{
	struct jsonw w = {.f = pic->f};

	fputs("<metadata class=\"data\"><![CDATA[", pic->f);
	jw_begin(&w, NULL, '{');
	put_frames(&w, pic, p);
	put_processes(&w, p);
	jw_begin(&w, "stacks", '[');
	for (uint32_t i = 0; i < prof_stacks(p); i++) {
		if (i % 16 == 0)
			jw_newline(&w);
		jw_uint(&w, NULL, i - prof_parent(p, i));
		jw_uint(&w, NULL,
			2 * (uint64_t)prof_stack(p, i)->frame + (prof_stack(p, i)->inlined != 0));
	}
	jw_end(&w, ']');
	put_piles(&w, p);
	if (pic->info->nsources)
		put_sources(&w, pic->info);
	jw_end(&w, '}');
	fputs("]]></metadata>\n", pic->f);
}
