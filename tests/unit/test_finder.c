// SPDX-License-Identifier: MIT
/*
 * bpf/finder*.c on Debian's stripped LuaJIT and on code written here.
 *
 * With LJX_TWIN=libluajit.so (tests/twin), a library with symbols whose code is that of the
 * installed one: also against these symbols.
 */
#include "bpf/finder_int.h"
#include "tests/unit/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBLUAJIT "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2"
#define LIBLUAJIT_KNOWN "0a6563c55d870716908fd332f88bf7cdd9bc6a71"
#define LUAJIT "/usr/bin/luajit"
#define LUAJIT_ROW "luajit2-20230119"
#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"

/*
 * Functions to put probes on. Named after what is special: where the first instruction that the
 * kernel emulates is, and whether the probe may be there.
 */
__asm__(".text\n"
	".macro fi_begin name\n"
	"	.p2align 4\n"
	"	.type \\name, @function\n"
	"\\name: .cfi_startproc\n"
	".endm\n"
	".macro fi_end name\n"
	"	.cfi_endproc\n"
	"	.size \\name, . - \\name\n"
	".endm\n"
	"fi_begin fi_push_first\n"
	"	pushq %r15; popq %r15; ret\n"
	"fi_end fi_push_first\n"
	"fi_begin fi_endbr\n"
	"	endbr64; pushq %rbp; popq %rbp; ret\n"
	"fi_end fi_endbr\n"
	"fi_begin fi_jcc\n" /* 3 + 3 bytes before it */
	"	movq %rdi, %rax; cmpq %rsi, %rax; je 1f; incl (%rdi); 1: ret\n"
	"fi_end fi_jcc\n"
	"fi_begin fi_late\n" /* rdi is lost before the push */
	"	leaq 8(%rdi), %rax; xorl %edi, %edi; pushq %rbp; popq %rbp; ret\n"
	"fi_end fi_late\n"
	"fi_begin fi_writes\n" /* memory changes before the push */
	"	movq $-1, 8(%rdi); pushq %rbp; popq %rbp; ret\n"
	"fi_end fi_writes\n"
	"fi_begin fi_loops\n" /* the branch comes back to before the jcc */
	"	xorl %eax, %eax; 1: addl $1, %eax; cmpl %edi, %eax; jne 1b; ret\n"
	"fi_end fi_loops\n"
	"fi_begin fi_spills\n" /* the stack may be written */
	"	movq %rbx, -8(%rsp); pushq %rbp; popq %rbp; ret\n"
	"fi_end fi_spills\n"
	"fi_begin fi_moved\n" /* as gcc 14 begins lj_dispatch_update: the argument goes to rdx */
	"	movzbl 0x390(%rdi), %ecx; movq %rdi, %rdx; movl $0x25, %edi\n"
	"	testl %eax, %eax; jne 1f; xorl %edi, %edi; 1: movl 8(%rdx), %eax; ret\n"
	"fi_end fi_moved\n"
	"fi_begin fi_twice\n" /* moved on, and the second argument too */
	"	movq %rdi, %rax; movq %rsi, %r14; movq %rax, %r9; xorl %eax, %eax\n"
	"	xorl %edi, %edi; xorl %esi, %esi; pushq %rbp; popq %rbp; ret\n"
	"fi_end fi_twice\n"
	"fi_begin fi_half\n" /* half of it is no copy */
	"	movl %edi, %eax; movl $1, %edi; pushq %rbp; popq %rbp; ret\n"
	"fi_end fi_half\n"
	"fi_begin fi_copy_lost\n" /* the copy goes too; a load is none */
	"	movq %rdi, %rdx; movq 8(%rdi), %rdi; xorl %edx, %edx; movq -8(%rsp), %rax\n"
	"	pushq %rbp; popq %rbp; ret\n"
	"fi_end fi_copy_lost\n"
	"fi_begin fi_swapped\n"
	"	xchgq %rdi, %rsi; pushq %rbp; popq %rbp; ret\n"
	"fi_end fi_swapped\n"
	"fi_begin fi_never\n"
	"	movl %edi, %eax; ret\n"
	"fi_end fi_never\n");

/* Values that flow: each accesses *(rdi + 0x40) and *(*(rdi + 0x80) + 0x20) in its own way. */
__asm__("fi_begin fi_direct\n"
	"	movl $7, 0x40(%rdi); movq 0x80(%rdi), %rax; movl 0x20(%rax), %eax; ret\n"
	"fi_end fi_direct\n"
	"fi_begin fi_shifted\n" /* through other registers, at a distance */
	"	pushq %rbx; leaq 0x30(%rdi), %rbx; addq $0x20, %rbx; movl $7, %esi\n"
	"	movl %esi, -0x10(%rbx); movq 0x30(%rbx), %rcx; subq $-0x10, %rcx\n"
	"	movl 0x10(%rcx), %eax; popq %rbx; ret\n"
	"fi_end fi_shifted\n"
	"fi_begin fi_stack\n" /* through the stack */
	"	subq $0x18, %rsp; movq %rdi, 8(%rsp); call fi_direct; movq 8(%rsp), %rdx\n"
	"	movl $7, 0x40(%rdx); movq 0x80(%rdx), %rdx; addq $0x18, %rsp\n"
	"	movl 0x20(%rdx), %eax; ret\n"
	"fi_end fi_stack\n"
	"fi_begin fi_out_of_line\n" /* a block behind the end, which leads back */
	"	pushq %rbx; movq %rdi, %rbx; testl %esi, %esi; jne 2f; popq %rbx; ret\n"
	"1:	movq 0x80(%rbx), %rax; movl 0x20(%rax), %eax; popq %rbx; ret\n"
	"2:	movl $7, 0x40(%rbx); jmp 1b\n"
	"fi_end fi_out_of_line\n"
	"fi_begin fi_table\n" /* a block that only a jump table leads to */
	"	pushq %rbx; movq %rdi, %rbx; jmp *%rsi\n"
	"	nop; nopw 0(%rax,%rax,1)\n"
	"	movl $7, 0x40(%rbx); movq 0x80(%rbx), %rax; movl 0x20(%rax), %eax\n"
	"	popq %rbx; ret\n"
	"fi_end fi_table\n"
	"fi_begin fi_clobbered\n" /* a call, another store to the stack, two ways that differ */
	"	subq $0x18, %rsp; movq %rdi, 8(%rsp); call fi_direct; movl $7, 0x40(%rdi)\n"
	"	movl $0, 12(%rsp); movq 8(%rsp), %rax; movq 0x80(%rax), %rax\n"
	"	movl 0x20(%rax), %eax; addq $0x18, %rsp; ret\n"
	"fi_end fi_clobbered\n"
	"fi_begin fi_differs\n"
	"	movq %rdi, %rax; testl %esi, %esi; je 1f; movq %rdx, %rax\n"
	"1:	movl $7, 0x40(%rax); movq 0x80(%rax), %rax; movl 0x20(%rax), %eax; ret\n"
	"fi_end fi_differs\n");

static struct elfobj *open_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elfobj *eo;

	if (fd < 0) {
		print_message("no %s: %s\n", path, strerror(errno));
		skip();
	}
	assert_int_equal(elfobj_open(fd, path, &eo, NULL), 0);
	close(fd);
	return eo;
}

static uint64_t address_of(const struct elfobj *eo, const char *name)
{
	uint64_t addr, size;

	assert_int_equal(elfobj_lookup(eo, name, &addr, &size), 0);
	return addr;
}

/* Offset of the probe, or -1 - offset if it is stepped. */
static int probe_of(const struct elfobj *eo, const char *name, unsigned int args)
{
	struct fwork work = {.left = FINDER_WORK};
	struct fctx c = {.eo = eo, .work = &work};
	struct finder_func f = {.addr = address_of(eo, name)};
	int off;

	finder_probe(&c, &f, args);
	off = (int)(f.probe - f.addr);
	assert_true(f.end > f.addr);
	return f.emulated ? off : -1 - off;
}

static void test_probe(void **state)
{
	struct elfobj *eo = open_path("/proc/self/exe");

	(void)state;
	assert_int_equal(probe_of(eo, "fi_push_first", 7), 0);
	assert_int_equal(probe_of(eo, "fi_endbr", 7), 4);
	assert_int_equal(probe_of(eo, "fi_jcc", 3), 6);
	assert_int_equal(probe_of(eo, "fi_late", 1), -1);
	assert_int_equal(probe_of(eo, "fi_late", 2), 6);
	assert_int_equal(probe_of(eo, "fi_writes", 1), -1);
	assert_int_equal(probe_of(eo, "fi_loops", 1), -1);
	assert_int_equal(probe_of(eo, "fi_spills", 7), 5);
	assert_int_equal(probe_of(eo, "fi_never", 1), -1);
	elfobj_free(eo);
}

/* Which register the probe reads. */
static int reg_of(const struct elfobj *eo, const char *name, unsigned int args, unsigned int n)
{
	struct fwork work = {.left = FINDER_WORK};
	struct fctx c = {.eo = eo, .work = &work};
	struct finder_func f = {.addr = address_of(eo, name)};

	finder_probe(&c, &f, args);
	return f.reg[n];
}

static void test_moved(void **state)
{
	struct elfobj *eo = open_path("/proc/self/exe");

	(void)state;
	assert_int_equal(probe_of(eo, "fi_moved", 1), 7 + 3 + 5 + 2);
	assert_int_equal(reg_of(eo, "fi_moved", 1, 0), FR_DX);
	assert_int_equal(probe_of(eo, "fi_moved", 5), -1); /* the third is lost */
	assert_int_equal(reg_of(eo, "fi_moved", 5, 0), FR_DI);
	assert_int_equal(probe_of(eo, "fi_twice", 3), 15);
	assert_int_equal(reg_of(eo, "fi_twice", 3, 0), 9);
	assert_int_equal(reg_of(eo, "fi_twice", 3, 1), FR_14);
	assert_int_equal(probe_of(eo, "fi_half", 1), -1);
	assert_int_equal(probe_of(eo, "fi_copy_lost", 1), -1);
	assert_int_equal(reg_of(eo, "fi_copy_lost", 1, 0), FR_DI);
	assert_int_equal(probe_of(eo, "fi_swapped", 1), -1);
	assert_int_equal(reg_of(eo, "fi_push_first", 7, 2), FR_DX);
	elfobj_free(eo);
}

/* Bit 0: 7 is stored at arg0 + 0x40; bit 1: what arg0 + 0x80 points at is read at 0x20. */
static int flow_of(const struct elfobj *eo, const char *name)
{
	const struct fwant want[] = {
	    {{.kind = FV_ARG, .off = 0x40}, 4, FW_WRITE | FW_VALUE, 7},
	    {{.kind = FV_LOAD, .load = 0x80, .off = 0x20}, 4, FW_READ, 0},
	};
	struct fwork work = {.left = FINDER_WORK}, none = {.left = 0};
	struct ffunc fn;
	int64_t got;

	assert_int_equal(fi_func(eo, address_of(eo, name), &work, &fn), 0);
	got = ff_match(&fn, want, 2);
	assert_true(got >= 0);
	fn.work = &none;
	assert_int_equal(ff_match(&fn, want, 2), -E2BIG);
	fi_release(&fn);
	return (int)got;
}

static void test_flow(void **state)
{
	struct elfobj *eo = open_path("/proc/self/exe");
	struct ffunc fn;
	struct fwork work = {.left = 1};

	(void)state;
	assert_int_equal(flow_of(eo, "fi_direct"), 3);
	assert_int_equal(flow_of(eo, "fi_shifted"), 3);
	assert_int_equal(flow_of(eo, "fi_stack"), 3);
	assert_int_equal(flow_of(eo, "fi_out_of_line"), 3);
	assert_int_equal(flow_of(eo, "fi_table"), 3);
	assert_int_equal(flow_of(eo, "fi_clobbered"), 0);
	assert_int_equal(flow_of(eo, "fi_differs"), 0);
	assert_int_equal(fi_func(eo, address_of(eo, "fi_direct"), &work, &fn), -E2BIG);
	assert_int_equal(fi_func(eo, address_of(eo, "fi_direct") + 1, &work, &fn), -EINVAL);
	assert_int_equal(fi_func(eo, 1, &work, &fn), -EINVAL);
	elfobj_free(eo);
}

static void test_no_vm(void **state)
{
	static const char *const paths[] = {"/proc/self/exe", LIBC};
	struct why why;
	struct finder f;
	struct elfobj *eo;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		eo = open_path(paths[i]);
		memset(&why, 0, sizeof(why));
		assert_int_equal(finder_run(eo, NULL, 0, &f, &why), -ENOENT);
		assert_int_equal(why.code, WHY_TARGET);
		assert_int_equal(finder_check_layout(&f, &layout_by_name(LUAJIT_ROW)->l, NULL, 0),
				 -ENOENT);
		elfobj_free(eo);
	}
}

/* All of it is there, by code alone, and agrees with the layout. */
static void is_complete(const struct finder *f, int how)
{
	unsigned int i;
	char text[256];

	assert_true(f->jit);
	assert_string_equal(f->text, "");
	for (i = 0; i < FINDER_NFUNCS; i++) {
		if (f->func[i].how != how)
			fail_msg("%s: %s", finder_name(i), f->func[i].text);
		assert_true(f->func[i].addr && f->func[i].probe >= f->func[i].addr);
		assert_true(f->func[i].text[0] && f->func[i].arg0 != FINDER_ARG_UNKNOWN);
		if (i != FINDER_VM_CPCALL)
			assert_true(f->func[i].probe < f->func[i].end);
	}
	assert_int_equal(f->anchors, (1u << FINDER_NANCHORS) - 1);
	assert_true(f->bc_ofs && f->nbc_ofs >= 97);
	assert_int_equal(finder_check_layout(f, &layout_by_name(LUAJIT_ROW)->l, text, sizeof(text)),
			 0);
	assert_string_equal(text, "");
}

static int is_known(const struct elfobj *eo)
{
	return !strcmp(elfobj_build_id(eo), LIBLUAJIT_KNOWN);
}

static void test_stripped(void **state)
{
	struct elfobj *eo = open_path(LIBLUAJIT);
	struct finder f;

	(void)state;
	assert_int_equal(finder_run(eo, NULL, 0, &f, NULL), 0);
	if (is_known(eo)) {
		is_complete(&f, FINDER_BY_CODE);
		assert_int_equal(f.func[FINDER_TRACE_HOT].addr, 0x694d0);
		assert_int_equal(f.func[FINDER_TRACE_EXIT].addr, 0x69810);
		assert_int_equal(f.func[FINDER_TRACE_STATE].addr, 0x5c7e0);
		assert_int_equal(f.func[FINDER_TRACE_ERR].addr, 0x19db0);
		assert_int_equal(f.func[FINDER_TRACE_ERR_INFO].addr, 0x1c350);
		assert_int_equal(f.func[FINDER_TRACE_ERR_INFO].arg0, FINDER_ARG_L);
		assert_int_equal(f.func[FINDER_DISPATCH_UPDATE].addr, 0x15be0);
		assert_int_equal(f.func[FINDER_DISPATCH_UPDATE].probe, 0x15c2d);
		assert_true(f.func[FINDER_DISPATCH_UPDATE].emulated);
		assert_int_equal(f.func[FINDER_TRACE_FLUSHALL].addr, 0x58a70);
		assert_int_equal(f.func[FINDER_TRACE_FLUSHALL].arg0, FINDER_ARG_L);
		assert_int_equal(f.func[FINDER_VM_CPCALL].addr, 0xbe9f);
	}
	elfobj_free(eo);
}

/* Whoever wants no more than the anchors gets the same ones. */
static void test_only_anchors(void **state)
{
	struct elfobj *eo = open_path(LIBLUAJIT);
	struct finder all, few;
	unsigned int i;

	(void)state;
	assert_int_equal(finder_run(eo, NULL, 0, &all, NULL), 0);
	assert_int_equal(finder_run(eo, NULL, FINDER_ONLY_ANCHORS, &few, NULL), 0);
	assert_true(all.anchors != 0);
	assert_int_equal(few.anchors, all.anchors);
	assert_memory_equal(few.anchor, all.anchor, sizeof(all.anchor));
	assert_int_equal(few.dualnum, all.dualnum);
	for (i = 0; i < FINDER_NFUNCS; i++)
		assert_int_equal(few.func[i].probe, 0);
	elfobj_free(eo);
}

/* The functions at the same addresses, and in files without exported symbols too. */
static void is_same(const struct elfobj *eo, unsigned int flags, const struct finder *truth)
{
	struct finder f;
	unsigned int i;

	assert_int_equal(finder_run(eo, NULL, flags, &f, NULL), 0);
	is_complete(&f, FINDER_BY_CODE);
	for (i = 0; i < FINDER_NFUNCS; i++) {
		assert_int_equal(f.func[i].addr, truth->func[i].addr);
		assert_int_equal(f.func[i].arg0, truth->func[i].arg0);
		assert_int_equal(f.func[i].probe, truth->func[i].probe);
	}
	assert_memory_equal(f.anchor, truth->anchor, sizeof(f.anchor));
	assert_int_equal(f.bc_ofs, truth->bc_ofs);
}

static void has_symbols(const struct elfobj *twin, struct finder *f)
{
	uint64_t addr[4];
	unsigned int i;
	size_t k, n;

	assert_int_equal(finder_run(twin, NULL, 0, f, NULL), 0);
	is_complete(f, FINDER_BY_CODE | FINDER_BY_SYMBOL);
	for (i = 0; i < FINDER_NFUNCS; i++) {
		n = elfobj_clones(twin, finder_name(i), addr, 4);
		assert_in_range(n, 1, 4);
		for (k = 0; k < n && addr[k] != f->func[i].addr; k++)
			;
		assert_true(k < n);
	}
	assert_int_equal(address_of(twin, "lj_bc_ofs"), f->bc_ofs);
	is_same(twin, FINDER_NO_SYMBOLS, f);
	is_same(twin, FINDER_NO_SYMBOLS | FINDER_NO_EXPORTS, f);
}

static void test_twin(void **state)
{
	const char *path = getenv("LJX_TWIN");
	struct elfobj *eo, *twin;
	struct finder f;

	(void)state;
	if (!path)
		skip();
	twin = open_path(path);
	has_symbols(twin, &f);
	eo = open_path(LIBLUAJIT);
	if (is_known(eo)) {
		is_same(eo, 0, &f);
		is_same(eo, FINDER_NO_EXPORTS, &f);
	}
	elfobj_free(eo);
	elfobj_free(twin);
}

/* The interpreter has the VM in itself. The twin's lies where it was built, if that was kept. */
static void test_luajit(void **state)
{
	const char *twin_path = getenv("LJX_TWIN");
	struct elfobj *eo = open_path(LUAJIT), *twin;
	struct finder f, truth;
	char path[4096];

	(void)state;
	assert_int_equal(finder_run(eo, NULL, FINDER_NO_SYMBOLS, &f, NULL), 0);
	is_complete(&f, FINDER_BY_CODE);
	snprintf(path, sizeof(path), "%.*s/source/src/luajit",
		 twin_path ? (int)(strrchr(twin_path, '/') - twin_path) : 0, twin_path);
	if (!access(path, R_OK)) {
		twin = open_path(path);
		has_symbols(twin, &truth);
		is_same(eo, 0, &truth);
		elfobj_free(twin);
	}
	elfobj_free(eo);
}

static void test_layouts(void **state)
{
	struct elfobj *eo = open_path(LIBLUAJIT);
	const struct layout_row *row;
	struct finder f;
	char text[64], line[512];
	struct layout l;
	size_t i, n, fit = 0;
	int bad;

	(void)state;
	if (!is_known(eo))
		skip();
	assert_int_equal(finder_run(eo, NULL, 0, &f, NULL), 0);
	row = layout_rows(&n);
	for (i = 0; i < n; i++) {
		bad = finder_check_layout(&f, &row[i].l, text, sizeof(text));
		assert_true(bad >= 0 && strlen(text) < sizeof(text));
		assert_int_equal(bad == 0, text[0] == '\0');
		fit += bad == 0;
	}
	assert_in_range(fit, 1, 3);
	l = layout_by_name(LUAJIT_ROW)->l;
	assert_int_equal(finder_run(eo, &l, 0, &f, NULL), 0);
	is_complete(&f, FINDER_BY_CODE);
	l.J_state += 4;
	assert_int_equal(finder_check_layout(&f, &l, line, sizeof(line)), 1);
	assert_string_equal(line, "J_state is 236, in the layout 240\n");
	/* A layout that contradicts: nothing is reported. */
	assert_int_equal(finder_run(eo, &l, 0, &f, NULL), 0);
	for (i = 0; i < FINDER_NFUNCS; i++)
		assert_true(!f.func[i].addr && !f.func[i].how && f.func[i].text[0]);
	assert_non_null(strstr(f.text, "layout"));
	elfobj_free(eo);
}

static unsigned char *read_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char *p;
	struct stat st;

	if (fd < 0)
		skip();
	assert_int_equal(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	p = malloc(*len);
	assert_non_null(p);
	assert_int_equal(read(fd, p, *len), *len);
	close(fd);
	return p;
}

/* Whatever the bytes are, what is reported is the start of a function. */
static void look_at(const unsigned char *p, size_t len)
{
	int fd = memfile(p, len);
	uint64_t start, end;
	struct elfobj *eo;
	struct finder f;
	unsigned int i;

	if (!elfobj_open(fd, "memfd", &eo, NULL)) {
		if (!finder_run(eo, NULL, 0, &f, NULL)) {
			for (i = 0; i < FINDER_NFUNCS; i++) {
				if (!f.func[i].addr || i == FINDER_VM_CPCALL)
					continue;
				assert_int_equal(
				    elfobj_func_bounds(eo, f.func[i].addr, &start, &end), 0);
				assert_int_equal(start, f.func[i].addr);
				assert_true(f.func[i].probe >= start && f.func[i].probe < end);
			}
		}
		elfobj_free(eo);
	}
	close(fd);
}

static void test_garbage(void **state)
{
	size_t len, i, k, at, span;
	unsigned char *p = read_file(LIBLUAJIT, &len), *copy = malloc(len);
	uint32_t seed = 1;

	(void)state;
	assert_non_null(copy);
	for (i = 0; i < 40; i++) {
		memcpy(copy, p, len);
		/* A few bytes anywhere, or many in the VM, whose place does not matter much. */
		span = i & 1 ? len : 0x20000;
		for (k = 0; k < 1u << i % 12; k++) {
			seed = seed * 1664525u + 1013904223u;
			at = seed % span;
			copy[at] = (unsigned char)(seed >> 24);
		}
		look_at(copy, len);
	}
	for (i = 0; i < 8; i++)
		look_at(p, len / 8 * i);
	free(copy);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_probe),    cmocka_unit_test(test_moved),
	    cmocka_unit_test(test_flow),     cmocka_unit_test(test_no_vm),
	    cmocka_unit_test(test_stripped), cmocka_unit_test(test_twin),
	    cmocka_unit_test(test_luajit),   cmocka_unit_test(test_layouts),
	    cmocka_unit_test(test_garbage),  cmocka_unit_test(test_only_anchors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
