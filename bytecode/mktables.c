/* SPDX-License-Identifier: MIT */
/*
 * mktables: makes the tables of names from tables.json. A program of its own, not in ljx.
 *
 *	mktables KIND tables.json >KIND_tables.h	KIND: ff err ir bc points
 *
 * Each distinct list comes out once, under the first point of history that has it. A point that is
 * "like" another one has its lists, except those of its own. Under "modes" are the operand modes of
 * bytecodes by count and of IR instructions by date. Runs once and exits: nothing is freed.
 */
#include <err.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_TABLES 64

struct table {
	const char *point;
	json_t *list;
	bool lua52;
};

/* The distinct lists of one kind, in order of history. */
struct tables {
	struct table t[MAX_TABLES];
	size_t n;
};

static json_t *root;

/* The list called key of a point; NULL: it has none. */
static json_t *list_of(const char *name, const char *key)
{
	json_t *point = json_object_get(root, name), *list = json_object_get(point, key);
	const char *like = json_string_value(json_object_get(point, "like"));

	if (!point)
		errx(1, "no point '%s'", name);
	return list || !like ? list : list_of(like, key);
}

static int find(const struct tables *ts, json_t *list)
{
	size_t i;

	for (i = 0; i < ts->n; i++)
		if (json_equal(ts->t[i].list, list))
			return (int)i;
	return -1;
}

static void add(struct tables *ts, const char *point, json_t *list, bool lua52)
{
	if (json_array_size(list) < 2 || json_array_size(list) > 256)
		errx(1, "%s: bad list", point);
	if (find(ts, list) >= 0)
		return;
	if (ts->n == MAX_TABLES)
		errx(1, "more than %d tables", MAX_TABLES);
	ts->t[ts->n].point = point;
	ts->t[ts->n].list = list;
	ts->t[ts->n++].lua52 = lua52;
}

static bool is_point(const char *name)
{
	return strcmp(name, "modes") != 0;
}

/* The distinct lists of key; key52 (or NULL): those of LUA52COMPAT. */
static void collect(struct tables *ts, const char *key, const char *key52)
{
	const char *name;
	json_t *point;

	json_object_foreach(root, name, point)
	{
		if (!is_point(name))
			continue;
		add(ts, name, list_of(name, key), false);
		if (key52)
			add(ts, name, list_of(name, key52), true);
	}
}

/* Starts a new line where the next word would pass column 100. */
static void wrap(int *col, size_t len)
{
	if (*col + (int)len + 4 > 100) {
		printf("\n\t");
		*col = 7;
	} else {
		printf(" ");
		(*col)++;
	}
}

static void print_names(const char *prefix, size_t i, json_t *list)
{
	int col = 101;
	json_t *name;
	size_t k;

	printf("static const char *const %s_names_%zu[] = {", prefix, i);
	json_array_foreach(list, k, name)
	{
		const char *s = json_string_value(name);

		if (!s)
			errx(1, "%s table %zu: a name is no string", prefix, i);
		wrap(&col, strlen(s));
		col += printf("\"%s\",", s);
	}
	printf("\n};\n\n");
}

static void print_numbers(const char *type, const char *name, json_t *list, int pad)
{
	int col = 101;
	json_t *v;
	size_t k;

	printf("static const %s %s[] = {", type, name);
	json_array_foreach(list, k, v)
	{
		wrap(&col, (size_t)pad);
		col += printf("0x%0*x,", pad, (unsigned int)json_integer_value(v));
	}
	printf("\n};\n\n");
}

static void make_ff(void)
{
	static struct tables ts;
	size_t i;

	collect(&ts, "ff", "ff_lua52compat");
	for (i = 0; i < ts.n; i++)
		print_names("ff", i, ts.t[i].list);
	printf("static const struct ff_table ff_tables[] = {\n");
	for (i = 0; i < ts.n; i++)
		printf("\t{\"%s%s\", %zu, ff_names_%zu, %d},\n", ts.t[i].point,
		       ts.t[i].lua52 ? "+52" : "", json_array_size(ts.t[i].list), i, ts.t[i].lua52);
	printf("};\n");
}

static void make_err(void)
{
	static struct tables ts;
	const char *name, *text;
	json_t *row;
	size_t i, k;

	collect(&ts, "traceerr", NULL);
	for (i = 0; i < ts.n; i++) {
		printf("static const struct err_row err_rows_%zu[] = {\n", i);
		json_array_foreach(ts.t[i].list, k, row)
		{
			name = json_string_value(json_array_get(row, 0));
			text = json_string_value(json_array_get(row, 1));
			if (!name || !text)
				errx(1, "%s: bad trace error %zu", ts.t[i].point, k);
			printf("\t{\"%s\", \"%s\", ERR_%s},\n", name, text, name);
		}
		printf("};\n\n");
	}
	printf("static const struct err_table err_tables[] = {\n");
	for (i = 0; i < ts.n; i++)
		printf("\t{\"%s\", %zu, err_rows_%zu},\n", ts.t[i].point,
		       json_array_size(ts.t[i].list), i);
	printf("};\n");
}

/* The distinct lists of IR names are those of "modes", where one may name another's. */
static void collect_ir(struct tables *ts, int *of)
{
	json_t *all = json_object_get(json_object_get(root, "modes"), "ir"), *one, *list;
	size_t i, k;

	json_array_foreach(all, i, one)
	{
		const char *since = json_string_value(json_object_get(one, "since")), *other;

		list = json_object_get(one, "ir");
		other = json_string_value(list);
		for (k = 0; other && k < ts->n; k++)
			if (!strcmp(ts->t[k].point, other))
				list = ts->t[k].list;
		if (!since || i >= MAX_TABLES || !json_is_array(list) ||
		    json_array_size(list) != json_array_size(json_object_get(one, "mode")))
			errx(1, "bad modes of IR %zu", i);
		add(ts, since, list, false);
		of[i] = find(ts, list);
	}
}

static void make_ir(void)
{
	json_t *all = json_object_get(json_object_get(root, "modes"), "ir"), *one;
	static struct tables ts;
	int of[MAX_TABLES];
	char name[32];
	size_t i;

	collect_ir(&ts, of);
	for (i = 0; i < ts.n; i++)
		print_names("ir", i, ts.t[i].list);
	printf("static const struct ir_table ir_tables[] = {\n");
	for (i = 0; i < ts.n; i++)
		printf("\t{\"%s\", %zu, ir_names_%zu},\n", ts.t[i].point,
		       json_array_size(ts.t[i].list), i);
	printf("};\n\n");
	json_array_foreach(all, i, one)
	{
		snprintf(name, sizeof(name), "ir_mode_%zu", i);
		print_numbers("uint8_t", name, json_object_get(one, "mode"), 2);
	}
	printf("static const struct ir_modes ir_modes[] = {\n");
	json_array_foreach(all, i, one)
	    printf("\t{\"%s\", ir_mode_%zu, &ir_tables[%d]},\n",
		   json_string_value(json_object_get(one, "since")), i, of[i]);
	printf("};\n");
}

/* Names by count too: a check of the list in bc.c, which has them as enumerators. */
static void make_bc(void)
{
	json_t *all = json_object_get(json_object_get(root, "modes"), "bc"), *one;
	static struct tables ts;
	const char *count;
	char name[32];
	size_t i;

	collect(&ts, "bc", NULL);
	for (i = 0; i < ts.n; i++)
		print_names("bc", json_array_size(ts.t[i].list), ts.t[i].list);
	json_object_foreach(all, count, one)
	{
		snprintf(name, sizeof(name), "bc_mode_%s", count);
		print_numbers("uint16_t", name, one, 3);
	}
	printf("static const struct bc_modes bc_modes[] = {\n");
	json_object_foreach(all, count, one)
	    printf("\t{%zu, bc_mode_%s, bc_names_%s},\n", json_array_size(one), count, count);
	printf("};\n");
}

static void make_points(void)
{
	static struct tables ff, err, ir;
	const char *name;
	int of[MAX_TABLES];
	json_t *point;

	collect(&ff, "ff", "ff_lua52compat");
	collect(&err, "traceerr", NULL);
	collect_ir(&ir, of);
	printf("static const struct tables_point points[] = {\n");
	json_object_foreach(root, name, point)
	{
		if (!is_point(name))
			continue;
		if (find(&ir, list_of(name, "ir")) < 0)
			errx(1, "%s: its IR is not among the modes", name);
		printf("\t{\"%s\", %zu, %d, %d, %d, %d},\n", name,
		       json_array_size(list_of(name, "bc")), find(&ff, list_of(name, "ff")),
		       find(&ff, list_of(name, "ff_lua52compat")),
		       find(&err, list_of(name, "traceerr")), find(&ir, list_of(name, "ir")));
	}
	printf("};\n");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *kind;
		void (*make)(void);
	} kinds[] = {{"ff", make_ff},
		     {"err", make_err},
		     {"ir", make_ir},
		     {"bc", make_bc},
		     {"points", make_points}};
	json_error_t jerr;
	size_t i;

	if (argc != 3)
		errx(1, "usage: mktables KIND tables.json");
	root = json_load_file(argv[2], 0, &jerr);
	if (!root)
		errx(1, "%s:%d: %s", argv[2], jerr.line, jerr.text);
	printf("/* SPDX-License-Identifier: MIT */\n"
	       "/* Made by bytecode/mktables.c from tables.json: do not edit. */\n\n");
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].kind, argv[1])) {
			kinds[i].make();
			return fflush(stdout) || ferror(stdout);
		}
	errx(1, "no kind '%s'", argv[1]);
}
