// SPDX-License-Identifier: MIT
#include "bpf/demangle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void check(const char *name, const char *want)
{
	char out[256];

	demangle(name, out, sizeof(out));
	assert_string_equal(out, want);
}

/* As g++ 12 and rustc wrote them. */
static void test_names(void **state)
{
	(void)state;
	check("_ZNK2ns3BoxIPcE3getEi", "ns::Box<char*>::get");
	check("_ZN3foo3barEv", "foo::bar");
	check("_RNvCsbVXqutUjNVO_1x5hello", "x::hello");
	check("_ZN1x5hello17h60e891111061c737E", "x::hello");
	check("lua_pcall", "lua_pcall");
	check("", "");
	check("_", "_");
	check("_Z", "_Z");
	check("_ZN", "_ZN");
	check("_Znot mangled", "_Znot mangled");
	check("_RNv", "_RNv");
	check("_RC0", "_RC0"); /* of an empty name */
	check("_RNvCu8gdel_5qa1f", "g\303\266del::f");
}

/* A tuple of the same tuple twice, 40 deep, of an identifier that is allocated when it is told. */
static void rust_bomb(char *name)
{
	static const char digits[] =
	    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t start, depth = 40;
	char *p = name + sprintf(name, "_RINvC1x1f");

	start = (size_t)(p - name) - 2; /* positions are those behind _R, counted from 1 */
	memset(p, 'T', depth);
	p += depth;
	p += sprintf(p, "Cu8gdel_5qa");
	for (size_t i = depth; i > 0; i--)
		p += sprintf(p, "B%c_E", digits[start + i - 1]);
	sprintf(p, "E");
}

/* It is given up: as it is, cut to the room. */
static void check_whole(const char *name)
{
	char want[64], out[64];

	demangle(name, out, sizeof(out));
	snprintf(want, sizeof(want), "%.63s", name);
	assert_string_equal(out, want);
}

/* A name of 2^40 letters, and one that is too long to be looked at. */
static void test_hostile(void **state)
{
	char name[2000] = "_ZN1aI", out[64];
	size_t i;

	(void)state;
	for (i = 0; i < 40; i++)
		snprintf(name + strlen(name), sizeof(name) - strlen(name), "1a%sI", "S_S_");
	demangle(name, out, sizeof(out));
	assert_memory_equal(out, "_ZN1aI", 6);
	assert_int_equal(strlen(out), sizeof(out) - 1);
	memset(name, 'x', sizeof(name) - 1);
	memcpy(name, "_ZN1990", 7);
	check_whole(name);
	rust_bomb(name);
	check_whole(name);
	check_whole("_RNvXINvC1x1fFGzzzzzzzz_EuEuC1x1g");
	demangle("_ZN3foo3barEv", out, 4);
	assert_string_equal(out, "foo");
	demangle("_ZN3foo3barEv", out, 1);
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
