/* SPDX-License-Identifier: MIT */
/* What fmt_firefox.c and firefox_markers.c share. */
#ifndef PROFILER_FIREFOX_H
#define PROFILER_FIREFOX_H

#include "profiler/jsonw.h"
#include "profiler/table.h"
#include "profiler/timeline.h"

/* In this order in the file. The first is the default and must be grey. */
#define CATEGORIES(_)                    \
	_(OTHER, "Other", "grey")        \
	_(N, "Compiled", "green")        \
	_(I, "Interpreted", "orange")    \
	_(C, "C code", "blue")           \
	_(G, "GC", "purple")             \
	_(RECORD, "JIT compiler", "red") \
	_(EXIT, "Trace exit", "magenta") \
	_(KERNEL, "Kernel", "brown")

enum category {
#define CAT_ENUM(id, name, colour) CAT_##id,
	CATEGORIES(CAT_ENUM)
#undef CAT_ENUM
	    CAT_MAX
};

struct stack;

struct firefox {
	struct jsonw w;
	const struct prof *p;
	struct timeline tl;
	struct pool strings; /* number - 1 is an index of stringArray */
	struct pool ids;     /* struct place; number - 1 is a row of frameTable */
	struct stack *stacks;
	uint32_t nstacks, stacks_cap;
	struct map ends;    /* node, category -> row + 1 of what is not the node's own */
	struct map sources; /* string -> row + 1 */
	uint32_t *files;    /* strings, by row of sources */
	uint32_t nfiles, files_cap;
	const struct prof_event *events;
	size_t nevents;
	uint32_t *first; /* by thread: event + 1, then from there by next; 0: no more */
	uint32_t *next;
	int err;
};

/* Index of stringArray. */
uint32_t firefox_string(struct firefox *ff, const char *s);

/* Ends a table that has n rows. */
void firefox_length(struct jsonw *w, size_t n);

/* A column that is the same in all n rows; JSON. */
void firefox_same(struct jsonw *w, const char *key, const char *value, size_t n);

/* Sorts the events by thread. */
void firefox_events(struct firefox *ff);

/*
 * What the page shows at first: without being told it leaves out the events before the first
 * sample. After firefox_events.
 */
void firefox_range(struct firefox *ff);

/* The table of a thread's markers. */
void firefox_markers(struct firefox *ff, size_t thread);

/* What the page shows of them. */
void firefox_schemas(struct jsonw *w);

#endif
