/* SPDX-License-Identifier: MIT */
/*
 * Folds the record stream into a tree of stacks, from which everything else is written: folded
 * stacks, the SVG flame graph, the rows of `top`.
 *
 * Pure: no I/O, no clock. It owns all it remembers. Records must have passed rec_check. Definitions
 * that never came show as [undefined], counted. A function's identity is (build, chunkname,
 * linedefined, last line, content hash); its name is a label chosen at output time: of the names
 * its callers used the most frequent, then the first in byte order. When what it remembers is as much
 * as it may be, samples of stacks that are new count at [profile full]. Frames follow one grammar:
 *
 *   Lua          NAME file:line            (line: linedefined; without a name file:line)
 *   main chunk   main chunk file           (=name chunks: just name)
 *   trace        trace#N:file:line         (as jit.v prints the start: basename); what it inlined
 *                                          is below it, as if it had been called
 *   C            C:NAME, or C:NAME@module+0xOFFSET (NAME by the caller's bytecode; ? if none)
 *   fast func    string.match, or fastfunc#N where no table fits the build
 *   VM code      lj_BC_X, symbol, lj_vm
 *   kernel       [kernel], kernel:NAME
 *   others       [GC] [JIT] record|optimise|assemble  [exit] [truncated]
 *                [no Lua stack: REASON] [native: REASON] [undefined] [profile full]
 *                [before ljx came]
 *
 * With marks labels end in _[j] for compiled code, _[i] for what was inlined in it, _[k] for the
 * kernel; such frames are others than those without.
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

/* What samples can be split by: a frame at the root, in this order. Name of the option's value. */
#define PROF_SPLITS(_)                                                                \
	_(PROCESS, "process")	  /* comm:pid */                                      \
	_(THREAD, "thread")	  /* thread:tid */                                    \
	_(VM, "vm")		  /* VM:number, as `bt` counts them */                \
	_(COROUTINE, "coroutine") /* coroutine:0xADDRESS; addresses are used again */ \
	_(STATE, "state")	  /* [compiled] and so on */                          \
	_(TRACE, "trace")	  /* trace:NUMBER, [no trace] */

enum prof_split {
#define PROF_ENUM(name, text) PROF_BY_##name,
	PROF_SPLITS(PROF_ENUM)
#undef PROF_ENUM
	    PROF_BY_MAX
};

/* What is remembered besides the tree, for the writers that need it. */
#define PROF_KEEP_PILES 1u  /* prof_piles() */
#define PROF_KEEP_TICKS 2u  /* prof_ticks(), and what KEEP_PILES does */
#define PROF_KEEP_EVENTS 4u /* prof_events() */

struct prof_opts {
	int lines;	    /* a pseudo-frame "file:current-line" above each Lua function */
	int marks;	    /* _[j], _[i], _[k] behind compiled, inlined, kernel frames */
	unsigned int split; /* 1 << PROF_BY_* */
	unsigned int keep;  /* PROF_KEEP_* */
	int aborts;	    /* count prof_event()'s aborts in the place of samples */
	uint32_t pid;	    /* only this process; 0: all */
	uint32_t states;    /* only these, 1 << EV_STATE_*; 0: all */
	uint64_t from, to;  /* only [from, to) of the stream, ns from its start; to 0: to its end */
	uint64_t room;	    /* bytes to remember at most, about; 0: 256 MB */
};

/* How a frame is coloured, and which row kind it is. */
enum prof_kind {
	PROF_ROOT,
	PROF_PROCESS, /* what samples are split by */
	PROF_LUA,
	PROF_LINE,  /* line pseudo-frame */
	PROF_TRACE, /* compiled code */
	PROF_C,	    /* C function, fast function */
	PROF_VM,    /* interpreter: handlers and the VM's helpers */
	PROF_KERNEL,
	PROF_GC,
	PROF_JIT,   /* record, optimise, assemble, exit */
	PROF_OTHER, /* [truncated], [no Lua stack: ...], [undefined], [profile full] */
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
	uint32_t frame; /* index for prof_frame() */
	uint32_t nchildren;
	uint64_t total;			 /* samples here and below */
	uint64_t self;			 /* samples that end here */
	uint32_t inlined;		 /* the function was inlined in a trace */
	uint64_t before, before_self;	 /* of a comparison: total and self of the other one */
	uint64_t by_state[EV_STATE_MAX]; /* total, split */
	struct prof_node **children;
};

/*
 * The groups of states that pictures and tables show: letter, name, states. All of them together
 * are all states.
 */
#define PROF_GROUPS(_)                                                                           \
	_(N, "compiled", 1u << EV_STATE_TRACE)                                                   \
	_(I, "interpreted", 1u << EV_STATE_INTERP)                                               \
	_(C, "C code", 1u << EV_STATE_C)                                                         \
	_(G, "GC", 1u << EV_STATE_GC)                                                            \
	_(J, "JIT compiler",                                                                     \
	  1u << EV_STATE_EXIT | 1u << EV_STATE_RECORD | 1u << EV_STATE_OPT | 1u << EV_STATE_ASM) \
	_(O, "other", 1u << EV_STATE_OUTSIDE | 1u << EV_STATE_UNKNOWN)

enum prof_group {
#define PROF_ENUM(letter, text, states) PROF_GROUP_##letter,
	PROF_GROUPS(PROF_ENUM)
#undef PROF_ENUM
	    PROF_GROUP_MAX
};

/* The name of an enum ev_state. */
const char *prof_state_name(unsigned int state);

/* The states of a group by its letter, 1 << EV_STATE_*; 0: there is no such group. */
uint32_t prof_states(char letter);

/* by_state, summed up by groups. */
void prof_groups(const uint64_t by_state[EV_STATE_MAX], uint64_t out[PROF_GROUP_MAX]);

/* How much is known of where in a trace a sample is: text for labels. */
#define PROF_INSIDES(_)                                                                   \
	_(NOT, "")                                                                        \
	_(HEAD, "head") /* before its loop, or it has none */                             \
	_(LOOP, "loop")                                                                   \
	_(UNKNOWN, "")	 /* neither in its machine code nor in what that called, or lost */ \
	_(NO_MCOFS, "") /* the build's traces do not tell: only where it starts */

enum prof_inside {
#define PROF_ENUM(name, text) PROF_INSIDE_##name,
	PROF_INSIDES(PROF_ENUM)
#undef PROF_ENUM
	    PROF_INSIDE_MAX
};

/* "head", "loop", or "". */
const char *prof_phase(unsigned int inside);

/* What is counted. */
enum prof_unit {
	PROF_SAMPLES,
	PROF_ABORTS,
	PROF_LOST_MS, /* milliseconds of CPU that aborts cost */
};

/* Counts over the whole stream. */
struct prof_stats {
	uint64_t samples;  /* folded, after the filter */
	uint64_t with_lua; /* with a Lua stack, whole or in part */
	uint64_t kernel;
	uint64_t truncated;
	uint64_t repaired;
	uint64_t undefined;	 /* samples with a frame whose definition is missing */
	uint64_t crowded;	 /* samples at [profile full] */
	uint64_t lost;		 /* told by LOST records */
	uint64_t events_dropped; /* not in prof_events(): there were too many */
	enum prof_unit unit;
	uint64_t by_state[EV_STATE_MAX];
	uint64_t by_why[EV_WHY_MAX];
	uint64_t by_inside[PROF_INSIDE_MAX];
	uint64_t native; /* with a C stack; by what is missing of it: */
	uint64_t by_native[EV_NATIVE_WHY_MAX];
	uint64_t start_time;	 /* ns, of the stream's first record */
	uint64_t start_realtime; /* the same by the wall clock, ns since 1970; 0: not known */
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
 * then call it again. What the getters return is valid until the next prof_add or prof_free; the
 * strings of a frame stay until prof_free.
 */
int prof_finish(struct prof *p);

const struct prof_node *prof_root(const struct prof *p);
const struct prof_frame *prof_frame(const struct prof *p, uint32_t frame);
const struct prof_stats *prof_stats(const struct prof *p);

/* "sample", "abort" or "ms"; many: "samples" and so on. */
const char *prof_unit_name(const struct prof *p, int many);

/* The processes seen, n of them; pid 0 is for those that a full profile does not know. */
struct prof_process {
	uint32_t pid;
	const char *comm; /* sanitised */
	uint64_t samples;
};
const struct prof_process *prof_processes(const struct prof *p, size_t *n);

/* The builds seen ("LuaJIT 2.1.0-beta3 (luajit2-20230119)"), joined by ", ". "" if none. */
const char *prof_builds(const struct prof *p);

/* ---- what PROF_KEEP_* kept ---- */

/* The timeline of a thread in a VM. What it does outside of any VM goes to the last one it was in.
 */
struct prof_thread {
	uint32_t pid, tid;
	uint32_t vm; /* number; 0: it was never in one */
	const char *comm;
	uint64_t samples;
	uint64_t first_time, last_time;
};

/* What samples of one stack can differ in. */
struct prof_labels {
	uint32_t thread; /* index of prof_threads() */
	uint32_t vm;	 /* number; 0: none */
	uint32_t trace;	 /* number; 0: none */
	uint32_t state;	 /* enum ev_state */
	uint32_t inside; /* enum prof_inside */
	uint32_t reason; /* of an abort, for prof_text(); 0: it is none */
	uint32_t site;	 /* of an abort, as prof_event() was told */
};

/* Samples of one stack with the same labels. */
struct prof_pile {
	uint32_t stack; /* for prof_stack() */
	uint32_t labels;
	uint64_t count;
};

/* Samples at a time. */
struct prof_tick {
	uint64_t time;
	uint32_t pile;
	uint32_t count;
};

const struct prof_thread *prof_threads(const struct prof *p, size_t *n);
const struct prof_labels *prof_labels(const struct prof *p, uint32_t labels);
const struct prof_pile *prof_piles(const struct prof *p, size_t *n);

/*
 * All samples in order of time. Bounded: with more than a million of them those that are near in
 * time and of one pile are taken together, at the time of the first.
 */
const struct prof_tick *prof_ticks(const struct prof *p, size_t *n);

const char *prof_text(const struct prof *p, uint32_t id);

/* What is to be said about an event of the trace recorder; strings may be NULL. */
struct prof_about {
	const char *start;  /* where the recording began */
	const char *end;    /* where it ended */
	const char *reason; /* of an abort */
	uint32_t site;	    /* of an abort: anything that prof_weigh() knows it by */
	uint64_t times;	    /* 1, or it stands for so many */
	uint64_t first;	    /* the time of the first of them */
	int unseen;	    /* set by prof_unseen() */
};

/* An event that was kept. */
struct prof_event {
	uint64_t time;
	uint64_t began; /* of the recording, or of the first of many; 0: not known */
	uint64_t count;
	uint32_t pid, tid;
	uint32_t stack; /* ABORT: for prof_stack(); 0: none */
	uint32_t trace;
	uint32_t type;			  /* enum ev_trace_type */
	const char *start, *end, *reason; /* cleaned; "" if not known */
};

/* Takes what the trace recorder did, after prof_add of the same record. 0 or -ENOMEM. */
int prof_event(struct prof *p, const struct ev_trace *ev, const struct prof_about *about);

/*
 * Counts aborts of which no event tells, only memory: below the place where they began. On a finished
 * profile of aborts, which is to be finished again. 0 or -ENOMEM.
 */
int prof_unseen(struct prof *p, uint32_t pid, struct prof_about *about);

/* In order of their records. At most some hundred thousand; the others are counted in prof_stats.
 */
const struct prof_event *prof_events(const struct prof *p, size_t *n);

/*
 * Counts aborts by what they cost: each by weight[site], in milliseconds, for sites below n, others
 * not at all. PROF_KEEP_PILES, on a finished profile, which is to be finished again.
 */
void prof_weigh(struct prof *p, const double *weight, size_t n);

/* Nodes by number: 0 is the root, and a node's number is larger than its parent's. */
uint32_t prof_stacks(const struct prof *p);
const struct prof_node *prof_stack(const struct prof *p, uint32_t stack);
uint32_t prof_parent(const struct prof *p, uint32_t stack);

/*
 * The same samples with the stacks turned round: leaves at the root. It borrows p's frames and has
 * a tree and statistics only. NULL if out of memory. Freed by its own function, before p is.
 */
struct prof *prof_reversed(const struct prof *p);
void prof_free_reversed(struct prof *reversed);

/* Frames by number, prof_frames of them. */
uint32_t prof_frames(const struct prof *p);

/* ---- comparisons ---- */

/*
 * A profile that compares two: its nodes count both. Frames are the same if their labels are. To be
 * filled from profiles or from folded stacks, all of them split alike (as prof_opts), then
 * finished. NULL if out of memory.
 */
struct prof *diff_new(unsigned int split);

enum diff_side { DIFF_BEFORE, DIFF_AFTER };

/* Adds all samples of a finished profile. 0 or -ENOMEM. */
int diff_add(struct prof *diff, enum diff_side side, const struct prof *p);

/* Adds a line of folded stacks. 0, -ENOMEM, -EINVAL: it is none, or -EDOM: it is not split so. */
int diff_add_line(struct prof *diff, enum diff_side side, const char *line);

int prof_is_diff(const struct prof *p);

/*
 * How the share of all samples changed, of the larger one: 1: there was none, -1: there is none
 * left. And is that more than chance, by two standard deviations?
 */
double prof_change(const struct prof *diff, uint64_t before, uint64_t after);
int prof_is_change(const struct prof *diff, uint64_t before, uint64_t after);

struct diff_row {
	uint32_t frame;
	uint32_t group;		    /* as prof_row's */
	uint64_t self[2], total[2]; /* by enum diff_side; recursion counts once */
};

/*
 * A row for each frame, of a split profile for each frame and group: by how much their own share
 * grew, the most first, so that what vanished or shrank comes last. As prof_rows.
 */
struct diff_row *diff_rows(const struct prof *diff, size_t *n);

/* ---- rows ---- */

/* A row of `top`: a function with all its samples. Recursion counts once. */
struct prof_row {
	uint32_t frame;
	uint64_t self;	/* it is the innermost function (pseudo-frames above it do not count) */
	uint64_t total; /* it is anywhere on the stack */
	uint64_t by_state[EV_STATE_MAX]; /* of self */
	uint32_t group;			 /* of a split profile, for prof_group_label(); 0: none */
};

/*
 * Rows for all functions (PROF_LUA, PROF_C, PROF_TRACE), for [GC], the JIT, [kernel] and the
 * stackless samples: by self, then total, then label. A sample's self goes to exactly one row other
 * than PROF_TRACE: its innermost Lua or C function, or where there is none, its last pseudo-frame;
 * a trace row repeats what ran compiled in it. A C function that only the instruction pointer shows
 * is a pseudo-frame. Of a split profile there are rows for each group of samples. Returns an array
 * of *n, to be freed by the caller with free(); NULL if out of memory.
 */
struct prof_row *prof_rows(const struct prof *p, size_t *n);

/*
 * What the samples of a row's group have in common, the frames that they are split by: into buf, of
 * PROF_SPLIT_TEXT bytes or fewer, then it is cut.
 */
#define PROF_SPLIT_TEXT (PROF_BY_MAX * 513)
const char *prof_group_label(const struct prof *p, uint32_t group, char *buf, size_t size);

/* The group of the samples of a stack; 0: the profile is not split, or it is above all groups. */
uint32_t prof_group(const struct prof *p, uint32_t stack);

/* Is the profile split, so that rows have groups? */
int prof_is_split(const struct prof *p);

#endif
