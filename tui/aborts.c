// SPDX-License-Identifier: MIT
/*
 * The join of profiles with the trace recorder's events: what is to be said about an event, and
 * what the places where recordings fail cost.
 */
#include "profiler/table.h"
#include "tui/ljx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct aborts {
	struct jt *jt;
	int costs;	   /* samples are wanted, too */
	struct pool sites; /* serial numbers of jt's: a number for each in labels */
};

struct aborts *aborts_new(uint32_t pid, int costs)
{
	struct aborts *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->costs = costs;
	a->jt = jt_new(&(struct jt_opts){.pid = pid});
	if (!a->jt) {
		free(a);
		a = NULL;
	}
	return a;
}

void aborts_free(struct aborts *a)
{
	if (!a)
		return;
	jt_free(a->jt);
	pool_release(&a->sites);
	free(a);
}

static int tell(struct aborts *a, const struct ev_trace *ev, uint64_t times, uint64_t first,
		struct prof *const profs[2])
{
	struct prof_about about = {.times = times, .first = first};
	struct jt_event e;
	int err = 0;

	jt_describe(a->jt, ev, &e);
	about.start = e.start;
	about.end = e.end;
	about.reason = e.reason;
	if (ev->type == EV_TRACE_ABORT) {
		about.site = e.site ? pool_add(&a->sites, &e.site, sizeof(e.site)) : 0;
		if (e.site && !about.site)
			return -ENOMEM;
	}
	for (int i = 0; i < 2 && !err; i++)
		if (profs[i])
			err = prof_event(profs[i], ev, &about);
	return err;
}

int aborts_add(struct aborts *a, const struct ev_hdr *h, struct prof *const profs[2])
{
	const struct ev_tally *tally = (const struct ev_tally *)(const void *)h;
	struct ev_trace like;
	int err;

	if (h->kind == EV_SAMPLE && !a->costs)
		return 0;
	err = jt_add(a->jt, h);
	if (!err && h->kind == EV_TRACE)
		err = tell(a, (const struct ev_trace *)(const void *)h, 1, 0, profs);
	if (!err && h->kind == EV_TALLY && tally->count) {
		like = tally->like;
		like.h = *h;
		like.h.kind = EV_TRACE;
		like.h.size = sizeof(like);
		like.h.time = tally->last;
		like.nframes = 0;
		err = tell(a, &like, tally->count, tally->first, profs);
	}
	return err;
}

/* A site without events has no stack, but it may cost most: 11 failures, and then it is given up.
 */
static int tell_unseen(const struct jt_site *s, uint32_t id, struct prof *p)
{
	char start[JT_TEXT], reason[JT_TEXT + 16];
	size_t n;
	const struct prof_process *proc = prof_processes(p, &n);
	struct prof_about about = {.start = start, .reason = reason, .site = id, .times = 1};

	jt_loc_format(&s->start, start, sizeof(start));
	snprintf(reason, sizeof(reason), "%s%s", s->reason, s->inferred ? " (inferred)" : "");
	return prof_unseen(p, s->nprocs ? s->proc[0].pid : n == 1 ? proc->pid : 0, &about);
}

int aborts_weigh(struct aborts *a, struct prof *p)
{
	const struct prof_stats *st = prof_stats(p);
	double ms = st->rate ? 10.0 / st->rate : 0; /* of a percent of one sample */
	uint64_t samples = jt_costs(a->jt, 0)->all.samples;
	size_t n;
	const struct jt_site *s = jt_sites(a->jt, 0, &n);
	double *weight;
	int err = 0;

	if (!s)
		return -ENOMEM;
	/* Each is new here at most once, so there are no more numbers than this. */
	weight = calloc(a->sites.n + n + 1, sizeof(*weight));
	if (!weight)
		return -ENOMEM;
	for (size_t i = 0; i < n && !err; i++) {
		uint32_t id;

		if (s[i].kind != JT_SITE_ABORT || !(s[i].cost > 0))
			continue;
		id = pool_add(&a->sites, &s[i].serial, sizeof(s[i].serial));
		err = !id ? -ENOMEM : s[i].count ? 0 : tell_unseen(&s[i], id, p);
		/* Of a site that no event tells of there is one abort now. */
		weight[id] = s[i].cost * ms * (double)samples / (double)(s[i].count + !s[i].count);
	}
	prof_weigh(p, weight, a->sites.n);
	free(weight);
	return err ? err : prof_finish(p);
}

struct write_cost *aborts_costs(struct aborts *a, size_t *n)
{
	size_t nsites;
	const struct jt_site *s = jt_sites(a->jt, 0, &nsites);
	struct write_cost *costs = s ? calloc(nsites + 1, sizeof(*costs)) : NULL;

	*n = 0;
	for (size_t i = 0; costs && i < nsites; i++)
		if (s[i].kind == JT_SITE_ABORT && s[i].start.kind == JT_LOC_LUA && s[i].cost > 0)
			costs[(*n)++] = (struct write_cost){.file = s[i].start.file,
							    .line = s[i].start.firstline,
							    .percent = s[i].cost};
	return costs;
}
