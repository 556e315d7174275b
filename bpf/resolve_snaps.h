/* SPDX-License-Identifier: MIT */
/*
 * What the parts of reading a trace share: resolve_snaps.c reads it and has the record,
 * resolve_frames.c finds what runs where.
 */
#ifndef BPF_RESOLVE_SNAPS_H
#define BPF_RESOLVE_SNAPS_H

#include "bpf/resolve_int.h"
#include "bpf/userwalk.h"
#include "bytecode/snap.h"

#define PROTOS_MAX 256u /* prototypes of one trace */
#define BEFORE_MAX 64u	/* prototypes remembered of those before */

/* A VM whose traces are read. */
struct rinside {
	struct rinside *next;
	struct vm vm;
	int pid;
	struct userwalk *u;
	const struct bc_gen *gen;
	enum snap_form form;
	int op[3];		     /* numbers of KGC, KPTR, KKPTR */
	uint64_t before[BEFORE_MAX]; /* prototypes of other traces */
	unsigned int nbefore;
};

/* A prototype that the trace runs. */
struct rcode {
	uint64_t pt, bc;
	struct proto_head h;
	uint32_t id;
	unsigned char *body; /* h.sizept bytes, or NULL */
};

/* Which frame is which: nodes that are equal are one. */
struct rnode {
	const struct rcode *p; /* NULL: no Lua function */
	uint64_t fn;
	uint32_t pos, caller, flags, pad;
};

/* A function that the trace was specialised to. */
struct rfunc {
	uint64_t fn;
	const struct rcode *p;
};

/* What is called where. */
struct rcall {
	const struct rcode *p, *callee; /* callee NULL: more than one */
	uint64_t fn;			/* its function, 0: not constant */
	uint32_t pos;
};
#define CALLS_MAX 512u

/* A trace that is being read. */
struct reading {
	struct resolve *r;
	struct rinside *in;
	const struct ev_sample *s;
	const struct layout *l;
	uint64_t T, mcode, pt;
	unsigned char head[256]; /* the GCtrace */
	unsigned char *body;	 /* from its constants on */
	struct snap_trace t;
	uint32_t nir; /* IR instructions in body, constants among them */
	struct rcode protos[PROTOS_MAX];
	uint32_t nprotos;
	size_t bytes; /* of their bodies */
	struct rfunc func[PROTOS_MAX];
	uint32_t nfuncs;
	struct rcall call[CALLS_MAX];
	uint32_t ncalls;
	struct rnode node[EV_SNAPS_MAX];
	struct ev_snap_frame frame[EV_SNAPS_MAX];
	struct ev_snap_range range[EV_SNAPS_MAX];
	uint32_t nframes, nranges;
};

/* Fills in frames and ranges. */
void frames_find(struct reading *x);
void frames_release(struct reading *x);

/* ---- resolve_calls.c ---- */

/* The instructions of a prototype whose body was read. */
const uint32_t *calls_code(const struct reading *x, const struct rcode *p);

enum calls_kind { CALLS_NOT, CALLS_CALL, CALLS_TAIL };
enum calls_kind calls_kind(const struct reading *x, const struct rcode *p, uint32_t pos);

/* Function fn of p is among the trace's constants. */
void calls_function(struct reading *x, uint64_t fn, const struct rcode *p);

/* A snapshot shows that p calls callee (fn, if that is constant) at pos. */
void calls_learn(struct reading *x, const struct rcode *p, uint32_t pos, const struct rcode *callee,
		 uint64_t fn);

/* fn, or if that is 0 the trace's only function of prototype p; 0: not known. */
uint64_t calls_closure(const struct reading *x, const struct rcode *p, uint64_t fn);

/* What p, whose function is fn or 0, calls at pos: 1 and *callee, *to; 0: not known. */
int calls_find(const struct reading *x, const struct rcode *p, uint64_t fn, uint32_t pos,
	       const struct rcode **callee, uint64_t *to);

#endif
