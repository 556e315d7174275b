// SPDX-License-Identifier: MIT
#include "bpf/vm.h"

#include "bpf/event.h"
#include "bpf/mem.h"
#include "bpf/memscan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Larger than any GG_State. */
#define GG_MAX 8192
#define ASM_MAX 65536

/* gct of objects: ~LJ_T* of lj_obj.h. */
enum { GCT_STR = 4, GCT_THREAD = 6, GCT_PROTO = 7, GCT_FUNC = 8, GCT_TAB = 11 };
#define TAG(gct) (0x1ffffu - (gct))

/* What one verification works on: copies of the VM and of the interpreter's code. */
struct check {
	int pid;
	const struct layout *l;
	uint64_t gg;
	unsigned char buf[GG_MAX];
	const unsigned char *code; /* the interpreter, as it is in the target */
	size_t code_len;
	uint64_t code_start;
	struct vm_evidence *ev;
};

__attribute__((format(printf, 3, 4))) static int expect(struct check *c, int ok, const char *fmt,
							...)
{
	size_t n;
	va_list ap;

	if (!c->ev)
		return ok;
	if (ok) {
		c->ev->passed++;
		return 1;
	}
	c->ev->failed++;
	n = strlen(c->ev->text);
	va_start(ap, fmt);
	vsnprintf(c->ev->text + n, sizeof(c->ev->text) - n, fmt, ap);
	va_end(ap);
	n = strlen(c->ev->text);
	if (n + 1 < sizeof(c->ev->text))
		strcpy(c->ev->text + n, "\n");
	return 0;
}

static uint64_t g64(const struct check *c, unsigned int off)
{
	return mem_get64(c->buf, c->l->GG_g + off);
}

static uint64_t j64(const struct check *c, unsigned int off)
{
	return mem_get64(c->buf, c->l->GG_J + off);
}

static int gct_at(const struct check *c, uint64_t addr)
{
	unsigned char gct;

	return addr & 7 || mem_read(c->pid, addr + 9, &gct, 1) ? -1 : gct;
}

static int is_pointer(uint64_t v)
{
	return v >= 4096 && v < 1ULL << 47 && !(v & 7);
}

/* Displacement of an address in GG_State from the dispatch register. */
static int32_t disp(const struct check *c, unsigned int off)
{
	return (int32_t)off - (int32_t)c->l->GG_dispatch;
}

/*
 * Does the interpreter contain the instruction prefix + modrm for [r14 + disp32]? That binds the
 * offset to the code that really uses it (vm_x64.dasc, DISPATCH_GL and DISPATCH_J).
 */
static int code_uses(const struct check *c, const char *prefix, size_t n, unsigned char modrm_mask,
		     unsigned char modrm, int32_t d)
{
	const unsigned char *p = c->code, *end = c->code + c->code_len - (n + 5);

	while (p < end && (p = memchr(p, prefix[0], (size_t)(end - p)))) {
		int32_t found;

		memcpy(&found, p + n + 1, 4);
		if (found == d && !memcmp(p, prefix, n) && (p[n] & modrm_mask) == modrm)
			return 1;
		p++;
	}
	return 0;
}

static int in_code(const struct check *c, uint64_t addr)
{
	return addr >= c->code_start && addr - c->code_start < c->code_len;
}

/* GG_State.dispatch runs exactly from its offset to that of bcff, all of it into the interpreter.
 */
static int check_dispatch(struct check *c)
{
	const struct layout *l = c->l;
	unsigned int off, n = 0;

	for (off = l->GG_dispatch; off + 8 <= l->GG_bcff; off += 8)
		n += in_code(c, mem_get64(c->buf, off));
	return expect(c, n == (l->GG_bcff - l->GG_dispatch) / 8u && n > 2u * l->bc_max - 16,
		      "dispatch table: %u of %u entries lead into the interpreter", n,
		      (l->GG_bcff - l->GG_dispatch) / 8u) &&
	       expect(c,
		      !in_code(c, mem_get64(c->buf, l->GG_dispatch - 8u)) &&
			  !in_code(c, mem_get64(c->buf, l->GG_bcff)),
		      "dispatch table: it is longer than the layout says");
}

static int check_code(struct check *c)
{
	const struct layout *l = c->l;

	return expect(c, code_uses(c, "\x41\xc7", 2, 0xff, 0x86, disp(c, l->GG_g + l->G_vmstate)),
		      "no code stores to vmstate at %u", l->G_vmstate) &&
	       expect(c, code_uses(c, "\x49\x89", 2, 0xff, 0xae, disp(c, l->GG_g + l->G_cur_L)),
		      "no code stores to cur_L at %u", l->G_cur_L) &&
	       expect(
		   c,
		   code_uses(c, "\x49\xc7", 2, 0xff, 0x86, disp(c, l->GG_g + l->G_jit_base)) ||
		       code_uses(c, "\x49\x89", 2, 0xff, 0x96, disp(c, l->GG_g + l->G_jit_base)) ||
		       !j64(c, l->J_trace),
		   "no code stores to jit_base at %u", l->G_jit_base) &&
	       expect(c,
		      code_uses(c, "\x49\x8b", 2, 0xc7, 0x86, disp(c, l->GG_J + l->J_trace)) ||
			  code_uses(c, "\x4d\x8b", 2, 0xc7, 0x86, disp(c, l->GG_J + l->J_trace)) ||
			  !j64(c, l->J_trace),
		      "no code loads J.trace at %u", l->J_trace);
}

/* The main thread: lj_state.c:stack_init puts the thread itself into its lowest slot. */
static int check_thread(struct check *c)
{
	const struct layout *l = c->l;
	uint64_t stack = mem_get64(c->buf, l->L_stack), max = mem_get64(c->buf, l->L_maxstack),
		 base = mem_get64(c->buf, l->L_base), env = mem_get64(c->buf, l->L_env), slot;
	uint32_t size = mem_get32(c->buf, l->L_stacksize);

	slot = is_pointer(stack) ? mem_u64(c->pid, stack) : 0;
	return expect(c, slot == ((uint64_t)TAG(GCT_THREAD) << 47 | c->gg),
		      "stack at %u: its lowest slot is not the main thread", l->L_stack) &&
	       expect(c,
		      max > stack && max - stack < 8ull * size &&
			  8ull * size - (max - stack) <= 128,
		      "maxstack and stacksize do not agree") &&
	       expect(c, base > stack && base <= max + 512 && !(base & 7),
		      "base is not in the stack") &&
	       expect(c, gct_at(c, env) == GCT_TAB, "env at %u is no table", l->L_env);
}

static int check_global(struct check *c)
{
	const struct layout *l = c->l;
	uint64_t cur = g64(c, l->G_cur_L), jit_base = g64(c, l->G_jit_base);
	int32_t vmstate = (int32_t)mem_get32(c->buf, (size_t)l->GG_g + l->G_vmstate);
	uint32_t sizetrace = mem_get32(c->buf, (size_t)l->GG_J + l->J_sizetrace);
	uint64_t jl = j64(c, l->J_L);

	return expect(c, c->buf[9] == GCT_THREAD, "no lua_State at its start") &&
	       expect(c, is_pointer(cur), "cur_L at %u is no pointer", l->G_cur_L) &&
	       expect(c, !jit_base || is_pointer(jit_base), "jit_base at %u is no pointer",
		      l->G_jit_base) &&
	       expect(c, sizetrace <= 65536, "J.sizetrace is %u", sizetrace) &&
	       expect(c, vmstate >= -9 && vmstate <= (int32_t)sizetrace, "vmstate is %d",
		      vmstate) &&
	       expect(c, !jl || is_pointer(jl), "J.L is no pointer") &&
	       expect(c, (g64(c, l->G_registrytv) >> 47) == TAG(GCT_TAB),
		      "registrytv at %u is no table", l->G_registrytv);
}

/* A prototype's header and chunkname. */
static int check_proto(struct check *c, uint64_t pt)
{
	const struct layout *l = c->l;
	unsigned char h[256];
	uint32_t sizept;
	uint64_t k;

	if (l->PT_size > sizeof(h) || mem_read(c->pid, pt, h, l->PT_size))
		return 1; /* gone: says nothing */
	sizept = mem_get32(h, l->PT_sizept);
	k = mem_get64(h, l->PT_k);
	return expect(c, h[9] == GCT_PROTO, "no prototype before the code of a function") &&
	       expect(c, sizept >= l->PT_size && k > pt && k <= pt + sizept,
		      "a prototype's sizes contradict each other") &&
	       expect(c, gct_at(c, mem_get64(h, l->PT_chunkname)) == GCT_STR,
		      "a prototype's chunkname is no string");
}

/* The traces, up to a few: each knows its own number and starts in a prototype. */
static int check_traces(struct check *c)
{
	const struct layout *l = c->l;
	uint32_t n = mem_get32(c->buf, (size_t)l->GG_J + l->J_sizetrace), i, seen = 0;
	uint64_t vec = j64(c, l->J_trace), T, pt;
	unsigned char t[256];

	for (i = 1; i < n && i < 512 && seen < 16; i++) {
		T = mem_u64(c->pid, vec + 8ull * i);
		if (!is_pointer(T) || T == c->gg + l->GG_J + l->J_cur ||
		    mem_read(c->pid, T, t, l->T_size) || mem_u64(c->pid, vec + 8ull * i) != T)
			continue;
		seen++;
		pt = mem_get64(t, l->T_startpt);
		if (!expect(c, (mem_get32(t, l->T_traceno) & 0xffff) == i,
			    "trace %u does not know its number", i) ||
		    !expect(c, t[l->T_linktype] <= 8, "trace %u has link type %u", i,
			    t[l->T_linktype]) ||
		    !expect(c, mem_get64(t, l->T_startpc) - pt < 1u << 28,
			    "trace %u does not start in its prototype", i) ||
		    !check_proto(c, pt))
			return 0;
	}
	return 1;
}

/* The Lua functions on the main thread's stack: their prototypes. */
static int check_functions(struct check *c)
{
	const struct layout *l = c->l;
	uint64_t stack = mem_get64(c->buf, l->L_stack), slot[256], fn, pc;
	long got = mem_read_some(c->pid, stack, slot, sizeof(slot));
	unsigned char f[64];
	long i;

	for (i = 0; i < got / 8; i++) {
		fn = slot[i] & ((1ULL << 47) - 1);
		if (slot[i] >> 47 != TAG(GCT_FUNC) || !is_pointer(fn) ||
		    mem_read(c->pid, fn, f, sizeof(f)) || f[9] != GCT_FUNC || f[l->F_ffid])
			continue;
		pc = mem_get64(f, l->F_pc);
		if (is_pointer(pc & ~7ULL) && !check_proto(c, pc - l->PT_size))
			return 0;
	}
	return 1;
}

static int check_row(struct check *c)
{
	const struct layout *l = c->l;

	/* What bpf/walk.h takes for granted of all 64-bit builds. */
	if (l->F_ffid != 10 || l->F_pc != 32 || l->L_glref != 16 || l->L_base != 32 ||
	    l->L_maxstack != 48 || l->L_stack != 56 || l->L_cframe != 80 ||
	    l->PT_size > EV_PROTO_HEAD)
		return expect(c, 0, "a layout that the sampler is not made for");
	if (l->GG_size > GG_MAX || mem_read(c->pid, c->gg, c->buf, l->GG_size))
		return expect(c, 0, "memory not readable at %#llx", (unsigned long long)c->gg);
	return expect(c,
		      mem_get64(c->buf, l->L_glref) == c->gg + l->GG_g &&
			  g64(c, l->G_mainthref) == c->gg,
		      "main thread and global_State do not point at each other") &&
	       check_global(c) && check_dispatch(c) && check_code(c) && check_thread(c) &&
	       check_functions(c) && check_traces(c);
}

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

static int try_row(struct check *c, const struct layout_row *row, const struct proc_maps *maps,
		   uint64_t g, struct vm *out)
{
	const struct proc_map *m;
	unsigned char *code;
	int ok;

	c->l = &row->l;
	c->gg = g - row->l.GG_g;
	if (mem_u64(c->pid, c->gg + row->l.L_glref) != g ||
	    mem_u64(c->pid, g + row->l.G_mainthref) != c->gg)
		return 0;
	m = code_of(c->pid, maps, c->gg + row->l.GG_dispatch);
	if (!m)
		return expect(c, 0, "no interpreter behind the dispatch table");
	c->code_start = m->module->vm.asm_start + m->bias;
	c->code_len = m->module->vm.asm_end - m->module->vm.asm_start;
	if (c->code_len < 64 || c->code_len > ASM_MAX)
		return expect(c, 0, "an interpreter of %zu bytes", c->code_len);
	code = malloc(c->code_len);
	if (!code)
		return 0;
	c->code = code;
	ok = mem_read(c->pid, c->code_start, code, c->code_len)
		 ? expect(c, 0, "the interpreter's code is not readable")
		 : check_row(c);
	free(code);
	if (ok) {
		out->g = g;
		out->row = row;
		out->module = m->module;
		out->bias = m->bias;
		out->number = 0;
		out->gone = 0;
	}
	return ok;
}

int vm_find_row(int pid, const struct proc_maps *maps, uint64_t g, struct vm *out,
		struct vm_evidence *ev)
{
	struct check *c = calloc(1, sizeof(*c));
	const struct layout_row *rows;
	int tries, err = -ENOENT;
	size_t n, i;

	if (!c)
		return -ENOMEM;
	rows = layout_rows(&n);
	c->pid = pid;
	c->ev = ev;
	/* The target runs: a check may meet it in the middle of a change. */
	for (tries = 0; tries < 3 && err; tries++) {
		if (ev)
			memset(ev, 0, sizeof(*ev));
		for (i = 0; i < n && err; i++)
			if (rows[i].l.gc64 && rows[i].l.fr2 && try_row(c, &rows[i], maps, g, out))
				err = 0;
	}
	free(c);
	return err;
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

/* The different distances of GG_State.g in the table: few. */
static size_t distances(unsigned int *d, size_t max)
{
	const struct layout_row *rows;
	size_t n, i, j, nd = 0;

	rows = layout_rows(&n);
	for (i = 0; i < n; i++) {
		if (!rows[i].l.gc64)
			continue;
		for (j = 0; j < nd && d[j] != rows[i].l.GG_g; j++)
			;
		if (j == nd && nd < max)
			d[nd++] = rows[i].l.GG_g;
	}
	return nd;
}

/* What a pass over the memory looks for. */
struct search {
	int pid;
	/* VMs */
	const struct proc_maps *maps;
	struct vm_list *out;
	struct vm_evidence *ev;
	unsigned int dist[8];
	size_t ndist;
	/* coroutines */
	const struct vm *vm;
	uint64_t *thread;
	size_t nthreads, max;
};

/* Looks for lua_State.glref (offset 16 on all 64-bit builds) pointing a known distance ahead. */
static int match_vm(void *ctx, uint64_t addr, const uint64_t *word, size_t own, size_t n)
{
	struct search *s = ctx;
	struct vm_evidence ev;
	struct vm vm;
	size_t i, j;
	int err;

	for (i = 0; i < own && i + 3 <= n; i += 2) {
		uint64_t a = addr + 8 * i, d = word[i + 2] - a;

		if (d >= 256)
			continue;
		for (j = 0; j < s->ndist && s->dist[j] != d; j++)
			;
		if (j == s->ndist || ((word[i + 1] >> 8) & 0xff) != GCT_THREAD)
			continue;
		err = vm_find_row(s->pid, s->maps, a + d, &vm, &ev);
		if (!err)
			err = vm_list_add(s->out, &vm);
		else if (err == -ENOENT && (err = 0, ev.failed)) {
			s->out->refused++;
			if (s->ev)
				*s->ev = ev;
		}
		if (err)
			return err;
	}
	return 0;
}

int vm_scan(int pid, const struct proc_maps *maps, struct vm_list *out, struct vm_evidence *ev)
{
	struct search s = {.pid = pid, .maps = maps, .out = out, .ev = ev};

	vm_list_release(out);
	s.ndist = distances(s.dist, sizeof(s.dist) / sizeof(s.dist[0]));
	return memscan(pid, maps, match_vm, &s, &out->bytes);
}

/* A lua_State: of this VM, and its stack's lowest slot holds it (lj_state.c:stack_init). */
static int match_thread(void *ctx, uint64_t addr, const uint64_t *word, size_t own, size_t n)
{
	struct search *s = ctx;
	const struct layout *l = &s->vm->row->l;
	uint64_t L, stack;
	size_t i;

	for (i = 0; i < own && i + 8 <= n && s->nthreads < s->max; i += 2) {
		if (word[i + l->L_glref / 8u] != s->vm->g ||
		    ((word[i + 1] >> 8) & 0xff) != GCT_THREAD)
			continue;
		L = addr + 8 * i;
		stack = word[i + l->L_stack / 8u];
		if (is_pointer(stack) &&
		    mem_u64(s->pid, stack) == ((uint64_t)TAG(GCT_THREAD) << 47 | L))
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
