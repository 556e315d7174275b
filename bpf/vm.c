// SPDX-License-Identifier: MIT
#include "bpf/vm.h"

#include "bpf/clock.h"
#include "bpf/mem.h"
#include "bpf/memscan.h"
#include "bpf/vm_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* For a whole search: to verify a VM takes 0.1 ms, and memory may be full of what is none. */
#define VERIFY_NS 1500000000ull
/* So many in each step of the search all the same: what fills one place must not hide another. */
#define VERIFY_SURE 2

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

int vm_find_row(int pid, const struct proc_maps *maps, uint64_t g, struct vm *out,
		struct vm_evidence *ev)
{
	const struct module *mod;
	const struct guesses *gs;
	size_t i, k;
	int tries, err;

	/* The target runs: a check may meet it in the middle of a change. */
	for (tries = 0; tries < 3; tries++) {
		if (ev)
			memset(ev, 0, sizeof(*ev));
		for (i = 0; i < maps->nvm; i++) {
			mod = maps->vm[i];
			err = module_guesses(mod, &gs);
			if (err)
				return err;
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

/* What is looked at first: offsets in GG_State. */
struct shape {
	unsigned int g, mainthref, dispatch;
	int any; /* its file fits no layout: only g counts, for the evidence */
};

#define CODES_MAX 64u

/* What a pass over the memory looks for. */
struct search {
	int pid;
	/* VMs */
	const struct proc_maps *maps;
	struct vm_list *out;
	struct vm_evidence *ev;
	struct shape shape[2][GUESSES_MAX]; /* by gc64, each once */
	size_t nshapes[2];
	struct {
		uint64_t start, len;
	} code[CODES_MAX]; /* interpreters */
	size_t ncodes;
	uint64_t spent; /* ns of our CPU time, to verify */
	int sure;	/* that are verified in this step, whatever was spent */
	/* The memory at hand */
	uint64_t addr;
	const uint64_t *word;
	size_t nwords;
};

static void add_shape(struct search *s, const struct layout *l, int any)
{
	const struct shape x = {l->GG_g, l->GG_g + l->G_mainthref, l->GG_dispatch, any};
	int w = l->gc64 != 0;
	size_t j;

	for (j = 0; j < s->nshapes[w] && memcmp(&s->shape[w][j], &x, sizeof(x)) != 0; j++)
		;
	if (j == s->nshapes[w] && j < GUESSES_MAX)
		s->shape[w][s->nshapes[w]++] = x;
}

static void find_codes(struct search *s)
{
	const struct proc_map *m;
	uint64_t start;
	size_t i, j;

	for (i = 0; i < s->maps->n; i++) {
		m = &s->maps->map[i];
		if (!m->module || !m->module->has_vm)
			continue;
		start = m->module->vm.asm_start + m->bias;
		for (j = 0; j < s->ncodes && s->code[j].start != start; j++)
			;
		if (j < s->ncodes || j == CODES_MAX)
			continue;
		s->code[j].start = start;
		s->code[j].len = m->module->vm.asm_end - m->module->vm.asm_start;
		s->ncodes++;
	}
}

/* Where what is looked at first may lie. 0 or -ENOMEM. */
static int find_shapes(struct search *s)
{
	const struct layout_row *rows;
	const struct guesses *gs;
	const struct module *mod;
	size_t n, i, k;
	int err;

	find_codes(s);
	for (i = 0; i < s->maps->nvm; i++) {
		mod = s->maps->vm[i];
		err = module_guesses(mod, &gs);
		if (err)
			return err;
		for (k = 0; k < gs->n; k++)
			add_shape(s, &gs->g[k].row.l, 0);
		/* For the evidence: what would be a VM if a layout fitted. */
		rows = layout_rows(&n);
		for (k = 0; k < n && !gs->n; k++)
			if (rows[k].l.gc64 == mod->vm.gc64)
				add_shape(s, &rows[k].l, 1);
	}
	return 0;
}

static uint64_t peek(const struct search *s, uint64_t a)
{
	uint64_t off = a - s->addr;

	return off / 8 + 1 < s->nwords ? mem_get64(s->word, off) : mem_u64(s->pid, a);
}

/*
 * A lua_State and a dispatch table do not lie so by chance; nor does what points back. Either is
 * enough: what contradicts the other is evidence.
 */
static int is_worth(const struct search *s, int gc64, const struct shape *x, uint64_t a)
{
	uint64_t back = peek(s, a + x->mainthref), entry;
	size_t i;

	if (x->any || (gc64 ? back : (uint32_t)back) == a)
		return 1;
	entry = peek(s, a + x->dispatch);
	for (i = 0; i < s->ncodes; i++)
		if (entry - s->code[i].start < s->code[i].len)
			return 1;
	return 0;
}

/* lua_State.glref points a known distance ahead, from something that is a thread. */
static int is_self(const struct search *s, int gc64, uint64_t a, const uint64_t *word, uint64_t *g)
{
	uint64_t ref = gc64 ? word[2] : (uint32_t)word[1];
	unsigned int gct = (gc64 ? word[1] >> 8 : word[0] >> 40) & 0xff;
	size_t j;

	if (ref - a >= 256 || gct != GCT_THREAD)
		return 0;
	for (j = 0; j < s->nshapes[gc64]; j++) {
		if (s->shape[gc64][j].g == ref - a && is_worth(s, gc64, &s->shape[gc64][j], a)) {
			*g = ref;
			return 1;
		}
	}
	return 0;
}

static int found_self(struct search *s, uint64_t g)
{
	struct vm_evidence ev;
	uint64_t start;
	struct vm vm;
	int err;

	if (s->out->n >= VM_MAX || (s->spent >= VERIFY_NS && s->sure-- <= 0)) {
		s->out->dropped++;
		return 0;
	}
	start = clock_cpu();
	err = vm_find_row(s->pid, s->maps, g, &vm, &ev);
	s->spent += clock_cpu() - start;
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

	s->addr = addr;
	s->word = word;
	s->nwords = n;
	for (i = 0; i < own && i + 3 <= n && !err; i++) {
		/* lj_alloc.c aligns to 8 bytes; where the first object lies depends on its size. */
		if (s->nshapes[1] && is_self(s, 1, addr + 8 * i, word + i, &g))
			err = found_self(s, g);
		else if (s->nshapes[0] && is_self(s, 0, addr + 8 * i, word + i, &g))
			err = found_self(s, g);
	}
	return err;
}

struct vm_search {
	struct search s;
	struct memscan *mem;
};

struct vm_search *vm_search_new(int pid, const struct proc_maps *maps)
{
	struct vm_search *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->s.pid = pid;
	v->s.maps = maps;
	if (!find_shapes(&v->s))
		v->mem = memscan_new(pid, maps);
	if (v->mem)
		return v;
	free(v);
	return NULL;
}

void vm_search_free(struct vm_search *v)
{
	if (v)
		memscan_free(v->mem);
	free(v);
}

int vm_search_step(struct vm_search *v, const struct proc_maps *maps, struct vm_list *out,
		   struct vm_evidence *ev)
{
	int err;

	v->s.maps = maps;
	v->s.out = out;
	v->s.ev = ev;
	v->s.sure = VERIFY_SURE;
	err = memscan_step(v->mem, match_vm, &v->s);
	out->bytes = memscan_bytes(v->mem);
	return err;
}

int vm_scan(int pid, const struct proc_maps *maps, struct vm_list *out, struct vm_evidence *ev)
{
	struct vm_search *v = vm_search_new(pid, maps);
	int err = v ? 0 : -ENOMEM;

	vm_list_release(out);
	while (!err)
		err = vm_search_step(v, maps, out, ev);
	vm_search_free(v);
	return err == 1 ? 0 : err;
}

/* The search for coroutines. */
struct threads {
	int pid;
	const struct vm_list *vms;
	uint32_t *by_g;			     /* indices of the VMs, by address */
	const struct layout *l[GUESSES_MAX]; /* of the VMs, each once */
	size_t nl;
	struct vm_thread *thread;
	size_t n, max;
};

static int by_address(const void *a, const void *b, void *ctx)
{
	const struct vm_list *vms = ctx;
	uint64_t x = vms->vm[*(const uint32_t *)a].g, y = vms->vm[*(const uint32_t *)b].g;

	return x < y ? -1 : x > y;
}

/* The index of the VM at g; vms->n: there is none. */
static size_t vm_at(const struct threads *t, uint64_t g)
{
	size_t lo = 0, hi = t->vms->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (t->vms->vm[t->by_g[mid]].g < g)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->vms->n && t->vms->vm[t->by_g[lo]].g == g ? t->by_g[lo] : t->vms->n;
}

/* A lua_State: of one of the VMs, and its stack's lowest slot holds it (lj_state.c:stack_init). */
static void look_at(struct threads *t, const struct layout *l, uint64_t L, const unsigned char *p)
{
	uint64_t stack;
	size_t i;

	if (p[layout_gct(l)] != GCT_THREAD || t->n >= t->max)
		return;
	i = vm_at(t, vm_get_ref(l, p, l->L_glref));
	stack = vm_get_ref(l, p, l->L_stack);
	if (i < t->vms->n && &t->vms->vm[i].row->l == l && vm_is_pointer(l, stack) &&
	    mem_u64(t->pid, stack) == vm_tvalue(l, GCT_THREAD, L))
		t->thread[t->n++] = (struct vm_thread){L, i};
}

static int match_thread(void *ctx, uint64_t addr, const uint64_t *word, size_t own, size_t n)
{
	struct threads *t = ctx;
	size_t i, k;

	for (i = 0; i < own && i + 8 <= n; i++)
		for (k = 0; k < t->nl; k++)
			look_at(t, t->l[k], addr + 8 * i, (const unsigned char *)(word + i));
	return 0;
}

static int by_vm(const void *a, const void *b)
{
	const struct vm_thread *x = a, *y = b;

	if (x->vm != y->vm)
		return x->vm < y->vm ? -1 : 1;
	return x->L < y->L ? -1 : x->L > y->L;
}

static void list_vms(struct threads *t)
{
	size_t i, k;

	for (i = 0; i < t->vms->n; i++) {
		t->by_g[i] = (uint32_t)i;
		for (k = 0; k < t->nl && t->l[k] != &t->vms->vm[i].row->l; k++)
			;
		if (k == t->nl && k < GUESSES_MAX)
			t->l[t->nl++] = &t->vms->vm[i].row->l;
	}
	qsort_r(t->by_g, t->vms->n, sizeof(*t->by_g), by_address, (void *)(uintptr_t)t->vms);
}

struct vm_thread *vm_threads(int pid, const struct proc_maps *maps, const struct vm_list *vms,
			     size_t max, size_t *n)
{
	struct threads t = {.pid = pid, .vms = vms, .max = max};
	uint64_t bytes = 0;

	*n = 0;
	t.thread = malloc(max * sizeof(*t.thread));
	t.by_g = calloc(vms->n + 1, sizeof(*t.by_g));
	if (t.thread && t.by_g) {
		list_vms(&t);
		if (!memscan(pid, maps, match_thread, &t, &bytes))
			*n = t.n;
		qsort(t.thread, *n, sizeof(*t.thread), by_vm);
	}
	free(t.by_g);
	return t.thread;
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
