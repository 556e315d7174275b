/* SPDX-License-Identifier: MIT */
/*
 * Inside of bpf/elfobj*.c only.
 *
 * The file is mapped, so that no descriptor stays open, but read by eo_read only. What is costly is
 * read at its first use, into eo_lazy, which a const object may fill because it only points to it.
 */
#ifndef BPF_ELFOBJ_INT_H
#define BPF_ELFOBJ_INT_H

#include "bpf/elfobj.h"

#include <elf.h>

#define EO_PAGE 4096u

/* A PT_LOAD. offset + filesz lies in the file and vaddr + memsz does not wrap. */
struct eo_seg {
	uint64_t offset, vaddr, filesz, memsz;
	uint32_t flags; /* PF_* */
};

/* A symbol table with its strings, of which the last byte is NUL. */
struct eo_symtab {
	int have;
	Elf64_Sym *sym;
	size_t n;
	char *str;
	size_t strsz;
};

/* Sorted by start, then the best name last. */
struct eo_sym {
	uint64_t start, end; /* end == start: without a size */
	uint64_t reach;	     /* the largest end of this and all before it */
	const char *name;
	uint32_t rank; /* smaller is better */
};

/* An entry of .eh_frame_hdr's table: relative to eo_lazy's fde_base. */
struct eo_fde {
	int32_t start, fde;
};

/* A slot of the GOT and what fills it. */
struct eo_slot {
	uint64_t vaddr;
	const char *name;
};

/*
 * The parts of the file that were last read a little of: an FDE is 20 bytes and its CIE as many, and
 * each is a system call.
 */
#define EO_BLOCKS 4u
#define EO_SMALL 256u
struct eo_block {
	uint64_t off;
	uint32_t len; /* 0: there is none */
	uint32_t pad;
	unsigned char p[EO_PAGE];
};

struct eo_cache {
	unsigned int next; /* to be replaced */
	struct eo_block block[EO_BLOCKS];
};

struct eo_lazy {
	struct eo_cache *cache;
	int have_sh, have_fdes, have_syms, have_slots, have_mini;
	Elf64_Shdr *sh;
	size_t nsh;
	char *shstr;
	size_t shstrsz;
	struct eo_fde *fdes;
	size_t nfdes;
	uint64_t fde_base; /* of the table's section */
	struct eo_symtab symtab, dynsym;
	struct elfobj *debug;	   /* the debug file, of which only symtab is used; or NULL */
	enum elfobj_source source; /* of debug */
	struct eo_sym *syms;
	size_t nsyms;
	struct eo_slot *slots;
	size_t nslots;
	size_t read;  /* relocations */
	size_t notes; /* bytes of notes looked at */
};

struct elfobj {
	char *map;
	uint64_t size;
	struct eo_seg *segs;
	size_t nsegs;
	uint64_t shoff;
	unsigned int nsh, shstrndx;
	uint64_t ehhdr_vaddr, ehhdr_size; /* PT_GNU_EH_FRAME; size 0: none */
	char build_id[2 * 64 + 1];
	struct eo_lazy *lazy;
};

/*
 * elfobj_open; of a debug file only the sections are used, as its segments' bytes are not in it. One
 * that is alone tells where the segments would be.
 */
enum eo_what { EO_PROGRAM, EO_DEBUG, EO_DEBUG_ALONE };
int eo_open(int fd, enum eo_what what, struct elfobj **out);

/* Exactly len bytes at a file offset. 0 or -errno; -ENOEXEC if they are not in the file. */
int eo_read(const struct elfobj *eo, uint64_t off, void *buf, size_t len);

/*
 * The same into fresh memory of len + 1 bytes, the last one 0. out is the address of a pointer to
 * any type; the caller frees what is put there.
 */
int eo_load(const struct elfobj *eo, uint64_t off, uint64_t len, void *out);

/* Up to max bytes at a virtual address, as far as its segment's file part goes. How many. */
size_t eo_read_vaddr(const struct elfobj *eo, uint64_t vaddr, void *buf, size_t max);

/* The PT_LOAD whose memory holds vaddr, or NULL. */
const struct eo_seg *eo_seg_at(const struct elfobj *eo, uint64_t vaddr);

/* Section headers and their names. Afterwards lazy->sh; nsh is 0 if there are none. */
void eo_load_sections(const struct elfobj *eo);
const char *eo_section_name(const struct elfobj *eo, const Elf64_Shdr *sh);
/* The first one of that name, or NULL. */
const Elf64_Shdr *eo_find_section(const struct elfobj *eo, const char *name);

/*
 * The search table of .eh_frame_hdr, or one made of .eh_frame. Afterwards lazy->fdes; nfdes is 0 if
 * there is none. 0 or -ENOMEM.
 */
int eo_load_fdes(const struct elfobj *eo);
uint64_t eo_fde_start(const struct elfobj *eo, size_t i);
uint64_t eo_fde_vaddr(const struct elfobj *eo, size_t i);
/* Bytes of a pointer in this encoding; 0: not decoded. */
size_t eo_pe_size(unsigned int enc);
/* End of the function of entry i, from its FDE. 0 or -ENOENT. */
int eo_fde_end(const struct elfobj *eo, size_t i, uint64_t *end);

/* How many symbols .symtab claims to have, without reading it. */
size_t eo_count_symtab(const struct elfobj *eo);

/* Unpacks .gnu_debugdata if there are no other symbols. Once. */
void eo_load_mini(const struct elfobj *eo);

/* Frees what elfobj_sym.c has put into lazy. */
void eo_free_syms(struct eo_lazy *lz);

#endif
