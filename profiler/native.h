/* SPDX-License-Identifier: MIT */
/*
 * C frames between and below the Lua frames of a sample: EV_NATIVE says where its Lua frames belong
 * on the C stack. Not for other folders.
 */
#ifndef PROFILER_NATIVE_H
#define PROFILER_NATIVE_H

#include "profiler/fold.h"

/* What one goes through on the way from the root to the leaf. */
struct native_item {
	uint32_t frame; /* NO_FRAME: frame f[lua] of the sample */
	uint32_t lua;
	uint32_t leaf; /* NODE_LEAF: a helper of the VM, where its caller spends time; or 0 */
};

/* Inlined functions are shown while there is room. */
#define NATIVE_ITEMS (EV_MAX_FRAMES + 3 * EV_NATIVE_MAX)
struct native_items {
	uint32_t n;
	int undefined; /* an address has no definition */
	struct native_item item[NATIVE_ITEMS];
};

/* Keeps the record for its sample, which is the next one. 0 or -ENOMEM. */
int native_add(struct prof *p, const struct ev_native *e);
void native_release(struct prof *p);

/* That of a sample, or NULL. Valid until the next record. */
const struct ev_native *native_of(const struct prof *p, const struct ev_sample *s);

/* Has it C frames of user mode? Without them only the kernel's are of use. */
int native_has_user(const struct ev_native *e);

/* Does it say anything besides where Lua frames are? */
int native_has_code(const struct ev_native *e);

/*
 * What a stack in the tree depends on: the words from the first place of Lua frames on. Returns how
 * many, *from is the first.
 */
uint32_t native_base(const struct ev_native *e, const ev_u64 **from);

/*
 * The stack from the root up to the innermost Lua frame; extra: frames that the sample's f has more
 * than when it was taken, behind its first. 0 or -ENOMEM, as those below.
 */
int native_stack(struct prof *p, const struct proc *proc, const struct ev_sample *s,
		 uint32_t nframes, uint32_t extra, const struct ev_native *e,
		 struct native_items *out);

/* What the innermost Lua frame called, or all if there is none. */
int native_leaf(struct prof *p, const struct proc *proc, const struct ev_sample *s,
		uint32_t nframes, uint32_t extra, const struct ev_native *e,
		struct native_items *out);

/* In the kernel. */
int native_kernel(struct prof *p, const struct proc *proc, const struct ev_native *e,
		  struct native_items *out);

/* Counts it. */
void native_count(struct prof_stats *st, const struct ev_native *e);

#endif
