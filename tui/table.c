// SPDX-License-Identifier: MIT
#include "tui/ljx.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

const char *printable(const char *s)
{
	static char buf[4][1024];
	static unsigned int turn;
	char *d = buf[turn++ % 4];
	size_t i;

	for (i = 0; i < sizeof(buf[0]) - 1 && s[i]; i++)
		d[i] = (unsigned char)s[i] < ' ' || s[i] == 0x7f ? '?' : s[i];
	d[i] = '\0';
	return d;
}

int complain(const struct options *o, const struct why *why)
{
	const char *p = why->hint, *end;

	if (o->json) {
		json_t *j = json_pack("{s:{s:i,s:s,s:s}}", "error", "code", why->code, "message",
				      why->text, "hint", why->hint);

		if (j)
			json_dumpf(j, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(j);
	}
	fprintf(stderr, "ljx: %s\n", why->text);
	while (*p) {
		end = strchrnul(p, '\n');
		fprintf(stderr, "     %.*s\n", (int)(end - p), p);
		p = *end ? end + 1 : end;
	}
	return why->code;
}

void say_unless_quiet(void *ctx, const char *text)
{
	const struct options *o = ctx;

	if (!o->quiet)
		fprintf(stderr, "ljx: %s\n", printable(text));
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* States as the columns N I C G J put them together. */
static uint64_t jit_time(const uint64_t *by)
{
	return by[EV_STATE_EXIT] + by[EV_STATE_RECORD] + by[EV_STATE_OPT] + by[EV_STATE_ASM];
}

void print_rows(FILE *f, const struct prof *p, const struct prof_row *row, size_t n, size_t rows,
		uint64_t base)
{
	char group[PROF_SPLIT_TEXT];
	size_t i;

	fprintf(f, " SELF%%  TOTAL%%    N    I    C    G    J  FUNCTION%s\n",
		prof_is_split(p) ? "  (SPLIT)" : "");
	for (i = 0; i < n && i < rows; i++) {
		const struct prof_row *r = &row[i];
		const uint64_t *by = r->by_state;

		fprintf(f, "%6.1f  %6.1f ", percent(r->self, base), percent(r->total, base));
		if (r->self)
			fprintf(f, "%4.0f %4.0f %4.0f %4.0f %4.0f",
				percent(by[EV_STATE_TRACE], r->self),
				percent(by[EV_STATE_INTERP], r->self),
				percent(by[EV_STATE_C], r->self), percent(by[EV_STATE_GC], r->self),
				percent(jit_time(by), r->self));
		else
			fprintf(f, "   -    -    -    -    -");
		fprintf(f, "  %s", prof_frame(p, r->frame)->label);
		if (prof_is_split(p))
			fprintf(f, "  (%s)", prof_group_label(p, r->group, group, sizeof(group)));
		fputc('\n', f);
	}
	if (n > rows)
		fprintf(f, "  ... %zu more\n", n - rows);
}

static const char *const native_whys[] = {
#define TEXT(num, name, text) [num] = text,
    EV_NATIVE_WHYS(TEXT)
#undef TEXT
};

/* Of the samples in traces: how many tell what the trace runs there? */
static void print_inside(FILE *f, const struct prof_stats *s)
{
	uint64_t head = s->by_inside[PROF_INSIDE_HEAD], loop = s->by_inside[PROF_INSIDE_LOOP];
	uint64_t unknown = s->by_inside[PROF_INSIDE_UNKNOWN];
	uint64_t old = s->by_inside[PROF_INSIDE_NO_MCOFS], all = head + loop + unknown + old;

	if (!all)
		return;
	fprintf(f, "compiled: %.1f%% with inlined functions and lines, %.1f%% in loop bodies\n",
		percent(head + loop, all), percent(loop, all));
	if (unknown)
		fprintf(f, "  %llu (%.2f%%) only with their trace\n", (unsigned long long)unknown,
			percent(unknown, all));
	if (old)
		fprintf(
		    f, "  %llu (%.2f%%) only with their trace's start: this LuaJIT keeps no more\n",
		    (unsigned long long)old, percent(old, all));
}

void print_quality(FILE *f, const struct prof *p)
{
	static const char *const why[] = {
#define TEXT(num, name, text) [num] = text,
	    EV_WHYS(TEXT)
#undef TEXT
	};
	const struct prof_stats *s = prof_stats(p);
	double seconds = (double)(s->last_time - s->first_time) / 1e9;
	size_t i;

	fprintf(
	    f,
	    "%llu samples in %.1f s at %u Hz, %llu lost; with a Lua stack %.1f%%, kernel %.1f%%\n",
	    (unsigned long long)s->samples, seconds, s->rate, (unsigned long long)s->lost,
	    percent(s->with_lua, s->samples), percent(s->kernel, s->samples));
	for (i = 1; i < EV_WHY_MAX; i++)
		if (s->by_why[i])
			fprintf(f, "  %llu (%.2f%%) %s\n", (unsigned long long)s->by_why[i],
				percent(s->by_why[i], s->samples), why[i]);
	if (s->truncated)
		fprintf(f, "  %llu truncated at %u frames\n", (unsigned long long)s->truncated,
			EV_MAX_FRAMES);
	if (s->native)
		fprintf(f, "C stacks: %.2f%% of %llu down to the bottom\n",
			percent(s->by_native[EV_NATIVE_NONE], s->native),
			(unsigned long long)s->native);
	for (i = 1; i < EV_NATIVE_WHY_MAX; i++)
		if (s->by_native[i])
			fprintf(f, "  %llu (%.2f%%) %s\n", (unsigned long long)s->by_native[i],
				percent(s->by_native[i], s->native), native_whys[i]);
	if (s->undefined)
		fprintf(f, "  %llu with an undefined frame\n", (unsigned long long)s->undefined);
	if (s->crowded)
		fprintf(f, "  %llu without their stack: the profile was full\n",
			(unsigned long long)s->crowded);
	print_inside(f, s);
}

static json_t *counts(const uint64_t *by, const char *const *name, size_t n)
{
	json_t *o = json_object();
	size_t i;

	for (i = 0; i < n; i++)
		if (by[i] && name[i][0])
			json_object_set_new(o, name[i], json_integer((json_int_t)by[i]));
	return o;
}

/* NULL: out of memory. */
static json_t *functions(const struct prof *p)
{
	char group[PROF_SPLIT_TEXT];
	size_t n, i;
	struct prof_row *row = prof_rows(p, &n);
	json_t *list = row ? json_array() : NULL;

	for (i = 0; list && i < n; i++) {
		const struct prof_frame *fr = prof_frame(p, row[i].frame);
		json_t *one = json_pack("{s:s,s:s,s:s,s:i,s:I,s:I}", "label", fr->label, "name",
					fr->name, "file", fr->file, "line", (int)fr->line, "self",
					(json_int_t)row[i].self, "total", (json_int_t)row[i].total);

		if (prof_is_split(p))
			json_object_set_new(
			    one, "split",
			    json_string(prof_group_label(p, row[i].group, group, sizeof(group))));
		json_array_append_new(list, one);
	}
	free(row);
	return list;
}

static json_t *processes(const struct prof *p)
{
	json_t *list = json_array();
	size_t n, i;
	const struct prof_process *pr = prof_processes(p, &n);

	for (i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:I,s:s,s:I}", "pid", (json_int_t)pr[i].pid,
						      "comm", pr[i].comm, "samples",
						      (json_int_t)pr[i].samples));
	return list;
}

static const char *const states[] = {
#define TEXT(num, name, text) [num] = text,
    EV_STATES(TEXT)
#undef TEXT
};

const char *state_name(unsigned int state)
{
	return state < EV_STATE_MAX ? states[state] : "?";
}

int print_json(FILE *f, const struct prof *p)
{
	static const char *const whys[] = {
#define TEXT(num, name, text) [num] = text,
	    EV_WHYS(TEXT)
#undef TEXT
	};
	static const char *const insides[] = {[PROF_INSIDE_NOT] = "",
					      [PROF_INSIDE_HEAD] = "head",
					      [PROF_INSIDE_LOOP] = "loop",
					      [PROF_INSIDE_UNKNOWN] = "unknown",
					      [PROF_INSIDE_NO_MCOFS] = "start only"};
	const char *natives[EV_NATIVE_WHY_MAX];
	const struct prof_stats *s = prof_stats(p);
	json_t *o, *rows = functions(p);

	if (!rows)
		return -ENOMEM;
	memcpy(natives, native_whys, sizeof(natives));
	natives[EV_NATIVE_NONE] = "down to the bottom";
	o = json_pack(
	    "{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:o,s:o,s:o,s:o,s:o,s:o}",
	    "schema", "ljx.report/1", "builds", prof_builds(p), "samples", (json_int_t)s->samples,
	    "with_lua", (json_int_t)s->with_lua, "lost", (json_int_t)s->lost, "kernel",
	    (json_int_t)s->kernel, "truncated", (json_int_t)s->truncated, "repaired",
	    (json_int_t)s->repaired, "undefined", (json_int_t)s->undefined, "crowded",
	    (json_int_t)s->crowded, "rate", (json_int_t)s->rate, "seconds",
	    (double)(s->last_time - s->first_time) / 1e9, "first_sample",
	    (double)s->first_time / 1e9, "by_state", counts(s->by_state, states, EV_STATE_MAX),
	    "by_why", counts(s->by_why, whys, EV_WHY_MAX), "compiled",
	    counts(s->by_inside, insides, PROF_INSIDE_MAX), "native",
	    counts(s->by_native, natives, EV_NATIVE_WHY_MAX), "functions", rows, "processes",
	    processes(p));
	if (!o)
		return -ENOMEM;
	json_dumpf(o, f, JSON_INDENT(1)); /* main() sees to it that f could be written */
	fputc('\n', f);
	json_decref(o);
	return 0;
}
