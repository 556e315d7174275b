/* SPDX-License-Identifier: MIT */
/*
 * Builds records by hand, adds them to a fold of trace events and checks what they look like, for
 * the tests of jittrace/.
 */
#ifndef TESTS_UNIT_JT_RECORDS_H
#define TESTS_UNIT_JT_RECORDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bytecode/jitnames.h"
#include "jittrace/jt.h"
#include "tests/unit/records.h"

#define G 0x41000000u
#define SECOND 1000000000ull

/* Trace errors of 2.1 since August 2015. */
enum {
	RECERR = 0,
	BLACKL = 5,
	NYIBC = 7,
	LLEAVE = 8,
	CJITOFF = 12,
	DOWNREC = 14,
	NYIFFU = 15,
	NYIIR = 32
};

/* Functions by id. */
enum { MAIN = 1, WORK, LONG, NAMED, TEXT, BUILTIN, STRIPPED, PATHLESS, ROOTED, CUT };

static inline void add(struct jt *jt, const void *fixed, size_t size, unsigned int kind,
		       const char *const *strs, size_t n)
{
	struct ev_hdr *h = record(fixed, size, kind, strs, n);

	assert_int_equal(jt_add(jt, h), 0);
	free(h);
}

static inline void def_proc(struct jt *jt, uint32_t pid)
{
	struct ev_proc ev = {.h.pid = pid};

	ADD_STRS(jt, ev, EV_PROC, "luajit", "/usr/bin/luajit", "luajit a.lua");
}

static inline void def_build(struct jt *jt, uint32_t id, const char *version, const char *layout)
{
	struct ev_build ev = {.id = id};

	ADD_STRS(jt, ev, EV_BUILD, version, layout, "/usr/lib/l.so", "abcd");
}

static inline void def_tables(struct jt *jt, uint32_t build, const char *bc, const char *ff,
			      const char *err, const char *ir)
{
	struct ev_tables ev = {.build = build};

	ADD_STRS(jt, ev, EV_TABLES, bc, ff, err, ir);
}

static inline void def_vm(struct jt *jt, uint32_t pid, uint64_t g, uint32_t number, uint32_t build)
{
	struct ev_vm ev = {.h.pid = pid, .g = g, .number = number, .build = build};

	ADD(jt, ev, EV_VM);
}

static inline void def_func(struct jt *jt, uint32_t id, const char *chunk, int first,
			    uint32_t flags)
{
	struct ev_func ev = {.h.pid = PID,
			     .id = id,
			     .g = G,
			     .pt = 0x7fa0ff42fa48,
			     .firstline = first,
			     .numline = 20,
			     .flags = flags,
			     .content = id};

	ADD_STRS(jt, ev, EV_FUNC, chunk);
}

static inline void def_name(struct jt *jt, uint32_t proto, uint32_t pc, const char *name)
{
	struct ev_name ev = {.proto = proto, .pc = pc, .what = EV_NAME_LOCAL};

	ADD_STRS(jt, ev, EV_NAME, name);
}

static inline void def_sym(struct jt *jt, uint64_t start, uint64_t end, uint32_t kind,
			   const char *name)
{
	struct ev_sym ev = {
	    .h.pid = PID, .start = start, .end = end, .offset = start & 0xffff, .kind = kind};

	ADD_STRS(jt, ev, EV_SYM, name, "lmd5.so");
}

static inline void def_ff(struct jt *jt, uint32_t build, uint32_t ffid, const char *name)
{
	struct ev_ff ev = {.build = build, .ffid = ffid};

	ADD_STRS(jt, ev, EV_FF, name);
}

#define CHUNK40 "0123456789012345678901234567890123456789"

static inline struct jt *start_build(const char *version, const char *layout)
{
	struct jt_opts opts = {.pid = 0};
	struct jt *jt = jt_new(&opts);

	assert_non_null(jt);
	def_proc(jt, PID);
	def_build(jt, 1, version, layout);
	def_vm(jt, PID, G, 1, 1);
	def_func(jt, MAIN, "@/srv/app/v.lua", 0, EV_FUNC_MAIN);
	def_func(jt, WORK, "@/srv/app/v.lua", 10, 0);
	def_func(jt, LONG, CHUNK40 "x", 1, 0);
	def_func(jt, NAMED, "=named", 1, 0);
	def_func(jt, TEXT, CHUNK40, 1, 0);
	def_func(jt, BUILTIN, "foreach", -1, EV_FUNC_BUILTIN | EV_FUNC_STRIPPED);
	def_func(jt, STRIPPED, "@dir\\s.lua", 5, EV_FUNC_STRIPPED);
	def_func(jt, PATHLESS, "@plain.lua", 1, 0);
	def_func(jt, ROOTED, "@/rooted.lua", 1, 0);
	def_func(jt, CUT, "=" CHUNK40 CHUNK40 CHUNK40 CHUNK40 CHUNK40 CHUNK40, 1, EV_FUNC_CUT);
	def_sym(jt, 0x7a6c00, 0x7a6d00, EV_SYM_FUNC, "md5_update");
	def_sym(jt, 0x8000, 0x8100, EV_SYM_MODULE, "");
	def_ff(jt, 1, 85, "string.gsub");
	def_ff(jt, 1, 200, "ffi.typeof");
	return jt;
}

static inline struct jt *start(void)
{
	return start_build("LuaJIT 2.1.0-beta3", "luajit2-20230119");
}

/* The time of the last event. */
static uint64_t now = 1000 * SECOND;

/* Fills in what all have; n frames; returns it in a buffer of its own. */
static inline struct ev_trace *event(const struct ev_trace *from, const struct ev_frame *f,
				     size_t n)
{
	struct ev_trace *ev = calloc(1, sizeof(*ev) + n * sizeof(*f));

	assert_non_null(ev);
	*ev = *from;
	ev->h.kind = EV_TRACE;
	ev->h.size = (ev_u32)(sizeof(*ev) + n * sizeof(*f));
	ev->h.pid = ev->h.pid ? ev->h.pid : PID;
	ev->h.time = ev->h.time ? ev->h.time : ++now;
	ev->g = ev->g ? ev->g : G;
	ev->kind = ev->kind ? ev->kind : EV_TRACE_ROOT;
	ev->nframes = (ev_u8)n;
	if (n)
		memcpy(ev->f, f, n * sizeof(*f));
	return ev;
}

/* Adds an event and tells what it looks like. */
static inline const char *put(struct jt *jt, const struct ev_trace *from, enum jt_style style,
			      const struct ev_frame *f, size_t n)
{
	static char line[JT_LINE];
	struct ev_trace *ev = event(from, f, n);
	int len;

	assert_int_equal(jt_add(jt, &ev->h), 0);
	len = jt_format(jt, ev, style, line, sizeof(line));
	assert_int_equal(len, strlen(line));
	free(ev);
	return line;
}

#define UNPACK(...) __VA_ARGS__
/* LINE(jt, style, want, (.type = ...), frames...): without frames NOFRAMES. */
#define LINE(jt, style, want, fields) \
	assert_string_equal(put(jt, &(struct ev_trace){UNPACK fields}, style, NULL, 0), want)
#define LINE_F(jt, style, want, fields, ...)                                               \
	assert_string_equal(                                                               \
	    put(jt, &(struct ev_trace){UNPACK fields}, style,                              \
		(const struct ev_frame[]){__VA_ARGS__},                                    \
		sizeof((const struct ev_frame[]){__VA_ARGS__}) / sizeof(struct ev_frame)), \
	    want)
#define EVENT(jt, fields) put(jt, &(struct ev_trace){UNPACK fields}, JT_JV, NULL, 0)
#define EVENT_F(jt, fields, ...)                                                                  \
	put(jt, &(struct ev_trace){UNPACK fields}, JT_JV, (const struct ev_frame[]){__VA_ARGS__}, \
	    sizeof((const struct ev_frame[]){__VA_ARGS__}) / sizeof(struct ev_frame))

#define STOP .type = EV_TRACE_STOP
#define ABORT .type = EV_TRACE_ABORT
#define BEGIN .type = EV_TRACE_START
#define FLUSH .type = EV_TRACE_FLUSH
#define LIVE .type = EV_TRACE_LIVE
#define SIDE(p, e) .kind = EV_TRACE_SIDE, .parent = (p), .exitno = (e)
#define STITCHED(p) .kind = EV_TRACE_STITCHED, .parent = (p)
#define AT2 .start = LUA(MAIN, 5, 2)
#define DOUBLE51 0x4049800000000000ull
#define ABORT_AT2 (ABORT, .trace = 1, AT2, .error = NYIBC, .info = DOUBLE51, .end = LUA(MAIN, 7, 3))

#endif
