// SPDX-License-Identifier: MIT
/* Draws screen 1. */
#include "tui/functions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_WORDS 6

static struct function_rows *rows_of(struct ui *u)
{
	return u->rows[0];
}

/* Which columns fit, and where. A width of 0: it does not. */
struct columns {
	int total, states, aborts, flags, function, split, location;
	int x_function, x_split, x_location;
};

/* Width of what samples are split by; the parts of a group's label are joined by ';'. */
static int split_width(const struct ui *u)
{
	/* "lua:12345", "thread:12345", "VM:12", "coroutine:0x7f0123456789", "[interpreted]", ... */
	static const int widths[PROF_BY_MAX] = {
	    [PROF_BY_PROCESS] = 14,   [PROF_BY_THREAD] = 14, [PROF_BY_VM] = 7,
	    [PROF_BY_COROUTINE] = 24, [PROF_BY_STATE] = 13,  [PROF_BY_TRACE] = 10};
	int by, w = 0;

	for (by = 0; by < PROF_BY_MAX; by++)
		if (u->m->opts.split >> by & 1)
			w += widths[by] + (w != 0);
	return functions_is_split(u) ? w : 0;
}

static struct columns layout(const struct ui *u, const struct grid *g)
{
	struct columns l = {.total = 7, .states = 5, .aborts = 8};
	int rest, split = split_width(u);

	l.flags = g->w < 96 ? 0 : g->w < 110 ? 7 : 10;
	l.states = g->w < 80 ? 2 : g->w < 84 ? 3 : g->w < 90 ? 4 : 5;
	if (g->w < 76)
		l.total = 0;
	if (g->w < 60 || g->h < 12)
		l.total = l.states = l.aborts = l.flags = 0;
	l.x_function = 7 + l.total + l.states * 4 + l.aborts + l.flags + 2;
	rest = g->w - l.x_function - 1;
	if (split) {
		l.split = split < rest * 2 / 5 ? split : rest * 2 / 5;
		rest -= l.split + 1;
	}
	l.location = rest < 36 ? 0 : rest * 45 / 100;
	l.function = rest - l.location - (l.location ? 1 : 0);
	l.x_split = l.x_function + l.function + 1;
	l.x_location = l.x_split + (split ? l.split + 1 : 0);
	return l;
}

static void draw_heads(struct ui *u, struct grid *g, int y)
{
	struct columns l = layout(u, g);
	int x = 1, i;

	grid_fill(g, 0, y, g->w, ROLE_HEAD, ' ', ' ');
	draw_head(u, g, y, x, 6, 1, BY_SELF, "SELF%");
	x = 7;
	if (l.total)
		draw_head(u, g, y, x, l.total, 1, BY_TOTAL, g->w < 60 ? "TOT%" : "TOTAL%");
	x += l.total;
	for (i = 0; i < l.states; i++, x += 4)
		draw_head(u, g, y, x, 4, 1, BY_N + i, function_columns[BY_N + i]);
	if (l.aborts)
		draw_head(u, g, y, x, l.aborts, 1, BY_ABORTS, "ABRT/s");
	if (l.flags)
		grid_text(g, x + l.aborts + 1, y, l.flags, ROLE_HEAD, "FLAGS");
	draw_head(u, g, y, l.x_function, l.function, 0, BY_NAME,
		  u->tree == TREE_CALLEES   ? "FUNCTION and what it calls"
		  : u->tree == TREE_CALLERS ? "FUNCTION and who calls it"
					    : "FUNCTION");
	if (l.location)
		grid_text(g, l.x_location, y, l.location, ROLE_HEAD, "LOCATION");
	if (l.split)
		grid_text(g, l.x_split, y, l.split, ROLE_HEAD, "SPLIT");
}

static void flags_text(const struct function_row *r, char buf[24])
{
	static const struct {
		unsigned int flag;
		const char *text;
	} words[FLAG_WORDS] = {{JOIN_BLACK, "B"},  {JOIN_OFF, "off"}, {JOIN_NYI, "NYI"},
			       {JOIN_STITCH, "S"}, {JOIN_LEAVE, "L"}, {JOIN_EXIT, "E"}};
	unsigned int flags = r->join && r->f.kind == PROF_LUA ? r->join->flags : 0;
	size_t i, n = 0;

	*buf = '\0';
	for (i = 0; i < FLAG_WORDS; i++)
		if ((flags & words[i].flag) && n + strlen(words[i].text) + 1 < 24)
			n += (size_t)snprintf(buf + n, 24 - n, "%s%s", n ? " " : "", words[i].text);
}

static enum grid_role role_of(const struct function_row *r)
{
	static const enum grid_role roles[] = {ROLE_N, ROLE_I, ROLE_C, ROLE_G, ROLE_J};
	uint64_t most = 0;
	int i, best = -1;

	for (i = 0; i < 5; i++)
		if (r->p.by[i] > most) {
			most = r->p.by[i];
			best = i;
		}
	return best < 0 ? ROLE_NORMAL : roles[best];
}

static void names(struct ui *u, const struct function_row *r, char name[UI_TEXT], const char **file,
		  long *line)
{
	const struct prof_frame *f = &r->f;
	const struct jt_trace *t;

	*file = "-";
	*line = 0;
	switch (f->kind) {
	case PROF_LUA:
		snprintf(name, UI_TEXT, "%.200s", *f->name ? f->name : "?");
		*file = f->file;
		*line = r->p.line ? (long)r->p.line : f->line;
		break;
	case PROF_TRACE:
		t = join_frame(&u->m->pic, f, u->query.pid == PICK_ALL ? 0 : u->query.pid);
		snprintf(name, UI_TEXT, "%.*s%s", (int)strcspn(f->label, ":"), f->label,
			 t && t->kind == EV_TRACE_ROOT ? t->start.pos ? " loop" : " func" : "");
		if (t && t->parent)
			snprintf(name, UI_TEXT, "%.*s <- %u/%u", (int)strcspn(f->label, ":"),
				 f->label, t->parent, t->exitno);
		*file = t ? t->start.file : *f->file ? f->file : "-";
		*line = f->line;
		break;
	case PROF_C:
		snprintf(name, UI_TEXT, "%.200s", f->label + (strncmp(f->label, "C:", 2) ? 0 : 2));
		*file = "[C]";
		break;
	default:
		snprintf(name, UI_TEXT, "%.200s", f->label);
		break;
	}
}

static void draw_function(struct ui *u, struct grid *g, int y, const struct function_row *r,
			  const struct columns *l)
{
	char name[UI_TEXT], text[UI_TEXT * 2 + 64];
	const char *file;
	int x = l->x_function, w = l->function;
	long line;

	names(u, r, name, &file, &line);
	if (u->tree != TREE_FLAT) {
		uint32_t depth = r->p.depth < 20 ? r->p.depth : 20;

		x += (int)depth;
		w -= (int)depth;
		grid_fill(g, x, y, 1, ROLE_DIM,
			  (uint32_t)(r->p.children ? r->p.open ? '-' : '+' : ' '),
			  r->p.children ? r->p.open ? '-' : '+' : ' ');
		x += 2;
		w -= 2;
	}
	if (l->location) {
		grid_text(g, x, y, w, r->f.kind == PROF_TRACE ? ROLE_N : ROLE_NORMAL, name);
		draw_location(g, l->x_location, y, l->location, ROLE_DIM, file, line);
		return;
	}
	snprintf(text, sizeof(text), line ? "%s %s:%ld" : "%s", name,
		 strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line);
	grid_text(g, x, y, w, ROLE_NORMAL, text);
}

/* What the row's samples have in common; of a long one the end tells most. */
static void draw_split(struct ui *u, struct grid *g, int y, const struct function_row *r,
		       const struct columns *l)
{
	char group[UI_TEXT];

	prof_group_label(u->m->prof, r->p.group, group, sizeof(group));
	draw_tail(g, l->x_split, y, l->split, ROLE_NORMAL, group);
}

static void draw_row(struct ui *u, struct grid *g, int y, size_t i)
{
	struct function_rows *rs = rows_of(u);
	struct function_row row, *r = &row;
	struct columns l = layout(u, g);
	uint64_t whole = 0;
	char flags[24];
	double window = u->m->pic.age;
	int x = 1, k;

	functions_row(u, i, &row);
	grid_printf(g, x, y, 6, role_of(r), "%6.1f", percent_of(r->p.self, rs->base));
	x = 7;
	if (l.total && u->lines && u->tree == TREE_FLAT)
		grid_right(g, x, y, l.total, ROLE_DIM, "-");
	else if (l.total)
		grid_printf(g, x, y, l.total, ROLE_NORMAL, "%7.1f",
			    percent_of(r->p.total, rs->base));
	x += l.total;
	for (k = 0; k < PROF_GROUP_MAX; k++)
		whole += r->p.by[k];
	for (k = 0; k < l.states; k++, x += 4) {
		double p = percent_of(r->p.by[k], whole);

		if (!whole || r->p.by[k] == 0)
			grid_right(g, x, y, 4, ROLE_DIM, whole ? "0" : "-");
		else
			grid_printf(g, x, y, 4, (enum grid_role)(ROLE_N + k), "%4.0f", p);
	}
	if (l.aborts && r->join && r->f.kind == PROF_LUA && r->join->count)
		grid_printf(g, x, y, l.aborts, r->join->recent ? ROLE_WARN : ROLE_DIM, "%8.1f",
			    (double)r->join->recent / (window < 60 ? window > 1 ? window : 1 : 60));
	else if (l.aborts)
		grid_right(g, x, y, l.aborts, ROLE_DIM, "-");
	flags_text(r, flags);
	if (l.flags)
		grid_text(g, x + l.aborts + 1, y, l.flags, *flags == 'B' ? ROLE_ALERT : ROLE_WARN,
			  flags);
	draw_function(u, g, y, r, &l);
	if (l.split)
		draw_split(u, g, y, r, &l);
}

/* "decode  resty/json.lua:40-96  hottest line :61 (38%)  top abort: NYI: bytecode FNEW x1532" */
static void draw_what(struct ui *u, struct grid *g, int y, const struct function_row *r)
{
	const struct join_func *j = r->f.kind == PROF_LUA ? r->join : NULL;
	uint64_t count;
	uint32_t line = pick_hot_line(u->m->pick, r->p.frame, r->p.group, &count);
	int x;

	x = grid_printf(g, 1, y, g->w - 2, ROLE_NORMAL, "%s", r->f.label);
	if (j && j->lastline > j->firstline &&
	    !strncmp(r->f.label + strcspn(r->f.label, ":"), ":", 1))
		x = grid_printf(g, x, y, g->w - x - 1, ROLE_NORMAL, "-%d", j->lastline);
	if (functions_is_split(u)) {
		char group[UI_TEXT];

		prof_group_label(u->m->prof, r->p.group, group, sizeof(group));
		x = grid_printf(g, x + 2, y, g->w - x - 3, ROLE_NORMAL, "(%s)", group);
	}
	if (line && r->p.self)
		x = grid_printf(g, x + 2, y, g->w - x - 3, ROLE_NORMAL, "hottest line :%u (%.0f%%)",
				line, percent_of(count, r->p.self));
	if (j && j->top && j->top->count)
		grid_printf(g, x + 2, y, g->w - x - 3, ROLE_WARN, "top abort: %s x%llu",
			    j->top->reason, (unsigned long long)j->top->count);
	else if (j && j->top)
		grid_printf(g, x + 2, y, g->w - x - 3, ROLE_WARN, "gave up before: %s",
			    j->top->reason);
}

static int never(void *ctx, uint64_t id)
{
	(void)ctx;
	(void)id;
	return 0;
}

/* " callers: body 91%, match 9%" */
void functions_draw_callers(struct ui *u, struct grid *g, int x, int y, uint32_t frame,
			    uint32_t group)
{
	struct pick_tree_opts o = {.dir = PICK_CALLERS,
				   .frame = frame,
				   .group = group,
				   .flipped = never,
				   .max = 8,
				   .depth = 1};
	size_t n, i;
	struct pick_row *c = pick_tree(u->m->pick, &o, &n);
	int shown = 0;

	for (i = 1; c && i < n && shown < 4; i++) {
		const struct prof_frame *f = prof_frame(u->m->prof, c[i].frame);

		if (c[i].depth != 1)
			break;
		x = grid_printf(g, x, y, g->w - x - 1, ROLE_NORMAL, "%s%s %.0f%%",
				shown++ ? ", " : "callers: ", *f->name ? f->name : f->label,
				percent_of(c[i].total, c[0].total));
	}
	free(c);
}

static int draw_trend(struct ui *u, struct grid *g, int x, int y, const struct pick_row *p)
{
	static const char levels[] = " .:-=+*#%@";
	uint32_t n[PICK_TREND], most = 1;
	int i;

	pick_trend(u->m->pick, p->frame, p->group, u->m->pic.time, n);
	for (i = 0; i < (int)PICK_TREND; i++)
		most = n[i] > most ? n[i] : most;
	x = grid_text(g, x, y, 14, ROLE_DIM, "10 s trend ");
	for (i = 0; i < (int)PICK_TREND; i++) {
		uint32_t eighth = n[i] * 7 / most, ninth = n[i] ? 1 + n[i] * 8 / most : 0;

		grid_fill(g, x + i, y, 1, ROLE_NORMAL, n[i] ? 0x2581 + eighth : ' ', levels[ninth]);
	}
	return x + (int)PICK_TREND;
}

static void draw_detail(struct ui *u, struct grid *g, int y)
{
	struct function_row row, *r = &row;
	double n = (double)rows_of(u)->base, p, half;
	int x;

	if (!functions_selected(u, &row)) {
		grid_text(g, 1, y, g->w - 2, ROLE_DIM,
			  "Enter goes to what the line with ! says; Down goes to the rows");
		return;
	}
	draw_what(u, g, y++, r);
	/* Wilson's interval: honest with few samples, too. */
	p = n > 0 ? (double)r->p.self / n : 0;
	half = n > 0 ? 1.96 * sqrt(p * (1 - p) / n + 1.96 * 1.96 / (4 * n * n)) : 0;
	x = grid_printf(g, 1, y, g->w - 2, ROLE_DIM, "samples here %llu (95%% CI %.1f-%.1f%%)",
			(unsigned long long)r->p.self,
			n > 0 ? 100 * (p + 1.9208 / n - half) / (1 + 3.8416 / n) : 0,
			n > 0 ? 100 * (p + 1.9208 / n + half) / (1 + 3.8416 / n) : 0);
	if (g->w >= 76)
		x = draw_trend(u, g, x + 3, y, &r->p);
	if (g->w >= 90)
		functions_draw_callers(u, g, x + 3, y, r->p.frame, r->p.group);
}

void functions_draw(struct ui *u, struct grid *g)
{
	static const char *const letters[] = {"N", "I", "C", "G", "J"};
	const struct model *m = u->m;
	const struct function_rows *r = rows_of(u);
	unsigned int s = (unsigned int)m->pic.age;
	size_t others = m->pic.nvms > 1 ? m->pic.nvms - 1 : 0;
	char more[24] = "", text[96];
	int y, detail = g->h >= 18 ? 2 : 0, bottom = g->h - 1 - (*u->ended && g->h > 12), rows;

	if (others)
		snprintf(more, sizeof(more), " +%zu", others);
	draw_title(u, g, "ljx top  %s %d%s   %s   %u Hz   %02u:%02u:%02u", u->opts.name,
		   u->opts.pid ? u->opts.pid : (int)m->first_pid, more, m->pic.build,
		   m->pic.prof.rate, s / 3600, s / 60 % 60, s % 60);
	y = draw_header(u, g, u->no_meters || g->w < 80 || g->h < 20);
	draw_tabs(u, g, y++);
	draw_heads(u, g, y++);
	rows = bottom - detail - (detail ? 1 : 0) - y;
	ui_rows(u, g, y, rows, draw_row);
	if (!detail)
		return;
	y += rows;
	if (u->query.only != PROF_GROUP_MAX)
		snprintf(text, sizeof(text), "only %s, which is %.1f%% of the samples",
			 letters[u->query.only], percent_of(r->base, m->pic.sum.samples));
	else if ((long)r->n > u->list[0].top + rows || r->hidden)
		snprintf(text, sizeof(text),
			 r->hidden ? "%ld more rows below, %zu hidden" : "%ld more rows below",
			 (long)r->n - u->list[0].top - rows > 0 ? (long)r->n - u->list[0].top - rows
								: 0,
			 r->hidden);
	else
		*text = '\0';
	draw_rule(g, y, text);
	draw_detail(u, g, y + 1);
}
