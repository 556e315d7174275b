/* SPDX-License-Identifier: MIT */
/*
 * What happened to a VM's JIT compiler before we came, read from its memory: the live traces, the
 * penalty table, and the loops and functions that are blacklisted. No probe, no event.
 *
 * Mirrors LuaJIT src/lj_trace.c (penalty_pc, blacklist_pc), lj_jit.h (HotPenalty, jit_State) and
 * lj_obj.h (GCproto). A pass over the process's private memory finds the prototypes; one counts
 * only if its header holds together and the allocator's own mark says that it is in use.
 */
#ifndef BPF_JITSCAN_H
#define BPF_JITSCAN_H

#include "bpf/resolve.h"

/* Emits a JIT record, then TRACE (LIVE) and SPOT records of vm through r. 0 or -errno. */
int jitscan(struct resolve *r, int pid, const struct vm *vm);

/* The JIT record alone: of a VM that is new, whose past is all in the stream of events. */
int jitscan_new(struct resolve *r, int pid, const struct vm *vm);

#endif
