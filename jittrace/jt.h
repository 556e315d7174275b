/* SPDX-License-Identifier: MIT */
/*
 * Folds the trace recorder's events into a log, a table of the live traces of each VM and a table
 * of the places where recordings fail.
 *
 * Pure: no I/O, no clock. It owns all it remembers and bounds it; what it had to let go of is
 * counted in jt_stats. Records must have passed rec_check. Functions are keyed by identity (build,
 * chunkname, linedefined, last line, content), a place by that and the bytecode position; names are
 * labels. What was never defined is "[undefined]".
 */
#ifndef JITTRACE_JT_H
#define JITTRACE_JT_H

#include "bpf/event.h"
#include "bytecode/traceerr.h"

#include <stddef.h>
#include <stdint.h>

struct jt_opts {
	uint32_t pid; /* only this process's events; 0: all */
};

#define JT_FLUSH_CAUSES 4u /* enum ev_flush_cause; [0]: not known */

struct jt_stats {
	uint64_t starts, stops, aborts, flushes;
	uint64_t flush_by[JT_FLUSH_CAUSES];
	uint64_t undefined;	    /* events with a part that was never defined */
	uint64_t missed;	    /* events that cannot follow the one before: some are missing */
	uint64_t stitches, returns; /* of stops */
	uint64_t first_time, last_time; /* ns, of events; 0: none */
	uint64_t lost;			/* records, told by LOST */
	uint64_t unwatched;		/* VMs whose recorder nobody watched, told by LOST */
	uint64_t tallied;		/* of all events those that were only counted */
	uint64_t elsewhere; /* aborts of places that were too many to count them by place */
	uint64_t dropped_funcs, dropped_names, dropped_syms; /* definitions: limits reached */
	uint64_t dropped_starts; /* starts whose attempts were forgotten */
	uint64_t dropped_sites,
	    dropped_site_events; /* sites forgotten, and what they had counted */
	uint64_t dropped_stacks; /* stacks that were not kept with their site */
	uint64_t dropped_traces; /* traces not entered into the table */
};

struct jt;

/* opts is copied. NULL if out of memory. */
struct jt *jt_new(const struct jt_opts *opts);
void jt_free(struct jt *jt);

/* Takes one record. 0 or -ENOMEM. Kinds that are of no use here are ignored. */
int jt_add(struct jt *jt, const struct ev_hdr *h);

const struct jt_stats *jt_stats(const struct jt *jt);

/* Wall clock of a time of the stream, ns since 1970; 0: the stream has told none so far. */
uint64_t jt_realtime(const struct jt *jt, uint64_t time);

/* ---- places ---- */

enum jt_loc_kind { JT_LOC_NONE, JT_LOC_LUA, JT_LOC_FUNCTION };

/* Where something is. Strings are cleaned and live as long as what they came with. */
struct jt_loc {
	enum jt_loc_kind kind;
	uint32_t line;		     /* LUA; 0: not known */
	uint32_t pos;		     /* LUA: bytecode position, EV_NO_PC: not known */
	int32_t firstline, lastline; /* LUA: of the function */
	int main;		     /* LUA: the function is a main chunk */
	const char *file;	     /* LUA: path, name, [string "..."], [builtin:name]; else "" */
	const char *name; /* LUA: what it is called by, "" if not known; FUNCTION: its name */
	const void *key;  /* LUA: the same for the same function; else NULL */
	uint32_t content; /* LUA: the function's, as ev_func has it */
};

/* "file:line", or the function's name; as snprintf. */
int jt_loc_format(const struct jt_loc *loc, char *buf, size_t size);

/*
 * Does a user's LOCATION mean this place: "file", "file:line", "file:a-b" or "func:NAME"? A file
 * matches as a whole, or where it ends in LOCATION at a slash.
 */
int jt_loc_match(const struct jt_loc *loc, const char *location);

/* ---- the log ---- */

enum jt_style {
	JT_PLAIN,     /* ours: trace numbers on aborts too, full paths, C functions by symbol */
	JT_JV,	      /* byte for byte what -jv of that build prints (LuaJIT src/jit/v.lua) */
	JT_JV_NAME,   /* the same, bytecodes by name */
	JT_JV_NUMBER, /* the same, bytecodes by number */
};

#define JT_LINE 4096u /* no line is longer */

/*
 * Writes an event as a line without its end, as snprintf does; 0: this style has no line for it
 * (JV has none for starts). JV copies names raw, PLAIN cleans them. PLAIN is
 *
 *   PID[/VM] TYPE TRACE [(PARENT/EXIT) ]START WHAT
 *   4242 abort 24 (23/3) /srv/radix.lua:241 -- NYI: bytecode FNEW at /srv/radix.lua:262 [3/11]
 *
 * To be called after jt_add, which the definitions came through; right after it also tells how
 * often the start was tried and what a flush threw away.
 */
int jt_format(const struct jt *jt, const struct ev_trace *ev, enum jt_style style, char *buf,
	      size_t size);

/*
 * The same for events that were only counted, in the style PLAIN:
 *
 *   4242 abort ... and 9000 more like it: /srv/a.lua:3 -- NYI: bytecode FNEW at /srv/a.lua:4
 */
int jt_format_tally(const struct jt *jt, const struct ev_tally *t, char *buf, size_t size);

#define JT_TEXT 640u

/* The parts of an event, as PLAIN shows them; cleaned, valid UTF-8. */
struct jt_event {
	uint32_t vm; /* number within the process; 0: not known */
	uint32_t epoch;
	char start[JT_TEXT];  /* "" if it has none */
	char end[JT_TEXT];    /* ABORT: where, in Lua if that is known; STOP: where it stopped */
	char in[JT_TEXT];     /* ABORT, STOP: the C or fast function that it stopped in; "" */
	char reason[JT_TEXT]; /* ABORT */
	struct jt_loc start_at, end_at; /* valid as long as this, and until the next jt_add */
	enum err_id err;		/* ABORT; ERR_MAX: none of the trace errors */
	const char *link;		/* STOP: name of the link type, "" if not known */
	int undefined;			/* a definition is missing */
	/* Known right after jt_add of this event only: */
	uint32_t attempts; /* ABORT: of this start since it last compiled; 0: not known */
	uint32_t limit;	   /* after so many it is given up; 0: no limit */
	uint32_t dropped;  /* FLUSH: traces thrown away that were known */
	uint64_t site;	   /* ABORT: serial of its jt_site; 0: none */
};
void jt_describe(const struct jt *jt, const struct ev_trace *ev, struct jt_event *out);

/* ---- CPU samples ---- */

#define JT_COST_SECONDS 5u /* what "recent" means for samples */

struct jt_share {
	uint64_t samples;
	uint64_t recent; /* of the last seconds */
};

/*
 * Where the target's CPU time went, by its samples. A sample is charged to a start of traces if the
 * VM interprets, runs C, or records, optimises or assembles, and if its innermost Lua frame lies in
 * that start's region, or in a function called from there in which no trace starts; and to the
 * innermost such start only. The region of a loop is its bytecode, of a function the prototype, of
 * a side exit or a stitch that of its parent's start.
 */
struct jt_costs {
	struct jt_share all, charged;
	struct jt_share by_state[EV_STATE_MAX];
	uint64_t other_traces; /* samples in traces that are not in the table (any more) */
	uint64_t dropped;      /* starts without a region: limit reached */
};

/* Forgets the samples so far; traces, sites and counts of events stay. */
void jt_forget_samples(struct jt *jt);

/* now: for what is recent; 0: the time of the last sample. Valid until the next jt_costs. */
const struct jt_costs *jt_costs(struct jt *jt, uint64_t now);

/* ---- live traces ---- */

/* An exit of a live trace, as of the last look at the VM's memory. */
struct jt_exit {
	uint32_t exitno;
	uint32_t
	    count; /* how often it was taken while it had no side trace; EV_EXIT_DONE: it has */
	uint32_t child;	  /* that side trace; 0: not known */
	uint32_t left;	  /* further exits until it is given up; 0: it is not counted any more */
	int retrying;	  /* each of these is an attempt to record a side trace */
	struct jt_loc at; /* where the interpreter goes on */
};

struct jt_trace {
	uint32_t pid, vm;
	const char *comm;
	uint32_t trace;
	uint32_t epoch; /* flushes of the VM that came before */
	uint32_t parent, exitno, root, link;
	uint32_t nins, nsnap, szmcode;
	uint32_t children; /* side and stitched traces that start here */
	uint32_t aborts;   /* attempts that failed before this one */
	uint8_t kind;	   /* enum ev_trace_kind; SIDE without parent: it is not known */
	uint8_t linktype;  /* enum trace_link */
	uint8_t at_return; /* a root trace that starts at a return: down-recursion */
	uint8_t scanned;   /* it was there when the VM's memory was read, at time */
	uint64_t g, mcode, time;
	struct jt_share samples;
	/* ROOT: the bytecode it was made from: positions of its loop, or of all the function. Of
	 * others that of their root; last < first: not known. */
	uint32_t first, last;
	struct jt_loc start;
	struct jt_loc end;	     /* where it stopped: a function, or a place in one */
	const struct jt_exit *exits; /* those that were taken, by number */
	uint32_t nexits, nretrying;
};

/*
 * The traces that were compiled and not flushed, by process, VM and number. An array of *n, valid
 * until the next jt_add or jt_traces; NULL if out of memory.
 */
const struct jt_trace *jt_traces(struct jt *jt, size_t *n);

/* ---- VMs ---- */

struct jt_vm_info {
	uint32_t pid, vm;
	uint64_t g;
	const char *comm;
	uint32_t epoch;	  /* flushes seen */
	uint32_t traces;  /* known to live */
	uint64_t szmcode; /* bytes of their machine code */
	/* As of the last look at the VM's memory; time 0: there was none. */
	uint64_t time;
	uint64_t szallmcarea;
	int on;
	uint32_t sizetrace, nparams;
	const int32_t *param; /* in the order of jit_param_name() */
};

/* All VMs, by process and number. An array of *n, valid as that of jt_traces. */
const struct jt_vm_info *jt_vms(struct jt *jt, size_t *n);

/* ---- sites: where recordings fail ---- */

enum jt_site_kind {
	JT_SITE_ABORT,
	JT_SITE_STITCH, /* a trace ends before a call that cannot be compiled, another resumes */
	JT_SITE_RETURN, /* a trace ends and the interpreter goes on; harmless unless callee is set
			 */
};

/* What became of the start of a site's traces. The worst of all VMs counts. */
#define JT_STATES(_)                                                                          \
	_(NONE, "-")		/* flushed since, or the VM is no more */                     \
	_(COMPILED, "compiled") /* since the last abort */                                    \
	_(STITCH, "stitch")                                                                   \
	_(RETURN, "return")                                                                   \
	_(RETRYING, "retrying")	      /* attempts of limit so far */                          \
	_(INTERP, "interpreter")      /* a side exit that was given up: always interpreted */ \
	_(BLACKLISTED, "BLACKLISTED") /* never recorded again */
enum jt_state {
#define JT_ENUM(name, text) JT_STATE_##name,
	JT_STATES(JT_ENUM)
#undef JT_ENUM
};
const char *jt_state_name(enum jt_state state);

#define JT_SITE_PROCS 8u

/* A start that another one failed because of: it was blacklisted before, for a reason of its own.
 */
struct jt_because {
	struct jt_loc start;
	const char *reason;
	int inferred;
};

struct jt_site {
	uint64_t serial; /* the row's, whatever is learnt of it later; 1, 2, ..., never reused */
	enum jt_site_kind kind;
	struct jt_loc start;
	struct jt_loc at;	 /* where it stopped, in Lua if that is known */
	uint8_t trace_kind;	 /* enum ev_trace_kind */
	uint8_t at_return;	 /* as of the last event, see jt_trace */
	uint32_t parent, exitno; /* as of the last event */
	int scanned;		 /* read from the VM's memory: where it stopped may not be known */
	int inferred; /* what the reason is about, or at, follows from the code: it may be wrong */
	uint32_t trace, link; /* STITCH, RETURN: as of the last event; link 0: none yet */
	const char *reason;   /* ABORT: in words, without the place; else the callee */
	/* What the reason is about: bytecode, IR instruction, function; else the function it was
	 * in. */
	const char *subject;
	enum err_id err;      /* ABORT; ERR_MAX: an error's text */
	uint64_t count;	      /* of events; 0: only the VM's memory tells of it */
	uint32_t recent;      /* of the 60 s before now */
	uint64_t first, last; /* ns */
	enum jt_state state;
	uint32_t attempts, limit; /* RETRYING: of the VM with most; limit 0: none */
	uint32_t vms, vms_black;  /* VMs that know the start; those that gave it up */
	uint32_t nprocs, others;  /* processes in proc[]; events of further ones */
	struct {
		uint32_t pid, count;
	} proc[JT_SITE_PROCS];
	/* The most frequent stack of ABORT events, leaf first. */
	const struct jt_loc *stack;
	uint32_t nstack;
	uint64_t stack_count; /* how many of count had it, at least */
	/*
	 * Percent of all samples that are charged to the start; -1: not known. What is charged at
	 * the call of a stitch is the stitch's; several reasons of a start share the rest by their
	 * counts of the last 60 s, or if there are none, by all.
	 */
	double cost, cost_recent;
	/* ABORT, BLACKL: the starts that it leads to, the first cause first. */
	const struct jt_because *because;
	uint32_t nbecause;
};

/*
 * All sites, in order of the last event, the latest first. now: for what is recent; 0: the time of
 * the last event. An array of *n, valid until the next jt_add or jt_sites; NULL if out of memory.
 */
const struct jt_site *jt_sites(struct jt *jt, uint64_t now, size_t *n);

#endif
