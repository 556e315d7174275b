/* SPDX-License-Identifier: MIT */
/*
 * The keys: one table, from which they are dispatched, shown in the help and at the bottom of each
 * screen, and tested. A key is a character or one of enum key_code.
 */
#ifndef TUI_KEYS_H
#define TUI_KEYS_H

#include <stddef.h>

enum key_code {
	TK_NONE = 0,
	/* Characters are themselves, up to 0x10ffff. */
	TK_ENTER = '\r',
	TK_TAB = '\t',
	TK_ESC = 0x1b,
	TK_BASE = 0x200000,
	TK_UP,
	TK_DOWN,
	TK_LEFT,
	TK_RIGHT,
	TK_PGUP,
	TK_PGDN,
	TK_HOME,
	TK_END,
	TK_BTAB,
	TK_BACKSPACE,
	TK_DELETE,
	TK_F1,
	TK_F2,
	TK_F3,
	TK_F4,
	TK_F5,
	TK_F6,
	TK_F7,
	TK_F8,
	TK_F9,
	TK_F10,
	TK_MOUSE,  /* where is in struct key_event */
	TK_RESIZE, /* the terminal has another size */
	TK_OTHER,  /* some key that has no meaning here */
};

struct key_event {
	int code;
	int x, y;  /* MOUSE */
	int wheel; /* MOUSE: -1 up, 1 down, 0: a click */
	int twice; /* MOUSE: a double click */
};

/* Where a key has its meaning: the screens, and what lies over them. */
enum {
	ON_FUNCTIONS = 1,
	ON_NYI = 2,
	ON_TRACES = 4,
	ON_ANNOTATE = 8,
	ON_LOG = 16,
	ON_QUALITY = 32,
	ON_HELP = 64,
	ON_EXPORT = 128,
	ON_EXPLAIN = 256,
	ON_MACHINE = 512,
	ON_SCREENS = 63,
	ON_ROWS = ON_FUNCTIONS | ON_NYI | ON_TRACES | ON_LOG, /* of places in the program */
};
#define ON_LAST ON_MACHINE
#define SCREENS 6

enum action {
	ACT_NONE,
	ACT_HELP, ACT_QUIT, ACT_NEXT, ACT_PREVIOUS,
	ACT_SCREEN1, ACT_SCREEN2, ACT_SCREEN3, ACT_SCREEN4, ACT_SCREEN5, ACT_SCREEN6,
	ACT_UP, ACT_DOWN, ACT_PGUP, ACT_PGDN, ACT_HOME, ACT_END, ACT_LEFT, ACT_RIGHT,
	ACT_FIND, ACT_FIND_NEXT, ACT_FIND_BACK, ACT_FILTER, ACT_SORT, ACT_SORT_BACK, ACT_INVERT,
	ACT_PAUSE, ACT_FOLLOW, ACT_RESET, ACT_WINDOW, ACT_TREE, ACT_PROCESS,
	ACT_EXPAND, ACT_COLLAPSE, ACT_EXPAND_ALL, ACT_THRESHOLD, ACT_STATE, ACT_LINES, ACT_SPLIT,
	ACT_EXPORT, ACT_COPY, ACT_SCOPE, ACT_METERS, ACT_COLOURS,
	ACT_ENTER, ACT_ANNOTATE, ACT_NYI, ACT_EXPLAIN, ACT_BACK,
	ACT_ROOT, ACT_HOTTEST, ACT_HOT_NEXT, ACT_HOT_BACK, ACT_ABORT_NEXT, ACT_BYTECODE,
	ACT_MACHINE, ACT_PERF_MAP, ACT_CALLERS,
	ACT_WRITE, ACT_FORMAT, ACT_SPAN, ACT_NAME,
	ACT_MAX
};

struct key {
	int code[4];	/* 0: no more */
	const char *shown; /* the codes as the help shows them */
	enum action action;
	unsigned int on;   /* ON_* */
	const char *label; /* in the line of keys; NULL: it is not there */
	const char *help;
};

/* All keys, *n of them. */
const struct key *keys_table(size_t *n);

/* What a key means there (one of ON_*); ACT_NONE: nothing. */
enum action keys_action(int code, unsigned int on);

#endif
