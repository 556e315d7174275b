/* SPDX-License-Identifier: MIT */
/*
 * mklayouts: makes layout_rows.h from DWARF and layouts.json. A program of its own, not in ljx.
 *
 *	mklayouts [-e NAME=ELF]... layouts.json >layout_rows.h
 *
 * A row from DWARF wins over an equal one from the JSON, which is left out. Runs once and exits:
 * nothing is freed. Any field that is missing anywhere is an error and no table comes out.
 */
#include "bytecode/layout.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <err.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 256
#define MAX_ENUMS 16384

struct row {
	struct layout_row r;
	bool dwarf;
};

static struct row rows[MAX_ROWS];
static size_t n_rows;

/* A field of struct layout: where it comes from. */
struct src {
	const char *field;
	const char *type;   /* structure; NULL: enumerator */
	const char *member; /* member or enumerator; NULL: size of the structure */
	size_t at;	    /* in struct layout */
};

static const struct src srcs[] = {
#define OFFSET(f, type, member) {#f, type, member, offsetof(struct layout, f)},
#define SIZE(f, type) {#f, type, NULL, offsetof(struct layout, f)},
#define ENUM(f, name) {#f, NULL, name, offsetof(struct layout, f)},
    /* clang-format off */
	LAYOUT_OFFSETS(OFFSET)
	LAYOUT_SIZES(SIZE)
	LAYOUT_ENUMS(ENUM)
    /* clang-format on */
};
#define N_SRCS (sizeof(srcs) / sizeof(*srcs))

static void set_field(struct layout *l, const struct src *s, const char *from, long long v)
{
	layout_u16 u = (layout_u16)v;

	if (v < 0 || v > UINT16_MAX)
		errx(1, "%s: %s is %lld, which does not fit", from, s->field, v);
	memcpy((char *)l + s->at, &u, sizeof(u));
}

/*
 * What follows from the width of references on x64. The C frame: LuaJIT src/lj_frame.h, the part
 * for x64 that is not Windows; the assembler uses the same numbers, no debug information has them.
 */
static void set_derived(struct layout *l, bool gc64)
{
	l->gc64 = gc64;
	l->CF_nres = gc64 ? 8 : 16;
	l->CF_L = gc64 ? 16 : 24;
	l->CF_pc = gc64 ? 24 : 28;
	l->CF_prev = 32;
	l->CF_size = 80;
}

/* An equal row gets no second entry, but lends the first one where it was seen. */
static void add_row(const char *name, const char *where, const struct layout *l, bool dwarf)
{
	char *both;
	size_t i;

	for (i = 0; i < n_rows; i++) {
		if (memcmp(&rows[i].r.l, l, sizeof(*l)))
			continue;
		warnx("'%s' (%s) equals '%s': left out", name, where, rows[i].r.name);
		if (asprintf(&both, "%s; %s", rows[i].r.where, where) < 0)
			err(1, "asprintf");
		rows[i].r.where = both;
		return;
	}
	if (n_rows == MAX_ROWS)
		errx(1, "more than %d rows", MAX_ROWS);
	rows[n_rows++] = (struct row){{name, where, *l}, dwarf};
}

/* --- DWARF --- */

static struct {
	char *name;
	long long value;
} enums[MAX_ENUMS];
static size_t n_enums;

static const long long *find_enum(const char *name)
{
	size_t i;

	for (i = 0; i < n_enums; i++)
		if (!strcmp(enums[i].name, name))
			return &enums[i].value;
	return NULL;
}

static void add_enums(Dwarf_Die *type)
{
	Dwarf_Attribute attr;
	Dwarf_Sword value;
	Dwarf_Die e;

	if (dwarf_child(type, &e))
		return;
	do {
		const char *name = dwarf_diename(&e);

		if (!name || find_enum(name) || !dwarf_attr(&e, DW_AT_const_value, &attr) ||
		    dwarf_formsdata(&attr, &value))
			continue;
		if (n_enums == MAX_ENUMS)
			errx(1, "more than %d enumerators", MAX_ENUMS);
		enums[n_enums].name = strdup(name);
		enums[n_enums++].value = value;
	} while (!dwarf_siblingof(&e, &e));
}

/* Through typedefs and qualifiers. */
static bool peel(Dwarf_Die *die, Dwarf_Die *type)
{
	Dwarf_Attribute attr;
	int tag = dwarf_tag(die);

	*type = *die;
	while (tag == DW_TAG_typedef || tag == DW_TAG_const_type || tag == DW_TAG_volatile_type) {
		if (!dwarf_attr_integrate(type, DW_AT_type, &attr) ||
		    !dwarf_formref_die(&attr, type))
			return false;
		tag = dwarf_tag(type);
	}
	return (tag == DW_TAG_structure_type || tag == DW_TAG_union_type) &&
	       !dwarf_hasattr(type, DW_AT_declaration);
}

static Dwarf *cur_dw;

/* A complete structure or union called name, in any unit. */
static bool find_type(const char *name, Dwarf_Die *type)
{
	Dwarf_Off off = 0, next;
	size_t hsize;

	for (; !dwarf_nextcu(cur_dw, off, &next, &hsize, NULL, NULL, NULL); off = next) {
		Dwarf_Die cu, die;

		if (!dwarf_offdie(cur_dw, off + hsize, &cu) || dwarf_child(&cu, &die))
			continue;
		do {
			const char *s = dwarf_diename(&die);

			if (s && !strcmp(s, name) && peel(&die, type))
				return true;
		} while (!dwarf_siblingof(&die, &die));
	}
	return false;
}

static void find_all_enums(void)
{
	Dwarf_Off off = 0, next;
	size_t hsize;

	n_enums = 0;
	for (; !dwarf_nextcu(cur_dw, off, &next, &hsize, NULL, NULL, NULL); off = next) {
		Dwarf_Die cu, die;

		if (!dwarf_offdie(cur_dw, off + hsize, &cu) || dwarf_child(&cu, &die))
			continue;
		do {
			if (dwarf_tag(&die) == DW_TAG_enumeration_type)
				add_enums(&die);
		} while (!dwarf_siblingof(&die, &die));
	}
}

/* Offset of a member, which may be nested ("gc.total") or in an anonymous member; or -1. */
static long long member_offset(Dwarf_Die *type, const char *path)
{
	size_t n = strcspn(path, ".");
	Dwarf_Die m, mt;

	if (dwarf_child(type, &m))
		return -1;
	do {
		const char *name = dwarf_diename(&m);
		const char *rest = path + n + 1;
		Dwarf_Attribute attr;
		Dwarf_Word at = 0;
		Dwarf_Die ref;
		long long sub;

		if (dwarf_tag(&m) != DW_TAG_member)
			continue;
		if (name && (strlen(name) != n || memcmp(name, path, n)))
			continue;
		if (dwarf_attr_integrate(&m, DW_AT_data_member_location, &attr) &&
		    dwarf_formudata(&attr, &at))
			return -1;
		if (name && !path[n])
			return (long long)at;
		if (!name)
			rest = path;
		if (!dwarf_attr_integrate(&m, DW_AT_type, &attr) ||
		    !dwarf_formref_die(&attr, &ref) || !peel(&ref, &mt))
			continue;
		sub = member_offset(&mt, rest);
		if (sub >= 0)
			return (long long)at + sub;
	} while (!dwarf_siblingof(&m, &m));
	return -1;
}

static long long type_size(const char *name)
{
	Dwarf_Die type;
	Dwarf_Word size;

	if (!find_type(name, &type) || dwarf_aggregate_size(&type, &size))
		return -1;
	return (long long)size;
}

/* The data call the trace states REC, START and so on, LuaJIT's enumerators have a prefix. */
static long long enum_value(const char *name)
{
	const long long *v = find_enum(name);
	char full[64];

	if (!v) {
		snprintf(full, sizeof(full), "LJ_TRACE_%s", strcmp(name, "REC") ? name : "RECORD");
		v = find_enum(full);
	}
	return v ? *v : -1;
}

static long long dwarf_value(const struct src *s)
{
	Dwarf_Die type;

	if (!s->type)
		return enum_value(s->member);
	if (!s->member)
		return type_size(s->type);
	return find_type(s->type, &type) ? member_offset(&type, s->member) : -1;
}

static void add_dwarf(const char *name, const char *path)
{
	struct layout l;
	size_t i;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	memset(&l, 0, sizeof(l));
	cur_dw = fd < 0 ? NULL : dwarf_begin(fd, DWARF_C_READ);
	if (!cur_dw)
		errx(1, "no DWARF in '%s'", path);
	find_all_enums();
	for (i = 0; i < N_SRCS; i++) {
		long long v = dwarf_value(&srcs[i]);

		if (v < 0)
			errx(1, "%s: no %s", path, srcs[i].field);
		set_field(&l, &srcs[i], path, v);
	}
	set_derived(&l, type_size("GCRef") == 8);
	/* LJ_FR2 is a macro; src/lj_arch.h defines it as LJ_GC64. */
	l.fr2 = l.gc64;
	/* LJ_DUALNUM is a macro, too; x64 has it only with LUAJIT_NUMMODE=2, which nobody ships. */
	l.dualnum = 0;
	l.vmstates = find_enum("LJ_VMST_LFUNC") != NULL;
	add_row(name, "DWARF", &l, true);
}

/* --- JSON --- */

static long long json_field(const char *row, json_t *fields, const char *key)
{
	json_t *v = json_object_get(fields, key);

	if (!json_is_integer(v))
		errx(1, "layout %s: no %s", row, key);
	return json_integer_value(v);
}

static void json_key(const struct src *s, char *key, size_t len)
{
	if (!s->type)
		snprintf(key, len, "enum.%s", s->member);
	else if (!s->member)
		snprintf(key, len, "sizeof.%s", s->type);
	else
		snprintf(key, len, "%s.%s", strcmp(s->type, "GG_State") ? s->type : "GG",
			 s->member);
}

/* "upstream 2020-06-15 8ae5170c gc64" without its last word, which must be gc64 or gc32. */
static char *seen_point(const char *row, json_t *seen, size_t i, bool *gc64)
{
	const char *s = json_string_value(json_array_get(seen, i));
	const char *abi = s ? strrchr(s, ' ') : NULL;

	if (!abi || (strcmp(abi, " gc64") && strcmp(abi, " gc32")))
		errx(1, "layout %s: bad seen_at entry", row);
	*gc64 = !strcmp(abi, " gc64");
	return strndup(s, (size_t)(abi - s));
}

static void add_json(const char *name, json_t *layout)
{
	json_t *fields = json_object_get(layout, "fields"),
	       *seen = json_object_get(layout, "seen_at");
	size_t i, n = json_array_size(seen);
	char *first, *last, *where, key[64];
	bool gc64, gc64_last;
	struct layout l;

	if (!n)
		errx(1, "layout %s: never seen", name);
	first = seen_point(name, seen, 0, &gc64);
	last = seen_point(name, seen, n - 1, &gc64_last);
	if (gc64 != gc64_last)
		errx(1, "layout %s: seen with both widths", name);
	memset(&l, 0, sizeof(l));
	for (i = 0; i < N_SRCS; i++) {
		json_key(&srcs[i], key, sizeof(key));
		set_field(&l, &srcs[i], name, json_field(name, fields, key));
	}
	set_derived(&l, gc64);
	l.fr2 = !!json_field(name, fields, "enum.LJ_FR2");
	l.dualnum = !!json_field(name, fields, "enum.DUALNUM");
	/* LuaJIT has C as state 1, Tarantool its LFUNC. */
	l.vmstates = json_field(name, fields, "enum.VMST_C") != 1;
	if (asprintf(&where, n > 1 ? "%s .. %s" : "%s", first, last) < 0)
		err(1, "asprintf");
	add_row(name, where, &l, false);
}

/* --- output --- */

/* 64-bit rows first, then rows from DWARF, then by name: independent of the order of the input. */
static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->r.l.gc64 != y->r.l.gc64)
		return y->r.l.gc64 - x->r.l.gc64;
	if (x->dwarf != y->dwarf)
		return y->dwarf - x->dwarf;
	return strcmp(x->r.name, y->r.name);
}

/* Prints ".field = value," where it still fits into a line. */
static void print_field(const char *field, unsigned int v, int *col)
{
	char buf[80];
	int n = snprintf(buf, sizeof(buf), ".%s = %u,", field, v);

	if (*col + 1 + n > 100) {
		printf("\n\t  ");
		*col = 10;
	}
	*col += printf("%s%s", *col > 10 ? " " : "", buf);
}

static void print_row(const struct layout_row *r)
{
	int col = 10;

	printf("\t{\"%s\", \"%s\",\n\t {", r->name, r->where);
#define PRINT(f, ...) print_field(#f, r->l.f, &col);
	/* clang-format off */
	LAYOUT_OFFSETS(PRINT)
	LAYOUT_SIZES(PRINT)
	LAYOUT_ENUMS(PRINT)
	LAYOUT_CFRAME(PRINT)
	PRINT(gc64)
	PRINT(fr2)
	PRINT(dualnum)
	PRINT(vmstates)
	/* clang-format on */
	printf("}},\n");
}

int main(int argc, char **argv)
{
	json_t *root, *layout;
	const char *name;
	json_error_t jerr;
	size_t i;
	int c = 1;

	for (; c + 1 < argc && !strcmp(argv[c], "-e"); c += 2) {
		char *eq = strchr(argv[c + 1], '=');

		if (!eq)
			errx(1, "-e wants NAME=ELF");
		*eq = '\0';
		add_dwarf(argv[c + 1], eq + 1);
	}
	if (c + 1 != argc)
		errx(1, "usage: mklayouts [-e NAME=ELF]... layouts.json");
	root = json_load_file(argv[c], 0, &jerr);
	if (!root)
		errx(1, "%s:%d: %s", argv[c], jerr.line, jerr.text);
	json_object_foreach(root, name, layout) add_json(name, layout);
	qsort(rows, n_rows, sizeof(*rows), compare_rows);
	printf("/* SPDX-License-Identifier: MIT */\n"
	       "/* Made by bytecode/mklayouts.c from layouts.json and DWARF: do not edit. */\n");
	for (i = 0; i < n_rows; i++)
		print_row(&rows[i].r);
	return fflush(stdout) || ferror(stdout);
}
