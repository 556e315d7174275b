// SPDX-License-Identifier: MIT
#include "bpf/guess.h"

#include "bpf/dwarf.h"
#include "bpf/finder_int.h"
#include "bytecode/tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const from_names[] = {
#define GUESS_NAME(id, text) text,
    GUESS_FROM(GUESS_NAME)
#undef GUESS_NAME
};

const char *guess_from_name(enum guess_from from)
{
	return from_names[from];
}

/* Which structure an anchor belongs to: what may be moved, and what must be as the row says. */
enum part { PART_GG, PART_GLOBAL, PART_REST };

static enum part part_of(enum finder_anchor_id id)
{
	switch (id) {
	case FINDER_A_DISP2J:
	case FINDER_A_DISP2HOT:
	case FINDER_A_G2DISP:
		return PART_GG;
	case FINDER_A_G_hookmask:
	case FINDER_A_G_vmstate:
	case FINDER_A_G_cur_L:
	case FINDER_A_G_jit_base:
		return PART_GLOBAL;
	default:
		return PART_REST;
	}
}

/* How many anchors of the parts (bits) contradict the layout. */
static unsigned int contradictions(const struct finder *f, const struct layout *l,
				   unsigned int parts)
{
	const int32_t expect[] = {
#define GUESS_ANCHOR(id, value) value,
	    FINDER_ANCHORS(GUESS_ANCHOR)
#undef GUESS_ANCHOR
	};
	unsigned int i, bad = 0;
	int32_t got;

	for (i = 0; i < FINDER_NANCHORS; i++)
		if (parts >> part_of(i) & 1 && !finder_anchor(f, i, &got) && got != expect[i])
			bad++;
	return bad;
}

/* Fields that are anchors themselves. */
#define CODE_FIELDS(_) \
	_(L_glref)     \
	_(L_base)      \
	_(L_top)       \
	_(L_stack)     \
	_(L_cframe)    \
	_(G_hookmask)  \
	_(G_vmstate)   \
	_(G_cur_L)     \
	_(G_jit_base)  \
	_(J_L)         \
	_(J_state)     \
	_(J_trace)     \
	_(J_parent)    \
	_(J_exitno)    \
	_(J_errinfo)   \
	_(T_mcode)     \
	_(ST_ERR)

static void mark_code(const struct finder *f, struct guess *g)
{
	int32_t got;

#define MARK(field)                                    \
	if (!finder_anchor(f, FINDER_A_##field, &got)) \
		g->from[LAYOUT_##field] = GUESS_CODE;
	CODE_FIELDS(MARK)
#undef MARK
}

static struct guess *add(struct guesses *out, const struct layout_row *row, enum guess_from from)
{
	struct guess *g;

	if (out->n >= GUESSES_MAX)
		return NULL;
	g = &out->g[out->n++];
	memset(g, 0, sizeof(*g));
	g->row = *row;
	memset(g->from, (int)from, sizeof(g->from));
	return g;
}

/*
 * Names a guess that is no row: by the row that it is like, which tells readers of recordings the
 * bytecodes, and by what else it is.
 */
static void name_guess(struct guess *g, const char *what)
{
	const struct layout_field *f = layout_fields();
	const struct layout_row *rows, *near = NULL;
	unsigned int differ, least = ~0u;
	size_t n, i, k;

	rows = layout_rows(&n);
	for (i = 0; i < n; i++) {
		if (rows[i].l.gc64 != g->row.l.gc64 || rows[i].l.bc_max != g->row.l.bc_max)
			continue;
		differ = rows[i].l.ir_max == g->row.l.ir_max ? 0 : LAYOUT_NFIELDS;
		for (k = 0; k < LAYOUT_NFIELDS; k++)
			differ += layout_get(&rows[i].l, &f[k]) != layout_get(&g->row.l, &f[k]);
		if (differ < least) {
			least = differ;
			near = &rows[i];
		}
	}
	snprintf(g->name, sizeof(g->name), "%s+%.20s", near ? near->name : "", what);
	g->row.name = g->name;
}

/* --- debug information --- */

/* 0, whatever it has, or -ENOMEM. */
static int by_dwarf(const struct elfobj *eo, const struct finder *f, struct guesses *out)
{
	struct layout_row row = {.name = NULL, .where = "debug information"};
	const struct layout_row *rows;
	struct guess *g;
	size_t n, i;
	int err = dwarf_layout(eo, &row.l, NULL);

	if (err == -ENOMEM)
		return err;
	if (err || row.l.gc64 != f->vm.gc64 || !layout_sane(&row.l, NULL) ||
	    contradictions(f, &row.l, ~0u))
		return 0;
	rows = layout_rows(&n);
	for (i = 0; i < n; i++)
		if (!memcmp(&rows[i].l, &row.l, sizeof(row.l)))
			row.name = rows[i].name;
	g = add(out, &row, GUESS_DWARF);
	if (g && !row.name)
		name_guess(g, "dwarf");
	return 0;
}

/* --- rows that fit --- */

static void by_table(const struct finder *f, struct guesses *out)
{
	const struct layout_row *rows;
	struct guess *g;
	size_t n, i;

	rows = layout_rows(&n);
	for (i = 0; i < n; i++) {
		if (rows[i].l.gc64 != f->vm.gc64 || contradictions(f, &rows[i].l, ~0u))
			continue;
		g = add(out, &rows[i], GUESS_TABLE);
		if (g)
			mark_code(f, g);
	}
}

/* --- derived --- */

/* How far an anchor of global_State is from where the row has it. */
struct moved {
	unsigned int at; /* in the row */
	int by;
};

#define GLOBAL_ANCHORS 4

static int by_offset(const void *a, const void *b)
{
	const struct moved *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static size_t moved_anchors(const struct finder *f, const struct layout *row, struct moved *m)
{
	const struct {
		enum finder_anchor_id id;
		unsigned int at;
	} anchor[GLOBAL_ANCHORS] = {{FINDER_A_G_hookmask, row->G_hookmask},
				    {FINDER_A_G_vmstate, row->G_vmstate},
				    {FINDER_A_G_cur_L, row->G_cur_L},
				    {FINDER_A_G_jit_base, row->G_jit_base}};
	size_t i, n = 0;
	int32_t got;

	for (i = 0; i < GLOBAL_ANCHORS; i++) {
		if (finder_anchor(f, anchor[i].id, &got))
			continue;
		m[n].at = anchor[i].at;
		m[n++].by = got - (int)anchor[i].at;
	}
	qsort(m, n, sizeof(*m), by_offset);
	return n;
}

/*
 * By how much a field of global_State has moved: as its neighbour below, or (high) above. The start
 * of the structure has not moved.
 */
static int moved_by(const struct moved *m, size_t n, unsigned int at, int high)
{
	int by = 0;
	size_t i;

	for (i = 0; i < n && m[i].at <= at; i++)
		by = m[i].by;
	return high && i < n ? m[i].by : by;
}

static void move_field(struct guess *g, size_t field, int by)
{
	const struct layout_field *f = &layout_fields()[field];

	layout_set(&g->row.l, f, (unsigned int)((int)layout_get(&g->row.l, f) + by));
	if (by && g->from[field] != GUESS_CODE)
		g->from[field] = GUESS_DERIVED;
}

static int is_global(const struct layout_field *f)
{
	return f->kind == LAYOUT_IS_OFFSET && !strcmp(f->type, "global_State");
}

/*
 * A row's GG_State as the code has it: only where global_State begins is not in the code, so dist
 * tells. Fields between two anchors that moved by different amounts went with either; choice has a
 * bit for each that memory can tell of: mainthref, registrytv.
 */
static void add_derived(const struct finder *f, const struct layout_row *row, unsigned int dist,
			unsigned int choice, struct guesses *out)
{
	const struct layout_field *fields = layout_fields();
	static const uint8_t gg[] = {LAYOUT_GG_g,	 LAYOUT_GG_J,	 LAYOUT_GG_hotcount,
				     LAYOUT_GG_dispatch, LAYOUT_GG_bcff, LAYOUT_GG_size};
	int32_t g2disp = 0, disp2j = 0, disp2hot = 0;
	struct moved m[GLOBAL_ANCHORS];
	int by[sizeof(gg)], high;
	size_t n, i;
	struct guess *g;

	if (finder_anchor(f, FINDER_A_G2DISP, &g2disp) ||
	    finder_anchor(f, FINDER_A_DISP2J, &disp2j) ||
	    finder_anchor(f, FINDER_A_DISP2HOT, &disp2hot))
		return;
	g = add(out, row, GUESS_TABLE);
	if (!g)
		return;
	mark_code(f, g);
	n = moved_anchors(f, &row->l, m);
	for (i = 0; i < LAYOUT_NFIELDS; i++) {
		if (!is_global(&fields[i]))
			continue;
		high = (i == LAYOUT_G_mainthref && choice & 1) ||
		       (i == LAYOUT_G_registrytv && choice & 2);
		move_field(g, i, moved_by(m, n, layout_get(&row->l, &fields[i]), high));
	}
	by[0] = (int)dist - row->l.GG_g;
	by[3] = (int)dist + g2disp - row->l.GG_dispatch;
	by[1] = row->l.GG_dispatch + by[3] + disp2j - row->l.GG_J;
	by[2] = row->l.GG_dispatch + by[3] + disp2hot - row->l.GG_hotcount;
	by[4] = by[5] = by[3];
	for (i = 0; i < sizeof(gg); i++)
		move_field(g, gg[i], by[i]);
	/* What lua_State has grown by lies at its end. */
	move_field(g, LAYOUT_L_size, by[0]);
	for (i = 0; &out->g[i] != g; i++) {
		if (!memcmp(&out->g[i].row.l, &g->row.l, sizeof(g->row.l))) {
			out->n--; /* two rows come to the same */
			return;
		}
	}
	snprintf(g->name, sizeof(g->name), "%s+code", row->name);
	snprintf(g->where, sizeof(g->where), "derived from the machine code and %s", row->name);
	g->row.name = g->name;
	g->row.where = g->where;
}

/*
 * Distances of global_State from GG_State's start that were ever seen with such references, and a
 * little beyond, as lua_State has only ever grown.
 */
static size_t distances(int gc64, unsigned int *d, size_t max)
{
	const struct layout_row *rows;
	unsigned int low = ~0u, high = 0;
	size_t n, i, nd = 0;

	rows = layout_rows(&n);
	for (i = 0; i < n; i++) {
		if (rows[i].l.gc64 != gc64)
			continue;
		low = rows[i].l.GG_g < low ? rows[i].l.GG_g : low;
		high = rows[i].l.GG_g > high ? rows[i].l.GG_g : high;
	}
	for (; low <= high + 16 && nd < max; low += 8)
		d[nd++] = low;
	return nd;
}

/* Can the choice of a field make a difference? */
static unsigned int useful_choices(const struct finder *f, const struct layout *l)
{
	struct moved m[GLOBAL_ANCHORS];
	size_t n = moved_anchors(f, l, m);

	return (moved_by(m, n, l->G_mainthref, 0) != moved_by(m, n, l->G_mainthref, 1) ? 1u : 0u) |
	       (moved_by(m, n, l->G_registrytv, 0) != moved_by(m, n, l->G_registrytv, 1) ? 2u : 0u);
}

/*
 * No row fits. Those count as a base whose jit_State, GCtrace and lua_State the code confirms:
 * patches touch global_State and lua_State's end.
 */
void guess_by_code(const struct finder *f, struct guesses *out)
{
	const struct layout_row *rows, *near = NULL;
	unsigned int dist[8], choice, choices, bad, least = ~0u;
	size_t n, nd = distances(f->vm.gc64, dist, sizeof(dist) / sizeof(*dist)), i, j;

	rows = layout_rows(&n);
	for (i = 0; i < n; i++) {
		if (rows[i].l.gc64 != f->vm.gc64)
			continue;
		bad = contradictions(f, &rows[i].l, ~0u) +
		      FINDER_NANCHORS * contradictions(f, &rows[i].l, 1u << PART_REST);
		if (bad < least) {
			least = bad;
			near = &rows[i];
		}
		if (bad >= FINDER_NANCHORS)
			continue;
		choices = useful_choices(f, &rows[i].l);
		for (j = 0; j < nd; j++)
			for (choice = 0; choice < 4; choice++)
				if (!(choice & ~choices))
					add_derived(f, &rows[i], dist[j], choice, out);
	}
	if (near)
		finder_check_layout(f, &near->l, out->text, sizeof(out->text));
}

/* --- choosing among guesses --- */

/* mov [reg + disp8], a register of size bytes; the displacement, or -1. *base: which register. */
static int store8(const uint8_t *p, unsigned int size, unsigned int *base)
{
	if (p[0] != (size == 1 ? 0x88 : 0x89) || p[1] >> 6 != 1 || (p[1] & 7) == FR_SP)
		return -1;
	*base = p[1] & 7;
	return p[2];
}

#define NEAR 24u /* bytes between two stores of one line of source each */

/*
 * GCtrace.linktype moved once, nothing in the interpreter uses it: lj_record.c:lj_record_stop sets
 * it next to GCtrace.link. How many such pairs of stores has the code?
 */
static unsigned int stores_linktype(const uint8_t *p, size_t len, const struct layout *l)
{
	unsigned int base, other, votes = 0;
	size_t i, k;

	for (i = NEAR; i + NEAR + 4 < len; i++) {
		if (p[i] != 0x66)
			continue;
		k = i + 1 + ((p[i + 1] & 0xf0) == 0x40); /* REX */
		if (store8(p + k, 2, &base) != l->T_link)
			continue;
		for (k = i - NEAR; k < i + NEAR; k++)
			votes += store8(p + k, 1, &other) == l->T_linktype && other == base;
	}
	return votes;
}

#define TEXT_MAX (32u << 20)

static int drop_by_linktype(const struct elfobj *eo, const struct elfobj_vm *vm, int *drop,
			    const struct guesses *gs)
{
	unsigned int votes[GUESSES_MAX], most = 0;
	uint64_t start, end;
	uint8_t *text;
	size_t i, len;

	if (elfobj_text(eo, vm->asm_start, &start, &end))
		return 0;
	len = end - start < TEXT_MAX ? end - start : TEXT_MAX;
	text = malloc(len);
	if (!text)
		return -ENOMEM;
	len = elfobj_read(eo, start, text, len);
	for (i = 0; i < gs->n; i++) {
		votes[i] = stores_linktype(text, len, &gs->g[i].row.l);
		most = votes[i] > most ? votes[i] : most;
	}
	for (i = 0; i < gs->n; i++)
		drop[i] |= votes[i] < most;
	free(text);
	return 0;
}

static int scan_modes(void *ctx, uint64_t vaddr, const void *p, size_t len)
{
	(void)vaddr;
	tables_scan_modes(ctx, p, len);
	return 0;
}

/*
 * Drops guesses that the file contradicts: its tables of opcodes and IR instructions, its code. 0
 * or -ENOMEM.
 */
static int drop_others(const struct elfobj *eo, const struct elfobj_vm *vm, struct guesses *out)
{
	int drop[GUESSES_MAX] = {0}, differ = 0, err = 0;
	struct tables_evidence e = {.version = ""};
	const struct bc_gen *bc;
	const struct ir_table *ir;
	size_t i, n = 0;

	for (i = 1; i < out->n; i++)
		differ |= out->g[i].row.l.T_linktype != out->g[0].row.l.T_linktype;
	if (differ)
		err = drop_by_linktype(eo, vm, drop, out);
	if (!err)
		err = elfobj_rodata(eo, scan_modes, &e);
	if (err == -ENOMEM)
		return err;
	if (err)
		memset(&e, 0, sizeof(e));
	bc = e.bc_differ ? NULL : e.bc;
	ir = e.ir_differ ? NULL : e.ir;
	for (i = 0; i < out->n; i++) {
		const struct layout *l = &out->g[i].row.l;

		if (drop[i] || (bc && bc->n != l->bc_max) || (ir && ir->n != l->ir_max))
			continue;
		if (n != i)
			out->g[n] = out->g[i];
		n++;
	}
	/* The strings moved with their guess. */
	for (i = 0; i < n; i++) {
		if (out->g[i].name[0])
			out->g[i].row.name = out->g[i].name;
		if (out->g[i].where[0])
			out->g[i].row.where = out->g[i].where;
	}
	if (n)
		out->n = n;
	return 0;
}

/* Integers in TValues are a mode of a build, no layout's. */
static void set_dualnum(const struct finder *f, struct guesses *gs)
{
	size_t i;

	for (i = 0; i < gs->n; i++) {
		gs->g[i].row.l.dualnum = f->dualnum != 0;
		gs->g[i].from[LAYOUT_dualnum] = GUESS_CODE;
	}
}

/* --- all --- */

/* Why no row could even be compared, if so. */
static void say_none(const struct finder *f, struct guesses *out)
{
	if (out->n)
		return;
	if (!f->jit)
		snprintf(out->text, sizeof(out->text),
			 "it was built without the JIT compiler (LUAJIT_DISABLE_JIT), which "
			 "ljx does not support");
	else if (!f->anchors)
		snprintf(out->text, sizeof(out->text), "%s", f->text);
}

int guess_layouts(const struct elfobj *eo, struct guesses *out)
{
	struct finder *f = calloc(1, sizeof(*f));
	int err = f ? finder_run(eo, NULL, FINDER_ONLY_ANCHORS, f, NULL) : -ENOMEM;

	memset(out, 0, sizeof(*out));
	if (!err) {
		out->anchors = __builtin_popcount(f->anchors);
		err = by_dwarf(eo, f, out);
	}
	if (!err) {
		if (!out->n && f->anchors)
			by_table(f, out);
		if (!out->n)
			guess_by_code(f, out);
		if (out->n > 1)
			err = drop_others(eo, &f->vm, out);
		say_none(f, out);
		set_dualnum(f, out);
	}
	free(f);
	return err;
}

int guess_given(const struct elfobj *eo, const struct layout_row *row, struct guesses *out)
{
	struct finder *f = calloc(1, sizeof(*f));
	int err = f ? finder_run(eo, NULL, FINDER_ONLY_ANCHORS, f, NULL) : -ENOMEM;
	struct guess *g;

	memset(out, 0, sizeof(*out));
	if (err && err != -ENOMEM) {
		snprintf(out->text, sizeof(out->text), "the machine code cannot be read");
	} else if (!err && finder_check_layout(f, &row->l, out->text, sizeof(out->text)) <= 0) {
		g = add(out, row, GUESS_FILE);
		if (layout_by_name(row->name))
			snprintf(g->name, sizeof(g->name), "%s", row->name);
		else
			name_guess(g, row->name);
		snprintf(g->where, sizeof(g->where), "%s", row->where);
		g->row.name = g->name;
		g->row.where = g->where;
	}
	free(f);
	return err == -ENOMEM ? err : 0;
}
