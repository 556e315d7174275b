/* SPDX-License-Identifier: MIT */
/* Choosing a table of fast functions. With LJX_TWIN=ELF: also from that file. */
#include "bytecode/ff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CAP 16384

struct buf {
	uint8_t b[CAP];
	size_t len;
};

static void put(struct buf *b, const void *p, size_t n)
{
	assert_true(b->len + n <= CAP);
	memcpy(b->b + b->len, p, n);
	b->len += n;
}

static void put1(struct buf *b, unsigned int v)
{
	uint8_t byte = (uint8_t)v;

	put(b, &byte, 1);
}

/* "io.method.close": length of "io.method". */
static size_t lib_len(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? (size_t)(dot - name) : 0;
}

/* A Lua function: name, a prototype with one instruction and each kind of constant. */
static void put_lua(struct buf *b)
{
	/* clang-format off */
	static const uint8_t lua[] = {
		0xf9, 3, 'm', 'a', 'x',
		0, 1, 2, 0, 4, 3, 1,			/* header, numbers of what follows */
		0x12, 0, 1, 0,				/* instruction */
		7, 'h', 'i',				/* string */
		1, 1, 1, 0, 6, 'k', 3, 0x85, 0x01,	/* table: nil; k = 133 */
		2, 1, 0x80, 0x01,			/* 64-bit integer */
		4, 1, 2, 3, 4,				/* complex */
		2, 3, 9, 0x7f, 1,			/* integer, number, number */
	};
	/* clang-format on */

	put(b, lua, sizeof(lua));
}

/*
 * Streams as a build with this table would have them, some with other things in them. holes: leave
 * the name out of every such function. from_lib, to_lib: only these libraries, by count.
 */
static void put_streams(struct buf *b, const struct ff_table *t, unsigned int holes, int from_lib,
			int to_lib)
{
	unsigned int id = 2, asmn = 0;
	int lib;

	for (lib = 0; id < t->n; lib++) {
		size_t head = b->len, n = lib_len(t->names[id]);
		const char *first = t->names[id];
		unsigned int keys = 0;

		put1(b, id);
		put1(b, asmn);
		put1(b, 0);
		for (; id < t->n && lib_len(t->names[id]) == n && !memcmp(t->names[id], first, n);
		     id++) {
			const char *name = t->names[id] + n + (n > 0);

			if (holes && id % holes == 0) {
				put1(b, 0xfe);
				continue;
			}
			put1(b, (unsigned int)strlen(name) | (id % 3) << 6);
			put(b, name, strlen(name));
			asmn += id % 3 > 0;
			keys++;
		}
		if (lib == 2) {
			put_lua(b);
			put(b, "\xfb\0\0\0\0\0\0\xf0\x3f\xc4huge\xfa\xfc\x03\xc1!\xfa\xfd", 20);
			keys += 3;
		}
		put1(b, 0xff);
		b->b[head + 2] = (uint8_t)keys;
		if (lib < from_lib || lib >= to_lib)
			b->len = head;
	}
}

static const struct ff_table *choose(const struct buf *b, uint32_t *n)
{
	/* An exact copy on the heap, for ASan. */
	uint8_t *p = malloc(b->len ? b->len : 1);
	const struct ff_table *t;

	assert_non_null(p);
	memcpy(p, b->b, b->len);
	t = ff_choose(p, b->len, n);
	free(p);
	return t;
}

static void each_table_is_found(void **state)
{
	const struct ff_table *t;
	struct buf b;
	uint32_t named;
	size_t n, i;

	(void)state;
	t = ff_all(&n);
	for (i = 0; i < n; i++) {
		b.len = 0;
		put(&b, "\x02\0\x01rubbish", 11);
		put_streams(&b, &t[i], 0, 0, 99);
		assert_ptr_equal(choose(&b, &named), &t[i]);
		assert_int_equal(named, t[i].n - 2);
		b.len = 0;
		put_streams(&b, &t[i], 0, 0, 99);
		put_streams(&b, &t[i], 0, 0, 99);
		assert_ptr_equal(choose(&b, &named), &t[i]);
	}
}

static void order_of_streams_does_not_matter(void **state)
{
	const struct ff_table *t;
	struct buf b = {.len = 0};
	uint32_t named;
	size_t n;

	(void)state;
	t = ff_all(&n);
	put_streams(&b, &t[n - 1], 0, 5, 99);
	put(&b, "\0\0\0", 3);
	put_streams(&b, &t[n - 1], 0, 0, 5);
	assert_ptr_equal(choose(&b, &named), &t[n - 1]);
}

/*
 * Functions without a name in the streams: no table, or the right one, or one that it continues
 * (if the streams of the last libraries have no name left). Never a wrong name.
 */
static void missing_names_never_mislead(void **state)
{
	const struct ff_table *t, *got;
	unsigned int holes, id;
	struct buf b;
	uint32_t named;
	size_t n, i;

	(void)state;
	t = ff_all(&n);
	for (i = 0; i < n; i++)
		for (holes = 2; holes < 30; holes++) {
			b.len = 0;
			put_streams(&b, &t[i], holes, 0, 99);
			got = choose(&b, &named);
			for (id = 0; got && id < got->n; id++)
				assert_string_equal(ff_name(got, id), ff_name(&t[i], id));
		}
}

static void part_of_a_build_is_no_evidence(void **state)
{
	const struct ff_table *t;
	struct buf b = {.len = 0};
	uint32_t named;
	size_t n;

	(void)state;
	t = ff_all(&n);
	assert_null(choose(&b, &named));
	assert_int_equal(named, 0);
	put_streams(&b, &t[0], 0, 0, 1);
	assert_null(choose(&b, &named));
	assert_true(named > 20);
	b.len = 0;
	put_streams(&b, &t[0], 0, 0, 3);
	put_streams(&b, &t[0], 0, 4, 99);
	assert_null(choose(&b, &named));
}

static void two_builds_in_one_file_are_refused(void **state)
{
	const struct ff_table *t;
	struct buf b = {.len = 0};
	uint32_t named;
	size_t n;

	(void)state;
	t = ff_all(&n);
	put_streams(&b, &t[0], 0, 0, 99);
	put_streams(&b, &t[n - 1], 0, 0, 99);
	assert_null(choose(&b, &named));
	assert_true(named > 300);
}

static void one_strange_name_refuses(void **state)
{
	const struct ff_table *t;
	struct buf b = {.len = 0};
	uint32_t named;
	uint8_t *p;
	size_t n;

	(void)state;
	t = ff_all(&n);
	put_streams(&b, &t[0], 0, 0, 99);
	p = memmem(b.b, b.len, "getmetatable", 12);
	assert_non_null(p);
	p[3] = 'M';
	assert_null(choose(&b, &named));
}

static void cut_streams_are_survived(void **state)
{
	const struct ff_table *t;
	struct buf b = {.len = 0};
	uint32_t named;
	size_t n, full;

	(void)state;
	t = ff_all(&n);
	put_streams(&b, &t[0], 0, 0, 99);
	for (full = b.len; b.len > 0; b.len -= b.len > 7 ? 7 : b.len) {
		const struct ff_table *got = choose(&b, &named);

		assert_true(!got || b.len == full);
	}
}

static void names_by_id(void **state)
{
	const struct ff_table *t;
	size_t n;

	(void)state;
	t = ff_all(&n);
	assert_string_equal(ff_name(t, 0), "Lua");
	assert_string_equal(ff_name(t, 1), "C");
	assert_string_equal(ff_name(t, 4), "next");
	assert_null(ff_name(t, t->n));
	assert_null(ff_name(NULL, 2));
}

static void check_file(const char *path)
{
	FILE *f = path ? fopen(path, "rb") : NULL;
	const struct ff_table *t;
	uint32_t named;
	long len;
	void *p;

	if (!f)
		skip();
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	len = ftell(f);
	rewind(f);
	assert_true(len > 0);
	p = malloc((size_t)len);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)len, f), len);
	fclose(f);
	t = ff_choose(p, (size_t)len, &named);
	free(p);
	assert_non_null(t);
	assert_true(named > 180);
	assert_string_equal(ff_name(t, 4), "next");
}

static void twin(void **state)
{
	(void)state;
	check_file(getenv("LJX_TWIN"));
}

static void installed_luajit(void **state)
{
	(void)state;
	check_file("/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_table_is_found),
	    cmocka_unit_test(order_of_streams_does_not_matter),
	    cmocka_unit_test(missing_names_never_mislead),
	    cmocka_unit_test(part_of_a_build_is_no_evidence),
	    cmocka_unit_test(two_builds_in_one_file_are_refused),
	    cmocka_unit_test(one_strange_name_refuses),
	    cmocka_unit_test(cut_streams_are_survived),
	    cmocka_unit_test(names_by_id),
	    cmocka_unit_test(twin),
	    cmocka_unit_test(installed_luajit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
