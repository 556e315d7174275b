// SPDX-License-Identifier: MIT
/*
 * bpf/elfobj*.c on Debian's own files and on this program.
 *
 * This program is the case with symbols: the functions below are written in assembly so that names,
 * sizes and frame descriptions are known.
 */
#include "bpf/elfobj.h"
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
#define LUA_MODULE "/usr/lib/nginx/modules/ngx_http_lua_module.so"
#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"
#define LIBM "/lib/x86_64-linux-gnu/libm.so.6"

/* One function with an FDE and two labels without type or size, one label without any FDE. */
__asm__(".text\n"
	".p2align 4\n"
	"eo_test_first: .cfi_startproc\n"
	"	nop; nop; nop; nop\n"
	"eo_test_second:\n"
	"	nop; nop; nop; ret\n"
	"	.cfi_endproc\n"
	"eo_test_bare: nop; nop; ret\n"
	".p2align 4\n");

/* Three names of one function that has a size; a smaller one inside; a byte that is in none. */
__asm__(".text\n"
	".p2align 4\n"
	".globl eo_test_root, __eo_test_rt, eo_test_rootf64, eo_test_inner\n"
	".hidden eo_test_root, __eo_test_rt, eo_test_rootf64, eo_test_inner\n"
	".type eo_test_root, @function\n"
	".type __eo_test_rt, @function\n"
	".type eo_test_rootf64, @function\n"
	".type eo_test_inner, @function\n"
	"__eo_test_rt:\n"
	"eo_test_rootf64:\n"
	"eo_test_root: .cfi_startproc\n"
	"	nop; nop; nop; nop\n"
	"eo_test_inner: nop; nop\n"
	".size eo_test_inner, 2\n"
	"	nop; ret\n"
	".size eo_test_root, 8\n"
	".size __eo_test_rt, 8\n"
	".size eo_test_rootf64, 8\n"
	"	nop\n"
	"	.cfi_endproc\n"
	".p2align 4\n");

/* What compilers make of one function: its clones, the cold part of it, and another function. */
__asm__(".text\n"
	".macro eo_clone name\n"
	".type \"\\name\", @function\n"
	"\"\\name\": .cfi_startproc\n"
	"	nop; ret\n"
	"	.cfi_endproc\n"
	".size \"\\name\", 2\n"
	".endm\n"
	"eo_clone eo_test_clone.isra.0\n"
	"eo_clone eo_test_clone.constprop.1.part.0\n"
	"eo_clone eo_test_clone.llvm.123456\n"
	"eo_clone eo_test_clone.cold\n"
	"eo_clone eo_test_clone.isra.0.cold\n"
	"eo_clone eo_test_clone2\n");

extern const char eo_test_root[];

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

static unsigned char *read_self(size_t *len)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	unsigned char *p;
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	p = malloc(*len);
	assert_non_null(p);
	assert_int_equal(read(fd, p, *len), *len);
	close(fd);
	return p;
}

static uint64_t address_of(const struct elfobj *eo, const char *name)
{
	uint64_t addr, size;

	assert_int_equal(elfobj_lookup(eo, name, &addr, &size), 0);
	return addr;
}

/* The symbol at addr must be name, from start to end relative to base. */
static void is_symbol(const struct elfobj *eo, uint64_t addr, const char *name, uint64_t base,
		      uint64_t start, uint64_t end)
{
	const char *got;
	uint64_t s, e;

	assert_int_equal(elfobj_symbol(eo, addr, &got, &s, &e), 0);
	assert_string_equal(got, name);
	assert_int_equal(s, base + start);
	assert_int_equal(e, base + end);
}

static void no_symbol(const struct elfobj *eo, uint64_t addr)
{
	const char *name = NULL;
	uint64_t s, e;

	assert_int_equal(elfobj_symbol(eo, addr, &name, &s, &e), -ENOENT);
	assert_null(name);
}

static void test_alias(void **state)
{
	struct elfobj *eo = open_path("/proc/self/exe");
	uint64_t root = address_of(eo, "eo_test_root"), size;

	(void)state;
	assert_int_equal(elfobj_source(eo), ELFOBJ_SYMTAB);
	assert_int_equal(elfobj_lookup(eo, "eo_test_rootf64", &root, &size), 0);
	assert_int_equal(size, 8);
	is_symbol(eo, root, "eo_test_root", root, 0, 8);
	is_symbol(eo, root + 3, "eo_test_root", root, 0, 8);
	is_symbol(eo, root + 4, "eo_test_inner", root, 4, 6);
	is_symbol(eo, root + 6, "eo_test_root", root, 0, 8);
	no_symbol(eo, root + 8);
	assert_int_equal(elfobj_lookup(eo, "eo_test_nothing", &root, &size), -ENOENT);
	assert_int_equal(elfobj_lookup(eo, "", &root, &size), -ENOENT);
	elfobj_free(eo);
}

static void test_clones(void **state)
{
	struct elfobj *eo = open_path("/proc/self/exe");
	uint64_t base = address_of(eo, "eo_test_clone.isra.0"), addr[4] = {0}, size;

	(void)state;
	assert_int_equal(elfobj_clones(eo, "eo_test_clone", addr, 4), 3);
	assert_int_equal(addr[0] + addr[1] + addr[2], 3 * base + 2 + 4);
	assert_int_equal(addr[3], 0);
	addr[1] = 0;
	assert_int_equal(elfobj_clones(eo, "eo_test_clone", addr, 1), 3);
	assert_int_equal(addr[1], 0);
	assert_int_equal(elfobj_clones(eo, "eo_test_clone2", addr, 4), 1);
	assert_int_equal(addr[0], base + 10);
	assert_int_equal(elfobj_clones(eo, "eo_test_nothing", addr, 4), 0);
	assert_int_equal(elfobj_export(eo, "eo_test_clone2", &base, &size), -ENOENT);
	elfobj_free(eo);

	eo = open_path(LIBLUAJIT);
	assert_int_equal(elfobj_export(eo, "lua_sethook", &base, &size), 0);
	assert_int_equal(address_of(eo, "lua_sethook"), base);
	assert_int_equal(elfobj_export(eo, "memcpy", &base, &size), -ENOENT);
	elfobj_free(eo);
}

static void test_code(void **state)
{
	struct elfobj *eo = open_path("/proc/self/exe");
	uint64_t first = address_of(eo, "eo_test_first"), bare = address_of(eo, "eo_test_bare");
	uint64_t start, end, last = 0, at = 0;
	unsigned char buf[8];
	size_t n = 0;

	(void)state;
	assert_int_equal(elfobj_next_func(eo, first, &start, &end), 0);
	assert_int_equal(start, first);
	assert_int_equal(end, first + 8);
	assert_int_equal(elfobj_next_func(eo, first - 1, &start, &end), 0);
	assert_int_equal(start, first);
	assert_int_equal(elfobj_next_func(eo, first + 1, &start, &end), 0);
	assert_true(start > bare);
	for (; !elfobj_next_func(eo, at, &start, &end); at = start + 1, n++) {
		assert_true(start >= at && start > last && end > start);
		last = start;
	}
	assert_true(n > 10);
	assert_int_equal(elfobj_next_func(eo, UINT64_MAX, &start, &end), -ENOENT);

	assert_int_equal(elfobj_read(eo, first, buf, 8), 8);
	assert_memory_equal(buf, "\x90\x90\x90\x90\x90\x90\x90\xc3", 8);
	assert_int_equal(elfobj_read(eo, UINT64_MAX, buf, 8), 0);
	assert_int_equal(elfobj_offset(eo, first, &at), 0);
	assert_int_equal(elfobj_vaddr(eo, at, &last), 0);
	assert_int_equal(last, first);
	assert_int_equal(elfobj_offset(eo, UINT64_MAX, &at), -ENOENT);
	assert_int_equal(elfobj_text(eo, first, &start, &end), 0);
	assert_true(start <= first && first < end);
	assert_int_equal(elfobj_read(eo, end - 4, buf, 8), 4);
	assert_int_equal(elfobj_text(eo, end, &start, &end), -ENOENT);
	assert_int_equal(elfobj_text(eo, elfobj_first_vaddr(eo), &start, &end), -ENOENT);
	elfobj_free(eo);
}

static struct elfobj *without_table(const char *path, int sections)
{
	int fd = memfile_without_table(path, sections);
	struct elfobj *eo;

	assert_int_equal(elfobj_open(fd, "copy", &eo, NULL), 0);
	close(fd);
	return eo;
}

static int add_row(void *ctx, const struct elfobj_row *row)
{
	uint64_t *sum = ctx;

	sum[0]++;
	sum[1] = sum[1] * 31 + row->pc + (uint64_t)row->off + row->cfa;
	return 0;
}

/* Linked without .eh_frame_hdr: the same functions, the same rows. */
static void test_no_table(void **state)
{
	struct elfobj *a = open_path(LIBLUAJIT), *b = without_table(LIBLUAJIT, 1);
	uint64_t at = 0, start, end, s, e, rows[2][2] = {{0}};
	struct elfobj_vm va, vb;
	size_t n = 0;

	(void)state;
	for (; !elfobj_next_func(a, at, &start, &end); at = start + 1, n++) {
		assert_int_equal(elfobj_next_func(b, at, &s, &e), 0);
		assert_true(s == start && e == end);
		assert_int_equal(elfobj_func_bounds(b, end - 1, &s, &e), 0);
		assert_true(s == start && e == end);
	}
	assert_true(n > 500);
	assert_int_equal(elfobj_next_func(b, at, &s, &e), -ENOENT);
	assert_int_equal(elfobj_luajit(a, &va), 0);
	assert_int_equal(elfobj_luajit(b, &vb), 0);
	assert_memory_equal(&va, &vb, sizeof(va));
	assert_int_equal(elfobj_cfi(a, add_row, rows[0]), 0);
	assert_int_equal(elfobj_cfi(b, add_row, rows[1]), 0);
	assert_memory_equal(rows[0], rows[1], sizeof(rows[0]));
	assert_true(rows[0][0] > n);
	elfobj_free(a);
	elfobj_free(b);

	b = without_table(LIBLUAJIT, 0);
	assert_int_equal(elfobj_next_func(b, 0, &s, &e), -ENOENT);
	assert_int_equal(elfobj_luajit(b, &vb), 0); /* its extent is a guess */
	elfobj_free(b);
}

static void test_sizeless(void **state)
{
	struct elfobj *eo = open_path("/proc/self/exe");
	uint64_t first = address_of(eo, "eo_test_first"), start, end;

	(void)state;
	is_symbol(eo, first, "eo_test_first", first, 0, 4);
	is_symbol(eo, first + 3, "eo_test_first", first, 0, 4);
	is_symbol(eo, first + 4, "eo_test_second", first, 4, 8);
	is_symbol(eo, first + 7, "eo_test_second", first, 4, 8);
	no_symbol(eo, first + 8);
	assert_int_equal(address_of(eo, "eo_test_bare"), first + 8);
	assert_int_equal(elfobj_func_bounds(eo, first + 7, &start, &end), 0);
	assert_int_equal(start, first);
	assert_int_equal(end, first + 8);
	assert_int_equal(elfobj_func_bounds(eo, first + 8, &start, &end), -ENOENT);
	assert_int_equal(elfobj_func_bounds(eo, UINT64_MAX, &start, &end), -ENOENT);
	assert_int_equal(elfobj_func_bounds(eo, 0, &start, &end), -ENOENT);
	elfobj_free(eo);
}

/* What a profiler does: address in the process -> mapping -> offset in the file -> symbol. */
static void test_mapped(void **state)
{
	struct elfobj *eo = open_path("/proc/self/exe");
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long ip = (unsigned long)(uintptr_t)eo_test_root, start, end, offset;
	uint64_t vaddr = 0, bias = 0;
	char line[512], exe[256] = "";

	(void)state;
	assert_non_null(maps);
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) != 3)
			continue;
		if (strstr(line, exe) && !bias && !offset)
			bias = start - elfobj_first_vaddr(eo);
		if (ip < start || ip >= end)
			continue;
		assert_int_equal(elfobj_vaddr(eo, ip - start + offset, &vaddr), 0);
	}
	fclose(maps);
	assert_int_equal(vaddr, address_of(eo, "eo_test_root"));
	assert_int_equal(ip - vaddr, bias);
	assert_int_equal(elfobj_vaddr(eo, UINT64_MAX, &vaddr), -ENOENT);
	elfobj_free(eo);
}

static void test_libluajit(void **state)
{
	struct elfobj *eo = open_path(LIBLUAJIT);
	struct elfobj_vm vm;
	uint64_t start, end;
	const char *name;

	(void)state;
	assert_int_equal(elfobj_luajit(eo, &vm), 0);
	assert_true(vm.gc64);
	assert_in_range(vm.ins_next, 60, 200);
	assert_in_range(vm.asm_end - vm.asm_start, 12 << 10, 40 << 10);
	assert_int_equal(strncmp(vm.version, "LuaJIT 2.1", 10), 0);
	if (!strcmp(elfobj_build_id(eo), LIBLUAJIT_KNOWN)) {
		assert_int_equal(vm.asm_start, 0x9e40);
		assert_int_equal(vm.asm_end, 0xde92);
		assert_int_equal(vm.ins_next, 81);
		assert_string_equal(vm.version, "LuaJIT 2.1.0-beta3");
	}
	/* stripped: nothing is known of the code of the VM but its bounds */
	assert_int_equal(elfobj_source(eo), ELFOBJ_NO_SYMBOLS);
	no_symbol(eo, vm.asm_start + 0x100);
	assert_int_equal(elfobj_func_bounds(eo, vm.asm_start + 0x100, &start, &end), 0);
	assert_int_equal(start, vm.asm_start);
	assert_int_equal(end, vm.asm_end);
	/* exported: the symbol and the FDE agree, and the symbol ends with the function */
	start = address_of(eo, "lua_pcall");
	assert_int_equal(elfobj_func_bounds(eo, start, &start, &end), 0);
	is_symbol(eo, end - 1, "lua_pcall", start, 0, end - start);
	if (!elfobj_symbol(eo, end, &name, &start, &end))
		assert_string_not_equal(name, "lua_pcall");
	elfobj_free(eo);
}

static void test_luajit_static(void **state)
{
	struct elfobj *eo = open_path("/usr/bin/luajit");
	struct elfobj_vm vm;
	uint64_t start, end;

	(void)state;
	assert_int_equal(elfobj_luajit(eo, &vm), 0);
	assert_true(vm.gc64);
	assert_int_equal(elfobj_func_bounds(eo, vm.asm_start, &start, &end), 0);
	assert_int_equal(end, vm.asm_end);
	/* not the banner */
	assert_null(strchr(vm.version + 7, ' '));
	assert_true(address_of(eo, "lua_pcall") > vm.asm_end);
	elfobj_free(eo);
}

static void not_luajit(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elfobj_vm vm = {.ins_next = 7};
	struct elfobj *eo;

	if (fd < 0)
		return;
	assert_int_equal(elfobj_open(fd, path, &eo, NULL), 0);
	close(fd);
	assert_int_equal(elfobj_luajit(eo, &vm), -ENOENT);
	assert_int_equal(vm.ins_next, 7);
	elfobj_free(eo);
}

static void test_not_luajit(void **state)
{
	(void)state;
	not_luajit("/proc/self/exe");
	not_luajit(LIBC);
	not_luajit(LIBM);
	not_luajit("/bin/sh");
	not_luajit("/usr/bin/python3");
	not_luajit(LUA_MODULE);
	not_luajit("/usr/sbin/nginx");
	not_luajit("/usr/lib/chromium/chromium");
}

static void test_libc(void **state)
{
	struct elfobj *eo = open_path(LIBM);
	uint64_t addr = address_of(eo, "sqrt"), start, end;
	const char *name;

	(void)state;
	assert_int_equal(address_of(eo, "f32xsqrtf64"), addr);
	assert_int_equal(elfobj_symbol(eo, addr, &name, &start, &end), 0);
	assert_string_equal(name, "sqrt");
	elfobj_free(eo);
	eo = open_path(LIBC);
	addr = address_of(eo, "qsort");
	assert_int_equal(elfobj_symbol(eo, addr, &name, &start, &end), 0);
	assert_string_equal(name, "qsort");
	/* with or without the package that has the debug file */
	elfobj_add_debug(eo, "");
	assert_int_equal(address_of(eo, "qsort"), addr);
	assert_int_equal(elfobj_symbol(eo, addr, &name, &start, &end), 0);
	assert_string_equal(name, "qsort");
	elfobj_free(eo);
}

static void test_plt(void **state)
{
	struct elfobj *eo = open_path(LUA_MODULE);
	unsigned int n = 0, lua = 0;
	const char *name, *mid;
	uint64_t addr;

	(void)state;
	for (addr = 0; addr < 1 << 19; addr += 16) {
		name = elfobj_plt_name(eo, addr);
		if (!name)
			continue;
		mid = elfobj_plt_name(eo, addr + 7);
		assert_true(mid == name);
		n++;
		lua += !strcmp(name, "lua_pcall") || !strcmp(name, "lua_gettop");
	}
	assert_true(n > 100);
	assert_int_equal(lua, 2);
	assert_null(elfobj_plt_name(eo, UINT64_MAX));
	elfobj_free(eo);
}

static int find_version(void *ctx, uint64_t vaddr, const void *p, size_t len)
{
	const char *at = memmem(p, len, "LuaJIT 2.1", 10);

	if (!at)
		return 0;
	*(uint64_t *)ctx = vaddr + (uint64_t)(at - (const char *)p);
	return 5;
}

static int count_segments(void *ctx, uint64_t vaddr, const void *p, size_t len)
{
	(void)vaddr;
	(void)p;
	assert_true(len > 0);
	(*(int *)ctx)++;
	return 0;
}

static void test_rodata(void **state)
{
	struct elfobj *eo = open_path(LIBLUAJIT);
	uint64_t at = 0;
	int n = 0;

	(void)state;
	assert_int_equal(elfobj_rodata(eo, find_version, &at), 5);
	assert_true(at > 0);
	assert_int_equal(elfobj_rodata(eo, count_segments, &n), 0);
	assert_in_range(n, 1, 4);
	elfobj_free(eo);
}

/* The owner cuts the file while it is open here. */
static void test_shrinks(void **state)
{
	struct elfobj *eo;
	struct elfobj_vm vm;
	uint64_t start, end, addr;
	unsigned char *p;
	size_t len;
	int fd, n = 0;

	(void)state;
	p = read_self(&len);
	fd = memfile(p, len);
	free(p);
	assert_int_equal(elfobj_open(fd, "self", &eo, NULL), 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(elfobj_luajit(eo, &vm), -ENOENT);
	assert_int_equal(elfobj_lookup(eo, "main", &addr, &start), -ENOENT);
	no_symbol(eo, 0x2000);
	assert_int_equal(elfobj_func_bounds(eo, 0x2000, &start, &end), -ENOENT);
	assert_null(elfobj_plt_name(eo, 0x2000));
	assert_true(elfobj_rodata(eo, count_segments, &n) < 0);
	elfobj_free(eo);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_alias),      cmocka_unit_test(test_no_table),
	    cmocka_unit_test(test_sizeless),   cmocka_unit_test(test_clones),
	    cmocka_unit_test(test_code),       cmocka_unit_test(test_mapped),
	    cmocka_unit_test(test_libluajit),  cmocka_unit_test(test_luajit_static),
	    cmocka_unit_test(test_not_luajit), cmocka_unit_test(test_libc),
	    cmocka_unit_test(test_plt),	       cmocka_unit_test(test_rodata),
	    cmocka_unit_test(test_shrinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
