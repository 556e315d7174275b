/* SPDX-License-Identifier: MIT */
#include "bytecode/traceerr.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytecode/err_tables.h"

#define N_TABLES (sizeof(err_tables) / sizeof(*err_tables))

/* Since this second (2024-04-19) jit.v names the bytecode of an NYI abort. */
#define NAMED_SINCE 1713478342ull
/* A build of OpenResty's branch after it took that change. */
#define NAMED_OPENRESTY 1737090214ull

const struct err_table *err_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < N_TABLES; i++)
		if (!strcmp(err_tables[i].name, name))
			return &err_tables[i];
	return NULL;
}

/* 2.0.N, of which the texts changed twice: 2.0.3 and 2.0.5. Later ones have a date for N. */
static const struct err_table *choose_20(const char *rest, const char **why)
{
	unsigned long long n = isdigit((unsigned char)*rest) ? strtoull(rest, NULL, 10) : 5;

	if (strchr(rest, '-')) {
		*why = "a beta of 2.0 is not in the tables";
		return NULL;
	}
	*why = "by the version string";
	return err_by_name(n < 3 ? "upstream 2.0.0" : n < 5 ? "upstream 2.0.3" : "upstream 2.0.5");
}

/* "2.1.0-beta3" lasted from 2017 to 2023, and Tarantool has it still. */
static const struct err_table *choose_beta3(const struct ff_table *ff, const struct ir_table *ir,
					    const char **why)
{
	*why = "by the version string";
	/* Tarantool took the new text in July 2024, long after it dropped an IR instruction. */
	if (ff && !strncmp(ff->name, "tarantool", 9)) {
		*why = "by the version string and Tarantool's fast functions";
		if (ir && ir->n == 99) {
			*why =
			    "by the version string and Tarantool's fast functions and IR; whether "
			    "jit.v names bytecodes (since 2024-07) is not certain";
			return err_by_name("upstream 2.1 2024-04-19");
		}
	}
	return err_by_name("upstream 2.1.0-beta2");
}

/* 2.1.N, N the second of the last commit, or ROLLING where that was not known. */
static const struct err_table *choose_rolling(const char *rest, const struct bc_gen *bc,
					      const struct ff_table *ff, const char **why)
{
	unsigned long long n = strtoull(rest, NULL, 10);

	*why = "by the date in the version string";
	if (n && n < NAMED_SINCE)
		return err_by_name("upstream 2.1.0-beta2");
	if (n && n < NAMED_OPENRESTY && ff && !strncmp(ff->name, "openresty", 9))
		*why = "by the date in the version string; whether jit.v names bytecodes is not "
		       "certain for OpenResty's branch of 2024";
	if (!n && bc && bc->n > 97)
		*why = "by the bytecodes, which are of 2026 or later";
	else if (!n)
		*why = "by the version string, which has no date; whether jit.v names bytecodes "
		       "(since 2024-04) is not certain";
	return err_by_name("upstream 2.1 2024-04-19");
}

const struct err_table *err_choose(const char *version, const struct bc_gen *bc,
				   const struct ff_table *ff, const struct ir_table *ir,
				   const char **why)
{
	const char *v = version && !strncmp(version, "LuaJIT ", 7) ? version + 7 : version;

	if (v && !strncmp(v, "2.0.", 4))
		return choose_20(v + 4, why);
	if (v && (!strcmp(v, "2.1.0-beta3")))
		return choose_beta3(ff, ir, why);
	if (v && !strcmp(v, "2.1.0-beta2")) {
		*why = "by the version string";
		return err_by_name("upstream 2.1.0-beta2");
	}
	if (v && !strncmp(v, "2.1.", 4) &&
	    (!strcmp(v + 4, "ROLLING") || strspn(v + 4, "0123456789") == strlen(v + 4)) &&
	    strlen(v + 4) > 6)
		return choose_rolling(v + 4, bc, ff, why);
	*why = !v || !*v		  ? "there is no version string"
	       : !strncmp(v, "2.1.0-", 6) ? "the numbers changed while this version string did not"
					  : "the version is not known";
	return NULL;
}

const struct err_table *err_all(size_t *n)
{
	*n = N_TABLES;
	return err_tables;
}

const struct err_row *err_row(const struct err_table *t, uint32_t code)
{
	return t && code < t->n ? &t->rows[code] : NULL;
}

int err_code(const struct err_table *t, enum err_id id)
{
	uint32_t i;

	for (i = 0; t && i < t->n; i++)
		if (t->rows[i].id == id)
			return (int)i;
	return -1;
}

static const char *const id_names[ERR_MAX] = {
#define NAME(name) #name,
    ERR_IDS(NAME)
#undef NAME
};

const char *err_id_name(enum err_id id)
{
	return id < ERR_MAX ? id_names[id] : NULL;
}

enum err_id err_id_by_name(const char *name)
{
	int id;

	for (id = 0; id < ERR_MAX; id++)
		if (!strcmp(id_names[id], name))
			break;
	return (enum err_id)id;
}

struct argument {
	char text[24];
	const char *s;
	int pad;
};

/* The bytecode of an NYI abort. jit.v cuts the name out of one string of six bytes per opcode. */
static void bytecode(struct argument *a, const struct err_row *row, uint32_t op,
		     const struct bc_gen *bc, enum err_style style)
{
	const char *name = bc_name(bc, op);

	if (style == ERR_JV_NUMBER || (style == ERR_JV && !strstr(row->text, "%s")) || !name)
		return;
	a->s = name;
	a->pad = style == ERR_PLAIN ? 0 : 6;
}

static void argument(struct argument *a, const struct err_row *row, const struct err_info *info,
		     const struct bc_gen *bc, const struct ir_table *ir, enum err_style style)
{
	memset(a, 0, sizeof(*a));
	a->s = "?";
	if (!info || info->kind == ERR_INFO_NONE)
		return;
	if (info->kind == ERR_INFO_FUNC) {
		a->s = info->func ? info->func : "?";
		return;
	}
	snprintf(a->text, sizeof(a->text), "%u", info->number);
	a->s = a->text;
	if (row->id == ERR_NYIBC)
		bytecode(a, row, info->number, bc, style);
	else if (row->id == ERR_NYIIR && style == ERR_PLAIN && ir_name(ir, info->number))
		a->s = ir_name(ir, info->number);
}

int err_format(char *buf, size_t size, const struct err_table *t, uint32_t code,
	       const struct err_info *info, const struct bc_gen *bc, const struct ir_table *ir,
	       enum err_style style)
{
	const struct err_row *row = err_row(t, code);
	struct argument a;
	const char *arg;

	if (!row) {
		if (info && info->kind == ERR_INFO_NUMBER)
			return snprintf(buf, size, "trace error %u (%u)", code, info->number);
		return snprintf(buf, size, "trace error %u", code);
	}
	arg = strchr(row->text, '%');
	if (!arg)
		return snprintf(buf, size, "%s", row->text);
	argument(&a, row, info, bc, ir, style);
	return snprintf(buf, size, "%.*s%-*s%s", (int)(arg - row->text), row->text, a.pad, a.s,
			arg + 2);
}
