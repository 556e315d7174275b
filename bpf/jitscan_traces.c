// SPDX-License-Identifier: MIT
/*
 * The live traces of a VM: J->trace[], and what their snapshots say. LuaJIT src/lj_jit.h GCtrace,
 * SnapShot; lj_trace.c:trace_save puts IR, snapshots and their map behind the GCtrace, in one
 * allocation; lj_snap.c:snapshot_slots has the entries' meaning.
 */
#include "bpf/jitscan_int.h"
#include "bpf/mem.h"
#include "bytecode/jitnames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRACES_MAX 65536u
#define TRACE_BYTES (1u << 20) /* of one trace: IR, snapshots, map; or machine code */
#define ALL_BYTES (64u << 20)  /* of all; what is beyond keeps to itself which exits it has */
#define REF_BASE 0x8000u       /* constants are below */
#define CONSTS_MAX 1024u
#define TRACE_HEAD_MAX 256u
#define SNAP_FRAME 0x010000u
#define SNAP_CONT 0x020000u

#define FRAME_TYPE 3u /* lj_frame.h, of a frame's link */
#define FRAME_IS_CONT 2u

/*
 * SnapShot: 8 bytes up to 2.1.0-beta3; then the map's offset grew; since 2021-03 an offset into the
 * machine code. Which one a build has is told by the snapshots themselves: each one's entries and
 * links end where those of the next begin.
 */
enum snap_layout { SNAP_UNKNOWN, SNAP_SHORT, SNAP_LONG, SNAP_MCOFS };
static const struct {
	unsigned int size, nent, count;
} snap_layouts[] = {
    [SNAP_SHORT] = {8, 6, 7}, [SNAP_LONG] = {12, 8, 9}, [SNAP_MCOFS] = {12, 10, 11}};

struct snap {
	uint32_t mapofs, nent, count, mcofs;
};

/* A trace, copied. */
struct jtrace {
	uint64_t T, pt, pc, mcode, ir, snap, map;
	uint32_t no, nk, nins, nsnap, szmcode, root, link, parent, exitno;
	uint8_t linktype;
	unsigned char
	    *body; /* from the IR constants on to the end of the snapshots; NULL: not read */
	uint32_t *mapcopy; /* nmap words */
	uint32_t bodylen, nmap;
};

struct traces {
	struct jscan *s;
	struct jtrace *t;
	uint32_t n;
	uint64_t bytes;
	uint32_t *child, nchild; /* indices of side traces, by machine code */
};

/* ---- reading ---- */

int jscan_jit(struct jscan *s, uint32_t traces, uint32_t sizetrace)
{
	struct ev_jit e = {.h = jscan_header(s, EV_JIT, sizeof(e)), .g = s->vm.g};
	uint64_t J = jscan_state(s);
	uint32_t n = s->l->jit_p_max < EV_JIT_PARAMS ? s->l->jit_p_max : EV_JIT_PARAMS;

	e.on = vm_jit_on(s->pid, &s->vm) == 1;
	e.traces = traces;
	e.sizetrace = sizetrace;
	if (mem_read(s->pid, J + s->l->J_szallmcarea, &e.szallmcarea, sizeof(e.szallmcarea)))
		e.szallmcarea = 0;
	if (!mem_read(s->pid, J + s->l->J_param, e.param, n * sizeof(e.param[0])))
		e.nparams = n;
	return resolve_record(s->r, &e.h);
}

static struct snap get_snap(const struct jscan *s, const struct jtrace *t, uint32_t i)
{
	const unsigned char *p = t->body + (t->snap - t->ir) + i * snap_layouts[s->snaps].size;
	struct snap sn = {.nent = p[snap_layouts[s->snaps].nent],
			  .count = p[snap_layouts[s->snaps].count]};

	sn.mapofs = s->snaps == SNAP_SHORT ? jscan_get16(p, 0) : mem_get32(p, 0);
	sn.mcofs = s->snaps == SNAP_MCOFS ? jscan_get16(p, 6) : 0;
	return sn;
}

/*
 * Words behind the entries of a snapshot: pc and base with LJ_FR2, else pc and a link for each
 * frame slot and each continuation but the trace's own frame (lj_snap.c:snapshot_framelinks).
 */
static uint32_t links_of(const struct jscan *s, const uint32_t *entries, uint32_t n)
{
	uint32_t i, links = 1;

	if (s->l->fr2)
		return 2;
	for (i = 0; i < n; i++)
		links += (entries[i] & (SNAP_FRAME | SNAP_CONT)) && entries[i] >> 24;
	return links;
}

/* Do the snapshots of a trace follow each other in this layout, and all lie in its map? */
static int snaps_fit(const struct jscan *s, const struct jtrace *t)
{
	struct snap sn;
	uint32_t i;
	uint64_t end;

	for (i = 0; i < t->nsnap; i++) {
		sn = get_snap(s, t, i);
		end = (uint64_t)sn.mapofs + sn.nent;
		if (end > t->nmap)
			return 0;
		end += links_of(s, t->mapcopy + sn.mapofs, sn.nent);
		if (end > t->nmap || (i + 1 < t->nsnap && end != get_snap(s, t, i + 1).mapofs))
			return 0;
	}
	return 1;
}

/* Copies the map of a trace's snapshots. 1: it fits in this layout; else it is dropped. */
static int read_map(struct jscan *s, struct jtrace *t)
{
	struct snap last;
	uint64_t words;
	long got;

	if (t->map - t->snap != (uint64_t)t->nsnap * snap_layouts[s->snaps].size)
		return 0;
	last = get_snap(s, t, t->nsnap - 1);
	words = (uint64_t)last.mapofs + last.nent + (s->l->fr2 ? 2u : 1u + last.nent);
	if (words > TRACE_BYTES / 4)
		return 0;
	t->mapcopy = malloc(4 * words);
	got = t->mapcopy ? mem_read_some(s->pid, t->map, t->mapcopy, 4 * words) : 0;
	t->nmap = got > 0 ? (uint32_t)got / 4 : 0;
	if (snaps_fit(s, t))
		return 1;
	free(t->mapcopy);
	t->mapcopy = NULL;
	return 0;
}

/* Finds out which layout this VM's snapshots have: the one that fits, if only one does. */
static void learn_snaps(struct jscan *s, struct jtrace *t)
{
	int i, fits = SNAP_UNKNOWN, n = 0;

	for (i = SNAP_SHORT; i <= SNAP_MCOFS && t->nsnap >= 2; i++) {
		s->snaps = i;
		if (!read_map(s, t))
			continue;
		free(t->mapcopy);
		t->mapcopy = NULL;
		fits = i;
		n++;
	}
	s->snaps = n == 1 ? fits : SNAP_UNKNOWN;
}

static void body_drop(struct jtrace *t)
{
	free(t->body);
	free(t->mapcopy);
	t->body = NULL;
	t->mapcopy = NULL;
}

/* IR and snapshots. What does not hold together is dropped: the trace may be new in this place. */
static void read_body(struct traces *x, struct jtrace *t)
{
	uint64_t len = t->map - t->ir;
	struct jscan *s = x->s;

	if (t->ir <= t->T || t->ir - t->T > 512 || t->snap < t->ir || t->map < t->snap ||
	    len > TRACE_BYTES || !t->nsnap || t->nk > REF_BASE || t->nins < REF_BASE ||
	    t->snap - t->ir != 8ull * (t->nins - t->nk) || x->bytes + len > ALL_BYTES)
		return;
	t->body = malloc(len);
	if (!t->body || mem_read(s->pid, t->ir, t->body, len)) {
		body_drop(t);
		return;
	}
	t->bodylen = (uint32_t)len;
	x->bytes += len;
	if (!s->snaps)
		learn_snaps(s, t);
	if (!s->snaps || !read_map(s, t))
		body_drop(t);
	else
		x->bytes += 4ull * t->nmap;
}

/* 1: read; 0: it changed while we looked. */
static int read_trace(struct traces *x, uint32_t no, uint64_t T, struct jtrace *out)
{
	const struct layout *l = x->s->l;
	unsigned char t[TRACE_HEAD_MAX];

	if (l->T_size > sizeof(t) || mem_read(x->s->pid, T, t, l->T_size) ||
	    jscan_get16(t, l->T_traceno) != no)
		return 0;
	*out = (struct jtrace){.T = T,
			       .no = no,
			       .pt = vm_get_ref(l, t, l->T_startpt),
			       .pc = vm_get_ref(l, t, l->T_startpc),
			       .root = jscan_get16(t, l->T_root),
			       .link = jscan_get16(t, l->T_link),
			       .linktype = t[l->T_linktype],
			       .nsnap = jscan_get16(t, l->T_nsnap),
			       .szmcode = mem_get32(t, l->T_szmcode),
			       .mcode = mem_get64(t, l->T_mcode),
			       .nins = mem_get32(t, l->T_nins),
			       .nk = mem_get32(t, l->T_nk),
			       .snap = mem_get64(t, l->T_snap),
			       .map = mem_get64(t, l->T_snap + 8u)};
	out->ir = mem_get64(t, l->T_ir) + 8ull * out->nk;
	read_body(x, out);
	return 1;
}

struct emitting {
	struct jscan *s;
	const struct jtrace *t;
};

/* Is the trace what it was when it was read? If not, what it refers to may be anything by now. */
static int is_still(void *emitting)
{
	const struct emitting *e = emitting;
	const struct jtrace *t = e->t;
	const struct layout *l = e->s->l;
	unsigned char head[TRACE_HEAD_MAX];

	return vm_trace(e->s->pid, &e->s->vm, t->no) == t->T &&
	       !vm_read_living(e->s->pid, l, e->s->vm.g, t->T, head, l->T_size) &&
	       vm_get_ref(l, head, l->T_startpt) == t->pt &&
	       vm_get_ref(l, head, l->T_startpc) == t->pc &&
	       mem_get64(head, l->T_mcode) == t->mcode;
}

/* ---- snapshots ---- */

/* lj_jit.h:snap_pc */
static uint64_t snap_pc(const struct jscan *s, const struct jtrace *t, uint32_t i)
{
	struct snap sn = get_snap(s, t, i);
	const uint32_t *link = t->mapcopy + sn.mapofs + sn.nent;

	return s->l->fr2 ? mem_get64(link, 0) >> 8 : *link;
}

/*
 * The constant that a snapshot's entry refers to; 0: it is none. One of 64 bits is in the slot
 * after its instruction, an object or pointer of 32 in the instruction (lj_ir.h:ir_kgc).
 */
static uint64_t constant(const struct jscan *s, const struct jtrace *t, uint32_t entry)
{
	uint32_t ref = entry & 0xffff, wide = s->l->gc64;

	if (ref < t->nk || ref + 1 + wide > REF_BASE ||
	    8ull * (ref + 1 + wide - t->nk) > t->bodylen)
		return 0;
	return wide ? mem_get64(t->body, 8ull * (ref + 1 - t->nk))
		    : mem_get32(t->body, 8ull * (ref - t->nk));
}

/* A prototype among the constants, of a frame that was returned to (IR_RETF), or of a function. */
static struct jproto *proto_in_consts(struct jscan *s, const struct jtrace *t, uint64_t pc)
{
	struct jproto *p;
	uint32_t ref, n = 0;
	uint64_t k;

	for (ref = t->nk; ref + 1 < REF_BASE && n < CONSTS_MAX && !jscan_over(s); ref++, n++) {
		uint32_t op = t->body[8ull * (ref - t->nk) + 5]; /* IRIns.o */
		const char *name = ir_name(s->ir, op);

		if (!name || strcmp(name, "KGC"))
			continue;
		k = constant(s, t, ref);
		p = jscan_function(s, k);
		if (!p)
			p = jscan_proto(s, k, NULL);
		if (p && jscan_has_pc(s, p, pc))
			return p;
	}
	return NULL;
}

/* The prototype that pc is in: the trace's own, or one that was inlined. NULL: not known. */
static struct jproto *proto_of(struct jscan *s, const struct jtrace *t, uint64_t pc)
{
	struct jproto *p = jscan_proto(s, t->pt, NULL);

	if (p && jscan_has_pc(s, p, pc))
		return p;
	return proto_in_consts(s, t, pc);
}

static void place(struct jscan *s, const struct jtrace *t, uint64_t pc, struct ev_frame *out)
{
	struct jproto *p = proto_of(s, t, pc);

	memset(out, 0, sizeof(*out));
	if (p)
		userwalk_position(s->u, p->pt, pc, out);
}

/* ---- where a trace ends ---- */

static int is_call(const struct jscan *s, uint64_t pc)
{
	uint32_t ins;

	if (mem_read(s->pid, pc, &ins, 4))
		return 0;
	return bc_op(ins) == s->gen->of[BC_ID_CALL] || bc_op(ins) == s->gen->of[BC_ID_CALLM] ||
	       bc_op(ins) == s->gen->of[BC_ID_CALLT] || bc_op(ins) == s->gen->of[BC_ID_CALLMT] ||
	       bc_op(ins) == s->gen->of[BC_ID_ITERC];
}

/*
 * The frame on top of a trace's last snapshot: its function, and the pc after the call that the
 * trace ends in; 0: not known. lj_ffrecord.c:recff_stitch puts a continuation and that pc under it;
 * in a trace that returns the frame's link is the pc. Without LJ_FR2 links are not among the
 * entries, but behind them and the snapshot's own pc, the topmost frame's first.
 */
static uint64_t top_frame(const struct jscan *s, const struct jtrace *t, uint64_t *pc)
{
	struct snap sn = get_snap(s, t, t->nsnap - 1);
	const uint32_t *e = t->mapcopy + sn.mapofs, *link = e + sn.nent + 1;
	uint32_t i, top = UINT32_MAX, links = links_of(s, e, sn.nent) - 1;

	*pc = 0;
	for (i = 0; i < sn.nent; i++)
		if (e[i] & SNAP_FRAME)
			top = i;
	if (top == UINT32_MAX)
		return 0;
	if (!s->l->fr2) {
		if (t->linktype == LINK_RETURN && links)
			*pc = link[0];
		else if (t->linktype == LINK_STITCH && links > 1 &&
			 (link[0] & FRAME_TYPE) == FRAME_IS_CONT)
			*pc = link[1];
		return e[top] >> 24 ? constant(s, t, e[top]) : 0;
	}
	if (!top || e[top] >> 24 != (e[top - 1] >> 24) + 1)
		return 0;
	if (t->linktype == LINK_RETURN)
		*pc = constant(s, t, e[top]);
	for (i = 0; t->linktype == LINK_STITCH && i < top; i++)
		if (e[i] & SNAP_CONT)
			*pc = constant(s, t, e[i]);
	return constant(s, t, e[top - 1]) & ADDR_MASK;
}

/*
 * The function that a trace ends in because it cannot be compiled, and its call. f: room for both.
 * Returns how many of them are known: both, the function, or of a stitch only the call, because
 * what it calls is not constant.
 */
static unsigned int end_of(struct jscan *s, const struct jtrace *t, struct ev_frame *f)
{
	uint64_t pc, fn = top_frame(s, t, &pc);
	unsigned int known;

	userwalk_function(s->u, fn, 0, &f[0]);
	known = f[0].kind == EV_FRAME_FF || f[0].kind == EV_FRAME_C;
	if (!known)
		memset(&f[0], 0, sizeof(f[0]));
	if ((!known && t->linktype != LINK_STITCH) || !pc || pc & 3 || !is_call(s, pc - 4))
		return known;
	place(s, t, pc - 4, &f[known]);
	return known + (f[known].kind == EV_FRAME_LUA);
}

/* ---- parents ---- */

static int by_mcode(const void *a, const void *b, void *ctx)
{
	const struct traces *x = ctx;
	uint64_t m = x->t[*(const uint32_t *)a].mcode, n = x->t[*(const uint32_t *)b].mcode;

	return m < n ? -1 : m > n;
}

/* The side trace whose machine code begins at addr. NULL: none does. */
static struct jtrace *child_at(const struct traces *x, uint64_t addr)
{
	uint32_t lo = 0, hi = x->nchild, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (x->t[x->child[mid]].mcode < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < x->nchild && x->t[x->child[lo]].mcode == addr ? &x->t[x->child[lo]] : NULL;
}

/*
 * Which exit of t leads to c, by a jump at ofs: one that has a side trace and goes on where c
 * starts (lj_record.c:lj_record_setup). Of several the one whose code holds the jump, where that is
 * known (as lj_trace.c:lj_trace_unwind finds it). UINT32_MAX: not known.
 */
static uint32_t exit_of(struct jscan *s, const struct jtrace *t, const struct jtrace *c,
			uint32_t ofs)
{
	uint32_t i, found = UINT32_MAX, n = 0;
	struct snap sn;

	for (i = 0; i < t->nsnap && !jscan_over(s); i++) {
		sn = get_snap(s, t, i);
		if (sn.count != EV_EXIT_DONE || snap_pc(s, t, i) != c->pc)
			continue;
		if (n && (s->snaps != SNAP_MCOFS || sn.mcofs > ofs))
			return s->snaps == SNAP_MCOFS ? found : UINT32_MAX;
		found = i;
		n++;
	}
	return found;
}

/* lj_asm_x86.h:lj_asm_patchexit: a jcc, or a jmp at the end, leads to the side trace. */
static void jumps_of(struct traces *x, struct jtrace *t, const unsigned char *mc)
{
	struct jtrace *c;
	uint32_t p, at, exitno;
	uint64_t to;

	for (p = 0; p + 5 <= t->szmcode; p++) {
		if (mc[p] == 0x0f && (mc[p + 1] & 0xf0) == 0x80 && p + 6 <= t->szmcode)
			at = p + 2;
		else if (mc[p] == 0xe9 && p + 5 == t->szmcode)
			at = p + 1;
		else
			continue;
		to = t->mcode + at + 4 + (uint64_t)(int64_t)(int32_t)mem_get32(mc, at);
		c = child_at(x, to);
		if (!c || c == t || c->root != (t->root ? t->root : t->no))
			continue;
		exitno = exit_of(x->s, t, c, p);
		if (exitno == UINT32_MAX)
			continue;
		if (c->parent && (c->parent != t->no || c->exitno != exitno))
			c->parent = UINT32_MAX; /* two claim it: believe none */
		else
			c->parent = t->no, c->exitno = exitno;
	}
}

static int has_side_traces(const struct jscan *s, const struct jtrace *t)
{
	uint32_t i;

	for (i = 0; t->body && i < t->nsnap; i++)
		if (get_snap(s, t, i).count == EV_EXIT_DONE)
			return 1;
	return 0;
}

/*
 * Whose exits the side traces hang on: a GCtrace has only its root. Known where the parent's code
 * jumps to the child's.
 */
static int find_parents(struct traces *x)
{
	unsigned char *mc;
	uint32_t i;

	x->child = calloc(x->n ? x->n : 1, sizeof(*x->child));
	if (!x->child)
		return -ENOMEM;
	for (i = 0; i < x->n; i++)
		if (x->t[i].root && x->t[i].mcode)
			x->child[x->nchild++] = i;
	qsort_r(x->child, x->nchild, sizeof(*x->child), by_mcode, x);
	for (i = 0; i < x->n && x->nchild; i++) {
		struct jtrace *t = &x->t[i];

		if (!has_side_traces(x->s, t) || t->szmcode > TRACE_BYTES || t->szmcode < 6 ||
		    x->bytes + t->szmcode > ALL_BYTES)
			continue;
		mc = malloc(t->szmcode);
		if (!mc)
			return -ENOMEM;
		x->bytes += t->szmcode;
		if (!mem_read(x->s->pid, t->mcode, mc, t->szmcode))
			jumps_of(x, t, mc);
		free(mc);
	}
	for (i = 0; i < x->n; i++)
		if (x->t[i].parent == UINT32_MAX)
			x->t[i].parent = 0;
	return 0;
}

/* ---- sending ---- */

static int emit_exits(struct emitting *now)
{
	const struct jtrace *t = now->t;
	struct jscan *s = now->s;
	union {
		struct ev_scan e;
		char size[sizeof(struct ev_scan) + EV_SCAN_MAX * sizeof(struct ev_scan_entry)];
	} *u = calloc(1, sizeof(*u));
	uint32_t i;
	int err = 0;

	if (!u)
		return -ENOMEM;
	for (i = 0; t->body && i < t->nsnap && u->e.n < EV_SCAN_MAX && !jscan_over(s); i++) {
		struct snap sn = get_snap(s, t, i);

		if (!sn.count)
			continue;
		place(s, t, snap_pc(s, t, i), &u->e.e[u->e.n].at);
		u->e.e[u->e.n].exitno = i;
		u->e.e[u->e.n++].count = sn.count;
	}
	u->e.h = jscan_header(s, EV_SCAN, sizeof(u->e) + u->e.n * sizeof(u->e.e[0]));
	u->e.g = s->vm.g;
	u->e.type = EV_SCAN_EXITS;
	u->e.trace = t->no;
	if (u->e.n && is_still(now))
		err = resolve_record(s->r, &u->e.h);
	free(u);
	return err;
}

static int emit_trace(struct emitting *now)
{
	const struct jtrace *t = now->t;
	struct jscan *s = now->s;
	union {
		struct ev_trace e;
		char size[sizeof(struct ev_trace) + 2 * sizeof(struct ev_frame)];
	} u;
	int err;

	memset(&u, 0, sizeof(u));
	if (t->body && (t->linktype == LINK_STITCH || t->linktype == LINK_RETURN))
		u.e.nframes = (ev_u8)end_of(s, t, u.e.f);
	u.e.end = u.e.f[0];
	u.e.h = jscan_header(s, EV_TRACE, sizeof(u.e) + u.e.nframes * sizeof(u.e.f[0]));
	u.e.g = s->vm.g;
	u.e.type = EV_TRACE_LIVE;
	u.e.trace = t->no;
	u.e.root = t->root;
	u.e.parent = t->parent;
	u.e.exitno = t->exitno;
	u.e.link = t->link;
	u.e.linktype = t->linktype;
	u.e.nsnap = (ev_u16)t->nsnap;
	u.e.szmcode = t->szmcode;
	u.e.mcode = t->mcode;
	u.e.nins = t->nins - t->nk;
	u.e.kind = t->root ? EV_TRACE_SIDE : EV_TRACE_ROOT;
	userwalk_position(s->u, t->pt, t->pc, &u.e.start);
	err = userwalk_error(s->u);
	if (!err && !is_still(now))
		return 0;
	if (!err && u.e.nframes && u.e.f[u.e.nframes - 1].kind == EV_FRAME_LUA)
		err = resolve_call(s->r, &u.e.h, u.e.f[u.e.nframes - 1].addr);
	if (!err)
		err = resolve_record(s->r, &u.e.h);
	if (!err)
		err = emit_exits(now);
	if (!err && t->linktype == LINK_STITCH && t->link == t->no)
		err = jscan_spot(s, EV_SPOT_STITCH, t->pt, t->pc, NULL, t->no);
	if (!err && t->linktype == LINK_INTERP && t->root)
		err = jscan_spot(s, EV_SPOT_STUB, t->pt, t->pc, NULL, t->no);
	return err;
}

static int read_all(struct traces *x)
{
	int learnt = x->s->snaps != SNAP_UNKNOWN;
	uint64_t J = jscan_state(x->s), vec = mem_u64(x->s->pid, J + x->s->l->J_trace), *T;
	uint32_t size = 0, live = 0, ref = layout_ref_size(x->s->l), i;
	unsigned char *refs;
	int err;

	if (mem_read(x->s->pid, J + x->s->l->J_sizetrace, &size, 4) || size > TRACES_MAX) {
		x->s->cut = 1;
		size = 0;
	}
	T = calloc(size ? size : 1, sizeof(*T));
	x->t = calloc(size ? size : 1, sizeof(*x->t));
	refs = malloc((size_t)ref * size + 1);
	if (!T || !x->t || !refs) {
		free(T);
		free(refs);
		return -ENOMEM;
	}
	if (size && mem_read(x->s->pid, vec, refs, (size_t)ref * size)) {
		x->s->cut = 1; /* it was reallocated just now */
		size = 0;
	}
	for (i = 0; i < size; i++)
		T[i] = vm_get_ref(x->s->l, refs, (size_t)ref * i);
	free(refs);
	for (i = 1; i < size; i++)
		live += T[i] != 0 && T[i] != J + x->s->l->J_cur;
	err = jscan_jit(x->s, live, size);
	for (i = 1; i < size && !err; i++)
		if (T[i] && T[i] != J + x->s->l->J_cur && !jscan_over(x->s))
			x->n += (uint32_t)read_trace(x, i, T[i], &x->t[x->n]);
	for (i = 0; i < x->n && !learnt && x->s->snaps != SNAP_UNKNOWN; i++)
		if (!x->t[i].body) /* met before it was clear how to read it */
			read_body(x, &x->t[i]);
	free(T);
	return err;
}

int jscan_traces(struct jscan *s)
{
	struct traces x = {.s = s};
	struct emitting now = {.s = s};
	uint32_t i;
	int err = read_all(&x);

	if (!err)
		err = find_parents(&x);
	userwalk_while(s->u, is_still, &now);
	for (i = 0; i < x.n && !err && !jscan_over(s); i++) {
		now.t = &x.t[i];
		err = emit_trace(&now);
	}
	userwalk_while(s->u, NULL, NULL);
	for (i = 0; i < x.n; i++)
		body_drop(&x.t[i]);
	free(x.t);
	free(x.child);
	return err;
}
