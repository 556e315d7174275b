// SPDX-License-Identifier: MIT
/* Runs trace events through a tap, from a recording or live. */
#include "bpf/rec.h"
#include "tui/names.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

int jit_tap_init(struct jit_tap *t, const struct options *o, const char *file)
{
	struct why why = {.code = 0};
	struct jt_opts jo;

	memset(t, 0, sizeof(*t));
	t->o = o;
	t->file = file;
	t->pid = file && o->npids ? (uint32_t)o->pid[0] : 0;
	jo.pid = t->pid;
	t->jt = jt_new(&jo);
	if (t->jt)
		return 0;
	why_set(&why, WHY_INTERNAL, -ENOMEM, "out of memory");
	return complain(o, &why);
}

void jit_tap_release(struct jit_tap *t)
{
	const struct jt_stats *s = jt_stats(t->jt);

	if (!t->o->quiet && s->undefined)
		fprintf(stderr, "ljx: %llu events with an undefined part\n",
			(unsigned long long)s->undefined);
	if (!t->o->quiet && s->missed)
		fprintf(stderr,
			"ljx: %llu events do not follow from those before: some are missing\n",
			(unsigned long long)s->missed);
	if (!t->o->quiet && s->tallied)
		fprintf(stderr, "ljx: %llu of %llu trace events are only in the counts\n",
			(unsigned long long)s->tallied,
			(unsigned long long)(s->starts + s->stops + s->aborts + s->flushes));
	if (!t->o->quiet && s->elsewhere)
		fprintf(stderr,
			"ljx: %llu aborts are not in the counts by place: too many places\n",
			(unsigned long long)s->elsewhere);
	jt_free(t->jt);
}

int jit_tap_record(struct jit_tap *t, const struct ev_hdr *h)
{
	int err = jt_add(t->jt, h);

	if (!err && t->record)
		err = t->record(t, h);
	if (h->time > t->now)
		t->now = h->time;
	if (!err && h->kind == EV_TRACE && t->event && !t->done && (!t->pid || t->pid == h->pid))
		t->event(t, (const struct ev_trace *)(const void *)h);
	if (!err && h->kind == EV_TALLY && t->tally && !t->done && (!t->pid || t->pid == h->pid))
		t->tally(t, (const struct ev_tally *)(const void *)h);
	return err;
}

static int replayed(void *ctx, const struct ev_hdr *h)
{
	struct jit_tap *t = ctx;
	int err = jit_tap_record(t, h);

	return err ? err : t->done;
}

static int from_file(const struct options *o, const char *file, struct jit_tap *t)
{
	struct why why = {.code = 0};
	int err = replay(o, file, replayed, t, &why);

	if (err < 0 && !why.code)
		why_set(&why, WHY_INTERNAL, err, "%s", strerror(-err));
	return why.code ? complain(o, &why) : 0;
}

/* The recording that -o names. */
static int open_output(const struct options *o, struct output *out, struct rec_writer **w,
		       struct why *why)
{
	int err;

	if (!o->nouts)
		return 0;
	err = output_open(o, o->out[0], out, why);
	if (!err && (out->format || o->nouts > 1)) {
		output_abort(out);
		why_set(why, WHY_USAGE, -EINVAL, "%s takes one -o FILE.ljx", o->verb);
		return -EINVAL;
	}
	if (!err)
		err = rec_writer_new(out->fd, w);
	return err ? err : output_publish(out, why);
}

/* The storm of events, if there is one. */
struct storm {
	int told;
	double at; /* seconds: when aborts was noted */
	uint64_t aborts;
};

/* Tells once that, and why, not every event is in the stream. */
static void tell_storm(const struct live *l, const struct jit_tap *t, struct storm *s)
{
	const struct jt_stats *now = jt_stats(t->jt);
	double at = live_seconds(l);

	if (now->tallied && !s->told && !l->o->quiet) {
		s->told = 1;
		fprintf(stderr,
			"ljx: %.0f aborts/s: event stream limited to %u/s per location, counters "
			"stay exact\n",
			(double)(now->aborts - s->aborts) / (at > s->at ? at - s->at : 1),
			l->o->limit);
	}
	if (at - s->at >= 1) {
		s->at = at;
		s->aborts = now->aborts;
	}
}

static int loop(struct live *l, struct jit_tap *t, struct rec_writer *w)
{
	double now, end = l->o->duration, flushed = 0, ticked = 0;
	struct storm storm = {.told = 0};
	int more = 1, err = 0;

	while (more > 0 && !stop_requested && !err && !t->done) {
		now = live_seconds(l);
		if (end > 0 && now >= end)
			break;
		more = live_poll(l, 50);
		tell_storm(l, t, &storm);
		if (fflush(stdout)) /* a reader that had enough, like head */
			t->done = 1;
		if (t->tick && now - ticked >= l->o->refresh) {
			t->tick(t);
			ticked = now;
		}
		if (w && now - flushed >= 1) {
			err = rec_flush(w);
			flushed = now;
		}
	}
	if (more < 0)
		err = more;
	if (!err)
		err = live_stop(l);
	tell_storm(l, t, &storm);
	if (!more && !l->o->quiet)
		fprintf(stderr, "ljx: the target exited after %.1f s\n", live_seconds(l));
	return err;
}

/* Would jit.v of the target print other names? */
static void check_tables(const struct live *l)
{
	struct evidence_source src;
	struct tables t;

	if (!l->o->quiet && !l->o->cmd && capture_stats(l->capture)->targets &&
	    !evidence_pid(l->targets.main_pid, &t, &src, NULL))
		vmdef_check(l->targets.main_pid, src.path, &t, 1);
}

static int from_live(const struct options *o, struct jit_tap *t)
{
	unsigned int what =
	    LIVE_TRACES | (t->samples ? LIVE_SAMPLES : 0) | (t->code ? LIVE_CODE : 0);
	struct output out = {.fd = -1};
	struct rec_writer *w = NULL;
	struct why why = {.code = 0};
	struct live l;
	int code, err, lost, child;

	if (open_output(o, &out, &w, &why)) {
		output_abort(&out);
		return complain(o, &why);
	}
	stop_on_signals();
	code = live_start(&l, o, what, w, t);
	if (code) {
		rec_writer_free(w);
		output_abort(&out);
		return o->cmd ? 125 : code;
	}
	check_tables(&l);
	drop_privileges(&l, t->writes); /* the recording has its name already */
	err = loop(&l, t, w);
	lost = rec_writer_free(w);
	if (lost)
		why_set(&why, WHY_INTERNAL, lost, "cannot write '%s': %s", printable(o->out[0]),
			strerror(-lost));
	if (err)
		why_set(&why, WHY_INTERNAL, err, "cannot go on: %s", strerror(-err));
	output_abort(&out);
	live_tell_losses(&l);
	child = targets_wait(&l.targets);
	if (why.code)
		code = complain(o, &why);
	live_free(&l);
	return o->cmd && !code ? child : code;
}

int jit_run(struct jit_tap *t)
{
	return t->file ? from_file(t->o, t->file, t) : from_live(t->o, t);
}

const char *short_place(const struct jt_loc *loc, size_t width)
{
	static char buf[4][JT_TEXT];
	static unsigned int turn;
	char text[JT_TEXT], *d = buf[turn++ % 4];
	const char *s = text, *slash;

	jt_loc_format(loc, text, sizeof(text));
	slash = loc->kind == JT_LOC_LUA && text[0] != '[' ? strrchr(text, '/') : NULL;
	if (slash)
		s = slash + 1;
	if (width && strlen(s) > width)
		snprintf(d, JT_TEXT, "%.*s>", (int)width - 1, s);
	else
		snprintf(d, JT_TEXT, "%s", s);
	return d;
}

struct json_t *json_place(const struct jt_loc *loc)
{
	json_t *j;

	if (loc->kind == JT_LOC_NONE)
		return json_null();
	if (loc->kind == JT_LOC_FUNCTION)
		return json_pack("{s:s}", "function", loc->name);
	j = json_pack("{s:s,s:I,s:i,s:i}", "file", loc->file, "line", (json_int_t)loc->line,
		      "linedefined", (int)loc->firstline, "lastlinedefined", (int)loc->lastline);
	if (j && *loc->name)
		json_object_set_new(j, "name", json_string(loc->name));
	return j;
}
