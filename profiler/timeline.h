/* SPDX-License-Identifier: MIT */
/* The ticks of a profile by thread, for the formats that have an order in time. */
#ifndef PROFILER_TIMELINE_H
#define PROFILER_TIMELINE_H

#include "profiler/prof.h"

#include <stddef.h>

struct timeline {
	const struct prof *p;
	const struct prof_thread *threads;
	size_t nthreads;
	const struct prof_tick *ticks;
	uint32_t *order; /* indices of ticks */
	size_t *from;	 /* those of thread t are order[from[t]] to order[from[t + 1] - 1] */
	uint64_t period; /* ns that a sample stands for; 1 if it is no sample */
};

/* Of a finished profile, valid as long as it. 0 or -ENOMEM. */
int timeline_init(struct timeline *tl, const struct prof *p);
void timeline_release(struct timeline *tl);

/* Tick i of the order, its stack and its labels. */
static inline const struct prof_tick *timeline_tick(const struct timeline *tl, size_t i)
{
	return &tl->ticks[tl->order[i]];
}

/* "nginx 4242", "wrk 77 thread 79", "nginx 4242 VM 2": as short as it is unique. */
void timeline_name(const struct timeline *tl, size_t thread, char *out, size_t size);

/* A stack as frames; grows, to be freed. */
struct stack_frames {
	uint32_t *frame; /* root first, without the root of all */
	uint32_t n, cap;
};

/* 0 or -ENOMEM. */
int stack_frames_of(struct stack_frames *s, const struct prof *p, uint32_t stack);

#endif
