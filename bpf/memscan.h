/* SPDX-License-Identifier: MIT */
/*
 * A pass over the private memory of a process, where allocators keep what they hand out. Reads in
 * large pieces; pages that are not present are neither read nor made present. Needs a constant
 * amount of our memory. Reads at most 1 MB at once, as the kernel holds the lock of the target's
 * mappings meanwhile, and sleeps half of the time.
 */
#ifndef BPF_MEMSCAN_H
#define BPF_MEMSCAN_H

#include "bpf/process.h"

/*
 * Called with each stretch of memory: n words from addr on, which is a page's start. What begins in
 * the first own of them is this call's business; the others, up to MEMSCAN_OVERLAP bytes, are there
 * so that it can be seen whole, and come again. An error (< 0) stops the pass and is returned.
 */
#define MEMSCAN_OVERLAP 256u
typedef int memscan_fn(void *ctx, uint64_t addr, const uint64_t *word, size_t own, size_t n);

/* 0, -errno, or what fn returned. Adds the bytes read to *bytes. */
int memscan(int pid, const struct proc_maps *maps, memscan_fn *fn, void *ctx, uint64_t *bytes);

/* The same in steps. The memory is that of maps, which need not outlast the call. NULL: no memory.
 */
struct memscan *memscan_new(int pid, const struct proc_maps *maps);
void memscan_free(struct memscan *s);

/* A step is at most 1 MB; every 10 ms or so of them it sleeps as long. 1: that was all; 0: there is
 * more; else an error. */
int memscan_step(struct memscan *s, memscan_fn *fn, void *ctx);
uint64_t memscan_bytes(const struct memscan *s);

#endif
