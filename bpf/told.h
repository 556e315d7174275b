/* SPDX-License-Identifier: MIT */
/*
 * Code addresses that something was told about once, so that it is not told again. of: a process,
 * or a range of one: what makes equal addresses differ.
 */
#ifndef BPF_TOLD_H
#define BPF_TOLD_H

#include <stdint.h>

/* NULL is the empty set. */
struct told;

/*
 * Is it in the set? From now on it is. True also if there is no memory. A set that is too large is
 * emptied first.
 */
int told_before(struct told **set, uint32_t of, uint64_t addr);

/* Takes out what is of this one; of 0: all. */
void told_forget(struct told **set, uint32_t of);

#endif
