// SPDX-License-Identifier: MIT
/* Screen 3: the live traces, as families or flat, and what the compiler did in the last minutes. */
#include "bytecode/jitnames.h"
#include "tui/ui.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BY_SELF, BY_NUMBER, BY_IR, BY_MCODE, BY_SNAP, BY_ABORTS, BY_AGE };
static const char *const columns[] = {"SELF%", "TRACE",	 "IR",	"MCODE",
				      "SNAP",  "ABORTS", "AGE", NULL};

#define DEPTH_MAX 12

struct row {
	uint64_t id;
	const struct jt_trace *t; /* of the picture */
	int depth;
	uint64_t samples;
	uint64_t family; /* samples of it and all below it */
};

struct rows {
	struct row *row; /* as shown */
	size_t n, hidden;
	uint64_t base;
};

static struct rows *rows_of(struct ui *u)
{
	return u->rows[2];
}

static uint64_t identity(const struct jt_trace *t)
{
	return ((uint64_t)t->pid << 40 ^ (uint64_t)t->vm << 32) ^ (uint64_t)t->epoch << 20 ^
	       t->trace;
}

static uint64_t samples_of(const struct ui *u, const struct jt_trace *t)
{
	return u->m->pic.query.recent ? t->samples.recent : t->samples.samples;
}

static int load(struct ui *u)
{
	if (!u->rows[2])
		u->rows[2] = calloc(1, sizeof(struct rows));
	return u->rows[2] ? 0 : -ENOMEM;
}

static const char *row_text(const struct jt_trace *t, char buf[UI_TEXT])
{
	char link[48], from[48];

	trace_link_text(t, link);
	trace_from_text(t, from);
	snprintf(buf, UI_TEXT, "trace#%u %.30s %.100s %.30s %.60s", t->trace, link,
		 short_place(&t->start, 0), from, t->start.name);
	return buf;
}

/* The value that rows are sorted by, the largest first. */
static double weight(const struct ui *u, const struct row *r)
{
	switch (u->sort[2]) {
	case BY_NUMBER:
		return -(double)r->t->trace - 65536.0 * r->t->vm - 1e9 * r->t->pid;
	case BY_IR:
		return r->t->nins;
	case BY_MCODE:
		return r->t->szmcode;
	case BY_SNAP:
		return r->t->nsnap;
	case BY_ABORTS:
		return r->t->aborts;
	case BY_AGE:
		return (double)r->t->time;
	default:
		return (double)(u->tree_flat ? r->samples : r->family);
	}
}

static int compare(const void *a, const void *b, void *ctx)
{
	const struct row *x = a, *y = b;
	const struct ui *u = ctx;
	double wx = weight(u, x), wy = weight(u, y);
	int order = wx < wy ? 1 : wx > wy ? -1 : (x->id > y->id) - (x->id < y->id);

	return u->invert[2] ? -order : order;
}

/* The index of trace number of the same VM; they are sorted by process, VM and number. */
static size_t index_of(const struct model_picture *pic, const struct jt_trace *like,
		       uint32_t number)
{
	size_t lo = 0, hi = pic->ntraces;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct jt_trace *t = &pic->traces[mid];
		int less = t->pid != like->pid ? t->pid < like->pid
			   : t->vm != like->vm ? t->vm < like->vm
					       : t->trace < number;

		if (less)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < pic->ntraces && pic->traces[lo].trace == number &&
	    pic->traces[lo].pid == like->pid && pic->traces[lo].vm == like->vm)
		return lo;
	return SIZE_MAX;
}

/* The parents: index, or SIZE_MAX; a trace whose parent is itself, or unknown, is a root. */
static size_t parent_index(const struct model_picture *pic, size_t i)
{
	uint32_t p = trace_parent(&pic->traces[i]);
	size_t at = p && p != pic->traces[i].trace ? index_of(pic, &pic->traces[i], p) : SIZE_MAX;

	/* Numbers of parents are smaller, unless numbers were used again: then no loops. */
	return at < i ? at : SIZE_MAX;
}

static int is_wanted(const struct ui *u, const struct jt_trace *t, const struct filter *f)
{
	char buf[UI_TEXT];

	if (u->query.pid != PICK_ALL && t->pid != u->query.pid)
		return 0;
	return !f || filter_match(f, row_text(t, buf));
}

struct tree_work {
	const struct ui *u;
	struct row *row;	       /* all, by index of the picture */
	size_t *next, *child, *parent; /* SIZE_MAX: none */
	struct row *out;
	size_t n;
};

static void emit(struct tree_work *w, size_t first, size_t count, int depth)
{
	struct row *level = calloc(count + 1, sizeof(*level));
	size_t n = 0, i, c;

	for (c = first; level && c != SIZE_MAX && n < count; c = w->next[c])
		level[n++] = w->row[c];
	qsort_r(level, n, sizeof(*level), compare, (void *)(uintptr_t)w->u);
	for (i = 0; i < n; i++) {
		size_t at = (size_t)(level[i].t - w->u->m->pic.traces), kids = 0;

		level[i].depth = depth;
		w->out[w->n++] = level[i];
		for (c = w->child[at]; c != SIZE_MAX; c = w->next[c])
			kids++;
		if (kids && depth < DEPTH_MAX)
			emit(w, w->child[at], kids, depth + 1);
	}
	free(level);
}

static uint32_t root_of(const struct jt_trace *t)
{
	return t->root ? t->root : t->trace;
}

/* The families, the heaviest first. Returns the number of rows put into out. */
static size_t families(const struct ui *u, struct row *row, struct row *out)
{
	const struct model_picture *pic = &u->m->pic;
	size_t n = pic->ntraces, i, roots = SIZE_MAX, nroots = 0;
	struct tree_work w = {.u = u, .row = row, .out = out};

	w.next = malloc((n + 1) * 3 * sizeof(*w.next));
	if (!w.next)
		return 0;
	w.child = w.next + n + 1;
	w.parent = w.child + n + 1;
	for (i = 0; i < n; i++) {
		w.child[i] = SIZE_MAX;
		w.parent[i] = parent_index(pic, i);
	}
	for (i = n; i-- > 0;) {
		size_t p = w.parent[i];

		if (p != SIZE_MAX)
			row[p].family += row[i].family;
		if (u->family && root_of(row[i].t) != u->family)
			continue;
		w.next[i] = p == SIZE_MAX ? roots : w.child[p];
		if (p == SIZE_MAX) {
			roots = i;
			nroots++;
		} else {
			w.child[p] = i;
		}
	}
	emit(&w, roots, nroots, 0);
	free(w.next);
	return w.n;
}

static int arrange(struct ui *u)
{
	const struct model_picture *pic = &u->m->pic;
	struct filter *f = *u->filter[2] ? filter_new(u->filter[2]) : NULL;
	struct row *row = calloc(pic->ntraces + 1, sizeof(*row));
	struct list *l = &u->list[2];
	struct rows *r = rows_of(u);
	size_t i, n = 0;
	int err;

	free(r->row);
	r->row = calloc(pic->ntraces + 1, sizeof(*r->row));
	r->n = 0;
	r->base = pic->sum.samples;
	if (!r->row || !row || (*u->filter[2] && !f)) {
		filter_free(f);
		free(row);
		return -ENOMEM;
	}
	for (i = 0; i < pic->ntraces; i++) {
		uint64_t s = samples_of(u, &pic->traces[i]);

		row[i] = (struct row){identity(&pic->traces[i]), &pic->traces[i], 0, s, s};
	}
	if (!u->tree_flat)
		n = families(u, row, r->row);
	for (i = 0; u->tree_flat && i < pic->ntraces; i++)
		if (!u->family || root_of(row[i].t) == u->family)
			r->row[n++] = row[i];
	if (u->tree_flat)
		qsort_r(r->row, n, sizeof(*r->row), compare, u);
	free(row);
	for (i = 0; i < n; i++)
		if (is_wanted(u, r->row[i].t, f))
			r->row[r->n++] = r->row[i];
	filter_free(f);
	r->hidden = pic->ntraces - r->n;
	err = list_held(l, u->now) ? list_keep_order(l, r->row, r->n, sizeof(*r->row)) : 0;
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
	const struct list *l = &u->list[2];
	const struct rows *r = rows_of(u);

	return r && l->cursor >= 0 && (size_t)l->cursor < r->n ? &r->row[l->cursor] : NULL;
}

struct widths {
	int trace, gen, self, link, ir, mcode, snap, aborts, start, function;
};

static struct widths widths(const struct grid *g)
{
	struct widths w = {.trace = 9,
			   .gen = 4,
			   .self = 7,
			   .link = 13,
			   .ir = 5,
			   .mcode = 8,
			   .snap = 5,
			   .aborts = 7};
	int rest;

	if (g->w < 96)
		w.snap = w.gen = 0;
	if (g->w < 84)
		w.aborts = w.ir = 0;
	if (g->w < 66)
		w.mcode = 0;
	if (g->w < 54)
		w.link = 0;
	rest = g->w - 2 - w.trace - w.gen - w.self - w.link - w.ir - w.mcode - w.snap - w.aborts;
	w.function = rest > 34 ? rest * 2 / 5 : 0;
	w.start = rest - w.function;
	return w;
}

static void draw_heads(struct ui *u, struct grid *g, int y)
{
	struct widths w = widths(g);
	int x = 1;

	grid_fill(g, 0, y, g->w, ROLE_HEAD, ' ', ' ');
	draw_head(u, g, y, x, w.trace, 0, BY_NUMBER, "TRACE");
	x += w.trace;
	if (w.gen)
		grid_right(g, x - 1, y, w.gen, ROLE_HEAD, "GEN");
	x += w.gen;
	draw_head(u, g, y, x, w.self, 1, BY_SELF, "SELF%");
	x += w.self + 1;
	if (w.link)
		grid_text(g, x + 1, y, w.link, ROLE_HEAD, "LINK");
	x += w.link;
	if (w.ir)
		draw_head(u, g, y, x, w.ir, 1, BY_IR, "IR");
	x += w.ir;
	if (w.mcode)
		draw_head(u, g, y, x, w.mcode, 1, BY_MCODE, "MCODE");
	x += w.mcode;
	if (w.snap)
		draw_head(u, g, y, x, w.snap, 1, BY_SNAP, "SNAP");
	x += w.snap;
	if (w.aborts)
		draw_head(u, g, y, x, w.aborts, 1, BY_ABORTS, "ABORTS");
	x += w.aborts;
	grid_text(g, x + 1, y, w.start - 1, ROLE_HEAD, "START");
	if (w.function)
		grid_text(g, x + w.start, y, w.function, ROLE_HEAD, "FUNCTION");
}

static void draw_number(struct grid *g, int x, int y, int width, const struct row *r)
{
	char text[64];
	int depth = r->depth < 5 ? r->depth : 5;

	if (r->depth)
		grid_fill(g, x + depth - 1, y, 1, ROLE_DIM, 0x2514, '`');
	snprintf(text, sizeof(text), "%u", r->t->trace);
	grid_text(g, x + depth, y, width - depth,
		  r->t->kind == EV_TRACE_ROOT ? ROLE_N : ROLE_NORMAL, text);
}

static void draw_row(struct ui *u, struct grid *g, int y, size_t i)
{
	struct rows *rs = rows_of(u);
	const struct row *r = &rs->row[i];
	const struct jt_trace *t = r->t;
	struct widths w = widths(g);
	char link[48], from[48], text[JT_TEXT + 64];
	double p = percent_of(r->samples, rs->base);
	int x = 1;

	trace_link_text(t, link);
	trace_from_text(t, from);
	draw_number(g, x, y, w.trace, r);
	x += w.trace;
	if (w.gen)
		grid_printf(g, x - 1, y, w.gen, ROLE_DIM, "%*u", w.gen, t->epoch + 1);
	x += w.gen;
	grid_printf(g, x, y, w.self, p >= 1 ? ROLE_N : ROLE_DIM, "%*.1f", w.self, p);
	x += w.self + 1;
	if (w.link)
		grid_text(g, x + 1, y, w.link - 1,
			  t->linktype == LINK_STITCH || t->linktype == LINK_INTERP ? ROLE_WARN
										   : ROLE_NORMAL,
			  link);
	x += w.link;
	if (w.ir)
		grid_printf(g, x, y, w.ir, ROLE_NORMAL, "%*u", w.ir, t->nins);
	x += w.ir;
	if (w.mcode)
		grid_printf(g, x, y, w.mcode, ROLE_NORMAL, "%*.1f KB", w.mcode - 3,
			    (double)t->szmcode / 1024);
	x += w.mcode;
	if (w.snap)
		grid_printf(g, x, y, w.snap, ROLE_NORMAL, "%*u", w.snap, t->nsnap);
	x += w.snap;
	if (w.aborts)
		grid_printf(g, x, y, w.aborts, t->aborts ? ROLE_WARN : ROLE_DIM, "%*u", w.aborts,
			    t->aborts);
	x += w.aborts;
	snprintf(text, sizeof(text), "%s %s", short_place(&t->start, 0), from);
	grid_text(g, x + 1, y, w.start - 2, ROLE_NORMAL, text);
	if (w.function)
		grid_text(g, x + w.start, y, w.function, ROLE_DIM,
			  *t->start.name  ? t->start.name
			  : t->start.main ? "main chunk"
					  : "");
}

static void draw_children(struct ui *u, struct grid *g, int y, const struct jt_trace *t)
{
	const struct model_picture *pic = &u->m->pic;
	int x = grid_text(g, 3, y, 10, ROLE_HEAD, "Children "), shown = 0;
	size_t i;

	x = 13;
	for (i = 0; i < pic->ntraces && x < g->w - 20; i++) {
		const struct jt_trace *c = &pic->traces[i];
		char link[48];

		if (c->pid != t->pid || c->vm != t->vm || c == t || trace_parent(c) != t->trace)
			continue;
		trace_link_text(c, link);
		x = grid_printf(g, x, y, g->w - x - 1, ROLE_NORMAL, "%u (", c->trace);
		if (c->kind == EV_TRACE_SIDE && c->parent)
			x = grid_printf(g, x, y, g->w - x - 1, ROLE_NORMAL, "exit %u, ", c->exitno);
		x = grid_printf(g, x, y, g->w - x - 1, ROLE_NORMAL, "%s)  ", link);
		shown++;
	}
	if (!shown)
		grid_text(g, 13, y, g->w - 14, ROLE_DIM, "no side trace starts here");
}

/* The exits that were taken most and have no side trace. */
static void draw_exits(struct grid *g, int y, const struct jt_trace *t)
{
	uint32_t i;
	int x = 13;

	grid_text(g, 3, y, 9, ROLE_HEAD, "Exits");
	for (i = 0; i < t->nexits && x < g->w - 16; i++) {
		const struct jt_exit *e = &t->exits[i];

		if (e->child || e->count == EV_EXIT_DONE)
			continue;
		x = grid_printf(g, x, y, g->w - x - 1, e->retrying ? ROLE_WARN : ROLE_NORMAL,
				"%u taken %ux to %s%s  ", e->exitno, e->count,
				short_place(&e->at, 30), e->retrying ? ", retrying" : "");
	}
	if (x == 13)
		grid_text(g, x, y, g->w - 14, ROLE_DIM, "none was taken that has no side trace");
}

/* What failed before it compiled. */
static void draw_history(struct ui *u, struct grid *g, int y, const struct jt_trace *t)
{
	const struct model_picture *pic = &u->m->pic;
	int x, shown = 0;
	size_t i;

	grid_text(g, 3, y, 10, ROLE_HEAD, "History");
	x = grid_printf(g, 13, y, g->w - 14, ROLE_NORMAL, "%u attempts failed before", t->aborts);
	for (i = 0; i < pic->nsites && x < g->w - 20; i++) {
		const struct jt_site *s = &pic->sites[i];

		if (s->kind != JT_SITE_ABORT || s->start.kind != JT_LOC_LUA ||
		    s->start.pos != t->start.pos || t->start.kind != JT_LOC_LUA ||
		    s->start.firstline != t->start.firstline || s->trace_kind != t->kind ||
		    strcmp(s->start.file, t->start.file))
			continue;
		x = grid_printf(g, x, y, g->w - x - 1, ROLE_WARN, "%s %llux \"%s\" at :%u",
				shown++ ? "," : ":", (unsigned long long)s->count, s->reason,
				s->at.line);
	}
}

static int draw_selected(struct ui *u, struct grid *g, int y, int last)
{
	const struct row *r = selected(u);
	const struct jt_trace *t = r ? r->t : NULL;
	char at[JT_TEXT], link[48], from[48];
	uint64_t age;

	if (!t) {
		grid_text(g, 1, y, g->w - 2, ROLE_DIM,
			  u->at.file[0] ? "no live trace starts here" : "no traces");
		return y + 1;
	}
	trace_link_text(t, link);
	trace_from_text(t, from);
	jt_loc_format(&t->start, at, sizeof(at));
	age = u->m->pic.time > t->time ? (u->m->pic.time - t->time) / MODEL_SECOND : 0;
	grid_printf(g, 1, y++, g->w - 2, ROLE_NORMAL,
		    "Selected %u  %s  %s %s  compiled %llu s ago%s%s", t->trace, t->start.name, at,
		    from, (unsigned long long)age, u->m->pic.nvms > 1 ? "  in " : "",
		    u->m->pic.nvms > 1 ? t->comm : "");
	if (y <= last) {
		jt_loc_format(&t->end, at, sizeof(at));
		grid_text(g, 3, y, 9, ROLE_HEAD, "Ends");
		grid_printf(g, 13, y++, g->w - 14, ROLE_NORMAL, "%s%s%s   root %u   %u snapshots",
			    link, t->end.kind == JT_LOC_NONE ? "" : " at ",
			    t->end.kind == JT_LOC_NONE ? "" : at, root_of(t), t->nsnap);
	}
	if (y <= last)
		draw_children(u, g, y++, t);
	if (y <= last)
		draw_exits(g, y++, t);
	if (y <= last)
		draw_history(u, g, y++, t);
	return y;
}

static char digit(uint32_t n)
{
	return n == 0 ? '.' : n < 10 ? (char)('0' + n) : '+';
}

static void draw_timeline(struct ui *u, struct grid *g, int y)
{
	static const struct {
		const char *name;
		enum grid_role role;
	} lines[] = {{"starts", ROLE_NORMAL},
		     {"stops", ROLE_GOOD},
		     {"aborts", ROLE_WARN},
		     {"flush", ROLE_ALERT}};
	static const char *const causes[] = {"", "jit.flush", "trace table full",
					     "mcode area full"};
	uint64_t now = u->m->pic.time / MODEL_SECOND;
	int width = g->w - 13, i, k;
	struct model_second last = {.second = 0};

	grid_text(g, 1, y, g->w - 2, ROLE_HEAD, "Timeline");
	grid_right(g, 12, y, width, ROLE_DIM, "1 column = 1 s, now at the right");
	for (k = 0; k < 4; k++)
		grid_text(g, 3, y + 1 + k, 8, ROLE_NORMAL, lines[k].name);
	for (i = 0; i < width && (uint64_t)i <= now; i++) {
		struct model_second s = model_second(&u->m->pic, now - (uint64_t)i);
		uint32_t n[4] = {s.starts, s.stops, s.aborts, s.flushes};

		if (s.second * MODEL_SECOND + MODEL_SECOND <= u->m->first)
			break;
		for (k = 0; k < 4; k++)
			grid_fill(g, 12 + width - 1 - i, y + 1 + k, 1,
				  n[k] ? lines[k].role : ROLE_DIM,
				  (uint32_t)(k == 3 && n[k] ? 'F' : digit(n[k])),
				  k == 3 && n[k] ? 'F' : digit(n[k]));
		if (s.flushes && !last.flushes)
			last = s;
	}
	if (last.flushes)
		grid_printf(
		    g, 12, y + 5, width, ROLE_WARN, "last flush %llu s ago: %s, %u traces dropped",
		    (unsigned long long)(now - last.second), causes[last.cause & 3], last.dropped);
}

static void draw(struct ui *u, struct grid *g)
{
	const struct model_picture *pic = &u->m->pic;
	struct rows *r = rows_of(u);
	char text[96];
	int y = 1, bottom = g->h - 1 - (*u->ended && g->h > 12), detail, timeline, rows;

	draw_title(u, g, "ljx traces  %s %d   %zu live, %llu flushes, %llu aborted", u->opts.name,
		   u->opts.pid ? u->opts.pid : (int)u->m->first_pid, pic->ntraces,
		   (unsigned long long)pic->jit.flushes, (unsigned long long)pic->jit.aborts);
	draw_tabs(u, g, y++);
	draw_quality_line(u, g, y++);
	draw_heads(u, g, y++);
	timeline = g->h >= 24 ? 6 : 0;
	detail = g->h >= 17 ? 6 : 0;
	rows = bottom - y - timeline - detail;
	ui_rows(u, g, y, rows, draw_row);
	y += rows;
	if (detail) {
		if (u->family)
			snprintf(text, sizeof(text), "only the family of trace %u (r: all)",
				 u->family);
		else if ((long)r->n > u->list[2].top + rows)
			snprintf(text, sizeof(text), "%ld more traces",
				 (long)r->n - u->list[2].top - rows);
		else
			*text = '\0';
		draw_rule(g, y, text);
		draw_selected(u, g, y + 1, y + detail - 1);
		y += detail;
	}
	if (timeline)
		draw_timeline(u, g, y);
}

/* ---- keys ---- */

static const char *text(struct ui *u, size_t row, char buf[UI_TEXT])
{
	return row_text(rows_of(u)->row[row].t, buf);
}

static int place(struct ui *u, struct place *out)
{
	const struct row *r = selected(u);

	if (!r)
		return 0;
	place_of_loc(out, &r->t->start);
	out->trace = r->t->trace;
	out->pid = r->t->pid;
	out->vm = r->t->vm;
	return 1;
}

/* The trace, or the heaviest one that starts in the function. */
static void go(struct ui *u, const struct place *to)
{
	const struct model_picture *pic = &u->m->pic;
	const struct jt_trace *best = join_trace(pic, to->pid, to->vm, to->trace);
	struct list *l = &u->list[2];
	size_t i;

	u->at = *to;
	u->family = 0;
	for (i = 0; !to->trace && i < pic->ntraces; i++) {
		const struct jt_trace *t = &pic->traces[i];

		if (t->start.kind == JT_LOC_LUA && !strcmp(t->start.file, to->file) &&
		    t->start.firstline == to->firstline &&
		    (!best || samples_of(u, t) > samples_of(u, best)))
			best = t;
	}
	if (!best) {
		if (*to->file)
			ui_message(u, "no live trace starts in %.100s:%d", to->file, to->firstline);
		return;
	}
	l->selected = identity(best);
	l->has_selected = 1;
	l->cursor = 0;
}

static unsigned int act(struct ui *u, enum action a)
{
	const struct row *r = selected(u);
	struct place p = {.frame = PICK_ALL};

	switch (a) {
	case ACT_TREE:
		u->tree_flat = !u->tree_flat;
		u->list[2].moved = 0;
		return UI_ARRANGE;
	case ACT_ROOT:
		u->family = u->family || !r ? 0 : root_of(r->t);
		u->list[2].moved = 0;
		return UI_ARRANGE;
	case ACT_ENTER:
		return place(u, &p) ? ui_open(u, 3, &p) : 0;
	case ACT_EXPLAIN:
		ui_explain_link(u, r ? r->t : NULL);
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
	u->rows[2] = NULL;
}

const struct screen_ops screen_traces = {.name = "Traces",
					 .on = ON_TRACES,
					 .load = load,
					 .arrange = arrange,
					 .draw = draw,
					 .text = text,
					 .place = place,
					 .go = go,
					 .act = act,
					 .columns = columns,
					 .release = release};
