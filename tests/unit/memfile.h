/* SPDX-License-Identifier: MIT */
/* Files that a test made. */
#ifndef TESTS_UNIT_MEMFILE_H
#define TESTS_UNIT_MEMFILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* One of these bytes. Returns its descriptor, at its start. */
static inline int memfile(const void *p, size_t len)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* A copy of an ELF file with its search table forgotten, and its section headers, if asked for. */
static inline int memfile_without_table(const char *path, int sections)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = memfile("", 0);
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	struct stat st;
	unsigned int i;

	if (from < 0)
		skip();
	assert_int_equal(fstat(from, &st), 0);
	assert_int_equal(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
	assert_int_equal(pread(to, &eh, sizeof(eh), 0), sizeof(eh));
	for (i = 0; i < eh.e_phnum; i++) {
		off_t at = (off_t)(eh.e_phoff + i * sizeof(ph));

		assert_int_equal(pread(to, &ph, sizeof(ph), at), sizeof(ph));
		if (ph.p_type == PT_GNU_EH_FRAME)
			ph.p_type = PT_NULL;
		assert_int_equal(pwrite(to, &ph, sizeof(ph), at), sizeof(ph));
	}
	if (!sections)
		eh.e_shoff = eh.e_shnum = eh.e_shstrndx = 0;
	assert_int_equal(pwrite(to, &eh, sizeof(eh), 0), sizeof(eh));
	close(from);
	return to;
}

#endif
