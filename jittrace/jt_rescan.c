// SPDX-License-Identifier: MIT
/*
 * Looks at a VM's memory, one after the other: what an earlier one found and the next does not is
 * no more. And the exits of live traces, which only memory tells of.
 */
#include "jittrace/jt_int.h"

#include "bytecode/jitnames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* lj_jit.h: default of the parameter hotexit. */
#define HOTEXIT 10

int32_t jt_param(const struct jt_vm *vm, const char *name, int32_t fallback)
{
	uint32_t n = vm->jit.nparams < EV_JIT_PARAMS ? vm->jit.nparams : EV_JIT_PARAMS, i;
	const char *is;

	for (i = 0; vm->jit.h.kind && i < n; i++) {
		is = jit_param_name(n, i);
		if (is && !strcmp(is, name))
			return vm->jit.param[i];
	}
	return fallback;
}

/* ---- exits ---- */

void jt_exits_drop(struct jt *jt, struct jt_live *t)
{
	uint32_t i;

	for (i = 0; i < t->nexits; i++)
		jt_kept_release(jt, &t->exits[i].at);
	free(t->exits);
	t->exits = NULL;
	t->nexits = 0;
}

/*
 * How far an exit is (lj_trace.c:trace_hotside, lj_record.c:lj_record_setup): from hotexit on each
 * exit is an attempt; at hotexit + tryside it is given up. Returns the failed attempts.
 */
static uint32_t attempts_of(const struct jt_vm *vm, uint32_t count, uint32_t *left)
{
	int32_t hot = jt_param(vm, "hotexit", HOTEXIT), tries = (int32_t)vm->tryside;
	int64_t all = (int64_t)hot + tries, n = (int64_t)count - hot + 1;

	*left = count != EV_EXIT_DONE && all > count ? (uint32_t)(all - count) : 0;
	if (!*left || n <= 0)
		return 0;
	return (uint32_t)n;
}

/* An exit whose side trace was tried: a start of its own. */
static int retried_exit(struct jt *jt, struct jt_vm *vm, const struct ev_scan *ev,
			const struct ev_scan_entry *e, const struct jt_place *at)
{
	static const struct jt_place nowhere = {.kind = JT_LOC_NONE};
	const struct jt_live *t = jt_traces_find(vm, ev->trace);
	struct ev_trace as = {.h = ev->h,
			      .g = ev->g,
			      .kind = EV_TRACE_SIDE,
			      .parent = ev->trace,
			      .exitno = e->exitno,
			      .root = t && t->pub.root ? t->pub.root : ev->trace};
	struct jt_found found = {.kind = JT_SITE_ABORT,
				 .start = at,
				 .at = &nowhere,
				 .reason = "reason no longer known",
				 .subject = "",
				 .err = ERR_MAX,
				 .scanned = 1};
	struct jt_site_int *row;
	struct jt_start *s;
	uint32_t left, n = attempts_of(vm, e->count, &left);
	int err;

	if (!n || at->kind != JT_LOC_LUA)
		return 0;
	s = jt_start_get(jt, vm, at->ident, at->pos, EV_TRACE_SIDE, 1);
	if (!s)
		return -ENOMEM;
	if (s->live && s->time > ev->h.time) /* events of after it have come already */
		return 0;
	/* Exits of several traces may lead to one place: the worst counts. */
	s->attempts = s->scan == vm->scan && s->attempts > n ? s->attempts : n;
	s->state = s->state == JT_STATE_INTERP ? JT_STATE_INTERP : JT_STATE_RETRYING;
	s->time = ev->h.time > s->time ? ev->h.time : s->time;
	s->memory = ev->h.time;
	s->scan = vm->scan;
	if (s->live || s->row)
		return 0;
	err = jt_cost_start(jt, vm, &as, at, &found.region);
	if (!err)
		err = jt_site_count(jt, &as, &found, &row);
	if (!err)
		s->row = row->serial;
	return err;
}

static int on_exits(struct jt *jt, struct jt_vm *vm, const struct ev_scan *ev, uint32_t n)
{
	struct jt_live *t = jt_traces_find(vm, ev->trace);
	struct jt_place at;
	uint32_t i;
	int err = 0;

	if (!t)
		return 0;
	jt_exits_drop(jt, t);
	t->exits = calloc(n ? n : 1, sizeof(*t->exits));
	if (!t->exits)
		return -ENOMEM;
	for (i = 0; i < n && !err; i++) {
		jt_place(jt, ev->h.pid, vm, &ev->e[i].at, NULL, &at);
		t->exits[i].exitno = ev->e[i].exitno;
		t->exits[i].count = ev->e[i].count;
		err = jt_keep(&at, &t->exits[i].at);
		t->nexits++;
		if (!err)
			err = retried_exit(jt, vm, ev, &ev->e[i], &at);
	}
	return err;
}

struct jt_exit *jt_exits_fill(struct jt_vm *vm, struct jt_exit *out)
{
	struct jt_live *t, *parent;
	uint32_t i;

	for (t = vm->traces; t; t = t->hh.next) {
		t->shown = out;
		for (i = 0; i < t->nexits; i++, out++) {
			out->exitno = t->exits[i].exitno;
			out->count = t->exits[i].count;
			out->retrying = attempts_of(vm, out->count, &out->left) > 0;
			jt_kept_loc(&t->exits[i].at, &out->at);
		}
	}
	for (t = vm->traces; t; t = t->hh.next) {
		parent = t->pub.kind == EV_TRACE_SIDE && t->pub.parent
			     ? jt_traces_find(vm, t->pub.parent)
			     : NULL;
		for (i = 0; parent && i < parent->nexits; i++) {
			if (parent->shown[i].exitno != t->pub.exitno)
				continue;
			parent->shown[i].child = t->pub.trace;
			parent->shown[i].count = EV_EXIT_DONE;
			parent->shown[i].left = 0;
			parent->shown[i].retrying = 0;
		}
	}
	return out;
}

/* ---- one look after the other ---- */

void jt_rescan_trace(const struct jt_vm *vm, struct jt_live *t, const struct ev_trace *ev)
{
	t->pub.link = ev->link;
	if (!t->pub.parent && ev->parent) {
		t->pub.parent = ev->parent;
		t->pub.exitno = ev->exitno;
	}
	t->seen = ev->h.time > t->seen ? ev->h.time : t->seen;
	t->scan = vm->scan;
}

int jt_rescan_cause(struct jt *jt, struct jt_vm *vm, const struct ev_frame *f, struct jt_place *out)
{
	if (!vm->cause[0].kind || vm->cause[0].addr != f->addr)
		return 0;
	vm->cause[0].kind = 0;
	jt_place(jt, vm->key.pid, vm, &vm->cause[1], NULL, out);
	return out->kind == JT_LOC_LUA;
}

/*
 * What was known from memory, or counted since, and is not there any more. A start that failed and
 * has no penalty slot now is tried from the beginning; one whose slot could not be told apart
 * stays. Marks in bytecode are only looked for where they were found before: none of them is
 * forgotten.
 */
static void prune_starts(struct jt *jt, const struct jt_vm *vm, uint32_t unplaced)
{
	struct jt_start *s, *tmp;

	HASH_ITER(hh, jt->starts, s, tmp)
	{
		int side = s->key.kind == EV_TRACE_SIDE;

		if (s->key.vm != vm || s->scan == vm->scan || s->time >= vm->scan ||
		    s->key.kind == EV_TRACE_STITCHED || (!side && unplaced) ||
		    (s->state != JT_STATE_RETRYING && !(side && s->state == JT_STATE_INTERP)))
			continue;
		s->attempts = 0;
		if (s->live)
			continue;
		jt_site_forget(jt, s->row);
		jt_start_free(jt, s);
	}
}

int jt_rescan(struct jt *jt, const struct ev_scan *ev)
{
	struct jt_vm *vm = jt_vm_get(jt, ev->h.pid, ev->g);
	size_t room = (ev->h.size - sizeof(*ev)) / sizeof(ev->e[0]);
	uint32_t n = ev->n < room ? ev->n : (uint32_t)room;

	if (!vm)
		return -ENOMEM;
	switch (ev->type) {
	case EV_SCAN_BEGIN:
		vm->scan = ev->h.time;
		return 0;
	case EV_SCAN_END:
		if (!vm->scan)
			return 0;
		jt_traces_prune(jt, vm);
		prune_starts(jt, vm, ev->unplaced);
		return 0;
	case EV_SCAN_EXITS:
		return on_exits(jt, vm, ev, n);
	case EV_SCAN_CAUSE:
		if (n == 2) {
			vm->cause[0] = ev->e[0].at;
			vm->cause[1] = ev->e[1].at;
		}
		return 0;
	default:
		return 0;
	}
}
