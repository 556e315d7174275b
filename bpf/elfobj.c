// SPDX-License-Identifier: MIT
/* The file itself: headers, segments, sections, build-id. */
#include "bpf/elfobj_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* A hostile file may be sparse and of any size; what is loaded whole may not. */
#define LOAD_MAX (1ull << 30)
#define FILE_MAX \
	(1ll << 40) /* a sparse file may claim any size: that must not look like no memory */
#define NOTES_MAX (1u << 16)
#define ALL_NOTES_MAX (1u << 20)
#define RODATA_MAX (512ull << 20)
#define PHDRS_MAX 4096u
#define FORGET_MIN (64u << 10)

/* Takes pages that were read out of our own memory; they stay in the page cache. */
static void forget(const struct elfobj *eo, uint64_t off, size_t len)
{
	uint64_t start = off & ~(uint64_t)(EO_PAGE - 1);

	madvise(eo->map + start, off + len - start, MADV_DONTNEED);
}

/*
 * The mapping is never touched directly but copied from by the kernel, which says EFAULT where we
 * would get a SIGBUS: in a file that its owner has cut since.
 */
int eo_read(const struct elfobj *eo, uint64_t off, void *buf, size_t len)
{
	struct iovec to, from;
	size_t done = 0;
	ssize_t n;

	if (off > eo->size || len > eo->size - off)
		return -ENOEXEC;
	while (done < len) {
		to.iov_base = (char *)buf + done;
		from.iov_base = eo->map + off + done;
		to.iov_len = from.iov_len = len - done;
		n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	if (len >= FORGET_MIN)
		forget(eo, off, len);
	return 0;
}

int eo_load(const struct elfobj *eo, uint64_t off, uint64_t len, void *out)
{
	char *buf;
	int err;

	if (off > eo->size || len > eo->size - off)
		return -ENOEXEC;
	if (len > LOAD_MAX)
		return -EFBIG;
	buf = malloc(len + 1);
	if (!buf)
		return -ENOMEM;
	err = eo_read(eo, off, buf, len);
	if (err) {
		free(buf);
		return err;
	}
	buf[len] = '\0';
	memcpy(out, &buf, sizeof(buf));
	return 0;
}

const struct eo_seg *eo_seg_at(const struct elfobj *eo, uint64_t vaddr)
{
	size_t i;

	for (i = 0; i < eo->nsegs; i++)
		if (vaddr - eo->segs[i].vaddr < eo->segs[i].memsz)
			return &eo->segs[i];
	return NULL;
}

/* The block of the file that off is in, or NULL. */
static const struct eo_block *block_at(const struct elfobj *eo, uint64_t off)
{
	uint64_t start = off & ~(uint64_t)(EO_PAGE - 1);
	struct eo_cache *cache = eo->lazy->cache;
	struct eo_block *b;
	unsigned int i;

	if (!cache)
		cache = eo->lazy->cache = calloc(1, sizeof(*cache));
	if (!cache)
		return NULL;
	for (i = 0; i < EO_BLOCKS; i++)
		if (cache->block[i].len && cache->block[i].off == start)
			return &cache->block[i];
	b = &cache->block[cache->next++ % EO_BLOCKS];
	b->off = start;
	b->len = eo->size - start < EO_PAGE ? (uint32_t)(eo->size - start) : EO_PAGE;
	if (!eo_read(eo, start, b->p, b->len))
		return b;
	b->len = 0;
	return NULL;
}

/* eo_read for what is small and has neighbours that are read next. */
static int read_small(const struct elfobj *eo, uint64_t off, void *buf, size_t len)
{
	const struct eo_block *b = off < eo->size ? block_at(eo, off) : NULL;

	if (!b || off - b->off > b->len || len > b->len - (off - b->off))
		return eo_read(eo, off, buf, len);
	memcpy(buf, b->p + (off - b->off), len);
	return 0;
}

size_t eo_read_vaddr(const struct elfobj *eo, uint64_t vaddr, void *buf, size_t max)
{
	const struct eo_seg *seg = eo_seg_at(eo, vaddr);
	uint64_t rel;

	if (!seg)
		return 0;
	rel = vaddr - seg->vaddr;
	if (rel >= seg->filesz)
		return 0;
	if (max > seg->filesz - rel)
		max = seg->filesz - rel;
	if (max <= EO_SMALL)
		return read_small(eo, seg->offset + rel, buf, max) ? 0 : max;
	return eo_read(eo, seg->offset + rel, buf, max) ? 0 : max;
}

size_t elfobj_read(const struct elfobj *eo, uint64_t vaddr, void *buf, size_t max)
{
	return eo_read_vaddr(eo, vaddr, buf, max);
}

int elfobj_text(const struct elfobj *eo, uint64_t vaddr, uint64_t *start, uint64_t *end)
{
	const struct eo_seg *seg = eo_seg_at(eo, vaddr);

	if (!seg || !(seg->flags & PF_X) || vaddr - seg->vaddr >= seg->filesz)
		return -ENOENT;
	*start = seg->vaddr;
	*end = seg->vaddr + seg->filesz;
	return 0;
}

static int add_seg(struct elfobj *eo, const Elf64_Phdr *ph, enum eo_what what)
{
	struct eo_seg *seg;

	if (what == EO_DEBUG)
		return 0;
	if (ph->p_memsz > UINT64_MAX - ph->p_vaddr)
		return -ENOEXEC;
	if (what == EO_PROGRAM &&
	    (ph->p_offset > eo->size || ph->p_filesz > eo->size - ph->p_offset ||
	     ph->p_filesz > ph->p_memsz))
		return -ENOEXEC;
	seg = &eo->segs[eo->nsegs++];
	if (what == EO_PROGRAM) { /* a debug file's are the program's, whose bytes it has not */
		seg->offset = ph->p_offset;
		seg->filesz = ph->p_filesz;
	}
	seg->vaddr = ph->p_vaddr;
	seg->memsz = ph->p_memsz;
	seg->flags = ph->p_flags;
	return 0;
}

/* Takes the build-id from a run of notes. Returns true if one was there. */
static int build_id_of(struct elfobj *eo, const unsigned char *p, size_t len, size_t align)
{
	static const char hex[] = "0123456789abcdef";
	Elf64_Nhdr nh;
	size_t name, desc, next, i;

	for (; len >= sizeof(nh); p += next, len -= next) {
		memcpy(&nh, p, sizeof(nh));
		name = sizeof(nh);
		if (nh.n_namesz > len - name)
			return 0;
		desc = (name + nh.n_namesz + align - 1) & ~(align - 1);
		if (desc > len || nh.n_descsz > len - desc)
			return 0;
		if (nh.n_type == NT_GNU_BUILD_ID && nh.n_namesz == 4 &&
		    !memcmp(p + name, "GNU", 4) && nh.n_descsz && nh.n_descsz <= 64) {
			for (i = 0; i < nh.n_descsz; i++) {
				eo->build_id[2 * i] = hex[p[desc + i] >> 4];
				eo->build_id[2 * i + 1] = hex[p[desc + i] & 15];
			}
			eo->build_id[2 * i] = '\0';
			return 1;
		}
		next = (desc + nh.n_descsz + align - 1) & ~(align - 1);
		if (next > len)
			return 0;
	}
	return 0;
}

static int read_notes(struct elfobj *eo, uint64_t off, uint64_t len, uint64_t align)
{
	unsigned char *p;
	int found;

	if (len > NOTES_MAX || len > ALL_NOTES_MAX - eo->lazy->notes || eo_load(eo, off, len, &p))
		return 0;
	eo->lazy->notes += len;
	found = build_id_of(eo, p, len, align == 8 ? 8 : 4);
	free(p);
	return found;
}

/* Debug files keep the section, but the segment's offset leads astray. */
static void read_build_id(struct elfobj *eo, const Elf64_Phdr *ph, size_t n)
{
	const Elf64_Shdr *sh;
	size_t i;

	for (i = 0; i < n; i++)
		if (ph[i].p_type == PT_NOTE &&
		    read_notes(eo, ph[i].p_offset, ph[i].p_filesz, ph[i].p_align))
			return;
	eo_load_sections(eo);
	for (i = 0; i < eo->lazy->nsh; i++) {
		sh = &eo->lazy->sh[i];
		if (sh->sh_type == SHT_NOTE &&
		    read_notes(eo, sh->sh_offset, sh->sh_size, sh->sh_addralign))
			return;
	}
}

static int read_phdrs(struct elfobj *eo, const Elf64_Ehdr *eh, enum eo_what what)
{
	Elf64_Phdr *ph;
	size_t i, n = eh->e_phnum;
	int err;

	if (what != EO_PROGRAM && !n) {
		read_build_id(eo, NULL, 0);
		return 0;
	}
	if (eh->e_phentsize != sizeof(*ph) || !n || n > PHDRS_MAX)
		return -ENOEXEC;
	err = eo_load(eo, eh->e_phoff, n * sizeof(*ph), &ph);
	if (err)
		return err;
	eo->segs = calloc(n, sizeof(*eo->segs));
	err = eo->segs ? 0 : -ENOMEM;
	for (i = 0; i < n && !err; i++) {
		if (ph[i].p_type == PT_LOAD)
			err = add_seg(eo, &ph[i], what);
		if (ph[i].p_type == PT_GNU_EH_FRAME) {
			eo->ehhdr_vaddr = ph[i].p_vaddr;
			eo->ehhdr_size = ph[i].p_filesz;
		}
	}
	if (!err && !eo->nsegs && what == EO_PROGRAM)
		err = -ENOEXEC;
	if (!err)
		read_build_id(eo, ph, n);
	free(ph);
	return err;
}

static int read_headers(struct elfobj *eo, enum eo_what what)
{
	Elf64_Ehdr eh;
	int err;

	err = eo_read(eo, 0, &eh, sizeof(eh));
	if (err)
		return err;
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_machine != EM_X86_64 ||
	    (eh.e_type != ET_EXEC && eh.e_type != ET_DYN))
		return -ENOEXEC;
	if (eh.e_shentsize == sizeof(Elf64_Shdr)) {
		eo->shoff = eh.e_shoff;
		eo->nsh = eh.e_shnum;
		eo->shstrndx = eh.e_shstrndx;
	}
	return read_phdrs(eo, &eh, what);
}

static int map_file(struct elfobj *eo, int fd)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(Elf64_Ehdr))
		return -ENOEXEC;
	if (st.st_size > FILE_MAX)
		return -EFBIG;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	eo->map = map;
	eo->size = (uint64_t)st.st_size;
	return 0;
}

int eo_open(int fd, enum eo_what what, struct elfobj **out)
{
	struct elfobj *eo;
	int err;

	eo = calloc(1, sizeof(*eo));
	if (!eo)
		return -ENOMEM;
	eo->lazy = calloc(1, sizeof(*eo->lazy));
	err = eo->lazy ? map_file(eo, fd) : -ENOMEM;
	if (!err)
		err = read_headers(eo, what);
	if (err)
		elfobj_free(eo);
	else
		*out = eo;
	return err;
}

int elfobj_open(int fd, const char *name, struct elfobj **out, struct why *why)
{
	int err = eo_open(fd, EO_PROGRAM, out);

	if (err == -ENOEXEC)
		return why_set(why, WHY_UNSUPPORTED, err,
			       "'%s' is no x86-64 ELF executable or shared object", name);
	if (err)
		return why_set(why, WHY_TARGET, err, "cannot read '%s': %s", name, strerror(-err));
	return 0;
}

void elfobj_free(struct elfobj *eo)
{
	if (!eo)
		return;
	if (eo->lazy) {
		elfobj_free(eo->lazy->debug);
		eo_free_syms(eo->lazy);
		free(eo->lazy->sh);
		free(eo->lazy->shstr);
		free(eo->lazy->fdes);
		free(eo->lazy->cache);
		free(eo->lazy);
	}
	free(eo->segs);
	if (eo->map)
		munmap(eo->map, eo->size);
	free(eo);
}

void eo_load_sections(const struct elfobj *eo)
{
	struct eo_lazy *lz = eo->lazy;
	const Elf64_Shdr *str;

	if (lz->have_sh)
		return;
	lz->have_sh = 1;
	if (!eo->nsh || eo_load(eo, eo->shoff, eo->nsh * sizeof(*lz->sh), &lz->sh))
		return;
	lz->nsh = eo->nsh;
	if (eo->shstrndx >= eo->nsh)
		return;
	str = &lz->sh[eo->shstrndx];
	if (str->sh_type == SHT_STRTAB && !eo_load(eo, str->sh_offset, str->sh_size, &lz->shstr))
		lz->shstrsz = str->sh_size;
}

const char *eo_section_name(const struct elfobj *eo, const Elf64_Shdr *sh)
{
	return sh->sh_name < eo->lazy->shstrsz ? eo->lazy->shstr + sh->sh_name : "";
}

const Elf64_Shdr *eo_find_section(const struct elfobj *eo, const char *name)
{
	size_t i;

	eo_load_sections(eo);
	for (i = 0; i < eo->lazy->nsh; i++)
		if (!strcmp(eo_section_name(eo, &eo->lazy->sh[i]), name))
			return &eo->lazy->sh[i];
	return NULL;
}

const char *elfobj_build_id(const struct elfobj *eo)
{
	return eo->build_id;
}

int elfobj_offset(const struct elfobj *eo, uint64_t vaddr, uint64_t *offset)
{
	const struct eo_seg *seg = eo_seg_at(eo, vaddr);

	if (!seg || vaddr - seg->vaddr >= seg->filesz)
		return -ENOENT;
	*offset = seg->offset + (vaddr - seg->vaddr);
	return 0;
}

int elfobj_vaddr(const struct elfobj *eo, uint64_t offset, uint64_t *vaddr)
{
	const struct eo_seg *seg;
	uint64_t slack;
	size_t i;

	for (i = 0; i < eo->nsegs; i++) {
		seg = &eo->segs[i];
		if (offset - seg->offset < seg->filesz) {
			*vaddr = offset - seg->offset + seg->vaddr;
			return 0;
		}
	}
	/* Mappings are of whole pages: what precedes the first byte in its page is mapped too. */
	for (i = 0; i < eo->nsegs; i++) {
		seg = &eo->segs[i];
		slack = seg->offset % EO_PAGE;
		if (seg->filesz && seg->offset - offset <= slack && seg->vaddr >= slack) {
			*vaddr = offset - seg->offset + seg->vaddr;
			return 0;
		}
	}
	return -ENOENT;
}

uint64_t elfobj_first_vaddr(const struct elfobj *eo)
{
	return eo->segs[0].vaddr & ~(uint64_t)(EO_PAGE - 1);
}

static int pass_segment(const struct elfobj *eo, const struct eo_seg *seg, uint64_t *left,
			elfobj_bytes_fn *fn, void *ctx)
{
	void *p;
	int ret;

	if (seg->filesz > *left)
		return -EFBIG;
	*left -= seg->filesz;
	ret = eo_load(eo, seg->offset, seg->filesz, &p);
	if (ret)
		return ret;
	ret = fn(ctx, seg->vaddr, p, seg->filesz);
	free(p);
	return ret;
}

int elfobj_rodata(const struct elfobj *eo, elfobj_bytes_fn *fn, void *ctx)
{
	uint64_t left = RODATA_MAX;
	const struct eo_seg *seg;
	unsigned int code;
	size_t i;
	int ret;

	for (code = 0; code < 2; code++) {
		for (i = 0; i < eo->nsegs; i++) {
			seg = &eo->segs[i];
			if (seg->flags & PF_W || !seg->filesz || !!(seg->flags & PF_X) != code)
				continue;
			ret = pass_segment(eo, seg, &left, fn, ctx);
			if (ret)
				return ret;
		}
	}
	return 0;
}

int elfobj_has_debug(const struct elfobj *eo)
{
	return eo_find_section(eo, ".debug_info") ||
	       (eo->lazy->debug && eo_find_section(eo->lazy->debug, ".debug_info"));
}

int elfobj_debug_image(const struct elfobj *eo, char **buf, size_t *len)
{
	const struct elfobj *from = eo;
	int err;

	if (!eo_find_section(from, ".debug_info"))
		from = eo->lazy->debug;
	if (!from || !eo_find_section(from, ".debug_info"))
		return -ENOENT;
	err = eo_load(from, 0, from->size, buf);
	if (!err)
		*len = from->size;
	return err;
}
