/* SPDX-License-Identifier: MIT */
/*
 * The processed profile of the Firefox Profiler, version 66: all stacks in tables that the threads
 * share, each table an object of columns. A table's rows are numbered by what they are made of:
 * functions as frames of the profile, stacks as nodes of its tree (less one, the root has none),
 * and then once more for what ends in a node in another state than most.
 */
#include "profiler/firefox.h"
#include "profiler/write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const enum category of_state[EV_STATE_MAX] = {
    [EV_STATE_TRACE] = CAT_N,	 [EV_STATE_INTERP] = CAT_I,   [EV_STATE_C] = CAT_C,
    [EV_STATE_GC] = CAT_G,	 [EV_STATE_EXIT] = CAT_EXIT,  [EV_STATE_RECORD] = CAT_RECORD,
    [EV_STATE_OPT] = CAT_RECORD, [EV_STATE_ASM] = CAT_RECORD,
};

/* A row of frameTable. */
struct place {
	uint32_t frame;
	int32_t line; /* 0: not known */
	enum category cat;
	uint32_t depth; /* of inlining */
};

/* A row of stackTable. */
struct stack {
	uint32_t place;
	uint32_t parent; /* row + 1; 0: none */
};

uint32_t firefox_string(struct firefox *ff, const char *s)
{
	uint32_t id = pool_str(&ff->strings, s);

	if (!id)
		ff->err = -ENOMEM;
	return id ? id - 1 : 0;
}

static void add_stack(struct firefox *ff, const struct place *place, uint32_t parent)
{
	struct stack *stacks =
	    table_room(ff->stacks, &ff->stacks_cap, (size_t)ff->nstacks + 1, sizeof(*stacks));
	uint32_t id = pool_add(&ff->ids, place, sizeof(*place));

	if (!stacks || !id) {
		ff->err = -ENOMEM;
		return;
	}
	ff->stacks = stacks;
	stacks[ff->nstacks++] = (struct stack){id - 1, parent};
}

/* What most samples of the node were in. */
static enum category main_category(const struct prof_node *n)
{
	uint64_t by[CAT_MAX] = {0};
	enum category best = CAT_OTHER;

	for (int s = 0; s < EV_STATE_MAX; s++)
		by[of_state[s]] += n->by_state[s];
	for (enum category c = CAT_OTHER; c < CAT_KERNEL; c++)
		if (by[c] > by[best])
			best = c;
	return best;
}

/* How many functions up to this one are inlined into each other. */
static uint32_t inline_depth(const struct prof *p, uint32_t node)
{
	uint32_t depth = 0;

	for (; node; node = prof_parent(p, node)) {
		const struct prof_node *n = prof_stack(p, node);

		if (n->inlined)
			depth++;
		else if (prof_frame(p, n->frame)->kind != PROF_LINE)
			break;
	}
	return depth;
}

/* The row of a node, or one that ends in it: a line frame stands for its function at that line. */
static void stack_of_node(struct firefox *ff, uint32_t node, enum category cat)
{
	uint32_t parent = prof_parent(ff->p, node), frame = prof_stack(ff->p, node)->frame;
	const struct prof_frame *f = prof_frame(ff->p, frame);
	struct place place = {frame, f->kind == PROF_TRACE ? f->line : 0, cat,
			      inline_depth(ff->p, node)};

	if (f->kind == PROF_LINE) {
		place.frame = prof_stack(ff->p, parent)->frame;
		place.line = f->line;
		parent = prof_parent(ff->p, parent);
	}
	if (f->kind == PROF_KERNEL)
		place.cat = CAT_KERNEL;
	add_stack(ff, &place, parent);
}

static uint64_t end_key(const struct firefox *ff, const struct prof_pile *pile)
{
	return (uint64_t)pile->stack << 8 | of_state[prof_labels(ff->p, pile->labels)->state];
}

static void make_stacks(struct firefox *ff)
{
	size_t n;
	const struct prof_pile *piles = prof_piles(ff->p, &n);

	for (uint32_t i = 1; i < prof_stacks(ff->p) && !ff->err; i++)
		stack_of_node(ff, i, main_category(prof_stack(ff->p, i)));
	for (size_t i = 0; i < n && !ff->err; i++) {
		uint64_t key = end_key(ff, &piles[i]);
		enum category cat = (enum category)(key & 0xff);

		if (!piles[i].stack || map_get(&ff->ends, key) ||
		    cat == main_category(prof_stack(ff->p, piles[i].stack)))
			continue;
		stack_of_node(ff, piles[i].stack, cat);
		if (!ff->err && map_set(&ff->ends, key, ff->nstacks))
			ff->err = -ENOMEM;
	}
}

/* Of a pile, or -1: nothing but the root. */
static int64_t stack_row(const struct firefox *ff, const struct prof_pile *pile)
{
	uint32_t row = map_get(&ff->ends, end_key(ff, pile));

	return row ? (int64_t)row - 1 : (int64_t)pile->stack - 1;
}

/* ---- columns ---- */

void firefox_same(struct jsonw *w, const char *key, const char *value, size_t n)
{
	jw_begin(w, key, '[');
	for (size_t i = 0; i < n; i++)
		jw_raw(w, NULL, value, strlen(value));
	jw_end(w, ']');
}

void firefox_length(struct jsonw *w, size_t n)
{
	jw_uint(w, "length", n);
	jw_end(w, '}');
	jw_newline(w);
}

/* A table without rows. */
static void put_empty(struct jsonw *w, const char *key, const char *const *columns)
{
	jw_begin(w, key, '{');
	for (; *columns; columns++)
		firefox_same(w, *columns, "", 0);
	firefox_length(w, 0);
}

static void put_line(struct jsonw *w, int32_t line)
{
	if (line > 0)
		jw_int(w, NULL, line);
	else
		jw_null(w, NULL);
}

static void put_stacks(struct firefox *ff)
{
	struct jsonw *w = &ff->w;

	jw_begin(w, "stackTable", '{');
	jw_begin(w, "frame", '[');
	for (uint32_t i = 0; i < ff->nstacks; i++)
		jw_uint(w, NULL, ff->stacks[i].place);
	jw_end(w, ']');
	/* How many rows before this one the caller's is. */
	jw_begin(w, "prefixOffset", '[');
	for (uint32_t i = 0; i < ff->nstacks; i++)
		jw_uint(w, NULL, ff->stacks[i].parent ? i + 1 - ff->stacks[i].parent : 0);
	jw_end(w, ']');
	firefox_length(w, ff->nstacks);
}

static const struct place *place_of(const struct firefox *ff, uint32_t row)
{
	return (const struct place *)pool_get(&ff->ids, row + 1);
}

static void put_frames(struct firefox *ff)
{
	struct jsonw *w = &ff->w;
	uint32_t n = ff->ids.n ? ff->ids.n - 1 : 0;

	jw_begin(w, "frameTable", '{');
	firefox_same(w, "address", "-1", n);
	jw_begin(w, "inlineDepth", '[');
	for (uint32_t i = 0; i < n; i++)
		jw_uint(w, NULL, place_of(ff, i)->depth);
	jw_end(w, ']');
	jw_begin(w, "category", '[');
	for (uint32_t i = 0; i < n; i++)
		jw_uint(w, NULL, place_of(ff, i)->cat);
	jw_end(w, ']');
	firefox_same(w, "subcategory", "0", n);
	jw_begin(w, "func", '[');
	for (uint32_t i = 0; i < n; i++)
		jw_uint(w, NULL, place_of(ff, i)->frame);
	jw_end(w, ']');
	firefox_same(w, "nativeSymbol", "null", n);
	firefox_same(w, "innerWindowID", "0", n);
	jw_begin(w, "line", '[');
	for (uint32_t i = 0; i < n; i++)
		put_line(w, place_of(ff, i)->line);
	jw_end(w, ']');
	firefox_same(w, "column", "null", n);
	firefox_same(w, "originalLocation", "null", n);
	firefox_length(w, n);
}

/* The row of sources, -1: none. */
static int64_t source(struct firefox *ff, const char *file)
{
	uint32_t name = firefox_string(ff, file), row = map_get(&ff->sources, name), *files;

	if (!*file)
		return -1;
	if (row)
		return row - 1;
	files = table_room(ff->files, &ff->files_cap, (size_t)ff->nfiles + 1, sizeof(*files));
	if (!files || map_set(&ff->sources, name, ff->nfiles + 1)) {
		ff->err = -ENOMEM;
		return -1;
	}
	ff->files = files;
	files[ff->nfiles++] = name;
	return ff->nfiles - 1;
}

static void put_functions(struct firefox *ff)
{
	struct jsonw *w = &ff->w;
	uint32_t n = prof_frames(ff->p);

	jw_begin(w, "funcTable", '{');
	jw_begin(w, "name", '[');
	for (uint32_t i = 0; i < n; i++)
		jw_uint(w, NULL, firefox_string(ff, prof_frame(ff->p, i)->label));
	jw_end(w, ']');
	/* "JS" is what the page calls all that is not native. */
	jw_begin(w, "isJS", '[');
	for (uint32_t i = 0; i < n; i++)
		jw_bool(w, NULL, prof_frame(ff->p, i)->kind == PROF_LUA);
	jw_end(w, ']');
	firefox_same(w, "relevantForJS", "false", n);
	firefox_same(w, "resource", "-1", n);
	jw_begin(w, "source", '[');
	for (uint32_t i = 0; i < n; i++) {
		int64_t row = source(ff, prof_frame(ff->p, i)->file);

		if (row < 0)
			jw_null(w, NULL);
		else
			jw_int(w, NULL, row);
	}
	jw_end(w, ']');
	jw_begin(w, "lineNumber", '[');
	for (uint32_t i = 0; i < n; i++)
		put_line(w, prof_frame(ff->p, i)->line);
	jw_end(w, ']');
	firefox_same(w, "columnNumber", "null", n);
	firefox_same(w, "originalLocation", "null", n);
	firefox_length(w, n);
}

static void put_content(struct firefox *ff, const struct write_info *info)
{
	struct jsonw *w = &ff->w;

	jw_begin(w, "content", '[');
	for (uint32_t i = 0; i < ff->nfiles; i++) {
		const char *file = pool_get(&ff->strings, ff->files[i] + 1);
		const struct write_source *s = write_source_of(info, file);

		if (s && s->text)
			jw_string(w, NULL, s->text);
		else
			jw_null(w, NULL);
	}
	jw_end(w, ']');
}

static void put_sources(struct firefox *ff, const struct write_info *info)
{
	struct jsonw *w = &ff->w;

	jw_begin(w, "sources", '{');
	firefox_same(w, "id", "null", ff->nfiles);
	jw_begin(w, "filename", '[');
	for (uint32_t i = 0; i < ff->nfiles; i++)
		jw_uint(w, NULL, ff->files[i]);
	jw_end(w, ']');
	firefox_same(w, "startLine", "1", ff->nfiles);
	firefox_same(w, "startColumn", "1", ff->nfiles);
	firefox_same(w, "sourceMapURL", "null", ff->nfiles);
	put_content(ff, info);
	firefox_length(w, ff->nfiles);
}

/* ---- threads ---- */

static void put_samples(struct firefox *ff, size_t from, size_t to)
{
	struct jsonw *w = &ff->w;
	uint64_t start = prof_stats(ff->p)->start_time;
	size_t npiles;
	const struct prof_pile *piles = prof_piles(ff->p, &npiles);

	jw_begin(w, "samples", '{');
	jw_begin(w, "stack", '[');
	for (size_t i = from; i < to; i++) {
		int64_t row = stack_row(ff, &piles[timeline_tick(&ff->tl, i)->pile]);

		if (row < 0)
			jw_null(w, NULL);
		else
			jw_int(w, NULL, row);
	}
	jw_end(w, ']');
	jw_begin(w, "time", '[');
	for (size_t i = from; i < to; i++)
		jw_fixed(w, NULL, timeline_tick(&ff->tl, i)->time - start, 6);
	jw_end(w, ']');
	jw_begin(w, "weight", '[');
	for (size_t i = from; i < to; i++)
		jw_uint(w, NULL, timeline_tick(&ff->tl, i)->count);
	jw_end(w, ']');
	jw_string(w, "weightType", "samples");
	firefox_length(w, to - from);
}

static void put_thread(struct firefox *ff, size_t thread)
{
	const struct prof_thread *t = &ff->tl.threads[thread];
	struct jsonw *w = &ff->w;
	char name[256], pid[16];

	timeline_name(&ff->tl, thread, name, sizeof(name));
	snprintf(pid, sizeof(pid), "%u", t->pid);
	jw_begin(w, NULL, '{');
	jw_string(w, "processType", "default");
	jw_uint(w, "processStartupTime", 0);
	jw_null(w, "processShutdownTime");
	jw_uint(w, "registerTime", 0);
	jw_null(w, "unregisterTime");
	firefox_same(w, "pausedRanges", "", 0);
	jw_string(w, "name", name);
	jw_bool(w, "isMainThread", t->tid == t->pid);
	jw_string(w, "processName", *t->comm ? t->comm : "?");
	jw_string(w, "pid", pid);
	jw_uint(w, "tid", t->tid);
	jw_bool(w, "showMarkersInTimeline", 1);
	put_samples(ff, ff->tl.from[thread], ff->tl.from[thread + 1]);
	firefox_markers(ff, thread);
	jw_end(w, '}');
}

/* ---- the document ---- */

static void put_categories(struct jsonw *w)
{
	static const char *const names[][2] = {
#define CAT_NAME(id, name, colour) {name, colour},
	    CATEGORIES(CAT_NAME)
#undef CAT_NAME
	};

	jw_begin(w, "categories", '[');
	for (int i = 0; i < CAT_MAX; i++) {
		jw_begin(w, NULL, '{');
		jw_string(w, "name", names[i][0]);
		jw_string(w, "color", names[i][1]);
		jw_begin(w, "subcategories", '[');
		jw_string(w, NULL, "Other");
		jw_end(w, ']');
		jw_end(w, '}');
	}
	jw_end(w, ']');
}

static void put_meta(struct firefox *ff, const struct write_info *info)
{
	const struct prof_stats *st = prof_stats(ff->p);
	struct jsonw *w = &ff->w;

	jw_begin(w, "meta", '{');
	jw_fixed(w, "interval", ff->tl.period, 6);
	jw_fixed(w, "startTime", st->start_realtime / 1000, 3);
	firefox_range(ff);
	jw_uint(w, "processType", 0);
	jw_clean(w, "product", info->title ? info->title : "ljx");
	jw_uint(w, "stackwalk", 1);
	jw_uint(w, "version", 24);
	jw_uint(w, "preprocessedProfileVersion", 66);
	jw_bool(w, "symbolicated", 1);
	jw_string(w, "importedFrom", "ljx");
	if (info->command)
		jw_clean(w, "arguments", info->command);
	jw_bool(w, "sourceCodeIsNotOnSearchfox", 1);
	jw_bool(w, "keepProfileThreadOrder", 1);
	jw_begin(w, "sampleUnits", '{');
	jw_string(w, "time", "ms");
	jw_string(w, "eventDelay", "ms");
	jw_string(w, "threadCPUDelta", "ns");
	jw_end(w, '}');
	put_categories(w);
	firefox_schemas(w);
	jw_end(w, '}');
	jw_newline(w);
}

static void put_shared(struct firefox *ff, const struct write_info *info)
{
	static const char *const resources[] = {"name", "host", "type", "lib", NULL};
	static const char *const symbols[] = {"libIndex", "address", "name", "functionSize", NULL};
	static const char *const locations[] = {"source", "line", "column", NULL};
	struct jsonw *w = &ff->w;

	jw_begin(w, "shared", '{');
	put_stacks(ff);
	put_frames(ff);
	put_functions(ff);
	put_empty(w, "resourceTable", resources);
	put_empty(w, "nativeSymbols", symbols);
	put_sources(ff, info);
	put_empty(w, "sourceLocationTable", locations);
	/* All others have told by now what strings they need. */
	jw_begin(w, "stringArray", '[');
	for (uint32_t i = 1; i < ff->strings.n; i++)
		jw_string(w, NULL, pool_get(&ff->strings, i));
	jw_end(w, ']');
	jw_end(w, '}');
}

int write_firefox(FILE *f, const struct prof *p, const struct write_info *info)
{
	struct firefox ff = {.w = {.f = f}, .p = p};

	ff.err = timeline_init(&ff.tl, p);
	if (!ff.err)
		make_stacks(&ff);
	if (!ff.err)
		firefox_events(&ff);
	if (!ff.err) {
		jw_begin(&ff.w, NULL, '{');
		put_meta(&ff, info);
		firefox_same(&ff.w, "libs", "", 0);
		firefox_same(&ff.w, "pages", "", 0);
		jw_begin(&ff.w, "threads", '[');
		for (size_t i = 0; i < ff.tl.nthreads && !ff.err; i++)
			put_thread(&ff, i);
		jw_end(&ff.w, ']');
		put_shared(&ff, info);
		jw_end(&ff.w, '}');
		jw_newline(&ff.w);
	}
	timeline_release(&ff.tl);
	pool_release(&ff.strings);
	pool_release(&ff.ids);
	map_release(&ff.ends);
	map_release(&ff.sources);
	free(ff.stacks);
	free(ff.files);
	free(ff.first);
	free(ff.next);
	return write_end(f, ff.err);
}
