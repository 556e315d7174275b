/* SPDX-License-Identifier: MIT */
/* Names of the kernel's functions, as /proc/kallsyms tells them to those who may know. */
#ifndef BPF_KALLSYMS_H
#define BPF_KALLSYMS_H

#include <stddef.h>
#include <stdint.h>

struct kallsyms;

struct kallsyms_sym {
	uint64_t start, end;	   /* up to the next symbol */
	const char *name, *module; /* borrowed; module "" for the kernel itself */
};

/* Reads the table, which may be one without addresses. NULL: out of memory. */
struct kallsyms *kallsyms_new(void);

/* The same of a text in that form, of len bytes. */
struct kallsyms *kallsyms_parse(const char *text, size_t len);
void kallsyms_free(struct kallsyms *k);

/* The function that addr is in. 0 or -ENOENT. */
int kallsyms_find(const struct kallsyms *k, uint64_t addr, struct kallsyms_sym *out);

#endif
