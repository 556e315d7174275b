// SPDX-License-Identifier: MIT
/* bpf/offline.c: what is told of a recording's addresses, by this program as its debug file. */
#include "bpf/elfobj.h"
#include "bpf/offline.h"
#include "bpf/rec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/records.h"

#define BASE 0x10000000u
#define END 0x20000000u

static inline __attribute__((always_inline)) void into_first(void)
{
	__asm__ volatile(".globl offline_first\n.hidden offline_first\noffline_first: nop");
}

static inline __attribute__((always_inline)) void into_second(void)
{
	__asm__ volatile(".globl offline_second\n.hidden offline_second\noffline_second: nop");
}

__attribute__((noinline)) static void outer(void)
{
	into_first();
	into_second();
}

struct fixture {
	char dir[32], folder[64], link[128], id[136];
	uint64_t first, second; /* in the file */
	struct offline *o;
	char told[128]; /* by the last record: lines' names */
	unsigned int n; /* of all */
};

static void say(void *ctx, const char *text)
{
	(void)ctx;
	fail_msg("%s", text);
}

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char exe[4096] = "";
	struct elfobj *eo;
	uint64_t size;

	assert_non_null(fx);
	outer();
	unsetenv("DEBUGINFOD_URLS");
	assert_int_equal(elfobj_open(fd, "self", &eo, NULL), 0);
	close(fd);
	assert_int_equal(elfobj_lookup(eo, "offline_first", &fx->first, &size), 0);
	assert_int_equal(elfobj_lookup(eo, "offline_second", &fx->second, &size), 0);
	snprintf(fx->id, sizeof(fx->id), "%s", elfobj_build_id(eo));
	elfobj_free(eo);
	assert_int_equal(strlen(fx->id), 40);
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/ljx-offline.XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	snprintf(fx->folder, sizeof(fx->folder), "%s/.build-id", fx->dir);
	assert_int_equal(mkdir(fx->folder, 0700), 0);
	snprintf(fx->folder, sizeof(fx->folder), "%s/.build-id/%.2s", fx->dir, fx->id);
	assert_int_equal(mkdir(fx->folder, 0700), 0);
	snprintf(fx->link, sizeof(fx->link), "%s/%s.debug", fx->folder, fx->id + 2);
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_int_equal(symlink(exe, fx->link), 0);
	fx->o = offline_new(fx->dir, 1, say, NULL);
	assert_non_null(fx->o);
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	offline_free(fx->o);
	unlink(fx->link);
	rmdir(fx->folder);
	*strrchr(fx->folder, '/') = '\0';
	rmdir(fx->folder);
	rmdir(fx->dir);
	free(fx);
	return 0;
}

static int take(void *ctx, const struct ev_hdr *h)
{
	struct fixture *fx = ctx;

	assert_true(rec_check(h, h->size));
	if (h->kind == EV_INLINE) {
		snprintf(fx->told, sizeof(fx->told), "%.*s", (int)strcspn(rec_str(h, 0), "\t"),
			 rec_str(h, 0));
		fx->n++;
	}
	return 0;
}

static void add(struct fixture *fx, const void *fixed, size_t size, unsigned int kind,
		const char *const *strs, size_t nstrs)
{
	struct ev_hdr *h = record(fixed, size, kind, strs, nstrs);

	assert_true(rec_check(h, h->size));
	*fx->told = '\0';
	assert_int_equal(offline_record(fx->o, h, take, fx), 0);
	free(h);
}

static void map(struct fixture *fx, uint32_t pid, const char *id, uint64_t bias)
{
	struct ev_module ev = {.h.pid = pid, .start = BASE, .end = END, .bias = bias};

	ADD_STRS(fx, ev, EV_MODULE, id, "/lib/x.so");
}

/* What is told when a stack has this address; "" is nothing. */
static const char *see(struct fixture *fx, uint32_t pid, uint64_t addr)
{
	union {
		struct ev_native e;
		ev_u64 room[sizeof(struct ev_native) / 8 + 1];
	} ev = {.e = {.h.pid = pid, .nwords = 1}};

	ev.e.word[0] = addr;
	ADD(fx, ev, EV_NATIVE);
	return fx->told;
}

static void test_once(void **state)
{
	struct fixture *fx = *state;
	uint64_t addr = BASE + fx->first;

	/* before anybody knows what is there */
	assert_string_equal(see(fx, 1, addr), "");
	map(fx, 1, fx->id, BASE);
	assert_string_equal(see(fx, 1, addr), "into_first");
	assert_string_equal(see(fx, 1, addr), "");
	map(fx, 1, fx->id, BASE);
	assert_string_equal(see(fx, 1, addr), "");
	assert_string_equal(see(fx, 1, BASE + fx->second), "into_second");
	map(fx, 2, fx->id, BASE);
	assert_string_equal(see(fx, 2, addr), "into_first");
	assert_int_equal(fx->n, 3);
}

/* Other code where code was: the same file in another place, another file, and the first again. */
static void test_replaced(void **state)
{
	struct fixture *fx = *state;
	uint64_t addr = BASE + fx->first;

	map(fx, 1, fx->id, BASE);
	map(fx, 2, fx->id, BASE);
	assert_string_equal(see(fx, 1, addr), "into_first");
	assert_string_equal(see(fx, 2, addr), "into_first");
	map(fx, 1, fx->id, BASE + fx->first - fx->second);
	assert_string_equal(see(fx, 1, addr), "into_second");
	map(fx, 1, "abcdef", BASE);
	assert_string_equal(see(fx, 1, addr), "");
	map(fx, 1, fx->id, BASE);
	assert_string_equal(see(fx, 1, addr), "into_first");
	assert_string_equal(see(fx, 2, addr), "");
}

static void test_exec(void **state)
{
	struct fixture *fx = *state;
	struct ev_hdr exec = {.pid = 1};
	uint64_t addr = BASE + fx->first;

	map(fx, 1, fx->id, BASE);
	assert_string_equal(see(fx, 1, addr), "into_first");
	ADD(fx, exec, EV_EXEC);
	assert_string_equal(see(fx, 1, addr), "");
	map(fx, 1, fx->id, BASE);
	assert_string_equal(see(fx, 1, addr), "into_first");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_once, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_replaced, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_exec, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
