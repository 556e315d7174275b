// SPDX-License-Identifier: MIT
/* Prototypes and functions in the memory of a VM. */
#include "bpf/jitscan_int.h"
#include "bpf/mem.h"
#include "bpf/protoscan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define NEAR_PAGES 64u /* code of 65536 instructions */
#define FUNCS_MAX 4096u
#define STACK_MAX 16384u /* slots, from the bottom */
/*
 * GCfuncL: after ffid nupvalues, after pc uvptr[]; GCupval: gct, closed, immutable, then two words
 * and v. The same in all builds (lj_obj.h).
 */
#define F_MAX 40
#define UV_MAX 40

static unsigned int nupvalues(const struct layout *l, const unsigned char *f)
{
	return f[l->F_ffid + 1];
}

static uint64_t uvptr(const struct layout *l, uint64_t fn, uint32_t idx)
{
	return fn + l->F_pc + layout_ref_size(l) * (idx + 1ull);
}

static void proto_free(struct jscan *s, struct jproto *p)
{
	HASH_DEL(s->protos, p);
	free(p->bc);
	free(p);
}

void jscan_protos_free(struct jscan *s)
{
	while (s->protos)
		proto_free(s, s->protos);
}

struct jproto *jscan_proto(struct jscan *s, uint64_t pt, const void *head)
{
	unsigned char buf[EV_PROTO_HEAD];
	struct proto_head h;
	struct jproto *p;

	HASH_FIND(hh, s->protos, &pt, sizeof(pt), p);
	if (p && p->epoch == s->epoch)
		return p;
	if (!head && s->l->PT_size <= sizeof(buf) && !mem_read(s->pid, pt, buf, s->l->PT_size))
		head = buf;
	if (!head || pt & 7 || !protoscan_check(s->pid, s->l, s->own_allocator, pt, head, &h)) {
		if (p)
			proto_free(s, p);
		return NULL;
	}
	if (!p) {
		if (HASH_COUNT(s->protos) >= PROTOS_MAX)
			return NULL;
		p = calloc(1, sizeof(*p));
		if (!p)
			return NULL;
		p->pt = pt;
		HASH_ADD(hh, s->protos, pt, sizeof(p->pt), p);
		if (!p->hh.tbl) {
			free(p);
			return NULL;
		}
	}
	free(p->bc);
	p->bc = NULL;
	if (p->h.chunkname != h.chunkname || p->h.k != h.k || p->h.sizebc != h.sizebc ||
	    p->h.firstline != h.firstline)
		p->nfn = p->told = 0, p->black = p->wanted = 0; /* another one, at its address */
	p->h = h;
	p->epoch = s->epoch;
	return p;
}

const uint32_t *jscan_code(struct jscan *s, struct jproto *p)
{
	if (p->bc || p->h.sizebc > CODE_MAX)
		return p->bc;
	p->bc = malloc(4ull * p->h.sizebc);
	if (p->bc && mem_read(s->pid, p->pt + s->l->PT_size, p->bc, 4ull * p->h.sizebc)) {
		free(p->bc);
		p->bc = NULL;
	}
	return p->bc;
}

int jscan_has_pc(const struct jscan *s, const struct jproto *p, uint64_t pc)
{
	uint64_t ofs = pc - p->pt - s->l->PT_size;

	return !(ofs & 3) && ofs < 4ull * p->h.sizebc;
}

struct jproto *jscan_proto_near(struct jscan *s, uint64_t pc)
{
	unsigned char buf[PAGE + EV_PROTO_HEAD];
	uint64_t page = pc & ~(uint64_t)(PAGE - 1), pt;
	struct jproto *p;
	unsigned int k;
	long got, i;

	for (k = 0; k < NEAR_PAGES && page >= PAGE && !jscan_over(s); k++, page -= PAGE) {
		got = mem_read_some(s->pid, page, buf, sizeof(buf));
		if (got < (long)PAGE)
			return NULL;
		for (i = PAGE - 8; i >= 0; i -= 8) {
			pt = page + (uint64_t)i;
			if (pt + s->l->PT_size > pc || buf[i + layout_gct(s->l)] != GCT_PROTO ||
			    i + (long)s->l->PT_size > got || jscan_over(s))
				continue;
			p = jscan_proto(s, pt, buf + i);
			if (p && jscan_has_pc(s, p, pc))
				return p;
		}
	}
	return NULL;
}

struct jproto *jscan_function(struct jscan *s, uint64_t fn)
{
	unsigned char f[F_MAX];
	struct jproto *p;
	uint32_t i;

	if (fn & 7 || mem_read(s->pid, fn, f, sizeof(f)) || f[layout_gct(s->l)] != GCT_FUNC ||
	    f[s->l->F_ffid])
		return NULL;
	p = jscan_proto(s, vm_get_ref(s->l, f, s->l->F_pc) - s->l->PT_size, NULL);
	if (!p)
		return NULL;
	for (i = 0; i < p->nfn && p->fn[i] != fn; i++)
		;
	if (i == p->nfn && i < PROTO_FUNCS)
		p->fn[p->nfn++] = fn;
	return p;
}

uint64_t jscan_upvalue(struct jscan *s, uint64_t fn, uint32_t idx)
{
	unsigned char f[F_MAX], uv[UV_MAX];
	const struct layout *l = s->l;
	unsigned int gct = layout_gct(l);
	uint64_t tv;

	if (mem_read(s->pid, fn, f, sizeof(f)) || f[gct] != GCT_FUNC || f[l->F_ffid] ||
	    idx >= nupvalues(l, f) ||
	    mem_read(s->pid, vm_ref(s->pid, l, uvptr(l, fn, idx)), uv, sizeof(uv)) ||
	    uv[gct] != GCT_UPVAL || uv[gct + 2] != 1)
		return 0; /* what was assigned since may have been another function then */
	tv = mem_u64(s->pid, vm_get_ref(l, uv, l->gc64 ? 32 : 16));
	return vm_tvalue_is(l, tv, GCT_FUNC) ? vm_tvalue_ptr(l, tv) : 0;
}

struct todo {
	uint64_t fn[FUNCS_MAX];
	uint32_t n;
};

static void add_function(struct todo *t, uint64_t fn)
{
	uint32_t i;

	if (t->n == FUNCS_MAX)
		return;
	for (i = 0; i < t->n && t->fn[i] != fn; i++)
		;
	if (i == t->n)
		t->fn[t->n++] = fn;
}

/* A slot may hold a function; without LJ_FR2 one with a frame's link above it, too. */
static int holds_function(const struct layout *l, uint64_t slot)
{
	return vm_tvalue_is(l, slot, GCT_FUNC) ||
	       (!l->fr2 && slot >> 32 < 0xfffe0000 && vm_is_pointer(l, vm_tvalue_ptr(l, slot)));
}

/* The functions in the slots of a coroutine's stack: frames and variables alike. */
static int read_stack(struct jscan *s, uint64_t L, struct todo *t)
{
	uint64_t stack = vm_ref(s->pid, s->l, L + s->l->L_stack), top, *slot;
	long n, i;

	top = vm_ref(s->pid, s->l, L + s->l->L_maxstack);
	if (vm_ref(s->pid, s->l, L + s->l->L_glref) != s->vm.g || top <= stack)
		return 0;
	n = (long)((top - stack) / 8 < STACK_MAX ? (top - stack) / 8 : STACK_MAX);
	slot = calloc((size_t)n + 1, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	n = mem_read_some(s->pid, stack, slot, (size_t)n * 8) / 8;
	for (i = 0; i < n; i++)
		if (holds_function(s->l, slot[i]))
			add_function(t, vm_tvalue_ptr(s->l, slot[i]));
	free(slot);
	return 0;
}

int jscan_stacks(struct jscan *s)
{
	uint64_t cur = vm_ref(s->pid, s->l, s->vm.g + s->l->G_cur_L), uv;
	struct todo *t = calloc(1, sizeof(*t));
	unsigned char f[F_MAX];
	uint32_t i, k;
	int err;

	if (!t)
		return -ENOMEM;
	err = read_stack(s, vm_main(&s->vm), t);
	if (!err && cur != vm_main(&s->vm))
		err = read_stack(s, cur, t);
	for (i = 0; i < t->n && !err && !jscan_over(s); i++) {
		if (!jscan_function(s, t->fn[i]) || mem_read(s->pid, t->fn[i], f, sizeof(f)))
			continue;
		for (k = 0; k < nupvalues(s->l, f) && !jscan_over(s); k++) {
			uv = jscan_upvalue(s, t->fn[i], k);
			if (uv)
				add_function(t, uv);
		}
	}
	free(t);
	return err;
}
