// SPDX-License-Identifier: MIT
#include "profiler/jsonw.h"
#include "tui/ljx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int fold(void *ctx, const struct ev_hdr *h)
{
	return folds_add(ctx, h);
}

static int from_recording(const struct options *o, const char *path, enum diff_side side,
			  struct prof *diff, struct why *why)
{
	struct options plain = *o;
	struct folds folds;
	int err;

	plain.nouts = 0; /* the outputs are of the comparison */
	err = folds_new(&plain, &folds);
	if (!err)
		err = replay(o, path, fold, &folds, why);
	if (!err)
		err = folds_finish(&folds);
	if (!err)
		err = diff_add(diff, side, folds.plain);
	folds_free(&folds);
	return err;
}

static int from_folded(const char *path, enum diff_side side, struct prof *diff, struct why *why)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0, number = 0;
	int err = 0;

	if (!f)
		return why_set(why, WHY_INTERNAL, -errno, "cannot read '%s': %s", printable(path),
			       strerror(errno));
	while (!err && getline(&line, &cap, f) >= 0) {
		number++;
		if (line[0] != '\n' && line[0] != '#')
			err = diff_add_line(diff, side, line);
	}
	if (!err && ferror(f))
		err = why_set(why, WHY_INTERNAL, -EIO, "cannot read '%s'", printable(path));
	if (err == -EDOM) {
		why_set(why, WHY_USAGE, err, "'%s' line %zu: not split so", printable(path),
			number);
		why_hint(why, "Write it with the same --split.");
	}
	if (err == -EINVAL)
		why_set(why, WHY_USAGE, err, "'%s' line %zu: no folded stack", printable(path),
			number);
	free(line);
	fclose(f);
	return err;
}

/* What begins like a recording is one, whatever its name. */
static int looks_recorded(const char *path)
{
	FILE *f = is_recording(path) ? NULL : fopen(path, "re");
	char magic[4] = "";

	if (!f)
		return is_recording(path);
	if (fread(magic, 1, 3, f) != 3)
		magic[0] = '\0';
	fclose(f);
	return !strcmp(magic, "LJX");
}

static double share(uint64_t n, uint64_t of)
{
	return of ? 100 * (double)n / (double)of : 0;
}

/* "grew", "shrank", "new", "vanished", or "" where chance is enough to explain it. */
static const char *verdict(const struct prof *diff, const struct diff_row *r)
{
	if (!prof_is_change(diff, r->self[0], r->self[1]) &&
	    !prof_is_change(diff, r->total[0], r->total[1]))
		return "";
	if (!r->total[0])
		return "new";
	if (!r->total[1])
		return "vanished";
	if (prof_is_change(diff, r->self[0], r->self[1]))
		return prof_change(diff, r->self[0], r->self[1]) > 0 ? "grew" : "shrank";
	return "";
}

/*
 * The rows that are worth a line: regressions from the top, then from the bottom what shrank, as
 * many of each as there is room for.
 */
static void print_row(const struct prof *diff, const struct diff_row *r)
{
	const struct prof_node *root = prof_root(diff);
	char group[PROF_SPLIT_TEXT];
	double before = share(r->self[0], root->before), after = share(r->self[1], root->total);

	printf("%11.1f %7.1f %+7.1f %12.1f %7.1f  %-8s  %s", before, after, after - before,
	       share(r->total[0], root->before), share(r->total[1], root->total), verdict(diff, r),
	       prof_frame(diff, r->frame)->label);
	if (prof_is_split(diff))
		printf("  (%s)", prof_group_label(diff, r->group, group, sizeof(group)));
	putchar('\n');
}

static void print_table(const struct prof *diff, const struct diff_row *row, size_t n, size_t rows)
{
	const struct prof_node *root = prof_root(diff);
	size_t bottom = n > rows ? rows / 2 : 0, top = n > rows ? rows - bottom : n, i;

	printf("%llu samples before, %llu after; percent of them\n",
	       (unsigned long long)root->before, (unsigned long long)root->total);
	printf("SELF before   after  change TOTAL before  after  VERDICT   FUNCTION%s\n",
	       prof_is_split(diff) ? "  (SPLIT)" : "");
	for (i = 0; i < top; i++)
		print_row(diff, &row[i]);
	if (n > rows)
		printf("        ... %zu more\n", n - rows);
	for (i = n - bottom; i < n; i++)
		print_row(diff, &row[i]);
}

static void print_json_rows(const struct prof *diff, const struct diff_row *row, size_t n)
{
	const struct prof_node *root = prof_root(diff);
	struct jsonw w = {.f = stdout};
	char group[PROF_SPLIT_TEXT];
	size_t i;

	jw_begin(&w, NULL, '{');
	jw_string(&w, "schema", "ljx.diff/1");
	jw_uint(&w, "before", root->before);
	jw_uint(&w, "after", root->total);
	jw_begin(&w, "functions", '[');
	for (i = 0; i < n; i++) {
		jw_newline(&w);
		jw_begin(&w, NULL, '{');
		jw_string(&w, "label", prof_frame(diff, row[i].frame)->label);
		if (prof_is_split(diff))
			jw_string(&w, "split",
				  prof_group_label(diff, row[i].group, group, sizeof(group)));
		jw_string(&w, "verdict", verdict(diff, &row[i]));
		jw_uint(&w, "self_before", row[i].self[0]);
		jw_uint(&w, "self_after", row[i].self[1]);
		jw_uint(&w, "total_before", row[i].total[0]);
		jw_uint(&w, "total_after", row[i].total[1]);
		jw_end(&w, '}');
	}
	jw_end(&w, ']');
	jw_end(&w, '}');
	jw_newline(&w);
}

static int print(const struct options *o, const struct prof *diff)
{
	size_t n;
	struct diff_row *row = diff_rows(diff, &n);

	if (!row)
		return -ENOMEM;
	if (o->json)
		print_json_rows(diff, row, n);
	else
		print_table(diff, row, n, o->rows);
	free(row);
	return 0;
}

/* Pictures and folded stacks can show two numbers, the other formats have no place for them. */
static int check_outputs(const struct options *o, struct why *why)
{
	size_t i;

	for (i = 0; i < o->nouts; i++) {
		const struct format *f = output_format(o, o->out[i]);

		if (f && f->diffs)
			continue;
		why_set(why, WHY_USAGE, -EINVAL, "a comparison cannot be written as '%s'",
			printable(o->out[i]));
		why_hint(why, "Name it .folded, .svg or .html.");
		return -EINVAL;
	}
	return output_check(o, why);
}

static int load(const struct options *o, struct prof *diff, struct why *why)
{
	int i, err = 0;

	for (i = DIFF_BEFORE; i <= DIFF_AFTER && !err; i++)
		err = looks_recorded(o->arg[i])
			  ? from_recording(o, o->arg[i], (enum diff_side)i, diff, why)
			  : from_folded(o->arg[i], (enum diff_side)i, diff, why);
	return err ? err : prof_finish(diff);
}

int verb_diff(const struct options *o)
{
	struct why why = {.code = 0};
	struct folds folds = {.plain = NULL};
	char title[512];
	int err;

	if (o->nargs != 2) {
		why_set(&why, WHY_USAGE, -EINVAL, "diff needs two recordings or folded files");
		why_hint(&why, "ljx diff BEFORE.ljx AFTER.ljx -o diff.svg");
		return complain(o, &why);
	}
	if (check_outputs(o, &why))
		return complain(o, &why);
	folds.plain = diff_new(o->split);
	err = folds.plain ? load(o, folds.plain, &why) : -ENOMEM;
	snprintf(title, sizeof(title), "%.200s against %.200s", o->arg[1], o->arg[0]);
	if (!err)
		err = o->nouts ? output_all(o, &folds, title, &why) : print(o, folds.plain);
	folds_free(&folds);
	if (err && !why.code)
		why_set(&why, WHY_INTERNAL, err, "%s", strerror(-err));
	return why.code ? complain(o, &why) : 0;
}
