/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the scan share: jitscan.c has its order and what is blacklisted,
 * jitscan_traces.c the live traces, jitscan_protos.c finds prototypes and functions,
 * jitscan_infer.c what a start ran into.
 */
#ifndef BPF_JITSCAN_INT_H
#define BPF_JITSCAN_INT_H

#include "bpf/jitscan.h"
#include "bpf/userwalk.h"
#include "bpf/vm_check.h"
#include "bytecode/bc.h"
#include "bytecode/ir.h"
#include "bytecode/proto.h"
#include "bytecode/region.h"
#include "bytecode/traceerr.h"

#define HASH_NONFATAL_OOM 1 /* then hh.tbl is NULL after an addition that failed */
#include <uthash.h>

#define PENALTY_SLOTS 64u
#define PROTOS_MAX 16384u /* remembered of a VM */
#define PROTO_FUNCS 4u	  /* functions remembered of a prototype */
#define CODE_MAX 65536u	  /* instructions of a function whose code is looked at */

#define ADDR_MASK ((1ull << 47) - 1) /* of what a 64-bit build has in its IR constants */

struct penalty {
	uint64_t pc;
	uint16_t val, reason;
};

struct jproto {
	uint64_t pt;
	struct proto_head h;
	uint32_t *bc; /* as of epoch; NULL: not read */
	uint32_t epoch;
	int black;	    /* it has blacklisted starts */
	int wanted;	    /* its functions tell what a start of it ran into */
	uint32_t nfn, told; /* functions known; as of when its starts were sent */
	uint64_t fn[PROTO_FUNCS];
	UT_hash_handle hh;
};

/* The scan of one VM. */
struct jscan {
	struct resolve *r;
	struct userwalk *u;
	int pid;
	struct vm vm;
	const struct layout *l;
	const struct bc_gen *gen;
	const struct ir_table *ir;
	int nyi, blackl;   /* numbers of these trace errors; -1: not known */
	int own_allocator; /* lj_alloc.c: a chunk tells whether it is in use */
	int snaps;	   /* enum snap_layout */
	struct penalty penalty[PENALTY_SLOTS];
	struct jproto *protos;
	uint32_t epoch, unplaced;
	uint64_t begin; /* ns: records carry this time */
	uint64_t read;	/* ns: as of when penalty[] is */
	unsigned int spots;
	uint64_t until; /* ns of our own CPU time: then this look is given up */
	unsigned int ticks;
	int cut;   /* it was, or what it is about could not be read */
	int wants; /* some of its protos are wanted */
};

/* jitscan.c */
struct ev_hdr jscan_header(const struct jscan *s, enum ev_kind kind, size_t size);
uint64_t jscan_state(const struct jscan *s); /* address of the jit_State */
uint16_t jscan_get16(const unsigned char *p, size_t off);
/* Has this look taken too long? What a target says of itself may keep us busy for ever. */
int jscan_over(struct jscan *s);
int jscan_spot(struct jscan *s, enum ev_spot_kind kind, uint64_t pt, uint64_t pc,
	       const struct penalty *p, uint32_t trace);

/* jitscan_protos.c */

/* The prototype at pt, checked, entered if new. head: its first bytes (NULL: to be read). NULL:
 * there is none, or no room.
 */
struct jproto *jscan_proto(struct jscan *s, uint64_t pt, const void *head);
void jscan_protos_free(struct jscan *s);
/* Its code as of this round; NULL: not to be had. */
const uint32_t *jscan_code(struct jscan *s, struct jproto *p);
/* The prototype whose code holds pc, looked for below it. NULL: not found. */
struct jproto *jscan_proto_near(struct jscan *s, uint64_t pc);
/* Is pc in its code? */
int jscan_has_pc(const struct jscan *s, const struct jproto *p, uint64_t pc);
/* The prototype of the Lua function fn; NULL: it is none. */
struct jproto *jscan_function(struct jscan *s, uint64_t fn);
/* Enters the functions on the stacks, and those that they have as upvalues. */
int jscan_stacks(struct jscan *s);
/* The function in immutable upvalue idx of fn, 0: it is none. */
uint64_t jscan_upvalue(struct jscan *s, uint64_t fn, uint32_t idx);

/* jitscan_infer.c: what the start at pc of p ran into, by what the reason is about. */
int jscan_infer(struct jscan *s, struct jproto *p, uint64_t pc, const struct penalty *pen,
		struct ev_spot *e);

/* jitscan_traces.c */

int jscan_jit(struct jscan *s, uint32_t traces, uint32_t sizetrace);
/* JIT record and traces. */
int jscan_traces(struct jscan *s);

#endif
