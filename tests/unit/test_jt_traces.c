// SPDX-License-Identifier: MIT
/* The table of traces, and what was read from a VM's memory. */
#include "tests/unit/jt_records.h"

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

/* ---- what was read from a VM's memory ---- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_traces),
	    cmocka_unit_test(test_missed),
	    cmocka_unit_test(test_scan_penalties),
	    cmocka_unit_test(test_scan_traces),
	    cmocka_unit_test(test_vms),
	};

	return cmocka_run_group_tests_name("jt traces", tests, NULL, NULL);
}
