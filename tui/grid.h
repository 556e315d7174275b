/* SPDX-License-Identifier: MIT */
/*
 * A plain grid of cells: what a screen is drawn into before a terminal copies it, or a test
 * compares it as text. A cell holds one character and a role, which says what the text is, not how
 * it looks.
 *
 * Whatever text comes in, a cell never holds anything that a terminal would obey: control
 * characters and invalid UTF-8 become U+FFFD ('?' in an ASCII grid), so do characters without a
 * width and those that change the direction of writing. Drawing outside of the grid is cut.
 */
#ifndef TUI_GRID_H
#define TUI_GRID_H

#include <stddef.h>
#include <stdint.h>

#define GRID_ROLES(_)                                                    \
	_(NORMAL, '.')                                                   \
	_(TITLE, 'T')  /* the line on top */                             \
	_(HEAD, 'H')   /* of a column */                                 \
	_(SORTED, 'S') /* head of the column by which rows are sorted */ \
	_(TAB, 't')                                                      \
	_(TAB_ON, 'A')                                                   \
	_(N, 'N') /* states of the VM: compiled, ... */                  \
	_(I, 'I')                                                        \
	_(C, 'C')                                                        \
	_(G, 'G')                                                        \
	_(J, 'J')                                                        \
	_(SELECTED, '#') /* the row under the cursor */                  \
	_(MATCH, 'm')	 /* text that was searched for */                \
	_(WARN, 'w')                                                     \
	_(ALERT, '!') /* what to fix now; the target is gone */          \
	_(GOOD, 'g')                                                     \
	_(DIM, 'd')                                                      \
	_(KEY, 'k')   /* in the line of keys */                          \
	_(LABEL, 'l') /* what it does */                                 \
	_(INPUT, 'i') /* text that is being typed */

enum grid_role {
#define GRID_ENUM(name, letter) ROLE_##name,
	GRID_ROLES(GRID_ENUM)
#undef GRID_ENUM
	    ROLE_MAX
};

/* Of a character that is two cells wide the second has cp 0. */
struct grid_cell {
	uint32_t cp;
	uint8_t role;
};

struct grid {
	int w, h;
	int ascii; /* nothing else may be in it */
	struct grid_cell *cell;
	int cursor_x, cursor_y; /* where text is being typed; < 0: nowhere */
};

#define GRID_MAX 4096 /* columns, and rows */

/* Zero-initialised but for ascii. Makes it w x h, empty. 0 or -ENOMEM. */
int grid_resize(struct grid *g, int w, int h);
void grid_release(struct grid *g);

/* Blanks in role NORMAL, no cursor. */
void grid_clear(struct grid *g);

/*
 * Draws text at (x, y), at most width columns; longer text ends in '>'. Returns the column after
 * it. UTF-8; in an ASCII grid what is not ASCII becomes '?'.
 */
int grid_text(struct grid *g, int x, int y, int width, enum grid_role role, const char *text);

/* The same, formatted; no more than 1023 bytes. */
__attribute__((format(printf, 6, 7))) int grid_printf(struct grid *g, int x, int y, int width,
						      enum grid_role role, const char *fmt, ...);

/* At the right end of [x, x + width). */
void grid_right(struct grid *g, int x, int y, int width, enum grid_role role, const char *text);

/* n times the character, which in an ASCII grid is ascii. */
void grid_fill(struct grid *g, int x, int y, int n, enum grid_role role, uint32_t cp, char ascii);

/* Changes the role of n cells. */
void grid_role(struct grid *g, int x, int y, int n, enum grid_role role);

/* Columns that text takes. */
int grid_width(const char *text, int ascii);

/* How many columns a character takes: 0 (it is not to be shown), 1 or 2. */
int grid_char_width(uint32_t cp);

/*
 * The grid as text, a line each without blanks at the end; with roles a line of their letters
 * (GRID_ROLES) after each. To be freed; NULL if out of memory.
 */
char *grid_dump(const struct grid *g, int roles);

#endif
