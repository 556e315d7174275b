/* SPDX-License-Identifier: MIT */
/* The rows of screen 3, which screen_traces.c makes and traces_draw.c draws. */
#ifndef TUI_TRACES_H
#define TUI_TRACES_H

#include "tui/ui.h"

enum { BY_SELF, BY_NUMBER, BY_IR, BY_MCODE, BY_SNAP, BY_ABORTS, BY_AGE };

struct traces_row {
	uint64_t id;
	const struct jt_trace *t; /* of the picture */
	int depth;
	uint64_t samples;
	uint64_t family; /* samples of it and all below it */
};

struct traces_rows {
	struct traces_row *row; /* as shown */
	size_t n, hidden;
	uint64_t base;
};

/* The trace that its family begins with. */
static inline uint32_t traces_root(const struct jt_trace *t)
{
	return t->root ? t->root : t->trace;
}

/* The row under the cursor. NULL: none. */
const struct traces_row *traces_selected(struct ui *u);

void traces_draw(struct ui *u, struct grid *g);

#endif
