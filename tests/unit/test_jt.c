// SPDX-License-Identifier: MIT
/* Trace events as text: jit.v's lines, and ours. */
#include "tests/unit/jt_records.h"

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

/* How an NYI abort, and one of the assembler, look after TABLES with these names. */
static void look(const char *version, const char *layout, const char *const names[4],
		 const char *bytecode, const char *ir)
{
	struct jt *jt = start_build(version, layout);

	if (names)
		def_tables(jt, 1, names[0], names[1], names[2], names[3]);
	LINE(jt, JT_JV, bytecode,
	     (ABORT, .trace = 1, AT2, .error = NYIBC, .info = DOUBLE51, .end = LUA(MAIN, 6, 2)));
	LINE(jt, JT_PLAIN, ir,
	     (ABORT, .trace = 1, AT2, .error = NYIIR, .info = DOUBLE51, .end = LUA(MAIN, 6, 2)));
	jt_free(jt);
}

/* The tables that the writer chose count, and without them version and layout, as of old. */
static void test_tables(void **state)
{
	static const char named[] = "[TRACE --- v.lua:2 -- NYI: bytecode FNEW  ]",
			  numbered[] = "[TRACE --- v.lua:2 -- NYI: bytecode 51]";
#define ASSEMBLE(what)                                                              \
	"100 abort 1 /srv/app/v.lua:2 -- NYI: cannot assemble IR instruction " what \
	" at /srv/app/v.lua:2 [2/11]"
	static const char *const all[] = {"G21", "tarantool HEAD", "upstream 2.1 2024-04-19",
					  "upstream 2020-05-22"};
	static const char *const some[] = {"", "tarantool HEAD", "", "upstream 2020-05-22"};
	/* Of a writer that knows more. */
	static const char *const newer[] = {"G99", "upstream 2031", "upstream 2.2",
					    "upstream 2031"};
	static const char *const none[] = {"", "", "", ""};
	static const char *const odd[] = {"G20", "", "", ""};

	(void)state;
	look("LuaJIT 2.1.0-beta3", "none", NULL, numbered, ASSEMBLE("51"));
	look("LuaJIT 2.1.0-beta3", "none", all, named, ASSEMBLE("MAX"));
	look("LuaJIT 9", "none", all, named, ASSEMBLE("MAX"));
	/* What is not known leaves what version and layout say; fast functions tell forks apart. */
	look("LuaJIT 2.1.0-beta3", "luajit2-20230119", NULL, numbered, ASSEMBLE("MAX"));
	look("LuaJIT 2.1.0-beta3", "luajit2-20230119", none, numbered, ASSEMBLE("MAX"));
	look("LuaJIT 2.1.0-beta3", "luajit2-20230119", newer, numbered, ASSEMBLE("MAX"));
	look("LuaJIT 2.1.0-beta3", "luajit2-20230119", some, named, ASSEMBLE("MAX"));
	/* Opcodes that contradict the layout. */
	look("LuaJIT 2.1.1737090214", "luajit2-20230119", odd, named, ASSEMBLE("MAX"));
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

/* VMs without probes: of all processes, or of the one that was asked for; old records lack them. */
static void test_unwatched(void **state)
{
	const struct jt_opts all = {.pid = 0}, one = {.pid = PID};
	struct ev_lost lost = {
	    .h = {.kind = EV_LOST, .size = sizeof(lost), .pid = PID}, .protos = 1, .vms = 2};
	struct jt *jt[2] = {jt_new(&all), jt_new(&one)};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		assert_non_null(jt[i]);
		lost.h.pid = PID;
		lost.h.size = sizeof(lost);
		assert_int_equal(jt_add(jt[i], &lost.h), 0);
		lost.h.pid = PID + 1;
		assert_int_equal(jt_add(jt[i], &lost.h), 0);
		lost.h.pid = PID;
		lost.h.size = EV_LOST_OLD;
		assert_int_equal(jt_add(jt[i], &lost.h), 0);
		assert_int_equal(jt_stats(jt[i])->lost, 3);
		assert_int_equal(jt_stats(jt[i])->unwatched, i ? 2 : 4);
		jt_free(jt[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jv_stops),  cmocka_unit_test(test_jv_aborts),
	    cmocka_unit_test(test_jv_builds), cmocka_unit_test(test_jv_places),
	    cmocka_unit_test(test_tables),    cmocka_unit_test(test_undefined),
	    cmocka_unit_test(test_plain),     cmocka_unit_test(test_cleaning),
	    cmocka_unit_test(test_describe),  cmocka_unit_test(test_small_buffer),
	    cmocka_unit_test(test_unwatched),
	};

	return cmocka_run_group_tests_name("jt", tests, NULL, NULL);
}
