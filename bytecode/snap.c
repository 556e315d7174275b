/* SPDX-License-Identifier: MIT */
#include "bytecode/snap.h"

#include <string.h>

/* SnapEntry: slot << 24 | flags | ref */
#define ENTRY_FRAME 0x010000u
#define ENTRY_REF(e) ((e)&0xffffu)
#define ENTRY_SLOT(e) ((e) >> 24)

#define ADDR_MASK ((UINT64_C(1) << 47) - 1) /* of a GCRef */

/* lj_frame.h: the lower 3 bits of a link, of one to a Lua function the lower 2. */
enum { LINK_LUA = 0, LINK_CONT = 2, LINK_VARG = 3, LINK_PCALL = 6, LINK_PCALLH = 7 };

/* lj_ir.h: the lower 5 bits of IRIns.t. */
#define IRT_TYPE 0x1fu
enum { IRT_PROTO = 7, IRT_FUNC = 8 };

static const struct {
	uint32_t size, nent, count;
} forms[SNAP_FORMS] = {
    [SNAP_SHORT] = {8, 6, 7}, [SNAP_LONG] = {12, 8, 9}, [SNAP_MCOFS] = {12, 10, 11}};

static uint16_t get16(const unsigned char *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint64_t get64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

size_t snap_size(enum snap_form form)
{
	return forms[form].size;
}

void snap_get(const struct snap_trace *t, enum snap_form form, uint32_t i, struct snap *out)
{
	const unsigned char *p = (const unsigned char *)t->snap + (size_t)i * forms[form].size;

	*out = (struct snap){.nent = p[forms[form].nent], .count = p[forms[form].count]};
	if (form == SNAP_SHORT) {
		out->mapofs = get16(p);
		out->ref = get16(p + 2);
	} else {
		out->mapofs = get16(p) | (uint32_t)get16(p + 2) << 16;
		out->ref = get16(p + 4);
	}
	if (form == SNAP_MCOFS)
		out->mcofs = get16(p + 6);
	out->nslots = p[forms[form].nent - 2];
}

/* Words of the map from a snapshot's pc to its end: the last one's goes on to the map's. */
static uint32_t links(const struct snap_trace *t, enum snap_form form, uint32_t i, uint32_t *at)
{
	struct snap a, b = {.mapofs = t->nmap};

	snap_get(t, form, i, &a);
	if (i + 1 < t->nsnap)
		snap_get(t, form, i + 1, &b);
	*at = a.mapofs + a.nent;
	if (a.mapofs > t->nmap || b.mapofs > t->nmap || *at >= b.mapofs)
		return 0;
	return b.mapofs - *at;
}

/* Do two snapshots that follow each other do so as they are made? */
static int in_order(const struct snap_trace *t, enum snap_form form, const struct snap *a,
		    const struct snap *b)
{
	return b->ref >= a->ref &&
	       (form != SNAP_MCOFS || (b->mcofs >= a->mcofs && b->mcofs <= t->szmcode));
}

int snap_fits(const struct snap_trace *t, enum snap_form form)
{
	struct snap a, b;
	uint32_t i, n, at;

	for (i = 0; i < t->nsnap; i++, a = b) {
		snap_get(t, form, i, &b);
		n = links(t, form, i, &at);
		/* With LJ_FR2 pc and base take two words, else the pc and what follows it. */
		if (!b.nslots || (t->gc64 ? n < 2 || (n > 2 && i + 1 < t->nsnap) : !n))
			return 0;
		if (i ? !in_order(t, form, &a, &b) : b.mcofs != 0 || b.mapofs != 0)
			return 0;
	}
	return t->nsnap != 0;
}

enum snap_form snap_form(const struct snap_trace *t, size_t bytes)
{
	enum snap_form form, found = SNAP_UNKNOWN;

	for (form = SNAP_SHORT; form < SNAP_FORMS; form++) {
		if (bytes != (size_t)t->nsnap * forms[form].size || !snap_fits(t, form))
			continue;
		if (found)
			return SNAP_UNKNOWN;
		found = form;
	}
	return found;
}

/* The IR instruction of a constant, or NULL. With 64 bits its value is in the one after it. */
static const unsigned char *constant(const struct snap_trace *t, uint32_t ref, uint32_t words)
{
	if (ref < t->nk || ref - t->nk + words > t->nconst)
		return NULL;
	return (const unsigned char *)t->k + 8 * (size_t)(ref - t->nk);
}

/* What a constant of 64 bits holds; 0: there is none. */
static uint64_t value64(const struct snap_trace *t, uint32_t ref)
{
	const unsigned char *p = constant(t, ref, 2);

	return p ? get64(p + 8) : 0;
}

/* The function that an entry refers to, if that is constant. */
static uint64_t function(const struct snap_trace *t, uint32_t entry)
{
	const unsigned char *p = constant(t, ENTRY_REF(entry), 1);

	if (!p || (p[4] & IRT_TYPE) != IRT_FUNC)
		return 0;
	return t->gc64 ? value64(t, ENTRY_REF(entry)) & ADDR_MASK : (uint32_t)get64(p);
}

/* The entries of one snapshot. */
struct entries {
	const struct snap_trace *t;
	const uint32_t *e;
	uint32_t n;
};

/* The last of the entries before index below that is a frame's and not the base's. -1: none. */
static int frame_below(const struct entries *s, int below)
{
	uint32_t lowest = s->t->gc64 ? 2 : 1;

	while (--below >= 0)
		if (s->e[below] & ENTRY_FRAME && ENTRY_SLOT(s->e[below]) >= lowest)
			return below;
	return -1;
}

/* The value in a slot that is a constant of 64 bits. */
static uint64_t slot_value(const struct entries *s, uint32_t slot)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (ENTRY_SLOT(s->e[i]) == slot)
			return value64(s->t, ENTRY_REF(s->e[i]));
	return 0;
}

static uint64_t slot_function(const struct entries *s, uint32_t slot)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (ENTRY_SLOT(s->e[i]) == slot)
			return function(s->t, s->e[i]);
	return 0;
}

/* Frames as they are found, from the innermost on. */
struct chain {
	struct snap_frame *f;
	uint32_t n;
	uint64_t pc; /* of the next one */
	int skip;    /* the next one is the real one of a vararg pseudo-frame */
};

static int add(struct chain *c, uint64_t fn)
{
	if (c->skip) {
		c->skip = 0;
		return 0;
	}
	if (c->n == SNAP_FRAMES_MAX)
		return -1;
	c->f[c->n++] = (struct snap_frame){c->pc, fn};
	return 0;
}

/* Goes over a link to the caller; contpc: where that goes on after a continuation. 0 or -1. */
static int follow(struct chain *c, uint64_t link, uint64_t contpc)
{
	if ((link & 3) == LINK_LUA) {
		c->pc = link;
		return link ? 0 : -1;
	}
	switch (link & 7) {
	case LINK_CONT:
		c->pc = contpc;
		return contpc && !(contpc & 3) ? 0 : -1;
	case LINK_VARG:
		c->skip = 1;
		return 0;
	case LINK_PCALL:
	case LINK_PCALLH:
		c->pc = 0; /* a fast function's frame is below */
		return 0;
	default:
		return -1;
	}
}

/* With LJ_FR2: links are in slots, and functions in those below them. */
static int walk64(const struct entries *s, struct chain *c, uint64_t pcbase, int *tail)
{
	uint32_t top = (uint32_t)(pcbase & 0xff) + 1, slot; /* that with the link */
	int at = (int)s->n;

	c->pc = pcbase >> 8;
	*tail = 0;
	for (;;) {
		at = frame_below(s, at);
		if (at < 0)
			break;
		slot = ENTRY_SLOT(s->e[at]);
		if (slot > top || (!c->n && slot != top))
			return -1;
		if (add(c, slot_function(s, slot - 1)) ||
		    follow(c, value64(s->t, ENTRY_REF(s->e[at])),
			   slot > 3 ? slot_value(s, slot - 2) : 0))
			return -1;
	}
	if (!c->n && top != 1)
		return -1;
	for (uint32_t i = 0; i < s->n && ENTRY_SLOT(s->e[i]) <= 1; i++)
		*tail |= ENTRY_SLOT(s->e[i]) == 1 && (s->e[i] & ENTRY_FRAME);
	return add(c, *tail ? slot_function(s, 0) : 0);
}

/* Without it links follow the pc, and functions are in the slots of their frames. */
static int walk32(const struct entries *s, struct chain *c, const uint32_t *word, uint32_t n,
		  int *tail)
{
	uint32_t i = 1;
	int at = (int)s->n;
	uint64_t fn;

	c->pc = word[0];
	while (i < n) {
		uint32_t link = word[i++], contpc = 0;

		at = frame_below(s, at);
		if (at < 0)
			return -1;
		if ((link & 7) == LINK_CONT && i < n)
			contpc = word[i++];
		if (add(c, function(s->t, s->e[at])) || follow(c, link, contpc))
			return -1;
	}
	if (frame_below(s, at) >= 0)
		return -1;
	fn = slot_function(s, 0);
	*tail = fn != 0;
	return add(c, fn);
}

uint32_t snap_frames(const struct snap_trace *t, enum snap_form form, uint32_t i,
		     struct snap_frame *f, int *tail)
{
	struct entries s = {.t = t};
	struct chain c = {.f = f};
	uint32_t at, n = links(t, form, i, &at);
	struct snap sn;
	int err;

	if (!n)
		return 0;
	snap_get(t, form, i, &sn);
	s.e = t->map + sn.mapofs;
	s.n = sn.nent;
	if (!t->gc64)
		err = walk32(&s, &c, t->map + at, n, tail);
	else
		err = n < 2 ? -1 : walk64(&s, &c, get64(t->map + at), tail);
	return err ? 0 : c.n;
}

enum snap_const snap_const(const struct snap_trace *t, uint32_t idx, const int op[3],
			   uint64_t *value)
{
	const unsigned char *p = (const unsigned char *)t->k + 8 * (size_t)idx;
	uint32_t type = p[4] & IRT_TYPE;

	if (t->gc64 && idx + 1 >= t->nconst)
		return SNAP_CONST_OTHER;
	*value = t->gc64 ? get64(p + 8) & ADDR_MASK : (uint32_t)get64(p);
	if (p[5] == op[0] && type == IRT_FUNC)
		return SNAP_CONST_FUNC;
	if (p[5] == op[0] && type == IRT_PROTO)
		return SNAP_CONST_PROTO;
	return p[5] == op[1] || p[5] == op[2] ? SNAP_CONST_PTR : SNAP_CONST_OTHER;
}
