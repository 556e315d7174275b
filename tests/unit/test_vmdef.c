// SPDX-License-Identifier: MIT
/* jit/vmdef.lua read as data: what buildvm writes, and what others might. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytecode/vmdef.h"

static struct vmdef v;

static int parse(const char *text)
{
	return vmdef_parse(text, strlen(text), &v);
}

static const char *name(enum vmdef_list list, uint32_t i)
{
	static char buf[4][64];
	static unsigned int turn;
	char *b = buf[turn++ % 4];

	vmdef_name(&v, list, i, b, sizeof(buf[0]));
	return b;
}

static void test_lists(void **state)
{
	(void)state;
	assert_int_equal(
	    parse("return {\n\n"
		  "bcnames = \"ISLT  ISTYPEISNUM FUNCCW\",\n\n"
		  "irnames = \"LT    GE\",\n\n"
		  "ffnames = {\n[0]=\"Lua\",\n\"C\",\n\"string.match\",\n},\n\n"
		  "traceerr = {\n[0]=\"error thrown\",\n\"NYI: \\\"x\\\" {}\",\n},\n}\n"),
	    0);
	assert_int_equal(v.list[VMDEF_BC].n, 4);
	assert_string_equal(name(VMDEF_BC, 0), "ISLT");
	assert_string_equal(name(VMDEF_BC, 1), "ISTYPE");
	assert_string_equal(name(VMDEF_BC, 3), "FUNCCW");
	assert_int_equal(v.list[VMDEF_IR].n, 2);
	assert_string_equal(name(VMDEF_IR, 1), "GE");
	assert_int_equal(v.list[VMDEF_FF].n, 3);
	assert_string_equal(name(VMDEF_FF, 2), "string.match");
	assert_int_equal(v.list[VMDEF_ERR].n, 2);
	assert_string_equal(name(VMDEF_ERR, 1), "NYI: \\\"x\\\" {}");
	assert_string_equal(name(VMDEF_ERR, 2), "");
}

static void test_not_one(void **state)
{
	char *big = calloc(1, VMDEF_SIZE_MAX + 1);

	(void)state;
	assert_non_null(big);
	assert_int_equal(parse(""), -EINVAL);
	assert_int_equal(parse("root:x:0:0:root:/root:/bin/bash\n"), -EINVAL);
	assert_int_equal(parse("my_bcnames = \"ISLT  \"\n"), -EINVAL);
	assert_int_equal(parse("ffnames = {\n"), -EINVAL);
	assert_int_equal(parse("ffnames = {\n[0]=\"never ends"), -EINVAL);
	assert_int_equal(vmdef_parse(big, VMDEF_SIZE_MAX + 1, &v), -E2BIG);
	free(big);
}

/* Cut anywhere, it is read up to there. */
static void test_cut(void **state)
{
	static const char text[] =
	    "bcnames = \"ISLT  ISGE  \"\nffnames = {\n\"a\\\"\",\n\"b\",\n}\n";
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(text); len++) {
		char *copy = malloc(len + 1);

		assert_non_null(copy);
		memcpy(copy, text, len);
		vmdef_parse(copy, len, &v);
		assert_true(v.list[VMDEF_BC].n <= 2 && v.list[VMDEF_FF].n <= 2);
		free(copy);
	}
}

static void test_bounds(void **state)
{
	size_t n = 5000, i;
	char *text = malloc(16 + 4 * n);
	int len;

	(void)state;
	assert_non_null(text);
	len = sprintf(text, "ffnames = {");
	for (i = 0; i < n; i++)
		len += sprintf(text + len, "\"x\",");
	assert_int_equal(vmdef_parse(text, (size_t)len, &v), 0);
	assert_int_equal(v.list[VMDEF_FF].n, VMDEF_NAMES_MAX);
	free(text);
	assert_int_equal(parse("ffnames = {\"a\x1b[2Jb\"}"), 0);
	assert_string_equal(name(VMDEF_FF, 0), "a?[2Jb");
}

/* A file as a build with these tables has it; err: another text for one trace error, or NULL. */
static char *write_file(const struct tables *t, const char *err)
{
	char *text = malloc(1 << 16);
	const char *s;
	int len = 0;
	uint32_t i;

	assert_non_null(text);
	len += sprintf(text + len, "bcnames = \"");
	for (i = 0; i < t->bc->n; i++)
		len += sprintf(text + len, "%-6s", bc_name(t->bc, i));
	len += sprintf(text + len, "\",\nirnames = \"");
	for (i = 0; i < t->ir->n; i++)
		len += sprintf(text + len, "%-6s", ir_name(t->ir, i));
	len += sprintf(text + len, "\",\nffnames = {\n");
	for (i = 0; (s = ff_name(t->ff, i)); i++)
		len += sprintf(text + len, "\"%s\",\n", s);
	len += sprintf(text + len, "},\ntraceerr = {\n");
	for (i = 0; err_row(t->err, i); i++)
		len += sprintf(text + len, "\"%s\",\n",
			       err && i == 3 ? err : err_row(t->err, i)->text);
	sprintf(text + len, "},\n");
	return text;
}

/* Each point of history against its own file, and against one that differs. */
static void test_all_tables(void **state)
{
	struct tables t, by;
	size_t i, n = 0;
	char *text;
	int l;

	(void)state;
	for (i = 0; tables_point(i); i++) {
		if (tables_by_name(tables_point(i), &t) != 1 || !t.bc || !t.ff || !t.err || !t.ir)
			continue;
		n++;
		text = write_file(&t, NULL);
		assert_int_equal(parse(text), 0);
		for (l = 0; l < VMDEF_LISTS; l++)
			assert_int_equal(vmdef_differs(&v, (enum vmdef_list)l, &t), -1);
		vmdef_tables(&v, &by);
		assert_ptr_equal(by.bc, t.bc);
		assert_ptr_equal(by.err, t.err);
		assert_non_null(by.ff);
		assert_non_null(by.ir);
		free(text);
		text = write_file(&t, "something else");
		assert_int_equal(parse(text), 0);
		assert_int_equal(vmdef_differs(&v, VMDEF_BC, &t), -1);
		assert_int_equal(vmdef_differs(&v, VMDEF_ERR, &t), 3);
		vmdef_tables(&v, &by);
		assert_null(by.err);
		assert_true(*by.err_why);
		free(text);
	}
	assert_true(n >= 15);
}

/* A list that is longer or shorter differs at its end. */
static void test_lengths(void **state)
{
	struct tables t;

	(void)state;
	assert_int_equal(tables_by_name("G21b", &t), 1);
	assert_int_equal(parse("bcnames = \"ISLT  ISGE  \"\n"), 0);
	assert_int_equal(vmdef_differs(&v, VMDEF_BC, &t), 2);
	assert_int_equal(vmdef_differs(&v, VMDEF_FF, &t), -1);
	assert_null(vmdef_ours(&t, VMDEF_BC, t.bc->n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lists),      cmocka_unit_test(test_not_one),
	    cmocka_unit_test(test_cut),	       cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_all_tables), cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests_name("vmdef", tests, NULL, NULL);
}
