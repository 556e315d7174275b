// SPDX-License-Identifier: MIT
/*
 * bpf/guess.c and bpf/dwarf.c: which layouts a file may have.
 *
 * With LJX_TWIN=libluajit.so (tests/twin), a library with debug information.
 */
#include "bpf/finder.h"
#include "bpf/guess.h"

#include "bpf/dwarf.h"
#include "bpf/vm_check.h"
#include "tests/unit/memfile.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBLUAJIT "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2"
#define ROW "luajit2-20230119"

static struct guesses gs;

static struct elfobj *open_elf(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elfobj *eo;

	if (fd < 0)
		skip();
	assert_int_equal(elfobj_open(fd, path, &eo, NULL), 0);
	close(fd);
	return eo;
}

/* What the finder would see in the code of a build with this layout. */
static struct finder seen(const struct layout *l)
{
	const int32_t value[] = {
#define ANCHOR(id, v) v,
	    FINDER_ANCHORS(ANCHOR)
#undef ANCHOR
	};
	struct finder f;

	memset(&f, 0, sizeof(f));
	f.vm.gc64 = l->gc64;
	f.jit = 1;
	f.anchors = (1u << FINDER_NANCHORS) - 1;
	memcpy(f.anchor, value, sizeof(value));
	return f;
}

/* All that was ever built is, but for fields that the walk reads at fixed places nothing else. */
static void walkable(void **state)
{
	const struct layout_row *rows;
	struct layout l;
	size_t n, i;

	(void)state;
	rows = layout_rows(&n);
	for (i = 0; i < n; i++) {
		assert_true(vm_is_walkable(&rows[i].l));
		l = rows[i].l;
		l.L_maxstack += 8;
		assert_false(vm_is_walkable(&l));
	}
}

static void debug_information(void **state)
{
	const char *path = getenv("LJX_TWIN"), *missing = "";
	struct elfobj *eo;
	struct layout l;
	size_t i;

	(void)state;
	if (!path)
		skip();
	eo = open_elf(path);
	assert_int_equal(dwarf_layout(eo, &l, &missing), 0);
	assert_memory_equal(&l, &layout_by_name(ROW)->l, sizeof(l));
	assert_int_equal(guess_layouts(eo, &gs), 0);
	assert_string_equal(gs.g[0].row.name, ROW);
	for (i = 0; i < LAYOUT_NFIELDS; i++)
		assert_int_equal(gs.g[0].from[i], i == LAYOUT_dualnum ? GUESS_CODE : GUESS_DWARF);
	elfobj_free(eo);
}

static void stripped(void **state)
{
	struct elfobj *eo = open_elf(LIBLUAJIT);
	const char *missing = NULL;
	struct layout l;

	(void)state;
	assert_int_not_equal(dwarf_layout(eo, &l, &missing), 0);
	assert_string_equal(missing, "debug information");
	assert_int_equal(guess_layouts(eo, &gs), 0);
	assert_in_range(gs.n, 1, 2);
	assert_int_equal(gs.g[0].from[LAYOUT_G_cur_L], GUESS_CODE);
	assert_int_equal(gs.g[0].from[LAYOUT_PT_sizebc], GUESS_TABLE);
	elfobj_free(eo);
}

static void given(void **state)
{
	struct elfobj *eo = open_elf(LIBLUAJIT);
	struct layout_row row = {.name = "mine", .where = "a test", .l = layout_by_name(ROW)->l};

	(void)state;
	guess_given(eo, &row, &gs);
	assert_int_equal(gs.n, 1);
	assert_string_equal(gs.g[0].row.name, ROW "+mine");
	row.l.J_trace += 8;
	guess_given(eo, &row, &gs);
	assert_int_equal(gs.n, 0);
	assert_non_null(strstr(gs.text, "J_trace is 384, in the layout 392"));
	elfobj_free(eo);
}

/* Nothing tells where the interpreter's function ends: that is the reason, not the layout. */
static void no_frames(void **state)
{
	int fd = memfile_without_table(LIBLUAJIT, 0);
	struct elfobj *eo;

	(void)state;
	assert_int_equal(elfobj_open(fd, "copy", &eo, NULL), 0);
	assert_int_equal(guess_layouts(eo, &gs), 0);
	assert_int_equal(gs.n, 0);
	assert_non_null(strstr(gs.text, "no call frame information"));
	elfobj_free(eo);
	close(fd);
}

/* A build that nobody has seen: fields were added to lua_State and global_State. */
static void patched(const struct layout_row *row, unsigned int dist, unsigned int by)
{
	struct layout want = row->l;
	/* Where they were added: before all that the code uses. */
	const unsigned int at = want.G_vmstate < want.G_hookmask ? want.G_vmstate : want.G_hookmask;
	const struct layout *l;
	struct finder f;
	size_t i, found = 0;

	want.GG_g = (layout_u16)dist;
	want.G_vmstate += by;
	want.G_mainthref += want.G_mainthref >= at ? by : 0;
	want.G_hookmask += by;
	want.G_registrytv += want.G_registrytv >= at ? by : 0;
	want.G_cur_L += by;
	want.G_jit_base += by;
	want.GG_J = (layout_u16)(row->l.GG_J + by + dist - row->l.GG_g);
	want.GG_hotcount = (layout_u16)(row->l.GG_hotcount + by + dist - row->l.GG_g);
	want.GG_dispatch = (layout_u16)(row->l.GG_dispatch + by + dist - row->l.GG_g);
	f = seen(&want);
	memset(&gs, 0, sizeof(gs));
	guess_by_code(&f, &gs);
	for (i = 0; i < gs.n; i++) {
		l = &gs.g[i].row.l;
		if (l->bc_max != row->l.bc_max ||
		    memcmp(&l->J_cur, &row->l.J_cur,
			   offsetof(struct layout, GG_size) - offsetof(struct layout, J_cur)) != 0)
			continue; /* another row's */
		assert_int_equal(l->G_vmstate, want.G_vmstate);
		assert_int_equal(l->GG_dispatch - l->GG_g, want.GG_dispatch - want.GG_g);
		assert_int_equal(l->GG_bcff - l->GG_dispatch, row->l.GG_bcff - row->l.GG_dispatch);
		found += l->GG_g == dist && l->GG_J == want.GG_J &&
			 l->G_mainthref == want.G_mainthref &&
			 l->G_registrytv == want.G_registrytv && l->G_cur_L == want.G_cur_L;
	}
	assert_true(found >= 1);
	assert_non_null(strchr(gs.g[0].row.name, '+'));
	assert_non_null(layout_by_name(gs.g[0].row.name));
}

static void derived(void **state)
{
	const struct layout_row *rows;
	size_t n, i;

	(void)state;
	rows = layout_rows(&n);
	for (i = 0; i < n; i++) {
		patched(&rows[i], rows[i].l.GG_g, 8);
		patched(&rows[i], rows[i].l.gc64 ? 104 : 72, 24);
	}
}

/* A jit_State that no row has: nothing tells where its other fields went. */
static void refused(void **state)
{
	struct finder f = seen(&layout_by_name(ROW)->l);

	(void)state;
	f.anchor[FINDER_A_J_trace] += 8;
	f.anchor[FINDER_A_J_errinfo] += 24;
	memset(&gs, 0, sizeof(gs));
	guess_by_code(&f, &gs);
	assert_int_equal(gs.n, 0);
	assert_non_null(strstr(gs.text, "J_errinfo is 3112, in the layout"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(walkable),	 cmocka_unit_test(debug_information),
	    cmocka_unit_test(stripped),	 cmocka_unit_test(given),
	    cmocka_unit_test(no_frames), cmocka_unit_test(derived),
	    cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
