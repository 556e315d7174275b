/* SPDX-License-Identifier: MIT */
/* The table of layouts; its rows are made by mklayouts.c. */
#include "bytecode/layout.h"

#include <string.h>

static const struct layout_row rows[] = {
#include "bytecode/layout_rows.h"
};

const struct layout_row *layout_rows(size_t *n)
{
	*n = sizeof(rows) / sizeof(*rows);
	return rows;
}

const struct layout_row *layout_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	return NULL;
}
