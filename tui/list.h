/* SPDX-License-Identifier: MIT */
/*
 * Which of a screen's rows is under the cursor, and which are visible. Rows are known by identity:
 * the cursor stays on its row wherever sorting puts it, and comes back to it when a row that went
 * away returns, unless the user has moved on.
 */
#ifndef TUI_LIST_H
#define TUI_LIST_H

#include <stddef.h>
#include <stdint.h>

#define LIST_HOLD 3000000000ull /* ns: so long after a move rows keep their order */

struct list {
	uint64_t *id; /* of the rows, in order */
	size_t n, cap;
	uint64_t selected; /* identity of the row under the cursor, if any was */
	int has_selected;
	long cursor;	/* its row; above: the line above the rows */
	long above;	/* -1: the cursor may go to a line above the first row; else 0 */
	long top;	/* first visible row */
	long height;	/* visible rows, as of the last drawing */
	int follow;	/* keep the cursor in the middle */
	uint64_t moved; /* when the user last moved; 0: never */
};

void list_release(struct list *l);

/* Makes room for n rows, whose ids the caller then fills in and settles. 0 or -ENOMEM. */
int list_room(struct list *l, size_t n);

/* The rows are new: finds the cursor's row again. */
void list_settle(struct list *l);

/* Must rows keep the order that they have? */
int list_held(const struct list *l, uint64_t now);

/*
 * Puts the n rows of size bytes, each of which begins with its uint64_t id, into the order that the
 * list has, those that it does not know behind them in the order given. 0 or -ENOMEM.
 */
int list_keep_order(const struct list *l, void *rows, size_t n, size_t size);

/* The user moves by so many rows, or to one. */
void list_move(struct list *l, long by, uint64_t now);
void list_go(struct list *l, long to, uint64_t now);

/* The cursor to that row, if it is there. */
int list_select(struct list *l, uint64_t id, uint64_t now);

/* Before drawing height rows: scrolls so that the cursor is visible. */
void list_scroll(struct list *l, long height);

#endif
