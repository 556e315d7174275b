/* SPDX-License-Identifier: MIT */
/* Verbs that need the tables of a build which the command line names. */
#ifndef TUI_NAMES_H
#define TUI_NAMES_H

#include "bpf/evidence.h"
#include "tui/ljx.h"

/*
 * The tables of the build that -p PID, -f FILE, --gen NAME or --vmdef FILE says. 0; an exit code,
 * printed; -1 if none of them is given. src: what they were chosen by, empty for --gen.
 */
int names_tables(const struct options *o, struct tables *t, struct evidence_source *src);

/*
 * Says on stderr where the target's own jit/vmdef.lua differs from its tables; and, if not quiet,
 * that it does not. module: path of its LuaJIT. Nothing if it has no such file.
 */
void vmdef_check(int pid, const char *module, const struct tables *t, int quiet);

/* The tables are to be those that say what this jit/vmdef.lua says. 0, or -errno and why. */
int vmdef_override(const char *path, struct tables *t, struct evidence_source *src,
		   struct why *why);

/* ljx bc -l. */
int list_code(const struct options *o);

#endif
