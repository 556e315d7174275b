// SPDX-License-Identifier: MIT
/* A target that makes new code, threads, VMs and aborts for ever: nothing is lost, nothing grows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>

#include "profiler/fold.h"
#include "tests/unit/prof_records.h"

#define ROOM (4u << 20)

static size_t in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static struct prof *start(unsigned int keep, int aborts)
{
	struct prof_opts opts = {.keep = keep, .aborts = aborts, .lines = 1, .room = ROOM};
	struct prof *p;

	opts.split = 1u << PROF_BY_THREAD;
	p = prof_new(&opts);
	assert_non_null(p);
	def_proc(p, PID, "luajit");
	def_vm(p, PID, 1);
	return p;
}

/* A new function, C function, VM, thread and process, a sample of them, and one of what is old. */
static void round_of(struct prof *p, uint32_t i)
{
	struct ev_vm vm = {.h.pid = PID, .g = VM_G + i, .number = i, .build = 1};
	struct ev_exit gone = {.h.pid = PID + i};
	char chunk[64];

	snprintf(chunk, sizeof(chunk), "=chunk%u", i);
	def_func(p, i, chunk, 1, 9, 0, i);
	def_name(p, i, 1, EV_NAME_LOCAL, chunk);
	def_proc(p, PID + i, chunk);
	def_sym(p, PID + i, 0x1000, 0x2000, EV_SYM_FUNC, chunk, "x.so");
	ADD(p, vm, EV_VM);
	SAMPLE(p, ({.state = EV_STATE_INTERP, .pid = PID + i, .time = i}), LUA(i, 1, i),
	       CFUNC(0x1500));
	SAMPLE(p, ({.state = EV_STATE_INTERP, .time = i}), LUA(1, 1, 1));
	ADD(p, gone, EV_EXIT);
}

static uint64_t sum_of_piles(const struct prof *p)
{
	const struct prof_pile *piles;
	uint64_t sum = 0;
	size_t n;

	piles = prof_piles(p, &n);
	for (size_t i = 0; i < n; i++)
		sum += piles[i].count;
	return sum;
}

static uint64_t sum_of_rows(const struct prof *p)
{
	uint64_t sum = 0;
	size_t n;
	struct prof_row *row = prof_rows(p, &n);

	for (size_t i = 0; i < n; i++)
		sum += row[i].self;
	free(row);
	return sum;
}

static const struct prof_node *child(const struct prof *p, const char *label)
{
	const struct prof_node *root = prof_root(p);

	for (uint32_t i = 0; i < root->nchildren; i++)
		if (!strcmp(prof_frame(p, root->children[i]->frame)->label, label))
			return root->children[i];
	return NULL;
}

/* Those that were known before it was full, and one for all others. */
static void processes(const struct prof *p, uint64_t samples)
{
	const struct prof_process *procs;
	uint64_t sum = 0;
	size_t n, last;

	procs = prof_processes(p, &n);
	assert_in_range(n, 3, 60000);
	last = n - 1;
	assert_int_equal(procs[last].pid, 0);
	assert_string_equal(procs[last].comm, "[profile full]");
	assert_in_range(procs[last].samples, 1, samples / 2);
	for (size_t i = 0; i < n; i++)
		sum += procs[i].samples;
	assert_int_equal(sum, samples);
}

static void test_new_code(void **state)
{
	size_t before = in_use(), at_half = 0;
	struct prof *p = start(PROF_KEEP_PILES, 0);
	const struct prof_node *crowd, *old;
	uint32_t n = 60000, i;

	(void)state;
	for (i = 1; i <= n; i++) {
		round_of(p, i);
		if (i == n / 2)
			at_half = in_use();
	}
	assert_true(at_half < before + 4 * ROOM);
	assert_true(in_use() <= at_half);
	assert_int_equal(prof_finish(p), 0);
	processes(p, 2 * n);
	assert_int_equal(prof_stats(p)->samples, 2 * n);
	assert_int_equal(prof_root(p)->total, 2 * n);
	assert_int_equal(sum_of_piles(p), 2 * n);
	assert_int_equal(sum_of_rows(p), 2 * n);
	crowd = child(p, "[profile full]");
	assert_non_null(crowd);
	assert_in_range(crowd->total, 1, n - 1);
	assert_int_equal(crowd->total, prof_stats(p)->crowded);
	old = child(p, "[no thread]");
	assert_non_null(old);
	assert_int_equal(crowd->total + old->total, 2 * n);
	prof_free(p);
}

/* Rounds of what is known go on where they belong. */
static void test_known(void **state)
{
	struct prof *p = start(0, 0);
	uint64_t crowded;
	uint32_t i;

	(void)state;
	for (i = 1; !prof_stats(p)->crowded; i++)
		round_of(p, i);
	crowded = prof_stats(p)->crowded;
	for (i = 0; i < 1000; i++)
		SAMPLE(p, ({.state = EV_STATE_INTERP}), LUA(1, 1, 1));
	assert_int_equal(prof_stats(p)->crowded, crowded);
	SAMPLE(p, ({.state = EV_STATE_INTERP}), LUA(1, 1, 1), LUA(1, 1, 1));
	assert_int_equal(prof_stats(p)->crowded, crowded + 1);
	prof_free(p);
}

static void abort_of(struct prof *p, uint32_t i)
{
	union {
		struct ev_trace e;
		char room[sizeof(struct ev_trace) + sizeof(struct ev_frame)];
	} ev = {.e = {.h = {.kind = EV_TRACE, .size = sizeof(ev), .pid = PID, .time = i},
		      .g = VM_G + i,
		      .type = EV_TRACE_ABORT,
		      .start = {.addr = EV_FRAME_ADDR(i, 1)},
		      .end = {.addr = EV_FRAME_ADDR(i, 2)},
		      .nframes = 1}};
	struct ev_frame f = LUA(i, 1, 1);
	char text[64];
	struct prof_about about = {
	    .start = text, .end = text, .reason = text, .site = 1, .times = 1};

	snprintf(text, sizeof(text), "reason %u", i);
	memcpy(ev.e.f, &f, sizeof(f));
	assert_int_equal(prof_event(p, &ev.e, &about), 0);
	ev.e.type = EV_TRACE_START;
	assert_int_equal(prof_event(p, &ev.e, &about), 0);
}

static void test_aborts(void **state)
{
	size_t before = in_use(), at_half = 0;
	struct prof *p = start(PROF_KEEP_PILES | PROF_KEEP_EVENTS, 1);
	uint32_t n = 60000, i;
	size_t kept;

	(void)state;
	for (i = 1; i <= n; i++) {
		abort_of(p, i);
		if (i == n / 2)
			at_half = in_use();
	}
	assert_true(at_half < before + 4 * ROOM);
	assert_true(in_use() <= at_half);
	assert_int_equal(prof_finish(p), 0);
	assert_int_equal(prof_stats(p)->samples, n);
	assert_int_equal(sum_of_piles(p), n);
	assert_int_equal(child(p, "[profile full]")->total, prof_stats(p)->crowded);
	/* These have no Lua stack any more, but still a site. */
	assert_true(prof_stats(p)->crowded);
	assert_int_equal(prof_stats(p)->with_lua, n - prof_stats(p)->crowded);
	prof_events(p, &kept);
	assert_int_equal(kept + prof_stats(p)->events_dropped, n);
	prof_weigh(p, (double[]){0, 1}, 2);
	assert_int_equal(prof_stats(p)->samples, n);
	prof_free(p);
}

/* A process, its C function, a sample of it, and its end. */
static void live(struct prof *p, uint32_t pid)
{
	def_proc(p, pid, "short");
	def_sym(p, pid, 0x1000, 0x2000, EV_SYM_FUNC, "fn", "x.so");
	SAMPLE(p, ({.state = EV_STATE_C, .pid = pid}), CFUNC(0x1500));
}

static void die(struct prof *p, uint32_t pid)
{
	struct ev_exit gone = {.h.pid = pid};

	ADD(p, gone, EV_EXIT);
}

/* Is its function known still? */
static int remembered(struct prof *p, uint32_t pid)
{
	uint64_t undefined = prof_stats(p)->undefined;

	SAMPLE(p, ({.state = EV_STATE_C, .pid = pid}), CFUNC(0x1500));
	return prof_stats(p)->undefined == undefined;
}

/* The last samples of a process may come after its end: until DEAD_KEPT others ended. */
static void test_exits(void **state)
{
	struct prof *p = start(0, 0);
	uint32_t pid;

	(void)state;
	live(p, 1000);
	die(p, 1000);
	for (pid = 1001; pid < 1000 + DEAD_KEPT; pid++) {
		live(p, pid);
		die(p, pid);
		die(p, pid);
	}
	assert_true(remembered(p, 1000));
	live(p, pid);
	die(p, pid);
	assert_false(remembered(p, 1000));
	assert_true(remembered(p, 1001));
	prof_free(p);
}

/* A pid that is used again, and ends again: its second end counts. */
static void test_pid_again(void **state)
{
	struct prof *p = start(0, 0);
	uint32_t pid;

	(void)state;
	live(p, 1000);
	die(p, 1000);
	live(p, 1000);
	for (pid = 2000; pid < 2000 + DEAD_KEPT - 2; pid++) {
		live(p, pid);
		die(p, pid);
	}
	die(p, 1000);
	assert_true(remembered(p, 1000));
	for (; pid < 2000 + 2 * DEAD_KEPT - 3; pid++) {
		live(p, pid);
		die(p, pid);
	}
	assert_true(remembered(p, 1000));
	live(p, pid);
	die(p, pid);
	assert_false(remembered(p, 1000));
	prof_free(p);
}

/* Known stacks stay so when a process ends, unless another is forgotten. */
static void test_exit_is_cheap(void **state)
{
	struct prof *p = start(0, 0);
	uint32_t pid;

	(void)state;
	for (pid = 1000; pid < 1000 + DEAD_KEPT + 1; pid++)
		live(p, pid);
	for (pid = 1000; pid < 1000 + DEAD_KEPT; pid++) {
		die(p, pid);
		assert_true(p->memo.keys.n);
	}
	die(p, pid);
	assert_false(p->memo.keys.n);
	assert_false(remembered(p, 1000));
	prof_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_new_code),  cmocka_unit_test(test_known),
	    cmocka_unit_test(test_aborts),    cmocka_unit_test(test_exits),
	    cmocka_unit_test(test_pid_again), cmocka_unit_test(test_exit_is_cheap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
