// SPDX-License-Identifier: MIT
/* Symbols that are not in the file's own .symtab: a separate debug file, or MiniDebugInfo. */
#include "bpf/elfobj_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * MiniDebugInfo is the symbols of functions only, compressed: 1 MB of it is much. Both bounds
 * together bound the time, and so does the one on a decoder's dictionary (xz -9 takes 65 MB).
 */
#define MINI_PACKED_MAX (16u << 20)
#define MINI_MAX (64u << 20)
#define MINI_DICTIONARY (128u << 20)

static const char *const source_names[] = {"none", ".symtab", "debug file", "MiniDebugInfo",
					   "debuginfod"};

const char *elfobj_source_name(enum elfobj_source source)
{
	return source_names[source];
}

/* path is taken below root, whose links must not lead out of it: it may be the target's. */
static int open_below(const char *root, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
			       .resolve = RESOLVE_IN_ROOT};
	int dir, fd;

	dir = open(*root ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	if (fd < 0)
		fd = -errno;
	close(dir);
	return fd;
}

/* Opens a file with symbols. need_id: they may be of another file. 0 or -errno. */
static int open_symbols(int fd, enum eo_what what, const char *id, int need_id, struct elfobj **out)
{
	struct elfobj *eo;
	int err = eo_open(fd, what, &eo);

	if (err)
		return err;
	if (!eo_count_symtab(eo) || ((need_id || *eo->build_id) && strcmp(eo->build_id, id) != 0)) {
		elfobj_free(eo);
		return -ENOENT;
	}
	*out = eo;
	return 0;
}

/* Takes the symbols in fd. Returns how many there are. */
static size_t take(const struct elfobj *eo, int fd, enum elfobj_source source, int need_id)
{
	struct eo_lazy *lz = eo->lazy;

	if (open_symbols(fd, EO_DEBUG, eo->build_id, need_id, &lz->debug))
		return 0;
	lz->source = source;
	/* Names stay borrowed: they lie in the tables, not in what is sorted. */
	free(lz->syms);
	lz->syms = NULL;
	lz->nsyms = 0;
	lz->have_syms = 0;
	return eo_count_symtab(lz->debug);
}

size_t elfobj_add_debug(struct elfobj *eo, const char *root)
{
	char path[64 + sizeof(eo->build_id)];
	size_t n;
	int fd;

	if (eo_count_symtab(eo) || eo->lazy->source > ELFOBJ_NO_SYMBOLS || strlen(eo->build_id) < 4)
		return 0;
	snprintf(path, sizeof(path), "usr/lib/debug/.build-id/%.2s/%s.debug", eo->build_id,
		 eo->build_id + 2);
	fd = open_below(root, path);
	if (fd < 0)
		return 0;
	n = take(eo, fd, ELFOBJ_DEBUG_FILE, 1);
	close(fd);
	return n;
}

size_t elfobj_add_fetched(struct elfobj *eo, int fd)
{
	return elfobj_source(eo) ? 0 : take(eo, fd, ELFOBJ_DEBUGINFOD, 1);
}

int elfobj_open_debug(int fd, const char *build_id, struct elfobj **out)
{
	return open_symbols(fd, EO_DEBUG_ALONE, build_id, 1, out);
}

static int write_all(int fd, const uint8_t *p, size_t len)
{
	ssize_t n;

	for (; len; p += n, len -= (size_t)n) {
		n = write(fd, p, len);
		if (n <= 0)
			return n ? -errno : -EIO;
	}
	return 0;
}

/* Unpacks one .xz stream into fd. 0; -EFBIG if it is too large, -EINVAL if it is none. */
static int unpack(const uint8_t *p, size_t len, int fd)
{
	lzma_stream s = LZMA_STREAM_INIT;
	uint8_t out[65536];
	size_t total = 0;
	lzma_ret ret;
	int err = 0;

	if (lzma_stream_decoder(&s, MINI_DICTIONARY, 0) != LZMA_OK)
		return -ENOMEM;
	s.next_in = p;
	s.avail_in = len;
	do {
		s.next_out = out;
		s.avail_out = sizeof(out);
		ret = lzma_code(&s, LZMA_FINISH);
		total += sizeof(out) - s.avail_out;
		if (total > MINI_MAX)
			err = -EFBIG;
		else if (ret != LZMA_OK && ret != LZMA_STREAM_END)
			err = -EINVAL;
		else
			err = write_all(fd, out, sizeof(out) - s.avail_out);
	} while (!err && ret == LZMA_OK);
	lzma_end(&s);
	return err;
}

void eo_load_mini(const struct elfobj *eo)
{
	const Elf64_Shdr *sh;
	uint8_t *packed;
	int fd;

	if (eo->lazy->have_mini)
		return;
	eo->lazy->have_mini = 1;
	if (eo_count_symtab(eo) || eo->lazy->debug)
		return;
	sh = eo_find_section(eo, ".gnu_debugdata");
	if (!sh || sh->sh_type != SHT_PROGBITS || sh->sh_size > MINI_PACKED_MAX ||
	    eo_load(eo, sh->sh_offset, sh->sh_size, &packed))
		return;
	fd = memfd_create("gnu_debugdata", MFD_CLOEXEC);
	if (fd >= 0 && !unpack(packed, sh->sh_size, fd))
		take(eo, fd, ELFOBJ_MINIDEBUG, 0);
	if (fd >= 0)
		close(fd);
	free(packed);
}

enum elfobj_source elfobj_source(const struct elfobj *eo)
{
	if (eo_count_symtab(eo))
		return ELFOBJ_SYMTAB;
	eo_load_mini(eo);
	return eo->lazy->source;
}
