// SPDX-License-Identifier: MIT
/* Files that are written while the view runs. */
#include "tui/ui.h"

#include "bpf/rec.h"
#include "tui/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct export
{
	int format; /* of formats[]; the one behind the last: a recording */
	int recent;
	char name[UI_TEXT]; /* without its extension */
};

static int count_formats(void)
{
	int n = 0;

	while (formats[n].name)
		n++;
	return n;
}

/* What names of its files end in: "svg". */
static void ending(int format, char buf[32])
{
	const char *files = format < count_formats() ? formats[format].files : ".ljx";

	snprintf(buf, 32, "%.*s", (int)strcspn(files + 1, " "), files + 1);
}

void export_free(struct export *e)
{
	free(e);
}

unsigned int export_open(struct ui *u)
{
	time_t now = time(NULL);
	char stamp[32];
	struct tm tm;

	if (!u->export)
		u->export = calloc(1, sizeof(*u->export));
	if (!u->export)
		return UI_DRAW;
	if (!localtime_r(&now, &tm) || !strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm))
		snprintf(stamp, sizeof(stamp), "now");
	snprintf(u->export->name, UI_TEXT, "ljx-%.40s-%s",
		 strchr(u->opts.name, '/') ? "top" : u->opts.name, stamp);
	u->export->recent = 0;
	u->over = ON_EXPORT;
	return UI_DRAW;
}

static void path_of(const struct export *e, char buf[UI_TEXT + 34])
{
	char end[32];

	ending(e->format, end);
	snprintf(buf, UI_TEXT + 34, "%s.%s", e->name, end);
}

void export_rename(struct ui *u, const char *name)
{
	size_t len = strlen(name), n;
	char end[32];
	int i;

	if (!len || !u->export)
		return;
	/* An extension chooses the format. */
	for (i = 0; i <= count_formats(); i++) {
		ending(i, end);
		n = strlen(end) + 1;
		if (len > n && name[len - n] == '.' && !strcmp(name + len - n + 1, end)) {
			u->export->format = i;
			len -= n;
			break;
		}
	}
	snprintf(u->export->name, UI_TEXT, "%.*s", (int)len, name);
}

static int write_recording(struct ui *u, struct output *out, struct why *why)
{
	struct rec_writer *w;
	int err = rec_writer_new(out->fd, &w), end;

	if (!err) {
		err = keep_write(u->m->keep, w);
		end = rec_writer_free(w);
		err = err ? err : end;
	}
	if (err == -E2BIG)
		return why_set(why, WHY_INTERNAL, err,
			       "too many definitions to write a recording now: use ljx record");
	return err ? why_set(why, WHY_INTERNAL, err, "cannot write: %s", strerror(-err)) : 0;
}

/* The tree that is there, reduced to what the query chose. */
static int write_tree(struct ui *u, struct output *out, const struct pick_query *q,
		      const char *title, struct why *why)
{
	struct folds folds = {.plain = u->m->prof};
	int err = pick_apply(u->m->pick, q), back;

	if (!err && !prof_stats(u->m->prof)->samples)
		err = why_set(why, WHY_EMPTY, -ENODATA, "no samples to write");
	else if (!err)
		err = output_profile(out, u->opts.o, &folds, title, why);
	back = pick_restore(u->m->pick);
	return err ? err : back;
}

static int fold(void *ctx, const struct ev_hdr *h)
{
	return folds_add(ctx, h);
}

static const uint32_t group_states[] = {
#define EXPORT_STATES(letter, text, states) states,
    PROF_GROUPS(EXPORT_STATES)
#undef EXPORT_STATES
};

/* Formats that want more than a tree: the records that are kept are folded again for them. */
static int write_again(struct ui *u, struct output *out, const struct pick_query *q,
		       const char *title, struct why *why)
{
	const struct model *m = u->m;
	struct options own = *u->opts.o;
	struct folds folds;
	int err;

	own.out[0] = out->path;
	own.split = m->opts.split;
	own.nouts = 1;
	own.npids = q->pid == PICK_ALL ? own.npids && u->opts.file ? 1 : 0 : 1;
	if (q->pid != PICK_ALL)
		own.pid[0] = (int)q->pid;
	own.states = q->only == PROF_GROUP_MAX ? own.states : group_states[q->only];
	if (q->recent && m->now > m->first + MODEL_WINDOW * MODEL_SECOND)
		own.from = m->now - MODEL_WINDOW * MODEL_SECOND - m->first;
	else if (m->since > m->first)
		own.from = m->since - m->first;
	err = folds_new(&own, &folds);
	if (!err)
		err = keep_each(m->keep, fold, &folds);
	if (!err)
		err = folds_finish(&folds);
	if (!err && !prof_stats(folds.plain)->samples)
		err = why_set(why, WHY_EMPTY, -ENODATA, "no samples to write");
	if (!err)
		err = output_profile(out, &own, &folds, title, why);
	folds_free(&folds);
	return err;
}

static int write_format(struct ui *u, struct output *out, const struct pick_query *q, int *all,
			struct why *why)
{
	char title[UI_TEXT];

	snprintf(title, sizeof(title), "%.100s %d%s", u->opts.name, u->opts.pid,
		 q->recent ? ", the last seconds" : "");
	*all = out->format && !out->format->keep && !out->format->lines;
	if (*all)
		return write_tree(u, out, q, title, why);
	keep_since(u->m->keep, all);
	return out->format ? write_again(u, out, q, title, why) : write_recording(u, out, why);
}

static int write_to(struct ui *u, const char *path, const struct pick_query *q)
{
	struct why why = {.code = 0};
	struct output out;
	int err = output_open(u->opts.o, path, &out, &why), all = 1;

	if (!err) {
		err = write_format(u, &out, q, &all, &why);
		if (!err)
			err = output_publish(&out, &why);
		output_abort(&out);
	}
	if (err) {
		ui_message(u, "%s", why.code ? why.text : strerror(-err));
		return err;
	}
	ui_message(u, "wrote %.160s%s", path, all || q->recent ? "" : " (the newest samples only)");
	snprintf(u->wrote[u->nwrote++ % 4], UI_TEXT, "%s", path);
	return 0;
}

int export_to(struct ui *u, const char *path)
{
	struct pick_query q = {.pid = PICK_ALL, .only = PROF_GROUP_MAX};

	return write_to(u, path, &q);
}

unsigned int export_act(struct ui *u, enum action a)
{
	struct export *e = u->export;
	struct pick_query q = u->query;
	char path[UI_TEXT + 34];

	switch (a) {
	case ACT_UP:
	case ACT_DOWN:
	case ACT_FORMAT:
		e->format =
		    (e->format + (a == ACT_UP ? count_formats() : 1)) % (count_formats() + 1);
		return UI_DRAW;
	case ACT_SPAN:
		e->recent = !e->recent;
		return UI_DRAW;
	case ACT_NAME:
		u->prompt = PROMPT_NAME;
		snprintf(u->input, sizeof(u->input), "%s", e->name);
		return UI_DRAW;
	case ACT_WRITE:
		path_of(e, path);
		q.recent = e->recent;
		u->over = 0;
		write_to(u, path, &q);
		/* Writing has chosen other samples: the rows are to be chosen again. */
		return UI_LOAD;
	default:
		u->over = 0;
		return UI_DRAW;
	}
}

void export_draw(struct ui *u, struct grid *g)
{
	static const char *const letters[] = {"N", "I", "C", "G", "J"};
	const struct export *e = u->export;
	int n = count_formats(), recording = e->format == n, w = 66, h = n + 8, x, y, i;
	char path[UI_TEXT + 34], end[32], which[32] = "all processes";

	if (u->query.pid != PICK_ALL)
		snprintf(which, sizeof(which), "process %u", u->query.pid);
	draw_box(g, &x, &y, &w, &h, "Write a file");
	for (i = 0; i <= n && i < h - 4; i++, y++) {
		/* With little room the chosen one must be among those that are shown. */
		int k = e->format > h - 5 ? i + e->format - (h - 5) : i;

		ending(k, end);
		grid_printf(g, x, y, w, ROLE_NORMAL, "%c .%-16s %s", k == e->format ? '>' : ' ',
			    end, k == n ? "recording, the source of all others" : formats[k].what);
		if (k == e->format)
			grid_role(g, x, y, w, ROLE_SELECTED);
	}
	grid_printf(g, x, y++, w, ROLE_NORMAL, "Span (o)   %s",
		    recording	? "all records that are kept"
		    : e->recent ? "the last 5 s"
				: "since the start");
	if (recording || (u->query.pid == PICK_ALL && u->query.only == PROF_GROUP_MAX))
		grid_text(g, x, y++, w, ROLE_NORMAL, "Scope      all processes, all states");
	else
		grid_printf(g, x, y++, w, ROLE_NORMAL, "Scope      %s%s%s", which,
			    u->query.only == PROF_GROUP_MAX ? "" : ", only state ",
			    u->query.only == PROF_GROUP_MAX ? "" : letters[u->query.only]);
	path_of(e, path);
	grid_printf(g, x, y++, w, ROLE_NORMAL, "Name (n)   %s", path);
	grid_text(g, x, y, w, ROLE_DIM, "Enter writes it, Esc does not");
}
