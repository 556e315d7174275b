/* SPDX-License-Identifier: MIT */
/* The live view in a terminal. */
#ifndef TUI_VIEW_H
#define TUI_VIEW_H

#include "tui/ljx.h"

/* ljx top in a terminal, live or, with file, of a recording. Returns the exit code. */
int view_run(const struct options *o, const char *file);

#endif
