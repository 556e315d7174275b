// SPDX-License-Identifier: MIT
#include "tui/options.h"

#include <assert.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define OPT_CODE 256 /* what getopt_long gives for the first: no character */

static const struct option longs[] = {
#define OPTION(id, name, letter, field) {name, no_argument, NULL, OPT_CODE + OPT_##id},
    FLAG_OPTIONS(OPTION)
#undef OPTION
#define OPTION(id, name, letter, field) {name, required_argument, NULL, OPT_CODE + OPT_##id},
    TEXT_OPTIONS(OPTION)
#undef OPTION
#define OPTION(id, name, letter, has_arg) {name, has_arg, NULL, OPT_CODE + OPT_##id},
    VALUE_OPTIONS(OPTION)
#undef OPTION
    {NULL, 0, NULL, 0},
};

static const char *const names[] = {
#define OPTION(id, name, letter, more) name,
    FLAG_OPTIONS(OPTION) TEXT_OPTIONS(OPTION) VALUE_OPTIONS(OPTION)
#undef OPTION
    NULL};

const char *options_name(enum option_id id)
{
	return names[id];
}

int options_letter(enum option_id id)
{
	static const char letters[] = {
#define OPTION(id, name, letter, more) letter,
	    FLAG_OPTIONS(OPTION) TEXT_OPTIONS(OPTION) VALUE_OPTIONS(OPTION)
#undef OPTION
	};

	return letters[id];
}

/* The option that getopt_long's answer means. A letter that two have is a case twice. */
static enum option_id option_of(int c)
{
	switch (c) {
#define CODE_OF(id, letter) ((letter) ? (letter) : OPT_CODE + OPT_##id)
#define OPTION(id, name, letter, more) \
	case CODE_OF(id, letter):      \
		return OPT_##id;
		FLAG_OPTIONS(OPTION)
		TEXT_OPTIONS(OPTION)
		VALUE_OPTIONS(OPTION)
#undef OPTION
	default:
		return c >= OPT_CODE && c < OPT_CODE + OPT_MAX ? (enum option_id)(c - OPT_CODE)
							       : OPT_MAX;
	}
}

/* "+:p:bq": of the letters in the table. */
static void short_options(char buf[2 * OPT_MAX + 3])
{
	size_t i, n = 0;

	buf[n++] = '+';
	buf[n++] = ':';
	for (i = 0; i < OPT_MAX; i++) {
		if (!options_letter((enum option_id)i))
			continue;
		buf[n++] = (char)options_letter((enum option_id)i);
		if (longs[i].has_arg == required_argument)
			buf[n++] = ':';
	}
	buf[n] = '\0';
}

int options_accept(const char *accepts, const char *name)
{
	size_t len = strlen(name), word;

	for (; *accepts; accepts += word) {
		accepts += strspn(accepts, " ");
		word = strcspn(accepts, " ");
		if (word == len && len && !memcmp(accepts, name, len))
			return 1;
	}
	return 0;
}

int options_known(const char *accepts)
{
	char name[32];
	size_t word, i;

	for (; *accepts; accepts += word + strspn(accepts + word, " ")) {
		word = strcspn(accepts, " ");
		snprintf(name, sizeof(name), "%.*s", (int)word, accepts);
		for (i = 0; names[i] && strcmp(names[i], name); i++)
			;
		if (!names[i] && strcmp(name, OPTIONS_COMMAND))
			return 0;
	}
	return 1;
}

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

size_t options_distance(const char *a, const char *b)
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
	const char *best = NULL;
	size_t d, least = 4, i;

	for (i = 0; i < OPT_MAX; i++) {
		if (!options_accept(accepts, names[i]))
			continue;
		d = options_distance(arg + strspn(arg, "-"), names[i]);
		if (d < least) {
			least = d;
			best = names[i];
		}
	}
	if (best && !strncmp(arg, "--", 2))
		return wrong(verb, "unknown option %s (did you mean --%s?)", printable(arg), best);
	return wrong(verb, "unknown option %s", printable(arg));
}

/* What it means for this verb; OPT_MAX: nothing. */
static enum option_id accepted(int c, const char *accepts)
{
	enum option_id id = option_of(c);

	/* -f is --file for verbs that read one, --format for those that write. */
	if (c == 'f' && options_accept(accepts, names[OPT_FILE]))
		id = OPT_FILE;
	if (id == OPT_NOTHING || id == OPT_OLD_BPF)
		return id;
	return id < OPT_MAX && options_accept(accepts, names[id]) ? id : OPT_MAX;
}

int options_parse(struct options *o, int argc, char *const *argv, const char *verb,
		  const char *accepts)
{
	char letters[2 * OPT_MAX + 3];
	enum option_id id;
	int c, at, code;

	assert(options_known(accepts));
	short_options(letters);
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
		c = getopt_long(argc, argv, letters, longs, NULL);
		if (c == -1 && optind < argc && strcmp(argv[optind - 1], "--") &&
		    o->nargs < sizeof(o->arg) / sizeof(o->arg[0])) {
			o->arg[o->nargs++] = argv[optind++]; /* an operand among options */
			continue;
		}
		if (c == -1)
			break;
		if (c == ':')
			return wrong(verb, "option %s needs a value", printable(argv[at]));
		id = c == '?' ? OPT_MAX : accepted(c, accepts);
		if (id == OPT_MAX)
			return unknown_option(verb, argv[at], accepts);
		code = options_set(o, id, optarg);
		if (code)
			return code > 0 ? code
					: wrong(verb, "bad value '%s' for option %s",
						printable(optarg), printable(argv[at]));
	}
	if (optind < argc) {
		if (!options_accept(accepts, OPTIONS_COMMAND))
			return wrong(verb, "it takes no command");
		o->cmd = argv + optind;
	}
	if ((o->cgroup || o->container ? 1 : o->npids != 0) + (o->group != 0) + (o->glob != NULL) +
		(o->cmd != NULL) + (o->cgroup && o->container) >
	    1)
		return wrong(verb,
			     "give one target: -p, -g, -n, --cgroup, --container or a command");
	return 0;
}
