// SPDX-License-Identifier: MIT
/* The definitions of the stream: processes, builds, VMs, functions, names. */
#include "jittrace/jt_int.h"

#include "bytecode/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* String idx of a record whose structure has size fixed; "" if there is none. */
static const char *string(const struct ev_hdr *h, size_t fixed, unsigned int idx)
{
	const char *s = (const char *)h + fixed, *end = (const char *)h + h->size;

	for (; s < end; idx--) {
		size_t len = strnlen(s, (size_t)(end - s));

		if (len == (size_t)(end - s))
			break;
		if (!idx)
			return s;
		s += len + 1;
	}
	return "";
}

struct jt_proc *jt_proc_find(const struct jt *jt, uint32_t pid)
{
	struct jt_proc *p;

	HASH_FIND(hh, jt->procs, &pid, sizeof(pid), p);
	return p;
}

static struct jt_proc *proc_get(struct jt *jt, uint32_t pid)
{
	struct jt_proc *p = jt_proc_find(jt, pid);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->pid = pid;
	HASH_ADD(hh, jt->procs, pid, sizeof(p->pid), p);
	if (p->hh.tbl)
		return p;
	free(p);
	return NULL;
}

static void vm_clear(struct jt *jt, struct jt_vm *vm)
{
	jt_traces_drop(jt, vm, UINT64_MAX);
	jt_starts_drop(jt, vm);
	jt_cost_drop(jt, vm);
	vm->epoch = 0;
	vm->recording = 0;
	vm->seen = vm->downrec = vm->at_return = 0;
	vm->tryside = JT_TRYSIDE;
	vm->jit.h.kind = 0;
	vm->scan = 0;
	vm->cause[0].kind = 0;
}

static void vm_free(struct jt *jt, struct jt_vm *vm)
{
	vm_clear(jt, vm);
	HASH_DEL(jt->vms, vm);
	free(vm);
}

/* A process begins anew: nothing at its addresses is what it was. */
static int new_generation(struct jt *jt, uint32_t pid, const char *comm)
{
	struct jt_proc *p = proc_get(jt, pid);
	struct jt_vm *vm, *tmp;

	if (!p)
		return -ENOMEM;
	jt_syms_drop(p);
	HASH_ITER(hh, jt->vms, vm, tmp)
	{
		if (vm->key.pid == pid)
			vm_free(jt, vm);
	}
	if (comm)
		jt_clean(p->comm, sizeof(p->comm), comm);
	return 0;
}

/*
 * Does jit.v get the function on top of the stack, be it a C function, when a trace is given up?
 * OpenResty's branch has that from 059ee78e of 2019-02-19, soon after it got table.isempty, until
 * it took b138ccfa of 2023-09-21; since August 2023 versions end in the time of their last commit.
 */
static int has_top_function(const char *version, const char *ff)
{
	if (strcmp(ff, "table.isempty") != 0)
		return 0;
	return strncmp(version, "LuaJIT 2.1.", 11) || strtoul(version + 11, NULL, 10) < 1695254400;
}

static struct jt_build *build_find(const struct jt *jt, uint32_t id)
{
	struct jt_build *b;

	HASH_FIND(hh, jt->builds, &id, sizeof(id), b);
	return b;
}

static int add_build(struct jt *jt, const struct ev_build *ev)
{
	const char *version = string(&ev->h, sizeof(*ev), 0), *why;
	const struct layout_row *row = layout_by_name(string(&ev->h, sizeof(*ev), 1));
	struct jt_build *b = build_find(jt, ev->id);

	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return -ENOMEM;
		b->id = ev->id;
		HASH_ADD(hh, jt->builds, id, sizeof(b->id), b);
		if (!b->hh.tbl) {
			free(b);
			return -ENOMEM;
		}
	}
	b->bc = row ? bc_gen_by_count(row->l.bc_max) : NULL;
	b->ir = row ? ir_by_count(row->l.ir_max) : NULL;
	b->err = err_choose(version, b->bc, NULL, b->ir, &why);
	/* Upstream 7a58a8fb, of 2016-11-13. */
	b->bare_stitch = strstr(version, "2.1.0-beta1") || strstr(version, "2.1.0-beta2");
	jt_clean(b->version, sizeof(b->version), version);
	return 0;
}

/* The layout was verified in memory: where it tells the opcodes, it is believed. */
static int add_tables(struct jt *jt, const struct ev_tables *ev)
{
	const struct bc_gen *bc = bc_gen_by_name(string(&ev->h, sizeof(*ev), 0));
	const struct ff_table *ff = ff_by_name(string(&ev->h, sizeof(*ev), 1));
	const struct err_table *errs = err_by_name(string(&ev->h, sizeof(*ev), 2));
	const struct ir_table *ir = ir_by_name(string(&ev->h, sizeof(*ev), 3));
	struct jt_build *b = build_find(jt, ev->build);
	const char *why;

	if (!b)
		return 0;
	b->bc = b->bc ? b->bc : bc;
	b->ir = ir ? ir : b->ir;
	b->err = errs ? errs : err_choose(b->version, b->bc, ff, b->ir, &why);
	return 0;
}

struct jt_vm *jt_vm_find(const struct jt *jt, uint32_t pid, uint64_t g)
{
	struct jt_vm_key key = {.g = g, .pid = pid};
	struct jt_vm *vm;

	HASH_FIND(hh, jt->vms, &key, sizeof(key), vm);
	return vm;
}

struct jt_vm *jt_vm_get(struct jt *jt, uint32_t pid, uint64_t g)
{
	struct jt_vm *vm = jt_vm_find(jt, pid, g);

	if (vm)
		return vm;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return NULL;
	vm->key.g = g;
	vm->key.pid = pid;
	vm->tryside = JT_TRYSIDE;
	HASH_ADD(hh, jt->vms, key, sizeof(vm->key), vm);
	if (vm->hh.tbl)
		return vm;
	free(vm);
	return NULL;
}

static int add_vm(struct jt *jt, const struct ev_vm *ev)
{
	struct jt_vm *vm = jt_vm_get(jt, ev->h.pid, ev->g);

	if (!vm)
		return -ENOMEM;
	vm_clear(jt, vm);
	vm->number = ev->number;
	vm->build = ev->build;
	return 0;
}

const struct jt_build *jt_build_of(const struct jt *jt, const struct jt_vm *vm)
{
	static const struct jt_build unknown;
	const struct jt_build *b = vm ? build_find(jt, vm->build) : NULL;

	return b ? b : &unknown;
}

void jt_ident_put(struct jt *jt, struct jt_ident *i)
{
	if (!i || --i->refs)
		return;
	HASH_DEL(jt->idents, i);
	free(i->file);
	free(i->name);
	free(i->loop);
	free(i);
}

/* The function, entered if new, with one reference more. NULL if out of memory. */
static struct jt_ident *ident_get(struct jt *jt, const struct jt_ident_key *k, const char *chunk)
{
	size_t len = strlen(chunk), size = sizeof(*k) + len;
	struct jt_ident *i = calloc(1, sizeof(*i) + len + 1), *old;

	if (!i)
		return NULL;
	i->k = *k;
	memcpy(i->chunk, chunk, len);
	HASH_FIND(hh, jt->idents, &i->k, size, old);
	if (old) {
		free(i);
		old->refs++;
		return old;
	}
	i->file = jt_chunk(chunk, k->flags);
	if (i->file)
		HASH_ADD(hh, jt->idents, k, size, i);
	if (!i->file || !i->hh.tbl) {
		free(i->file);
		free(i);
		return NULL;
	}
	i->refs = 1;
	return i;
}

struct jt_func *jt_func_find(const struct jt *jt, uint32_t id)
{
	struct jt_func *f;

	HASH_FIND(hh, jt->funcs, &id, sizeof(id), f);
	return f;
}

static void func_free(struct jt *jt, struct jt_func *f)
{
	HASH_DEL(jt->funcs, f);
	jt_ident_put(jt, f->ident);
	free(f);
}

static int add_func(struct jt *jt, const struct ev_func *ev)
{
	const struct jt_vm *vm = jt_vm_find(jt, ev->h.pid, ev->g);
	struct jt_ident_key k = {.build = vm ? vm->build : 0,
				 .firstline = ev->firstline,
				 .numline = ev->numline,
				 .content = ev->content,
				 .flags = ev->flags};
	struct jt_func *f = jt_func_find(jt, ev->id);

	if (ev->id == EV_NO_PROTO)
		return 0;
	if (f)
		func_free(jt, f);
	while (HASH_COUNT(jt->funcs) >= JT_FUNCS_MAX) {
		jt->stats.dropped_funcs++;
		func_free(jt, jt->funcs);
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->id = ev->id;
	f->pt = ev->pt;
	f->ident = ident_get(jt, &k, string(&ev->h, sizeof(*ev), 0));
	if (f->ident)
		HASH_ADD(hh, jt->funcs, id, sizeof(f->id), f);
	if (f->ident && f->hh.tbl)
		return 0;
	jt_ident_put(jt, f->ident);
	free(f);
	return -ENOMEM;
}

static int add_loops(struct jt *jt, const struct ev_loops *ev)
{
	const struct jt_func *f = jt_func_find(jt, ev->id);
	struct jt_ident *i = f ? f->ident : NULL;

	if (!i || i->loops_known)
		return 0;
	i->loop = malloc((ev->n + 1) * sizeof(*i->loop));
	if (!i->loop)
		return -ENOMEM;
	memcpy(i->loop, ev->loop, ev->n * sizeof(*i->loop));
	i->nloops = ev->n;
	i->loops_known = 1;
	return 0;
}

struct jt_callname *jt_name_find(const struct jt *jt, uint64_t addr)
{
	struct jt_callname *n;

	HASH_FIND(hh, jt->names, &addr, sizeof(addr), n);
	return n;
}

static void name_free(struct jt *jt, struct jt_callname *n)
{
	HASH_DEL(jt->names, n);
	free(n);
}

static int add_name(struct jt *jt, const struct ev_name *ev)
{
	uint64_t addr = EV_FRAME_ADDR(ev->proto, ev->pc);
	struct jt_callname *n = jt_name_find(jt, addr);
	char clean[JT_TEXT / 4];

	jt_clean(clean, sizeof(clean), string(&ev->h, sizeof(*ev), 0));
	if (n)
		name_free(jt, n);
	if (!ev->what || !*clean)
		return 0;
	while (HASH_COUNT(jt->names) >= JT_NAMES_MAX) {
		jt->stats.dropped_names++;
		name_free(jt, jt->names);
	}
	n = calloc(1, sizeof(*n) + strlen(clean) + 1);
	if (!n)
		return -ENOMEM;
	n->addr = addr;
	strcpy(n->name, clean);
	HASH_ADD(hh, jt->names, addr, sizeof(n->addr), n);
	if (n->hh.tbl)
		return 0;
	free(n);
	return -ENOMEM;
}

static int add_ff(struct jt *jt, const struct ev_ff *ev)
{
	uint64_t key = (uint64_t)ev->build << 32 | ev->ffid;
	const char *name = string(&ev->h, sizeof(*ev), 0);
	char clean[JT_TEXT / 4];
	struct jt_build *b = build_find(jt, ev->build);
	struct jt_ff *f;

	if (b)
		b->top_function |= has_top_function(b->version, name);
	HASH_FIND(hh, jt->ffs, &key, sizeof(key), f);
	if (f || !*name || ev->ffid > 255)
		return 0;
	jt_clean(clean, sizeof(clean), name);
	f = calloc(1, sizeof(*f) + strlen(clean) + 1);
	if (!f)
		return -ENOMEM;
	f->key = key;
	strcpy(f->name, clean);
	HASH_ADD(hh, jt->ffs, key, sizeof(f->key), f);
	if (f->hh.tbl)
		return 0;
	free(f);
	return -ENOMEM;
}

const char *jt_ff_name(const struct jt *jt, uint32_t build, uint32_t ffid)
{
	uint64_t key = (uint64_t)build << 32 | ffid;
	struct jt_ff *f;

	HASH_FIND(hh, jt->ffs, &key, sizeof(key), f);
	return f ? f->name : NULL;
}

static int add_sym(struct jt *jt, const struct ev_sym *ev)
{
	struct jt_proc *p = proc_get(jt, ev->h.pid);

	return !p ? -ENOMEM
		  : jt_syms_add(jt, p, ev, string(&ev->h, sizeof(*ev), 0),
				string(&ev->h, sizeof(*ev), 1));
}

int jt_defs_add(struct jt *jt, const struct ev_hdr *h)
{
	switch (h->kind) {
	case EV_PROC:
		return new_generation(jt, h->pid, string(h, sizeof(struct ev_proc), 0));
	case EV_EXEC:
		return new_generation(jt, h->pid, NULL);
	case EV_BUILD:
		return add_build(jt, (const struct ev_build *)h);
	case EV_TABLES:
		return add_tables(jt, (const struct ev_tables *)h);
	case EV_VM:
		return add_vm(jt, (const struct ev_vm *)h);
	case EV_FUNC:
		return add_func(jt, (const struct ev_func *)h);
	case EV_LOOPS:
		return add_loops(jt, (const struct ev_loops *)h);
	case EV_NAME:
		return add_name(jt, (const struct ev_name *)h);
	case EV_FF:
		return add_ff(jt, (const struct ev_ff *)h);
	case EV_SYM:
		return add_sym(jt, (const struct ev_sym *)h);
	default:
		return 0;
	}
}

void jt_defs_free(struct jt *jt)
{
	struct jt_build *b, *btmp;
	struct jt_proc *p, *ptmp;
	struct jt_ff *f, *ftmp;

	while (jt->vms)
		vm_free(jt, jt->vms);
	while (jt->funcs)
		func_free(jt, jt->funcs);
	while (jt->names)
		name_free(jt, jt->names);
	HASH_ITER(hh, jt->builds, b, btmp)
	{
		HASH_DEL(jt->builds, b);
		free(b);
	}
	HASH_ITER(hh, jt->procs, p, ptmp)
	{
		jt_syms_drop(p);
		HASH_DEL(jt->procs, p);
		free(p);
	}
	HASH_ITER(hh, jt->ffs, f, ftmp)
	{
		HASH_DEL(jt->ffs, f);
		free(f);
	}
}
