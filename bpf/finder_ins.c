// SPDX-License-Identifier: MIT
/* Machine code to struct fins, by Zydis. */
#include "bpf/finder_int.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* trace_state has 14 KB, at -O3 twice that; lj_trace_exit's callees less. */
#define FUNC_MAX (256u << 10)

static uint8_t reg_of(ZydisRegister r)
{
	ZydisRegister wide;

	if (r == ZYDIS_REGISTER_NONE)
		return FR_NONE;
	if (r == ZYDIS_REGISTER_RIP)
		return FR_IP;
	wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
	if (ZydisRegisterGetClass(wide) != ZYDIS_REGCLASS_GPR64)
		return FR_OTHER;
	return (uint8_t)ZydisRegisterGetId(wide);
}

static uint8_t flow_of(const ZydisDecodedInstruction *in)
{
	switch (in->meta.category) {
	case ZYDIS_CATEGORY_CALL:
		return FO_CALL;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return FO_JMP;
	case ZYDIS_CATEGORY_COND_BR:
		return FO_JCC;
	case ZYDIS_CATEGORY_RET:
		return FO_STOP;
	default:
		return FO_OTHER;
	}
}

static uint8_t op_of(const ZydisDecodedInstruction *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return FO_MOV;
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
		return FO_MOVZX;
	case ZYDIS_MNEMONIC_LEA:
		return FO_LEA;
	case ZYDIS_MNEMONIC_ADD:
		return FO_ADD;
	case ZYDIS_MNEMONIC_SUB:
		return FO_SUB;
	case ZYDIS_MNEMONIC_AND:
		return FO_AND;
	case ZYDIS_MNEMONIC_XOR:
		return FO_XOR;
	case ZYDIS_MNEMONIC_TEST:
	case ZYDIS_MNEMONIC_CMP:
		return FO_TEST;
	case ZYDIS_MNEMONIC_PUSH:
		return FO_PUSH;
	case ZYDIS_MNEMONIC_POP:
		return FO_POP;
	case ZYDIS_MNEMONIC_NOP:
		return FO_NOP;
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_HLT:
		return FO_STOP;
	default:
		return flow_of(in);
	}
}

/*
 * Linux arch/x86/kernel/uprobes.c, branch_setup_xol_ops and push_setup_xol_ops: without prefixes
 * only. Newer kernels know more; what all since 5.1 know is what counts.
 */
static int is_emulated(const uint8_t *p, size_t len)
{
	if (len == 1)
		return p[0] == 0x90 || (p[0] & 0xf8) == 0x50;
	if (len == 2 && p[0] == 0x41)
		return (p[1] & 0xf8) == 0x50;
	if (p[0] == 0x0f)
		return (p[1] & 0xf0) == 0x80;
	return p[0] == 0xe8 || p[0] == 0xe9 || p[0] == 0xeb || (p[0] & 0xf0) == 0x70;
}

static void take_masks(struct fins *ins, const ZydisDecodedOperand *o)
{
	unsigned int r;

	if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		r = reg_of(o->mem.base);
		if (r < FR_COUNT)
			ins->reads |= (uint16_t)(1u << r);
		r = reg_of(o->mem.index);
		if (r < FR_COUNT)
			ins->reads |= (uint16_t)(1u << r);
		return;
	}
	if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return;
	r = reg_of(o->reg.value);
	if (r >= FR_COUNT)
		return;
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		ins->reads |= (uint16_t)(1u << r);
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		ins->writes |= (uint16_t)(1u << r);
}

static void take_mem(struct fins *ins, const ZydisDecodedOperand *o)
{
	ins->base = reg_of(o->mem.base);
	ins->index = reg_of(o->mem.index);
	ins->scale = o->mem.scale;
	ins->disp = (int32_t)o->mem.disp.value;
	ins->msize = o->size ? (uint8_t)(o->size / 8) : 8;
	ins->mwrite = (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
	ins->mread = (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0;
	if (ins->base == FR_IP)
		ins->target = ins->addr + ins->len + (uint64_t)o->mem.disp.value;
}

/* Immediates as the processor takes them: those of 4 bytes and more are signed. */
static int64_t immediate(const ZydisDecodedOperand *o, unsigned int bits)
{
	if (bits == 32)
		return (int32_t)o->imm.value.u;
	return bits == 8 ? (int64_t)(o->imm.value.u & 0xff) : o->imm.value.s;
}

static void take_operand(struct fins *ins, const ZydisDecodedOperand *op, unsigned int i)
{
	const ZydisDecodedOperand *o = &op[i];

	switch (o->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (i == 0) {
			ins->dst = reg_of(o->reg.value);
			ins->wide = o->size >= 32 ? (uint8_t)(o->size / 8) : 0;
		} else if (i == 1) {
			ins->src = reg_of(o->reg.value);
		}
		break;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		take_mem(ins, o);
		break;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		if (o->imm.is_relative) {
			ins->target = ins->addr + ins->len + (uint64_t)o->imm.value.s;
			break;
		}
		ins->has_imm = 1;
		ins->imm = immediate(o, op[0].size);
		break;
	default:
		break;
	}
}

int fi_decode(const uint8_t *p, size_t len, uint64_t addr, struct fins *ins)
{
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	ZydisDecoder dec;
	unsigned int i;

	if (ZYAN_FAILED(ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(ZydisDecoderDecodeFull(&dec, p, len, &in, op)))
		return -EINVAL;
	memset(ins, 0, sizeof(*ins));
	ins->addr = addr;
	ins->len = in.length;
	ins->op = op_of(&in);
	ins->dst = ins->src = ins->base = ins->index = FR_NONE;
	ins->emulated = (uint8_t)is_emulated(p, in.length);
	for (i = 0; i < in.operand_count; i++)
		take_masks(ins, &op[i]);
	for (i = 0; i < in.operand_count_visible; i++)
		take_operand(ins, op, i);
	return 0;
}

static int decode_all(struct ffunc *fn, const uint8_t *p, size_t len)
{
	struct fins *bigger;
	size_t pos, cap = 0;
	int err;

	for (pos = 0; pos < len; pos += fn->ins[fn->n++].len) {
		if (!fn->work->left)
			return -E2BIG;
		fn->work->left--;
		if (fn->n == cap) {
			cap = cap ? 2 * cap : 64;
			bigger = realloc(fn->ins, cap * sizeof(*bigger));
			if (!bigger)
				return -ENOMEM;
			fn->ins = bigger;
		}
		err = fi_decode(p + pos, len - pos, fn->start + pos, &fn->ins[fn->n]);
		if (err)
			return err;
	}
	return 0;
}

int fi_range(const struct elfobj *eo, uint64_t start, uint64_t end, struct fwork *work,
	     struct ffunc *fn)
{
	size_t len;
	uint8_t *p;
	int err;

	memset(fn, 0, sizeof(*fn));
	if (end <= start || end - start > FUNC_MAX)
		return -EINVAL;
	len = (size_t)(end - start);
	p = malloc(len);
	if (!p) {
		work->no_memory = 1;
		return -ENOMEM;
	}
	fn->start = start;
	fn->end = end;
	fn->work = work;
	err = elfobj_read(eo, start, p, len) == len ? decode_all(fn, p, len) : -EINVAL;
	free(p);
	work->no_memory |= err == -ENOMEM;
	if (err)
		fi_release(fn);
	return err;
}

int fi_func(const struct elfobj *eo, uint64_t addr, struct fwork *work, struct ffunc *fn)
{
	uint64_t start, end;

	memset(fn, 0, sizeof(*fn));
	if (elfobj_func_bounds(eo, addr, &start, &end) || start != addr)
		return -EINVAL;
	return fi_range(eo, start, end, work, fn);
}

void fi_release(struct ffunc *fn)
{
	free(fn->ins);
	memset(fn, 0, sizeof(*fn));
}

size_t fi_index(const struct ffunc *fn, uint64_t addr)
{
	size_t lo = 0, hi = fn->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (fn->ins[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < fn->n && fn->ins[lo].addr == addr ? lo : fn->n;
}

int fi_leaves(const struct ffunc *fn, const struct fins *ins)
{
	if (ins->op != FO_CALL && ins->op != FO_JMP && ins->op != FO_JCC)
		return 0;
	if (!ins->target || ins->msize)
		return 0;
	return ins->op == FO_CALL || ins->target - fn->start >= fn->end - fn->start;
}
