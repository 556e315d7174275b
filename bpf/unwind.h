/* SPDX-License-Identifier: MIT */
/*
 * Tables that tell BPF how to unwind the frames of C functions, made of .eh_frame, one for each
 * file: processes with the same build share it.
 *
 * A table is an array of words: first an index with a word for each 256 bytes of code, then the
 * rows, ascending. So a search takes at most 9 steps and mostly two. struct unwind_store owns the
 * tables and bounds their memory; who uses one holds a reference.
 */
#ifndef BPF_UNWIND_H
#define BPF_UNWIND_H

#include "bpf/elfobj.h"

#include <stddef.h>
#include <stdint.h>

struct unwind_table {
	uint64_t base;	/* ELF address that rows count from */
	uint32_t nrows; /* 0: the file has no call frame information */
	uint32_t index; /* words of the index; the rows follow */
	uint64_t *word; /* index + nrows of them, the creator's to free */
};

/* Makes the table of a file. 0; -E2BIG: more code than can be told of; or -errno. */
int unwind_build(const struct elfobj *eo, struct unwind_table *out);

/* Where a table's words go: into a map of the kernel, or anywhere. slot: 0, 1, ... */
struct unwind_ops {
	int (*put)(void *ctx, uint32_t slot, const struct unwind_table *t);
	void (*drop)(void *ctx, uint32_t slot);
	void *ctx;
};

/* A table that is in use; borrowed from its store. */
struct unwind_ref {
	uint32_t slot;
	uint32_t index, nrows;
	uint64_t base;
};

struct unwind_store;

/* At most so many tables, of so many bytes together. NULL: out of memory. */
struct unwind_store *unwind_store_new(const struct unwind_ops *ops, uint32_t slots, size_t bytes);
void unwind_store_free(struct unwind_store *st);

/*
 * The table of eo, made at its first use. eo without a build-id is known by its address. 0 and a
 * reference; -ENOENT: it has no call frame information; -ENOSPC: those in use take all the room; or
 * -errno.
 */
int unwind_take(struct unwind_store *st, const struct elfobj *eo, const struct unwind_ref **out);

/* Is it there already, or known not to be? Then unwind_take costs nothing. */
int unwind_is_known(const struct unwind_store *st, const struct elfobj *eo);

/* Gives a reference back. Tables that nobody uses stay until their room is needed. */
void unwind_give(struct unwind_store *st, const struct unwind_ref *ref);

struct unwind_stats {
	uint32_t tables; /* there are */
	uint32_t used;	 /* of them by somebody */
	size_t bytes;
	uint64_t built; /* at any time */
};
void unwind_stats(const struct unwind_store *st, struct unwind_stats *out);

#endif
