// SPDX-License-Identifier: MIT
/* bpf/inlines.c on this program, whose inlined functions are known. */
#include "bpf/inlines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#define INTO static inline __attribute__((always_inline))

INTO void innermost(void)
{
	__asm__ volatile(".globl inlines_in_two\n.hidden inlines_in_two\ninlines_in_two: nop");
}

INTO void middle(void)
{
	__asm__ volatile(".globl inlines_in_one\n.hidden inlines_in_one\ninlines_in_one: nop");
	innermost();
}

__attribute__((noinline)) static void outer(void)
{
	__asm__ volatile(".globl inlines_in_none\n.hidden inlines_in_none\ninlines_in_none: nop");
	middle();
}

static size_t at(const struct elfobj *eo, struct inlines *in, const char *label,
		 const char *names[INLINES_MAX])
{
	uint64_t vaddr, size;

	assert_int_equal(elfobj_lookup(eo, label, &vaddr, &size), 0);
	return inlines_at(in, vaddr, names);
}

static struct elfobj *open_elf(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elfobj *eo;

	assert_int_equal(elfobj_open(fd, path, &eo, NULL), 0);
	close(fd);
	return eo;
}

static void test_names(void **state)
{
	struct elfobj *eo = open_elf("/proc/self/exe");
	struct inlines *in = inlines_new(eo);
	const char *names[INLINES_MAX];

	(void)state;
	outer();
	assert_non_null(in);
	assert_int_equal(at(eo, in, "inlines_in_none", names), 0);
	assert_int_equal(at(eo, in, "inlines_in_one", names), 1);
	assert_string_equal(names[0], "middle");
	assert_int_equal(at(eo, in, "inlines_in_two", names), 2);
	assert_string_equal(names[0], "innermost");
	assert_string_equal(names[1], "middle");
	assert_int_equal(inlines_at(in, 0, names), 0);
	assert_int_equal(inlines_at(in, UINT64_MAX, names), 0);
	inlines_free(in);
	elfobj_free(eo);
}

static void test_without(void **state)
{
	struct elfobj *eo = open_elf("/usr/lib/nginx/modules/ngx_http_lua_module.so");

	(void)state;
	assert_null(inlines_new(eo));
	inlines_free(NULL);
	elfobj_free(eo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
