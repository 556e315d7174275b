// SPDX-License-Identifier: MIT
#include "profiler/lines.h"

#include "profiler/fold.h"
#include "profiler/ticks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CODE_BYTES_MAX (64u << 20) /* of all listings */
#define PARTS_MAX (1u << 20)

struct func {
	uint64_t seen; /* serial number of the last sample that had it */
	char *text;    /* the listing, its lines terminated */
	const char **lines;
	int32_t *line;
	uint32_t last; /* index + 1 of its newest entry; 0: none */
	struct lines_pos *pos;
	uint64_t chosen; /* with which choice it got tick; others mean that it has none */
	uint32_t tick;	 /* index + 1 of its newest tick of the choice */
};

struct entry {
	struct lines_pos pub;
	uint32_t next; /* index + 1 of the next one of its function; 0: none */
	uint64_t seen;
};

/* What one process has of an entry's self. */
struct part {
	uint32_t by_state[EV_STATE_MAX];
};

struct lines {
	struct prof *p;
	struct map funcs_at;	/* frame + 1 -> index of funcs + 1 */
	struct lines_func *pub; /* what users see of each of funcs */
	struct func *funcs;
	uint32_t nfuncs, funcs_cap, pub_cap;
	struct map entries_at; /* func, pos -> index of entries + 1 */
	struct entry *entries;
	uint32_t nentries, entries_cap;
	uint64_t serial; /* of the sample under way */
	size_t code_bytes;
	struct lines_stats stats;
	struct ticks ticks;  /* a: function, b: position */
	struct map parts_at; /* entry, pid -> index of parts + 1 */
	struct part *parts;
	uint32_t nparts, parts_cap;
	int recent;
	uint32_t pid;	 /* of the choice; 0: any */
	uint64_t choice; /* number of the last lines_choose() */
	uint32_t *next;	 /* of each tick: index + 1 of the one before of the same function */
};

struct lines *lines_new(struct prof *p)
{
	struct lines *l = calloc(1, sizeof(*l));

	if (l)
		l->p = p;
	return l;
}

void lines_free(struct lines *l)
{
	uint32_t i;

	if (!l)
		return;
	for (i = 0; i < l->nfuncs; i++) {
		free(l->funcs[i].text);
		free(l->funcs[i].lines);
		free(l->funcs[i].line);
		free(l->funcs[i].pos);
	}
	map_release(&l->funcs_at);
	map_release(&l->entries_at);
	free(l->funcs);
	free(l->entries);
	free(l->pub);
	free(l->next);
	ticks_release(&l->ticks);
	map_release(&l->parts_at);
	free(l->parts);
	free(l);
}

void lines_window(struct lines *l, uint64_t window)
{
	l->ticks.window = window;
}

void lines_reset(struct lines *l)
{
	uint32_t i;

	for (i = 0; i < l->nfuncs; i++) {
		struct lines_func *f = &l->pub[i];

		f->self = f->total = 0;
		memset(f->by_state, 0, sizeof(f->by_state));
		f->npos = 0;
		l->funcs[i].last = 0;
	}
	map_release(&l->entries_at);
	memset(&l->entries_at, 0, sizeof(l->entries_at));
	l->nentries = 0;
	l->stats.no_lua = 0;
	l->choice++;
	ticks_release(&l->ticks);
	map_release(&l->parts_at);
	memset(&l->parts_at, 0, sizeof(l->parts_at));
	l->nparts = 0;
}

/* ---- definitions ---- */

/* The function of a prototype: index + 1; 0: not defined. */
static uint32_t func_of(const struct lines *l, uint32_t proto)
{
	uint32_t frame = recent_peek(&l->p->funcs, proto); /* + 1 */

	return frame ? map_get(&l->funcs_at, frame) : 0;
}

static int add_func(struct lines *l, const struct ev_func *e)
{
	uint32_t frame = recent_peek(&l->p->funcs, e->id);
	struct lines_func *pub;
	struct func *funcs;

	if (!frame || map_get(&l->funcs_at, frame))
		return 0;
	funcs = table_room(l->funcs, &l->funcs_cap, (size_t)l->nfuncs + 1, sizeof(*funcs));
	if (!funcs)
		return -ENOMEM;
	l->funcs = funcs;
	pub = table_room(l->pub, &l->pub_cap, (size_t)l->nfuncs + 1, sizeof(*pub));
	if (!pub)
		return -ENOMEM;
	l->pub = pub;
	funcs[l->nfuncs] = (struct func){.seen = 0};
	pub[l->nfuncs] = (struct lines_func){
	    .frame = frame - 1,
	    .flags = e->flags,
	    .chunk = pool_get(&l->p->strs, l->p->frames[frame - 1].chunk),
	    .pid = e->h.pid,
	    .firstline = e->firstline,
	    .lastline = (int32_t)((uint32_t)e->firstline + (uint32_t)e->numline),
	    .content = e->content};
	l->nfuncs++;
	return map_set(&l->funcs_at, frame, l->nfuncs);
}

/* Cuts the text into its lines, of which rec_check has seen that there are n. */
static void split(struct func *f, uint32_t n)
{
	char *s = f->text, *end;
	uint32_t i;

	for (i = 0; i < n; i++) {
		f->lines[i] = s;
		end = s + strcspn(s, "\n");
		s = *end ? end + 1 : end;
		*end = '\0';
	}
}

static int add_code(struct lines *l, const struct ev_code *e)
{
	size_t at = sizeof(*e) + e->n * sizeof(e->line[0]);
	const char *text = defs_string(&e->h, at, 0);
	uint32_t idx = func_of(l, e->id);
	struct func *f = idx ? &l->funcs[idx - 1] : NULL;
	struct lines_func *pub = idx ? &l->pub[idx - 1] : NULL;
	size_t bytes = strlen(text) + e->n * (sizeof(*f->line) + sizeof(*f->lines));

	if (!f || f->text || !e->n)
		return 0;
	if (bytes > CODE_BYTES_MAX - l->code_bytes) {
		l->stats.dropped++;
		return 0;
	}
	f->lines = calloc(e->n, sizeof(*f->lines));
	f->line = malloc(e->n * sizeof(*f->line));
	f->text = f->lines && f->line ? strdup(text) : NULL;
	if (!f->text) {
		free(f->lines);
		free(f->line);
		f->lines = NULL;
		f->line = NULL;
		return -ENOMEM;
	}
	l->code_bytes += bytes;
	memcpy(f->line, e->line, e->n * sizeof(*f->line));
	split(f, e->n);
	pub->ncode = e->n;
	pub->code_flags = e->flags;
	pub->code = f->lines;
	pub->code_line = f->line;
	return 0;
}

/* ---- samples ---- */

static int entry_of(struct lines *l, uint32_t func, const struct ev_frame *f, struct entry **out)
{
	uint64_t key = (uint64_t)func << 32 | EV_FRAME_PC(f->addr);
	uint32_t at = map_get(&l->entries_at, key);
	struct entry *entries;

	if (!at) {
		entries = table_room(l->entries, &l->entries_cap, (size_t)l->nentries + 1,
				     sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		l->entries = entries;
		at = l->nentries + 1;
		if (map_set(&l->entries_at, key, at))
			return -ENOMEM;
		l->nentries = at;
		entries[at - 1] =
		    (struct entry){.pub = {.pos = EV_FRAME_PC(f->addr), .line = f->line},
				   .next = l->funcs[func].last};
		l->funcs[func].last = at;
	}
	*out = &l->entries[at - 1];
	return 0;
}

/* The function is on the stack at that position. */
static int count_total(struct lines *l, uint32_t func, const struct ev_frame *f)
{
	struct entry *e;
	int err = entry_of(l, func, f, &e);

	if (err)
		return err;
	if (l->funcs[func].seen != l->serial) {
		l->funcs[func].seen = l->serial;
		l->pub[func].total++;
	}
	if (e->seen != l->serial) {
		e->seen = l->serial;
		e->pub.total++;
	}
	return 0;
}

/* The samples of an entry by process, if anybody wants to know. */
static int count_part(struct lines *l, uint32_t entry, uint32_t pid, unsigned int state)
{
	uint64_t key = (uint64_t)entry << 32 | pid;
	uint32_t at = l->ticks.window ? map_get(&l->parts_at, key) : 0;
	struct part *parts;

	if (!l->ticks.window)
		return 0;
	if (!at && l->nparts == PARTS_MAX) {
		l->stats.merged++;
		return 0;
	}
	if (!at) {
		parts = table_room(l->parts, &l->parts_cap, (size_t)l->nparts + 1, sizeof(*parts));
		if (!parts)
			return -ENOMEM;
		l->parts = parts;
		at = l->nparts + 1;
		if (map_set(&l->parts_at, key, at))
			return -ENOMEM;
		l->nparts = at;
		parts[at - 1] = (struct part){.by_state = {0}};
	}
	l->parts[at - 1].by_state[state]++;
	return 0;
}

static int count_self(struct lines *l, uint32_t func, const struct ev_frame *f,
		      const struct ev_sample *s, unsigned int state)
{
	const struct tick tick = {.time = s->h.time,
				  .a = func,
				  .b = EV_FRAME_PC(f->addr),
				  .pid = s->h.pid,
				  .state = state};
	struct entry *e;
	int err = entry_of(l, func, f, &e);

	if (err)
		return err;
	l->pub[func].self++;
	l->pub[func].by_state[state]++;
	e->pub.self++;
	e->pub.by_state[state]++;
	l->choice++; /* ticks are about to move */
	err = count_part(l, (uint32_t)(e - l->entries), s->h.pid, state);
	return err ? err : ticks_add(&l->ticks, &tick);
}

static int add_sample(struct lines *l, const struct ev_sample *s)
{
	unsigned int state = s->state < EV_STATE_MAX ? s->state : EV_STATE_UNKNOWN;
	size_t room = (s->h.size - sizeof(*s)) / sizeof(s->f[0]);
	uint32_t i, func, traced = 0;
	int err = 0, self = 0, known;
	struct inside whole;

	if (l->p->opts.pid && l->p->opts.pid != s->h.pid)
		return 0;
	inside_expand(l->p, s, s->nframes < room ? s->nframes : (uint32_t)room, &whole);
	known = whole.what == PROF_INSIDE_HEAD || whole.what == PROF_INSIDE_LOOP;
	l->serial++;
	for (i = known; i < whole.nframes && !err; i++) {
		const struct ev_frame *f = &whole.s->f[i];
		int trace = !i && f->kind == EV_FRAME_TRACE;

		if (f->kind != EV_FRAME_LUA && !trace)
			continue;
		func = func_of(l, EV_FRAME_PROTO(f->addr));
		if (!func) {
			self = 1; /* of a function that nobody knows: not its caller's */
			continue;
		}
		/* Below a trace comes the function that it runs in, at no known position. */
		if (traced == func && EV_FRAME_PC(f->addr) == EV_NO_PC)
			continue;
		traced = trace ? func : 0;
		if (!self)
			err = count_self(l, func - 1, f, s, state);
		self = self ? self : 2;
		if (!err)
			err = count_total(l, func - 1, f);
	}
	l->stats.no_lua += self != 2;
	return err;
}

int lines_add(struct lines *l, const struct ev_hdr *h)
{
	switch (h->kind) {
	case EV_FUNC:
		return add_func(l, (const struct ev_func *)h);
	case EV_CODE:
		return add_code(l, (const struct ev_code *)h);
	case EV_SAMPLE:
		return add_sample(l, (const struct ev_sample *)h);
	default:
		return 0;
	}
}

/* ---- rows ---- */

static int by_position(const void *a, const void *b)
{
	const struct lines_pos *x = a, *y = b;

	return (x->pos > y->pos) - (x->pos < y->pos);
}

int lines_choose(struct lines *l, const struct lines_query *q)
{
	uint32_t *next, i;

	l->recent = q->recent;
	l->pid = q->pid;
	l->choice++;
	if (!q->recent)
		return 0;
	ticks_drop(&l->ticks, q->now);
	next = realloc(l->next, (l->ticks.n + (size_t)1) * sizeof(*next));
	if (!next)
		return -ENOMEM;
	l->next = next;
	for (i = 0; i < l->ticks.n; i++) {
		const struct tick *t = ticks_at(&l->ticks, i);
		struct func *f = &l->funcs[t->a];

		if (t->time > q->now || (q->pid && t->pid != q->pid))
			continue;
		next[i] = f->chosen == l->choice ? f->tick : 0;
		f->chosen = l->choice;
		f->tick = i + 1;
	}
	return 0;
}

static void count_process(const struct lines *l, const struct func *own, struct lines_pos *pos,
			  size_t n)
{
	uint32_t i, at;
	size_t s;

	for (i = own->last; i; i = l->entries[i - 1].next) {
		struct lines_pos *to =
		    bsearch(&l->entries[i - 1].pub, pos, n, sizeof(*pos), by_position);

		at = map_get(&l->parts_at, (uint64_t)(i - 1) << 32 | l->pid);
		for (s = 0; at && s < EV_STATE_MAX; s++) {
			to->by_state[s] = l->parts[at - 1].by_state[s];
			to->self += to->by_state[s];
		}
	}
}

/* In place of all samples those that were chosen. */
static void count_chosen(const struct lines *l, const struct func *own, struct lines_pos *pos,
			 size_t n)
{
	uint32_t i;
	size_t k;

	for (k = 0; k < n; k++) {
		pos[k].self = pos[k].total = 0;
		memset(pos[k].by_state, 0, sizeof(pos[k].by_state));
	}
	if (!l->recent) {
		count_process(l, own, pos, n);
		return;
	}
	for (i = own->chosen == l->choice ? own->tick : 0; i; i = l->next[i - 1]) {
		const struct tick *t = ticks_at(&l->ticks, i - 1);
		const struct lines_pos key = {.pos = t->b};
		struct lines_pos *at = bsearch(&key, pos, n, sizeof(*pos), by_position);

		at->self++;
		at->by_state[t->state]++;
	}
}

int lines_positions(struct lines *l, const struct lines_func *func)
{
	struct lines_func *f = &l->pub[func - l->pub];
	struct func *own = &l->funcs[func - l->pub];
	struct lines_pos *pos;
	uint32_t i, n = 0;

	for (i = own->last; i; i = l->entries[i - 1].next)
		n++;
	pos = realloc(own->pos, (n + (size_t)1) * sizeof(*pos));
	if (!pos)
		return -ENOMEM;
	f->pos = own->pos = pos;
	f->npos = n;
	for (i = own->last; i; i = l->entries[i - 1].next)
		pos[--n] = l->entries[i - 1].pub;
	qsort(pos, f->npos, sizeof(*pos), by_position);
	if (l->recent || l->pid)
		count_chosen(l, own, pos, f->npos);
	return 0;
}

const struct lines_func *lines_funcs(const struct lines *l, size_t *n)
{
	static const struct lines_func none;

	*n = l->nfuncs;
	return l->nfuncs ? l->pub : &none;
}

const struct lines_stats *lines_stats(const struct lines *l)
{
	return &l->stats;
}
