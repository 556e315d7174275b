// SPDX-License-Identifier: MIT
/*
 * What runs where in the machine code of traces: SNAPS records, one for each trace that a sample is
 * in, before the first such sample. The trace is read once, and counts only if it is the one that
 * the sample was taken in, before and after. LuaJIT src/lj_jit.h GCtrace; lj_trace.c:trace_save
 * puts IR, snapshots and their map behind the GCtrace, in one allocation.
 */
#include "bpf/resolve_snaps.h"

#include "bpf/inside.h"
#include "bpf/mem.h"
#include "bytecode/ir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRACES_MAX 65536u      /* remembered to have been looked at */
#define TRACE_BYTES (1u << 20) /* of one trace */
#define SHARE 20u	       /* a 20th of the time may go into this, */
#define BURST 200000000u       /* ns: and so much at once */

/* A trace that was looked at. */
struct rtrace {
	struct {
		uint64_t start;
		uint32_t pid, vm; /* the VM's number */
		uint32_t trace, mark;
	} key;
	UT_hash_handle hh;
};

/* ---- the trace ---- */

static int read_head(const struct reading *x, unsigned char *head)
{
	uint64_t J = x->in->vm.g - x->l->GG_g + x->l->GG_J;
	uint32_t size = 0;

	return mem_read(x->in->pid, J + x->l->J_sizetrace, &size, 4) || x->s->trace >= size ||
	       vm_trace(x->in->pid, &x->in->vm, x->s->trace) != x->T || !x->T ||
	       mem_read(x->in->pid, x->T, head, x->l->T_size);
}

/* Does it start in the prototype that the sample's did, and is that still there? */
static int starts_alike(const struct reading *x, const unsigned char *head)
{
	uint32_t id = EV_FRAME_PROTO(x->s->f[0].addr);
	const struct rproto *p;

	HASH_FIND(hh, x->r->protos, &id, sizeof(id), p);
	return p && p->pt == vm_get_ref(x->l, head, x->l->T_startpt) && resolve_still_there(p);
}

/*
 * Is it the one that the sample is in? After a flush others are at the same places, with as much
 * code, so that the mark alone does not tell.
 */
static int is_same(const struct reading *x, const unsigned char *head)
{
	uint64_t mcode = mem_get64(head, x->l->T_mcode);
	uint32_t szmcode = mem_get32(head, x->l->T_szmcode);

	return (mem_get32(head, x->l->T_traceno) & 0xffff) == x->s->trace &&
	       inside_mark(x->T, mcode, szmcode) == x->s->f[0].mark &&
	       (!(x->s->flags & EV_SF_MCODE) || x->s->ip - x->s->mcofs == mcode) &&
	       starts_alike(x, head);
}

/* Nothing of what tells where its parts are may have changed. */
static int is_still(void *reading)
{
	const struct reading *x = reading;
	const struct layout *l = x->l;
	const unsigned int at[] = {l->T_ir, l->T_snap, l->T_snap + 8u, l->T_mcode};
	unsigned char head[sizeof(x->head)];
	unsigned int i;

	if (read_head(x, head) || !is_same(x, head))
		return 0;
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		if (mem_get64(head, at[i]) != mem_get64(x->head, at[i]))
			return 0;
	return mem_get32(head, l->T_nk) == mem_get32(x->head, l->T_nk);
}

/* In builds before 2019, which have no mcofs either, nsnapmap is not behind nk. */
static int is_old(const struct layout *l)
{
	return l->T_nsnap == l->T_nk + 4u || l->T_snap + 16u > l->T_size;
}

/* Copies constants, snapshots and map. 0 or -1. */
static int read_body(struct reading *x)
{
	const struct layout *l = x->l;
	struct snap_trace *t = &x->t;
	uint64_t k, snap, map, len;

	t->gc64 = l->gc64;
	t->szmcode = mem_get32(x->head, l->T_szmcode);
	t->nk = mem_get32(x->head, l->T_nk);
	t->nsnap = mem_get32(x->head, l->T_nsnap) & 0xffff;
	t->nmap = mem_get32(x->head, l->T_nk + 4u);
	k = mem_get64(x->head, l->T_ir) + 8ull * t->nk;
	snap = mem_get64(x->head, l->T_snap);
	map = mem_get64(x->head, l->T_snap + 8u);
	t->nconst = SNAP_REF_BASE - t->nk;
	len = map - k + 4ull * t->nmap;
	if (t->nk > SNAP_REF_BASE || k <= x->T || snap < k || map < snap || map - k > TRACE_BYTES ||
	    t->nmap > TRACE_BYTES / 4 || 8ull * t->nconst > snap - k || ((map - k) & 3))
		return -1;
	x->body = malloc(len);
	if (!x->body || mem_read(x->in->pid, k, x->body, len))
		return -1;
	x->nir = (uint32_t)((snap - k) / 8);
	t->k = x->body;
	t->snap = x->body + (snap - k);
	t->map = (const uint32_t *)(const void *)(x->body + (map - k));
	if (x->in->form == SNAP_UNKNOWN)
		x->in->form = snap_form(t, map - snap);
	return x->in->form != SNAP_UNKNOWN &&
		       map - snap == snap_size(x->in->form) * (uint64_t)t->nsnap &&
		       snap_fits(t, x->in->form)
		   ? 0
		   : -1;
}

/* ---- the record ---- */

static int emit(struct reading *x, enum ev_snaps_why why)
{
	size_t ranges = x->nranges * sizeof(x->range[0]), size;
	struct ev_snaps *e;
	int err;

	size = sizeof(*e) + ranges + x->nframes * sizeof(x->frame[0]);
	e = calloc(1, size);
	if (!e)
		return -ENOMEM;
	*e = (struct ev_snaps){.h = x->s->h,
			       .g = x->s->g,
			       .mcode = x->mcode,
			       .start = x->s->f[0].addr,
			       .trace = x->s->trace,
			       .szmcode = mem_get32(x->head, x->l->T_szmcode),
			       .mcloop = mem_get32(x->head, x->l->T_mcloop),
			       .mark = x->s->f[0].mark,
			       .why = (ev_u16)why,
			       .nranges = x->nranges,
			       .nframes = x->nframes};
	e->h.kind = EV_SNAPS;
	e->h.cpu = 0;
	e->h.size = (ev_u32)size;
	memcpy(e->range, x->range, ranges);
	memcpy((char *)e->range + ranges, x->frame, x->nframes * sizeof(x->frame[0]));
	err = x->r->sink(x->r->ctx, &e->h);
	free(e);
	return err;
}

/* What the frames are called, and their code. */
static int describe(struct reading *x)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < x->nframes && !err; i++) {
		const struct ev_snap_frame *f = &x->frame[i];
		const struct ev_frame *caller = f->caller ? &x->frame[f->caller - 1].f : NULL;

		if (caller && caller->kind == EV_FRAME_LUA && f->f.kind == EV_FRAME_LUA)
			err = resolve_call(x->r, &x->s->h, caller->addr);
		if (!err)
			err = resolve_code_of(x->r, &x->s->h, &f->f);
	}
	return err;
}

static int read_trace(struct reading *x)
{
	int err;

	x->T = vm_trace(x->in->pid, &x->in->vm, x->s->trace);
	if (x->l->T_size > sizeof(x->head) || read_head(x, x->head) || !is_same(x, x->head)) {
		x->r->stats.snaps_gone++;
		return 0;
	}
	x->mcode = mem_get64(x->head, x->l->T_mcode);
	x->pt = vm_get_ref(x->l, x->head, x->l->T_startpt);
	if (is_old(x->l))
		return emit(x, EV_SNAPS_NO_MCOFS);
	if (read_body(x)) {
		x->r->stats.snaps_bad++;
		return 0;
	}
	if (x->in->form != SNAP_MCOFS)
		return emit(x, EV_SNAPS_NO_MCOFS);
	userwalk_while(x->in->u, is_still, x);
	frames_find(x);
	userwalk_while(x->in->u, NULL, NULL);
	err = userwalk_error(x->in->u);
	if (err)
		return err;
	if (!is_still(x)) {
		x->r->stats.snaps_gone++;
		return 0;
	}
	x->r->stats.snaps++;
	err = describe(x);
	return err ? err : emit(x, EV_SNAPS_KNOWN);
}

/* ---- what was looked at ---- */

static void traces_drop(struct resolve *r)
{
	struct rtrace *t, *tmp;

	HASH_ITER(hh, r->traces, t, tmp)
	{
		HASH_DEL(r->traces, t);
		free(t);
	}
}

static void inside_free(struct rinside *in)
{
	userwalk_free(in->u);
	free(in);
}

void resolve_snaps_drop(struct resolve *r, int pid)
{
	struct rinside **p = &r->inside, *in;

	while ((in = *p)) {
		if (pid && in->pid != pid) {
			p = &in->next;
			continue;
		}
		*p = in->next;
		inside_free(in);
	}
	if (!pid)
		traces_drop(r);
}

static struct rinside *inside_new(struct resolve *r, int pid, const struct vm *vm)
{
	static const char *const names[] = {"KGC", "KPTR", "KKPTR"};
	const struct ir_table *ir = ir_by_count(vm->row->l.ir_max);
	struct rinside *in = calloc(1, sizeof(*in));
	uint32_t i, k;

	if (!in)
		return NULL;
	in->pid = pid;
	in->vm = *vm;
	in->gen = bc_gen_by_count(vm->row->l.bc_max);
	in->u = userwalk_new(r, pid, &in->vm);
	if (!in->u) {
		free(in);
		return NULL;
	}
	for (i = 0; i < 3; i++) {
		in->op[i] = -1;
		for (k = 0; ir && k < ir->n; k++)
			if (!strcmp(ir_name(ir, k), names[i]))
				in->op[i] = (int)k;
	}
	in->next = r->inside;
	r->inside = in;
	return in;
}

/* Of the VM, as it is now: another one may be at the address of one before. */
static struct rinside *inside_of(struct resolve *r, int pid, const struct vm *vm)
{
	struct rinside **p, *in;

	for (p = &r->inside; (in = *p); p = &in->next) {
		if (in->pid != pid || in->vm.g != vm->g)
			continue;
		if (in->vm.number == vm->number && in->vm.row == vm->row)
			return in;
		*p = in->next;
		inside_free(in);
		break;
	}
	return inside_new(r, pid, vm);
}

/* 1: it is new; 0: it was looked at; or -ENOMEM. */
static int remember(struct resolve *r, const struct ev_sample *s, const struct vm *vm)
{
	struct rtrace k, *t;

	memset(&k, 0, sizeof(k));
	k.key.start = s->f[0].addr;
	k.key.pid = s->h.pid;
	k.key.vm = vm->number;
	k.key.trace = s->trace;
	k.key.mark = s->f[0].mark;
	HASH_FIND(hh, r->traces, &k.key, sizeof(k.key), t);
	if (t)
		return 0;
	if (HASH_COUNT(r->traces) >= TRACES_MAX)
		traces_drop(r);
	t = malloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = k;
	HASH_ADD(hh, r->traces, key, sizeof(t->key), t);
	return 1;
}

/* Samples wait in the ring meanwhile: what this takes of all the time is limited. */
static int has_time(struct resolve *r, uint64_t now)
{
	uint64_t earned = (now - r->snaps_seen) / SHARE;

	r->snaps_ns = r->snaps_ns > earned ? r->snaps_ns - earned : 0;
	r->snaps_seen = now;
	return r->snaps_ns < BURST;
}

int resolve_snaps(struct resolve *r, const struct ev_sample *s)
{
	uint64_t now = resolve_now();
	const struct vm *vm;
	struct reading *x;
	struct rproc *p;
	int err;

	if (s->state != EV_STATE_TRACE || !s->nframes || s->f[0].kind != EV_FRAME_TRACE ||
	    !(s->flags & (EV_SF_MCODE | EV_SF_CALLED)))
		return 0;
	p = resolve_proc(r, (int)s->h.pid);
	vm = p ? resolve_vm_at(p, s->g) : NULL;
	if (!vm || vm->gone || !has_time(r, now))
		return 0;
	err = remember(r, s, vm);
	if (err <= 0)
		return err;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->in = inside_of(r, p->pid, vm);
	if (!x->in) {
		free(x);
		return -ENOMEM;
	}
	x->r = r;
	x->s = s;
	x->l = &x->in->vm.row->l;
	err = read_trace(x);
	frames_release(x);
	free(x->body);
	free(x);
	r->snaps_ns += resolve_now() - now;
	return err;
}
