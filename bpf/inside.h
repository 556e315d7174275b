/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the sampler and the resolver agree on about samples in compiled code. Also compiled for BPF.
 */
#ifndef BPF_INSIDE_H
#define BPF_INSIDE_H

#include "bpf/event.h"

/*
 * Numbers of traces are given again after a flush, for the same start too: tells apart whose
 * machine code an offset is in. T: the address of the GCtrace.
 */
static inline __attribute__((always_inline)) ev_u16 inside_mark(ev_u64 T, ev_u64 mcode,
								ev_u32 szmcode)
{
	ev_u64 h = (T ^ szmcode) * 0x9e3779b97f4a7c15ULL;

	h = (h ^ h >> 29 ^ mcode) * 0xbf58476d1ce4e5b9ULL;
	return (ev_u16)(h >> 48);
}

/* A trace and its machine code; T 0: none. */
struct walk_trace {
	ev_u64 T, mcode;
	ev_u32 szmcode;
	ev_u16 spadjust;
	ev_u16 pad;
};

/* GCtrace.spadjust lies so far before traceno (LuaJIT src/lj_jit.h), in all versions. */
#define INSIDE_SPADJUST 2u

#endif
