// SPDX-License-Identifier: MIT
/*
 * The recorder's entries: LuaJIT src/lj_trace.c. lj_trace_hot sets J->state to LJ_TRACE_START and
 * calls lj_trace_ins, which compilers may put into it; that runs trace_state under lj_vm_cpcall
 * until it no longer fails, with LJ_TRACE_ERR in between.
 */
#include "bpf/finder_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define START_MIN 0x12 /* LJ_TRACE_START: before and after RECORD_1ST came */
#define START_MAX 0x13
#define START_TO_ERR 3	 /* START, END, ASM, ERR */
#define ACTIVE_OFF (-17) /* ~LJ_TRACE_ACTIVE: macro lj_trace_abort */
#define DEPTH_MAX 2
#define PC_OF_L 8 /* J->pc, fn, pt follow J->L, a pointer each */
#define PT_OF_L 24
#define FREETRACE 8 /* J->freetrace and J->sizetrace follow J->trace */
#define SIZETRACE 12

static struct fval arg(unsigned int n, int64_t off)
{
	struct fval v = {.kind = FV_ARG, .arg = (uint8_t)n, .off = off};

	return v;
}

/* What a function does with a J in its first argument. */
struct ins_scan {
	struct fctx *c;
	struct fset protected; /* functions run under lj_vm_cpcall(J->L, NULL, J, function) */
	struct fset callees;   /* given J */
	int32_t state[2];      /* where START, ERR are stored; 0: nowhere */
	int32_t value[2];
	int bad;
};

/* A constant stored into J: is it a state? */
static void see_state(struct ins_scan *s, const struct fins *ins, const struct fstate *st)
{
	struct fval at = ff_mem(ins, st), v = ff_value(ins, st);
	int32_t off = (int32_t)at.off;
	int i;

	if (ins->msize != 4 || at.kind != FV_ARG || at.arg || v.kind != FV_CONST ||
	    off <= fc_get(s->c, FINDER_A_J_L) || off >= fc_get(s->c, FINDER_A_J_trace))
		return;
	if (v.off >= START_MIN && v.off <= START_MAX)
		i = 0;
	else if (v.off >= START_MIN + START_TO_ERR && v.off <= START_MAX + START_TO_ERR)
		i = 1;
	else
		return;
	s->bad |= s->state[i] && (s->state[i] != off || s->value[i] != (int32_t)v.off);
	s->state[i] = off;
	s->value[i] = (int32_t)v.off;
}

static int ins_visit(void *ctx, const struct ffunc *fn, const struct fins *ins,
		     const struct fstate *st)
{
	const struct fval j = arg(0, 0), null = {.kind = FV_CONST};
	struct ins_scan *s = ctx;

	if (ins->mwrite && ins->op == FO_MOV)
		see_state(s, ins, st);
	if (!fi_leaves(fn, ins))
		return 0;
	if (ins->target == fc_addr(s->c, FINDER_VM_CPCALL)) {
		if (ff_same(&st->r[FR_SI], &null) && ff_same(&st->r[FR_DX], &j) &&
		    st->r[FR_CX].kind == FV_CONST && fc_is_func(s->c, (uint64_t)st->r[FR_CX].off))
			fs_add(&s->protected, (uint64_t)st->r[FR_CX].off);
	} else if (!fc_in_vm(s->c, ins->target) && ff_same(&st->r[FR_DI], &j)) {
		fs_add(&s->callees, ins->target);
	}
	return 0;
}

/* Scans the function at addr into s, which keeps what earlier ones had. */
static int scan_ins(uint64_t addr, struct ins_scan *s)
{
	struct ffunc fn;
	int err = fi_func(s->c->eo, addr, s->c->work, &fn);

	if (!err) {
		err = ff_walk(&fn, ins_visit, s);
		fi_release(&fn);
	}
	return err;
}

/*
 * Follows J from the function at root until trace_state is met. Returns the function that runs it,
 * or 0.
 */
static uint64_t follow(struct fctx *c, uint64_t root, struct ins_scan *s)
{
	struct fset level = {.n = 1}, next;
	unsigned int depth;
	size_t i;

	memset(s, 0, sizeof(*s));
	s->c = c;
	level.v[0] = root;
	for (depth = 0; depth <= DEPTH_MAX; depth++) {
		next.n = 0;
		for (i = 0; i < level.n; i++) {
			s->callees.n = 0;
			if (!scan_ins(level.v[i], s) && s->protected.n)
				return level.v[i];
			for (size_t k = 0; k < s->callees.n; k++)
				fs_add(&next, s->callees.v[k]);
		}
		level = next;
	}
	return 0;
}

/* Does the function at addr make all accesses of must and one of any? */
static int makes(const struct fctx *c, uint64_t addr, const struct fwant *want, size_t n,
		 int64_t must, int64_t some)
{
	struct ffunc fn;
	int64_t got;

	if (fi_func(c->eo, addr, c->work, &fn))
		return 0;
	got = ff_match(&fn, want, n);
	fi_release(&fn);
	return got >= 0 && (got & must) == must && (!some || got & some);
}

/* lj_trace_hot: no parent, no exit; not within a hook. */
static int is_hot(const struct fctx *c, uint64_t addr)
{
	const struct fwant want[] = {
	    {arg(0, fc_get(c, FINDER_A_G_hookmask) - fc_g2j(c)), 1, FW_READ, 0},
	    {arg(0, fc_get(c, FINDER_A_J_parent)), 8, FW_WRITE | FW_VALUE, 0},
	    {arg(0, fc_get(c, FINDER_A_J_exitno)), 4, FW_WRITE | FW_VALUE, 0},
	};

	return makes(c, addr, want, 3, 1, 2 | 4);
}

/* lj_trace_exit: looks up the trace that was left. */
static int is_exit(const struct fctx *c, uint64_t addr)
{
	const struct fwant want[] = {
	    {arg(0, fc_get(c, FINDER_A_J_parent)), 4, FW_READ, 0},
	    {arg(0, fc_get(c, FINDER_A_J_trace)), 8, FW_READ, 0},
	};

	return makes(c, addr, want, 2, 3, 0);
}

static int is_state(const struct fctx *c, uint64_t addr)
{
	const struct fwant want[] = {{arg(2, fc_get(c, FINDER_A_J_state)), 4, FW_READ, 0}};

	return makes(c, addr, want, 1, 1, 0);
}

static int sethook_visit(void *ctx, const struct ffunc *fn, const struct fins *ins,
			 const struct fstate *st)
{
	struct fctx *c = ctx;
	struct fval at;

	(void)fn;
	if (ins->op != FO_AND || !ins->mwrite || !ins->has_imm || ins->imm != ACTIVE_OFF)
		return 0;
	at = ff_mem(ins, st);
	if (at.kind == FV_LOAD && at.load == fc_get(c, FINDER_A_L_glref))
		fc_anchor(c, FINDER_A_J_state, at.off - fc_g2j(c), "lua_sethook");
	return 0;
}

/* lua_sethook stops the recorder: macro lj_trace_abort. */
static void check_sethook(struct fctx *c)
{
	uint64_t addr = fc_export(c, "lua_sethook");
	struct ffunc fn;

	if (!addr || fi_func(c->eo, addr, c->work, &fn))
		return;
	ff_walk(&fn, sethook_visit, c);
	fi_release(&fn);
}

static void find_hot(struct fctx *c)
{
	uint64_t addr = 0;
	size_t i, n = 0;

	for (i = 0; i < c->nhot; i++) {
		if (c->hot[i] != addr && is_hot(c, c->hot[i])) {
			addr = c->hot[i];
			n++;
		}
	}
	if (n == 1)
		fc_found(c, FINDER_TRACE_HOT, addr,
			 "vm_hotloop calls it; it clears J->parent and J->exitno");
	else
		fc_missing(c, FINDER_TRACE_HOT, "%zu of %zu calls in the VM fit", n, c->nhot);
}

/* trace_state is what both lj_trace_hot and lj_trace_exit come to. */
static void find_state(struct fctx *c, struct ins_scan *s)
{
	uint64_t hot = fc_addr(c, FINDER_TRACE_HOT), left = fc_addr(c, FINDER_TRACE_EXIT);
	uint64_t ins, state;

	ins = follow(c, hot, s);
	if (s->protected.n != 1 || s->bad || !s->state[0] || s->state[0] != s->state[1] ||
	    s->value[1] - s->value[0] != START_TO_ERR) {
		fc_missing(c, FINDER_TRACE_STATE,
			   "%zu functions run protected from lj_trace_hot, states 0x%x and 0x%x",
			   s->protected.n, (unsigned int)s->value[0], (unsigned int)s->value[1]);
		return;
	}
	state = s->protected.v[0];
	fc_anchor(c, FINDER_A_J_state, s->state[0], "lj_trace_hot");
	fc_anchor(c, FINDER_A_ST_ERR, s->value[1], "lj_trace_ins");
	check_sethook(c);
	follow(c, left, s);
	if (!is_state(c, state) || (s->protected.n && !fs_has(&s->protected, state))) {
		fc_missing(c, FINDER_TRACE_STATE, "0x%llx does not read J->state as it should",
			   (unsigned long long)state);
		return;
	}
	fc_found(c, FINDER_TRACE_STATE, state, "lj_trace_hot%s it protected; it reads J->state",
		 s->protected.n ? " and lj_trace_exit run" : " runs");
	if (ins != hot)
		fc_found(c, FINDER_TRACE_INS, ins, "runs trace_state until it succeeds");
	else
		fc_missing(c, FINDER_TRACE_INS, "inlined into lj_trace_hot");
}

/* The VM's two calls lead to all of it. */
void finder_rec(struct fctx *c)
{
	struct ins_scan *s;

	find_hot(c);
	if (fc_addr(c, FINDER_TRACE_EXIT) && !is_exit(c, fc_addr(c, FINDER_TRACE_EXIT)))
		fc_missing(c, FINDER_TRACE_EXIT, "does not look up the trace of J->parent");
	fc_missing(c, FINDER_TRACE_STATE, "no lj_trace_hot, lj_trace_exit or lj_vm_cpcall");
	if (!fc_addr(c, FINDER_TRACE_HOT) || !fc_addr(c, FINDER_TRACE_EXIT) ||
	    !fc_addr(c, FINDER_VM_CPCALL))
		return;
	s = malloc(sizeof(*s));
	if (s)
		find_state(c, s);
	else
		c->work->no_memory = 1;
	free(s);
}

/* lj_dispatch_update(g): chooses by the hook mask and by whether a trace is recorded. */
static int is_update(const struct fctx *c, uint64_t addr)
{
	const struct fwant want[] = {
	    {arg(0, fc_g2j(c) + fc_get(c, FINDER_A_J_state)), 4, FW_READ, 0},
	    {arg(0, fc_get(c, FINDER_A_G_hookmask)), 1, FW_READ, 0},
	};

	return makes(c, addr, want, 2, 3, 0);
}

/* An export must call what was found, if it is there. */
static int called_by(const struct fctx *c, const char *name, uint64_t addr)
{
	uint64_t by = fc_export(c, name);
	struct fset s = {.n = 0};

	if (!by)
		return 1;
	fc_callees(c, by, &s);
	return fs_has(&s, addr);
}

static void find_update(struct fctx *c, const struct fset *callees)
{
	uint64_t addr = 0;
	size_t i, n = 0;

	for (i = 0; i < callees->n; i++) {
		if (is_update(c, callees->v[i])) {
			addr = callees->v[i];
			n++;
		}
	}
	if (n != 1 || !called_by(c, "lua_sethook", addr)) {
		fc_missing(c, FINDER_DISPATCH_UPDATE,
			   n == 1 ? "lua_sethook does not call it" : "%zu functions look like it",
			   n);
		return;
	}
	fc_found(c, FINDER_DISPATCH_UPDATE, addr,
		 "trace_state%s it; it reads J->state and the hook mask from its argument",
		 fc_export(c, "lua_sethook") ? " and lua_sethook call" : " calls");
}

/*
 * lj_trace_flushall: goes through J->trace and makes the first number free again. J is reached from
 * L, from G or is the argument.
 */
enum finder_arg finder_flush_arg(const struct fctx *c, uint64_t addr)
{
	int32_t trace = fc_get(c, FINDER_A_J_trace), g2j = fc_g2j(c);
	struct fval j[3] = {{.kind = FV_LOAD, .load = fc_get(c, FINDER_A_L_glref), .off = g2j},
			    arg(0, 0),
			    arg(0, g2j)};
	static const enum finder_arg kind[] = {FINDER_ARG_L, FINDER_ARG_J, FINDER_ARG_G};
	struct fwant want[3 * 2];
	struct ffunc fn;
	int64_t got;
	size_t i;

	memset(want, 0, sizeof(want));
	for (i = 0; i < 3; i++) {
		want[2 * i].at = want[2 * i + 1].at = j[i];
		want[2 * i].at.off += trace + FREETRACE;
		want[2 * i + 1].at.off += trace + SIZETRACE;
		want[2 * i].size = want[2 * i + 1].size = 4;
		want[2 * i].how = FW_WRITE | FW_VALUE;
		want[2 * i + 1].how = FW_READ;
	}
	if (fi_func(c->eo, addr, c->work, &fn))
		return FINDER_ARG_UNKNOWN;
	got = ff_match(&fn, want, 3 * 2);
	fi_release(&fn);
	for (i = 0; i < 3; i++)
		if (got >= 0 && (got >> 2 * i & 3) == 3)
			return kind[i];
	return FINDER_ARG_UNKNOWN;
}

static void find_flushall(struct fctx *c, const struct fset *callees)
{
	enum finder_arg kind, arg0 = FINDER_ARG_UNKNOWN;
	uint64_t addr = 0;
	size_t i, n = 0;

	for (i = 0; i < callees->n; i++) {
		kind = finder_flush_arg(c, callees->v[i]);
		if (kind != FINDER_ARG_UNKNOWN) {
			addr = callees->v[i];
			arg0 = kind;
			n++;
		}
	}
	if (n != 1 || !called_by(c, "luaJIT_setmode", addr)) {
		fc_missing(
		    c, FINDER_TRACE_FLUSHALL,
		    n == 1 ? "luaJIT_setmode does not call it" : "%zu functions look like it", n);
		return;
	}
	fc_found(c, FINDER_TRACE_FLUSHALL, addr,
		 "trace_state%s to it; it reads J->sizetrace and clears J->freetrace",
		 fc_export(c, "luaJIT_setmode") ? " and luaJIT_setmode lead" : " leads");
	c->f->func[FINDER_TRACE_FLUSHALL].arg0 = (uint8_t)arg0;
}

/* trace_start: takes a free trace number, else flushes all. */
static int is_start(const struct fctx *c, uint64_t addr)
{
	const struct fwant want[] = {
	    {arg(0, fc_get(c, FINDER_A_J_L) + PC_OF_L), 8, FW_READ, 0},
	    {arg(0, fc_get(c, FINDER_A_J_L) + PT_OF_L), 8, FW_READ, 0},
	    {arg(0, fc_get(c, FINDER_A_J_trace) + FREETRACE), 4, FW_READ, 0},
	    {arg(0, fc_get(c, FINDER_A_J_parent)), 0, FW_READ, 0},
	};
	struct fset s = {.n = 0};

	fc_callees(c, addr, &s);
	return fs_has(&s, fc_addr(c, FINDER_TRACE_FLUSHALL)) && makes(c, addr, want, 4, 15, 0);
}

static void find_start(struct fctx *c, const struct fset *callees)
{
	uint64_t addr = 0;
	size_t i, n = 0;

	for (i = 0; i < callees->n; i++) {
		if (is_start(c, callees->v[i])) {
			addr = callees->v[i];
			n++;
		}
	}
	if (n == 1)
		fc_found(c, FINDER_TRACE_START, addr,
			 "trace_state calls it; it looks for a free trace number");
	else
		fc_missing(c, FINDER_TRACE_START, "%zu functions look like it", n);
}

void finder_callees(struct fctx *c)
{
	struct fset near = {.n = 0}, far;
	uint64_t state = fc_addr(c, FINDER_TRACE_STATE);
	size_t i;

	if (!state || !fc_has(c, FINDER_A_G_hookmask) || !fc_has(c, FINDER_A_J_trace)) {
		fc_missing(c, FINDER_DISPATCH_UPDATE, "no trace_state to start from");
		fc_missing(c, FINDER_TRACE_FLUSHALL, "no trace_state to start from");
		fc_missing(c, FINDER_TRACE_START, "no trace_state to start from");
		return;
	}
	fc_callees(c, state, &near);
	far = near;
	for (i = 0; i < near.n; i++)
		fc_callees(c, near.v[i], &far);
	find_update(c, &near);
	find_flushall(c, &far);
	if (fc_addr(c, FINDER_TRACE_FLUSHALL))
		find_start(c, &near);
	else
		fc_missing(c, FINDER_TRACE_START, "no lj_trace_flushall");
}
