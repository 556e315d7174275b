// SPDX-License-Identifier: MIT
#include "tui/ljx.h"
#include "tui/view.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Counts of the previous table, by frame: a table shows what came since. */
struct before {
	uint64_t *self, *total;
	uint64_t (*by_state)[EV_STATE_MAX];
	size_t n;
	struct prof_stats stats;
};

static int grow(struct before *b, size_t n)
{
	void *self, *total, *by;

	if (n <= b->n)
		return 0;
	n += n / 2;
	self = realloc(b->self, n * sizeof(*b->self));
	if (self)
		b->self = self;
	total = realloc(b->total, n * sizeof(*b->total));
	if (total)
		b->total = total;
	by = realloc(b->by_state, n * sizeof(*b->by_state));
	if (by)
		b->by_state = by;
	if (!self || !total || !by)
		return -ENOMEM;
	memset(b->self + b->n, 0, (n - b->n) * sizeof(*b->self));
	memset(b->total + b->n, 0, (n - b->n) * sizeof(*b->total));
	memset(b->by_state + b->n, 0, (n - b->n) * sizeof(*b->by_state));
	b->n = n;
	return 0;
}

/* Turns rows since the start into rows since the last table. */
static int subtract(struct before *b, struct prof_row *row, size_t n)
{
	size_t i, s;

	for (i = 0; i < n; i++) {
		struct prof_row now = row[i];
		uint32_t f = now.frame;

		if (grow(b, (size_t)f + 1))
			return -ENOMEM;
		row[i].self -= b->self[f];
		row[i].total -= b->total[f];
		for (s = 0; s < EV_STATE_MAX; s++)
			row[i].by_state[s] -= b->by_state[f][s];
		b->self[f] = now.self;
		b->total[f] = now.total;
		memcpy(b->by_state[f], now.by_state, sizeof(now.by_state));
	}
	return 0;
}

static const struct prof *sorted_prof;

static int by_self(const void *a, const void *b)
{
	const struct prof_row *x = a, *y = b;

	if (x->self != y->self)
		return x->self > y->self ? -1 : 1;
	if (x->total != y->total)
		return x->total > y->total ? -1 : 1;
	return strcmp(prof_frame(sorted_prof, x->frame)->label,
		      prof_frame(sorted_prof, y->frame)->label);
}

static int by_total(const void *a, const void *b)
{
	const struct prof_row *x = a, *y = b;

	if (x->total != y->total)
		return x->total > y->total ? -1 : 1;
	return by_self(a, b);
}

static int by_label(const void *a, const void *b)
{
	const struct prof_row *x = a, *y = b;

	return strcmp(prof_frame(sorted_prof, x->frame)->label,
		      prof_frame(sorted_prof, y->frame)->label);
}

/* Drops the rows that saw nothing or do not match. */
static size_t keep(const struct prof *p, struct prof_row *row, size_t n, const regex_t *re)
{
	size_t i, kept = 0;

	for (i = 0; i < n; i++)
		if (row[i].total &&
		    (!re || !regexec(re, prof_frame(p, row[i].frame)->label, 0, NULL, 0)))
			row[kept++] = row[i];
	return kept;
}

static void print_header(const struct live *l, const struct prof_stats *now,
			 const struct prof_stats *old, double seconds)
{
	uint64_t n = now->samples - old->samples, by[EV_STATE_MAX];
	double base = n ? (double)n / 100 : 1;
	char clock[16];
	time_t t = time(NULL);
	struct tm tm;
	size_t i;

	for (i = 0; i < EV_STATE_MAX; i++)
		by[i] = now->by_state[i] - old->by_state[i];
	localtime_r(&t, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	printf("ljx top  %s %d  %s  %s  %u Hz  last %.1f s\n", l->targets.name, l->targets.main_pid,
	       clock, prof_builds(l->prof), l->o->rate, seconds);
	printf("samples %llu  lost %llu  N %.0f%%  I %.0f%%  C %.0f%%  G %.0f%%  J %.0f%%  "
	       "outside Lua %.0f%%  kernel %.0f%%\n",
	       (unsigned long long)n, (unsigned long long)(now->lost - old->lost),
	       (double)by[EV_STATE_TRACE] / base, (double)by[EV_STATE_INTERP] / base,
	       (double)by[EV_STATE_C] / base, (double)by[EV_STATE_GC] / base,
	       (double)(by[EV_STATE_EXIT] + by[EV_STATE_RECORD] + by[EV_STATE_OPT] +
			by[EV_STATE_ASM]) /
		   base,
	       (double)by[EV_STATE_OUTSIDE] / base, (double)(now->kernel - old->kernel) / base);
}

static int table(struct live *l, struct before *b, const regex_t *re, double seconds)
{
	const struct options *o = l->o;
	struct prof_row *row;
	struct prof_stats now;
	size_t n;
	int err = prof_finish(l->prof);

	if (err)
		return err;
	now = *prof_stats(l->prof);
	row = prof_rows(l->prof, &n);
	if (!row)
		return -ENOMEM;
	err = subtract(b, row, n);
	if (!err) {
		n = keep(l->prof, row, n, re);
		sorted_prof = l->prof;
		qsort(row, n, sizeof(*row),
		      !strcmp(o->sort, "total")	 ? by_total
		      : !strcmp(o->sort, "name") ? by_label
						 : by_self);
		print_header(l, &now, &b->stats, seconds);
		print_rows(stdout, l->prof, row, n, o->rows, now.samples - b->stats.samples);
		putchar('\n');
		if (fflush(stdout)) /* nobody reads it any more */
			err = -errno;
		b->stats = now;
	}
	free(row);
	return err;
}

static int loop(struct live *l, const regex_t *re)
{
	const struct options *o = l->o;
	struct before b = {.n = 0};
	double next = o->refresh, last = 0, now;
	unsigned int shown = 0;
	int more = 1, err = 0;

	while (!err && more > 0 && !stop_requested && !(o->frames && shown >= o->frames)) {
		now = live_seconds(l);
		if (o->duration > 0 && now >= o->duration)
			break;
		more = live_poll(l, 50);
		now = live_seconds(l);
		if (now < next && more > 0)
			continue;
		err = table(l, &b, re, now - last);
		last = now;
		shown++;
		next += o->refresh;
	}
	free(b.self);
	free(b.total);
	free(b.by_state);
	if (!more)
		fprintf(stderr, "ljx: the target exited after %.1f s\n", live_seconds(l));
	return err ? err : more < 0 ? more : 0;
}

static int batch(const struct options *o)
{
	struct why why = {.code = 0};
	struct live l;
	regex_t re;
	int code, err, child;

	if (o->filter && regcomp(&re, o->filter, REG_EXTENDED | REG_NOSUB))
		return WHY_USAGE; /* it was told before */
	stop_on_signals();
	code = live_start(&l, o, LIVE_SAMPLES, NULL, NULL);
	if (code)
		return o->cmd ? 125 : code;
	drop_privileges(&l, 0);
	err = loop(&l, o->filter ? &re : NULL);
	if (!err)
		err = live_stop(&l);
	if (o->filter)
		regfree(&re);
	if (err)
		why_set(&why, WHY_INTERNAL, err, "cannot go on: %s", strerror(-err));
	else if (!prof_stats(l.prof)->samples)
		why_set(&why, WHY_EMPTY, -ENODATA, "no samples in %.1f s: the target used no CPU",
			live_seconds(&l));
	child = targets_wait(&l.targets);
	if (why.code)
		code = complain(o, &why);
	live_free(&l);
	return o->cmd ? child : code;
}

static void tell_terminal(const char *term)
{
	if (!term || !*term)
		fprintf(stderr, "ljx: TERM is not set: using batch output\n");
	else if (!strcmp(term, "dumb"))
		fprintf(stderr, "ljx: TERM is \"dumb\": using batch output\n");
	else
		fprintf(stderr,
			"ljx: no terminfo of TERM '%s' here: using batch output. TERM=xterm may do\n",
			printable(term));
}

/* Text instead of screens: when it is asked for, or when there is no terminal for them. */
static int wants_batch(const struct options *o)
{
	if (o->batch || term_usable())
		return o->batch;
	if (isatty(STDOUT_FILENO) && isatty(STDIN_FILENO))
		tell_terminal(getenv("TERM"));
	return 1;
}

int verb_top(const struct options *o)
{
	struct why why = {.code = 0};
	regex_t re;

	if (o->nargs > 1 || (o->nargs && !is_recording(o->arg[0]))) {
		why_set(&why, WHY_USAGE, -EINVAL, "top takes no operand '%s'",
			printable(o->arg[o->nargs - 1]));
		why_hint(&why, "A recording's name ends in .ljx: ljx top FILE.ljx");
		return complain(o, &why);
	}
	if (o->filter && regcomp(&re, o->filter, REG_EXTENDED | REG_NOSUB)) {
		why_set(&why, WHY_USAGE, -EINVAL, "'%s' is no regular expression",
			printable(o->filter));
		return complain(o, &why);
	}
	if (o->filter)
		regfree(&re);
	if (!wants_batch(o))
		return view_run(o, o->nargs ? o->arg[0] : NULL);
	return o->nargs ? verb_report(o) : batch(o);
}
