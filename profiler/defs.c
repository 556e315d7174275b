/* SPDX-License-Identifier: MIT */
/* The definitions of the stream: processes, builds, VMs, functions, names, code addresses. */
#include "profiler/fold.h"
#include "profiler/label.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the map of names: defined to be no name. */
#define NO_NAME UINT32_MAX
/* In the map of processes: all that a full profile does not know. */
#define CROWD UINT64_MAX

const char *defs_string(const struct ev_hdr *h, size_t fixed, unsigned int idx)
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

/* key: a pid, or CROWD. */
static struct proc *known_proc(const struct prof *p, uint64_t key)
{
	uint32_t at = map_get(&p->procs_at, key);

	return at ? &p->procs[at - 1] : NULL;
}

static struct proc *new_proc(struct prof *p, uint64_t key, uint32_t pid, const char *comm)
{
	struct proc *procs =
	    table_room(p->procs, &p->procs_cap, (size_t)p->nprocs + 1, sizeof(*procs));

	if (!procs)
		return NULL;
	p->procs = procs;
	if (map_set(&p->procs_at, key, p->nprocs + 1))
		return NULL;
	procs[p->nprocs] = (struct proc){.pub = {.pid = pid, .comm = comm}, .frame = NO_FRAME};
	return &procs[p->nprocs++];
}

struct proc *defs_proc(struct prof *p, uint32_t pid)
{
	struct proc *proc = known_proc(p, pid);

	if (!proc && !p->full)
		return new_proc(p, pid, pid, "");
	if (!proc)
		proc = known_proc(p, CROWD);
	return proc ? proc : new_proc(p, CROWD, 0, "[profile full]");
}

static size_t syms_bytes(const struct proc *proc)
{
	return proc->nsyms * sizeof(struct sym) + proc->nranges * sizeof(struct range) +
	       proc->inlines.n * 2 * sizeof(struct map_slot);
}

static void forget_syms(struct prof *p, struct proc *proc)
{
	p->def_bytes -= syms_bytes(proc);
	free(proc->ranges);
	free(proc->syms);
	map_release(&proc->inlines);
	proc->ranges = NULL;
	proc->syms = NULL;
	proc->nranges = proc->ranges_cap = proc->nsyms = proc->syms_cap = 0;
}

/*
 * The process that is forgotten when one more ends, or NULL: it ended so long before that it has no
 * more samples. One whose pid is in use again, or was until later, is not the one.
 */
static struct proc *long_dead(const struct prof *p)
{
	struct proc *proc = known_proc(p, p->dead[p->ndead % DEAD_KEPT]);

	return proc && proc->dead && proc->dead == p->ndead + 1 - DEAD_KEPT ? proc : NULL;
}

static void add_exit(struct prof *p, uint32_t pid)
{
	struct proc *proc = known_proc(p, pid), *old = long_dead(p);

	if (!proc || proc->dead)
		return;
	if (old)
		forget_syms(p, old);
	p->dead[p->ndead % DEAD_KEPT] = pid;
	proc->dead = ++p->ndead;
}

/* A process begins anew: nothing at its addresses is what it was. */
static int new_generation(struct prof *p, uint32_t pid, const char *comm)
{
	struct proc *proc = p->full ? known_proc(p, pid) : defs_proc(p, pid);
	char clean[LABEL_MAX + 1];

	if (!proc)
		return p->full ? 0 : -ENOMEM;
	forget_syms(p, proc);
	proc->generation++;
	proc->dead = 0;
	if (comm) {
		uint32_t id;

		label_clean(clean, sizeof(clean), comm, TEXT_NO_SEMICOLON);
		id = room_text(p, clean);
		if (!id)
			return p->full ? 0 : -ENOMEM;
		proc->pub.comm = pool_get(&p->strs, id);
		proc->frame = NO_FRAME;
	}
	return 0;
}

/* Adds "VERSION (LAYOUT)" to what prof_builds() gives, once. */
static int show_build(struct prof *p, const char *version, const char *layout)
{
	char raw[LABEL_MAX + 1], shown[LABEL_MAX + 1];
	size_t old = p->builds_shown ? strlen(p->builds_shown) : 0;
	uint32_t id;
	char *longer;

	snprintf(raw, sizeof(raw), *layout ? "%s (%s)" : "%s%s", version, layout);
	label_clean(shown, sizeof(shown), raw, 0);
	id = pool_str(&p->strs, shown);
	if (!id)
		return -ENOMEM;
	if (!*shown || map_get(&p->builds_seen, id))
		return 0;
	longer = realloc(p->builds_shown, old + strlen(shown) + 3);
	if (!longer)
		return -ENOMEM;
	p->builds_shown = longer;
	strcpy(longer + old, old ? ", " : "");
	strcat(longer + old, shown);
	return map_set(&p->builds_seen, id, 1);
}

static int add_build(struct prof *p, const struct ev_build *ev)
{
	const char *version = defs_string(&ev->h, sizeof(*ev), 0);
	const char *hash = defs_string(&ev->h, sizeof(*ev), 3);
	size_t vlen = strlen(version) + 1, hlen = strlen(hash);
	char *key = malloc(vlen + hlen);
	uint32_t id;
	int err;

	if (!key)
		return -ENOMEM;
	memcpy(key, version, vlen);
	memcpy(key + vlen, hash, hlen);
	id = pool_add(&p->strs, key, vlen + hlen);
	free(key);
	if (!id)
		return -ENOMEM;
	err = map_set(&p->builds, ev->id, id);
	return err ? err : show_build(p, version, defs_string(&ev->h, sizeof(*ev), 1));
}

struct vm_key {
	uint64_t g;
	uint32_t pid, generation;
};

static int add_vm(struct prof *p, const struct ev_vm *ev)
{
	const struct proc *proc = defs_proc(p, ev->h.pid);
	struct vm_key key;
	uint32_t id;

	if (!proc)
		return -ENOMEM;
	key = (struct vm_key){ev->g, ev->h.pid, proc->generation};
	id = pool_add(&p->vmids, &key, sizeof(key));
	if (!id)
		return -ENOMEM;
	if (ev->number && map_set(&p->vm_numbers, id, ev->number))
		return -ENOMEM;
	return map_set(&p->vms, id, ev->build == UINT32_MAX ? 1 : ev->build + 1);
}

static uint32_t vmid(const struct prof *p, const struct proc *proc, uint64_t g)
{
	struct vm_key key = {g, proc->pub.pid, proc->generation};

	return pool_find(&p->vmids, &key, sizeof(key));
}

uint32_t defs_build(const struct prof *p, const struct proc *proc, uint64_t g)
{
	uint32_t val = map_get(&p->vms, vmid(p, proc, g));

	return val ? val - 1 : 0;
}

uint32_t defs_vm(const struct prof *p, const struct proc *proc, uint64_t g)
{
	return map_get(&p->vm_numbers, vmid(p, proc, g));
}

static int add_func(struct prof *p, const struct ev_func *ev)
{
	const struct proc *proc = defs_proc(p, ev->h.pid);
	uint32_t build, frame;
	int err;

	if (!proc)
		return -ENOMEM;
	if (ev->id == EV_NO_PROTO)
		return 0;
	build = map_get(&p->builds, defs_build(p, proc, ev->g));
	err = frames_lua(p, ev, build, &frame);
	return err ? err : recent_set(&p->funcs, ev->id, frame + 1);
}

static int add_name(struct prof *p, const struct ev_name *ev)
{
	const char *name = defs_string(&ev->h, sizeof(*ev), 0);
	uint32_t id = NO_NAME;

	if (ev->what && *name) {
		id = pool_str(&p->strs, name);
		if (!id)
			return -ENOMEM;
	}
	return recent_set(&p->names, EV_FRAME_ADDR(ev->proto, ev->pc), id);
}

uint32_t defs_name(struct prof *p, uint64_t addr)
{
	uint32_t id = recent_get(&p->names, addr);

	return id == NO_NAME ? 0 : id;
}

static int add_ff(struct prof *p, const struct ev_ff *ev)
{
	uint32_t frame;

	return frames_ff(p, ev->build, ev->ffid, defs_string(&ev->h, sizeof(*ev), 0), &frame);
}

/* First of the ranges that ends after addr. */
static uint32_t range_after(const struct proc *proc, uint64_t addr)
{
	uint32_t lo = 0, hi = proc->nranges;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (proc->ranges[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Gives [start, end) to sym and leaves to others what of theirs lies outside. */
static int claim_range(struct proc *proc, uint64_t start, uint64_t end, uint32_t sym)
{
	uint32_t first = range_after(proc, start), last = first, n = 0;
	struct range put[3], *ranges;

	while (last < proc->nranges && proc->ranges[last].start < end)
		last++;
	if (first < last && proc->ranges[first].start < start) {
		put[n] = proc->ranges[first];
		put[n++].end = start;
	}
	put[n++] = (struct range){start, end, sym};
	if (first < last && proc->ranges[last - 1].end > end) {
		put[n] = proc->ranges[last - 1];
		put[n++].start = end;
	}
	ranges =
	    table_room(proc->ranges, &proc->ranges_cap, (size_t)proc->nranges + n, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	proc->ranges = ranges;
	memmove(ranges + first + n, ranges + last, (proc->nranges - last) * sizeof(*ranges));
	memcpy(ranges + first, put, n * sizeof(*ranges));
	proc->nranges = proc->nranges - (last - first) + n;
	return 0;
}

static int add_sym(struct prof *p, const struct ev_sym *ev)
{
	struct proc *proc = defs_proc(p, ev->h.pid);
	uint32_t name = pool_str(&p->strs, defs_string(&ev->h, sizeof(*ev), 0));
	uint32_t module = pool_str(&p->strs, defs_string(&ev->h, sizeof(*ev), 1));
	struct sym *syms;
	int err;

	if (!proc || !name || !module)
		return -ENOMEM;
	if (ev->start >= ev->end)
		return 0;
	syms = table_room(proc->syms, &proc->syms_cap, (size_t)proc->nsyms + 1, sizeof(*syms));
	if (!syms)
		return -ENOMEM;
	proc->syms = syms;
	syms[proc->nsyms] = (struct sym){.start = ev->start,
					 .offset = ev->offset,
					 .kind = ev->kind,
					 .flags = ev->flags,
					 .name = name,
					 .module = module,
					 .frame = NO_FRAME};
	p->def_bytes -= syms_bytes(proc);
	err = claim_range(proc, ev->start, ev->end, proc->nsyms++);
	p->def_bytes += syms_bytes(proc);
	return err;
}

struct sym *defs_sym(const struct proc *proc, uint64_t addr)
{
	uint32_t i = range_after(proc, addr);

	if (i == proc->nranges || proc->ranges[i].start > addr)
		return NULL;
	return &proc->syms[proc->ranges[i].sym];
}

static int add_inline(struct prof *p, const struct ev_inline *ev)
{
	struct proc *proc = defs_proc(p, ev->h.pid);
	uint32_t id = pool_str(&p->strs, defs_string(&ev->h, sizeof(*ev), 0));

	int err;

	if (!proc || !id)
		return -ENOMEM;
	p->def_bytes -= syms_bytes(proc);
	err = map_set(&proc->inlines, ev->addr, id);
	p->def_bytes += syms_bytes(proc);
	return err;
}

const char *defs_inlines(const struct prof *p, const struct proc *proc, uint64_t addr)
{
	uint32_t id = map_get(&proc->inlines, addr);

	return id ? pool_get(&p->strs, id) : NULL;
}

int defs_changes(const struct prof *p, const struct ev_hdr *h)
{
	return h->kind == EV_PROC || h->kind == EV_EXEC || h->kind == EV_BUILD ||
	       h->kind == EV_VM || h->kind == EV_FUNC || h->kind == EV_NAME || h->kind == EV_FF ||
	       h->kind == EV_SYM || h->kind == EV_INLINE || (h->kind == EV_EXIT && long_dead(p));
}

int defs_add(struct prof *p, const struct ev_hdr *h)
{
	switch (h->kind) {
	case EV_PROC:
		return new_generation(p, h->pid, defs_string(h, sizeof(struct ev_proc), 0));
	case EV_EXEC:
		return new_generation(p, h->pid, NULL);
	case EV_EXIT:
		add_exit(p, h->pid);
		return 0;
	case EV_BUILD:
		return add_build(p, (const struct ev_build *)h);
	case EV_VM:
		return add_vm(p, (const struct ev_vm *)h);
	case EV_FUNC:
		return add_func(p, (const struct ev_func *)h);
	case EV_NAME:
		return add_name(p, (const struct ev_name *)h);
	case EV_FF:
		return add_ff(p, (const struct ev_ff *)h);
	case EV_INLINE:
		return add_inline(p, (const struct ev_inline *)h);
	case EV_SYM:
		return add_sym(p, (const struct ev_sym *)h);
	default:
		return 0;
	}
}

void defs_release(struct prof *p)
{
	for (uint32_t i = 0; i < p->nprocs; i++) {
		free(p->procs[i].ranges);
		free(p->procs[i].syms);
		map_release(&p->procs[i].inlines);
	}
	free(p->procs);
	free(p->builds_shown);
	pool_release(&p->vmids);
	map_release(&p->procs_at);
	recent_release(&p->funcs);
	recent_release(&p->names);
	map_release(&p->ffs);
	map_release(&p->builds);
	map_release(&p->vms);
	map_release(&p->vm_numbers);
	map_release(&p->builds_seen);
}
