// SPDX-License-Identifier: MIT
#include "tui/grid.h"

#include "profiler/label.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT 0xfffdu

int grid_resize(struct grid *g, int w, int h)
{
	struct grid_cell *cell;

	w = w < 1 ? 1 : w > GRID_MAX ? GRID_MAX : w;
	h = h < 1 ? 1 : h > GRID_MAX ? GRID_MAX : h;
	cell = realloc(g->cell, (size_t)w * (size_t)h * sizeof(*cell));
	if (!cell)
		return -ENOMEM;
	g->cell = cell;
	g->w = w;
	g->h = h;
	grid_clear(g);
	return 0;
}

void grid_release(struct grid *g)
{
	free(g->cell);
	g->cell = NULL;
	g->w = g->h = 0;
}

void grid_clear(struct grid *g)
{
	size_t i, n = (size_t)g->w * (size_t)g->h;

	for (i = 0; i < n; i++)
		g->cell[i] = (struct grid_cell){' ', ROLE_NORMAL};
	g->cursor_x = g->cursor_y = -1;
}

struct range {
	uint32_t from, to;
};

static int is_in(const struct range *r, size_t n, uint32_t cp)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (cp >= r[i].from && cp <= r[i].to)
			return 1;
	return 0;
}

int grid_char_width(uint32_t cp)
{
	/* Controls, what joins or combines, what turns the direction, separators, non-characters.
	 */
	static const struct range none[] = {
	    {0, 0x1f},		 {0x7f, 0x9f},	   {0xad, 0xad},       {0x300, 0x36f},
	    {0x483, 0x489},	 {0x591, 0x5bd},   {0x610, 0x61c},     {0x64b, 0x65f},
	    {0x1160, 0x11ff},	 {0x180b, 0x180f}, {0x1ab0, 0x1aff},   {0x1dc0, 0x1dff},
	    {0x200b, 0x200f},	 {0x2028, 0x202e}, {0x2060, 0x206f},   {0x20d0, 0x20ff},
	    {0xd800, 0xf8ff},	 {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},   {0xfeff, 0xfeff},
	    {0xfff0, 0xfffb},	 {0xfffe, 0xffff}, {0x1d167, 0x1d169}, {0x1f3fb, 0x1f3ff},
	    {0xe0000, 0x10ffff},
	};
	static const struct range wide[] = {
	    {0x1100, 0x115f},	{0x2e80, 0x303e},   {0x3041, 0xa4cf},	{0xa960, 0xa97f},
	    {0xac00, 0xd7a3},	{0xf900, 0xfaff},   {0xfe30, 0xfe6f},	{0xff00, 0xff60},
	    {0xffe0, 0xffe6},	{0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff},
	    {0x20000, 0x3fffd},
	};

	if (cp >= 0x20 && cp < 0x7f)
		return 1;
	if (is_in(none, sizeof(none) / sizeof(none[0]), cp))
		return 0;
	return is_in(wide, sizeof(wide) / sizeof(wide[0]), cp) ? 2 : 1;
}

/* The next character of text as it is shown, and its width. Returns its length in bytes. */
static size_t next_char(const char *text, int ascii, uint32_t *cp, int *width)
{
	size_t len = label_utf8(text, cp);

	*width = len ? grid_char_width(*cp) : 0;
	if (!*width) {
		*cp = REPLACEMENT;
		*width = 1;
	}
	if (ascii && *cp > 0x7e) {
		*cp = '?';
		*width = 1;
	}
	return len ? len : 1;
}

int grid_width(const char *text, int ascii)
{
	int sum = 0, width;
	uint32_t cp;

	while (*text) {
		text += next_char(text, ascii, &cp, &width);
		sum += width;
		if (sum > GRID_MAX)
			return GRID_MAX;
	}
	return sum;
}

static void put(struct grid *g, int x, int y, enum grid_role role, uint32_t cp)
{
	if (x >= 0 && y >= 0 && x < g->w && y < g->h)
		g->cell[(size_t)y * (size_t)g->w + (size_t)x] =
		    (struct grid_cell){cp, (uint8_t)role};
}

int grid_text(struct grid *g, int x, int y, int width, enum grid_role role, const char *text)
{
	int end = width > GRID_MAX ? x + GRID_MAX : x + width, w;
	uint32_t cp;

	while (*text && x < end) {
		size_t len = next_char(text, g->ascii, &cp, &w);

		/* The last column is for the mark that there is more. */
		if (x + w > end || (x + w == end && text[len])) {
			put(g, x, y, role, '>');
			for (x++; x < end; x++)
				put(g, x, y, role, ' ');
			return end;
		}
		/* Half of a wide character cannot be shown. */
		put(g, x, y, role, x + w > g->w ? ' ' : cp);
		if (w == 2)
			put(g, x + 1, y, role, 0);
		x += w;
		text += len;
	}
	return x;
}

int grid_printf(struct grid *g, int x, int y, int width, enum grid_role role, const char *fmt, ...)
{
	char buf[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	return grid_text(g, x, y, width, role, buf);
}

void grid_right(struct grid *g, int x, int y, int width, enum grid_role role, const char *text)
{
	int w = grid_width(text, g->ascii);

	grid_text(g, w < width ? x + width - w : x, y, width, role, text);
}

void grid_fill(struct grid *g, int x, int y, int n, enum grid_role role, uint32_t cp, char ascii)
{
	int i;

	for (i = 0; i < n; i++)
		put(g, x + i, y, role, g->ascii ? (uint32_t)ascii : cp);
}

void grid_role(struct grid *g, int x, int y, int n, enum grid_role role)
{
	int i;

	for (i = x < 0 ? 0 : x; i < x + n && i < g->w; i++)
		if (y >= 0 && y < g->h)
			g->cell[(size_t)y * (size_t)g->w + (size_t)i].role = (uint8_t)role;
}

static char *put_utf8(char *d, uint32_t cp)
{
	if (cp < 0x80) {
		*d++ = (char)cp;
	} else if (cp < 0x800) {
		*d++ = (char)(0xc0 | cp >> 6);
		*d++ = (char)(0x80 | (cp & 0x3f));
	} else if (cp < 0x10000) {
		*d++ = (char)(0xe0 | cp >> 12);
		*d++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*d++ = (char)(0x80 | (cp & 0x3f));
	} else {
		*d++ = (char)(0xf0 | cp >> 18);
		*d++ = (char)(0x80 | (cp >> 12 & 0x3f));
		*d++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*d++ = (char)(0x80 | (cp & 0x3f));
	}
	return d;
}

/* Ends a line without the characters c at its end. */
static char *end_line(char *start, char *d, char c)
{
	while (d > start && d[-1] == c)
		d--;
	*d++ = '\n';
	return d;
}

char *grid_dump(const struct grid *g, int roles)
{
	static const char letters[] = {
#define GRID_LETTER(name, letter) letter,
	    GRID_ROLES(GRID_LETTER)
#undef GRID_LETTER
	};
	size_t line = (size_t)g->w * (roles ? 5 : 4) + 2;
	char *buf = malloc(line * (size_t)g->h + 1), *d = buf, *start;
	int x, y;

	if (!buf)
		return NULL;
	for (y = 0; y < g->h; y++) {
		const struct grid_cell *row = &g->cell[(size_t)y * (size_t)g->w];

		for (start = d, x = 0; x < g->w; x++)
			if (row[x].cp)
				d = put_utf8(d, row[x].cp);
		d = end_line(start, d, ' ');
		for (start = d, x = 0; roles && x < g->w; x++)
			*d++ = letters[row[x].role];
		if (roles)
			d = end_line(start, d, letters[ROLE_NORMAL]);
	}
	*d = '\0';
	return buf;
}
