/* SPDX-License-Identifier: MIT */
/*
 * Finds the LuaJIT VMs of a process by their memory, and proves the layout before anything is read
 * by it.
 *
 * A GG_State points at itself: lua_State.glref of the main thread at its start holds the address of
 * the global_State inside it, whose mainthref points back (LuaJIT src/lj_dispatch.h GG_State,
 * lj_state.c:lua_newstate). That finds every VM, idle or busy, without a symbol and without
 * waiting. A row of the layout table is accepted only if all checks of vm_verify hold.
 */
#ifndef BPF_VM_H
#define BPF_VM_H

#include "bpf/mem.h"
#include "bpf/process.h"
#include "bytecode/layout.h"

#include <stddef.h>
#include <stdint.h>

struct vm {
	uint64_t g; /* address of the global_State */
	const struct layout_row *row;
	const struct module *module; /* whose assembly runs it */
	uint64_t bias;		     /* of that module */
	uint32_t number; /* from 1 on, in the order in which the resolver saw them; 0: not seen */
	int gone;	 /* it was no more when it was looked at: the rest is as of the others */
};

/* What a check saw, for `ljx doctor` and error messages. */
#define VM_EVIDENCE 2048
struct vm_evidence {
	unsigned int passed, failed;
	char text[VM_EVIDENCE]; /* a line for each check that failed, and the last row's summary */
};

/* A process may hold more; the rest is counted. */
#define VM_MAX 4096

struct vm_list {
	struct vm *vm;
	size_t n;
	size_t refused; /* self-pointing patterns whose layout did not verify */
	size_t dropped; /* the same, not verified: beyond VM_MAX, or it took too long */
	uint64_t bytes; /* memory looked at */
};

/*
 * Scans the private writable memory of pid. Pages that are not present are neither read nor made
 * present. ev (may be NULL) tells of the last refusal. 0 or -errno; no VM is no error. out must be
 * zeroed or released.
 */
int vm_scan(int pid, const struct proc_maps *maps, struct vm_list *out, struct vm_evidence *ev);
void vm_list_release(struct vm_list *list);

/*
 * The same in steps of a megabyte, for who has other things to do meanwhile. The memory is that of
 * the maps at the start; later steps may get others. out is to be zeroed before the first step. 1:
 * that was all; 0: there is more; or -errno.
 */
struct vm_search *vm_search_new(int pid, const struct proc_maps *maps);
void vm_search_free(struct vm_search *v);
int vm_search_step(struct vm_search *v, const struct proc_maps *maps, struct vm_list *out,
		   struct vm_evidence *ev);

/* Appends a copy of vm; beyond VM_MAX it is counted only. 0 or -ENOMEM. */
int vm_list_add(struct vm_list *list, const struct vm *vm);

/* Verifies the global_State at g by all rows. 0 and *out, -ENOENT or -ENOMEM. */
int vm_find_row(int pid, const struct proc_maps *maps, uint64_t g, struct vm *out,
		struct vm_evidence *ev);

struct vm_thread {
	uint64_t L;
	size_t vm; /* index in the list */
};

/*
 * The coroutines of the VMs, main threads among them, in order of the VMs and of their addresses,
 * found by the same scan. A malloc'd array of *n, at most max; NULL if out of memory.
 */
struct vm_thread *vm_threads(int pid, const struct proc_maps *maps, const struct vm_list *vms,
			     size_t max, size_t *n);

/* True if the JIT compiler of the VM is on (jit.status). -1: not known. */
int vm_jit_on(int pid, const struct vm *vm);

/* A GCRef or MRef in a copied buffer, or at an address of pid; 0 if it cannot be read. */
static inline uint64_t vm_get_ref(const struct layout *l, const void *p, size_t off)
{
	return l->gc64 ? mem_get64(p, off) : mem_get32(p, off); /* nothing beyond it is read */
}

static inline uint64_t vm_ref(int pid, const struct layout *l, uint64_t addr)
{
	unsigned char ref[8] = {0};

	return mem_read(pid, addr, ref, layout_ref_size(l)) ? 0 : vm_get_ref(l, ref, 0);
}

/* Entry of J->trace[]. */
static inline uint64_t vm_trace(int pid, const struct vm *vm, uint32_t trace)
{
	const struct layout *l = &vm->row->l;
	uint64_t J = vm->g - l->GG_g + l->GG_J;

	return vm_ref(pid, l, mem_u64(pid, J + l->J_trace) + layout_ref_size(l) * (uint64_t)trace);
}

/* Main thread of a VM. */
static inline uint64_t vm_main(const struct vm *vm)
{
	return vm->g - vm->row->l.GG_g;
}

#endif
