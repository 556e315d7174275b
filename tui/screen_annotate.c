// SPDX-License-Identifier: MIT
/* Screen 4: source and bytecode of a function with samples, aborts and traces on each line. */
#include "tui/annotate.h"
#include "tui/functions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum show { SHOW_HOT, SHOW_ALL, SHOW_SOURCE, SHOW_CODE, SHOWS };

struct rows {
	struct annotate a;
	struct annotate_choice c;
	struct source src;
	char *src_chunk; /* that src is of */
	size_t *row;	 /* those of a.item that are shown */
	size_t n;
	enum show show;
	int found;
	uint32_t frame; /* what is found */
};

static struct rows *rows_of(struct ui *u)
{
	return u->rows[3];
}

static void forget(struct rows *r)
{
	annotate_release(&r->a);
	annotate_choice_release(&r->c);
	memset(&r->a, 0, sizeof(r->a));
	memset(&r->c, 0, sizeof(r->c));
	free(r->row);
	r->row = NULL;
	r->n = 0;
	r->found = 0;
}

/* The function of the place; without one the hottest. n: there is none. */
static size_t find_function(const struct ui *u, const struct lines_func *f, size_t n)
{
	const struct place *at = &u->at;
	size_t i, best = n;

	for (i = 0; i < n; i++) {
		const struct prof_frame *frame = prof_frame(u->m->prof, f[i].frame);
		int here = f[i].frame == at->frame ||
			   (*at->file && !strcmp(frame->file, at->file) &&
			    (at->firstline == frame->line ||
			     (!at->firstline && at->line && f[i].firstline <= (int32_t)at->line &&
			      f[i].lastline >= (int32_t)at->line)));

		if (!*at->file && at->frame == PICK_ALL)
			here = 1;
		if (here && (best == n || f[i].self > f[best].self))
			best = i;
	}
	return best;
}

static int read_source(struct ui *u, struct rows *r)
{
	const struct model *m = u->m;

	if (r->src_chunk && !strcmp(r->src_chunk, r->c.chunk))
		return 0;
	free(r->src_chunk);
	source_release(&r->src);
	memset(&r->src, 0, sizeof(r->src));
	r->src_chunk = strdup(r->c.chunk);
	source_read(&r->src, m->pic.live && !*u->ended ? r->c.pid : 0, jt_realtime(m->jt, m->first),
		    r->c.chunk, r->c.flags);
	return r->src_chunk ? 0 : -ENOMEM;
}

/* Which samples count. Those of a process are not kept apart by VM. */
static int choose(struct ui *u)
{
	const struct pick_query *q = &u->m->pic.query;
	struct lines_query l = {.recent = q->recent, .now = u->m->pic.time};

	l.pid = q->pid == PICK_ALL ? 0 : q->pid;
	return lines_choose(u->m->lines, &l);
}

static int is_part(const struct pick_query *q)
{
	return q->recent || q->pid != PICK_ALL;
}

/* A part of the samples has no total by line; that of the function is known. */
static void take_total(struct ui *u, struct rows *r, uint32_t frame)
{
	uint64_t total = 0;
	size_t i;

	/* Of a split profile it is in several rows. */
	for (i = 0; is_part(&u->m->pic.query) && i < u->nflat; i++)
		if (u->flat[i].frame == frame)
			total += u->flat[i].total;
	if (is_part(&u->m->pic.query))
		r->a.total = percent_of(total, u->m->pic.sum.samples);
}

static int load(struct ui *u)
{
	struct model *m = u->m;
	struct annotate_input in = {m->prof, m->lines, m->jt, m->now,
				    is_part(&m->pic.query) ? m->pic.sum.samples : 0};
	const struct lines_func *f;
	struct rows *r = rows_of(u);
	size_t n, i;
	int err;

	if (!r)
		r = u->rows[3] = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	forget(r);
	if (choose(u))
		return -ENOMEM;
	f = lines_funcs(m->lines, &n);
	i = find_function(u, f, n);
	if (i == n)
		return 0;
	r->c.chunk = strdup(f[i].chunk);
	r->c.flags = f[i].flags;
	r->c.pid = (int)f[i].pid;
	r->c.function = i;
	r->c.from = f[i].firstline > 0 ? (uint32_t)f[i].firstline : 1;
	r->c.to = f[i].lastline > 0 ? (uint32_t)f[i].lastline : INT32_MAX;
	err = r->c.chunk ? read_source(u, r) : -ENOMEM;
	if (!err)
		err = annotate_build(&in, &r->c, &r->src, &r->a);
	if (!err)
		take_total(u, r, f[i].frame);
	r->found = !err;
	r->frame = f[i].frame;
	return err;
}

static uint64_t identity(const struct annotate_item *i)
{
	return (uint64_t)i->line << 34 | (uint64_t)(i->pos & 0xffffffffu) << 2 | i->kind;
}

static int arrange(struct ui *u)
{
	struct list *l = &u->list[3];
	struct rows *r = rows_of(u);
	int source = r->src.n && r->show != SHOW_CODE, under = 0;
	size_t i;

	free(r->row);
	r->n = 0;
	r->row = calloc(r->a.n + 1, sizeof(*r->row));
	if (!r->row || list_room(l, r->a.n))
		return -ENOMEM;
	for (i = 0; i < r->a.n; i++) {
		const struct annotate_item *item = &r->a.item[i];

		if (item->kind == ANNOTATE_SOURCE)
			under =
			    !source || r->show == SHOW_ALL || (r->show == SHOW_HOT && item->hot);
		if (item->kind == ANNOTATE_SOURCE ? !source && !item->has_code : !under)
			continue;
		r->row[r->n++] = i;
		l->id[l->n++] = identity(item);
	}
	list_settle(l);
	return 0;
}

/* ---- drawing ---- */

static const struct annotate_item *item_at(struct ui *u, size_t row)
{
	struct rows *r = rows_of(u);

	return r && row < r->n ? &r->a.item[r->row[row]] : NULL;
}

static const struct annotate_item *selected(struct ui *u)
{
	long at = u->list[3].cursor;

	return at < 0 ? NULL : item_at(u, (size_t)at);
}

static void draw_share(struct grid *g, int x, int y, double v, enum grid_role role)
{
	if (v >= 0)
		grid_printf(g, x, y, 4, role, "%4.0f", v);
}

static void draw_row(struct ui *u, struct grid *g, int y, size_t row)
{
	const struct annotate_item *i = item_at(u, row);
	int code = i->kind == ANNOTATE_CODE, x = 1, wide = g->w >= 64;
	enum grid_role role = i->black || i->stopped ? ROLE_WARN : code ? ROLE_DIM : ROLE_NORMAL;

	if (i->kind == ANNOTATE_TITLE) {
		grid_text(g, wide ? 40 : 16, y, g->w - 17, ROLE_HEAD, i->text);
		return;
	}
	if (i->samples || code || i->has_code)
		grid_printf(g, x, y, 6,
			    i->self >= 5   ? ROLE_ALERT
			    : i->self >= 1 ? ROLE_WARN
					   : ROLE_DIM,
			    "%6.1f", i->self);
	x += 6;
	if (wide) {
		draw_share(g, x, y, i->compiled, ROLE_N);
		draw_share(g, x + 4, y, i->interpreted, ROLE_I);
		x += 8;
		if (code && i->stopped)
			grid_right(g, x, y, 7, ROLE_ALERT, "!");
		else if (!code && i->aborts)
			grid_printf(g, x, y, 7, ROLE_WARN, "%7llu", (unsigned long long)i->aborts);
		x += 7;
		if (i->trace && (!code || i->root))
			grid_printf(g, x, y, 7, ROLE_N, i->root ? "%*s*%u" : "%*s%u",
				    i->trace < 10    ? 4
				    : i->trace < 100 ? 3
						     : 1,
				    "", i->trace);
		x += 7;
	}
	if (!code)
		grid_printf(g, x, y, 6, ROLE_DIM, "%6u", i->line);
	x += 8 + (code ? 4 : 0);
	x = grid_text(g, x, y, g->w - x - 1, role, code || rows_of(u)->src.n ? i->text : "");
	if (i->note)
		grid_printf(g, x + 2, y, g->w - x - 3, ROLE_WARN, code ? "; %s" : "-- %s", i->note);
}

/* The trace that covers the line under the cursor. */
static const struct jt_trace *trace_here(struct ui *u)
{
	const struct annotate_item *i = selected(u);

	return i ? join_trace(&u->m->pic, i->pid, i->vm, i->trace) : NULL;
}

static void draw_foot(struct ui *u, struct grid *g, int y)
{
	const struct annotate_item *i = selected(u);
	struct rows *r = rows_of(u);
	const struct jt_trace *t;
	char link[48], from[48];
	int x = 1;

	draw_rule(g, y++,
		  "* a root trace starts here   ! the recorder stopped here   TR covers it");
	if (i)
		x = grid_printf(g, 1, y, g->w - 2, ROLE_NORMAL,
				":%u  %.1f%% self, %llu samples, %llu aborts here%s%s", i->line,
				i->self, (unsigned long long)i->samples,
				(unsigned long long)i->aborts, i->note ? "   " : "",
				i->note ? i->note : "");
	t = trace_here(u);
	if (t) {
		trace_link_text(t, link);
		trace_from_text(t, from);
		grid_printf(g, x + 2, y, g->w - x - 3, ROLE_N,
			    " trace %u: %s %s, ends in %s  [Enter]", t->trace,
			    short_place(&t->start, 40), from, link);
	}
	y++;
	grid_text(g, 1, y, g->w - 2, r->src.n ? ROLE_DIM : ROLE_WARN, r->src.status);
}

static void draw(struct ui *u, struct grid *g)
{
	static const char *const shows[SHOWS] = {"SOURCE, BYTECODE OF HOT LINES",
						 "SOURCE AND BYTECODE", "SOURCE", "BYTECODE"};
	struct rows *r = rows_of(u);
	const struct annotate *a = &r->a;
	int y = 1, bottom = g->h - 1 - (*u->ended && g->h > 12), foot = g->h >= 16 ? 3 : 0;
	int wide = g->w >= 64;
	char lines[48] = "";

	if (r->found && r->c.to < INT32_MAX)
		snprintf(lines, sizeof(lines), ":%u-%u", a->from, a->to);
	if (r->found)
		draw_title(u, g, "ljx annotate  %s%s%.200s%s  self %.1f%%  total %.1f%%%s", a->name,
			   *a->name ? "  " : "", a->file, lines, a->self,
			   a->total < 0 ? a->self : a->total,
			   u->query.g ? " in all VMs of the process" : "");
	else
		draw_title(u, g, "ljx annotate  %.200s", u->at.file);
	draw_tabs(u, g, y++);
	draw_quality_line(u, g, y++);
	grid_fill(g, 0, y, g->w, ROLE_HEAD, ' ', ' ');
	grid_printf(g, 1, y++, g->w - 2, ROLE_HEAD, "%s  %s",
		    wide ? " SELF%   N   I   ABRT     TR   LINE" : " SELF%  LINE",
		    shows[r->src.n ? r->show : SHOW_CODE]);

	if (!r->found)
		grid_text(g, 1, y + 1, g->w - 2, ROLE_DIM,
			  "no samples of it: choose a Lua function on screen 1");
	ui_rows(u, g, y, bottom - y - foot, draw_row);
	if (foot && r->found)
		draw_foot(u, g, bottom - foot);
}

/* ---- keys ---- */

static const char *text(struct ui *u, size_t row, char buf[UI_TEXT])
{
	const struct annotate_item *i = item_at(u, row);

	snprintf(buf, UI_TEXT, "%.200s", i && i->text ? i->text : "");
	return buf;
}

static int place(struct ui *u, struct place *out)
{
	const struct annotate_item *i = selected(u);

	*out = u->at;
	out->trace = 0;
	if (i) {
		out->line = i->line;
		out->trace = i->trace;
		if (i->trace) {
			out->pid = i->pid;
			out->vm = i->vm;
		}
	}
	return *u->at.file != '\0';
}

static void go(struct ui *u, const struct place *to)
{
	u->at = *to;
	u->list[3].cursor = 0;
	u->list[3].has_selected = to->line != 0;
	u->list[3].selected = (uint64_t)to->line << 34 | (uint64_t)EV_NO_PC << 2 | ANNOTATE_SOURCE;
}

/* What the line or instruction is sought for. */
static int is_sought(const struct annotate_item *i, enum action a)
{
	if (a == ACT_ABORT_NEXT)
		return i->stopped || (i->kind == ANNOTATE_SOURCE && i->aborts);
	return i->kind == ANNOTATE_SOURCE && i->self >= 1;
}

static unsigned int seek(struct ui *u, enum action a)
{
	struct list *l = &u->list[3];
	long n = (long)rows_of(u)->n, by = a == ACT_HOT_BACK ? -1 : 1, i, at;

	for (i = 1; i <= n; i++) {
		at = ((l->cursor + by * i) % n + n) % n;
		if (is_sought(item_at(u, (size_t)at), a)) {
			list_go(l, at, u->now);
			return UI_DRAW;
		}
	}
	ui_message(u, a == ACT_ABORT_NEXT ? "nothing stopped the recorder here"
					  : "no line with 1%% and more");
	return UI_DRAW;
}

static unsigned int hottest(struct ui *u)
{
	struct rows *r = rows_of(u);
	size_t i, best = 0;

	for (i = 0; i < r->n; i++)
		if (item_at(u, i)->kind == ANNOTATE_SOURCE &&
		    item_at(u, i)->samples > item_at(u, best)->samples)
			best = i;
	if (r->n)
		list_go(&u->list[3], (long)best, u->now);
	return UI_DRAW;
}

/* The site that stopped at the line under the cursor. */
static const struct jt_site *site_here(struct ui *u)
{
	const struct annotate_item *item = selected(u);
	const struct model_picture *pic = &u->m->pic;
	size_t i;

	for (i = 0; item && i < pic->nsites; i++) {
		const struct jt_loc *at = &pic->sites[i].at;

		if (at->kind == JT_LOC_LUA && at->line == item->line &&
		    !strcmp(at->file, rows_of(u)->a.file))
			return &pic->sites[i];
	}
	return NULL;
}

static unsigned int act(struct ui *u, enum action a)
{
	struct place p = {.frame = PICK_ALL};

	switch (a) {
	case ACT_ENTER:
		if (trace_here(u) && place(u, &p))
			return ui_open(u, 2, &p);
		ui_message(u, "no trace covers this line");
		return UI_DRAW;
	case ACT_CALLERS:
		if (!rows_of(u)->found)
			return 0;
		return functions_callers(u, rows_of(u)->frame);
	case ACT_MACHINE:
		return machine_open(u, trace_here(u));
	case ACT_HOTTEST:
		return hottest(u);
	case ACT_HOT_NEXT:
	case ACT_HOT_BACK:
	case ACT_ABORT_NEXT:
		return seek(u, a);
	case ACT_BYTECODE:
		rows_of(u)->show = (enum show)((rows_of(u)->show + 1) % SHOWS);
		return UI_ARRANGE;
	case ACT_EXPLAIN:
		ui_explain(u, site_here(u));
		return UI_DRAW;
	default:
		return 0;
	}
}

static void release(struct ui *u)
{
	struct rows *r = rows_of(u);

	if (r) {
		forget(r);
		source_release(&r->src);
		free(r->src_chunk);
	}
	free(r);
	u->rows[3] = NULL;
}

const struct screen_ops screen_annotate = {.name = "Annotate",
					   .on = ON_ANNOTATE,
					   .load = load,
					   .arrange = arrange,
					   .draw = draw,
					   .text = text,
					   .place = place,
					   .go = go,
					   .act = act,
					   .release = release};
