/* SPDX-License-Identifier: MIT */
/*
 * Keeps the records themselves, so that a recording can be written while the view runs: all
 * definitions, and of samples, trace events and looks at VMs the latest, as much as fits.
 */
#ifndef TUI_KEEP_H
#define TUI_KEEP_H

#include "bpf/event.h"
#include "bpf/rec.h"

#include <stddef.h>

#define KEEP_EVENTS (32u << 20) /* bytes of samples and trace events */
#define KEEP_DEFS (64u << 20)	/* of definitions */

struct keep;

struct keep *keep_new(size_t events, size_t defs);
void keep_free(struct keep *k);

/* 0 or -ENOMEM. */
int keep_add(struct keep *k, const struct ev_hdr *h);

/* Of the samples and events that are kept: since when; *whole: that is all there were. */
uint64_t keep_since(const struct keep *k, int *whole);

/* Passes each record to fn until that returns non-zero. 0, that, or -E2BIG as keep_write. */
int keep_each(const struct keep *k, int (*fn)(void *ctx, const struct ev_hdr *h), void *ctx);

/* Writes a recording of what is kept. 0, -E2BIG if definitions had to be dropped, or -errno. */
int keep_write(const struct keep *k, struct rec_writer *w);

#endif
