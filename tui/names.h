/* SPDX-License-Identifier: MIT */
/* Verbs that need the tables of a build which the command line names. */
#ifndef TUI_NAMES_H
#define TUI_NAMES_H

#include "bpf/evidence.h"
#include "tui/ljx.h"

/*
 * The tables of the build that -p PID, -f FILE or --gen NAME says. 0; an exit code, printed; -1 if
 * none of them is given. src: what they were chosen by, empty for --gen.
 */
int names_tables(const struct options *o, struct tables *t, struct evidence_source *src);

/* ljx bc -l. */
int list_code(const struct options *o);

#endif
