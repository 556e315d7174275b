/* SPDX-License-Identifier: MIT */
/* Records made by hand, for prof_records.h and jt_records.h, which say what add() adds them to. */
#ifndef TESTS_UNIT_RECORDS_H
#define TESTS_UNIT_RECORDS_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/event.h"

#define PID 100u

/* The record of fixed with these strings behind it, to be freed by the caller. */
static inline struct ev_hdr *record(const void *fixed, size_t size, unsigned int kind,
				    const char *const *strs, size_t nstrs)
{
	size_t len = size, at = size;
	struct ev_hdr *h;

	for (size_t i = 0; i < nstrs; i++)
		len += strlen(strs[i]) + 1;
	len = (len + 7) & ~(size_t)7;
	h = calloc(1, len);
	assert(h);
	memcpy(h, fixed, size);
	h->kind = (ev_u16)kind;
	h->size = (ev_u32)len;
	for (size_t i = 0; i < nstrs; i++) {
		strcpy((char *)h + at, strs[i]);
		at += strlen(strs[i]) + 1;
	}
	return h;
}

/* Adds a record without strings; with them. */
#define ADD(to, ev, kind) add(to, &(ev), sizeof(ev), kind, NULL, 0)
#define ADD_STRS(to, ev, kind, ...)                                          \
	add(to, &(ev), sizeof(ev), kind, (const char *const[]){__VA_ARGS__}, \
	    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* Frames. */
#define LUA(id, pc, ln)                                                           \
	{                                                                         \
		.addr = EV_FRAME_ADDR(id, pc), .kind = EV_FRAME_LUA, .line = (ln) \
	}
#define START(id, pc, ln)                                                           \
	{                                                                           \
		.addr = EV_FRAME_ADDR(id, pc), .kind = EV_FRAME_TRACE, .line = (ln) \
	}
#define CFUNC(a)                                           \
	{                                                  \
		.addr = (a), .kind = EV_FRAME_C, .ffid = 1 \
	}
#define FAST(id)                                                  \
	{                                                         \
		.addr = 0x9000, .kind = EV_FRAME_FF, .ffid = (id) \
	}
#define CORO                                        \
	{                                           \
		.addr = 0x1234, .kind = EV_FRAME_CO \
	}

#endif
