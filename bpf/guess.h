/* SPDX-License-Identifier: MIT */
/*
 * Which layouts a file with a LuaJIT VM may have, best first: by its debug information, or by the
 * table, of which the rows count that its machine code does not contradict; if there is none, one
 * derived from the nearest row and the code.
 *
 * A guess is only a claim: bpf/vm.c verifies it in the memory of a live process.
 */
#ifndef BPF_GUESS_H
#define BPF_GUESS_H

#include "bpf/elfobj.h"
#include "bytecode/layout.h"

#include <stddef.h>
#include <stdint.h>

/* Where a field of a guess comes from. */
#define GUESS_FROM(_)                                                               \
	_(TABLE, "table")     /* a row of the table */                              \
	_(CODE, "code")	      /* the machine code uses it */                        \
	_(DERIVED, "derived") /* the row's, moved with fields that the code uses */ \
	_(DWARF, "dwarf")                                                           \
	_(FILE, "file")

enum guess_from {
#define GUESS_ID(id, ...) GUESS_##id,
	GUESS_FROM(GUESS_ID)
#undef GUESS_ID
	    GUESS_NFROM
};

struct guess {
	struct layout_row row; /* its strings are static, or name and where below */
	char name[48], where[128];
	uint8_t from[LAYOUT_NFIELDS]; /* enum guess_from */
};

#define GUESSES_MAX 128

/* Allocated once with its file; a guess never moves, so row may be pointed to. */
struct guesses {
	struct guess g[GUESSES_MAX];
	size_t n;
	int anchors;	 /* offsets found in the code */
	char text[1024]; /* what speaks against the nearest row, if no row fits */
};

/* Fills out, which may come out empty. 0, or -errno: -ENOENT if there is no VM in the file,
 * -ENOMEM. */
int guess_layouts(const struct elfobj *eo, struct guesses *out);

/*
 * The one guess that somebody made. out->text tells if the machine code contradicts it; then out
 * comes out empty. 0 or -ENOMEM.
 */
int guess_given(const struct elfobj *eo, const struct layout_row *row, struct guesses *out);

/* The part of it that derives: what f found in the code, and the row that is nearest. */
struct finder;
void guess_by_code(const struct finder *f, struct guesses *out);

const char *guess_from_name(enum guess_from from);

#endif
