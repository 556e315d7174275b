/* SPDX-License-Identifier: MIT */
/*
 * The C functions that the compiler put into others, from debug information.
 *
 * The file is hostile, and libdw trusts it: a child does the work, with little time and memory.
 * What it does not answer is not known.
 */
#ifndef BPF_INLINES_H
#define BPF_INLINES_H

#include "bpf/elfobj.h"

struct inlines;

#define INLINES_MAX 16
#define INLINES_TEXT 8192

/* Starts the child. 0; -ENOENT if eo, which is borrowed, has no debug information; or -errno. */
int inlines_new(const struct elfobj *eo, struct inlines **out);
void inlines_free(struct inlines *in);

/*
 * The functions that the instruction at vaddr was inlined from, the innermost first, without the
 * one that it is in: a line for each, joined by \n, with the place of the call behind a tab, if
 * that is known: "name\tfile.c:17". Returns how many lines, or -EIO: the child failed, now or
 * before.
 */
int inlines_at(struct inlines *in, uint64_t vaddr, char text[INLINES_TEXT]);

#endif
