// SPDX-License-Identifier: MIT
#include "bpf/rec.h"
#include "tui/ljx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* For the rest of the targets' memory; a gigabyte or two can be read in that time. */
#define LAST_LOOK_MS 3000

/* The end of the stream: into the profile, and into the recording if there is one. */
static int sink(void *ctx, const struct ev_hdr *h)
{
	struct live *l = ctx;
	int err = l->to ? l->to(l->to_ctx, h) : folds_add(&l->folds, h);

	if (!err && l->tap)
		err = jit_tap_record(l->tap, h);
	if (!err && l->writer)
		err = rec_write(l->writer, h);
	return err;
}

/* What capture says: the same line of many processes once. */
static void say(void *ctx, const char *text)
{
	struct live *l = ctx;

	if (l->o->quiet || !strcmp(l->said, text))
		return;
	snprintf(l->said, sizeof(l->said), "%s", text);
	if (!l->o->screens) /* they show it themselves */
		fprintf(stderr, "ljx: %s\n", printable(text));
}

static int emit_meta(struct live *l)
{
	const struct options *o = l->o;
	uint64_t buf[1024];
	char command[4096] = "ljx";
	struct utsname u;
	struct ev_meta e = {.h = {.kind = EV_META, .time = resolve_now()},
			    .rate = o->rate,
			    .flags = o->per_thread ? EV_META_PER_THREAD : 0};
	const char *strs[4] = {LJX_VERSION, "", "", command};
	const struct ev_hdr *h;
	int i;

	if (!uname(&u)) {
		strs[1] = u.nodename;
		strs[2] = u.release;
	}
	for (i = 1; i < o->argc; i++) {
		strncat(command, " ", sizeof(command) - strlen(command) - 1);
		strncat(command, o->argv[i], sizeof(command) - strlen(command) - 1);
	}
	h = rec_build(buf, sizeof(buf), &e.h, sizeof(e), strs, 4);
	return h ? sink(l, h) : -E2BIG;
}

/* Attaches all processes. Of a group one with LuaJIT is enough; the others are watched. */
static int add_targets(struct live *l, struct why *why)
{
	struct targets *t = &l->targets;
	struct why first = {.code = 0};
	size_t i, added = 0;
	int err;

	for (i = 0; i < t->n; i++) {
		struct why w = {.code = 0};

		if (t->child) {
			err = capture_watch(l->capture, t->pid[i]);
			added++;
			continue;
		}
		err = capture_add(l->capture, t->pid[i], &w);
		if (!err) {
			added++;
			continue;
		}
		if (!first.code)
			first = w;
		if (!t->must && l->tap && w.code != WHY_UNSUPPORTED)
			say(l, w.text);
		if (t->must)
			break;
		if (w.code == WHY_UNSUPPORTED)
			capture_watch(l->capture, t->pid[i]);
	}
	if (!added || (t->must && first.code)) {
		*why = first;
		if (!why->code)
			why_set(why, WHY_TARGET, -ESRCH, "no target");
		return -ESRCH;
	}
	return 0;
}

/* All that comes is of a target: -p, which chooses among them in a recording, is about them. */
static int fold_all(const struct options *o, struct folds *f)
{
	struct options all = *o;

	all.npids = 0;
	return folds_new(&all, f);
}

static int start(struct live *l, const struct options *o, unsigned int what,
		 struct rec_writer *writer)
{
	struct capture_opts co = {.rate = o->rate,
				  .layout = o->layout,
				  .per_thread = o->per_thread,
				  .nothing = o->nothing,
				  .old_bpf = o->old_bpf,
				  .native = o->native || o->inlines,
				  .inlines = o->inlines,
				  .kernel = o->kernel,
				  .no_samples = !(what & LIVE_SAMPLES),
				  .code = writer || what & LIVE_CODE,
				  .say = say,
				  .say_ctx = l,
				  .traces = what & LIVE_TRACES ? o->probe : CAPTURE_TRACES_OFF,
				  .need_traces = l->tap != NULL,
				  .limit = o->limit};
	struct why why = {.code = 0};
	const struct capture_stats *s;
	int code, err;

	l->o = o;
	l->writer = writer;
	code = targets_find(o, &l->targets);
	if (code)
		return code;
	co.follow = l->targets.follow;
	err = l->targets.must ? capture_check(l->targets.main_pid, &why) : 0;
	if (!err) {
		err = l->to ? 0 : fold_all(o, &l->folds);
		l->prof = l->folds.plain;
		if (!err)
			err = emit_meta(l);
	}
	if (!err)
		err = capture_new(&co, sink, l, &l->capture, &why);
	if (!err)
		err = add_targets(l, &why);
	if (!err)
		err = capture_start(l->capture, &why);
	if (err) {
		live_free(l);
		if (!why.code)
			why_set(&why, WHY_INTERNAL, err, "%s", strerror(-err));
		return complain(o, &why);
	}
	s = capture_stats(l->capture);
	if (!s->targets && l->targets.must && !o->quiet)
		fprintf(stderr, "ljx: %d has LuaJIT but no Lua state yet: waiting for one\n",
			l->targets.main_pid);
	targets_hold(o, &l->targets);
	l->start = resolve_now();
	targets_release(&l->targets);
	return 0;
}

int live_start(struct live *l, const struct options *o, unsigned int what,
	       struct rec_writer *writer, struct jit_tap *tap)
{
	memset(l, 0, sizeof(*l));
	l->tap = tap;
	return start(l, o, what, writer);
}

int live_start_to(struct live *l, const struct options *o, unsigned int what,
		  struct rec_writer *writer, record_fn *to, void *ctx)
{
	memset(l, 0, sizeof(*l));
	l->to = to;
	l->to_ctx = ctx;
	return start(l, o, what, writer);
}

int live_poll(struct live *l, int ms)
{
	const struct capture_stats *s;
	int err = capture_poll(l->capture, ms);

	if (err)
		return err < 0 ? err : -EIO;
	s = capture_stats(l->capture);
	targets_attached(&l->targets, s->targets > 0);
	return s->targets + s->watched > 0;
}

/* What the targets had too much of, or claimed to. */
static void tell_excess(const struct capture_stats *s)
{
	const struct {
		uint64_t n;
		const char *what;
	} all[] = {
	    {s->vms_dropped, "VMs, or what looks like VMs, were not looked at: too many"},
	    {s->vms_unsampled, "VMs are too many for one process: samples in their C code may not "
			       "be known as theirs"},
	    {s->files_skipped, "mapped files were not looked at: too many, or too large"},
	    {s->resolve.debug_bad, "files have debug information that could not be read: what "
				   "was inlined there is not known"},
	    {s->looks_cut, "looks at what was compiled before were cut short: they took too long"}};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].n)
			fprintf(stderr, "ljx: %llu %s\n", (unsigned long long)all[i].n,
				all[i].what);
}

void live_tell_losses(const struct live *l)
{
	const struct capture_stats *s = capture_stats(l->capture);

	if (l->targets.child && !s->vms && !l->o->quiet)
		fprintf(stderr, "ljx: no Lua state of the command was seen: it had none, or ended "
				"before it was found\n");
	tell_unwatched(l->o, s->vms_unwatched);
	if (!l->o->quiet)
		tell_excess(s);
	if (s->lost_traces)
		fprintf(stderr,
			"ljx: lost %llu of %llu trace events: the ring buffer was full; the counts "
			"have them\n",
			(unsigned long long)s->lost_traces, (unsigned long long)s->traces);
}

int live_stop(struct live *l)
{
	/* So that what the VMs' memory tells is that of the end. */
	int err = capture_rescan(l->capture);

	if (!err)
		err = capture_scan_wait(l->capture, LAST_LOOK_MS);
	if (capture_stats(l->capture)->scanning && !l->o->quiet)
		fprintf(stderr, "ljx: not all of the target's memory was read: of what was "
				"blacklisted long ago some may be missing\n");
	return err ? err : capture_stop(l->capture);
}

double live_seconds(const struct live *l)
{
	return (double)(resolve_now() - l->start) / 1e9;
}

void live_free(struct live *l)
{
	capture_free(l->capture);
	folds_free(&l->folds);
	l->capture = NULL;
	l->prof = NULL;
	if (l->targets.release_fd > 0)
		close(l->targets.release_fd);
	l->targets.release_fd = -1;
}
