/* SPDX-License-Identifier: MIT */
/* The rows of screen 1, which screen_functions.c makes and functions_draw.c draws. */
#ifndef TUI_FUNCTIONS_H
#define TUI_FUNCTIONS_H

#include "tui/ui.h"

enum { BY_SELF, BY_TOTAL, BY_N, BY_I, BY_C, BY_G, BY_J, BY_ABORTS, BY_NAME };

/* All of a row, put together when it is drawn. */
struct function_row {
	uint64_t id;
	struct pick_row p;
	struct prof_frame f;
	const struct join_func *join; /* NULL: nothing is known */
};

/* What there are many of: the order in which they are shown. */
struct function_order {
	uint64_t id; /* first, for list_keep_order */
	uint32_t at; /* of all */
};

struct function_rows {
	const struct pick_row *all; /* as loaded */
	struct pick_row *own;	    /* the same, to be freed; NULL: they are the view's */
	size_t nall, left;	    /* left: too light to be loaded */
	struct function_order *row; /* as shown */
	size_t n, hidden;
	uint64_t base; /* samples that are 100 % */
};

/* Its columns; the last is NULL. */
extern const char *const function_columns[];

/* Row i of those that are shown. */
void functions_row(struct ui *u, size_t i, struct function_row *out);

/* The row under the cursor. 0: none. */
int functions_selected(struct ui *u, struct function_row *out);

/* Opens the tree of the callers of one function. */
unsigned int functions_callers(struct ui *u, uint32_t frame);

/* "callers: body 91%, match 9%"; group as pick_row's. */
void functions_draw_callers(struct ui *u, struct grid *g, int x, int y, uint32_t frame,
			    uint32_t group);

/* Has the list a row for each function and group of samples? */
int functions_is_split(const struct ui *u);

void functions_draw(struct ui *u, struct grid *g);

#endif
