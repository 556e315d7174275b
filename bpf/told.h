/* SPDX-License-Identifier: MIT */
/* Code addresses of processes that something was told about once, so that it is not told again. */
#ifndef BPF_TOLD_H
#define BPF_TOLD_H

#include <stdint.h>

/* NULL is the empty set. */
struct told;

/*
 * Is it in the set? From now on it is. True also if there is no memory. A set that is too large is
 * emptied first.
 */
int told_before(struct told **set, uint32_t pid, uint64_t addr);

/* Takes out what is of this process; pid 0: all. */
void told_forget(struct told **set, uint32_t pid);

#endif
