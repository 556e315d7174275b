/* SPDX-License-Identifier: MIT */
/*
 * Builds records by hand and adds them to a profile, for the tests of profiler/. Frames are given
 * from the leaf to the root, as in a sample.
 */
#ifndef TESTS_UNIT_PROF_RECORDS_H
#define TESTS_UNIT_PROF_RECORDS_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "profiler/prof.h"
#include "profiler/write.h"
#include "tests/unit/records.h"

#define VM_G 0x41000000u
#define FF_MATCH 77u

static inline void add(struct prof *p, const void *fixed, size_t size, unsigned int kind,
		       const char *const *strs, size_t nstrs)
{
	struct ev_hdr *h = record(fixed, size, kind, strs, nstrs);
	int err = prof_add(p, h);

	assert(!err);
	(void)err;
	free(h);
}

static inline void def_proc(struct prof *p, uint32_t pid, const char *comm)
{
	struct ev_proc ev = {.h.pid = pid};

	ADD_STRS(p, ev, EV_PROC, comm, "/usr/bin/luajit", "luajit a.lua");
}

static inline void def_vm(struct prof *p, uint32_t pid, uint32_t build)
{
	struct ev_build b = {.id = build};
	struct ev_vm vm = {.h.pid = pid, .g = VM_G, .number = 1, .build = build};

	ADD_STRS(p, b, EV_BUILD, "LuaJIT 2.1.0-beta3", "luajit2-20230119", "/usr/lib/l.so", "abcd");
	ADD(p, vm, EV_VM);
}

static inline void def_func(struct prof *p, uint32_t id, const char *chunk, int first, int num,
			    uint32_t flags, uint32_t content)
{
	struct ev_func ev = {.h.pid = PID,
			     .id = id,
			     .flags = flags,
			     .g = VM_G,
			     .firstline = first,
			     .numline = num,
			     .content = content};

	ADD_STRS(p, ev, EV_FUNC, chunk);
}

static inline void def_name(struct prof *p, uint32_t proto, uint32_t pc, uint32_t what,
			    const char *name)
{
	struct ev_name ev = {.proto = proto, .pc = pc, .what = what};

	ADD_STRS(p, ev, EV_NAME, name);
}

/* offset is of the function's start; the range may be a part of it. */
static inline void def_sym_at(struct prof *p, uint32_t pid, uint64_t start, uint64_t end,
			      uint64_t offset, uint32_t kind, uint32_t flags, const char *name,
			      const char *module)
{
	struct ev_sym ev = {.h.pid = pid,
			    .start = start,
			    .end = end,
			    .offset = offset,
			    .kind = kind,
			    .flags = flags};

	ADD_STRS(p, ev, EV_SYM, name, module);
}

static inline void def_sym(struct prof *p, uint32_t pid, uint64_t start, uint64_t end,
			   uint32_t kind, const char *name, const char *module)
{
	def_sym_at(p, pid, start, end, start & 0xffff, kind, 0, name, module);
}

static inline void def_ff(struct prof *p, uint32_t build, uint32_t ffid, const char *name)
{
	struct ev_ff ev = {.build = build, .ffid = ffid};

	ADD_STRS(p, ev, EV_FF, name);
}

struct sample {
	uint32_t pid;
	unsigned int state, why;
	uint32_t flags, trace;
	uint64_t ip, time;
	unsigned int times; /* 0: once */
	uint32_t tid;
	uint64_t L, g; /* g 0: VM_G */
};

static inline void add_sample(struct prof *p, const struct sample *s, const struct ev_frame *f,
			      size_t n)
{
	size_t size = sizeof(struct ev_sample) + n * sizeof(*f);
	struct ev_sample *ev = calloc(1, size);

	assert(ev);
	ev->h.kind = EV_SAMPLE;
	ev->h.size = (ev_u32)size;
	ev->h.pid = s->pid ? s->pid : PID;
	ev->h.time = s->time;
	ev->h.tid = s->tid;
	ev->L = s->L;
	ev->g = s->g ? s->g : VM_G;
	ev->ip = s->ip;
	ev->state = (ev_u8)s->state;
	ev->why = (ev_u8)s->why;
	ev->flags = s->flags;
	ev->trace = s->trace;
	ev->nframes = (ev_u16)n;
	if (n)
		memcpy(ev->f, f, n * sizeof(*f));
	for (unsigned int i = 0; i < (s->times ? s->times : 1); i++) {
		int err = prof_add(p, &ev->h);

		assert(!err);
		(void)err;
	}
	free(ev);
}

/* SAMPLE(p, ({.state = ...}), frames...): leaf first. BARE: without frames. */
#define SAMPLE(p, s, ...)                                                               \
	add_sample(p, &(struct sample)UNPACK s, (const struct ev_frame[]){__VA_ARGS__}, \
		   sizeof((const struct ev_frame[]){__VA_ARGS__}) / sizeof(struct ev_frame))
#define BARE(p, s) add_sample(p, &(struct sample)UNPACK s, NULL, 0)
#define UNPACK(...) __VA_ARGS__

/* What write_folded makes of it, to be freed by the caller. Calls prof_finish. */
static inline char *folded(struct prof *p)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int err = prof_finish(p);

	assert(f && !err);
	err = write_folded(f, p, &(struct write_info){0});
	assert(!err);
	(void)err;
	fclose(f);
	return text;
}

#endif
