/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes what is found in read-only data, and what a user may ask to have explained. The first
 * byte says whether the input is the data itself, or changes of a binary's true modes: pairs of
 * bytes, where and by what.
 */
#include "bytecode/explain.h"
#include "bytecode/tables.h"

#include <stdlib.h>
#include <string.h>

struct bc_modes {
	uint32_t n;
	const uint16_t *modes;
	const char *const *names;
};
struct ir_modes {
	const char *since;
	const uint8_t *modes;
	const struct ir_table *table;
};
#include "bytecode/bc_tables.h"
#include "bytecode/ir_tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *p, size_t len)
{
	struct tables_evidence e = {.version = "LuaJIT 2.1.0-beta3"};
	struct tables t;

	tables_scan(&e, p, len);
	tables_scan(&e, p + len / 2, len - len / 2);
	tables_choose(&e, &t);
	if (!t.bc_why[0] || !t.ff_why[0] || !t.err_why[0] || !t.ir_why[0])
		abort();
	if ((t.bc && !bc_name(t.bc, t.bc->n - 1)) || (t.ir && !ir_name(t.ir, t.ir->n - 1)))
		abort();
}

static void changed(uint8_t which, const uint8_t *data, size_t size)
{
	const struct bc_modes *b = &bc_modes[which % 3];
	const struct ir_modes *m = &ir_modes[which % (sizeof(ir_modes) / sizeof(*ir_modes))];
	size_t bc = 2 * (b->n + 64u), len = bc + m->table->n + 1, i;
	uint8_t *p = calloc(1, len);

	if (!p)
		abort();
	memcpy(p, b->modes, 2 * b->n);
	memcpy(p + bc, m->modes, m->table->n);
	for (i = 0; i + 1 < size; i += 2)
		p[data[i] * 2u % len] ^= data[i + 1];
	check(p, len);
	free(p);
}

static void text(const uint8_t *data, size_t size)
{
	const struct explain *out[4] = {NULL};
	struct tables t;
	char s[300];
	size_t n;

	n = size < sizeof(s) ? size : sizeof(s) - 1;
	memcpy(s, data, n);
	s[n] = '\0';
	n = explain_find(s, NULL, out, 4);
	if (n > 4 || (n && !out[n - 1]->key))
		abort();
	if (tables_by_name(s, &t) == 1)
		explain_find(s, &t, out, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (!size)
		return 0;
	if (data[0] & 1)
		changed(data[0] >> 1, data + 1, size - 1);
	copy = malloc(size);
	if (!copy)
		abort();
	memcpy(copy, data, size);
	check(copy, size);
	free(copy);
	text(data + 1, size - 1);
	return 0;
}
