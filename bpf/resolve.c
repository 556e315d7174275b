// SPDX-License-Identifier: MIT
#include "bpf/resolve.h"

#include "bpf/rec.h"
#include "bpf/resolve_int.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What waiting for names may take of all the time: samples wait meanwhile in the ring. */
#define ASK_ALL_MS 1000

#define LOOK_MS 1000 /* resolve_look: in all */
#define LOOK_PAUSE_MS 100

/* How far this time namespace's clock is ahead of that of the BPF programs, ns. */
static int64_t namespace_offset(void)
{
	FILE *f = fopen("/proc/self/timens_offsets", "re");
	long long sec = 0, ns = 0;
	int got = f ? fscanf(f, "monotonic %lld %lld", &sec, &ns) : 0;

	if (f)
		fclose(f);
	return got == 2 ? sec * 1000000000 + ns : 0;
}

uint64_t resolve_now(void)
{
	static int64_t offset = INT64_MAX; /* the same as long as we live */
	struct timespec t;

	if (offset == INT64_MAX)
		offset = namespace_offset();
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec - (uint64_t)offset;
}

int resolve_discard(void *ctx, const struct ev_hdr *h)
{
	(void)ctx;
	(void)h;
	return 0;
}

struct resolve *resolve_new(resolve_sink_fn *sink, void *ctx, const struct layout_row *given)
{
	struct resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->modules = modules_new(given);
	if (!r->modules) {
		free(r);
		return NULL;
	}
	r->sink = sink;
	r->ctx = ctx;
	return r;
}

static void free_proc(struct resolve *r, struct rproc *p)
{
	HASH_DEL(r->procs, p);
	proc_maps_release(&p->maps);
	vm_list_release(&p->vms);
	vm_list_release(&p->found);
	vm_search_free(p->search);
	free(p->range);
	free(p->told);
	free(p);
}

void resolve_free(struct resolve *r)
{
	struct rproc *p, *tmp;
	struct rbuild *b;

	if (!r)
		return;
	resolve_snaps_drop(r, 0);
	resolve_protos_drop(r, 0);
	HASH_ITER(hh, r->procs, p, tmp)
	free_proc(r, p);
	while ((b = r->builds)) {
		r->builds = b->next;
		free(b);
	}
	resolve_natives_free(r);
	resolve_inlines_free(r);
	modules_free(r->modules);
	free(r->code);
	free(r);
}

void resolve_want_code(struct resolve *r, int on)
{
	r->want_code = on;
}

struct rproc *resolve_proc(struct resolve *r, int pid)
{
	struct rproc *p;

	HASH_FIND_INT(r->procs, &pid, p);
	return p;
}

const struct vm *resolve_vm_at(const struct rproc *p, uint64_t g)
{
	size_t i;

	for (i = 0; i < p->vms.n; i++)
		if (p->vms.vm[i].g == g)
			return &p->vms.vm[i];
	return NULL;
}

int resolve_refresh_maps(struct resolve *r, int pid)
{
	struct rproc *p = resolve_proc(r, pid);

	return p ? resolve_read_maps(r, p) : -ESRCH;
}

unsigned int resolve_code_changes(struct resolve *r, int pid)
{
	const struct rproc *p = resolve_proc(r, pid);

	return p ? p->code : 0;
}

const struct proc_maps *resolve_maps(struct resolve *r, int pid)
{
	struct rproc *p = resolve_proc(r, pid);

	return p ? &p->maps : NULL;
}

const struct vm_list *resolve_vms(struct resolve *r, int pid)
{
	struct rproc *p = resolve_proc(r, pid);

	return p ? &p->vms : NULL;
}

uint32_t resolve_new_id(struct resolve *r)
{
	return 0x80000000u | r->next_id++;
}

void resolve_fetch(struct resolve *r, modules_say_fn *say, void *ctx)
{
	modules_fetch(r->modules, say, ctx);
	r->ask_ms = ASK_ALL_MS;
}

void resolve_ask(struct resolve *r, const struct module *m, int wait_ms)
{
	modules_ask(r->modules, m, wait_ms);
}

void resolve_poll(struct resolve *r)
{
	struct rproc *p, *tmp;

	if (!modules_poll(r->modules))
		return;
	HASH_ITER(hh, r->procs, p, tmp)
	p->nranges = 0;
}

const struct module *resolve_vm_module(struct resolve *r, int pid)
{
	struct rproc *p = resolve_proc(r, pid);

	return p && p->maps.nvm ? p->maps.vm[0] : NULL;
}

const struct resolve_stats *resolve_stats(const struct resolve *r)
{
	return &r->stats;
}

int resolve_emit(struct resolve *r, struct ev_hdr *h, size_t fixed, const char *const *strs,
		 unsigned int n)
{
	const struct ev_hdr *rec = rec_build(r->buf, sizeof(r->buf), h, fixed, strs, n);

	return rec ? r->sink(r->ctx, rec) : -E2BIG;
}

static struct ev_hdr header(enum ev_kind kind, int pid)
{
	struct ev_hdr h = {.kind = kind, .time = resolve_now(), .pid = (ev_u32)pid};

	h.tid = h.pid;
	return h;
}

static int emit_proc(struct resolve *r, const struct proc_info *info)
{
	struct ev_proc e = {.h = header(EV_PROC, info->pid),
			    .start = info->start,
			    .ppid = (ev_u32)info->ppid,
			    .nspid = (ev_u32)info->nspid};
	const char *strs[] = {info->comm, info->exe, info->cmdline};

	return resolve_emit(r, &e.h, sizeof(e), strs, 3);
}

/* Until all is found: libraries that hold more than LuaJIT are large. */
static int scan_tables(void *ctx, uint64_t vaddr, const void *p, size_t len)
{
	struct tables_evidence *e = ctx;

	(void)vaddr;
	tables_scan(e, p, len);
	return e->bc && e->ff && e->ir;
}

static int emit_tables(struct resolve *r, const struct rbuild *b, const struct tables *t)
{
	struct ev_tables e = {.h = header(EV_TABLES, 0), .build = b->id};
	const char *strs[] = {t->bc ? t->bc->name : "", t->ff ? t->ff->name : "",
			      t->err ? t->err->name : "", t->ir ? t->ir->name : ""};

	return resolve_emit(r, &e.h, sizeof(e), strs, 4);
}

static int emit_build(struct resolve *r, const struct rbuild *b, const struct tables *t)
{
	const struct layout *l = &b->row->l;
	const struct ff_table *ff = t->ff;
	struct ev_build e = {.h = header(EV_BUILD, 0), .id = b->id};
	const char *strs[] = {b->module->vm.version, b->row->name, b->module->path,
			      elfobj_build_id(b->module->elf)};
	uint32_t id;
	int err;

	e.flags = (l->gc64 ? EV_BUILD_GC64 : 0) | (l->fr2 ? EV_BUILD_FR2 : 0) |
		  (l->dualnum ? EV_BUILD_DUALNUM : 0) | (ff && ff->lua52 ? EV_BUILD_LUA52 : 0) |
		  (elfobj_source(b->module->elf) ? 0 : EV_BUILD_STRIPPED);
	err = resolve_emit(r, &e.h, sizeof(e), strs, 4);
	err = err ? err : emit_tables(r, b, t);
	for (id = 2; !err && ff && id < ff->n; id++) {
		struct ev_ff f = {.h = header(EV_FF, 0), .build = b->id, .ffid = id};
		const char *name = ff_name(ff, id);

		err = resolve_emit(r, &f.h, sizeof(f), &name, 1);
	}
	return err;
}

/* The build of a VM, announced at its first one. */
static int build_of(struct resolve *r, const struct vm *vm, uint32_t *id)
{
	struct tables_evidence e = {.version = vm->module->vm.version, .layout = &vm->row->l};
	struct tables t;
	struct rbuild *b;

	for (b = r->builds; b; b = b->next) {
		if (b->module == vm->module && b->row == vm->row) {
			*id = b->id;
			return 0;
		}
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->id = ++r->nbuilds;
	b->module = vm->module;
	b->row = vm->row;
	b->next = r->builds;
	r->builds = b;
	*id = b->id;
	/* What cannot be read tells nothing. */
	elfobj_rodata(vm->module->elf, scan_tables, &e);
	tables_choose(&e, &t);
	return emit_build(r, b, &t);
}

static int emit_vm(struct resolve *r, struct rproc *p, struct vm *vm)
{
	struct ev_vm e = {.g = vm->g, .number = ++p->vms_seen};
	int err = build_of(r, vm, &e.build);

	vm->number = e.number;

	e.h = header(EV_VM, p->pid);
	return err ? err : resolve_emit(r, &e.h, sizeof(e), NULL, 0);
}

static int has_vm(const struct vm_list *list, uint64_t g)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		if (list->vm[i].g == g)
			return 1;
	return 0;
}

/*
 * Takes over a new list of VMs and announces those that the old one lacks. One that was busy
 * changing when it was looked at gets a second look before it counts as gone.
 */
static int replace_vms(struct resolve *r, struct rproc *p, struct vm_list *list, int *changed)
{
	struct vm_list old = p->vms;
	struct vm again;
	size_t i, j;
	int err = 0;

	for (i = 0; i < old.n; i++)
		if (!has_vm(list, old.vm[i].g) && list->n < VM_MAX &&
		    !vm_find_row(p->pid, &p->maps, old.vm[i].g, &again, NULL))
			vm_list_add(list, &again);
	*changed = list->n != old.n;
	p->vms = *list;
	for (i = 0; i < p->vms.n && !err; i++) {
		for (j = 0; j < old.n && old.vm[j].g != p->vms.vm[i].g; j++)
			;
		if (j < old.n && old.vm[j].row == p->vms.vm[i].row && !old.vm[j].gone) {
			p->vms.vm[i].number = old.vm[j].number;
			continue;
		}
		*changed = 1;
		err = emit_vm(r, p, &p->vms.vm[i]);
	}
	vm_list_release(&old);
	return err;
}

/* Do both have the same code at the same addresses? If not, no symbol of before counts. */
static int same_code(const struct proc_maps *a, const struct proc_maps *b)
{
	size_t i = 0, j = 0;

	for (;;) {
		while (i < a->n && !(a->map[i].prot & PROC_X))
			i++;
		while (j < b->n && !(b->map[j].prot & PROC_X))
			j++;
		if (i == a->n || j == b->n)
			return i == a->n && j == b->n;
		if (a->map[i].start != b->map[j].start || a->map[i].end != b->map[j].end ||
		    a->map[i].module != b->map[j].module)
			return 0;
		i++;
		j++;
	}
}

int resolve_read_maps(struct resolve *r, struct rproc *p)
{
	struct proc_maps maps = {.n = 0};
	int err = proc_maps_read(p->pid, r->modules, &maps);

	if (err)
		return err;
	if (!same_code(&p->maps, &maps)) {
		p->nranges = 0;
		p->ntold = 0;
		p->code++;
		told_forget(&r->inlined, (ev_u32)p->pid);
	}
	proc_maps_release(&p->maps);
	p->maps = maps;
	p->maps_time = resolve_now();
	return 0;
}

static void end_search(struct rproc *p)
{
	vm_search_free(p->search);
	p->search = NULL;
	vm_list_release(&p->found);
}

static int begin_search(struct resolve *r, struct rproc *p)
{
	int err = resolve_read_maps(r, p);

	if (err)
		return err;
	if (!p->maps.nvm && p->maps.denied)
		return -EACCES; /* to see no LuaJIT is not to know that there is none */
	p->search = p->maps.nvm ? vm_search_new(p->pid, &p->maps) : NULL;
	return p->maps.nvm && !p->search ? -ENOMEM : 0;
}

/* 1: ns are over, and there is more to look at. */
static int scan(struct resolve *r, struct rproc *p, uint64_t ns, struct vm_evidence *ev,
		int *changed)
{
	uint64_t start = resolve_now();
	struct vm_list list;
	int err = p->search ? 0 : begin_search(r, p);

	while (!err && p->search && resolve_now() - start < ns)
		err = vm_search_step(p->search, &p->maps, &p->found, ev);
	if (!err && p->search)
		return 1;
	if (err < 0) {
		end_search(p);
		return err;
	}
	list = p->found;
	p->found = (struct vm_list){.n = 0};
	end_search(p);
	return replace_vms(r, p, &list, changed);
}

int resolve_attach(struct resolve *r, int pid, const struct vm_list **vms, int *has_code,
		   struct vm_evidence *ev)
{
	struct proc_info info;
	struct rproc *p;
	int err, changed;

	err = proc_info_read(pid, &info);
	if (!err && info.state == 'Z')
		err = -ESRCH;
	if (err)
		return err;
	resolve_drop(r, pid);
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->pid = pid;
	p->info = info;
	HASH_ADD_INT(r->procs, pid, p);
	if (!p->hh.tbl) {
		free(p);
		return -ENOMEM;
	}
	err = emit_proc(r, &info);
	if (!err)
		err = scan(r, p, UINT64_MAX, ev, &changed);
	if (err) {
		resolve_drop(r, pid);
		return err;
	}
	*has_code = p->maps.nvm > 0;
	*vms = &p->vms;
	return 0;
}

int resolve_look(struct resolve *r, int pid, unsigned int *waited_ms, const struct vm_list **vms,
		 int *has_code, struct vm_evidence *ev)
{
	int err;

	for (;;) {
		if (ev)
			*ev = (struct vm_evidence){0};
		err = resolve_attach(r, pid, vms, has_code, ev);
		if (err || !*has_code || (*vms)->n || *waited_ms >= LOOK_MS)
			return err;
		poll(NULL, 0, LOOK_PAUSE_MS);
		*waited_ms += LOOK_PAUSE_MS;
	}
}

int resolve_rescan(struct resolve *r, int pid, uint64_t ns, const struct vm_list **vms,
		   int *changed)
{
	struct rproc *p = resolve_proc(r, pid);
	int err;

	if (!p)
		return -ESRCH;
	err = scan(r, p, ns, NULL, changed);
	*vms = &p->vms;
	return err;
}

/* If all VMs of the process are of one build, so is another one. */
static int assume_vm(const struct rproc *p, uint64_t g, struct vm *out)
{
	size_t i;

	for (i = 1; i < p->vms.n; i++)
		if (p->vms.vm[i].row != p->vms.vm[0].row || p->vms.vm[i].bias != p->vms.vm[0].bias)
			return -ENOENT;
	if (!p->vms.n)
		return -ENOENT;
	*out = p->vms.vm[0];
	out->g = g;
	out->gone = 1;
	return 0;
}

int resolve_add_vm(struct resolve *r, int pid, uint64_t g, const struct vm_list **vms)
{
	struct rproc *p = resolve_proc(r, pid);
	struct vm vm;
	int err;

	if (!p)
		return -ESRCH;
	if (resolve_vm_at(p, g))
		return -EEXIST;
	if (p->vms.n >= VM_MAX)
		return -ENOSPC;
	err = vm_find_row(pid, &p->maps, g, &vm, NULL);
	if (err == -ENOENT)
		err = assume_vm(p, g, &vm);
	if (!err)
		err = vm_list_add(&p->vms, &vm);
	if (!err)
		err = emit_vm(r, p, &p->vms.vm[p->vms.n - 1]);
	*vms = &p->vms;
	return err ? err : vm.gone;
}

void resolve_drop(struct resolve *r, int pid)
{
	struct rproc *p = resolve_proc(r, pid);

	if (!p)
		return;
	resolve_snaps_drop(r, pid);
	resolve_protos_drop(r, pid);
	told_forget(&r->inlined, (ev_u32)pid);
	free_proc(r, p);
}

/* The code addresses a sample shows: C functions on the stack, and where the CPU is. */
static int resolve_syms(struct resolve *r, const struct ev_sample *s)
{
	struct rproc *p = resolve_proc(r, (int)s->h.pid);
	unsigned int i;
	int err = 0;

	if (!p)
		return 0;
	for (i = 0; i < s->nframes && !err; i++)
		if (s->f[i].kind == EV_FRAME_C)
			err = resolve_sym(r, p, s->f[i].addr, s->h.time);
	if (!err && s->ip && !(s->flags & (EV_SF_KERNEL | EV_SF_MCODE)))
		err = resolve_sym(r, p, s->ip, s->h.time);
	return err;
}

/* The C functions that a trace event names. */
static int resolve_trace_syms(struct resolve *r, const struct ev_trace *t)
{
	const struct ev_frame *at[] = {&t->end, &t->about};
	struct rproc *p = resolve_proc(r, (int)t->h.pid);
	unsigned int i;
	int err = 0;

	for (i = 0; p && i < sizeof(at) / sizeof(at[0]) && !err; i++)
		if (at[i]->kind == EV_FRAME_C)
			err = resolve_sym(r, p, at[i]->addr, t->h.time);
	for (i = 0; p && i < t->nframes && !err; i++)
		if (t->f[i].kind == EV_FRAME_C)
			err = resolve_sym(r, p, t->f[i].addr, t->h.time);
	return err;
}

int resolve_record(struct resolve *r, const struct ev_hdr *h)
{
	const struct ev_sample *s = (const struct ev_sample *)(const void *)h;
	int err;

	switch (h->kind) {
	case EV_PROTO_RAW:
		return resolve_proto_raw(r, (const struct ev_proto_raw *)(const void *)h);
	case EV_VM_HINT:
		return 0;
	case EV_SAMPLE:
		err = resolve_syms(r, s);
		if (!err)
			err = resolve_names(r, h, s->f, s->nframes);
		if (!err)
			err = resolve_code(r, h);
		if (!err)
			err = resolve_snaps(r, s);
		if (!err)
			err = resolve_native(r, s);
		return err ? err : r->sink(r->ctx, h);
	case EV_NATIVE:
		return resolve_native_keep(r, (const struct ev_native *)(const void *)h);
	case EV_TRACE:
		err = resolve_trace_syms(r, (const struct ev_trace *)(const void *)h);
		if (!err)
			err = resolve_names(r, h, ((const struct ev_trace *)(const void *)h)->f,
					    ((const struct ev_trace *)(const void *)h)->nframes);
		if (!err)
			err = resolve_code(r, h);
		return err ? err : r->sink(r->ctx, h);
	default:
		return r->sink(r->ctx, h);
	}
}
