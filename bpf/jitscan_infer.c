// SPDX-License-Identifier: MIT
/*
 * What a start ran into, as its penalty slot keeps only the kind of reason. Callees are looked into
 * where they are constant: functions made where they are called, and immutable upvalues. What is
 * called by way of a global, a table's field or an argument is not looked at: it may have been
 * another function then.
 */
#include "bpf/jitscan_int.h"
#include "bpf/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 256u
#define LOOKUPS_MAX 4096u

/* A function that was met: its id in the walk is its index. */
struct node {
	uint64_t pt, fn; /* fn 0: only its prototype is known */
};

struct infer {
	struct jscan *s;
	struct node node[NODES_MAX];
	uint32_t nnodes, lookups;
};

static int view(struct infer *x, struct jproto *p, uint64_t fn, struct region_code *out)
{
	const uint32_t *bc = jscan_code(x->s, p);
	uint32_t i;

	for (i = 0; i < x->nnodes && (x->node[i].pt != p->pt || x->node[i].fn != fn); i++)
		;
	if (!bc || i == NODES_MAX)
		return 0;
	if (i == x->nnodes)
		x->node[x->nnodes++] = (struct node){p->pt, fn};
	*out = (struct region_code){.gen = x->s->gen, .bc = bc, .n = p->h.sizebc, .id = i};
	return 1;
}

/* lj_obj.h:proto_kgc: collectable constants lie before k. */
static struct jproto *child(struct jscan *s, uint64_t pt, uint32_t idx)
{
	struct jproto *p = jscan_proto(s, pt, NULL);

	if (!p || idx >= p->h.sizekgc)
		return NULL;
	return jscan_proto(s, vm_ref(s->pid, s->l, p->h.k - layout_ref_size(s->l) * (idx + 1ull)),
			   NULL);
}

static int callee(void *ctx, const struct region_code *code, uint32_t pos, struct region_code *out)
{
	struct infer *x = ctx;
	struct node n = x->node[code->id];
	struct jproto *p = NULL;
	uint64_t fn = 0;
	uint32_t idx;

	if (++x->lookups > LOOKUPS_MAX || jscan_over(x->s))
		return 0;
	switch (region_source(code, pos, &idx)) {
	case REGION_SOURCE_CHILD:
		p = child(x->s, n.pt, idx);
		break;
	case REGION_SOURCE_UPVALUE:
		fn = n.fn ? jscan_upvalue(x->s, n.fn, idx) : 0;
		p = fn ? jscan_function(x->s, fn) : NULL;
		break;
	default:
		break;
	}
	return p ? view(x, p, fn, out) : 0;
}

static int walk(struct infer *x, struct jproto *p, uint64_t fn, uint32_t pos, unsigned int flags,
		struct region *out)
{
	const struct layout *l = x->s->l;
	struct region_code code;

	if (l->ST_START == l->ST_RECORD + 2) /* it came with LJ_TRACE_RECORD_1ST */
		flags |= REGION_NEXT;
	return view(x, p, fn, &code) ? region_walk(&code, pos, flags, callee, x, out) : -EINVAL;
}

static void add_ops(const struct region *r, struct ev_spot *e)
{
	uint32_t i, k;

	for (i = 0; i < r->nops; i++) {
		for (k = 0; k < EV_SPOT_OPS && e->op[k] && e->op[k] != r->op[i]; k++)
			;
		if (k < EV_SPOT_OPS)
			e->op[k] = r->op[i];
	}
}

/* The one blacklisted start that it can have run into; with more of them it is not known. */
static int emit_cause(struct infer *x, const struct region *r, const struct ev_spot *e)
{
	union {
		struct ev_scan e;
		char size[sizeof(struct ev_scan) + 2 * sizeof(struct ev_scan_entry)];
	} u;
	uint64_t pt;

	if (r->nblack != 1)
		return 0;
	memset(&u, 0, sizeof(u));
	u.e.h = jscan_header(x->s, EV_SCAN, sizeof(u));
	u.e.g = e->g;
	u.e.type = EV_SCAN_CAUSE;
	u.e.n = 2;
	u.e.e[0].at = e->at;
	pt = x->node[r->black[0].id].pt;
	userwalk_position(x->s->u, pt, pt + x->s->l->PT_size + 4ull * r->black[0].pos,
			  &u.e.e[1].at);
	if (!u.e.e[1].at.kind)
		return 0;
	return resolve_record(x->s->r, &u.e.h);
}

int jscan_infer(struct jscan *s, struct jproto *p, uint64_t pc, const struct penalty *pen,
		struct ev_spot *e)
{
	uint32_t pos = (uint32_t)((pc - p->pt - s->l->PT_size) / 4), i = 0;
	struct infer *x;
	struct region r;
	int err = 0;

	if (!pen || (pen->reason != s->nyi && pen->reason != s->blackl))
		return 0;
	p->wanted = s->wants = 1;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->s = s;
	/* Without a function its prototype alone; of several, what any of them can run into. */
	do {
		if (walk(x, p, p->nfn ? p->fn[i] : 0, pos,
			 pen->reason == s->blackl ? REGION_STOP : 0, &r))
			break;
		if (pen->reason == s->nyi)
			add_ops(&r, e);
		else
			err = emit_cause(x, &r, e);
	} while (++i < p->nfn && pen->reason == s->nyi && !err);
	free(x);
	return err;
}
