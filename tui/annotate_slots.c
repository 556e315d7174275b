// SPDX-License-Identifier: MIT
/* The instructions of what is annotated, with their samples, and marks from the JIT fold. */
#include "profiler/table.h"
#include "tui/annotate_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- slots ---- */

static const struct lines_pos *hits_at(const struct lines_func *f, uint32_t pos)
{
	size_t lo = 0, hi = f->npos;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (f->pos[mid].pos < pos)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < f->npos && f->pos[lo].pos == pos ? &f->pos[lo] : NULL;
}

static int add_slot(struct view *v, uint32_t func, uint32_t pos, uint32_t line,
		    const struct lines_pos *hits)
{
	struct slot *slot;

	if (line < v->c->from || line > v->c->to)
		return 0;
	slot = table_room(v->slot, &v->cap, (size_t)v->nslots + 1, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	v->slot = slot;
	slot[v->nslots++] = (struct slot){.line = line, .pos = pos, .func = func, .hits = hits};
	return 0;
}

static int add_func(struct view *v, uint32_t func)
{
	const struct lines_func *f = v->func[func];
	uint32_t i;
	size_t k;
	int err = 0;

	for (i = 0; i < f->ncode && !err; i++)
		err = add_slot(v, func, i, (uint32_t)f->code_line[i], hits_at(f, i));
	for (k = 0; k < f->npos && !err; k++)
		if (f->pos[k].pos >= f->ncode)
			err = add_slot(v, func, f->pos[k].pos, f->pos[k].line, &f->pos[k]);
	return err;
}

static int by_place(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->func != y->func)
		return x->func < y->func ? -1 : 1;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

/* Does the function have code in the lines that are meant? */
static int belongs(const struct annotate_choice *c, const struct lines_func *f)
{
	int32_t first = f->firstline > 0 ? f->firstline : 1; /* a main chunk's is 0 */

	if (strcmp(f->chunk, c->chunk) != 0 || ((f->flags ^ c->flags) & EV_FUNC_BUILTIN))
		return 0;
	if (c->function == SIZE_MAX)
		return first <= (int32_t)c->to && f->lastline >= (int32_t)c->from;
	return first >= (int32_t)c->from && f->lastline <= (int32_t)c->to;
}

/* The outer functions before those in them. */
static int by_range(const void *a, const void *b)
{
	const struct lines_func *x = *(const struct lines_func *const *)a;
	const struct lines_func *y = *(const struct lines_func *const *)b;

	if (x->firstline != y->firstline)
		return x->firstline < y->firstline ? -1 : 1;
	if (x->lastline != y->lastline)
		return x->lastline > y->lastline ? -1 : 1;
	return x->frame < y->frame ? -1 : x->frame > y->frame;
}

/* Both cut the text of a string chunk for display, but not alike. */
static int same_file(const char *a, const char *b)
{
	static const char string[] = "[string";

	return !strcmp(a, b) ||
	       (!strncmp(a, string, sizeof(string) - 1) && !strncmp(b, string, sizeof(string) - 1));
}

/* The function of a place, as an index of view.func; -1: none that is shown. */
static int func_of(const struct view *v, const struct jt_loc *loc)
{
	uint32_t i;

	if (loc->kind != JT_LOC_LUA)
		return -1;
	for (i = 0; i < v->nfuncs; i++) {
		const struct lines_func *f = v->func[i];

		if (f->firstline == loc->firstline && f->lastline == loc->lastline &&
		    f->content == loc->content &&
		    same_file(prof_frame(v->in->prof, f->frame)->file, loc->file))
			return (int)i;
	}
	return -1;
}

/* Where traces start and stop without a listing or a sample. */
static int add_place(struct view *v, const struct jt_loc *loc)
{
	int func = func_of(v, loc);

	if (func < 0 || loc->pos == EV_NO_PC || loc->pos < v->func[func]->ncode ||
	    hits_at(v->func[func], loc->pos))
		return 0;
	return add_slot(v, (uint32_t)func, loc->pos, loc->line, NULL);
}

static int add_places(struct view *v)
{
	size_t i;
	int err = 0;

	for (i = 0; i < v->nsites && !err; i++) {
		err = add_place(v, &v->site[i].at);
		if (!err)
			err = add_place(v, &v->site[i].start);
	}
	for (i = 0; i < v->ntraces && !err; i++)
		err = add_place(v, &v->trace[i].start);
	return err;
}

/* In order of place, each once. */
static void sort_slots(struct view *v)
{
	uint32_t i, n = 0;

	if (!v->nslots)
		return;
	qsort(v->slot, v->nslots, sizeof(*v->slot), by_place);
	for (i = 0; i < v->nslots; i++)
		if (!n || by_place(&v->slot[n - 1], &v->slot[i]))
			v->slot[n++] = v->slot[i];
	v->nslots = n;
}

static int make_slots(struct view *v, const struct lines_func *all, size_t n)
{
	size_t i;
	int err = 0;

	v->func = calloc(n + 1, sizeof(*v->func));
	if (!v->func)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		if (belongs(v->c, &all[i]))
			v->func[v->nfuncs++] = &all[i];
	qsort(v->func, v->nfuncs, sizeof(*v->func), by_range);
	for (i = 0; i < v->nfuncs && !err; i++) {
		err = lines_positions(v->in->lines, v->func[i]);
		if (!err)
			err = add_func(v, (uint32_t)i);
	}
	if (!err)
		err = add_places(v);
	sort_slots(v);
	return err;
}

/* ---- what the JIT compiler did ---- */

/* The slot of a place; without its exact position, the first of its line. */
static struct slot *slot_of(struct view *v, const struct jt_loc *loc)
{
	int func = func_of(v, loc);
	struct slot *first = NULL;
	uint32_t i;

	for (i = 0; func >= 0 && i < v->nslots; i++) {
		struct slot *s = &v->slot[i];

		if (s->func != (uint32_t)func)
			continue;
		if (s->pos == loc->pos)
			return s;
		if (!first && s->line == loc->line)
			first = s;
	}
	return first;
}

static void mark_sites(struct view *v)
{
	const struct jt_site *site = v->site;
	size_t i;

	for (i = 0; i < v->nsites; i++) {
		struct slot *at = slot_of(v, &site[i].at), *start = slot_of(v, &site[i].start);

		if (start && site[i].kind == JT_SITE_ABORT && site[i].state == JT_STATE_BLACKLISTED)
			start->black = 1;
		if (at && site[i].kind == JT_SITE_STITCH)
			at->stitch = &site[i];
		if (!at || site[i].kind != JT_SITE_ABORT || (site[i].scanned && !site[i].count))
			continue;
		at->aborts += site[i].count;
		if (!at->stopped || site[i].count > at->stopped->count)
			at->stopped = &site[i];
	}
}

static uint32_t width(const struct jt_trace *t)
{
	return t->last - t->first;
}

/* All that the trace was made from, as far as its start tells: its innermost loop, or function. */
static void mark_cover(struct view *v, const struct jt_trace *t, int func)
{
	uint32_t i;

	for (i = 0; t->first <= t->last && i < v->nslots; i++) {
		struct slot *s = &v->slot[i];

		if (s->func == (uint32_t)func && s->pos >= t->first && s->pos <= t->last &&
		    (!s->cover || width(t) < width(s->cover)))
			s->cover = t;
	}
}

static void mark_traces(struct view *v)
{
	const struct jt_trace *t = v->trace;
	struct slot *start;
	size_t i;
	int func;

	for (i = 0; i < v->ntraces; i++) {
		func = func_of(v, &t[i].start);
		start = func < 0 ? NULL : slot_of(v, &t[i].start);
		if (!start)
			continue;
		if (t[i].kind != EV_TRACE_ROOT) {
			start->side = start->side ? start->side : &t[i];
			continue;
		}
		start->root = start->root ? start->root : &t[i];
		mark_cover(v, &t[i], func);
	}
}

int view_fill(struct view *v, const struct lines_func *all, size_t n)
{
	int err;

	v->site = jt_sites(v->in->jt, v->in->now, &v->nsites);
	v->trace = jt_traces(v->in->jt, &v->ntraces);
	err = v->site && v->trace ? make_slots(v, all, n) : -ENOMEM;
	if (err)
		return err;
	mark_sites(v);
	mark_traces(v);
	return 0;
}

void view_release(struct view *v)
{
	free(v->func);
	free(v->slot);
}
