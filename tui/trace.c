// SPDX-License-Identifier: MIT
/* ljx trace: the trace recorder's events as they come. */
#include "tui/ljx.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* "23:01:58.120345 ", or without a clock the stream's own seconds. */
static void print_time(const struct jt *jt, uint64_t time)
{
	uint64_t real = jt_realtime(jt, time);
	time_t t = (time_t)(real / 1000000000u);
	char clock[16];
	struct tm tm;

	if (!real || !localtime_r(&t, &tm)) {
		printf("%.6f ", (double)time / 1e9);
		return;
	}
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	printf("%s.%06u ", clock, (unsigned int)(real % 1000000000u / 1000));
}

static void print_line(struct jit_tap *t, const struct ev_trace *ev)
{
	const char *jv = t->o->jv;
	enum jt_style style = !jv		    ? JT_PLAIN
			      : !*jv		    ? JT_JV
			      : !strcmp(jv, "name") ? JT_JV_NAME
						    : JT_JV_NUMBER;
	static int tty = -1;
	char line[JT_LINE];

	if (tty < 0)
		tty = isatty(STDOUT_FILENO);
	if (!jt_format(t->jt, ev, style, line, sizeof(line)))
		return;
	if (!jv)
		print_time(t->jt, ev->h.time);
	/* What the target calls its chunks must not talk to a terminal. */
	puts(jv && tty ? printable(line) : line);
	t->shown++;
}

static const char *const type_name[] = {"", "start", "stop", "abort", "flush"};
static const char *const kind_name[] = {"", "root", "side", "stitch"};
static const char *const cause_name[] = {"", "explicit", "table", "mcode"};

static void put_number(json_t *j, const char *key, uint64_t v)
{
	json_object_set_new(j, key, json_integer((json_int_t)v));
}

static void json_stop(json_t *j, const struct ev_trace *ev, const struct jt_event *e)
{
	json_object_set_new(j, "linktype", json_string(e->link));
	put_number(j, "link", ev->link);
	put_number(j, "root", ev->root);
	put_number(j, "ir", ev->nins);
	put_number(j, "mcode_bytes", ev->szmcode);
	put_number(j, "snapshots", ev->nsnap);
}

static void json_abort(json_t *j, const struct ev_trace *ev, const struct jt_event *e)
{
	json_object_set_new(j, "reason", json_string(e->reason));
	if (e->err != ERR_MAX)
		json_object_set_new(j, "error", json_string(err_id_name(e->err)));
	if (ev->error < EV_ERROR_OTHER)
		put_number(j, "error_number", ev->error);
	if (e->attempts) {
		put_number(j, "attempts", e->attempts);
		put_number(j, "limit", e->limit);
	}
}

static void print_json_line(struct jit_tap *t, const struct ev_trace *ev)
{
	uint64_t real = jt_realtime(t->jt, ev->h.time);
	struct jt_event e;
	json_t *j;

	jt_describe(t->jt, ev, &e);
	j = json_pack("{s:s,s:f,s:s,s:I,s:I,s:I}", "schema", "ljx.trace/1", "time",
		      (double)(real ? real : ev->h.time) / 1e9, "type", type_name[ev->type], "pid",
		      (json_int_t)ev->h.pid, "tid", (json_int_t)ev->h.tid, "vm", (json_int_t)e.vm);
	if (!j)
		return;
	if (ev->type == EV_TRACE_FLUSH) {
		json_object_set_new(j, "cause", json_string(cause_name[ev->cause & 3]));
		put_number(j, "dropped", e.dropped);
	} else {
		put_number(j, "trace", ev->trace);
		json_object_set_new(j, "kind", json_string(kind_name[ev->kind & 3]));
		if (ev->kind != EV_TRACE_ROOT)
			put_number(j, "parent", ev->parent);
		if (ev->kind == EV_TRACE_SIDE)
			put_number(j, "exit", ev->exitno);
		json_object_set_new(j, "start", json_place(&e.start_at));
	}
	if (ev->type == EV_TRACE_STOP || ev->type == EV_TRACE_ABORT) {
		json_object_set_new(j, "end", json_place(&e.end_at));
		if (e.in[0])
			json_object_set_new(j, "in", json_string(e.in));
	}
	if (ev->type == EV_TRACE_STOP)
		json_stop(j, ev, &e);
	if (ev->type == EV_TRACE_ABORT)
		json_abort(j, ev, &e);
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
	t->shown++;
}

static void print_json_tally(struct jit_tap *t, const struct ev_tally *ev)
{
	const struct ev_trace *like = &ev->like;
	uint64_t real = jt_realtime(t->jt, ev->last);
	struct jt_event e;
	json_t *j;

	jt_describe(t->jt, like, &e);
	j = json_pack("{s:s,s:f,s:s,s:s,s:I,s:I,s:I,s:I,s:o}", "schema", "ljx.trace/1", "time",
		      (double)(real ? real : ev->last) / 1e9, "type", "tally", "of",
		      type_name[like->type], "pid", (json_int_t)ev->h.pid, "vm", (json_int_t)e.vm,
		      "count", (json_int_t)ev->count, "starts", (json_int_t)ev->starts, "start",
		      json_place(&e.start_at));
	if (!j)
		return;
	if (like->type == EV_TRACE_ABORT) {
		json_object_set_new(j, "end", json_place(&e.end_at));
		json_object_set_new(j, "reason", json_string(e.reason));
	}
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
}

/* What was only counted: no lines of jit.v, whose reader would take them for events. */
static void tally(struct jit_tap *t, const struct ev_tally *ev)
{
	char line[JT_LINE];

	if (ev->like.type > EV_TRACE_FLUSH || !(t->o->only >> ev->like.type & 1))
		return;
	if (t->o->json) {
		print_json_tally(t, ev);
	} else if (!t->o->jv && jt_format_tally(t->jt, ev, line, sizeof(line))) {
		print_time(t->jt, ev->last);
		puts(line);
	}
}

static void event(struct jit_tap *t, const struct ev_trace *ev)
{
	const struct options *o = t->o;

	if (ev->type < EV_TRACE_START || ev->type > EV_TRACE_FLUSH || !(o->only >> ev->type & 1))
		return;
	if (o->json)
		print_json_line(t, ev);
	else
		print_line(t, ev);
	t->done = o->frames && t->shown >= o->frames;
}

int verb_trace(const struct options *o)
{
	struct why why = {.code = 0};
	struct jit_tap t;
	uint64_t unwatched;
	int code;

	if (o->nargs > 1 || (o->nargs && !is_recording(o->arg[0]))) {
		why_set(&why, WHY_USAGE, -EINVAL, "trace takes no operand '%s'",
			printable(o->arg[o->nargs - 1]));
		why_hint(&why, "A recording's name ends in .ljx: ljx trace FILE.ljx");
		return complain(o, &why);
	}
	if (o->jv && o->json) {
		why_set(&why, WHY_USAGE, -EINVAL, "--jv and --json are two formats: give one");
		return complain(o, &why);
	}
	code = jit_tap_init(&t, o, o->nargs ? o->arg[0] : NULL);
	if (code)
		return code;
	t.event = event;
	t.tally = tally;
	code = jit_run(&t);
	unwatched = jt_stats(t.jt)->unwatched;
	if (o->json && unwatched)
		printf("{\"schema\":\"ljx.trace/1\",\"type\":\"not_watched\",\"vms\":%llu}\n",
		       (unsigned long long)unwatched);
	jit_tap_release(&t);
	return code;
}
