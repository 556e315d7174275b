/* SPDX-License-Identifier: MIT */
/*
 * Writes JSON to a stream as it comes: no document is held in memory, however long. The caller
 * keeps the nesting right; commas and escapes are done here. Strings are UTF-8, as label.h makes
 * them; numbers do not depend on the locale. Errors are the stream's.
 */
#ifndef PROFILER_JSONW_H
#define PROFILER_JSONW_H

#include <stdint.h>
#include <stdio.h>

struct jsonw {
	FILE *f;
	int comma; /* the next value needs one before it */
};

/* key: NULL in arrays, and for the document itself. bracket: '{' or '['. */
void jw_begin(struct jsonw *w, const char *key, char bracket);
void jw_end(struct jsonw *w, char bracket); /* '}' or ']' */

void jw_string(struct jsonw *w, const char *key, const char *s);

/* Of text that label.h has not cleaned: a title, a command line. */
void jw_clean(struct jsonw *w, const char *key, const char *s);

void jw_uint(struct jsonw *w, const char *key, uint64_t n);
void jw_int(struct jsonw *w, const char *key, int64_t n);
void jw_null(struct jsonw *w, const char *key);
void jw_bool(struct jsonw *w, const char *key, int on);

/* n / 10^digits, with all its digits. */
void jw_fixed(struct jsonw *w, const char *key, uint64_t n, unsigned int digits);

/* Text that is JSON already. */
void jw_raw(struct jsonw *w, const char *key, const char *json, size_t len);

/* A line break, for those who look into the file. */
void jw_newline(struct jsonw *w);

/* Writes s with its quotes, without any comma. */
void jw_quote(FILE *f, const char *s);

#endif
