// SPDX-License-Identifier: MIT
/*
 * What the interpreter's assembly tells: LuaJIT src/vm_x64.dasc (64-bit GCRef) and src/vm_x86.dasc
 * (32-bit), of which only the registers' widths differ here. r14 is DISPATCH, the address of
 * GG_State.dispatch; rbp holds L, rbx the bytecode's pc, rdx BASE.
 */
#include "bpf/finder_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CALL_WINDOW 12u /* instructions that set up a call */
#define EXIT_WINDOW 64u /* from the start of vm_exit_handler to its call */
#define CPCALL_WINDOW 40u
#define JLOOP_WINDOW 10u

#define VMST_EXIT_INV (-4) /* ~LJ_VMST_EXIT */
#define JL_MAX 0x400

/* ins accesses [base + disp] without an index. */
static int is_mem(const struct fins *ins, unsigned int base)
{
	return ins->msize && ins->base == base && ins->index == FR_NONE;
}

static int is_load(const struct fins *ins, unsigned int dst, unsigned int base)
{
	return ins->op == FO_MOV && ins->dst == dst && ins->mread && is_mem(ins, base);
}

static int is_store(const struct fins *ins, unsigned int base, unsigned int src)
{
	return ins->op == FO_MOV && ins->mwrite && !ins->has_imm && ins->src == src &&
	       is_mem(ins, base);
}

static int is_copy(const struct fins *ins, unsigned int dst, unsigned int src)
{
	return ins->op == FO_MOV && !ins->msize && ins->dst == dst && ins->src == src;
}

/* First instruction of the straight line that leads to ins[k], at most n before it. */
static size_t line_start(const struct ffunc *vm, size_t k, size_t n)
{
	size_t i = k;

	while (i > 0 && k - i < n && vm->ins[i - 1].op != FO_JMP && vm->ins[i - 1].op != FO_STOP &&
	       vm->ins[i - 1].op != FO_CALL)
		i--;
	return i;
}

/* lj_vm_cpcall: the only code that calls the function in its fourth argument. */
static int is_cpcall(const struct ffunc *vm, size_t k, size_t *first)
{
	const struct fins *ins = &vm->ins[k];
	size_t i;

	if (ins->op != FO_CALL || ins->msize || ins->dst != FR_CX)
		return 0;
	for (i = line_start(vm, k, CPCALL_WINDOW); i < k; i++) {
		if (vm->ins[i].op == FO_PUSH && vm->ins[i].dst == FR_BP) {
			*first = i;
			return 1;
		}
	}
	return 0;
}

static void read_cpcall(struct fctx *c, size_t first, size_t call)
{
	static const char where[] = "lj_vm_cpcall";
	const struct fins *ins;
	int32_t stack = 0;
	size_t i;

	for (i = first; i < call; i++) {
		ins = &c->vm.ins[i];
		if (is_load(ins, FR_14, FR_BP))
			fc_anchor(c, FINDER_A_L_glref, ins->disp, where);
		else if (is_load(ins, FR_15, FR_BP))
			stack = ins->disp;
		else if (ins->op == FO_SUB && ins->dst == FR_15 && is_mem(ins, FR_BP)) {
			fc_anchor(c, FINDER_A_L_stack, stack, where);
			fc_anchor(c, FINDER_A_L_top, ins->disp, where);
		} else if (ins->op == FO_ADD && ins->dst == FR_14 && ins->has_imm)
			fc_anchor(c, FINDER_A_G2DISP, ins->imm, where);
		else if (is_store(ins, FR_BP, FR_SP))
			fc_anchor(c, FINDER_A_L_cframe, ins->disp, where);
		else if (is_store(ins, FR_14, FR_BP) && fc_has(c, FINDER_A_G2DISP))
			fc_anchor(c, FINDER_A_G_cur_L, ins->disp + fc_get(c, FINDER_A_G2DISP),
				  where);
	}
}

static void find_cpcall(struct fctx *c)
{
	size_t k, first = 0, call = 0, n = 0, from;

	for (k = 0; k < c->vm.n; k++) {
		if (is_cpcall(&c->vm, k, &from)) {
			first = from;
			call = k;
			n++;
		}
	}
	if (n != 1) {
		fc_missing(c, FINDER_VM_CPCALL, "%zu places in the VM look like it", n);
		return;
	}
	read_cpcall(c, first, call);
	/* Control flow protection puts an endbr64 in front. */
	if (first > 0 && c->vm.ins[first - 1].op != FO_JMP && c->vm.ins[first - 1].op != FO_STOP &&
	    c->vm.ins[first - 1].len == 4)
		first--;
	fc_found(c, FINDER_VM_CPCALL, c->vm.ins[first].addr,
		 "calls through rcx after setting up a C frame");
}

/* A call of C code with J as first argument: J->L was set just before. */
struct site {
	int32_t j, jl;
	unsigned int arg1; /* register that rsi was copied from */
	int frame;	   /* L->top was set from rax: vm_hotloop */
};

static int read_site(const struct ffunc *vm, size_t k, struct site *s)
{
	int have_j = 0, have_l = 0;
	const struct fins *ins;
	int32_t l = 0;
	size_t i;

	memset(s, 0, sizeof(*s));
	s->arg1 = FR_NONE;
	if (vm->ins[k].op != FO_CALL || !fi_leaves(vm, &vm->ins[k]) ||
	    vm->ins[k].target - vm->start < vm->end - vm->start)
		return 0;
	for (i = line_start(vm, k, CALL_WINDOW); i < k; i++) {
		ins = &vm->ins[i];
		if (ins->op == FO_LEA && ins->dst == FR_DI && is_mem(ins, FR_14)) {
			s->j = ins->disp;
			have_j = 1;
		} else if (is_store(ins, FR_14, FR_BP)) {
			l = ins->disp;
			have_l = 1;
		} else if (is_copy(ins, FR_SI, FR_BX) || is_copy(ins, FR_SI, FR_SP)) {
			s->arg1 = ins->src;
		} else if (is_store(ins, FR_BP, FR_AX)) {
			s->frame = 1;
		}
	}
	s->jl = l - s->j;
	return have_j && have_l && s->jl > 0 && s->jl < JL_MAX;
}

/* vm_exit_handler, from its call back: which registers hold what is in the code of all versions. */
static void read_exit(struct fctx *c, size_t k, int32_t j)
{
	static const char where[] = "vm_exit_handler";
	int32_t g = fc_get(c, FINDER_A_G2DISP);
	int have_g = fc_has(c, FINDER_A_G2DISP);
	const struct fins *ins;
	size_t i;

	for (i = line_start(&c->vm, k, EXIT_WINDOW); i < k; i++) {
		ins = &c->vm.ins[i];
		if (!is_mem(ins, FR_14) || ins->op != FO_MOV)
			continue;
		if (ins->msize == 4 && is_store(ins, FR_14, FR_AX))
			fc_anchor(c, FINDER_A_J_exitno, (int64_t)ins->disp - j, where);
		else if (ins->msize == 4 && is_store(ins, FR_14, FR_CX))
			fc_anchor(c, FINDER_A_J_parent, (int64_t)ins->disp - j, where);
		else if (have_g && ins->has_imm && ins->msize == 4 && ins->imm == VMST_EXIT_INV)
			fc_anchor(c, FINDER_A_G_vmstate, (int64_t)ins->disp + g, where);
		else if (have_g && is_load(ins, FR_BP, FR_14))
			fc_anchor(c, FINDER_A_G_cur_L, (int64_t)ins->disp + g, where);
		else if (have_g && is_load(ins, FR_DX, FR_14))
			fc_anchor(c, FINDER_A_G_jit_base, (int64_t)ins->disp + g, where);
	}
}

static void find_sites(struct fctx *c)
{
	uint64_t left = 0, target;
	struct site s;
	size_t k, n = 0;

	for (k = 0; k < c->vm.n; k++) {
		if (!read_site(&c->vm, k, &s))
			continue;
		fc_anchor(c, FINDER_A_DISP2J, s.j, "calls of C code");
		fc_anchor(c, FINDER_A_J_L, s.jl, "calls of C code");
		target = c->vm.ins[k].target;
		if (s.arg1 == FR_SP) {
			n += target != left;
			left = target;
			read_exit(c, k, s.j);
		} else if (s.arg1 == FR_BX && s.frame &&
			   c->nhot < sizeof(c->hot) / sizeof(*c->hot)) {
			c->hot[c->nhot++] = target;
		}
	}
	if (n == 1)
		fc_found(c, FINDER_TRACE_EXIT, left, "vm_exit_handler calls it");
	else
		fc_missing(c, FINDER_TRACE_EXIT, "%zu calls in the VM look like it", n);
}

/* vm_hotloop and vm_record: L->base, the hook mask, the hot counters. */
static void find_small(struct fctx *c)
{
	const struct fins *ins, *next;
	size_t k;

	for (k = 0; k + 1 < c->vm.n; k++) {
		ins = &c->vm.ins[k];
		next = ins + 1;
		if (is_store(ins, FR_BP, FR_DX) && is_store(next, FR_BP, FR_AX) &&
		    next->disp == fc_get(c, FINDER_A_L_top) && fc_has(c, FINDER_A_L_top))
			fc_anchor(c, FINDER_A_L_base, ins->disp, "the VM");
		if (ins->op == FO_MOVZX && ins->dst == FR_AX && ins->msize == 1 &&
		    is_mem(ins, FR_14) && next->op == FO_TEST && next->dst == FR_AX &&
		    next->has_imm && (next->imm == 0x10 || next->imm == 0x20) &&
		    fc_has(c, FINDER_A_G2DISP))
			fc_anchor(c, FINDER_A_G_hookmask,
				  (int64_t)ins->disp + fc_get(c, FINDER_A_G2DISP), "vm_record");
		if (ins->op == FO_SUB && ins->msize == 2 && ins->base == FR_14 && ins->has_imm &&
		    ins->index < FR_COUNT && ins->scale == 1)
			fc_anchor(c, FINDER_A_DISP2HOT, ins->disp, "hot counters");
	}
}

/* BC_JLOOP: J->trace[nr], from there the machine code, and a jump to it. */
static void find_jloop(struct fctx *c)
{
	unsigned int scale = c->f->vm.gc64 ? 8 : 4;
	const struct fins *ins;
	int64_t trace;
	size_t k, i;

	for (k = 0; k + 2 + JLOOP_WINDOW < c->vm.n && fc_has(c, FINDER_A_DISP2J); k++) {
		ins = &c->vm.ins[k];
		trace = (int64_t)ins->disp - fc_get(c, FINDER_A_DISP2J);
		if (ins->dst >= FR_COUNT || !is_load(ins, ins->dst, FR_14) || trace <= 0 ||
		    ins[1].op != FO_MOV || ins[1].base != ins->dst || ins[1].index >= FR_COUNT ||
		    ins[1].scale != scale || ins[1].disp || ins[1].dst >= FR_COUNT)
			continue;
		fc_anchor(c, FINDER_A_J_trace, trace, "BC_JLOOP");
		if (ins[2].dst >= FR_COUNT || !is_load(&ins[2], ins[2].dst, ins[1].dst))
			continue;
		for (i = 3; i < 3 + JLOOP_WINDOW && ins[i].op != FO_STOP; i++) {
			if (ins[i].op != FO_JMP)
				continue;
			if (!ins[i].msize && !ins[i].target && ins[i].dst == ins[2].dst)
				fc_anchor(c, FINDER_A_T_mcode, ins[2].disp, "BC_JLOOP");
			break;
		}
	}
}

/* Without the JIT compiler nothing counts down and no trace is ever left. */
static int has_jit(const struct ffunc *vm)
{
	size_t k;

	for (k = 0; k < vm->n; k++) {
		if (vm->ins[k].op == FO_MOV && vm->ins[k].msize == 4 && vm->ins[k].has_imm &&
		    vm->ins[k].imm == VMST_EXIT_INV && is_mem(&vm->ins[k], FR_14))
			return 1;
		if (vm->ins[k].op == FO_SUB && vm->ins[k].msize == 2 && vm->ins[k].base == FR_14 &&
		    vm->ins[k].index < FR_COUNT)
			return 1;
	}
	return 0;
}

/*
 * With LJ_DUALNUM the bytecodes for arithmetic test for overflow (vm_x64.dasc ins_arithdn), ten
 * jumps; without, none or one of the whole VM does.
 */
#define OVERFLOW_TESTS 6u
static int has_dualnum(const struct fctx *c)
{
	const struct ffunc *vm = &c->vm;
	unsigned int n = 0;
	uint64_t at;
	size_t k;

	for (k = 0; k < vm->n; k++) {
		at = vm->ins[k].addr - c->text_start;
		n += vm->ins[k].op == FO_JCC && vm->ins[k].len == 6 &&
		     at < c->text_end - c->text_start && c->text[at + 1] == 0x80; /* jo rel32 */
	}
	return n >= OVERFLOW_TESTS;
}

void finder_vm(struct fctx *c)
{
	c->f->jit = has_jit(&c->vm);
	c->f->dualnum = has_dualnum(c);
	find_cpcall(c);
	find_sites(c);
	find_small(c);
	find_jloop(c);
}

/* Entries that must be there; more than the opcodes of LuaJIT 2.0 and fewer than any since. */
#define BC_OFS_MIN 90u
#define BC_OFS_MAX 512u

struct bc_scan {
	struct fctx *c;
	size_t found;
};

/*
 * How many u16 at p are offsets of instructions of the VM that do not descend: two opcodes may
 * share a handler.
 */
static size_t bc_run(const struct ffunc *vm, const uint8_t *p, size_t len)
{
	uint16_t v, last = 0;
	size_t n;

	for (n = 0; 2 * n + 2 <= len && n < BC_OFS_MAX; n++) {
		memcpy(&v, p + 2 * n, sizeof(v));
		if (v < last || fi_index(vm, vm->start + v) == vm->n)
			break;
		last = v;
	}
	return n;
}

static int bc_scan(void *ctx, uint64_t vaddr, const void *bytes, size_t len)
{
	struct bc_scan *s = ctx;
	const uint8_t *p = bytes;
	size_t i, n;

	/* The first handler is the VM's first instruction: BC_ISLT. */
	for (i = vaddr & 1; i + 4 <= len; i += 2) {
		if (p[i] || p[i + 1] || (!p[i + 2] && !p[i + 3])) /* nor is the second one */
			continue;
		n = bc_run(&s->c->vm, p + i, len - i);
		if (n < BC_OFS_MIN)
			continue;
		s->found++;
		s->c->f->bc_ofs = vaddr + i;
		s->c->f->nbc_ofs = (uint32_t)n;
		i += 2 * n - 2;
	}
	return 0;
}

void finder_bc_ofs(struct fctx *c)
{
	struct bc_scan s = {.c = c};
	int err = elfobj_rodata(c->eo, bc_scan, &s);

	if (err || s.found != 1)
		c->f->bc_ofs = c->f->nbc_ofs = 0;
}
