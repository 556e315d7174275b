/* SPDX-License-Identifier: MIT */
#include "bytecode/path.h"

#define STEPS_MAX 512u
#define COMPARES 12u /* ISLT to ISNEP, which have a snapshot; ISTC to ISF only test a type */
#define TESTS 16u
#define BCBIAS_J 0x8000u
#define NOWHERE UINT32_MAX

struct walk {
	const struct path_code *c;
	uint32_t to;
	enum path_end end;
	path_visit_fn *visit;
	void *ctx;
	uint32_t pos, at, next;
};

static uint32_t ins_at(const struct walk *w, uint32_t pos)
{
	return pos < w->c->n ? w->c->bc[pos] : 0;
}

static int is(const struct walk *w, uint32_t pos, enum bc_id id)
{
	return pos < w->c->n && bc_op(w->c->bc[pos]) == w->c->gen->of[id];
}

/* Is it one of the opcodes from first to last? */
static int among(const struct walk *w, uint32_t pos, enum bc_id first, enum bc_id last)
{
	uint32_t op = bc_op(ins_at(w, pos));

	return pos < w->c->n && op >= w->c->gen->of[first] && op <= w->c->gen->of[last];
}

/* Where the jump at pos leads. */
static uint32_t target(const struct walk *w, uint32_t pos)
{
	uint32_t to = pos + 1 + bc_d(ins_at(w, pos)) - BCBIAS_J;

	return to < w->c->n ? to : NOWHERE;
}

/* The body of the loop that ends at pos: what its FORI jumps over. */
static uint32_t loop_start(const struct walk *w, uint32_t pos)
{
	uint32_t i;

	for (i = pos; i > 0; i--)
		if (among(w, i, BC_ID_FORI, BC_ID_JFORI) && target(w, i) == pos + 1)
			return i + 1;
	return NOWHERE;
}

/*
 * How much machine code there is for the instruction, roughly: none if it moves no data, or only
 * what traces have in registers anyway; more if it calls the VM's C code.
 */
static unsigned int works(const struct walk *w, uint32_t pos)
{
	uint32_t op = bc_op(ins_at(w, pos));
	const uint8_t *of = w->c->gen->of;

	if (is(w, pos, BC_ID_MOV) || (op + 5 >= of[BC_ID_KNIL] && op <= of[BC_ID_UGET]) ||
	    (op >= COMPARES && op < TESTS) || is(w, pos, BC_ID_JMP) ||
	    among(w, pos, BC_ID_RETM, BC_ID_RET1) || among(w, pos, BC_ID_LOOP, BC_ID_JLOOP) ||
	    is(w, pos, BC_ID_ISNEXT) || is(w, pos, BC_ID_UCLO))
		return 0;
	if (op == of[BC_ID_CAT])
		return 6;
	/* TNEW, TDUP; TSETV, TSETS, which may add a key */
	return (op > of[BC_ID_FNEW] && op < of[BC_ID_GGET]) || op == of[BC_ID_TSETS] ||
		       op + 1u == of[BC_ID_TSETS] || is(w, pos, BC_ID_CALL)
		   ? 3
		   : 1;
}

/* Both ways from a comparison: chooses, and tells whether it is the one that is looked for. */
static int compare(struct walk *w, uint32_t one, uint32_t other, int fits)
{
	if (w->end == PATH_COMPARE && fits) {
		w->at = w->pos;
		w->next = w->to == one ? other : one;
		return 1;
	}
	/* The way there is not through what is left out, if it lies behind that. */
	w->pos = w->end == PATH_RETURN || other == NOWHERE ||
			 (other > one && w->to >= one && w->to < other) ||
			 (other < one && w->to >= one)
		     ? one
		     : other;
	return 0;
}

static int at_test(struct walk *w)
{
	uint32_t other = target(w, w->pos + 1), one = w->pos + 2;

	return compare(w, one, other,
		       bc_op(ins_at(w, w->pos)) < COMPARES && (w->to == one || w->to == other));
}

static int at_forl(struct walk *w)
{
	uint32_t start = loop_start(w, w->pos), out = w->pos + 1;

	if (w->end == PATH_COMPARE && w->to == out)
		return compare(w, out, start, start != NOWHERE);
	w->pos = start != NOWHERE && (w->end != PATH_RETURN) && w->to >= start && w->to < out
		     ? start
		     : out;
	return 0;
}

static int at_fori(struct walk *w)
{
	uint32_t out = target(w, w->pos), in = w->pos + 1;

	if (w->end == PATH_COMPARE && w->to == out)
		return compare(w, out, in, 1);
	w->pos = w->end != PATH_RETURN && (w->to < in || w->to >= out) ? out : in;
	return 0;
}

/* Goes on from an instruction. 1: the comparison that is looked for. */
static int step(struct walk *w)
{
	uint32_t pos = w->pos;

	if (bc_op(ins_at(w, pos)) < TESTS && is(w, pos + 1, BC_ID_JMP))
		return at_test(w);
	if (among(w, pos, BC_ID_FORL, BC_ID_JFORL))
		return at_forl(w);
	if (among(w, pos, BC_ID_FORI, BC_ID_JFORI))
		return at_fori(w);
	if (is(w, pos, BC_ID_JMP) || is(w, pos, BC_ID_ISNEXT) || is(w, pos, BC_ID_UCLO))
		w->pos = target(w, pos);
	else if (among(w, pos, BC_ID_ITERL, BC_ID_JITERL) && w->end != PATH_RETURN && w->to < pos)
		w->pos = w->to; /* what it jumps to may be overwritten by a trace's number */
	else
		w->pos = pos + 1;
	return 0;
}

enum path_found path_walk(const struct path_code *c, uint32_t from, uint32_t to, enum path_end end,
			  path_visit_fn *visit, void *ctx, uint32_t *at, uint32_t *next)
{
	struct walk w = {.c = c, .to = to, .end = end, .visit = visit, .ctx = ctx, .pos = from};
	uint32_t i;

	for (i = 0; i < STEPS_MAX && w.pos < c->n; i++) {
		if (w.pos == to && end != PATH_RETURN) {
			if (end == PATH_CALL)
				visit(ctx, w.pos, 0);
			return PATH_DONE;
		}
		visit(ctx, w.pos, works(&w, w.pos));
		if (among(&w, w.pos, BC_ID_RETM, BC_ID_RET1) || is(&w, w.pos, BC_ID_CALLT) ||
		    is(&w, w.pos, BC_ID_CALLMT))
			return end == PATH_RETURN ? PATH_DONE : PATH_LOST;
		if (step(&w)) {
			*at = w.at;
			*next = w.next;
			return PATH_COMPARED;
		}
	}
	return PATH_LOST;
}
