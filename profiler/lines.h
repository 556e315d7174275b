/* SPDX-License-Identifier: MIT */
/*
 * Folds samples by function and bytecode position: what annotated source is made of. Works on the
 * definitions of a struct prof, which must outlive it, and keeps the listings of CODE records.
 *
 * Self is the innermost Lua function, at the position where it is or where it calls what is not
 * Lua. In compiled code that is so for inlined functions, too; where it is not known what runs in
 * the trace, the sample counts at the trace's start. Total is the function at that position
 * anywhere on the stack, once per sample.
 */
#ifndef PROFILER_LINES_H
#define PROFILER_LINES_H

#include "profiler/prof.h"

struct lines_pos {
	uint32_t pos;  /* bytecode position; EV_NO_PC: not known */
	uint32_t line; /* 0: not known */
	uint64_t self, total;
	uint64_t by_state[EV_STATE_MAX]; /* of self */
};

struct lines_func {
	uint32_t frame;	   /* of prof_frame(): name, file, linedefined */
	uint32_t flags;	   /* EV_FUNC_* */
	const char *chunk; /* chunkname as LuaJIT holds it, perhaps cut; any bytes */
	uint32_t pid;	   /* the first process that had it */
	int32_t firstline, lastline;
	uint32_t content; /* as ev_func's */
	uint64_t self, total;
	uint64_t by_state[EV_STATE_MAX]; /* of self */
	const struct lines_pos *pos;	 /* in order of position; lines_positions() sets them */
	size_t npos;
	/* The listing, if one came: as many lines as instructions, the first one is its title. */
	const char *const *code;
	const int32_t *code_line; /* source line of each; 0: not known */
	uint32_t ncode;
	uint32_t code_flags; /* EV_CODE_* */
};

struct lines_stats {
	uint64_t no_lua;  /* samples without a Lua function, or whose innermost was never defined */
	uint64_t dropped; /* listings that were not kept: limit reached */
	uint64_t merged;  /* samples that were not counted by process: limit reached */
};

struct lines;

/* NULL if out of memory. */
struct lines *lines_new(struct prof *p);
void lines_free(struct lines *l);

/* Takes a record, after prof_add took it. 0 or -ENOMEM. */
int lines_add(struct lines *l, const struct ev_hdr *h);

/*
 * For lines_choose(): keeps the newest samples so long, in ns of the stream's clock, and counts by
 * process. Without it neither.
 */
void lines_window(struct lines *l, uint64_t window);

/* What lines_positions() counts as self until the next lines_add; it knows no total then. */
struct lines_query {
	int recent;   /* those of the window */
	uint64_t now; /* its end */
	uint32_t pid; /* 0: any */
};
/* 0 or -ENOMEM. */
int lines_choose(struct lines *l, const struct lines_query *q);

/* Forgets the samples, keeps functions and listings; goes with prof_reset. */
void lines_reset(struct lines *l);

/* All functions that were defined, in order of that: *n, valid until the next lines_add. */
const struct lines_func *lines_funcs(const struct lines *l, size_t *n);

/* Sets pos and npos of one of lines_funcs(); valid as long as these. 0 or -ENOMEM. */
int lines_positions(struct lines *l, const struct lines_func *f);

const struct lines_stats *lines_stats(const struct lines *l);

#endif
