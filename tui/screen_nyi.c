// SPDX-License-Identifier: MIT
/* Screen 2: where recordings fail, at a location, in its file or everywhere, and why. */
#include "tui/functions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BY_COST, BY_COUNT, BY_LAST, BY_STATE, BY_AT, BY_REASON };
static const char *const columns[] = {"COST%",	  "COUNT",  "LAST", "STATE",
				      "ABORT AT", "REASON", NULL};

struct row {
	uint64_t id;
	const struct jt_site *s; /* of the picture */
	double cost;		 /* < 0: not known */
};

struct rows {
	struct row *row;
	size_t n, harmless, elsewhere;
	int stacks; /* show the Lua stack */
};

static struct rows *rows_of(struct ui *u)
{
	return u->rows[1];
}

static uint64_t mix(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h;
}

/* The same for the same row of two pictures. */
static uint64_t identity(const struct jt_site *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	h = mix(mix(mix(h, s->start.file), s->at.kind == JT_LOC_NONE ? "" : s->at.file), s->reason);
	h = mix(h, s->at.kind == JT_LOC_FUNCTION ? s->at.name : "");
	h = (h ^ s->start.line) * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ s->start.pos ^ (uint64_t)s->at.pos << 32) * UINT64_C(0x9e3779b97f4a7c15);
	h ^= (uint64_t)s->at.line << 8 | (uint64_t)s->kind << 4 | s->trace_kind;
	return h ^ h >> 31;
}

static int is_in(const struct jt_loc *loc, const struct place *p)
{
	if (loc->kind != JT_LOC_LUA || strcmp(loc->file, p->file))
		return 0;
	return loc->firstline == p->firstline || (!p->firstline && p->line && loc->line == p->line);
}

static int is_wanted(const struct ui *u, const struct jt_site *s)
{
	if (u->query.pid != PICK_ALL) {
		uint32_t i, mine = !s->nprocs;

		for (i = 0; i < s->nprocs; i++)
			mine |= s->proc[i].pid == u->query.pid;
		if (!mine && !s->others)
			return 0;
	}
	if (u->scope == SCOPE_PROCESS || !*u->at.file)
		return 1;
	if (u->scope == SCOPE_FILE)
		return (s->start.kind == JT_LOC_LUA && !strcmp(s->start.file, u->at.file)) ||
		       (s->at.kind == JT_LOC_LUA && !strcmp(s->at.file, u->at.file));
	return is_in(&s->start, &u->at) || is_in(&s->at, &u->at);
}

static int load(struct ui *u)
{
	if (!u->rows[1])
		u->rows[1] = calloc(1, sizeof(struct rows));
	return u->rows[1] ? 0 : -ENOMEM;
}

static const char *row_text(const struct jt_site *s, char buf[UI_TEXT])
{
	char started[128], state[24];

	site_started(s, started);
	site_state(s, state);
	snprintf(buf, UI_TEXT, "%.60s %.90s %.60s %s", site_at(s, 0), s->reason, started, state);
	return buf;
}

static int by_column(const struct row *x, const struct row *y, int column)
{
	switch (column) {
	case BY_COUNT:
		return (x->s->count < y->s->count) - (x->s->count > y->s->count);
	case BY_LAST:
		return (x->s->last < y->s->last) - (x->s->last > y->s->last);
	case BY_STATE:
		return (x->s->state < y->s->state) - (x->s->state > y->s->state);
	case BY_AT:
		return x->s->at.kind != JT_LOC_LUA || y->s->at.kind != JT_LOC_LUA ? 0
		       : strcmp(x->s->at.file, y->s->at.file)
			   ? strcmp(x->s->at.file, y->s->at.file)
			   : (x->s->at.line > y->s->at.line) - (x->s->at.line < y->s->at.line);
	case BY_REASON:
		return strcmp(x->s->reason, y->s->reason);
	default:
		if (site_is_low(x->s) != site_is_low(y->s) && x->cost < 1 && y->cost < 1)
			return site_is_low(x->s) ? 1 : -1;
		return (x->cost < y->cost) - (x->cost > y->cost);
	}
}

/* Aborts, then stitches, then returns, each by the column. */
static int compare(const void *a, const void *b, void *ctx)
{
	const struct row *x = a, *y = b;
	const struct ui *u = ctx;
	int order;

	if (x->s->kind != y->s->kind)
		return x->s->kind < y->s->kind ? -1 : 1;
	order = by_column(x, y, u->sort[1]);
	if (!order)
		order = by_column(x, y, BY_COUNT);
	if (!order)
		order = by_column(x, y, BY_LAST);
	if (!order)
		order = (x->id > y->id) - (x->id < y->id);
	return u->invert[1] ? -order : order;
}

static int arrange(struct ui *u)
{
	const struct model_picture *pic = &u->m->pic;
	struct filter *f = *u->filter[1] ? filter_new(u->filter[1]) : NULL;
	struct list *l = &u->list[1];
	struct rows *r = rows_of(u);
	char buf[UI_TEXT];
	size_t i;
	int err = 0;

	free(r->row);
	r->n = r->harmless = r->elsewhere = 0;
	r->row = calloc(pic->nsites + 1, sizeof(*r->row));
	if (!r->row || (*u->filter[1] && !f)) {
		filter_free(f);
		return -ENOMEM;
	}
	for (i = 0; i < pic->nsites; i++) {
		const struct jt_site *s = &pic->sites[i];

		if (join_is_harmless(s))
			r->harmless++;
		else if (!is_wanted(u, s))
			r->elsewhere++;
		else if (!f || filter_match(f, row_text(s, buf)))
			r->row[r->n++] =
			    (struct row){identity(s), s, join_cost(s, pic->query.recent)};
	}
	filter_free(f);
	qsort_r(r->row, r->n, sizeof(*r->row), compare, u);
	if (list_held(l, u->now))
		err = list_keep_order(l, r->row, r->n, sizeof(*r->row));
	if (err || list_room(l, r->n))
		return -ENOMEM;
	for (i = 0; i < r->n; i++)
		l->id[l->n++] = r->row[i].id;
	list_settle(l);
	return 0;
}

/* ---- drawing ---- */

static const struct row *selected(struct ui *u)
{
	const struct list *l = &u->list[1];
	const struct rows *r = rows_of(u);

	return r && l->cursor >= 0 && (size_t)l->cursor < r->n ? &r->row[l->cursor] : NULL;
}

struct widths {
	int cost, count, last, state, at, reason, started;
};

static struct widths widths(const struct grid *g)
{
	struct widths w = {.cost = 7, .count = 7, .last = 5, .state = 15, .at = 14};
	int rest;

	if (g->w < 90)
		w.state = 12;
	if (g->w < 70) {
		w.last = 0;
		w.state = 2;
	}
	if (g->w < 60)
		w.count = 0;
	rest = g->w - w.cost - w.count - w.last - w.state - w.at - 3;
	w.started = rest > 70 ? 28 : rest > 44 ? 17 : 0;
	w.reason = rest - w.started;
	if (w.reason > 60) {
		w.at += (w.reason - 60) / 2;
		w.reason = rest - w.started - (w.at - 14);
	}
	return w;
}

static void draw_heads(struct ui *u, struct grid *g, int y)
{
	struct widths w = widths(g);
	int x = 1;

	grid_fill(g, 0, y, g->w, ROLE_HEAD, ' ', ' ');
	draw_head(u, g, y, x - 1, w.cost, 1, BY_COST, columns[BY_COST]);
	x += w.cost;
	if (w.count)
		draw_head(u, g, y, x - 1, w.count, 1, BY_COUNT, columns[BY_COUNT]);
	x += w.count;
	if (w.last)
		draw_head(u, g, y, x - 1, w.last, 1, BY_LAST, columns[BY_LAST]);
	x += w.last;
	draw_head(u, g, y, x, w.state, 0, BY_STATE, w.state > 5 ? columns[BY_STATE] : "");
	x += w.state;
	draw_head(u, g, y, x, w.at, 0, BY_AT, columns[BY_AT]);
	x += w.at + 1;
	draw_head(u, g, y, x, w.reason, 0, BY_REASON, columns[BY_REASON]);
	if (w.started)
		grid_text(g, x + w.reason, y, w.started, ROLE_HEAD, "TRACE STARTED AT");
}

static enum grid_role state_role(enum jt_state s)
{
	return s == JT_STATE_BLACKLISTED || s == JT_STATE_INTERP ? ROLE_ALERT
	       : s == JT_STATE_RETRYING				 ? ROLE_WARN
	       : s == JT_STATE_COMPILED				 ? ROLE_GOOD
								 : ROLE_DIM;
}

static void draw_row(struct ui *u, struct grid *g, int y, size_t i)
{
	const struct row *r = &rows_of(u)->row[i];
	struct widths w = widths(g);
	char state[24], last[16], started[128];
	int x = 1;

	site_state(r->s, state);
	site_last(r->s->last, u->m->pic.time, last);
	site_started(r->s, started);
	if (r->cost >= 0)
		grid_printf(g, x - 1, y, w.cost, r->cost >= 1 ? ROLE_WARN : ROLE_NORMAL, "%*.1f",
			    w.cost, r->cost);
	else
		grid_right(g, x - 1, y, w.cost, ROLE_DIM, "-");
	x += w.cost;
	if (w.count)
		grid_printf(g, x - 1, y, w.count, ROLE_NORMAL, "%*llu", w.count,
			    (unsigned long long)r->s->count);
	x += w.count;
	if (w.last)
		grid_right(g, x - 1, y, w.last, ROLE_NORMAL, last);
	x += w.last;
	if (w.state < 5)
		*state = r->s->state == JT_STATE_BLACKLISTED ? 'B' : *state, state[1] = '\0';
	grid_text(g, x, y, w.state - 1, state_role(r->s->state), state);
	x += w.state;
	grid_text(g, x, y, w.at, ROLE_NORMAL, site_at(r->s, 0));
	x += w.at + 1;
	grid_text(g, x, y, w.reason - 1, r->s->kind == JT_SITE_ABORT ? ROLE_NORMAL : ROLE_DIM,
		  r->s->reason);
	if (w.started)
		grid_text(g, x + w.reason, y, w.started, ROLE_DIM, started);
}

static int draw_stack(struct grid *g, int y, int last, const struct jt_site *s)
{
	uint32_t i;

	if (!s->nstack) {
		grid_text(g, 3, y, g->w - 4, ROLE_DIM, "its Lua stack is not known");
		return y + 1;
	}
	grid_printf(g, 3, y++, g->w - 4, ROLE_HEAD, "Lua stack at the abort (%llu of %llu)",
		    (unsigned long long)s->stack_count, (unsigned long long)s->count);
	for (i = 0; i < s->nstack && y <= last; i++, y++) {
		const struct jt_loc *f = &s->stack[i];

		if (f->kind == JT_LOC_LUA)
			grid_printf(g, 5, y, g->w - 6, ROLE_NORMAL, "%s (%s:%u)",
				    *f->name  ? f->name
				    : f->main ? "main chunk"
					      : "?",
				    f->file, f->line);
		else
			grid_text(g, 5, y, g->w - 6, ROLE_NORMAL, f->name);
	}
	return y;
}

static void draw_part(struct grid *g, int *y, int last, const char *head, const char *text)
{
	int lines = last - *y + 1;

	if (lines < 1)
		return;
	grid_text(g, 3, *y, 9, ROLE_HEAD, head);
	*y = draw_wrapped(g, 13, *y, g->w - 14, lines < 3 ? lines : 3, ROLE_NORMAL, text);
}

static void draw_seen(struct ui *u, struct grid *g, int *y, int last, const struct jt_site *s)
{
	char text[UI_TEXT] = "", a[32], b[32];
	size_t n = 0;
	uint32_t i;

	for (i = 0; i < s->nprocs && n + 24 < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%u: %u   ", s->proc[i].pid,
				      s->proc[i].count);
	if (s->others)
		snprintf(text + n, sizeof(text) - n, "others: %u", s->others);
	if (*text)
		draw_part(g, y, last, "Seen in", text);
	if (!s->count || *y > last)
		return;
	model_clock(u->m, s->first, a);
	model_clock(u->m, s->last, b);
	grid_text(g, 3, *y, 9, ROLE_HEAD, "First");
	grid_printf(g, 13, (*y)++, g->w - 14, ROLE_NORMAL, "%s   Last %s", a, b);
}

/* What it failed for failed before: the way to the first cause. */
static void draw_because(struct grid *g, int *y, int last, const struct jt_site *s)
{
	uint32_t i;

	for (i = 0; i < s->nbecause && *y <= last; i++) {
		const struct jt_because *b = &s->because[i];

		if (!i)
			grid_text(g, 3, *y, 9, ROLE_HEAD, "Because");
		grid_printf(g, 13, (*y)++, g->w - 14, ROLE_WARN, "%s %s: %s%s",
			    short_place(&b->start, 0), b->start.name, b->reason,
			    b->inferred ? " (inferred)" : "");
	}
}

/* All that is known of the row under the cursor, between y and last. */
static void draw_detail(struct ui *u, struct grid *g, int y, int last)
{
	const struct row *r = selected(u);
	const struct jt_site *s = r ? r->s : NULL;
	const struct explain *e;

	if (!s) {
		grid_text(g, 1, y, g->w - 2, ROLE_DIM,
			  "nothing fails here; g widens the scope to the file, then to all");
		return;
	}
	if (s->count)
		grid_printf(g, 1, y++, g->w - 2, ROLE_WARN,
			    "> %s  %s   %llu times, %u in the last 60 s", site_at(s, 0), s->reason,
			    (unsigned long long)s->count, s->recent);
	else
		grid_printf(g, 1, y++, g->w - 2, ROLE_WARN,
			    "> %s   given up before ljx came: read from the VM's memory",
			    s->reason);
	if (rows_of(u)->stacks && (s->nstack || s->kind == JT_SITE_ABORT))
		y = draw_stack(g, y, last, s);
	draw_because(g, &y, last, s);
	e = explain_site(s);
	if (e) {
		draw_part(g, &y, last, "Why", e->why);
		draw_part(g, &y, last, "Effect", e->effect);
		draw_part(g, &y, last, "Usual fix", e->fix);
	}
	draw_seen(u, g, &y, last, s);
	if (!rows_of(u)->stacks && y + 1 < last && (s->nstack || s->kind == JT_SITE_ABORT))
		draw_stack(g, y, last, s);
}

static void scope_text(const struct ui *u, char buf[UI_TEXT])
{
	const struct place *p = &u->at;

	if (u->scope == SCOPE_PROCESS || !*p->file)
		snprintf(buf, UI_TEXT, "everywhere");
	else if (u->scope == SCOPE_FILE)
		snprintf(buf, UI_TEXT, "%.200s", p->file);
	else if (p->lastline > p->firstline)
		snprintf(buf, UI_TEXT, "%.140s:%d-%d (%.60s)", p->file, p->firstline, p->lastline,
			 *p->name ? p->name : "?");
	else
		snprintf(buf, UI_TEXT, "%.140s:%d (%.60s)", p->file,
			 p->firstline ? p->firstline : (int)p->line, *p->name ? p->name : "?");
}

/* The function that the location is in, among those with samples. NULL: it has none. */
static const struct pick_row *function_here(const struct ui *u)
{
	size_t i;

	for (i = 0; *u->at.file && i < u->nflat; i++) {
		const struct prof_frame *f = prof_frame(u->m->prof, u->flat[i].frame);

		if (f->kind == PROF_LUA && f->line == u->at.firstline &&
		    !strcmp(f->file, u->at.file))
			return &u->flat[i];
	}
	return NULL;
}

/* How hot it is, in which state, and who calls it. Returns the next free line. */
static int draw_function(struct ui *u, struct grid *g, int y)
{
	const struct pick_row *r = u->scope == SCOPE_LOCATION ? function_here(u) : NULL;
	int x;

	if (!r)
		return y;
	x = grid_printf(
	    g, 1, y, g->w - 2, ROLE_NORMAL,
	    "self %.1f%% of CPU, total %.1f%%; of self %.0f%% compiled, %.0f%% interpreted",
	    percent_of(r->self, u->m->pic.sum.samples), percent_of(r->total, u->m->pic.sum.samples),
	    percent_of(r->by[PROF_GROUP_N], r->self), percent_of(r->by[PROF_GROUP_I], r->self));
	functions_draw_callers(u, g, x + 3, y, r->frame, PICK_ALL);
	return y + 1;
}

static void draw(struct ui *u, struct grid *g)
{
	static const char *const scopes[] = {"location", "file", "process"};
	const struct rows *r = rows_of(u);
	const struct jt_stats *st = &u->m->pic.jit;
	char where[UI_TEXT];
	int y = 1, bottom = g->h - 1 - (*u->ended && g->h > 12), rows, detail;

	scope_text(u, where);
	draw_title(u, g, "ljx nyi  %s", where);
	draw_tabs(u, g, y++);
	if (g->h > 14)
		grid_printf(g, 1, y++, g->w - 2, ROLE_NORMAL,
			    "scope: %s (g: next)   %zu here, %zu elsewhere   %llu aborts, "
			    "%llu stitches since the start",
			    scopes[u->scope], r->n, r->elsewhere, (unsigned long long)st->aborts,
			    (unsigned long long)st->stitches);
	if (g->h >= 20)
		y = draw_function(u, g, y);
	draw_quality_line(u, g, y++);
	draw_heads(u, g, y++);
	detail = g->h >= 20 ? (bottom - y) * 3 / 5 : 0;
	rows = bottom - y - detail;
	if ((int)r->n < rows && detail) {
		rows = r->n ? (int)r->n : 1;
		detail = bottom - y - rows;
	}
	ui_rows(u, g, y, rows, draw_row);
	y += rows;
	if (!detail)
		return;
	draw_rule(g, y++,
		  r->n ? "COST% is the share of CPU that runs uncompiled because of the row" : "");
	draw_detail(u, g, y, bottom - 1);
}

/* ---- keys ---- */

static const char *text(struct ui *u, size_t row, char buf[UI_TEXT])
{
	return row_text(rows_of(u)->row[row].s, buf);
}

static int place(struct ui *u, struct place *out)
{
	const struct row *r = selected(u);

	if (!r) {
		*out = u->at;
		return *u->at.file != '\0';
	}
	place_of_loc(out, r->s->start.kind == JT_LOC_LUA ? &r->s->start : &r->s->at);
	if (r->s->at.kind == JT_LOC_LUA && r->s->at.firstline == out->firstline)
		out->line = r->s->at.line;
	out->trace = r->s->kind == JT_SITE_ABORT ? r->s->parent : r->s->trace;
	out->pid = r->s->nprocs ? r->s->proc[0].pid : 0;
	return 1;
}

static void go(struct ui *u, const struct place *to)
{
	u->at = *to;
	u->scope = *to->file ? SCOPE_LOCATION : SCOPE_PROCESS;
	u->list[1].cursor = 0;
	u->list[1].has_selected = 0;
}

static unsigned int act(struct ui *u, enum action a)
{
	const struct row *r = selected(u);

	switch (a) {
	case ACT_SCOPE:
		u->scope = (enum scope)((u->scope + 1) % 3);
		return UI_ARRANGE;
	case ACT_ENTER:
		if (r && r->s->kind != JT_SITE_ABORT)
			ui_message(u, "only aborts tell their Lua stack");
		rows_of(u)->stacks = !rows_of(u)->stacks;
		return UI_DRAW;
	case ACT_EXPLAIN:
		ui_explain(u, r ? r->s : NULL);
		return UI_DRAW;
	default:
		return 0;
	}
}

static void release(struct ui *u)
{
	struct rows *r = rows_of(u);

	if (r)
		free(r->row);
	free(r);
	u->rows[1] = NULL;
}

const struct screen_ops screen_nyi = {.name = "NYI/aborts",
				      .on = ON_NYI,
				      .load = load,
				      .arrange = arrange,
				      .draw = draw,
				      .text = text,
				      .place = place,
				      .go = go,
				      .act = act,
				      .columns = columns,
				      .release = release};
