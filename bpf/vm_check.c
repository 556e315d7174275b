// SPDX-License-Identifier: MIT
/* Is this memory a LuaJIT VM of that layout? Mirrors LuaJIT src/lj_obj.h, lj_jit.h, lj_state.c. */
#include "bpf/vm_check.h"

#include "bpf/event.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* See layout_sane. */
#define GG_MAX 8192

#define GC_FIXED 0x20u /* set in currentwhite by lua_newstate */

/* What one verification works on. */
struct check {
	int pid;
	const struct layout *l;
	uint64_t gg;
	unsigned char buf[GG_MAX]; /* a copy of GG_State */
	uint64_t code_start, code_len;
	struct vm_evidence *ev;
};

__attribute__((format(printf, 2, 0))) static void add_line(struct vm_evidence *ev, const char *fmt,
							   va_list ap)
{
	size_t n = strlen(ev->text);

	ev->failed++;
	vsnprintf(ev->text + n, sizeof(ev->text) - n, fmt, ap);
	n = strlen(ev->text);
	if (n + 1 < sizeof(ev->text))
		strcpy(ev->text + n, "\n");
}

void vm_contradict(struct vm_evidence *ev, const char *fmt, ...)
{
	va_list ap;

	if (!ev)
		return;
	va_start(ap, fmt);
	add_line(ev, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 3, 4))) static int expect(struct check *c, int ok, const char *fmt,
							...)
{
	va_list ap;

	if (!c->ev)
		return ok;
	if (ok) {
		c->ev->passed++;
		return 1;
	}
	va_start(ap, fmt);
	add_line(c->ev, fmt, ap);
	va_end(ap);
	return 0;
}

static uint64_t g_ref(const struct check *c, unsigned int off)
{
	return vm_get_ref(c->l, c->buf, (size_t)c->l->GG_g + off);
}

static uint64_t g64(const struct check *c, unsigned int off)
{
	return mem_get64(c->buf, (size_t)c->l->GG_g + off);
}

static uint64_t j64(const struct check *c, unsigned int off)
{
	return mem_get64(c->buf, (size_t)c->l->GG_J + off);
}

static uint32_t j32(const struct check *c, unsigned int off)
{
	return mem_get32(c->buf, (size_t)c->l->GG_J + off);
}

static unsigned int gct_at(const struct check *c, uint64_t addr)
{
	unsigned char gct;

	return addr & 7 || mem_read(c->pid, addr + layout_gct(c->l), &gct, 1) ? 255 : gct;
}

int vm_is_pointer(const struct layout *l, uint64_t v)
{
	return v >= 4096 && v < 1ULL << (l->gc64 ? 47 : 32) && !(v & 7);
}

static int is_pointer(const struct check *c, uint64_t v)
{
	return vm_is_pointer(c->l, v);
}

static int in_code(const struct check *c, uint64_t addr)
{
	return addr - c->code_start < c->code_len;
}

static unsigned int white_of(const struct check *c)
{
	return c->buf[vm_white(c->l, c->l->GG_g)] & ~GC_FIXED;
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

/* The main thread: lj_state.c:stack_init puts the thread itself into its lowest slot. */
static int check_thread(struct check *c)
{
	const struct layout *l = c->l;
	uint64_t stack = vm_get_ref(l, c->buf, l->L_stack),
		 max = vm_get_ref(l, c->buf, l->L_maxstack), base = mem_get64(c->buf, l->L_base),
		 env = vm_get_ref(l, c->buf, l->L_env), slot;
	uint32_t size = mem_get32(c->buf, l->L_stacksize);

	slot = is_pointer(c, stack) ? mem_u64(c->pid, stack) : 0;
	return expect(c, slot == vm_tvalue(l, GCT_THREAD, c->gg),
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
	uint64_t cur = g_ref(c, l->G_cur_L), jit_base = g_ref(c, l->G_jit_base);
	int32_t vmstate = (int32_t)mem_get32(c->buf, (size_t)l->GG_g + l->G_vmstate);
	uint32_t sizetrace = j32(c, l->J_sizetrace);
	uint64_t jl = j64(c, l->J_L);

	return expect(c, c->buf[layout_gct(l)] == GCT_THREAD, "no lua_State at its start") &&
	       expect(c, is_pointer(c, cur), "cur_L at %u is no pointer", l->G_cur_L) &&
	       expect(c, !jit_base || is_pointer(c, jit_base), "jit_base at %u is no pointer",
		      l->G_jit_base) &&
	       expect(c, sizetrace <= 65536, "J.sizetrace is %u", sizetrace) &&
	       expect(c, j32(c, l->J_freetrace) <= sizetrace, "J.freetrace is %u of %u",
		      j32(c, l->J_freetrace), sizetrace) &&
	       expect(c, vmstate >= -10 && vmstate <= (int32_t)sizetrace, "vmstate is %d",
		      vmstate) &&
	       expect(c, !jl || is_pointer(c, jl), "J.L is no pointer") &&
	       expect(c, white_of(c) == 1 || white_of(c) == 2,
		      "gc.state at %u is not behind a color of objects", l->G_gc_state) &&
	       expect(c, vm_tvalue_is(l, g64(c, l->G_registrytv), GCT_TAB),
		      "registrytv at %u is no table", l->G_registrytv);
}

/* maxtrace is the first parameter, maxmcode the last: neither can be 0. */
static int check_params(struct check *c)
{
	const struct layout *l = c->l;
	uint32_t first = j32(c, l->J_param), last = j32(c, l->J_param + 4u * (l->jit_p_max - 1u));

	return expect(c, first && first <= 65535 && last && last < 1u << 30,
		      "J.param at %u holds no parameters: maxtrace %u, maxmcode %u", l->J_param,
		      first, last);
}

/*
 * The line table has for each instruction but the first how many lines it is after firstline: what
 * the code ends with lies in the function (lj_debug.c:lj_debug_line).
 */
static int check_lines(struct check *c, uint64_t pt, const unsigned char *h, uint32_t sizept)
{
	const struct layout *l = c->l;
	uint32_t sizebc = mem_get32(h, l->PT_sizebc), numline = mem_get32(h, l->PT_numline),
		 first = mem_get32(h, l->PT_firstline), line = 0;
	uint64_t lines = vm_get_ref(l, h, l->PT_lineinfo);
	unsigned int width = numline < 256 ? 1 : numline < 65536 ? 2 : 4;

	if (!lines || sizebc < 2 || first == ~0u) /* stripped; or LuaJIT's own */
		return 1;
	if (!expect(c,
		    sizebc < sizept / 4 && lines > pt &&
			lines + (uint64_t)width * (sizebc - 1) <= pt + sizept,
		    "a prototype's line table is not in it"))
		return 0;
	if (mem_read(c->pid, lines + (uint64_t)width * (sizebc - 2), &line, width))
		return 1;
	return expect(c, line <= numline,
		      "a prototype's lines contradict each other: %u of %u after line %u", line,
		      numline, first);
}

/* A prototype's header, chunkname and lines. */
static int check_proto(struct check *c, uint64_t pt)
{
	const struct layout *l = c->l;
	unsigned char h[256];
	uint32_t sizept;
	uint64_t k;

	if (l->PT_size > sizeof(h) || mem_read(c->pid, pt, h, l->PT_size))
		return 1; /* gone: says nothing */
	sizept = mem_get32(h, l->PT_sizept);
	k = vm_get_ref(l, h, l->PT_k);
	return expect(c, h[layout_gct(l)] == GCT_PROTO,
		      "no prototype before the code of a function") &&
	       expect(c, sizept >= l->PT_size && k > pt && k <= pt + sizept,
		      "a prototype's sizes contradict each other") &&
	       expect(c, gct_at(c, vm_get_ref(l, h, l->PT_chunkname)) == GCT_STR,
		      "a prototype's chunkname is no string") &&
	       check_lines(c, pt, h, sizept);
}

static uint64_t trace_at(const struct check *c, uint64_t vec, uint32_t i)
{
	return vm_ref(c->pid, c->l, vec + layout_ref_size(c->l) * (uint64_t)i);
}

/* The traces, up to a few: each knows its own number and starts in a prototype. */
static int check_traces(struct check *c)
{
	const struct layout *l = c->l;
	uint32_t n = j32(c, l->J_sizetrace), i, seen = 0;
	uint64_t vec = j64(c, l->J_trace), T, pt;
	unsigned char t[256];

	for (i = 1; i < n && i < 512 && seen < 16; i++) {
		T = trace_at(c, vec, i);
		if (!is_pointer(c, T) || T == c->gg + l->GG_J + l->J_cur ||
		    mem_read(c->pid, T, t, l->T_size) || trace_at(c, vec, i) != T ||
		    vm_is_dead(l, t, c->buf[vm_white(l, l->GG_g)]))
			continue;
		seen++;
		pt = vm_get_ref(l, t, l->T_startpt);
		if (!expect(c, (mem_get32(t, l->T_traceno) & 0xffff) == i,
			    "trace %u does not know its number", i) ||
		    !expect(c, t[l->T_linktype] >= 1 && t[l->T_linktype] <= 9,
			    "trace %u has link type %u", i, t[l->T_linktype]) ||
		    !expect(c, (mem_get32(t, l->T_nsnap) & 0xffff) <= 1024,
			    "trace %u has too many snapshots", i) ||
		    !expect(c, vm_get_ref(l, t, l->T_startpc) - pt < 1u << 28,
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
	uint64_t stack = vm_get_ref(l, c->buf, l->L_stack), slot[256], fn, pc;
	long got = mem_read_some(c->pid, stack, slot, sizeof(slot));
	unsigned char f[64];
	long i;

	for (i = 0; i < got / 8; i++) {
		fn = vm_tvalue_ptr(l, slot[i]);
		/* Without LJ_FR2 what is above the function is the frame's link. */
		if ((l->fr2 && !vm_tvalue_is(l, slot[i], GCT_FUNC)) || !is_pointer(c, fn) ||
		    mem_read(c->pid, fn, f, sizeof(f)) || f[layout_gct(l)] != GCT_FUNC ||
		    f[l->F_ffid])
			continue;
		pc = vm_get_ref(l, f, l->F_pc);
		if (is_pointer(c, pc & ~7ULL) && !check_proto(c, pc - l->PT_size))
			return 0;
	}
	return 1;
}

int vm_is_walkable(const struct layout *l)
{
	if (l->CF_prev != 32 || l->CF_pc != (l->gc64 ? 24 : 28) || l->CF_nres != (l->gc64 ? 8 : 16))
		return 0;
	if (l->gc64)
		return l->fr2 && l->F_ffid == 10 && l->F_pc == 32 && l->C_f == 40 &&
		       l->L_glref == 16 && l->L_base == 32 && l->L_maxstack == 48 &&
		       l->L_stack == 56 && l->L_cframe == 80 && l->L_env == 72 &&
		       l->L_stacksize == 88;
	return !l->fr2 && l->F_ffid == 6 && l->F_pc == 16 && l->C_f == 24 && l->L_glref == 8 &&
	       l->L_base == 16 && l->L_maxstack == 32 && l->L_stack == 36 && l->L_cframe == 48 &&
	       l->L_env == 44 && l->L_stacksize == 56;
}

static int check_layout(struct check *c)
{
	const struct layout_field *bad;
	const struct layout *l = c->l;

	if (!layout_sane(l, &bad))
		return expect(c, 0, "%s of the layout is not possible", bad->name);
	if (!expect(c, vm_is_walkable(l), "a layout that the sampler is not made for"))
		return 0;
	if (mem_read(c->pid, c->gg, c->buf, l->GG_size))
		return expect(c, 0, "memory not readable at %#llx", (unsigned long long)c->gg);
	return expect(c,
		      vm_get_ref(l, c->buf, l->L_glref) == c->gg + l->GG_g &&
			  g_ref(c, l->G_mainthref) == c->gg,
		      "main thread and global_State do not point at each other") &&
	       check_global(c) && check_params(c) && check_dispatch(c) && check_thread(c) &&
	       check_functions(c) && check_traces(c);
}

int vm_check(int pid, const struct layout *l, uint64_t g, uint64_t code, uint64_t len,
	     struct vm_evidence *ev)
{
	struct check c = {
	    .pid = pid, .l = l, .gg = g - l->GG_g, .code_start = code, .code_len = len, .ev = ev};

	return check_layout(&c);
}
