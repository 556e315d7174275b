/* SPDX-License-Identifier: MIT */
/*
 * The source text of a chunk, read where its process sees it: below the process's root, relative
 * names from its working directory, no symbolic link followed out of that root. If there is none,
 * or if it may not be what was loaded, the status says so in words.
 */
#ifndef TUI_SOURCE_H
#define TUI_SOURCE_H

#include <stddef.h>
#include <stdint.h>

struct source {
	char **line; /* n of them, for a terminal: control bytes are ^X, tabs blanks */
	size_t n;    /* 0: no source */
	char status[1024];
};

/*
 * Never fails. pid: of a live process; 0: from this machine's files, of a recording made at the
 * wall clock time recorded (ns since 1970, 0: not known). chunk: as LuaJIT holds it; flags:
 * EV_FUNC_*.
 */
void source_read(struct source *out, int pid, uint64_t recorded, const char *chunk, uint32_t flags);
void source_release(struct source *s);

#endif
