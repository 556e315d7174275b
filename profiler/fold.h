/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the fold share; not for other folders. prof.c adds samples to the tree, defs.c
 * remembers definitions, frames.c numbers frames by identity and labels them, samples.c keeps what
 * the tree does not, rows.c reads the tree.
 */
#ifndef PROFILER_FOLD_H
#define PROFILER_FOLD_H

#include "profiler/inside.h"
#include "profiler/prof.h"
#include "profiler/table.h"

#define NO_FRAME UINT32_MAX
#define DEAD_KEPT 64u /* processes that ended: their last samples may come after that */

/* Code of a process, as EV_SYM told. */
struct sym {
	uint64_t start;
	uint64_t offset;
	uint32_t kind;	 /* enum ev_sym_kind, or anything */
	uint32_t flags;	 /* EV_SYM_LUAJIT */
	uint32_t name;	 /* of strs */
	uint32_t module; /* of strs */
	uint32_t frame;	 /* where it is the same for all addresses, else NO_FRAME */
};

/* [start, end) belongs to a symbol. A process's ranges are sorted and do not overlap. */
struct range {
	uint64_t start, end;
	uint32_t sym; /* index of the process's syms */
};

struct proc {
	struct prof_process pub;
	uint32_t generation;
	uint32_t frame; /* PROF_PROCESS frame of this generation, or NO_FRAME */
	struct range *ranges;
	uint32_t nranges, ranges_cap;
	struct sym *syms;
	uint32_t nsyms, syms_cap;
	struct map inlines; /* address -> strs: names, the innermost first, joined by \n */
	uint32_t dead;	    /* its end was this one, from 1 on; 0: it lives */
};

enum frame_type {
	FRAME_FIXED, /* the label says all */
	FRAME_LUA,
	FRAME_TRACE,
	FRAME_SYM,    /* C:NAME */
	FRAME_MODULE, /* C:NAME@module+0xOFFSET, NAME by vote */
	FRAME_LINE,
	FRAME_MARKED, /* another one, with a mark behind its label */
};

/* A frame and what its label is made of. */
struct frame {
	struct prof_frame pub;
	uint32_t type;	/* enum frame_type */
	uint32_t flags; /* EV_FUNC_* */
	uint32_t chunk; /* of strs: the chunkname as it came */
	uint32_t name;	/* of strs: the label has it; 0: none */
	uint32_t best;	/* index of votes + 1: the winner so far; 0: none */
	uint64_t offset;
};

/* How often a caller called a function so. */
struct vote {
	uint32_t frame;
	uint32_t name; /* of strs */
	uint64_t count;
};

/* Is the node what the instruction pointer shows, on top of the frames that the VM knows? */
#define NODE_LEAF 0x80000000u
/* Is it a function that was inlined in a trace? */
#define NODE_INLINED 0x40000000u
#define FRAMES_MAX NODE_INLINED

struct node {
	struct prof_node
	    pub; /* by_state: of self while samples are added, of total when finished */
	uint32_t parent;
	uint32_t leaf; /* NODE_* or 0 */
};

/* Where a stack that was there before leads to. */
struct memo_entry {
	int known; /* the rest is set */
	uint32_t node, top;
	unsigned int why;
	int real, undefined;
	uint64_t hits; /* since, whose names are not counted yet */
};

struct memo {
	struct pool keys; /* struct ev_sample; a number is an index of entries */
	struct memo_entry *entries;
	uint32_t cap;
	size_t bytes;
};

/* What events.c remembers. */
struct events {
	struct prof_event *list;
	uint32_t n, cap;
	struct pool places; /* of aborts */
	uint32_t *stacks;   /* by number of places: of the last one */
	uint32_t nstacks, stacks_cap;
	struct map begun_at; /* pid, VM -> index of begun + 1 */
	uint64_t *begun;     /* when the current recording began */
	uint32_t nbegun, begun_cap;
};

/* What PROF_KEEP_* asks for. */
struct samples {
	struct pool labels;  /* struct prof_labels; number - 1 is theirs */
	struct map piles_at; /* stack, labels -> index of piles + 1 */
	struct prof_pile *piles;
	uint32_t npiles, piles_cap;
	struct prof_tick *ticks;
	uint32_t nticks, ticks_cap;
	uint32_t limit;		/* of ticks, before they are taken together */
	uint64_t width;		/* ns that are one, by now */
	int unsorted;		/* a tick is earlier than the one before it */
	struct map thread_now;	/* pid, tid -> index of threads + 1 */
	struct pool thread_ids; /* (pid, tid, vm) */
	struct map threads_at;	/* number of thread_ids -> index of threads + 1 */
	struct prof_thread *threads;
	uint32_t nthreads, threads_cap;
	uint32_t crowd; /* thread of what is at [profile full]; UINT32_MAX: none is */
};

/* What a sample turned out to be. */
struct prof_place {
	uint32_t node;
	unsigned int state;
	enum prof_inside inside;
};

#define NODES_LOG2 12u
#define NODES_BLOCK (1u << NODES_LOG2)

struct prof {
	struct prof_opts opts;
	struct prof_stats stats;
	int finished;
	int is_diff;

	struct pool strs;  /* raw strings, and labels made of them */
	struct pool ids;   /* identities of frames: number - 1 is the frame's */
	struct pool vmids; /* (pid, generation, g) */

	struct frame *frames;
	uint32_t nframes, frames_cap;

	struct map votes_at; /* name, frame -> index of votes + 1 */
	struct vote *votes;
	uint32_t nvotes, votes_cap;

	struct node **blocks; /* of NODES_BLOCK; they never move */
	uint32_t nblocks, blocks_cap;
	uint32_t nnodes;
	struct map edges; /* parent, frame -> node */
	struct prof_node **children;

	struct map procs_at; /* pid -> index of procs + 1 */
	struct proc *procs;
	uint32_t nprocs, procs_cap;
	struct prof_process *processes; /* for prof_processes() */

	struct recent funcs;   /* proto id -> frame + 1 */
	struct recent names;   /* proto, pc -> strs */
	struct map ffs;	       /* build, ffid -> frame + 1 */
	struct map builds;     /* build id -> strs of "version\0build-id" */
	struct map vms;	       /* number of vmids -> build id + 1 */
	struct map vm_numbers; /* number of vmids -> the VM's number */
	char *builds_shown;    /* for prof_builds(), or NULL */
	struct map builds_seen;

	uint32_t dead[DEAD_KEPT]; /* pids of those that ended last, a ring */
	uint32_t ndead;
	uint64_t def_bytes; /* of all symbols, about */

	int full;	    /* what is not known is not learnt any more */
	uint32_t crowd;	    /* node [profile full]; UINT32_MAX: it is not */
	uint32_t undefined; /* frame [undefined] */
	uint32_t ended;	    /* node where the last record ended, UINT32_MAX if it was no sample */

	struct inside_traces inside;
	struct ev_native *native; /* the last one, or NULL */
	struct samples samples;
	struct memo memo;
	struct events events;
};

/* String idx of a record whose structure has size fixed; "" if there is none. */
const char *defs_string(const struct ev_hdr *h, size_t fixed, unsigned int idx);

/* room.c. Of a full profile, what would have to be learnt is -ENOSPC here and in what follows. */

/* Before each record: is it full from now on? 0 or -ENOMEM. */
int room_check(struct prof *p);

/* Is all that there may be used? */
int room_is_used(const struct prof *p);

/* Why there is no new number or string: -ENOSPC or -ENOMEM. */
int room_error(const struct prof *p);

/* The string's number in strs, 0: room_error(). */
uint32_t room_text(struct prof *p, const char *s);

/* tree.c: 0 or -ENOMEM. */

/* Makes node 0. */
int tree_root(struct prof *p, uint32_t frame);

/* Goes from *node to its child of that frame; leaf is NODE_* or 0. */
int tree_child(struct prof *p, uint32_t *node, uint32_t frame, uint32_t leaf);

/* Sums up and lists children by label. */
int tree_finish(struct prof *p);

/* Makes by_state of all nodes self's again: before more samples are counted. */
void tree_reopen(struct prof *p);

/* Takes all nodes out, to be put back or dropped; tree_root may begin anew. */
struct tree {
	struct node **blocks;
	uint32_t nblocks, blocks_cap;
	uint32_t nnodes;
	struct map edges;
	struct prof_node **children;
	int finished;
};
struct tree tree_take(struct prof *p);
void tree_drop(struct tree *t);

/* Puts them in place of those that there are, which are freed. */
void tree_put(struct prof *p, const struct tree *t);

/* Frees all nodes; tree_root may begin anew. */
void tree_release(struct prof *p);

/* rows.c */

/* Is the node a function, to which the time of pseudo-frames above it belongs? */
int rows_is_function(const struct prof *p, const struct node *n);

/*
 * Of a split profile, does node i hold all samples of one group: is it the last of the frames that
 * they are split by, or that of those whose frames nobody knows?
 */
int rows_is_group(const struct prof *p, uint32_t i);

/* Can frames of this kind be rows? */
int rows_is_row(enum prof_kind kind);

/* Rows by frame and group, summed up over the tree. */
struct walk_step;
struct rows_type {
	size_t size;
	void (*begin)(void *row, uint32_t frame, uint32_t group);
	/* A node: top: it is the group's first; again: it is below another one of its frame. */
	void (*add)(const struct prof *p, void *rows, struct walk_step *step, int top, int again);
	int (*is_shown)(const struct prof *p, const void *row);
	int (*compare)(const void *a, const void *b, void *prof);
};

/* The *n rows, in order, to be freed; NULL: out of memory. */
void *rows_sum(const struct prof *p, const struct rows_type *type, size_t *n);

/* defs.c */

/* Remembers a definition; other kinds are none of its business. 0 or -ENOMEM. */
int defs_add(struct prof *p, const struct ev_hdr *h);

/* May the record make frames of known stacks others? */
int defs_changes(const struct prof *p, const struct ev_hdr *h);

void defs_release(struct prof *p);

/*
 * The process, entered if new, or if the profile is full, the one for all that are new. NULL if out
 * of memory. Valid until the next one is entered.
 */
struct proc *defs_proc(struct prof *p, uint32_t pid);

/* The symbol that covers addr, or NULL. Valid until the next EV_SYM. */
struct sym *defs_sym(const struct proc *proc, uint64_t addr);

/* The functions inlined at addr, the innermost first, joined by \n; or NULL. */
const char *defs_inlines(const struct prof *p, const struct proc *proc, uint64_t addr);

/* The build of a VM, 0 if not known. */
uint32_t defs_build(const struct prof *p, const struct proc *proc, uint64_t g);

/* The number of a VM within its process, 0 if not known. */
uint32_t defs_vm(const struct prof *p, const struct proc *proc, uint64_t g);

/* The name by which the instruction at (proto, pc) calls: of strs, 0 if none. */
uint32_t defs_name(struct prof *p, uint64_t addr);

/* frames.c: 0 or -ENOMEM; *out is a number for prof_frame(), equal for equal identity. */

/* A frame that is nothing but its label, which is cleaned. */
int frames_fixed(struct prof *p, enum prof_kind kind, const char *label, uint32_t *out);

/* build: of strs. */
int frames_lua(struct prof *p, const struct ev_func *ev, uint32_t build, uint32_t *out);

/* func: the frame of the function where the trace starts, or NO_FRAME. */
int frames_trace(struct prof *p, uint32_t number, uint32_t func, const struct ev_frame *f,
		 uint32_t *out);

/* A C function. */
int frames_cfunc(struct prof *p, struct sym *sym, uint32_t *out);

/* Code of the VM by its bare name. */
int frames_vmcode(struct prof *p, struct sym *sym, uint32_t *out);

/* name: NULL: as defined last. */
int frames_ff(struct prof *p, uint32_t build, uint32_t ffid, const char *name, uint32_t *out);

/* A line of a function. */
int frames_line(struct prof *p, uint32_t func, uint32_t line, uint32_t *out);

/* The same frame with "_[mark]" behind its label. */
int frames_marked(struct prof *p, uint32_t frame, char mark, uint32_t *out);

/* A caller called frame by name so often. */
int frames_vote(struct prof *p, uint32_t frame, uint32_t name, uint64_t times);

/* Counts the votes and makes the labels that depend on them. */
int frames_finish(struct prof *p);

/*
 * split.c: goes from *node down the frames that the sample, in that state, is split by. 0, -ENOMEM
 * or -ENOSPC.
 */
int split_descend(struct prof *p, struct proc *proc, const struct ev_sample *s, unsigned int state,
		  uint32_t *node);

/* prof.c: 0 or -ENOMEM */

/*
 * The names by which the functions of known stacks were called, of all times that are not counted
 * yet: before the memo goes.
 */
int prof_count_names(struct prof *p);

/* Goes to the stack of an abort, given as a sample, and counts it if aborts are counted. */
int abort_add(struct prof *p, const struct ev_sample *s, const struct prof_about *about,
	      uint32_t *stack);

/* The same for a stack that is known. */
int abort_again(struct prof *p, const struct ev_sample *s, const struct prof_about *about,
		uint32_t stack);

/* events.c */
void events_release(struct prof *p);

/* memo.c */

/* What is known of the sample's stack, which has these C frames or none; NULL: no room, then do
 * without. Valid until the next. */
struct memo_entry *memo_entry(struct prof *p, const struct ev_sample *s, uint32_t nframes,
			      const struct ev_native *native);

/* The stack of entry id, from 1 on. */
const struct ev_sample *memo_key(const struct prof *p, uint32_t id);
void memo_release(struct prof *p);

/* samples.c: 0 or -ENOMEM. */

/* A sample, or an abort, that ended at node of the tree. about: of an abort, or NULL. */
int samples_add(struct prof *p, const struct proc *proc, const struct ev_sample *s,
		const struct prof_place *at, const struct prof_about *about);

/* Makes the timeline that all samples of a full profile belong to that have none. */
int samples_crowd(struct prof *p);

/* Brings the ticks into order. */
int samples_finish(struct prof *p);
void samples_release(struct prof *p);

static inline struct node *node_at(const struct prof *p, uint32_t i)
{
	return &p->blocks[i >> NODES_LOG2][i & (NODES_BLOCK - 1)];
}

#endif
