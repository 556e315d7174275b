// SPDX-License-Identifier: MIT
/*
 * A target that lies: liar MODE [FILE...]
 *
 * It has two VMs. The worker runs Lua on a thread of its own, honestly, and checks what it
 * computes. The victim runs on the main thread, is 30 calls deep, and has traces, side traces,
 * failed and blacklisted starts; then it calls a C function that never returns, and which fills the
 * victim's memory with one kind of nonsense (the modes are in the table at the end) while it burns
 * CPU, so that samples are taken inside. Where LuaJIT's fields lie is in the environment variable
 * LAYOUT, as "L_base=32 ...".
 *
 * Prints {"event":"lying"} when it does. A line on stdin: prints {"event":"truth","rounds":N,
 * "wrong":N} of the worker, and ends at the end of stdin.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PROTOS_MAX 256
#define MB (1u << 20)
#define TAG_FUNC 0x1fff7ull
#define TAG_THREAD 0x1fff9ull
#define ADDRESS ((1ull << 47) - 1)

/* A hostile value for an address: nothing is there, or it is the kernel's, or no multiple of 8. */
static const uint64_t nowhere[] = {0,
				   8,
				   0x10000,
				   0x7ffffffff000,
				   0xffffffff81000000,
				   0x8000000000000000,
				   UINT64_MAX,
				   UINT64_MAX - 7,
				   0x100000000003};
#define NOWHERES (sizeof(nowhere) / sizeof(*nowhere))

static const char victim_code[] =
    "local lie = ...\n"
    "local s, t = 0, {}\n"
    "local function g(i) if i % 3 == 0 then s = s + 1 elseif i % 5 == 0 then s = s + 2 end end\n"
    "for i = 1, 9000 do g(i) if i % 7 == 0 then s = s - 1 end end\n"
    "for i = 1, 3000 do t[i % 4] = function() return i end end\n"
    "for i = 1, 300 do s = s + #(('x'):gsub('x', 'y')) + #tostring(i):reverse() end\n"
    "local function f() t[1] = function() return t end end\n"
    "for i = 1, 300 do f() end\n"
    "local function down(n) if n == 0 then lie() else down(n - 1) end return n end\n"
    "coroutine.wrap(function() pcall(down, 30) end)()\n";

static const char worker_code[] = "local n = 0\n"
				  "for i = 1, 20000 do n = (n * 31 + i % 7) % 65521 end\n"
				  "local t = {}\n"
				  "for i = 1, 200 do t[i] = tostring(i) end\n"
				  "return n + #table.concat(t)\n";

static struct {
	uint64_t L, gg, g, J;			    /* the coroutine that runs, its VM */
	uint64_t proto[PROTOS_MAX], fn[PROTOS_MAX]; /* a function of each */
	size_t nprotos;
	uint64_t L_true[14]; /* the coroutine's first words, as they were */
	uint64_t trace_true[32];
	uint64_t arena; /* some memory of our own */
	size_t arena_size;
	char **files;
} v;

static atomic_uint rounds, wrong;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "liar: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- the memory ---- */

/* Asked for by literals only: what was found once is found again by their address. */
static uint64_t at(const char *field)
{
	static __thread struct {
		const char *field;
		uint64_t at;
	} known[1024];
	size_t n = strlen(field), slot = (uintptr_t)field / 2 % 1024;
	const char *p = getenv("LAYOUT");

	if (known[slot].field == field)
		return known[slot].at;
	for (; p && *p; p += strcspn(p, " "), p += *p == ' ') {
		if (!strncmp(p, field, n) && p[n] == '=') {
			known[slot].field = field;
			known[slot].at = strtoull(p + n + 1, NULL, 10);
			return known[slot].at;
		}
	}
	errno = ENOENT;
	die(field);
}

static uint64_t get(uint64_t addr)
{
	uint64_t val;

	memcpy(&val, (const void *)(uintptr_t)addr, 8);
	return val;
}

static void put64(uint64_t addr, uint64_t val)
{
	*(volatile uint64_t *)(uintptr_t)addr = val;
}

static void put32(uint64_t addr, uint32_t val)
{
	*(volatile uint32_t *)(uintptr_t)addr = val;
}

static void put16(uint64_t addr, uint16_t val)
{
	*(volatile uint16_t *)(uintptr_t)addr = val;
}

static uint64_t some(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	v.arena = (uint64_t)(uintptr_t)p;
	v.arena_size = size;
	return v.arena;
}

static uint64_t trace(uint32_t i)
{
	return get(v.trace_true[0] + 8ull * i);
}

static uint32_t ntraces(void)
{
	uint32_t n = (uint32_t)v.trace_true[1];

	return n < 64 ? n : 64;
}

/* The prototypes of the functions on the coroutine's stack. */
static void find_protos(void)
{
	uint64_t slot = get(v.L + at("L_stack")), end = get(v.L + at("L_top")), fn, pt;
	const uint64_t ffid = at("F_ffid"), pc = at("F_pc"), size = at("PT_size");
	size_t i;

	for (; slot < end && v.nprotos < PROTOS_MAX; slot += 8) {
		fn = get(slot) & ADDRESS;
		if (get(slot) >> 47 != TAG_FUNC || get(fn + ffid) & 0xff)
			continue;
		pt = get(fn + pc) - size;
		for (i = 0; i < v.nprotos && v.proto[i] != pt; i++)
			;
		if (i == v.nprotos) {
			v.fn[i] = fn;
			v.proto[v.nprotos++] = pt;
		}
	}
}

/* ---- the modes: called over and over; n counts the calls ---- */

static void frames_cycle(unsigned int n)
{
	uint64_t base = get(v.L + at("L_base")), low = get(v.L + at("L_stack")) + 16, slot;
	static const uint32_t links[] = {0,    1,	   2,	       3,    5,	  7,
					 0x10, 0xfffffff9, 0x80000001, 0x11, 0x13};

	/* Links that lead to themselves, up, far down, and into what is no code. */
	for (slot = base - 8; slot > low; slot -= 16)
		put64(slot, links[(n + slot / 16) % 11] | (n & 64 ? slot & ~7ull : 0));
}

static void base_outside(unsigned int n)
{
	put64(v.L + at("L_base"), nowhere[n % NOWHERES]);
}

static void stack_outside(unsigned int n)
{
	put64(v.L + at("L_stack"), nowhere[n % NOWHERES]);
	put64(v.L + at("L_maxstack"), nowhere[(n / 9) % NOWHERES]);
}

static void cur_l(unsigned int n)
{
	const uint64_t here[] = {v.g, v.gg, v.J, v.L + 8};

	put64(v.g + at("G_cur_L"), n % 13 < 9 ? nowhere[n % 13] : here[n % 13 - 9]);
}

/* C frames that are each other's previous ones, and their own. */
static void cframes(unsigned int n)
{
	put64(v.L + at("L_cframe"), n & 1 ? v.L_true[at("L_cframe") / 8] : v.arena);
	put64(v.arena + at("CF_prev"), v.arena + 256 * (n & 2));
	put64(v.arena + 512 + at("CF_prev"), v.arena);
	put64(v.arena + at("CF_L"), v.L);
	put64(v.arena + at("CF_pc"), nowhere[n % NOWHERES]);
	put32(v.arena + at("CF_nres"), n);
}

static void vmstates(unsigned int n)
{
	static const uint32_t states[] = {~0u, ~1u, ~2u, ~3u, ~4u,   ~5u,	 ~6u,
					  ~9u, 1,   2,	 7,   65535, 0x7fffffff, 0x80000000};

	put32(v.g + at("G_vmstate"), states[n % 14]);
	put64(v.g + at("G_jit_base"), n % 10 ? nowhere[n % NOWHERES] : get(v.L + at("L_base")));
}

static void proto_sizes(unsigned int n)
{
	static const uint32_t sizes[] = {0,	     1,		 0xffffff, 0x7fffffff,
					 0x80000000, 0xffffffff, 4 << 20};
	size_t i;

	for (i = 0; i < v.nprotos; i++) {
		put32(v.proto[i] + at("PT_sizebc"), sizes[n % 7]);
		put32(v.proto[i] + at("PT_sizept"), sizes[(n + i) / 7 % 7]);
		put32(v.proto[i] + at("PT_sizekgc"), sizes[(n + i) / 49 % 7]);
		put32(v.proto[i] + at("PT_sizekn"), sizes[(n + i) / 49 % 7]);
		put64(v.proto[i] + at("PT_k"), nowhere[(n + i) % NOWHERES]);
	}
}

static void proto_lines(unsigned int n)
{
	size_t i;

	for (i = 0; i < v.nprotos; i++) {
		put32(v.proto[i] + at("PT_firstline"), 0x80000000u >> (n + i) % 32);
		put32(v.proto[i] + at("PT_numline"), 0x7fffffffu >> n % 31);
		put64(v.proto[i] + at("PT_lineinfo"), nowhere[n % NOWHERES]);
		put64(v.proto[i] + at("PT_varinfo"), v.proto[i] + (n & 0xfff));
		put64(v.proto[i] + at("PT_uvinfo"), v.proto[i] + (n & 0xfff));
	}
}

/* A chunkname of a megabyte with all that a terminal obeys; another claims 2 GB that are not there.
 */
static void chunknames(unsigned int n)
{
	static const char bad[] = "\033[2J\033]0;title\007\r\n\t\x9b"
				  "31m<b>&\"'\\\xff\xc0\x80;";
	uint64_t name = v.arena;
	uint32_t i;

	if (!n) {
		name = some(2 * MB);
		put64(name + 8, 4ull << 8); /* gct */
		for (i = 0; i < MB; i++)
			*((char *)(uintptr_t)(name + at("STR_size")) + i) =
			    i ? bad[i % (sizeof(bad) - 1)] : '@';
	}
	put32(name + at("STR_len"), n & 1 ? MB : 0x80000000u);
	for (i = 0; i < v.nprotos; i++) {
		put64(v.proto[i] + at("PT_chunkname"), name);
		put32(v.proto[i] + at("PT_firstline"), n / 16 % 4096); /* a new one */
	}
}

static void trace_table(unsigned int n)
{
	put32(v.J + at("J_sizetrace"), n & 1 ? 1u << 30 : 65536);
	put64(v.J + at("J_trace"), n & 2 ? v.trace_true[0] : nowhere[n % NOWHERES]);
}

/* What the traces of the table say of themselves. */
static void traces(unsigned int n)
{
	uint32_t i;

	for (i = 1; i < ntraces(); i++) {
		uint64_t T = trace(i), ir;

		if (!T)
			continue;
		put16(T + at("T_nextroot"), (uint16_t)(i + n));
		put16(T + at("T_nextside"), (uint16_t)i);
		put16(T + at("T_link"), (uint16_t)(i ^ n));
		put16(T + at("T_root"), (uint16_t)(n & 4 ? i + 1 : 0));
		*(volatile uint8_t *)(uintptr_t)(T + at("T_linktype")) = (uint8_t)(1 + n % 9);
		put32(T + at("T_szmcode"), n & 8 ? 1u << (n % 32) : 64);
		if (n & 16)
			put64(T + at("T_mcode"), nowhere[n % NOWHERES]);
		put16(T + at("T_nsnap"), (uint16_t)(n & 32 ? 0xffff : 1 + n % 300));
		if (n & 1) { /* as if there were no constants; all else agrees */
			ir = get(T + at("T_ir")) + 8ull * (uint32_t)get(T + at("T_nk"));
			put32(T + at("T_nins"),
			      (uint32_t)get(T + at("T_nins")) - (uint32_t)get(T + at("T_nk")) + 16);
			put32(T + at("T_nk"), 16);
			put64(T + at("T_ir"), ir - 8ull * 16);
		}
	}
}

/* Offsets of the snapshots into their map: 12 bytes each, the offset first. */
static void snapshots(unsigned int n)
{
	uint32_t i;

	for (i = 1; i < ntraces(); i++) {
		uint64_t T = trace(i), snap = T ? get(T + at("T_snap")) : 0;

		if (T)
			put32(snap, 0u - 2 * (n % 40));
		if (T && n & 1)
			put16(T + at("T_nsnap"), 1);
	}
}

static void penalties(unsigned int n)
{
	uint64_t p = v.J + at("J_penalty");
	unsigned int i;

	for (i = 0; i < 64; i++, p += 16) {
		put64(p, n & 1 ? v.proto[i % v.nprotos] + at("PT_size") + 4 * (n % 64)
			       : nowhere[(n + i) % NOWHERES]);
		put16(p + 8, (uint16_t)(n * i));
		put16(p + 10, (uint16_t)(n & 2 ? 0xffff : 7));
	}
}

/* A copy of the victim's VM: all that is checked is as it should be. */
static void copy_vm(uint64_t to, size_t size)
{
	uint64_t g = to + at("GG_g"), stack = to + size;

	memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)v.gg, at("GG_size"));
	put64(to + at("L_glref"), g);
	put64(g + at("G_mainthref"), to);
	put64(g + at("G_cur_L"), to);
	put64(to + at("L_stack"), stack);
	put64(to + at("L_base"), stack + 16);
	put64(to + at("L_maxstack"), stack + 8 * 40);
	put32(to + at("L_stacksize"), 48);
	put64(to + at("L_cframe"), 0);
	put64(stack, TAG_THREAD << 47 | to);
}

static void many_vms(unsigned int n)
{
	const size_t size = (at("GG_size") + 15) & ~15ull, step = size + 512;
	size_t i;

	if (n)
		return;
	some(step * 6000);
	for (i = 0; i < 6000; i++)
		copy_vm(v.arena + i * step, size);
}

/* The same but for one thing that is checked last, in as much memory. A gap keeps it apart. */
static void near_vms(unsigned int n)
{
	const size_t size = (at("GG_size") + 15) & ~15ull, step = size + 512, all = 64 * MB;
	static uint64_t table[128];
	uint64_t p;

	if (n)
		return;
	some(all + 8 * MB);
	if (mprotect((void *)(uintptr_t)v.arena, 4 * MB, PROT_NONE) ||
	    mprotect((void *)(uintptr_t)(v.arena + all + 4 * MB), 4 * MB, PROT_NONE))
		die("mprotect");
	table[127] = trace(1); /* which knows another number */
	for (p = v.arena + 4 * MB; p + step <= v.arena + 4 * MB + all; p += step) {
		copy_vm(p, size);
		put32(p + at("GG_J") + at("J_sizetrace"), 128);
		put64(p + at("GG_J") + at("J_trace"), (uint64_t)(uintptr_t)table);
	}
}

/* What looks like a lua_State that points at its own global_State, everywhere. */
static void half_vms(unsigned int n)
{
	uint64_t p, g = at("GG_g");

	if (n)
		return;
	some(256 * MB);
	for (p = v.arena; p < v.arena + v.arena_size - 4096; p += 16) {
		put64(p, p - 2 * 8 + g - 8 * 0); /* of the one 16 bytes below */
		put64(p + 8, 6ull << 8 | (p & 0xff) << 16);
	}
}

/* A million blacklisted prototypes, and a list of objects that never ends. */
static void many_protos(unsigned int n)
{
	uint64_t p, pt = v.proto[0];
	const uint64_t size = at("PT_size");

	if (n)
		return;
	some(256 * MB);
	for (p = v.arena + 16; p < v.arena + v.arena_size - 512; p += 256) {
		put64(p - 8, 256 | 2); /* a chunk in use */
		memcpy((void *)(uintptr_t)p, (const void *)(uintptr_t)pt, size);
		put64(p,
		      p - v.arena > 4096 ? p - 256 * (p & 0x300 ? 1 : 9) : v.arena + 64 * MB + 16);
		*(uint8_t *)(uintptr_t)(p + at("PT_flags")) = 0x10;
		put32(p + at("PT_sizebc"), 8);
		put32(p + at("PT_sizekgc"), 0);
		put32(p + at("PT_sizekn"), 0);
		put32(p + at("PT_sizept"), 248);
		put64(p + at("PT_k"), p + size + 32);
		put64(p + at("PT_lineinfo"), 0);
		put64(p + at("PT_varinfo"), 0);
		put64(p + at("PT_uvinfo"), 0);
		memset((void *)(uintptr_t)(p + size), 80, 32); /* IFORL */
	}
	for (p = 0; p < v.nprotos; p++)
		put64(v.proto[p], v.arena + 128 * MB + 16);
}

/* Truth and lies in turn, faster than anybody looks. */
static void flip(unsigned int n)
{
	const uint64_t base = at("L_base"), top = at("L_top"), sizebc = at("PT_sizebc"),
		       name = at("PT_chunkname"), vec = at("J_trace"), size = at("J_sizetrace"),
		       cur = at("G_cur_L");
	static uint64_t bc, chunk;
	unsigned int i;

	if (!bc) {
		bc = get(v.proto[0] + sizebc);
		chunk = get(v.proto[0] + name);
	}

	for (i = 0; i < 1000; i++, n++) {
		put64(v.L + base, n & 1 ? v.L_true[base / 8] : nowhere[n % NOWHERES]);
		put64(v.L + top, n & 2 ? v.L_true[top / 8] : nowhere[n % NOWHERES]);
		put32(v.proto[0] + sizebc, n & 1 ? (uint32_t)bc : n);
		put64(v.proto[0] + name, n & 4 ? chunk : nowhere[n % NOWHERES]);
		put64(v.J + vec, n & 8 ? v.trace_true[0] : v.arena);
		put32(v.J + size, n & 8 ? (uint32_t)v.trace_true[1] : 60000);
		put64(v.g + cur, n & 16 ? v.L : nowhere[n % NOWHERES]);
	}
}

/* The stack, the prototypes and the trace table are in memory that comes and goes. */
static void vanish(unsigned int n)
{
	uint64_t stack, size = 256 * 1024;

	if (!n) {
		some(MB);
		stack = v.L_true[at("L_stack") / 8];
		memcpy((void *)(uintptr_t)v.arena, (const void *)(uintptr_t)stack,
		       get(v.L + at("L_top")) - stack);
		put64(v.L + at("L_stack"), v.arena);
		put64(v.L + at("L_base"), v.L_true[at("L_base") / 8] - stack + v.arena);
		put64(v.L + at("L_maxstack"), v.L_true[at("L_maxstack") / 8] - stack + v.arena);
		put64(v.J + at("J_trace"), v.arena + 512 * 1024);
		put32(v.J + at("J_sizetrace"), 30000);
	}
	mprotect((void *)(uintptr_t)v.arena, size << n % 3, PROT_NONE);
	mprotect((void *)(uintptr_t)v.arena, size << n % 3, PROT_READ | PROT_WRITE);
}

/* Files with any content, mapped as code, often. */
static void files(unsigned int n)
{
	struct stat st;
	char **f;
	int fd, i;

	for (f = v.files; !n && *f; f++) {
		fd = open(*f, O_RDONLY);
		if (fd < 0 || fstat(fd, &st))
			die(*f);
		for (i = 0; i < 3000; i++)
			if (mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd,
				 0) == MAP_FAILED)
				die(*f);
		close(fd);
	}
}

/* Prototypes of 4 MB, other ones at each look. */
static void bodies(unsigned int n)
{
	size_t i;

	if (!n) {
		some(64 * MB);
		for (i = 0; i < v.nprotos; i++) {
			memcpy((void *)(uintptr_t)(v.arena + 4096 * i),
			       (const void *)(uintptr_t)v.proto[i], 256);
			v.proto[i] = v.arena + 4096 * i;
			put64(v.proto[i] + at("PT_k"), v.proto[i] + 4 * MB - 64);
			put64(v.proto[i] + at("PT_lineinfo"), 0);
			put64(v.proto[i] + at("PT_varinfo"), 0);
			put64(v.proto[i] + at("PT_uvinfo"), 0);
			put32(v.proto[i] + at("PT_sizept"), 4 * MB);
			put32(v.proto[i] + at("PT_sizekn"), 0);
			put64(v.fn[i] + at("F_pc"), v.proto[i] + at("PT_size"));
		}
	}
	for (i = 0; i < v.nprotos; i++)
		put32(v.proto[i] + at("PT_firstline"), n);
}

static void honest(unsigned int n)
{
	(void)n;
}

static const struct mode {
	const char *name;
	void (*lie)(unsigned int n);
	int thread; /* it has one of its own, and goes on without pause */
} modes[] = {
    {"honest", honest, 0},
    {"frames", frames_cycle, 0},
    {"base", base_outside, 0},
    {"stack", stack_outside, 0},
    {"cur_L", cur_l, 0},
    {"cframes", cframes, 0},
    {"vmstate", vmstates, 0},
    {"proto-sizes", proto_sizes, 0},
    {"proto-lines", proto_lines, 0},
    {"chunknames", chunknames, 0},
    {"trace-table", trace_table, 0},
    {"traces", traces, 0},
    {"snapshots", snapshots, 0},
    {"penalties", penalties, 0},
    {"many-vms", many_vms, 0},
    {"near-vms", near_vms, 0},
    {"half-vms", half_vms, 0},
    {"many-protos", many_protos, 0},
    {"bodies", bodies, 0},
    {"flip", flip, 1},
    {"vanish", vanish, 1},
    {"files", files, 0},
};

/* ---- running ---- */

static const struct mode *mode;

static void *lie_on(void *arg)
{
	unsigned int n = *(unsigned int *)arg;

	for (;;)
		mode->lie(n++);
	return NULL;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int lie(lua_State *L)
{
	static unsigned int n;
	pthread_t thread;
	uint64_t last = 0;

	v.L = (uint64_t)(uintptr_t)L;
	v.g = get(v.L + at("L_glref"));
	v.gg = v.g - at("GG_g");
	v.J = v.gg + at("GG_J");
	memcpy(v.L_true, L, sizeof(v.L_true));
	v.trace_true[0] = get(v.J + at("J_trace"));
	v.trace_true[1] = get(v.J + at("J_sizetrace"));
	find_protos();
	some(MB);
	mode->lie(n++);
	if (mode->thread && pthread_create(&thread, NULL, lie_on, &n))
		die("thread");
	puts("{\"event\":\"lying\"}");
	fflush(stdout);
	for (;;)
		if (!mode->thread && now_ms() != last) {
			last = now_ms();
			mode->lie(n++);
		}
	return 0;
}

static void *work(void *arg)
{
	lua_State *L = luaL_newstate();
	double first = 0;

	(void)arg;
	if (!L)
		die("worker");
	luaL_openlibs(L);
	for (;; atomic_fetch_add(&rounds, 1)) {
		if (luaL_loadbuffer(L, worker_code, sizeof(worker_code) - 1, "=worker") ||
		    lua_pcall(L, 0, 1, 0))
			die(lua_tostring(L, -1));
		if (!first)
			first = lua_tonumber(L, -1);
		if (first != lua_tonumber(L, -1))
			atomic_fetch_add(&wrong, 1);
		lua_pop(L, 1);
	}
	return NULL;
}

static void *answer(void *arg)
{
	char line[64];

	(void)arg;
	while (fgets(line, sizeof(line), stdin)) {
		printf("{\"event\":\"truth\",\"rounds\":%u,\"wrong\":%u}\n", atomic_load(&rounds),
		       atomic_load(&wrong));
		fflush(stdout);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t a, b;
	lua_State *L;
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(modes) / sizeof(*modes); i++)
		if (!strcmp(modes[i].name, argv[1]))
			mode = &modes[i];
	if (!mode) {
		fprintf(stderr, "usage: liar MODE [FILE...]\n");
		return 2;
	}
	v.files = argv + 2;
	if (pthread_create(&a, NULL, work, NULL) || pthread_create(&b, NULL, answer, NULL))
		die("thread");
	L = luaL_newstate();
	luaL_openlibs(L);
	if (luaL_loadbuffer(L, victim_code, sizeof(victim_code) - 1, "=victim"))
		die(lua_tostring(L, -1));
	lua_pushcfunction(L, lie);
	if (lua_pcall(L, 1, 0, 0))
		die(lua_tostring(L, -1));
	return 1; /* the lie never returns */
}
