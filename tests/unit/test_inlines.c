// SPDX-License-Identifier: MIT
/* bpf/inlines.c on this program, whose inlined functions are known. */
#include "bpf/inlines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define INTO static inline __attribute__((always_inline))

enum { INNERMOST_CALLED = 33, MIDDLE_CALLED = 39 }; /* lines */

INTO void innermost(void)
{
	__asm__ volatile(".globl inlines_in_two\n.hidden inlines_in_two\ninlines_in_two: nop");
}

INTO void middle(void)
{
	__asm__ volatile(".globl inlines_in_one\n.hidden inlines_in_one\ninlines_in_one: nop");
	innermost(); /* INNERMOST_CALLED */
}

__attribute__((noinline)) static void outer(void)
{
	__asm__ volatile(".globl inlines_in_none\n.hidden inlines_in_none\ninlines_in_none: nop");
	middle(); /* MIDDLE_CALLED */
}

static uint64_t label(const struct elfobj *eo, const char *name)
{
	uint64_t vaddr, size;

	assert_int_equal(elfobj_lookup(eo, name, &vaddr, &size), 0);
	return vaddr;
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
	char text[INLINES_TEXT], want[256];
	struct inlines *in;

	(void)state;
	outer();
	assert_int_equal(inlines_new(eo, &in), 0);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_none"), text), 0);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_one"), text), 1);
	snprintf(want, sizeof(want), "middle\ttest_inlines.c:%d", MIDDLE_CALLED);
	assert_string_equal(text, want);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_two"), text), 2);
	snprintf(want, sizeof(want), "innermost\ttest_inlines.c:%d\nmiddle\ttest_inlines.c:%d",
		 INNERMOST_CALLED, MIDDLE_CALLED);
	assert_string_equal(text, want);
	assert_int_equal(inlines_at(in, 0, text), 0);
	assert_int_equal(inlines_at(in, UINT64_MAX, text), 0);
	inlines_free(in);
	elfobj_free(eo);
}

static void test_without(void **state)
{
	struct elfobj *eo = open_elf("/usr/lib/nginx/modules/ngx_http_lua_module.so");
	struct inlines *in;

	(void)state;
	assert_int_equal(inlines_new(eo, &in), -ENOENT);
	inlines_free(NULL);
	elfobj_free(eo);
}

/* What libdw makes of a file may end the child, at any moment. */
static void test_child_ends(void **state)
{
	struct elfobj *eo = open_elf("/proc/self/exe");
	char text[INLINES_TEXT];
	struct inlines *in;
	FILE *f;
	int pid;

	(void)state;
	assert_int_equal(inlines_new(eo, &in), 0);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_one"), text), 1);
	f = fopen("/proc/thread-self/children", "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	kill(pid, SIGKILL);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_one"), text), -EIO);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_one"), text), -EIO);
	inlines_free(in);
	elfobj_free(eo);
}

/* Debug information that is damaged here and there: no answer, or one that is well-formed. */
static void test_damaged(void **state)
{
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), fd, i, n, k;
	size_t size = (size_t)lseek(self, 0, SEEK_END), at;
	unsigned char *good = malloc(size), *bad = malloc(size);
	struct elfobj *eo = open_elf("/proc/self/exe"), *broken;
	uint64_t two = label(eo, "inlines_in_two");
	unsigned int random = 12345;
	char text[INLINES_TEXT];
	struct inlines *in;

	(void)state;
	assert_true(good && bad && pread(self, good, size, 0) == (ssize_t)size);
	close(self);
	for (i = 0; i < 24; i++) {
		memcpy(bad, good, size);
		/* The sections behind the code are the debug information, then symbols. */
		for (k = 0; k < 1 << (i % 12); k++) {
			random = random * 1103515245 + 12345;
			at = size / 3 + random % (size / 2);
			bad[at] = (unsigned char)(random >> 16);
		}
		fd = memfd_create("damaged", MFD_CLOEXEC);
		assert_int_equal(write(fd, bad, size), size);
		if (!elfobj_open(fd, "damaged", &broken, NULL)) {
			if (!inlines_new(broken, &in)) {
				n = inlines_at(in, two, text);
				assert_true(n == -EIO || (n >= 0 && n <= INLINES_MAX));
				assert_true(n < 0 || strlen(text) < INLINES_TEXT);
				inlines_free(in);
			}
			elfobj_free(broken);
		}
		close(fd);
	}
	elfobj_free(eo);
	free(good);
	free(bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_without),
	    cmocka_unit_test(test_child_ends),
	    cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
