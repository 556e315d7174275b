// SPDX-License-Identifier: MIT
#include "bytecode/disasm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGET_BIAS 0x7fffu /* a jump counts from the next instruction, D is biased by 0x8000 */

int disasm_lists_constants(const char *const *ff, uint32_t n)
{
	uint32_t i;

	/* luajit2 does since 2019; that year it got table.nkeys, which no other branch has. */
	for (i = 2; i < n; i++)
		if (!strcmp(ff[i], "table.nkeys"))
			return 1;
	return 0;
}

/* lj_strfmt.c:lj_strfmt_putptr: 8 digits, more by pairs for what lies higher. */
static int pointer(char *buf, size_t size, uint64_t p, int32_t line)
{
	int digits = 8;

	while (digits < 16 && p >> (4 * digits))
		digits += 2;
	return snprintf(buf, size, "0x%0*" PRIx64 ":%" PRId32, digits, p, line);
}

int disasm_place(char *buf, size_t size, const char *chunk, size_t len, uint64_t pt,
		 const struct proto_head *h, int32_t line)
{
	size_t i;

	if (h->firstline == -1)
		return snprintf(buf, size, "builtin:%s", chunk);
	if (*chunk == '@') {
		chunk++;
		/* As there, a separator in the first place does not count. */
		for (i = strlen(chunk); i > 0; i--)
			if (chunk[i] == '/' || chunk[i] == '\\')
				return snprintf(buf, size, "%s:%" PRId32, chunk + i + 1, line);
		return snprintf(buf, size, "%s:%" PRId32, chunk, line);
	}
	if (len > 40)
		return pointer(buf, size, pt, line);
	if (*chunk == '=')
		return snprintf(buf, size, "%s:%" PRId32, chunk + 1, line);
	return snprintf(buf, size, "\"%s\":%" PRId32, chunk, line);
}

/* ---- what the JIT compiler wrote over ---- */

/* Opcodes without a counter, and the one that each was: lj_trace.c:blacklist_pc. */
static const struct {
	uint8_t now, was; /* enum bc_id */
} counted[] = {
    {BC_ID_IFORL, BC_ID_FORL},
    {BC_ID_IITERL, BC_ID_ITERL},
    {BC_ID_ILOOP, BC_ID_LOOP},
    {BC_ID_IFUNCF, BC_ID_FUNCF},
};

static uint32_t with_op(uint32_t ins, uint32_t op)
{
	return (ins & ~0xffu) | op;
}

/* The trace of the JFORL at the end of a loop that begins with JFORI at pos; 0: there is none. */
static uint32_t loop_trace(const struct proto *pt, uint32_t pos)
{
	uint32_t end = pos + bc_d(pt->bc[pos]) - TARGET_BIAS - 1;

	if (end >= pt->h.sizebc || bc_op(pt->bc[end]) != pt->gen->of[BC_ID_JFORL])
		return 0;
	return bc_d(pt->bc[end]);
}

static void note_trace(struct disasm_patch *out, const char *op, uint32_t trace)
{
	if (trace)
		snprintf(out->note, sizeof(out->note), "%s -> trace %u", op, trace);
	else
		snprintf(out->note, sizeof(out->note), "%s", op);
}

/* The start of a root trace: what was there is in the trace. */
static int was_compiled(const struct disasm *d, uint32_t pos, struct disasm_patch *out)
{
	const struct bc_gen *g = d->pt->gen;
	uint32_t ins = d->pt->bc[pos], op = bc_op(ins), was;

	if (op == g->of[BC_ID_JFORI]) {
		out->ins = with_op(ins, g->of[BC_ID_FORI]);
		note_trace(out, "JFORI", loop_trace(d->pt, pos));
		return 1;
	}
	if (op == g->of[BC_ID_JFUNCF]) {
		out->ins = with_op(ins, g->of[BC_ID_FUNCF]) & 0xffff;
		note_trace(out, "JFUNCF", bc_d(ins));
		return 1;
	}
	if (op != g->of[BC_ID_JFORL] && op != g->of[BC_ID_JITERL] && op != g->of[BC_ID_JLOOP])
		return 0;
	was = d->startins ? d->startins(d->ctx, bc_d(ins), pos) : 0;
	if (was)
		out->ins = was;
	note_trace(out, g->ops[op].name, bc_d(ins));
	return 1;
}

void disasm_original(const struct disasm *d, uint32_t pos, struct disasm_patch *out)
{
	const struct bc_gen *g = d->pt->gen;
	uint32_t op;
	size_t i;

	*out = (struct disasm_patch){.ins = d->pt->bc[pos]};
	op = bc_op(out->ins);
	if (op >= g->n || was_compiled(d, pos, out))
		return;
	for (i = 0; i < sizeof(counted) / sizeof(*counted); i++) {
		uint32_t was = g->of[counted[i].was];

		if (op != g->of[counted[i].now])
			continue;
		out->ins = with_op(out->ins, was);
		/* lj_trace.c:trace_start does the same to a function that jit.off() names. */
		snprintf(out->note, sizeof(out->note), "%s (was %s): %s", g->ops[op].name,
			 g->ops[was].name,
			 d->pt->h.flags & PROTO_NOJIT ? "jit.off" : "blacklisted");
	}
}

/* ---- operands ---- */

/* Appends like snprintf; *at may pass size. */
__attribute__((format(printf, 4, 5))) static void add(char *buf, size_t size, size_t *at,
						      const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(*at < size ? buf + *at : NULL, *at < size ? size - *at : 0, fmt, ap);
	va_end(ap);
	if (n > 0)
		*at += (size_t)n;
}

/* bc.lua: ctlsub, and format with %.40s where the string is longer. */
static void quote(char *out, size_t size, const struct disasm_const *k)
{
	size_t n = k->len < DISASM_STR ? k->len : DISASM_STR, i, at = 0;
	char text[4 * DISASM_STR + 1] = "";

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)k->text[i];

		if (c == '\n' || c == '\r' || c == '\t')
			add(text, sizeof(text), &at, "\\%c",
			    c == '\n'	? 'n'
			    : c == '\r' ? 'r'
					: 't');
		else if (c < 32 || c == 127)
			add(text, sizeof(text), &at, "\\%03u", c);
		else
			add(text, sizeof(text), &at, "%c", c);
	}
	if (k->len > DISASM_STR)
		snprintf(out, size, "\"%.*s\"~", (int)DISASM_STR, text);
	else
		snprintf(out, size, "\"%s\"", text);
}

static void get_const(const struct disasm *d, uint32_t idx, struct disasm_const *k)
{
	k->kind = DISASM_UNKNOWN;
	if (d->kgc && idx < d->pt->h.sizekgc)
		d->kgc(d->ctx, idx, k);
}

/* A string or a function's place; what is neither is '?'. */
static void show_const(const struct disasm *d, uint32_t idx, enum disasm_kind want, char *out,
		       size_t size)
{
	struct disasm_const k;

	get_const(d, idx, &k);
	if (k.kind != want)
		snprintf(out, size, "?");
	else if (want == DISASM_STRING)
		quote(out, size, &k);
	else
		snprintf(out, size, "%s", k.text);
}

/* tostring() of a number, which is an integer by its tag in a dual-number build. */
static void show_number(const struct disasm *d, uint32_t idx, int tsetm, char *out, size_t size)
{
	uint32_t tag;
	uint64_t tv;
	double v;

	if (!d->knum || idx >= d->nknum) {
		snprintf(out, size, "?");
		return;
	}
	tv = d->knum[idx];
	tag = (uint32_t)(tv >> 32);
	memcpy(&v, &tv, sizeof(v));
	if (d->dualnum && (tag == 0xfff90000u || tag == 0xfffffff2u))
		v = (double)(int32_t)(uint32_t)tv;
	if (tsetm)
		v -= 4503599627370496.0; /* 2^52: an index, put into a double's low word */
	if (v != v)
		snprintf(out, size, "nan");
	else
		snprintf(out, size, "%.14g", v);
}

static void show_upvalue(const struct disasm *d, uint32_t idx, char *out, size_t size)
{
	const char *name = proto_uvname(d->pt, idx);

	snprintf(out, size, "%s", name ? name : "?");
}

/* What operand D or C stands for; "": nothing but its number is shown. */
static void show_operand(const struct disasm *d, uint32_t op, uint32_t mode, uint32_t val,
			 char *out, size_t size)
{
	out[0] = '\0';
	switch (mode) {
	case BC_O_STR:
		show_const(d, val, DISASM_STRING, out, size);
		break;
	case BC_O_NUM:
		show_number(d, val, !strcmp(d->pt->gen->ops[op].name, "TSETM"), out, size);
		break;
	case BC_O_FUNC:
		show_const(d, val, DISASM_PROTO, out, size);
		break;
	case BC_O_UV:
		show_upvalue(d, val, out, size);
		break;
	}
}

/* bc.lua: bcline. */
static void show_ins(const struct disasm *d, uint32_t pos, uint32_t ins, int target, char *buf,
		     size_t size, size_t *at)
{
	const struct bc_gen *g = d->pt->gen;
	uint32_t op = bc_op(ins), m = bc_operands(g, op), ma = m & 7, mb = m >> 3 & 15;
	uint32_t mc = m >> 7 & 15, val = mb ? bc_c(ins) : bc_d(ins);
	char a[8] = "", text[384], uv[384];

	if (op >= g->n) {
		add(buf, size, at, "%04u %s ?%-5u", pos, target ? "=>" : "  ", op);
		return;
	}
	if (ma)
		snprintf(a, sizeof(a), "%u", bc_a(ins));
	add(buf, size, at, "%04u %s %-6s %3s ", pos, target ? "=>" : "  ", g->ops[op].name, a);
	if (mc == BC_O_JUMP) {
		add(buf, size, at, "=> %04d", (int)(pos + bc_d(ins) - TARGET_BIAS));
		return;
	}
	if (!mb && !mc)
		return;
	show_operand(d, op, mc, val, text, sizeof(text));
	if (ma == BC_O_UV) {
		show_upvalue(d, bc_a(ins), uv, sizeof(uv));
		add(uv, sizeof(uv), &(size_t){strlen(uv)}, "%s%s", *text ? " ; " : "", text);
		memcpy(text, uv, sizeof(text));
	}
	if (mb)
		add(buf, size, at, "%3u ", bc_b(ins));
	if (mc == BC_O_LITS && !mb)
		add(buf, size, at, "%3d", (int16_t)val);
	else
		add(buf, size, at, "%3u", val);
	if (*text || mc == BC_O_UV || ma == BC_O_UV)
		add(buf, size, at, "%s; %s", mb ? "  " : "      ", text);
}

int disasm_ins(const struct disasm *d, uint32_t pos, int target, int notes, char *buf, size_t size)
{
	struct disasm_patch p;
	size_t at = 0;

	disasm_original(d, pos, &p);
	show_ins(d, pos, p.ins, target, buf, size, &at);
	if (notes && p.note[0])
		add(buf, size, &at, "  ; %s", p.note);
	return (int)at;
}

int disasm_header(const struct disasm *d, char *buf, size_t size)
{
	const struct proto_head *h = &d->pt->h;
	size_t at = 0;

	add(buf, size, &at, "-- BYTECODE -- %s-%" PRId32, d->place,
	    (int32_t)((uint32_t)h->firstline + (uint32_t)h->numline));
	return (int)at;
}

/* ---- the listing ---- */

static int list_constants(const struct disasm *d, disasm_fn *fn, void *ctx)
{
	char line[DISASM_LINE], text[512];
	struct disasm_const k;
	uint32_t i;
	int err = 0;

	for (i = 0; i < d->pt->h.sizekgc && !err; i++) {
		get_const(d, i, &k);
		if (k.kind == DISASM_CDATA)
			continue;
		if (k.kind == DISASM_STRING || k.kind == DISASM_PROTO)
			show_const(d, i, k.kind, text, sizeof(text));
		else
			snprintf(text, sizeof(text), k.kind == DISASM_TABLE ? "table" : "?");
		snprintf(line, sizeof(line), "KGC    %u    %s", i, text);
		err = fn(ctx, 0, line);
	}
	for (i = 1; i < d->pt->h.sizekn && !err; i++) { /* sic: it leaves the first one out */
		show_number(d, i, 0, text, sizeof(text));
		snprintf(line, sizeof(line), "KN    %u    %s", i, text);
		err = fn(ctx, 0, line);
	}
	return err;
}

/* bc.lua: bctargets. */
static void find_targets(const struct disasm *d, uint8_t *bits)
{
	struct disasm_patch p;
	uint32_t pos, to;

	for (pos = 1; pos < d->pt->h.sizebc; pos++) {
		disasm_original(d, pos, &p);
		if ((bc_operands(d->pt->gen, bc_op(p.ins)) >> 7 & 15) != BC_O_JUMP)
			continue;
		to = pos + bc_d(p.ins) - TARGET_BIAS;
		if (to < d->pt->h.sizebc)
			bits[to / 8] |= (uint8_t)(1u << to % 8);
	}
}

/* The header with our comments: jit.off, and what became of the function's entry. */
static int list_header(const struct disasm *d, int notes, disasm_fn *fn, void *ctx)
{
	struct disasm_patch p;
	char line[DISASM_LINE];
	size_t at = (size_t)disasm_header(d, line, sizeof(line));
	int off = (d->pt->h.flags & PROTO_NOJIT) != 0;

	disasm_original(d, 0, &p);
	if (notes && off)
		add(line, sizeof(line), &at, "  ; jit.off");
	else if (notes && p.note[0])
		add(line, sizeof(line), &at, "  ; %s", p.note);
	return fn(ctx, 0, line);
}

int disasm_list(const struct disasm *d, int notes, disasm_fn *fn, void *ctx)
{
	char line[DISASM_LINE];
	uint8_t *targets;
	uint32_t pos;
	int err;

	if (!d->pt->h.sizebc)
		return -EINVAL;
	targets = calloc(d->pt->h.sizebc / 8 + 1, 1);
	if (!targets)
		return -ENOMEM;
	find_targets(d, targets);
	err = list_header(d, notes, fn, ctx);
	if (!err && d->lists_constants)
		err = list_constants(d, fn, ctx);
	for (pos = 1; pos < d->pt->h.sizebc && !err; pos++) {
		disasm_ins(d, pos, targets[pos / 8] >> pos % 8 & 1, notes, line, sizeof(line));
		err = fn(ctx, pos, line);
	}
	free(targets);
	return err;
}
