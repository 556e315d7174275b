/* SPDX-License-Identifier: MIT */
/*
 * Which numbering of bytecodes a binary has, by the operand modes in its read-only data.
 *
 * LuaJIT src/lj_bc.c lj_bc_mode[] has 16 bits per opcode: the modes of the operands in the low
 * eleven, the metamethod above them, whose number is not the same in all builds. After the opcodes
 * come the fast functions that start in assembler, which have no operands: zero modes.
 */
#include "bytecode/bc.h"

#include <string.h>

struct bc_modes {
	uint32_t n;
	const uint16_t *modes;
	const char *const *names; /* for the check against the list in bc.c */
};

#include "bytecode/bc_tables.h"

#define N_MODES (sizeof(bc_modes) / sizeof(*bc_modes))
#define MODES 0x7ff
#define MIN_ASM_FF 16 /* fast functions in assembler that follow; real builds have over 60 */

/* The low bytes of the first two opcodes: all runs begin alike, the comparison is for speed. */
static int starts(const uint8_t *p)
{
	return p[0] == (bc_mode_93[0] & 0xff) && p[2] == (bc_mode_93[1] & 0xff);
}

static unsigned int mode_at(const uint8_t *p, size_t i)
{
	return (p[2 * i] | (unsigned int)p[2 * i + 1] << 8) & MODES;
}

static int is_run(const uint8_t *p, size_t len, const struct bc_modes *m)
{
	size_t i;

	if (len / 2 < m->n + MIN_ASM_FF)
		return 0;
	for (i = 0; i < m->n; i++)
		if (mode_at(p, i) != m->modes[i])
			return 0;
	for (; i < m->n + MIN_ASM_FF; i++)
		if (mode_at(p, i))
			return 0;
	return 1;
}

const struct bc_gen *bc_gen_by_mode(const void *rodata, size_t len)
{
	const struct bc_gen *found = NULL, *gen;
	const uint8_t *p = rodata;
	size_t i, m;

	for (i = 0; i + 4 <= len; i++) {
		if (!starts(p + i))
			continue;
		for (m = 0; m < N_MODES; m++) {
			if (!is_run(p + i, len - i, &bc_modes[m]))
				continue;
			gen = bc_gen_by_count(bc_modes[m].n);
			if (found && found != gen)
				return NULL;
			found = gen;
		}
	}
	return found;
}

uint32_t bc_operands(const struct bc_gen *gen, uint32_t op)
{
	size_t m;

	for (m = 0; m < N_MODES; m++)
		if (bc_modes[m].n == gen->n && op < gen->n)
			return bc_modes[m].modes[op];
	return 0;
}

const char *bc_listed_name(uint32_t n, uint32_t op)
{
	size_t m;

	for (m = 0; m < N_MODES; m++)
		if (bc_modes[m].n == n && op < n)
			return bc_modes[m].names[op];
	return NULL;
}
