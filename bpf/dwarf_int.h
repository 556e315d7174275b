/* SPDX-License-Identifier: MIT */
/* What the child of bpf/dwarf.c runs; not for others. */
#ifndef BPF_DWARF_INT_H
#define BPF_DWARF_INT_H

#include "bpf/dwarf.h"

/* As dwarf_layout; *missing is set always. */
int dwarf_read(const struct elfobj *eo, struct layout *out, const char **missing);

#endif
