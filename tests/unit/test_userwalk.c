// SPDX-License-Identifier: MIT
/* Prototypes of a process that runs on: one that does not outlast its reading has no name. */
#include "bpf/userwalk.h"

#include "bpf/mem.h"
#include "bpf/vm_check.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PID 1
#define MEM 0x41000000u
#define G (MEM + 0x100)
#define PT (MEM + 0x800)
#define STR (MEM + 0xc00)
#define WHITE0 1u
#define WHITE1 2u
#define FIXED 0x20u

static unsigned char mem[4096];
static const struct layout *l;

/* What becomes of a byte once so many reads are done; 0: nothing. */
static struct {
	uint64_t at;
	unsigned char to;
	unsigned int after;
} change;
static unsigned int reads;

/* In place of those of bpf/mem.c. */
long mem_read_some(int pid, uint64_t addr, void *buf, size_t len)
{
	assert_int_equal(pid, PID);
	if (change.after && reads++ == change.after)
		mem[change.at - MEM] = change.to;
	if (addr - MEM >= sizeof(mem))
		return -EFAULT;
	if (len > sizeof(mem) - (addr - MEM))
		len = sizeof(mem) - (addr - MEM);
	memcpy(buf, mem + (addr - MEM), len);
	return (long)len;
}

int mem_read(int pid, uint64_t addr, void *buf, size_t len)
{
	return mem_read_some(pid, addr, buf, len) == (long)len ? 0 : -EFAULT;
}

static void put(uint64_t at, uint64_t v, unsigned int size)
{
	memcpy(mem + (at - MEM), &v, size);
}

static void put_name(const char *name)
{
	put(STR + layout_gct(l), GCT_STR, 1);
	put(STR + l->STR_len, strlen(name), 4);
	strcpy((char *)mem + (STR + l->STR_size - MEM), name);
}

static void put_proto(void)
{
	memset(mem, 0, sizeof(mem));
	put(vm_white(l, G), WHITE0 | FIXED, 1);
	put(PT + layout_gct(l) - 1, WHITE0, 1);
	put(PT + layout_gct(l), GCT_PROTO, 1);
	put(PT + l->PT_chunkname, STR, 8);
	put(PT + l->PT_sizebc, 4, 4);
	put(PT + l->PT_sizept, l->PT_size + 32u, 4);
	put(PT + l->PT_k, PT + l->PT_size + 16u, 8);
	put(PT + l->PT_firstline, 7, 4);
	put(PT + l->PT_numline, 2, 4);
	put_name("@a.lua");
}

static int is_alive;
static int alive(void *ctx)
{
	(void)ctx;
	return is_alive;
}

/* Has the prototype in memory an id, after it changed as told? */
static int has_id(void)
{
	struct resolve *r = resolve_new(resolve_discard, NULL, NULL);
	struct layout_row row = {.l = *l};
	struct vm vm = {.g = G, .row = &row};
	struct userwalk *u = userwalk_new(r, PID, &vm);
	struct ev_frame f;

	reads = 0;
	userwalk_while(u, alive, NULL);
	userwalk_position(u, PT, PT + l->PT_size + 4, &f);
	assert_int_equal(f.kind == EV_FRAME_LUA, EV_FRAME_PROTO(f.addr) != EV_NO_PROTO);
	assert_int_equal(resolve_stats(r)->protos_gone, f.kind ? 0 : 1);
	userwalk_free(u);
	resolve_free(r);
	return f.kind != 0;
}

static void check_changes(uint64_t at, unsigned char to)
{
	unsigned int n, seen = 0;

	memset(&change, 0, sizeof(change));
	put_proto();
	change.after = 1000;
	assert_true(has_id());
	n = reads;
	assert_true(n > 3);
	for (change.after = 1; change.after < n; change.after++) {
		put_proto();
		change.at = at;
		change.to = to;
		seen += !has_id();
	}
	memset(&change, 0, sizeof(change));
	/* All but a change that comes after its last look at it. */
	assert_true(seen >= n - 3);
}

static int setup(void **state)
{
	(void)state;
	l = &layout_by_name("luajit2-20230119")->l;
	is_alive = 1;
	return 0;
}

static void test_whole(void **state)
{
	(void)state;
	put_proto();
	assert_true(has_id());
	put_name(""); /* of load() with such a name */
	assert_true(has_id());
}

static void test_what_led_to_it_is_gone(void **state)
{
	(void)state;
	put_proto();
	is_alive = 0;
	assert_false(has_id());
}

/* The collector frees strings before what refers to them, and is told by the color. */
static void test_about_to_be_freed(void **state)
{
	(void)state;
	put_proto();
	put(vm_white(l, G), WHITE1 | FIXED, 1);
	assert_false(has_id());
	put(PT + layout_gct(l) - 1, WHITE1, 1);
	assert_true(has_id());
	put(PT + layout_gct(l) - 1, 4, 1); /* black: marked in this cycle */
	assert_true(has_id());
}

static void test_freed_while_read(void **state)
{
	(void)state;
	check_changes(PT + layout_gct(l), 0);
	check_changes(PT + l->PT_firstline, 8);
	check_changes(vm_white(l, G), WHITE1 | FIXED);
}

static void test_name_is_no_string(void **state)
{
	(void)state;
	put_proto();
	put(STR + layout_gct(l), GCT_FUNC, 1);
	assert_false(has_id());
	put_proto();
	put(STR + l->STR_len, 3, 4); /* no end there */
	assert_false(has_id());
	put_proto();
	put(PT + l->PT_chunkname, MEM - 64, 8);
	assert_false(has_id());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_whole, setup),
	    cmocka_unit_test_setup(test_what_led_to_it_is_gone, setup),
	    cmocka_unit_test_setup(test_about_to_be_freed, setup),
	    cmocka_unit_test_setup(test_freed_while_read, setup),
	    cmocka_unit_test_setup(test_name_is_no_string, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
