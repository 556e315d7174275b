// SPDX-License-Identifier: MIT
/* Makes the items of the model, by line, from the instructions that annotate_slots.c found. */
#include "bytecode/disasm.h"
#include "profiler/label.h"
#include "profiler/table.h"
#include "tui/annotate_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOT_SHARE 0.1 /* of the samples shown */

static struct annotate_item *add_item(struct annotate *a, enum annotate_kind kind, uint32_t line,
				      const char *text, const char *note)
{
	struct annotate_item *item =
	    table_room(a->item, &a->cap, a->n + (size_t)1, sizeof(*a->item));

	if (!item)
		return NULL;
	a->item = item;
	item += a->n;
	*item = (struct annotate_item){.kind = kind,
				       .line = line,
				       .pos = EV_NO_PC,
				       .compiled = -1,
				       .interpreted = -1,
				       .text = strdup(text),
				       .note = note && *note ? strdup(note) : NULL};
	a->n++;
	return item->text && (item->note || !note || !*note) ? item : NULL;
}

struct sum {
	uint64_t self, trace, interp;
};

static void add_hits(struct sum *sum, const struct slot *s)
{
	if (!s->hits)
		return;
	sum->self += s->hits->self;
	sum->trace += s->hits->by_state[EV_STATE_TRACE];
	sum->interp += s->hits->by_state[EV_STATE_INTERP];
}

static void set_shares(struct annotate_item *item, const struct sum *sum, uint64_t samples)
{
	item->samples = sum->self;
	item->self = samples ? 100 * (double)sum->self / (double)samples : 0;
	if (!sum->self)
		return;
	item->compiled = 100 * (double)sum->trace / (double)sum->self;
	item->interpreted = 100 * (double)sum->interp / (double)sum->self;
}

/* A trace that starts here is told rather than one that comes along. */
static void set_trace(struct annotate_item *item, const struct slot *s)
{
	const struct jt_trace *t = s->root ? s->root : s->side ? s->side : s->cover;

	if (!t || item->root || (item->trace && !s->root && !s->side))
		return;
	item->trace = t->trace;
	item->pid = t->pid;
	item->vm = t->vm;
	item->root = s->root != NULL;
}

static const char *black_note(const struct slot *s)
{
	return s->pos ? "BLACKLISTED loop" : "BLACKLISTED function";
}

/* "IFORL (was FORL): BLACKLISTED": what lj_trace.c:blacklist_pc makes of the instruction. */
static void black_code(const char *text, char *note, size_t size)
{
	const char *op = text + strcspn(text, " ");
	int len;

	op += strcspn(op, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
	len = (int)strcspn(op, " ");
	if (*op == 'I' || len > 8) /* as it is now */
		snprintf(note, size, "BLACKLISTED");
	else
		snprintf(note, size, "I%.*s (was %.*s): BLACKLISTED", len, op, len, op);
}

static int add_code(struct view *v, struct annotate *a, const struct slot *s)
{
	const struct lines_func *f = v->func[s->func];
	char text[DISASM_LINE], note[JT_TEXT + 64] = "";
	struct sum sum = {0, 0, 0};
	struct annotate_item *item;

	if (s->pos && s->pos < f->ncode)
		label_clean(text, sizeof(text), f->code[s->pos], 0);
	else if (!s->pos)
		snprintf(text, sizeof(text), "0000    %s",
			 f->flags & EV_FUNC_VARARG ? "FUNCV" : "FUNCF");
	else if (s->pos == EV_NO_PC)
		snprintf(text, sizeof(text), "????");
	else
		snprintf(text, sizeof(text), "%04u    ?", s->pos);
	if (s->black)
		black_code(text, note, sizeof(note));
	else if (s->stopped)
		snprintf(note, sizeof(note), "%s", s->stopped->reason);
	else if (s->stitch)
		snprintf(note, sizeof(note), "stitch %s", s->stitch->reason);
	item = add_item(a, ANNOTATE_CODE, s->line, text, note);
	if (!item)
		return -ENOMEM;
	add_hits(&sum, s);
	set_shares(item, &sum, a->samples);
	set_trace(item, s);
	item->pos = s->pos;
	item->aborts = s->aborts;
	item->stopped = s->stopped != NULL;
	item->black = s->black;
	return 0;
}

static int add_title(struct view *v, struct annotate *a, const struct slot *s)
{
	const struct lines_func *f = v->func[s->func];
	const struct prof_frame *fr = prof_frame(v->in->prof, f->frame);
	char text[LABEL_MAX + 64];

	snprintf(text, sizeof(text), "-- %s:%d-%d%s%s", fr->file, f->firstline, f->lastline,
		 strcmp(fr->name, fr->label) ? " " : "",
		 strcmp(fr->name, fr->label) ? fr->name : "");
	return add_item(a, ANNOTATE_TITLE, s->line, text, NULL) ? 0 : -ENOMEM;
}

/* The function's entry is worth a line only if something happened there. */
static int silent(const struct slot *s)
{
	return !s->pos && !(s->hits && s->hits->self) && !s->black && !s->root && !s->stopped;
}

static int add_codes(struct view *v, struct annotate *a, uint32_t from, uint32_t to)
{
	uint32_t i, last = UINT32_MAX, funcs = 0;
	int err = 0;

	for (i = from; i < to; i++) {
		if (silent(&v->slot[i]) || v->slot[i].func == last)
			continue;
		last = v->slot[i].func;
		funcs++;
	}
	last = UINT32_MAX;
	for (i = from; i < to && !err; i++) {
		if (silent(&v->slot[i]))
			continue;
		if (funcs > 1 && v->slot[i].func != last)
			err = add_title(v, a, &v->slot[i]);
		last = v->slot[i].func;
		if (!err)
			err = add_code(v, a, &v->slot[i]);
	}
	return err;
}

/* The line of the file and, under it, its slots, those from .. to. */
static int add_line(struct view *v, struct annotate *a, const struct source *src, uint32_t line,
		    uint32_t from, uint32_t to)
{
	const char *text = line && line <= src->n ? src->line[line - 1] : "", *note = NULL;
	struct sum sum = {0, 0, 0};
	struct annotate_item *item;
	uint32_t i;

	if (from == to && !src->n)
		return 0;
	for (i = from; i < to; i++) {
		if (v->slot[i].black)
			note = black_note(&v->slot[i]);
		else if (!note && !v->slot[i].pos &&
			 v->func[v->slot[i].func]->code_flags & EV_CODE_NOJIT)
			note = "jit.off";
	}
	item = add_item(a, ANNOTATE_SOURCE, line, text, note);
	if (!item)
		return -ENOMEM;
	for (i = from; i < to; i++) {
		add_hits(&sum, &v->slot[i]);
		set_trace(item, &v->slot[i]);
		item->aborts += v->slot[i].aborts;
		item->black |= v->slot[i].black;
	}
	set_shares(item, &sum, a->samples);
	item->has_code = from < to;
	item->hot = item->aborts || item->black || item->root ||
		    (sum.self && (double)sum.self >= HOT_SHARE * (double)v->shown);
	return add_codes(v, a, from, to);
}

static int add_lines(struct view *v, struct annotate *a, const struct source *src)
{
	uint32_t line = v->c->from, from = 0, to;
	int err = 0;

	while (!err && line <= v->c->to && (line <= src->n || from < v->nslots)) {
		/* Behind the text's end, and without one, only lines with code. */
		if (line > src->n && v->slot[from].line > line)
			line = v->slot[from].line;
		for (to = from; to < v->nslots && v->slot[to].line == line; to++)
			;
		err = add_line(v, a, src, line, from, to);
		from = to;
		line++;
	}
	return err;
}

/* What is in the title: of the function, or of the lines together. */
static void sum_up(struct view *v, struct annotate *a, const struct lines_func *f)
{
	uint64_t known = 0, self = 0;
	uint32_t i;
	size_t k;

	for (i = 0; i < v->nslots; i++)
		v->shown += v->slot[i].hits ? v->slot[i].hits->self : 0;
	for (i = 0; i < v->nfuncs; i++) {
		if (f && v->func[i] != f)
			continue;
		for (k = 0; k < v->func[i]->npos; k++) {
			const struct lines_pos *pos = &v->func[i]->pos[k];

			self += pos->self;
			known += pos->line ? pos->self : 0;
		}
	}
	a->total = -1;
	if (!a->samples)
		return;
	a->unknown = 100 * (double)(self - known) / (double)a->samples;
	a->self = 100 * (double)(f ? self : v->shown) / (double)a->samples;
	if (f)
		a->total = 100 * (double)f->total / (double)a->samples;
}

static int set_title(const struct annotate_input *in, const struct annotate_choice *c,
		     struct annotate *a, const struct lines_func *f, const struct view *v)
{
	const struct prof_frame *fr = f		  ? prof_frame(in->prof, f->frame)
				      : v->nfuncs ? prof_frame(in->prof, v->func[0]->frame)
						  : NULL;

	a->from = c->from;
	a->to = c->to;
	a->samples = in->samples ? in->samples : prof_stats(in->prof)->samples;
	a->name = strdup(f && strcmp(fr->name, fr->label) ? fr->name : "");
	a->file = strdup(fr ? fr->file : "");
	return a->name && a->file ? 0 : -ENOMEM;
}

int annotate_build(const struct annotate_input *in, const struct annotate_choice *c,
		   const struct source *src, struct annotate *out)
{
	struct view v = {.in = in, .c = c};
	const struct lines_func *all, *f = NULL;
	size_t n;
	int err;

	annotate_release(out);
	all = lines_funcs(in->lines, &n);
	if (c->function < n)
		f = &all[c->function];
	err = view_fill(&v, all, n);
	if (!err)
		err = set_title(in, c, out, f, &v);
	if (!err) {
		sum_up(&v, out, f);
		err = add_lines(&v, out, src);
	}
	view_release(&v);
	if (err)
		annotate_release(out);
	return err;
}

void annotate_release(struct annotate *a)
{
	size_t i;

	for (i = 0; i < a->n; i++) {
		free(a->item[i].text);
		free(a->item[i].note);
	}
	free(a->item);
	free(a->name);
	free(a->file);
	memset(a, 0, sizeof(*a));
}
