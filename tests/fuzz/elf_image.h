/* SPDX-License-Identifier: MIT */
/* What the ELF files that fuzz targets make have in common: all is at its own offset, which is also
 * its address. */
#ifndef TESTS_FUZZ_ELF_IMAGE_H
#define TESTS_FUZZ_ELF_IMAGE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The file begins with eh and has size bytes; the first segment is all of it. */
static inline void elf_headers(Elf64_Ehdr *eh, size_t size, Elf64_Phdr *ph, uint16_t nph)
{
	memcpy(eh->e_ident, ELFMAG "\2\1\1", SELFMAG + 3);
	eh->e_type = ET_DYN;
	eh->e_machine = EM_X86_64;
	eh->e_phoff = (uint64_t)((char *)ph - (char *)eh);
	eh->e_phentsize = sizeof(*ph);
	eh->e_phnum = nph;
	ph->p_type = PT_LOAD;
	ph->p_flags = PF_R | PF_X;
	ph->p_filesz = ph->p_memsz = size;
}

/* The segment of .eh_frame_hdr, which begins with enc: how its table is written. */
static inline void elf_frame_hdr(const Elf64_Ehdr *eh, Elf64_Phdr *ph, unsigned char enc[4],
				 size_t size)
{
	ph->p_type = PT_GNU_EH_FRAME;
	ph->p_vaddr = (uint64_t)((const char *)enc - (const char *)eh);
	ph->p_filesz = size;
	memcpy(enc, "\x01\x1b\x03\x3b", 4);
}

/* A descriptor of a file with these bytes. */
static inline int elf_file(const void *p, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, p, size) != (ssize_t)size)
		abort();
	return fd;
}

#endif
