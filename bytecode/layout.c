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
	size_t len = strcspn(name, "+"), i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (strlen(rows[i].name) == len && !memcmp(rows[i].name, name, len))
			return &rows[i];
	return NULL;
}

#define FIELD(f, type, member, kind) \
	{#f, type, member, kind, offsetof(struct layout, f), sizeof(((struct layout *)0)->f)},
static const struct layout_field fields[LAYOUT_NFIELDS] = {
#define OFFSET(f, type, member) FIELD(f, type, member, LAYOUT_IS_OFFSET)
#define SIZE(f, type) FIELD(f, type, NULL, LAYOUT_IS_SIZE)
#define ENUM(f, name) FIELD(f, NULL, name, LAYOUT_IS_ENUM)
#define FRAME(f) FIELD(f, NULL, NULL, LAYOUT_IS_FRAME)
#define FLAG(f) FIELD(f, NULL, NULL, LAYOUT_IS_FLAG)
    /* clang-format off */
	LAYOUT_OFFSETS(OFFSET)
	LAYOUT_SIZES(SIZE)
	LAYOUT_ENUMS(ENUM)
	LAYOUT_CFRAME(FRAME)
	LAYOUT_FLAGS(FLAG)
    /* clang-format on */
};

const struct layout_field *layout_fields(void)
{
	return fields;
}

unsigned int layout_get(const struct layout *l, const struct layout_field *f)
{
	const char *p = (const char *)l + f->at;
	layout_u16 v;

	if (f->size == 1)
		return *(const layout_u8 *)p;
	memcpy(&v, p, sizeof(v));
	return v;
}

void layout_set(struct layout *l, const struct layout_field *f, unsigned int value)
{
	char *p = (char *)l + f->at;
	layout_u16 v = (layout_u16)value;

	if (f->size == 1)
		*(layout_u8 *)p = (layout_u8)value;
	else
		memcpy(p, &v, sizeof(v));
}

/*
 * The C frame: LuaJIT src/lj_frame.h, the part for x64 that is not Windows; the assembler uses the
 * same numbers. LJ_FR2 is a macro; src/lj_arch.h defines it as LJ_GC64.
 */
void layout_set_width(struct layout *l, int gc64)
{
	l->gc64 = l->fr2 = gc64 != 0;
	l->CF_nres = gc64 ? 8 : 16;
	l->CF_L = gc64 ? 16 : 24;
	l->CF_pc = gc64 ? 24 : 28;
	l->CF_prev = 32;
	l->CF_size = 80;
}
