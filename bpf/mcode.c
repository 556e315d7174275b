// SPDX-License-Identifier: MIT
#include "bpf/mcode.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tool {
	ZydisDecoder dec;
	ZydisFormatter fmt;
};

static int tool_init(struct tool *t)
{
	if (ZYAN_FAILED(
		ZydisDecoderInit(&t->dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(ZydisFormatterInit(&t->fmt, ZYDIS_FORMATTER_STYLE_INTEL)))
		return -EINVAL;
	ZydisFormatterSetProperty(&t->fmt, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
	ZydisFormatterSetProperty(&t->fmt, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
				  ZYDIS_PADDING_DISABLED);
	return 0;
}

static unsigned char *read_code(mcode_read_fn *read, int pid, uint64_t addr, uint32_t size,
				int *err)
{
	unsigned char *p = size && size <= MCODE_MAX ? malloc(size) : NULL;

	*err = !size || size > MCODE_MAX ? -EINVAL : p ? read(pid, addr, p, size) : -ENOMEM;
	if (!*err)
		return p;
	free(p);
	return NULL;
}

/* What cannot be decoded is one byte. */
static int decode(const struct tool *t, const unsigned char *code, uint32_t size, uint32_t off,
		  ZydisDecodedInstruction *in, ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT])
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&t->dec, code + off, size - off, in, op));
}

/* Where a direct jump or call leads to; 0: it is none. */
static uint64_t target_of(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *op,
			  uint64_t at)
{
	ZyanU64 target;

	if (in->meta.category != ZYDIS_CATEGORY_COND_BR &&
	    in->meta.category != ZYDIS_CATEGORY_UNCOND_BR &&
	    in->meta.category != ZYDIS_CATEGORY_CALL)
		return 0;
	if (op[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
	    ZYAN_FAILED(ZydisCalcAbsoluteAddress(in, &op[0], at, &target)))
		return 0;
	return target;
}

/* lj_asm_x86.h:asm_loop_fixup: a looping trace ends in a jump to its loop. */
static uint32_t loop_of(uint64_t addr, uint32_t size, uint32_t off, uint64_t target, uint32_t loop)
{
	return target >= addr && target < addr + size && target < addr + off
		   ? (uint32_t)(target - addr)
		   : loop;
}

/*
 * The exit that a jump leaves by. Exit stubs (lj_asm_x86.h:asm_exitstub_gen) are groups of 32:
 * push the number's low byte, jump to the end of the group, which pushes the high byte.
 */
static uint32_t exit_of(mcode_read_fn *read, int pid, uint64_t target)
{
	unsigned char stub[4], end[2];

	if (read(pid, target, stub, sizeof(stub)) || stub[0] != 0x6a)
		return MCODE_NONE;
	if (stub[2] == 0x6a) /* the last one of a group falls into its end */
		return stub[1] | (uint32_t)stub[3] << 8;
	if (stub[2] != 0xeb || stub[3] > 127 || read(pid, target + 4 + stub[3], end, sizeof(end)) ||
	    end[0] != 0x6a)
		return MCODE_NONE;
	return stub[1] | (uint32_t)end[1] << 8;
}

static void put(const struct tool *t, const ZydisDecodedInstruction *in,
		const ZydisDecodedOperand *op, uint64_t at, struct mcode_ins *out)
{
	char *p;

	if (ZYAN_FAILED(ZydisFormatterFormatInstruction(&t->fmt, in, op, in->operand_count_visible,
							out->text, sizeof(out->text), at, NULL)))
		strcpy(out->text, "?");
	for (p = out->text; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

static int disassemble(const struct tool *t, mcode_read_fn *read, int pid,
		       const unsigned char *code, struct mcode *m)
{
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	uint32_t off;

	/* An instruction has a byte at least. */
	m->ins = malloc(m->size * sizeof(*m->ins));
	if (!m->ins)
		return -ENOMEM;
	for (off = 0; off < m->size; off += m->ins[m->n++].len) {
		struct mcode_ins *i = &m->ins[m->n];
		uint64_t at = m->addr + off;

		*i = (struct mcode_ins){.off = off, .len = 1, .exitno = MCODE_NONE, .text = "?"};
		if (!decode(t, code, m->size, off, &in, op))
			continue;
		i->len = in.length;
		put(t, &in, op, at, i);
		i->target = target_of(&in, op, at);
		m->loop = loop_of(m->addr, m->size, off, i->target, m->loop);
		if (i->target && in.meta.category != ZYDIS_CATEGORY_CALL &&
		    (i->target < m->addr || i->target >= m->addr + m->size))
			i->exitno = exit_of(read, pid, i->target);
	}
	return 0;
}

int mcode_read(mcode_read_fn *read, int pid, uint64_t addr, uint32_t size, struct mcode *out)
{
	struct mcode m = {.addr = addr, .size = size, .loop = MCODE_NONE};
	struct tool t;
	int err = tool_init(&t);
	unsigned char *code = err ? NULL : read_code(read, pid, addr, size, &err);

	if (!err)
		err = disassemble(&t, read, pid, code, &m);
	free(code);
	if (err)
		mcode_release(&m);
	else
		*out = m;
	return err;
}

void mcode_release(struct mcode *m)
{
	free(m->ins);
	m->ins = NULL;
	m->n = 0;
}

int mcode_loop(mcode_read_fn *read, int pid, uint64_t addr, uint32_t size, uint32_t *loop)
{
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	struct tool t;
	int err = tool_init(&t);
	unsigned char *code = err ? NULL : read_code(read, pid, addr, size, &err);
	uint32_t off, found = MCODE_NONE;

	for (off = 0; !err && off < size;) {
		if (!decode(&t, code, size, off, &in, op)) {
			off++;
			continue;
		}
		found = loop_of(addr, size, off, target_of(&in, op, addr + off), found);
		off += in.length;
	}
	free(code);
	if (!err)
		*loop = found;
	return err;
}
