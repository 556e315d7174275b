// SPDX-License-Identifier: MIT
/*
 * lj_trace_err and lj_trace_err_info: LuaJIT src/lj_trace.c. Both push the error's number on the
 * Lua stack and throw LUA_ERRRUN; the first sets J->errinfo to nil before. Some builds give the
 * second one the lua_State, because it needs nothing else of J.
 */
#include "bpf/finder_int.h"

#include <errno.h>
#include <string.h>

#define ERR_SIZE_MAX 0xa0u
#define LUA_ERRRUN 2
#define ERRINFO_REACH 0x400 /* J->errinfo lies this much behind J->exitno at most */
#define FUNCS_MAX 200000u   /* looked at */
#define CALLERS_MIN 30u	    /* of lj_trace_err; 74 to 114 in builds with the FFI */
#define SHAPES_MAX 16u

/* What a function does that may be one of the two. */
struct shape {
	const struct fctx *c;
	uint64_t addr, callee;
	unsigned int leaves;
	int code; /* the second argument is used */
	int top;  /* L->top is moved */
	int nil;  /* -1 is stored to *(arg0 + errinfo) */
	int32_t errinfo;
	enum finder_arg arg0;
};

/* L itself, if a value is one: the argument, or J->L of it. */
static enum finder_arg owner_of(const struct fctx *c, const struct fval *v)
{
	struct fval l = {.kind = FV_ARG}, jl = {.kind = FV_LOAD};

	jl.load = fc_get(c, FINDER_A_J_L);
	if (ff_same(v, &l))
		return FINDER_ARG_L;
	return ff_same(v, &jl) ? FINDER_ARG_J : FINDER_ARG_UNKNOWN;
}

static void see_store(struct shape *s, const struct fins *ins, const struct fstate *st)
{
	int size = s->c->f->vm.gc64 ? 8 : 4; /* of the tag that makes a TValue nil */
	struct fval at = ff_mem(ins, st), v = ff_value(ins, st);

	if (at.kind == FV_ARG && !at.arg && v.kind == FV_CONST && v.off == -1 &&
	    ins->msize == size && at.off == (int32_t)at.off) {
		s->nil++;
		s->errinfo = (int32_t)at.off - (size == 4 ? 4 : 0);
	}
	at.off -= fc_get(s->c, FINDER_A_L_top);
	if (owner_of(s->c, &at) != FINDER_ARG_UNKNOWN)
		s->top = 1;
}

static int shape_visit(void *ctx, const struct ffunc *fn, const struct fins *ins,
		       const struct fstate *st)
{
	const struct fval two = {.kind = FV_CONST, .off = LUA_ERRRUN};
	const struct fval code = {.kind = FV_ARG, .arg = 1};
	struct shape *s = ctx;

	if (ins->mwrite && ins->op != FO_LEA)
		see_store(s, ins, st);
	if (ins->reads & 1u << FR_SI && ff_same(&st->r[FR_SI], &code))
		s->code = 1;
	if (!fi_leaves(fn, ins))
		return 0;
	s->leaves++;
	s->callee = ins->target;
	s->arg0 = ff_same(&st->r[FR_SI], &two) ? owner_of(s->c, &st->r[FR_DI]) : FINDER_ARG_UNKNOWN;
	return 0;
}

/* True if the function at addr has the shape of one of the two. */
static int read_shape(const struct fctx *c, uint64_t addr, struct shape *s)
{
	struct ffunc fn;
	int err;

	memset(s, 0, sizeof(*s));
	s->c = c;
	s->addr = addr;
	if (fi_func(c->eo, addr, c->work, &fn))
		return 0;
	err = ff_walk(&fn, shape_visit, s);
	fi_release(&fn);
	return !err && s->leaves == 1 && s->code && s->top && s->nil <= 1 &&
	       s->arg0 != FINDER_ARG_UNKNOWN;
}

/* mov esi, LUA_ERRRUN: what all of them have in common. */
static int has_errrun(const struct fctx *c, uint64_t start, uint64_t end)
{
	static const uint8_t mov[] = {0xbe, LUA_ERRRUN, 0, 0, 0};

	return end <= c->text_end &&
	       memmem(c->text + (start - c->text_start), (size_t)(end - start), mov, sizeof(mov));
}

static size_t find_shapes(const struct fctx *c, struct shape *out, size_t max)
{
	uint64_t at = c->text_start, start, end;
	size_t n = 0, looked;

	for (looked = 0; looked < FUNCS_MAX && n < max; looked++, at = start + 1) {
		if (elfobj_next_func(c->eo, at, &start, &end) || start >= c->text_end)
			break;
		if (end - start <= ERR_SIZE_MAX && has_errrun(c, start, end) &&
		    read_shape(c, start, &out[n]))
			n++;
	}
	return n;
}

static int is_trace_err(const struct fctx *c, const struct shape *s)
{
	int32_t behind = s->errinfo - fc_get(c, FINDER_A_J_exitno);

	return s->arg0 == FINDER_ARG_J && s->nil && behind > 0 && behind < ERRINFO_REACH;
}

static void find_info(struct fctx *c, const struct shape *s, size_t n)
{
	const struct shape *info = NULL;
	size_t i, found = 0;

	for (i = 0; i < n; i++) {
		if (s[i].callee == c->throw_fn && !s[i].nil) {
			info = &s[i];
			found++;
		}
	}
	if (found != 1) {
		fc_missing(c, FINDER_TRACE_ERR_INFO, "%zu functions look like it", found);
		return;
	}
	fc_found(c, FINDER_TRACE_ERR_INFO, info->addr,
		 "throws as lj_trace_err does, without J->errinfo = nil; %zu calls",
		 fc_callers(c, info->addr));
	c->f->func[FINDER_TRACE_ERR_INFO].arg0 = (uint8_t)info->arg0;
}

void finder_err(struct fctx *c)
{
	struct shape s[SHAPES_MAX];
	const struct shape *err = NULL;
	size_t i, n, calls, found = 0;

	if (!fc_has(c, FINDER_A_J_L) || !fc_has(c, FINDER_A_L_top) ||
	    !fc_has(c, FINDER_A_J_exitno)) {
		fc_missing(c, FINDER_TRACE_ERR, "the VM's code does not tell J->L and L->top");
		fc_missing(c, FINDER_TRACE_ERR_INFO, "no lj_trace_err");
		return;
	}
	n = find_shapes(c, s, SHAPES_MAX);
	for (i = 0; i < n; i++) {
		if (is_trace_err(c, &s[i])) {
			err = &s[i];
			found++;
		}
	}
	fc_missing(c, FINDER_TRACE_ERR_INFO, "no lj_trace_err");
	calls = found == 1 ? fc_callers(c, err->addr) : 0;
	if (found != 1 || n == SHAPES_MAX || calls < CALLERS_MIN) {
		fc_missing(c, FINDER_TRACE_ERR, "%zu functions look like it, %zu calls", found,
			   calls);
		return;
	}
	fc_found(c, FINDER_TRACE_ERR, err->addr,
		 "sets J->errinfo to nil, pushes its 2nd argument, throws from J->L; %zu calls",
		 calls);
	fc_anchor(c, FINDER_A_J_errinfo, err->errinfo, "lj_trace_err");
	c->throw_fn = err->callee;
	find_info(c, s, n);
}

enum finder_arg finder_err_arg(const struct fctx *c, uint64_t addr)
{
	struct shape s;

	if (!fc_has(c, FINDER_A_J_L) || !fc_has(c, FINDER_A_L_top) || !read_shape(c, addr, &s))
		return FINDER_ARG_UNKNOWN;
	return s.arg0;
}
