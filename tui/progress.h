/* SPDX-License-Identifier: MIT */
/*
 * Tells on stderr how far something is that takes more than a second: on a terminal in one line
 * that is written over, elsewhere in a line from time to time.
 */
#ifndef TUI_PROGRESS_H
#define TUI_PROGRESS_H

#include <stdint.h>

struct progress {
	const char *what, *path; /* "reading", and its file */
	int tty, shown;
	uint64_t next; /* ns */
};

/* From now on; what and path must live as long as p. */
void progress_init(struct progress *p, const char *what, const char *path);

/* Is it time to tell? */
int progress_due(struct progress *p);

/* "ljx: reading 'FILE'", and what fmt says. */
void progress_tell(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* It is done: the line goes. */
void progress_end(struct progress *p);

#endif
