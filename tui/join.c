// SPDX-License-Identifier: MIT
#include "tui/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int join_is_nyi(const struct jt_site *s)
{
	return s->kind == JT_SITE_ABORT && (s->err == ERR_NYIBC || s->err == ERR_NYIFF ||
					    s->err == ERR_NYIFFU || s->err == ERR_NYICALL);
}

int join_is_harmless(const struct jt_site *s)
{
	return s->kind == JT_SITE_RETURN && !*s->subject;
}

double join_cost(const struct jt_site *s, int recent)
{
	return recent ? s->cost_recent : s->cost;
}

static uint64_t hash_of(const char *file, int32_t line)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (uint32_t)line;

	for (; *file; file++)
		h = (h ^ (unsigned char)*file) * UINT64_C(0x100000001b3);
	return h ^ h >> 32;
}

static uint32_t slot_of(const struct join *j, uint64_t hash, const char *file, int32_t line)
{
	uint32_t i = (uint32_t)hash & j->mask;

	for (; j->slot[i]; i = (i + 1) & j->mask) {
		const struct join_func *f = &j->func[j->slot[i] - 1];

		if (f->hash == hash && f->firstline == line && !strcmp(f->file, file))
			break;
	}
	return i;
}

static struct join_func *enter(struct join *j, const struct jt_loc *loc)
{
	uint64_t hash;
	uint32_t i;

	if (loc->kind != JT_LOC_LUA)
		return NULL;
	hash = hash_of(loc->file, loc->firstline);
	i = slot_of(j, hash, loc->file, loc->firstline);
	if (!j->slot[i]) {
		j->func[j->n] = (struct join_func){.hash = hash,
						   .file = loc->file,
						   .firstline = loc->firstline,
						   .lastline = loc->lastline,
						   .name = loc->name,
						   .cost = -1};
		j->slot[i] = ++j->n;
	}
	return &j->func[j->slot[i] - 1];
}

/* A loop or function that is never recorded again; what goes on from a trace is neither. */
static int is_black(const struct jt_site *s)
{
	return s->state == JT_STATE_BLACKLISTED && s->trace_kind == EV_TRACE_ROOT;
}

static int is_given_up(const struct jt_site *s)
{
	return s->state == JT_STATE_BLACKLISTED || s->state == JT_STATE_INTERP;
}

static unsigned int flags_of(const struct jt_site *s, int starts)
{
	unsigned int flags = 0;

	if (starts && is_black(s))
		flags |= JOIN_BLACK;
	else if (starts && is_given_up(s))
		flags |= JOIN_EXIT;
	if (join_is_nyi(s))
		flags |= JOIN_NYI;
	if (s->kind == JT_SITE_STITCH)
		flags |= JOIN_STITCH;
	if (s->kind == JT_SITE_ABORT && s->err == ERR_LLEAVE && s->state != JT_STATE_COMPILED)
		flags |= JOIN_LEAVE;
	if (s->kind == JT_SITE_ABORT && s->err == ERR_CJITOFF)
		flags |= JOIN_OFF;
	return flags;
}

/* Does a weigh more than b? */
static int weighs_more(const struct jt_site *a, const struct jt_site *b, int recent)
{
	double x = join_cost(a, recent), y = join_cost(b, recent);

	if (x > y || x < y)
		return x > y;
	return a->count > b->count;
}

static void tell(struct join_func *f, const struct jt_site *s, int starts, int recent)
{
	f->flags |= flags_of(s, starts);
	if (s->kind != JT_SITE_ABORT)
		return;
	f->recent += s->recent;
	f->count += s->count;
	if (join_cost(s, recent) > f->cost)
		f->cost = join_cost(s, recent);
	if (!f->top || weighs_more(s, f->top, recent))
		f->top = s;
}

static int by_start(const void *a, const void *b)
{
	const struct jt_site *s = *(const struct jt_site *const *)a,
			     *t = *(const struct jt_site *const *)b;
	const struct jt_loc *x = &s->start, *y = &t->start;
	int order = strcmp(x->file, y->file);

	if (!order)
		order = (x->firstline > y->firstline) - (x->firstline < y->firstline);
	if (!order)
		order = (x->content > y->content) - (x->content < y->content);
	if (!order)
		order = (x->pos > y->pos) - (x->pos < y->pos);
	return order ? order : is_black(s) - is_black(t);
}

/* A start that failed for several reasons is one. */
static int count_given_up(struct join *j, const struct model_picture *pic)
{
	const struct jt_site **site = calloc(pic->nsites + 1, sizeof(const struct jt_site *));
	size_t n = 0, i;

	if (!site)
		return -ENOMEM;
	for (i = 0; i < pic->nsites; i++)
		if (is_given_up(&pic->sites[i]))
			site[n++] = &pic->sites[i];
	qsort(site, n, sizeof(const struct jt_site *), by_start);
	for (i = 0; i < n; i++) {
		if (i && !by_start(&site[i - 1], &site[i]))
			continue;
		if (!is_black(site[i]))
			j->exits++;
		else if (site[i]->start.pos)
			j->black_loops++;
		else
			j->black_funcs++;
	}
	free(site);
	return 0;
}

struct join *join_new(const struct model_picture *pic)
{
	struct join *j = calloc(1, sizeof(*j));
	uint32_t size = 16;
	size_t i;

	while (size < pic->nsites * 4 + 16)
		size *= 2;
	if (j) {
		j->mask = size - 1;
		j->recent = pic->query.recent;
		j->slot = calloc(size, sizeof(*j->slot));
		j->func = calloc(pic->nsites * 2 + 1, sizeof(*j->func));
	}
	if (!j || !j->slot || !j->func) {
		join_free(j);
		return NULL;
	}
	for (i = 0; i < pic->nsites; i++) {
		const struct jt_site *s = &pic->sites[i];
		struct join_func *start = enter(j, &s->start), *at = enter(j, &s->at);

		if (start)
			tell(start, s, 1, j->recent);
		if (at && at != start)
			tell(at, s, 0, j->recent);
	}
	if (count_given_up(j, pic)) {
		join_free(j);
		return NULL;
	}
	return j;
}

void join_free(struct join *j)
{
	if (!j)
		return;
	free(j->slot);
	free(j->func);
	free(j);
}

const struct join_func *join_find(const struct join *j, const char *file, int32_t firstline)
{
	uint32_t i = slot_of(j, hash_of(file, firstline), file, firstline);

	return j->slot[i] ? &j->func[j->slot[i] - 1] : NULL;
}

const struct jt_trace *join_trace(const struct model_picture *pic, uint32_t pid, uint32_t vm,
				  uint32_t trace)
{
	size_t i;

	for (i = 0; trace && i < pic->ntraces; i++) {
		const struct jt_trace *t = &pic->traces[i];

		if (t->trace == trace && (!pid || (t->pid == pid && (!vm || t->vm == vm))))
			return t;
	}
	return NULL;
}

/* The frame has the number, and the start as -jv prints it: the file without its folders. */
const struct jt_trace *join_frame(const struct model_picture *pic, const struct prof_frame *f,
				  uint32_t pid)
{
	uint32_t number = (uint32_t)strtoul(f->label + strcspn(f->label, "#") + 1, NULL, 10);
	size_t i;

	for (i = 0; number && i < pic->ntraces; i++) {
		const struct jt_trace *t = &pic->traces[i];
		const char *slash = strrchr(t->start.file, '/');

		if (t->trace != number || (pid && t->pid != pid) ||
		    t->start.line != (uint32_t)f->line)
			continue;
		if (*t->start.file == '[' || !strcmp(slash ? slash + 1 : t->start.file, f->file))
			return t;
	}
	return NULL;
}
