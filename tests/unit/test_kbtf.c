// SPDX-License-Identifier: MIT
/* What kbtf_open says of the kernel's structures, against libbpf's own reading. */
#include "bpf/kbtf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/btf.h>

static struct btf *parse(int fd)
{
	struct btf *btf;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	btf = btf__parse(path, NULL);
	assert_non_null(btf);
	close(fd);
	return btf;
}

static const struct btf_type *structure(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);

	assert_true(id > 0);
	return btf__type_by_id(btf, (unsigned int)id);
}

/* The offset of a member in bits, and its type without names for it. */
static uint32_t member(const struct btf *btf, const struct btf_type *t, const char *name,
		       const struct btf_type **type)
{
	unsigned int i;

	for (i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];

		if (strcmp(btf__name_by_offset(btf, m->name_off), name) != 0)
			continue;
		*type = btf__type_by_id(btf, m->type);
		while (btf_is_mod(*type) || btf_is_typedef(*type))
			*type = btf__type_by_id(btf, (*type)->type);
		return btf_member_bit_offset(t, i);
	}
	fail_msg("no member %s", name);
	return 0;
}

static void test_same_as_libbpf(void **state)
{
	int fd = kbtf_open(), structs = 0;
	const struct btf_type *mine, *theirs, *a, *b;
	struct btf *small, *all;
	unsigned int id, i;

	(void)state;
	if (fd == -ENOENT || fd == -EACCES)
		skip();
	assert_true(fd >= 0);
	small = parse(fd);
	all = btf__load_vmlinux_btf();
	assert_non_null(all);
	for (id = 1; id < btf__type_cnt(small); id++) {
		const char *name;

		mine = btf__type_by_id(small, id);
		if (!btf_is_struct(mine))
			continue;
		structs++;
		name = btf__name_by_offset(small, mine->name_off);
		theirs = structure(all, name);
		assert_int_equal(mine->size, theirs->size);
		for (i = 0; i < btf_vlen(mine); i++) {
			name = btf__name_by_offset(small, btf_members(mine)[i].name_off);
			assert_int_equal(member(small, mine, name, &a),
					 member(all, theirs, name, &b));
			assert_int_equal(btf_kind(a), btf_kind(b));
		}
	}
	assert_int_equal(structs, 4);
	btf__free(small);
	btf__free(all);
}

static void test_none(void **state)
{
	int fd = kbtf_open_none();
	struct btf *btf;

	(void)state;
	assert_true(fd >= 0);
	btf = parse(fd);
	assert_int_equal(btf__type_cnt(btf), 1);
	btf__free(btf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same_as_libbpf),
	    cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
