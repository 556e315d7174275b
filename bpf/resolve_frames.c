// SPDX-License-Identifier: MIT
/*
 * What runs where in a trace's machine code. Snapshots tell the frames at some offsets; between two
 * of them the bytecode that leads from one to the other is walked, and shares the machine code
 * evenly, in its order.
 */
#include "bpf/mem.h"
#include "bpf/resolve_snaps.h"
#include "bytecode/path.h"

#include <stdlib.h>
#include <string.h>

#define CONSTS_MAX 4096u      /* constants that are looked at */
#define BODY_MAX (1u << 20)   /* of a prototype */
#define BODIES_MAX (4u << 20) /* of all of a trace */
#define STEPS_MAX 1024u	      /* places between two snapshots */
#define VISITS_MAX 8192u      /* instructions between them */
#define DEPTH_MAX 8u	      /* calls between them */
#define IR_EQ_NE 9u	      /* lj_ir.h: comparisons come first, up to NE */
#define IRT_GUARD 0x80u

/* ---- prototypes ---- */

static struct rcode *code_of(struct reading *x, uint64_t pc)
{
	uint32_t i;

	for (i = 0; i < x->nprotos; i++)
		if (pc - x->protos[i].bc < 4ull * x->protos[i].h.sizebc)
			return &x->protos[i];
	return NULL;
}

/* The prototype at pt may be one that the trace runs. */
static void add_proto(struct reading *x, uint64_t pt)
{
	unsigned char head[EV_PROTO_HEAD];
	struct rcode *p = &x->protos[x->nprotos];

	if (!pt || pt & 7 || x->nprotos == PROTOS_MAX || code_of(x, pt + x->l->PT_size) ||
	    mem_read(x->in->pid, pt, head, x->l->PT_size) ||
	    proto_decode_head(x->l, head, sizeof(head), &p->h))
		return;
	p->pt = pt;
	p->bc = pt + x->l->PT_size;
	x->nprotos++;
}

static void add_function(struct reading *x, uint64_t fn)
{
	unsigned char f[64];

	if (x->l->F_pc + 8u > sizeof(f) || mem_read(x->in->pid, fn, f, x->l->F_pc + 8u) ||
	    f[layout_gct(x->l)] != 8 || f[x->l->F_ffid])
		return;
	add_proto(x, vm_get_ref(x->l, f, x->l->F_pc) - x->l->PT_size);
	calls_function(x, fn, code_of(x, vm_get_ref(x->l, f, x->l->F_pc)));
}

/* Those of the functions that calls in the trace were specialised to, and where it starts. */
static void find_protos(struct reading *x)
{
	uint32_t i, n = x->t.nconst < CONSTS_MAX ? x->t.nconst : CONSTS_MAX;
	uint64_t value;

	add_proto(x, x->pt);
	for (i = 0; i < n; i++) {
		switch (snap_const(&x->t, i, x->in->op, &value)) {
		case SNAP_CONST_FUNC:
			add_function(x, value);
			break;
		case SNAP_CONST_PROTO:
			add_proto(x, value);
			break;
		case SNAP_CONST_PTR: /* lj_record.c:rec_call_specialize: the code of one */
			add_proto(x, value - x->l->PT_size);
			break;
		default:
			break;
		}
	}
}

/* A side trace may run on in functions whose call its parent has checked. */
static void find_earlier(struct reading *x, uint64_t pc)
{
	const struct rproto *p;
	unsigned int i;

	for (i = 0; i < BEFORE_MAX && !code_of(x, pc); i++)
		add_proto(x, x->in->before[i]);
	for (p = x->r->protos; p && !code_of(x, pc); p = p->hh.next)
		if (p->pid == x->in->pid && pc - p->pt - x->l->PT_size < 4ull * p->h.sizebc)
			add_proto(x, p->pt);
}

static void remember_protos(struct reading *x)
{
	uint32_t i;
	unsigned int k;

	for (i = 0; i < x->nprotos; i++) {
		for (k = 0; k < BEFORE_MAX && x->in->before[k] != x->protos[i].pt; k++)
			;
		if (k == BEFORE_MAX)
			x->in->before[x->in->nbefore++ % BEFORE_MAX] = x->protos[i].pt;
	}
}

/* Its id in the stream and its body, when it turns out to be used. 0: there is none. */
static uint32_t use_code(struct reading *x, struct rcode *p)
{
	struct ev_frame f;

	if (p->id)
		return p->id;
	userwalk_position(x->in->u, p->pt, p->bc, &f);
	p->id = EV_FRAME_PROTO(f.addr);
	if (!p->id || p->h.sizept > BODY_MAX || x->bytes + p->h.sizept > BODIES_MAX ||
	    !resolve_body_allowed(x->r, p->h.sizept) ||
	    x->l->PT_size + 4ull * p->h.sizebc > p->h.sizept)
		return p->id;
	p->body = malloc(p->h.sizept);
	if (p->body && mem_read(x->in->pid, p->pt, p->body, p->h.sizept)) {
		free(p->body);
		p->body = NULL;
	}
	x->bytes += p->h.sizept;
	return p->id;
}

void frames_release(struct reading *x)
{
	uint32_t i;

	for (i = 0; i < x->nprotos; i++)
		free(x->protos[i].body);
}

/* 0: not known. */
static uint32_t line_at(const struct rcode *p, uint32_t pos)
{
	struct proto pt = {.h = p->h};
	uint64_t ofs = p->h.lineinfo - p->pt;
	int32_t line;

	if (!p->body || !p->h.lineinfo || ofs >= p->h.sizept)
		return 0;
	pt.lineinfo = p->body + ofs;
	pt.lineinfo_len = p->h.sizept - ofs;
	line = proto_line(&pt, pos);
	return line > 0 ? (uint32_t)line : 0;
}

/* ---- frames ---- */

struct level {
	struct rcode *p; /* NULL: no Lua function */
	uint64_t fn;
	uint32_t pos; /* where it is, or of its call */
};

/* The frames at a snapshot, that at the VM's stack base first. */
struct stack {
	struct level f[SNAP_FRAMES_MAX];
	uint32_t n;    /* 0: not known */
	uint32_t from; /* innermost: where it goes on from pos, if that is a comparison */
	int tail;
};

static void place_function(struct reading *x, const struct rnode *n, struct ev_frame *out)
{
	if (n->p) {
		out->kind = EV_FRAME_LUA;
		out->addr = EV_FRAME_ADDR(n->p->id, n->pos);
		out->line = line_at(n->p, n->pos);
	} else {
		userwalk_function(x->in->u, n->fn, 0, out);
		if (out->kind != EV_FRAME_FF && out->kind != EV_FRAME_C)
			memset(out, 0, sizeof(*out));
	}
}

/* The frame's index + 1; 0: no room, or not known. */
static uint32_t node_of(struct reading *x, const struct rnode *n)
{
	struct ev_snap_frame *f;
	uint32_t i;

	for (i = x->nframes; i--;)
		if (!memcmp(&x->node[i], n, sizeof(*n)))
			return x->frame[i].f.kind ? i + 1 : 0;
	i = x->nframes;
	if (i == EV_SNAPS_MAX)
		return 0;
	x->node[i] = *n;
	f = &x->frame[i];
	f->caller = n->caller;
	f->flags = n->flags;
	place_function(x, n, &f->f);
	x->nframes++;
	return f->f.kind ? i + 1 : 0;
}

/* The frame of a stack's level at pos, with those below it. */
static uint32_t frame_of(struct reading *x, const struct stack *s, uint32_t level, uint32_t pos)
{
	struct rnode n;
	uint32_t i, at = 0;

	for (i = 0; i <= level; i++) {
		memset(&n, 0, sizeof(n));
		n.p = s->f[i].p;
		n.fn = n.p ? 0 : s->f[i].fn;
		n.pos = i == level ? pos : s->f[i].pos;
		n.caller = at;
		n.flags = !i && s->tail ? EV_SNAP_TAIL : 0;
		at = node_of(x, &n);
		if (!at)
			return 0;
	}
	return at;
}

/* pc: of the next instruction; of a caller, after its call. */
static int set_level(struct reading *x, struct level *l, const struct snap_frame *f, int caller)
{
	uint64_t pc = f->pc ? f->pc - 4u * (unsigned int)caller : 0;

	*l = (struct level){.p = pc ? code_of(x, pc) : NULL, .fn = f->fn};
	if (!l->p && !l->fn && pc) {
		find_earlier(x, pc);
		l->p = code_of(x, pc);
	}
	if (!l->p)
		return l->fn ? 0 : -1;
	l->pos = (uint32_t)((pc - l->p->bc) / 4);
	return use_code(x, l->p) ? 0 : -1;
}

static void stack_at(struct reading *x, uint32_t snap, struct stack *s)
{
	struct snap_frame f[SNAP_FRAMES_MAX];
	uint32_t i, n;

	s->tail = 0;
	n = snap_frames(&x->t, x->in->form, snap, f, &s->tail);
	for (i = 0; i < n; i++)
		if (set_level(x, &s->f[i], &f[n - 1 - i], i + 1 < n))
			n = 0;
	s->n = n;
	s->from = n ? s->f[n - 1].pos : 0;
}

/* ---- between snapshots ---- */

/* A place that has a share of the machine code between two snapshots. */
struct step {
	const struct rcode *p;
	uint32_t caller, frame; /* index + 1 */
	uint32_t line;
	uint32_t works; /* its share */
};

/* Where a walk is. */
struct spot {
	const struct rcode *p;
	uint64_t fn;
	uint32_t caller; /* frame, index + 1 */
	uint32_t tail;
};

struct steps {
	struct reading *x;
	struct step step[STEPS_MAX];
	uint32_t n, works;
	struct spot at;
	uint32_t depth, visits;
	int lost;
};

static uint32_t spot_frame(struct steps *st, uint32_t pos)
{
	struct rnode n;

	memset(&n, 0, sizeof(n));
	n.p = st->at.p;
	n.pos = pos;
	n.caller = st->at.caller;
	n.flags = !n.caller && st->at.tail ? EV_SNAP_TAIL : 0;
	return node_of(st->x, &n);
}

static void visit_one(struct steps *st, uint32_t pos, unsigned int works)
{
	struct step *last = st->n ? &st->step[st->n - 1] : NULL;
	uint32_t line = line_at(st->at.p, pos);

	st->works += works;
	if (last && last->p == st->at.p && last->caller == st->at.caller && last->line == line) {
		last->works += works;
		return;
	}
	if (st->n == STEPS_MAX) {
		st->lost = 1;
		return;
	}
	st->step[st->n++] =
	    (struct step){st->at.p, st->at.caller, spot_frame(st, pos), line, works};
}

static void visit(void *ctx, uint32_t pos, unsigned int works);

static enum path_found walk(struct steps *st, uint32_t from, uint32_t to, enum path_end end,
			    uint32_t *at, uint32_t *next)
{
	struct reading *x = st->x;
	const struct rcode *p = st->at.p;
	enum path_found found;
	struct path_code c;

	if (!p) /* a fast function's frame: nothing of it is bytecode */
		return PATH_DONE;
	if (!p->body || !x->in->gen)
		return PATH_LOST;
	c = (struct path_code){x->in->gen, calls_code(x, p), p->h.sizebc};
	found = path_walk(&c, from, to, end, visit, st, at, next);
	return st->lost ? PATH_LOST : found;
}

/*
 * The walk passes a call: what it calls came back before the next snapshot. 1: that was walked, in
 * its place; then nothing of it may be missing.
 */
static int visit_call(struct steps *st, uint32_t pos, int tail)
{
	struct spot here = st->at, callee = {.caller = here.caller, .tail = here.tail};
	uint32_t at, next;
	int lost = st->lost;

	if (st->depth == DEPTH_MAX ||
	    !calls_find(st->x, here.p, here.fn, pos, &callee.p, &callee.fn))
		return 0;
	if (!tail)
		callee.caller = spot_frame(st, pos);
	if (!tail && !callee.caller)
		return 0;
	st->at = callee;
	st->depth++;
	if (walk(st, 1, 0, PATH_RETURN, &at, &next) == PATH_LOST)
		lost = 1;
	st->depth--;
	st->at = here;
	st->lost = lost;
	return 1;
}

static void visit(void *ctx, uint32_t pos, unsigned int works)
{
	struct steps *st = ctx;
	enum calls_kind kind = works ? calls_kind(st->x, st->at.p, pos) : CALLS_NOT;

	if (++st->visits > VISITS_MAX)
		st->lost = 1;
	if (st->lost)
		return;
	if (kind == CALLS_NOT || !visit_call(st, pos, kind == CALLS_TAIL))
		if (works)
			visit_one(st, pos, works);
}

/* To a level of a stack. */
static void go_to(struct steps *st, const struct stack *s, uint32_t level)
{
	st->at = (struct spot){.p = s->f[level].p,
			       .fn = calls_closure(st->x, s->f[level].p, s->f[level].fn),
			       .tail = (uint32_t)s->tail};
	if (level)
		st->at.caller = frame_of(st->x, s, level - 1, s->f[level - 1].pos);
}

/* The innermost function that is active at both, as far as the calls tell: its level. -1: none. */
static int common(const struct stack *a, const struct stack *b)
{
	uint32_t k = 0;

	if (a->f[0].p != b->f[0].p || a->tail != b->tail)
		return -1;
	while (k + 1 < a->n && k + 1 < b->n && a->f[k].pos == b->f[k].pos &&
	       a->f[k + 1].p == b->f[k + 1].p && a->f[k + 1].fn == b->f[k + 1].fn)
		k++;
	return (int)k;
}

/*
 * What runs from a to b. compares: b may be told by a comparison, then it is put where that is. 0
 * or -1.
 */
static int between(struct steps *st, const struct stack *a, struct stack *b, int compares)
{
	int k = a->n && b->n ? common(a, b) : -1;
	uint32_t at = 0, next = 0, leaf = b->n - 1, from, i;
	enum path_found found = PATH_DONE;
	enum path_end end;

	if (k < 0)
		return -1;
	go_to(st, a, a->n - 1);
	if (st->at.p && a->from != a->f[a->n - 1].pos)
		visit_one(st, a->f[a->n - 1].pos, 1);
	from = a->from;
	for (i = a->n - 1; i > (uint32_t)k; i--) {
		go_to(st, a, i);
		if (walk(st, from, 0, PATH_RETURN, &at, &next) == PATH_LOST)
			return -1;
		from = a->f[i - 1].pos + 1;
	}
	for (i = (uint32_t)k; i <= leaf && found == PATH_DONE; i++) {
		go_to(st, b, i);
		end = i < leaf ? PATH_CALL : compares ? PATH_COMPARE : PATH_TO;
		found = walk(st, from, b->f[i].pos, end, &at, &next);
		from = 1; /* after the header */
	}
	if (found == PATH_COMPARED) {
		b->f[leaf].pos = at;
		b->from = next;
	}
	return found == PATH_LOST || st->lost ? -1 : 0;
}

/* Does the snapshot begin with a comparison that may fail? */
static int is_comparison(const struct reading *x, const struct snap *sn)
{
	uint32_t i = sn->ref - x->t.nk;
	const unsigned char *ir = x->body + 8ull * i;

	return sn->ref >= x->t.nk && i < x->nir && ir[5] <= IR_EQ_NE && (ir[4] & IRT_GUARD);
}

/* ---- ranges ---- */

static void add_range(struct reading *x, uint32_t mcofs, uint32_t frame)
{
	struct ev_snap_range *last = x->nranges ? &x->range[x->nranges - 1] : NULL;

	/* The last place is for the end of what can be told. */
	if (x->nranges + 1 >= EV_SNAPS_MAX)
		frame = 0;
	if (last && last->mcofs == mcofs)
		last->frame = frame;
	else if ((!last || last->frame != frame) && x->nranges < EV_SNAPS_MAX)
		x->range[x->nranges++] = (struct ev_snap_range){mcofs, frame};
}

/* What is known of the code from a snapshot at s to the next one's offset. */
static void add_ranges(struct reading *x, const struct stack *s, uint32_t from, uint32_t to,
		       const struct steps *st)
{
	uint32_t i, done = 0, leaf = s->n - 1;

	if (to <= from)
		return;
	if (!s->n || !st || !st->works) {
		add_range(x, from, s->n ? frame_of(x, s, leaf, s->f[leaf].pos) : 0);
		return;
	}
	for (i = 0; i < st->n; i++) {
		add_range(x, from + (uint32_t)((uint64_t)(to - from) * done / st->works),
			  st->step[i].frame);
		done += st->step[i].works;
	}
}

/* All snapshots tell of calls. */
static void learn_calls(struct reading *x, struct stack *s)
{
	uint32_t i, k;

	for (i = 0; i < x->t.nsnap; i++) {
		stack_at(x, i, s);
		for (k = 0; k + 1 < s->n; k++)
			if (s->f[k].p && s->f[k + 1].p)
				calls_learn(x, s->f[k].p, s->f[k].pos, s->f[k + 1].p,
					    s->f[k + 1].fn);
	}
}

static void find_ranges(struct reading *x, struct stack *a, struct stack *b, struct steps *st)
{
	struct stack *swap;
	struct snap sn, next;
	uint32_t i;
	int known;

	stack_at(x, 0, a);
	snap_get(&x->t, x->in->form, 0, &sn);
	for (i = 1; i < x->t.nsnap; i++, sn = next) {
		snap_get(&x->t, x->in->form, i, &next);
		stack_at(x, i, b);
		st->n = st->works = st->visits = 0;
		st->lost = 0;
		known = !between(st, a, b, is_comparison(x, &next));
		add_ranges(x, a, sn.mcofs, next.mcofs, known ? st : NULL);
		swap = a;
		a = b;
		b = swap;
	}
	add_ranges(x, a, sn.mcofs, x->t.szmcode, NULL);
}

void frames_find(struct reading *x)
{
	struct stack *s = malloc(2 * sizeof(*s));
	struct steps *st = calloc(1, sizeof(*st));
	uint32_t i;

	if (s && st) {
		st->x = x;
		find_protos(x);
		for (i = 0; i < x->nprotos; i++)
			use_code(x, &x->protos[i]);
		learn_calls(x, s);
		find_ranges(x, &s[0], &s[1], st);
		remember_protos(x);
	}
	free(s);
	free(st);
}
