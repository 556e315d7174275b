/* SPDX-License-Identifier: MIT */
/*
 * What the snapshots of a compiled trace mean: which Lua frames are active where in its machine
 * code. LuaJIT src/lj_jit.h (SnapShot, SnapEntry), lj_snap.c (snapshot_slots, snapshot_framelinks),
 * lj_asm.c (asm_snap_fixup_mcofs), lj_trace.c:lj_trace_unwind.
 *
 * The caller has copied a trace's IR constants, snapshots and their map from a target and owns the
 * copies. Nothing in them is trusted: every index is checked, and a lie gives "not known".
 */
#ifndef BYTECODE_SNAP_H
#define BYTECODE_SNAP_H

#include <stddef.h>
#include <stdint.h>

#define SNAP_REF_BASE 0x8000u /* lj_ir.h: references of constants are below */

/*
 * SnapShot: 8 bytes up to 2.1.0-beta3; then the map's offset grew; since 2021-03 with an offset
 * into the machine code.
 */
enum snap_form { SNAP_UNKNOWN, SNAP_SHORT, SNAP_LONG, SNAP_MCOFS, SNAP_FORMS };

size_t snap_size(enum snap_form form);

struct snap_trace {
	int gc64; /* 64-bit references, and with them LJ_FR2 */
	uint32_t szmcode;
	uint32_t nk;	 /* the lowest constant's reference */
	const void *k;	 /* IR instructions of 8 bytes, from that on */
	uint32_t nconst; /* of them */
	const void *snap;
	uint32_t nsnap;
	const uint32_t *map;
	uint32_t nmap; /* words */
};

struct snap {
	uint32_t mapofs, ref, mcofs; /* mcofs: 0 in forms that do not have it */
	uint32_t nent, nslots, count;
};

/* Snapshot i < nsnap. */
void snap_get(const struct snap_trace *t, enum snap_form form, uint32_t i, struct snap *out);

/*
 * Does the form fit: do the snapshots, their entries and links follow each other as LuaJIT makes
 * them, without a gap with 64-bit references; do offsets into the machine code grow from 0?
 */
int snap_fits(const struct snap_trace *t, enum snap_form form);

/* The only form that fits, or SNAP_UNKNOWN. bytes: of the array of snapshots. */
enum snap_form snap_form(const struct snap_trace *t, size_t bytes);

/* A frame at a snapshot, the innermost first. */
struct snap_frame {
	uint64_t pc; /* innermost: of its next instruction; else after its call; 0: it has none */
	uint64_t fn; /* its function, if that is a constant; else 0 */
};

#define SNAP_FRAMES_MAX 128u /* more than the slots of a trace have room for, LJ_MAX_JSLOTS */

/*
 * The frames of snapshot i, of which the last one is that at the VM's stack base. *tail: a tail
 * call inside the trace took that one's place. Returns how many, 0: not known. f has room for
 * SNAP_FRAMES_MAX.
 */
uint32_t snap_frames(const struct snap_trace *t, enum snap_form form, uint32_t i,
		     struct snap_frame *f, int *tail);

/* A constant's kind, as far as it leads to code. */
enum snap_const { SNAP_CONST_OTHER, SNAP_CONST_FUNC, SNAP_CONST_PROTO, SNAP_CONST_PTR };

/*
 * What constant idx < nconst is: opcodes kgc, kptr and kkptr are the build's. *value: the address
 * that it holds.
 */
enum snap_const snap_const(const struct snap_trace *t, uint32_t idx, const int op[3],
			   uint64_t *value);

#endif
