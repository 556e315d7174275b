// SPDX-License-Identifier: MIT
/*
 * The live view as text: screens of checked-in recordings in several sizes and states against
 * what is in tests/golden, and the table of keys. LJX_GOLDEN=write writes what it draws instead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "profiler/write.h"
#include "tests/unit/goldens.h"
#include "tests/unit/view_script.h"

static const struct options quiet = {.quiet = 1};

/* Traces that load, leave by exit 5, and end in a jump to their loop. */
static int memory(int pid, uint64_t addr, void *buf, size_t len)
{
	static const unsigned char load[] = {0x48, 0x8b, 0x42, 0x08},
				   leave[] = {0x0f, 0x84, 0x00, 0x10, 0x00, 0x00},
				   stub[] = {0x6a, 0x05, 0xeb, 0x10}, end[] = {0x6a, 0x00};
	unsigned char *p = buf;
	int32_t back = 0x20 - (int32_t)len;
	size_t i;

	(void)pid;
	if (len <= sizeof(stub)) {
		memcpy(buf, len == sizeof(end) ? end : stub, len);
		return 0;
	}
	assert_true(addr && len > 0x40);
	memset(buf, 0x90, len);
	for (i = 0; i + sizeof(load) <= len / 2; i += sizeof(load))
		memcpy(p + i, load, sizeof(load));
	memcpy(p + 0x10, leave, sizeof(leave));
	p[0x16] = p[0x17] = 0x90;
	p[len - 5] = 0xe9;
	memcpy(p + len - 4, &back, 4);
	return 0;
}

static unsigned int split_of(const char *golden)
{
	size_t i;

	for (i = 0; i < sizeof(splits) / sizeof(splits[0]); i++)
		if (!strcmp(splits[i].name, golden))
			return splits[i].by;
	return 0;
}

/* ---- screens ---- */

static char *read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	assert_non_null(text);
	if (f && fread(text, 1, (1 << 20) - 1, f) == 0)
		*text = '\0';
	if (f)
		fclose(f);
	return text;
}

static void test_screens(void **state)
{
	const char *mode = getenv("LJX_GOLDEN");
	int different = 0;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(goldens) / sizeof(goldens[0]); i++) {
		char path[128], *want, *got;
		struct scene s;
		FILE *f;

		snprintf(path, sizeof(path), "tests/golden/%s.txt", goldens[i].name);
		scene_memory = strstr(goldens[i].name, "live") ? memory : NULL;
		scene_split = split_of(goldens[i].name);
		scene_open(&s, goldens[i].file, goldens[i].w, goldens[i].h, goldens[i].ascii);
		scene_keys(&s, goldens[i].keys);
		if (s.u.over == ON_EXPORT) /* its name has the time */
			export_rename(&s.u, "run");
		got = scene_draw(&s, goldens[i].roles);
		if (mode && !strcmp(mode, "write")) {
			f = fopen(path, "w");
			assert_non_null(f);
			fputs(got, f);
			fclose(f);
		}
		want = read_all(path);
		if (strcmp(want, got)) {
			printf("%s is not:\n%s", path, got);
			different++;
		}
		free(want);
		free(got);
		scene_close(&s);
	}
	scene_memory = NULL;
	scene_split = 0;
	assert_int_equal(different, 0);
}

/* No cell holds what a terminal would obey, whatever the size and the screen. */
static void test_nothing_harms(void **state)
{
	static const char *const keys[] = {"",	"Down", "F5", "2 g g", "3", "4",
					   "5", "6",	"?",  "x",     "e"};
	struct scene s;
	size_t i, c;
	int w;

	(void)state;
	for (w = 1; w < 140; w += 9)
		for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
			scene_open(&s, HOSTILE, w, w / 3 + 1, w & 1);
			scene_keys(&s, keys[i]);
			ui_draw(&s.u, &s.g);
			for (c = 0; c < (size_t)s.g.w * (size_t)s.g.h; c++) {
				uint32_t cp = s.g.cell[c].cp;

				assert_true(!cp || grid_char_width(cp) > 0);
				assert_true(!s.g.ascii || cp < 0x7f);
				assert_true(s.g.cell[c].role < ROLE_MAX);
			}
			scene_close(&s);
		}
}

/* ---- keys ---- */

/* On each screen a key has one meaning. */
static void test_keys_have_one_meaning(void **state)
{
	const struct key *k;
	unsigned int on;
	size_t n, i, j, a, b;

	(void)state;
	k = keys_table(&n);
	for (on = 1; on <= ON_LAST; on <<= 1)
		for (i = 0; i < n; i++)
			for (j = i; j < n; j++)
				for (a = 0; a < 4 && k[i].code[a]; a++)
					for (b = 0; b < 4 && k[j].code[b]; b++)
						if ((i != j || a != b) && (k[i].on & k[j].on & on))
							assert_int_not_equal(k[i].code[a],
									     k[j].code[b]);
}

/* What must be so that a key can do something: on another row, with something to go back to. */
static const struct {
	enum action action;
	unsigned int on; /* 0: any */
	const char *before;
} needs[] = {
    {ACT_UP, 0, "Down Down"},
    {ACT_PGUP, 0, "End"},
    {ACT_HOME, 0, "End"},
    {ACT_DOWN, ON_LOG, "Home"},
    {ACT_PGDN, ON_LOG, "Home"},
    {ACT_END, ON_LOG, "Home"},
    {ACT_FIND_NEXT, ON_QUALITY, "/=0 Enter"},
    {ACT_FIND_NEXT, ON_LOG, "Home /=mixed Enter"},
    {ACT_FIND_NEXT, ON_ANNOTATE, "/=out Enter"},
    {ACT_FIND_NEXT, 0, "/=mixed Enter"},
    {ACT_FIND_BACK, ON_QUALITY, "/=0 Enter"},
    {ACT_FIND_BACK, ON_LOG, "Home /=mixed Enter"},
    {ACT_FIND_BACK, ON_ANNOTATE, "/=out Enter"},
    {ACT_FIND_BACK, 0, "/=mixed Enter"},
    {ACT_EXPAND, ON_FUNCTIONS, "F5 F5 Down"},
    {ACT_COLLAPSE, ON_FUNCTIONS, "F5 Down"},
    {ACT_EXPAND_ALL, ON_FUNCTIONS, "F5"},
    {ACT_THRESHOLD, 0, "Down"},
    {ACT_HOT_NEXT, 0, "Home"},
    {ACT_HOT_BACK, 0, "End"},
    {ACT_ABORT_NEXT, 0, "Home"},
    {ACT_HOTTEST, ON_MACHINE, "End"},
    {ACT_HOTTEST, 0, "Home"},
};

static const char *need(enum action a, unsigned int on)
{
	size_t i;

	for (i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (needs[i].action == a && (!needs[i].on || needs[i].on == on))
			return needs[i].before;
	return "";
}

/* To the screen, with a row of a function that has all: aborts, traces, samples. */
static void go_to(struct scene *s, unsigned int on)
{
	static const char *const to[] = {"5 1", "/=decode Enter 2", "3", "/=decode Enter 4", "5",
					 "6"};
	int i;

	for (i = 0; i < SCREENS; i++)
		if (on == 1u << i)
			scene_keys(s, to[i]);
	scene_keys(s, on == ON_HELP	 ? "?"
		      : on == ON_EXPORT	 ? "e"
		      : on == ON_EXPLAIN ? "/=decode Enter x"
		      : on == ON_MACHINE ? "3 m"
					 : "");
	if (on == ON_LOG)
		scene_keys(s, "/=FNEW Enter");
	*s->u.message = '\0';
}

/* Every key of the help leads to something that can be seen, on every screen that it is for. */
static void test_keys_work(void **state)
{
	const struct key *k;
	unsigned int on;
	size_t n, i, c;
	int dead = 0;

	(void)state;
	scene_memory = memory;
	k = keys_table(&n);
	for (on = 1; on <= ON_LAST; on <<= 1)
		for (i = 0; i < n; i++)
			for (c = 0; c < 4 && k[i].code[c]; c++) {
				/* Small, so that there is something to scroll. */
				int small = (on & (ON_HELP | ON_EXPLAIN | ON_MACHINE)) != 0;
				char *before, *after;
				struct scene s;

				if (!(k[i].on & on))
					continue;
				scene_open(&s, WORKERS, small ? 60 : 100, small ? 12 : 24, 1);
				go_to(&s, on);
				scene_keys(&s, need(k[i].action, on));
				*s.u.message = '\0';
				before = scene_draw(&s, 1);
				scene_key(&s, k[i].code[c]);
				after = scene_draw(&s, 1);
				if (!strcmp(before, after) && !s.quit && !*s.u.copy &&
				    !s.u.palette) {
					printf("key %s (%s) does nothing on %u\n", k[i].shown,
					       k[i].help, on);
					dead++;
				}
				for (unsigned int f = 0; f < s.u.nwrote; f++)
					unlink(s.u.wrote[f]);
				free(before);
				free(after);
				scene_close(&s);
			}
	scene_memory = NULL;
	assert_int_equal(dead, 0);
}

/* ---- behaviour ---- */

static const char *under_cursor(struct scene *s)
{
	static char buf[UI_TEXT];
	const struct list *l = &s->u.list[s->u.screen];

	return l->cursor < 0 ? "" : ui_screen(s->u.screen)->text(&s->u, (size_t)l->cursor, buf);
}

/* The cursor stays on its row, however rows are sorted. */
static void test_cursor_stays(void **state)
{
	char name[UI_TEXT];
	struct scene s;
	int i;

	(void)state;
	scene_open(&s, MIXED, 100, 30, 1);
	scene_keys(&s, "/=decode Enter");
	snprintf(name, sizeof(name), "%s", under_cursor(&s));
	assert_non_null(strstr(name, "decode"));
	for (i = 0; i < 9; i++) {
		scene_keys(&s, ">");
		assert_string_equal(under_cursor(&s), name);
	}
	scene_keys(&s, "I o o");
	assert_string_equal(under_cursor(&s), name);
	scene_keys(&s, "\\=decode Enter");
	assert_string_equal(under_cursor(&s), name);
	scene_keys(&s, "Esc");
	assert_string_equal(under_cursor(&s), name);
	scene_close(&s);
}

/* A row of a split list stays what it is: the function, and what it is split by. */
static void test_split_row_stays(void **state)
{
	static const char *const ways[] = {"> > >",	      "I",	 "o o", "2 1", "4 1", "F",
					   "\\=decode Enter", "F5 F5 F5"};
	char name[UI_TEXT];
	uint64_t self;
	struct scene s;
	size_t i;

	(void)state;
	scene_split = 1u << PROF_BY_PROCESS;
	scene_open(&s, WORKERS, 100, 30, 1);
	scene_keys(&s, "/=decode Enter n");
	snprintf(name, sizeof(name), "%s", under_cursor(&s));
	assert_non_null(strstr(name, "decode"));
	assert_non_null(strstr(name, "  (luajit:31877)"));
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		scene_keys(&s, ways[i]);
		assert_string_equal(under_cursor(&s), name);
	}
	/* The other one of the same name. */
	scene_keys(&s, "Esc /=31876) Enter");
	assert_string_not_equal(under_cursor(&s), name);
	/* The row's process only: its numbers are the row's. */
	scene_keys(&s, "/=decode Enter n");
	self = s.m.pic.sum.samples;
	scene_keys(&s, "p");
	assert_true(s.m.pic.sum.samples < self);
	assert_int_equal(s.u.query.pid, 31877);
	assert_string_equal(under_cursor(&s), name);
	scene_close(&s);
	scene_split = 0;
}

/* S goes through all that rows can be split by, and at its end they are what they were. */
static void test_split_key(void **state)
{
	static const char *const want[] = {"  (luajit:", "  (thread:", "  (VM:1)",
					   "  ([",	 "race",       ""};
	char *before, *after;
	struct scene s;
	size_t i;

	(void)state;
	scene_open(&s, WORKERS, 100, 30, 1);
	scene_keys(&s, "/=decode Enter Up Down");
	before = scene_draw(&s, 1);
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		scene_keys(&s, "S");
		assert_memory_equal(under_cursor(&s), "decode ", 7);
		assert_non_null(strstr(under_cursor(&s), want[i]));
		assert_int_equal(s.m.opts.split == 0, !*want[i]);
		scene_keys(&s, "o o 2 1 F5 F5 F5");
	}
	scene_keys(&s, "Home /=decode Enter Up Down");
	after = scene_draw(&s, 1);
	assert_string_equal(before, after);
	free(before);
	free(after);
	scene_close(&s);
	/* A coroutine is known only if it was asked for; what was asked for comes round again. */
	scene_split = 1u << PROF_BY_COROUTINE | 1u << PROF_BY_STATE;
	scene_open(&s, MIXED, 100, 30, 1);
	s.o.split = scene_split;
	scene_keys(&s, "Down S S S S S");
	assert_int_equal(s.m.opts.split, 1u << PROF_BY_COROUTINE);
	assert_non_null(strstr(under_cursor(&s), "  (coroutine:0x7fc484de5380)"));
	scene_keys(&s, "S S S");
	assert_int_equal(s.m.opts.split, scene_split);
	scene_close(&s);
	scene_split = 0;
}

/* Rows keep their order for 3 s after the cursor moved, then are sorted again. */
static void test_order_is_held(void **state)
{
	struct list l = {.n = 0};
	struct {
		uint64_t id, weight;
	} rows[] = {{30, 9}, {10, 8}, {20, 7}, {40, 6}};
	size_t i;

	(void)state;
	assert_int_equal(list_room(&l, 3), 0);
	for (i = 0; i < 3; i++)
		l.id[l.n++] = 10 * (i + 1);
	list_settle(&l);
	list_go(&l, 1, MODEL_SECOND);
	assert_true(list_held(&l, MODEL_SECOND * 3));
	assert_false(list_held(&l, MODEL_SECOND * 4));
	assert_int_equal(list_keep_order(&l, rows, 4, sizeof(rows[0])), 0);
	assert_int_equal(rows[0].id, 10);
	assert_int_equal(rows[1].id, 20);
	assert_int_equal(rows[2].id, 30);
	assert_int_equal(rows[3].id, 40);
	assert_int_equal(rows[2].weight, 9);
	list_release(&l);
}

/* While the display is paused records change nothing that is on it. */
static void test_pause(void **state)
{
	struct why why = {.code = 0};
	char *before, *after;
	struct scene s;

	(void)state;
	scene_open(&s, MIXED, 100, 30, 1);
	scene_keys(&s, "Down Z");
	s.u.now += 10 * MODEL_SECOND;
	before = scene_draw(&s, 1);
	assert_int_equal(replay(&s.o, WORKERS, model_record, &s.m, &why), 0);
	assert_int_equal(ui_refresh(&s.u, 0), 0);
	after = scene_draw(&s, 1);
	assert_string_equal(before, after);
	free(after);
	scene_keys(&s, "Z");
	s.u.now += 10 * MODEL_SECOND;
	after = scene_draw(&s, 1);
	assert_string_not_equal(before, after);
	free(before);
	free(after);
	scene_close(&s);
}

/* After a reset no table has samples of before, nor a share of more than all. */
static void test_reset(void **state)
{
	struct scene s;
	size_t i;

	(void)state;
	scene_open(&s, MIXED, 100, 30, 1);
	assert_true(join_cost(&s.m.pic.sites[0], 0) >= 0);
	scene_keys(&s, "R");
	assert_int_equal(ui_refresh(&s.u, 0), 0);
	assert_int_equal(s.m.pic.sum.samples, 0);
	assert_true(s.m.pic.ntraces && s.m.pic.nsites);
	for (i = 0; i < s.m.pic.ntraces; i++) {
		const struct jt_trace *t = &s.m.pic.traces[i];

		assert_int_equal(t->samples.samples, 0);
		assert_int_equal(ips_samples(s.m.ips, t->pid, t->g, t->trace), 0);
	}
	for (i = 0; i < s.m.pic.nsites; i++)
		assert_true(join_cost(&s.m.pic.sites[i], 0) <= 0);
	assert_int_equal(jt_costs(s.m.jt, 0)->all.samples, 0);
	scene_close(&s);
}

/* What is written while the view runs is what ljx report writes of the recording. */
static void test_export(void **state)
{
	struct why why = {.code = 0};
	struct prof_opts po = {.lines = 0};
	struct write_info info = {.title = NULL};
	struct prof *p = prof_new(&po);
	char *want = NULL, *got;
	struct scene s;
	size_t len;
	FILE *f;

	(void)state;
	assert_non_null(p);
	scene_open(&s, MIXED, 100, 30, 1);
	assert_int_equal(export_to(&s.u, "build/view.folded"), 0);
	assert_int_equal(export_to(&s.u, "build/view.ljx"), 0);
	scene_close(&s);
	assert_int_equal(replay(&quiet, "build/view.ljx", (record_fn *)prof_add, p, &why), 0);
	assert_int_equal(prof_finish(p), 0);
	f = open_memstream(&want, &len);
	assert_non_null(f);
	assert_int_equal(write_folded(f, p, &info), 0);
	fclose(f);
	got = read_all("build/view.folded");
	assert_string_equal(want, got);
	free(got);
	free(want);
	prof_free(p);
	p = prof_new(&po);
	assert_int_equal(replay(&quiet, MIXED, (record_fn *)prof_add, p, &why), 0);
	assert_int_equal(prof_finish(p), 0);
	f = open_memstream(&want, &len);
	assert_int_equal(write_folded(f, p, &info), 0);
	fclose(f);
	got = read_all("build/view.folded");
	assert_string_equal(want, got);
	free(got);
	free(want);
	prof_free(p);
	unlink("build/view.folded");
	unlink("build/view.ljx");
}

/* Every format that the menu has can be written while the view runs. */
static void test_export_all(void **state)
{
	char path[64], word[32];
	struct scene s;
	struct stat st;
	size_t i;

	(void)state;
	scene_open(&s, MIXED, 100, 30, 1);
	for (i = 0; formats[i].name; i++) {
		/* The first ending of its list. */
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(formats[i].files, " "),
			 formats[i].files);
		snprintf(path, sizeof(path), "build/view%s", word);
		unlink(path);
		assert_int_equal(export_to(&s.u, path), 0);
		assert_int_equal(stat(path, &st), 0);
		assert_true(st.st_size > 100);
		unlink(path);
	}
	assert_true(i >= 8);
	scene_close(&s);
}

/* A function, what is said of it, and its traces are one key apart, there and back. */
static void test_one_key_apart(void **state)
{
	static const struct {
		const char *keys;
		int screen;
		const char *row; /* under the cursor; NULL: on top of the screen */
		const char *title;
	} ways[] = {
	    {"/=decode Enter 2", 1, "NYI: bytecode FNEW", NULL},
	    {"/=decode Enter 2 1", 0, "decode", NULL},
	    {"/=decode Enter 4", 3, NULL, "decode"},
	    {"/=decode Enter 4 y", 1, "NYI: bytecode FNEW", NULL},
	    {"/=decode Enter 4 1", 0, "decode", NULL},
	    {"/=mandel Enter 3", 2, "mixed.lua:17 loop", NULL},
	    {"/=mandel Enter 3 1", 0, "mandel", NULL},
	    {"/=mandel Enter 3 4", 3, NULL, "mandel"},
	    {"/=mandel Enter 4 H Enter", 2, "trace#3 loop", NULL},
	    {"/=trace#3 Enter Enter", 2, "trace#3 loop", NULL},
	    {"/=trace#1: Enter 2", 1, "blacklisted", NULL},
	    {"/=trace#1: Enter 4", 3, NULL, "put"},
	    {"3 /=(1/0 Enter y", 1, "blacklisted", NULL},
	    {"2 g g /=gsub Enter 3", 2, "escape", NULL},
	    {"5 End /=FNEW Enter Enter", 1, "NYI: bytecode FNEW", NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const char *found;
		char *screen;
		struct scene s;

		scene_open(&s, MIXED, 100, 30, 1);
		scene_keys(&s, ways[i].keys);
		screen = scene_draw(&s, 0);
		found = ways[i].row ? under_cursor(&s) : screen;
		if (s.u.screen != ways[i].screen ||
		    !strstr(found, ways[i].row ? ways[i].row : ways[i].title))
			fail_msg("'%s' leads to screen %d, '%s'", ways[i].keys, s.u.screen + 1,
				 found);
		free(screen);
		scene_close(&s);
	}
}

/* What the ring had no room for, and what a storm had too much of, is told. */
static void test_counted_only(void **state)
{
	struct ev_tally t = {.h = {.kind = EV_TALLY, .size = sizeof(t), .pid = 31737}};
	char *before, *after;
	struct scene s;

	(void)state;
	scene_open(&s, MIXED, 100, 40, 1);
	t.h.pid = s.m.first_pid;
	t.h.time = t.first = t.last = s.m.now;
	t.count = 8999;
	t.starts = 8999;
	t.like.h = t.h;
	t.like.h.kind = EV_TRACE;
	t.like.h.size = sizeof(t.like);
	t.like.type = EV_TRACE_ABORT;
	scene_keys(&s, "6");
	before = scene_draw(&s, 0);
	assert_null(strstr(before, "only counted"));
	assert_int_equal(model_record(&s.m, &t.h), 0);
	assert_int_equal(ui_refresh(&s.u, 0), 0);
	after = scene_draw(&s, 0);
	assert_non_null(strstr(after, "17998  of them were only counted"));
	free(before);
	free(after);
	scene_close(&s);
}

/* The source that the recordings are of, older than they are: a checkout makes files of today. */
static void make_source(void)
{
	const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	char *text = read_all("tests/lua/mixed.lua");
	FILE *f;

	mkdir("build", 0755);
	mkdir("build/view", 0755);
	f = fopen("build/view/mixed.lua", "w");
	if (f) {
		fputs(text, f);
		fclose(f);
	}
	free(text);
	utimensat(AT_FDCWD, "build/view/mixed.lua", old, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_screens),
	    cmocka_unit_test(test_nothing_harms),
	    cmocka_unit_test(test_keys_have_one_meaning),
	    cmocka_unit_test(test_keys_work),
	    cmocka_unit_test(test_cursor_stays),
	    cmocka_unit_test(test_split_row_stays),
	    cmocka_unit_test(test_split_key),
	    cmocka_unit_test(test_order_is_held),
	    cmocka_unit_test(test_pause),
	    cmocka_unit_test(test_reset),
	    cmocka_unit_test(test_export),
	    cmocka_unit_test(test_export_all),
	    cmocka_unit_test(test_one_key_apart),
	    cmocka_unit_test(test_counted_only),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	make_source();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
