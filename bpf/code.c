// SPDX-License-Identifier: MIT
#include "bpf/code.h"

#include "bpf/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX (4u << 20)
#define KSTR_MAX 256

/* GCobj.gch.gct: lj_obj.h ~LJ_T* */
enum { GCT_STR = 4, GCT_PROTO = 7, GCT_CDATA = 10, GCT_TAB = 11 };

/* Up to len bytes of the string object at addr. Its true length, or -ENOENT. */
static long read_string(const struct code *c, uint64_t addr, char *buf, size_t len)
{
	unsigned char head[32];
	uint32_t n;

	if (c->l->STR_size > sizeof(head) || mem_read(c->pid, addr, head, c->l->STR_size) ||
	    head[layout_gct(c->l)] != GCT_STR)
		return -ENOENT;
	n = mem_get32(head, c->l->STR_len);
	if (len > n)
		len = n;
	if (mem_read(c->pid, addr + c->l->STR_size, buf, len))
		return -ENOENT;
	return (long)n;
}

/* proto_kgc(pt, ~idx) of lj_obj.h: collectable constants lie before k. 0: there is none. */
static uint64_t constant(const struct code *c, uint32_t idx)
{
	uint64_t k = c->pt.h.k - c->addr, off = layout_ref_size(c->l) * (idx + 1ull);

	if (idx >= c->pt.h.sizekgc || k > c->pt.h.sizept || k < off)
		return 0;
	return vm_get_ref(c->l, c->body, k - off);
}

static unsigned int type_of(const struct code *c, uint64_t addr)
{
	unsigned char head[16];

	return addr && !mem_read(c->pid, addr, head, sizeof(head)) ? head[layout_gct(c->l)] : 0;
}

struct kstr_ctx {
	const struct code *c;
	char text[KSTR_MAX];
};

/* proto_kstr_fn for the names in code_child_name. */
static const char *kstr(void *ctx, uint32_t idx)
{
	struct kstr_ctx *k = ctx;
	long n = read_string(k->c, constant(k->c, idx), k->text, KSTR_MAX - 1);

	if (n < 0)
		return NULL;
	k->text[n < KSTR_MAX - 1 ? n : KSTR_MAX - 1] = '\0';
	return k->text;
}

/* The part of the body from address from up to the end of the object, if it lies inside. */
static const void *part(const struct code *c, uint64_t from, size_t *len)
{
	uint64_t off = from - c->addr;

	*len = 0;
	if (!from || off < c->l->PT_size || off >= c->pt.h.sizept)
		return NULL;
	*len = c->pt.h.sizept - off;
	return c->body + off;
}

static int read_body(struct code *c)
{
	unsigned char head[256];
	struct proto *pt = &c->pt;

	if (c->l->PT_size > sizeof(head) || mem_read(c->pid, c->addr, head, c->l->PT_size) ||
	    proto_decode_head(c->l, head, c->l->PT_size, &pt->h) || pt->h.sizept > BODY_MAX)
		return -ENOENT;
	pt->gen = bc_gen_by_count(c->l->bc_max);
	if (!pt->gen || (uint64_t)c->l->PT_size + 4ull * pt->h.sizebc > pt->h.sizept)
		return -ENOENT;
	c->body = malloc(pt->h.sizept);
	if (!c->body)
		return -ENOMEM;
	/* The header again, as of the moment the rest was read. */
	if (mem_read(c->pid, c->addr, c->body, pt->h.sizept))
		return -ENOENT;
	if (mem_get32(c->body, c->l->PT_sizept) != pt->h.sizept ||
	    proto_decode_head(c->l, c->body, pt->h.sizept, &pt->h))
		return -ENOENT;
	if ((uint64_t)c->l->PT_size + 4ull * pt->h.sizebc > pt->h.sizept)
		return -ENOENT;
	pt->bc = (const uint32_t *)(const void *)(c->body + c->l->PT_size);
	pt->lineinfo = part(c, pt->h.lineinfo, &pt->lineinfo_len);
	pt->uvinfo = part(c, pt->h.uvinfo, &pt->uvinfo_len);
	pt->varinfo = part(c, pt->h.varinfo, &pt->varinfo_len);
	return 0;
}

int code_read(int pid, const struct vm_list *vms, const struct layout *l, uint64_t addr,
	      struct code *out)
{
	char chunk[CODE_CHUNK];
	struct code c = {.pid = pid, .addr = addr, .l = l, .vms = vms};
	long n;
	int err = read_body(&c);

	n = err ? err : read_string(&c, c.pt.h.chunkname, chunk, sizeof(chunk) - 1);
	if (n < 0) {
		code_release(&c);
		return (int)n;
	}
	chunk[(size_t)n < sizeof(chunk) - 1 ? (size_t)n : sizeof(chunk) - 1] = '\0';
	c.chunklen = (size_t)n;
	c.chunk = strdup(chunk);
	if (!c.chunk) {
		code_release(&c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

void code_release(struct code *c)
{
	free(c->body);
	free(c->chunk);
	c->body = NULL;
	c->chunk = NULL;
}

int32_t code_line(const struct code *c, uint32_t pos)
{
	return proto_line(&c->pt, pos);
}

uint64_t code_child(const struct code *c, uint32_t idx)
{
	uint64_t addr = constant(c, idx);

	return type_of(c, addr) == GCT_PROTO ? addr : 0;
}

int code_child_name(const struct code *c, uint32_t idx, char *buf, size_t size)
{
	struct kstr_ctx k = {.c = c};
	struct proto pt = c->pt;
	const char *name;

	pt.kstr = kstr;
	pt.kstr_ctx = &k;
	if (!proto_closure_name(&pt, idx, &name))
		return -ENOENT;
	snprintf(buf, size, "%s", name);
	return 0;
}

/* ---- the listing ---- */

static int place(const struct code *c, char *buf, size_t size)
{
	return disasm_place(buf, size, c->chunk, c->chunklen, c->addr, &c->pt.h,
			    proto_line(&c->pt, 0));
}

/* Where a child is defined; its chunkname is nearly always ours. */
static int child_place(const struct code *c, uint64_t addr, struct disasm_const *out)
{
	unsigned char head[256];
	char chunk[CODE_CHUNK];
	struct proto_head h;
	long n;

	if (c->l->PT_size > sizeof(head) || mem_read(c->pid, addr, head, c->l->PT_size) ||
	    proto_decode_head(c->l, head, c->l->PT_size, &h))
		return -ENOENT;
	n = read_string(c, h.chunkname, chunk, sizeof(chunk) - 1);
	if (n < 0)
		return -ENOENT;
	chunk[(size_t)n < sizeof(chunk) - 1 ? (size_t)n : sizeof(chunk) - 1] = '\0';
	disasm_place(out->text, sizeof(out->text), chunk, (size_t)n, addr, &h,
		     h.lineinfo ? h.firstline : 0);
	return 0;
}

/* Which VM a trace belongs to is not known: there may be thousands, and as many traces. */
#define ASKS_MAX 65536u

struct listing {
	const struct code *c;
	uint32_t *asks; /* how many VMs were looked at */
};

static void get_constant(const void *ctx, uint32_t idx, struct disasm_const *out)
{
	const struct code *c = ((const struct listing *)ctx)->c;
	uint64_t addr = constant(c, idx);
	long n;

	switch (type_of(c, addr)) {
	case GCT_STR:
		n = read_string(c, addr, out->text, DISASM_STR);
		if (n >= 0) {
			out->kind = DISASM_STRING;
			out->len = (size_t)n;
		}
		break;
	case GCT_PROTO:
		if (!child_place(c, addr, out))
			out->kind = DISASM_PROTO;
		break;
	case GCT_CDATA:
		out->kind = DISASM_CDATA;
		break;
	case GCT_TAB:
		out->kind = DISASM_TABLE;
		break;
	}
}

/* The first instruction of a trace of one VM, as it was before it was replaced. */
static uint32_t startins_of(const struct code *c, const struct vm *vm, uint32_t trace, uint32_t pos)
{
	const struct layout *l = &vm->row->l;
	uint64_t J = vm_main(vm) + l->GG_J, T;
	uint32_t size = 0, ins = 0;
	uint16_t no = 0;

	if (mem_read(c->pid, J + l->J_sizetrace, &size, sizeof(size)) || trace >= size)
		return 0;
	T = vm_trace(c->pid, vm, trace);
	if (!T || mem_read(c->pid, T + l->T_traceno, &no, sizeof(no)) || no != trace ||
	    vm_ref(c->pid, l, T + l->T_startpc) != c->addr + l->PT_size + 4ull * pos ||
	    mem_read(c->pid, T + l->T_startins, &ins, sizeof(ins)))
		return 0;
	return ins;
}

/* Which VM a prototype belongs to is not written in it: the trace that starts here tells. */
static uint32_t startins(const void *ctx, uint32_t trace, uint32_t pos)
{
	const struct listing *li = ctx;
	const struct code *c = li->c;
	uint32_t ins = 0;
	size_t i;

	for (i = 0; c->vms && i < c->vms->n && !ins && *li->asks < ASKS_MAX; i++, ++*li->asks)
		if (&c->vms->vm[i].row->l == c->l)
			ins = startins_of(c, &c->vms->vm[i], trace, pos);
	return ins;
}

int code_list(const struct code *c, int lists_constants, int notes, disasm_fn *fn, void *ctx)
{
	char at[DISASM_LINE / 2];
	uint32_t asks = 0;
	const struct listing li = {c, &asks};
	struct disasm d = {.pt = &c->pt,
			   .place = at,
			   .lists_constants = lists_constants,
			   .dualnum = c->l->dualnum,
			   .kgc = get_constant,
			   .startins = startins,
			   .ctx = &li};
	uint64_t k = c->pt.h.k - c->addr;

	place(c, at, sizeof(at));
	if (k % 8 == 0 && k <= c->pt.h.sizept && 8ull * c->pt.h.sizekn <= c->pt.h.sizept - k) {
		d.knum = (const uint64_t *)(const void *)(c->body + k);
		d.nknum = c->pt.h.sizekn;
	}
	return disasm_list(&d, notes, fn, ctx);
}
