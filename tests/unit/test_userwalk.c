// SPDX-License-Identifier: MIT
/*
 * Prototypes of a process that runs on: one that does not outlast its reading has no name. The walk
 * finds a caller's prototype wherever memory begins and ends.
 */
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
#define SIZE 0x4000u
#define PT (MEM + 0x1000)
#define G (MEM + 0x2100)
#define STR (MEM + 0x2800)
#define STACK (MEM + 0x2a00)
#define FUNC (MEM + 0x2c00)
#define CFUNC (MEM + 0x2d00)
#define WHITE0 1u
#define WHITE1 2u
#define FIXED 0x20u

static unsigned char mem[SIZE];
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

/* Of n instructions and two constants; each instruction has a line of its own. Returns its size. */
static uint32_t put_proto_at(uint64_t pt, uint32_t n)
{
	uint64_t k = pt + l->PT_size + (4ull * n + 7) / 8 * 8 + 16;
	uint32_t i;

	memset(mem, 0, sizeof(mem));
	put(vm_white(l, G), WHITE0 | FIXED, 1);
	put(pt + layout_gct(l) - 1, WHITE0, 1);
	put(pt + layout_gct(l), GCT_PROTO, 1);
	put(pt + l->PT_chunkname, STR, 8);
	put(pt + l->PT_sizebc, n, 4);
	put(pt + l->PT_sizept, k + n - pt, 4);
	put(pt + l->PT_k, k, 8);
	put(pt + l->PT_lineinfo, k, 8);
	put(pt + l->PT_firstline, 7, 4);
	put(pt + l->PT_numline, n, 4);
	for (i = 0; i + 1 < n; i++)
		put(k + i, i + 1, 1);
	put_name("@a.lua");
	return (uint32_t)(k + n - pt);
}

static void put_proto(void)
{
	put_proto_at(PT, 4);
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

static void put_func(uint64_t fn, unsigned int ffid, uint64_t pc)
{
	put(fn + layout_gct(l), GCT_FUNC, 1);
	put(fn + l->F_ffid, ffid, 1);
	put(fn + l->F_pc, pc, 8);
}

/*
 * The main thread is in a C function, which the Lua function of the prototype at pt calls with its
 * instruction at pos, of n.
 */
static void check_caller(uint64_t pt, uint32_t n, uint32_t pos)
{
	const uint64_t L = G - l->GG_g, bc = pt + l->PT_size, tag = 0x1fff7ull << 47;
	struct layout_row row = {.l = *l};
	struct vm vm = {.g = G, .row = &row};
	const unsigned int a = 5;
	const struct ev_sample *s;
	struct userwalk *u;
	struct resolve *r;
	/* Of the lowest frame, the Lua function's (its link: of C, over 16 bytes) and the C
	 * function's. */
	uint64_t slots[] = {L, 0, FUNC | tag, 17, 0, 0, 0, 0, 0, CFUNC | tag, bc + 4ull * pos + 4};

	put_proto_at(pt, n);
	put(bc + 4ull * pos, a << 8, 4);
	put_func(FUNC, 0, bc);
	put_func(CFUNC, 1, 0);
	memcpy(mem + (STACK - MEM), slots, sizeof(slots));
	put(L + l->L_glref, G, 8);
	put(L + l->L_stack, STACK, 8);
	put(L + l->L_maxstack, STACK + 0x180, 8);
	put(L + l->L_base, STACK + sizeof(slots), 8);
	r = resolve_new(resolve_discard, NULL, NULL);
	u = userwalk_new(r, PID, &vm);
	userwalk_while(u, alive, NULL);
	s = userwalk_stack(u, L, 0);
	assert_non_null(s);
	assert_int_equal(s->why, EV_WHY_NONE);
	assert_int_equal(s->nframes, 2);
	assert_int_equal(s->f[0].kind, EV_FRAME_C);
	assert_int_equal(s->f[1].kind, EV_FRAME_LUA);
	assert_int_equal(EV_FRAME_PC(s->f[1].addr), pos);
	assert_int_equal(s->f[1].line, 7 + pos);
	/* An id tells that the header that was copied is the one that is at pt. */
	assert_int_not_equal(EV_FRAME_PROTO(s->f[1].addr), EV_NO_PROTO);
	userwalk_free(u);
	resolve_free(r);
}

static void test_caller(void **state)
{
	uint32_t n, pos;

	(void)state;
	for (n = 2; n <= 200; n += n < 10 ? 1 : 19)
		for (pos = 1; pos < n; pos += n < 10 ? 1 : 7) {
			uint32_t size = put_proto_at(PT, n);

			check_caller(PT, n, pos);
			check_caller(MEM, n, pos);
			check_caller(MEM + SIZE - size / 8 * 8 - 8, n, pos);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_whole, setup),
	    cmocka_unit_test_setup(test_what_led_to_it_is_gone, setup),
	    cmocka_unit_test_setup(test_about_to_be_freed, setup),
	    cmocka_unit_test_setup(test_freed_while_read, setup),
	    cmocka_unit_test_setup(test_name_is_no_string, setup),
	    cmocka_unit_test_setup(test_caller, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
