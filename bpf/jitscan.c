// SPDX-License-Identifier: MIT
#include "bpf/clock.h"
#include "bpf/jitscan_int.h"
#include "bpf/mem.h"
#include "bpf/memscan.h"
#include "bpf/protoscan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPOTS_MAX 65536u
/* lj_trace.c: PENALTY_MIN; the value doubles with each abort, plus a few random bits. */
#define PENALTY_MIN 72
#define PENALTIES_AGE 10000000ull /* ns: then they are read again */
/* ns of CPU time that a look may take: at one VM, and at all of a process. Milliseconds are usual.
 */
#define LOOK_MAX 300000000ull
#define LOOKS_MAX 1000000000ull

struct jitscan {
	struct resolve *r;
	int pid;
	struct jscan **scan; /* of each VM */
	size_t nscans;
	uint32_t number;     /* of the newest VM that was looked at */
	struct memscan *mem; /* the pass that is under way; NULL: none */
	uint64_t until;	     /* ns of CPU time: then the looks at the VMs are given up */
	uint64_t cut;	     /* looks and steps that were */
};

struct ev_hdr jscan_header(const struct jscan *s, enum ev_kind kind, size_t size)
{
	struct ev_hdr h = {.kind = kind,
			   .size = (ev_u32)size,
			   .time = s->begin,
			   .pid = (ev_u32)s->pid,
			   .tid = (ev_u32)s->pid};

	return h;
}

uint64_t jscan_state(const struct jscan *s)
{
	return vm_main(&s->vm) + s->l->GG_J;
}

int jscan_over(struct jscan *s)
{
	if (!s->cut && !(++s->ticks & 15))
		s->cut = clock_cpu() >= s->until;
	return s->cut;
}

uint16_t jscan_get16(const unsigned char *p, size_t off)
{
	return (uint16_t)(p[off] | p[off + 1] << 8);
}

int jscan_spot(struct jscan *s, enum ev_spot_kind kind, uint64_t pt, uint64_t pc,
	       const struct penalty *p, uint32_t trace)
{
	struct ev_spot e = {.h = jscan_header(s, EV_SPOT, sizeof(e)),
			    .g = s->vm.g,
			    .kind = (ev_u8)kind,
			    .trace = trace,
			    .reason = EV_REASON_UNKNOWN};
	struct jproto *proto;
	uint32_t v;
	int err = 0;

	if (p) /* events of before this time are in it, later ones are not */
		e.h.time = s->read;
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
		proto = jscan_proto(s, pt, NULL);
		err = proto ? jscan_infer(s, proto, pc, p, &e) : 0;
	}
	if (!err)
		err = userwalk_error(s->u);
	return err ? err : resolve_record(s->r, &e.h);
}

static void read_penalties(struct jscan *s)
{
	unsigned int ref = layout_ref_size(s->l), i;
	unsigned char buf[PENALTY_SLOTS * 16], *p = buf;

	memset(s->penalty, 0, sizeof(s->penalty));
	s->read = resolve_now();
	/* lj_jit.h HotPenalty: MRef pc, uint16_t val, reason. */
	if (s->l->PENALTY_size != 2 * ref ||
	    mem_read(s->pid, jscan_state(s) + s->l->J_penalty, buf, PENALTY_SLOTS * 2 * ref))
		return;
	for (i = 0; i < PENALTY_SLOTS; i++, p += 2 * ref) {
		s->penalty[i].pc = vm_get_ref(s->l, p, 0);
		s->penalty[i].val = jscan_get16(p, ref);
		s->penalty[i].reason = jscan_get16(p, ref + 2);
	}
}

/* The penalty slot of a start, or NULL: it was reused. */
static const struct penalty *penalty_of(const struct jscan *s, uint64_t pc)
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

/* A start whose penalty is left over: its recording succeeded since, a trace's number is there. */
static int compiled(const struct bc_gen *gen, uint32_t op)
{
	return op == gen->of[BC_ID_JFORL] || op == gen->of[BC_ID_JITERL] ||
	       op == gen->of[BC_ID_JLOOP] || op == gen->of[BC_ID_JFUNCF];
}

/* PROTO_ILOOP also marks what jit.off() did lazily: that has PROTO_NOJIT too. */
static int may_be_black(const struct proto_head *h)
{
	return (h->flags & PROTO_ILOOP) && !(h->flags & PROTO_NOJIT);
}

static int emit_black(struct jscan *s, struct jproto *p)
{
	uint64_t bc = p->pt + s->l->PT_size;
	const uint32_t *ins = jscan_code(s, p);
	enum ev_spot_kind kind;
	uint32_t i;
	int err = 0;

	p->black = may_be_black(&p->h);
	for (i = 0; ins && p->black && i < p->h.sizebc && !err && !jscan_over(s); i++) {
		kind = blacklisted(s->gen, bc_op(ins[i]));
		if (kind)
			err = jscan_spot(s, kind, p->pt, bc + 4ull * i,
					 penalty_of(s, bc + 4ull * i), 0);
	}
	return err;
}

/* What a prototype has to tell, if that was not sent yet with as much known of its functions. */
static int emit_proto(struct jscan *s, struct jproto *p)
{
	const uint32_t *ins = jscan_code(s, p);
	unsigned int i;
	int err = 0;

	if (resolve_now() - s->read > PENALTIES_AGE)
		read_penalties(s);
	p->told = p->nfn;
	for (i = 0; ins && i < PENALTY_SLOTS && !err; i++) {
		const struct penalty *pen = &s->penalty[i];
		uint32_t pos = (uint32_t)((pen->pc - p->pt - s->l->PT_size) / 4);

		if (pen->pc && jscan_has_pc(s, p, pen->pc) && !compiled(s->gen, bc_op(ins[pos])))
			err = jscan_spot(s, EV_SPOT_PENALTY, p->pt, pen->pc, pen, 0);
	}
	return err ? err : emit_black(s, p);
}

/* The prototypes of penalties, those met on stacks, those that were blacklisted at the last look.
 */
static int emit_known(struct jscan *s)
{
	struct jproto *p, *tmp;
	unsigned int i;
	int err = 0;

	s->unplaced = 0;
	for (i = 0; i < PENALTY_SLOTS; i++)
		if (s->penalty[i].pc && !jscan_proto_near(s, s->penalty[i].pc))
			s->unplaced++;
	/* First those that are no more go, so that none does while the others are sent. */
	HASH_ITER(hh, s->protos, p, tmp)
	jscan_proto(s, p->pt, NULL);
	for (p = s->protos; p && !err && !jscan_over(s); p = p->hh.next)
		err = emit_proto(s, p);
	return err;
}

static int emit_mark(struct jscan *s, enum ev_scan_type type)
{
	struct ev_scan e = {.h = jscan_header(s, EV_SCAN, sizeof(e)),
			    .g = s->vm.g,
			    .type = type,
			    .unplaced = s->unplaced};

	return resolve_record(s->r, &e.h);
}

/* What was cut short has no END: what it did not tell of is not gone. */
static int scan_now(struct jitscan *j, struct jscan *s)
{
	uint64_t now = clock_cpu();
	int err;

	/* Closed meanwhile? (bpf/vm.c:try_guess) */
	if (vm_ref(s->pid, s->l, vm_main(&s->vm) + s->l->L_glref) != s->vm.g ||
	    vm_ref(s->pid, s->l, s->vm.g + s->l->G_mainthref) != vm_main(&s->vm))
		return 0;
	s->until = j->until - now < LOOK_MAX ? j->until : now + LOOK_MAX;
	s->cut = now >= j->until;
	s->epoch++;
	s->spots = 0;
	s->begin = resolve_now();
	s->unplaced = 0;
	err = emit_mark(s, EV_SCAN_BEGIN);
	if (!err)
		err = jscan_traces(s);
	read_penalties(s);
	if (!err)
		err = jscan_stacks(s);
	if (!err)
		err = emit_known(s);
	j->cut += s->cut != 0;
	return err || s->cut ? err : emit_mark(s, EV_SCAN_END);
}

/* Which VM an object belongs to: each VM's list of objects ends with its main thread. */
static struct jscan *owner(struct jitscan *j, uint64_t obj)
{
	unsigned char page[4096];
	uint64_t at = 0;
	uint32_t steps;
	size_t i;

	if (j->nscans == 1)
		return j->scan[0];
	for (steps = 0; steps < 1u << 20 && obj && !(obj & 7); steps++) {
		for (i = 0; i < j->nscans && !jscan_over(j->scan[0]); i++)
			if (vm_main(&j->scan[i]->vm) == obj)
				return j->scan[i];
		if (jscan_over(j->scan[0]))
			return NULL;
		if (at != (obj & ~4095ull)) {
			at = obj & ~4095ull;
			if (mem_read(j->pid, at, page, sizeof(page)))
				return NULL;
		}
		obj = vm_get_ref(j->scan[0]->l, page, obj - at);
	}
	return NULL;
}

static int found_proto(struct jitscan *j, uint64_t pt, const void *head)
{
	struct jscan *s = j->scan[0];
	struct proto_head h;
	struct jproto *p;

	if (proto_decode_head(s->l, head, s->l->PT_size, &h) || !may_be_black(&h))
		return 0;
	s = owner(j, pt);
	p = s ? jscan_proto(s, pt, head) : NULL;
	return p && !p->black ? emit_proto(s, p) : 0;
}

/* A Lua function: does it tell more of a prototype that failed? */
static void found_function(struct jitscan *j, uint64_t fn, uint64_t pc)
{
	uint64_t pt = pc - j->scan[0]->l->PT_size;
	struct jproto *p;
	size_t i;

	for (i = 0; i < j->nscans; i++) {
		if (!j->scan[i]->wants || jscan_over(j->scan[i]))
			continue;
		HASH_FIND(hh, j->scan[i]->protos, &pt, sizeof(pt), p);
		if (p && p->wanted && p->nfn < PROTO_FUNCS)
			jscan_function(j->scan[i], fn);
	}
}

static int match(void *ctx, uint64_t addr, const uint64_t *word, size_t own, size_t n)
{
	struct jitscan *j = ctx;
	const struct layout *l = j->scan[0]->l;
	size_t i, func = l->F_pc / 8u + 1u, head = (l->PT_size + 7u) / 8u;
	const unsigned int gct = layout_gct(l);
	const unsigned char *p;
	int err = 0;

	for (i = 0; i < own && !err; i++) {
		if (i + 1 >= n || j->scan[0]->cut)
			break;
		p = (const unsigned char *)(word + i);
		switch (p[gct]) {
		case GCT_PROTO:
			if (i + head <= n)
				err = found_proto(j, addr + 8 * i, word + i);
			break;
		case GCT_FUNC:
			if (i + func <= n && !p[gct + 1])
				found_function(j, addr + 8 * i, vm_get_ref(l, p, l->F_pc));
			break;
		default:
			break;
		}
	}
	return err;
}

static void scan_free(struct jscan *s)
{
	if (!s)
		return;
	jscan_protos_free(s);
	userwalk_free(s->u);
	free(s);
}

static struct jscan *scan_new(struct jitscan *j, const struct vm *vm)
{
	const struct proc_maps *maps = resolve_maps(j->r, j->pid);
	struct jscan *s = calloc(1, sizeof(*s));
	const struct err_table *errs;
	const char *why;

	if (!s)
		return NULL;
	s->r = j->r;
	s->pid = j->pid;
	s->vm = *vm;
	s->l = &vm->row->l;
	s->gen = bc_gen_by_count(s->l->bc_max);
	s->ir = ir_by_count(s->l->ir_max);
	errs = err_choose(vm->module->vm.version, s->gen, NULL, s->ir, &why);
	s->nyi = errs ? err_code(errs, ERR_NYIBC) : -1;
	s->blackl = errs ? err_code(errs, ERR_BLACKL) : -1;
	s->own_allocator = maps && protoscan_own_allocator(j->pid, maps, vm);
	s->u = userwalk_new(j->r, j->pid, &s->vm);
	if (s->u && s->gen)
		return s;
	scan_free(s);
	return NULL;
}

struct jitscan *jitscan_new(struct resolve *r, int pid)
{
	struct jitscan *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->r = r;
	j->pid = pid;
	return j;
}

void jitscan_free(struct jitscan *s)
{
	size_t i;

	if (!s)
		return;
	for (i = 0; i < s->nscans; i++)
		scan_free(s->scan[i]);
	memscan_free(s->mem);
	free(s->scan);
	free(s);
}

/* Forgets the VMs that are not in the list. */
static void drop_closed(struct jitscan *s, const struct vm_list *vms)
{
	size_t i, k, kept = 0;

	for (i = 0; i < s->nscans; i++) {
		for (k = 0; k < vms->n && vms->vm[k].number != s->scan[i]->vm.number; k++)
			;
		if (k < vms->n)
			s->scan[kept++] = s->scan[i];
		else
			scan_free(s->scan[i]);
	}
	s->nscans = kept;
}

int jitscan_update(struct jitscan *s, const struct vm_list *vms, int met)
{
	struct jscan **bigger = realloc(s->scan, (s->nscans + vms->n + 1) * sizeof(*bigger));
	uint32_t upto = s->number;
	struct jscan *new;
	size_t i;
	int err = 0;

	if (!bigger)
		return -ENOMEM;
	s->scan = bigger;
	s->until = clock_cpu() + LOOKS_MAX;
	drop_closed(s, vms);
	for (i = 0; i < vms->n && !err; i++) {
		if (vms->vm[i].number <= s->number)
			continue;
		s->scan[s->nscans] = scan_new(s, &vms->vm[i]);
		if (!s->scan[s->nscans])
			return -ENOMEM;
		new = s->scan[s->nscans++];
		new->begin = resolve_now();
		err = met ? jscan_jit(new, 0, 0) : scan_now(s, new);
		upto = vms->vm[i].number > upto ? vms->vm[i].number : upto;
	}
	s->number = upto;
	return err;
}

int jitscan_now(struct jitscan *s)
{
	size_t i;
	int err = 0;

	s->until = clock_cpu() + LOOKS_MAX;
	for (i = 0; i < s->nscans && !err; i++)
		err = scan_now(s, s->scan[i]);
	return err;
}

int jitscan_pass(struct jitscan *s)
{
	const struct proc_maps *maps = resolve_maps(s->r, s->pid);

	if (!s->mem && maps && s->nscans)
		s->mem = memscan_new(s->pid, maps);
	return s->mem || !s->nscans ? 0 : -ENOMEM;
}

int jitscan_running(const struct jitscan *s)
{
	return s->mem != NULL;
}

/* Starts of which the pass found functions that tell more. */
static int tell_more(struct jscan *s)
{
	struct jproto *p;
	int err = 0;

	for (p = s->protos; p && !err; p = p->hh.next)
		if (p->wanted && p->told < p->nfn)
			err = emit_proto(s, p);
	return err;
}

/* Allows all VMs' scans so much CPU time from now on. */
static void allow(struct jitscan *s, uint64_t begin, uint64_t ns)
{
	uint64_t until = clock_cpu() + ns;
	size_t i;

	for (i = 0; i < s->nscans; i++) {
		s->scan[i]->begin = begin;
		s->scan[i]->until = until;
		s->scan[i]->cut = 0;
	}
}

static int any_cut(const struct jitscan *s)
{
	size_t i;

	for (i = 0; i < s->nscans; i++)
		if (s->scan[i]->cut)
			return 1;
	return 0;
}

int jitscan_step(struct jitscan *s, uint64_t ns)
{
	uint64_t end = resolve_now() + ns;
	size_t i;
	int err = 0;

	if (!s->mem)
		return 1;
	if (!s->nscans) { /* all VMs were closed */
		memscan_free(s->mem);
		s->mem = NULL;
		return 1;
	}
	/* What is found in a piece may take longer than to read it; not for ever. */
	allow(s, end - ns, 2 * ns);
	while (!err && resolve_now() < end && !s->scan[0]->cut)
		err = memscan_step(s->mem, match, s);
	s->cut += any_cut(s) != 0;
	if (!err)
		return 0;
	memscan_free(s->mem);
	s->mem = NULL;
	for (i = 0; i < s->nscans && err == 1; i++) {
		int more = tell_more(s->scan[i]);

		err = more ? more : 1;
	}
	return err;
}

uint64_t jitscan_cut(const struct jitscan *s)
{
	return s->cut;
}
