// SPDX-License-Identifier: MIT
/* ljx bc, ff, err, ir: bytecodes, fast functions, trace errors and IR of a build, by number. */
#include "tui/names.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* A numbering, whatever is numbered. */
struct list {
	const char *name;
	const char *why; /* what chose it, or why it is not known; NULL: one of all there are */
	uint32_t n;	 /* 0: not known */
	const void *table;
};

/* What a verb names. */
struct kind {
	const char *verb, *what, *whats, *prefix;
	const char *(*get)(const void *table, uint32_t i, const char **text);
	void (*chosen)(const struct tables *t, struct list *out);
	size_t (*all)(struct list *out, size_t max);
};

static const char *get_bc(const void *table, uint32_t i, const char **text)
{
	*text = NULL;
	return bc_name(table, i);
}

static void chosen_bc(const struct tables *t, struct list *out)
{
	*out = (struct list){t->bc ? t->bc->name : NULL, t->bc_why, t->bc ? t->bc->n : 0, t->bc};
}

static size_t all_bc(struct list *out, size_t max)
{
	const struct bc_gen *g;
	size_t n, i;

	g = bc_gens(&n);
	for (i = 0; i < n && i < max; i++)
		out[i] = (struct list){g[i].name, NULL, g[i].n, &g[i]};
	return i;
}

static const char *get_ff(const void *table, uint32_t i, const char **text)
{
	*text = NULL;
	return ff_name(table, i);
}

static void chosen_ff(const struct tables *t, struct list *out)
{
	*out = (struct list){t->ff ? t->ff->name : NULL, t->ff_why, t->ff ? t->ff->n : 0, t->ff};
}

static size_t all_ff(struct list *out, size_t max)
{
	const struct ff_table *t;
	size_t n, i;

	t = ff_all(&n);
	for (i = 0; i < n && i < max; i++)
		out[i] = (struct list){t[i].name, NULL, t[i].n, &t[i]};
	return i;
}

static const char *get_err(const void *table, uint32_t i, const char **text)
{
	const struct err_row *row = err_row(table, i);

	*text = row ? row->text : NULL;
	return row ? row->name : NULL;
}

static void chosen_err(const struct tables *t, struct list *out)
{
	*out =
	    (struct list){t->err ? t->err->name : NULL, t->err_why, t->err ? t->err->n : 0, t->err};
}

static size_t all_err(struct list *out, size_t max)
{
	const struct err_table *t;
	size_t n, i;

	t = err_all(&n);
	for (i = 0; i < n && i < max; i++)
		out[i] = (struct list){t[i].name, NULL, t[i].n, &t[i]};
	return i;
}

static const char *get_ir(const void *table, uint32_t i, const char **text)
{
	*text = NULL;
	return ir_name(table, i);
}

static void chosen_ir(const struct tables *t, struct list *out)
{
	*out = (struct list){t->ir ? t->ir->name : NULL, t->ir_why, t->ir ? t->ir->n : 0, t->ir};
}

static size_t all_ir(struct list *out, size_t max)
{
	const struct ir_table *t;
	size_t n, i;

	t = ir_all(&n);
	for (i = 0; i < n && i < max; i++)
		out[i] = (struct list){t[i].name, NULL, t[i].n, &t[i]};
	return i;
}

static const struct kind kinds[] = {
    {"bc", "bytecode", "bytecodes", "BC_", get_bc, chosen_bc, all_bc},
    {"ff", "fast function", "fast functions", "", get_ff, chosen_ff, all_ff},
    {"err", "trace error", "trace errors", "LJ_TRERR_", get_err, chosen_err, all_err},
    {"ir", "IR instruction", "IR instructions", "IR_", get_ir, chosen_ir, all_ir},
};

enum { LISTS_MAX = 64 };

static int by_generation(const struct options *o, struct tables *t, struct why *why)
{
	size_t n = tables_by_name(o->gen, t), i;
	const char *point;

	if (n == 1)
		return 0;
	why_set(why, WHY_USAGE, -EINVAL, "%s '%s'",
		n ? "more than one build is called" : "no build is called", printable(o->gen));
	why_hint(why, "G20, G21, G21b (bytecodes only), or a part of one of these, and +52 after "
		      "it for LUA52COMPAT:");
	for (i = 0; (point = tables_point(i)); i++)
		why_hint(why, "  %s", point);
	return -EINVAL;
}

int names_tables(const struct options *o, struct tables *t, struct evidence_source *src)
{
	struct why why = {.code = 0};

	memset(src, 0, sizeof(*src));
	if ((o->npids != 0) + (o->file != NULL) + (o->gen != NULL) > 1 || o->npids > 1)
		why_set(&why, WHY_USAGE, -EINVAL, "give one of -p PID, -f FILE and --gen NAME");
	else if (o->npids)
		evidence_pid(o->pid[0], t, src, &why);
	else if (o->file)
		evidence_file(o->file, t, src, &why);
	else if (o->gen)
		by_generation(o, t, &why);
	else if (o->vmdef)
		memset(t, 0, sizeof(*t));
	else
		return -1;
	if (!why.code && o->vmdef)
		vmdef_override(o->vmdef, t, src, &why);
	else if (!why.code && o->npids)
		vmdef_check(o->pid[0], src->path, t, o->quiet);
	return why.code ? complain(o, &why) : 0;
}

/* Number, or name with or without LuaJIT's prefix, of row i. */
static int fits(const struct kind *k, const struct list *l, uint32_t i, const char *arg)
{
	const char *text, *name = k->get(l->table, i, &text);
	size_t len = strlen(k->prefix);
	char number[16];

	snprintf(number, sizeof(number), "%u", i);
	if (!strcmp(number, arg) || !strcasecmp(name, arg))
		return 1;
	return len && !strncasecmp(arg, k->prefix, len) && !strcasecmp(name, arg + len);
}

static int wanted(const struct options *o, const struct kind *k, const struct list *l, uint32_t i)
{
	size_t a;

	for (a = 0; a < o->nargs; a++)
		if (fits(k, l, i, o->arg[a]))
			return 1;
	return !o->nargs;
}

/* The argument that no list has, or NULL. */
static const char *missing(const struct options *o, const struct kind *k, const struct list *l,
			   size_t n)
{
	size_t a, i;
	uint32_t r;

	for (a = 0; a < o->nargs; a++) {
		int found = 0;

		for (i = 0; i < n && !found; i++)
			for (r = 0; r < l[i].n && !found; r++)
				found = fits(k, &l[i], r, o->arg[a]);
		if (!found)
			return o->arg[a];
	}
	return NULL;
}

static json_t *list_json(const struct options *o, const struct kind *k, const struct list *l)
{
	json_t *rows = json_array();
	const char *name, *text;
	uint32_t i;

	for (i = 0; i < l->n; i++) {
		if (!wanted(o, k, l, i))
			continue;
		name = k->get(l->table, i, &text);
		json_array_append_new(
		    rows,
		    text ? json_pack("{s:i,s:s,s:s}", "number", (int)i, "name", name, "text", text)
			 : json_pack("{s:i,s:s}", "number", (int)i, "name", name));
	}
	return json_pack("{s:s?,s:s?,s:o}", "table", l->name, "evidence", l->why, "rows", rows);
}

static void print_json_lists(const struct options *o, const struct kind *k, const struct list *l,
			     size_t n, const struct evidence_source *src)
{
	json_t *lists = json_array(), *j;
	char schema[16];
	size_t i;

	for (i = 0; i < n; i++)
		json_array_append_new(lists, list_json(o, k, &l[i]));
	snprintf(schema, sizeof(schema), "ljx.%s/1", k->verb);
	j = json_pack("{s:s,s:s,s:s,s:s,s:o}", "schema", schema, "file", printable(src->path),
		      "version", src->version, "layout", src->layout, "tables", lists);
	if (j)
		json_dumpf(j, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(j);
}

static void print_row(const struct kind *k, const struct list *l, uint32_t i)
{
	const char *text, *name = k->get(l->table, i, &text);

	if (text)
		printf("%3u %-8s %s\n", i, name, text);
	else
		printf("%3u %s\n", i, name);
}

/* One answer and the builds that give it; only the first of equal rows starts one. */
static void print_answer(const struct kind *k, const struct list *l, size_t n, size_t first,
			 uint32_t i)
{
	const char *text, *name = k->get(l[first].table, i, &text), *other, *other_text;
	size_t m, col;

	for (m = 0; m < first; m++) {
		other = k->get(l[m].table, i, &other_text);
		if (other && !strcmp(other, name) && (!text || !strcmp(text, other_text)))
			return;
	}
	print_row(k, &l[first], i);
	col = (size_t)printf("    in");
	for (m = first; m < n; m++) {
		other = k->get(l[m].table, i, &other_text);
		if (!other || strcmp(other, name) || (text && strcmp(text, other_text)))
			continue;
		if (col + strlen(l[m].name) > 98)
			col = (size_t)printf("\n      ") - 1;
		col += (size_t)printf("%s %s", col > 6 ? "," : "", l[m].name);
	}
	putchar('\n');
}

static int print_all(const struct options *o, const struct kind *k, const struct list *l, size_t n)
{
	uint32_t i, most = 0;
	size_t m;

	for (m = 0; m < n; m++)
		most = l[m].n > most ? l[m].n : most;
	for (i = 0; i < most; i++)
		for (m = 0; m < n; m++)
			if (i < l[m].n && wanted(o, k, &l[m], i))
				print_answer(k, l, n, m, i);
	return 0;
}

/* No build is given: what any of them says. */
static int any_build(const struct options *o, const struct kind *k)
{
	struct evidence_source none = {.path = ""};
	struct why why = {.code = 0};
	struct list l[LISTS_MAX];
	size_t n = k->all(l, LISTS_MAX);

	if (missing(o, k, l, n)) {
		why_set(&why, WHY_USAGE, -EINVAL, "no %s '%s' in any build that is known", k->what,
			printable(missing(o, k, l, n)));
		return complain(o, &why);
	}
	if (!o->nargs && !o->json && k->all == all_ff) {
		why_set(&why, WHY_USAGE, -EINVAL, "the %s of which build?", k->whats);
		why_hint(&why, "Say -p PID, -f FILE or --gen NAME.");
		return complain(o, &why);
	}
	if (o->json)
		print_json_lists(o, k, l, n, &none);
	else
		print_all(o, k, l, n);
	return 0;
}

static int one_build(const struct options *o, const struct kind *k, const struct tables *t,
		     const struct evidence_source *src)
{
	struct why why = {.code = 0};
	struct list l;
	uint32_t i;

	k->chosen(t, &l);
	if (!l.n) {
		why_set(&why, WHY_UNSUPPORTED, -ENOENT, "the %s are not known: %s", k->whats,
			printable(l.why));
		why_hint(&why, "Choose a build yourself: --gen NAME.");
		return complain(o, &why);
	}
	if (missing(o, k, &l, 1)) {
		why_set(&why, WHY_USAGE, -EINVAL, "no %s '%s' among the %u of %s", k->what,
			printable(missing(o, k, &l, 1)), l.n, l.name);
		return complain(o, &why);
	}
	if (o->json) {
		print_json_lists(o, k, &l, 1, src);
		return 0;
	}
	if (src->path[0])
		fprintf(stderr, "ljx: %s of '%s': %s, %s\n", k->whats, printable(src->path), l.name,
			printable(l.why));
	for (i = 0; i < l.n; i++)
		if (wanted(o, k, &l, i))
			print_row(k, &l, i);
	return 0;
}

static int names(const struct options *o, const struct kind *k)
{
	struct evidence_source src;
	struct tables t;
	int code = names_tables(o, &t, &src);

	if (code < 0)
		return any_build(o, k);
	return code ? code : one_build(o, k, &t, &src);
}

int verb_bc(const struct options *o)
{
	if (o->list)
		return list_code(o);
	return names(o, &kinds[0]);
}

int verb_ff(const struct options *o)
{
	return names(o, &kinds[1]);
}

int verb_err(const struct options *o)
{
	return names(o, &kinds[2]);
}

int verb_ir(const struct options *o)
{
	return names(o, &kinds[3]);
}
