/* SPDX-License-Identifier: MIT */
#include "bytecode/region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REGION_MAX 65536u  /* instructions of a function that is walked */
#define BUDGET_MAX 262144u /* instructions of all of them */
#define DEPTH_MAX 4u	   /* calls inlined into each other; lj_record.c stops not much later */
#define MOVES_MAX 256
#define COMPARISONS 16u /* lj_bc.h: they come first, and a JMP follows each */

struct walk {
	const struct bc_gen *gen;
	int next, stop;
	region_callee_fn *callee;
	void *ctx;
	struct region *out;
	uint32_t budget, depth;
	uint64_t chain[DEPTH_MAX + 1]; /* the functions being walked */
	int err;
};

/* A stretch of one function's code, and what of it is still to do. */
struct stretch {
	const struct region_code *code;
	uint32_t from, to, start; /* start: coming back to it closes the loop */
	unsigned char *seen;
	uint32_t *todo, ntodo;
	int clean; /* a way leads through it */
};

static int is(const struct walk *w, uint32_t op, enum bc_id id)
{
	return op == w->gen->of[id];
}

/* Where a jump at pos leads; UINT32_MAX: out of the code. */
static uint32_t target(const struct region_code *c, uint32_t pos)
{
	int64_t to = (int64_t)pos + 1 + (int64_t)bc_d(c->bc[pos]) - 0x8000;

	return to < 0 || to >= c->n ? UINT32_MAX : (uint32_t)to;
}

/*
 * Does the recorder give up here (lj_record.c:lj_record_ins)? A vararg's results count only where
 * the recording did not see the call that passed them: in the function that it starts in.
 */
static int is_nyi(const struct walk *w, uint32_t ins)
{
	uint32_t op = bc_op(ins);

	if (is(w, op, BC_ID_UCLO) || is(w, op, BC_ID_FNEW))
		return 1;
	if (is(w, op, BC_ID_VARG))
		return !bc_b(ins) && !w->depth;
	if (is(w, op, BC_ID_ITERN) || is(w, op, BC_ID_ISNEXT))
		return !w->next;
	return w->gen->n == 93 && (is(w, op, BC_ID_CAT) || is(w, op, BC_ID_TSETM));
}

static int is_black(const struct walk *w, uint32_t op)
{
	return is(w, op, BC_ID_IFORL) || is(w, op, BC_ID_IITERL) || is(w, op, BC_ID_ILOOP) ||
	       is(w, op, BC_ID_IFUNCF);
}

static void add_op(struct region *r, uint32_t op)
{
	uint32_t i;

	for (i = 0; i < r->nops && r->op[i] != op; i++)
		;
	if (i == r->nops && i < REGION_OPS)
		r->op[r->nops++] = (uint8_t)op;
}

static void add_black(struct region *r, uint64_t id, uint32_t pos)
{
	uint32_t i;

	for (i = 0; i < r->nblack && (r->black[i].id != id || r->black[i].pos != pos); i++)
		;
	if (i < r->nblack || i == REGION_BLACK)
		return;
	r->black[i].id = id;
	r->black[i].pos = pos;
	r->nblack++;
}

/* To be looked at, once; what lies outside is a way out. */
static void go(struct stretch *s, uint32_t pos)
{
	if (pos < s->from || pos >= s->to || pos == s->start) {
		s->clean = 1;
		return;
	}
	if (s->seen[pos])
		return;
	s->seen[pos] = 1;
	s->todo[s->ntodo++] = pos;
}

static int walk_stretch(struct walk *w, struct stretch *s, uint32_t entry);

/* A function that is called: does a way lead through it? */
static int walk_callee(struct walk *w, const struct region_code *c)
{
	struct stretch s = {.code = c, .from = 1, .to = c->n, .start = UINT32_MAX};
	uint32_t op = c->n ? bc_op(c->bc[0]) : 0, i;
	int clean;

	for (i = 0; i <= w->depth; i++)
		if (w->chain[i] == c->id) /* recursion has its own limit */
			return 1;
	if (is_black(w, op) && w->stop) {
		add_black(w->out, c->id, 0);
		return 0;
	}
	/* What was compiled is linked to. */
	if (w->depth >= DEPTH_MAX || c->n > REGION_MAX ||
	    !(is(w, op, BC_ID_FUNCF) || is(w, op, BC_ID_IFUNCF) || is(w, op, BC_ID_FUNCV)))
		return 1;
	w->chain[++w->depth] = c->id;
	clean = walk_stretch(w, &s, 1);
	w->depth--;
	return clean;
}

static int is_call(const struct walk *w, uint32_t op)
{
	return is(w, op, BC_ID_CALL) || is(w, op, BC_ID_CALLM) || is(w, op, BC_ID_CALLT) ||
	       is(w, op, BC_ID_CALLMT) || is(w, op, BC_ID_ITERC);
}

static int is_return(const struct walk *w, uint32_t op)
{
	return is(w, op, BC_ID_RET) || is(w, op, BC_ID_RET0) || is(w, op, BC_ID_RET1) ||
	       is(w, op, BC_ID_RETM) || is(w, op, BC_ID_CALLT) || is(w, op, BC_ID_CALLMT);
}

/* What comes after the instruction at pos. */
static void go_on(struct walk *w, struct stretch *s, uint32_t pos)
{
	uint32_t op = bc_op(s->code->bc[pos]);

	if (is_return(w, op)) {
		s->clean = 1;
		return;
	}
	if (is(w, op, BC_ID_JMP) || is(w, op, BC_ID_ISNEXT)) {
		go(s, target(s->code, pos));
		return;
	}
	if (is(w, op, BC_ID_FORI) || is(w, op, BC_ID_JFORI) || is(w, op, BC_ID_FORL) ||
	    is(w, op, BC_ID_IFORL) || is(w, op, BC_ID_ITERL) || is(w, op, BC_ID_IITERL))
		go(s, target(s->code, pos));
	if (op < COMPARISONS)
		go(s, pos + 2);
	go(s, pos + 1);
}

static void walk_at(struct walk *w, struct stretch *s, uint32_t pos)
{
	uint32_t ins = s->code->bc[pos], op = bc_op(ins);
	struct region_code callee;

	if (is_nyi(w, ins)) {
		add_op(w->out, op);
		return;
	}
	if (is_black(w, op) && w->stop) {
		add_black(w->out, s->code->id, pos);
		return;
	}
	if (is_call(w, op) && w->callee && w->callee(w->ctx, s->code, pos, &callee) &&
	    !walk_callee(w, &callee))
		return;
	go_on(w, s, pos);
}

/* Walks what can be reached from entry. Does a way lead through it? */
static int walk_stretch(struct walk *w, struct stretch *s, uint32_t entry)
{
	s->seen = calloc(s->to ? s->to : 1, 1);
	s->todo = calloc(s->to ? s->to : 1, sizeof(*s->todo));
	if (!s->seen || !s->todo) {
		w->err = -ENOMEM;
	} else {
		go(s, entry);
		while (s->ntodo && w->budget && !w->err) {
			w->budget--;
			walk_at(w, s, s->todo[--s->ntodo]);
		}
	}
	free(s->seen);
	free(s->todo);
	return s->clean || !w->budget;
}

/* The region of a loop or function, and where its recording goes on from the start. */
static int extent(const struct walk *w, const struct region_code *c, uint32_t pos,
		  struct stretch *s, uint32_t *entry)
{
	uint32_t op = bc_op(c->bc[pos]), loop = pos;

	*s = (struct stretch){.code = c, .from = 0, .to = c->n, .start = pos};
	if (is(w, op, BC_ID_FUNCF) || is(w, op, BC_ID_IFUNCF)) {
		*entry = pos + 1;
		return 0;
	}
	if (is(w, op, BC_ID_LOOP) || is(w, op, BC_ID_ILOOP)) {
		s->from = pos;
		s->to = target(c, pos);
		*entry = pos + 1;
		return s->to > pos && s->to <= c->n ? 0 : -EINVAL;
	}
	/* A loop of next() starts at its call, which blacklisting turns into an ITERC. */
	if (is(w, op, BC_ID_ITERN) || is(w, op, BC_ID_ITERC))
		loop = pos + 1;
	op = loop < c->n ? bc_op(c->bc[loop]) : 0;
	if (!is(w, op, BC_ID_FORL) && !is(w, op, BC_ID_IFORL) && !is(w, op, BC_ID_ITERL) &&
	    !is(w, op, BC_ID_IITERL))
		return -EINVAL;
	s->from = *entry = target(c, loop);
	s->to = loop + 1;
	return s->from <= loop ? 0 : -EINVAL;
}

int region_walk(const struct region_code *code, uint32_t pos, unsigned int flags,
		region_callee_fn *callee, void *ctx, struct region *out)
{
	struct walk w = {.gen = code->gen,
			 .next = !!(flags & REGION_NEXT),
			 .stop = !!(flags & REGION_STOP),
			 .callee = callee,
			 .ctx = ctx,
			 .out = out,
			 .budget = BUDGET_MAX,
			 .chain = {code->id}};
	struct stretch s;
	uint32_t entry;

	memset(out, 0, sizeof(*out));
	if (pos >= code->n || code->n > REGION_MAX || extent(&w, code, pos, &s, &entry))
		return -EINVAL;
	walk_stretch(&w, &s, entry);
	return w.err;
}

enum region_source region_source(const struct region_code *code, uint32_t pos, uint32_t *idx)
{
	const struct bc_gen *g = code->gen;
	uint32_t slot, ins, op;
	int moves = 0;

	if (pos >= code->n)
		return REGION_SOURCE_NONE;
	slot = bc_a(code->bc[pos]);
	if (bc_op(code->bc[pos]) == g->of[BC_ID_ITERC]) {
		/* It calls a copy; the iterator itself lies three slots below. */
		if (slot < 3)
			return REGION_SOURCE_NONE;
		slot -= 3;
	}
	while (pos-- > 1) {
		ins = code->bc[pos];
		op = bc_op(ins);
		if (op >= g->n)
			return REGION_SOURCE_NONE;
		if (g->ops[op].mode_a == BC_M_BASE && slot >= bc_a(ins) &&
		    (op != g->of[BC_ID_KNIL] || slot <= bc_d(ins)))
			return REGION_SOURCE_NONE;
		if (g->ops[op].mode_a != BC_M_DST || bc_a(ins) != slot)
			continue;
		*idx = bc_d(ins);
		if (op == g->of[BC_ID_FNEW])
			return REGION_SOURCE_CHILD;
		if (op == g->of[BC_ID_UGET])
			return REGION_SOURCE_UPVALUE;
		if (op != g->of[BC_ID_MOV] || ++moves > MOVES_MAX)
			return REGION_SOURCE_NONE;
		slot = bc_d(ins);
	}
	return REGION_SOURCE_NONE;
}
