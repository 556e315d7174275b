/* SPDX-License-Identifier: MIT */
/*
 * The generations of bytecode, from one list. LuaJIT src/lj_bc.h BCDEF.
 *
 * 2.1 inserted four instructions into 2.0's order (2013-02-23), a backport of 3.0's syntax seven
 * more (2026-07-20); nothing ever moved or went away.
 */
#include "bytecode/bc.h"

#include <string.h>

/*
 * Name, mode of operand A, operand that is a string constant, metamethod.
 * _: in all generations, _21: since G21, _21B: since G21b.
 */
/* clang-format off */
#define BC_OPS(_, _21, _21B) \
	_(ISLT, VAR, NONE, lt) _(ISGE, VAR, NONE, lt) _(ISLE, VAR, NONE, le) \
	_(ISGT, VAR, NONE, le) _(ISEQV, VAR, NONE, eq) _(ISNEV, VAR, NONE, eq) \
	_(ISEQS, VAR, D, eq) _(ISNES, VAR, D, eq) _(ISEQN, VAR, NONE, eq) _(ISNEN, VAR, NONE, eq) \
	_(ISEQP, VAR, NONE, eq) _(ISNEP, VAR, NONE, eq) _(ISTC, DST, NONE, none) \
	_(ISFC, DST, NONE, none) _(IST, NONE, NONE, none) _(ISF, NONE, NONE, none) \
	_21(ISTYPE, VAR, NONE, none) _21(ISNUM, VAR, NONE, none) _(MOV, DST, NONE, none) \
	_(NOT, DST, NONE, none) _(UNM, DST, NONE, unm) _(LEN, DST, NONE, len) \
	_(ADDVN, DST, NONE, add) _(SUBVN, DST, NONE, sub) _(MULVN, DST, NONE, mul) \
	_(DIVVN, DST, NONE, div) _(MODVN, DST, NONE, mod) _(ADDNV, DST, NONE, add) \
	_(SUBNV, DST, NONE, sub) _(MULNV, DST, NONE, mul) _(DIVNV, DST, NONE, div) \
	_(MODNV, DST, NONE, mod) _(ADDVV, DST, NONE, add) _(SUBVV, DST, NONE, sub) \
	_(MULVV, DST, NONE, mul) _(DIVVV, DST, NONE, div) _(MODVV, DST, NONE, mod) \
	_(POW, DST, NONE, pow) _(CAT, DST, NONE, concat) _(KSTR, DST, D, none) \
	_(KCDATA, DST, NONE, none) _(KSHORT, DST, NONE, none) _(KNUM, DST, NONE, none) \
	_(KPRI, DST, NONE, none) _(KNIL, BASE, NONE, none) _(UGET, DST, NONE, none) \
	_(USETV, UV, NONE, none) _(USETS, UV, D, none) _(USETN, UV, NONE, none) \
	_(USETP, UV, NONE, none) _(UCLO, RBASE, NONE, none) _(FNEW, DST, NONE, gc) \
	_(TNEW, DST, NONE, gc) _(TDUP, DST, NONE, gc) _(GGET, DST, D, index) \
	_(GSET, VAR, D, newindex) _(TGETV, DST, NONE, index) _(TGETS, DST, C, index) \
	_(TGETB, DST, NONE, index) _21(TGETR, DST, NONE, index) _(TSETV, VAR, NONE, newindex) \
	_(TSETS, VAR, C, newindex) _(TSETB, VAR, NONE, newindex) _(TSETM, BASE, NONE, newindex) \
	_21(TSETR, VAR, NONE, newindex) _(CALLM, BASE, NONE, call) _(CALL, BASE, NONE, call) \
	_(CALLMT, BASE, NONE, call) _(CALLT, BASE, NONE, call) _(ITERC, BASE, NONE, call) \
	_(ITERN, BASE, NONE, call) _(VARG, BASE, NONE, none) _(ISNEXT, BASE, NONE, none) \
	_(RETM, BASE, NONE, none) _(RET, RBASE, NONE, none) _(RET0, RBASE, NONE, none) \
	_(RET1, RBASE, NONE, none) _(FORI, BASE, NONE, none) _(JFORI, BASE, NONE, none) \
	_(FORL, BASE, NONE, none) _(IFORL, BASE, NONE, none) _(JFORL, BASE, NONE, none) \
	_(ITERL, BASE, NONE, none) _(IITERL, BASE, NONE, none) _(JITERL, BASE, NONE, none) \
	_(LOOP, RBASE, NONE, none) _(ILOOP, RBASE, NONE, none) _(JLOOP, RBASE, NONE, none) \
	_(JMP, RBASE, NONE, none) _21B(BNOT, DST, NONE, none) _21B(BAND, DST, NONE, none) \
	_21B(BOR, DST, NONE, none) _21B(BXOR, DST, NONE, none) _21B(BSHL, DST, NONE, none) \
	_21B(BSHR, DST, NONE, none) _21B(BSAR, DST, NONE, none) _(FUNCF, RBASE, NONE, none) \
	_(IFUNCF, RBASE, NONE, none) _(JFUNCF, RBASE, NONE, none) _(FUNCV, RBASE, NONE, none) \
	_(IFUNCV, RBASE, NONE, none) _(JFUNCV, RBASE, NONE, none) _(FUNCC, RBASE, NONE, none) \
	_(FUNCCW, RBASE, NONE, none)

#define MM_none NULL, NULL
#define MM_lt "lt", "__lt"
#define MM_le "le", "__le"
#define MM_eq "eq", "__eq"
#define MM_unm "unm", "__unm"
#define MM_len "len", "__len"
#define MM_add "add", "__add"
#define MM_sub "sub", "__sub"
#define MM_mul "mul", "__mul"
#define MM_div "div", "__div"
#define MM_mod "mod", "__mod"
#define MM_pow "pow", "__pow"
#define MM_concat "concat", "__concat"
#define MM_gc "gc", "__gc"
#define MM_index "index", "__index"
#define MM_newindex "newindex", "__newindex"
#define MM_call "call", "__call"
/* clang-format on */

#define SKIP(...)
#define OP(name, mode, kstr, mm) {#name, BC_M_##mode, MM_##mm, BC_K_##kstr},

static const struct bc_op ops_g20[] = {BC_OPS(OP, SKIP, SKIP)};
static const struct bc_op ops_g21[] = {BC_OPS(OP, OP, SKIP)};
static const struct bc_op ops_g21b[] = {BC_OPS(OP, OP, OP)};

#define ENUM_G20(name, ...) G20_##name,
#define ENUM_G21(name, ...) G21_##name,
#define ENUM_G21B(name, ...) G21B_##name,
enum { BC_OPS(ENUM_G20, SKIP, SKIP) G20__MAX };
enum { BC_OPS(ENUM_G21, ENUM_G21, SKIP) G21__MAX };
enum { BC_OPS(ENUM_G21B, ENUM_G21B, ENUM_G21B) G21B__MAX };

_Static_assert(G20__MAX == 93 && G21__MAX == 97 && G21B__MAX == 104, "lost an opcode");
_Static_assert(BC_ID_MAX <= 128, "struct bc_gen.of is too small");

/* Each opcode of enum bc_id is in each generation so far. */
#define OF_G20(name) [BC_ID_##name] = G20_##name,
#define OF_G21(name) [BC_ID_##name] = G21_##name,
#define OF_G21B(name) [BC_ID_##name] = G21B_##name,

static const struct bc_gen gens[] = {
    {"G20", G20__MAX, ops_g20, {BC_IDS(OF_G20)}},
    {"G21", G21__MAX, ops_g21, {BC_IDS(OF_G21)}},
    {"G21b", G21B__MAX, ops_g21b, {BC_IDS(OF_G21B)}},
};
#define N_GENS (sizeof(gens) / sizeof(*gens))

const struct bc_gen *bc_gen_by_count(uint32_t n)
{
	size_t i;

	for (i = 0; i < N_GENS; i++)
		if (gens[i].n == n)
			return &gens[i];
	return NULL;
}

const struct bc_gen *bc_gen_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < N_GENS; i++)
		if (!strcmp(gens[i].name, name))
			return &gens[i];
	return NULL;
}

const struct bc_gen *bc_gens(size_t *n)
{
	*n = N_GENS;
	return gens;
}

const char *bc_name(const struct bc_gen *gen, uint32_t op)
{
	return gen && op < gen->n ? gen->ops[op].name : NULL;
}
