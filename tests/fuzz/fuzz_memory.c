// SPDX-License-Identifier: MIT
/*
 * The memory of a hostile target, read by all that reads one: the search for VMs and their checks,
 * the walk of stacks, the scan of the JIT compiler's traces, penalties and prototypes, listings.
 *
 * The memory is that of a real LuaJIT, started here, that ran and waits. An input is edits of it,
 * of 6 bytes each: which structure, where in it, what to put there, and after how many reads of the
 * place it appears, so that memory changes between two looks at it.
 */
#include "bpf/code.h"
#include "bpf/inside.h"
#include "bpf/jitscan.h"
#include "bpf/mem.h"
#include "bpf/protoscan.h"
#include "bpf/rec.h"
#include "bpf/resolve_int.h"
#include "bpf/userwalk.h"
#include "tests/fuzz/input.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGE 4096u
#define PLACES_MAX 4096u
#define EDITS_MAX 64u
#define CODES 8u

static const char script[] =
    "local s, t, keep = 0, {}, {}\n"
    "local function g(i) if i % 3 == 0 then s = s + 1 elseif i % 5 == 0 then s = s + 2 end end\n"
    "for i = 1, 9000 do g(i) if i % 7 == 0 then s = s - 1 end end\n"
    "for i = 1, 3000 do t[i % 4] = function() return i end end\n"
    "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end\n"
    "fib(15)\n"
    "for i = 1, 300 do s = s + #(('x'):gsub('x', 'y')) + #tostring(i):reverse() end\n"
    "local function f() t[1] = function() return t end end\n"
    "for i = 1, 300 do f() end\n"
    "for i = 1, 20 do keep[i] = coroutine.wrap(function(a) coroutine.yield(a) end) keep[i](i) end\n"
    "local function wait(n) if n > 0 then wait(n - 1) else io.write('ready\\n') io.flush() "
    "io.read() "
    "end return n end\n"
    "pcall(wait, 20)\n";

struct page {
	uint64_t addr;
	int there;
	unsigned char bytes[PAGE];
	UT_hash_handle hh;
};

/* Where edits may go. */
struct place {
	uint64_t addr;
	uint32_t len;
};

struct edit {
	uint64_t addr, value;
	uint32_t len; /* 0: the page is not readable */
	uint32_t after, reads;
};

static struct page *pages;
static struct place place[PLACES_MAX];
static size_t nplaces;
static struct edit edit[EDITS_MAX];
static size_t nedits;
static int pid;
static uint64_t proto[CODES];
static size_t nprotos;
static struct resolve *resolver;
static const struct vm_list *vms;

static struct page *page_at(uint64_t addr)
{
	struct iovec to, from;
	struct page *p;

	HASH_FIND(hh, pages, &addr, sizeof(addr), p);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->addr = addr;
	to = (struct iovec){p->bytes, PAGE};
	from = (struct iovec){(void *)(uintptr_t)addr, PAGE};
	p->there = process_vm_readv(pid, &to, 1, &from, 1, 0) == PAGE;
	HASH_ADD(hh, pages, addr, sizeof(p->addr), p);
	return p;
}

/* What the edits make of the bytes at addr. How many there are still. */
static size_t apply(uint64_t addr, unsigned char *buf, size_t len)
{
	size_t i, k;

	for (i = 0; i < nedits; i++) {
		struct edit *e = &edit[i];

		if (e->addr - addr >= len && addr - e->addr >= (e->len ? e->len : PAGE))
			continue;
		if (e->reads++ < e->after)
			continue;
		if (!e->len) {
			len = e->addr > addr ? (size_t)(e->addr - addr) : 0;
			continue;
		}
		for (k = 0; k < e->len; k++)
			if (e->addr + k - addr < len)
				buf[e->addr + k - addr] = (unsigned char)(e->value >> 8 * k);
	}
	return len;
}

/* In place of those of bpf/mem.c. */
long mem_read_some(int who, uint64_t addr, void *buf, size_t len)
{
	unsigned char *out = buf;
	size_t done = 0, part;
	const struct page *p;

	if (who != pid)
		abort();
	while (done < len) {
		p = addr + done < addr ? NULL : page_at((addr + done) & ~(uint64_t)(PAGE - 1));
		if (!p || !p->there)
			break;
		part = PAGE - ((addr + done) & (PAGE - 1));
		part = part < len - done ? part : len - done;
		memcpy(out + done, p->bytes + ((addr + done) & (PAGE - 1)), part);
		done += part;
	}
	done = apply(addr, out, done);
	return done || !len ? (long)done : -EFAULT;
}

int mem_read(int who, uint64_t addr, void *buf, size_t len)
{
	long n = mem_read_some(who, addr, buf, len);

	return n < 0 ? (int)n : (size_t)n == len ? 0 : -EFAULT;
}

static int sink(void *ctx, const struct ev_hdr *h)
{
	(void)ctx;
	if (!rec_check(h, h->size))
		abort();
	return 0;
}

static void add_place(uint64_t addr, uint32_t len)
{
	if (nplaces < PLACES_MAX && addr && len)
		place[nplaces++] = (struct place){addr, len};
}

static int found_proto(void *ctx, uint64_t pt, const struct proto_head *h)
{
	(void)ctx;
	add_place(pt, h->sizept);
	add_place(h->chunkname, 24);
	if (nprotos < CODES)
		proto[nprotos++] = pt;
	return 0;
}

/* The structures of the VM. */
static void find_places(const struct vm *vm)
{
	const struct layout *l = &vm->row->l;
	uint64_t L = vm_main(vm), J = L + l->GG_J, T;
	struct vm_thread *thread;
	uint32_t i, n = 0;
	size_t k, nthreads;

	add_place(L, l->GG_size);
	add_place(L, l->L_size);
	add_place(J, 256);
	mem_read(pid, J + l->J_sizetrace, &n, 4);
	for (i = 1; i < n && i < 200; i++) {
		T = vm_trace(pid, vm, i);
		add_place(T, T ? l->T_size : 0);
		add_place(T, T ? 2048 : 0);
	}
	thread = vm_threads(pid, resolve_maps(resolver, pid), vms, 32, &nthreads);
	for (k = 0; k < nthreads; k++) {
		add_place(thread[k].L, l->L_size);
		add_place(vm_ref(pid, l, thread[k].L + l->L_stack), 1024);
		add_place(vm_ref(pid, l, thread[k].L + l->L_cframe) & ~3ull, l->CF_size);
	}
	free(thread);
	protoscan(pid, resolve_maps(resolver, pid), vm, found_proto, NULL);
}

static void start_target(void)
{
	int in[2], out[2];
	char word[6];

	if (pipe(in) || pipe(out))
		abort();
	pid = fork();
	if (pid < 0)
		abort();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		execlp("luajit", "luajit", "-e", script, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	if (read(out[0], word, sizeof(word)) != sizeof(word))
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int has_code;

	(void)argc;
	(void)argv;
	start_target();
	resolver = resolve_new(sink, NULL, NULL);
	if (!resolver || resolve_attach(resolver, pid, &vms, &has_code, NULL) || vms->n != 1)
		abort();
	find_places(&vms->vm[0]);
	if (nplaces < 50 || nprotos < CODES)
		abort();
	return 0;
}

static uint64_t truth(uint64_t addr)
{
	const struct page *p = page_at(addr & ~(uint64_t)(PAGE - 1));
	uint64_t v = 0, at = addr & (PAGE - 1);

	memcpy(&v, p->bytes + at, PAGE - at < 8 ? PAGE - at : 8);
	return v;
}

/* The IR of the trace at T begins elsewhere: all that tells of it agrees. */
static void shift_ir(uint64_t T, uint16_t by)
{
	const struct layout *l = &vms->vm[0].row->l;
	const uint64_t at[] = {T + l->T_nk, T + l->T_nins, T + l->T_ir};
	size_t i;

	for (i = 0; i < 3 && nedits < EDITS_MAX; i++) {
		edit[nedits] = (struct edit){.addr = at[i], .len = i < 2 ? 4 : 8};
		edit[nedits].value = truth(at[i]) + (i < 2 ? -(uint64_t)by : 8ull * by);
		nedits++;
	}
}

/* The kinds of lies. */
static uint64_t lie(uint8_t how, uint16_t arg, uint64_t addr)
{
	const struct place *p = &place[arg % nplaces];

	switch (how & 7) {
	case 0:
		return arg;
	case 1: /* a pointer to another structure: cycles */
		return p->addr;
	case 2:
		return p->addr + 8 * (arg >> 8);
	case 3: /* to itself, or close by */
		return addr + 8 * (uint64_t)(int64_t)(int8_t)arg;
	case 4:
		return ~(uint64_t)0 - arg;
	case 5:
		return 1ull << (arg & 63);
	case 6: /* a little more, or less */
		return truth(addr) + (uint64_t)(int64_t)(int16_t)arg;
	default:
		return 0x00007fffffffffffull - arg;
	}
}

static void read_edits(struct input *in)
{
	static const uint32_t widths[] = {8, 4, 2, 1};

	for (nedits = 0; nedits < EDITS_MAX && in->left >= 6; nedits++) {
		struct edit *e = &edit[nedits];
		const struct place *p;
		uint32_t where = take(in), how;
		uint16_t arg;

		where |= (uint32_t)take(in) << 8;
		p = &place[(where & 0x3ff) % nplaces];
		e->addr = p->addr + (((where >> 10) << 8 | take(in)) * 4u) % p->len;
		how = take(in);
		arg = take(in);
		arg |= (uint16_t)(take(in) << 8);
		e->value = lie((uint8_t)how, arg, e->addr);
		e->len = widths[how >> 3 & 3];
		e->after = how >> 5;
		e->reads = 0;
		if (how == 7 && p->len == vms->vm[0].row->l.T_size) {
			shift_ir(p->addr, arg);
			nedits--;
		} else if (how >> 5 == 7) { /* it vanishes */
			e->addr &= ~(uint64_t)(PAGE - 1);
			e->len = 0;
			e->after = arg & 15;
		}
	}
}

static int see_line(void *ctx, uint32_t pos, const char *line)
{
	const struct code *c = ctx;

	if (pos >= c->pt.h.sizebc || strlen(line) >= DISASM_LINE)
		abort();
	code_line(c, pos);
	return 0;
}

/* Samples in each of the traces, as the sampler would tell of them. */
static void look_inside(const struct vm *vm)
{
	union {
		struct ev_sample s;
		char room[sizeof(struct ev_sample) + sizeof(struct ev_frame)];
	} u;
	const struct layout *l = &vm->row->l;
	uint64_t J = vm_main(vm) + l->GG_J, T;
	uint32_t i, n = 0, szmcode = 0;

	mem_read(pid, J + l->J_sizetrace, &n, 4);
	for (i = 1; i < n && i < 200; i++) {
		T = vm_trace(pid, vm, i);
		mem_read(pid, T + l->T_szmcode, &szmcode, 4);
		memset(&u, 0, sizeof(u));
		u.s.h = (struct ev_hdr){.kind = EV_SAMPLE, .size = sizeof(u), .pid = (ev_u32)pid};
		u.s.g = vm->g;
		u.s.trace = i;
		u.s.state = EV_STATE_TRACE;
		u.s.flags = EV_SF_CALLED;
		u.s.mcofs = 5;
		u.s.nframes = 1;
		u.s.f[0].kind = EV_FRAME_TRACE;
		u.s.f[0].mark = inside_mark(T, mem_u64(pid, T + l->T_mcode), szmcode);
		if (resolve_record(resolver, &u.s.h))
			abort();
	}
	resolve_snaps_drop(resolver, 0);
	resolver->snaps_ns = 0;
}

static void list_code(void)
{
	const struct layout *l = &vms->vm[0].row->l;
	char name[64];
	struct code c;
	size_t i;

	for (i = 0; i < nprotos; i++) {
		if (code_read(pid, vms, l, proto[i], &c))
			continue;
		code_list(&c, 1, 1, see_line, &c);
		code_child_name(&c, 0, name, sizeof(name));
		code_release(&c);
	}
}

static void walk_stacks(const struct vm *vm)
{
	struct userwalk *u = userwalk_new(resolver, pid, vm);
	uint64_t cur = vm_ref(pid, &vm->row->l, vm->g + vm->row->l.G_cur_L);
	const struct ev_sample *s;
	int i;

	if (!u)
		abort();
	for (i = 0; i < 2; i++) {
		s = userwalk_stack(u, i ? vm_main(vm) : cur, !i);
		if (s && resolve_record(resolver, &s->h))
			abort();
	}
	userwalk_free(u);
}

static void scan(int whole)
{
	struct jitscan *j = jitscan_new(resolver, pid);
	int err;

	if (!j || jitscan_update(j, vms, 0))
		abort();
	err = whole ? jitscan_pass(j) : 1;
	while (!err)
		err = jitscan_step(j, 1000000);
	if (err != 1)
		abort();
	if (jitscan_now(j))
		abort();
	jitscan_free(j);
}

/* The first byte's lowest bit: the pass over the whole memory, too. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct vm_evidence ev;
	struct vm vm;
	int whole;

	if (!size)
		return 0;
	whole = take(&in) & 1;
	read_edits(&in);
	if (vm_find_row(pid, resolve_maps(resolver, pid), vms->vm[0].g, &vm, &ev) && !ev.failed &&
	    !nedits)
		abort();
	if (memchr(ev.text, '\0', sizeof(ev.text)) == NULL)
		abort();
	walk_stacks(&vms->vm[0]);
	scan(whole);
	look_inside(&vms->vm[0]);
	list_code();
	nedits = 0;
	resolve_protos_drop(resolver, 0);
	return 0;
}
