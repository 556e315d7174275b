/* SPDX-License-Identifier: MIT */
/* Tables of layouts and of bytecodes. With LJX_TWIN=ELF: also against that file's DWARF. */
#include "bytecode/bc.h"
#include "bytecode/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <unistd.h>

#define TWIN_ROW "luajit2-20230119"

/* --- layouts --- */

static void layout_names_are_unique(void **state)
{
	const struct layout_row *r;
	size_t n, i;

	(void)state;
	r = layout_rows(&n);
	assert_true(n >= 40);
	for (i = 0; i < n; i++)
		assert_ptr_equal(layout_by_name(r[i].name), &r[i]);
	assert_null(layout_by_name("no such layout"));
}

static void layouts_are_distinct_and_sorted(void **state)
{
	const struct layout_row *r;
	size_t n, i, j;

	(void)state;
	r = layout_rows(&n);
	for (i = 0; i < n; i++) {
		assert_true(!i || r[i - 1].l.gc64 >= r[i].l.gc64);
		for (j = 0; j < i; j++)
			assert_memory_not_equal(&r[i].l, &r[j].l, sizeof(r[i].l));
	}
}

static void check_sane(const struct layout *l)
{
	unsigned int ref = l->gc64 ? 8 : 4;

	assert_true(l->gc64 <= 1 && l->fr2 == l->gc64 && l->dualnum <= 1 && l->vmstates <= 1);
	/* GCHeader: reference, two bytes. */
	assert_int_equal(l->F_ffid, ref + 2);
	assert_int_equal(l->PT_numparams, ref + 2);
	assert_int_equal(l->PT_framesize, ref + 3);
	assert_int_equal(l->L_status, ref + 3);
	assert_true(l->STR_len + 4 <= l->STR_size);
	assert_true(l->PT_varinfo + ref <= l->PT_size && l->PT_size < 128);
	assert_true(l->F_pc % ref == 0 && l->C_f % 8 == 0);
	/* Inside of GG_State lie, in this order, global_State, jit_State, hotcounts, dispatch. */
	assert_true(l->L_size <= l->GG_g && l->GG_g < l->GG_J && l->GG_J < l->GG_hotcount);
	assert_int_equal(l->GG_dispatch, l->GG_hotcount + 64 * 2);
	assert_true(l->GG_bcff > l->GG_dispatch + l->bc_max * 8 && l->GG_bcff < l->GG_size);
	assert_int_equal(l->ST_START + 1, l->ST_END);
	assert_int_equal(l->ST_END + 1, l->ST_ASM);
	assert_int_equal(l->ST_ASM + 1, l->ST_ERR);
	assert_true(l->ST_RECORD < l->ST_START);
	assert_int_equal(l->PENALTY_size, l->gc64 ? 16 : 8);
	assert_int_equal(l->CF_nres, l->gc64 ? 8 : 16);
	assert_int_equal(l->CF_L, l->gc64 ? 16 : 24);
	assert_int_equal(l->CF_pc, l->gc64 ? 24 : 28);
	assert_int_equal(l->CF_prev, 32);
	assert_int_equal(l->CF_size, 80);
}

static void layouts_are_sane(void **state)
{
	const struct layout_row *r;
	size_t n, i;

	(void)state;
	r = layout_rows(&n);
	for (i = 0; i < n; i++) {
		check_sane(&r[i].l);
		assert_non_null(bc_gen_by_count(r[i].l.bc_max));
	}
}

/* Through typedefs. */
static bool peel(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	Dwarf_Die next;

	while (dwarf_tag(die) == DW_TAG_typedef) {
		if (!dwarf_attr(die, DW_AT_type, &attr) || !dwarf_formref_die(&attr, &next))
			return false;
		*die = next;
	}
	return dwarf_tag(die) == DW_TAG_structure_type && !dwarf_hasattr(die, DW_AT_declaration);
}

static bool find_struct(Dwarf *dw, const char *name, Dwarf_Die *type)
{
	Dwarf_Off off = 0, next;
	size_t hsize;
	Dwarf_Die cu;

	for (; !dwarf_nextcu(dw, off, &next, &hsize, NULL, NULL, NULL); off = next) {
		if (!dwarf_offdie(dw, off + hsize, &cu) || dwarf_child(&cu, type))
			continue;
		do {
			Dwarf_Die die = *type;

			if (!dwarf_diename(&die) || strcmp(dwarf_diename(&die), name))
				continue;
			if (!peel(&die))
				continue;
			*type = die;
			return true;
		} while (!dwarf_siblingof(type, type));
	}
	return false;
}

/* Offset of a member "a" or "a.b". */
static Dwarf_Word member_at(Dwarf_Die type, const char *path)
{
	size_t len = strcspn(path, ".");
	Dwarf_Attribute attr;
	Dwarf_Word at;
	Dwarf_Die m, sub;

	assert_int_equal(dwarf_child(&type, &m), 0);
	do {
		const char *name = dwarf_diename(&m);

		if (name && strlen(name) == len && !memcmp(name, path, len)) {
			assert_non_null(dwarf_attr(&m, DW_AT_data_member_location, &attr));
			assert_int_equal(dwarf_formudata(&attr, &at), 0);
			if (!path[len])
				return at;
			assert_non_null(dwarf_attr(&m, DW_AT_type, &attr));
			assert_non_null(dwarf_formref_die(&attr, &sub));
			assert_true(peel(&sub));
			return at + member_at(sub, path + len + 1);
		}
	} while (!dwarf_siblingof(&m, &m));
	fail_msg("no member %s", path);
	return 0;
}

static void row_equals_dwarf(void **state)
{
	const char *path = getenv("LJX_TWIN");
	const struct layout_row *r = layout_by_name(TWIN_ROW);
	Dwarf_Word size;
	Dwarf_Die type;
	Dwarf *dw;
	int fd;

	(void)state;
	if (!path)
		skip();
	assert_non_null(r);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	dw = dwarf_begin(fd, DWARF_C_READ);
	assert_non_null(dw);
#define CHECK_OFFSET(f, s, member)              \
	assert_true(find_struct(dw, s, &type)); \
	assert_int_equal(r->l.f, member_at(type, member));
#define CHECK_SIZE(f, s)                                         \
	assert_true(find_struct(dw, s, &type));                  \
	assert_int_equal(dwarf_aggregate_size(&type, &size), 0); \
	assert_int_equal(r->l.f, size);
	/* clang-format off */
	LAYOUT_OFFSETS(CHECK_OFFSET)
	LAYOUT_SIZES(CHECK_SIZE)
	/* clang-format on */
	dwarf_end(dw);
	close(fd);
}

/* --- bytecodes --- */

static void generations_have_their_counts(void **state)
{
	static const uint32_t counts[] = {93, 97, 104};
	static const char *const names[] = {"G20", "G21", "G21b"};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		const struct bc_gen *g = bc_gen_by_count(counts[i]);

		assert_non_null(g);
		assert_string_equal(g->name, names[i]);
		assert_ptr_equal(bc_gen_by_name(names[i]), g);
		assert_int_equal(g->n, counts[i]);
		assert_null(bc_name(g, g->n));
		assert_string_equal(bc_name(g, g->n - 1), "FUNCCW");
	}
	assert_null(bc_gen_by_count(96));
	assert_null(bc_gen_by_name("G22"));
	assert_null(bc_name(NULL, 0));
}

/* Numbers taken from vmdef.lua of each generation. */
static void numbers_are_those_of_vmdef(void **state)
{
	static const struct {
		const char *name;
		uint8_t num[3]; /* 0xff: not there */
	} known[] = {
	    {"ISLT", {0, 0, 0}},      {"ISTYPE", {0xff, 16, 16}}, {"MOV", {16, 18, 18}},
	    {"CAT", {36, 38, 38}},    {"UCLO", {48, 50, 50}},	  {"FNEW", {49, 51, 51}},
	    {"TSETM", {60, 63, 63}},  {"TSETR", {0xff, 64, 64}},  {"ITERC", {65, 69, 69}},
	    {"ITERN", {66, 70, 70}},  {"VARG", {67, 71, 71}},	  {"ISNEXT", {68, 72, 72}},
	    {"FORL", {75, 79, 79}},   {"IFORL", {76, 80, 80}},	  {"JFORL", {77, 81, 81}},
	    {"IITERL", {79, 83, 83}}, {"ILOOP", {82, 86, 86}},	  {"JLOOP", {83, 87, 87}},
	    {"JMP", {84, 88, 88}},    {"BNOT", {0xff, 0xff, 89}}, {"BSAR", {0xff, 0xff, 95}},
	    {"FUNCF", {85, 89, 96}},  {"IFUNCF", {86, 90, 97}},	  {"JFUNCF", {87, 91, 98}},
	    {"FUNCV", {88, 92, 99}},  {"FUNCC", {91, 95, 102}},
	};
	static const uint32_t counts[] = {93, 97, 104};
	size_t i, g;

	(void)state;
	for (i = 0; i < sizeof(known) / sizeof(*known); i++)
		for (g = 0; g < 3; g++)
			if (known[i].num[g] != 0xff)
				assert_string_equal(
				    bc_name(bc_gen_by_count(counts[g]), known[i].num[g]),
				    known[i].name);
}

static void ids_lead_to_their_opcodes(void **state)
{
#define ID_NAME(name) #name,
	static const char *const names[] = {BC_IDS(ID_NAME)};
	static const uint32_t counts[] = {93, 97, 104};
	size_t i, id;

	(void)state;
	for (i = 0; i < 3; i++)
		for (id = 0; id < BC_ID_MAX; id++) {
			const struct bc_gen *g = bc_gen_by_count(counts[i]);

			assert_string_equal(bc_name(g, g->of[id]), names[id]);
		}
}

static void operands_and_metamethods(void **state)
{
	const struct bc_gen *g = bc_gen_by_name("G21");
	const struct bc_op *op = &g->ops[g->of[BC_ID_TGETS]];

	(void)state;
	assert_string_equal(op->mm, "index");
	assert_string_equal(op->mm_name, "__index");
	assert_int_equal(op->mode_a, BC_M_DST);
	assert_int_equal(op->kstr, BC_K_C);
	op = &g->ops[g->of[BC_ID_ITERC]];
	assert_string_equal(op->mm, "call");
	assert_int_equal(op->mode_a, BC_M_BASE);
	assert_null(g->ops[g->of[BC_ID_MOV]].mm);
	assert_int_equal(bc_a(0x44332211), 0x22);
	assert_int_equal(bc_c(0x44332211), 0x33);
	assert_int_equal(bc_b(0x44332211), 0x44);
	assert_int_equal(bc_d(0x44332211), 0x4433);
	assert_int_equal(bc_op(0x44332211), 0x11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(layout_names_are_unique),
	    cmocka_unit_test(layouts_are_distinct_and_sorted),
	    cmocka_unit_test(layouts_are_sane),
	    cmocka_unit_test(row_equals_dwarf),
	    cmocka_unit_test(generations_have_their_counts),
	    cmocka_unit_test(numbers_are_those_of_vmdef),
	    cmocka_unit_test(ids_lead_to_their_opcodes),
	    cmocka_unit_test(operands_and_metamethods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
