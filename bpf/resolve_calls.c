// SPDX-License-Identifier: MIT
/*
 * Which function an instruction in a trace calls. Of a call that comes back before the recorder
 * takes a snapshot none tells; but others may, where it did not, or where its function is kept: in
 * an upvalue or in a register that only one closure is put into. It counts only if it is one of
 * those that the trace was specialised to.
 */
#include "bpf/mem.h"
#include "bpf/resolve_snaps.h"

#include <string.h>

#define BACK_MAX 64u /* instructions before a call that load what is called */
#define F_MAX 40
#define UV_MAX 40
enum { OBJ_UPVAL = 5, OBJ_FUNC = 8 }; /* ~LJ_TUPVAL, ~LJ_TFUNC */

const uint32_t *calls_code(const struct reading *x, const struct rcode *p)
{
	return (const uint32_t *)(const void *)(p->body + x->l->PT_size);
}

void calls_function(struct reading *x, uint64_t fn, const struct rcode *p)
{
	if (p && x->nfuncs < PROTOS_MAX)
		x->func[x->nfuncs++] = (struct rfunc){fn, p};
}

void calls_learn(struct reading *x, const struct rcode *p, uint32_t pos, const struct rcode *callee,
		 uint64_t fn)
{
	uint32_t i;

	for (i = 0; i < x->ncalls; i++)
		if (x->call[i].p == p && x->call[i].pos == pos)
			break;
	if (i < x->ncalls && x->call[i].callee != callee)
		x->call[i].callee = NULL; /* it may call this or that */
	else if (i == x->ncalls && i < CALLS_MAX)
		x->call[x->ncalls++] = (struct rcall){p, callee, fn, pos};
}

/* A function of that prototype, if there is only one. */
uint64_t calls_closure(const struct reading *x, const struct rcode *p, uint64_t fn)
{
	uint64_t found = 0;
	uint32_t i;

	for (i = 0; i < x->nfuncs && !fn; i++) {
		if (x->func[i].p != p || x->func[i].fn == found)
			continue;
		if (found)
			return 0;
		found = x->func[i].fn;
	}
	return fn ? fn : found;
}

enum calls_kind calls_kind(const struct reading *x, const struct rcode *p, uint32_t pos)
{
	uint32_t op = bc_op(calls_code(x, p)[pos]);
	const uint8_t *of = x->in->gen->of;

	if (op == of[BC_ID_CALL] || op == of[BC_ID_CALLM])
		return CALLS_CALL;
	return op == of[BC_ID_CALLT] || op == of[BC_ID_CALLMT] ? CALLS_TAIL : CALLS_NOT;
}

static int found(const struct rcode *p, uint64_t f, const struct rcode **callee, uint64_t *fn)
{
	*callee = p;
	*fn = f;
	return p != NULL && p->body != NULL;
}

/* The function at address f, if the trace has it. */
static int known(const struct reading *x, uint64_t f, const struct rcode **callee, uint64_t *fn)
{
	uint32_t i;

	for (i = 0; i < x->nfuncs; i++)
		if (x->func[i].fn == f)
			return found(x->func[i].p, f, callee, fn);
	return 0;
}

/* What upvalue idx of function f holds; 0: no function. GCfuncL, GCupval: LuaJIT src/lj_obj.h. */
static uint64_t upvalue(const struct reading *x, uint64_t f, uint32_t idx)
{
	const struct layout *l = x->l;
	unsigned char head[F_MAX], uv[UV_MAX];
	unsigned int gct = layout_gct(l);
	uint64_t tv, at = f + l->F_pc + layout_ref_size(l) * (idx + 1ull);

	if (!f || l->F_ffid + 2u > sizeof(head) || mem_read(x->in->pid, f, head, sizeof(head)) ||
	    head[gct] != OBJ_FUNC || head[l->F_ffid] || idx >= head[l->F_ffid + 1] ||
	    mem_read(x->in->pid, vm_ref(x->in->pid, l, at), uv, sizeof(uv)) || uv[gct] != OBJ_UPVAL)
		return 0;
	tv = mem_u64(x->in->pid, vm_get_ref(l, uv, l->gc64 ? 32 : 16));
	if (l->gc64)
		return tv >> 47 == 0x1ffff - OBJ_FUNC ? tv & ((UINT64_C(1) << 47) - 1) : 0;
	return tv >> 32 == 0xffffffff - OBJ_FUNC ? (uint32_t)tv : 0;
}

/* The closure that p puts into a register, if it is the only one: lj_obj.h:proto_kgc. */
static const struct rcode *closure_in(const struct reading *x, const struct rcode *p, uint32_t reg)
{
	const uint32_t *bc = calls_code(x, p);
	uint64_t k = p->h.k - p->pt, off, pt = 0;
	uint32_t i, n = 0;

	for (i = 1; i < p->h.sizebc; i++) {
		if (bc_op(bc[i]) != x->in->gen->of[BC_ID_FNEW] || bc_a(bc[i]) != reg)
			continue;
		off = layout_ref_size(x->l) * (bc_d(bc[i]) + 1ull);
		if (n++ || k > p->h.sizept || k < off)
			return NULL;
		pt = vm_get_ref(x->l, p->body, k - off);
	}
	for (i = 0; i < x->nprotos; i++)
		if (n && x->protos[i].pt == pt)
			return &x->protos[i];
	return NULL;
}

/* The instruction that loads the function that is called at pos; 0: not found. */
static uint32_t loads(const struct reading *x, const struct rcode *p, uint32_t pos)
{
	const uint32_t *bc = calls_code(x, p);
	uint32_t reg = bc_a(bc[pos]), i;

	for (i = pos; i-- > 1 && pos - i < BACK_MAX;)
		if (bc_op(bc[i]) < x->in->gen->n && bc_a(bc[i]) == reg &&
		    x->in->gen->ops[bc_op(bc[i])].mode_a == BC_M_DST)
			return bc[i];
	return 0;
}

int calls_find(const struct reading *x, const struct rcode *p, uint64_t fn, uint32_t pos,
	       const struct rcode **callee, uint64_t *to)
{
	const struct rcode *c;
	uint32_t i, ins;

	for (i = 0; i < x->ncalls; i++)
		if (x->call[i].p == p && x->call[i].pos == pos)
			return found(x->call[i].callee,
				     calls_closure(x, x->call[i].callee, x->call[i].fn), callee,
				     to);
	ins = loads(x, p, pos);
	if (ins && bc_op(ins) == x->in->gen->of[BC_ID_UGET])
		return known(x, upvalue(x, fn, bc_d(ins)), callee, to);
	if (ins && bc_op(ins) == x->in->gen->of[BC_ID_MOV]) {
		c = closure_in(x, p, bc_d(ins));
		return found(c, c ? calls_closure(x, c, 0) : 0, callee, to);
	}
	return 0;
}
