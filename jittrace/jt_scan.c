// SPDX-License-Identifier: MIT
/* What was read from a VM's memory: traces and failures of before we came. Nothing is counted. */
#include "jittrace/jt_int.h"

#include "bytecode/jitnames.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct jt_place nowhere = {.kind = JT_LOC_NONE};

/* Enters a row for something that is no event. */
static int add_row(struct jt *jt, const struct ev_trace *ev, struct jt_found *found,
		   struct jt_site_int **out)
{
	found->scanned = 1;
	return jt_site_count(jt, ev, found, out);
}

/* The row of a trace that ends because of what it calls, which its last snapshot tells. */
static int add_end(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev,
		   struct jt_found *found, struct jt_live *t)
{
	struct jt_site_int *row;
	const struct jt_callname *name;
	struct jt_ending end;
	char called[JT_TEXT];
	int err;

	jt_end(jt, vm, ev, &end);
	if (ev->linktype != LINK_STITCH && !*end.in)
		return 0; /* a return */
	found->kind = ev->linktype == LINK_STITCH ? JT_SITE_STITCH : JT_SITE_RETURN;
	found->at = end.at.kind == JT_LOC_LUA ? &end.at : &nowhere;
	found->reason = *end.in ? end.in : "[unknown call]";
	found->subject = end.in;
	found->cfunc = end.cfunc;
	name = end.at.kind == JT_LOC_LUA ? jt_name_find(jt, ev->end.addr) : NULL;
	if (!*end.in && name) {
		snprintf(called, sizeof(called), "[call of %s]", name->name);
		found->reason = called;
	}
	err = add_row(jt, ev, found, &row);
	if (!err)
		t->site = row->serial;
	return err;
}

int jt_scan_trace(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev,
		  const struct jt_place *start)
{
	struct jt_live *t = jt_traces_find(vm, ev->trace);
	struct jt_found found = {.start = start, .err = ERR_MAX};
	int err = jt_learn(jt, ev->h.pid, ev->f, jt_nframes(ev));

	if (err)
		return err;
	/* An event may have told more. */
	if (t && t->pub.mcode == ev->mcode && t->pub.szmcode == ev->szmcode) {
		jt_rescan_trace(vm, t, ev);
		return 0;
	}
	err = jt_cost_start(jt, vm, ev, start, &found.region);
	if (!err)
		err = jt_traces_stop(jt, vm, ev, start, 0, &t);
	if (err || !t)
		return err;
	t->region = found.region;
	jt_rescan_trace(vm, t, ev);
	if (ev->linktype != LINK_STITCH && ev->linktype != LINK_RETURN)
		return 0;
	return add_end(jt, vm, ev, &found, t);
}

/* "FNEW or UCLO": the opcodes that a spot tells of. */
static void name_ops(const struct bc_gen *gen, const struct ev_spot *ev, char *buf, size_t size)
{
	const char *name;
	size_t len = 0, i;

	buf[0] = '\0';
	for (i = 0; i < EV_SPOT_OPS && ev->op[i]; i++) {
		name = bc_name(gen, ev->op[i]);
		len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? " or " : "",
					name ? name : "?");
	}
}

/* The reason of a start's last abort; what it is about is not in memory, but follows from its code.
 */
static void spot_reason(const struct jt_build *b, const struct ev_spot *ev, enum err_id err,
			char reason[JT_TEXT], char subject[JT_TEXT])
{
	subject[0] = '\0';
	if (ev->reason == EV_REASON_UNKNOWN) {
		snprintf(reason, JT_TEXT, "reason no longer known");
		return;
	}
	err_format(reason, JT_TEXT, b->err, ev->reason, NULL, b->bc, b->ir, ERR_PLAIN);
	if (err != ERR_NYIBC || !ev->op[0])
		return;
	name_ops(b->bc, ev, subject, JT_TEXT);
	snprintf(reason, JT_TEXT, "NYI: bytecode %.*s", (int)JT_TEXT - 16, subject);
}

/* A row for a start that failed, with the reason that the VM still knows. */
static int add_failure(struct jt *jt, struct jt_vm *vm, const struct ev_spot *ev,
		       const struct jt_place *start, struct jt_start *s)
{
	const struct jt_build *b = jt_build_of(jt, vm);
	const struct jt_live *t = jt_traces_find(vm, ev->trace);
	struct ev_trace as = {
	    .h = ev->h, .g = ev->g, .kind = (ev_u8)s->key.kind, .error = ev->reason};
	char reason[JT_TEXT], subject[JT_TEXT];
	struct jt_found found = {.kind = JT_SITE_ABORT,
				 .start = start,
				 .reason = reason,
				 .subject = subject,
				 .err = ERR_MAX};
	struct jt_site_int *row;
	struct jt_place at;
	int err, told;

	if (ev->reason != EV_REASON_UNKNOWN)
		found.err = jt_err_id(b, &as);
	spot_reason(b, ev, found.err, reason, subject);
	found.at =
	    jt_rescan_cause(jt, vm, &ev->at, &at) && found.err == ERR_BLACKL ? &at : &nowhere;
	if (t && ev->trace) {
		as.parent = t->pub.parent;
		as.exitno = t->pub.exitno;
		as.root = t->pub.root;
	}
	told = 1 + (ev->reason != EV_REASON_UNKNOWN) + (*subject || found.at == &at);
	if (told < s->told) /* its penalty slot was reused since */
		return 0;
	err = jt_cost_start(jt, vm, &as, start, &found.region);
	if (!err)
		err = add_row(jt, &as, &found, &row);
	if (err)
		return err;
	row->pub.inferred = told > 2 && !row->pub.count;
	if (s->row && s->row != row->serial)
		jt_site_forget(jt, s->row);
	s->row = row->serial;
	s->told = told;
	return 0;
}

static int add_start(struct jt *jt, struct jt_vm *vm, const struct ev_spot *ev,
		     const struct jt_place *start)
{
	uint32_t kind = ev->kind == EV_SPOT_STUB ? EV_TRACE_SIDE : EV_TRACE_ROOT;
	struct jt_start *s = jt_start_get(jt, vm, start->ident, start->pos, kind, 1);

	if (!s)
		return -ENOMEM;
	s->scan = vm->scan;
	if (s->live && s->time > ev->h.time) /* events of after it have come already */
		return 0;
	if (ev->kind == EV_SPOT_PENALTY && s->state == JT_STATE_RETRYING)
		s->attempts = ev->attempts;
	s->attempts = ev->attempts > s->attempts ? ev->attempts : s->attempts;
	s->time = ev->h.time > s->time ? ev->h.time : s->time;
	s->memory = ev->h.time;
	if (ev->kind == EV_SPOT_STUB)
		s->state = JT_STATE_INTERP;
	else if (ev->kind != EV_SPOT_PENALTY)
		s->state = JT_STATE_BLACKLISTED;
	else if (s->state != JT_STATE_BLACKLISTED)
		s->state = JT_STATE_RETRYING;
	/* What was seen happen says more. */
	return s->live ? 0 : add_failure(jt, vm, ev, start, s);
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
