// SPDX-License-Identifier: MIT
/* Screen 5: what the JIT compiler and the processes did, line by line. */
#include "tui/ui.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int load(struct ui *u)
{
	(void)u;
	return 0;
}

static int arrange(struct ui *u)
{
	const struct model *m = u->m;
	struct filter *f = *u->filter[4] ? filter_new(u->filter[4]) : NULL;
	struct list *l = &u->list[4];
	uint64_t id = m->nlog > MODEL_LOG ? m->nlog - MODEL_LOG + 1 : 1;

	if ((*u->filter[4] && !f) || list_room(l, MODEL_LOG)) {
		filter_free(f);
		return -ENOMEM;
	}
	for (; id <= m->nlog; id++) {
		const struct model_line *line = model_line(m, id);

		if (!line || (u->query.pid != PICK_ALL && line->pid != u->query.pid))
			continue;
		if (!f || filter_match(f, line->text))
			l->id[l->n++] = id;
	}
	filter_free(f);
	list_settle(l);
	if (l->follow && l->n)
		list_go(l, (long)l->n - 1, 0);
	return 0;
}

static const struct model_line *line_at(struct ui *u, size_t row)
{
	return model_line(u->m, u->list[4].id[row]);
}

static void draw_row(struct ui *u, struct grid *g, int y, size_t row)
{
	static const enum grid_role roles[] = {ROLE_DIM, ROLE_NORMAL, ROLE_GOOD, ROLE_WARN,
					       ROLE_ALERT};
	const struct model_line *line = line_at(u, row);
	char clock[32];
	int x;

	if (!line) /* newer lines took its place meanwhile */
		return;
	model_clock(u->m, line->time, clock);
	x = grid_printf(g, 1, y, 14, ROLE_DIM, "%s", clock) + 1;
	x = grid_text(g, x, y, g->w - x - 1, roles[line->type < 5 ? line->type : 0], line->text);
	if (line->skipped)
		grid_printf(g, x + 1, y, g->w - x - 2, ROLE_ALERT, "+%llu more, not shown",
			    (unsigned long long)line->skipped);
}

static void draw(struct ui *u, struct grid *g)
{
	int y = 1, bottom = g->h - 1 - (*u->ended && g->h > 12), follow = u->list[4].follow;

	draw_title(u, g, "ljx log  %s %d   %zu lines%s", u->opts.name,
		   u->opts.pid ? u->opts.pid : (int)u->m->first_pid, u->list[4].n,
		   u->list[4].follow ? ", following" : "");
	draw_tabs(u, g, y++);
	draw_quality_line(u, g, y++);
	if (!u->list[4].n)
		grid_text(g, 1, y + 1, g->w - 2, ROLE_DIM,
			  "nothing yet: the JIT compiler has nothing to do");
	/* Following it means to stay at the end, not to keep a row in the middle. */
	u->list[4].follow = 0;
	ui_rows(u, g, y, bottom - y, draw_row);
	u->list[4].follow = follow;
}

static const struct model_line *selected(struct ui *u)
{
	const struct list *l = &u->list[4];

	return l->cursor >= 0 && (size_t)l->cursor < l->n ? line_at(u, (size_t)l->cursor) : NULL;
}

static const char *text(struct ui *u, size_t row, char buf[UI_TEXT])
{
	const struct model_line *line = line_at(u, row);

	(void)buf;
	return line ? line->text : "";
}

static int place(struct ui *u, struct place *out)
{
	const struct model_line *line = selected(u);

	if (!line)
		return 0;
	snprintf(out->file, sizeof(out->file), "%s", line->file);
	snprintf(out->name, sizeof(out->name), "%s", line->name);
	out->line = line->line;
	out->firstline = line->firstline;
	out->lastline = line->lastline;
	out->trace = line->type == EV_TRACE_STOP ? line->trace : 0;
	out->pid = line->pid;
	return *line->file || out->trace;
}

static unsigned int act(struct ui *u, enum action a)
{
	const struct model_line *line = selected(u);
	struct place p = {.frame = PICK_ALL};

	if (a == ACT_ENTER && place(u, &p))
		return ui_open(u, line->type == EV_TRACE_STOP ? 2 : 1, &p);
	if (a == ACT_EXPLAIN) {
		const struct model_picture *pic = &u->m->pic;
		const struct jt_site *found = NULL;
		size_t i;

		for (i = 0; line && line->type == EV_TRACE_ABORT && i < pic->nsites && !found; i++)
			if (pic->sites[i].kind == JT_SITE_ABORT &&
			    strstr(line->text, pic->sites[i].reason))
				found = &pic->sites[i];
		ui_explain(u, found);
		return UI_DRAW;
	}
	return 0;
}

const struct screen_ops screen_log = {.name = "Log",
				      .on = ON_LOG,
				      .load = load,
				      .arrange = arrange,
				      .draw = draw,
				      .text = text,
				      .place = place,
				      .act = act};
