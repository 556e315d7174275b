/* SPDX-License-Identifier: MIT */
/* The trace recorder's events as markers: recordings that were given up, with their stacks. */
#include "profiler/firefox.h"

#include <errno.h>
#include <stdlib.h>

/* The timeline of an event: of its thread, or of its process if that was never sampled. */
static size_t thread_of(const struct firefox *ff, const struct prof_event *e)
{
	size_t best = 0;

	for (size_t i = 0; i < ff->tl.nthreads; i++) {
		const struct prof_thread *t = &ff->tl.threads[i];

		if (t->pid == e->pid && t->tid == e->tid)
			return i;
		if (t->pid == e->pid && ff->tl.threads[best].pid != e->pid)
			best = i;
	}
	return best;
}

void firefox_events(struct firefox *ff)
{
	ff->events = prof_events(ff->p, &ff->nevents);
	ff->first = calloc(ff->tl.nthreads + 1, sizeof(*ff->first));
	ff->next = calloc(ff->nevents + 1, sizeof(*ff->next));
	if (!ff->first || !ff->next) {
		ff->err = -ENOMEM;
		return;
	}
	for (size_t i = ff->tl.nthreads ? ff->nevents : 0; i--;) {
		size_t thread = thread_of(ff, &ff->events[i]);

		ff->next[i] = ff->first[thread];
		ff->first[thread] = (uint32_t)i + 1;
	}
}

void firefox_range(struct firefox *ff)
{
	const struct prof_stats *st = prof_stats(ff->p);
	uint64_t from = st->first_time, to = st->last_time + ff->tl.period;

	if (!st->samples)
		return;
	for (size_t i = 0; i < ff->nevents; i++) {
		const struct prof_event *e = &ff->events[i];
		uint64_t began = e->began ? e->began : e->time;

		if (began < from && began >= st->start_time)
			from = began;
		if (e->time > to)
			to = e->time;
	}
	jw_fixed(&ff->w, "profilingStartTime", from - st->start_time, 6);
	jw_fixed(&ff->w, "profilingEndTime", to - st->start_time, 6);
}

static void put_payload(struct firefox *ff, const struct prof_event *e)
{
	struct jsonw *w = &ff->w;

	jw_begin(w, NULL, '{');
	jw_string(w, "type", e->type == EV_TRACE_FLUSH ? "flush" : "trace");
	jw_string(w, "reason", e->reason);
	jw_string(w, "start", e->start);
	jw_string(w, "end", e->end);
	jw_uint(w, "trace", e->trace);
	jw_uint(w, "count", e->count);
	if (e->stack) {
		jw_begin(w, "cause", '{');
		jw_fixed(w, "time", e->time - prof_stats(ff->p)->start_time, 6);
		jw_uint(w, "stack", e->stack - 1);
		jw_end(w, '}');
	}
	jw_end(w, '}');
}

static const char *marker_name(const struct prof_event *e)
{
	return e->type == EV_TRACE_FLUSH  ? "trace flush"
	       : e->type == EV_TRACE_STOP ? "trace compiled"
	       : e->count > 1		  ? "trace aborts"
					  : "trace abort";
}

enum { MARKER_NAME, MARKER_START, MARKER_END, MARKER_PHASE };

/* One column. A recording lasts from its start to its end, other events are a moment. */
static size_t put_marker_column(struct firefox *ff, uint32_t first, const char *key, int what)
{
	uint64_t start = prof_stats(ff->p)->start_time;
	struct jsonw *w = &ff->w;
	size_t n = 0;

	jw_begin(w, key, '[');
	for (uint32_t i = first; i; i = ff->next[i - 1], n++) {
		const struct prof_event *e = &ff->events[i - 1];

		if (what == MARKER_NAME)
			jw_uint(w, NULL, firefox_string(ff, marker_name(e)));
		else if (what == MARKER_START)
			jw_fixed(w, NULL, (e->began ? e->began : e->time) - start, 6);
		else if (what == MARKER_PHASE)
			jw_uint(w, NULL, e->began ? 1 : 0);
		else if (e->began)
			jw_fixed(w, NULL, e->time - start, 6);
		else
			jw_null(w, NULL);
	}
	jw_end(w, ']');
	return n;
}

void firefox_markers(struct firefox *ff, size_t thread)
{
	uint32_t first = ff->first[thread];
	struct jsonw *w = &ff->w;
	char category[4];
	size_t n;

	snprintf(category, sizeof(category), "%d", CAT_RECORD);
	jw_begin(w, "markers", '{');
	jw_begin(w, "data", '[');
	for (uint32_t i = first; i; i = ff->next[i - 1])
		put_payload(ff, &ff->events[i - 1]);
	jw_end(w, ']');
	n = put_marker_column(ff, first, "name", MARKER_NAME);
	put_marker_column(ff, first, "startTime", MARKER_START);
	put_marker_column(ff, first, "endTime", MARKER_END);
	put_marker_column(ff, first, "phase", MARKER_PHASE);
	firefox_same(w, "category", category, n);
	firefox_length(w, n);
}

/* What the page shows of a kind of markers. */
static void put_schema(struct jsonw *w, const char *name, const char *label)
{
	static const char *const fields[][3] = {{"reason", "Reason", "string"},
						{"start", "Start", "string"},
						{"end", "End", "string"},
						{"trace", "Trace", "integer"},
						{"count", "Times", "integer"}};
	static const char *const display[] = {"marker-chart", "marker-table", "timeline-overview"};

	jw_begin(w, NULL, '{');
	jw_string(w, "name", name);
	jw_string(w, "tableLabel", label);
	jw_string(w, "chartLabel", label);
	jw_begin(w, "display", '[');
	for (size_t i = 0; i < sizeof(display) / sizeof(display[0]); i++)
		jw_string(w, NULL, display[i]);
	jw_end(w, ']');
	jw_begin(w, "fields", '[');
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		jw_begin(w, NULL, '{');
		jw_string(w, "key", fields[i][0]);
		jw_string(w, "label", fields[i][1]);
		jw_string(w, "format", fields[i][2]);
		jw_end(w, '}');
	}
	jw_end(w, ']');
	jw_end(w, '}');
}

void firefox_schemas(struct jsonw *w)
{
	jw_begin(w, "markerSchema", '[');
	put_schema(w, "trace", "{marker.data.start}: {marker.data.reason}");
	put_schema(w, "flush", "all traces");
	jw_end(w, ']');
}
