/* SPDX-License-Identifier: MIT */
/* What the child of bpf/inlines.c runs; not for others. */
#ifndef BPF_INLINES_INT_H
#define BPF_INLINES_INT_H

#include "bpf/inlines.h"

#define INLINES_LINE 512 /* a name, a place and what is between */
_Static_assert(INLINES_MAX *INLINES_LINE <= INLINES_TEXT, "all lines fit");

struct inlines_dw;

/* NULL: no debug information, or no memory. */
struct inlines_dw *inlines_dw_new(const struct elfobj *eo);
void inlines_dw_free(struct inlines_dw *in);

/* As inlines_at; size is INLINES_TEXT. Of a function without a name there is no line. */
void inlines_dw_at(struct inlines_dw *in, uint64_t vaddr, char *text, size_t size);

#endif
