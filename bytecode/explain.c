/* SPDX-License-Identifier: MIT */
#include "bytecode/explain.h"

#include "bytecode/explain_texts.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_REASON 256

/* What one lookup has found so far. */
struct found {
	const struct explain **out;
	size_t n, max;
};

static void add(struct found *f, const struct explain *e)
{
	size_t i;

	for (i = 0; e && i < f->n && i < f->max; i++)
		if (f->out[i] == e)
			return;
	if (e && f->n < f->max)
		f->out[f->n++] = e;
}

const struct explain *explain_err(enum err_id id)
{
	return id < ERR_MAX ? &explain_errs[id] : NULL;
}

static const struct explain *by_key(const struct explain *list, const char *name)
{
	for (; list->key; list++)
		if (!strcasecmp(list->key, name))
			return list;
	return NULL;
}

const struct explain *explain_bytecode(const char *name)
{
	return by_key(explain_bcs, name);
}

/* Is name among the other names of e? wild: by a "*" at the end of one, else whole. */
static bool is_named(const struct explain *e, const char *name, bool wild)
{
	const char *p = e->names;
	size_t len;

	for (; p && *p; p += len + (p[len] == ' ')) {
		len = strcspn(p, " ");
		if (wild ? p[len - 1] == '*' && !strncasecmp(p, name, len - 1)
			 : strlen(name) == len && !strncasecmp(p, name, len))
			return true;
	}
	return false;
}

/* By key or other name in a list. */
static const struct explain *by_name(const struct explain *list, const char *name)
{
	const struct explain *e = by_key(list, name);

	for (; !e && list->key; list++)
		if (is_named(list, name, false))
			e = list;
	return e;
}

const struct explain *explain_link(const char *name)
{
	return by_name(explain_links, name);
}

const struct explain *explain_function(const char *name)
{
	const struct explain *e = by_name(explain_funcs, name);

	if (e)
		return e;
	for (e = explain_funcs; e->key; e++)
		if (is_named(e, name, true))
			return e;
	/* jit.v's form of a C function. */
	return strncmp(name, "C:", 2) ? NULL : by_key(explain_funcs, "C function");
}

/* The rest of s after prefix, in any case; NULL: it does not begin so. */
static const char *after(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncasecmp(s, prefix, n) ? NULL : s + n;
}

static bool is_number(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s) && strlen(s) < 6;
}

/* A trace error by its number: by table t, or what it is in any of them. */
static void add_code(struct found *f, uint32_t code, const struct err_table *t)
{
	const struct err_row *row;
	size_t n, i;

	if (t) {
		row = err_row(t, code);
		add(f, row ? explain_err(row->id) : NULL);
		return;
	}
	t = err_all(&n);
	for (i = 0; i < n; i++) {
		row = err_row(&t[i], code);
		add(f, row ? explain_err(row->id) : NULL);
	}
}

/* The bytecode of an NYI abort, by name or by number. */
static void add_bytecode(struct found *f, const char *arg, const struct bc_gen *gen)
{
	const struct bc_gen *all;
	const char *name;
	uint32_t op;
	size_t n, i;

	if (!is_number(arg)) {
		add(f, explain_bytecode(arg));
		return;
	}
	op = (uint32_t)strtoul(arg, NULL, 10);
	all = bc_gens(&n);
	for (i = 0; i < n; i++) {
		name = gen && gen != &all[i] ? NULL : bc_name(&all[i], op);
		add(f, name ? explain_bytecode(name) : NULL);
	}
}

/* The argument of a message, up to " at LOCATION", without jit.v's padding. */
static void add_argument(struct found *f, enum err_id id, const char *arg, const struct tables *t)
{
	char word[MAX_REASON];
	size_t len = strcspn(arg, " ]");

	if (len >= sizeof(word))
		return;
	memcpy(word, arg, len);
	word[len] = '\0';
	if (id == ERR_NYIBC)
		add_bytecode(f, word, t ? t->bc : NULL);
	else if (id == ERR_NYIFF || id == ERR_NYIFFU)
		add(f, explain_function(word));
}

/* A whole message at the start of s: the longest text that fits, of any generation. */
static void add_message(struct found *f, const char *s, const struct tables *t)
{
	const struct err_row *best = NULL;
	const struct err_table *all;
	size_t n, i, len, longest = 0;
	uint32_t code;

	all = err_all(&n);
	for (i = 0; i < n; i++)
		for (code = 0; code < all[i].n; code++) {
			const struct err_row *row = &all[i].rows[code];

			len = strcspn(row->text, "%");
			if (len > longest && !strncasecmp(row->text, s, len)) {
				longest = len;
				best = row;
			}
		}
	if (!best)
		return;
	if (best->text[longest])
		add_argument(f, best->id, s + longest, t);
	add(f, explain_err(best->id));
}

/* A bytecode or library function of any generation: it has no explanation because it compiles. */
static bool compiles(const char *s)
{
	const struct ff_table *ff;
	const struct bc_gen *g;
	const char *name = after(s, "BC_");
	size_t n, i;
	uint32_t k;

	name = name ? name : s;
	g = bc_gens(&n);
	for (i = 0; i < n; i++)
		for (k = 0; k < g[i].n; k++)
			if (!strcasecmp(g[i].ops[k].name, name))
				return true;
	ff = ff_all(&n);
	for (i = 0; i < n; i++)
		for (k = 0; k < ff[i].n; k++)
			if (!strcasecmp(ff[i].names[k], s))
				return true;
	return false;
}

/* A part of messages: "unroll limit". */
static void add_parts(struct found *f, const char *s)
{
	const struct err_table *all;
	size_t n, i;
	uint32_t code;

	all = err_all(&n);
	for (i = 0; i < n && strlen(s) >= 4; i++)
		for (code = 0; code < all[i].n; code++)
			if (strcasestr(all[i].rows[code].text, s))
				add(f, explain_err(all[i].rows[code].id));
}

static void add_name(struct found *f, const char *s)
{
	const char *name = after(s, "LJ_TRERR_");
	int id;

	name = name ? name : s;
	for (id = 0; id < ERR_MAX; id++)
		if (!strcasecmp(err_id_name((enum err_id)id), name))
			add(f, explain_err((enum err_id)id));
	name = after(s, "BC_");
	add(f, explain_bytecode(name ? name : s));
	add(f, explain_function(s));
	name = after(s, "fallback to ");
	add(f, explain_link(name ? name : s));
}

/* What of a line of jit.v is the reason; else s itself. Ends where the line's bracket does. */
static void cut_line(const char *s, char *out)
{
	const char *p = strstr(s, " -- "), *end;

	if (p) {
		s = p + 4;
	} else if (*s == '[') {
		p = strstr(s, " stitch ");
		s = p ? p + 1 : s + 1;
	}
	while (isspace((unsigned char)*s))
		s++;
	end = s + strcspn(s, "]\n");
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	if (end - s >= MAX_REASON)
		end = s + MAX_REASON - 1;
	memcpy(out, s, (size_t)(end - s));
	out[end - s] = '\0';
}

size_t explain_find(const char *reason, const struct tables *t, const struct explain **out,
		    size_t max)
{
	struct found f = {out, 0, max};
	char s[MAX_REASON];
	const char *callee;

	cut_line(reason, s);
	if (!s[0])
		return 0;
	if (is_number(s)) {
		add_code(&f, (uint32_t)strtoul(s, NULL, 10), t ? t->err : NULL);
		return f.n;
	}
	callee = after(s, "stitch ");
	if (callee) {
		add(&f, explain_function(callee));
		add(&f, explain_link("stitch"));
	}
	if (!f.n)
		add_name(&f, s);
	if (!f.n)
		add_message(&f, s, t);
	if (!f.n && !compiles(s))
		add_parts(&f, s);
	return f.n;
}

const struct explain *explain_at(size_t i)
{
	const struct explain *lists[] = {explain_bcs, explain_funcs, explain_links}, *e;
	size_t l;

	if (i < ERR_MAX)
		return &explain_errs[i];
	i -= ERR_MAX;
	for (l = 0; l < sizeof(lists) / sizeof(*lists); l++)
		for (e = lists[l]; e->key; e++)
			if (!i--)
				return e;
	return NULL;
}

static const struct {
	const char *name, *meaning;
} classes[EXPLAIN_CLASS_MAX] = {
#define CLASS(id, name, meaning) {name, meaning},
    EXPLAIN_CLASSES(CLASS)
#undef CLASS
};

const char *explain_class_name(enum explain_class class)
{
	return class < EXPLAIN_CLASS_MAX ? classes[class].name : NULL;
}

const char *explain_class_meaning(enum explain_class class)
{
	return class < EXPLAIN_CLASS_MAX ? classes[class].meaning : NULL;
}
