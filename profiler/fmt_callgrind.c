/* SPDX-License-Identifier: MIT */
/*
 * callgrind's format: for callgrind_annotate and KCachegrind. A reader takes for a function's
 * inclusive cost what it costs itself plus what its calls cost. So that this is right under
 * recursion too, each sample counts once for each function on its stack: at the innermost place
 * where it stands, as its own or as that of the call made there.
 */
#include "profiler/label.h"
#include "profiler/table.h"
#include "profiler/write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define NO_CALLEE UINT32_MAX

/* What a line costs itself, or what a call from it does. */
struct cost {
	uint32_t frame, line;
	uint32_t callee; /* its frame, or NO_CALLEE */
	uint64_t samples;
};

struct callgrind {
	FILE *f;
	const struct prof *p;
	struct map calls; /* (frame, line) number, callee -> index of costs + 1 */
	struct map lines; /* frame, line -> number */
	uint32_t nlines;
	struct cost *costs;
	uint32_t n, cap;
	uint32_t *seen;	     /* by frame: stack of which it was last on */
	struct map files;    /* number in names -> 1: it was written */
	struct pool names;   /* of files */
	unsigned char *told; /* by frame: its name was written */
};

static int add_cost(struct callgrind *cg, uint32_t frame, uint32_t line, uint32_t callee,
		    uint64_t samples)
{
	uint64_t key = (uint64_t)frame << 32 | line;
	uint32_t number = map_get(&cg->lines, key), at;
	struct cost *costs;

	if (!number && map_set(&cg->lines, key, number = ++cg->nlines))
		return -ENOMEM;
	key = (uint64_t)number << 32 | callee;
	at = map_get(&cg->calls, key);
	if (at) {
		cg->costs[at - 1].samples += samples;
		return 0;
	}
	costs = table_room(cg->costs, &cg->cap, (size_t)cg->n + 1, sizeof(*costs));
	if (!costs)
		return -ENOMEM;
	cg->costs = costs;
	costs[cg->n++] = (struct cost){frame, line, callee, samples};
	return map_set(&cg->calls, key, cg->n);
}

/* The samples that end in a node. */
static int add_stack(struct callgrind *cg, uint32_t stack)
{
	uint64_t samples = prof_stack(cg->p, stack)->self;
	uint32_t callee = NO_CALLEE, line = 0;
	int err = 0;

	for (uint32_t i = stack; i && !err; i = prof_parent(cg->p, i)) {
		uint32_t frame = prof_stack(cg->p, i)->frame;
		const struct prof_frame *f = prof_frame(cg->p, frame);

		if (f->kind == PROF_LINE) {
			line = (uint32_t)f->line;
			continue;
		}
		if (f->kind == PROF_TRACE)
			line = (uint32_t)f->line;
		if (cg->seen[frame] != stack)
			err = add_cost(cg, frame, line, callee, samples);
		cg->seen[frame] = stack;
		callee = frame;
		line = 0;
	}
	return err;
}

/* By function, its own lines first, then its calls. */
static int by_place(const void *a, const void *b)
{
	const struct cost *x = a, *y = b;
	uint32_t i = x->callee + 1, j = y->callee + 1; /* NO_CALLEE: 0 */

	if (x->frame != y->frame)
		return x->frame < y->frame ? -1 : 1;
	if (i != j)
		return i < j ? -1 : 1;
	return (x->line > y->line) - (x->line < y->line);
}

/* A name is written once, then its number stands for it. Labels have no line breaks. */
static int put_file(struct callgrind *cg, const char *what, const char *file)
{
	uint32_t id = pool_str(&cg->names, *file ? file : "???");
	int known = id && map_get(&cg->files, id);

	if (!id || (!known && map_set(&cg->files, id, 1)))
		return -ENOMEM;
	if (known)
		fprintf(cg->f, "%s=(%" PRIu32 ")\n", what, id);
	else
		fprintf(cg->f, "%s=(%" PRIu32 ") %s\n", what, id, pool_get(&cg->names, id));
	return 0;
}

static int put_function(struct callgrind *cg, const char *file, const char *func, uint32_t frame)
{
	const struct prof_frame *f = prof_frame(cg->p, frame);
	int err = put_file(cg, file, f->file);

	if (cg->told[frame])
		fprintf(cg->f, "%s=(%" PRIu32 ")\n", func, frame + 1);
	else
		fprintf(cg->f, "%s=(%" PRIu32 ") %s\n", func, frame + 1, f->label);
	cg->told[frame] = 1;
	return err;
}

static int put_costs(struct callgrind *cg)
{
	int err = 0;

	if (cg->n)
		qsort(cg->costs, cg->n, sizeof(*cg->costs), by_place);
	for (uint32_t i = 0; i < cg->n && !err; i++) {
		const struct cost *c = &cg->costs[i];

		if (!i || c[-1].frame != c->frame) {
			putc('\n', cg->f);
			err = put_function(cg, "fl", "fn", c->frame);
		}
		if (c->callee != NO_CALLEE && !err) {
			err = put_function(cg, "cfi", "cfn", c->callee);
			/* How often is not known: as often as it was seen. */
			fprintf(cg->f, "calls=%" PRIu64 " %" PRId32 "\n", c->samples,
				prof_frame(cg->p, c->callee)->line);
		}
		fprintf(cg->f, "%" PRIu32 " %" PRIu64 "\n", c->line, c->samples);
	}
	return err;
}

static void put_head(FILE *f, const char *key, const char *text)
{
	char clean[4096];

	label_clean(clean, sizeof(clean), text, 0);
	fprintf(f, "%s: %s\n", key, clean);
}

int write_callgrind(FILE *f, const struct prof *p, const struct write_info *info)
{
	struct callgrind cg = {.f = f, .p = p};
	uint64_t samples = prof_stats(p)->samples;
	int err = 0;

	cg.seen = calloc(prof_frames(p), sizeof(*cg.seen));
	cg.told = calloc(prof_frames(p), 1);
	if (!cg.seen || !cg.told)
		err = -ENOMEM;
	for (uint32_t i = 1; i < prof_stacks(p) && !err; i++)
		if (prof_stack(p, i)->self)
			err = add_stack(&cg, i);
	fputs("# callgrind format\nversion: 1\ncreator: ljx\n", f);
	put_head(f, "cmd", info->title ? info->title : "ljx");
	fprintf(f, "positions: line\nevents: %s\nsummary: %" PRIu64 "\n", prof_unit_name(p, 1),
		samples);
	if (!err)
		err = put_costs(&cg);
	fprintf(f, "\ntotals: %" PRIu64 "\n", samples);
	map_release(&cg.calls);
	map_release(&cg.lines);
	map_release(&cg.files);
	pool_release(&cg.names);
	free(cg.costs);
	free(cg.seen);
	free(cg.told);
	return write_end(f, err);
}
