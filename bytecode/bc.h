/* SPDX-License-Identifier: MIT */
/*
 * Bytecodes by generation: names, numbers and what their operands are. LuaJIT src/lj_bc.h.
 * All tables are static and const.
 */
#ifndef BYTECODE_BC_H
#define BYTECODE_BC_H

#include <stddef.h>
#include <stdint.h>

/* Operand modes that matter here (lj_bc.h BCMode), and metamethods (lj_obj.h MMDEF). */
enum bc_mode { BC_M_NONE, BC_M_DST, BC_M_BASE, BC_M_VAR, BC_M_RBASE, BC_M_UV };

/* Which operand is the index of a string constant (lj_bc.h mode str): none, D or C. */
enum bc_kstr { BC_K_NONE, BC_K_D, BC_K_C };

struct bc_op {
	const char *name;
	uint8_t mode_a;	     /* enum bc_mode */
	const char *mm;	     /* metamethod it may call: "index", "call", ...; NULL: none */
	const char *mm_name; /* the same as its key in a metatable: "__index" */
	uint8_t kstr;	     /* enum bc_kstr */
};

/* A numbering of bytecodes. */
struct bc_gen {
	const char *name; /* "G20", "G21", "G21b" */
	uint32_t n;	  /* opcodes 0 .. n-1 */
	const struct bc_op *ops;
	uint8_t of[128]; /* enum bc_id -> opcode, 0xff: not in this generation */
};

/* Opcodes that the decoders must recognise, whatever their number. */
/* clang-format off */
#define BC_IDS(_)                                                                                  \
	_(MOV) _(KNIL) _(UGET) _(GGET) _(TGETS) _(CALL) _(CALLM) _(CALLT) _(CALLMT) _(ITERC)       \
	_(USETV) _(FNEW) _(GSET) _(TSETS)                                                          \
	_(ITERN) _(ISNEXT) _(RETM) _(RET) _(RET0) _(RET1) _(FORI) _(JFORI) _(FORL) _(IFORL)        \
	_(JFORL) _(ITERL) _(IITERL) _(JITERL) _(LOOP) _(ILOOP) _(JLOOP) _(JMP) _(UCLO) _(FUNCF)    \
	_(IFUNCF) _(JFUNCF) _(FUNCV) _(IFUNCV) _(JFUNCV) _(FUNCC) _(FUNCCW) _(CAT) _(TSETM)        \
	_(VARG)
enum bc_id {
#define BC_ENUM(name) BC_ID_##name,
	BC_IDS(BC_ENUM)
#undef BC_ENUM
	BC_ID_MAX
};
/* clang-format on */

/* The generation with that many opcodes (93, 97, 104), or NULL. */
const struct bc_gen *bc_gen_by_count(uint32_t n);
const struct bc_gen *bc_gen_by_name(const char *name);

/*
 * The generation by the run of lj_bc_mode[] in a binary's read-only data (LuaJIT src/lj_bc.c).
 * NULL: there is none, or there are several that disagree.
 */
const struct bc_gen *bc_gen_by_mode(const void *rodata, size_t len);

/* All generations, oldest first, *n of them. */
const struct bc_gen *bc_gens(size_t *n);

/* Name of opcode op in the data's list of n opcodes, which must be that of the table. For tests. */
const char *bc_listed_name(uint32_t n, uint32_t op);

/* Name of opcode op, or NULL. */
const char *bc_name(const struct bc_gen *gen, uint32_t op);

/* Modes of operands B and C or D that say how they are shown (lj_bc.h BCMode). */
enum bc_operand {
	BC_O_UV = 5,
	BC_O_LITS = 7,
	BC_O_NUM = 9,
	BC_O_STR = 10,
	BC_O_FUNC = 12,
	BC_O_JUMP = 13,
};

/* Operand modes of opcode op as lj_bc_mode[] has them: A 3 bits, B 4, C or D 4. 0: none is known. */
uint32_t bc_operands(const struct bc_gen *gen, uint32_t op);

/* Instruction fields: lj_bc.h bc_op, bc_a, bc_b, bc_c, bc_d. */
static inline uint32_t bc_op(uint32_t ins)
{
	return ins & 0xff;
}
static inline uint32_t bc_a(uint32_t ins)
{
	return ins >> 8 & 0xff;
}
static inline uint32_t bc_b(uint32_t ins)
{
	return ins >> 24;
}
static inline uint32_t bc_c(uint32_t ins)
{
	return ins >> 16 & 0xff;
}
static inline uint32_t bc_d(uint32_t ins)
{
	return ins >> 16;
}

#endif
