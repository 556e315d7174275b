/* SPDX-License-Identifier: MIT */
/*
 * Why something failed, in words, written once at the place that knows the facts. The front end
 * prints it; nobody else does.
 */
#ifndef BPF_WHY_H
#define BPF_WHY_H

#include <stdarg.h>

/* Exit codes that a failure leads to. */
enum why_code {
	WHY_INTERNAL = 1,
	WHY_USAGE = 2,
	WHY_TARGET = 3,
	WHY_PERMISSION = 4,
	WHY_UNSUPPORTED = 5,
	WHY_KERNEL = 6,
	WHY_EMPTY = 7,
	WHY_CANNOT_RUN = 126, /* our command; as a shell says it */
	WHY_NO_COMMAND = 127,
};

/* The code of an error that reading a process gave. */
enum why_code why_code_of(int err);

struct why {
	int code;	/* enum why_code; 0: nothing set */
	char text[768]; /* one line: what failed, quoted subject, cause last */
	char hint[768]; /* next steps, a line each; may be empty */
};

/*
 * Sets code and text, and clears the hint, unless something is set already: the first cause counts.
 * Returns err, so that a caller can write `return why_set(why, ..., -ESRCH, ...)`. why may be NULL.
 */
__attribute__((format(printf, 4, 5))) int why_set(struct why *why, enum why_code code, int err,
						  const char *fmt, ...);

/* Adds a line to the hint. */
__attribute__((format(printf, 2, 3))) void why_hint(struct why *why, const char *fmt, ...);

#endif
