/* SPDX-License-Identifier: MIT */
/*
 * The second line of the legend: what the colours mean. There is one for each thing that a picture
 * can be coloured by, of which one is seen; svg.js shows another when it colours anew.
 */
#include "profiler/svg.h"
#include "profiler/table.h"
#include "profiler/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 10u	/* in the legend */
#define NAME_CELLS 24u	/* of a file's name */
#define REST_CELLS 46u	/* room for what comes after the files */
#define ENTRY_CELLS 10u /* of an entry, besides the name: square, share, gap */

/* A file by its name without folders, with what is spent in it. */
struct file {
	const char *name;
	const struct prof_frame *f; /* one of its frames */
	uint64_t n;
};

struct files {
	struct file *list; /* the first n are sorted, the largest first */
	uint32_t n;
};

static int larger(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* A sample is spent in the innermost of its frames that has a file. */
static int spend(const struct prof *p, const uint32_t *file_of, struct file *list)
{
	struct walk w = {.root = prof_root(p)};
	struct walk_step *step;

	while ((step = walk_next(&w))) {
		if (w.leaving)
			continue;
		step->aux[0] = file_of[step->node->frame];
		if (!step->aux[0] && w.depth > 1)
			step->aux[0] = step[-1].aux[0];
		list[step->aux[0]].n += step->node->self;
	}
	walk_release(&w);
	return w.err;
}

/* To be freed: out->list. 0 or -ENOMEM. */
static int find_files(const struct prof *p, struct files *out)
{
	uint32_t n = prof_frames(p), *file_of = calloc(n + (size_t)1, sizeof(*file_of));
	struct file *list = calloc(n + (size_t)1, sizeof(*list)); /* [0]: none */
	struct pool names = {.n = 0};
	int err = file_of && list ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < n && !err; i++) {
		const struct prof_frame *f = prof_frame(p, i);

		if (!*f->file)
			continue;
		file_of[i] = pool_str(&names, svg_file(f));
		if (!file_of[i])
			err = -ENOMEM;
		else if (!list[file_of[i]].name)
			list[file_of[i]] = (struct file){.name = svg_file(f), .f = f};
	}
	if (!err)
		err = spend(p, file_of, list);
	free(file_of);
	if (err) {
		free(list);
	} else {
		out->n = names.n ? names.n - 1 : 0; /* numbers begin with 1 */
		memmove(list, list + 1, out->n * sizeof(*list));
		qsort(list, out->n, sizeof(*list), larger);
		out->list = list;
	}
	pool_release(&names);
	return err;
}

static uint32_t put_share(FILE *f, uint32_t x, const char *class, const char *tip, const char *name,
			  uint64_t n, uint64_t total)
{
	char share[32], text[256];

	svg_percent(share, n, total);
	snprintf(text, sizeof(text), "%.200s %s", name, share);
	return svg_entry(f, x, class, tip, text);
}

/* The largest files, as many as there is room for, and how much the others are. */
static int put_files(const struct picture *pic, uint32_t room)
{
	static const char tip[] = "samples whose innermost frame that has a file is of this one";
	uint64_t total = prof_root(pic->whole)->total, others = 0;
	struct files files = {.n = 0};
	uint32_t x = 0, i, hue;
	int err = find_files(pic->whole, &files);

	for (i = 0; i < files.n && i < FILES_MAX; i++) {
		char name[256], class[8];

		svg_clip(name, sizeof(name), files.list[i].name, NAME_CELLS);
		if (x + (svg_width(name) + REST_CELLS + ENTRY_CELLS) * SVG_FONT_CELL > room)
			break;
		hue = (uint32_t)svg_hue(files.list[i].f);
		snprintf(class, sizeof(class), "h%" PRIu32, hue);
		x = put_share(pic->f, x, class, tip, name, files.list[i].n, total);
	}
	for (hue = i; hue < files.n; hue++)
		others += files.list[hue].n;
	if (i < files.n) {
		char name[64];

		snprintf(name, sizeof(name), "%" PRIu32 " other%s", files.n - i,
			 files.n - i == 1 ? "" : "s");
		x = put_share(pic->f, x, NULL, "files with fewer samples, each with its colour",
			      name, others, total);
	}
	svg_entry(pic->f, x, "hx", "frames of which no file is known", "no file");
	free(files.list);
	return err;
}

static void put_costs(const struct picture *pic)
{
	static const char tip[] =
	    "percent of the CPU's samples that are interpreted, in C or in the compiler because "
	    "traces that start in the function fail: COST% of ljx nyi";
	uint32_t x;

	if (!pic->cost) {
		svg_entry(pic->f, 0, "w0", tip, "nothing is known of what failed traces cost");
		return;
	}
	x = svg_entry(pic->f, 0, "w0", tip, "failed traces cost: nothing");
	for (unsigned int i = 1; i <= SVG_HEATS; i++) {
		char class[8], text[64];

		snprintf(class, sizeof(class), "w%u", i);
		snprintf(text, sizeof(text),
			 i == 1		 ? "under %g%%"
			 : i < SVG_HEATS ? "%g%%"
					 : "%g%% of CPU and more",
			 svg_heat_from(i == 1 ? 2 : i));
		x = svg_entry(pic->f, x, class, tip, text);
	}
}

static void put_states(const struct picture *pic)
{
	uint32_t x;

	x = svg_entry(pic->f, 0, "n2", "Lua functions most of whose samples are in traces",
		      "Lua function, mostly compiled");
	svg_entry(pic->f, x, "i2", "Lua functions that the interpreter runs for the most part",
		  "Lua function, mostly interpreted");
}

int svg_colours(const struct picture *pic, unsigned int y, uint32_t room)
{
	static const char *const names[] = {"state", "file", "cost"};
	int err = 0;

	for (int by = WRITE_BY_STATE; by <= WRITE_BY_COST && !err; by++) {
		int seen = (int)pic->info->colour == by;

		/* Without data no script can show another one. */
		if (!seen && !svg_has_data(pic->whole))
			continue;
		fprintf(pic->f, "<g class=\"by\" data-by=\"%s\" display=\"%s\"", names[by],
			seen ? "inline" : "none");
		fprintf(pic->f, " transform=\"translate(0,%u)\">\n", y);
		if (by == WRITE_BY_FILE)
			err = put_files(pic, room);
		else if (by == WRITE_BY_COST)
			put_costs(pic);
		else
			put_states(pic);
		fputs("</g>\n", pic->f);
	}
	return err;
}
