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

/* A function; of a split profile that of one group, as others are not to be taken for it. */
struct func {
	uint32_t frame, group;
	uint32_t seen; /* stack of which it was last on */
	int told;      /* its name was written */
};

/* What a line costs itself, or what a call from it does. */
struct cost {
	uint32_t func, line; /* index of funcs */
	uint32_t callee;     /* the same, or NO_CALLEE */
	uint64_t samples;
};

struct callgrind {
	FILE *f;
	const struct prof *p;
	struct map funcs_at; /* group, frame -> index of funcs + 1 */
	struct func *funcs;
	uint32_t nfuncs, funcs_cap;
	struct map calls; /* (function, line) number, callee -> index of costs + 1 */
	struct map lines; /* function, line -> number */
	uint32_t nlines;
	struct cost *costs;
	uint32_t n, cap;
	struct map files;  /* number in names -> 1: it was written */
	struct pool names; /* of files */
};

/* The function's index, NO_CALLEE if out of memory. */
static uint32_t func_of(struct callgrind *cg, uint32_t frame, uint32_t group)
{
	uint64_t key = (uint64_t)group << 32 | frame;
	uint32_t at = map_get(&cg->funcs_at, key);
	struct func *funcs;

	if (at)
		return at - 1;
	funcs = table_room(cg->funcs, &cg->funcs_cap, (size_t)cg->nfuncs + 1, sizeof(*funcs));
	if (!funcs)
		return NO_CALLEE;
	cg->funcs = funcs;
	if (map_set(&cg->funcs_at, key, cg->nfuncs + 1))
		return NO_CALLEE;
	funcs[cg->nfuncs] = (struct func){.frame = frame, .group = group};
	return cg->nfuncs++;
}

static int add_cost(struct callgrind *cg, uint32_t func, uint32_t line, uint32_t callee,
		    uint64_t samples)
{
	uint64_t key = (uint64_t)func << 32 | line;
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
	costs[cg->n++] = (struct cost){func, line, callee, samples};
	return map_set(&cg->calls, key, cg->n);
}

/* The samples that end in a node. */
static int add_stack(struct callgrind *cg, uint32_t stack)
{
	uint64_t samples = prof_stack(cg->p, stack)->self;
	uint32_t callee = NO_CALLEE, line = 0, group = prof_group(cg->p, stack), func;
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
		func = func_of(cg, frame, f->kind == PROF_PROCESS ? 0 : group);
		if (func == NO_CALLEE)
			return -ENOMEM;
		if (cg->funcs[func].seen != stack)
			err = add_cost(cg, func, line, callee, samples);
		cg->funcs[func].seen = stack;
		callee = func;
		line = 0;
	}
	return err;
}

/* By function, its own lines first, then its calls. */
static int by_place(const void *a, const void *b)
{
	const struct cost *x = a, *y = b;
	uint32_t i = x->callee + 1, j = y->callee + 1; /* NO_CALLEE: 0 */

	if (x->func != y->func)
		return x->func < y->func ? -1 : 1;
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

static int put_function(struct callgrind *cg, const char *file, const char *what, uint32_t number)
{
	struct func *func = &cg->funcs[number];
	const struct prof_frame *f = prof_frame(cg->p, func->frame);
	int err = put_file(cg, file, f->file);
	char group[PROF_SPLIT_TEXT];

	fprintf(cg->f, "%s=(%" PRIu32 ")", what, number + 1);
	if (!func->told)
		fprintf(cg->f, " %s", f->label);
	if (!func->told && func->group)
		fprintf(cg->f, " (%s)", prof_group_label(cg->p, func->group, group, sizeof(group)));
	putc('\n', cg->f);
	func->told = 1;
	return err;
}

static int put_costs(struct callgrind *cg)
{
	int err = 0;

	if (cg->n)
		qsort(cg->costs, cg->n, sizeof(*cg->costs), by_place);
	for (uint32_t i = 0; i < cg->n && !err; i++) {
		const struct cost *c = &cg->costs[i];

		if (!i || c[-1].func != c->func) {
			putc('\n', cg->f);
			err = put_function(cg, "fl", "fn", c->func);
		}
		if (c->callee != NO_CALLEE && !err) {
			err = put_function(cg, "cfi", "cfn", c->callee);
			/* How often is not known: as often as it was seen. */
			fprintf(cg->f, "calls=%" PRIu64 " %" PRId32 "\n", c->samples,
				prof_frame(cg->p, cg->funcs[c->callee].frame)->line);
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
	map_release(&cg.funcs_at);
	map_release(&cg.calls);
	map_release(&cg.lines);
	map_release(&cg.files);
	pool_release(&cg.names);
	free(cg.costs);
	free(cg.funcs);
	return write_end(f, err);
}
