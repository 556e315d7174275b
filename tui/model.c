// SPDX-License-Identifier: MIT
#include "tui/model.h"

#include "bpf/rec.h"
#include "tui/arena.h"
#include "tui/keep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int model_init(struct model *m, const struct model_opts *o)
{
	struct prof_opts po = {.lines = o->lines, .split = o->split, .pid = o->pid};
	struct jt_opts jo = {.pid = o->pid};

	memset(m, 0, sizeof(*m));
	m->opts = *o;
	m->pic.own_cpu = -1;
	m->last_status = -1;
	m->prof = prof_new(&po);
	m->pick = m->prof ? pick_new(m->prof, MODEL_WINDOW * MODEL_SECOND) : NULL;
	m->lines = m->prof ? lines_new(m->prof) : NULL;
	m->ips = m->prof ? ips_new(m->prof, MODEL_WINDOW * MODEL_SECOND) : NULL;
	m->jt = jt_new(&jo);
	m->keep = keep_new(KEEP_EVENTS, KEEP_DEFS);
	m->arena = arena_new();
	m->timeline = calloc(MODEL_TIMELINE, sizeof(*m->timeline));
	if (m->pick && m->lines && m->ips && m->jt && m->keep && m->arena && m->timeline) {
		lines_window(m->lines, MODEL_WINDOW * MODEL_SECOND);
		return 0;
	}
	model_release(m);
	return -ENOMEM;
}

void model_release(struct model *m)
{
	size_t i;

	for (i = 0; i < MODEL_LOG; i++)
		free(m->log[i]);
	free(m->timeline);
	arena_free(m->arena);
	keep_free(m->keep);
	jt_free(m->jt);
	ips_free(m->ips);
	lines_free(m->lines);
	pick_free(m->pick);
	prof_free(m->prof);
	memset(m, 0, sizeof(*m));
}

/* ---- the timeline ---- */

static struct model_second *second_at(struct model *m, uint64_t time)
{
	uint64_t second = time / MODEL_SECOND;
	struct model_second *s = &m->timeline[second % MODEL_TIMELINE];

	if (s->second != second)
		*s = (struct model_second){.second = second};
	return s;
}

static int is_nyi(const struct jt_event *e)
{
	return e->err == ERR_NYIBC || e->err == ERR_NYIFF || e->err == ERR_NYIFFU ||
	       e->err == ERR_NYICALL;
}

static void count(struct model *m, const struct ev_trace *ev, const struct jt_event *e)
{
	struct model_second *s = second_at(m, ev->h.time);

	switch (ev->type) {
	case EV_TRACE_START:
		s->starts++;
		break;
	case EV_TRACE_STOP:
		s->stops++;
		s->stitches += ev->kind == EV_TRACE_STITCHED;
		break;
	case EV_TRACE_ABORT:
		s->aborts++;
		s->nyi += (uint32_t)is_nyi(e);
		break;
	case EV_TRACE_FLUSH:
		s->flushes++;
		s->dropped += e->dropped;
		s->cause = ev->cause;
		break;
	default:
		break;
	}
}

struct model_second model_second(const struct model_picture *pic, uint64_t second)
{
	const struct model_second *s = &pic->timeline[second % MODEL_TIMELINE];

	return s->second == second ? *s : (struct model_second){.second = second};
}

struct model_second model_rate(const struct model_picture *pic, unsigned int seconds)
{
	uint64_t now = pic->time / MODEL_SECOND, i;
	struct model_second sum = {.second = now};

	for (i = 1; i <= seconds && i <= now; i++) {
		struct model_second s = model_second(pic, now - i);

		sum.starts += s.starts;
		sum.stops += s.stops;
		sum.aborts += s.aborts;
		sum.nyi += s.nyi;
		sum.stitches += s.stitches;
		sum.flushes += s.flushes;
		sum.dropped += s.dropped;
	}
	return sum;
}

/* ---- the log ---- */

/* In one piece with its strings, which follow it. */
static struct model_line *new_line(const struct jt_loc *at, const char *text)
{
	int lua = at && at->kind == JT_LOC_LUA;
	const char *file = lua ? at->file : "", *name = lua ? at->name : "";
	size_t lf = strlen(file) + 1, ln = strlen(name) + 1, lt = strlen(text) + 1;
	struct model_line *l = calloc(1, sizeof(*l) + lf + ln + lt);
	char *s;

	if (!l)
		return NULL;
	s = (char *)(l + 1);
	l->file = memcpy(s, file, lf);
	l->name = memcpy(s + lf, name, ln);
	l->text = memcpy(s + lf + ln, text, lt);
	if (lua) {
		l->line = at->line;
		l->firstline = at->firstline;
		l->lastline = at->lastline;
	}
	return l;
}

static int log_add(struct model *m, struct model_line *l)
{
	struct model_line **slot = &m->log[(m->nlog + 1) % MODEL_LOG];

	if (!l)
		return -ENOMEM;
	l->id = ++m->nlog;
	free(*slot);
	*slot = l;
	return 0;
}

/* Have there been so many lines in this second that further ones are only counted? */
static int log_is_full(struct model *m, uint64_t time)
{
	struct model_line *newest = m->log[m->nlog % MODEL_LOG];
	const struct model_line *l;

	if (!newest || m->nlog <= MODEL_LOG_RATE)
		return 0;
	l = model_line(m, m->nlog + 1 - MODEL_LOG_RATE);
	if (!l || l->time + MODEL_SECOND < time)
		return 0;
	newest->skipped++;
	return 1;
}

static int log_trace(struct model *m, const struct ev_trace *ev, const struct jt_event *e)
{
	char text[JT_LINE];
	struct model_line *l;

	if (log_is_full(m, ev->h.time) || !jt_format(m->jt, ev, JT_PLAIN, text, sizeof(text)))
		return 0;
	l = new_line(ev->type == EV_TRACE_ABORT ? &e->end_at : &e->start_at, text);
	if (l) {
		l->time = ev->h.time;
		l->type = ev->type;
		l->pid = ev->h.pid;
		l->trace = ev->type == EV_TRACE_FLUSH ? 0 : ev->trace;
	}
	return log_add(m, l);
}

__attribute__((format(printf, 3, 4))) static int log_note(struct model *m, const struct ev_hdr *h,
							  const char *fmt, ...)
{
	char text[512];
	struct model_line *l;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l = new_line(NULL, text);
	if (l) {
		l->time = h->time;
		l->pid = h->pid;
	}
	return log_add(m, l);
}

const struct model_line *model_line(const struct model *m, uint64_t id)
{
	const struct model_line *l = m->log[id % MODEL_LOG];

	return id && l && l->id == id ? l : NULL;
}

void model_clock(const struct model *m, uint64_t time, char buf[32])
{
	uint64_t real = jt_realtime(m->jt, time);
	time_t t = (time_t)(real / MODEL_SECOND);
	char clock[16];
	struct tm tm;

	if (real && localtime_r(&t, &tm) && strftime(clock, sizeof(clock), "%H:%M:%S", &tm))
		snprintf(buf, 32, "%s.%03u", clock, (unsigned int)(real % MODEL_SECOND / 1000000));
	else
		snprintf(buf, 32, "%.3f", time > m->first ? (double)(time - m->first) / 1e9 : 0);
}

/* ---- records ---- */

static int trace_record(struct model *m, const struct ev_trace *ev)
{
	struct jt_event e;

	if (ev->type < EV_TRACE_START || ev->type > EV_TRACE_FLUSH ||
	    (m->opts.pid && m->opts.pid != ev->h.pid))
		return 0;
	jt_describe(m->jt, ev, &e);
	count(m, ev, &e);
	return ev->type == EV_TRACE_START ? 0 : log_trace(m, ev, &e);
}

/* Events of a storm that were only counted. */
static int tally_record(struct model *m, const struct ev_tally *t)
{
	struct model_second *s = second_at(m, t->h.time);
	struct model_line *l = NULL;
	char text[JT_LINE];
	struct jt_event e;

	if (m->opts.pid && m->opts.pid != t->h.pid)
		return 0;
	jt_describe(m->jt, &t->like, &e);
	s->starts += (uint32_t)t->starts;
	if (t->like.type == EV_TRACE_ABORT) {
		s->aborts += (uint32_t)t->count;
		s->nyi += is_nyi(&e) ? (uint32_t)t->count : 0;
	}
	if (log_is_full(m, t->h.time) || !jt_format_tally(m->jt, t, text, sizeof(text)))
		return 0;
	l = new_line(&e.end_at, text);
	if (l) {
		l->time = t->h.time;
		l->type = EV_TRACE_ABORT;
		l->pid = t->h.pid;
	}
	return log_add(m, l);
}

static int process_record(struct model *m, const struct ev_hdr *h)
{
	const struct ev_exit *x = (const void *)h;

	switch (h->kind) {
	case EV_PROC:
		if (!m->first_pid) {
			m->first_pid = h->pid;
			snprintf(m->comm, sizeof(m->comm), "%s", rec_str(h, 0));
		}
		return log_note(m, h, "%u process %s", h->pid, rec_str(h, 0));
	case EV_EXEC:
		return log_note(m, h, "%u exec", h->pid);
	case EV_EXIT:
		m->exited++;
		m->last_status = x->status;
		if (x->status < 0)
			return log_note(m, h, "%u exited", h->pid);
		return log_note(m, h, "%u exited, %s %d", h->pid,
				x->status & 0x7f ? "signal" : "code",
				x->status & 0x7f ? x->status & 0x7f : x->status >> 8 & 0xff);
	default:
		return 0;
	}
}

int model_record(void *ctx, const struct ev_hdr *h)
{
	struct model *m = ctx;
	int err = pick_add(m->pick, h);

	if (h->time > m->now)
		m->now = h->time;
	if (!m->first)
		m->first = m->since = h->time;
	if (!err)
		err = lines_add(m->lines, h);
	m->loops_known |= h->kind == EV_SNAPS;
	if (!err)
		err = ips_add(m->ips, h);
	if (!err)
		err = jt_add(m->jt, h);
	if (!err)
		err = keep_add(m->keep, h);
	if (err)
		return err;
	if (h->kind == EV_TRACE)
		return trace_record(m, (const void *)h);
	return h->kind == EV_TALLY ? tally_record(m, (const void *)h) : process_record(m, h);
}

int model_split(struct model *m, unsigned int split)
{
	int err = pick_split(m->pick, split);

	if (!err)
		m->opts.split = split;
	return err;
}

void model_reset(struct model *m)
{
	pick_reset(m->pick);
	lines_reset(m->lines);
	ips_reset(m->ips);
	jt_forget_samples(m->jt);
	m->since = m->now;
}

/* ---- the picture ---- */

static struct jt_loc copy_loc(struct arena *a, const struct jt_loc *loc)
{
	struct jt_loc out = *loc;

	out.file = arena_str(a, loc->file);
	out.name = arena_str(a, loc->name);
	return out;
}

/* A row's further rows; without memory, or when there are too many, it has none. */
static const struct jt_because *copy_because(struct arena *a, const struct jt_site *s)
{
	struct jt_because *to = arena_alloc(a, (s->nbecause + 1) * sizeof(*to));
	uint32_t i;

	for (i = 0; to && i < s->nbecause; i++) {
		to[i] = s->because[i];
		to[i].start = copy_loc(a, &s->because[i].start);
		to[i].reason = arena_str(a, s->because[i].reason);
	}
	return to;
}

static const struct jt_exit *copy_exits(struct arena *a, const struct jt_trace *t)
{
	struct jt_exit *to = arena_alloc(a, (t->nexits + 1) * sizeof(*to));
	uint32_t i;

	for (i = 0; to && i < t->nexits; i++) {
		to[i] = t->exits[i];
		to[i].at = copy_loc(a, &t->exits[i].at);
	}
	return to;
}

static const struct jt_loc *copy_stack(struct arena *a, const struct jt_site *s)
{
	struct jt_loc *to = arena_alloc(a, (s->nstack + 1) * sizeof(*to));
	uint32_t i;

	for (i = 0; to && i < s->nstack; i++)
		to[i] = copy_loc(a, &s->stack[i]);
	return to;
}

static int copy_sites(struct model *m)
{
	struct model_picture *pic = &m->pic;
	const struct jt_site *from;
	size_t i, frames = 0;

	pic->nsites = 0;
	from = jt_sites(m->jt, m->now, &pic->nsites);
	pic->sites = from ? arena_alloc(m->arena, (pic->nsites + 1) * sizeof(*from)) : NULL;
	if (!pic->sites)
		return -ENOMEM;
	for (i = 0; i < pic->nsites; i++) {
		struct jt_site *s = &pic->sites[i];

		*s = from[i];
		s->start = copy_loc(m->arena, &from[i].start);
		s->at = copy_loc(m->arena, &from[i].at);
		s->reason = arena_str(m->arena, from[i].reason);
		s->subject = arena_str(m->arena, from[i].subject);
		frames += s->nstack;
		s->stack = frames <= MODEL_STACKS ? copy_stack(m->arena, &from[i]) : NULL;
		s->nstack = s->stack ? s->nstack : 0;
		s->because = copy_because(m->arena, &from[i]);
		s->nbecause = s->because ? s->nbecause : 0;
	}
	return 0;
}

static int copy_traces(struct model *m)
{
	struct model_picture *pic = &m->pic;
	const struct jt_trace *from;
	size_t i;

	pic->ntraces = 0;
	from = jt_traces(m->jt, &pic->ntraces);
	pic->traces = from ? arena_alloc(m->arena, (pic->ntraces + 1) * sizeof(*from)) : NULL;
	if (!pic->traces)
		return -ENOMEM;
	for (i = 0; i < pic->ntraces; i++) {
		pic->traces[i] = from[i];
		pic->traces[i].start = copy_loc(m->arena, &from[i].start);
		pic->traces[i].end = copy_loc(m->arena, &from[i].end);
		pic->traces[i].exits = copy_exits(m->arena, &from[i]);
		if (!pic->traces[i].exits)
			pic->traces[i].nexits = 0;
		pic->traces[i].comm = arena_str(m->arena, from[i].comm);
	}
	return 0;
}

static int copy_vms(struct model *m)
{
	struct model_picture *pic = &m->pic;
	const struct jt_vm_info *from;
	size_t i;

	pic->nvms = 0;
	from = jt_vms(m->jt, &pic->nvms);
	pic->vms = from ? arena_alloc(m->arena, (pic->nvms + 1) * sizeof(*from)) : NULL;
	if (!pic->vms)
		return -ENOMEM;
	for (i = 0; i < pic->nvms; i++) {
		size_t size = from[i].nparams * sizeof(*from[i].param);
		int32_t *param = arena_alloc(m->arena, size + sizeof(*param));

		if (!param)
			return -ENOMEM;
		pic->vms[i] = from[i];
		pic->vms[i].comm = arena_str(m->arena, from[i].comm);
		pic->vms[i].param = size ? memcpy(param, from[i].param, size) : param;
	}
	return 0;
}

static int copy_contexts(struct model *m)
{
	struct model_picture *pic = &m->pic;
	const struct pick_context *from = pick_contexts(m->pick, &pic->ncontexts);
	size_t size = pic->ncontexts * sizeof(*from);
	void *to = arena_alloc(m->arena, size + 1);

	if (!to)
		return -ENOMEM;
	/* Names are the profile's, which keeps them. */
	pic->contexts = size ? memcpy(to, from, size) : to;
	return 0;
}

static int copy_timeline(struct model *m)
{
	size_t size = MODEL_TIMELINE * sizeof(*m->timeline);
	void *to = arena_alloc(m->arena, size);

	m->pic.timeline = to ? memcpy(to, m->timeline, size) : NULL;
	return to ? 0 : -ENOMEM;
}

int model_select(struct model *m, const struct pick_query *q)
{
	struct model_picture *pic = &m->pic;
	uint64_t from = m->since;

	if (q->recent && pic->time > from + MODEL_WINDOW * MODEL_SECOND)
		from = pic->time - MODEL_WINDOW * MODEL_SECOND;
	pic->seconds = pic->time > from ? (double)(pic->time - from) / 1e9 : 0;
	pic->query = *q;
	pic->generation++;
	ips_choose(m->ips, q->recent, pic->time);
	return pick_select(m->pick, q, &pic->sum);
}

int model_refresh(struct model *m, const struct pick_query *q, uint64_t now)
{
	struct model_picture *pic = &m->pic;
	int err;

	if (now > m->now)
		m->now = now;
	pic->time = m->now;
	pic->age = m->now > m->first ? (double)(m->now - m->first) / 1e9 : 0;
	pick_advance(m->pick, m->now);
	err = pick_labels(m->pick);
	if (!err)
		err = model_select(m, q);
	if (err)
		return err;
	pic->prof = *prof_stats(m->prof);
	pic->lost = pic->prof.lost;
	pic->jit = *jt_stats(m->jt);
	arena_reset(m->arena);
	pic->build = arena_str(m->arena, prof_builds(m->prof));
	err = copy_contexts(m);
	if (!err)
		err = copy_timeline(m);
	if (!err)
		err = copy_vms(m);
	if (!err)
		err = copy_traces(m);
	return err ? err : copy_sites(m);
}
