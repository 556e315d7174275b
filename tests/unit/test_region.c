// SPDX-License-Identifier: MIT
/* What recordings run into, in code written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bytecode/region.h"

static const struct bc_gen *gen;

#define OP(name) ((uint32_t)gen->of[BC_ID_##name])
#define AD(name, a, d) (OP(name) | (uint32_t)(a) << 8 | (uint32_t)(d) << 16)
#define ABC(name, a, b, c) \
	(OP(name) | (uint32_t)(a) << 8 | (uint32_t)(c) << 16 | (uint32_t)(b) << 24)
#define JUMP(name, a, by) AD(name, a, 0x8000 + (by))
#define ISLT ((uint32_t)0)

static struct region walk(const uint32_t *bc, uint32_t n, uint32_t pos, unsigned int flags,
			  int want)
{
	const struct region_code c = {gen, bc, n, 0};
	struct region r;

	assert_int_equal(region_walk(&c, pos, flags, NULL, NULL, &r), want);
	return r;
}
#define WALK(bc, pos, flags) walk(bc, sizeof(bc) / sizeof(*(bc)), pos, flags, 0)

static void test_loops(void **state)
{
	(void)state;
	{
		/* A loop's body, but not what is before and after it. */
		const uint32_t bc[] = {AD(FUNCF, 9, 0), AD(UCLO, 0, 0x8000), JUMP(FORI, 0, 3),
				       AD(FNEW, 4, 0),	AD(UCLO, 4, 0x8000), JUMP(FORL, 0, -3),
				       AD(FNEW, 4, 0),	AD(RET0, 0, 1)};
		struct region r = WALK(bc, 5, 0);

		assert_int_equal(r.nops, 1); /* no way leads to the UCLO */
		assert_int_equal(r.op[0], OP(FNEW));
		r = WALK(bc, 0, 0);
		assert_int_equal(r.nops, 1);
		assert_int_equal(r.op[0], OP(UCLO));
	}
	{
		/* Two ways, and code that is jumped over. */
		const uint32_t bc[] = {AD(FUNCF, 9, 0),	    JUMP(LOOP, 0, 8), ISLT,
				       JUMP(JMP, 0, 2),	    AD(FNEW, 4, 0),   JUMP(JMP, 0, -5),
				       AD(UCLO, 0, 0x8000), JUMP(JMP, 0, -7), AD(FNEW, 4, 0),
				       JUMP(JMP, 0, -9),    AD(RET0, 0, 1)};
		struct region r = WALK(bc, 1, 0);

		assert_int_equal(r.nops, 2);
	}
	{
		/* The loop of next(), before and after it was made an ordinary one. */
		uint32_t bc[] = {AD(FUNCF, 9, 0),     JUMP(ISNEXT, 2, 1), AD(MOV, 5, 3),
				 ABC(ITERN, 5, 3, 3), JUMP(ITERL, 5, -3), AD(RET0, 0, 1)};

		assert_int_equal(WALK(bc, 3, REGION_NEXT).nops, 0);
		bc[2] = AD(FNEW, 5, 3);
		assert_int_equal(WALK(bc, 3, REGION_NEXT).nops, 1);
		bc[3] = ABC(ITERC, 5, 3, 3);
		assert_int_equal(WALK(bc, 3, REGION_NEXT).op[0], OP(FNEW));
		assert_int_equal(WALK(bc, 4, REGION_NEXT).op[0], OP(FNEW));
		assert_int_equal(WALK(bc, 0, 0).op[0], OP(ISNEXT));
	}
}

static void test_varargs(void **state)
{
	uint32_t bc[] = {AD(FUNCF, 9, 0), JUMP(LOOP, 0, 2), ABC(VARG, 2, 0, 0), JUMP(JMP, 0, -3),
			 AD(RET0, 0, 1)};

	(void)state;
	assert_int_equal(WALK(bc, 1, 0).op[0], OP(VARG));
	bc[2] = ABC(VARG, 2, 3, 0); /* a fixed number of them is compiled */
	assert_int_equal(WALK(bc, 1, 0).nops, 0);
}

static void test_not_walked(void **state)
{
	const uint32_t bc[] = {AD(FUNCF, 9, 0),	  AD(JFORL, 0, 7),    JUMP(FORL, 0, 99),
			       JUMP(LOOP, 0, -2), JUMP(FORL, 0, -99), AD(JLOOP, 0, 1)};
	uint32_t pos;

	(void)state;
	for (pos = 1; pos < 8; pos++)
		walk(bc, 6, pos, 0, -22);
	/* It runs out of its end. */
	assert_int_equal(WALK(bc, 0, 0).nops, 0);
}

/* ---- calls ---- */

struct world {
	struct region_code func[4]; /* by the number in slot 1's KSHORT, which UGET stands for */
	uint32_t asked;
};

static int callee(void *ctx, const struct region_code *code, uint32_t pos, struct region_code *out)
{
	struct world *w = ctx;
	uint32_t idx;

	w->asked++;
	if (region_source(code, pos, &idx) != REGION_SOURCE_UPVALUE || idx > 3)
		return 0;
	*out = w->func[idx];
	return 1;
}

static void test_calls(void **state)
{
	const uint32_t top[] = {AD(FUNCF, 9, 0),    JUMP(LOOP, 0, 4), AD(UGET, 2, 1),
				ABC(CALL, 2, 1, 1), AD(FNEW, 2, 0),   JUMP(JMP, 0, -5),
				AD(RET0, 0, 1)};
	uint32_t mid[] = {AD(FUNCF, 9, 0), AD(UGET, 0, 2), AD(MOV, 2, 0), ABC(CALLT, 2, 0, 1)};
	uint32_t leaf[] = {AD(FUNCF, 9, 0), AD(UCLO, 0, 0x8000), AD(RET0, 0, 1)};
	struct world w = {.func = {{0}, {gen, mid, 4, 1}, {gen, leaf, 3, 2}}};
	const struct region_code c = {gen, top, 7, 0};
	struct region r;

	(void)state;
	/* What stops in the callee does not come back to the FNEW. */
	assert_int_equal(region_walk(&c, 1, 0, callee, &w, &r), 0);
	assert_int_equal(r.nops, 1);
	assert_int_equal(r.op[0], OP(UCLO));
	assert_int_equal(w.asked, 2);
	/* A blacklisted callee is an obstacle, or looked through. */
	leaf[0] = AD(IFUNCF, 9, 0);
	assert_int_equal(region_walk(&c, 1, REGION_STOP, callee, &w, &r), 0);
	assert_int_equal(r.nops, 0);
	assert_int_equal(r.nblack, 1);
	assert_int_equal(r.black[0].id, 2);
	assert_int_equal(region_walk(&c, 1, 0, callee, &w, &r), 0);
	assert_int_equal(r.op[0], OP(UCLO));
	/* What is clean is passed; recursion ends. */
	leaf[1] = AD(MOV, 0, 0);
	leaf[0] = AD(FUNCF, 9, 0);
	assert_int_equal(region_walk(&c, 1, 0, callee, &w, &r), 0);
	assert_int_equal(r.op[0], OP(FNEW));
	w.func[2] = w.func[1];
	assert_int_equal(region_walk(&c, 1, 0, callee, &w, &r), 0);
	assert_int_equal(r.op[0], OP(FNEW));
}

static void test_source(void **state)
{
	const uint32_t bc[] = {AD(FUNCF, 9, 0),	   AD(FNEW, 1, 5),	AD(GGET, 3, 2),
			       AD(MOV, 4, 1),	   ABC(CALL, 4, 1, 1),	ABC(CALL, 3, 1, 1),
			       ABC(CALL, 4, 1, 1), ABC(ITERC, 4, 3, 3), ABC(ITERC, 1, 3, 3)};
	const struct region_code c = {gen, bc, 9, 0};
	uint32_t idx = 0;

	(void)state;
	assert_int_equal(region_source(&c, 4, &idx), REGION_SOURCE_CHILD);
	assert_int_equal(idx, 5);
	assert_int_equal(region_source(&c, 5, &idx), REGION_SOURCE_NONE);
	assert_int_equal(region_source(&c, 6, &idx), REGION_SOURCE_NONE); /* a result */
	assert_int_equal(region_source(&c, 7, &idx), REGION_SOURCE_CHILD);
	assert_int_equal(region_source(&c, 8, &idx), REGION_SOURCE_NONE);
	assert_int_equal(region_source(&c, 9, &idx), REGION_SOURCE_NONE);
}

/* Any code is walked to an end. */
static void test_any_code(void **state)
{
	uint32_t bc[512], seed = 1, i, round, pos;
	struct region_code c = {gen, bc, 512, 0};
	struct region r;

	(void)state;
	for (round = 0; round < 200; round++) {
		for (i = 0; i < 512; i++) {
			seed = seed * 1664525u + 1013904223u;
			bc[i] = (seed >> 16) % (gen->n + 8) | (seed & 0xff00) |
				(0x8000u + (seed >> 7) % 80 - 40) << 16;
		}
		for (pos = 0; pos < 512; pos++) {
			region_walk(&c, pos, round & 3, NULL, NULL, &r);
			region_source(&c, pos, &i);
			assert_true(r.nops <= REGION_OPS && r.nblack <= REGION_BLACK);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_loops),      cmocka_unit_test(test_varargs),
	    cmocka_unit_test(test_not_walked), cmocka_unit_test(test_calls),
	    cmocka_unit_test(test_source),     cmocka_unit_test(test_any_code),
	};

	gen = bc_gen_by_name("G21");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
