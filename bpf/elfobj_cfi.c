// SPDX-License-Identifier: MIT
/*
 * Call frame information (LSB core, chapter 10.6; DWARF 5, 6.4) as rows of what unwinding needs.
 *
 * Not by libdw, which takes any register's number for the size of a table: a file of a hostile
 * target could ask for gigabytes. Here all work is bounded by the length of the instructions. What
 * is not understood is no row, never a guess.
 */
#include "bpf/elfobj_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REG_BP 6
#define REG_SP 7
#define REG_RA 16

#define FDE_MAX (64u << 10)    /* bytes of one */
#define FDE_FIRST 256u	       /* most are shorter */
#define BYTES_MAX (128u << 20) /* of all together */
#define CIE_MAX 256u
#define CIES 8	 /* remembered */
#define STATES 8 /* that may be remembered at a time */

enum { OP_ADVANCE = 0x40, OP_OFFSET = 0x80, OP_RESTORE = 0xc0 };
enum {
	OP_NOP = 0x00,
	OP_SET_LOC = 0x01,
	OP_ADVANCE1 = 0x02,
	OP_ADVANCE2 = 0x03,
	OP_ADVANCE4 = 0x04,
	OP_OFFSET_EXT = 0x05,
	OP_RESTORE_EXT = 0x06,
	OP_UNDEFINED = 0x07,
	OP_SAME_VALUE = 0x08,
	OP_REGISTER = 0x09,
	OP_REMEMBER = 0x0a,
	OP_RECALL = 0x0b,
	OP_DEF_CFA = 0x0c,
	OP_DEF_CFA_REG = 0x0d,
	OP_DEF_CFA_OFFSET = 0x0e,
	OP_DEF_CFA_EXPR = 0x0f,
	OP_EXPR = 0x10,
	OP_OFFSET_EXT_SF = 0x11,
	OP_DEF_CFA_SF = 0x12,
	OP_DEF_CFA_OFFSET_SF = 0x13,
	OP_VAL_OFFSET = 0x14,
	OP_VAL_OFFSET_SF = 0x15,
	OP_VAL_EXPR = 0x16,
	OP_ARGS_SIZE = 0x2e,
};
/* Of expressions. */
enum { DW_DEREF = 0x06, DW_BREG_BP = 0x76, DW_BREG_SP = 0x77 };

/* Bytes that are read one after the other; at the end all that is read is 0, and bad is set. */
struct bytes {
	const unsigned char *p, *end;
	int bad;
};

enum rule { RULE_SAME, RULE_OFFSET, RULE_AT_BP, RULE_UNDEFINED, RULE_OTHER };

struct state {
	enum elfobj_cfa cfa;
	int64_t off; /* of the CFA */
	enum rule bp, ra;
	int64_t bp_off, ra_off; /* from the CFA, if RULE_OFFSET */
};

struct cie {
	uint64_t vaddr; /* 0: none */
	unsigned int enc;
	int64_t code_align, data_align;
	int has_augmentation, is_signal;
	unsigned char ins[CIE_MAX];
	size_t len; /* of ins */
};

struct decoder {
	const struct elfobj *eo;
	elfobj_row_fn *fn;
	void *ctx;
	const struct cie *cie;
	struct state st, first, kept[STATES];
	unsigned int nkept;
	uint64_t pc, end; /* of the function */
	struct elfobj_row last;
	int any; /* last is one of this function */
	int ret; /* of fn */
	struct cie cies[CIES];
	unsigned int next_cie;
	uint64_t bytes; /* decoded so far */
	unsigned char buf[FDE_MAX];
};

static const unsigned char *take(struct bytes *b, size_t n)
{
	const unsigned char *p = b->p;

	if ((size_t)(b->end - p) < n) {
		b->bad = 1;
		b->p = b->end;
		return NULL;
	}
	b->p += n;
	return p;
}

static uint64_t take_number(struct bytes *b, size_t size)
{
	const unsigned char *p = take(b, size);
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, size);
	return v;
}

/* A number of LEB128, of which sign is the value of all bits that its last byte leaves out. */
static uint64_t take_leb(struct bytes *b, uint64_t *sign)
{
	unsigned int shift = 0;
	uint64_t v = 0, byte;

	do {
		byte = take_number(b, 1);
		if (shift < 64)
			v |= (byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	*sign = byte & 0x40 && shift < 64 ? ~UINT64_C(0) << shift : 0;
	return v;
}

static uint64_t take_uleb(struct bytes *b)
{
	uint64_t sign;

	return take_leb(b, &sign);
}

static int64_t take_sleb(struct bytes *b)
{
	uint64_t sign, v = take_leb(b, &sign);

	return (int64_t)(v | sign);
}

/* Products of hostile numbers wrap. */
static int64_t times(int64_t a, uint64_t b)
{
	return (int64_t)((uint64_t)a * b);
}

static struct bytes take_block(struct bytes *b)
{
	uint64_t len = take_uleb(b);
	struct bytes out = {b->p, b->p, 1};

	if (len <= (size_t)(b->end - b->p) && !b->bad) {
		out.end = b->p + len;
		out.bad = 0;
	}
	take(b, len < SIZE_MAX ? (size_t)len : SIZE_MAX);
	return out;
}

/* Those that compilers and linkers write: of a PLT, and of functions that align their stack. */
static void cfa_expression(struct state *st, struct bytes e)
{
	static const unsigned char plt[] = {0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a};
	static const unsigned char rest[] = {0x2a, 0x33, 0x24, 0x22};
	size_t len = (size_t)(e.end - e.p);

	st->cfa = ELFOBJ_CFA_NONE;
	if (e.bad || !len)
		return;
	if (len == sizeof(plt) + 1 + sizeof(rest) && !memcmp(e.p, plt, sizeof(plt)) &&
	    e.p[6] >= 0x30 && e.p[6] <= 0x3f && !memcmp(e.p + 7, rest, sizeof(rest))) {
		st->cfa = ELFOBJ_CFA_PLT;
		st->off = e.p[6] - 0x30;
	} else if (e.p[0] == DW_BREG_BP) {
		e.p++;
		st->off = take_sleb(&e);
		if (take_number(&e, 1) == DW_DEREF && !e.bad && e.p == e.end)
			st->cfa = ELFOBJ_CFA_AT_BP;
	}
}

static void set_cfa(struct state *st, uint64_t reg, int64_t off)
{
	st->cfa = reg == REG_SP ? ELFOBJ_CFA_SP : reg == REG_BP ? ELFOBJ_CFA_BP : ELFOBJ_CFA_NONE;
	st->off = off;
}

static void set_rule(struct state *st, uint64_t reg, enum rule rule, int64_t off)
{
	if (reg == REG_BP) {
		st->bp = rule;
		st->bp_off = off;
	} else if (reg == REG_RA) {
		st->ra = rule;
		st->ra_off = off;
	}
}

static void restore(struct decoder *d, uint64_t reg)
{
	if (reg == REG_BP)
		set_rule(&d->st, reg, d->first.bp, d->first.bp_off);
	else
		set_rule(&d->st, reg, d->first.ra, d->first.ra_off);
}

/* What the state says, for callers of this module. */
static struct elfobj_row row_of(const struct decoder *d)
{
	const struct state *st = &d->st;
	struct elfobj_row r = {.pc = d->pc, .cfa = st->cfa, .off = st->off};

	switch (st->bp) {
	case RULE_SAME:
		r.bp = ELFOBJ_BP_SAME;
		break;
	case RULE_OFFSET:
		r.bp = ELFOBJ_BP_SAVED;
		r.bp_off = st->bp_off;
		break;
	case RULE_AT_BP:
		r.bp = ELFOBJ_BP_AT_BP;
		break;
	default:
		r.bp = ELFOBJ_BP_LOST;
	}
	if (d->cie->is_signal)
		r.cfa = ELFOBJ_CFA_SIGNAL;
	else if (st->ra == RULE_UNDEFINED)
		r.cfa = ELFOBJ_CFA_END;
	else if (st->ra != RULE_OFFSET || st->ra_off != -8)
		r.cfa = ELFOBJ_CFA_NONE;
	return r;
}

static int same_row(const struct elfobj_row *a, const struct elfobj_row *b)
{
	return a->cfa == b->cfa && a->off == b->off && a->bp == b->bp && a->bp_off == b->bp_off;
}

/* The state holds from pc on. */
static int emit(struct decoder *d)
{
	struct elfobj_row r = row_of(d);

	if (d->any && same_row(&r, &d->last))
		return 0;
	d->any = 1;
	d->last = r;
	d->ret = d->fn(d->ctx, &r);
	return d->ret;
}

/* To another place in the function: what holds up to there is known now. */
static int advance(struct decoder *d, uint64_t delta)
{
	if (delta && emit(d))
		return 1;
	if (delta > d->end - d->pc)
		return 1;
	d->pc += delta;
	return d->pc == d->end;
}

static int advance_to(struct decoder *d, struct bytes *b)
{
	uint64_t at = take_number(b, 8); /* only absolute ones, which nobody writes any more */

	if ((d->cie->enc & 0x7f) || at < d->pc)
		return 1;
	return advance(d, at - d->pc);
}

static void extended_rule(struct decoder *d, struct bytes *b, unsigned int op)
{
	int64_t align = d->cie->data_align;
	uint64_t reg = take_uleb(b);
	struct bytes e;

	switch (op) {
	case OP_OFFSET_EXT:
		set_rule(&d->st, reg, RULE_OFFSET, times(align, take_uleb(b)));
		break;
	case OP_OFFSET_EXT_SF:
		set_rule(&d->st, reg, RULE_OFFSET, times(align, (uint64_t)take_sleb(b)));
		break;
	case OP_RESTORE_EXT:
		restore(d, reg);
		break;
	case OP_UNDEFINED:
		set_rule(&d->st, reg, RULE_UNDEFINED, 0);
		break;
	case OP_SAME_VALUE:
		set_rule(&d->st, reg, RULE_SAME, 0);
		break;
	case OP_EXPR:
		e = take_block(b);
		set_rule(&d->st, reg,
			 e.end - e.p == 2 && e.p[0] == DW_BREG_BP && !e.p[1] ? RULE_AT_BP
									     : RULE_OTHER,
			 0);
		break;
	case OP_VAL_EXPR:
		take_block(b);
		set_rule(&d->st, reg, RULE_OTHER, 0);
		break;
	default: /* OP_REGISTER, OP_VAL_OFFSET, OP_VAL_OFFSET_SF */
		take_uleb(b);
		set_rule(&d->st, reg, RULE_OTHER, 0);
	}
}

/* The offset of a CFA that a register defines. */
static void set_offset(struct state *st, int64_t off)
{
	if (st->cfa == ELFOBJ_CFA_SP || st->cfa == ELFOBJ_CFA_BP)
		st->off = off;
	else
		st->cfa = ELFOBJ_CFA_NONE;
}

static void define_cfa(struct decoder *d, struct bytes *b, unsigned int op)
{
	int64_t align = d->cie->data_align;
	uint64_t reg;

	switch (op) {
	case OP_DEF_CFA:
		reg = take_uleb(b);
		set_cfa(&d->st, reg, (int64_t)take_uleb(b));
		break;
	case OP_DEF_CFA_SF:
		reg = take_uleb(b);
		set_cfa(&d->st, reg, times(align, (uint64_t)take_sleb(b)));
		break;
	case OP_DEF_CFA_REG:
		set_cfa(&d->st, take_uleb(b), d->st.off);
		break;
	case OP_DEF_CFA_OFFSET:
		set_offset(&d->st, (int64_t)take_uleb(b));
		break;
	case OP_DEF_CFA_OFFSET_SF:
		set_offset(&d->st, times(align, (uint64_t)take_sleb(b)));
		break;
	default:
		cfa_expression(&d->st, take_block(b));
	}
}

/* One instruction. Non-zero: the rest is of no use. */
static int step(struct decoder *d, struct bytes *b)
{
	unsigned int op = (unsigned int)take_number(b, 1), low = op & 0x3f;

	switch (op & 0xc0) {
	case OP_ADVANCE:
		return advance(d, (uint64_t)times(d->cie->code_align, low));
	case OP_OFFSET:
		set_rule(&d->st, low, RULE_OFFSET, times(d->cie->data_align, take_uleb(b)));
		return 0;
	case OP_RESTORE:
		restore(d, low);
		return 0;
	}
	switch (op) {
	case OP_NOP:
		return 0;
	case OP_ADVANCE1:
	case OP_ADVANCE2:
	case OP_ADVANCE4:
		return advance(d, (uint64_t)times(d->cie->code_align,
						  take_number(b, 1u << (op - OP_ADVANCE1))));
	case OP_SET_LOC:
		return advance_to(d, b);
	case OP_REMEMBER:
		if (d->nkept == STATES)
			return 1;
		d->kept[d->nkept++] = d->st;
		return 0;
	case OP_RECALL:
		if (!d->nkept)
			return 1;
		d->st = d->kept[--d->nkept];
		return 0;
	case OP_ARGS_SIZE:
		take_uleb(b);
		return 0;
	}
	if (op >= OP_DEF_CFA && op <= OP_DEF_CFA_EXPR)
		define_cfa(d, b, op);
	else if (op == OP_DEF_CFA_SF || op == OP_DEF_CFA_OFFSET_SF)
		define_cfa(d, b, op);
	else if (op <= OP_VAL_EXPR)
		extended_rule(d, b, op);
	else
		return 1;
	return 0;
}

/* 0: to the end. What is cut off or not understood makes the state unknown. */
static void run(struct decoder *d, struct bytes b)
{
	while (b.p < b.end && !step(d, &b) && !b.bad)
		;
	if (b.p < b.end || b.bad)
		d->st.cfa = ELFOBJ_CFA_NONE;
}

/* The augmentation's data: only what must be known of it. 0 or -ENOENT. */
static int augmentation(struct cie *c, struct bytes *b, const char *aug)
{
	struct bytes data;

	c->enc = 0;
	if (!*aug)
		return 0;
	if (*aug++ != 'z')
		return -ENOENT;
	c->has_augmentation = 1;
	data = take_block(b);
	for (; *aug; aug++) {
		if (*aug == 'S')
			c->is_signal = 1;
		else if (*aug == 'R')
			c->enc = (unsigned int)take_number(&data, 1);
		else if (*aug == 'L')
			take_number(&data, 1);
		else if (*aug == 'P')
			take(&data, eo_pe_size((unsigned int)take_number(&data, 1) & 0x7f));
		else if (*aug != 'B')
			return -ENOENT;
	}
	return data.bad ? -ENOENT : 0;
}

static int read_cie(const struct elfobj *eo, uint64_t vaddr, struct cie *c)
{
	unsigned char buf[8 + CIE_MAX];
	size_t got = eo_read_vaddr(eo, vaddr, buf, sizeof(buf));
	struct bytes b = {buf, buf + got, 0};
	const unsigned char *nul;
	uint32_t len = (uint32_t)take_number(&b, 4), id = (uint32_t)take_number(&b, 4);
	unsigned int version = (unsigned int)take_number(&b, 1);
	const char *aug = (const char *)b.p;

	memset(c, 0, sizeof(*c));
	if (b.bad || id || len < 8 || len > got - 4 || (version != 1 && version != 3))
		return -ENOENT;
	b.end = buf + 4 + len;
	nul = memchr(b.p, '\0', (size_t)(b.end - b.p));
	if (!nul)
		return -ENOENT;
	b.p = nul + 1;
	c->code_align = (int64_t)take_uleb(&b);
	c->data_align = take_sleb(&b);
	if ((version == 1 ? take_number(&b, 1) : take_uleb(&b)) != REG_RA ||
	    augmentation(c, &b, aug) || b.bad)
		return -ENOENT;
	c->len = (size_t)(b.end - b.p);
	memcpy(c->ins, b.p, c->len);
	c->vaddr = vaddr;
	return 0;
}

static const struct cie *cie_at(struct decoder *d, uint64_t vaddr)
{
	unsigned int i;
	struct cie *c;

	for (i = 0; i < CIES; i++)
		if (d->cies[i].vaddr == vaddr)
			return &d->cies[i];
	c = &d->cies[d->next_cie++ % CIES];
	return read_cie(d->eo, vaddr, c) ? NULL : c;
}

/* The rows of one function, whose entry in the search table is i. */
static void function(struct decoder *d, size_t i, uint64_t start, uint64_t end)
{
	uint64_t fde = eo_fde_vaddr(d->eo, i);
	size_t got = eo_read_vaddr(d->eo, fde, d->buf, FDE_FIRST), n;
	struct bytes b = {d->buf, d->buf + got, 0};
	uint32_t len = (uint32_t)take_number(&b, 4), back = (uint32_t)take_number(&b, 4);

	if (len > FDE_FIRST - 4 && len <= FDE_MAX - 4 && got == FDE_FIRST)
		got = eo_read_vaddr(d->eo, fde, d->buf, len + 4);
	d->bytes += len;
	if (b.bad || len > got - 4)
		return;
	d->cie = cie_at(d, fde + 4 - back);
	if (!d->cie)
		return;
	b.end = d->buf + 4 + len;
	n = eo_pe_size(d->cie->enc);
	take(&b, 2 * n);
	if (d->cie->has_augmentation)
		take_block(&b);
	if (!n || b.bad)
		return;
	memset(&d->st, 0, sizeof(d->st));
	d->st.ra = RULE_OTHER;
	d->nkept = 0;
	d->any = 0;
	d->pc = start;
	d->end = end;
	run(d, (struct bytes){d->cie->ins, d->cie->ins + d->cie->len, 0});
	if (d->pc != start) /* instructions of a CIE have no places */
		return;
	d->first = d->st;
	run(d, b);
	if (d->pc < end && !d->ret)
		emit(d);
}

int elfobj_cfi(const struct elfobj *eo, elfobj_row_fn *fn, void *ctx)
{
	struct decoder *d = calloc(1, sizeof(*d));
	uint64_t start, end, last = 0;
	size_t i;
	int ret;

	if (!d)
		return -ENOMEM;
	d->eo = eo;
	d->fn = fn;
	d->ctx = ctx;
	eo_load_fdes(eo);
	for (i = 0; i < eo->lazy->nfdes && !d->ret && d->bytes < BYTES_MAX; i++) {
		start = eo_fde_start(eo, i);
		if (start < last || eo_fde_end(eo, i, &end))
			continue;
		function(d, i, start, end);
		last = end;
		if (!d->ret)
			d->ret = fn(ctx, &(struct elfobj_row){.pc = end, .cfa = ELFOBJ_CFA_NONE});
	}
	ret = d->ret;
	free(d);
	return ret;
}
