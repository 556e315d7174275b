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
 * dir: a folder with .build-id/xx/yyyy.debug, before /usr/lib/debug; or NULL. It is borrowed.
 * inlines: what was inlined at the addresses of C stacks is told, too. NULL: out of memory.
 */
struct offline *offline_new(const char *dir, int inlines, offline_say_fn *say, void *ctx);
void offline_free(struct offline *o);

/* A bit for each kind of records that are its business; the others need not pass through it. */
uint32_t offline_kinds(const struct offline *o);

/* Passes h on to fn, after what is inlined in it, before the names for it. 0, -ENOMEM, or what fn
 * returned. */
typedef int offline_fn(void *ctx, const struct ev_hdr *h);
int offline_record(struct offline *o, const struct ev_hdr *h, offline_fn *fn, void *ctx);

/* A file of which functions came without a name. */
struct offline_file {
	const char *path;	      /* in the target */
	const char *build_id;	      /* or "" */
	const char *why;	      /* there is no debug file; "" if there is one */
	unsigned long named, unnamed; /* functions, or places of several together */
	int bad; /* its debug information could not be read for what is inlined */
};
/* File i of them; NULL: there are no more. Valid until the next record. */
const struct offline_file *offline_files(const struct offline *o, size_t i);

#endif
