/* SPDX-License-Identifier: MIT */
/*
 * Finds the prototypes in a process's memory: all that are loaded, whether they run or not.
 *
 * A pass over the private memory (bpf/memscan.h). A place counts only if a header there holds
 * together (bytecode/proto.h), its chunkname is a string, and, where the VM uses LuaJIT's own
 * allocator, that says that it is in use. Which VM of the process a prototype belongs to is not
 * written in it.
 */
#ifndef BPF_PROTOSCAN_H
#define BPF_PROTOSCAN_H

#include "bpf/vm.h"
#include "bytecode/proto.h"

/*
 * Is there a prototype at pt, in use? head: the l->PT_size bytes there. own_allocator: as below. On
 * success *h is filled.
 */
int protoscan_check(int pid, const struct layout *l, int own_allocator, uint64_t pt,
		    const void *head, struct proto_head *h);

/* Does the VM use LuaJIT's allocator, whose chunks tell whether they are in use? */
int protoscan_own_allocator(int pid, const struct proc_maps *maps, const struct vm *vm);

/* Called for each. Non-zero stops the pass and is returned. */
typedef int protoscan_fn(void *ctx, uint64_t pt, const struct proto_head *h);

/* By the layout and the allocator of vm. 0, -errno, or what fn returned. */
int protoscan(int pid, const struct proc_maps *maps, const struct vm *vm, protoscan_fn *fn,
	      void *ctx);

#endif
