// SPDX-License-Identifier: MIT
/* What was read from a VM's memory: traces and failures of before we came. Nothing is counted. */
#include "jittrace/jt_int.h"

#include "bytecode/jitnames.h"

#include <errno.h>
#include <string.h>

/* Enters a row for something that is no event. */
static int add_row(struct jt *jt, const struct ev_trace *ev, struct jt_found *found,
		   struct jt_site_int **out)
{
	static const struct jt_place nowhere = {.kind = JT_LOC_NONE};

	found->at = &nowhere;
	found->scanned = 1;
	return jt_site_count(jt, ev, found, out);
}

int jt_scan_trace(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev,
		  const struct jt_place *start)
{
	struct jt_live *t = jt_traces_find(vm, ev->trace);
	struct jt_found found = {.kind = JT_SITE_STITCH,
				 .start = start,
				 .reason = "[unknown call]",
				 .subject = "",
				 .err = ERR_MAX};
	struct jt_site_int *row;
	int err;

	/* An event told more: its parent and exit. */
	if (t && t->pub.mcode == ev->mcode && t->pub.szmcode == ev->szmcode) {
		t->pub.link = ev->link;
		return 0;
	}
	err = jt_cost_start(jt, vm, ev, start, &found.region);
	if (!err)
		err = jt_traces_stop(jt, vm, ev, start, 0, &t);
	if (t)
		t->region = found.region;
	if (err || !t || ev->linktype != LINK_STITCH)
		return err;
	err = add_row(jt, ev, &found, &row);
	if (!err)
		t->site = row->serial;
	return err;
}

/* A row for a start that failed, with the reason that the VM still knows. */
static int add_failure(struct jt *jt, const struct jt_vm *vm, const struct ev_spot *ev,
		       const struct jt_place *start, uint32_t kind)
{
	const struct jt_build *b = jt_build_of(jt, vm);
	const struct jt_live *t = jt_traces_find(vm, ev->trace);
	struct ev_trace as = {.h = ev->h, .g = ev->g, .kind = (ev_u8)kind, .error = ev->reason};
	char reason[JT_TEXT] = "reason no longer known";
	struct jt_found found = {
	    .kind = JT_SITE_ABORT, .start = start, .reason = reason, .subject = "", .err = ERR_MAX};
	struct jt_site_int *row;
	int err;

	if (ev->reason != EV_REASON_UNKNOWN) {
		found.err = jt_err_id(b, &as);
		err_format(reason, sizeof(reason), b->err, ev->reason, NULL, b->bc, b->ir,
			   ERR_PLAIN);
	}
	if (t && ev->trace) {
		as.parent = t->pub.parent;
		as.exitno = t->pub.exitno;
		as.root = t->pub.root;
	}
	err = jt_cost_start(jt, vm, &as, start, &found.region);
	return err ? err : add_row(jt, &as, &found, &row);
}

static int add_start(struct jt *jt, struct jt_vm *vm, const struct ev_spot *ev,
		     const struct jt_place *start)
{
	uint32_t kind = ev->kind == EV_SPOT_STUB ? EV_TRACE_SIDE : EV_TRACE_ROOT;
	struct jt_start *s = jt_start_get(jt, vm, start->ident, start->pos, kind, 1);
	/* The penalty of the same start came before, and has its row. */
	int known;

	if (!s)
		return -ENOMEM;
	known = s->state != JT_STATE_NONE;
	s->attempts = ev->attempts > s->attempts ? ev->attempts : s->attempts;
	s->time = ev->h.time;
	if (ev->kind == EV_SPOT_STUB)
		s->state = JT_STATE_INTERP;
	else if (ev->kind != EV_SPOT_PENALTY)
		s->state = JT_STATE_BLACKLISTED;
	else if (s->state == JT_STATE_NONE)
		s->state = JT_STATE_RETRYING;
	return known ? 0 : add_failure(jt, vm, ev, start, kind);
}

int jt_scan_spot(struct jt *jt, const struct ev_spot *ev)
{
	struct jt_vm *vm = jt_vm_get(jt, ev->h.pid, ev->g);
	struct jt_live *t;
	struct jt_place start;

	if (!vm)
		return -ENOMEM;
	jt_place(jt, ev->h.pid, vm, &ev->at, NULL, &start);
	switch (ev->kind) {
	case EV_SPOT_STITCH:
		t = jt_traces_find(vm, ev->trace);
		if (t)
			t->given_up = 1;
		return 0;
	case EV_SPOT_PENALTY:
	case EV_SPOT_LOOP:
	case EV_SPOT_FUNC:
	case EV_SPOT_STUB:
		return start.kind == JT_LOC_LUA ? add_start(jt, vm, ev, &start) : 0;
	default:
		return 0;
	}
}

int jt_scan_jit(struct jt *jt, const struct ev_jit *ev)
{
	struct jt_vm *vm = jt_vm_get(jt, ev->h.pid, ev->g);
	uint32_t n = ev->nparams < EV_JIT_PARAMS ? ev->nparams : EV_JIT_PARAMS, i;
	const char *name;

	if (!vm)
		return -ENOMEM;
	vm->jit = *ev;
	for (i = 0; i < n; i++) {
		name = jit_param_name(n, i);
		if (name && !strcmp(name, "tryside") && ev->param[i] > 0)
			vm->tryside = (uint32_t)ev->param[i];
	}
	return 0;
}
