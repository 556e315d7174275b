/* SPDX-License-Identifier: MIT */
/*
 * The C functions that the compiler put into others, from debug information. The file is hostile:
 * nesting, and what is looked at, are bounded.
 */
#ifndef BPF_INLINES_H
#define BPF_INLINES_H

#include "bpf/elfobj.h"

struct inlines;

/* eo is borrowed. NULL: it has no debug information, or there is no memory for it. */
struct inlines *inlines_new(const struct elfobj *eo);
void inlines_free(struct inlines *in);

/*
 * The functions that the instruction at vaddr was inlined from, the innermost first, without the one
 * that it is in. Returns how many, at most max; names are borrowed until inlines_free.
 */
#define INLINES_MAX 16
size_t inlines_at(struct inlines *in, uint64_t vaddr, const char *names[INLINES_MAX]);

#endif
