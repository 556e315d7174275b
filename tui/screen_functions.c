// SPDX-License-Identifier: MIT
/* Screen 1: hot functions, flat, by line, or as a tree of callees or callers. */
#include "tui/functions.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TREE_ROWS 20000u

const char *const function_columns[] = {"SELF%", "TOTAL%", "N",	     "I",	 "C",
					"G",	 "J",	   "ABRT/s", "FUNCTION", NULL};

/* Tenths of a percent below which rows are hidden. */
static const double thresholds[] = {0, 0.1, 0.5, 1, 5};

static struct function_rows *rows_of(struct ui *u)
{
	return u->rows[0];
}

static int flipped(void *ctx, uint64_t id)
{
	const struct ui *u = ctx;
	size_t i;

	for (i = 0; i < u->nflipped; i++)
		if (u->flipped[i] == id)
			return 1;
	return 0;
}

int functions_is_split(const struct ui *u)
{
	return u->tree == TREE_FLAT && prof_is_split(u->m->prof);
}

static int is_there(const struct ui *u, const struct pick_row *p, const struct place *to)
{
	const struct prof_frame *f = prof_frame(u->m->prof, p->frame);

	return p->frame == to->frame ||
	       (to->frame == PICK_ALL && f->kind == PROF_LUA && *to->file &&
		!strcmp(f->file, to->file) && f->line == to->firstline);
}

/*
 * The cursor to the row of a function, by its file and line; of several that of the group where the
 * user came from, or the one with most samples.
 */
static void to_row(struct ui *u, const struct place *to)
{
	struct list *l = &u->list[0];
	const struct pick_row *best = NULL;
	size_t i;

	for (i = 0; u->flat && i < u->nflat; i++) {
		const struct pick_row *p = &u->flat[i];

		if (!is_there(u, p, to) || (best && to->group && best->group == to->group))
			continue;
		if (!best || p->group == to->group || p->self > best->self ||
		    (p->self == best->self && p->total > best->total))
			best = p;
	}
	if (best) {
		l->selected = best->id;
		l->has_selected = 1;
		l->cursor = 0;
	}
}

static int load(struct ui *u)
{
	struct function_rows *r = rows_of(u);
	const struct pick_sum *s = &u->m->pic.sum;
	struct pick_tree_opts o = {.dir = u->tree == TREE_CALLERS ? PICK_CALLERS : PICK_CALLEES,
				   .frame = u->callers_of,
				   .group = PICK_ALL,
				   .flipped = flipped,
				   .ctx = u,
				   .max = TREE_ROWS,
				   .depth = UINT32_MAX};

	if (!r)
		r = u->rows[0] = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->base = u->query.only == PROF_GROUP_MAX ? s->samples : s->by[u->query.only];
	/* In a tree of all functions' callers all roots would be open. */
	o.open_from = u->expand_all				       ? 0
		      : u->tree == TREE_CALLERS && o.frame == PICK_ALL ? UINT64_MAX
								       : r->base / 20 + 1;
	o.least = (uint64_t)(thresholds[u->threshold] * (double)r->base / 100);
	if (u->to_row.frame != PICK_ALL)
		to_row(u, &u->to_row);
	u->to_row.frame = PICK_ALL;
	free(r->own);
	r->own = NULL;
	r->all = u->flat;
	r->nall = u->nflat;
	r->left = u->flat_left;
	if (u->tree != TREE_FLAT) {
		r->all = r->own = pick_tree(u->m->pick, &o, &r->nall);
		r->left = 0;
	} else if (u->lines) {
		r->all = r->own = pick_rows(u->m->pick, 1, &r->nall, &r->left);
	}
	return r->all ? 0 : -ENOMEM;
}

void functions_row(struct ui *u, size_t i, struct function_row *out)
{
	const struct function_rows *r = rows_of(u);

	out->id = r->row[i].id;
	out->p = r->all[r->row[i].at];
	out->f = *prof_frame(u->m->prof, out->p.frame);
	out->join = out->f.kind == PROF_LUA ? join_find(u->join, out->f.file, out->f.line) : NULL;
}

static uint64_t weight(const struct ui *u, const struct pick_row *p)
{
	int by = u->sort[0];
	const struct join_func *j = NULL;
	const struct prof_frame *f;

	if (by == BY_SELF)
		return p->self;
	if (by == BY_TOTAL)
		return p->total;
	if (by >= BY_N && by <= BY_J)
		return p->by[by - BY_N];
	f = prof_frame(u->m->prof, p->frame);
	if (by == BY_ABORTS && f->kind == PROF_LUA)
		j = join_find(u->join, f->file, f->line);
	return j ? j->recent : 0;
}

/* What a row is sorted by: one after the other, the largest first. */
enum { KEY_WEIGHT, KEY_SELF, KEY_TOTAL, KEYS };

struct sort_key {
	uint64_t by[KEYS];
	uint32_t at, frame;
};

/*
 * Sorts by one of the numbers, byte by byte; what is equal stays in order. As counts differ in few
 * of their bytes this takes a tenth of the time of comparisons. Returns where the result is.
 */
static struct sort_key *sort_by(struct sort_key *key, struct sort_key *spare, size_t n, int by)
{
	uint64_t differ = 0;
	size_t at[256], i;
	int shift;

	for (i = 1; i < n; i++)
		differ |= key[i].by[by] ^ key[0].by[by];
	for (shift = 0; shift < 64; shift += 8) {
		size_t sum = 0, count[256] = {0};
		struct sort_key *to = spare;

		if (!(differ >> shift & 0xff))
			continue;
		for (i = 0; i < n; i++)
			count[key[i].by[by] >> shift & 0xff]++;
		for (i = 256; i--; sum += count[i])
			at[i] = sum;
		for (i = 0; i < n; i++)
			to[at[key[i].by[by] >> shift & 0xff]++] = key[i];
		spare = key;
		key = to;
	}
	return key;
}

/* The beginning of a name as numbers: the first name is the largest. */
static void name_key(const struct ui *u, struct sort_key *key)
{
	char start[sizeof(key->by)] = {0};
	const char *label = prof_frame(u->m->prof, key->frame)->label;
	int i;

	memcpy(start, label, strnlen(label, sizeof(start)));
	for (i = 0; i < KEYS; i++) {
		memcpy(&key->by[i], start + (size_t)i * sizeof(key->by[i]), sizeof(key->by[i]));
		key->by[i] = ~htobe64(key->by[i]);
	}
}

static int by_name(const void *a, const void *b, void *prof)
{
	const struct sort_key *x = a, *y = b;
	int order = strcmp(prof_frame(prof, x->frame)->label, prof_frame(prof, y->frame)->label);

	return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* Sorts those whose names begin alike. */
static void sort_alike(const struct ui *u, struct sort_key *key, size_t n)
{
	size_t from, to;

	for (from = 0; from < n; from = to) {
		for (to = from + 1; to < n; to++)
			if (memcmp(key[to].by, key[from].by, sizeof(key->by)) != 0)
				break;
		if (to - from > 1)
			qsort_r(key + from, to - from, sizeof(*key), by_name, u->m->prof);
	}
}

/* Returns where the result is. */
static struct sort_key *sort(const struct ui *u, struct sort_key *key, struct sort_key *spare,
			     size_t n)
{
	size_t i;
	int by;

	for (i = 0; u->sort[0] == BY_NAME && i < n; i++)
		name_key(u, &key[i]);
	for (by = KEYS; by--;) {
		struct sort_key *sorted = sort_by(key, spare, n, by);

		spare = sorted == key ? spare : key;
		key = sorted;
	}
	if (u->sort[0] == BY_NAME)
		sort_alike(u, key, n);
	return key;
}

/* "decode lua/mixed.lua:6", and of a split profile "  (thread:42)" behind it, as tables have it. */
static const char *text_of(const struct ui *u, const struct pick_row *p, char buf[UI_TEXT])
{
	const char *label = prof_frame(u->m->prof, p->frame)->label;
	char group[UI_TEXT / 2];

	if (!functions_is_split(u))
		return label;
	prof_group_label(u->m->prof, p->group, group, sizeof(group));
	snprintf(buf, UI_TEXT, "%.*s  (%s)", (int)(UI_TEXT - 5 - strlen(group)), label, group);
	return buf;
}

/* Is the row to be shown? The one that the cursor follows always is. */
static int wanted(const struct ui *u, const struct pick_row *p, const struct filter *f,
		  uint64_t base)
{
	const struct list *l = &u->list[0];
	uint64_t weigh = p->self > p->total ? p->self : p->total;
	char buf[UI_TEXT];

	if (f && !filter_match(f, text_of(u, p, buf)))
		return 0;
	if (l->follow && l->has_selected && l->selected == p->id)
		return 1;
	return !u->threshold || percent_of(weigh, base) >= thresholds[u->threshold];
}

/* Chooses rows, and sorts them unless they are a tree. key: room for twice as many. */
static void choose_rows(struct ui *u, struct function_rows *r, struct sort_key *key,
			const struct filter *f)
{
	int invert = u->tree == TREE_FLAT && u->invert[0];
	size_t i;

	r->n = 0;
	for (i = 0; i < r->nall; i++) {
		const struct pick_row *p = &r->all[i];

		if (wanted(u, p, f, r->base))
			key[r->n++] = (struct sort_key){
			    {weight(u, p), p->self, p->total}, (uint32_t)i, p->frame};
	}
	r->hidden = r->nall - r->n + r->left;
	if (u->tree == TREE_FLAT)
		key = sort(u, key, key + r->nall, r->n);
	for (i = 0; i < r->n; i++) {
		uint32_t at = key[invert ? r->n - 1 - i : i].at;

		r->row[i] = (struct function_order){r->all[at].id, at};
	}
}

static int arrange(struct ui *u)
{
	struct list *l = &u->list[0];
	struct function_rows *r = rows_of(u);
	struct filter *f = *u->filter[0] ? filter_new(u->filter[0]) : NULL;
	struct sort_key *key = malloc((r->nall * 2 + 1) * sizeof(*key));
	size_t i;
	int err = 0;

	free(r->row);
	r->row = calloc(r->nall + 1, sizeof(*r->row));
	if (!r->row || !key || (*u->filter[0] && !f))
		err = -ENOMEM;
	else
		choose_rows(u, r, key, f);
	filter_free(f);
	free(key);
	if (!err && u->tree == TREE_FLAT && list_held(l, u->now))
		err = list_keep_order(l, r->row, r->n, sizeof(*r->row));
	if (err || list_room(l, r->n))
		return -ENOMEM;
	for (i = 0; i < r->n; i++)
		l->id[l->n++] = r->row[i].id;
	list_settle(l);
	return 0;
}

/* ---- keys ---- */

int functions_selected(struct ui *u, struct function_row *out)
{
	const struct list *l = &u->list[0];

	if (!rows_of(u) || l->cursor < 0 || (size_t)l->cursor >= rows_of(u)->n)
		return 0;
	functions_row(u, (size_t)l->cursor, out);
	return 1;
}

static const char *text(struct ui *u, size_t row, char buf[UI_TEXT])
{
	const struct function_rows *r = rows_of(u);

	return text_of(u, &r->all[r->row[row].at], buf);
}

static int place(struct ui *u, struct place *out)
{
	struct function_row r;

	if (!functions_selected(u, &r)) {
		*out = u->advice.place;
		return u->advice.place.frame != PICK_ALL || *u->advice.place.file;
	}
	place_of_frame(u, out, r.p.frame, r.p.line);
	if (functions_is_split(u)) {
		out->group = r.p.group;
		out->pid = pick_pid(u->m->pick, r.p.frame, r.p.group);
	}
	if (!out->pid)
		out->pid = u->query.pid == PICK_ALL ? 0 : u->query.pid;
	return 1;
}

static void go(struct ui *u, const struct place *to)
{
	u->tree = TREE_FLAT;
	u->callers_of = PICK_ALL;
	u->lines = 0;
	to_row(u, to);
}

unsigned int functions_callers(struct ui *u, uint32_t frame)
{
	ui_open(u, 0, NULL);
	u->tree = TREE_CALLERS;
	u->lines = 0;
	u->callers_of = frame;
	u->list[0].cursor = 0;
	u->list[0].has_selected = 0;
	return UI_SCREEN;
}

static unsigned int flip(struct ui *u, int open)
{
	struct function_row r;
	uint64_t *more;
	size_t i;

	if (!functions_selected(u, &r) || u->tree == TREE_FLAT || !r.p.children || r.p.open == open)
		return 0;
	for (i = 0; i < u->nflipped; i++)
		if (u->flipped[i] == r.id) {
			u->flipped[i] = u->flipped[--u->nflipped];
			return UI_SCREEN;
		}
	more = realloc(u->flipped, (u->nflipped + 1) * sizeof(*more));
	if (!more)
		return 0;
	u->flipped = more;
	u->flipped[u->nflipped++] = r.id;
	return UI_SCREEN;
}

static unsigned int enter(struct ui *u)
{
	struct place p;

	if (u->list[0].cursor < 0)
		return ui_open(u, u->advice.screen, &u->advice.place);
	if (!place(u, &p))
		return 0;
	return ui_open(u, p.trace ? 2 : 1, &p);
}

/* The next of what rows can be split by; what the command line says is one, too. */
static unsigned int next_split(const struct ui *u, unsigned int now)
{
	unsigned int list[PROF_BY_MAX + 2], n = 0, by, i;

	list[n++] = 0;
	for (by = 0; by < PROF_BY_MAX; by++)
		if (by != PROF_BY_COROUTINE || pick_keeps_coroutines(u->m->pick))
			list[n++] = 1u << by;
	if (__builtin_popcount(u->opts.o->split) > 1)
		list[n++] = u->opts.o->split;
	for (i = 0; i < n; i++)
		if (list[i] == now)
			return list[(i + 1) % n];
	return 0;
}

/* "process, state" */
static void split_text(unsigned int split, char buf[UI_TEXT])
{
	static const char *const names[] = {
#define SPLIT_NAME(name, text) text,
	    PROF_SPLITS(SPLIT_NAME)
#undef SPLIT_NAME
	};
	size_t n = 0;
	int by;

	for (by = 0; by < PROF_BY_MAX; by++)
		if (split >> by & 1)
			n += (size_t)snprintf(buf + n, UI_TEXT - n, "%s%s", n ? ", " : "",
					      names[by]);
}

/* Rows and groups are others then: the cursor goes to the row's function. */
static unsigned int split(struct ui *u)
{
	struct place p = {.frame = PICK_ALL};
	int had = u->list[0].cursor >= 0 && place(u, &p), err = -ENOSPC, i;
	unsigned int to = u->m->opts.split;
	char text[UI_TEXT];

	/* One for which there is no room must not bar the way to the others. */
	for (i = 0; i < (int)PROF_BY_MAX && err == -ENOSPC; i++) {
		to = next_split(u, to);
		err = model_split(u->m, to);
	}
	if (err) {
		ui_message(u, err == -ENOSPC
				  ? "too many samples to split them now: start with --split"
				  : "out of memory: samples forgotten");
		return UI_LOAD;
	}
	u->at.group = p.group = 0;
	for (i = 0; i < u->nback; i++)
		u->back[i].place.group = 0;
	u->list[0].has_selected = 0;
	u->to_row = had ? p : (struct place){.frame = PICK_ALL};
	split_text(u->m->opts.split, text);
	ui_message(u, u->m->opts.split ? "split by %s" : "not split", text);
	return UI_LOAD;
}

static unsigned int act(struct ui *u, enum action a)
{
	struct function_row r;

	u->list[0].moved = 0;
	switch (a) {
	case ACT_ENTER:
		return enter(u);
	case ACT_TREE:
		u->tree = (enum tree)((u->tree + 1) % 3);
		u->callers_of = PICK_ALL;
		return UI_SCREEN;
	case ACT_LINES:
		u->lines = !u->lines;
		u->tree = TREE_FLAT;
		u->callers_of = PICK_ALL;
		return UI_SCREEN;
	case ACT_SPLIT:
		return split(u);
	case ACT_EXPAND:
	case ACT_COLLAPSE:
		return flip(u, a == ACT_EXPAND);
	case ACT_EXPAND_ALL:
		u->expand_all = !u->expand_all;
		u->nflipped = 0;
		return UI_SCREEN;
	case ACT_THRESHOLD:
		u->threshold = (u->threshold + 1) % (int)(sizeof(thresholds) / sizeof(double));
		ui_message(u, "rows of %g%% and more", thresholds[u->threshold]);
		return u->tree == TREE_FLAT ? UI_ARRANGE : UI_SCREEN;
	case ACT_STATE:
		u->query.only = u->query.only == PROF_GROUP_MAX ? PROF_GROUP_N
				: u->query.only == PROF_GROUP_J
				    ? PROF_GROUP_MAX
				    : (enum prof_group)(u->query.only + 1);
		return UI_LOAD;
	case ACT_METERS:
		u->no_meters = !u->no_meters;
		return UI_DRAW;
	case ACT_EXPLAIN:
		ui_explain(u, functions_selected(u, &r) && r.join ? r.join->top : NULL);
		return UI_DRAW;
	default:
		return 0;
	}
}

static void release(struct ui *u)
{
	struct function_rows *r = rows_of(u);

	if (r) {
		free(r->own);
		free(r->row);
	}
	free(r);
	u->rows[0] = NULL;
}

const struct screen_ops screen_functions = {.name = "Functions",
					    .on = ON_FUNCTIONS,
					    .above = 1,
					    .load = load,
					    .arrange = arrange,
					    .draw = functions_draw,
					    .text = text,
					    .place = place,
					    .go = go,
					    .act = act,
					    .columns = function_columns,
					    .release = release};
