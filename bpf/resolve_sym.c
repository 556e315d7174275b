// SPDX-License-Identifier: MIT
/* Names of code addresses: symbols, the VM's bytecode handlers, or module and function bounds. */
#include "bpf/demangle.h"
#include "bpf/mem.h"
#include "bpf/resolve_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDLERS_MAX 512
#define OFS_KEY 8 /* opcodes */
#define RANGES_MAX 65536
/* Mappings are read again for an unknown address, but not more often than this. */
#define MAPS_AGE_NS 200000000u
/* For symbols of one file. */
#define ASK_MS 100

struct handler {
	uint64_t addr;
	uint32_t op;
};

static int range_find(const struct rproc *p, uint64_t addr, size_t *at)
{
	size_t lo = 0, hi = p->nranges, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (addr < p->range[mid].start)
			hi = mid;
		else if (addr >= p->range[mid].end)
			lo = mid + 1;
		else
			return 1;
	}
	*at = lo;
	return 0;
}

/* Remembers a range, cut to the gap around addr so that ranges never overlap. */
static int range_add(struct rproc *p, size_t at, uint64_t *start, uint64_t *end)
{
	struct rrange *bigger;

	if (p->nranges >= RANGES_MAX)
		p->nranges = at = 0;
	if (at > 0 && *start < p->range[at - 1].end)
		*start = p->range[at - 1].end;
	if (at<p->nranges && * end> p->range[at].start)
		*end = p->range[at].start;
	if ((p->nranges & (p->nranges - 1)) == 0) {
		bigger = realloc(p->range, (p->nranges ? 2 * p->nranges : 1) * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		p->range = bigger;
	}
	memmove(&p->range[at + 1], &p->range[at], (p->nranges - at) * sizeof(*p->range));
	p->range[at].start = *start;
	p->range[at].end = *end;
	p->nranges++;
	return 0;
}

static int by_addr(const void *a, const void *b)
{
	const struct handler *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return (x->op > y->op) - (x->op < y->op);
}

/* lj_bc_ofs[] of the VM's assembly: where each handler begins, from the interpreter's start. */
struct ofs {
	uint16_t first[OFS_KEY]; /* what it begins with */
	uint16_t ofs[HANDLERS_MAX];
	size_t n;
	int found;
};

static int find_ofs(void *ctx, uint64_t vaddr, const void *p, size_t len)
{
	struct ofs *o = ctx;
	const unsigned char *at = p, *end = at + len;

	(void)vaddr;
	while ((at = memmem(at, (size_t)(end - at), o->first, sizeof(o->first)))) {
		if ((size_t)(end - at) >= o->n * sizeof(o->ofs[0])) {
			memcpy(o->ofs, at, o->n * sizeof(o->ofs[0]));
			o->found = 1;
			return 1;
		}
		at++;
	}
	return 0;
}

/*
 * The handlers' addresses, sorted. The live dispatch table has most, but not all that is in it is a
 * handler of that opcode: it changes while the VM records, hooks, or has the JIT compiler off
 * (lj_dispatch.c:lj_dispatch_update). The handlers of comparisons at the start of its static part
 * (GG_LEN_SDISP) never do: they tell where in the file's data lj_bc_ofs[] is, which has all.
 */
static size_t handlers(int pid, const struct vm *vm, struct handler *h)
{
	const struct layout *l = &vm->row->l;
	const struct bc_gen *gen = bc_gen_by_count(l->bc_max);
	uint64_t start = vm->module->vm.asm_start + vm->bias, table[OFS_KEY];
	size_t len = (l->GG_bcff - l->GG_dispatch) / 8u, funcf, i;
	struct ofs o = {.n = l->bc_max};

	funcf = gen ? gen->of[BC_ID_FUNCF] : 0;
	if (funcf < OFS_KEY || len < funcf || l->bc_max > HANDLERS_MAX ||
	    mem_read(pid, vm_main(vm) + l->GG_dispatch + 8 * (len - funcf), table, sizeof(table)))
		return 0;
	for (i = 0; i < OFS_KEY; i++)
		o.first[i] = (uint16_t)(table[i] - start);
	elfobj_rodata(vm->module->elf, find_ofs, &o);
	if (!o.found)
		return 0;
	for (i = 0; i < l->bc_max; i++) {
		h[i].addr = start + o.ofs[i];
		h[i].op = (uint32_t)i;
	}
	qsort(h, l->bc_max, sizeof(*h), by_addr);
	return l->bc_max;
}

/*
 * Where the last handler, FUNCCW, ends and the VM's subroutines begin: like FUNCC before it, it
 * ends in a jump to vm_returnc (vm_x64.dasc BC_FUNCCW). 0: that is not how this build looks.
 */
static uint64_t last_end(int pid, uint64_t funccw)
{
	unsigned char b[5 + 256];
	int64_t returnc;
	int32_t rel;
	size_t i;

	if (mem_read(pid, funccw - 5, b, sizeof(b)) || b[0] != 0xe9)
		return 0;
	memcpy(&rel, b + 1, 4);
	returnc = 5 + (int64_t)rel; /* positions count from b */
	for (i = 5; i + 5 <= sizeof(b); i++) {
		memcpy(&rel, b + i + 1, 4);
		if (b[i] == 0xeb && (int64_t)i + 2 + (signed char)b[i + 1] == returnc)
			return funccw - 5 + i + 2;
		if (b[i] == 0xe9 && (int64_t)i + 5 + rel == returnc)
			return funccw - 5 + i + 5;
	}
	return 0;
}

struct symbol {
	uint64_t start, end, offset; /* start and end: run-time */
	enum ev_sym_kind kind;
	uint32_t flags;
	char name[256];
};

/* An address in the interpreter: its bytecode's handler; lj_vm before the first and after the last.
 */
static void vm_symbol(const struct rproc *p, const struct proc_map *m, uint64_t addr,
		      struct symbol *s)
{
	struct handler h[HANDLERS_MAX];
	const struct bc_gen *gen;
	const struct vm *vm = NULL;
	size_t i, n, lo;

	s->kind = EV_SYM_VM;
	s->start = m->module->vm.asm_start + m->bias;
	s->end = m->module->vm.asm_end + m->bias;
	snprintf(s->name, sizeof(s->name), "lj_vm");
	for (i = 0; i < p->vms.n && !vm; i++)
		if (p->vms.vm[i].module == m->module)
			vm = &p->vms.vm[i];
	n = vm ? handlers(p->pid, vm, h) : 0;
	gen = vm ? bc_gen_by_count(vm->row->l.bc_max) : NULL;
	for (lo = 0; lo < n && h[lo].addr <= addr; lo++)
		;
	if (n && !lo)
		s->end = h[0].addr;
	if (!lo || h[lo - 1].addr < s->start)
		return;
	if (lo == n) {
		uint64_t end = last_end(p->pid, h[n - 1].addr);

		if (addr >= end) { /* a subroutine, or no way to tell */
			s->start = end ? end : h[n - 1].addr;
			return;
		}
		s->end = end;
	}
	s->kind = EV_SYM_BC;
	if (lo < n)
		s->end = h[lo].addr;
	s->start = h[--lo].addr;
	while (lo > 0 && h[lo - 1].addr == s->start) /* several opcodes, one handler: the first */
		lo--;
	snprintf(s->name, sizeof(s->name), "lj_BC_%s", bc_name(gen, h[lo].op));
}

/* Symbols that a server has. What was fetched before comes at once; the rest is for later. */
static void ask_for_symbols(struct resolve *r, const struct module *mod)
{
	uint64_t start = resolve_now();

	modules_ask(r->modules, mod, r->ask_ms < ASK_MS ? r->ask_ms : ASK_MS);
	r->ask_ms -= (int)((resolve_now() - start) / 1000000);
	if (r->ask_ms < 0)
		r->ask_ms = 0;
}

static void file_symbol(struct resolve *r, const struct rproc *p, const struct proc_map *m,
			uint64_t addr, struct symbol *s)
{
	const struct module *mod = m->module;
	uint64_t v = addr - m->bias, start, end;
	const char *name;
	int in_asm = mod->has_vm && v >= mod->vm.asm_start && v < mod->vm.asm_end;
	int known = !elfobj_symbol(mod->elf, v, &name, &start, &end);

	if (!known && !in_asm && !elfobj_plt_name(mod->elf, v) && !elfobj_source(mod->elf)) {
		ask_for_symbols(r, mod);
		known = !elfobj_symbol(mod->elf, v, &name, &start, &end);
	}
	if (mod->has_vm)
		s->flags = EV_SYM_LUAJIT;
	if (known) {
		s->kind = EV_SYM_FUNC;
		if (in_asm)
			s->kind = strncmp(name, "lj_BC_", 6) ? EV_SYM_VM : EV_SYM_BC;
		demangle(name, s->name, sizeof(s->name));
	} else if (in_asm) {
		vm_symbol(p, m, addr, s);
		start = s->start - m->bias;
		end = s->end - m->bias;
	} else if ((name = elfobj_plt_name(mod->elf, v))) {
		s->kind = EV_SYM_FUNC;
		start = v & ~15ULL;
		end = start + 16;
		demangle(name, s->name, sizeof(s->name));
	} else {
		s->kind = EV_SYM_MODULE;
		if (elfobj_func_bounds(mod->elf, v, &start, &end)) {
			start = m->start - m->bias;
			end = m->end - m->bias;
		}
	}
	s->start = start + m->bias;
	s->end = end + m->bias;
	s->offset = start;
}

static const struct proc_map *map_at(struct resolve *r, struct rproc *p, uint64_t addr)
{
	const struct proc_map *m = proc_maps_at(&p->maps, addr);

	if (m)
		return m;
	if (resolve_now() - p->maps_time < MAPS_AGE_NS || resolve_read_maps(r, p))
		return NULL;
	return proc_maps_at(&p->maps, addr);
}

int resolve_is_known(const struct rproc *p, uint64_t addr)
{
	size_t at;

	return range_find(p, addr, &at);
}

int resolve_add_range(struct resolve *r, struct rproc *p, struct ev_sym *e, uint64_t addr,
		      const char *const strs[2])
{
	size_t at = 0;
	int err;

	if (range_find(p, addr, &at))
		return 0;
	if (addr < e->start || addr >= e->end) {
		e->start = addr;
		e->end = addr + 1;
	}
	err = range_add(p, at, &e->start, &e->end);
	return err ? err : resolve_emit(r, &e->h, sizeof(*e), strs, 2);
}

/* Tells once of which file the code at m is. */
static int tell_module(struct resolve *r, struct rproc *p, const struct proc_map *m, uint64_t time)
{
	struct ev_module e = {.h = {.kind = EV_MODULE, .time = time, .pid = (ev_u32)p->pid},
			      .start = m->start,
			      .end = m->end,
			      .bias = m->bias};
	const char *strs[2] = {elfobj_build_id(m->module->elf), m->module->path};
	uint64_t *bigger;
	size_t i;

	for (i = 0; i < p->ntold; i++)
		if (p->told[i] == m->start)
			return 0;
	if ((p->ntold & (p->ntold - 1)) == 0) {
		bigger = realloc(p->told, (p->ntold ? 2 * p->ntold : 1) * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		p->told = bigger;
	}
	p->told[p->ntold++] = m->start;
	e.h.tid = e.h.pid;
	return resolve_emit(r, &e.h, sizeof(e), strs, 2);
}

int resolve_sym(struct resolve *r, struct rproc *p, uint64_t addr, uint64_t time)
{
	struct ev_sym e = {.h = {.kind = EV_SYM, .time = time, .pid = (ev_u32)p->pid}};
	const struct proc_map *m;
	struct symbol s = {.start = addr, .end = addr + 1, .kind = EV_SYM_ANON};
	const char *strs[2];
	int err;

	if (resolve_is_known(p, addr))
		return 0;
	m = map_at(r, p, addr);
	if (!m)
		return 0; /* not mapped any more: stays without a name */
	if (m->module && m->module->elf) {
		err = tell_module(r, p, m, time);
		if (err)
			return err;
		file_symbol(r, p, m, addr, &s);
	} else {
		s.start = m->start;
		s.end = m->end;
		snprintf(s.name, sizeof(s.name), "%s%s%s", m->name[0] == '[' ? "" : "[", m->name,
			 m->name[0] == '[' ? "" : "]");
	}
	e.h.tid = e.h.pid;
	e.start = s.start;
	e.end = s.end;
	e.offset = s.offset;
	e.kind = s.kind;
	e.flags = s.flags;
	strs[0] = s.name;
	strs[1] = m->module ? m->module->base : "";
	return resolve_add_range(r, p, &e, addr, strs);
}
