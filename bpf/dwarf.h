/* SPDX-License-Identifier: MIT */
/*
 * A layout from debug information: LuaJIT built with -g and not stripped, or with a separate debug
 * file of the same build-id.
 */
#ifndef BPF_DWARF_H
#define BPF_DWARF_H

#include "bpf/elfobj.h"
#include "bytecode/layout.h"

/*
 * 0 and *out; -ENOENT if the file has no debug information of LuaJIT, or not all that is needed:
 * missing (may be NULL) gets the name of the field. A child does it, for 30 s at most.
 */
int dwarf_layout(const struct elfobj *eo, struct layout *out, const char **missing);

#endif
