// SPDX-License-Identifier: MIT
/* The loop of the live view: records in, keys in, screens out. */
#include "tui/view.h"

#include "bpf/mem.h"
#include "bpf/rec.h"
#include "tui/perfmap.h"
#include "tui/term.h"
#include "tui/ui.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define TICK_MS 50 /* the rings are emptied so often */

struct view {
	const struct options *o;
	const char *file;
	struct model model;
	struct ui ui;
	struct live live;
	struct term *term;
	struct grid grid;
	struct perfmap *maps; /* key P; NULL: none are kept */
	struct output out;    /* -o FILE.ljx */
	struct rec_writer *writer;
	uint64_t next; /* refresh */
	uint64_t cpu_at, flushed, looked;
	double cpu_used;
	int alive, err;
	char error[1024];
};

/* ---- what is shown of ljx itself ---- */

static double cpu_seconds(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* Over the last seconds, so that one drawing does not make it jump. */
static void measure(struct view *v, uint64_t now)
{
	double used = cpu_seconds(), wall = (double)(now - v->cpu_at) / 1e9;
	struct model_picture *pic = &v->model.pic;

	if (v->cpu_at && wall < 3)
		return;
	if (v->cpu_at)
		pic->own_cpu = 100 * (used - v->cpu_used) / wall;
	v->cpu_at = now;
	v->cpu_used = used;
}

/* ---- the target ---- */

static void ended(struct view *v)
{
	int status = capture_stats(v->live.capture)->last_status;
	char how[48] = "";

	/* It may have been missed before its record came. */
	if (status < 0)
		status = v->model.last_status;
	v->alive = 0;
	if (v->err)
		snprintf(how, sizeof(how), "STOPPED: %.30s", strerror(-v->err));
	else if (status < 0)
		snprintf(how, sizeof(how), "TARGET EXITED");
	else if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "TARGET KILLED (signal %d)", WTERMSIG(status));
	else
		snprintf(how, sizeof(how), "TARGET EXITED (code %d)", WEXITSTATUS(status));
	snprintf(v->ui.ended, sizeof(v->ui.ended), "%s - data frozen, e exports, q quits", how);
}

/* Takes in what came. */
static void poll_target(struct view *v, uint64_t now)
{
	int more;

	if (!v->alive)
		return;
	more = live_poll(&v->live, 0);
	if (v->writer && now - v->flushed >= MODEL_SECOND) {
		if (rec_flush(v->writer) && !*v->error)
			snprintf(v->error, sizeof(v->error), "cannot write the recording");
		v->flushed = now;
	}
	if (more > 0)
		return;
	v->err = more < 0 ? more : live_stop(&v->live);
	ended(v);
	v->model.pic.capture = *capture_stats(v->live.capture);
	v->next = 0;
}

static void say(void *ctx, const char *text)
{
	struct view *v = ctx;

	ui_message(&v->ui, "%s", text);
}

/* The maps for perf, while they are wanted and somebody is there. */
static int keep_maps(struct view *v)
{
	const struct model_picture *pic = &v->model.pic;
	int err;

	if (!v->ui.perf_map || !v->alive) {
		perfmap_free(v->maps, 0);
		v->maps = NULL;
		return 0;
	}
	v->maps = v->maps ? v->maps : perfmap_new(say, v);
	if (!v->maps)
		return -ENOMEM;
	err = perfmap_update(v->maps, pic->traces, pic->ntraces);
	if (err) {
		v->ui.perf_map = 0;
		ui_message(&v->ui, "cannot write the map: %s", strerror(-err));
	}
	return 0;
}

/* What changes in the VMs' memory without an event: only if the target ran meanwhile. */
static int look(struct view *v)
{
	uint64_t samples = capture_stats(v->live.capture)->samples;
	int err;

	if (samples == v->looked)
		return 0;
	v->looked = samples;
	err = capture_look(v->live.capture);
	return err == -ESRCH ? 0 : err;
}

static int refresh(struct view *v, uint64_t now)
{
	struct model_picture *pic = &v->model.pic;
	int err;

	v->next = now + (uint64_t)(v->o->refresh * 1e9);
	if (v->alive && !v->ui.paused) {
		err = look(v);
		if (err)
			return err;
		pic->capture = *capture_stats(v->live.capture);
		snprintf(pic->said, sizeof(pic->said), "%s", v->live.said);
		measure(v, now);
	}
	err = ui_refresh(&v->ui, v->alive ? now : 0);
	return err ? err : keep_maps(v);
}

static int show(struct view *v)
{
	int w, h, err = 0;

	term_size(v->term, &w, &h);
	if (w != v->grid.w || h != v->grid.h)
		err = grid_resize(&v->grid, w, h);
	if (err)
		return err;
	ui_draw(&v->ui, &v->grid);
	term_show(v->term, &v->grid, (enum palette)(v->ui.palette % PALETTES));
	return 0;
}

/* All keys that wait. 1: quit; < 0: -errno. *any: there was one. */
static int take_keys(struct view *v, int ms, int *any)
{
	struct key_event k;
	int got, flags, before = v->ui.palette;

	*any = 0;
	while ((got = term_key(v->term, *any ? 0 : ms, &k)) > 0) {
		*any = 1;
		if (k.code == TK_RESIZE)
			continue;
		v->ui.now = resolve_now();
		flags = ui_key(&v->ui, &k);
		if (flags < 0)
			return flags;
		if (flags & UI_QUIT)
			return 1;
		if (*v->ui.copy) {
			term_copy(v->term, v->ui.copy);
			*v->ui.copy = '\0';
		}
		if (!v->ui.perf_map != !v->maps)
			flags = keep_maps(v);
		if (flags < 0)
			return flags;
		if (v->ui.palette != before)
			ui_message(&v->ui, "colours: %s",
				   palette_name((enum palette)(v->ui.palette % PALETTES)));
		before = v->ui.palette;
	}
	return got < 0 ? got : 0;
}

static int wait_ms(const struct view *v, uint64_t now)
{
	uint64_t left = v->next > now ? (v->next - now) / 1000000 + 1 : 0;
	int most = v->alive ? TICK_MS : 1000;

	return left < (uint64_t)most ? (int)left : most;
}

static int loop(struct view *v)
{
	double end = v->o->duration;
	unsigned int frames = 0;
	int done = 0, any, message = 0, err;
	uint64_t now = resolve_now();

	while (!stop_requested) {
		poll_target(v, now);
		v->ui.now = now = resolve_now();
		if (end > 0 && v->alive && live_seconds(&v->live) >= end)
			break;
		if (now >= v->next) {
			err = refresh(v, now);
			if (!err)
				err = show(v);
			if (err)
				return err;
			message = *v->ui.message && now < v->ui.message_until;
			if (v->o->frames && ++frames > v->o->frames)
				break;
		}
		done = take_keys(v, wait_ms(v, now), &any);
		if (done)
			return done < 0 && done != -EIO ? done : 0;
		now = resolve_now();
		if (any || (message && now >= v->ui.message_until)) {
			err = show(v);
			if (err)
				return err;
			message = *v->ui.message && now < v->ui.message_until;
		}
	}
	return 0;
}

/* ---- beginning and end ---- */

/* Files that -o names: a recording is written as it comes, others at the end. */
static int open_outputs(struct view *v, struct why *why)
{
	const struct options *o = v->o;
	struct output test;
	size_t i;
	int err = 0;

	for (i = 0; i < o->nouts && !err; i++) {
		err = output_open(o, o->out[i], &test, why);
		if (err)
			break;
		if (test.format) {
			output_abort(&test);
			continue;
		}
		if (v->writer || v->file) {
			output_abort(&test);
			return why_set(why, WHY_USAGE, -EINVAL,
				       v->file ? "it is a recording already"
					       : "one .ljx recording at a time");
		}
		v->out = test;
		err = rec_writer_new(v->out.fd, &v->writer);
		if (!err)
			err = output_publish(&v->out, why);
	}
	return err;
}

static void write_outputs(struct view *v)
{
	const struct options *o = v->o;
	size_t i;

	/* Whatever S says by now. */
	if (o->nouts && v->model.opts.split != o->split && model_split(&v->model, o->split))
		snprintf(v->error, sizeof(v->error),
			 "no room to split as the command line says: files are split as last seen");
	for (i = 0; i < o->nouts; i++)
		if (output_format(o, o->out[i]) && export_to(&v->ui, o->out[i]))
			snprintf(v->error, sizeof(v->error), "%s", v->ui.message);
	if (rec_writer_free(v->writer))
		snprintf(v->error, sizeof(v->error), "cannot write the recording");
	else if (v->writer)
		snprintf(v->ui.wrote[v->ui.nwrote++ % 4], UI_TEXT, "%s", v->out.path);
	v->writer = NULL;
	output_abort(&v->out);
}

/* What was seen, what was written, and how to see it again. */
static void summary(const struct view *v)
{
	const struct model *m = &v->model;
	const struct prof_stats *s = prof_stats(m->prof);
	const struct jt_stats *j = jt_stats(m->jt);
	unsigned int i, first = v->ui.nwrote > 4 ? v->ui.nwrote - 4 : 0;

	if (v->o->quiet)
		return;
	fprintf(stderr, "ljx: %llu samples, %llu aborts, %llu lost in %.1f s\n",
		(unsigned long long)s->samples, (unsigned long long)j->aborts,
		(unsigned long long)s->lost,
		m->now > m->first ? (double)(m->now - m->first) / 1e9 : 0);
	for (i = first; i < v->ui.nwrote; i++) {
		const char *path = v->ui.wrote[i % 4], *dot = strrchr(path, '.');

		fprintf(stderr, "ljx: wrote %s%s%s\n", printable(path),
			dot && !strcmp(dot, ".ljx") ? "; see it again: ljx top " : "",
			dot && !strcmp(dot, ".ljx") ? printable(path) : "");
	}
}

static int replay_into(struct view *v, struct why *why)
{
	int err = replay(v->o, v->file, model_record, &v->model, why);

	/* Up to the damage all is good. */
	if (err == -EBADMSG) {
		snprintf(v->error, sizeof(v->error), "%s", why->text);
		*why = (struct why){.code = 0};
		err = 0;
	}
	return err;
}

static int start_ui(struct view *v)
{
	struct term_opts to = {
	    .color = v->o->color, .ascii = v->o->ascii, .mouse = !v->o->no_mouse};
	struct ui_opts uo = {.o = v->o,
			     .file = v->file,
			     .name = v->file ? v->model.comm : v->live.targets.name,
			     .pid = v->file ? (int)v->model.first_pid : v->live.targets.main_pid,
			     .rate = v->o->rate,
			     .read = v->file ? NULL : mem_read};
	int err = ui_init(&v->ui, &v->model, &uo);

	if (!err)
		err = term_open(&to, &v->term);
	if (!err)
		v->grid.ascii = term_ascii(v->term);
	return err;
}

static void end(struct view *v)
{
	term_close(v->term);
	perfmap_free(v->maps, 0);
	ui_release(&v->ui);
	grid_release(&v->grid);
	model_release(&v->model);
}

/* The view itself, on records that are there or come. */
static int run(struct view *v, struct why *why)
{
	int err = start_ui(v);

	if (!err)
		err = loop(v);
	term_close(v->term);
	v->term = NULL;
	if (v->alive && !err)
		err = live_stop(&v->live);
	if (!err) {
		write_outputs(v);
		summary(v);
	}
	err = err ? err : v->err;
	if (*v->error)
		why_set(why, WHY_INTERNAL, -EIO, "%s", v->error);
	return err ? why_set(why, WHY_INTERNAL, err, "cannot go on: %s", strerror(-err)) : 0;
}

int view_run(const struct options *opts, const char *file)
{
	struct options own = *opts, *o = &own;
	struct view *v = calloc(1, sizeof(*v));
	struct model_opts mo = {.lines = o->lines,
				.split = o->split,
				.pid = file && o->npids ? (uint32_t)o->pid[0] : 0};
	struct why why = {.code = 0};
	int code = 0, child = 0, err;

	if (!v || model_init(&v->model, &mo)) {
		free(v);
		why_set(&why, WHY_INTERNAL, -ENOMEM, "out of memory");
		return complain(o, &why);
	}
	own.screens = 1;
	v->o = o;
	v->file = file;
	v->out.fd = -1;
	stop_on_signals();
	err = open_outputs(v, &why);
	if (!err && file) {
		err = replay_into(v, &why);
	} else if (!err) {
		code = live_start_to(&v->live, o, LIVE_SAMPLES | LIVE_TRACES | LIVE_CODE, v->writer,
				     model_record, &v->model);
		v->alive = !code;
		v->model.pic.live = 1;
		if (!code)
			drop_privileges(&v->live, 1); /* exports may be asked for at any time */
	}
	if (!err && !code)
		run(v, &why);
	end(v);
	if (!file && !code && !err) {
		child = targets_wait(&v->live.targets);
		live_free(&v->live);
	}
	rec_writer_free(v->writer);
	output_abort(&v->out);
	free(v);
	if (why.code || err)
		code = complain(o, &why);
	return !file && o->cmd ? code ? 125 : child : code;
}
