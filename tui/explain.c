// SPDX-License-Identifier: MIT
/* ljx explain: what a reason means, why it happens and what helps. */
#include "bytecode/explain.h"

#include "tui/names.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

enum { FOUND_MAX = 16, WIDTH = 92 };

static const char *const kind_names[] = {[EXPLAIN_ERR] = "trace error",
					 [EXPLAIN_BC] = "bytecode",
					 [EXPLAIN_FUNC] = "function",
					 [EXPLAIN_LINK] = "end of a trace"};

/* A paragraph with a label, wrapped. */
static void paragraph(const char *label, const char *text)
{
	size_t col = 0, len;

	if (!text)
		return;
	printf("  %-9s", label);
	while (*text) {
		len = strcspn(text, " ");
		if (col && col + 1 + len > WIDTH - 11) {
			printf("\n  %-9s", "");
			col = 0;
		}
		col += (size_t)printf(" %.*s", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
	putchar('\n');
}

/* The message of a trace error: in the chosen build, in the newest, or in any that has it. */
static const char *message(const struct explain *e, const struct tables *t)
{
	enum err_id id = err_id_by_name(e->key);
	const struct err_table *all, *try[2];
	struct tables newest;
	size_t n, i;

	if (e->kind != EXPLAIN_ERR)
		return NULL;
	try[0] = t ? t->err : NULL;
	try[1] = tables_by_name("upstream 2.1 2026-07-20", &newest) == 1 ? newest.err : NULL;
	for (i = 0; i < 2; i++)
		if (err_code(try[i], id) >= 0)
			return err_row(try[i], (uint32_t)err_code(try[i], id))->text;
	all = err_all(&n);
	for (i = 0; i < n; i++)
		if (err_code(&all[i], id) >= 0)
			return err_row(&all[i], (uint32_t)err_code(&all[i], id))->text;
	return NULL;
}

static void print_one(const struct explain *e, const struct tables *t)
{
	const char *text = message(e, t);
	char class[128];

	if (text)
		printf("%s: %s\n", e->key, text);
	else
		printf("%s (%s)\n", e->key, kind_names[e->kind]);
	snprintf(class, sizeof(class), "%s: %s", explain_class_name(e->class),
		 explain_class_meaning(e->class));
	paragraph("Reason", e->words);
	paragraph("Why", e->why);
	paragraph("Effect", e->effect);
	paragraph("Usual fix", e->fix);
	paragraph("Versions", e->differs);
	paragraph("Class", class);
	if (e->names && e->kind == EXPLAIN_FUNC)
		paragraph("Also for", e->names);
}

static json_t *one_json(const struct explain *e, const struct tables *t)
{
	return json_pack("{s:s,s:s,s:s,s:s?,s:s,s:s,s:s,s:s,s:s?,s:s?}", "key", e->key, "kind",
			 kind_names[e->kind], "class", explain_class_name(e->class), "message",
			 message(e, t), "reason", e->words, "why", e->why, "effect", e->effect,
			 "fix", e->fix, "versions", e->differs, "names", e->names);
}

static void print_found(const struct options *o, const struct explain *const *found, size_t n,
			const struct tables *t)
{
	json_t *list = json_array(), *j;
	size_t i;

	for (i = 0; i < n && o->json; i++)
		json_array_append_new(list, one_json(found[i], t));
	for (i = 0; i < n && !o->json; i++) {
		if (i)
			putchar('\n');
		print_one(found[i], t);
	}
	j = json_pack("{s:s,s:o}", "schema", "ljx.explain/1", "reasons", list);
	if (o->json && j) {
		json_dumpf(j, stdout, JSON_INDENT(1));
		putchar('\n');
	}
	json_decref(j);
}

/* Without a reason: all there are, a line each. */
static int list_all(const struct options *o, const struct tables *t)
{
	const struct explain *e;
	size_t i;

	if (o->json) {
		const struct explain *all[256];

		for (i = 0; i < 256 && (e = explain_at(i)); i++)
			all[i] = e;
		print_found(o, all, i, t);
		return 0;
	}
	for (i = 0; (e = explain_at(i)); i++)
		printf("%-16s %-9s %s\n", e->key, explain_class_name(e->class), e->words);
	return 0;
}

/* The operands as one text: `ljx explain leaving loop` needs no quotes. */
static void join(const struct options *o, char *buf, size_t size)
{
	size_t i, len = 0;

	buf[0] = '\0';
	for (i = 0; i < o->nargs && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? " " : "", o->arg[i]);
}

int verb_explain(const struct options *o)
{
	const struct explain *found[FOUND_MAX];
	struct evidence_source src;
	struct why why = {.code = 0};
	struct tables tables;
	const struct tables *t = &tables;
	char reason[512];
	size_t n;
	int code = names_tables(o, &tables, &src);

	if (code > 0)
		return code;
	if (code < 0)
		t = NULL;
	if (!o->nargs)
		return list_all(o, t);
	join(o, reason, sizeof(reason));
	n = explain_find(reason, t, found, FOUND_MAX);
	if (!n) {
		why_set(&why, WHY_USAGE, -ENOENT, "nothing to explain about '%s'",
			printable(reason));
		why_hint(&why, "If it is a bytecode or a library function, it compiles. ljx "
			       "explain lists all.");
		return complain(o, &why);
	}
	if (src.path[0] && !o->json)
		fprintf(stderr, "ljx: numbers as in '%s': trace errors %s; bytecodes %s\n",
			printable(src.path), printable(tables.err_why), printable(tables.bc_why));
	print_found(o, found, n, t);
	return 0;
}
