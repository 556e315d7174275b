/* SPDX-License-Identifier: MIT */
/* The fold by bytecode position, on streams made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profiler/lines.h"
#include "tests/unit/prof_records.h"

struct fold {
	struct prof *p;
	struct lines *l;
};

static void put(struct fold *f, struct ev_hdr *h)
{
	assert_int_equal(prof_add(f->p, h), 0);
	assert_int_equal(lines_add(f->l, h), 0);
	free(h);
}

static void func(struct fold *f, uint32_t id, const char *chunk, int first, int num,
		 uint32_t content)
{
	struct ev_func ev = {
	    .h.pid = PID, .id = id, .firstline = first, .numline = num, .content = content};

	put(f, record(&ev, sizeof(ev), EV_FUNC, &chunk, 1));
}

static struct fold begin(uint32_t pid)
{
	struct prof_opts o = {.pid = pid};
	struct fold f = {.p = prof_new(&o)};

	f.l = lines_new(f.p);
	func(&f, 1, "@a.lua", 1, 9, 11);
	func(&f, 2, "@a.lua", 20, 9, 12);
	func(&f, 3, "@a.lua", 1, 9, 11); /* loaded again: the same function */
	return f;
}

static void stop(struct fold *f)
{
	lines_free(f->l);
	prof_free(f->p);
}

#define AT(proto, pc, ln)                                                            \
	{                                                                            \
		.kind = EV_FRAME_LUA, .addr = EV_FRAME_ADDR(proto, pc), .line = (ln) \
	}
#define COMPILED(proto, pc, ln)                                                        \
	{                                                                              \
		.kind = EV_FRAME_TRACE, .addr = EV_FRAME_ADDR(proto, pc), .line = (ln) \
	}
#define NATIVE                                     \
	{                                          \
		.kind = EV_FRAME_C, .addr = 0x5000 \
	}

static ev_u64 now;

static void sample(struct fold *f, unsigned int state, const struct ev_frame *frames, size_t n)
{
	size_t size = sizeof(struct ev_sample) + n * sizeof(*frames);
	struct ev_sample *s = calloc(1, size);

	s->h.kind = EV_SAMPLE;
	s->h.size = (ev_u32)size;
	s->h.pid = PID;
	s->h.time = now;
	s->state = (ev_u8)state;
	s->nframes = (ev_u16)n;
	memcpy(s->f, frames, n * sizeof(*frames));
	put(f, &s->h);
}
#define FOLD(f, state, ...)                                      \
	sample(f, state, (const struct ev_frame[]){__VA_ARGS__}, \
	       sizeof((const struct ev_frame[]){__VA_ARGS__}) / sizeof(struct ev_frame))

static const struct lines_pos *at(const struct lines_func *f, uint32_t pos)
{
	size_t i;

	for (i = 0; i < f->npos; i++)
		if (f->pos[i].pos == pos)
			return &f->pos[i];
	fail_msg("nothing at %u", pos);
	return NULL;
}

static const struct lines_func *rows(struct fold *f)
{
	const struct lines_func *r;
	size_t n, i;

	r = lines_funcs(f->l, &n);
	assert_int_equal(n, 2);
	for (i = 0; i < n; i++)
		assert_int_equal(lines_positions(f->l, &r[i]), 0);
	return r;
}

static uint64_t own(const struct lines_func *f)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < f->npos; i++)
		sum += f->pos[i].self;
	return sum;
}

static void window(void **state)
{
	struct lines_query q = {.recent = 1, .now = 9};
	struct fold f = begin(0);
	const struct lines_func *r;
	unsigned int i;

	(void)state;
	lines_window(f.l, 5);
	for (i = 0; i < 5000; i++) { /* more than the ring begins with */
		now = i / 500;
		if (i & 1)
			FOLD(&f, EV_STATE_INTERP, AT(2, 4, 22), AT(1, 3, 2));
		else
			FOLD(&f, EV_STATE_TRACE, AT(1, 3 + i % 4, 2));
	}
	assert_int_equal(lines_choose(f.l, &q), 0);
	r = rows(&f); /* of seconds 4 to 9 */
	assert_int_equal(own(&r[0]), 1500);
	assert_int_equal(own(&r[1]), 1500);
	assert_int_equal(at(&r[1], 4)->by_state[EV_STATE_INTERP], 1500);
	assert_int_equal(at(&r[0], 3)->self, 750);
	assert_int_equal(at(&r[0], 5)->by_state[EV_STATE_TRACE], 750);
	q.now = 7; /* what came since is not meant; what was older then is gone */
	assert_int_equal(lines_choose(f.l, &q), 0);
	assert_int_equal(own(&rows(&f)[0]), 1000);
	q.now = 9;
	q.pid = PID + 1;
	assert_int_equal(lines_choose(f.l, &q), 0);
	assert_int_equal(own(&rows(&f)[0]), 0);
	/* By process, of all time. */
	q.recent = 0;
	assert_int_equal(lines_choose(f.l, &q), 0);
	assert_int_equal(own(&rows(&f)[0]), 0);
	q.pid = PID;
	assert_int_equal(lines_choose(f.l, &q), 0);
	r = rows(&f);
	assert_int_equal(own(&r[0]), 2500);
	assert_int_equal(at(&r[0], 3)->by_state[EV_STATE_TRACE], 1250);
	assert_int_equal(at(&r[0], 3)->total, 0);
	q = (struct lines_query){.recent = 1, .now = 12};
	assert_int_equal(lines_choose(f.l, &q), 0);
	assert_int_equal(own(&rows(&f)[0]), 750);
	q.recent = 0;
	assert_int_equal(lines_choose(f.l, &q), 0);
	assert_int_equal(own(&rows(&f)[0]), 2500);
	assert_int_equal(rows(&f)[0].total, 5000);
	/* A sample after the choice was made: to be made again. */
	q = (struct lines_query){.recent = 1, .now = 9};
	assert_int_equal(lines_choose(f.l, &q), 0);
	FOLD(&f, EV_STATE_INTERP, AT(2, 4, 22), AT(1, 3, 2));
	assert_int_equal(own(&rows(&f)[0]), 0);
	lines_reset(f.l);
	q.recent = 1;
	assert_int_equal(lines_choose(f.l, &q), 0);
	assert_int_equal(own(&rows(&f)[0]), 0);
	now = 0;
	stop(&f);
}

static void self_and_total(void **state)
{
	struct fold f = begin(0);
	const struct lines_func *r;

	(void)state;
	FOLD(&f, EV_STATE_INTERP, AT(2, 4, 22), AT(1, 3, 2));
	FOLD(&f, EV_STATE_C, NATIVE, AT(2, 4, 22), AT(1, 3, 2)); /* where it calls */
	FOLD(&f, EV_STATE_INTERP, AT(3, 5, 3));			 /* the same function */
	/* Recursion: once. */
	FOLD(&f, EV_STATE_INTERP, AT(1, 3, 2), AT(1, 3, 2), AT(1, 7, 5), AT(1, 3, 2));
	FOLD(&f, EV_STATE_OUTSIDE, NATIVE);
	r = rows(&f);
	assert_int_equal(r[0].self, 2);
	assert_int_equal(r[0].total, 4);
	assert_int_equal(r[0].lastline, 10);
	assert_int_equal(r[0].content, 11);
	assert_int_equal(at(&r[0], 3)->self, 1);
	assert_int_equal(at(&r[0], 3)->total, 3);
	assert_int_equal(at(&r[0], 7)->self, 0);
	assert_int_equal(at(&r[0], 7)->total, 1);
	assert_int_equal(at(&r[0], 5)->line, 3);
	assert_int_equal(r[1].self, 2);
	assert_int_equal(r[1].by_state[EV_STATE_C], 1);
	assert_int_equal(at(&r[1], 4)->by_state[EV_STATE_INTERP], 1);
	assert_int_equal(lines_stats(f.l)->no_lua, 1);
	/* Again after more: what was sorted is still found. */
	FOLD(&f, EV_STATE_INTERP, AT(1, 1, 1), AT(1, 3, 2));
	r = rows(&f);
	assert_int_equal(at(&r[0], 3)->total, 4);
	assert_int_equal(at(&r[0], 1)->self, 1);
	lines_reset(f.l);
	assert_int_equal(prof_reset(f.p), 0);
	r = rows(&f);
	assert_int_equal(r[0].total + r[0].npos + r[1].self, 0);
	stop(&f);
}

/* The position is that of the trace's start: no other is known. */
static void compiled_code(void **state)
{
	struct fold f = begin(0);
	const struct lines_func *r;

	(void)state;
	FOLD(&f, EV_STATE_TRACE, COMPILED(2, 6, 25), AT(2, EV_NO_PC, 0), AT(1, 3, 2));
	FOLD(&f, EV_STATE_GC, AT(2, EV_NO_PC, 0), AT(1, 3, 2));
	r = rows(&f);
	assert_int_equal(at(&r[1], 6)->by_state[EV_STATE_TRACE], 1);
	assert_int_equal(at(&r[1], 6)->total, 1);
	assert_int_equal(at(&r[1], EV_NO_PC)->self, 1);
	assert_int_equal(at(&r[1], EV_NO_PC)->total, 1);
	assert_int_equal(r[1].total, 2);
	assert_int_equal(at(&r[0], 3)->total, 2);
	stop(&f);
}

/* What was never defined is nobody's self; other processes do not count. */
static void undefined_and_other_processes(void **state)
{
	struct fold f = begin(PID), g = begin(PID + 1);

	(void)state;
	FOLD(&f, EV_STATE_INTERP, AT(77, 1, 1), AT(1, 3, 2));
	FOLD(&g, EV_STATE_INTERP, AT(1, 3, 2));
	assert_int_equal(rows(&f)[0].self, 0);
	assert_int_equal(rows(&f)[0].total, 1);
	assert_int_equal(lines_stats(f.l)->no_lua, 1);
	assert_int_equal(rows(&g)[0].total, 0);
	stop(&f);
	stop(&g);
}

static void listings(void **state)
{
	static const ev_s32 line[] = {1, 4, 5};
	static const char text[36] = "title\n0001    KSHORT\n";
	union {
		struct ev_code e;
		char room[sizeof(struct ev_code) + sizeof(line) + sizeof(text)];
	} c = {.e = {.h = {.kind = EV_CODE, .size = sizeof(c)}, .id = 3, .n = 3, .flags = 2}};
	struct fold f = begin(0);
	const struct lines_func *r;
	struct ev_hdr *h;
	int again;

	(void)state;
	memcpy(c.room + sizeof(c.e), line, sizeof(line));
	memcpy(c.room + sizeof(c.e) + sizeof(line), text, sizeof(text));
	for (again = 0; again < 2; again++) {
		h = malloc(sizeof(c));
		memcpy(h, &c, sizeof(c));
		put(&f, h);
	}
	r = rows(&f);
	assert_int_equal(r[0].ncode, 3);
	assert_int_equal(r[0].code_flags, EV_CODE_NOJIT);
	assert_string_equal(r[0].code[0], "title");
	assert_string_equal(r[0].code[1], "0001    KSHORT");
	assert_string_equal(r[0].code[2], "");
	assert_int_equal(r[0].code_line[2], 5);
	assert_int_equal(r[1].ncode, 0);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(self_and_total), cmocka_unit_test(window),
	    cmocka_unit_test(compiled_code),  cmocka_unit_test(undefined_and_other_processes),
	    cmocka_unit_test(listings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
