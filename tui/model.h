/* SPDX-License-Identifier: MIT */
/*
 * What all screens of the live view show. Takes the records of a live run or of a recording, all
 * the same; at each refresh it takes a picture of the tables of traces and sites, so that what is
 * on the screen stays whole while records come, and stays as it is while the display is paused.
 */
#ifndef TUI_MODEL_H
#define TUI_MODEL_H

#include "bpf/capture.h"
#include "jittrace/jt.h"
#include "profiler/ips.h"
#include "profiler/lines.h"
#include "profiler/pick.h"
#include "profiler/prof.h"

#include <stddef.h>
#include <stdint.h>

#define MODEL_SECOND 1000000000ull
#define MODEL_WINDOW 5u	     /* seconds of "the last seconds" */
#define MODEL_TIMELINE 1024u /* seconds that it goes back */
#define MODEL_LOG 4096u	     /* lines of the log that are kept */
#define MODEL_LOG_RATE 500u  /* lines of a second; further ones are counted */
#define MODEL_STACKS 4096u   /* frames of stacks in a picture */

/* What the trace recorder did in a second. */
struct model_second {
	uint64_t second; /* of the stream's clock; others' are 0 */
	uint32_t starts, stops, aborts, nyi, stitches, flushes;
	uint32_t dropped; /* traces thrown away by flushes */
	uint8_t cause;	  /* of the last flush: enum ev_flush_cause */
};

/* A line of the log. Strings live in the line. */
struct model_line {
	uint64_t id; /* 1, 2, ... */
	uint64_t time;
	uint64_t skipped; /* further lines of that second that were only counted */
	uint8_t type;	  /* enum ev_trace_type; 0: about a process */
	uint32_t pid, trace;
	uint32_t line; /* where it happened: of an abort where it stopped, else the start */
	int32_t firstline, lastline;
	const char *file, *name; /* file "": nowhere in Lua */
	const char *text;
};

struct model_opts {
	int lines;	    /* as prof_opts */
	unsigned int split; /* as prof_opts */
	uint32_t pid;	    /* of a recording only this process; 0: all */
};

struct model;
struct arena;

/* The tables as of the last refresh. Strings live until the next one, labels for ever. */
struct model_picture {
	unsigned int generation; /* of the picture; 0: there is none */
	uint64_t time;		 /* of the stream: the newest record's */
	double seconds;		 /* that sum covers */
	double age;		 /* seconds since the first record */
	struct pick_query query;
	struct pick_sum sum;
	struct prof_stats prof;
	struct jt_stats jit;
	const char *build; /* of what runs there */
	struct jt_site *sites;
	size_t nsites;
	struct jt_trace *traces; /* by process, VM, number */
	size_t ntraces;
	struct jt_vm_info *vms;
	size_t nvms;
	const struct model_second *timeline; /* as the model's */
	const struct pick_context *contexts;
	size_t ncontexts;
	/* Live only, set by the caller before the refresh. */
	int live;
	struct capture_stats capture;
	char said[1024]; /* what capture said last */
	double own_cpu;	 /* percent of a CPU; < 0: not known */
	uint64_t lost;	 /* samples, as the stream tells */
};

struct model {
	struct prof *prof;
	struct pick *pick;
	struct lines *lines;
	struct ips *ips;
	int loops_known; /* the stream tells where the loops of traces begin */
	struct jt *jt;
	struct model_opts opts;
	struct model_second *timeline; /* of MODEL_TIMELINE, at second % MODEL_TIMELINE */
	struct model_line *log[MODEL_LOG];
	uint64_t nlog; /* lines ever; the newest has this id */
	uint64_t first, now;
	uint64_t since; /* when the samples since the start begin */
	uint32_t first_pid;
	char comm[64];	 /* of the first process */
	uint64_t exited; /* processes that ended */
	int last_status; /* wait status of the last one; -1: not known */
	struct keep *keep;
	struct arena *arena;
	struct model_picture pic;
};

/* 0 or -ENOMEM. */
int model_init(struct model *m, const struct model_opts *o);
void model_release(struct model *m);

/* Takes a record: of type record_fn. 0 or -ENOMEM. */
int model_record(void *ctx, const struct ev_hdr *h);

/* Takes the picture. now: of the stream's clock, 0: the newest record's. 0 or -ENOMEM. */
int model_refresh(struct model *m, const struct pick_query *q, uint64_t now);

/*
 * Chooses other samples for the picture that was taken; its tables stay as they are. 0 or -ENOMEM.
 */
int model_select(struct model *m, const struct pick_query *q);

/*
 * Splits all samples by something else, as prof_opts; then the picture is to be selected again. 0,
 * -ENOSPC: there is no room, nothing has changed; or -ENOMEM.
 */
int model_split(struct model *m, unsigned int split);

/* Forgets the samples so far. */
void model_reset(struct model *m);

/* A second of the picture's timeline; all 0 if nothing happened, or too long ago. */
struct model_second model_second(const struct model_picture *pic, uint64_t second);

/* The events of the last so many whole seconds before the picture. */
struct model_second model_rate(const struct model_picture *pic, unsigned int seconds);

/* The line of the log with that id; NULL: it is gone, or has not come. */
const struct model_line *model_line(const struct model *m, uint64_t id);

/* Wall clock of a time of the stream as "23:01:58.120"; without a clock in seconds. */
void model_clock(const struct model *m, uint64_t time, char buf[32]);

#endif
