/* SPDX-License-Identifier: MIT */
/* Snapshots built as lj_snap.c builds them, of both kinds of frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bytecode/snap.h"

enum { KGC = 24, KPTR = 25, KKPTR = 26, KNUM = 28, T_PROTO = 7, T_FUNC = 8, T_NUM = 14 };
#define FRAME 0x10000u
#define CONT 0x20000u
#define MAX 64

struct made {
	struct snap_trace t;
	unsigned char k[8 * MAX], snap[12 * MAX];
	uint32_t map[4 * MAX], nk;
};

static struct made begin(int gc64)
{
	return (struct made){.t = {.gc64 = gc64, .szmcode = 1000}, .nk = MAX};
}

/* Adds a constant below the others; returns its reference. */
static uint32_t put_const(struct made *m, int op, int type, uint64_t value)
{
	m->nk -= m->t.gc64 ? 2 : 1;
	memcpy(m->k + 8 * m->nk + (m->t.gc64 ? 8 : 0), &value, m->t.gc64 ? 8 : 4);
	m->k[8 * m->nk + 4] = (unsigned char)type;
	m->k[8 * m->nk + 5] = (unsigned char)op;
	return SNAP_REF_BASE - MAX + m->nk;
}

static uint32_t entry(uint32_t slot, uint32_t flags, uint32_t ref)
{
	return slot << 24 | flags | ref;
}

static void put_snap(struct made *m, uint32_t ref, uint32_t mcofs, const uint32_t *e, uint32_t nent,
		     const uint32_t *links, uint32_t nlinks)
{
	unsigned char *p = m->snap + (size_t)m->t.nsnap++ * 12;

	memcpy(p, &m->t.nmap, 4);
	p[4] = (unsigned char)ref;
	p[5] = (unsigned char)(ref >> 8);
	p[6] = (unsigned char)mcofs;
	p[7] = (unsigned char)(mcofs >> 8);
	p[8] = 9;
	p[10] = (unsigned char)nent;
	p[11] = 3;
	if (nent)
		memcpy(m->map + m->t.nmap, e, nent * sizeof(*e));
	m->t.nmap += nent;
	memcpy(m->map + m->t.nmap, links, nlinks * sizeof(*links));
	m->t.nmap += nlinks;
}

static void put_snap64(struct made *m, uint32_t ref, uint32_t mcofs, const uint32_t *e,
		       uint32_t nent, uint64_t pc, uint32_t base)
{
	uint64_t pcbase = pc << 8 | base;
	uint32_t links[2];

	memcpy(links, &pcbase, sizeof(links));
	put_snap(m, ref, mcofs, e, nent, links, 2);
}

static const struct snap_trace *made(struct made *m)
{
	m->t.nk = SNAP_REF_BASE - MAX + m->nk;
	m->t.nconst = MAX - m->nk;
	m->t.k = m->k + 8 * m->nk;
	m->t.snap = m->snap;
	m->t.map = m->map;
	return &m->t;
}

/* A function that calls one through pcall, which indexes a table whose __index is a function. */
static void test_frames_64(void **state)
{
	struct made m = begin(1);
	uint32_t f_pcall = put_const(&m, KGC, T_FUNC, 0x7f1000000010), e[16];
	uint32_t f_one = put_const(&m, KGC, T_FUNC, 0x7f1000000020 | UINT64_C(0xfff7) << 47);
	uint32_t to_base = put_const(&m, KNUM, T_NUM, 0x5000 + 4 * 7);
	uint32_t by_pcall = put_const(&m, KNUM, T_NUM, 5 * 8 + 6);
	uint32_t by_cont = put_const(&m, KNUM, T_NUM, 9 * 8 + 2);
	uint32_t cont_pc = put_const(&m, KNUM, T_NUM, 0x6000 + 4 * 3);
	uint32_t cont = put_const(&m, KNUM, T_NUM, 0x123456);
	struct snap_frame f[SNAP_FRAMES_MAX];
	const struct snap_trace *t;
	uint32_t n = 0;
	int tail;

	(void)state;
	put_snap64(&m, 0x8001, 0, NULL, 0, 0x5000, 0);
	e[n++] = entry(0, 0, 0x8002); /* the base's function, loaded from the stack */
	e[n++] = entry(4, 0, f_pcall);
	e[n++] = entry(5, FRAME, to_base);
	e[n++] = entry(9, 0, f_one);
	e[n++] = entry(10, FRAME, by_pcall);
	e[n++] = entry(16, CONT, cont);
	e[n++] = entry(17, CONT, cont_pc);
	e[n++] = entry(18, 0, 0x8003); /* a closure that is not constant */
	e[n++] = entry(19, FRAME, by_cont);
	e[n++] = entry(20, 0, 0x8004);
	put_snap64(&m, 0x8010, 100, e, n, 0x7000 + 4, 18);
	t = made(&m);
	assert_int_equal(snap_form(t, 24), SNAP_MCOFS);
	assert_int_equal(snap_frames(t, SNAP_MCOFS, 0, f, &tail), 1);
	assert_int_equal(f[0].pc, 0x5000);
	assert_int_equal(tail, 0);
	assert_int_equal(snap_frames(t, SNAP_MCOFS, 1, f, &tail), 4);
	assert_int_equal(f[0].pc, 0x7004);
	assert_int_equal(f[0].fn, 0);
	assert_int_equal(f[1].pc, 0x600c);
	assert_int_equal(f[1].fn, 0x7f1000000020);
	assert_int_equal(f[2].pc, 0);
	assert_int_equal(f[2].fn, 0x7f1000000010);
	assert_int_equal(f[3].pc, 0x501c);
	assert_int_equal(tail, 0);
}

/* A vararg function has two frames and is one; a tail call at the base leaves a mark in slot 1. */
static void test_vararg_and_tail_64(void **state)
{
	struct made m = begin(1);
	uint32_t fn = put_const(&m, KGC, T_FUNC, 0x7f0000000040);
	uint32_t real = put_const(&m, KNUM, T_NUM, 0x5000 + 4 * 2);
	uint32_t pseudo = put_const(&m, KNUM, T_NUM, 3 * 8 + 3);
	struct snap_frame f[SNAP_FRAMES_MAX];
	uint32_t e[8], n = 0;
	int tail;

	(void)state;
	e[n++] = entry(0, 0, fn);
	e[n++] = entry(1, FRAME, 0x7fff);
	e[n++] = entry(4, 0, fn);
	e[n++] = entry(5, FRAME, real);
	e[n++] = entry(7, 0, fn);
	e[n++] = entry(8, FRAME, pseudo);
	put_snap64(&m, 0x8001, 0, e, n, 0x7000, 7);
	assert_int_equal(snap_frames(made(&m), SNAP_MCOFS, 0, f, &tail), 2);
	assert_int_equal(f[0].pc, 0x7000);
	assert_int_equal(f[1].pc, 0x5008);
	assert_int_equal(f[1].fn, 0x7f0000000040);
	assert_int_equal(tail, 1);
}

/* The links in the map, with the base's function not constant, and constant. */
static void test_frames_32(void **state)
{
	struct made m = begin(0);
	uint32_t f_in = put_const(&m, KGC, T_FUNC, 0x41000010);
	uint32_t f_base = put_const(&m, KGC, T_FUNC, 0x41000020);
	uint32_t e[] = {entry(0, FRAME, 0x8001), entry(3, FRAME, f_in), entry(7, FRAME, f_in),
			entry(8, 0, 0x8004)};
	uint32_t links[] = {0x7004, 0x6000, 7 * 8 + 2, 0x500c};
	struct snap_frame f[SNAP_FRAMES_MAX];
	const struct snap_trace *t;
	int tail;

	(void)state;
	put_snap(&m, 0x8001, 0, NULL, 0, (uint32_t[]){0x5000}, 1);
	put_snap(&m, 0x8010, 50, e, 4, links, 4);
	e[0] = entry(0, FRAME, f_base);
	put_snap(&m, 0x8020, 50, e, 4, links, 4);
	t = made(&m);
	assert_int_equal(snap_form(t, 36), SNAP_MCOFS);
	assert_int_equal(snap_frames(t, SNAP_MCOFS, 1, f, &tail), 3);
	assert_int_equal(f[0].pc, 0x7004);
	assert_int_equal(f[0].fn, 0x41000010);
	assert_int_equal(f[1].pc, 0x6000);
	assert_int_equal(f[2].pc, 0x500c);
	assert_int_equal(tail, 0);
	assert_int_equal(snap_frames(t, SNAP_MCOFS, 2, f, &tail), 3);
	assert_int_equal(tail, 1);
	assert_int_equal(f[2].fn, 0x41000020);
}

/* What no build makes is not known, rather than wrong. */
static void test_lies(void **state)
{
	struct made m = begin(1);
	uint32_t link = put_const(&m, KNUM, T_NUM, 0x5000);
	uint32_t e[] = {entry(4, 0, 0x8001), entry(5, FRAME, link)};
	struct snap_frame f[SNAP_FRAMES_MAX];
	int tail;

	(void)state;
	put_snap64(&m, 0x8001, 0, e, 2, 0x7000, 4);
	assert_int_equal(snap_frames(made(&m), SNAP_MCOFS, 0, f, &tail), 2);
	m.map[1] = entry(6, FRAME, link); /* not where its base is */
	assert_int_equal(snap_frames(made(&m), SNAP_MCOFS, 0, f, &tail), 0);
	m.map[1] = entry(5, FRAME, 0x8005); /* no constant */
	assert_int_equal(snap_frames(made(&m), SNAP_MCOFS, 0, f, &tail), 0);
	m.map[1] = entry(5, 0, link); /* no frame */
	assert_int_equal(snap_frames(made(&m), SNAP_MCOFS, 0, f, &tail), 0);
	m.map[1] = entry(5, FRAME, link);
	m.t.nmap--;
	assert_int_equal(snap_frames(made(&m), SNAP_MCOFS, 0, f, &tail), 0);
	assert_int_equal(snap_form(made(&m), 12), SNAP_UNKNOWN);
}

static void test_order(void **state)
{
	struct made m = begin(1);

	(void)state;
	put_snap64(&m, 0x8001, 0, NULL, 0, 0x7000, 0);
	put_snap64(&m, 0x8010, 60, NULL, 0, 0x7000, 0);
	put_snap64(&m, 0x8020, 50, NULL, 0, 0x7000, 0);
	assert_false(snap_fits(made(&m), SNAP_MCOFS));
	m.snap[12 + 6] = 40;
	assert_true(snap_fits(made(&m), SNAP_MCOFS));
	m.t.szmcode = 45;
	assert_false(snap_fits(made(&m), SNAP_MCOFS));
	m.t.szmcode = 1000;
	m.snap[6] = 1; /* the first one is at the start */
	assert_false(snap_fits(made(&m), SNAP_MCOFS));
}

/* The form of 2.1.0-beta3 with the longer offset: slots where the other has an offset. */
static void test_form_without_offsets(void **state)
{
	struct made m = begin(1);
	uint32_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		put_snap64(&m, 0x8001 + i, 0, (uint32_t[]){entry(2, 0, 0x8001)}, 1, 0x7000, 0);
		memset(m.snap + 12 * i + 6, 0, 6);
		m.snap[12 * i + 6] = 5; /* nslots */
		m.snap[12 * i + 8] = 1; /* nent */
	}
	assert_int_equal(snap_form(made(&m), 36), SNAP_LONG);
	assert_int_equal(snap_form(made(&m), 24), SNAP_UNKNOWN);
}

static void test_constants(void **state)
{
	static const int op[3] = {KGC, KPTR, KKPTR};
	struct made m = begin(1);
	uint64_t value;

	(void)state;
	put_const(&m, KGC, T_FUNC, 0x7f0000000010);
	put_const(&m, KGC, T_PROTO, 0x7f0000000020);
	put_const(&m, KPTR, 9, 0x7f0000000030);
	put_const(&m, KNUM, T_NUM, 0x7f0000000040);
	made(&m);
	assert_int_equal(snap_const(&m.t, 0, op, &value), SNAP_CONST_OTHER);
	assert_int_equal(snap_const(&m.t, 2, op, &value), SNAP_CONST_PTR);
	assert_int_equal(value, 0x7f0000000030);
	assert_int_equal(snap_const(&m.t, 4, op, &value), SNAP_CONST_PROTO);
	assert_int_equal(snap_const(&m.t, 6, op, &value), SNAP_CONST_FUNC);
	assert_int_equal(value, 0x7f0000000010);
	assert_int_equal(snap_const(&m.t, 7, op, &value), SNAP_CONST_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frames_64), cmocka_unit_test(test_vararg_and_tail_64),
	    cmocka_unit_test(test_frames_32), cmocka_unit_test(test_lies),
	    cmocka_unit_test(test_order),     cmocka_unit_test(test_form_without_offsets),
	    cmocka_unit_test(test_constants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
