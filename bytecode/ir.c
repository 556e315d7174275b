/* SPDX-License-Identifier: MIT */
/* Names of IR instructions by generation, and the modes that tell generations apart. */
#include "bytecode/ir.h"

#include <string.h>

/* Modes of the instructions of a table. Several of them may have the same names. */
struct ir_modes {
	const char *since;
	const uint8_t *modes;
	const struct ir_table *table;
};

#include "bytecode/ir_tables.h"

#define N_TABLES (sizeof(ir_tables) / sizeof(*ir_tables))
#define N_MODES (sizeof(ir_modes) / sizeof(*ir_modes))

/* Is the run, with the zero that ends it, in the data? */
static int has_run(const uint8_t *data, size_t len, const struct ir_modes *m)
{
	const uint8_t *p = data, *end = data + len;
	size_t n = m->table->n;

	while ((p = memmem(p, (size_t)(end - p), m->modes, n))) {
		if ((size_t)(end - p) > n && !p[n])
			return 1;
		p++;
	}
	return 0;
}

const struct ir_table *ir_by_mode(const void *rodata, size_t len)
{
	const struct ir_table *found = NULL;
	size_t i;

	for (i = 0; i < N_MODES; i++) {
		if (!has_run(rodata, len, &ir_modes[i]))
			continue;
		if (found && found != ir_modes[i].table)
			return NULL;
		found = ir_modes[i].table;
	}
	return found;
}

const struct ir_table *ir_by_count(uint32_t n)
{
	const struct ir_table *found = NULL;
	size_t i;

	for (i = 0; i < N_TABLES; i++) {
		if (ir_tables[i].n != n)
			continue;
		if (found)
			return NULL;
		found = &ir_tables[i];
	}
	return found;
}

const struct ir_table *ir_all(size_t *n)
{
	*n = N_TABLES;
	return ir_tables;
}

const struct ir_table *ir_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < N_TABLES; i++)
		if (!strcmp(ir_tables[i].name, name))
			return &ir_tables[i];
	return NULL;
}

const char *ir_name(const struct ir_table *t, uint32_t op)
{
	return t && op < t->n ? t->names[op] : NULL;
}
