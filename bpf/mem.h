/* SPDX-License-Identifier: MIT */
/*
 * Reading another process's memory: process_vm_readv, nothing else, never stopping the target. What
 * comes back is a copy of a moving thing; the caller verifies.
 */
#ifndef BPF_MEM_H
#define BPF_MEM_H

#include <stddef.h>
#include <stdint.h>

/* Reads exactly len bytes. 0 or -errno (-EFAULT also for a part). */
int mem_read(int pid, uint64_t addr, void *buf, size_t len);

/* Reads up to len bytes, fewer if memory ends. Bytes read (may be 0) or -errno. */
long mem_read_some(int pid, uint64_t addr, void *buf, size_t len);

static inline uint64_t mem_u64(int pid, uint64_t addr)
{
	uint64_t v;

	return mem_read(pid, addr, &v, sizeof(v)) ? 0 : v;
}

/* Unaligned loads from a copied buffer. */
static inline uint64_t mem_get64(const void *p, size_t off)
{
	uint64_t v;

	__builtin_memcpy(&v, (const char *)p + off, sizeof(v));
	return v;
}

static inline uint32_t mem_get32(const void *p, size_t off)
{
	uint32_t v;

	__builtin_memcpy(&v, (const char *)p + off, sizeof(v));
	return v;
}

#endif
