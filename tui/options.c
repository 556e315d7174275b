// SPDX-License-Identifier: MIT
#include "tui/ljx.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* A verb accepts an option if its letter (the code of long-only ones) is in the verb's string. */
static const struct option longs[] = {
    {"pid", required_argument, NULL, 'p'},
    {"group", required_argument, NULL, 'g'},
    {"name", required_argument, NULL, 'n'},
    {"rate", required_argument, NULL, 'r'},
    {"duration", required_argument, NULL, 'd'},
    {"output", required_argument, NULL, 'o'},
    {"format", required_argument, NULL, 'f'},
    {"file", required_argument, NULL, 'F'},
    {"gen", required_argument, NULL, 'G'},
    {"vmdef", required_argument, NULL, 'V'},
    {"layout", required_argument, NULL, 'Y'},
    {"batch", no_argument, NULL, 'b'},
    {"frames", required_argument, NULL, 'N'},
    {"refresh", required_argument, NULL, 'R'},
    {"sort", required_argument, NULL, 's'},
    {"filter", required_argument, NULL, 'E'},
    {"rows", required_argument, NULL, 'w'},
    {"per-thread", no_argument, NULL, 'T'},
    {"lines", no_argument, NULL, 'L'},
    {"per-process", no_argument, NULL, 'P'},
    {"aborts", optional_argument, NULL, 'a'},
    {"keep", no_argument, NULL, 'k'},
    {"icicle", no_argument, NULL, 'i'},
    {"reverse", no_argument, NULL, 'v'},
    {"color-by", required_argument, NULL, 'u'},
    {"split", required_argument, NULL, 'S'},
    {"state", required_argument, NULL, 'A'},
    {"time", required_argument, NULL, 't'},
    {"json", no_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"jv", optional_argument, NULL, 'J'},
    {"only", required_argument, NULL, 'O'},
    {"count", required_argument, NULL, 'N'},
    {"probe", required_argument, NULL, 'Q'},
    {"limit", required_argument, NULL, 'X'},
    {"no-mouse", no_argument, NULL, '1'},
    {"ascii", no_argument, NULL, '2'},
    {"color", required_argument, NULL, '3'},
    {"stacks", no_argument, NULL, 'K'},
    {"check", no_argument, NULL, 'C'},
    {"min-cost", required_argument, NULL, 'M'},
    {"watch", no_argument, NULL, 'W'},
    {"list", no_argument, NULL, 'l'},
    {"bytecode", no_argument, NULL, 'B'},
    {"no-source", no_argument, NULL, 'U'},
    {"nothing", no_argument, NULL, 'Z'}, /* for benchmarks: the events alone */
    {"cgroup", required_argument, NULL, '('},
    {"container", required_argument, NULL, ')'},
    {"no-drop-root", no_argument, NULL, '!'},
    {"old-bpf", no_argument, NULL, '@'}, /* for tests: the programs of older kernels */
    {NULL, 0, NULL, 0},
};

__attribute__((format(printf, 2, 3))) static int wrong(const char *verb, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "ljx %s: ", verb);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry: ljx %s --help\n", verb);
	return WHY_USAGE;
}

/* Levenshtein distance, for "did you mean". Words are short. */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), row[64], i, j;

	if (la > 62 || lb > 62)
		return 99;
	for (j = 0; j <= lb; j++)
		row[j] = j;
	for (i = 1; i <= la; i++) {
		size_t diag = row[0];

		row[0] = i;
		for (j = 1; j <= lb; j++) {
			size_t best = diag + (a[i - 1] != b[j - 1]);

			diag = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

static int unknown_option(const char *verb, const char *arg, const char *accepts)
{
	const struct option *l, *best = NULL;
	size_t d, least = 4;

	for (l = longs; l->name; l++) {
		if (!strchr(accepts, l->val))
			continue;
		d = distance(arg + strspn(arg, "-"), l->name);
		if (d < least) {
			least = d;
			best = l;
		}
	}
	if (best && !strncmp(arg, "--", 2))
		return wrong(verb, "unknown option %s (did you mean --%s?)", printable(arg),
			     best->name);
	return wrong(verb, "unknown option %s", printable(arg));
}

/* 30, 30s, 5m, 1h, 250ms. */
static int parse_time(const char *s, double *out)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || !(v >= 0) || v > 1e7)
		return -EINVAL;
	if (!strcmp(end, "ms"))
		v /= 1000;
	else if (!strcmp(end, "m"))
		v *= 60;
	else if (!strcmp(end, "h"))
		v *= 3600;
	else if (*end && strcmp(end, "s"))
		return -EINVAL;
	*out = v;
	return 0;
}

static int parse_uint(const char *s, unsigned int min, unsigned int max, unsigned int *out)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(s, &end, 10);
	if (!isdigit((unsigned char)s[0]) || *end || errno || v < min || v > max)
		return -EINVAL;
	*out = (unsigned int)v;
	return 0;
}

static int parse_pids(struct options *o, const char *arg)
{
	char *copy = strdup(arg), *save = NULL, *p;
	unsigned int pid;
	int err = copy ? 0 : -ENOMEM;

	for (p = copy ? strtok_r(copy, ",", &save) : NULL; p && !err;
	     p = strtok_r(NULL, ",", &save)) {
		if (o->npids >= OPT_PIDS_MAX || parse_uint(p, 1, 1u << 30, &pid))
			err = -EINVAL;
		else
			o->pid[o->npids++] = (int)pid;
	}
	free(copy);
	return err ? err : o->npids ? 0 : -EINVAL;
}

static const char *const top_sorts[] = {"self", "total", "name", NULL};
static const char *const nyi_sorts[] = {"cost", "count", "last", NULL};
static const char *const jv_styles[] = {"name", "number", NULL};
static const char *const colors[] = {"auto", "always", "never", NULL};
static const char *const probes[] = {"auto", "uprobe", "watch", "off", NULL};
static const char *const events[] = {"start", "stop", "abort", "flush", NULL};

static int index_of(const char *arg, size_t len, const char *const *list)
{
	int i;

	for (i = 0; list[i]; i++)
		if (strlen(list[i]) == len && !memcmp(list[i], arg, len))
			return i;
	return -EINVAL;
}

static int one_of(const char *arg, const char *const *list)
{
	return index_of(arg, strlen(arg), list) < 0 ? -EINVAL : 0;
}

/* "stop,abort" */
static int parse_only(struct options *o, const char *arg)
{
	o->only = 0;
	for (;;) {
		size_t len = strcspn(arg, ",");
		int i = index_of(arg, len, events);

		if (i < 0)
			return i;
		o->only |= 1u << (EV_TRACE_START + i);
		if (!arg[len])
			return 0;
		arg += len + 1;
	}
}

static const char *const splits[] = {
#define SPLIT(name, text) text,
    PROF_SPLITS(SPLIT)
#undef SPLIT
	NULL};

static const char *const weights[] = {"count", "cost", NULL};
static const char *const colours[] = {
#define COLOUR(name, text) text,
    WRITE_COLOURS(COLOUR)
#undef COLOUR
	NULL};

/* "state,thread" */
static int parse_split(struct options *o, const char *arg)
{
	for (;;) {
		size_t len = strcspn(arg, ",");
		int i = index_of(arg, len, splits);

		if (i < 0)
			return i;
		o->split |= 1u << i;
		if (!arg[len])
			return 0;
		arg += len + 1;
	}
}

/* The letters of the columns, "I" or "NC"; O: all others. */
static int parse_states(struct options *o, const char *arg)
{
	if (!*arg)
		return -EINVAL;
	for (; *arg; arg++) {
		uint32_t states = prof_states(*arg);

		if (!states)
			return -EINVAL;
		o->states |= states;
	}
	return 0;
}

/* "10s-20s", "10-", "-500ms": of the recording. */
static int parse_range(struct options *o, const char *arg)
{
	char from[32];
	size_t len = strcspn(arg, "-");
	double t;

	if (arg[len] != '-' || len >= sizeof(from))
		return -EINVAL;
	memcpy(from, arg, len);
	from[len] = '\0';
	o->from = o->to = 0;
	if (len) {
		if (parse_time(from, &t))
			return -EINVAL;
		o->from = (uint64_t)(t * 1e9);
	}
	if (!arg[len + 1])
		return len ? 0 : -EINVAL;
	if (parse_time(arg + len + 1, &t))
		return -EINVAL;
	o->to = (uint64_t)(t * 1e9);
	return o->to > o->from ? 0 : -EINVAL;
}

static int parse_percent(const char *arg, double *out)
{
	char *end;

	*out = strtod(arg, &end);
	return end == arg || *end || !(*out >= 0 && *out <= 100) ? -EINVAL : 0;
}

static int parse_probe(struct options *o, const char *arg)
{
	static const enum capture_traces kind[] = {CAPTURE_TRACES_AUTO, CAPTURE_TRACES_UPROBE,
						   CAPTURE_TRACES_WATCH, CAPTURE_TRACES_OFF};
	int i = index_of(arg, strlen(arg), probes);

	/* Without trace events only a recording is left with something. */
	if (i < 0 || (kind[i] == CAPTURE_TRACES_OFF && strcmp(o->verb, "record")))
		return -EINVAL;
	o->probe = kind[i];
	return 0;
}

static int parse_layout(struct options *o, const char *arg)
{
	struct why why = {.code = 0};
	int err = layout_read(o, arg, &why);

	if (err)
		complain(o, &why);
	return err;
}

static int set_flag(struct options *o, int c)
{
	int *flag = c == 'b'   ? &o->batch
		    : c == 'T' ? &o->per_thread
		    : c == 'L' ? &o->lines
		    : c == 'j' ? &o->json
		    : c == 'q' ? &o->quiet
		    : c == '1' ? &o->no_mouse
		    : c == '2' ? &o->ascii
		    : c == 'K' ? &o->stacks
		    : c == 'C' ? &o->check
		    : c == 'W' ? &o->watch
		    : c == 'l' ? &o->list
		    : c == 'B' ? &o->bytecode
		    : c == 'U' ? &o->no_source
		    : c == 'Z' ? &o->nothing
		    : c == 'i' ? &o->icicle
		    : c == 'v' ? &o->reverse
		    : c == 'k' ? &o->keep
		    : c == '!' ? &o->no_drop
		    : c == '@' ? &o->old_bpf
			       : NULL;

	if (flag)
		*flag = 1;
	return flag ? 0 : -EINVAL;
}

static int set_option(struct options *o, int c, const char *arg)
{
	unsigned int pid;
	int err, i;

	switch (c) {
	case 'p':
		return parse_pids(o, arg);
	case 'g':
		err = parse_uint(arg, 1, 1u << 30, &pid);
		o->group = err ? 0 : (int)pid;
		return err;
	case 'n':
		o->glob = arg;
		return 0;
	case '(':
		o->cgroup = arg;
		return arg[0] == '/' ? 0 : -EINVAL;
	case ')':
		o->container = arg;
		return strlen(arg) < 3 ? -EINVAL : 0;
	case 'r':
		return parse_uint(arg, 1, 10000, &o->rate);
	case 'd':
		return parse_time(arg, &o->duration);
	case 'o':
		if (o->nouts >= OPT_OUTS_MAX)
			return -EINVAL;
		o->out[o->nouts++] = arg;
		return 0;
	case 'f':
		o->format = arg;
		return output_is_format(arg) ? 0 : -EINVAL;
	case 'F':
		o->file = arg;
		return 0;
	case 'G':
		o->gen = arg;
		return 0;
	case 'V':
		o->vmdef = arg;
		return 0;
	case 'N':
		return parse_uint(arg, 1, 1000000000, &o->frames);
	case 'R':
		return parse_time(arg, &o->refresh) || o->refresh < 0.05 ? -EINVAL : 0;
	case 's':
		o->sort = arg;
		return one_of(arg, !strcmp(o->verb, "nyi") ? nyi_sorts : top_sorts);
	case 'E':
		o->filter = arg;
		return 0;
	case 'w':
		return parse_uint(arg, 1, 100000, &o->rows);
	case 'M':
		return parse_percent(arg, &o->min_cost);
	case 'J':
		o->jv = arg ? arg : "";
		return arg ? one_of(arg, jv_styles) : 0;
	case '3':
		err = index_of(arg, strlen(arg), colors);
		o->color = err < 0 ? TERM_AUTO : (enum term_color)err;
		return err < 0 ? err : 0;
	case 'O':
		return parse_only(o, arg);
	case 'Q':
		return parse_probe(o, arg);
	case 'P':
		o->split |= 1u << PROF_BY_PROCESS;
		return 0;
	case 'S':
		return parse_split(o, arg);
	case 'A':
		return parse_states(o, arg);
	case 't':
		return parse_range(o, arg);
	case 'Y':
		return parse_layout(o, arg);
	case 'X':
		return parse_uint(arg, 0, 1000000000, &o->limit);
	case 'a':
		o->aborts = 1;
		i = arg ? index_of(arg, strlen(arg), weights) : 0;
		o->by_cost = i == 1;
		return i < 0 ? i : 0;
	case 'u':
		i = index_of(arg, strlen(arg), colours);
		o->colour = i < 0 ? WRITE_BY_STATE : (enum write_colour)i;
		return i < 0 ? i : 0;
	default:
		return set_flag(o, c);
	}
}

int options_parse(struct options *o, int argc, char *const *argv, const char *verb,
		  const char *accepts)
{
	int c, at;

	memset(o, 0, sizeof(*o));
	o->verb = verb;
	o->argv = argv;
	o->argc = argc;
	o->rate = 99;
	o->refresh = 1;
	o->rows = 20;
	o->sort = !strcmp(verb, "nyi") ? "cost" : "self";
	o->only = 1u << EV_TRACE_STOP | 1u << EV_TRACE_ABORT | 1u << EV_TRACE_FLUSH;
	o->probe = CAPTURE_TRACES_AUTO;
	o->limit = 1000;
	opterr = 0;
	optind = 2;
	for (;;) {
		at = optind;
		c = getopt_long(argc, argv, "+:p:g:n:r:d:o:f:bN:s:ql", longs, NULL);
		if (c == -1 && optind < argc && strcmp(argv[optind - 1], "--") &&
		    o->nargs < sizeof(o->arg) / sizeof(o->arg[0])) {
			o->arg[o->nargs++] = argv[optind++]; /* an operand among options */
			continue;
		}
		if (c == -1)
			break;
		/* -f is --file for verbs that read one, --format for those that write. */
		if (c == 'f' && argv[at][1] == 'f' && strchr(accepts, 'F'))
			c = 'F';
		if (c == ':')
			return wrong(verb, "option %s needs a value", printable(argv[at]));
		if (c == '?' || (!strchr(accepts, c) && c != 'Z' && c != '@'))
			return unknown_option(verb, argv[at], accepts);
		if (set_option(o, c, optarg))
			return wrong(verb, "bad value '%s' for option %s", printable(optarg),
				     printable(argv[at]));
	}
	if (optind < argc) {
		if (!strchr(accepts, 'c'))
			return wrong(verb, "it takes no command");
		o->cmd = argv + optind;
	}
	if ((o->cgroup || o->container ? 1 : o->npids != 0) + (o->group != 0) + (o->glob != NULL) +
		    (o->cmd != NULL) + (o->cgroup && o->container) >
	    1)
		return wrong(verb, "give one target: -p, -g, -n, --cgroup, --container or a command");
	return 0;
}
