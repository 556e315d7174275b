/* SPDX-License-Identifier: MIT */
/*
 * Names for what a recording could not name: where it was made files had no symbols, here there may
 * be debug files of the same build-id.
 *
 * A filter for a recorded stream: after each SYM without a name it adds those that a debug file has
 * for its addresses. Debug files are looked for in folders, then at debuginfod servers, if
 * $DEBUGINFOD_URLS names any (bpf/fetch.h). Recordings and debug files are hostile: what is
 * remembered, looked at and waited for is bounded.
 */
#ifndef BPF_OFFLINE_H
#define BPF_OFFLINE_H

#include "bpf/event.h"

#include <stddef.h>

struct offline;

/* Gets a line that the user should know while it happens. */
typedef void offline_say_fn(void *ctx, const char *text);

/*
 * dir: a folder with .build-id/xx/yyyy.debug, before /usr/lib/debug; or NULL. It is borrowed. NULL:
 * out of memory.
 */
struct offline *offline_new(const char *dir, offline_say_fn *say, void *ctx);
void offline_free(struct offline *o);

#define OFFLINE_KINDS (1u << EV_PROC | 1u << EV_EXEC | 1u << EV_MODULE | 1u << EV_SYM)
/* Are records like this one its business? The others, nearly all, need not pass through it. */
static inline int offline_wants(const struct ev_hdr *h)
{
	return h->kind < 32 && OFFLINE_KINDS >> h->kind & 1;
}

/* Passes h on to fn, and then the names for it. 0, -ENOMEM, or what fn returned. */
typedef int offline_fn(void *ctx, const struct ev_hdr *h);
int offline_record(struct offline *o, const struct ev_hdr *h, offline_fn *fn, void *ctx);

/* A file of which functions came without a name. */
struct offline_file {
	const char *path;	      /* in the target */
	const char *build_id;	      /* or "" */
	const char *why;	      /* there is no debug file; "" if there is one */
	unsigned long named, unnamed; /* functions, or places of several together */
};
/* File i of them; NULL: there are no more. Valid until the next record. */
const struct offline_file *offline_files(const struct offline *o, size_t i);

#endif
