// SPDX-License-Identifier: MIT
/*
 * Which accesses to its arguments a function makes: constants and pointers carried through the
 * registers to a fixed point, so that it does not matter how a compiler orders and shares them.
 *
 * Of memory, only one place on the stack for each argument is followed: compilers put what they
 * have no register for there. Targets of a jump table are not known: blocks that nothing else leads
 * to are taken for these.
 */
#include "bpf/finder_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Registers that a call leaves with other values: the System V calling convention. */
#define CALL_CLOBBERS 0x0fc7u

struct flow {
	const struct ffunc *fn;
	struct fstate *in; /* what holds at the start of each block */
	uint32_t *block;   /* of an instruction that starts one, + 1; else 0 */
	size_t nblocks;
	struct fstate table; /* what holds at the jumps through a register */
	int changed;
};

static const struct fval any = {.kind = FV_ANY};

int ff_same(const struct fval *a, const struct fval *b)
{
	if (a->kind != b->kind)
		return 0;
	switch (a->kind) {
	case FV_ARG:
		return a->arg == b->arg && a->off == b->off;
	case FV_LOAD:
		return a->arg == b->arg && a->load == b->load && a->off == b->off;
	case FV_CONST:
	case FV_STACK:
		return a->off == b->off;
	default:
		return 1;
	}
}

/* Lowers to by what holds on another way that leads there. Returns true if that changed it. */
static int meet(struct fstate *to, const struct fstate *from)
{
	int changed = 0;
	size_t i;

	if (!from->reached)
		return 0;
	if (!to->reached) {
		*to = *from;
		return 1;
	}
	for (i = 0; i < FR_COUNT; i++) {
		if (!ff_same(&to->r[i], &from->r[i]) && to->r[i].kind != FV_ANY) {
			to->r[i] = any;
			changed = 1;
		}
	}
	for (i = 0; i < FV_ARGS; i++) {
		if (to->saved[i] != from->saved[i] && to->saved[i] != FV_UNSAVED) {
			to->saved[i] = FV_UNSAVED;
			changed = 1;
		}
	}
	return changed;
}

static struct fval plus(struct fval v, int64_t off)
{
	if (v.kind != FV_ANY)
		v.off = (int64_t)((uint64_t)v.off + (uint64_t)off);
	return v;
}

struct fval ff_mem(const struct fins *ins, const struct fstate *st)
{
	struct fval v = {.kind = FV_CONST};

	if (!ins->msize || ins->index != FR_NONE)
		return any;
	if (ins->base == FR_IP) {
		v.off = (int64_t)ins->target;
		return v;
	}
	return ins->base < FR_COUNT ? plus(st->r[ins->base], ins->disp) : any;
}

struct fval ff_value(const struct fins *ins, const struct fstate *st)
{
	struct fval v = {.kind = FV_CONST, .off = ins->imm};
	uint8_t reg = ins->dst != FR_NONE ? ins->dst : ins->src;

	if (ins->has_imm)
		return v;
	return reg < FR_COUNT ? st->r[reg] : any;
}

static struct fval loaded(const struct fins *ins, const struct fstate *st)
{
	struct fval at = ff_mem(ins, st), v = {.kind = FV_LOAD, .arg = at.arg};
	unsigned int i;

	if (at.kind == FV_STACK && ins->msize == 8) {
		v.kind = FV_ARG;
		for (i = 0; i < FV_ARGS; i++) {
			v.arg = (uint8_t)i;
			if (at.off == st->saved[i])
				return v;
		}
	}
	if (at.kind != FV_ARG || at.off != (int32_t)at.off)
		return any;
	v.load = (int32_t)at.off;
	return v;
}

/* A store to the stack: of an argument as it is, or over one. */
static void save(struct fstate *st, const struct fins *ins)
{
	struct fval at = ff_mem(ins, st), v = ff_value(ins, st);
	unsigned int i;

	if (at.kind != FV_STACK || at.off != (int32_t)at.off)
		return;
	for (i = 0; i < FV_ARGS; i++)
		if (at.off < (int64_t)st->saved[i] + 8 && at.off + ins->msize > st->saved[i])
			st->saved[i] = FV_UNSAVED;
	if (ins->op == FO_MOV && ins->msize == 8 && v.kind == FV_ARG && !v.off)
		st->saved[v.arg] = (int32_t)at.off;
}

/* What ins leaves in its first operand, a register. */
static struct fval result(const struct fins *ins, const struct fstate *st)
{
	struct fval v = {.kind = FV_CONST, .off = ins->imm};

	if (!ins->wide)
		return any;
	switch (ins->op) {
	case FO_MOV:
		if (ins->has_imm)
			return v;
		if (ins->msize)
			return loaded(ins, st);
		return ins->src < FR_COUNT ? st->r[ins->src] : any;
	case FO_LEA:
		return ff_mem(ins, st);
	case FO_ADD:
		return ins->has_imm ? plus(st->r[ins->dst], ins->imm) : any;
	case FO_SUB:
		return ins->has_imm ? plus(st->r[ins->dst], -(uint64_t)ins->imm) : any;
	case FO_XOR:
		v.off = 0;
		return ins->src == ins->dst ? v : any;
	default:
		return any;
	}
}

static void step(struct fstate *st, const struct fins *ins)
{
	unsigned int lost = ins->writes, i;
	struct fval v;

	if (ins->mwrite)
		save(st, ins);
	if (ins->op == FO_CALL || ins->op == FO_PUSH || ins->op == FO_POP)
		lost &= ~(1u << FR_SP);
	if (ins->op == FO_PUSH || ins->op == FO_POP)
		st->r[FR_SP] = plus(st->r[FR_SP], ins->op == FO_PUSH ? -8 : 8);
	if (ins->op == FO_CALL) {
		lost |= CALL_CLOBBERS;
	} else if (ins->dst < FR_COUNT && lost & 1u << ins->dst) {
		v = result(ins, st);
		lost &= ~(1u << ins->dst);
		st->r[ins->dst] = v;
	}
	for (i = 0; lost; i++, lost >>= 1)
		if (lost & 1)
			st->r[i] = any;
}

static int is_branch(const struct fins *ins)
{
	return ins->op == FO_JMP || ins->op == FO_JCC;
}

static int find_blocks(struct flow *f)
{
	const struct fins *ins;
	size_t i, to;

	f->block = calloc(f->fn->n, sizeof(*f->block));
	if (!f->block)
		return -ENOMEM;
	f->block[0] = 1;
	for (i = 0; i < f->fn->n; i++) {
		ins = &f->fn->ins[i];
		if (is_branch(ins) && !ins->msize && ins->target) {
			to = fi_index(f->fn, ins->target);
			if (to < f->fn->n)
				f->block[to] = 1;
		}
		/* Padding is no block: it would lead what is not known into the next one. */
		if (ins->op == FO_JMP || ins->op == FO_STOP) {
			to = i + 1;
			while (to < f->fn->n && f->fn->ins[to].op == FO_NOP)
				to++;
			if (to < f->fn->n)
				f->block[to] = 1;
		}
	}
	for (i = 0; i < f->fn->n; i++)
		if (f->block[i])
			f->block[i] = (uint32_t)++f->nblocks;
	f->in = calloc(f->nblocks, sizeof(*f->in));
	return f->in ? 0 : -ENOMEM;
}

static void leave(struct flow *f, const struct fins *ins, const struct fstate *st)
{
	size_t to;

	if (!is_branch(ins))
		return;
	if (!ins->target || ins->msize) {
		f->changed |= meet(&f->table, st);
		return;
	}
	to = fi_index(f->fn, ins->target);
	if (to < f->fn->n)
		f->changed |= meet(&f->in[f->block[to] - 1], st);
}

/* Once through the code in the order of addresses. */
static int sweep(struct flow *f, ff_visit *visit, void *ctx)
{
	struct fstate st = {.reached = 0};
	const struct fins *ins;
	size_t i;
	int ret;

	f->changed = 0;
	for (i = 0; i < f->fn->n; i++) {
		ins = &f->fn->ins[i];
		if (f->block[i]) {
			f->changed |= meet(&f->in[f->block[i] - 1], &st);
			st = f->in[f->block[i] - 1];
		}
		if (!st.reached)
			continue;
		if (visit) {
			ret = visit(ctx, f->fn, ins, &st);
			if (ret)
				return ret;
		}
		leave(f, ins, &st);
		step(&st, ins);
		if (ins->op == FO_JMP || ins->op == FO_STOP)
			st.reached = 0;
	}
	return 0;
}

/* Blocks that nothing led to get what holds at the jumps through a register. */
static int seed(struct flow *f)
{
	int seeded = 0;
	size_t i;

	if (!f->table.reached)
		return 0;
	for (i = 0; i < f->nblocks; i++) {
		if (!f->in[i].reached) {
			f->in[i] = f->table;
			seeded = 1;
		}
	}
	return seeded;
}

int ff_walk(const struct ffunc *fn, ff_visit *visit, void *ctx)
{
	static const uint8_t args[FV_ARGS] = {FR_DI, FR_SI, FR_DX};
	struct flow f = {.fn = fn};
	unsigned int i;
	int err;

	if (!fn->n)
		return 0;
	err = find_blocks(&f);
	if (err) {
		fn->work->no_memory = 1;
		goto out;
	}
	f.in[0].reached = 1;
	f.in[0].r[FR_SP].kind = FV_STACK;
	for (i = 0; i < FV_ARGS; i++) {
		f.in[0].r[args[i]].kind = FV_ARG;
		f.in[0].r[args[i]].arg = (uint8_t)i;
		f.in[0].saved[i] = FV_UNSAVED;
	}
	/* Each sweep lowers what some block starts with: that ends. */
	do {
		err = fn->work->left < fn->n ? -E2BIG : 0;
		if (err)
			goto out;
		fn->work->left -= fn->n;
		sweep(&f, NULL, NULL);
	} while (f.changed || seed(&f));
	err = sweep(&f, visit, ctx);
out:
	free(f.block);
	free(f.in);
	return err;
}

struct match {
	const struct fwant *want;
	size_t n;
	int64_t found;
};

static int is_wanted(const struct fwant *w, const struct fins *ins, const struct fval *at,
		     const struct fstate *st)
{
	struct fval v;

	if (!ff_same(&w->at, at) || (w->size && w->size != ins->msize))
		return 0;
	if ((w->how & FW_READ && !ins->mread) || (w->how & FW_WRITE && !ins->mwrite))
		return 0;
	if (!(w->how & FW_VALUE))
		return 1;
	v = ff_value(ins, st);
	return v.kind == FV_CONST && v.off == w->value;
}

static int match_visit(void *ctx, const struct ffunc *fn, const struct fins *ins,
		       const struct fstate *st)
{
	struct match *m = ctx;
	struct fval at;
	size_t i;

	(void)fn;
	if (!ins->msize || ins->op == FO_LEA)
		return 0;
	at = ff_mem(ins, st);
	if (at.kind == FV_ANY)
		return 0;
	for (i = 0; i < m->n; i++)
		if (is_wanted(&m->want[i], ins, &at, st))
			m->found |= 1ll << i;
	return 0;
}

int64_t ff_match(const struct ffunc *fn, const struct fwant *want, size_t n)
{
	struct match m = {.want = want, .n = n};
	int err = ff_walk(fn, match_visit, &m);

	return err < 0 ? err : m.found;
}
