/* SPDX-License-Identifier: MIT */
/*
 * mklayouts: makes layout_rows.h from DWARF and layouts.json. A program of its own, not in ljx.
 *
 *	mklayouts [-e NAME=FILE]... layouts.json >layout_rows.h
 *
 * FILE is what `ljx layout --json -f ELF` printed of an ELF file with debug information.
 *
 * A row from DWARF wins over an equal one from the JSON, which is left out. Runs once and exits:
 * nothing is freed. Any field that is missing anywhere is an error and no table comes out.
 */
#include "bytecode/layout.h"

#include <err.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 256

struct row {
	struct layout_row r;
	bool dwarf;
};

static struct row rows[MAX_ROWS];
static size_t n_rows;

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

/* --- what `ljx layout --json` prints of a file with debug information --- */

static void add_dwarf(const char *name, const char *path)
{
	const struct layout_field *f = layout_fields();
	json_error_t jerr;
	json_t *root = json_load_file(path, 0, &jerr), *one, *v;
	struct layout l;
	size_t i;

	if (!root)
		errx(1, "%s:%d: %s", path, jerr.line, jerr.text);
	one = json_array_get(json_object_get(root, "layouts"), 0);
	memset(&l, 0, sizeof(l));
	for (i = 0; i < LAYOUT_NFIELDS; i++) {
		const char *from =
		    json_string_value(json_object_get(json_object_get(one, "from"), f[i].name));

		v = json_object_get(json_object_get(one, "fields"), f[i].name);
		if (!json_is_integer(v) || !from ||
		    (f[i].kind != LAYOUT_IS_FLAG && strcmp(from, "dwarf") != 0))
			errx(1, "%s: no %s from debug information", path, f[i].name);
		layout_set(&l, &f[i], (unsigned int)json_integer_value(v));
	}
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

static void json_key(const struct layout_field *f, char *key, size_t len)
{
	if (f->kind == LAYOUT_IS_ENUM)
		snprintf(key, len, "enum.%s", f->member);
	else if (f->kind == LAYOUT_IS_SIZE)
		snprintf(key, len, "sizeof.%s", f->type);
	else
		snprintf(key, len, "%s.%s", strcmp(f->type, "GG_State") ? f->type : "GG",
			 f->member);
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
	const struct layout_field *f = layout_fields();
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
	for (i = 0; i < LAYOUT_NFIELDS; i++) {
		long long v;

		if (f[i].kind == LAYOUT_IS_FRAME || f[i].kind == LAYOUT_IS_FLAG)
			continue;
		json_key(&f[i], key, sizeof(key));
		v = json_field(name, fields, key);
		if (v < 0 || v > UINT16_MAX)
			errx(1, "%s: %s is %lld, which does not fit", name, f[i].name, v);
		layout_set(&l, &f[i], (unsigned int)v);
	}
	layout_set_width(&l, gc64);
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
	const struct layout_field *f = layout_fields();
	int col = 10;
	size_t i;

	printf("\t{\"%s\", \"%s\",\n\t {", r->name, r->where);
	for (i = 0; i < LAYOUT_NFIELDS; i++)
		print_field(f[i].name, layout_get(&r->l, &f[i]), &col);
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
			errx(1, "-e wants NAME=FILE");
		*eq = '\0';
		add_dwarf(argv[c + 1], eq + 1);
	}
	if (c + 1 != argc)
		errx(1, "usage: mklayouts [-e NAME=FILE]... layouts.json");
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
