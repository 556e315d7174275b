// SPDX-License-Identifier: MIT
#include "tui/embed.h"

#include "profiler/label.h"
#include "profiler/table.h"
#include "tui/ljx.h"
#include "tui/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIDS_MAX 16u	      /* processes whose file of one name is compared */
#define BYTES_MAX (32u << 20) /* of all sources together */
#define SAID_MAX 10u	      /* files that are named one by one */

/* A chunk, and who has it. */
struct chunk {
	char *file; /* as frames show it */
	uint32_t flags;
	uint32_t pid[PIDS_MAX], npids;
	int shown; /* a frame of the profile is in it */
};

struct embed {
	int live, done;
	struct pool names; /* chunknames with flags; number - 1 is an index of chunks */
	struct chunk *chunks;
	uint32_t nchunks, cap;
	struct write_source *sources;
	size_t nsources, bytes;
	struct write_hit *hits;
	size_t nhits;
};

struct embed *embed_new(int live)
{
	struct embed *e = calloc(1, sizeof(*e));

	if (e)
		e->live = live;
	return e;
}

static void release_source(struct write_source *s)
{
	free((void *)(uintptr_t)s->text);
	free((void *)(uintptr_t)s->status);
}

static void release_sources(struct embed *e)
{
	for (size_t i = 0; i < e->nsources; i++)
		release_source(&e->sources[i]);
	free(e->sources);
	free(e->hits);
	e->sources = NULL;
	e->hits = NULL;
	e->nsources = e->nhits = e->bytes = 0;
}

void embed_free(struct embed *e)
{
	if (!e)
		return;
	release_sources(e);
	for (uint32_t i = 0; i < e->nchunks; i++)
		free(e->chunks[i].file);
	free(e->chunks);
	pool_release(&e->names);
	free(e);
}

int embed_add(struct embed *e, const struct ev_hdr *h)
{
	const struct ev_func *ev = (const struct ev_func *)(const void *)h;
	const char *name = (const char *)(ev + 1);
	char file[LABEL_MAX + 1];
	struct chunk *c;
	uint32_t id, i;

	if (h->kind != EV_FUNC)
		return 0;
	id = pool_str(&e->names, name);
	c = id ? table_room(e->chunks, &e->cap, id, sizeof(*c)) : NULL;
	if (!c)
		return -ENOMEM;
	e->chunks = c;
	c += id - 1;
	if (id > e->nchunks) {
		label_chunk(file, name, ev->flags);
		*c = (struct chunk){.file = strdup(file), .flags = ev->flags};
		if (!c->file)
			return -ENOMEM;
		e->nchunks++;
	}
	for (i = 0; i < c->npids && c->pid[i] != h->pid; i++)
		;
	if (i == c->npids && i < PIDS_MAX)
		c->pid[c->npids++] = h->pid;
	return 0;
}

/* ---- reading ---- */

static char *joined(const struct source *src, size_t *bytes)
{
	size_t len = 1, at = 0;
	char *text;

	for (size_t i = 0; i < src->n; i++)
		len += strlen(src->line[i]) + 1;
	text = malloc(len);
	for (size_t i = 0; text && i < src->n; i++)
		at += (size_t)sprintf(text + at, "%s\n", src->line[i]);
	if (text)
		text[at] = '\0';
	*bytes = len;
	return text;
}

/* Does another process read something else? */
static int differs(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) != 0 : a != b;
}

/* What all its processes read under the name, or why not. 0 or -ENOMEM. */
static int read_chunk(const struct embed *e, uint32_t i, uint64_t recorded, char **text,
		      char **status, size_t *bytes)
{
	const struct chunk *c = &e->chunks[i];
	const char *name = pool_get(&e->names, i + 1);
	int several = 0, err = 0;

	for (uint32_t k = 0; k < (e->live ? c->npids : 1) && !several && !err; k++) {
		struct source src;
		char *one;

		source_read(&src, e->live ? (int)c->pid[k] : 0, recorded, name, c->flags);
		one = src.n ? joined(&src, bytes) : NULL;
		err = src.n && !one ? -ENOMEM : 0;
		if (!k) {
			*text = one;
			*status = strdup(src.status);
		} else {
			several = differs(*text, one);
			free(one);
		}
		source_release(&src);
	}
	if (several) {
		free(*text);
		free(*status);
		*text = NULL;
		*status = strdup("no source: processes have different files of this name");
	}
	return *status ? err : -ENOMEM;
}

static int add_source(struct embed *e, uint32_t i, uint64_t recorded)
{
	struct write_source *s = &e->sources[e->nsources];
	char *text = NULL, *status = NULL;
	size_t bytes = 0;
	int err = read_chunk(e, i, recorded, &text, &status, &bytes);

	if (!err && text && e->bytes + bytes > BYTES_MAX) {
		free(text);
		free(status);
		text = NULL;
		status = strdup("no source: there is too much of it altogether");
		err = status ? 0 : -ENOMEM;
	}
	if (err) {
		free(text);
		free(status);
		return err;
	}
	e->bytes += text ? bytes : 0;
	*s = (struct write_source){.file = e->chunks[i].file, .text = text, .status = status};
	e->nsources++;
	return 0;
}

/* Marks the chunks of the functions that have samples. 0 or -ENOMEM. */
static int mark_shown(struct embed *e, const struct prof *p)
{
	struct pool files = {.n = 0};
	int err = 0;

	for (uint32_t i = 0; i < prof_stacks(p) && !err; i++) {
		const struct prof_node *n = prof_stack(p, i);
		const struct prof_frame *f = prof_frame(p, n->frame);

		if (n->total && f->kind == PROF_LUA && !pool_str(&files, f->file))
			err = -ENOMEM;
	}
	for (uint32_t i = 0; i < e->nchunks && !err; i++)
		e->chunks[i].shown =
		    pool_find(&files, e->chunks[i].file, strlen(e->chunks[i].file)) != 0;
	pool_release(&files);
	return err;
}

static int by_file(const void *a, const void *b)
{
	const struct write_source *x = a, *y = b;

	return strcmp(x->file, y->file);
}

/* A file that a string chunk is called like: whose lines they are cannot be told. */
static int merge(struct embed *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->nsources; i++) {
		struct write_source *s = &e->sources[i], *last = n ? &e->sources[n - 1] : NULL;

		if (!last || strcmp(last->file, s->file) != 0) {
			e->sources[n++] = *s;
			continue;
		}
		release_source(s);
		release_source(last);
		last->text = NULL;
		last->status = strdup("no source: several chunks have this name");
		if (!last->status) {
			e->nsources = n - 1;
			return -ENOMEM;
		}
	}
	e->nsources = n;
	return 0;
}

/* Both are in order of files. */
static void share_hits(struct embed *e)
{
	size_t at = 0;

	for (size_t i = 0; i < e->nsources; i++) {
		struct write_source *s = &e->sources[i];

		while (at < e->nhits && strcmp(e->hits[at].file, s->file) < 0)
			at++;
		s->hits = e->hits + at;
		for (; at < e->nhits && !strcmp(e->hits[at].file, s->file); at++)
			s->nhits++;
	}
}

/* Chunks of strings never have a file: that is told where the text would be. */
static void say(const struct embed *e)
{
	unsigned int said = 0, more = 0;

	for (size_t i = 0; i < e->nsources; i++) {
		const struct write_source *s = &e->sources[i];

		if (s->text || *s->file == '[' || *s->file == '=')
			continue;
		if (said++ < SAID_MAX)
			fprintf(stderr, "ljx: '%s' is not embedded: %s\n", printable(s->file),
				s->status);
		else
			more++;
	}
	if (more)
		fprintf(stderr, "ljx: nor are %u more files\n", more);
}

static int read_all(struct embed *e, const struct prof *p, const struct prof *lined, int quiet)
{
	const struct prof_stats *st = prof_stats(p);
	uint64_t recorded =
	    st->start_realtime ? st->start_realtime + st->first_time - st->start_time : 0;
	int err = mark_shown(e, p);

	e->sources = calloc(e->nchunks + 1, sizeof(*e->sources));
	e->hits = e->sources ? prof_hits(lined, &e->nhits) : NULL;
	if (!e->hits)
		err = -ENOMEM;
	for (uint32_t i = 0; i < e->nchunks && !err; i++)
		if (e->chunks[i].shown)
			err = add_source(e, i, recorded);
	if (!err) {
		qsort(e->sources, e->nsources, sizeof(*e->sources), by_file);
		err = merge(e);
	}
	if (!err)
		share_hits(e);
	if (err) {
		release_sources(e);
		return err;
	}
	if (!quiet)
		say(e);
	e->done = 1;
	return 0;
}

int embed_into(struct embed *e, const struct prof *p, const struct prof *lined, int quiet,
	       struct write_info *info)
{
	int err = e->done ? 0 : read_all(e, p, lined, quiet);

	if (err)
		return err;
	info->sources = e->sources;
	info->nsources = e->nsources;
	return 0;
}
