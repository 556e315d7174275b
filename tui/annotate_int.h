/* SPDX-License-Identifier: MIT */
/* What annotate.c, which makes the items, and annotate_slots.c, which finds what they show, share.
 */
#ifndef TUI_ANNOTATE_INT_H
#define TUI_ANNOTATE_INT_H

#include "tui/annotate.h"

/* An instruction, or a position that samples name without a listing. */
struct slot {
	uint32_t line, pos;
	uint32_t func; /* index of view.func */
	const struct lines_pos *hits;
	const struct jt_site *stopped; /* the most frequent of those that end here */
	const struct jt_site *stitch;
	uint64_t aborts;
	const struct jt_trace *root, *side, *cover;
	int black;
};

struct view {
	const struct annotate_input *in;
	const struct annotate_choice *c;
	const struct lines_func **func;
	uint32_t nfuncs;
	struct slot *slot;
	uint32_t nslots, cap;
	uint64_t shown; /* samples in the lines shown */
	const struct jt_site *site;
	const struct jt_trace *trace;
	size_t nsites, ntraces;
};

/*
 * Fills in the slots of view, in order of line, function and position, with what the folds say of
 * them. all: n functions, of which those that are meant are taken. 0 or -ENOMEM; view_release then.
 */
int view_fill(struct view *v, const struct lines_func *all, size_t n);
void view_release(struct view *v);

#endif
