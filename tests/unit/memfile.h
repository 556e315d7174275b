/* SPDX-License-Identifier: MIT */
/* A file of bytes that a test made. */
#ifndef TESTS_UNIT_MEMFILE_H
#define TESTS_UNIT_MEMFILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <unistd.h>

/* Returns its descriptor. */
static inline int memfile(const void *p, size_t len)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), len);
	return fd;
}

#endif
