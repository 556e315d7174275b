/* SPDX-License-Identifier: MIT */
/* Inside of bpf/vm*.c only: what they share to verify a layout in a live process. */
#ifndef BPF_VM_CHECK_H
#define BPF_VM_CHECK_H

#include "bpf/mem.h"
#include "bpf/vm.h"

/* gct of objects: ~LJ_T* of lj_obj.h. */
enum { GCT_STR = 4, GCT_THREAD = 6, GCT_PROTO = 7, GCT_FUNC = 8, GCT_TAB = 11 };

/* A GCRef or MRef in a copied buffer. */
static inline uint64_t vm_get_ref(const struct layout *l, const void *p, size_t off)
{
	return l->gc64 ? mem_get64(p, off) : mem_get32(p, off);
}

/* TValues, lj_obj.h: a tag of 17 bits above a pointer of 47, or of 32 above one of 32. */
static inline uint64_t vm_tvalue(const struct layout *l, unsigned int gct, uint64_t addr)
{
	return l->gc64 ? (0x1ffffull - gct) << 47 | addr : (uint64_t)(uint32_t)~gct << 32 | addr;
}

static inline uint64_t vm_tvalue_ptr(const struct layout *l, uint64_t tv)
{
	return l->gc64 ? tv & ((1ull << 47) - 1) : (uint32_t)tv;
}

static inline int vm_tvalue_is(const struct layout *l, uint64_t tv, unsigned int gct)
{
	return tv == vm_tvalue(l, gct, vm_tvalue_ptr(l, tv));
}

/* GCobj.gch.gct comes after GCRef nextgc and a byte. */
static inline unsigned int vm_gct_at(const struct layout *l)
{
	return l->gc64 ? 9 : 5;
}

int vm_is_pointer(const struct layout *l, uint64_t v);

/*
 * Verifies that global_State g of pid has the layout of row, with its dispatch table leading into
 * [code, code + len). True or false; ev (may be NULL) is added to.
 */
int vm_check(int pid, const struct layout *l, uint64_t g, uint64_t code, uint64_t len,
	     struct vm_evidence *ev);

/* Notes a failed check. */
__attribute__((format(printf, 2, 3))) void vm_contradict(struct vm_evidence *ev, const char *fmt,
							 ...);

#endif
