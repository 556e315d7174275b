/* SPDX-License-Identifier: MIT */
/*
 * The terminal: the only user of curses. Copies a grid to the screen and reads keys; whatever ends
 * the program, the terminal is given back as it was: at exit, by signals that end it and by crashes
 * too.
 */
#ifndef TUI_TERM_H
#define TUI_TERM_H

#include "tui/grid.h"
#include "tui/keys.h"
#include "tui/palette.h"

enum term_color { TERM_AUTO, TERM_ALWAYS, TERM_NEVER };

struct term_opts {
	enum term_color color;
	int ascii; /* even if the locale is UTF-8 */
	int mouse;
};

struct term;

/* Can the program show screens there: a terminal in and out, and TERM says what it can? */
int term_usable(void);

/* Takes the terminal over. 0, or -ENOTTY or -ENOMEM. */
int term_open(const struct term_opts *o, struct term **out);

/* Gives it back; NULL is allowed. */
void term_close(struct term *t);

void term_size(const struct term *t, int *w, int *h);
int term_ascii(const struct term *t);

void term_show(struct term *t, const struct grid *g, enum palette p);

/* Waits for up to ms for a key. 1: there is one; 0: none came; -EIO: the terminal is gone. */
int term_key(struct term *t, int ms, struct key_event *out);

/* Puts text into the clipboard, where the terminal allows (OSC 52). */
void term_copy(struct term *t, const char *text);

#endif
