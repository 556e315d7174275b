/* SPDX-License-Identifier: MIT */
/*
 * Folds samples of compiled code by trace, and those in its machine code by instruction: which part
 * of a trace is hot. A trace is known by process, VM and number, until its VM's traces are flushed.
 * Pure; bounded.
 */
#ifndef PROFILER_IPS_H
#define PROFILER_IPS_H

#include "profiler/prof.h"

#include <stddef.h>

struct ips;

struct ips_hit {
	uint64_t ip;
	uint64_t samples;
};

/* A line that a trace runs through. */
struct ips_step {
	uint32_t frame; /* for prof_frame() */
	uint32_t line;
};

/*
 * p: knows the prototypes, gets all records before, and must outlive it. window: what "the last
 * seconds" are, in ns. NULL if out of memory.
 */
struct ips *ips_new(struct prof *p, uint64_t window);
void ips_free(struct ips *s);

/* Takes a record. 0 or -ENOMEM. */
int ips_add(struct ips *s, const struct ev_hdr *h);

/* Forgets the samples. */
void ips_reset(struct ips *s);

/* What ips_samples() counts: those of the window before now, or all. */
void ips_choose(struct ips *s, int recent, uint64_t now);
uint64_t ips_samples(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace);

/* All in a trace's machine code, or in what it calls from there, by address; *n of them, valid
 * until the next ips_add. NULL: none.
 */
const struct ips_hit *ips_get(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace,
			      size_t *n);

/*
 * Where a trace's machine code lies and where in it its loop begins, as its SNAPS record told; loop
 * 0: it has none. 0 or -ENOENT: no such record came.
 */
int ips_code(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace, uint64_t *mcode,
	     uint32_t *loop);

/* The first lines of its way, each once in a row; *n of them. NULL: not known. */
const struct ips_step *ips_path(const struct ips *s, uint32_t pid, uint64_t g, uint32_t trace,
				size_t *n);

/* Samples that were not counted: limits reached. */
uint64_t ips_dropped(const struct ips *s);

#endif
