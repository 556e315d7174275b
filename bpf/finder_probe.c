// SPDX-License-Identifier: MIT
/*
 * Where to put a uprobe. The kernel emulates a few instructions; all others it executes out of line
 * with a single step, whose exception costs 10 us and more in a virtual machine.
 */
#include "bpf/finder_int.h"

#include <string.h>

#define PROLOGUE_MAX 48u /* instructions */

static const uint8_t entry_reg[FINDER_ARGS] = {FR_DI, FR_SI, FR_DX};

/* The registers that hold each argument as it came: a bit for each. */
struct holders {
	uint16_t of[FINDER_ARGS];
};

/* A copy counts if all 8 bytes were moved. */
static void follow(struct holders *h, const struct fins *ins)
{
	int copies = ins->op == FO_MOV && ins->wide == 8 && !ins->msize && !ins->has_imm &&
		     ins->dst < FR_COUNT && ins->src < FR_COUNT;
	unsigned int i, from;

	for (i = 0; i < FINDER_ARGS; i++) {
		from = copies ? h->of[i] >> ins->src & 1u : 0;
		h->of[i] &= (uint16_t)~ins->writes;
		if (from)
			h->of[i] |= (uint16_t)(1u << ins->dst);
	}
}

/* True if each of args is somewhere; then reg says where, at best where it came. */
static int has_args(const struct holders *h, unsigned int args, uint8_t reg[FINDER_ARGS])
{
	unsigned int i;

	for (i = 0; i < FINDER_ARGS; i++) {
		reg[i] = entry_reg[i];
		if (!(args & 1u << i) || h->of[i] & 1u << reg[i])
			continue;
		if (!h->of[i])
			return 0;
		for (reg[i] = 0; !(h->of[i] & 1u << reg[i]); reg[i]++)
			;
	}
	return 1;
}

/* True if some branch comes back to an instruction in (start, addr]: the probe would hit again. */
static int comes_back(const struct ffunc *fn, uint64_t addr)
{
	const struct fins *ins;
	size_t i;

	for (i = 0; i < fn->n; i++) {
		ins = &fn->ins[i];
		if ((ins->op == FO_JMP || ins->op == FO_JCC) && !ins->msize &&
		    ins->target > fn->start && ins->target <= addr)
			return 1;
	}
	return 0;
}

/* Memory that the probe's reader may look at stays as it was at the entry. */
static int is_harmless(const struct fins *ins)
{
	return ins->op != FO_CALL && ins->op != FO_JMP && ins->op != FO_JCC && ins->op != FO_STOP &&
	       (!ins->mwrite || ins->base == FR_SP);
}

void finder_probe(struct fctx *c, struct finder_func *f, unsigned int args)
{
	struct holders h;
	uint8_t reg[FINDER_ARGS];
	struct ffunc fn;
	size_t i;

	f->probe = f->addr;
	f->emulated = 0;
	for (i = 0; i < FINDER_ARGS; i++) {
		f->reg[i] = entry_reg[i];
		h.of[i] = (uint16_t)(1u << entry_reg[i]);
	}
	if (fi_func(c->eo, f->addr, c->work, &fn))
		return;
	f->end = fn.end;
	for (i = 0; i < fn.n && i < PROLOGUE_MAX && has_args(&h, args, reg); i++) {
		if (fn.ins[i].emulated && !comes_back(&fn, fn.ins[i].addr)) {
			f->probe = fn.ins[i].addr;
			f->emulated = 1;
			memcpy(f->reg, reg, sizeof(reg));
			break;
		}
		if (!is_harmless(&fn.ins[i]))
			break;
		follow(&h, &fn.ins[i]);
	}
	fi_release(&fn);
}
