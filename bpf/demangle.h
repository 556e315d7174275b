/* SPDX-License-Identifier: MIT */
/* C++ and Rust names as people write them. */
#ifndef BPF_DEMANGLE_H
#define BPF_DEMANGLE_H

#include <stddef.h>

/*
 * The name of a symbol, cut to size: ns::Class::method without parameters, crate::module::function;
 * as it is if it is not mangled. Names are hostile: work is bounded.
 */
void demangle(const char *name, char *out, size_t size);

#endif
