/* SPDX-License-Identifier: MIT */
/*
 * The sources of the functions that a profile shows, for the formats that have a place for them:
 * read at the end, where the processes see them, and only if that was asked for.
 */
#ifndef TUI_EMBED_H
#define TUI_EMBED_H

#include "profiler/write.h"

struct embed;

/* live: the processes run, or did until now. NULL: out of memory. */
struct embed *embed_new(int live);
void embed_free(struct embed *e);

/* Takes a record. 0 or -ENOMEM. */
int embed_add(struct embed *e, const struct ev_hdr *h);

/*
 * Puts source and lines into info, until the next call or embed_free. The first time it reads the
 * files, and says on stderr what is not embedded, unless quiet. p is what is written, lined a
 * profile of the same with lines. 0 or -ENOMEM.
 */
int embed_into(struct embed *e, const struct prof *p, const struct prof *lined, int quiet,
	       struct write_info *info);

#endif
