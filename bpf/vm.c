// SPDX-License-Identifier: MIT
#include "bpf/vm.h"

#include "bpf/mem.h"
#include "bpf/memscan.h"
#include "bpf/vm_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The module into whose interpreter the dispatch table at addr leads. */
static const struct proc_map *code_of(int pid, const struct proc_maps *maps, uint64_t dispatch)
{
	uint64_t entry = mem_u64(pid, dispatch);
	const struct proc_map *m = proc_maps_at(maps, entry);

	if (!m || !m->module || !m->module->has_vm || entry - m->bias < m->module->vm.asm_start ||
	    entry - m->bias >= m->module->vm.asm_end)
		return NULL;
	return m;
}

static int try_guess(int pid, const struct proc_maps *maps, const struct module *mod,
		     const struct guess *guess, uint64_t g, struct vm *out, struct vm_evidence *ev)
{
	const struct layout *l = &guess->row.l;
	uint64_t gg = g - l->GG_g;
	const struct proc_map *m;

	if (vm_ref(pid, l, gg + l->L_glref) != g)
		return 0;
	m = code_of(pid, maps, gg + l->GG_dispatch);
	if (vm_ref(pid, l, g + l->G_mainthref) != gg) {
		if (!m) /* a thread and a dispatch table do not lie so by chance */
			return 0;
		vm_contradict(ev, "mainthref at %u does not point back at the main thread",
			      l->G_mainthref);
		return 0;
	}
	if (!m) {
		vm_contradict(ev, "no interpreter behind the dispatch table");
		return 0;
	}
	if (m->module != mod || !vm_check(pid, l, g, mod->vm.asm_start + m->bias,
					  mod->vm.asm_end - mod->vm.asm_start, ev))
		return 0;
	out->g = g;
	out->row = &guess->row;
	out->module = mod;
	out->bias = m->bias;
	out->number = 0;
	out->gone = 0;
	return 1;
}

/* The i-th of the modules that hold a VM, each once; NULL: there are no more. */
static const struct module *vm_module(const struct proc_maps *maps, size_t i)
{
	const struct module *m;
	size_t k, j;

	for (k = 0; k < maps->n; k++) {
		m = maps->map[k].module;
		if (!m || !m->has_vm)
			continue;
		for (j = 0; j < k && maps->map[j].module != m; j++)
			;
		if (j == k && i-- == 0)
			return m;
	}
	return NULL;
}

int vm_find_row(int pid, const struct proc_maps *maps, uint64_t g, struct vm *out,
		struct vm_evidence *ev)
{
	const struct module *mod;
	const struct guesses *gs;
	size_t i, k;
	int tries;

	/* The target runs: a check may meet it in the middle of a change. */
	for (tries = 0; tries < 3; tries++) {
		if (ev)
			memset(ev, 0, sizeof(*ev));
		for (i = 0; (mod = vm_module(maps, i)); i++) {
			gs = module_guesses(mod);
			for (k = 0; k < gs->n; k++)
				if (try_guess(pid, maps, mod, &gs->g[k], g, out, ev))
					return 0;
			if (!gs->n)
				vm_contradict(ev, "no layout fits the machine code of '%s'; %s",
					      mod->base, gs->text);
		}
	}
	return -ENOENT;
}

int vm_list_add(struct vm_list *list, const struct vm *vm)
{
	struct vm *bigger;

	if (list->n >= VM_MAX) {
		list->dropped++;
		return 0;
	}
	if ((list->n & (list->n - 1)) == 0) {
		bigger = realloc(list->vm, (list->n ? 2 * list->n : 1) * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		list->vm = bigger;
	}
	list->vm[list->n++] = *vm;
	return 0;
}

/* What a pass over the memory looks for. */
struct search {
	int pid;
	/* VMs */
	const struct proc_maps *maps;
	struct vm_list *out;
	struct vm_evidence *ev;
	unsigned int dist[2][GUESSES_MAX]; /* of global_State in GG_State; by gc64 */
	size_t ndist[2];
	/* coroutines */
	const struct vm *vm;
	uint64_t *thread;
	size_t nthreads, max;
};

static void add_distance(struct search *s, const struct layout *l)
{
	int w = l->gc64 != 0;
	size_t j;

	for (j = 0; j < s->ndist[w] && s->dist[w][j] != l->GG_g; j++)
		;
	if (j == s->ndist[w] && j < GUESSES_MAX)
		s->dist[w][s->ndist[w]++] = l->GG_g;
}

/* How far global_State may lie from the start: few distances. */
static void find_distances(struct search *s)
{
	const struct layout_row *rows;
	const struct guesses *gs;
	const struct module *mod;
	size_t n, i, k;

	for (i = 0; (mod = vm_module(s->maps, i)); i++) {
		gs = module_guesses(mod);
		for (k = 0; k < gs->n; k++)
			add_distance(s, &gs->g[k].row.l);
		/* For the evidence: what would be a VM if a layout fitted. */
		rows = layout_rows(&n);
		for (k = 0; k < n && !gs->n; k++)
			if (rows[k].l.gc64 == mod->vm.gc64)
				add_distance(s, &rows[k].l);
	}
}

/* lua_State.glref points a known distance ahead, from something that is a thread. */
static int is_self(const struct search *s, int gc64, uint64_t a, const uint64_t *word, uint64_t *g)
{
	uint64_t ref = gc64 ? word[2] : (uint32_t)word[1];
	unsigned int gct = (gc64 ? word[1] >> 8 : word[0] >> 40) & 0xff;
	size_t j;

	if (ref - a >= 256 || gct != GCT_THREAD)
		return 0;
	for (j = 0; j < s->ndist[gc64]; j++) {
		if (s->dist[gc64][j] == ref - a) {
			*g = ref;
			return 1;
		}
	}
	return 0;
}

static int found_self(struct search *s, uint64_t g)
{
	struct vm_evidence ev;
	struct vm vm;
	int err = vm_find_row(s->pid, s->maps, g, &vm, &ev);

	if (!err)
		return vm_list_add(s->out, &vm);
	if (err == -ENOENT && ev.failed) {
		s->out->refused++;
		if (s->ev)
			*s->ev = ev;
	}
	return err == -ENOENT ? 0 : err;
}

static int match_vm(void *ctx, uint64_t addr, const uint64_t *word, size_t own, size_t n)
{
	struct search *s = ctx;
	uint64_t g;
	size_t i;
	int err = 0;

	for (i = 0; i < own && i + 3 <= n && !err; i++) {
		/* With 32-bit references objects are aligned to 8 bytes only. */
		if (s->ndist[1] && !(i & 1) && is_self(s, 1, addr + 8 * i, word + i, &g))
			err = found_self(s, g);
		else if (s->ndist[0] && is_self(s, 0, addr + 8 * i, word + i, &g))
			err = found_self(s, g);
	}
	return err;
}

int vm_scan(int pid, const struct proc_maps *maps, struct vm_list *out, struct vm_evidence *ev)
{
	struct search s = {.pid = pid, .maps = maps, .out = out, .ev = ev};

	vm_list_release(out);
	find_distances(&s);
	return memscan(pid, maps, match_vm, &s, &out->bytes);
}

/* A lua_State: of this VM, and its stack's lowest slot holds it (lj_state.c:stack_init). */
static int match_thread(void *ctx, uint64_t addr, const uint64_t *word, size_t own, size_t n)
{
	struct search *s = ctx;
	const struct layout *l = &s->vm->row->l;
	uint64_t L, stack;
	size_t i;

	for (i = 0; i < own && i + 8 <= n && s->nthreads < s->max; i++) {
		const unsigned char *p = (const unsigned char *)(word + i);

		if (vm_get_ref(l, p, l->L_glref) != s->vm->g || p[layout_gct(l)] != GCT_THREAD)
			continue;
		L = addr + 8 * i;
		stack = vm_get_ref(l, p, l->L_stack);
		if (vm_is_pointer(l, stack) &&
		    mem_u64(s->pid, stack) == vm_tvalue(l, GCT_THREAD, L))
			s->thread[s->nthreads++] = L;
	}
	return 0;
}

uint64_t *vm_threads(int pid, const struct proc_maps *maps, const struct vm *vm, size_t max,
		     size_t *n)
{
	struct search s = {.pid = pid, .vm = vm, .max = max};
	uint64_t bytes = 0;

	s.thread = malloc(max * sizeof(*s.thread));
	*n = 0;
	if (s.thread && !memscan(pid, maps, match_thread, &s, &bytes))
		*n = s.nthreads;
	return s.thread;
}

void vm_list_release(struct vm_list *list)
{
	free(list->vm);
	memset(list, 0, sizeof(*list));
}

/* JIT_F_ON is the lowest flag in all 2.1 builds (lj_jit.h). */
int vm_jit_on(int pid, const struct vm *vm)
{
	const struct layout *l = &vm->row->l;
	uint32_t flags;

	if (mem_read(pid, vm_main(vm) + l->GG_J + l->J_flags, &flags, 4))
		return -1;
	return flags & 1;
}
