// SPDX-License-Identifier: MIT
/* The live traces of each VM. */
#include "jittrace/jt_int.h"

#include "bytecode/jitnames.h"

#include <errno.h>
#include <stdlib.h>

struct jt_live *jt_traces_find(const struct jt_vm *vm, uint32_t trace)
{
	struct jt_live *t;

	HASH_FIND(hh, vm->traces, &trace, sizeof(trace), t);
	return t;
}

static void drop(struct jt *jt, struct jt_vm *vm, struct jt_live *t)
{
	HASH_DEL(vm->traces, t);
	jt->ntraces--;
	jt_kept_release(jt, &t->start);
	jt_kept_release(jt, &t->end);
	jt_exits_drop(jt, t);
	free(t);
}

uint32_t jt_traces_drop(struct jt *jt, struct jt_vm *vm, uint64_t until)
{
	struct jt_live *t, *tmp;
	uint32_t n = 0;

	HASH_ITER(hh, vm->traces, t, tmp)
	{
		if (t->seen > until)
			continue;
		drop(jt, vm, t);
		n++;
	}
	return n;
}

void jt_traces_prune(struct jt *jt, struct jt_vm *vm)
{
	struct jt_live *t, *tmp;

	HASH_ITER(hh, vm->traces, t, tmp)
	{
		if (t->scan != vm->scan && t->seen < vm->scan)
			drop(jt, vm, t);
	}
}

int jt_traces_stop(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev,
		   const struct jt_place *start, uint32_t aborts, struct jt_live **out)
{
	struct jt_live *t = jt_traces_find(vm, ev->trace);
	struct jt_place end;

	*out = NULL;
	if (t) /* flushed alone, and its number given away again */
		drop(jt, vm, t);
	if (jt->ntraces >= JT_TRACES_MAX) {
		jt->stats.dropped_traces++;
		return 0;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->pub = (struct jt_trace){.pid = ev->h.pid,
				   .trace = ev->trace,
				   .epoch = vm->epoch,
				   .parent = ev->parent,
				   .exitno = ev->exitno,
				   .root = ev->root,
				   .link = ev->link,
				   .nins = ev->nins,
				   .nsnap = ev->nsnap,
				   .szmcode = ev->szmcode,
				   .aborts = aborts,
				   .kind = ev->kind,
				   .linktype = ev->linktype,
				   .at_return = vm->at_return != 0,
				   .scanned = ev->type == EV_TRACE_LIVE,
				   .g = ev->g,
				   .mcode = ev->mcode,
				   .time = ev->h.time};
	t->seen = ev->h.time;
	jt_place(jt, ev->h.pid, vm, &ev->end, jt_nframes(ev) > 1 ? &ev->f[1] : NULL, &end);
	if (!jt_keep(start, &t->start) && !jt_keep(&end, &t->end))
		HASH_ADD(hh, vm->traces, pub.trace, sizeof(t->pub.trace), t);
	if (t->hh.tbl) {
		jt->ntraces++;
		*out = t;
		return 0;
	}
	jt_kept_release(jt, &t->start);
	jt_kept_release(jt, &t->end);
	free(t);
	return -ENOMEM;
}

static int by_number(const void *a, const void *b)
{
	const struct jt_trace *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (x->vm != y->vm)
		return x->vm < y->vm ? -1 : 1;
	return x->trace < y->trace ? -1 : x->trace > y->trace;
}

static void fill(const struct jt *jt, const struct jt_vm *vm, struct jt_live *t,
		 struct jt_trace *out)
{
	const struct jt_proc *p = jt_proc_find(jt, vm->key.pid);
	uint32_t i;

	*out = t->pub;
	out->vm = vm->number;
	out->comm = p ? p->comm : "";
	out->samples = jt_sum_share(&t->sum, jt->sample_time);
	out->first = t->region ? t->region->key.first : 1;
	out->last = t->region ? t->region->key.last : 0;
	jt_kept_loc(&t->start, &out->start);
	jt_kept_loc(&t->end, &out->end);
	out->exits = t->shown;
	out->nexits = t->nexits;
	for (i = 0; i < t->nexits; i++)
		out->nretrying += t->shown[i].retrying != 0;
}

/* Those that start at each trace's exits and after its end. */
static void count_children(struct jt_vm *vm)
{
	struct jt_live *t, *parent, *next;

	for (t = vm->traces; t; t = t->hh.next)
		t->pub.children = 0;
	/* What was read from memory does not tell; but a stitch links to what goes on after it. */
	for (t = vm->traces; t; t = t->hh.next) {
		next = t->pub.linktype == LINK_STITCH ? jt_traces_find(vm, t->pub.link) : NULL;
		if (next && next != t && next->pub.kind == EV_TRACE_ROOT) {
			next->pub.kind = EV_TRACE_STITCHED;
			next->pub.parent = t->pub.trace;
		}
	}
	for (t = vm->traces; t; t = t->hh.next) {
		parent = t->pub.parent ? jt_traces_find(vm, t->pub.parent) : NULL;
		if (parent)
			parent->pub.children++;
	}
}

const struct jt_trace *jt_traces(struct jt *jt, size_t *n)
{
	struct jt_trace *rows = calloc((size_t)jt->ntraces + 1, sizeof(*rows));
	struct jt_exit *exits;
	size_t nexits = 0;
	struct jt_live *t;
	struct jt_vm *vm;

	*n = 0;
	free(jt->trace_rows);
	jt->trace_rows = rows;
	free(jt->exit_rows);
	for (vm = jt->vms; vm; vm = vm->hh.next)
		for (t = vm->traces; t; t = t->hh.next)
			nexits += t->nexits;
	jt->exit_rows = exits = calloc(nexits + 1, sizeof(*exits));
	if (!rows || !exits)
		return NULL;
	for (vm = jt->vms; vm; vm = vm->hh.next) {
		count_children(vm);
		exits = jt_exits_fill(vm, exits);
		for (t = vm->traces; t; t = t->hh.next)
			fill(jt, vm, t, &rows[(*n)++]);
	}
	qsort(rows, *n, sizeof(*rows), by_number);
	return rows;
}

static int by_vm(const void *a, const void *b)
{
	const struct jt_vm_info *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->vm < y->vm ? -1 : x->vm > y->vm;
}

static void fill_vm(const struct jt *jt, const struct jt_vm *vm, struct jt_vm_info *out)
{
	const struct jt_proc *p = jt_proc_find(jt, vm->key.pid);
	const struct jt_live *t;

	*out = (struct jt_vm_info){.pid = vm->key.pid,
				   .vm = vm->number,
				   .g = vm->key.g,
				   .comm = p ? p->comm : "",
				   .epoch = vm->epoch,
				   .traces = HASH_COUNT(vm->traces)};
	for (t = vm->traces; t; t = t->hh.next)
		out->szmcode += t->pub.szmcode;
	if (!vm->jit.h.kind)
		return;
	out->time = vm->jit.h.time;
	out->szallmcarea = vm->jit.szallmcarea;
	out->on = vm->jit.on != 0;
	out->sizetrace = vm->jit.sizetrace;
	out->nparams = vm->jit.nparams < EV_JIT_PARAMS ? vm->jit.nparams : EV_JIT_PARAMS;
	out->param = vm->jit.param;
}

const struct jt_vm_info *jt_vms(struct jt *jt, size_t *n)
{
	struct jt_vm_info *rows = calloc((size_t)HASH_COUNT(jt->vms) + 1, sizeof(*rows));
	struct jt_vm *vm;

	*n = 0;
	free(jt->vm_rows);
	jt->vm_rows = rows;
	if (!rows)
		return NULL;
	for (vm = jt->vms; vm; vm = vm->hh.next)
		fill_vm(jt, vm, &rows[(*n)++]);
	qsort(rows, *n, sizeof(*rows), by_vm);
	return rows;
}
