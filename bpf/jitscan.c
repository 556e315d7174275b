// SPDX-License-Identifier: MIT
#include "bpf/jitscan.h"

#include "bpf/mem.h"
#include "bpf/protoscan.h"
#include "bpf/userwalk.h"
#include "bytecode/bc.h"
#include "bytecode/proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PENALTY_SLOTS 64
#define TRACES_MAX 65536u
#define SPOTS_MAX 65536u
#define BC_CHUNK 4096u /* instructions looked at in one go */
#define LINK_INTERP 6  /* LJ_TRLINK_INTERP, lj_jit.h */
#define LINK_STITCH 8
/* lj_trace.c: PENALTY_MIN; the value doubles with each abort, plus a few random bits. */
#define PENALTY_MIN 72

struct penalty {
	uint64_t pc;
	uint16_t val, reason;
	int found; /* its prototype was */
};

struct scan {
	struct resolve *r;
	struct userwalk *u;
	int pid;
	const struct vm *vm;
	const struct layout *l;
	const struct bc_gen *gen;
	struct penalty penalty[PENALTY_SLOTS];
	unsigned int spots;
};

static struct ev_hdr header(const struct scan *s, enum ev_kind kind, size_t size)
{
	struct ev_hdr h = {.kind = kind,
			   .size = (ev_u32)size,
			   .time = resolve_now(),
			   .pid = (ev_u32)s->pid,
			   .tid = (ev_u32)s->pid};

	return h;
}

static uint64_t jit_state(const struct scan *s)
{
	return vm_main(s->vm) + s->l->GG_J;
}

static int emit_jit(struct scan *s, uint32_t traces, uint32_t sizetrace)
{
	struct ev_jit e = {.h = header(s, EV_JIT, sizeof(e)), .g = s->vm->g};
	uint64_t J = jit_state(s);
	uint32_t n = s->l->jit_p_max < EV_JIT_PARAMS ? s->l->jit_p_max : EV_JIT_PARAMS;

	e.on = vm_jit_on(s->pid, s->vm) == 1;
	e.traces = traces;
	e.sizetrace = sizetrace;
	if (mem_read(s->pid, J + s->l->J_szallmcarea, &e.szallmcarea, sizeof(e.szallmcarea)))
		e.szallmcarea = 0;
	if (!mem_read(s->pid, J + s->l->J_param, e.param, n * sizeof(e.param[0])))
		e.nparams = n;
	return resolve_record(s->r, &e.h);
}

static int emit_spot(struct scan *s, enum ev_spot_kind kind, uint64_t pt, uint64_t pc,
		     const struct penalty *p, uint32_t trace)
{
	struct ev_spot e = {.h = header(s, EV_SPOT, sizeof(e)),
			    .g = s->vm->g,
			    .kind = (ev_u8)kind,
			    .trace = trace,
			    .reason = EV_REASON_UNKNOWN};
	uint32_t v;

	if (++s->spots > SPOTS_MAX)
		return 0;
	userwalk_position(s->u, pt, pc, &e.at);
	if (!e.at.kind)
		return 0;
	if (p) {
		e.value = p->val;
		e.reason = p->reason;
		for (v = p->val / PENALTY_MIN; v && e.attempts < 11; v >>= 1)
			e.attempts++;
	}
	return userwalk_error(s->u) ? userwalk_error(s->u) : resolve_record(s->r, &e.h);
}

static uint16_t get16(const unsigned char *p, unsigned int off)
{
	return (uint16_t)(p[off] | p[off + 1] << 8);
}

/* One entry of J->trace[]: the trace, and what it says of failures. */
static int one_trace(struct scan *s, uint32_t no, uint64_t T)
{
	struct ev_trace e = {
	    .h = header(s, EV_TRACE, sizeof(e)), .g = s->vm->g, .trace = no, .type = EV_TRACE_LIVE};
	const struct layout *l = s->l;
	unsigned char t[256];
	uint64_t pt, pc;
	int err;

	if (l->T_size > sizeof(t) || mem_read(s->pid, T, t, l->T_size) ||
	    get16(t, l->T_traceno) != no)
		return 0; /* it changed while we looked */
	pt = mem_get64(t, l->T_startpt);
	pc = mem_get64(t, l->T_startpc);
	e.root = get16(t, l->T_root);
	e.link = get16(t, l->T_link);
	e.linktype = t[l->T_linktype];
	e.nsnap = get16(t, l->T_nsnap);
	e.szmcode = mem_get32(t, l->T_szmcode);
	e.mcode = mem_get64(t, l->T_mcode);
	e.nins = mem_get32(t, l->T_nins) - mem_get32(t, l->T_nk);
	e.kind = e.root ? EV_TRACE_SIDE : EV_TRACE_ROOT;
	userwalk_position(s->u, pt, pc, &e.start);
	err = userwalk_error(s->u);
	if (!err)
		err = resolve_record(s->r, &e.h);
	if (!err && e.linktype == LINK_STITCH && e.link == no)
		err = emit_spot(s, EV_SPOT_STITCH, pt, pc, NULL, no);
	if (!err && e.linktype == LINK_INTERP && e.root)
		err = emit_spot(s, EV_SPOT_STUB, pt, pc, NULL, no);
	return err;
}

static int traces(struct scan *s)
{
	uint64_t J = jit_state(s), vec = mem_u64(s->pid, J + s->l->J_trace), *T;
	uint32_t size = 0, live = 0, i;
	int err;

	if (mem_read(s->pid, J + s->l->J_sizetrace, &size, 4) || size > TRACES_MAX)
		size = 0;
	T = calloc(size ? size : 1, sizeof(*T));
	if (!T)
		return -ENOMEM;
	if (size && mem_read(s->pid, vec, T, size * sizeof(*T)))
		size = 0; /* it was reallocated just now */
	for (i = 1; i < size; i++)
		live += T[i] != 0 && T[i] != J + s->l->J_cur;
	err = emit_jit(s, live, size);
	for (i = 1; i < size && !err; i++)
		if (T[i] && T[i] != J + s->l->J_cur)
			err = one_trace(s, i, T[i]);
	free(T);
	return err;
}

static void read_penalties(struct scan *s)
{
	unsigned char buf[PENALTY_SLOTS * 16];
	unsigned int i;

	if (s->l->PENALTY_size != 16 ||
	    mem_read(s->pid, jit_state(s) + s->l->J_penalty, buf, sizeof(buf)))
		return;
	for (i = 0; i < PENALTY_SLOTS; i++) {
		s->penalty[i].pc = mem_get64(buf, 16 * i);
		s->penalty[i].val = get16(buf, 16 * i + 8);
		s->penalty[i].reason = get16(buf, 16 * i + 10);
	}
}

/* The penalty slot of a start, or NULL: it was reused. */
static const struct penalty *penalty_of(struct scan *s, uint64_t pc)
{
	unsigned int i;

	for (i = 0; i < PENALTY_SLOTS; i++)
		if (s->penalty[i].pc == pc)
			return &s->penalty[i];
	return NULL;
}

/* A blacklisted start has its opcode replaced by one without a counter (lj_trace.c:blacklist_pc).
 */
static enum ev_spot_kind blacklisted(const struct bc_gen *gen, uint32_t op)
{
	if (op == gen->of[BC_ID_IFORL] || op == gen->of[BC_ID_IITERL] || op == gen->of[BC_ID_ILOOP])
		return EV_SPOT_LOOP;
	return op == gen->of[BC_ID_IFUNCF] ? EV_SPOT_FUNC : 0;
}

static int spots_in(struct scan *s, uint64_t pt, const struct proto_head *h)
{
	uint64_t bc = pt + s->l->PT_size, pc;
	uint32_t ins[BC_CHUNK], i, n, at;
	enum ev_spot_kind kind;
	int err = 0;

	for (at = 0; at < h->sizebc && !err; at += n) {
		n = h->sizebc - at < BC_CHUNK ? h->sizebc - at : BC_CHUNK;
		if (mem_read(s->pid, bc + 4ull * at, ins, 4ull * n))
			return 0;
		for (i = 0; i < n && !err; i++) {
			kind = blacklisted(s->gen, bc_op(ins[i]));
			pc = bc + 4ull * (at + i);
			if (kind)
				err = emit_spot(s, kind, pt, pc, penalty_of(s, pc), 0);
		}
	}
	return err;
}

static int match_proto(void *ctx, uint64_t pt, const struct proto_head *h)
{
	struct scan *s = ctx;
	uint64_t bc = pt + s->l->PT_size;
	unsigned int k;
	int err = 0;

	for (k = 0; k < PENALTY_SLOTS && !err; k++) {
		struct penalty *p = &s->penalty[k];

		if (p->pc < bc || p->pc - bc >= 4ull * h->sizebc || p->found)
			continue;
		p->found = 1;
		err = emit_spot(s, EV_SPOT_PENALTY, pt, p->pc, p, 0);
	}
	/* PROTO_ILOOP also marks what jit.off() did lazily: that has PROTO_NOJIT too. */
	if (!err && (h->flags & PROTO_ILOOP) && !(h->flags & PROTO_NOJIT))
		err = spots_in(s, pt, h);
	return err;
}

int jitscan(struct resolve *r, int pid, const struct vm *vm)
{
	const struct proc_maps *maps = resolve_maps(r, pid);
	struct scan *s = calloc(1, sizeof(*s));
	int err;

	if (!s || !maps) {
		free(s);
		return -ENOMEM;
	}
	s->r = r;
	s->pid = pid;
	s->vm = vm;
	s->l = &vm->row->l;
	s->gen = bc_gen_by_count(s->l->bc_max);
	s->u = userwalk_new(r, pid, vm);
	err = s->u && s->gen ? traces(s) : -ENOMEM;
	read_penalties(s);
	if (!err)
		err = protoscan(pid, maps, vm, match_proto, s);
	userwalk_free(s->u);
	free(s);
	return err;
}

int jitscan_new(struct resolve *r, int pid, const struct vm *vm)
{
	struct scan s = {.r = r, .pid = pid, .vm = vm, .l = &vm->row->l};

	return emit_jit(&s, 0, 0);
}
