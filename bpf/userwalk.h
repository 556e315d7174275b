/* SPDX-License-Identifier: MIT */
/*
 * The sampler's walk (bpf/walk.h) run from user space on a process's memory: stacks and positions,
 * with the definitions of the prototypes that they name.
 */
#ifndef BPF_USERWALK_H
#define BPF_USERWALK_H

#include "bpf/resolve.h"

struct userwalk;

/* Works on one VM of a process that r is attached to. NULL: out of memory. One at a time per
 * thread. */
struct userwalk *userwalk_new(struct resolve *r, int pid, const struct vm *vm);
void userwalk_free(struct userwalk *u);

/*
 * The target runs on, and a prototype that was freed looks like one for long, by another's name
 * perhaps. So it gets no id unless alive says, once it was copied, that what leads to it is as it
 * was. NULL, as at first: nothing is known to.
 */
typedef int userwalk_alive_fn(void *ctx);
void userwalk_while(struct userwalk *u, userwalk_alive_fn *alive, void *ctx);

/*
 * The stack of the coroutine L, as a sample that is not emitted: borrowed until the next call.
 * current: it is the VM's current one, whose state and trace count. NULL: it is no coroutine of
 * this VM, or, unless it is current, holds no frame.
 */
const struct ev_sample *userwalk_stack(struct userwalk *u, uint64_t L, int current);

/* Position pc of prototype pt as a frame; kind 0 if it is none. */
void userwalk_position(struct userwalk *u, uint64_t pt, uint64_t pc, struct ev_frame *out);

/* Function fn as a frame, at pc (0: its start) if it is a Lua function; kind 0 if it is none. */
void userwalk_function(struct userwalk *u, uint64_t fn, uint64_t pc, struct ev_frame *out);

/* 0, or the first error that the resolver's sink returned. */
int userwalk_error(const struct userwalk *u);

#endif
