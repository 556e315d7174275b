/* SPDX-License-Identifier: MIT */
/* The flame graph: well-formed whatever the labels are, and every frame where it belongs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/unit/prof_records.h"

static char *picture(struct prof *p, const struct write_info *info)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(prof_finish(p), 0);
	assert_int_equal(write_svg(f, p, info), 0);
	fclose(f);
	prof_free(p);
	return text;
}

/* An entity that XML knows without a DTD, or a number. */
static int is_entity(const char *s)
{
	static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strncmp(s, known[i], strlen(known[i])))
			return 1;
	return 0;
}

/* Skips a tag's attributes. Returns its '>', and whether it is empty. */
static const char *skip_tag(const char *s, int *empty)
{
	for (; *s != '>'; s++) {
		assert_true(*s && *s != '<');
		if (*s != '"')
			continue;
		for (s++; *s != '"'; s++) {
			assert_true(*s && *s != '<');
			if (*s == '&')
				assert_true(is_entity(s));
		}
	}
	*empty = s[-1] == '/';
	return s;
}

/* A small check of well-formedness: tags match, nothing is unescaped, no controls. */
static void check_xml(const char *s)
{
	char open[64][32];
	size_t depth = 0;
	int empty;

	assert_memory_equal(s, "<?xml", 5);
	for (s = strstr(s, "?>") + 2; *s; s++) {
		char name[32] = "";

		assert_true((unsigned char)*s >= ' ' || *s == '\n');
		assert_true(*s != '&' || is_entity(s));
		if (*s != '<')
			continue;
		if (!strncmp(s, "<![CDATA[", 9)) {
			s = strstr(s, "]]>");
			assert_non_null(s);
			s += 2;
			continue;
		}
		assert_int_equal(sscanf(s + 1, "%31[/a-z]", name), 1);
		s = skip_tag(s + 1, &empty);
		if (name[0] == '/') {
			assert_true(depth > 0);
			assert_string_equal(open[--depth], name + 1);
		} else if (!empty) {
			assert_true(depth < 64);
			strcpy(open[depth++], name);
		}
	}
	assert_int_equal(depth, 0);
}

static struct prof *start(void)
{
	struct prof *p = prof_new(&(struct prof_opts){0});

	assert_non_null(p);
	def_proc(p, PID, "luajit");
	def_vm(p, PID, 1);
	return p;
}

static unsigned int count(const char *text, const char *what)
{
	unsigned int n = 0;

	for (text = strstr(text, what); text; text = strstr(text + 1, what))
		n++;
	return n;
}

static void test_hostile(void **state)
{
	static const char *const chunks[] = {
	    "@<b>&\"'",		  "@]]></script><script>alert(1)</script>",
	    "x = '</title>' ]]>", "@\x01\x02\x1b[31m\x7f",
	    "@\xff\xfe\xc0\x80",  "@\xed\xa0\x80\xef\xbf\xbf",
	    "@--><!-- ",	  "@&#0;&lt;",
	    "=\xf0\x9f\x98\x80",  "@",
	};
	struct write_info info = {
	    .title = "<t>&\x01\xff", .command = "a ' \" ]]> \n b", .version = "0.1\x1b"};
	struct prof *p = start();
	uint32_t n = sizeof(chunks) / sizeof(chunks[0]);
	char *text;

	(void)state;
	for (uint32_t i = 0; i < n; i++) {
		def_func(p, i + 1, chunks[i], (int)i, 1, i & 1 ? EV_FUNC_MAIN : 0, i);
		def_name(p, i + 1, 1, EV_NAME_FIELD, chunks[n - 1 - i]);
	}
	for (uint32_t i = 0; i < n; i++)
		SAMPLE(p, ({.state = EV_STATE_INTERP}), LUA(i + 1, 1, 0),
		       LUA((i + 3) % n + 1, 1, 0));
	text = picture(p, &info);
	check_xml(text);
	assert_null(strstr(text, "<script>alert"));
	assert_int_equal(count(text, "<script"), 1);
	assert_non_null(strstr(text, "&lt;b&gt;&amp;&quot;&#39;"));
	free(text);
}

/* The entry of a legend with that text is of the class that the frame with that label has. */
static void same_class(const char *svg, const char *entry, const char *label)
{
	const char *in = strstr(svg, entry), *frame = strstr(svg, label);

	assert_true(in && frame);
	while (strncmp(in, "<g class=\"", 10))
		in--;
	while (strncmp(frame, "<g class=\"f ", 12))
		frame--;
	in += 10;
	frame += 12;
	assert_int_equal(strcspn(in, "\""), strcspn(frame, "\""));
	assert_memory_equal(in, frame, strcspn(frame, "\""));
}

/* Three quarters in one file, by way of a C function that has none: so is the turned picture. */
static void test_legend_of_files(void **state)
{
	struct write_info info = {.colour = WRITE_BY_FILE};

	(void)state;
	for (info.reverse = 0; info.reverse < 2; info.reverse++) {
		struct prof *p = start();
		char *text;

		def_func(p, 1, "@/srv/a<b.lua", 1, 5, 0, 1);
		def_func(p, 2, "@/srv/lib/other.lua", 1, 5, 0, 2);
		def_func(p, 3, "@/srv/lib/caller.lua", 1, 5, 0, 3);
		SAMPLE(p, ({.state = EV_STATE_GC, .times = 60}), LUA(1, 1, 0), LUA(3, 1, 0));
		SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 20}), LUA(2, 1, 0), LUA(3, 1, 0));
		text = picture(p, &info);
		check_xml(text);
		assert_non_null(strstr(text, ">a&lt;b.lua 75.0%</text>"));
		assert_non_null(strstr(text, ">other.lua 25.0%</text>"));
		assert_non_null(strstr(text, ">caller.lua 0.0%</text>"));
		assert_null(strstr(text, ">1 other "));
		assert_non_null(strstr(text, ">no file</text>"));
		same_class(text, ">other.lua 25.0%", "<title>/srv/lib/other.lua:1\n");
		same_class(text, ">a&lt;b.lua 75.0%", "<title>/srv/a&lt;b.lua:1\n");
		same_class(text, ">no file", "<title>[GC]\n");
		/* Nothing that could show another one: no data. */
		assert_int_equal(count(text, "class=\"by\""), 1);
		assert_int_equal(count(text, "display=\"inline\""), 1);
		free(text);
	}
}

/* Bounded, whatever there is: the largest, and how much the others are. */
static void test_legend_of_many_files(void **state)
{
	struct write_info info = {.colour = WRITE_BY_FILE};
	struct prof *p = start();
	char name[128], *text;
	const char *more;
	unsigned int others;

	(void)state;
	for (uint32_t i = 1; i <= 100; i++) {
		snprintf(name, sizeof(name), "@/srv/%s%u.lua", i & 1 ? "a_very_long_name_of_" : "",
			 i);
		def_func(p, i, name, 1, 5, 0, i);
		SAMPLE(p, ({.state = EV_STATE_INTERP, .times = i}), LUA(i, 1, 0));
	}
	text = picture(p, &info);
	check_xml(text);
	assert_non_null(strstr(text, ">100.lua 2.0%<"));
	assert_non_null(strstr(text, ">a_very_long_name_of_99.. 2.0%<"));
	assert_null(strstr(text, ">1.lua"));
	more = strstr(text, " others ");
	assert_non_null(more);
	while (more[-1] != '>')
		more--;
	others = (unsigned int)strtoul(more, NULL, 10);
	assert_int_equal(count(text, "innermost frame that has a file"), 100 - others);
	assert_true(others >= 90 && others < 97);
	free(text);
}

/* From nothing to most, with what the number is; and without anything known it says so. */
static void test_legend_of_costs(void **state)
{
	static const struct write_cost costs[] = {{"/srv/a.lua", 1, 12.5}};
	struct write_info info = {.colour = WRITE_BY_COST, .costs = costs, .ncosts = 1};
	static const char *const scale[] = {">failed traces cost: nothing<",
					    ">under 0.5%<",
					    ">0.5%<",
					    ">1%<",
					    ">2%<",
					    ">5%<",
					    ">10%<",
					    ">20%<",
					    ">40% of CPU and more<"};

	(void)state;
	for (; info.ncosts + 1; info.ncosts--) {
		struct prof *p = start();
		const char *at;
		char *text;

		def_func(p, 1, "@/srv/a.lua", 1, 5, 0, 1);
		SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 60}), LUA(1, 1, 0));
		at = text = picture(p, &info);
		check_xml(text);
		assert_non_null(strstr(text, "COST% of ljx nyi"));
		for (size_t i = 0; info.ncosts && i < sizeof(scale) / sizeof(scale[0]); i++) {
			at = strstr(at, scale[i]);
			assert_non_null(at);
		}
		if (info.ncosts)
			same_class(text, ">10%<", "<title>/srv/a.lua:1\n");
		else
			assert_non_null(strstr(text, ">nothing is known of what"));
		free(text);
	}
}

/* By state: what is pale; all three where a script can change between them. */
static void test_legends(void **state)
{
	struct write_info info = {.colour = WRITE_BY_STATE};
	struct prof *p = prof_new(&(struct prof_opts){.keep = PROF_KEEP_PILES});
	char *text;

	(void)state;
	def_proc(p, PID, "luajit");
	def_vm(p, PID, 1);
	def_func(p, 1, "@/srv/a.lua", 1, 5, 0, 1);
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 60}), LUA(1, 1, 0));
	text = picture(p, &info);
	check_xml(text);
	same_class(text, ">Lua function, mostly interpreted<", "<title>/srv/a.lua:1\n");
	assert_non_null(strstr(text, "data-by=\"state\" display=\"inline\""));
	assert_non_null(strstr(text, "data-by=\"file\" display=\"none\""));
	assert_non_null(strstr(text, "data-by=\"cost\" display=\"none\""));
	free(text);
}

static void test_geometry(void **state)
{
	struct prof *p = start();
	char *text;

	(void)state;
	def_func(p, 1, "@a", 1, 1, 0, 1);
	def_func(p, 2, "@b", 2, 1, 0, 2);
	def_func(p, 3, "@c", 3, 1, 0, 3);
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 1}), LUA(3, 1, 0), LUA(1, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_TRACE, .trace = 4, .flags = EV_SF_MCODE, .times = 2}),
	       START(2, 3, 9), LUA(2, 1, 0), LUA(1, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 1}), LUA(1, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_C, .times = 4}), FAST(5), LUA(2, 1, 0));
	text = picture(p, &(struct write_info){0});
	check_xml(text);
	/* In byte order from the left; what ends in a function is to the right of what it calls. */
	assert_non_null(strstr(text, "<g class=\"f r\" data-x=\"0\" data-n=\"8\" data-d=\"0\">"
				     "<title>all\n8 samples, 100.0%\nself 0, 0.0%\n"));
	assert_non_null(strstr(text, "<g class=\"f i2\" data-x=\"0\" data-n=\"4\" data-d=\"1\">"
				     "<title>a:1\n4 samples, 50.0%\nself 1, 12.5%\n"
				     "N compiled 50.0%  I interpreted 50.0%  </title>"));
	assert_non_null(strstr(text, "<g class=\"f n2\" data-x=\"0\" data-n=\"2\" data-d=\"2\">"
				     "<title>b:2\n"));
	assert_non_null(strstr(text, "<g class=\"f n\" data-x=\"0\" data-n=\"2\" data-d=\"3\">"
				     "<title>trace#4:b:9\n"));
	assert_non_null(strstr(text, "<g class=\"f i2\" data-x=\"2\" data-n=\"1\" data-d=\"2\">"
				     "<title>c:3\n1 sample, 12.5%\n"));
	assert_non_null(strstr(text, "<g class=\"f i2\" data-x=\"4\" data-n=\"4\" data-d=\"1\">"
				     "<title>b:2\n"));
	assert_non_null(strstr(text, "<title>fastfunc#5\n"));
	assert_int_equal(count(text, "<g class=\"f "), 7);
	/* All over the width of 1180 from 10: the right half begins in the middle. */
	assert_non_null(strstr(text, "<rect x=\"600.00\""));
	free(text);
}

static void test_small_frames_are_counted(void **state)
{
	struct prof *p = start();
	char *text;

	(void)state;
	def_func(p, 1, "@a", 1, 1, 0, 1);
	def_func(p, 2, "@b", 2, 1, 0, 2);
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 4000}), LUA(1, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_INTERP, .times = 3}), LUA(2, 1, 0), LUA(2, 1, 0));
	text = picture(p, &(struct write_info){0});
	assert_non_null(strstr(text, ", 2 frames too small to draw"));
	assert_int_equal(count(text, "<g class=\"f "), 2);
	free(text);
}

static void test_clipping(void **state)
{
	struct prof *p = start();
	char *text;

	(void)state;
	def_func(p, 1, "@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1, 1, 0, 1);
	def_func(p, 2, "@\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2", 1, 1, 0, 2);
	def_func(p, 3, "@zzzz", 1, 1, 0, 3);
	SAMPLE(p, ({.times = 100}), LUA(1, 1, 0));
	SAMPLE(p, ({.times = 60}), LUA(2, 1, 0));
	SAMPLE(p, ({.times = 3000}), LUA(3, 1, 0));
	text = picture(p, &(struct write_info){0});
	/* 37 px are 4 cells, 22 px 2: not enough for a character and "..". */
	assert_non_null(strstr(text, ">aa..</text>"));
	assert_null(strstr(text, ">\xe6\xbc\xa2"
				 ".."));
	assert_non_null(strstr(text, ">zzzz:1</text>"));
	free(text);
}

static void test_head(void **state)
{
	struct prof *p = start();
	struct ev_lost lost = {.samples = 12};
	struct ev_meta meta = {.rate = 99};
	char *text;

	(void)state;
	ADD(p, lost, EV_LOST);
	ADD_STRS(p, meta, EV_META, "", "", "", "");
	def_func(p, 1, "@a", 1, 1, 0, 1);
	SAMPLE(p, ({.state = EV_STATE_INTERP, .time = 1000000000}), LUA(1, 1, 0));
	SAMPLE(p, ({.state = EV_STATE_GC, .time = 3500000000, .flags = EV_SF_KERNEL}),
	       LUA(1, 1, 0));
	BARE(p, ({.state = EV_STATE_OUTSIDE, .why = EV_WHY_OUTSIDE, .time = 2000000000}));
	text = picture(p, &(struct write_info){
			      .title = "nginx", .command = "ljx record -p 1", .version = "0.1"});
	assert_non_null(strstr(text, ">nginx</text>"));
	assert_non_null(strstr(text, ">3 samples at 99 Hz in 2.5 s, 12 lost, 33.3% without a Lua"));
	assert_non_null(strstr(text,
			       ">LuaJIT 2.1.0-beta3 (luajit2-20230119) \u00b7 ljx record -p 1 "
			       "\u00b7 ljx 0.1</text>"));
	assert_non_null(strstr(text, ">G GC 33.3%<"));
	assert_non_null(strstr(text, ">K kernel 33.3%<"));
	free(text);
}

static void test_empty(void **state)
{
	char *text = picture(start(), &(struct write_info){0});

	(void)state;
	check_xml(text);
	assert_non_null(strstr(text, "no samples"));
	free(text);
}

static void test_deep(void **state)
{
	static struct ev_frame f[20000];
	struct prof *p = start();
	char *text;

	(void)state;
	def_func(p, 1, "@a", 1, 1, 0, 1);
	for (size_t i = 0; i < 20000; i++)
		f[i] = (struct ev_frame)LUA(1, 0, 0);
	add_sample(p, &(struct sample){.state = EV_STATE_INTERP}, f, 20000);
	text = picture(p, &(struct write_info){0});
	assert_int_equal(count(text, "<g class=\"f "), 1024);
	assert_non_null(strstr(text, "18977 frames too small"));
	free(text);
}

/* A full disk is told. */
static void test_write_error(void **state)
{
	struct prof *p = start();
	FILE *f = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(f);
	def_func(p, 1, "@a", 1, 1, 0, 1);
	SAMPLE(p, ({0}), LUA(1, 1, 0));
	assert_int_equal(prof_finish(p), 0);
	assert_true(write_svg(f, p, &(struct write_info){0}) < 0);
	assert_true(write_folded(f, p, &(struct write_info){0}) < 0);
	fclose(f);
	prof_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_legend_of_files),
	    cmocka_unit_test(test_legend_of_many_files),
	    cmocka_unit_test(test_legend_of_costs),
	    cmocka_unit_test(test_legends),
	    cmocka_unit_test(test_geometry),
	    cmocka_unit_test(test_small_frames_are_counted),
	    cmocka_unit_test(test_clipping),
	    cmocka_unit_test(test_head),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_deep),
	    cmocka_unit_test(test_write_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
