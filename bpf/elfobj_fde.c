// SPDX-License-Identifier: MIT
/*
 * Function bounds from .eh_frame_hdr and .eh_frame (LSB core, chapter 10.6), or from .eh_frame
 * alone in a file that was linked without its table. Only what linkers write for x86-64 is decoded;
 * anything else is as if it were not there.
 */
#include "bpf/elfobj_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PE_ABSPTR 0x00
#define PE_UDATA4 0x03
#define PE_UDATA8 0x04
#define PE_SDATA4 0x0b
#define PE_SDATA8 0x0c
#define PE_PCREL 0x10
#define PE_DATAREL_SDATA4 0x3b
#define PE_OMIT 0xff

#define TABLE_MAX (1u << 28)
#define SKIP_MAX 4096u /* entries that are of no use, one after the other */
#define CIE_MAX 128u   /* bytes looked at */

/* Of a section .eh_frame without a table: records that are read one by one, and its bytes. */
#define FRAMES_MAX (1u << 18)
#define FRAMES_SIZE_MAX (128u << 20)

size_t eo_pe_size(unsigned int enc)
{
	if (enc & 0x80) /* indirect */
		return 0;
	switch (enc & 0x0f) {
	case PE_UDATA4:
	case PE_SDATA4:
		return 4;
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		return 8;
	}
	return 0;
}

/* p has eo_pe_size(enc) bytes. */
static uint64_t pe_value(const unsigned char *p, unsigned int enc)
{
	uint64_t v64;
	uint32_t v32;

	if (eo_pe_size(enc) == 8) {
		memcpy(&v64, p, sizeof(v64));
		return v64;
	}
	memcpy(&v32, p, sizeof(v32));
	if ((enc & 0x0f) == PE_SDATA4)
		return (uint64_t)(int64_t)(int32_t)v32;
	return v32;
}

/* Skips a LEB128 number. Returns the new position, or len + 1 if it does not end. */
static size_t skip_leb(const unsigned char *p, size_t pos, size_t len)
{
	while (pos < len && p[pos] & 0x80)
		pos++;
	return pos + 1;
}

/* The encoding of the FDEs of this CIE's pointers. 0 or -ENOENT. */
static int cie_encoding(const struct elfobj *eo, uint64_t vaddr, unsigned int *enc)
{
	unsigned char p[CIE_MAX];
	size_t len = eo_read_vaddr(eo, vaddr, p, sizeof(p)), pos = 9;
	const unsigned char *aug, *end;
	uint32_t id;

	if (len < 9)
		return -ENOENT;
	memcpy(&id, p + 4, sizeof(id));
	end = memchr(p + 9, '\0', len - 9);
	if (id || (p[8] != 1 && p[8] != 3) || !end)
		return -ENOENT;
	*enc = PE_ABSPTR;
	aug = p + pos;
	if (!*aug)
		return 0;
	if (*aug++ != 'z')
		return -ENOENT;
	pos = skip_leb(p, (size_t)(end - p) + 1, len); /* code alignment */
	pos = skip_leb(p, pos, len);		       /* data alignment */
	pos = p[8] == 1 ? pos + 1 : skip_leb(p, pos, len);
	pos = skip_leb(p, pos, len); /* length of what follows */
	for (; *aug; aug++) {
		if (*aug == 'S' || *aug == 'B')
			continue;
		if (pos >= len)
			return -ENOENT;
		if (*aug == 'R') {
			*enc = p[pos];
			return 0;
		}
		if (*aug == 'P')
			pos += eo_pe_size(p[pos] & 0x7f);
		else if (*aug != 'L')
			return -ENOENT;
		pos++;
	}
	return 0;
}

/*
 * The function of the FDE at fde, and the FDE's length without the field that tells it. 0 or
 * -ENOENT; *len is set if there is more behind it, else 0.
 */
static int read_fde(const struct elfobj *eo, uint64_t fde, uint64_t *start, uint64_t *end,
		    uint32_t *len)
{
	unsigned char p[8 + 16];
	const struct eo_seg *seg;
	uint64_t size;
	uint32_t back;
	unsigned int enc = PE_ABSPTR;
	size_t got = eo_read_vaddr(eo, fde, p, sizeof(p)), n;

	*len = 0;
	if (got < 8)
		return -ENOENT;
	memcpy(len, p, sizeof(*len));
	memcpy(&back, p + 4, sizeof(back));
	if (*len >= 0xfffffff0u)
		*len = 0;
	if (!*len || !back || cie_encoding(eo, fde + 4 - back, &enc))
		return -ENOENT;
	n = eo_pe_size(enc);
	if (!n || got < 8 + 2 * n || *len < 4 + 2 * n)
		return -ENOENT;
	*start = pe_value(p + 8, enc);
	if ((enc & 0x70) == PE_PCREL)
		*start += fde + 8;
	else if (enc & 0x70)
		return -ENOENT;
	size = pe_value(p + 8 + n, n == 4 ? PE_UDATA4 : PE_UDATA8);
	seg = eo_seg_at(eo, *start);
	if (!seg || !size || size > seg->memsz - (*start - seg->vaddr))
		return -ENOENT;
	*end = *start + size;
	return 0;
}

int eo_fde_end(const struct elfobj *eo, size_t i, uint64_t *end)
{
	uint64_t start;
	uint32_t len;

	return read_fde(eo, eo_fde_vaddr(eo, i), &start, end, &len) || start != eo_fde_start(eo, i)
		   ? -ENOENT
		   : 0;
}

/* The search table. 0, -ENOENT if there is none that is understood, or -ENOMEM. */
static int load_table(const struct elfobj *eo)
{
	struct eo_lazy *lz = eo->lazy;
	unsigned char head[4 + 8 + 4];
	const struct eo_seg *seg;
	size_t skip, got, n;
	uint32_t count;
	int err;

	got = eo_read_vaddr(eo, eo->ehhdr_vaddr, head, sizeof(head));
	if (!eo->ehhdr_size || got < sizeof(head) || head[0] != 1 || head[2] != PE_UDATA4 ||
	    head[3] != PE_DATAREL_SDATA4)
		return -ENOENT;
	skip = 4 + (head[1] == PE_OMIT ? 0 : eo_pe_size(head[1]));
	if (skip == 4 && head[1] != PE_OMIT)
		return -ENOENT;
	memcpy(&count, head + skip, sizeof(count));
	skip += sizeof(count);
	seg = eo_seg_at(eo, eo->ehhdr_vaddr);
	n = (size_t)count * sizeof(*lz->fdes);
	if (!count || n > TABLE_MAX || skip > eo->ehhdr_size || n > eo->ehhdr_size - skip)
		return -ENOENT;
	if (eo->ehhdr_vaddr - seg->vaddr + skip + n > seg->filesz)
		return -ENOENT;
	err = eo_load(eo, seg->offset + (eo->ehhdr_vaddr - seg->vaddr) + skip, n, &lz->fdes);
	if (err)
		return err == -ENOMEM ? err : -ENOENT;
	lz->fde_base = eo->ehhdr_vaddr;
	lz->nfdes = count;
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct eo_fde *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* Adds the FDE at fde, which may be none. 0 or -ENOMEM; *len as of read_fde. */
static int add_frame(const struct elfobj *eo, uint64_t fde, uint32_t *len)
{
	struct eo_lazy *lz = eo->lazy;
	uint64_t start, end;
	struct eo_fde *bigger, f;

	if (read_fde(eo, fde, &start, &end, len))
		return 0;
	f.start = (int32_t)(start - lz->fde_base);
	f.fde = (int32_t)(fde - lz->fde_base);
	if (lz->fde_base + (uint64_t)(int64_t)f.start != start)
		return 0;
	if (!(lz->nfdes & (lz->nfdes - 1))) { /* a power of two: full */
		bigger = realloc(lz->fdes, (lz->nfdes ? 2 * lz->nfdes : 1) * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		lz->fdes = bigger;
	}
	lz->fdes[lz->nfdes++] = f;
	return 0;
}

/* A table made of .eh_frame, which only the section headers tell of. 0 or -ENOMEM. */
static int load_frames(const struct elfobj *eo)
{
	const Elf64_Shdr *sh = eo_find_section(eo, ".eh_frame");
	struct eo_lazy *lz = eo->lazy;
	uint64_t at, end;
	uint32_t len = 1;
	int err = 0;
	size_t n;

	if (!sh || !(sh->sh_flags & SHF_ALLOC) || sh->sh_type == SHT_NOBITS ||
	    sh->sh_size > FRAMES_SIZE_MAX)
		return 0;
	lz->fde_base = at = sh->sh_addr;
	end = at + sh->sh_size;
	/* A length of 0 ends the section. */
	for (n = 0; n < FRAMES_MAX && at < end && len && !err; n++) {
		err = add_frame(eo, at, &len);
		at += 4 + (uint64_t)len;
	}
	if (err)
		lz->nfdes = 0;
	else if (lz->nfdes)
		qsort(lz->fdes, lz->nfdes, sizeof(*lz->fdes), by_start);
	return err;
}

int eo_load_fdes(const struct elfobj *eo)
{
	int err = 0;

	if (!eo->lazy->have_fdes)
		err = load_table(eo);
	if (err == -ENOENT)
		err = load_frames(eo);
	if (!err)
		eo->lazy->have_fdes = 1;
	return err;
}

uint64_t eo_fde_start(const struct elfobj *eo, size_t i)
{
	return eo->lazy->fde_base + (uint64_t)(int64_t)eo->lazy->fdes[i].start;
}

uint64_t eo_fde_vaddr(const struct elfobj *eo, size_t i)
{
	return eo->lazy->fde_base + (uint64_t)(int64_t)eo->lazy->fdes[i].fde;
}

/* How many entries start at or before vaddr. */
static size_t fdes_upto(const struct elfobj *eo, uint64_t vaddr)
{
	size_t lo = 0, hi, mid;

	eo_load_fdes(eo);
	hi = eo->lazy->nfdes;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (eo_fde_start(eo, mid) <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int elfobj_next_func(const struct elfobj *eo, uint64_t vaddr, uint64_t *start, uint64_t *end)
{
	size_t i = vaddr ? fdes_upto(eo, vaddr - 1) : 0, skipped;
	uint64_t e;

	eo_load_fdes(eo);
	for (skipped = 0; i < eo->lazy->nfdes && skipped < SKIP_MAX; i++, skipped++) {
		/* A table that is not sorted may lead back. */
		if (eo_fde_start(eo, i) < vaddr || eo_fde_end(eo, i, &e))
			continue;
		*start = eo_fde_start(eo, i);
		*end = e;
		return 0;
	}
	return -ENOENT;
}

int elfobj_func_bounds(const struct elfobj *eo, uint64_t vaddr, uint64_t *start, uint64_t *end)
{
	size_t lo = fdes_upto(eo, vaddr);
	uint64_t e;

	if (!lo || eo_fde_end(eo, lo - 1, &e) || eo_fde_start(eo, lo - 1) > vaddr || vaddr >= e)
		return -ENOENT;
	*start = eo_fde_start(eo, lo - 1);
	*end = e;
	return 0;
}
