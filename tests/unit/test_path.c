/* SPDX-License-Identifier: MIT */
/* Walks over small functions, with code as the parser makes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "bytecode/path.h"

static const struct bc_gen *gen;

static uint32_t op(const char *name)
{
	uint32_t i;

	for (i = 0; i < gen->n; i++)
		if (!strcmp(bc_name(gen, i), name))
			return i;
	fail_msg("no opcode %s", name);
	return 0;
}

static uint32_t ins(const char *name)
{
	return op(name);
}

static uint32_t jump(const char *name, int by)
{
	return (uint32_t)(0x8000 + by) << 16 | op(name);
}

struct seen {
	char text[256];
	uint32_t at, next;
};

static void visit(void *ctx, uint32_t pos, unsigned int works)
{
	struct seen *s = ctx;
	size_t len = strlen(s->text);

	snprintf(s->text + len, sizeof(s->text) - len, "%s%u%s", len ? " " : "", pos,
		 works ? "*" : "");
}

static enum path_found walk(const uint32_t *bc, uint32_t n, uint32_t from, uint32_t to,
			    enum path_end end, struct seen *s)
{
	struct path_code c = {gen, bc, n};

	memset(s, 0, sizeof(*s));
	return path_walk(&c, from, to, end, visit, s, &s->at, &s->next);
}

static int setup(void **state)
{
	(void)state;
	gen = bc_gen_by_name("G21");
	return gen ? 0 : -1;
}

/* if a < b then one else two end return */
static const char *const names[] = {"FUNCF", "ISGE", "JMP", "TSETB", "JMP", "TSETB", "RET0"};

static void branch(uint32_t bc[7])
{
	uint32_t i;

	for (i = 0; i < 7; i++)
		bc[i] = ins(names[i]);
	bc[2] = jump("JMP", 2); /* to 5 */
	bc[4] = jump("JMP", 1); /* to 6 */
}

static void test_branch(void **state)
{
	uint32_t bc[7];
	struct seen s;

	(void)state;
	branch(bc);
	assert_int_equal(walk(bc, 7, 1, 3, PATH_TO, &s), PATH_DONE);
	assert_string_equal(s.text, "1*");
	assert_int_equal(walk(bc, 7, 1, 5, PATH_TO, &s), PATH_DONE);
	assert_string_equal(s.text, "1*");
	assert_int_equal(walk(bc, 7, 3, 6, PATH_TO, &s), PATH_DONE);
	assert_string_equal(s.text, "3* 4");
	assert_int_equal(walk(bc, 7, 3, 0, PATH_RETURN, &s), PATH_DONE);
	assert_string_equal(s.text, "3* 4 6");
	assert_int_equal(walk(bc, 7, 5, 3, PATH_TO, &s), PATH_LOST);
}

/* A snapshot at the branch that was not taken is the comparison's. */
static void test_comparison(void **state)
{
	uint32_t bc[7];
	struct seen s;

	(void)state;
	branch(bc);
	assert_int_equal(walk(bc, 7, 1, 5, PATH_COMPARE, &s), PATH_COMPARED);
	assert_int_equal(s.at, 1);
	assert_int_equal(s.next, 3);
	assert_int_equal(walk(bc, 7, 1, 3, PATH_COMPARE, &s), PATH_COMPARED);
	assert_int_equal(s.next, 5);
	assert_int_equal(walk(bc, 7, 1, 6, PATH_COMPARE, &s), PATH_DONE);
	bc[1] = ins("ISF"); /* no snapshot is made for it */
	assert_int_equal(walk(bc, 7, 1, 5, PATH_COMPARE, &s), PATH_DONE);
}

/* for ... do a call end: from its end to its start, by what FORI jumps over; or out of it. */
static void test_loop(void **state)
{
	uint32_t bc[8] = {ins("FUNCF"), ins("KSHORT"), jump("FORI", 4), ins("UGET"),
			  ins("CALL"),	ins("ADDVV"),  ins("JFORL"),	ins("RET0")};
	struct seen s;

	(void)state;
	assert_int_equal(walk(bc, 8, 6, 4, PATH_CALL, &s), PATH_DONE);
	assert_string_equal(s.text, "6* 3 4");
	assert_int_equal(walk(bc, 8, 5, 7, PATH_COMPARE, &s), PATH_COMPARED);
	assert_int_equal(s.at, 6);
	assert_int_equal(s.next, 3);
	assert_int_equal(walk(bc, 8, 1, 7, PATH_COMPARE, &s), PATH_COMPARED);
	assert_int_equal(s.at, 2);
	assert_int_equal(s.next, 3);
	assert_int_equal(walk(bc, 8, 3, 0, PATH_RETURN, &s), PATH_DONE);
	assert_string_equal(s.text, "3 4* 5* 6* 7");
}

/* Where a tail call is, the function ends. */
static void test_tail_call(void **state)
{
	uint32_t bc[3] = {ins("FUNCF"), ins("CALLT"), ins("RET0")};
	struct seen s;

	(void)state;
	assert_int_equal(walk(bc, 3, 1, 0, PATH_RETURN, &s), PATH_DONE);
	assert_int_equal(walk(bc, 3, 1, 2, PATH_TO, &s), PATH_LOST);
}

/* Code that leads nowhere. */
static void test_lies(void **state)
{
	uint32_t bc[3] = {ins("FUNCF"), jump("JMP", -1), jump("JMP", 1000)};
	struct seen s;

	(void)state;
	assert_int_equal(walk(bc, 3, 1, 2, PATH_TO, &s), PATH_LOST);
	assert_int_equal(walk(bc, 3, 2, 0, PATH_RETURN, &s), PATH_LOST);
	assert_int_equal(walk(bc, 3, 7, 0, PATH_RETURN, &s), PATH_LOST);
	bc[1] = ins("ISLT");
	assert_int_equal(walk(bc, 3, 1, 9, PATH_COMPARE, &s), PATH_LOST);
	bc[2] = ins("JFORL");
	assert_int_equal(walk(bc, 3, 2, 9, PATH_TO, &s), PATH_LOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_branch), cmocka_unit_test(test_comparison),
	    cmocka_unit_test(test_loop),   cmocka_unit_test(test_tail_call),
	    cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
