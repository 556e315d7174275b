/* SPDX-License-Identifier: MIT */
#include "bytecode/tables.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A point of history; the rest are indices of its tables, -1: none. */
struct tables_point {
	const char *name;
	uint32_t bc; /* opcodes */
	int ff, ff52, err, ir;
};

#include "bytecode/points_tables.h"

#define N_POINTS (sizeof(points) / sizeof(*points))

static int differ(const void *have, const void *found)
{
	return have && found && have != found;
}

void tables_scan_modes(struct tables_evidence *e, const void *rodata, size_t len)
{
	const struct bc_gen *bc = bc_gen_by_mode(rodata, len);
	const struct ir_table *ir = ir_by_mode(rodata, len);

	e->bc_differ |= differ(e->bc, bc);
	e->ir_differ |= differ(e->ir, ir);
	e->bc = e->bc ? e->bc : bc;
	e->ir = e->ir ? e->ir : ir;
}

void tables_scan(struct tables_evidence *e, const void *rodata, size_t len)
{
	const struct ff_table *ff;
	uint32_t named;

	tables_scan_modes(e, rodata, len);
	ff = ff_choose(rodata, len, &named);
	e->ff_differ |= differ(e->ff, ff);
	if (ff || (!e->ff && named > e->ff_named))
		e->ff_named = named;
	e->ff = e->ff ? e->ff : ff;
}

static void choose_bc(const struct tables_evidence *e, struct tables *out)
{
	const struct bc_gen *live = e->layout ? bc_gen_by_count(e->layout->bc_max) : NULL;
	char *why = out->bc_why;

	if (e->bc_differ) {
		snprintf(why, TABLES_WHY, "the file has lj_bc_mode of several generations");
	} else if (e->bc && e->layout && e->bc != live) {
		snprintf(why, TABLES_WHY, "lj_bc_mode has %u opcodes, the live VM %u", e->bc->n,
			 e->layout->bc_max);
	} else if (e->bc) {
		out->bc = e->bc;
		snprintf(why, TABLES_WHY, "by lj_bc_mode in its read-only data, %u opcodes",
			 e->bc->n);
	} else if (live) {
		out->bc = live;
		snprintf(why, TABLES_WHY, "by the layout of the live VM, %u opcodes", live->n);
	} else {
		snprintf(why, TABLES_WHY, "its read-only data has no lj_bc_mode that is known");
	}
}

static void choose_ff(const struct tables_evidence *e, struct tables *out)
{
	if (e->ff_differ) {
		snprintf(out->ff_why, TABLES_WHY, "the file has libraries of several builds");
	} else if (e->ff) {
		out->ff = e->ff;
		snprintf(out->ff_why, TABLES_WHY,
			 "by %u names in its lj_lib_init_* data, in their order", e->ff_named);
	} else if (e->ff_named) {
		snprintf(out->ff_why, TABLES_WHY,
			 "the %u names in its lj_lib_init_* data fit no build that is known",
			 e->ff_named);
	} else {
		snprintf(out->ff_why, TABLES_WHY, "its read-only data has no lj_lib_init_*");
	}
}

static void choose_ir(const struct tables_evidence *e, struct tables *out)
{
	const struct ir_table *live = e->layout ? ir_by_count(e->layout->ir_max) : NULL;

	if (e->ir_differ) {
		snprintf(out->ir_why, TABLES_WHY, "the file has lj_ir_mode of several generations");
	} else if (e->ir) {
		out->ir = e->ir;
		snprintf(out->ir_why, TABLES_WHY,
			 "by lj_ir_mode in its read-only data, %u instructions", e->ir->n);
	} else if (live) {
		out->ir = live;
		snprintf(out->ir_why, TABLES_WHY, "by the layout of the live VM, %u instructions",
			 live->n);
	} else {
		snprintf(out->ir_why, TABLES_WHY,
			 "its read-only data has no lj_ir_mode that is known");
	}
}

void tables_choose(const struct tables_evidence *e, struct tables *out)
{
	const char *why;

	memset(out, 0, sizeof(*out));
	choose_bc(e, out);
	choose_ff(e, out);
	choose_ir(e, out);
	out->err = err_choose(e->version, out->bc, out->ff, out->ir, &why);
	if (e->version && e->version[0])
		snprintf(out->err_why, TABLES_WHY, "%s, '%s'", why, e->version);
	else
		snprintf(out->err_why, TABLES_WHY, "%s", why);
}

static void point_tables(const struct tables_point *p, int lua52, struct tables *out)
{
	int ff = lua52 ? p->ff52 : p->ff;
	size_t n;

	memset(out, 0, sizeof(*out));
	out->bc = bc_gen_by_count(p->bc);
	out->ff = &ff_all(&n)[ff];
	out->err = &err_all(&n)[p->err];
	out->ir = &ir_all(&n)[p->ir];
	snprintf(out->bc_why, TABLES_WHY, "as asked for: %s", p->name);
	snprintf(out->ff_why, TABLES_WHY, "as asked for: %s%s", p->name, lua52 ? "+52" : "");
	snprintf(out->err_why, TABLES_WHY, "as asked for: %s", p->name);
	snprintf(out->ir_why, TABLES_WHY, "as asked for: %s", p->name);
}

/* Is the first len bytes of word in name, in any case? */
static int contains(const char *name, const char *word, size_t len)
{
	for (; *name; name++)
		if (!strncasecmp(name, word, len))
			return 1;
	return 0;
}

static int only_bytecodes(const char *name, struct tables *out)
{
	static const char none[] = "a generation of bytecodes tells nothing else";
	const struct bc_gen *gens;
	size_t n, i;

	gens = bc_gens(&n);
	for (i = 0; i < n; i++) {
		if (strcasecmp(gens[i].name, name) != 0)
			continue;
		memset(out, 0, sizeof(*out));
		out->bc = &gens[i];
		snprintf(out->bc_why, TABLES_WHY, "as asked for: %s", gens[i].name);
		memcpy(out->ff_why, none, sizeof(none));
		memcpy(out->err_why, none, sizeof(none));
		memcpy(out->ir_why, none, sizeof(none));
		return 1;
	}
	return 0;
}

size_t tables_by_name(const char *name, struct tables *out)
{
	size_t len = strlen(name), i, n = 0, last = 0;
	int lua52 = len > 3 && !strcmp(name + len - 3, "+52");

	if (only_bytecodes(name, out))
		return 1;
	if (lua52)
		len -= 3;
	for (i = 0; len && i < N_POINTS; i++) {
		if (strlen(points[i].name) == len && !strncasecmp(points[i].name, name, len)) {
			n = 1;
			last = i;
			break;
		}
		if (contains(points[i].name, name, len)) {
			last = i;
			n++;
		}
	}
	if (n == 1)
		point_tables(&points[last], lua52, out);
	return n;
}

const char *tables_point(size_t i)
{
	return i < N_POINTS ? points[i].name : NULL;
}
