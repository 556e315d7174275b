// SPDX-License-Identifier: MIT
/* Where the loops of a prototype are. The shapes are those of LuaJIT src/lj_parse.c. */
#include "bytecode/proto.h"

#include <stdlib.h>

#define JUMP_MAX 32768u	     /* a jump's reach: BCBIAS_J */
#define LOOKS_MAX (1u << 22) /* at instructions, in search of jumps: a real function takes few */

static uint32_t op_at(const struct proto *pt, uint32_t pos)
{
	return pos < pt->h.sizebc ? bc_op(pt->bc[pos]) : 256;
}

static int is(const struct proto *pt, uint32_t pos, enum bc_id id)
{
	return op_at(pt, pos) == pt->gen->of[id];
}

/* Where the jump at pos leads; sizebc and above: nowhere. */
static uint32_t target(const struct proto *pt, uint32_t pos)
{
	return pos + 1 + bc_d(pt->bc[pos]) - JUMP_MAX;
}

/* FORI jumps behind its FORL, also when the trace's number has replaced FORL's own jump. */
static int numeric(const struct proto *pt, uint32_t pos, struct proto_loop *out)
{
	uint32_t end = target(pt, pos) - 1;

	if (end <= pos ||
	    (!is(pt, end, BC_ID_FORL) && !is(pt, end, BC_ID_IFORL) && !is(pt, end, BC_ID_JFORL)))
		return 0;
	*out = (struct proto_loop){end, pos + 1, end};
	return 1;
}

/* A loop over an iterator is entered by a jump to its ITERC or ITERN, which precedes ITERL. */
static int iterator(const struct proto *pt, uint32_t pos, struct proto_loop *out, uint32_t *looks)
{
	uint32_t first = target(pt, pos), i;

	if (is(pt, pos, BC_ID_JITERL)) {
		/* Jumps from within the body come later than the one that enters. */
		first = pos;
		for (i = pos > JUMP_MAX ? pos - JUMP_MAX : 0; i + 1 < pos && first == pos;
		     i++, ++*looks)
			if ((is(pt, i, BC_ID_JMP) || is(pt, i, BC_ID_ISNEXT)) &&
			    target(pt, i) == pos - 1)
				first = i + 1;
	}
	if (first >= pos)
		return 0;
	*out = (struct proto_loop){pos, first, pos};
	return 1;
}

/* The jump at pos leads here or further back. */
static int jumps_back(const struct proto *pt, uint32_t pos, uint32_t here)
{
	return (is(pt, pos, BC_ID_JMP) || is(pt, pos, BC_ID_UCLO)) && target(pt, pos) <= here;
}

/*
 * while: condition, LOOP, body, jump to the condition. repeat: LOOP, body, condition, jump to LOOP.
 * goto: LOOP, jump. LOOP jumps behind the loop, unless a trace's number is in its place. Of the
 * jumps back over LOOP those of outer loops go further back.
 */
static int unbounded(const struct proto *pt, uint32_t pos, struct proto_loop *out, uint32_t *looks)
{
	uint32_t end = target(pt, pos), first = 0, last = 0, i;

	if (jumps_back(pt, pos + 1, pos)) {
		*out = (struct proto_loop){pos, target(pt, pos + 1), pos + 1};
		return 1;
	}
	if (is(pt, pos, BC_ID_JLOOP))
		end = pt->h.sizebc - pos > JUMP_MAX ? pos + JUMP_MAX : pt->h.sizebc;
	if (end <= pos || end > pt->h.sizebc)
		return 0;
	for (i = pos + 1; i < end; i++, ++*looks) {
		if (jumps_back(pt, i, pos) && target(pt, i) >= first) {
			first = target(pt, i);
			last = i;
		}
	}
	if (is(pt, pos, BC_ID_JLOOP)) {
		*out = (struct proto_loop){pos, first, last};
		return last != 0;
	}
	*out = (struct proto_loop){pos, last ? first : pos, end - 1};
	return 1;
}

static size_t loops_at(const struct proto *pt, uint32_t pos, struct proto_loop out[2],
		       uint32_t *looks)
{
	if (is(pt, pos, BC_ID_FORI) || is(pt, pos, BC_ID_JFORI))
		return (size_t)numeric(pt, pos, out);
	if (is(pt, pos, BC_ID_ITERL) || is(pt, pos, BC_ID_IITERL) || is(pt, pos, BC_ID_JITERL)) {
		if (!pos || !iterator(pt, pos, &out[1], looks))
			return 0;
		out[0] = out[1];
		out[0].pos--; /* ITERN counts by itself since 2021-09 */
		return 2;
	}
	if (is(pt, pos, BC_ID_LOOP) || is(pt, pos, BC_ID_ILOOP))
		return (size_t)unbounded(pt, pos, out, looks);
	/* JLOOP also stands for what was ITERN. */
	if (is(pt, pos, BC_ID_JLOOP) && !is(pt, pos + 1, BC_ID_ITERL) &&
	    !is(pt, pos + 1, BC_ID_IITERL) && !is(pt, pos + 1, BC_ID_JITERL))
		return (size_t)unbounded(pt, pos, out, looks);
	return 0;
}

static int earlier(const void *a, const void *b)
{
	const struct proto_loop *x = a, *y = b;

	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

size_t proto_loops(const struct proto *pt, struct proto_loop *out, size_t max)
{
	struct proto_loop found[2];
	uint32_t pos, looks = 0;
	size_t n = 0, k, i;

	if (!pt->bc || !pt->gen)
		return 0;
	for (pos = 1; pos < pt->h.sizebc && looks < LOOKS_MAX; pos++) {
		k = loops_at(pt, pos, found, &looks);
		for (i = 0; i < k && n < max; i++)
			if (found[i].first && found[i].last < pt->h.sizebc)
				out[n++] = found[i];
	}
	qsort(out, n, sizeof(*out), earlier);
	return n;
}
