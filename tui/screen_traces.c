// SPDX-License-Identifier: MIT
/* Screen 3: the live traces, as families or flat, and what the compiler did in the last minutes. */
#include "tui/traces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const columns[] = {"SELF%", "TRACE",	 "IR",	"MCODE",
				      "SNAP",  "ABORTS", "AGE", NULL};

#define DEPTH_MAX 12

static struct traces_rows *rows_of(struct ui *u)
{
	return u->rows[2];
}

static uint64_t identity(const struct jt_trace *t)
{
	return ((uint64_t)t->pid << 40 ^ (uint64_t)t->vm << 32) ^ (uint64_t)t->epoch << 20 ^
	       t->trace;
}

static uint64_t samples_of(const struct ui *u, const struct jt_trace *t)
{
	return ips_samples(u->m->ips, t->pid, t->g, t->trace);
}

static int load(struct ui *u)
{
	if (!u->rows[2])
		u->rows[2] = calloc(1, sizeof(struct traces_rows));
	return u->rows[2] ? 0 : -ENOMEM;
}

static const char *row_text(const struct jt_trace *t, char buf[UI_TEXT])
{
	char link[48], from[48];

	trace_link_text(t, link);
	trace_from_text(t, from);
	snprintf(buf, UI_TEXT, "trace#%u %.30s %.100s %.30s %.60s", t->trace, link,
		 short_place(&t->start, 0), from, t->start.name);
	return buf;
}

/* The value that rows are sorted by, the largest first. */
static double weight(const struct ui *u, const struct traces_row *r)
{
	switch (u->sort[2]) {
	case BY_NUMBER:
		return -(double)r->t->trace - 65536.0 * r->t->vm - 1e9 * r->t->pid;
	case BY_IR:
		return r->t->nins;
	case BY_MCODE:
		return r->t->szmcode;
	case BY_SNAP:
		return r->t->nsnap;
	case BY_ABORTS:
		return r->t->aborts;
	case BY_AGE:
		return (double)r->t->time;
	default:
		return (double)(u->tree_flat ? r->samples : r->family);
	}
}

static int compare(const void *a, const void *b, void *ctx)
{
	const struct traces_row *x = a, *y = b;
	const struct ui *u = ctx;
	double wx = weight(u, x), wy = weight(u, y);
	int order = wx < wy ? 1 : wx > wy ? -1 : (x->id > y->id) - (x->id < y->id);

	return u->invert[2] ? -order : order;
}

/* The index of trace number of the same VM; they are sorted by process, VM and number. */
static size_t index_of(const struct model_picture *pic, const struct jt_trace *like,
		       uint32_t number)
{
	size_t lo = 0, hi = pic->ntraces;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct jt_trace *t = &pic->traces[mid];
		int less = t->pid != like->pid ? t->pid < like->pid
			   : t->vm != like->vm ? t->vm < like->vm
					       : t->trace < number;

		if (less)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < pic->ntraces && pic->traces[lo].trace == number &&
	    pic->traces[lo].pid == like->pid && pic->traces[lo].vm == like->vm)
		return lo;
	return SIZE_MAX;
}

/* The parents: index, or SIZE_MAX; a trace whose parent is itself, or unknown, is a root. */
static size_t parent_index(const struct model_picture *pic, size_t i)
{
	uint32_t p = trace_parent(&pic->traces[i]);
	size_t at = p && p != pic->traces[i].trace ? index_of(pic, &pic->traces[i], p) : SIZE_MAX;

	/* Numbers of parents are smaller, unless numbers were used again: then no loops. */
	return at < i ? at : SIZE_MAX;
}

static int is_wanted(const struct ui *u, const struct jt_trace *t, const struct filter *f)
{
	char buf[UI_TEXT];

	if (u->query.pid != PICK_ALL && t->pid != u->query.pid)
		return 0;
	return !f || filter_match(f, row_text(t, buf));
}

struct tree_work {
	const struct ui *u;
	struct traces_row *row;	       /* all, by index of the picture */
	size_t *next, *child, *parent; /* SIZE_MAX: none */
	struct traces_row *out;
	size_t n;
};

static void emit(struct tree_work *w, size_t first, size_t count, int depth)
{
	struct traces_row *level = calloc(count + 1, sizeof(*level));
	size_t n = 0, i, c;

	for (c = first; level && c != SIZE_MAX && n < count; c = w->next[c])
		level[n++] = w->row[c];
	qsort_r(level, n, sizeof(*level), compare, (void *)(uintptr_t)w->u);
	for (i = 0; i < n; i++) {
		size_t at = (size_t)(level[i].t - w->u->m->pic.traces), kids = 0;

		level[i].depth = depth;
		w->out[w->n++] = level[i];
		for (c = w->child[at]; c != SIZE_MAX; c = w->next[c])
			kids++;
		if (kids && depth < DEPTH_MAX)
			emit(w, w->child[at], kids, depth + 1);
	}
	free(level);
}

/* The families, the heaviest first. Returns the number of rows put into out. */
static size_t families(const struct ui *u, struct traces_row *row, struct traces_row *out)
{
	const struct model_picture *pic = &u->m->pic;
	size_t n = pic->ntraces, i, roots = SIZE_MAX, nroots = 0;
	struct tree_work w = {.u = u, .row = row, .out = out};

	w.next = malloc((n + 1) * 3 * sizeof(*w.next));
	if (!w.next)
		return 0;
	w.child = w.next + n + 1;
	w.parent = w.child + n + 1;
	for (i = 0; i < n; i++) {
		w.child[i] = SIZE_MAX;
		w.parent[i] = parent_index(pic, i);
	}
	for (i = n; i-- > 0;) {
		size_t p = w.parent[i];

		if (p != SIZE_MAX)
			row[p].family += row[i].family;
		if (u->family && traces_root(row[i].t) != u->family)
			continue;
		w.next[i] = p == SIZE_MAX ? roots : w.child[p];
		if (p == SIZE_MAX) {
			roots = i;
			nroots++;
		} else {
			w.child[p] = i;
		}
	}
	emit(&w, roots, nroots, 0);
	free(w.next);
	return w.n;
}

static int arrange(struct ui *u)
{
	const struct model_picture *pic = &u->m->pic;
	struct filter *f = *u->filter[2] ? filter_new(u->filter[2]) : NULL;
	struct traces_row *row = calloc(pic->ntraces + 1, sizeof(*row));
	struct list *l = &u->list[2];
	struct traces_rows *r = rows_of(u);
	size_t i, n = 0;
	int err;

	free(r->row);
	r->row = calloc(pic->ntraces + 1, sizeof(*r->row));
	r->n = 0;
	r->base = pic->sum.samples;
	if (!r->row || !row || (*u->filter[2] && !f)) {
		filter_free(f);
		free(row);
		return -ENOMEM;
	}
	for (i = 0; i < pic->ntraces; i++) {
		uint64_t s = samples_of(u, &pic->traces[i]);

		row[i] = (struct traces_row){identity(&pic->traces[i]), &pic->traces[i], 0, s, s};
	}
	if (!u->tree_flat)
		n = families(u, row, r->row);
	for (i = 0; u->tree_flat && i < pic->ntraces; i++)
		if (!u->family || traces_root(row[i].t) == u->family)
			r->row[n++] = row[i];
	if (u->tree_flat)
		qsort_r(r->row, n, sizeof(*r->row), compare, u);
	free(row);
	for (i = 0; i < n; i++)
		if (is_wanted(u, r->row[i].t, f))
			r->row[r->n++] = r->row[i];
	filter_free(f);
	r->hidden = pic->ntraces - r->n;
	err = list_held(l, u->now) ? list_keep_order(l, r->row, r->n, sizeof(*r->row)) : 0;
	if (err || list_room(l, r->n))
		return -ENOMEM;
	for (i = 0; i < r->n; i++)
		l->id[l->n++] = r->row[i].id;
	list_settle(l);
	return 0;
}

/* ---- keys ---- */

static const char *text(struct ui *u, size_t row, char buf[UI_TEXT])
{
	return row_text(rows_of(u)->row[row].t, buf);
}

static int place(struct ui *u, struct place *out)
{
	const struct traces_row *r = traces_selected(u);

	if (!r)
		return 0;
	place_of_loc(out, &r->t->start);
	out->trace = r->t->trace;
	out->pid = r->t->pid;
	out->vm = r->t->vm;
	return 1;
}

/* The trace, or the heaviest one that starts in the function. */
static void go(struct ui *u, const struct place *to)
{
	const struct model_picture *pic = &u->m->pic;
	const struct jt_trace *best = join_trace(pic, to->pid, to->vm, to->trace);
	struct list *l = &u->list[2];
	size_t i;

	u->at = *to;
	u->family = 0;
	for (i = 0; !to->trace && i < pic->ntraces; i++) {
		const struct jt_trace *t = &pic->traces[i];

		if (t->start.kind == JT_LOC_LUA && !strcmp(t->start.file, to->file) &&
		    t->start.firstline == to->firstline &&
		    (!best || samples_of(u, t) > samples_of(u, best)))
			best = t;
	}
	if (!best) {
		if (*to->file)
			ui_message(u, "no live trace starts in %.100s:%d", to->file, to->firstline);
		return;
	}
	l->selected = identity(best);
	l->has_selected = 1;
	l->cursor = 0;
}

static unsigned int perf_map(struct ui *u)
{
	if (!u->opts.read) {
		ui_message(u, "a recording has no process for perf: see ljx perfmap FILE.ljx");
	} else {
		u->perf_map = !u->perf_map;
		ui_message(u, u->perf_map ? "keeping /tmp/perf-PID.map for perf; P removes it"
					  : "no more maps for perf");
	}
	return UI_DRAW;
}

static unsigned int act(struct ui *u, enum action a)
{
	const struct traces_row *r = traces_selected(u);
	struct place p = {.frame = PICK_ALL};

	switch (a) {
	case ACT_TREE:
		u->tree_flat = !u->tree_flat;
		u->list[2].moved = 0;
		return UI_ARRANGE;
	case ACT_ROOT:
		u->family = u->family || !r ? 0 : traces_root(r->t);
		u->list[2].moved = 0;
		return UI_ARRANGE;
	case ACT_ENTER:
		return place(u, &p) ? ui_open(u, 3, &p) : 0;
	case ACT_EXPLAIN:
		ui_explain_link(u, r ? r->t : NULL);
		return UI_DRAW;
	case ACT_MACHINE:
		return machine_open(u, r ? r->t : NULL);
	case ACT_PERF_MAP:
		return perf_map(u);
	default:
		return 0;
	}
}

static void release(struct ui *u)
{
	struct traces_rows *r = rows_of(u);

	if (r)
		free(r->row);
	free(r);
	u->rows[2] = NULL;
}

const struct screen_ops screen_traces = {.name = "Traces",
					 .on = ON_TRACES,
					 .load = load,
					 .arrange = arrange,
					 .draw = traces_draw,
					 .text = text,
					 .place = place,
					 .go = go,
					 .act = act,
					 .columns = columns,
					 .release = release};
