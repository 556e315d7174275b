/* SPDX-License-Identifier: MIT */
/*
 * Listings of prototypes made by hand: what the JIT compiler wrote over, and what cannot be known.
 * tests/e2e/test_code.py compares with LuaJIT's own.
 */
#include "bytecode/disasm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t op(const char *name)
{
	const struct bc_gen *g = bc_gen_by_name("G21");
	uint32_t i;

	for (i = 0; i < g->n; i++)
		if (!strcmp(g->ops[i].name, name))
			return i;
	fail_msg("no bytecode %s", name);
	return 0;
}

static uint32_t ad(const char *name, uint32_t a, uint32_t d)
{
	return op(name) | a << 8 | d << 16;
}

static uint32_t jump(const char *name, uint32_t a, int by)
{
	return ad(name, a, (uint32_t)(0x8000 + by));
}

struct text {
	char buf[8192];
	size_t len;
};

static int collect(void *ctx, uint32_t pos, const char *line)
{
	struct text *t = ctx;

	(void)pos;
	t->len += (size_t)snprintf(t->buf + t->len, sizeof(t->buf) - t->len, "%s\n", line);
	return 0;
}

/* What the trace started with; trace 9 is gone. */
static uint32_t startins(const void *ctx, uint32_t trace, uint32_t pos)
{
	(void)ctx;
	if (trace == 9)
		return 0;
	return pos == 2 ? jump("FORL", 0, -1) : ad("RET1", 1, 2);
}

static void strings(const void *ctx, uint32_t idx, struct disasm_const *out)
{
	static const char bytes[] = "\n\r\t\033\177";

	(void)ctx;
	if (idx == 0) {
		out->kind = DISASM_STRING;
		out->len = sizeof(bytes); /* with its zero */
		memcpy(out->text, bytes, sizeof(bytes));
	} else if (idx == 1) {
		out->kind = DISASM_STRING;
		out->len = 41;
		memset(out->text, 1, DISASM_STR);
	} else if (idx == 2) {
		out->kind = DISASM_PROTO;
		snprintf(out->text, sizeof(out->text), "x.lua:7");
	} else if (idx == 3) {
		out->kind = DISASM_CDATA;
	}
}

static const char *list(const uint32_t *bc, uint32_t n, uint8_t flags, int constants, int notes)
{
	static struct text t;
	static const uint64_t numbers[] = {0x3fe0000000000000, 0x7ff8000000000000,
					   0xfff0000000000000, 0xfff90000fffffffe};
	struct proto pt = {.gen = bc_gen_by_name("G21"), .bc = bc};
	struct disasm d = {.pt = &pt,
			   .place = "x.lua:3",
			   .lists_constants = constants,
			   .dualnum = 1,
			   .knum = numbers,
			   .nknum = 4,
			   .kgc = strings,
			   .startins = startins};

	pt.h.sizebc = n;
	pt.h.sizekgc = 5;
	pt.h.sizekn = 5;
	pt.h.firstline = 3;
	pt.h.numline = 4;
	pt.h.flags = flags;
	t.len = 0;
	assert_int_equal(disasm_list(&d, notes, collect, &t), 0);
	return t.buf;
}

static void compiled_code_is_shown_as_it_was(void **state)
{
	const uint32_t bc[] = {ad("JFUNCF", 3, 5), jump("JFORI", 0, 1), ad("JFORL", 0, 3),
			       ad("JLOOP", 1, 4), ad("JLOOP", 1, 9)};

	(void)state;
	assert_string_equal(list(bc, 5, 0, 0, 1), "-- BYTECODE -- x.lua:3-7  ; JFUNCF -> trace 5\n"
						  "0001    FORI     0 => 0003  ; JFORI -> trace 3\n"
						  "0002 => FORL     0 => 0002  ; JFORL -> trace 3\n"
						  "0003 => RET1     1   2  ; JLOOP -> trace 4\n"
						  "0004    JLOOP    1   9  ; JLOOP -> trace 9\n");
	assert_string_equal(list(bc, 5, 0, 0, 0), "-- BYTECODE -- x.lua:3-7\n"
						  "0001    FORI     0 => 0003\n"
						  "0002 => FORL     0 => 0002\n"
						  "0003 => RET1     1   2\n"
						  "0004    JLOOP    1   9\n");
}

static void blacklisted_and_switched_off(void **state)
{
	const uint32_t bc[] = {ad("IFUNCF", 3, 0), jump("ILOOP", 1, 1), jump("IITERL", 2, -1)};

	(void)state;
	assert_string_equal(list(bc, 3, PROTO_ILOOP, 0, 1),
			    "-- BYTECODE -- x.lua:3-7  ; IFUNCF (was FUNCF): blacklisted\n"
			    "0001    LOOP     1 => 0003  ; ILOOP (was LOOP): blacklisted\n"
			    "0002 => ITERL    2 => 0002  ; IITERL (was ITERL): blacklisted\n");
	assert_string_equal(list(bc, 3, PROTO_ILOOP | PROTO_NOJIT, 0, 1),
			    "-- BYTECODE -- x.lua:3-7  ; jit.off\n"
			    "0001    LOOP     1 => 0003  ; ILOOP (was LOOP): jit.off\n"
			    "0002 => ITERL    2 => 0002  ; IITERL (was ITERL): jit.off\n");
}

/* Strings are cut after they were escaped; the first number is left out, as there. */
static void constants(void **state)
{
	const uint32_t bc[] = {ad("FUNCF", 3, 0),      ad("KSTR", 0, 0), ad("FNEW", 1, 2),
			       ad("FNEW", 1, 0),       ad("KNUM", 1, 4), ad("USETS", 1, 4),
			       ad("KSHORT", 2, 0xffff)};

	(void)state;
	assert_string_equal(list(bc, 7, 0, 1, 1),
			    "-- BYTECODE -- x.lua:3-7\n"
			    "KGC    0    \"\\n\\r\\t\\027\\127\\000\"\n"
			    "KGC    1    \"\\001\\001\\001\\001\\001\\001\\001\\001\\001\\001\"~\n"
			    "KGC    2    x.lua:7\n"
			    "KGC    4    ?\n"
			    "KN    1    nan\n"
			    "KN    2    -inf\n"
			    "KN    3    -2\n"
			    "KN    4    ?\n"
			    "0001    KSTR     0   0      ; \"\\n\\r\\t\\027\\127\\000\"\n"
			    "0002    FNEW     1   2      ; x.lua:7\n"
			    "0003    FNEW     1   0      ; ?\n"
			    "0004    KNUM     1   4      ; ?\n"
			    "0005    USETS    1   4      ; ? ; ?\n"
			    "0006    KSHORT   2  -1\n");
}

static void no_such_bytecode(void **state)
{
	const uint32_t bc[] = {ad("FUNCF", 3, 0), 0xffffffff, jump("JMP", 0, 32000)};

	(void)state;
	assert_string_equal(list(bc, 3, 0, 0, 1), "-- BYTECODE -- x.lua:3-7\n"
						  "0001    ?255  \n"
						  "0002    JMP      0 => 32003\n");
}

static void places(void **state)
{
	static const struct {
		const char *chunk;
		size_t len;
		int32_t firstline;
		const char *want;
	} rows[] = {
	    {"@/a/b.lua", 0, 3, "b.lua:3"},
	    {"@b.lua", 0, 3, "b.lua:3"},
	    {"@/b.lua", 0, 3, "/b.lua:3"}, /* as LuaJIT: the first byte does not count */
	    {"@c:\\x\\b.lua", 0, 3, "b.lua:3"},
	    {"=name", 0, 3, "name:3"},
	    {"return 1", 0, 3, "\"return 1\":3"},
	    {"a long text", 41, 3, "0x7f1234567890:3"},
	    {"=a long name", 41, 3, "0x7f1234567890:3"},
	    {"ipairs", 0, -1, "builtin:ipairs"},
	};
	struct proto_head h = {.firstline = 0};
	char buf[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		h.firstline = rows[i].firstline;
		disasm_place(buf, sizeof(buf), rows[i].chunk,
			     rows[i].len ? rows[i].len : strlen(rows[i].chunk), 0x7f1234567890, &h,
			     rows[i].firstline);
		assert_string_equal(buf, rows[i].want);
	}
	h.firstline = 3;
	disasm_place(buf, sizeof(buf), "a long text", 41, 0x4123, &h, 3);
	assert_string_equal(buf, "0x00004123:3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(compiled_code_is_shown_as_it_was),
	    cmocka_unit_test(blacklisted_and_switched_off),
	    cmocka_unit_test(constants),
	    cmocka_unit_test(no_such_bytecode),
	    cmocka_unit_test(places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
