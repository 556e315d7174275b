/* SPDX-License-Identifier: MIT */
/*
 * What the sites of aborts and the live traces say of a function: the join of hot frames with what
 * keeps them interpreted. A function is known by its file and the line where it is defined;
 * functions that begin on the same line share what is said of them.
 */
#ifndef TUI_JOIN_H
#define TUI_JOIN_H

#include "tui/model.h"

#define JOIN_BLACK 1u  /* a loop of it, or it itself, is blacklisted */
#define JOIN_NYI 2u    /* an abort there is a NYI */
#define JOIN_STITCH 4u /* traces end there before a call */
#define JOIN_LEAVE 8u  /* loops are left while they are recorded */
#define JOIN_OFF 16u   /* the JIT is off for it */
#define JOIN_EXIT 32u  /* a side exit of a trace of it was given up: interpreted from there */

struct join_func {
	uint64_t hash;
	const char *file;
	int32_t firstline, lastline;
	const char *name;
	uint32_t recent; /* aborts of the last minute that start or stop in it */
	uint64_t count;	 /* all of them */
	unsigned int flags;
	const struct jt_site *top; /* the abort with most cost, or count */
	double cost;		   /* percent of all samples; < 0: not known */
};

struct join {
	struct join_func *func;
	uint32_t *slot; /* index + 1 */
	uint32_t n, mask;
	uint32_t black_loops, black_funcs, exits; /* given up, however many reasons each has */
	int recent;				  /* costs are those of the last seconds */
};

/* Of the picture, whose strings it uses; NULL if out of memory. */
struct join *join_new(const struct model_picture *pic);
void join_free(struct join *j);

/* NULL: nothing is known of it. */
const struct join_func *join_find(const struct join *j, const char *file, int32_t firstline);

/* Is this abort something that LuaJIT cannot compile? */
int join_is_nyi(const struct jt_site *s);

/* A function that ends and returns to the interpreter: nothing failed. */
int join_is_harmless(const struct jt_site *s);

/* Percent of samples that were interpreted because of the site; < 0: not known. */
double join_cost(const struct jt_site *s, int recent);

/* The live trace that a pseudo-frame of a profile is about, of that process or of any (0). */
const struct jt_trace *join_frame(const struct model_picture *pic, const struct prof_frame *f,
				  uint32_t pid);

/* The live trace of that number; NULL: none. pid 0: of any process. */
const struct jt_trace *join_trace(const struct model_picture *pic, uint32_t pid, uint32_t vm,
				  uint32_t trace);

#endif
