// SPDX-License-Identifier: MIT
/*
 * Where to put a uprobe. The kernel emulates a few instructions; all others it executes out of line
 * with a single step, whose exception costs 10 us and more in a virtual machine.
 */
#include "bpf/finder_int.h"

#define PROLOGUE_MAX 48u /* instructions */

/* Is one of the arguments in args overwritten? */
static int loses_args(const struct fins *ins, unsigned int args)
{
	static const uint8_t reg[] = {FR_DI, FR_SI, FR_DX};
	unsigned int i;

	for (i = 0; i < sizeof(reg); i++)
		if (args & 1u << i && ins->writes & 1u << reg[i])
			return 1;
	return 0;
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
	struct ffunc fn;
	size_t i;

	f->probe = f->addr;
	f->emulated = 0;
	if (fi_func(c->eo, f->addr, c->work, &fn))
		return;
	f->end = fn.end;
	for (i = 0; i < fn.n && i < PROLOGUE_MAX; i++) {
		if (fn.ins[i].emulated && !comes_back(&fn, fn.ins[i].addr)) {
			f->probe = fn.ins[i].addr;
			f->emulated = 1;
			break;
		}
		if (!is_harmless(&fn.ins[i]) || loses_args(&fn.ins[i], args))
			break;
	}
	fi_release(&fn);
}
