/* SPDX-License-Identifier: MIT */
/*
 * The machine code of a trace, from a live process, in words. What was read is a copy of code that
 * the JIT compiler may patch or throw away meanwhile: nothing of it is believed but shown.
 */
#ifndef BPF_MCODE_H
#define BPF_MCODE_H

#include <stddef.h>
#include <stdint.h>

#define MCODE_MAX (256u << 10) /* bytes; LuaJIT's areas are of 64 KB */
#define MCODE_NONE UINT32_MAX

struct mcode_ins {
	uint32_t off, len;
	uint64_t target; /* of a direct jump or call; 0: it is none */
	uint32_t exitno; /* of the trace, if it leaves by one there; else MCODE_NONE */
	char text[72];	 /* "mov eax, [rdx+0x08]"; nothing but ASCII */
};

struct mcode {
	uint64_t addr;
	uint32_t size;
	uint32_t loop; /* offset where its loop begins; MCODE_NONE: it has none */
	struct mcode_ins *ins;
	size_t n;
};

/* As mem_read. */
typedef int mcode_read_fn(int pid, uint64_t addr, void *buf, size_t len);

/* Reads and disassembles. 0; -EINVAL: no such size; -errno of read; -ENOMEM. */
int mcode_read(mcode_read_fn *read, int pid, uint64_t addr, uint32_t size, struct mcode *out);
void mcode_release(struct mcode *m);

/* Only where the loop begins. 0 or -errno, as mcode_read. */
int mcode_loop(mcode_read_fn *read, int pid, uint64_t addr, uint32_t size, uint32_t *loop);

#endif
