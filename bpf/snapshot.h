/* SPDX-License-Identifier: MIT */
/*
 * One look at all Lua stacks of a process, from its memory alone: no event, no BPF.
 *
 * The same walk as the sampler's (bpf/walk.h), started from what the VM keeps in memory. That is
 * exact for everything that does not run at this moment: idle VMs, suspended coroutines, VMs in C
 * code. For a coroutine that is running Lua code right now it is the stack as of the last call into
 * C.
 */
#ifndef BPF_SNAPSHOT_H
#define BPF_SNAPSHOT_H

#include "bpf/resolve.h"

/*
 * Emits an EV_SAMPLE for each VM's current stack (cur_L), then for each other coroutine that holds
 * frames, through r, to which pid must be attached. In these samples tid is 0, L the coroutine,
 * state that of the VM for the current one and EV_STATE_UNKNOWN for the others. 0 or -errno.
 */
int snapshot(struct resolve *r, int pid, const struct vm_list *vms);

#endif
