// SPDX-License-Identifier: MIT
/*
 * What the live view costs with much data: 200 workers, 50,000 functions, 5,000 traces and 500
 * places of aborts. Prints milliseconds of a refresh, the worst of several, of the slowest key, and
 * of splitting all samples anew, as JSON; exits 1 if a refresh takes 50 ms or a key 20 ms. An
 * argument is what rows are split by, as of --split.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf/rec.h"
#include "tui/ui.h"

#define WORKERS 200u
#define FUNCTIONS 50000u
#define TRACES 5000u
#define SITES 500u
#define SECONDS 30u
#define RATE 99u /* samples of a worker in a second */
#define DEPTH 20u
#define G 0x41000000u

/* CPU time: a machine that does other things besides must not count. */
static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void feed(struct model *m, const void *fixed, size_t size, unsigned int kind,
		 const char *const *strs, unsigned int n)
{
	static uint64_t buf[8192], copy[64];
	struct ev_hdr *r;

	memcpy(buf, fixed, size);
	((struct ev_hdr *)buf)->kind = (ev_u16)kind;
	if (n) {
		memcpy(copy, buf, size);
		r = rec_build(buf, sizeof(buf), (struct ev_hdr *)copy, size, strs, n);
	} else {
		r = (struct ev_hdr *)buf;
		r->size = (ev_u32)size;
	}
	if (!r || model_record(m, r)) {
		fprintf(stderr, "no memory\n");
		exit(1);
	}
}

#define FEED(m, ev, kind) feed(m, &(ev), sizeof(ev), kind, NULL, 0)
#define FEED_STRS(m, ev, kind, ...)                                          \
	feed(m, &(ev), sizeof(ev), kind, (const char *const[]){__VA_ARGS__}, \
	     sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static uint32_t next_random(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 32);
}

static void define(struct model *m)
{
	struct ev_meta meta = {.rate = RATE};
	struct ev_build b = {.id = 1, .flags = EV_BUILD_GC64};
	char name[64];
	uint32_t i;

	FEED_STRS(m, meta, EV_META, "0.1.0", "host", "6.1.0", "ljx");
	FEED_STRS(m, b, EV_BUILD, "LuaJIT 2.1.0-beta3", "luajit2-20230119", "/usr/lib/l.so", "ab");
	for (i = 0; i < WORKERS; i++) {
		struct ev_proc p = {.h = {.pid = 1000 + i, .time = 1}};
		struct ev_vm v = {
		    .h = {.pid = 1000 + i, .time = 1}, .g = G, .number = 1, .build = 1};

		FEED_STRS(m, p, EV_PROC, "nginx", "/usr/sbin/nginx", "nginx: worker");
		FEED(m, v, EV_VM);
	}
	for (i = 1; i <= FUNCTIONS; i++) {
		struct ev_func f = {.h = {.pid = 1000 + i % WORKERS, .time = 1},
				    .id = i,
				    .g = G,
				    .firstline = (ev_s32)(i % 1000),
				    .numline = 10,
				    .sizebc = 40,
				    .content = i};
		struct ev_name call = {.h = {.time = 1}, .proto = i, .pc = 7, .what = 1};

		snprintf(name, sizeof(name), "@/srv/app/lib/module_%u.lua", i / 1000);
		FEED_STRS(m, f, EV_FUNC, name);
		snprintf(name, sizeof(name), "handler_%u", next_random() % 5000);
		FEED_STRS(m, call, EV_NAME, name);
	}
}

/* A stack goes down from one of a few entries; which function is where is skewed, as in life. */
static void sample(struct model *m, uint32_t worker, uint64_t time)
{
	union {
		struct ev_sample s;
		char room[sizeof(struct ev_sample) + DEPTH * sizeof(struct ev_frame)];
	} u;
	struct ev_sample *s = &u.s;
	uint32_t n = 4 + next_random() % (DEPTH - 4), path = next_random() % 20000, i;
	struct ev_frame *f = (struct ev_frame *)(u.room + sizeof(*s));

	memset(&u, 0, sizeof(u));
	s->h.kind = EV_SAMPLE;
	s->h.size = (ev_u32)(sizeof(*s) + n * sizeof(*f));
	s->h.pid = 1000 + worker;
	s->h.time = time;
	s->g = G;
	s->state = (ev_u8)(1 + next_random() % 4);
	s->nframes = (ev_u16)n;
	if (next_random() % 2)
		path /= 100;
	for (i = 0; i < n; i++) { /* the root is last */
		uint32_t level = n - 1 - i, id;

		id = level < 3 ? 1 + level
			       : 1 + (path * 31 + level * level * (path % 97)) % FUNCTIONS;
		f[i] = (struct ev_frame){
		    .addr = EV_FRAME_ADDR(id, 7), .line = id % 1000 + 3, .kind = EV_FRAME_LUA};
	}
	if (model_record(m, &s->h))
		exit(1);
}

static void trace(struct model *m, uint32_t i, unsigned int type, uint64_t time)
{
	struct ev_trace t = {.h = {.pid = 1000 + i % WORKERS, .time = time}, .g = G};

	t.type = (ev_u8)type;
	t.trace = 1 + i / WORKERS;
	t.kind = EV_TRACE_ROOT;
	t.linktype = 2;
	t.nins = 100;
	t.szmcode = 900;
	t.error = type == EV_TRACE_ABORT ? 7 : 0;
	t.start = (struct ev_frame){.addr = EV_FRAME_ADDR(1 + i % FUNCTIONS, 3),
				    .line = i % 1000 + 2,
				    .kind = EV_FRAME_LUA};
	t.end = t.start;
	FEED(m, t, EV_TRACE);
}

/* A recording of trace i, and how it ended. */
static void event(struct model *m, uint32_t i, unsigned int end)
{
	trace(m, i, EV_TRACE_START, MODEL_SECOND);
	trace(m, i, end, MODEL_SECOND);
}

static double most(double a, double b)
{
	return a > b ? a : b;
}

static double worst_key(struct ui *u, struct grid *g, char *which)
{
	static const char keys[] = "jjjkk>>>>>>>>>>><I%%%%%sssssoLLttt*t2gg3r1yx456e";
	double worst = 0;
	size_t i;

	for (i = 0; keys[i]; i++) {
		struct key_event k = {.code = keys[i]}, esc = {.code = TK_ESC};
		double begun = now_ms(), took;

		u->now += 5 * MODEL_SECOND;
		if (ui_key(u, &k) < 0)
			exit(1);
		ui_draw(u, g);
		took = now_ms() - begun;
		if (took > worst)
			*which = keys[i];
		worst = most(worst, took);
		if (u->over)
			ui_key(u, &esc);
	}
	return worst;
}

/* One name of --split; 0: there is none. */
static unsigned int split_of(int argc, char **argv)
{
	static const char *const names[] = {
#define NAME(name, text) text,
	    PROF_SPLITS(NAME)
#undef NAME
	};
	unsigned int i;

	for (i = 0; argc > 1 && i < PROF_BY_MAX; i++)
		if (!strcmp(argv[1], names[i]))
			return 1u << i;
	return 0;
}

/* All samples, split by something else: the slowest of all that S goes through. */
static double worst_split(struct ui *u, struct grid *g)
{
	struct key_event k = {.code = 'S'}, functions = {.code = '1'};
	double worst = 0, begun;
	int i;

	if (ui_key(u, &functions) < 0)
		exit(1);

	for (i = 0; i < 7; i++) {
		begun = now_ms();
		if (ui_key(u, &k) < 0)
			exit(1);
		ui_draw(u, g);
		worst = most(worst, now_ms() - begun);
	}
	return worst;
}

int main(int argc, char **argv)
{
	static struct model m;
	static struct ui u;
	static struct options o = {.sort = "self"};
	struct ui_opts uo = {.o = &o, .name = "nginx", .pid = 1000, .rate = RATE};
	struct model_opts mo = {.split = split_of(argc, argv)};
	struct grid g = {.ascii = 0};
	double refresh[2] = {0, 0}, key, split, begun, fold;
	char which = ' ';
	size_t functions;
	uint32_t i, s, w;

	if (model_init(&m, &mo) || ui_init(&u, &m, &uo) || grid_resize(&g, 160, 50))
		return 1;
	define(&m);
	begun = now_ms();
	for (i = 0; i < SITES; i++)
		event(&m, i, EV_TRACE_ABORT);
	for (i = 0; i < TRACES; i++)
		event(&m, i, EV_TRACE_STOP);
	for (s = 0; s < SECONDS * RATE; s++)
		for (w = 0; w < WORKERS; w++)
			sample(&m, w, MODEL_SECOND + s * (MODEL_SECOND / RATE));
	fold = now_ms() - begun;
	for (i = 0; i < 10; i++) {
		/* Since the start and of the last seconds; the first one pays for memory. */
		u.query.recent = i & 1;
		begun = now_ms();
		if (ui_refresh(&u, 0))
			return 1;
		ui_draw(&u, &g);
		if (i > 1)
			refresh[i & 1] = most(refresh[i & 1], now_ms() - begun);
	}
	functions = u.list[0].n;
	key = worst_key(&u, &g, &which);
	split = worst_split(&u, &g);
	printf("{\"refresh_ms\": %.1f, \"refresh_recent_ms\": %.1f, \"key_ms\": %.1f, "
	       "\"slowest_key\": \"%c\", \"split_ms\": %.1f, \"fold_us_per_sample\": %.2f, "
	       "\"functions\": %zu, "
	       "\"traces\": %zu, \"sites\": %zu, \"vms\": %zu}\n",
	       refresh[0], refresh[1], key, which, split, fold * 1e3 / (SECONDS * RATE * WORKERS),
	       functions, m.pic.ntraces, m.pic.nsites, m.pic.nvms);
	ui_release(&u);
	model_release(&m);
	grid_release(&g);
	return refresh[0] >= 50 || refresh[1] >= 50 || key >= 20;
}
