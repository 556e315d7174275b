// SPDX-License-Identifier: MIT
/* Unwind tables: against libdw, which reads call frame information its own way; and their store. */
#include "bpf/elfobj.h"
#include "bpf/sampler.h"
#include "bpf/unwind.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The row for an address, searched as the BPF program does. */
static uint64_t row_at(const struct unwind_table *t, uint64_t vaddr)
{
	uint64_t rel = vaddr - t->base;
	uint32_t at = (uint32_t)(rel / SMP_UNWIND_STEP), lo, hi, mid;

	if (vaddr < t->base || at + 1 >= t->index)
		return 0;
	lo = (uint32_t)t->word[at];
	hi = (uint32_t)t->word[at + 1];
	assert_true(hi - lo <= SMP_UNWIND_STEP);
	while (lo < hi) {
		mid = (lo + hi + 1) / 2;
		if (SMP_ROW_PC(t->word[t->index + mid]) <= rel)
			lo = mid;
		else
			hi = mid - 1;
	}
	return SMP_ROW_PC(t->word[t->index + lo]) <= rel ? t->word[t->index + lo] : 0;
}

/* What libdw says for the same address, in as far as a row can say it. */
static uint64_t truth_at(Dwarf_CFI *cfi, uint64_t vaddr)
{
	Dwarf_Op mem[3], *op;
	Dwarf_Frame *f = NULL;
	unsigned int kind = SMP_CFA_NONE, bp = SMP_BP_LOST;
	Dwarf_Addr start, end;
	int64_t off = 0;
	bool signal = false;
	size_t n;

	if (dwarf_cfi_addrframe(cfi, vaddr, &f))
		return 0;
	dwarf_frame_info(f, &start, &end, &signal);
	if (!dwarf_frame_register(f, 16, mem, &op, &n) && !n && op == mem)
		kind = SMP_CFA_END;
	else if (n != 2 || op[0].atom != DW_OP_call_frame_cfa || op[1].atom != DW_OP_plus_uconst ||
		 (int64_t)op[1].number != -8)
		kind = SMP_CFA_NONE; /* vfork of glibc has it in a register */
	else if (!dwarf_frame_cfa(f, &op, &n) && n == 1 && op[0].atom == DW_OP_bregx &&
		 (op[0].number == 7 || op[0].number == 6)) {
		kind = op[0].number == 7 ? SMP_CFA_SP : SMP_CFA_BP;
		off = (int64_t)op[0].number2;
	} else if (n == 2 && op[0].atom == DW_OP_breg6 && op[1].atom == DW_OP_deref) {
		kind = SMP_CFA_AT_BP;
		off = (int64_t)op[0].number;
	} else if (n > 4 && op[0].atom == DW_OP_breg7 && op[1].atom == DW_OP_breg16) {
		kind = SMP_CFA_PLT;
		off = op[2].atom == DW_OP_lit15 ? 8 * (op[4].atom - DW_OP_lit0) : 0;
	}
	if (signal)
		kind = SMP_CFA_SIGNAL;
	if (kind == SMP_CFA_NONE || kind == SMP_CFA_END || kind == SMP_CFA_SIGNAL) {
		free(f);
		return SMP_ROW(0, kind, 0, 0);
	}
	if (!dwarf_frame_register(f, 6, mem, &op, &n)) {
		if (!n && !op)
			bp = SMP_BP_SAME;
		else if (n == 2 && op[0].atom == DW_OP_call_frame_cfa &&
			 op[1].atom == DW_OP_plus_uconst)
			bp = (unsigned int)(-(int64_t)op[1].number / 8);
		else if (n == 1 && op[0].atom == DW_OP_breg6 && !op[0].number)
			bp = SMP_BP_AT_BP;
	}
	free(f);
	if (off % 8)
		return 0;
	return SMP_ROW(0, kind, (uint16_t)(off / 8), bp);
}

static void open_table(const char *path, struct unwind_table *t)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elfobj *eo;

	assert_true(fd >= 0);
	assert_int_equal(elfobj_open(fd, path, &eo, NULL), 0);
	assert_int_equal(unwind_build(eo, t), 0);
	elfobj_free(eo);
	close(fd);
}

static void compare(const char *path)
{
	struct unwind_table t;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t known = 0, wrong = 0;
	Dwarf_CFI *cfi;
	uint32_t i;
	Elf *elf;

	open_table(path, &t);
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	cfi = dwarf_getcfi_elf(elf);
	assert_non_null(cfi);
	assert_true(t.nrows > 100);
	for (i = 0; i < t.nrows; i++) {
		uint64_t row = t.word[t.index + i], at = t.base + SMP_ROW_PC(row), truth;

		assert_true(i == 0 || SMP_ROW_PC(row) > SMP_ROW_PC(t.word[t.index + i - 1]));
		assert_int_equal(row_at(&t, at), row);
		if (i)
			assert_int_equal(row_at(&t, at - 1), t.word[t.index + i - 1]);
		truth = truth_at(cfi, at);
		known += SMP_ROW_KIND(row) != SMP_CFA_NONE;
		if (SMP_ROW_RULE(truth) != SMP_ROW_RULE(row)) {
			print_message("%s+%lx: %x, libdw %x\n", path, (unsigned long)at,
				      SMP_ROW_RULE(row), SMP_ROW_RULE(truth));
			wrong++;
		}
	}
	assert_true(known > t.nrows / 2);
	assert_int_equal(wrong, 0);
	dwarf_cfi_end(cfi);
	elf_end(elf);
	close(fd);
	free(t.word);
}

static void test_rows(void **state)
{
	(void)state;
	compare("/proc/self/exe");
	compare("/lib/x86_64-linux-gnu/libc.so.6");
	compare("/lib/x86_64-linux-gnu/libm.so.6");
	compare("/lib64/ld-linux-x86-64.so.2");
	compare("/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2");
}

/* A store whose words go nowhere; what it has is counted. */
struct slots {
	uint32_t there[8];
	size_t words;
	int fail;
};

static int put(void *ctx, uint32_t slot, const struct unwind_table *t)
{
	struct slots *s = ctx;

	assert_false(s->there[slot]);
	if (s->fail)
		return -ENOMEM;
	s->there[slot] = t->index + t->nrows;
	s->words += s->there[slot];
	return 0;
}

static void drop(void *ctx, uint32_t slot)
{
	struct slots *s = ctx;

	assert_true(s->there[slot]);
	s->words -= s->there[slot];
	s->there[slot] = 0;
}

static struct elfobj *open_elf(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elfobj *eo;

	assert_int_equal(elfobj_open(fd, path, &eo, NULL), 0);
	close(fd);
	return eo;
}

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"
#define LIBM "/lib/x86_64-linux-gnu/libm.so.6"
#define LIBLUAJIT "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2"

/* Two files of one build share a table, whoever opened them. */
static void test_sharing(void **state)
{
	struct slots slots = {.words = 0};
	const struct unwind_ops ops = {put, drop, &slots};
	struct unwind_store *st = unwind_store_new(&ops, 8, 64u << 20);
	struct elfobj *a = open_elf(LIBC), *b = open_elf(LIBC), *c = open_elf(LIBM);
	const struct unwind_ref *ra, *rb, *rc;
	struct unwind_stats stats;

	(void)state;
	assert_false(unwind_is_known(st, a));
	assert_int_equal(unwind_take(st, a, &ra), 0);
	assert_true(unwind_is_known(st, b));
	assert_int_equal(unwind_take(st, b, &rb), 0);
	assert_int_equal(unwind_take(st, c, &rc), 0);
	assert_int_equal(ra->slot, rb->slot);
	assert_int_not_equal(ra->slot, rc->slot);
	unwind_stats(st, &stats);
	assert_int_equal(stats.tables, 2);
	assert_int_equal(stats.built, 2);
	assert_int_equal(stats.bytes, 8 * slots.words);
	unwind_give(st, ra);
	unwind_stats(st, &stats);
	assert_int_equal(stats.used, 2);
	unwind_give(st, rb);
	unwind_give(st, rc);
	unwind_stats(st, &stats);
	assert_int_equal(stats.used, 0);
	assert_int_equal(stats.tables, 2); /* for whoever comes next */
	unwind_store_free(st);
	assert_int_equal(slots.words, 0);
	elfobj_free(a);
	elfobj_free(b);
	elfobj_free(c);
}

/* What nobody uses makes room; what somebody uses stays. */
static void test_bounds(void **state)
{
	struct slots slots = {.words = 0};
	const struct unwind_ops ops = {put, drop, &slots};
	struct elfobj *libc = open_elf(LIBC), *libm = open_elf(LIBM), *lj = open_elf(LIBLUAJIT);
	const struct unwind_ref *ref, *second;
	struct unwind_stats stats;
	struct unwind_table t;
	struct unwind_store *st;
	size_t room;

	(void)state;
	assert_int_equal(unwind_build(libc, &t), 0);
	room = 8 * ((size_t)t.index + t.nrows);
	free(t.word);
	st = unwind_store_new(&ops, 8, room + 8);
	assert_int_equal(unwind_take(st, libm, &ref), 0);
	assert_int_equal(unwind_take(st, libc, &second), -ENOSPC);
	assert_false(unwind_is_known(st, libc)); /* another time, maybe */
	unwind_give(st, ref);
	assert_int_equal(unwind_take(st, libc, &second), 0);
	assert_false(unwind_is_known(st, libm));
	unwind_stats(st, &stats);
	assert_true(stats.bytes <= room + 8);
	assert_int_equal(stats.tables, 1);
	unwind_give(st, second);
	slots.fail = 1;
	assert_int_equal(unwind_take(st, lj, &ref), -ENOMEM);
	slots.fail = 0;
	assert_int_equal(unwind_take(st, lj, &ref), 0);
	unwind_give(st, ref);
	unwind_store_free(st);
	assert_int_equal(slots.words, 0);
	/* As many as there are slots. */
	st = unwind_store_new(&ops, 1, 64u << 20);
	assert_int_equal(unwind_take(st, libm, &ref), 0);
	assert_int_equal(unwind_take(st, lj, &second), -ENOSPC);
	unwind_give(st, ref);
	assert_int_equal(unwind_take(st, lj, &second), 0);
	unwind_store_free(st);
	elfobj_free(libc);
	elfobj_free(libm);
	elfobj_free(lj);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_sharing),
	    cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
