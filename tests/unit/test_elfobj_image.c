// SPDX-License-Identifier: MIT
/* bpf/elfobj*.c on ELF files made here: interpreters in all shapes, and what must be refused. */
#include "bpf/elfobj.h"
#include "tests/unit/memfile.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static void refused(const void *p, size_t len)
{
	struct elfobj *eo = NULL;
	struct why why = {0};
	int fd = memfile(p, len);

	assert_int_equal(elfobj_open(fd, "x", &eo, &why), -ENOEXEC);
	assert_string_equal(why.text, "'x' is no x86-64 ELF executable or shared object");
	assert_int_equal(why.code, WHY_UNSUPPORTED);
	assert_null(eo);
	close(fd);
}

/* A whole program in one segment: headers, then code. */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	unsigned char code[1 << 20];
};

static struct image *new_image(size_t code)
{
	struct image *im = calloc(1, sizeof(*im));

	assert_non_null(im);
	memcpy(im->eh.e_ident, ELFMAG, SELFMAG);
	im->eh.e_ident[EI_CLASS] = ELFCLASS64;
	im->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	im->eh.e_type = ET_DYN;
	im->eh.e_machine = EM_X86_64;
	im->eh.e_phoff = offsetof(struct image, ph);
	im->eh.e_phentsize = sizeof(im->ph[0]);
	im->eh.e_phnum = 1;
	im->ph[0].p_type = PT_LOAD;
	im->ph[0].p_flags = PF_R | PF_X;
	im->ph[0].p_vaddr = 0x10000;
	im->ph[0].p_filesz = im->ph[0].p_memsz = offsetof(struct image, code) + code;
	memset(im->code, 0x90, sizeof(im->code));
	return im;
}

static uint64_t code_vaddr(size_t off)
{
	return 0x10000 + offsetof(struct image, code) + off;
}

/* Puts n dispatch sequences into the code from off on, step bytes apart. */
static void put_vm(struct image *im, size_t off, unsigned int n, size_t step, const char *rex,
		   const char *notrack)
{
	unsigned char *p;

	for (; n; n--, off += step) {
		p = mempcpy(im->code + off, "\x0f\xb6\xcc\x0f\xb6\xe8", 6);
		p = mempcpy(p, rex, strlen(rex));
		p = mempcpy(p, "\x83\xc3\x04\xc1\xe8\x10", 6);
		p = mempcpy(p, notrack, strlen(notrack));
		memcpy(p, "\x41\xff\x24\xee", 4);
	}
}

static int vm_of(const struct image *im, struct elfobj_vm *vm)
{
	int fd = memfile(im, im->ph[0].p_filesz), err;
	struct elfobj *eo;

	assert_int_equal(elfobj_open(fd, "image", &eo, NULL), 0);
	close(fd);
	err = elfobj_luajit(eo, vm);
	elfobj_free(eo);
	return err;
}

/* Without any FDE the extent is estimated, but never misses what was found. */
static void test_vm_without_fde(void **state)
{
	static const struct {
		size_t off, step;
		unsigned int n;
		const char *rex, *notrack;
		int found;
	} cases[] = {
	    {0x1000, 200, 81, "\x48", "", 1},	  {0x1000, 200, 81, "", "", 1},
	    {0x1000, 200, 81, "\x48", "\x3e", 1}, {0x1000, 200, 59, "\x48", "", 0},
	    {0x1000, 200, 60, "\x48", "", 1},	  {0x1000, 1000, 81, "\x48", "", 0},
	    {0, 18, 81, "\x48", "\x3e", 1},	  {250000, 200, 81, "\x48", "", 1},
	    {0x3f000, 17, 900, "\x48", "", 1},
	};
	struct elfobj_vm vm;
	struct image *im;
	size_t i, last;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		im = new_image(sizeof(im->code));
		put_vm(im, cases[i].off, cases[i].n, cases[i].step, cases[i].rex, cases[i].notrack);
		assert_int_equal(vm_of(im, &vm), cases[i].found ? 0 : -ENOENT);
		free(im);
		if (!cases[i].found)
			continue;
		last = cases[i].off + (cases[i].n - 1) * cases[i].step;
		assert_int_equal(vm.ins_next, cases[i].n);
		assert_int_equal(vm.gc64, cases[i].rex[0] != 0);
		assert_in_range(vm.asm_start, code_vaddr(cases[i].off) - 80,
				code_vaddr(cases[i].off));
		assert_in_range(vm.asm_end, code_vaddr(last + 16), code_vaddr(last + 0x1400));
		assert_string_equal(vm.version, "");
	}
}

static void test_vm_at_the_end(void **state)
{
	struct image *im = new_image(0x4000);
	struct elfobj_vm vm;

	(void)state;
	put_vm(im, 0x4000 - 60 * 64 + 64 - 17, 60, 64, "\x48", "");
	assert_int_equal(vm_of(im, &vm), 0);
	assert_int_equal(vm.asm_end, code_vaddr(0x4000));
	/* one byte less is one copy less */
	im->ph[0].p_filesz--;
	assert_int_equal(vm_of(im, &vm), -ENOENT);
	free(im);
}

#define EH_OFF 0x80000u /* in code: .eh_frame_hdr, and 0x1000 after it .eh_frame */

static void put32(unsigned char *p, int64_t v)
{
	int32_t v32 = (int32_t)v;

	memcpy(p, &v32, sizeof(v32));
}

/* Describes functions, each by offset in the code and size, as ld does. */
static void put_fdes(struct image *im, unsigned int n, const unsigned int (*func)[2])
{
	static const unsigned char cie[] = {20, 0,    0,  0, 0,	   0, 0, 0, 1, 'z', 'R', 0,
					    1,	0x78, 16, 1, 0x1b, 0, 0, 0, 0, 0,   0,	 0};
	unsigned char *hdr = im->code + EH_OFF, *frame = hdr + 0x1000, *fde = frame + sizeof(cie);
	unsigned int i;

	im->eh.e_phnum = 2;
	im->ph[1].p_type = PT_GNU_EH_FRAME;
	im->ph[1].p_vaddr = code_vaddr(EH_OFF);
	im->ph[1].p_filesz = 12 + 8 * n;
	memcpy(hdr, "\x01\x1b\x03\x3b", 4);
	put32(hdr + 4, 0x1000 - 4);
	put32(hdr + 8, n);
	memcpy(frame, cie, sizeof(cie));
	for (i = 0; i < n; i++, fde += 20) {
		put32(hdr + 12 + 8 * i, (int64_t)func[i][0] - EH_OFF);
		put32(hdr + 16 + 8 * i, fde - hdr);
		put32(fde, 16);
		put32(fde + 4, fde + 4 - frame);
		put32(fde + 8, im->code + func[i][0] - (fde + 8));
		put32(fde + 12, func[i][1]);
	}
}

static void test_vm_with_fde(void **state)
{
	static const unsigned int exact[][2] = {{0, 100}, {0x1000, 0x5001}, {0x9000, 0x5000}};
	static const unsigned int hole[][2] = {{0, 100}, {0xf80, 0x40}, {0x5100, 0x100}};
	static const unsigned int small[][2] = {{0, 100}, {0x1000, 0x2fff}, {0x4000, 0x10000}};
	static const unsigned int unsorted[][2] = {{0x800, 10}, {0, 10}, {0x1000, 0x5001}};
	struct image *im = new_image(sizeof(im->code));
	struct elfobj_vm vm;

	(void)state;
	put_vm(im, 0x1030, 81, 200, "\x48", "");
	put_fdes(im, 3, exact);
	assert_int_equal(vm_of(im, &vm), 0);
	assert_int_equal(vm.asm_start, code_vaddr(0x1000));
	assert_int_equal(vm.asm_end, code_vaddr(0x6001));
	/* in no function: from one's end to the next one's start at most */
	put_fdes(im, 3, hole);
	assert_int_equal(vm_of(im, &vm), 0);
	assert_in_range(vm.asm_start, code_vaddr(0xfc0), code_vaddr(0x1030));
	assert_int_equal(vm.asm_end, code_vaddr(0x5100));
	/* spread over two functions */
	put_fdes(im, 3, small);
	assert_int_equal(vm_of(im, &vm), -ENOENT);
	put_fdes(im, 3, unsorted);
	assert_int_equal(vm_of(im, &vm), -ENOENT);
	free(im);
}

/* The banner and a string that straddles what is read at once. */
static void test_version(void **state)
{
	static const size_t at[] = {0x8000, (256 << 10) - 5, (128 << 10) - 5, 0x50000};
	struct elfobj_vm vm;
	struct image *im;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		im = new_image(sizeof(im->code));
		put_vm(im, 0x1000, 81, 200, "\x48", "");
		strcpy((char *)im->code + 0x7000, "LuaJIT 2.1.0-beta3 -- Copyright");
		assert_int_equal(vm_of(im, &vm), 0);
		assert_string_equal(vm.version, "LuaJIT 2.1.0-beta3");
		strcpy((char *)im->code + at[i], "LuaJIT 2.1.1737090214");
		assert_int_equal(vm_of(im, &vm), 0);
		assert_string_equal(vm.version, "LuaJIT 2.1.1737090214");
		memset(im->code + at[i] + 9, '7', 200);
		assert_int_equal(vm_of(im, &vm), 0);
		assert_string_equal(vm.version, "LuaJIT 2.1.0-beta3");
		free(im);
	}
}

static void test_refused(void **state)
{
	struct image *im = new_image(0x1000);
	size_t len = offsetof(struct image, code) + 0x1000, cut;
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct elfobj *eo;

	(void)state;
	assert_int_equal(elfobj_open(fd, "/", &eo, NULL), -ENOEXEC);
	close(fd);
	assert_int_equal(elfobj_open(-1, "/", &eo, NULL), -EBADF);
	for (cut = 0; cut < len; cut++)
		refused(im, cut);
	im->eh.e_machine = EM_AARCH64;
	refused(im, len);
	im->eh.e_machine = EM_X86_64;
	im->eh.e_type = ET_REL;
	refused(im, len);
	im->eh.e_type = ET_DYN;
	im->eh.e_ident[EI_CLASS] = ELFCLASS32;
	refused(im, len);
	im->eh.e_ident[EI_CLASS] = ELFCLASS64;
	im->ph[0].p_vaddr = UINT64_MAX - 0x1000;
	refused(im, len);
	im->ph[0].p_vaddr = 0;
	im->ph[0].p_offset = UINT64_MAX - 8;
	refused(im, len);
	im->ph[0].p_type = PT_NULL;
	refused(im, len);
	elfobj_free(NULL);
	free(im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vm_without_fde), cmocka_unit_test(test_vm_at_the_end),
	    cmocka_unit_test(test_vm_with_fde),	   cmocka_unit_test(test_version),
	    cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
