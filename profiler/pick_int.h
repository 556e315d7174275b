/* SPDX-License-Identifier: MIT */
/* What the parts of the choice share; not for other folders. */
#ifndef PROFILER_PICK_INT_H
#define PROFILER_PICK_INT_H

#include "profiler/fold.h"
#include "profiler/pick.h"

#define NO_NODE UINT32_MAX
#define NO_KEY UINT32_MAX

/*
 * What is one row: a function, or of a split profile a function in one group. Keys are numbered as
 * they come, those of a profile that is not split as their frames.
 */
struct pick_key {
	uint32_t frame, group; /* group 0: not split, or above what it is split by */
	uint32_t first;	       /* index + 1 of a mark of its row; 0: none */
	uint32_t next;	       /* index + 1 of another key of that frame; 0: none */
};

/* What a node of the profile's tree is to a view; found out once, when the node is new. */
struct pick_node {
	uint32_t parent, frame; /* copies: the tree's own nodes are too large to go over */
	uint32_t own;		/* key of its frame */
	uint32_t row;		/* key of the row that samples ending here belong to, or NO_KEY */
	uint32_t at;		/* node of that frame, or NO_NODE */
	uint32_t trace;		/* key of the trace above it, or NO_KEY */
	uint16_t depth;		/* of the tree; the root has 0 */
	uint8_t first;		/* no node above it has its frame */
};

/* Samples that are the same in all that a query, a row or a split may ask for. */
struct mark {
	uint64_t all;
	uint64_t n;	 /* what the query chose of them */
	uint32_t recent; /* no more than the ring holds */
	uint32_t node;
	uint32_t row, trace; /* copies of the node's: there are too many to look each up */
	uint32_t next;	     /* index + 1 of the next one of its row; 0: none */
	uint32_t line : 24, group : 6, kernel : 1, stackless : 1;
	uint32_t who;
	uint16_t number; /* of the trace; 0: none */
	uint8_t state;
};

/* Whose samples they are. */
struct pick_who {
	uint64_t L; /* 0: not kept apart */
	uint32_t tid;
	uint32_t ctx; /* index, or CTX_MAX: there are too many */
};

struct ring_entry {
	uint64_t time;
	uint32_t mark;
};

struct pick {
	struct prof *p;
	uint64_t window;
	struct pick_node *nodes;
	uint32_t nnodes, nodes_cap;
	struct pick_key *keys;
	uint32_t nkeys, keys_cap;
	struct map keys_at; /* group, frame -> index of keys + 1 */
	uint32_t *of_frame; /* of each frame: index + 1 of the newest of its keys; 0: none */
	uint32_t of_frame_cap;
	struct map spots; /* node, line -> number */
	uint32_t nspots;
	struct map places; /* spot, number of a trace -> number */
	uint32_t nplaces;
	struct map marks_at; /* place, who, state -> index of marks + 1 */
	struct mark *marks;
	uint32_t nmarks, marks_cap;
	struct map vms;	 /* number of the VM in the profile's pool, and pid -> index of ctx + 1 */
	struct pool ids; /* (pid, g) */
	struct pick_context *ctx;
	uint32_t nctx, ctx_cap;
	struct pool who_ids; /* struct pick_who; number - 1 is the index of whos */
	struct pick_who *whos;
	uint32_t nwhos, whos_cap;
	int coroutines; /* are they kept apart? */
	struct ring_entry *ring;
	/* Entries, the oldest at head; the size is a power of two, or 0. */
	uint32_t ring_size, head, count;
	uint32_t older;		    /* entries from head on that are out of the window */
	uint64_t *total;	    /* of each node, as of the last selection */
	uint32_t total_cap, chosen; /* nodes that it has room for; that it holds */
	uint32_t *slots;	    /* of each frame: scratch, all 0 between calls */
	uint32_t slots_cap;
	struct prof_stats saved; /* while a query is applied */
};

/* Is the row of that key about frame and, unless it is PICK_ALL, about group? */
static inline int pick_is_of(const struct pick *k, uint32_t key, uint32_t frame, uint32_t group)
{
	return key != NO_KEY && k->keys[key].frame == frame &&
	       (group == PICK_ALL || k->keys[key].group == group);
}

/* The first mark of a row of frame in group, or PICK_ALL, then those after: index + 1; 0: none. */
uint32_t pick_mark(const struct pick *k, uint32_t frame, uint32_t group, uint32_t after);

#define CTX_MAX 65535u
#define WHO_MAX ((1u << 24) - 1) /* further ones are one */

/* Looks at the nodes that are new in the profile. 0 or -ENOMEM. */
int pick_look(struct pick *k);

/* The index + 1 of the mark of that node, line and so on; k->nmarks + 1: there is none yet; 0:
 * -ENOMEM. */
uint32_t pick_mark_at(struct pick *k, const struct mark *m);

/* Fills in what a mark has from its node, and adds it to those of its row. */
void pick_place(struct pick *k, uint32_t mark);

/* The group of an enum ev_state. */
enum prof_group pick_group(unsigned int state);

/* Room for a scratch slot of each frame, and they are 0. 0 or -ENOMEM. */
int pick_slots(struct pick *k);

#endif
