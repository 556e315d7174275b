/* SPDX-License-Identifier: MIT */
/*
 * Text of frames: sanitising and the parts of the grammar in prof.h. Whatever comes in (names,
 * chunknames, comms of a target) may hold any bytes; what goes out is valid UTF-8 without control
 * characters. Nothing fails: too long is cut.
 */
#ifndef PROFILER_LABEL_H
#define PROFILER_LABEL_H

#include <stddef.h>
#include <stdint.h>

#define LABEL_MAX 512u /* bytes, without the NUL */

/* Flags of label_clean. */
#define TEXT_NO_SEMICOLON 1u /* ';' separates frames in folded stacks: make it ':' */
#define TEXT_NO_COUNT 2u     /* no blank and number at the end: it would read as a count */

/*
 * Copies text into out (size bytes, at least 4): control characters and line separators become
 * blanks, what is not UTF-8 or not allowed in XML becomes U+FFFD. Cut between characters.
 */
void label_clean(char *out, size_t size, const char *text, unsigned int flags);

/* Length of the UTF-8 character at s, and its code point; 0 if there is no valid one. */
size_t label_utf8(const char *s, uint32_t *cp);

/* Formats and cleans by both flags into out. */
void label_format(char out[LABEL_MAX + 1], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * A chunkname as shown: path, name, [string "first line..."] of at most 60 bytes, [builtin:name].
 * Not empty. flags: EV_FUNC_*.
 */
void label_chunk(char out[LABEL_MAX + 1], const char *chunk, uint32_t flags);

/*
 * Where a trace starts, as jit.v prints it (lj_debug.c:lj_debug_pushloc), but with [string "..."]
 * in the place of a prototype's address, and a name cut nowhere. file gets the part before the
 * line.
 */
void label_trace_start(char file[LABEL_MAX + 1], const char *chunk, uint32_t flags);

#endif
