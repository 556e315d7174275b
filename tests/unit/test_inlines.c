// SPDX-License-Identifier: MIT
/* bpf/inlines.c and bpf/dwarf.c on this program, whose inlined functions are known. */
#include "bpf/dwarf.h"
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
#include <sys/resource.h>
#include <unistd.h>

#define INTO static inline __attribute__((always_inline))

enum { INNERMOST_CALLED = 35, MIDDLE_CALLED = 41 }; /* lines */

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

static int only_child(void)
{
	FILE *f = fopen("/proc/thread-self/children", "r");
	int pid;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	return pid;
}

/* CPU time is for an answer: a recording may ask for hours. */
static void test_time_anew(void **state)
{
	struct elfobj *eo = open_elf("/proc/self/exe");
	char text[INLINES_TEXT];
	struct rlimit lim, few;
	struct inlines *in;

	(void)state;
	assert_int_equal(inlines_new(eo, &in), 0);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_one"), text), 1);
	assert_int_equal(prlimit(only_child(), RLIMIT_CPU, NULL, &lim), 0);
	assert_in_range(lim.rlim_cur, 1, 1000);
	few = (struct rlimit){lim.rlim_cur - 1, lim.rlim_max};
	assert_int_equal(prlimit(only_child(), RLIMIT_CPU, &few, NULL), 0);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_one"), text), 1);
	assert_int_equal(prlimit(only_child(), RLIMIT_CPU, NULL, &few), 0);
	assert_in_range(few.rlim_cur, lim.rlim_cur, 1000);
	assert_true(few.rlim_cur < few.rlim_max);
	inlines_free(in);
	elfobj_free(eo);
}

/* What libdw makes of a file may end the child, at any moment. */
static void test_child_ends(void **state)
{
	struct elfobj *eo = open_elf("/proc/self/exe");
	char text[INLINES_TEXT];
	struct inlines *in;

	(void)state;
	assert_int_equal(inlines_new(eo, &in), 0);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_one"), text), 1);
	kill(only_child(), SIGKILL);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_one"), text), -EIO);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_one"), text), -EIO);
	inlines_free(in);
	elfobj_free(eo);
}

static unsigned char *read_self(size_t *size)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	unsigned char *p;

	*size = (size_t)lseek(fd, 0, SEEK_END);
	p = malloc(*size);
	assert_true(p && pread(fd, p, *size, 0) == (ssize_t)*size);
	close(fd);
	return p;
}

/* A function whose name is empty is left out, and those around it are told. */
static void test_nameless(void **state)
{
	static const char name[] = "\0innermost";
	struct elfobj *eo;
	char text[INLINES_TEXT], want[256];
	struct inlines *in;
	unsigned char *p, *at;
	size_t size;
	int fd;

	(void)state;
	p = read_self(&size);
	for (at = p; (at = memmem(at, size - (size_t)(at - p), name, sizeof(name))); at++)
		at[1] = '\0';
	fd = memfd_create("nameless", MFD_CLOEXEC);
	assert_int_equal(write(fd, p, size), size);
	free(p);
	assert_int_equal(elfobj_open(fd, "nameless", &eo, NULL), 0);
	close(fd);
	assert_int_equal(inlines_new(eo, &in), 0);
	assert_int_equal(inlines_at(in, label(eo, "inlines_in_two"), text), 1);
	snprintf(want, sizeof(want), "middle\ttest_inlines.c:%d", MIDDLE_CALLED);
	assert_string_equal(text, want);
	inlines_free(in);
	elfobj_free(eo);
}

/* Debug information that is damaged here and there: no answer, or one that is well-formed. */
static void test_damaged(void **state)
{
	size_t size, at;
	unsigned char *good = read_self(&size), *bad = malloc(size);
	struct elfobj *eo = open_elf("/proc/self/exe"), *broken;
	uint64_t two = label(eo, "inlines_in_two");
	unsigned int random = 12345;
	char text[INLINES_TEXT];
	struct inlines *in;
	struct layout l;
	int fd, i, n, k;

	(void)state;
	assert_non_null(bad);
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
			assert_in_range(-dwarf_layout(broken, &l, NULL), 0, 4095);
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
	    cmocka_unit_test(test_names),     cmocka_unit_test(test_without),
	    cmocka_unit_test(test_time_anew), cmocka_unit_test(test_child_ends),
	    cmocka_unit_test(test_nameless),  cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
