// SPDX-License-Identifier: MIT
/* What the user's LOCATION means, among the functions that the samples know. */
#include "tui/annotate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "file:line" or "file:a-b" taken apart; without lines: a whole file. */
struct place {
	char *file;
	uint32_t from, to; /* 0: no lines are given */
};

static int parse(const char *location, struct place *out)
{
	const char *colon = strrchr(location, ':');
	unsigned long from, to;
	char *end;

	*out = (struct place){.file = strdup(location)};
	if (!out->file)
		return -ENOMEM;
	if (!colon || colon[1] < '0' || colon[1] > '9')
		return 0;
	from = to = strtoul(colon + 1, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		to = strtoul(end + 1, &end, 10);
	if (*end || !from || to < from || to > INT32_MAX)
		return 0;
	out->file[colon - location] = '\0';
	out->from = (uint32_t)from;
	out->to = (uint32_t)to;
	return 0;
}

static int is_file(const struct annotate_input *in, const struct lines_func *f, const char *file)
{
	const struct jt_loc loc = {
	    .kind = JT_LOC_LUA, .file = prof_frame(in->prof, f->frame)->file, .name = ""};

	return jt_loc_match(&loc, file);
}

static int choose(struct annotate_choice *out, const struct lines_func *f, size_t function,
		  uint32_t from, uint32_t to)
{
	out->chunk = strdup(f->chunk);
	out->flags = f->flags;
	out->pid = (int)f->pid;
	out->function = function;
	out->from = from ? from : 1;
	out->to = to;
	return out->chunk ? 0 : -ENOMEM;
}

/* All the code of a function, and of those in it. */
static int choose_function(struct annotate_choice *out, const struct lines_func *all, size_t i)
{
	const struct lines_func *f = &all[i];

	return choose(out, f, i, f->firstline > 0 ? (uint32_t)f->firstline : 1,
		      f->lastline > 0 ? (uint32_t)f->lastline : INT32_MAX);
}

static int by_name(const struct annotate_input *in, const struct lines_func *all, size_t n,
		   const char *name, struct annotate_choice *out)
{
	size_t i, best = n;

	for (i = 0; i < n; i++) {
		if (strcmp(prof_frame(in->prof, all[i].frame)->name, name) != 0)
			continue;
		out->others += best < n;
		if (best == n || all[i].total > all[best].total)
			best = i;
	}
	return best < n ? choose_function(out, all, best) : -ENOENT;
}

/* The chunk that the file means: of several the one with most samples. NULL: none. */
static const struct lines_func *the_chunk(const struct annotate_input *in,
					  const struct lines_func *all, size_t n, const char *file,
					  size_t *others)
{
	const struct lines_func *best = NULL;
	uint64_t most = 0, self;
	size_t i, k;

	for (i = 0; i < n; i++) {
		if (!is_file(in, &all[i], file))
			continue;
		for (k = 0; k < i && strcmp(all[k].chunk, all[i].chunk) != 0; k++)
			;
		if (k < i)
			continue;
		for (self = 0; k < n; k++)
			self += strcmp(all[k].chunk, all[i].chunk) ? 0 : all[k].self;
		*others += best != NULL;
		if (!best || self > most) {
			best = &all[i];
			most = self;
		}
	}
	return best;
}

/* Is a a better answer to "which function has this line"? */
static int narrower(const struct lines_func *a, const struct lines_func *b)
{
	int32_t wa = a->lastline - a->firstline, wb = b->lastline - b->firstline;

	return wa != wb ? wa < wb : a->total > b->total;
}

/* The innermost function that has the line; n: none. */
static size_t the_function(const struct lines_func *all, size_t n, const char *chunk, uint32_t line)
{
	size_t i, best = n;

	for (i = 0; i < n; i++) {
		const struct lines_func *f = &all[i];

		if (f->firstline < 0 || f->lastline < f->firstline ||
		    f->firstline > (int32_t)line || f->lastline < (int32_t)line ||
		    strcmp(f->chunk, chunk) != 0)
			continue;
		if (best == n || narrower(f, &all[best]))
			best = i;
	}
	return best;
}

static int by_place(const struct annotate_input *in, const struct lines_func *all, size_t n,
		    const struct place *at, struct annotate_choice *out)
{
	const struct lines_func *f = the_chunk(in, all, n, at->file, &out->others);
	size_t i;

	if (!f)
		return -ENOENT;
	if (!at->from)
		return choose(out, f, SIZE_MAX, 1, INT32_MAX);
	if (at->from < at->to)
		return choose(out, f, SIZE_MAX, at->from, at->to);
	i = the_function(all, n, f->chunk, at->from);
	return i < n ? choose_function(out, all, i) : choose(out, f, SIZE_MAX, at->from, at->to);
}

int annotate_choose(const struct annotate_input *in, const char *location,
		    struct annotate_choice *out)
{
	const struct lines_func *all;
	struct place at;
	size_t n;
	int err;

	memset(out, 0, sizeof(*out));
	all = lines_funcs(in->lines, &n);
	if (!strncmp(location, "func:", 5))
		return by_name(in, all, n, location + 5, out);
	err = parse(location, &at);
	if (!err)
		err = by_place(in, all, n, &at, out);
	free(at.file);
	return err;
}

void annotate_choice_release(struct annotate_choice *c)
{
	free(c->chunk);
	c->chunk = NULL;
}
