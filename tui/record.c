// SPDX-License-Identifier: MIT
#include "bpf/rec.h"
#include "tui/ljx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct outputs {
	struct output out[OPT_OUTS_MAX];
	size_t n;
	struct rec_writer *writer;
	char default_name[160];
};

static void abort_all(struct outputs *os)
{
	size_t i;

	rec_writer_free(os->writer);
	os->writer = NULL;
	for (i = 0; i < os->n; i++)
		output_abort(&os->out[i]);
	os->n = 0;
}

/* Opens all files before anything is attached: a typo must not cost a measurement. */
static int open_all(const struct options *o, struct outputs *os, struct why *why)
{
	size_t i;
	int err = 0;

	for (i = 0; i < o->nouts && !err; i++) {
		err = output_open(o, o->out[i], &os->out[i], why);
		if (err)
			break;
		os->n++;
		if (os->out[i].format)
			continue;
		if (os->writer) {
			why_set(why, WHY_USAGE, -EINVAL, "one .ljx recording at a time");
			err = -EINVAL;
			break;
		}
		err = rec_writer_new(os->out[i].fd, &os->writer);
		if (err)
			why_set(why, WHY_INTERNAL, err, "cannot write '%s': %s",
				printable(o->out[i]), strerror(-err));
	}
	if (err)
		abort_all(os);
	return err;
}

static void default_output(struct options *o, struct outputs *os)
{
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	snprintf(os->default_name, sizeof(os->default_name), "ljx-%s.ljx", stamp);
	o->out[o->nouts++] = os->default_name;
}

static void progress(const struct live *l, int tty, int last)
{
	const struct capture_stats *s = capture_stats(l->capture);
	double d = l->o->duration, t = live_seconds(l);
	char of[32] = "";

	if (l->o->quiet)
		return;
	if (d > 0)
		snprintf(of, sizeof(of), " of %.0f", d);
	fprintf(stderr, "%sljx: %.0f%s s  %llu samples  %llu lost  %u process%s%s", tty ? "\r" : "",
		t, of, (unsigned long long)s->delivered, (unsigned long long)s->lost_samples,
		s->targets, s->targets == 1 ? "" : "es", tty && !last ? "\033[K" : "\n");
	fflush(stderr);
}

static const char *recording_path(const struct outputs *os)
{
	size_t i;

	for (i = 0; i < os->n; i++)
		if (!os->out[i].format)
			return os->out[i].path;
	return "";
}

/* Samples until the time is up, the targets are gone or somebody stops us. */
static int sample(struct live *l, const struct outputs *os, struct why *why)
{
	struct rec_writer *w = os->writer;
	int tty = isatty(STDERR_FILENO), more = 1, err = 0;
	double now, end = l->o->duration, shown = 0, flushed = 0;
	/* Without a terminal a line a second is enough for a short run, and too much for a long
	 * one. */
	double every = tty ? 0.25 : end > 0 && end <= 60 ? 1 : 10;

	while (more > 0 && !stop_requested && !err) {
		now = live_seconds(l);
		if (end > 0 && now >= end)
			break;
		more =
		    live_poll(l, end > 0 && end - now < 0.05 ? (int)((end - now) * 1000) + 1 : 50);
		now = live_seconds(l);
		if (now - shown >= every) {
			progress(l, tty, 0);
			shown = now;
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
	/* The writer remembers its first error: then that is the cause. */
	if (err && w && rec_flush(w))
		(void)why_set(why, WHY_INTERNAL, err, "cannot write '%s': %s",
			      printable(recording_path(os)), strerror(-err));
	progress(l, tty, 1);
	live_tell_losses(l);
	if (!l->o->quiet && capture_stats(l->capture)->tallied)
		fprintf(stderr, "ljx: %llu trace events are only in the counts\n",
			(unsigned long long)capture_stats(l->capture)->tallied);
	if (more == 0 && !l->o->quiet)
		fprintf(stderr, "ljx: the target exited after %.1f s\n", live_seconds(l));
	return err ? why_set(why, WHY_INTERNAL, err, "cannot go on: %s", strerror(-err)) : 0;
}

static int write_all(const struct options *o, struct live *l, struct outputs *os, struct why *why)
{
	char title[160];
	size_t i;
	int err = folds_finish(&l->folds), one;

	if (err)
		return why_set(why, WHY_INTERNAL, err, "%s", strerror(-err));
	snprintf(title, sizeof(title), "%s %d", l->targets.name, l->targets.main_pid);
	one = rec_writer_free(os->writer);
	os->writer = NULL;
	for (i = 0; i < os->n; i++) {
		struct output *out = &os->out[i];
		const char *path = out->path;

		/* An empty picture must not replace a good one. */
		if (out->format && !prof_stats(l->prof)->samples) {
			output_abort(out);
			continue;
		}
		/* What fails must not take the others along. */
		if (out->format)
			one = output_profile(out, o, &l->folds, title, why);
		else if (one)
			(void)why_set(why, WHY_INTERNAL, one, "cannot write '%s': %s",
				      printable(path), strerror(-one));
		if (!one)
			one = output_commit(out, why);
		else
			output_abort(out);
		if (!one && !o->quiet)
			fprintf(stderr, "ljx: wrote %s\n", printable(path));
		err = err ? err : one;
		one = 0;
	}
	return err;
}

/* Nothing was sampled: why? */
static void no_samples(const struct live *l, struct why *why)
{
	double t = live_seconds(l);

	why_set(why, WHY_EMPTY, -ENODATA, "no samples in %.1f s", t);
	if (l->targets.child)
		why_hint(
		    why,
		    "The command never had a Lua state, used no CPU while it had one, or ended "
		    "before it was found.");
	else
		why_hint(why, "The target used no CPU: is it idle? Send it load.");
}

/* A recording has its name while it grows: after a crash it is there, and readable. */
static int publish_recording(struct outputs *os, struct why *why)
{
	size_t i;
	int err = 0;

	for (i = 0; i < os->n && !err; i++)
		if (!os->out[i].format)
			err = output_publish(&os->out[i], why);
	return err;
}

/* Does an output show what the recorder did? */
static int wants_events(const struct options *o)
{
	size_t i;

	for (i = 0; i < o->nouts; i++) {
		const struct format *f = output_format(o, o->out[i]);

		if (f && (f->keep & PROF_KEEP_EVENTS))
			return 1;
	}
	return o->aborts || o->colour == WRITE_BY_COST;
}

static int unnamed_outputs(const struct outputs *os)
{
	size_t i;
	int n = 0;

	for (i = 0; i < os->n; i++)
		n += os->out[i].temp != NULL;
	return n;
}

int verb_record(const struct options *opts)
{
	struct options o = *opts;
	struct outputs os = {.n = 0};
	struct why why = {.code = 0};
	struct live l;
	unsigned int what = LIVE_SAMPLES;
	int code, err, child;

	if (o.nargs) {
		why_set(&why, WHY_USAGE, -EINVAL, "record takes no operand '%s'",
			printable(o.arg[0]));
		return complain(&o, &why);
	}
	if (output_check(&o, &why))
		return complain(&o, &why);
	if (!o.nouts)
		default_output(&o, &os);
	if (open_all(&o, &os, &why))
		return complain(&o, &why);
	stop_on_signals();
	/* Folded stacks, for one, have no place for trace events. */
	if ((os.writer || wants_events(&o)) && o.probe != CAPTURE_TRACES_OFF)
		what |= LIVE_TRACES;
	code = live_start(&l, &o, what, os.writer, NULL);
	if (code) {
		abort_all(&os);
		return o.cmd ? 125 : code;
	}
	err = publish_recording(&os, &why);
	drop_privileges(&l, unnamed_outputs(&os));
	if (!err)
		sample(&l, &os, &why);
	err = write_all(&o, &l, &os, &why);
	if (!err && !why.code) {
		const struct prof_stats *s = prof_stats(l.prof);

		if (!s->samples && !o.nothing)
			no_samples(&l, &why);
		else if (!o.quiet)
			print_quality(stderr, l.prof);
	}
	child = targets_wait(&l.targets);
	if (why.code)
		code = complain(&o, &why);
	live_free(&l);
	if (o.cmd)
		return child ? child : code == WHY_EMPTY || !code ? 0 : 125;
	return code;
}
