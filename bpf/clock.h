/* SPDX-License-Identifier: MIT */
/*
 * What bounds our work: our own CPU time, which does not depend on who else wants the CPU; and the
 * time that passes, for what we wait for.
 */
#ifndef BPF_CLOCK_H
#define BPF_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CPU time of this thread, ns. A system call: not for each step of what is short. */
static inline uint64_t clock_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Milliseconds of a clock that never jumps. */
static inline int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#endif
