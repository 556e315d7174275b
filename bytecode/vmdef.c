// SPDX-License-Identifier: MIT
#include "bytecode/vmdef.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CELL 6u /* characters of a name in bcnames and irnames */

/* As text, in the order of enum vmdef_list. */
static const struct {
	const char *head;
	int joined; /* one string of padded names, else a table of strings */
} lists[VMDEF_LISTS] = {
    {"bcnames = \"", 1}, {"ffnames = {", 0}, {"traceerr = {", 0}, {"irnames = \"", 1}};

static void add(struct vmdef *v, unsigned int list, size_t at, size_t len)
{
	uint32_t n = v->list[list].n;

	if (n >= VMDEF_NAMES_MAX)
		return;
	v->list[list].name[n].at = (uint32_t)at;
	v->list[list].name[n].len = (uint32_t)len;
	v->list[list].n = n + 1;
}

/* "ISLT  ISGE  FUNCCW": cells of CELL characters, the last one maybe shorter. */
static void read_joined(struct vmdef *v, unsigned int list, size_t at, size_t end)
{
	size_t len, trimmed;

	for (; at < end && v->text[at] != '"' && v->text[at] != '\n'; at += len) {
		for (len = 0; len < CELL && at + len < end && v->text[at + len] != '"'; len++)
			;
		for (trimmed = len; trimmed && v->text[at + trimmed - 1] == ' '; trimmed--)
			;
		add(v, list, at, trimmed);
	}
}

/* [0]="Lua", "C", up to the brace. */
static void read_table(struct vmdef *v, unsigned int list, size_t at, size_t end)
{
	size_t start;

	while (at < end && v->text[at] != '}') {
		if (v->text[at++] != '"')
			continue;
		for (start = at; at < end && v->text[at] != '"'; at++)
			if (v->text[at] == '\\' && at + 1 < end)
				at++;
		if (at < end)
			add(v, list, start, at - start);
		at++;
	}
}

int vmdef_parse(const char *text, size_t len, struct vmdef *out)
{
	unsigned int i, found = 0;

	memset(out, 0, sizeof(*out));
	out->text = text;
	if (len > VMDEF_SIZE_MAX)
		return -E2BIG;
	for (i = 0; i < VMDEF_LISTS; i++) {
		const char *at = memmem(text, len, lists[i].head, strlen(lists[i].head));
		size_t from;

		/* At the start of a line: a list's name may be the end of another's. */
		if (!at || (at > text && at[-1] != '\n'))
			continue;
		from = (size_t)(at - text) + strlen(lists[i].head);
		if (lists[i].joined)
			read_joined(out, i, from, len);
		else
			read_table(out, i, from, len);
		found += out->list[i].n != 0;
	}
	return found ? 0 : -EINVAL;
}

int vmdef_name(const struct vmdef *v, enum vmdef_list list, uint32_t i, char *buf, size_t size)
{
	uint32_t len, k;
	char c;

	if (size)
		buf[0] = '\0';
	if (i >= v->list[list].n)
		return 0;
	len = v->list[list].name[i].len;
	for (k = 0; k < len && k + 1 < size; k++) {
		c = v->text[v->list[list].name[i].at + k];
		buf[k] = (unsigned char)c < ' ' || (unsigned char)c >= 0x7f ? '?' : c;
	}
	if (size)
		buf[k] = '\0';
	return (int)len;
}

const char *vmdef_ours(const struct tables *t, enum vmdef_list list, uint32_t i)
{
	const struct err_row *row;

	switch (list) {
	case VMDEF_BC:
		return t->bc ? bc_name(t->bc, i) : NULL;
	case VMDEF_FF:
		return ff_name(t->ff, i);
	case VMDEF_IR:
		return t->ir ? ir_name(t->ir, i) : NULL;
	case VMDEF_ERR:
		row = err_row(t->err, i);
		return row ? row->text : NULL;
	default:
		return NULL;
	}
}

int64_t vmdef_differs(const struct vmdef *v, enum vmdef_list list, const struct tables *t)
{
	uint32_t n = v->list[list].n, i;
	const char *ours;

	if (!n || !vmdef_ours(t, list, 0))
		return -1;
	for (i = 0; i < n; i++) {
		ours = vmdef_ours(t, list, i);
		if (!ours || strlen(ours) != v->list[list].name[i].len ||
		    memcmp(ours, v->text + v->list[list].name[i].at, strlen(ours)) != 0)
			return i;
	}
	/* Both end here, unless the file has more than is looked at. */
	return n < VMDEF_NAMES_MAX && vmdef_ours(t, list, n) ? (int64_t)n : -1;
}

static int same(const struct vmdef *v, enum vmdef_list list, const struct tables *t)
{
	return v->list[list].n && vmdef_ours(t, list, 0) && vmdef_differs(v, list, t) < 0;
}

void vmdef_tables(const struct vmdef *v, struct tables *out)
{
	const struct bc_gen *bc;
	const struct ff_table *ff;
	const struct err_table *err;
	const struct ir_table *ir;
	size_t n, i;

	memset(out, 0, sizeof(*out));
	bc = bc_gens(&n);
	for (i = 0; i < n && !out->bc; i++)
		if (same(v, VMDEF_BC, &(struct tables){.bc = &bc[i]}))
			out->bc = &bc[i];
	ff = ff_all(&n);
	for (i = 0; i < n && !out->ff; i++)
		if (same(v, VMDEF_FF, &(struct tables){.ff = &ff[i]}))
			out->ff = &ff[i];
	err = err_all(&n);
	for (i = 0; i < n && !out->err; i++)
		if (same(v, VMDEF_ERR, &(struct tables){.err = &err[i]}))
			out->err = &err[i];
	ir = ir_all(&n);
	for (i = 0; i < n && !out->ir; i++)
		if (same(v, VMDEF_IR, &(struct tables){.ir = &ir[i]}))
			out->ir = &ir[i];
	snprintf(out->bc_why, TABLES_WHY,
		 out->bc ? "by vmdef.lua" : "no table is as vmdef.lua says");
	snprintf(out->ff_why, TABLES_WHY,
		 out->ff ? "by vmdef.lua" : "no table is as vmdef.lua says");
	snprintf(out->err_why, TABLES_WHY,
		 out->err ? "by vmdef.lua" : "no table is as vmdef.lua says");
	snprintf(out->ir_why, TABLES_WHY,
		 out->ir ? "by vmdef.lua" : "no table is as vmdef.lua says");
}
