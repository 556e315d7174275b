// SPDX-License-Identifier: MIT
/* bpf/mcode.h: code made by hand, as lj_asm_x86.h lays it out, and code that is none. */
#include "bpf/mcode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#define CODE UINT64_C(0x10000)
#define STUBS UINT64_C(0x20000)

static unsigned char code[256], stubs[512];

/* Two areas; nothing else can be read. */
static int memory(int pid, uint64_t addr, void *buf, size_t len)
{
	assert_int_equal(pid, 42);
	if (addr >= CODE && addr - CODE + len <= sizeof(code))
		memcpy(buf, code + (addr - CODE), len);
	else if (addr >= STUBS && addr - STUBS + len <= sizeof(stubs))
		memcpy(buf, stubs + (addr - STUBS), len);
	else
		return -EFAULT;
	return 0;
}

/* asm_exitstub_gen: a group of 32; each pushes its low byte, their common end the high one. */
static void make_stubs(unsigned char *p, unsigned int first)
{
	unsigned int i;

	for (i = 0; i < 32; i++) {
		*p++ = 0x6a;
		*p++ = (unsigned char)(first + i);
		if (i == 31)
			break;
		*p++ = 0xeb;
		*p++ = (unsigned char)(4 * (31 - i) - 2);
	}
	*p++ = 0x6a;
	*p++ = (unsigned char)(first >> 8);
	*p++ = 0xe9;
}

static void put_jump(unsigned char *at, unsigned char op, uint64_t to)
{
	int32_t rel;

	*at = op;
	rel = (int32_t)(to - (CODE + (uint64_t)(at - code) + 5));
	memcpy(at + 1, &rel, 4);
}

static const struct mcode_ins *ins_at(const struct mcode *m, uint32_t off)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		if (m->ins[i].off == off)
			return &m->ins[i];
	fail_msg("no instruction at %u", off);
	return NULL;
}

static void test_loop_and_exits(void **state)
{
	struct mcode m;
	uint32_t loop = 0;

	(void)state;
	memset(code, 0x90, sizeof(code));
	make_stubs(stubs, 0);
	make_stubs(stubs + 256, 288);
	put_jump(code + 8, 0xe9, STUBS + 4 * 7);	 /* exit 7 */
	put_jump(code + 16, 0xe9, STUBS + 4 * 31);	 /* the last of its group */
	put_jump(code + 24, 0xe9, STUBS + 256 + 4 * 3);	 /* 291, of the second one */
	put_jump(code + 32, 0xe8, STUBS + 4 * 7);	 /* a call leaves nothing */
	put_jump(code + 40, 0xe9, UINT64_C(0x7fffff00)); /* nothing is there */
	put_jump(code + 48, 0xe9, CODE + 56);		 /* forward is no loop */
	put_jump(code + 95, 0xe9, CODE + 64);
	assert_int_equal(mcode_read(memory, 42, CODE, 100, &m), 0);
	assert_int_equal(ins_at(&m, 8)->exitno, 7);
	assert_int_equal(ins_at(&m, 16)->exitno, 31);
	assert_int_equal(ins_at(&m, 24)->exitno, 291);
	assert_int_equal(ins_at(&m, 32)->exitno, MCODE_NONE);
	assert_int_equal(ins_at(&m, 32)->target, STUBS + 4 * 7);
	assert_int_equal(ins_at(&m, 40)->exitno, MCODE_NONE);
	assert_int_equal(ins_at(&m, 48)->target, CODE + 56);
	assert_int_equal(ins_at(&m, 0)->target, 0);
	assert_string_equal(ins_at(&m, 0)->text, "nop");
	assert_int_equal(m.loop, 64);
	mcode_release(&m);
	assert_int_equal(mcode_loop(memory, 42, CODE, 100, &loop), 0);
	assert_int_equal(loop, 64);
	assert_int_equal(mcode_loop(memory, 42, CODE, 90, &loop), 0);
	assert_int_equal(loop, MCODE_NONE);
}

static void test_refused(void **state)
{
	struct mcode m;
	uint32_t loop;

	(void)state;
	assert_int_equal(mcode_read(memory, 42, CODE, 0, &m), -EINVAL);
	assert_int_equal(mcode_read(memory, 42, CODE, MCODE_MAX + 1, &m), -EINVAL);
	assert_int_equal(mcode_read(memory, 42, CODE, sizeof(code) + 1, &m), -EFAULT);
	assert_int_equal(mcode_loop(memory, 42, STUBS + 4096, 8, &loop), -EFAULT);
}

/* Whatever lies there: instructions without gaps, in printable words. */
static void test_junk(void **state)
{
	struct mcode m;
	uint32_t off;
	int round;
	size_t i;

	(void)state;
	srand(1);
	for (round = 0; round < 2000; round++) {
		for (i = 0; i < sizeof(code); i++)
			code[i] = (unsigned char)rand();
		assert_int_equal(mcode_read(memory, 42, CODE, sizeof(code), &m), 0);
		for (i = off = 0; i < m.n; off += m.ins[i++].len) {
			const char *p = m.ins[i].text;

			assert_int_equal(m.ins[i].off, off);
			assert_true(m.ins[i].len && *p);
			for (; *p; p++)
				assert_true(*p >= ' ' && *p <= '~');
		}
		assert_int_equal(off, sizeof(code));
		assert_true(m.loop == MCODE_NONE || m.loop < sizeof(code));
		mcode_release(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_loop_and_exits),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_junk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
