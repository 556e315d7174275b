// SPDX-License-Identifier: MIT
/* Where recordings fail: rows, their states, limits of all tables. */
#include "tests/unit/jt_records.h"

/* ---- sites ---- */

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

#define NAMELESS "lmd5.so+0x8000"

/* A C function without a symbol has one row, whenever a call tells what its name is. */
static void test_names_of_c_functions(void **state)
{
	struct jt *jt = start();
	const struct jt_site *s;
	size_t n;

	(void)state;
	EVENT(jt, (STOP, .trace = 3, .linktype = LINK_STITCH, AT2, .end = CFUNC(0x8010)));
	EVENT(jt, (ABORT, .trace = 4, .start = LUA(WORK, 0, 10), .error = NYIFFU,
		   .about = CFUNC(0x8020), .end = CFUNC(0x8020)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 2);
	assert_string_equal(s[0].at.name, "C:?@" NAMELESS);
	assert_string_equal(s[0].reason, "NYI: unsupported variant of FastFunc C:?@" NAMELESS);
	assert_string_equal(s[1].reason, "C:?@" NAMELESS);
	/* Memory tells of the first once more, and where its call is. */
	def_name(jt, MAIN, 20, "hash");
	EVENT_F(jt, (LIVE, .trace = 3, .linktype = LINK_STITCH, AT2, .end = CFUNC(0x8010)),
		CFUNC(0x8010), LUA(MAIN, 20, 6));
	EVENT(jt, (ABORT, .trace = 4, .start = LUA(WORK, 0, 10), .error = NYIFFU,
		   .about = CFUNC(0x8020), .end = CFUNC(0x8020)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 2);
	assert_int_equal(s[0].count, 2);
	assert_string_equal(s[0].at.name, "C:hash@" NAMELESS);
	assert_string_equal(s[0].reason, "NYI: unsupported variant of FastFunc C:hash@" NAMELESS);
	assert_string_equal(s[0].subject, "C:hash@" NAMELESS);
	assert_int_equal(s[1].count, 1);
	assert_string_equal(s[1].reason, "C:hash@" NAMELESS);
	/* Another name, or none, makes no other row; and lines tell the one that is known. */
	def_name(jt, MAIN, 21, "digest");
	EVENT_F(jt, (STOP, .trace = 5, .linktype = LINK_STITCH, AT2, .end = CFUNC(0x8010)),
		CFUNC(0x8010), LUA(MAIN, 21, 7));
	LINE(jt, JT_PLAIN, "100 stop 6 /srv/app/v.lua:2 stitch C:hash@" NAMELESS ", 0 IR, 0 bytes",
	     (STOP, .trace = 6, .linktype = LINK_STITCH, AT2, .end = CFUNC(0x8010)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 2);
	assert_string_equal(s[0].reason, "C:hash@" NAMELESS);
	assert_int_equal(s[0].count, 3);
	/* Functions that are not at one address are not one. */
	def_sym(jt, 0x8100, 0x8200, EV_SYM_MODULE, "");
	EVENT(jt, (STOP, .trace = 7, .linktype = LINK_STITCH, AT2, .end = CFUNC(0x8110)));
	s = jt_sites(jt, 0, &n);
	assert_int_equal(n, 3);
	assert_string_equal(s[0].reason, "C:?@lmd5.so+0x8100");
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
	    cmocka_unit_test(test_sites),
	    cmocka_unit_test(test_states),
	    cmocka_unit_test(test_other_starts),
	    cmocka_unit_test(test_stitches),
	    cmocka_unit_test(test_names_of_c_functions),
	    cmocka_unit_test(test_processes),
	    cmocka_unit_test(test_filter),
	    cmocka_unit_test(test_match),
	    cmocka_unit_test(test_site_limit),
	    cmocka_unit_test(test_start_limit),
	    cmocka_unit_test(test_func_limit),
	    cmocka_unit_test(test_stack_limit),
	};

	return cmocka_run_group_tests_name("jt sites", tests, NULL, NULL);
}
