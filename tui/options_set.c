// SPDX-License-Identifier: MIT
/* What the values of options mean. */
#include "tui/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	char one[16];
	unsigned int pid;
	size_t len;

	for (; *arg; arg += len + (arg[len] == ',')) {
		len = strcspn(arg, ",");
		if (!len)
			continue;
		snprintf(one, sizeof(one), "%.*s", (int)len, arg);
		if (len >= sizeof(one) || o->npids >= OPT_PIDS_MAX ||
		    parse_uint(one, 1, 1u << 30, &pid))
			return -EINVAL;
		o->pid[o->npids++] = (int)pid;
	}
	return o->npids ? 0 : -EINVAL;
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

	return layout_read(o, arg, &why) ? complain(o, &why) : 0;
}

/* Options without a value, and those whose value is taken as it is. -ENOENT: another one. */
static int set_field(struct options *o, enum option_id id, const char *arg)
{
	switch (id) {
#define OPTION(id, name, letter, field) \
	case OPT_##id:                  \
		o->field = 1;           \
		return 0;
		FLAG_OPTIONS(OPTION)
#undef OPTION
#define OPTION(id, name, letter, field) \
	case OPT_##id:                  \
		o->field = arg;         \
		return 0;
		TEXT_OPTIONS(OPTION)
#undef OPTION
	default:
		return -ENOENT;
	}
}

/* Targets. -ENOENT: another one. */
static int set_target(struct options *o, enum option_id id, const char *arg)
{
	unsigned int pid;
	int err;

	switch (id) {
	case OPT_PID:
		return parse_pids(o, arg);
	case OPT_GROUP:
		err = parse_uint(arg, 1, 1u << 30, &pid);
		o->group = err ? 0 : (int)pid;
		return err;
	case OPT_CGROUP:
		o->cgroup = arg;
		return arg[0] == '/' ? 0 : -EINVAL;
	case OPT_CONTAINER:
		o->container = arg;
		return strlen(arg) < 3 ? -EINVAL : 0;
	case OPT_LAYOUT:
		return parse_layout(o, arg);
	default:
		return -ENOENT;
	}
}

/* What is told, and how. -ENOENT: another one. */
static int set_shape(struct options *o, enum option_id id, const char *arg)
{
	int i;

	switch (id) {
	case OPT_ABORTS:
		o->aborts = 1;
		i = arg ? index_of(arg, strlen(arg), weights) : 0;
		o->by_cost = i == 1;
		return i < 0 ? i : 0;
	case OPT_COLOR_BY:
		i = index_of(arg, strlen(arg), colours);
		o->colour = i < 0 ? WRITE_BY_STATE : (enum write_colour)i;
		return i < 0 ? i : 0;
	case OPT_PER_PROCESS:
		o->split |= 1u << PROF_BY_PROCESS;
		return 0;
	case OPT_SPLIT:
		return parse_split(o, arg);
	case OPT_STATE:
		return parse_states(o, arg);
	case OPT_TIME:
		return parse_range(o, arg);
	case OPT_ONLY:
		return parse_only(o, arg);
	case OPT_MIN_COST:
		return parse_percent(arg, &o->min_cost);
	case OPT_ROWS:
		return parse_uint(arg, 1, 100000, &o->rows);
	case OPT_SORT:
		o->sort = arg;
		return one_of(arg, !strcmp(o->verb, "nyi") ? nyi_sorts : top_sorts);
	default:
		return -ENOENT;
	}
}

static int set_output(struct options *o, enum option_id id, const char *arg)
{
	int i;

	switch (id) {
	case OPT_COLOR:
		i = index_of(arg, strlen(arg), colors);
		o->color = i < 0 ? TERM_AUTO : (enum term_color)i;
		return i < 0 ? i : 0;
	case OPT_COUNT:
	case OPT_FRAMES:
		return parse_uint(arg, 1, 1000000000, &o->frames);
	case OPT_DURATION:
		return parse_time(arg, &o->duration);
	case OPT_FORMAT:
		o->format = arg;
		return output_is_format(arg) ? 0 : -EINVAL;
	case OPT_JV:
		o->jv = arg ? arg : "";
		return arg ? one_of(arg, jv_styles) : 0;
	case OPT_LIMIT:
		return parse_uint(arg, 0, 1000000000, &o->limit);
	case OPT_OUTPUT:
		if (o->nouts >= OPT_OUTS_MAX)
			return -EINVAL;
		o->out[o->nouts++] = arg;
		return 0;
	case OPT_PROBE:
		return parse_probe(o, arg);
	case OPT_RATE:
		return parse_uint(arg, 1, 10000, &o->rate);
	case OPT_REFRESH:
		return parse_time(arg, &o->refresh) || o->refresh < 0.05 ? -EINVAL : 0;
	default:
		return -ENOENT;
	}
}

int options_set(struct options *o, enum option_id id, const char *arg)
{
	int err = set_field(o, id, arg);

	if (err == -ENOENT)
		err = set_target(o, id, arg);
	if (err == -ENOENT)
		err = set_shape(o, id, arg);
	return err == -ENOENT ? set_output(o, id, arg) : err;
}
