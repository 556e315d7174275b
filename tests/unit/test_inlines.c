// SPDX-License-Identifier: MIT
/* bpf/inlines.c and bpf/dwarf.c on this program, whose inlined functions are known. */
#include "bpf/dwarf.h"
#include "bpf/inlines.h"
#include "tests/unit/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define INTO static inline __attribute__((always_inline))

enum { INNERMOST_CALLED = 28, MIDDLE_CALLED = 34 }; /* lines */

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

/* What is to be said of that label. */
static void in_two(char want[256])
{
	snprintf(want, 256, "innermost\ttest_inlines.c:%d\nmiddle\ttest_inlines.c:%d",
		 INNERMOST_CALLED, MIDDLE_CALLED);
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
	in_two(want);
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
	fd = memfile(p, size);
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

/* As inlines.h says: so many lines, each with no more than one tab. */
static void check_lines(const char *text, int n)
{
	const char *c;
	int lines = text[0] != '\0', tabs = 0;

	for (c = text; *c; c++) {
		tabs = *c == '\n' ? 0 : tabs + (*c == '\t');
		lines += *c == '\n';
		assert_true(tabs <= 1);
	}
	assert_int_equal(lines, n);
}

enum outcome { UNREADABLE, FAILED, OTHER, RIGHT, OUTCOMES };

/* What becomes of a question about such a file. */
static enum outcome ask(const unsigned char *elf, size_t size, uint64_t vaddr, const char *right)
{
	int fd = memfile(elf, size), n;
	enum outcome outcome = UNREADABLE;
	struct elfobj *eo = NULL;
	struct layout l;
	char text[INLINES_TEXT];
	struct inlines *in;

	if (!elfobj_open(fd, "damaged", &eo, NULL))
		assert_in_range(-dwarf_layout(eo, &l, NULL), 0, 4095);
	if (eo && !inlines_new(eo, &in)) {
		n = inlines_at(in, vaddr, text);
		if (n >= 0)
			check_lines(text, n);
		else
			assert_int_equal(n, -EIO);
		outcome = n < 0 ? FAILED : strcmp(text, right) ? OTHER : RIGHT;
		inlines_free(in);
	}
	elfobj_free(eo);
	close(fd);
	return outcome;
}

/* Debug information that is damaged here and there: no answer, or one that is well-formed. */
static void test_damaged(void **state)
{
	struct elfobj *eo = open_elf("/proc/self/exe");
	size_t size, at;
	unsigned char *good = read_self(&size), *bad = malloc(size);
	int i, k, got[OUTCOMES] = {0};
	uint64_t two = label(eo, "inlines_in_two");
	unsigned int random = 12345;
	char right[256];

	(void)state;
	in_two(right);
	assert_non_null(bad);
	assert_int_equal(ask(good, size, two, right), RIGHT);
	for (i = 0; i < 32; i++) {
		memcpy(bad, good, size);
		/* The sections behind the code are the debug information, then symbols. */
		for (k = 0; k < 1 << (i % 16); k++) {
			random = random * 1103515245 + 12345;
			at = size / 3 + random % (size / 2);
			bad[at] = (unsigned char)(random >> 16);
		}
		got[ask(bad, size, two, right)]++;
	}
	assert_true(got[OTHER] + got[RIGHT] >= 16);
	assert_true(got[RIGHT] >= 4 && got[RIGHT] < 32);
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
