/* SPDX-License-Identifier: MIT */
/* The table of layouts; its rows are made by mklayouts.c. */
#include "bytecode/layout.h"

#include "bytecode/bc.h"

#include <string.h>

/* Larger than any GG_State; copies of the others are at most so large, see layout_sane. */
#define GG_MAX 8192
#define SMALL_MAX 128
#define TRACE_MAX 256
#define PARAMS_MAX 64

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

/* Bytes of a member: what is read of it at most. */
static unsigned int width(const struct layout *l, size_t i)
{
	switch (i) {
	case LAYOUT_GG_bcff:
	case LAYOUT_GG_dispatch:
	case LAYOUT_GG_J:
	case LAYOUT_GG_g:
	case LAYOUT_C_f:
	case LAYOUT_L_base:
	case LAYOUT_L_top:
	case LAYOUT_L_cframe:
	case LAYOUT_G_registrytv:
	case LAYOUT_J_L:
	case LAYOUT_J_pc:
	case LAYOUT_J_fn:
	case LAYOUT_J_pt:
	case LAYOUT_J_trace:
	case LAYOUT_J_startpc:
	case LAYOUT_J_errinfo:
	case LAYOUT_J_szmcarea:
	case LAYOUT_J_szallmcarea:
	case LAYOUT_T_ir:
	case LAYOUT_T_snap:
	case LAYOUT_T_mcode:
		return 8;
	case LAYOUT_J_param:
		return 4u * l->jit_p_max;
	case LAYOUT_J_penalty:
		return 64u * l->PENALTY_size;
	case LAYOUT_L_glref:
	case LAYOUT_L_stack:
	case LAYOUT_L_maxstack:
	case LAYOUT_L_env:
	case LAYOUT_G_cur_L:
	case LAYOUT_G_jit_base:
	case LAYOUT_G_mainthref:
	case LAYOUT_PT_k:
	case LAYOUT_PT_uv:
	case LAYOUT_PT_chunkname:
	case LAYOUT_PT_lineinfo:
	case LAYOUT_PT_uvinfo:
	case LAYOUT_PT_varinfo:
	case LAYOUT_T_startpt:
	case LAYOUT_T_startpc:
	case LAYOUT_F_pc:
		return l->gc64 ? 8 : 4;
	case LAYOUT_L_status:
	case LAYOUT_G_hookmask:
	case LAYOUT_G_dispatchmode:
	case LAYOUT_G_gc_state:
	case LAYOUT_T_linktype:
	case LAYOUT_F_ffid:
		return 1;
	default:
		return 4;
	}
}

/* Where the structure of a field begins in what is copied of it, and where that ends. */
static unsigned int limit(const struct layout *l, const struct layout_field *f, unsigned int *start)
{
	*start = 0;
	if (!strcmp(f->type, "global_State"))
		*start = l->GG_g;
	else if (!strcmp(f->type, "jit_State"))
		*start = l->GG_J;
	else if (!strcmp(f->type, "GCtrace"))
		return l->T_size;
	else if (!strcmp(f->type, "GCproto"))
		return l->PT_size;
	else if (strcmp(f->type, "GG_State") != 0)
		return SMALL_MAX;
	return l->GG_size;
}

static int field_sane(const struct layout *l, size_t i)
{
	const struct layout_field *f = &fields[i];
	unsigned int v = layout_get(l, f), start, end;
	struct layout fixed;

	switch (f->kind) {
	case LAYOUT_IS_OFFSET:
		end = limit(l, f, &start);
		return start + v + width(l, i) <= end;
	case LAYOUT_IS_SIZE:
		return v >= 8 && v <= (i == LAYOUT_GG_size  ? GG_MAX
				       : i == LAYOUT_T_size ? TRACE_MAX
							    : SMALL_MAX);
	case LAYOUT_IS_ENUM:
		return i == LAYOUT_bc_max      ? bc_gen_by_count(v) != NULL
		       : i == LAYOUT_jit_p_max ? v && v <= PARAMS_MAX
					       : v < 256;
	case LAYOUT_IS_FRAME:
		layout_set_width(&fixed, l->gc64);
		return v == layout_get(&fixed, f);
	default:
		return v <= 1;
	}
}

int layout_sane(const struct layout *l, const struct layout_field **bad)
{
	size_t i;

	for (i = 0; i < LAYOUT_NFIELDS; i++) {
		if (field_sane(l, i))
			continue;
		if (bad)
			*bad = &fields[i];
		return 0;
	}
	if (l->GG_dispatch >= 8 && l->GG_dispatch < l->GG_bcff && l->STR_len >= 12 &&
	    l->G_gc_state >= 1)
		return 1;
	if (bad)
		*bad = &fields[LAYOUT_GG_dispatch];
	return 0;
}
