/* SPDX-License-Identifier: MIT */
/* Goes over a finished tree, depth first, without recursion: stacks can be as deep as they like. */
#ifndef PROFILER_WALK_H
#define PROFILER_WALK_H

#include "profiler/prof.h"

struct walk_step {
	const struct prof_node *node;
	uint32_t next;	 /* its next child to visit */
	uint64_t aux[2]; /* the caller's */
};

struct walk {
	struct walk_step *path; /* from the root to the current node */
	uint32_t depth;		/* steps of path */
	uint32_t cap;
	int err; /* -ENOMEM ended it */
	int leaving;
	const struct prof_node *root;
};

/* Zero-initialised but for root, to be released with walk_release. */
void walk_release(struct walk *w);

/*
 * The next step, NULL at the end or on w->err. Each node comes twice: when it is entered, then,
 * with w->leaving, after all that is below it. The root is at depth 1; the step above is step[-1].
 */
struct walk_step *walk_next(struct walk *w);

#endif
