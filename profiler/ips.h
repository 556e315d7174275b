/* SPDX-License-Identifier: MIT */
/*
 * Folds samples of compiled code by trace, and those in its machine code by instruction: which part
 * of a trace is hot. A trace is known by process, VM and number, until its VM's traces are flushed.
 * Pure; bounded.
 */
#ifndef PROFILER_IPS_H
#define PROFILER_IPS_H

#include "bpf/event.h"

#include <stddef.h>

struct ips;

struct ips_hit {
	uint64_t ip;
	uint64_t samples;
};

/* window: what "the last seconds" are, in ns. NULL if out of memory. */
struct ips *ips_new(uint64_t window);
void ips_free(struct ips *s);

/* Takes a record. 0 or -ENOMEM. */
int ips_add(struct ips *s, const struct ev_hdr *h);

/* Forgets the samples. */
void ips_reset(struct ips *s);

/* What ips_samples() counts: those of the window before now, or all. */
void ips_choose(struct ips *s, int recent, uint64_t now);
uint64_t ips_samples(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace);

/* All in a trace's machine code, by address; *n of them, valid until the next ips_add. NULL: none.
 */
const struct ips_hit *ips_get(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace,
			      size_t *n);

/* Samples that were not counted: limits reached. */
uint64_t ips_dropped(const struct ips *s);

#endif
