// SPDX-License-Identifier: MIT
/* What looks at a VM's memory tell, one after the other; and chains of starts given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bytecode/jitnames.h"
#include "jittrace/jt.h"

#define PID 100u
#define G 0x41000000u
#define NYIBC 7
#define BLACKL 5
#define LINES 16u /* functions 1 to 15, each on the line of its number */

static uint64_t now = 1000;

static void add(struct jt *jt, void *ev, size_t size, unsigned int kind)
{
	struct ev_hdr *h = ev;

	h->kind = (ev_u16)kind;
	h->size = (ev_u32)size;
	h->pid = kind == EV_BUILD ? 0 : PID;
	h->time = h->time ? h->time : ++now;
	assert_int_equal(jt_add(jt, h), 0);
}

static struct jt *start(void)
{
	struct jt *jt = jt_new(&(struct jt_opts){0});
	struct {
		struct ev_build ev;
		char strs[64];
	} b = {{.id = 1}, "LuaJIT 2.1.0-beta3\0luajit2-20230119\0/l.so\0ab"};
	struct ev_vm vm = {.g = G, .number = 1, .build = 1};
	struct ev_jit jit = {.g = G, .nparams = 15};
	unsigned int i;

	assert_non_null(jt);
	add(jt, &b, sizeof(b), EV_BUILD);
	add(jt, &vm, sizeof(vm), EV_VM);
	for (i = 0; i < 15; i++)
		jit.param[i] = !strcmp(jit_param_name(15, i), "hotexit")   ? 10
			       : !strcmp(jit_param_name(15, i), "tryside") ? 4
									   : 0;
	add(jt, &jit, sizeof(jit), EV_JIT);
	for (i = 1; i < LINES; i++) {
		struct {
			struct ev_func ev;
			char chunk[8];
		} f = {{.id = i, .g = G, .firstline = (ev_s32)i, .content = i}, "@a.lua"};

		add(jt, &f, sizeof(f), EV_FUNC);
	}
	return jt;
}

static struct ev_frame at(uint32_t func)
{
	return (struct ev_frame){
	    .addr = EV_FRAME_ADDR(func, 0), .kind = EV_FRAME_LUA, .line = func};
}

static void mark(struct jt *jt, unsigned int type, uint32_t unplaced)
{
	struct ev_scan e = {.g = G, .type = type, .unplaced = unplaced};

	add(jt, &e, sizeof(e), EV_SCAN);
}

static void live(struct jt *jt, uint32_t trace, unsigned int kind, uint32_t parent)
{
	struct ev_trace e = {.g = G,
			     .type = EV_TRACE_LIVE,
			     .trace = trace,
			     .link = trace,
			     .linktype = LINK_LOOP,
			     .kind = (ev_u8)kind,
			     .parent = parent,
			     .root = kind == EV_TRACE_SIDE ? 1 : 0,
			     .exitno = 1,
			     .mcode = 0x100 * trace,
			     .start = at(trace)};

	add(jt, &e, sizeof(e), EV_TRACE);
}

static void spot(struct jt *jt, unsigned int kind, uint32_t func, unsigned int reason,
		 unsigned int op, unsigned int op2)
{
	struct ev_spot e = {.g = G,
			    .at = at(func),
			    .reason = (ev_u16)reason,
			    .kind = (ev_u8)kind,
			    .attempts = 3,
			    .op = {(ev_u8)op, (ev_u8)op2}};

	add(jt, &e, sizeof(e), EV_SPOT);
}

static void entries(struct jt *jt, unsigned int type, uint32_t trace, const struct ev_scan_entry *e,
		    uint32_t n)
{
	struct ev_scan *ev = calloc(1, sizeof(*ev) + n * sizeof(*e));

	assert_non_null(ev);
	ev->g = G;
	ev->type = type;
	ev->trace = trace;
	ev->n = n;
	memcpy(ev->e, e, n * sizeof(*e));
	add(jt, ev, sizeof(*ev) + n * sizeof(*e), EV_SCAN);
	free(ev);
}

static void cause(struct jt *jt, uint32_t func, uint32_t because)
{
	const struct ev_scan_entry e[] = {{.at = at(func)}, {.at = at(because)}};

	entries(jt, EV_SCAN_CAUSE, 0, e, 2);
}

static void flush(struct jt *jt, uint64_t time)
{
	struct ev_trace e = {.h.time = time, .g = G, .type = EV_TRACE_FLUSH};

	add(jt, &e, sizeof(e), EV_TRACE);
}

/* The row of what starts in a function. */
static const struct jt_site *row(struct jt *jt, uint32_t func)
{
	const struct jt_site *s, *found = NULL;
	size_t n, i;

	s = jt_sites(jt, 0, &n);
	assert_non_null(s);
	for (i = 0; i < n; i++) {
		if (s[i].start.line != func)
			continue;
		assert_null(found);
		found = &s[i];
	}
	return found;
}

static void test_traces_vanish(void **state)
{
	struct jt *jt = start();
	const struct jt_trace *t;
	uint64_t before;
	size_t n;

	(void)state;
	mark(jt, EV_SCAN_BEGIN, 0);
	live(jt, 1, EV_TRACE_ROOT, 0);
	live(jt, 2, EV_TRACE_SIDE, 0);
	mark(jt, EV_SCAN_END, 0);
	t = jt_traces(jt, &n);
	assert_int_equal(n, 2);
	assert_int_equal(t[1].parent, 0);
	before = ++now;
	mark(jt, EV_SCAN_BEGIN, 0);
	live(jt, 2, EV_TRACE_SIDE, 1);
	live(jt, 3, EV_TRACE_ROOT, 0);
	assert_non_null(jt_traces(jt, &n));
	assert_int_equal(n, 3);
	mark(jt, EV_SCAN_END, 0);
	t = jt_traces(jt, &n);
	assert_int_equal(n, 2);
	assert_int_equal(t[0].trace, 2);
	assert_int_equal(t[0].parent, 1); /* learnt now */
	assert_int_equal(t[1].trace, 3);
	/* A flush of before the look says nothing of what the look found. */
	flush(jt, before);
	assert_non_null(jt_traces(jt, &n));
	assert_int_equal(n, 2);
	flush(jt, ++now);
	assert_non_null(jt_traces(jt, &n));
	assert_int_equal(n, 0);
	jt_free(jt);
}

static void test_penalties_vanish(void **state)
{
	struct jt *jt = start();

	(void)state;
	mark(jt, EV_SCAN_BEGIN, 0);
	spot(jt, EV_SPOT_PENALTY, 4, NYIBC, 51, 0);
	spot(jt, EV_SPOT_PENALTY, 5, NYIBC, 0, 0);
	spot(jt, EV_SPOT_PENALTY, 6, NYIBC, 51, 0);
	spot(jt, EV_SPOT_FUNC, 6, NYIBC, 51, 0);
	mark(jt, EV_SCAN_END, 0);
	assert_string_equal(row(jt, 4)->reason, "NYI: bytecode FNEW");
	assert_true(row(jt, 4)->inferred);
	assert_int_equal(row(jt, 4)->attempts, 3);
	assert_string_equal(row(jt, 5)->reason, "NYI: bytecode ?");
	assert_false(row(jt, 5)->inferred);
	/* More is known of it now. */
	spot(jt, EV_SPOT_PENALTY, 5, NYIBC, 51, 50);
	assert_string_equal(row(jt, 5)->reason, "NYI: bytecode FNEW or UCLO");
	/* A look that could not place all penalties takes none back. */
	mark(jt, EV_SCAN_BEGIN, 0);
	mark(jt, EV_SCAN_END, 1);
	assert_int_equal(row(jt, 4)->state, JT_STATE_RETRYING);
	mark(jt, EV_SCAN_BEGIN, 0);
	spot(jt, EV_SPOT_PENALTY, 5, EV_REASON_UNKNOWN, 0, 0);
	mark(jt, EV_SCAN_END, 0);
	assert_null(row(jt, 4));
	assert_string_equal(row(jt, 5)->reason, "NYI: bytecode FNEW or UCLO");
	assert_int_equal(row(jt, 6)->state, JT_STATE_BLACKLISTED);
	jt_free(jt);
}

/* An abort that memory told of already is not counted again; memory of before an abort says nothing. */
static void test_order(void **state)
{
	struct ev_trace e = {.h.time = ++now,
			     .g = G,
			     .type = EV_TRACE_ABORT,
			     .kind = EV_TRACE_ROOT,
			     .trace = 1,
			     .error = BLACKL,
			     .start = at(4),
			     .end = at(5)};
	struct ev_spot old = {.h.time = now + 3,
			      .g = G,
			      .at = at(4),
			      .kind = EV_SPOT_PENALTY,
			      .reason = BLACKL,
			      .attempts = 1};
	struct jt *jt = start();

	(void)state;
	now += 10;
	spot(jt, EV_SPOT_PENALTY, 4, BLACKL, 0, 0);
	add(jt, &e, sizeof(e), EV_TRACE);
	assert_int_equal(row(jt, 4)->attempts, 3);
	assert_int_equal(row(jt, 4)->count, 1);
	e.h.time = ++now;
	add(jt, &e, sizeof(e), EV_TRACE);
	assert_int_equal(row(jt, 4)->attempts, 4);
	add(jt, &old, sizeof(old), EV_SPOT);
	assert_int_equal(row(jt, 4)->attempts, 4);
	jt_free(jt);
}

static void test_exits(void **state)
{
	const struct ev_scan_entry e[] = {{at(4), 2, 3},
					  {at(5), 3, 12},
					  {at(6), 4, EV_EXIT_DONE},
					  {at(7), 5, EV_EXIT_DONE},
					  {at(8), 6, 14}};
	struct jt *jt = start();
	const struct jt_trace *t;
	size_t n;

	(void)state;
	mark(jt, EV_SCAN_BEGIN, 0);
	live(jt, 1, EV_TRACE_ROOT, 0);
	entries(jt, EV_SCAN_EXITS, 1, e, 5);
	entries(jt, EV_SCAN_EXITS, 9, e, 5); /* no such trace */
	mark(jt, EV_SCAN_END, 0);
	t = jt_traces(jt, &n);
	assert_int_equal(n, 1);
	assert_int_equal(t->nexits, 5);
	assert_int_equal(t->nretrying, 1);
	assert_int_equal(t->exits[0].left, 11);
	assert_false(t->exits[0].retrying);
	assert_int_equal(t->exits[1].left, 2);
	assert_true(t->exits[1].retrying);
	assert_int_equal(t->exits[1].at.line, 5);
	assert_int_equal(t->exits[2].left, 0);
	assert_int_equal(t->exits[4].left, 0);
	assert_int_equal(row(jt, 5)->state, JT_STATE_RETRYING);
	assert_int_equal(row(jt, 5)->attempts, 3);
	assert_int_equal(row(jt, 5)->limit, 4);
	assert_null(row(jt, 4));
	/* Its side trace came; with the trace the exits go. */
	mark(jt, EV_SCAN_BEGIN, 0);
	live(jt, 1, EV_TRACE_ROOT, 0);
	entries(jt, EV_SCAN_EXITS, 1, e + 2, 2);
	mark(jt, EV_SCAN_END, 0);
	t = jt_traces(jt, &n);
	assert_int_equal(t->nexits, 2);
	assert_null(row(jt, 5));
	jt_free(jt);
}

static void test_chain(void **state)
{
	struct jt *jt = start();
	const struct jt_site *s;

	(void)state;
	mark(jt, EV_SCAN_BEGIN, 0);
	spot(jt, EV_SPOT_FUNC, 1, NYIBC, 51, 0);
	cause(jt, 2, 1);
	spot(jt, EV_SPOT_FUNC, 2, BLACKL, 0, 0);
	cause(jt, 3, 2);
	spot(jt, EV_SPOT_FUNC, 3, BLACKL, 0, 0);
	/* In a circle, and one that leads into it. */
	cause(jt, 5, 6);
	spot(jt, EV_SPOT_FUNC, 5, BLACKL, 0, 0);
	cause(jt, 6, 5);
	spot(jt, EV_SPOT_FUNC, 6, BLACKL, 0, 0);
	cause(jt, 7, 6);
	spot(jt, EV_SPOT_FUNC, 7, BLACKL, 0, 0);
	/* Nothing is known of it; of its own making. */
	spot(jt, EV_SPOT_FUNC, 8, BLACKL, 0, 0);
	cause(jt, 9, 9);
	spot(jt, EV_SPOT_FUNC, 9, BLACKL, 0, 0);
	/* Not of this start. */
	cause(jt, 10, 1);
	spot(jt, EV_SPOT_FUNC, 11, BLACKL, 0, 0);
	mark(jt, EV_SCAN_END, 0);
	s = row(jt, 3);
	assert_int_equal(s->nbecause, 2);
	assert_int_equal(s->because[0].start.line, 1);
	assert_string_equal(s->because[0].reason, "NYI: bytecode FNEW");
	assert_true(s->because[0].inferred);
	assert_int_equal(s->because[1].start.line, 2);
	assert_int_equal(s->at.line, 2);
	assert_int_equal(row(jt, 2)->nbecause, 1);
	assert_int_equal(row(jt, 1)->nbecause, 0);
	assert_int_equal(row(jt, 5)->nbecause, 1);
	assert_int_equal(row(jt, 7)->nbecause, 2);
	assert_int_equal(row(jt, 8)->nbecause, 0);
	assert_int_equal(row(jt, 9)->nbecause, 0);
	assert_int_equal(row(jt, 11)->at.kind, JT_LOC_NONE);
	jt_free(jt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_traces_vanish),
	    cmocka_unit_test(test_penalties_vanish),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_exits),
	    cmocka_unit_test(test_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
