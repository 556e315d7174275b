// SPDX-License-Identifier: MIT
/* The fold of trace events: jit.v's lines, ours, the tables of traces and sites, their limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytecode/jitnames.h"
#include "jittrace/jt.h"

#define PID 100u
#define G 0x41000000u
#define SECOND 1000000000ull

/* Trace errors of 2.1 since August 2015. */
enum { RECERR = 0, BLACKL = 5, NYIBC = 7, LLEAVE = 8, CJITOFF = 12, DOWNREC = 14, NYIFFU = 15 };

/* Functions by id. */
enum { MAIN = 1, WORK, LONG, NAMED, TEXT, BUILTIN, STRIPPED, PATHLESS, ROOTED, CUT };

/* ---- records ---- */

static void add(struct jt *jt, const void *fixed, size_t size, unsigned int kind,
		const char *const *strs, size_t n)
{
	size_t len = size, at = size, i;
	struct ev_hdr *h;

	for (i = 0; i < n; i++)
		len += strlen(strs[i]) + 1;
	len = (len + 7) & ~(size_t)7;
	h = calloc(1, len);
	assert_non_null(h);
	memcpy(h, fixed, size);
	h->kind = (ev_u16)kind;
	h->size = (ev_u32)len;
	for (i = 0; i < n; i++) {
		strcpy((char *)h + at, strs[i]);
		at += strlen(strs[i]) + 1;
	}
	assert_int_equal(jt_add(jt, h), 0);
	free(h);
}

#define ADD(jt, ev, kind) add(jt, &(ev), sizeof(ev), kind, NULL, 0)
#define ADD_STRS(jt, ev, kind, ...)                                          \
	add(jt, &(ev), sizeof(ev), kind, (const char *const[]){__VA_ARGS__}, \
	    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void def_proc(struct jt *jt, uint32_t pid)
{
	struct ev_proc ev = {.h.pid = pid};

	ADD_STRS(jt, ev, EV_PROC, "luajit", "/usr/bin/luajit", "luajit a.lua");
}

static void def_build(struct jt *jt, uint32_t id, const char *version, const char *layout)
{
	struct ev_build ev = {.id = id};

	ADD_STRS(jt, ev, EV_BUILD, version, layout, "/usr/lib/l.so", "abcd");
}

static void def_vm(struct jt *jt, uint32_t pid, uint64_t g, uint32_t number, uint32_t build)
{
	struct ev_vm ev = {.h.pid = pid, .g = g, .number = number, .build = build};

	ADD(jt, ev, EV_VM);
}

static void def_func(struct jt *jt, uint32_t id, const char *chunk, int first, uint32_t flags)
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

static void def_name(struct jt *jt, uint32_t proto, uint32_t pc, const char *name)
{
	struct ev_name ev = {.proto = proto, .pc = pc, .what = EV_NAME_LOCAL};

	ADD_STRS(jt, ev, EV_NAME, name);
}

static void def_sym(struct jt *jt, uint64_t start, uint64_t end, uint32_t kind, const char *name)
{
	struct ev_sym ev = {
	    .h.pid = PID, .start = start, .end = end, .offset = start & 0xffff, .kind = kind};

	ADD_STRS(jt, ev, EV_SYM, name, "lmd5.so");
}

static void def_ff(struct jt *jt, uint32_t build, uint32_t ffid, const char *name)
{
	struct ev_ff ev = {.build = build, .ffid = ffid};

	ADD_STRS(jt, ev, EV_FF, name);
}

#define CHUNK40 "0123456789012345678901234567890123456789"

static struct jt *start_build(const char *version, const char *layout)
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

static struct jt *start(void)
{
	return start_build("LuaJIT 2.1.0-beta3", "luajit2-20230119");
}

#define LUA(id, pc, ln)                                                           \
	{                                                                         \
		.addr = EV_FRAME_ADDR(id, pc), .kind = EV_FRAME_LUA, .line = (ln) \
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

static uint64_t now = 1000 * SECOND;

/* Fills in what all have; n frames; returns it in a buffer of its own. */
static struct ev_trace *event(const struct ev_trace *from, const struct ev_frame *f, size_t n)
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
static const char *put(struct jt *jt, const struct ev_trace *from, enum jt_style style,
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
#define SIDE(p, e) .kind = EV_TRACE_SIDE, .parent = (p), .exitno = (e)
#define STITCHED(p) .kind = EV_TRACE_STITCHED, .parent = (p)
#define AT2 .start = LUA(MAIN, 5, 2)
#define DOUBLE51 0x4049800000000000ull

/* ---- jit.v's lines ---- */

static void test_jv_stops(void **state)
{
	struct jt *jt = start();

	(void)state;
	LINE(jt, JT_JV, "[TRACE   1 v.lua:2 loop]",
	     (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, AT2));
	LINE(jt, JT_JV, "[TRACE   2 v.lua:2 return]",
	     (STOP, .trace = 2, .linktype = LINK_RETURN, AT2, .end = LUA(MAIN, 8, 4)));
	LINE(jt, JT_JV, "[TRACE   3 v.lua:2 tail-recursion]",
	     (STOP, .trace = 3, .link = 3, .linktype = LINK_TAILREC, AT2));
	LINE(jt, JT_JV, "[TRACE   4 v.lua:2 up-recursion]",
	     (STOP, .trace = 4, .link = 4, .linktype = LINK_UPREC, AT2));
	LINE(jt, JT_JV, "[TRACE   5 v.lua:2 down-recursion]",
	     (STOP, .trace = 5, .link = 5, .linktype = LINK_DOWNREC, AT2));
	LINE(jt, JT_JV, "[TRACE   6 (4/3) v.lua:2 -> 5]",
	     (STOP, .trace = 6, .link = 5, .linktype = LINK_ROOT, SIDE(4, 3), AT2));
	LINE(jt, JT_JV, "[TRACE   7 (4/1) v.lua:2 -> 5 loop]",
	     (STOP, .trace = 7, .link = 5, .linktype = LINK_LOOP, SIDE(4, 1), AT2));
	LINE(jt, JT_JV, "[TRACE   2 (1/4) v.lua:2 -- fallback to interpreter]",
	     (STOP, .trace = 2, .linktype = LINK_INTERP, SIDE(1, 4), AT2));
	LINE(
	    jt, JT_JV, "[TRACE   8 v.lua:7 stitch string.gsub]",
	    (STOP, .trace = 8, .linktype = LINK_STITCH, .start = LUA(MAIN, 9, 7), .end = FAST(85)));
	LINE(jt, JT_JV, "[TRACE   9 (8/stitch) v.lua:7 stitch C:7a6c50]",
	     (STOP, .trace = 9, .linktype = LINK_STITCH, STITCHED(8), .start = LUA(MAIN, 9, 7),
	      .end = CFUNC(0x7a6c50)));
	LINE(jt, JT_JV, "[TRACE  10 (9/stitch) v.lua:7 -> 8]",
	     (STOP, .trace = 10, .link = 8, .linktype = LINK_ROOT, STITCHED(9),
	      .start = LUA(MAIN, 9, 7)));
	LINE(jt, JT_JV, "[TRACE 1000 v.lua:2 none]",
	     (STOP, .trace = 1000, .linktype = LINK_NONE, AT2));
	LINE(jt, JT_JV, "[TRACE  11 v.lua:2 root]",
	     (STOP, .trace = 11, .link = 11, .linktype = LINK_ROOT, AT2));
	/* A number that no build has. */
	LINE(jt, JT_JV, "[TRACE  12 v.lua:2 77]", (STOP, .trace = 12, .linktype = 77, AT2));
	/* What stopped in a Lua function is told without a position: its first line. */
	LINE(jt, JT_JV, "[TRACE  13 v.lua:2 stitch v.lua:10]",
	     (STOP, .trace = 13, .linktype = LINK_STITCH, AT2, .end = LUA(WORK, 3, 12)));
	LINE(jt, JT_JV, "", (BEGIN, .trace = 1, AT2));
	LINE(jt, JT_JV, "[TRACE flush]", (FLUSH, .trace = 100, .cause = EV_FLUSH_EXPLICIT));
	assert_int_equal(jt_stats(jt)->undefined, 0);
	jt_free(jt);
}

static void test_jv_aborts(void **state)
{
	struct jt *jt = start();

	(void)state;
	LINE(jt, JT_JV, "[TRACE --- v.lua:2 -- leaving loop in root trace]",
	     (ABORT, .trace = 1, AT2, .error = LLEAVE, .end = LUA(MAIN, 6, 2)));
	LINE(jt, JT_JV, "[TRACE --- v.lua:2 -- leaving loop in root trace at v.lua:14]",
	     (ABORT, .trace = 1, AT2, .error = LLEAVE, .end = LUA(WORK, 6, 14)));
	LINE(jt, JT_JV, "[TRACE --- (1/4) v.lua:2 -- loop unroll limit reached]",
	     (ABORT, .trace = 1, SIDE(1, 4), AT2, .error = 10, .end = LUA(MAIN, 6, 2)));
	LINE(jt, JT_JV, "[TRACE --- (3/stitch) v.lua:2 -- blacklisted at v.lua:11]",
	     (ABORT, .trace = 4, STITCHED(3), AT2, .error = BLACKL, .end = LUA(WORK, 1, 11)));
	/* errinfo is stale where the message takes none. */
	LINE(jt, JT_JV, "[TRACE --- v.lua:2 -- error thrown or hook called during recording]",
	     (ABORT, .trace = 1, AT2, .error = RECERR, .info = DOUBLE51, .end = LUA(MAIN, 6, 2)));
	LINE(jt, JT_JV, "[TRACE --- v.lua:2 -- NYI: bytecode 51]",
	     (ABORT, .trace = 1, AT2, .error = NYIBC, .info = DOUBLE51, .end = LUA(MAIN, 6, 2)));
	LINE(jt, JT_JV, "[TRACE --- v.lua:2 -- NYI: bytecode 51]",
	     (ABORT, .trace = 1, AT2, .error = NYIBC, .info = 0xfff9000000000033ull,
	      .end = LUA(MAIN, 6, 2)));
	LINE(jt, JT_JV_NAME, "[TRACE --- v.lua:2 -- NYI: bytecode FNEW  ]",
	     (ABORT, .trace = 1, AT2, .error = NYIBC, .info = DOUBLE51, .end = LUA(MAIN, 6, 2)));
	LINE(jt, JT_JV_NUMBER, "[TRACE --- v.lua:2 -- NYI: bytecode 51]",
	     (ABORT, .trace = 1, AT2, .error = NYIBC, .info = DOUBLE51, .end = LUA(MAIN, 6, 2)));
	LINE(jt, JT_JV,
	     "[TRACE --- v.lua:2 -- NYI: unsupported variant of FastFunc ffi.typeof at "
	     "ffi.typeof]",
	     (ABORT, .trace = 1, AT2, .error = NYIFFU, .about = FAST(200), .end = FAST(200)));
	LINE(jt, JT_JV, "[TRACE --- v.lua:2 -- as told at v.lua:3]",
	     (ABORT, .trace = 1, AT2, .error = EV_ERROR_STRING, .text = "as told",
	      .end = LUA(MAIN, 6, 3)));
	LINE(jt, JT_JV, "[TRACE --- v.lua:2 -- (error object) at C:7a6c50]",
	     (ABORT, .trace = 1, AT2, .error = EV_ERROR_OTHER, .end = CFUNC(0x7a6c50)));
	jt_free(jt);
}

/* Other builds say it in other words, and see the place elsewhere. */
static void test_jv_builds(void **state)
{
	struct jt *jt = start_build("LuaJIT 2.1.1720049189", "801f2670f6");

	(void)state;
	LINE(jt, JT_JV, "[TRACE --- v.lua:2 -- NYI: bytecode FNEW  ]",
	     (ABORT, .trace = 1, AT2, .error = NYIBC, .info = DOUBLE51, .end = LUA(MAIN, 6, 2)));
	LINE(jt, JT_JV_NUMBER, "[TRACE --- v.lua:2 -- NYI: bytecode 51]",
	     (ABORT, .trace = 1, AT2, .error = NYIBC, .info = DOUBLE51, .end = LUA(MAIN, 6, 2)));
	/* Upstream goes down to the Lua function that called; OpenResty's branch did not. */
	LINE_F(jt, JT_JV, "[TRACE --- v.lua:2 -- bad argument type at v.lua:12]",
	       (ABORT, .trace = 1, AT2, .error = 11, .end = FAST(85)), FAST(85), LUA(WORK, 2, 12),
	       LUA(MAIN, 9, 3));
	LINE_F(jt, JT_JV, "[TRACE --- v.lua:2 -- bad argument type at string.gsub]",
	       (ABORT, .trace = 1, AT2, .error = 11, .end = FAST(85)), FAST(85), CORO,
	       LUA(MAIN, 9, 3));
	jt_free(jt);

	jt = start();
	def_ff(jt, 1, 98, "table.isempty"); /* only that branch has it */
	LINE_F(jt, JT_JV, "[TRACE --- v.lua:2 -- bad argument type at string.gsub]",
	       (ABORT, .trace = 1, AT2, .error = 11, .end = FAST(85)), FAST(85), LUA(WORK, 2, 12));
	jt_free(jt);

	jt = start_build("LuaJIT 2.1.1737090214", "6af2f7eb2e"); /* nor does it any more */
	def_ff(jt, 1, 98, "table.isempty");
	LINE_F(jt, JT_JV, "[TRACE --- v.lua:2 -- bad argument type at v.lua:12]",
	       (ABORT, .trace = 1, AT2, .error = 11, .end = FAST(85)), FAST(85), LUA(WORK, 2, 12));
	jt_free(jt);

	jt = start_build("LuaJIT 2.1.0-beta2", "6aad800cd4");
	LINE(jt, JT_JV, "[TRACE   9 v.lua:2 -> 8]",
	     (STOP, .trace = 9, .link = 8, .linktype = LINK_ROOT, STITCHED(8), AT2));
	jt_free(jt);

	/* An unknown build: numbers. */
	jt = start_build("LuaJIT 9", "none");
	LINE(jt, JT_JV, "[TRACE --- v.lua:2 -- trace error 7 (51)]",
	     (ABORT, .trace = 1, AT2, .error = NYIBC, .info = DOUBLE51, .end = LUA(MAIN, 6, 2)));
	jt_free(jt);
}

static void test_jv_places(void **state)
{
	static const struct {
		unsigned int id, line;
		const char *want;
	} places[] = {
	    {LONG, 1, "[TRACE   1 0x7fa0ff42fa48:1 loop]"},
	    {NAMED, 3, "[TRACE   1 named:3 loop]"},
	    {TEXT, 3, "[TRACE   1 \"" CHUNK40 "\":3 loop]"},
	    {BUILTIN, 0, "[TRACE   1 builtin:foreach loop]"},
	    {STRIPPED, 0, "[TRACE   1 s.lua:0 loop]"},
	    {PATHLESS, 3, "[TRACE   1 plain.lua:3 loop]"},
	    {ROOTED, 3, "[TRACE   1 /rooted.lua:3 loop]"},
	    {CUT, 3, "[TRACE   1 0x7fa0ff42fa48:3 loop]"},
	};
	struct jt *jt = start();
	struct ev_func f = {.h.pid = PID, .id = 50, .g = G, .firstline = 1, .content = 9};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(places) / sizeof(*places); i++)
		LINE(jt, JT_JV, places[i].want,
		     (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP,
		      .start = LUA(places[i].id, 4, places[i].line)));
	/* An address shows the bytes that it has, and four at least. */
	f.pt = 0x41a8;
	ADD_STRS(jt, f, EV_FUNC, CHUNK40 "y");
	LINE(jt, JT_JV, "[TRACE   1 0x000041a8:2 loop]",
	     (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, .start = LUA(50, 1, 2)));
	f.pt = 0x141f21fa8;
	ADD_STRS(jt, f, EV_FUNC, CHUNK40 "z");
	LINE(jt, JT_JV, "[TRACE   1 0x0141f21fa8:2 loop]",
	     (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, .start = LUA(50, 1, 2)));
	jt_free(jt);
}

static void test_undefined(void **state)
{
	struct jt *jt = start();

	(void)state;
	LINE(jt, JT_JV, "[TRACE   1 [undefined] loop]",
	     (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, .start = LUA(99, 1, 1)));
	LINE(jt, JT_JV, "[TRACE   1 v.lua:2 stitch [undefined]]",
	     (STOP, .trace = 1, .linktype = LINK_STITCH, AT2, .end = FAST(13)));
	LINE(jt, JT_JV, "[TRACE --- [undefined] -- blacklisted]",
	     (ABORT, .trace = 1, .error = BLACKL));
	assert_int_equal(jt_stats(jt)->undefined, 3);
	/* Of a VM and a process that nobody spoke of. */
	LINE(jt, JT_PLAIN, "7 stop 1 /srv/app/v.lua:2 loop, 0 IR, 0 bytes",
	     (STOP, .h.pid = 7, .g = 5, .trace = 1, .link = 1, .linktype = LINK_LOOP, AT2));
	assert_int_equal(jt_stats(jt)->undefined, 3);
	LINE(jt, JT_PLAIN, "100 stop 1 [undefined] stitch fastfunc#13, 0 IR, 0 bytes",
	     (STOP, .trace = 1, .linktype = LINK_STITCH, .end = FAST(13)));
	assert_int_equal(jt_stats(jt)->undefined, 4);
	jt_free(jt);
}

/* ---- ours ---- */

static void test_plain(void **state)
{
	struct jt *jt = start();

	(void)state;
	def_vm(jt, PID, G + 8, 2, 1);
	LINE(jt, JT_PLAIN, "100 start 1 /srv/app/v.lua:2", (BEGIN, .trace = 1, AT2));
	LINE(jt, JT_PLAIN, "100 stop 1 /srv/app/v.lua:2 loop, 41 IR, 300 bytes",
	     (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, .nins = 41, .szmcode = 300, AT2));
	LINE(jt, JT_PLAIN, "100/2 stop 6 (4/3) /srv/app/v.lua:2 -> 5, 1 IR, 9 bytes",
	     (STOP, .g = G + 8, .trace = 6, .link = 5, .linktype = LINK_ROOT, SIDE(4, 3), AT2,
	      .nins = 1, .szmcode = 9));
	LINE(jt, JT_PLAIN,
	     "100 stop 2 (1/4) /srv/app/v.lua:2 -- fallback to interpreter, 0 IR, 0 bytes",
	     (STOP, .trace = 2, .linktype = LINK_INTERP, SIDE(1, 4), AT2));
	LINE_F(
	    jt, JT_PLAIN,
	    "100 stop 3 (2/stitch) /srv/app/v.lua:2 stitch C:md5_update at /srv/app/v.lua:3, 0 IR, "
	    "0 bytes",
	    (STOP, .trace = 3, .linktype = LINK_STITCH, STITCHED(2), AT2, .end = CFUNC(0x7a6c50)),
	    CFUNC(0x7a6c50), LUA(MAIN, 9, 3));
	LINE(jt, JT_PLAIN,
	     "100 abort 4 /srv/app/v.lua:2 -- NYI: bytecode FNEW at /srv/app/v.lua:3 [1/11]",
	     (ABORT, .trace = 4, AT2, .error = NYIBC, .info = DOUBLE51, .end = LUA(MAIN, 7, 3)));
	def_name(jt, MAIN, 9, "hash");
	LINE_F(jt, JT_PLAIN,
	       "100 abort 5 (3/1) [string \"" CHUNK40 "\"]:? -- bad argument type at "
	       "/srv/app/v.lua:3 in C:hash@lmd5.so+0x8000 [1/4]",
	       (ABORT, .trace = 5, SIDE(3, 1), .start = LUA(TEXT, 1, 0), .error = 11,
		.end = CFUNC(0x8010)),
	       CFUNC(0x8010), LUA(MAIN, 9, 3));
	LINE(jt, JT_PLAIN,
	     "100 abort 6 (3/stitch) [builtin:foreach]:? -- NYI: unsupported variant of FastFunc "
	     "ffi.typeof at named:4 [1/1: blacklisted]",
	     (ABORT, .trace = 6, STITCHED(3), .start = LUA(BUILTIN, 1, 0), .error = NYIFFU,
	      .about = FAST(200), .end = LUA(NAMED, 1, 4)));
	LINE(jt, JT_PLAIN, "100 flush -- trace table full, 3 traces dropped",
	     (FLUSH, .trace = 1000, .cause = EV_FLUSH_TABLE));
	LINE(jt, JT_PLAIN, "100 flush -- no machine code memory, 0 traces dropped",
	     (FLUSH, .trace = 1000, .cause = EV_FLUSH_MCODE));
	assert_int_equal(jt_stats(jt)->flush_by[EV_FLUSH_TABLE], 1);
	assert_int_equal(jt_stats(jt)->undefined, 0);
	jt_free(jt);
}

/* What a target calls things does not reach the terminal. */
static void test_cleaning(void **state)
{
	struct jt *jt = start();

	(void)state;
	def_func(jt, 60, "@/a\x1b[31m\xff\xc3\xa9\n.lua", 1, 0);
	def_func(jt, 61, "first \x1b line\nsecond", 1, 0);
	LINE(jt, JT_PLAIN, "100 start 1 /a [31m?\xc3\xa9 .lua:2",
	     (BEGIN, .trace = 1, .start = LUA(60, 1, 2)));
	LINE(jt, JT_PLAIN,
	     "100 abort 1 [string \"first   line...\"]:2 -- bad   news at named:4 [1/11]",
	     (ABORT, .trace = 1, .start = LUA(61, 1, 2), .error = EV_ERROR_STRING,
	      .text = "bad \x1b news", .end = LUA(NAMED, 1, 4)));
	/* jit.v prints what it is given. */
	LINE(jt, JT_JV, "[TRACE --- \"first \x1b line\nsecond\":2 -- bad \x1b news at named:4]",
	     (ABORT, .trace = 1, .start = LUA(61, 1, 2), .error = EV_ERROR_STRING,
	      .text = "bad \x1b news", .end = LUA(NAMED, 1, 4)));
	jt_free(jt);
}

static void test_describe(void **state)
{
	struct ev_trace from = {ABORT,		.trace = 5,	  SIDE(3, 1),	  AT2,
				.error = NYIBC, .info = DOUBLE51, .end = FAST(85)};
	const struct ev_frame f[] = {FAST(85), LUA(WORK, 2, 12)};
	struct jt *jt = start();
	struct ev_trace *ev = event(&from, f, 2);
	struct ev_clock clock = {.h.time = 5, .realtime = 1000};
	struct jt_event e;

	(void)state;
	assert_int_equal(jt_realtime(jt, 7), 0);
	ADD(jt, clock, EV_CLOCK);
	assert_int_equal(jt_realtime(jt, 7), 1002);
	assert_int_equal(jt_add(jt, &ev->h), 0);
	jt_describe(jt, ev, &e);
	assert_string_equal(e.start, "/srv/app/v.lua:2");
	assert_string_equal(e.end, "/srv/app/v.lua:12");
	assert_string_equal(e.in, "string.gsub");
	assert_string_equal(e.reason, "NYI: bytecode FNEW");
	assert_int_equal(e.err, ERR_NYIBC);
	assert_int_equal(e.vm, 1);
	assert_int_equal(e.attempts, 1);
	assert_int_equal(e.end_at.line, 12);
	assert_int_equal(e.end_at.firstline, 10);
	assert_string_equal(e.end_at.file, "/srv/app/v.lua");
	free(ev);
	jt_free(jt);
}

/* A buffer that is too small is filled, and the return value tells. */
static void test_small_buffer(void **state)
{
	struct ev_trace from = {FLUSH};
	struct jt *jt = start();
	struct ev_trace *ev = event(&from, NULL, 0);
	char buf[8];

	(void)state;
	assert_int_equal(jt_format(jt, ev, JT_JV, buf, sizeof(buf)), 13);
	assert_string_equal(buf, "[TRACE ");
	free(ev);
	jt_free(jt);
}

/* ---- traces ---- */

static void test_traces(void **state)
{
	struct jt *jt = start();
	const struct jt_trace *t;
	size_t n;

	(void)state;
	EVENT(jt, (ABORT, .trace = 1, AT2, .error = LLEAVE, .end = LUA(MAIN, 6, 2)));
	EVENT(jt, (ABORT, .trace = 1, AT2, .error = LLEAVE, .end = LUA(MAIN, 6, 2)));
	EVENT(jt, (STOP, .trace = 2, .root = 1, .link = 1, .linktype = LINK_ROOT, SIDE(1, 3),
		   .start = LUA(WORK, 4, 12)));
	EVENT(jt, (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, .nins = 7, .szmcode = 99,
		   .nsnap = 3, .mcode = 0x5000, AT2));
	EVENT(jt, (STOP, .trace = 3, .linktype = LINK_STITCH, .start = LUA(MAIN, 8, 4),
		   .end = FAST(85)));
	EVENT(jt, (STOP, .trace = 4, .link = 1, .linktype = LINK_ROOT, STITCHED(3),
		   .start = LUA(MAIN, 9, 5)));
	t = jt_traces(jt, &n);
	assert_int_equal(n, 4);
	assert_int_equal(t[0].trace, 1);
	assert_int_equal(t[0].aborts, 2);
	assert_int_equal(t[0].children, 1);
	assert_int_equal(t[0].nins, 7);
	assert_int_equal(t[0].szmcode, 99);
	assert_int_equal(t[0].nsnap, 3);
	assert_int_equal(t[0].mcode, 0x5000);
	assert_int_equal(t[0].epoch, 0);
	assert_string_equal(t[0].comm, "luajit");
	assert_int_equal(t[0].start.line, 2);
	assert_int_equal(t[1].parent, 1);
	assert_int_equal(t[1].exitno, 3);
	assert_int_equal(t[2].link, 4); /* patched when trace 4 was compiled */
	assert_int_equal(t[2].children, 1);
	assert_string_equal(t[2].end.name, "string.gsub");
	/* The number may be given away again without a flush. */
	EVENT(jt, (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, .start = LUA(WORK, 4, 12)));
	t = jt_traces(jt, &n);
	assert_int_equal(n, 4);
	assert_int_equal(t[0].start.line, 12);
	/* A flush takes all of this VM, and only of it. */
	def_vm(jt, PID, G + 8, 2, 1);
	EVENT(jt, (STOP, .g = G + 8, .trace = 9, .link = 9, .linktype = LINK_LOOP, AT2));
	EVENT(jt, (FLUSH, .cause = EV_FLUSH_EXPLICIT));
	EVENT(jt, (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, AT2));
	t = jt_traces(jt, &n);
	assert_int_equal(n, 2);
	assert_int_equal(t[0].epoch, 1);
	assert_int_equal(t[0].aborts, 0);
	assert_int_equal(t[1].vm, 2);
	assert_int_equal(t[1].epoch, 0);
	/* A new VM at the same place has nothing of the old one; nor has a new program. */
	def_vm(jt, PID, G, 3, 1);
	t = jt_traces(jt, &n);
	assert_int_equal(n, 1);
	def_proc(jt, PID);
	assert_non_null(jt_traces(jt, &n));
	assert_int_equal(n, 0);
	jt_free(jt);
}

static void test_missed(void **state)
{
	struct jt *jt = start();

	(void)state;
	/* Amid a recording when we came: not our fault. */
	EVENT(jt, (ABORT, .trace = 4, AT2, .error = LLEAVE, .end = LUA(MAIN, 6, 2)));
	assert_int_equal(jt_stats(jt)->missed, 0);
	EVENT(jt, (BEGIN, .trace = 5, AT2));
	EVENT(jt, (STOP, .trace = 5, .link = 5, .linktype = LINK_LOOP, AT2));
	assert_int_equal(jt_stats(jt)->missed, 0);
	EVENT(jt, (STOP, .trace = 6, .link = 6, .linktype = LINK_LOOP, AT2));
	assert_int_equal(jt_stats(jt)->missed, 1);
	EVENT(jt, (BEGIN, .trace = 7, AT2));
	EVENT(jt, (BEGIN, .trace = 7, AT2));
	assert_int_equal(jt_stats(jt)->missed, 2);
	assert_int_equal(jt_stats(jt)->starts, 3);
	jt_free(jt);
}

/* ---- sites ---- */

#define ABORT_AT2 (ABORT, .trace = 1, AT2, .error = NYIBC, .info = DOUBLE51, .end = LUA(MAIN, 7, 3))

static void test_sites(void **state)
{
	struct jt *jt = start();
	const struct jt_site *s;
	uint64_t first;
	size_t n;

	(void)state;
	def_name(jt, MAIN, 20, "work");
	EVENT(jt, ABORT_AT2);
	first = now;
	EVENT_F(jt,
		(ABORT, .trace = 1, .start = LUA(WORK, 0, 10), .error = LLEAVE,
		 .end = LUA(WORK, 7, 13)),
		LUA(WORK, 7, 13), LUA(MAIN, 20, 6));
	EVENT_F(jt,
		(ABORT, .trace = 1, .start = LUA(WORK, 0, 10), .error = LLEAVE,
		 .end = LUA(WORK, 7, 13)),
		LUA(WORK, 7, 13), LUA(MAIN, 21, 7));
	EVENT_F(jt,
		(ABORT, .trace = 1, .start = LUA(WORK, 0, 10), .error = LLEAVE,
		 .end = LUA(WORK, 7, 13)),
		LUA(WORK, 7, 13), LUA(MAIN, 20, 6));
	now += 50 * SECOND;
	EVENT(jt, ABORT_AT2);
	/* The same place for another reason, and another bytecode: rows of their own. */
	EVENT(jt, (ABORT, .trace = 1, AT2, .error = LLEAVE, .end = LUA(MAIN, 7, 3)));
	EVENT(jt, (ABORT, .trace = 1, AT2, .error = NYIBC, .info = 0x4049000000000000ull,
		   .end = LUA(MAIN, 7, 3)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 4);
	assert_string_equal(s[0].reason, "NYI: bytecode UCLO");
	assert_string_equal(s[2].reason, "NYI: bytecode FNEW");
	assert_string_equal(s[2].subject, "FNEW");
	assert_int_equal(s[2].kind, JT_SITE_ABORT);
	assert_int_equal(s[2].err, ERR_NYIBC);
	assert_int_equal(s[2].count, 2);
	assert_int_equal(s[2].recent, 2);
	assert_int_equal(s[2].first, first);
	assert_int_equal(s[2].last, now - 2);
	assert_int_equal(s[2].start.line, 2);
	assert_int_equal(s[2].at.line, 3);
	assert_int_equal(s[2].state, JT_STATE_RETRYING);
	assert_int_equal(s[2].attempts, 4); /* of the start, whatever the reason */
	assert_int_equal(s[2].limit, 11);
	assert_int_equal(s[2].proc[0].pid, PID);
	assert_int_equal(s[2].proc[0].count, 2);
	assert_int_equal(s[3].count, 3);
	assert_int_equal(s[3].nstack, 2);
	assert_int_equal(s[3].stack_count, 2);
	assert_string_equal(s[3].stack[0].name, "work");
	assert_int_equal(s[3].stack[1].line, 6);
	assert_int_equal(s[3].stack[1].main, 1);
	/* A minute later nothing is recent; what was counted stays. */
	s = jt_sites(jt, now + 61 * SECOND, &n);
	assert_int_equal(s[2].recent, 0);
	assert_int_equal(s[2].count, 2);
	jt_free(jt);
}

static void test_states(void **state)
{
	struct jt *jt = start();
	const struct jt_site *s;
	size_t n;
	int i;

	(void)state;
	EVENT(jt, ABORT_AT2);
	EVENT(jt, (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, AT2));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 1);
	assert_int_equal(s[0].state, JT_STATE_COMPILED);
	EVENT(jt, (FLUSH));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].state, JT_STATE_NONE);
	for (i = 0; i < 10; i++)
		EVENT(jt, ABORT_AT2);
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].state, JT_STATE_RETRYING);
	assert_int_equal(s[0].attempts, 10);
	LINE(jt, JT_PLAIN,
	     "100 abort 1 /srv/app/v.lua:2 -- NYI: bytecode FNEW at /srv/app/v.lua:3 [11/11: "
	     "blacklisted]",
	     ABORT_AT2);
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].state, JT_STATE_BLACKLISTED);
	assert_int_equal(s[0].vms_black, 1);
	/* That outlives a flush; but one that is recorded again is not blacklisted. */
	EVENT(jt, (FLUSH));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].state, JT_STATE_BLACKLISTED);
	EVENT(jt, (BEGIN, .trace = 1, AT2));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].state, JT_STATE_RETRYING);
	assert_int_equal(s[0].attempts, 0);
	jt_free(jt);
}

/* Side exits, continuations of stitches, restarts at returns: each has its own rule. */
static void test_other_starts(void **state)
{
	struct jt *jt = start();
	const struct jt_site *s;
	size_t n;
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		EVENT(jt, (ABORT, .trace = 2, SIDE(1, 3), AT2, .error = LLEAVE,
			   .end = LUA(MAIN, 7, 3)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].state, JT_STATE_RETRYING);
	assert_int_equal(s[0].attempts, 4);
	assert_int_equal(s[0].limit, 4);
	assert_int_equal(s[0].exitno, 3);
	EVENT(jt, (STOP, .trace = 2, .linktype = LINK_INTERP, SIDE(1, 3), AT2));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].state, JT_STATE_INTERP);
	/* Such a mark is in the trace, and goes with it. */
	EVENT(jt, (FLUSH));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].state, JT_STATE_NONE);

	EVENT(jt, (ABORT, .trace = 2, STITCHED(1), AT2, .error = LLEAVE, .end = LUA(MAIN, 7, 3)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 2);
	assert_int_equal(s[0].state, JT_STATE_BLACKLISTED);
	EVENT(jt, (FLUSH));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].state, JT_STATE_NONE);

	/* What restarts at a return has no penalty, however often. */
	for (i = 0; i < 12; i++) {
		EVENT(jt, (ABORT, .trace = 3, SIDE(1, 9), AT2, .error = DOWNREC,
			   .end = LUA(WORK, 8, 14)));
		EVENT(jt, (BEGIN, .trace = 3, .start = LUA(WORK, 8, 14)));
		EVENT(jt, (ABORT, .trace = 3, .start = LUA(WORK, 8, 14), .error = LLEAVE,
			   .end = LUA(WORK, 9, 15)));
	}
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].err, ERR_LLEAVE);
	assert_int_equal(s[0].count, 12);
	assert_int_equal(s[0].state, JT_STATE_RETRYING);
	assert_int_equal(s[0].limit, 0);
	assert_int_equal(s[0].at_return, 1);
	jt_free(jt);
}

static void test_stitches(void **state)
{
	struct jt *jt = start();
	const struct jt_site *s;
	size_t n;

	(void)state;
	EVENT(jt, (STOP, .trace = 3, .linktype = LINK_STITCH, AT2, .end = FAST(85)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 1);
	assert_int_equal(s[0].kind, JT_SITE_STITCH);
	assert_string_equal(s[0].reason, "string.gsub");
	assert_int_equal(s[0].link, 0);
	/* Where the call is is where the next trace starts. */
	EVENT(jt, (BEGIN, .trace = 4, STITCHED(3), .start = LUA(MAIN, 9, 5)));
	EVENT(jt, (STOP, .trace = 4, .link = 3, .linktype = LINK_ROOT, STITCHED(3),
		   .start = LUA(MAIN, 9, 5)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 1);
	assert_int_equal(s[0].at.line, 5);
	assert_int_equal(s[0].trace, 3);
	assert_int_equal(s[0].link, 4);
	assert_int_equal(s[0].state, JT_STATE_STITCH);
	/* With a stack it is known at once. */
	EVENT_F(jt,
		(STOP, .trace = 5, .linktype = LINK_STITCH, .start = LUA(WORK, 0, 10),
		 .end = CFUNC(0x7a6c50)),
		CFUNC(0x7a6c50), LUA(WORK, 6, 12));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 2);
	assert_string_equal(s[0].reason, "C:md5_update");
	assert_int_equal(s[0].at.line, 12);
	/* A continuation that is given up makes the stitch a blacklisted one. */
	EVENT(jt, (ABORT, .trace = 6, STITCHED(5), .start = LUA(WORK, 6, 12), .error = LLEAVE,
		   .end = LUA(WORK, 7, 13)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 3);
	assert_int_equal(s[1].kind, JT_SITE_STITCH);
	assert_int_equal(s[1].state, JT_STATE_BLACKLISTED);
	/* Returns: at a call that cannot be stitched, and an ordinary one. */
	EVENT(jt, (STOP, .trace = 7, .linktype = LINK_RETURN, AT2, .end = FAST(85)));
	EVENT(jt, (STOP, .trace = 8, .linktype = LINK_RETURN, AT2, .end = LUA(MAIN, 8, 4)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 5);
	assert_int_equal(s[1].kind, JT_SITE_RETURN);
	assert_string_equal(s[1].subject, "string.gsub");
	assert_string_equal(s[0].subject, "");
	assert_int_equal(s[0].state, JT_STATE_RETURN);
	assert_int_equal(jt_stats(jt)->stitches, 2);
	assert_int_equal(jt_stats(jt)->returns, 2);
	jt_free(jt);
}

/* The same function in two processes is one site; its state is the worst. */
static void test_processes(void **state)
{
	struct ev_func f = {.h.pid = 200,
			    .id = 70,
			    .g = G,
			    .firstline = 0,
			    .numline = 20,
			    .flags = EV_FUNC_MAIN,
			    .content = MAIN};
	struct jt *jt = start();
	const struct jt_site *s;
	size_t n;
	int i;

	(void)state;
	def_proc(jt, 200);
	def_vm(jt, 200, G, 1, 1);
	ADD_STRS(jt, f, EV_FUNC, "@/srv/app/v.lua");
	EVENT(jt, ABORT_AT2);
	EVENT(jt, (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, AT2));
	for (i = 0; i < 11; i++)
		EVENT(jt, (ABORT, .h.pid = 200, .trace = 1, .start = LUA(70, 5, 2), .error = NYIBC,
			   .info = DOUBLE51, .end = LUA(70, 7, 3)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 1);
	assert_int_equal(s[0].count, 12);
	assert_int_equal(s[0].state, JT_STATE_BLACKLISTED);
	assert_int_equal(s[0].vms, 2);
	assert_int_equal(s[0].vms_black, 1);
	assert_int_equal(s[0].nprocs, 2);
	assert_int_equal(s[0].proc[1].count, 11);
	/* It ends; another program takes its pid. */
	def_proc(jt, 200);
	s = jt_sites(jt, 0, &n);
	assert_int_equal(s[0].count, 12);
	assert_int_equal(s[0].state, JT_STATE_COMPILED);
	assert_int_equal(s[0].vms, 1);
	jt_free(jt);
}

static void test_filter(void **state)
{
	struct jt_opts opts = {.pid = 200};
	struct jt *jt = jt_new(&opts);

	(void)state;
	EVENT(jt, (FLUSH));
	EVENT(jt, (FLUSH, .h.pid = 200));
	assert_int_equal(jt_stats(jt)->flushes, 1);
	jt_free(jt);
}

static void test_match(void **state)
{
	struct jt_loc l = {
	    .kind = JT_LOC_LUA, .file = "/srv/resty/json.lua", .line = 61, .name = "decode"};
	struct jt_loc f = {.kind = JT_LOC_FUNCTION, .file = "", .name = "string.gsub"};

	(void)state;
	assert_true(jt_loc_match(&l, "json.lua"));
	assert_true(jt_loc_match(&l, "resty/json.lua"));
	assert_true(jt_loc_match(&l, "/srv/resty/json.lua"));
	assert_true(jt_loc_match(&l, "json.lua:61"));
	assert_true(jt_loc_match(&l, "json.lua:40-96"));
	assert_true(jt_loc_match(&l, "func:decode"));
	assert_true(jt_loc_match(&f, "func:string.gsub"));
	assert_false(jt_loc_match(&l, "son.lua"));
	assert_false(jt_loc_match(&l, "json.lua:60"));
	assert_false(jt_loc_match(&l, "json.lua:62-96"));
	assert_false(jt_loc_match(&l, "json.lua:61x"));
	assert_false(jt_loc_match(&l, "json.lua:"));
	assert_false(jt_loc_match(&l, ":61"));
	assert_false(jt_loc_match(&l, ""));
	assert_false(jt_loc_match(&l, "func:"));
	assert_false(jt_loc_match(&f, "string.gsub"));
	/* A chunkname may have a colon itself. */
	l.file = "access_by_lua(nginx.conf:55)";
	assert_true(jt_loc_match(&l, "access_by_lua(nginx.conf:55)"));
	assert_true(jt_loc_match(&l, "access_by_lua(nginx.conf:55):61"));
}

/* ---- what was read from a VM's memory ---- */

#define LIVE .type = EV_TRACE_LIVE

static void spot(struct jt *jt, unsigned int kind, struct ev_frame at, unsigned int reason,
		 unsigned int attempts, uint32_t trace)
{
	struct ev_spot ev = {.h.pid = PID,
			     .h.time = ++now,
			     .g = G,
			     .at = at,
			     .trace = trace,
			     .reason = (ev_u16)reason,
			     .kind = (ev_u8)kind,
			     .attempts = (ev_u8)attempts};

	ADD(jt, ev, EV_SPOT);
}

static void test_scan_penalties(void **state)
{
	const struct ev_frame at2 = LUA(MAIN, 5, 2), at9 = LUA(MAIN, 30, 9), at8 = LUA(WORK, 0, 10);
	struct jt *jt = start();
	const struct jt_site *s;
	size_t n;

	(void)state;
	spot(jt, EV_SPOT_PENALTY, at2, NYIBC, 3, 0);
	spot(jt, EV_SPOT_PENALTY, at9, LLEAVE, 10, 0);
	spot(jt, EV_SPOT_LOOP, at9, LLEAVE, 10, 0);
	spot(jt, EV_SPOT_FUNC, at8, EV_REASON_UNKNOWN, 0, 0);
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 3);
	assert_string_equal(s[0].reason, "NYI: bytecode ?");
	assert_int_equal(s[0].err, ERR_NYIBC);
	assert_int_equal(s[0].count, 0);
	assert_int_equal(s[0].scanned, 1);
	assert_int_equal(s[0].state, JT_STATE_RETRYING);
	assert_int_equal(s[0].attempts, 3);
	assert_int_equal(s[0].at.kind, JT_LOC_NONE);
	assert_int_equal(s[0].start.line, 2);
	assert_string_equal(s[1].reason, "leaving loop in root trace");
	assert_int_equal(s[1].state, JT_STATE_BLACKLISTED);
	assert_string_equal(s[2].reason, "reason no longer known");
	assert_int_equal(s[2].state, JT_STATE_BLACKLISTED);
	assert_int_equal(jt_stats(jt)->aborts, 0);
	/* Attempts go on from there; and events say more than memory did. */
	LINE(jt, JT_PLAIN,
	     "100 abort 1 /srv/app/v.lua:2 -- NYI: bytecode FNEW at /srv/app/v.lua:3 [4/11]",
	     ABORT_AT2);
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 3);
	assert_string_equal(s[0].reason, "NYI: bytecode FNEW");
	assert_int_equal(s[0].count, 1);
	assert_int_equal(s[0].scanned, 0);
	jt_free(jt);
}

static void test_scan_traces(void **state)
{
	const struct ev_frame at2 = LUA(MAIN, 5, 2), at4 = LUA(MAIN, 8, 4);
	struct jt *jt = start();
	const struct jt_trace *t;
	const struct jt_site *s;
	size_t n;

	(void)state;
	EVENT(jt, (LIVE, .trace = 1, .link = 1, .linktype = LINK_LOOP, .mcode = 0x50, .szmcode = 9,
		   AT2));
	EVENT(jt, (LIVE, .trace = 2, .root = 1, .linktype = LINK_INTERP, .kind = EV_TRACE_SIDE,
		   .start = LUA(MAIN, 8, 4)));
	spot(jt, EV_SPOT_STUB, at4, EV_REASON_UNKNOWN, 0, 2);
	EVENT(jt, (LIVE, .trace = 3, .link = 3, .linktype = LINK_STITCH, AT2));
	spot(jt, EV_SPOT_STITCH, at2, EV_REASON_UNKNOWN, 0, 3);
	EVENT(jt,
	      (LIVE, .trace = 4, .link = 5, .linktype = LINK_STITCH, .start = LUA(WORK, 1, 11)));
	EVENT(jt, (LIVE, .trace = 5, .link = 4, .linktype = LINK_ROOT, .start = LUA(WORK, 7, 13)));
	t = jt_traces(jt, &n);
	assert_int_equal(n, 5);
	assert_int_equal(t[1].root, 1);
	assert_int_equal(t[4].kind, EV_TRACE_STITCHED);
	assert_int_equal(t[4].parent, 4);
	assert_int_equal(jt_stats(jt)->stops, 0);
	assert_int_equal(jt_stats(jt)->stitches, 0);
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 3);
	assert_int_equal(s[0].kind, JT_SITE_STITCH);
	assert_int_equal(s[0].state, JT_STATE_BLACKLISTED);
	assert_int_equal(s[1].kind, JT_SITE_STITCH);
	assert_int_equal(s[1].state, JT_STATE_STITCH);
	assert_int_equal(s[1].at.line, 13);
	assert_int_equal(s[2].state, JT_STATE_INTERP);
	assert_int_equal(s[2].trace_kind, EV_TRACE_SIDE);
	/* A trace that an event told of keeps its parent. */
	EVENT(jt, (STOP, .trace = 6, .link = 1, .linktype = LINK_ROOT, SIDE(1, 7), .mcode = 0x90,
		   .szmcode = 5, AT2));
	EVENT(jt, (LIVE, .trace = 6, .link = 1, .root = 1, .linktype = LINK_ROOT,
		   .kind = EV_TRACE_SIDE, .mcode = 0x90, .szmcode = 5, AT2));
	t = jt_traces(jt, &n);
	assert_int_equal(n, 6);
	assert_int_equal(t[5].exitno, 7);
	/* With the traces go the stitches. */
	EVENT(jt, (FLUSH));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 1);
	assert_int_equal(s[0].state, JT_STATE_NONE);
	jt_free(jt);
}

static void test_vms(void **state)
{
	struct ev_jit jit = {.h = {.pid = PID, .time = 77},
			     .g = G,
			     .on = 1,
			     .szallmcarea = 65536,
			     .sizetrace = 64,
			     .nparams = 15};
	struct jt *jt = start();
	const struct jt_vm_info *v;
	size_t n, i;

	(void)state;
	for (i = 0; jit_param_name(15, (uint32_t)i) && i < 15; i++)
		jit.param[i] = strcmp(jit_param_name(15, (uint32_t)i), "tryside") ? 0 : 2;
	v = jt_vms(jt, &n);
	assert_int_equal(n, 1);
	assert_int_equal(v[0].time, 0);
	ADD(jt, jit, EV_JIT);
	EVENT(jt, (STOP, .trace = 1, .link = 1, .linktype = LINK_LOOP, .szmcode = 9, AT2));
	v = jt_vms(jt, &n);
	assert_int_equal(v[0].time, 77);
	assert_int_equal(v[0].traces, 1);
	assert_int_equal(v[0].szmcode, 9);
	assert_int_equal(v[0].szallmcarea, 65536);
	assert_int_equal(v[0].on, 1);
	assert_int_equal(v[0].nparams, 15);
	assert_string_equal(v[0].comm, "luajit");
	/* Side exits are tried as often as this VM says. */
	LINE(jt, JT_PLAIN,
	     "100 abort 2 (1/4) /srv/app/v.lua:2 -- blacklisted at /srv/app/v.lua:11 [1/2]",
	     (ABORT, .trace = 2, SIDE(1, 4), AT2, .error = BLACKL, .end = LUA(WORK, 1, 11)));
	jt_free(jt);
}

/* ---- limits ---- */

static void test_site_limit(void **state)
{
	struct jt *jt = start();
	const struct jt_site *s;
	unsigned int i;
	size_t n;

	(void)state;
	for (i = 0; i < 20000; i++)
		EVENT(jt, (ABORT, .trace = 1, .start = LUA(MAIN, i, 2), .error = LLEAVE,
			   .end = LUA(MAIN, 7, 3)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 16384);
	assert_int_equal(s[0].start.pos, 19999);
	assert_int_equal(jt_stats(jt)->dropped_sites, 20000 - 16384);
	assert_int_equal(jt_stats(jt)->dropped_site_events, 20000 - 16384);
	assert_int_equal(jt_stats(jt)->aborts, 20000);
	jt_free(jt);
}

static void test_start_limit(void **state)
{
	struct jt *jt = start();
	unsigned int i;
	size_t n;

	(void)state;
	for (i = 0; i < 70000; i++)
		EVENT(jt, (STOP, .trace = i % 1000 + 1, .link = i % 1000 + 1, .linktype = LINK_LOOP,
			   .start = LUA(MAIN, i, 2)));
	assert_int_equal(jt_stats(jt)->dropped_starts, 70000 - 65536);
	assert_non_null(jt_traces(jt, &n));
	assert_int_equal(n, 1000);
	jt_free(jt);
}

/* What is in use is not what goes. */
static void test_func_limit(void **state)
{
	struct jt *jt = start();
	unsigned int i;

	(void)state;
	for (i = 0; i < 80000; i++) {
		def_func(jt, 1000 + i, "@gen.lua", (int)i, 0);
		if (!(i % 1000))
			EVENT(jt, (BEGIN, .trace = 1, AT2));
	}
	assert_int_equal(jt_stats(jt)->undefined, 0);
	assert_true(jt_stats(jt)->dropped_funcs >= 80000 - 65536);
	LINE(jt, JT_PLAIN, "100 start 1 [undefined]",
	     (BEGIN, .trace = 1, .start = LUA(1000, 1, 2)));
	jt_free(jt);
}

static void test_stack_limit(void **state)
{
	struct jt *jt = start();
	const struct jt_site *s;
	unsigned int i;
	size_t n;

	(void)state;
	for (i = 0; i < 300; i++)
		EVENT_F(jt, ABORT_AT2, LUA(MAIN, 7, 3), LUA(WORK, i % 3 ? 5 : i, 12));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 1);
	assert_int_equal(s[0].stack[1].pos, 5);
	assert_int_equal(s[0].stack_count, 200);
	assert_true(jt_stats(jt)->dropped_stacks > 0);
	jt_free(jt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jv_stops),
	    cmocka_unit_test(test_jv_aborts),
	    cmocka_unit_test(test_jv_builds),
	    cmocka_unit_test(test_jv_places),
	    cmocka_unit_test(test_undefined),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_cleaning),
	    cmocka_unit_test(test_describe),
	    cmocka_unit_test(test_small_buffer),
	    cmocka_unit_test(test_traces),
	    cmocka_unit_test(test_missed),
	    cmocka_unit_test(test_sites),
	    cmocka_unit_test(test_states),
	    cmocka_unit_test(test_other_starts),
	    cmocka_unit_test(test_stitches),
	    cmocka_unit_test(test_processes),
	    cmocka_unit_test(test_filter),
	    cmocka_unit_test(test_match),
	    cmocka_unit_test(test_scan_penalties),
	    cmocka_unit_test(test_scan_traces),
	    cmocka_unit_test(test_vms),
	    cmocka_unit_test(test_site_limit),
	    cmocka_unit_test(test_start_limit),
	    cmocka_unit_test(test_func_limit),
	    cmocka_unit_test(test_stack_limit),
	};

	return cmocka_run_group_tests_name("jt", tests, NULL, NULL);
}
