/* SPDX-License-Identifier: MIT */
/*
 * Folds the record stream into a tree of stacks, from which everything else is written: folded
 * stacks, the SVG flame graph, the rows of `top`.
 *
 * Pure: no I/O, no clock. It owns all it remembers. Records must have passed rec_check. Definitions
 * that never came show as [undefined], counted. A function's identity is (build, chunkname,
 * linedefined, last line, content hash); its name is a label chosen at output time: of the names
 * its callers used the most frequent, then the first in byte order. Frames follow one grammar:
 *
 *   Lua          NAME file:line            (line: linedefined; without a name file:line)
 *   main chunk   main chunk file           (=name chunks: just name)
 *   trace        trace#N:file:line         (as jit.v prints the start: basename)
 *   C            C:NAME, or C:NAME@module+0xOFFSET (NAME by the caller's bytecode; ? if none)
 *   fast func    string.match, or fastfunc#N where no table fits the build
 *   VM code      lj_BC_X, symbol, lj_vm
 *   others       [kernel] [GC] [JIT] record|optimise|assemble  [exit] [truncated]
 *                [no Lua stack: REASON] [undefined]
 *
 * A string chunk is [string "first line..."], at most 60 bytes. Labels are sanitised once, here:
 * ';' -> ':', control characters -> ' ', invalid UTF-8 -> U+FFFD, a trailing blank + number gets
 * ':' instead of the blank (and "main chunk 7" so "main chunk:7"), at most 512 bytes.
 */
#ifndef PROFILER_PROF_H
#define PROFILER_PROF_H

#include "bpf/event.h"

#include <stddef.h>
#include <stdint.h>

struct prof_opts {
	int lines;	 /* a pseudo-frame "file:current-line" above each Lua function */
	int per_process; /* root frame comm:pid */
	uint32_t pid;	 /* only this process; 0: all */
};

/* How a frame is coloured, and which row kind it is. */
enum prof_kind {
	PROF_ROOT,
	PROF_PROCESS,
	PROF_LUA,
	PROF_LINE,   /* line pseudo-frame */
	PROF_TRACE,  /* compiled code */
	PROF_C,	     /* C function, fast function */
	PROF_VM,     /* interpreter: handlers and the VM's helpers */
	PROF_KERNEL,
	PROF_GC,
	PROF_JIT,    /* record, optimise, assemble, exit */
	PROF_OTHER,  /* [truncated], [no Lua stack: ...], [undefined] */
};

struct prof_frame {
	enum prof_kind kind;
	const char *label; /* by the grammar, sanitised, valid UTF-8 */
	const char *name;  /* function name alone, or the label */
	const char *file;  /* chunk or module as shown, "" if none */
	int32_t line;	   /* linedefined, or start of the trace; 0: none */
};

/* A node of the tree. Children are in byte order of their labels after prof_finish. */
struct prof_node {
	uint32_t frame;	       /* index for prof_frame() */
	uint32_t nchildren;
	uint64_t total;	       /* samples here and below */
	uint64_t self;	       /* samples that end here */
	uint64_t by_state[EV_STATE_MAX]; /* total, split */
	struct prof_node **children;
};

/* Counts over the whole stream. */
struct prof_stats {
	uint64_t samples; /* folded, after the filter */
	uint64_t with_lua; /* with a Lua stack, whole or in part */
	uint64_t kernel;
	uint64_t truncated;
	uint64_t repaired;
	uint64_t undefined; /* samples with a frame whose definition is missing */
	uint64_t lost;	    /* told by LOST records */
	uint64_t by_state[EV_STATE_MAX];
	uint64_t by_why[EV_WHY_MAX];
	uint64_t first_time, last_time; /* ns, of samples */
	uint32_t rate;
};

struct prof;

/* opts is copied. NULL if out of memory. */
struct prof *prof_new(const struct prof_opts *opts);
void prof_free(struct prof *p);

/* Forgets the samples, keeps the definitions. 0 or -ENOMEM. */
int prof_reset(struct prof *p);

/* Takes one record. 0 or -ENOMEM. Kinds that are of no use here are ignored. */
int prof_add(struct prof *p, const struct ev_hdr *h);

/*
 * Chooses labels and sorts. Call it before any of the following; more records may be added after,
 * then call it again. What the getters return is valid until the next prof_add or prof_free.
 */
int prof_finish(struct prof *p);

const struct prof_node *prof_root(const struct prof *p);
const struct prof_frame *prof_frame(const struct prof *p, uint32_t frame);
const struct prof_stats *prof_stats(const struct prof *p);

/* The processes seen, n of them. */
struct prof_process {
	uint32_t pid;
	const char *comm; /* sanitised */
	uint64_t samples;
};
const struct prof_process *prof_processes(const struct prof *p, size_t *n);

/* The builds seen ("LuaJIT 2.1.0-beta3 (luajit2-20230119)"), joined by ", ". "" if none. */
const char *prof_builds(const struct prof *p);

/* A row of `top`: a function with all its samples. Recursion counts once. */
struct prof_row {
	uint32_t frame;
	uint64_t self;	/* it is the innermost function (pseudo-frames above it do not count) */
	uint64_t total; /* it is anywhere on the stack */
	uint64_t by_state[EV_STATE_MAX]; /* of self */
};

/*
 * Rows for all functions (PROF_LUA, PROF_C, PROF_TRACE), for [GC], the JIT, [kernel] and the
 * stackless samples: by self, then total, then label. A sample's self goes to exactly one row other
 * than PROF_TRACE: its innermost Lua or C function, or where there is none, its last pseudo-frame;
 * a trace row repeats what ran compiled in it. A C function that only the instruction pointer shows
 * is a pseudo-frame. Returns an array of *n, to be freed by the caller with free(); NULL if out of
 * memory.
 */
struct prof_row *prof_rows(const struct prof *p, size_t *n);

#endif
