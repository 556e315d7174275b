/* SPDX-License-Identifier: MIT */
/* What the parts of `ljx bt` share. */
#ifndef TUI_BT_H
#define TUI_BT_H

#include "tui/ljx.h"

#include <jansson.h>

#define BT_FRAMES (2 * EV_NATIVE_MAX + 4 * EV_MAX_FRAMES)

/* The stack of a profile that holds one sample, from the leaf to the root. Returns its depth. */
size_t bt_path(const struct prof *p, const struct prof_frame **f, size_t max);

/* A line for each function, with its current one. */
void bt_print_frames(const struct prof_frame **f, size_t n);

/* Their labels, a new array. */
json_t *bt_json_frames(const struct prof_frame **f, size_t n);

/* To be freed; NULL if out of memory. */
void *bt_copy(const struct ev_hdr *h);

/*
 * Shows the stacks of pid's threads, C and Lua: a sample of each that runs, as long as those come
 * that have none or are not whole, but no longer than a second. list gets them instead, if it is
 * JSON. 0, or -errno and why.
 */
int bt_native(const struct options *o, int pid, json_t *list, struct why *why);

#endif
