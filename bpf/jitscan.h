/* SPDX-License-Identifier: MIT */
/*
 * What happened to the JIT compilers of a process before we came, read from its memory: the live
 * traces, the penalty tables, and the loops and functions that are blacklisted. No probe, no event.
 *
 * Mirrors LuaJIT src/lj_trace.c (penalty_pc, blacklist_pc), lj_jit.h (HotPenalty, jit_State,
 * SnapShot) and lj_obj.h (GCproto). What the VMs point at comes at once, in milliseconds: traces,
 * penalties, the functions on stacks. Starts that were blacklisted longer ago may be anywhere: a
 * pass over the private memory finds them, in steps. A prototype counts only if its header holds
 * together and the allocator's own mark says that it is in use.
 */
#ifndef BPF_JITSCAN_H
#define BPF_JITSCAN_H

#include "bpf/resolve.h"

struct jitscan;

/* For a process that r is attached to. Reads nothing yet. NULL: out of memory. */
struct jitscan *jitscan_new(struct resolve *r, int pid);
void jitscan_free(struct jitscan *s);

/*
 * Takes note of its VMs. Looks at those that are new as jitscan_now does, or, if they were met,
 * when the stream of events has all their past, emits only a JIT record. 0 or -errno.
 */
int jitscan_update(struct jitscan *s, const struct vm_list *vms, int met);

/*
 * Emits what the VMs point at: for each a SCAN BEGIN, a JIT record, TRACE (LIVE), SPOT and SCAN
 * records, a SCAN END. To be called again when it may have changed. 0 or -errno.
 */
int jitscan_now(struct jitscan *s);

/* Begins a pass over the memory, unless one is under way. 0 or -ENOMEM. */
int jitscan_pass(struct jitscan *s);

int jitscan_running(const struct jitscan *s);

/* Goes on with the pass for about ns; emits SPOT and SCAN CAUSE records. 1: done, 0: not yet, or
 * -errno.
 */
int jitscan_step(struct jitscan *s, uint64_t ns);

/* How many looks and steps were cut short: the target kept us too busy, so there may be more. */
uint64_t jitscan_cut(const struct jitscan *s);

#endif
