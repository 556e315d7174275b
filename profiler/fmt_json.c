/* SPDX-License-Identifier: MIT */
/*
 * All that is in the profile, as JSON: tui/schema/ljx.profile.1.json says how. Stacks are a tree of
 * nodes that name their parent, samples are counts of (stack, thread, VM, state, trace).
 */
#include "profiler/jsonw.h"
#include "profiler/write.h"

static const char *kind_name(enum prof_kind kind)
{
	static const char *const names[] = {
	    [PROF_ROOT] = "root", [PROF_PROCESS] = "split", [PROF_LUA] = "lua",
	    [PROF_LINE] = "line", [PROF_TRACE] = "trace",   [PROF_C] = "c",
	    [PROF_VM] = "vm",	  [PROF_KERNEL] = "kernel", [PROF_GC] = "gc",
	    [PROF_JIT] = "jit",	  [PROF_OTHER] = "other",
	};

	return names[kind];
}

static void put_facts(struct jsonw *w, const struct prof *p, const struct write_info *info)
{
	const struct prof_stats *st = prof_stats(p);

	jw_string(w, "schema", "ljx.profile/1");
	jw_clean(w, "version", info->version ? info->version : "?");
	jw_clean(w, "title", info->title ? info->title : "");
	jw_clean(w, "command", info->command ? info->command : "");
	jw_string(w, "builds", prof_builds(p));
	jw_uint(w, "rate", st->rate);
	jw_uint(w, "start_realtime_ns", st->start_realtime);
	jw_uint(w, "first_ns", st->samples ? st->first_time - st->start_time : 0);
	jw_uint(w, "last_ns", st->samples ? st->last_time - st->start_time : 0);
	jw_uint(w, "samples", st->samples);
	jw_uint(w, "lost", st->lost);
	jw_uint(w, "with_lua", st->with_lua);
	jw_uint(w, "kernel", st->kernel);
	jw_uint(w, "truncated", st->truncated);
	jw_uint(w, "undefined", st->undefined);
	jw_uint(w, "crowded", st->crowded);
	jw_newline(w);
}

static void put_frames(struct jsonw *w, const struct prof *p)
{
	jw_begin(w, "frames", '[');
	for (uint32_t i = 0; i < prof_frames(p); i++) {
		const struct prof_frame *f = prof_frame(p, i);

		jw_newline(w);
		jw_begin(w, NULL, '{');
		jw_string(w, "kind", kind_name(f->kind));
		jw_string(w, "label", f->label);
		jw_string(w, "name", f->name);
		jw_string(w, "file", f->file);
		jw_int(w, "line", f->line);
		jw_end(w, '}');
	}
	jw_end(w, ']');
}

static void put_stacks(struct jsonw *w, const struct prof *p)
{
	jw_begin(w, "stacks", '[');
	for (uint32_t i = 0; i < prof_stacks(p); i++) {
		const struct prof_node *n = prof_stack(p, i);

		jw_newline(w);
		jw_begin(w, NULL, '{');
		jw_uint(w, "parent", prof_parent(p, i));
		jw_uint(w, "frame", n->frame);
		jw_uint(w, "self", n->self);
		jw_uint(w, "total", n->total);
		jw_bool(w, "inlined", (int)n->inlined);
		jw_end(w, '}');
	}
	jw_end(w, ']');
}

static void put_threads(struct jsonw *w, const struct prof *p)
{
	size_t n;
	const struct prof_thread *t = prof_threads(p, &n);

	jw_begin(w, "threads", '[');
	for (size_t i = 0; i < n; i++) {
		jw_newline(w);
		jw_begin(w, NULL, '{');
		jw_uint(w, "pid", t[i].pid);
		jw_uint(w, "tid", t[i].tid);
		jw_uint(w, "vm", t[i].vm);
		jw_string(w, "comm", t[i].comm);
		jw_uint(w, "samples", t[i].samples);
		jw_end(w, '}');
	}
	jw_end(w, ']');
}

static void put_counts(struct jsonw *w, const struct prof *p)
{
	size_t n;
	const struct prof_pile *piles = prof_piles(p, &n);

	jw_begin(w, "counts", '[');
	for (size_t i = 0; i < n; i++) {
		const struct prof_labels *l = prof_labels(p, piles[i].labels);

		jw_newline(w);
		jw_begin(w, NULL, '{');
		jw_uint(w, "stack", piles[i].stack);
		jw_uint(w, "thread", l->thread);
		jw_uint(w, "vm", l->vm);
		jw_string(w, "state", prof_state_name(l->state));
		jw_uint(w, "trace", l->trace);
		jw_string(w, "phase", prof_phase(l->inside));
		jw_uint(w, "samples", piles[i].count);
		jw_end(w, '}');
	}
	jw_end(w, ']');
}

static void put_lines(struct jsonw *w, const struct write_source *s)
{
	jw_begin(w, "lines", '[');
	for (size_t i = 0; i < s->nhits; i++) {
		const struct write_hit *hit = &s->hits[i];

		jw_newline(w);
		jw_begin(w, NULL, '{');
		jw_int(w, "line", hit->line);
		jw_uint(w, "self", hit->self);
		jw_uint(w, "total", hit->total);
		jw_uint(w, "compiled", hit->by[PROF_GROUP_N]);
		jw_uint(w, "interpreted", hit->by[PROF_GROUP_I]);
		jw_end(w, '}');
	}
	jw_end(w, ']');
}

static void put_sources(struct jsonw *w, const struct write_info *info)
{
	jw_begin(w, "sources", '[');
	for (size_t i = 0; i < info->nsources; i++) {
		const struct write_source *s = &info->sources[i];

		jw_newline(w);
		jw_begin(w, NULL, '{');
		jw_string(w, "file", s->file);
		jw_string(w, "status", s->status);
		if (s->text)
			jw_string(w, "text", s->text);
		put_lines(w, s);
		jw_end(w, '}');
	}
	jw_end(w, ']');
}

int write_json(FILE *f, const struct prof *p, const struct write_info *info)
{
	struct jsonw w = {.f = f};

	jw_begin(&w, NULL, '{');
	put_facts(&w, p, info);
	put_frames(&w, p);
	put_stacks(&w, p);
	put_threads(&w, p);
	put_counts(&w, p);
	if (info->nsources)
		put_sources(&w, info);
	jw_end(&w, '}');
	jw_newline(&w);
	return write_end(f, 0);
}
