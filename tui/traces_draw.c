// SPDX-License-Identifier: MIT
/* Draws screen 3: the traces, what is known of the selected one, and the timeline. */
#include "bytecode/jitnames.h"
#include "tui/traces.h"

#include <stdlib.h>
#include <string.h>

#define PATH_MAX_TRACES 32

static struct traces_rows *rows_of(struct ui *u)
{
	return u->rows[2];
}

const struct traces_row *traces_selected(struct ui *u)
{
	const struct list *l = &u->list[2];
	const struct traces_rows *r = rows_of(u);

	return r && l->cursor >= 0 && (size_t)l->cursor < r->n ? &r->row[l->cursor] : NULL;
}

struct widths {
	int trace, gen, root, pid, self, loop, link, ir, mcode, snap, aborts, start, function;
};

static struct widths widths(const struct ui *u, const struct grid *g)
{
	struct widths w = {.trace = 9,
			   .gen = 4,
			   .root = 6,
			   .self = 7,
			   .loop = 6,
			   .link = 13,
			   .ir = 5,
			   .mcode = 8,
			   .snap = 5,
			   .aborts = 7};
	int rest;

	if (g->w < 110)
		w.aborts = 0;
	if (u->m->pic.nvms > 1 && u->query.pid == PICK_ALL) {
		w.root = 0; /* the families are enough */
		w.pid = 8;
	}
	if (g->w < 84)
		w.pid = 0;
	if (g->w < 96)
		w.snap = w.gen = w.root = 0;
	if (g->w < 84)
		w.ir = 0;
	if (g->w < 72 || (!u->opts.read && !u->m->loops_known))
		w.loop = 0;
	if (g->w < 66)
		w.mcode = 0;
	if (g->w < 54)
		w.link = 0;
	rest = g->w - 2 - w.trace - w.gen - w.root - w.pid - w.self - w.loop - w.link - w.ir -
	       w.mcode - w.snap - w.aborts;
	w.function = rest > 34 ? rest * 2 / 5 : 0;
	w.start = rest - w.function;
	return w;
}

static void draw_heads(struct ui *u, struct grid *g, int y)
{
	struct widths w = widths(u, g);
	int x = 1;

	grid_fill(g, 0, y, g->w, ROLE_HEAD, ' ', ' ');
	draw_head(u, g, y, x, w.trace, 0, BY_NUMBER, "TRACE");
	x += w.trace;
	if (w.gen)
		grid_right(g, x - 1, y, w.gen, ROLE_HEAD, "GEN");
	x += w.gen;
	if (w.root)
		grid_right(g, x - 1, y, w.root, ROLE_HEAD, "ROOT");
	x += w.root;
	if (w.pid)
		grid_right(g, x - 1, y, w.pid, ROLE_HEAD, "PID");
	x += w.pid;
	draw_head(u, g, y, x, w.self, 1, BY_SELF, "SELF%");
	x += w.self + 1;
	if (w.loop)
		grid_right(g, x - 1, y, w.loop, ROLE_HEAD, "N/lp");
	x += w.loop;
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

static void draw_number(struct grid *g, int x, int y, int width, const struct traces_row *r)
{
	char text[64];
	int depth = r->depth < 5 ? r->depth : 5;

	if (r->depth)
		grid_fill(g, x + depth - 1, y, 1, ROLE_DIM, 0x2514, '`');
	snprintf(text, sizeof(text), "%u", r->t->trace);
	grid_text(g, x + depth, y, width - depth,
		  r->t->kind == EV_TRACE_ROOT ? ROLE_N : ROLE_NORMAL, text);
}

static void draw_loop(struct ui *u, struct grid *g, int x, int y, int width,
		      const struct jt_trace *t)
{
	double p = machine_loop_share(u, t);

	if (p < 0)
		grid_right(g, x, y, width, ROLE_DIM, "-");
	else
		grid_printf(g, x, y, width, ROLE_NORMAL, "%*.0f%%", width - 1, p);
}

static void draw_row(struct ui *u, struct grid *g, int y, size_t i)
{
	struct traces_rows *rs = rows_of(u);
	const struct traces_row *r = &rs->row[i];
	const struct jt_trace *t = r->t;
	struct widths w = widths(u, g);
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
	if (w.root && traces_root(t) != t->trace)
		grid_printf(g, x - 1, y, w.root, ROLE_DIM, "%*u", w.root, traces_root(t));
	else if (w.root)
		grid_right(g, x - 1, y, w.root, ROLE_DIM, "-");
	x += w.root;
	if (w.pid)
		grid_printf(g, x - 1, y, w.pid, ROLE_DIM, "%*u", w.pid, t->pid);
	x += w.pid;
	grid_printf(g, x, y, w.self, p >= 1 ? ROLE_N : ROLE_DIM, "%*.1f", w.self, p);
	x += w.self + 1;
	if (w.loop)
		draw_loop(u, g, x - 1, y, w.loop, t);
	x += w.loop;
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

/* The way from its root: where each trace starts, and by which exit it was left. */
static void draw_from(struct ui *u, struct grid *g, int y, const struct jt_trace *t)
{
	const struct model_picture *pic = &u->m->pic;
	const struct jt_trace *way[PATH_MAX_TRACES];
	const char *file = NULL;
	int x = 13, n = 0;

	for (; t && n < PATH_MAX_TRACES; t = join_trace(pic, t->pid, t->vm, trace_parent(t))) {
		/* Numbers of parents are smaller, unless they were used again. */
		if (n && t->trace >= way[n - 1]->trace)
			break;
		way[n++] = t;
	}
	grid_text(g, 3, y, 9, ROLE_HEAD, "From");
	while (n-- > 0 && x < g->w - 8) {
		t = way[n];
		if (t->kind == EV_TRACE_SIDE && t->parent)
			x = grid_printf(g, x, y, g->w - x - 1, ROLE_DIM, "exit %u > ", t->exitno);
		else if (t->kind != EV_TRACE_ROOT)
			x = grid_printf(g, x, y, g->w - x - 1, ROLE_DIM, "%s > ",
					t->kind == EV_TRACE_STITCHED ? "stitch" : "? exit");
		/* Of a place in the file before it the line will do. */
		if (file && t->start.kind == JT_LOC_LUA && !strcmp(file, t->start.file))
			x = grid_printf(g, x, y, g->w - x - 1, ROLE_NORMAL, "%u :%u ", t->trace,
					t->start.line);
		else
			x = grid_printf(g, x, y, g->w - x - 1, ROLE_NORMAL, "%u %s ", t->trace,
					short_place(&t->start, 30));
		file = t->start.file;
	}
}

/* The lines that it runs through, those of inlined functions with their names. */
static void draw_path(struct ui *u, struct grid *g, int y, const struct jt_trace *t)
{
	const struct ips_step *step;
	size_t n, i;
	int x = 13;

	grid_text(g, 3, y, 9, ROLE_HEAD, "Path");
	step = ips_path(u->m->ips, t->pid, t->g, t->trace, &n);
	if (!step) {
		grid_text(g, x, y, g->w - 14, ROLE_DIM,
			  u->opts.read || u->m->loops_known ? "not known: no sample was taken in it"
							    : "the recording does not tell");
		return;
	}
	for (i = 0; i < n && x < g->w - 8; i++) {
		const struct prof_frame *f = prof_frame(u->m->prof, step[i].frame);
		const char *slash = strrchr(f->file, '/');

		if (i && step[i].frame == step[i - 1].frame)
			x = grid_printf(g, x, y, g->w - x - 1, ROLE_NORMAL, "> :%u ", step[i].line);
		else
			x = grid_printf(g, x, y, g->w - x - 1, ROLE_NORMAL, "%s%s %s:%u ",
					i ? "> " : "", *f->name ? f->name : "?",
					slash && *f->file != '[' ? slash + 1 : f->file,
					step[i].line);
	}
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

		if (s->kind != JT_SITE_ABORT || !s->count || s->start.kind != JT_LOC_LUA ||
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
	const struct traces_row *r = traces_selected(u);
	const struct jt_trace *t = r ? r->t : NULL;
	char at[JT_TEXT], link[48], from[48], in[80] = "";
	uint64_t age;

	if (!t) {
		grid_text(g, 1, y, g->w - 2, ROLE_DIM,
			  u->at.file[0] ? "no live trace starts here" : "no traces");
		return y + 1;
	}
	trace_link_text(t, link);
	trace_from_text(t, from);
	jt_loc_format(&t->start, at, sizeof(at));
	if (u->m->pic.nvms > 1)
		snprintf(in, sizeof(in), "  in %.32s %u, VM %u", t->comm, t->pid, t->vm);
	age = u->m->pic.time > t->time ? (u->m->pic.time - t->time) / MODEL_SECOND : 0;
	grid_printf(g, 1, y++, g->w - 2, ROLE_NORMAL,
		    "Selected %u  %s  %s %s  compiled %s%llu s ago%s", t->trace, t->start.name, at,
		    from, t->scanned ? "more than " : "", (unsigned long long)age, in);
	if (y <= last) {
		jt_loc_format(&t->end, at, sizeof(at));
		grid_text(g, 3, y, 9, ROLE_HEAD, "Ends");
		grid_printf(g, 13, y++, g->w - 14, ROLE_NORMAL, "%s%s%s   root %u   %u snapshots",
			    link, t->end.kind == JT_LOC_NONE ? "" : " at ",
			    t->end.kind == JT_LOC_NONE ? "" : at, traces_root(t), t->nsnap);
	}
	if (y <= last)
		draw_from(u, g, y++, t);
	if (y <= last)
		draw_path(u, g, y++, t);
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

void traces_draw(struct ui *u, struct grid *g)
{
	const struct model_picture *pic = &u->m->pic;
	struct traces_rows *r = rows_of(u);
	char text[96];
	int y = 1, bottom = g->h - 1 - (*u->ended && g->h > 12), detail, timeline, rows;

	draw_title(u, g, "ljx traces  %s %d   %zu live, %llu flush%s, %llu aborted", u->opts.name,
		   u->opts.pid ? u->opts.pid : (int)u->m->first_pid, pic->ntraces,
		   (unsigned long long)pic->jit.flushes, pic->jit.flushes == 1 ? "" : "es",
		   (unsigned long long)pic->jit.aborts);
	draw_tabs(u, g, y++);
	draw_quality_line(u, g, y++);
	if (g->h >= 26)
		grid_text(
		    g, 1, y++, g->w - 2, ROLE_DIM,
		    u->opts.read || u->m->loops_known
			? "N/lp: of its samples those in its loop.  No EXIT/s: exits with a side "
			  "trace are not counted"
			: "No N/lp: the recording does not tell.  No EXIT/s: exits with a "
			  "side trace are not counted");
	draw_heads(u, g, y++);
	timeline = g->h >= 24 ? 6 : 0;
	detail = g->h >= 28 ? 8 : g->h >= 26 ? 7 : g->h >= 17 ? 6 : 0;
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
