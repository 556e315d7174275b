/* SPDX-License-Identifier: MIT */
/*
 * The output formats: writers over a finished profile, one file fmt_NAME.c each, and the table of
 * them that options, help and tests are made from. A writer writes to a stream that the caller
 * opened and closes; it returns 0 or -errno, of the stream or for want of memory.
 */
#ifndef PROFILER_WRITE_H
#define PROFILER_WRITE_H

#include "profiler/prof.h"

#include <stdio.h>

/* What frames are coloured by. */
#define WRITE_COLOURS(_)                              \
	_(STATE, "state") /* what the VM was doing */ \
	_(FILE, "file")	  /* one colour for each */   \
	_(COST, "cost")	  /* what the aborts of traces that start in the function cost */
enum write_colour {
#define WRITE_ENUM(name, text) WRITE_BY_##name,
	WRITE_COLOURS(WRITE_ENUM)
#undef WRITE_ENUM
};

/* What the aborts of traces that start in a function cost. */
struct write_cost {
	const char *file; /* as that of a frame */
	int32_t line;	  /* where the function is defined */
	double percent;	  /* of the samples */
};

/* What a source line counts. */
struct write_hit {
	const char *file; /* as that of a frame */
	int32_t line;
	uint64_t self;		     /* there, or in what it calls that is no Lua function */
	uint64_t total;		     /* anywhere on the stack */
	uint64_t by[PROF_GROUP_MAX]; /* self, split */
};

/* The source of a file. */
struct write_source {
	const char *file;   /* as that of a frame */
	const char *text;   /* lines that end in \n, clean but for these; NULL: there is none */
	const char *status; /* where it is from, or why there is none */
	const struct write_hit *hits; /* what its lines count, by line */
	size_t nhits;
};

/* What a picture or report says about its making. Strings may be NULL. */
struct write_info {
	const char *title;
	const char *command;
	const char *version;
	/* Of pictures: */
	int icicle;  /* the root at the top */
	int reverse; /* leaves first */
	enum write_colour colour;
	const struct write_cost *costs;
	size_t ncosts;
	/* Embedded source, sorted by file; none: it is not wanted. */
	const struct write_source *sources;
	size_t nsources;
};

/* The source of a frame's file; NULL: none. */
const struct write_source *write_source_of(const struct write_info *info, const char *file);

/*
 * What the source lines of a profile that was folded with lines count: *n, by file and line, to be
 * freed; NULL if out of memory. The strings are the profile's.
 */
struct write_hit *prof_hits(const struct prof *lined, size_t *n);

typedef int write_fn(FILE *f, const struct prof *p, const struct write_info *info);

/*
 * Folded stacks: `root;...;leaf COUNT`, one line per distinct stack, in LC_ALL=C order.
 */
write_fn write_folded;

/* https://github.com/jlfwong/speedscope/wiki/Importing-from-custom-sources */
write_fn write_speedscope;

/* pprof's profile.proto; labels pid, tid, comm, vm, vmstate, trace. */
write_fn write_pprof;

/* What profiler.firefox.com opens; VM states are its categories. */
write_fn write_firefox;

write_fn write_callgrind;
write_fn write_json; /* schema ljx.profile/1 */
write_fn write_csv;

/*
 * A self-contained SVG flame graph: valid XML, no external reference, a correct picture without
 * scripts; with them zoom, search, icicle, dark mode, keys.
 */
write_fn write_svg;

/* The same in a page. */
write_fn write_html;

struct format {
	const char *name;
	/* How names of such files end, or with a '*' at the end begin; separated by blanks. */
	const char *files;
	const char *what;  /* for the help */
	unsigned int keep; /* PROF_KEEP_*: what the profile must have kept */
	int lines;	   /* it must have been folded with lines, which are not shown as frames */
	int diffs;	   /* it can show a comparison */
	int sources;	   /* it has a place for source */
	write_fn *write;
};

/* All of them; the name of the last is NULL. */
extern const struct format formats[];

/*
 * NULL: there is none of this name, or for a file of this name. *packed: the name ends in .gz
 * besides, and so the file is to be compressed.
 */
const struct format *format_by_name(const char *name);
const struct format *format_by_file(const char *path, int *packed);

/* Ends a writer: 0, or the -errno of its stream, or err if that is set. */
int write_end(FILE *f, int err);

#endif
