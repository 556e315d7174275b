/* SPDX-License-Identifier: MIT */
/* Objects and TValues in memory; and inside of bpf/vm*.c the check of a layout. */
#ifndef BPF_VM_CHECK_H
#define BPF_VM_CHECK_H

#include "bpf/mem.h"
#include "bpf/vm.h"

/* gct of objects: ~LJ_T* of lj_obj.h. */
enum { GCT_STR = 4, GCT_UPVAL = 5, GCT_THREAD = 6, GCT_PROTO = 7, GCT_FUNC = 8, GCT_TAB = 11 };

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

/*
 * global_State.gc.currentwhite, which has always been before gc.state. Of an object with the other
 * white the collector knows that nothing refers to it: it is about to be freed, after the strings
 * that it refers to (lj_gc.h:isdead, lj_gc.c:gc_onestep).
 */
#define GC_WHITES 3u
static inline uint64_t vm_white(const struct layout *l, uint64_t g)
{
	return g + l->G_gc_state - 1;
}

static inline int vm_is_dead(const struct layout *l, const unsigned char *head, unsigned char white)
{
	return (head[layout_gct(l) - 1] & (white ^ GC_WHITES) & GC_WHITES) != 0;
}

/*
 * Copies len bytes of the object at addr, its header first. Non-zero: it is not there, or dead. The
 * color is read before it: who dies later still has what was read of it earlier.
 */
static inline int vm_read_living(int pid, const struct layout *l, uint64_t g, uint64_t addr,
				 void *buf, size_t len)
{
	unsigned char white;

	return mem_read(pid, vm_white(l, g), &white, 1) || mem_read(pid, addr, buf, len) ||
	       vm_is_dead(l, buf, white);
}

int vm_is_pointer(const struct layout *l, uint64_t v);

/* Is all that bpf/walk.h takes for granted where it has always been? */
int vm_is_walkable(const struct layout *l);

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
