/* SPDX-License-Identifier: MIT */
/*
 * The machine code of traces by name, for perf and others that read /tmp/perf-PID.map: in the
 * target's own /tmp and by the number that it has there. It is the only file that ljx leaves in a
 * target's sight, and it goes when ljx does.
 */
#ifndef TUI_PERFMAP_H
#define TUI_PERFMAP_H

#include "jittrace/jt.h"

struct perfmap;

/* say gets a line for each thing that the user should know. NULL if out of memory. */
struct perfmap *perfmap_new(void (*say)(void *ctx, const char *text), void *ctx);

/* Writes the maps of the processes whose traces are others than before; t by process. 0, -errno. */
int perfmap_update(struct perfmap *m, const struct jt_trace *t, size_t n);

/* Removes the maps, unless they are to stay; what another wrote since is not ours. */
void perfmap_free(struct perfmap *m, int keep);

#endif
