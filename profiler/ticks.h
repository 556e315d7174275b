/* SPDX-License-Identifier: MIT */
/* The samples of the last seconds, in order of time: a ring that grows up to a limit. */
#ifndef PROFILER_TICKS_H
#define PROFILER_TICKS_H

#include <stdint.h>

#define TICKS_MAX (1u << 20)

/* Where a sample counted; what a and b are is the owner's. */
struct tick {
	uint64_t time;
	uint32_t a, b, pid, state;
};

/* All-zero is an empty one that keeps nothing. */
struct ticks {
	uint64_t window; /* ns that are kept; 0: none */
	struct tick *tick;
	uint32_t first, n, size;
};

void ticks_release(struct ticks *t);

/* Lets go of what is older than the window before now. */
void ticks_drop(struct ticks *t, uint64_t now);

/* 0 or -ENOMEM. */
int ticks_add(struct ticks *t, const struct tick *tick);

/* Number i of n, the oldest is 0. */
static inline const struct tick *ticks_at(const struct ticks *t, uint32_t i)
{
	return &t->tick[(t->first + i) % t->size];
}

#endif
