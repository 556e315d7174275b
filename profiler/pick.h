/* SPDX-License-Identifier: MIT */
/*
 * Chooses among the samples of a profile: since the start or of the last seconds, of all processes,
 * of one or of one VM, in any state of the VM or in one. A view that is drawn each second asks for
 * rows of what it chose; a writer gets the whole profile reduced to it.
 *
 * It does not fold twice: a sample leaves a mark at the node of the profile's tree where it ended,
 * by process, line and state, and marks are counted twice, over all time and over the last seconds.
 * What is asked for is summed up from the marks, so that it costs the same after a day as after a
 * minute. Pure, as prof.h; the profile stays the caller's and must outlive it.
 */
#ifndef PROFILER_PICK_H
#define PROFILER_PICK_H

#include "profiler/prof.h"

#define PICK_ALL UINT32_MAX

struct pick;

/* window: what "the last seconds" are, in ns. NULL if out of memory. */
struct pick *pick_new(struct prof *p, uint64_t window);
void pick_free(struct pick *k);

/* Takes a record, which it adds to the profile, too. 0 or -ENOMEM. */
int pick_add(struct pick *k, const struct ev_hdr *h);

/* Lets go of samples that are older than the window. */
void pick_advance(struct pick *k, uint64_t now);

/* Forgets all samples; what comes then is "since the start". */
void pick_reset(struct pick *k);

/*
 * Splits all samples by something else, from now on: as prof_opts. What is told of rows, and their
 * groups, is as of another profile then; frames stay. 0, -ENOSPC: there is no room for it, and
 * nothing has changed; or -ENOMEM, then there may be no samples any more.
 */
int pick_split(struct pick *k, unsigned int split);

/* Do samples tell their coroutine? Only if the profile was split by it when pick_new() was called.
 */
int pick_keeps_coroutines(const struct pick *k);

/* A process, or one VM of a process that has several. */
struct pick_context {
	uint32_t pid;
	uint64_t g;	  /* 0: no VM */
	uint32_t vm;	  /* 1, 2, ... within the process; 0: none */
	const char *comm; /* cleaned */
	uint64_t samples;
};
/* All of them, by first sample: an array of *n, valid until the next pick_add. */
const struct pick_context *pick_contexts(const struct pick *k, size_t *n);

struct pick_query {
	int recent;	      /* of the last seconds only */
	uint32_t pid;	      /* PICK_ALL: any */
	uint64_t g;	      /* with pid: only this VM; 0: any */
	enum prof_group only; /* PROF_GROUP_MAX: any */
};

struct pick_sum {
	uint64_t samples; /* that fit the query, but for its state */
	uint64_t by[PROF_GROUP_MAX];
	uint64_t kernel, outside, no_lua; /* of samples; no_lua: with no stack although in Lua */
};

/*
 * Sums up what fits the query. To be called before any of what follows, which
 * is about the samples up to then. 0 or -ENOMEM.
 */
int pick_select(struct pick *k, const struct pick_query *q, struct pick_sum *out);

/* Chooses labels by the names that came since. 0 or -ENOMEM. */
int pick_labels(struct pick *k);

struct pick_row {
	uint64_t id;	/* the same for the same row, as long as the profile lives */
	uint32_t frame; /* for prof_frame() */
	uint32_t group; /* of a split profile, as prof_row's; PICK_ALL: of a tree, of any */
	uint32_t line;	/* of rows by line; 0: none known */
	uint32_t depth; /* of a tree; 0: at the left */
	uint8_t children, open;
	uint64_t self, total;	     /* as in prof_row; of rows by line total is self */
	uint64_t by[PROF_GROUP_MAX]; /* of self; in a tree of total */
};

/*
 * As prof_rows, unsorted; lines: a row for each current line. Of a split profile for each group,
 * too. Functions are PICK_ROWS at most, the heaviest; *left are left out. To be freed by the
 * caller.
 */
#define PICK_ROWS 65536u
struct pick_row *pick_rows(struct pick *k, int lines, size_t *n, size_t *left);

/* In what follows a function's samples are those of one group, or with PICK_ALL all of them. */

/* The line of a function with most samples of its own; 0: none known. */
uint32_t pick_hot_line(const struct pick *k, uint32_t frame, uint32_t group, uint64_t *count);

/* Samples of a row's own in each of the seconds before now, the oldest first. */
#define PICK_TREND 10u
void pick_trend(const struct pick *k, uint32_t frame, uint32_t group, uint64_t now,
		uint32_t out[PICK_TREND]);

/* The process that all those samples are of; 0: they are of several. */
uint32_t pick_pid(const struct pick *k, uint32_t frame, uint32_t group);

enum pick_tree {
	PICK_CALLEES, /* from the roots of the stacks */
	PICK_CALLERS, /* from each function to those that called it */
};
struct pick_tree_opts {
	enum pick_tree dir;
	uint32_t frame;	    /* CALLERS: of this one only; PICK_ALL: of each */
	uint32_t group;	    /* with frame: of this group only; PICK_ALL: of any */
	uint64_t open_from; /* a row with as many samples is open, one with fewer closed, ... */
	int (*flipped)(void *ctx, uint64_t id); /* ... unless the user said otherwise */
	void *ctx;
	uint64_t least; /* rows with fewer samples are left out */
	size_t max;	/* rows; further ones are left out */
	uint32_t depth; /* levels below the first */
};
/* The rows of a tree as it is opened, parents first, siblings by weight. To be freed. */
struct pick_row *pick_tree(struct pick *k, const struct pick_tree_opts *o, size_t *n);

/*
 * Makes the profile what the query chose, finished, for a writer; then back. While it is applied
 * no record may be added. 0 or -ENOMEM.
 */
int pick_apply(struct pick *k, const struct pick_query *q);
int pick_restore(struct pick *k);

#endif
