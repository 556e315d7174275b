/* SPDX-License-Identifier: MIT */
/*
 * Stacks of samples in compiled code, with the functions that the compiler inlined: SNAPS records
 * tell what runs where in a trace's machine code, a sample where in it it is. The frames of
 *
 *   trace#N, [inlined, innermost first], function at the VM's stack base, its callers
 *
 * are what the same code would have if it were interpreted, with current lines, under trace#N.
 */
#ifndef PROFILER_INSIDE_H
#define PROFILER_INSIDE_H

#include "profiler/prof.h"
#include "profiler/table.h"

struct inside_traces {
	struct pool keys;    /* a number - 1 is an index of e */
	struct ev_snaps **e; /* copies */
	uint32_t cap;
	size_t bytes;
};

/* ev_frame.mark of what is not the TRACE frame: the function was inlined. */
#define INSIDE_INLINED 1u

#define INSIDE_FRAMES (2 * EV_MAX_FRAMES)

/* A sample with its whole stack. */
struct inside {
	const struct ev_sample *s; /* as it came, or at */
	uint32_t nframes;
	enum prof_inside what;
	union {
		struct ev_sample sample;
		char room[sizeof(struct ev_sample) + INSIDE_FRAMES * sizeof(struct ev_frame)];
	} at;
};

/* Remembers a record that rec_check passed. 0 or -ENOMEM. */
int inside_add(struct prof *p, const struct ev_snaps *e);
void inside_release(struct prof *p);

/* nframes: of the sample. out->s is valid as long as s and out are. */
void inside_expand(const struct prof *p, const struct ev_sample *s, uint32_t nframes,
		   struct inside *out);

#endif
