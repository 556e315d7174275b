// SPDX-License-Identifier: MIT
/* What screens draw alike: titles, rows, rules, keys. */
#include "tui/ui.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

double percent_of(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

void place_of_loc(struct place *p, const struct jt_loc *loc)
{
	if (loc->kind != JT_LOC_LUA)
		return;
	snprintf(p->file, sizeof(p->file), "%s", loc->file);
	snprintf(p->name, sizeof(p->name), "%s", loc->name);
	p->firstline = loc->firstline;
	p->lastline = loc->lastline;
	p->line = loc->line;
}

void place_of_frame(const struct ui *u, struct place *p, uint32_t frame, uint32_t line)
{
	const struct prof_frame *f = prof_frame(u->m->prof, frame);
	const struct jt_trace *t;
	const struct join_func *j = NULL;

	p->frame = frame;
	p->line = line;
	t = f->kind == PROF_TRACE
		? join_frame(&u->m->pic, f, u->query.pid == PICK_ALL ? 0 : u->query.pid)
		: NULL;
	if (t) {
		place_of_loc(p, &t->start);
		p->trace = t->trace;
		p->pid = t->pid;
		p->vm = t->vm;
		return;
	}
	if (f->kind == PROF_TRACE)
		p->trace = (uint32_t)strtoul(f->label + strcspn(f->label, "#") + 1, NULL, 10);
	if (f->kind != PROF_LUA && f->kind != PROF_TRACE)
		return;
	snprintf(p->file, sizeof(p->file), "%s", f->file);
	if (f->kind == PROF_TRACE) {
		p->line = (uint32_t)f->line;
		return;
	}
	snprintf(p->name, sizeof(p->name), "%s", f->name);
	p->firstline = f->line;
	j = join_find(u->join, f->file, f->line);
	p->lastline = j ? j->lastline : 0;
}

/* ---- lines ---- */

static const char *status(const struct ui *u, enum grid_role *role)
{
	*role = ROLE_TITLE;
	if (u->paused) {
		*role = ROLE_ALERT;
		return "PAUSED";
	}
	if (u->opts.file)
		return "REPLAY";
	if (*u->ended) {
		*role = ROLE_ALERT;
		return "EXITED";
	}
	return "LIVE";
}

void draw_title(struct ui *u, struct grid *g, const char *fmt, ...)
{
	char text[512], which[64] = "";
	const struct model_picture *pic = &u->m->pic;
	enum grid_role role;
	const char *now = status(u, &role);
	va_list ap;
	int at;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (u->query.pid != PICK_ALL) {
		size_t i, vm = 0;

		for (i = 0; u->query.g && i < pic->ncontexts; i++)
			if (pic->contexts[i].g == u->query.g &&
			    pic->contexts[i].pid == u->query.pid)
				vm = pic->contexts[i].vm;
		snprintf(which, sizeof(which), vm ? "  [%u VM %zu]" : "  [%u]", u->query.pid, vm);
	}
	grid_fill(g, 0, 0, g->w, ROLE_TITLE, ' ', ' ');
	at = g->w - (int)strlen(now) - (int)strlen(which) - 1;
	grid_text(g, 1, 0, at - 3, ROLE_TITLE, text);
	grid_text(g, at, 0, g->w, role, now);
	grid_text(g, at + (int)strlen(now), 0, g->w, ROLE_TITLE, which);
}

static void hot(struct ui *u, int y, int x0, int x1, int key, int sort)
{
	if (u->nhot == sizeof(u->hot) / sizeof(u->hot[0]))
		return;
	u->hot[u->nhot].y = y;
	u->hot[u->nhot].x0 = x0;
	u->hot[u->nhot].x1 = x1;
	u->hot[u->nhot].key = key;
	u->hot[u->nhot++].sort = sort;
}

void draw_tabs(struct ui *u, struct grid *g, int y)
{
	static const char *const brief[SCREENS] = {"Func", "NYI", "Trac", "Src", "Log", "Q"};
	const char *filter = u->filter[u->screen];
	char text[UI_TEXT + 64], span[64];
	const char *blank = g->w < 48 ? "" : " ";
	int i, x = 1, narrow = g->w < 72, room;

	for (i = 0; i < SCREENS; i++) {
		int from = x;

		x = grid_printf(g, x, y, 32, i == u->screen ? ROLE_TAB_ON : ROLE_TAB,
				i == u->screen ? "[%d%s%s]" : " %d%s%s ", i + 1, blank,
				narrow ? brief[i] : ui_screen(i)->name);
		hot(u, y, from, x, '1' + i, -1);
	}
	snprintf(span, sizeof(span), u->query.recent ? "last %u s" : "since start", MODEL_WINDOW);
	if (*filter)
		snprintf(text, sizeof(text), "filter: %.60s   %s", filter, span);
	else
		snprintf(text, sizeof(text), "%s", span);
	room = g->w - x - 2;
	if (grid_width(text, g->ascii) > room && !*filter && room < (int)strlen(span))
		snprintf(text, sizeof(text), "%s", u->query.recent ? "5 s" : "all");
	else if (grid_width(text, g->ascii) > room)
		snprintf(text, sizeof(text), "%s", *filter ? filter : span);
	if (room > 2)
		grid_right(g, x + 1, y, room, *filter ? ROLE_WARN : ROLE_DIM, text);
}

void draw_rule(struct grid *g, int y, const char *text)
{
	int x = 1;

	if (text && *text) {
		grid_fill(g, x, y, 2, ROLE_DIM, 0x2500, '-');
		x = grid_printf(g, x + 2, y, g->w - 4, ROLE_DIM, " %s ", text);
	}
	grid_fill(g, x, y, g->w - x - 1, ROLE_DIM, 0x2500, '-');
}

void draw_head(struct ui *u, struct grid *g, int y, int x, int width, int right, int column,
	       const char *name)
{
	int on = column >= 0 && column == u->sort[u->screen];
	enum grid_role role = on ? ROLE_SORTED : ROLE_HEAD;
	char text[64];

	snprintf(text, sizeof(text), "%s%s", name, !on ? "" : u->invert[u->screen] ? "^" : "v");
	if (right)
		grid_right(g, x, y, width, role, text);
	else
		grid_text(g, x, y, width, role, text);
	if (column >= 0)
		hot(u, y, x, x + width, 0, column);
}

void ui_rows(struct ui *u, struct grid *g, int y, int height, row_fn *draw)
{
	struct list *l = &u->list[u->screen];
	int i;

	list_scroll(l, height);
	u->list_y = y;
	for (i = 0; i < height && l->top + i < (long)l->n; i++) {
		draw(u, g, y + i, (size_t)(l->top + i));
		if (l->top + i == l->cursor)
			grid_role(g, 0, y + i, g->w, ROLE_SELECTED);
	}
}

void draw_location(struct grid *g, int x, int y, int width, enum grid_role role, const char *file,
		   long line)
{
	char text[UI_TEXT * 3];

	if (line > 0)
		snprintf(text, sizeof(text), "%.600s:%ld", file, line);
	else
		snprintf(text, sizeof(text), "%.600s", file);
	/* The end of a path tells more than its start. */
	if (*file != '[' && *file != '=')
		draw_tail(g, x, y, width, role, text);
	else
		grid_text(g, x, y, width, role, text);
}

void draw_tail(struct grid *g, int x, int y, int width, enum grid_role role, const char *text)
{
	int w = grid_width(text, g->ascii), skip;

	if (w > width && width > 1) {
		const char *s = text;

		for (skip = w - width + 1; skip > 0 && *s; s++)
			skip -= ((unsigned char)s[1] & 0xc0) != 0x80;
		while (((unsigned char)*s & 0xc0) == 0x80)
			s++;
		grid_fill(g, x, y, 1, role, '<', '<');
		grid_text(g, x + 1, y, width - 1, role, s);
		return;
	}
	grid_text(g, x, y, width, role, text);
}

int draw_wrapped(struct grid *g, int x, int y, int width, int lines, enum grid_role role,
		 const char *text)
{
	while (*text && lines-- > 0 && width > 4) {
		size_t len = strlen(text), cut = len;

		if (len > (size_t)width) {
			cut = (size_t)width;
			while (cut && text[cut] != ' ')
				cut--;
			if (!cut)
				cut = (size_t)width;
		}
		grid_printf(g, x, y++, width, role, "%.*s", (int)cut, text);
		text += cut;
		text += strspn(text, " ");
	}
	return y;
}

/* ---- the line of keys ---- */

static void draw_prompt(struct ui *u, struct grid *g)
{
	static const char *const names[] = {
	    "", "Find: ", "Filter (regular expression): ", "File name: "};
	int y = g->h - 1, x;

	grid_fill(g, 0, y, g->w, ROLE_INPUT, ' ', ' ');
	x = grid_text(g, 1, y, g->w - 12, ROLE_INPUT, names[u->prompt]);
	x = grid_text(g, x, y, g->w - x - 1, ROLE_INPUT, u->input);
	g->cursor_x = x < g->w ? x : g->w - 1;
	g->cursor_y = y;
}

/* The first of the keys, as it fits the line: "F1". */
static void first_word(const char *shown, char buf[16])
{
	snprintf(buf, 16, "%.*s", (int)strcspn(shown, " "), shown);
}

static void draw_keys(struct ui *u, struct grid *g)
{
	unsigned int on = u->over ? u->over : ui_screen(u->screen)->on;
	int y = g->h - 1, x = 1, from, last;
	const struct key *k;
	size_t n, i;
	char key[16];

	k = keys_table(&n);
	for (i = 0; i < n; i++) {
		if (!(k[i].on & on) || !k[i].label)
			continue;
		first_word(k[i].shown, key);
		/* The way out always has room. */
		last = k[i].action == ACT_QUIT || k[i].action == ACT_BACK;
		if (x + (int)strlen(key) + (int)strlen(k[i].label) + 1 + (last ? 0 : 7) >= g->w)
			continue;
		from = x;
		x = grid_text(g, x, y, 16, ROLE_KEY, key);
		if (*key != 'F' || !key[1])
			x = grid_text(g, x, y, 1, ROLE_LABEL, " ");
		x = grid_text(g, x, y, 16, ROLE_LABEL, k[i].label) + 1;
		hot(u, y, from, x - 1, k[i].code[0], -1);
	}
}

static void draw_bottom(struct ui *u, struct grid *g)
{
	if (u->prompt != PROMPT_NONE) {
		draw_prompt(u, g);
	} else if (*u->message && u->now < u->message_until) {
		grid_fill(g, 0, g->h - 1, g->w, ROLE_LABEL, ' ', ' ');
		grid_text(g, 1, g->h - 1, g->w - 2, ROLE_LABEL, u->message);
	} else {
		draw_keys(u, g);
	}
}

static void too_small(struct grid *g)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "ljx: terminal is %dx%d; top needs at least 40x10 (80x24 or more recommended). "
		 "Make it larger, or use ljx top -b",
		 g->w, g->h);
	draw_wrapped(g, 0, 0, g->w, g->h, ROLE_WARN, text);
}

void ui_draw(struct ui *u, struct grid *g)
{
	u->w = g->w;
	u->h = g->h;
	u->nhot = 0;
	grid_clear(g);
	if (g->w < 40 || g->h < 10) {
		too_small(g);
		return;
	}
	ui_screen(u->screen)->draw(u, g);
	if (*u->ended && g->h > 12) {
		grid_fill(g, 0, g->h - 2, g->w, ROLE_ALERT, ' ', ' ');
		grid_text(g, 1, g->h - 2, g->w - 2, ROLE_ALERT, u->ended);
	}
	if (u->over == ON_EXPORT)
		export_draw(u, g);
	else if (u->over)
		draw_over(u, g);
	draw_bottom(u, g);
}
