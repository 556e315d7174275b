// SPDX-License-Identifier: MIT
/*
 * bpf/elfobj_debug.c: symbols that a file does not have itself. The file is this program without
 * its section headers; its symbols come from a whole copy of it.
 */
#include "bpf/elfobj.h"
#include "tests/unit/memfile.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

__asm__(".text\n"
	".p2align 4\n"
	".globl dbg_test_root\n"
	".hidden dbg_test_root\n"
	".type dbg_test_root, @function\n"
	"dbg_test_root: .cfi_startproc\n"
	"	nop; nop; nop; nop; nop; nop; nop; ret\n"
	"	.cfi_endproc\n"
	".size dbg_test_root, 8\n");

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

static struct elfobj *open_bytes(const void *p, size_t len)
{
	int fd = memfile(p, len);
	struct elfobj *eo;

	assert_int_equal(elfobj_open(fd, "test", &eo, NULL), 0);
	close(fd);
	return eo;
}

/* Where dbg_test_root is, and the build-id. */
static uint64_t truth(char id[130])
{
	unsigned char *p;
	struct elfobj *eo;
	uint64_t addr, size;
	size_t len;

	p = read_self(&len);
	eo = open_bytes(p, len);
	assert_int_equal(elfobj_source(eo), ELFOBJ_SYMTAB);
	assert_int_equal(elfobj_lookup(eo, "dbg_test_root", &addr, &size), 0);
	snprintf(id, 130, "%s", elfobj_build_id(eo));
	assert_int_equal(strlen(id), 40);
	elfobj_free(eo);
	free(p);
	return addr;
}

static void no_symbol(const struct elfobj *eo, uint64_t addr)
{
	const char *name = NULL;
	uint64_t s, e;

	assert_int_equal(elfobj_symbol(eo, addr, &name, &s, &e), -ENOENT);
	assert_null(name);
}

static void has_symbols(const struct elfobj *eo, uint64_t addr, enum elfobj_source source)
{
	uint64_t start, end, found[2];
	const char *name;

	assert_int_equal(elfobj_source(eo), source);
	assert_int_equal(elfobj_symbol(eo, addr + 1, &name, &start, &end), 0);
	assert_string_equal(name, "dbg_test_root");
	assert_int_equal(start, addr);
	assert_int_equal(end, addr + 8);
	assert_int_equal(elfobj_lookup(eo, "dbg_test_root", &start, &end), 0);
	assert_int_equal(elfobj_clones(eo, "dbg_test_root", found, 2), 1);
	assert_int_equal(found[0], addr);
}

static void put_file(const char *path, const void *p, size_t len)
{
	char dir[512];
	char *slash;
	int fd;

	snprintf(dir, sizeof(dir), "%s", path);
	for (slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(dir, 0700))
			assert_int_equal(errno, EEXIST);
		*slash = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), len);
	close(fd);
}

/* Removes the folders that put_file made below root, whose file must be gone. */
static void remove_dirs(char *path, const char *root)
{
	char *slash;

	while ((slash = strrchr(path, '/')) && strlen(path) > strlen(root)) {
		*slash = '\0';
		assert_int_equal(rmdir(path), 0);
	}
}

/* This program with other section headers: none, so that it has no symbols. */
static unsigned char *strip_self(size_t *len)
{
	unsigned char *p = read_self(len);

	memset(p + offsetof(Elf64_Ehdr, e_shnum), 0, 2);
	return p;
}

static void flip_build_id(unsigned char *p, size_t len)
{
	unsigned char *note = memmem(p, len, "\x14\0\0\0\3\0\0\0GNU", 12);

	assert_non_null(note);
	note[12 + 19] ^= 1;
}

static void test_debug_file(void **state)
{
	char root[] = "/tmp/ljx-elfobj.XXXXXX", path[512], id[130];
	uint64_t addr = truth(id);
	struct elfobj *eo;
	unsigned char *p;
	size_t len;

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/usr/lib/debug/.build-id/%.2s/%s.debug", root, id, id + 2);
	p = strip_self(&len);
	eo = open_bytes(p, len);
	assert_string_equal(elfobj_build_id(eo), id);
	assert_int_equal(elfobj_source(eo), ELFOBJ_NO_SYMBOLS);
	no_symbol(eo, addr);
	assert_int_equal(elfobj_add_debug(eo, root), 0);
	free(p);
	p = read_self(&len);
	/* a file of that name whose build-id is another one */
	flip_build_id(p, len);
	put_file(path, p, len);
	assert_int_equal(elfobj_add_debug(eo, root), 0);
	flip_build_id(p, len);
	put_file(path, p, len);
	assert_true(elfobj_add_debug(eo, root) > 4);
	has_symbols(eo, addr, ELFOBJ_DEBUG_FILE);
	assert_int_equal(elfobj_add_debug(eo, root), 0);
	elfobj_free(eo);
	/* it has symbols of its own */
	eo = open_bytes(p, len);
	assert_int_equal(elfobj_add_debug(eo, root), 0);
	has_symbols(eo, addr, ELFOBJ_SYMTAB);
	elfobj_free(eo);
	free(p);
	unlink(path);
	remove_dirs(path, root);
}

static void test_fetched(void **state)
{
	uint64_t addr;
	struct elfobj *eo;
	unsigned char *p, *q;
	char id[130];
	size_t len;
	int fd;

	(void)state;
	addr = truth(id);
	p = strip_self(&len);
	eo = open_bytes(p, len);
	q = read_self(&len);
	flip_build_id(q, len);
	fd = memfile(q, len);
	assert_int_equal(elfobj_add_fetched(eo, fd), 0);
	close(fd);
	flip_build_id(q, len);
	fd = memfile(q, len);
	assert_true(elfobj_add_fetched(eo, fd) > 4);
	has_symbols(eo, addr, ELFOBJ_DEBUGINFOD);
	assert_int_equal(elfobj_add_fetched(eo, fd), 0);
	close(fd);
	elfobj_free(eo);
	free(p);
	free(q);
}

/* Room for what p is packed into, as xz does it. */
static unsigned char *pack(const unsigned char *p, size_t len, size_t *packed)
{
	size_t room = lzma_stream_buffer_bound(len);
	unsigned char *out = malloc(room);

	assert_non_null(out);
	*packed = 0;
	assert_int_equal(
	    lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, p, len, out, packed, room), LZMA_OK);
	return out;
}

/* This program with one section, .gnu_debugdata, of these bytes. */
static struct elfobj *with_mini(const unsigned char *data, size_t size)
{
	static const char names[] = "\0.shstrtab\0.gnu_debugdata";
	Elf64_Shdr sh[3] = {{.sh_type = SHT_NULL},
			    {.sh_name = 1, .sh_type = SHT_STRTAB, .sh_size = sizeof(names)},
			    {.sh_name = 11, .sh_type = SHT_PROGBITS, .sh_size = size}};
	unsigned char *p, *self;
	struct elfobj *eo;
	Elf64_Ehdr eh;
	size_t len;

	self = read_self(&len);
	len &= ~(size_t)7;
	p = calloc(1, len + sizeof(sh) + sizeof(names) + size);
	assert_non_null(p);
	memcpy(p, self, len);
	free(self);
	memcpy(&eh, p, sizeof(eh));
	eh.e_shoff = len;
	eh.e_shnum = 3;
	eh.e_shstrndx = 1;
	memcpy(p, &eh, sizeof(eh));
	sh[1].sh_offset = len + sizeof(sh);
	sh[2].sh_offset = sh[1].sh_offset + sizeof(names);
	memcpy(p + len, sh, sizeof(sh));
	memcpy(p + sh[1].sh_offset, names, sizeof(names));
	memcpy(p + sh[2].sh_offset, data, size);
	eo = open_bytes(p, sh[2].sh_offset + size);
	free(p);
	return eo;
}

static void test_mini(void **state)
{
	uint64_t addr;
	unsigned char *p, *packed;
	struct elfobj *eo;
	size_t len, size;
	char id[130];

	(void)state;
	addr = truth(id);
	p = read_self(&len);
	packed = pack(p, len, &size);
	eo = with_mini(packed, size);
	assert_string_equal(elfobj_build_id(eo), id);
	has_symbols(eo, addr, ELFOBJ_MINIDEBUG);
	elfobj_free(eo);
	/* a better source is taken first, and only that one */
	eo = with_mini(packed, size);
	{
		int fd = memfile(p, len);

		assert_int_equal(elfobj_add_fetched(eo, fd), 0);
		close(fd);
	}
	has_symbols(eo, addr, ELFOBJ_MINIDEBUG);
	elfobj_free(eo);
	free(packed);
	/* of another build */
	flip_build_id(p, len);
	packed = pack(p, len, &size);
	eo = with_mini(packed, size);
	assert_int_equal(elfobj_source(eo), ELFOBJ_NO_SYMBOLS);
	no_symbol(eo, addr);
	elfobj_free(eo);
	free(packed);
	free(p);
}

static void not_mini(const unsigned char *data, size_t size)
{
	struct elfobj *eo = with_mini(data, size);
	uint64_t addr, len;

	assert_int_equal(elfobj_source(eo), ELFOBJ_NO_SYMBOLS);
	assert_int_equal(elfobj_lookup(eo, "dbg_test_root", &addr, &len), -ENOENT);
	elfobj_free(eo);
}

/* What is cut, changed, no .xz, no ELF or too large is as if it were not there. */
static void test_bad_mini(void **state)
{
	size_t len, size, cut, zeros = 80u << 20;
	unsigned char *p, *packed;

	(void)state;
	p = read_self(&len);
	packed = pack(p, len, &size);
	for (cut = 0; cut < size; cut += 1 + size / 7)
		not_mini(packed, cut);
	not_mini(packed, size - 1);
	packed[size / 2] ^= 0x40;
	not_mini(packed, size);
	free(packed);
	not_mini(p, len);
	free(p);
	packed = pack((const unsigned char *)"no ELF", 6, &size);
	not_mini(packed, size);
	free(packed);
	/* an ELF file followed by so much that it is not unpacked */
	p = calloc(1, zeros);
	assert_non_null(p);
	packed = read_self(&len);
	memcpy(p, packed, len < zeros ? len : zeros);
	free(packed);
	packed = pack(p, zeros, &size);
	assert_true(size < len);
	not_mini(packed, size);
	free(packed);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_debug_file),
	    cmocka_unit_test(test_fetched),
	    cmocka_unit_test(test_mini),
	    cmocka_unit_test(test_bad_mini),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
