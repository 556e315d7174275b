/* SPDX-License-Identifier: MIT */
/*
 * Small numberings of the VM and its JIT compiler, by name: VM states, recorder states, how traces
 * end, parameters. All are static; a number that is not known gives NULL.
 */
#ifndef BYTECODE_JITNAMES_H
#define BYTECODE_JITNAMES_H

#include "bytecode/layout.h"

/*
 * What the VM does, by ~vmstate (a vmstate from 0 up is the number of the trace that runs).
 * numbering: layout.vmstates. LuaJIT src/lj_obj.h LJ_VMST_*; Tarantool tells the interpreter's
 * function calls apart.
 */
const char *vmstate_name(unsigned int numbering, uint32_t state);

/* How a trace ends, in jit.v's words: "loop", "stitch". LuaJIT src/lj_jit.h TraceLink. */
enum trace_link {
	LINK_NONE,
	LINK_ROOT,
	LINK_LOOP,
	LINK_TAILREC,
	LINK_UPREC,
	LINK_DOWNREC,
	LINK_INTERP,
	LINK_RETURN,
	LINK_STITCH, /* since 2.1 */
	LINK_MAX
};
const char *trace_link_name(uint32_t link);

/* What the recorder does, by jit_State.state, whose numbers moved over time (LJ_TRACE_*). */
const char *trace_state_name(const struct layout *l, uint32_t state);

/*
 * JIT parameter i ("hotloop") of a build with n of them (layout.jit_p_max). LuaJIT src/lj_jit.h
 * JIT_PARAMDEF: 14 in 2.0, 15 since 2.1 has stitching.
 */
const char *jit_param_name(uint32_t n, uint32_t i);

#endif
