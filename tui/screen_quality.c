// SPDX-License-Identifier: MIT
/* Screen 6: how good the data is: what was lost, what could not be resolved, what ljx costs. */
#include "tui/ui.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINE 62 /* columns of wrapped text */

struct line {
	char text[UI_TEXT];
	enum grid_role role;
};

struct rows {
	struct line *line;
	size_t n, cap;
};

static struct rows *rows_of(struct ui *u)
{
	return u->rows[5];
}

__attribute__((format(printf, 3, 4))) static void say(struct rows *r, enum grid_role role,
						      const char *fmt, ...)
{
	va_list ap;

	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 64;
		struct line *line = realloc(r->line, cap * sizeof(*line));

		if (!line)
			return;
		r->line = line;
		r->cap = cap;
	}
	r->line[r->n].role = role;
	va_start(ap, fmt);
	vsnprintf(r->line[r->n++].text, UI_TEXT, fmt, ap);
	va_end(ap);
}

/* A count that should be 0. */
static void say_bad(struct rows *r, uint64_t n, const char *what, const char *means)
{
	say(r, n ? ROLE_WARN : ROLE_NORMAL, "%12llu  %s%s%s", (unsigned long long)n, what,
	    n ? ": " : "", n ? means : "");
}

/* Of the samples in traces: do they tell what the trace runs there? */
static void say_inside(struct rows *r, const struct prof_stats *s)
{
	uint64_t known = s->by_inside[PROF_INSIDE_HEAD] + s->by_inside[PROF_INSIDE_LOOP];
	uint64_t all =
	    known + s->by_inside[PROF_INSIDE_UNKNOWN] + s->by_inside[PROF_INSIDE_NO_MCOFS];

	if (!all)
		return;
	say(r, ROLE_NORMAL, "%11.1f%%  of those in traces with inlined functions and lines",
	    percent_of(known, all));
	say_bad(r, s->by_inside[PROF_INSIDE_NO_MCOFS], "in traces only with their start",
		"this LuaJIT keeps no more");
}

static void say_samples(struct rows *r, const struct model_picture *pic)
{
	static const char *const why[] = {
#define TEXT(num, name, text) [num] = text,
	    EV_WHYS(TEXT)
#undef TEXT
	};
	static const char *const native[] = {
#define TEXT(num, name, text) [num] = text,
	    EV_NATIVE_WHYS(TEXT)
#undef TEXT
	};
	const struct prof_stats *s = &pic->prof;
	size_t i;

	say(r, ROLE_HEAD, "Samples");
	say(r, ROLE_NORMAL, "%12llu  since the start, %u a second and CPU",
	    (unsigned long long)s->samples, s->rate);
	say(r, ROLE_NORMAL, "%11.1f%%  with a Lua stack", percent_of(s->with_lua, s->samples));
	say(r, ROLE_NORMAL, "%11.1f%%  in the kernel", percent_of(s->kernel, s->samples));
	say_bad(r, s->lost, "lost", "the ring buffer was full; percentages stay valid");
	say_bad(r, s->truncated, "truncated", "deeper than 256 frames");
	say_bad(r, s->undefined, "with an undefined frame", "its prototype was gone");
	say_bad(r, s->crowded, "without their stack", "the profile is as large as it may be");
	say(r, ROLE_NORMAL, "%12llu  repaired from a second source",
	    (unsigned long long)s->repaired);
	if (s->native)
		say(r, ROLE_NORMAL, "%11.1f%%  of the C stacks go down to the bottom",
		    percent_of(s->by_native[EV_NATIVE_NONE], s->native));
	for (i = 1; i < EV_NATIVE_WHY_MAX; i++)
		if (s->by_native[i])
			say(r, ROLE_WARN, "%11.2f%%  C stack not whole: %s",
			    percent_of(s->by_native[i], s->native), native[i]);
	for (i = 1; i < EV_WHY_MAX; i++)
		if (s->by_why[i])
			say(r, i == EV_WHY_OUTSIDE ? ROLE_NORMAL : ROLE_WARN,
			    "%11.2f%%  no Lua stack: %s", percent_of(s->by_why[i], s->samples),
			    why[i]);
	say_inside(r, s);
}

/* What is long in lines that fit. */
static void say_wrapped(struct rows *r, const char *text)
{
	while (*text) {
		size_t len = strlen(text), cut = len;

		if (len > LINE) {
			for (cut = LINE; cut && text[cut] != ' '; cut--)
				;
			cut = cut ? cut : LINE;
		}
		say(r, ROLE_NORMAL, "              %.*s", (int)cut, text);
		text += cut;
		text += strspn(text, " ");
	}
}

static void say_events(struct rows *r, const struct model_picture *pic)
{
	const struct jt_stats *s = &pic->jit;

	say(r, ROLE_HEAD, "Events of the JIT compiler");
	say(r, ROLE_NORMAL, "%12llu  starts, %llu stops, %llu aborts, %llu flushes",
	    (unsigned long long)s->starts, (unsigned long long)s->stops,
	    (unsigned long long)s->aborts, (unsigned long long)s->flushes);
	if (pic->live)
		say_bad(r, pic->capture.lost_traces, "lost", "the ring buffer was full");
	if (s->tallied)
		say(r, ROLE_NORMAL, "%12llu  of them were only counted: too many of a place",
		    (unsigned long long)s->tallied);
	say_bad(r, s->missed, "do not follow from those before", "some are missing");
	say_bad(r, s->undefined, "with an undefined part", "a prototype was gone");
	say_bad(r, s->dropped_sites + s->dropped_starts + s->dropped_traces,
		"table entries dropped", "limits were reached");
	say_bad(r, s->unwatched, "VMs without probes on their recorder",
		"their aborts are not seen");
	say_wrapped(r, pic->said);
}

static void say_capture(struct rows *r, const struct model_picture *pic)
{
	const struct capture_stats *c = &pic->capture;

	say(r, ROLE_HEAD, "Capture");
	say(r, ROLE_NORMAL, "%12u  processes sampled, %u watched, %u ended", c->targets, c->watched,
	    c->exited);
	say(r, ROLE_NORMAL, "%12llu  VMs", (unsigned long long)c->vms);
	say_bad(r, c->vms_refused, "VMs refused", "their layout did not verify: ljx doctor -p PID");
	say_bad(r, c->vms_dropped, "VMs not looked at", "too many, or what looks like them");
	say_bad(r, c->vms_unsampled, "VMs too many for one process",
		"their C code may not be known as theirs");
	say_bad(r, c->files_skipped, "mapped files not looked at", "too many, or too large");
	say_bad(r, c->looks_cut, "looks at the past cut short", "they took too long");
	say(r, ROLE_NORMAL,
	    "%12llu  reads of memory that was not there; some only ask whether it is",
	    (unsigned long long)c->faults);
	say_bad(r, c->resolve.protos_gone, "prototypes gone before they were read",
		"shown without names");
	say_bad(r, c->lost_protos, "definitions lost", "their frames are [undefined]");
	if (pic->own_cpu >= 0)
		say(r, ROLE_NORMAL, "%11.1f%%  of a CPU used by ljx itself", pic->own_cpu);
}

static void say_processes(struct rows *r, const struct model_picture *pic)
{
	uint64_t all = 0;
	size_t i;

	say(r, ROLE_HEAD, "Processes and VMs                    samples");
	for (i = 0; i < pic->ncontexts; i++)
		all += pic->contexts[i].samples;
	for (i = 0; i < pic->ncontexts; i++) {
		const struct pick_context *c = &pic->contexts[i];

		if (c->g)
			say(r, ROLE_NORMAL, "%12u  %-16s VM %-3u %10llu  %5.1f%%", c->pid, c->comm,
			    c->vm, (unsigned long long)c->samples, percent_of(c->samples, all));
		else if (c->samples)
			say(r, ROLE_NORMAL, "%12u  %-16s no VM  %10llu  %5.1f%%", c->pid, c->comm,
			    (unsigned long long)c->samples, percent_of(c->samples, all));
	}
	for (i = 0; i < pic->nvms; i++) {
		const struct jt_vm_info *v = &pic->vms[i];

		if (v->time && !v->on)
			say(r, ROLE_ALERT, "%12u  VM %u: the JIT compiler is off", v->pid, v->vm);
	}
}

static int load(struct ui *u)
{
	const struct model_picture *pic = &u->m->pic;
	struct rows *r = rows_of(u);

	if (!r)
		r = u->rows[5] = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->n = 0;
	say_samples(r, pic);
	say(r, ROLE_NORMAL, "%s", "");
	say_events(r, pic);
	say(r, ROLE_NORMAL, "%s", "");
	if (pic->live) {
		say_capture(r, pic);
		say(r, ROLE_NORMAL, "%s", "");
	}
	say_processes(r, pic);
	return 0;
}

static int arrange(struct ui *u)
{
	struct list *l = &u->list[5];
	struct rows *r = rows_of(u);
	size_t i;

	if (list_room(l, r->n))
		return -ENOMEM;
	for (i = 0; i < r->n; i++)
		l->id[l->n++] = i + 1;
	list_settle(l);
	return 0;
}

static void draw_row(struct ui *u, struct grid *g, int y, size_t row)
{
	const struct line *l = &rows_of(u)->line[row];

	grid_text(g, 1, y, g->w - 2, l->role, l->text);
}

static void draw(struct ui *u, struct grid *g)
{
	int y = 1, bottom = g->h - 1 - (*u->ended && g->h > 12);

	draw_title(u, g, "ljx quality  %s %d   %s", u->opts.name,
		   u->opts.pid ? u->opts.pid : (int)u->m->first_pid, u->m->pic.build);
	draw_tabs(u, g, y++);
	draw_quality_line(u, g, y++);
	ui_rows(u, g, y, bottom - y, draw_row);
}

static const char *text(struct ui *u, size_t row, char buf[UI_TEXT])
{
	(void)buf;
	return rows_of(u)->line[row].text;
}

static void release(struct ui *u)
{
	struct rows *r = rows_of(u);

	if (r)
		free(r->line);
	free(r);
	u->rows[5] = NULL;
}

const struct screen_ops screen_quality = {.name = "Quality",
					  .on = ON_QUALITY,
					  .load = load,
					  .arrange = arrange,
					  .draw = draw,
					  .text = text,
					  .release = release};
