// SPDX-License-Identifier: MIT
/* What lies over a screen: the help, and explanations of reasons. */
#include "tui/ui.h"

#include "bytecode/jitnames.h"

#include <stdlib.h>
#include <string.h>

#define SHEET 100      /* lines of an explanation */
#define HELP_SHEET 400 /* of the help, where it is narrow */

void draw_box(struct grid *g, int *x, int *y, int *w, int *h, const char *title)
{
	int i;

	if (*w > g->w - 2)
		*w = g->w - 2;
	if (*h > g->h - 2)
		*h = g->h - 2;
	*x = (g->w - *w) / 2;
	*y = (g->h - 1 - *h) / 2;
	for (i = 0; i < *h; i++)
		grid_fill(g, *x, *y + i, *w, ROLE_NORMAL, ' ', ' ');
	grid_fill(g, *x, *y, *w, ROLE_TITLE, ' ', ' ');
	grid_text(g, *x + 1, *y, *w - 2, ROLE_TITLE, title);
	for (i = 1; i < *h; i++) {
		grid_fill(g, *x, *y + i, 1, ROLE_DIM, 0x2502, '|');
		grid_fill(g, *x + *w - 1, *y + i, 1, ROLE_DIM, 0x2502, '|');
	}
	grid_fill(g, *x + 1, *y + *h - 1, *w - 2, ROLE_DIM, 0x2500, '-');
	grid_fill(g, *x, *y + *h - 1, 1, ROLE_DIM, 0x2514, '+');
	grid_fill(g, *x + *w - 1, *y + *h - 1, 1, ROLE_DIM, 0x2518, '+');
	*x += 2;
	*y += 1;
	*w -= 4;
	*h -= 2;
}

static const char *const legend[] = {
    "N compiled   I interpreted   C in C functions   G garbage collector   J JIT compiler",
    "B a loop of it or it itself is blacklisted   E a side exit was given up, nothing else",
    "NYI not yet implemented   S stitched   L leaving loop   off: JIT off",
    "SELF% the function itself, TOTAL% with what it called; percent of the target's samples",
    "COST% share of the CPU that runs uncompiled because of that row",
};

/* Lines of a sheet that is drawn apart, as many as the box has, from u->over_top on. */
static void copy_sheet(struct ui *u, struct grid *g, int x, int y, int w, int h,
		       const struct grid *sheet, int lines)
{
	int i, k;

	/* No further than to the last line. */
	if (u->over_top > lines - h)
		u->over_top = lines > h ? lines - h : 0;
	for (i = 0; i < h && u->over_top + i < lines; i++)
		for (k = 0; k < w && k < sheet->w; k++)
			g->cell[(size_t)(y + i) * (size_t)g->w + (size_t)(x + k)] =
			    sheet->cell[(size_t)(u->over_top + i) * (size_t)sheet->w + (size_t)k];
}

static int help_sheet(unsigned int on, struct grid *sheet)
{
	const struct key *k;
	int y = 0, next;
	size_t n, i;

	k = keys_table(&n);
	for (i = 0; i < n; i++) {
		if (!(k[i].on & on))
			continue;
		grid_text(sheet, 0, y, 10, ROLE_KEY, k[i].shown);
		next = draw_wrapped(sheet, 11, y, sheet->w - 11, 9, ROLE_NORMAL, k[i].help);
		y = next > y ? next : y + 1;
	}
	for (i = 0; i < sizeof(legend) / sizeof(legend[0]); i++)
		y = draw_wrapped(sheet, 0, y, sheet->w, 9, ROLE_DIM, legend[i]);
	return y;
}

static void draw_help(struct ui *u, struct grid *g)
{
	struct grid sheet = {.ascii = g->ascii};
	int x, y, w = 86, h = g->h;
	char title[96];

	snprintf(title, sizeof(title), "Keys of %s", ui_screen(u->screen)->name);
	draw_box(g, &x, &y, &w, &h, title);
	if (grid_resize(&sheet, w, HELP_SHEET))
		return;
	copy_sheet(u, g, x, y, w, h, &sheet, help_sheet(ui_screen(u->screen)->on, &sheet));
	grid_release(&sheet);
}

static void part(struct grid *g, int *y, const char *head, const char *text)
{
	if (!text)
		return;
	grid_text(g, 0, *y, 10, ROLE_HEAD, head);
	*y = draw_wrapped(g, 11, *y, g->w - 11, g->h - *y, ROLE_NORMAL, text) + 1;
}

/* All of it, on a sheet of its own, of which the box shows a part. */
static int explain_sheet(const struct explain *e, struct grid *sheet)
{
	int y = 0;

	part(sheet, &y, "Means", e->words);
	part(sheet, &y, "Why", e->why);
	part(sheet, &y, "Effect", e->effect);
	part(sheet, &y, "Usual fix", e->fix);
	part(sheet, &y, "Differs", e->differs);
	return y - 1;
}

static void draw_explain(struct ui *u, struct grid *g)
{
	const struct explain *e = u->explain;
	struct grid sheet = {.ascii = g->ascii};
	int x, y, w = 84, h = 6, lines;

	w = w > g->w - 2 ? g->w - 2 : w;
	if (e && grid_resize(&sheet, w - 4, SHEET))
		return;
	lines = e ? explain_sheet(e, &sheet) : 4;
	h = lines + 2;
	draw_box(g, &x, &y, &w, &h, u->explain_text);
	if (e)
		copy_sheet(u, g, x, y, w, h, &sheet, lines);
	else
		draw_wrapped(g, x, y, w, h, ROLE_NORMAL,
			     "Nothing here to explain: choose a row with an abort or a stitch.");
	grid_release(&sheet);
}

void draw_over(struct ui *u, struct grid *g)
{
	if (u->over == ON_HELP)
		draw_help(u, g);
	else if (u->over == ON_MACHINE)
		machine_draw(u, g);
	else
		draw_explain(u, g);
}

void ui_explain(struct ui *u, const struct jt_site *s)
{
	u->explain = s ? explain_site(s) : NULL;
	snprintf(u->explain_text, sizeof(u->explain_text), "%.200s", s ? s->reason : "Explain");
	u->over = ON_EXPLAIN;
	u->over_top = 0;
}

void ui_explain_link(struct ui *u, const struct jt_trace *t)
{
	const char *name = t ? trace_link_name(t->linktype) : NULL;

	u->explain = name ? explain_link(name) : NULL;
	snprintf(u->explain_text, sizeof(u->explain_text), "%s%.100s",
		 name ? "How the trace ends: " : "Explain", name ? name : "");
	u->over = ON_EXPLAIN;
	u->over_top = 0;
}
