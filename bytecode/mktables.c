/* SPDX-License-Identifier: MIT */
/*
 * mktables: makes ff_tables.h from tables.json. A program of its own, not in ljx.
 *
 *	mktables tables.json >ff_tables.h
 *
 * Each distinct list of fast functions comes out once, under the first point of history that has
 * it. Runs once and exits: nothing is freed.
 */
#include <err.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define MAX_TABLES 64

static struct {
	const char *point;
	json_t *names;
	bool lua52;
} tables[MAX_TABLES];
static size_t n_tables;

static void add_table(const char *point, json_t *names, bool lua52)
{
	size_t i;

	if (json_array_size(names) < 2 || json_array_size(names) > 256)
		errx(1, "%s: bad list of fast functions", point);
	for (i = 0; i < n_tables; i++)
		if (json_equal(tables[i].names, names))
			return;
	if (n_tables == MAX_TABLES)
		errx(1, "more than %d tables", MAX_TABLES);
	tables[n_tables].point = point;
	tables[n_tables].names = names;
	tables[n_tables++].lua52 = lua52;
}

static void print_names(size_t t)
{
	int col = 101;
	json_t *name;
	size_t i;

	printf("static const char *const ff_names_%zu[] = {", t);
	json_array_foreach(tables[t].names, i, name)
	{
		const char *s = json_string_value(name);

		if (!s)
			errx(1, "%s: a name is no string", tables[t].point);
		if (col + (int)json_string_length(name) + 4 > 100) {
			printf("\n\t");
			col = 7;
		}
		col += printf("%s\"%s\",", col > 7 ? " " : "", s);
	}
	printf("\n};\n\n");
}

int main(int argc, char **argv)
{
	json_error_t jerr;
	json_t *root, *point;
	const char *name;
	size_t i;

	if (argc != 2)
		errx(1, "usage: mktables tables.json");
	root = json_load_file(argv[1], 0, &jerr);
	if (!root)
		errx(1, "%s:%d: %s", argv[1], jerr.line, jerr.text);
	json_object_foreach(root, name, point)
	{
		add_table(name, json_object_get(point, "ff"), false);
		add_table(name, json_object_get(point, "ff_lua52compat"), true);
	}
	printf("/* SPDX-License-Identifier: MIT */\n"
	       "/* Made by bytecode/mktables.c from tables.json: do not edit. */\n\n");
	for (i = 0; i < n_tables; i++)
		print_names(i);
	printf("static const struct ff_table ff_tables[] = {\n");
	for (i = 0; i < n_tables; i++)
		printf("\t{\"%s%s\", %zu, ff_names_%zu, %d},\n", tables[i].point,
		       tables[i].lua52 ? "+52" : "", json_array_size(tables[i].names), i,
		       tables[i].lua52);
	printf("};\n");
	return fflush(stdout) || ferror(stdout);
}
