// SPDX-License-Identifier: MIT
/* ljx nyi: where recordings abort and traces end, and why. */
#include "bytecode/explain.h"
#include "tui/ljx.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOUND_ANY 10 /* exit code of --check */
#define INFERRED " (inferred)"

struct row {
	const struct jt_site *s;
};

/* What is shown, and what is not. */
struct list {
	struct row *row;
	size_t n;
	size_t harmless, cheap; /* left out */
};

/* ---- which rows, in which order ---- */

const struct explain *explain_site(const struct jt_site *s)
{
	const struct explain *e = NULL;

	if (s->kind == JT_SITE_STITCH)
		return *s->subject && (e = explain_function(s->subject)) ? e
									 : explain_link("stitch");
	if (s->kind == JT_SITE_RETURN)
		return *s->subject && (e = explain_function(s->subject)) ? e
									 : explain_link("return");
	if (s->err == ERR_NYIBC && *s->subject)
		e = explain_bytecode(s->subject);
	else if (*s->subject)
		e = s->err == ERR_NYIFF || s->err == ERR_NYIFFU ? explain_function(s->subject)
								: NULL;
	return e ? e : s->err < ERR_MAX ? explain_err(s->err) : NULL;
}

int site_is_low(const struct jt_site *s)
{
	return s->kind == JT_SITE_ABORT && s->err < ERR_MAX &&
	       explain_err(s->err)->class == EXPLAIN_LOW && s->state != JT_STATE_BLACKLISTED;
}

/* A function that ends and returns to the interpreter: nothing failed. */
static int is_harmless(const struct jt_site *s)
{
	return s->kind == JT_SITE_RETURN && !*s->subject;
}

static int by_last(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->s->last != y->s->last)
		return x->s->last > y->s->last ? -1 : 1;
	return strcmp(x->s->reason, y->s->reason);
}

static int by_count(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->s->count != y->s->count)
		return x->s->count > y->s->count ? -1 : 1;
	return by_last(a, b);
}

/* Aborts, then stitches, then returns; in each what passes by itself comes last. */
static int by_cost(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->s->kind != y->s->kind)
		return x->s->kind < y->s->kind ? -1 : 1;
	if (x->s->cost > y->s->cost || x->s->cost < y->s->cost)
		return x->s->cost > y->s->cost ? -1 : 1;
	if (site_is_low(x->s) != site_is_low(y->s))
		return site_is_low(x->s) ? 1 : -1;
	return by_count(a, b);
}

/* The rows that the user means. 0 or -ENOMEM. */
static int choose(const struct options *o, struct jt *jt, uint64_t now, const char *location,
		  struct list *l)
{
	const struct jt_site *s;
	size_t all, i;

	memset(l, 0, sizeof(*l));
	s = jt_sites(jt, now, &all);
	l->row = s ? calloc(all + 1, sizeof(*l->row)) : NULL;
	if (!l->row)
		return -ENOMEM;
	for (i = 0; i < all; i++) {
		if (location && !jt_loc_match(&s[i].start, location) &&
		    !jt_loc_match(&s[i].at, location))
			continue;
		if (is_harmless(&s[i]))
			l->harmless++;
		else if (o->min_cost > 0 && s[i].cost < o->min_cost)
			l->cheap++;
		else
			l->row[l->n++].s = &s[i];
	}
	qsort(l->row, l->n, sizeof(*l->row),
	      !strcmp(o->sort, "count")	 ? by_count
	      : !strcmp(o->sort, "last") ? by_last
					 : by_cost);
	return 0;
}

/* ---- text ---- */

void site_state(const struct jt_site *s, char buf[24])
{
	if (s->state == JT_STATE_RETRYING && s->limit)
		snprintf(buf, 24, "retrying %u/%u", s->attempts, s->limit);
	else
		snprintf(buf, 24, "%s", jt_state_name(s->state));
}

void site_last(uint64_t last, uint64_t now, char buf[16])
{
	uint64_t s = now > last ? (now - last) / 1000000000u : 0;

	if (!last) /* before we came */
		snprintf(buf, 16, "-");
	else if (s < 100)
		snprintf(buf, 16, "%us", (unsigned int)s);
	else if (s < 6000)
		snprintf(buf, 16, "%um", (unsigned int)(s / 60));
	else
		snprintf(buf, 16, "%uh", (unsigned int)(s / 3600 % 100000));
}

/* Where it stopped; what only the VM's memory tells of has no place. */
const char *site_at(const struct jt_site *s, int width)
{
	return s->scanned && s->at.kind == JT_LOC_NONE ? "?" : short_place(&s->at, (size_t)width);
}

/* "json.lua:58 loop", "json.lua:40 func", "json.lua:74 17/5", for a stitch "trace#17 -> 23". */
void site_started(const struct jt_site *s, char buf[128])
{
	const char *at = short_place(&s->start, 40);

	if (s->kind != JT_SITE_ABORT && s->link)
		snprintf(buf, 128, "%s trace#%u -> %u", at, s->trace, s->link);
	else if (s->kind != JT_SITE_ABORT)
		snprintf(buf, 128, "%s trace#%u", at, s->trace);
	else if (s->trace_kind == EV_TRACE_SIDE)
		snprintf(buf, 128, "%s %u/%u", at, s->parent, s->exitno);
	else if (s->trace_kind == EV_TRACE_STITCHED)
		snprintf(buf, 128, "%s %u/stitch", at, s->parent);
	else
		snprintf(buf, 128, "%s %s", at,
			 s->at_return	? "return"
			 : s->start.pos ? "loop"
					: "func");
}

static void print_stack(const struct jt_site *s)
{
	uint32_t i;

	if (!s->nstack)
		return;
	printf("         Lua stack (%llu of %llu):\n", (unsigned long long)s->stack_count,
	       (unsigned long long)s->count);
	for (i = 0; i < s->nstack; i++) {
		char at[JT_TEXT];

		jt_loc_format(&s->stack[i], at, sizeof(at));
		if (s->stack[i].kind == JT_LOC_LUA)
			printf("           %s (%s)\n",
			       *s->stack[i].name  ? s->stack[i].name
			       : s->stack[i].main ? "main chunk"
						  : "?",
			       at);
		else
			printf("           %s\n", at);
	}
}

/* Cut to the column's width. */
static const char *cut(const char *text, size_t width, char *buf)
{
	size_t len = strlen(text);

	if (len <= width)
		return text;
	while (width > 1 && ((unsigned char)text[width - 1] & 0xc0) == 0x80)
		width--; /* between characters */
	memcpy(buf, text, width - 1);
	strcpy(buf + width - 1, ">");
	return buf;
}

/* What another start's failure led to, from the nearest to the first cause. */
static void print_because(const struct jt_site *s)
{
	const struct jt_because *b;
	uint32_t i;

	if (!s->nbecause)
		return;
	printf("         because of ");
	for (i = s->nbecause; i--;) {
		b = &s->because[i];
		printf("%s (%s)%s",
		       *b->start.name ? b->start.name
		       : b->start.pos ? "loop"
				      : "function",
		       short_place(&b->start, 0), i ? " <- " : "");
	}
	b = &s->because[0];
	printf(": %s%s\n", b->reason, b->inferred ? INFERRED : "");
}

static void print_row(const struct options *o, const struct row *r, uint64_t now, int width)
{
	const struct jt_site *s = r->s;
	char cost[16] = "-", state[24], last[16], started[128], reason[64], why[JT_TEXT + 16];

	if (s->cost >= 0)
		snprintf(cost, sizeof(cost), "%.1f", s->cost);
	site_state(s, state);
	site_last(s->last, now, last);
	site_started(s, started);
	snprintf(why, sizeof(why), "%s%s", s->reason, s->inferred ? INFERRED : "");
	printf("%6s %6llu %5u %4s %-14s %-*s %-38s %s\n", cost, (unsigned long long)s->count,
	       s->recent, last, state, width, site_at(s, width), cut(why, 38, reason), started);
	print_because(s);
	if (o->stacks)
		print_stack(s);
}

/* Why and what helps, once for each kind of row shown. */
static void print_explanations(const struct row *row, size_t n)
{
	const struct explain *seen[16], *e;
	size_t nseen = 0, i, j;

	for (i = 0; i < n && nseen < 16; i++) {
		e = explain_site(row[i].s);
		for (j = 0; j < nseen && seen[j] != e; j++)
			;
		if (!e || j < nseen)
			continue;
		seen[nseen++] = e;
		printf("\n%s\n  Why        %s\n  Effect     %s\n  Usual fix  %s\n", e->words,
		       e->why, e->effect, e->fix);
	}
}

/* Where the CPU time went; what the JIT compiler takes is a cost of aborts too. */
static void print_cpu(const struct jt_costs *c)
{
	static const struct {
		const char *name;
		enum ev_state state;
	} part[] = {{"compiled", EV_STATE_TRACE},
		    {"interpreted", EV_STATE_INTERP},
		    {"C", EV_STATE_C},
		    {"GC", EV_STATE_GC},
		    {"record", EV_STATE_RECORD},
		    {"optimise", EV_STATE_OPT},
		    {"assemble", EV_STATE_ASM},
		    {"exit", EV_STATE_EXIT}};
	size_t i;

	if (!c->all.samples)
		return;
	printf("CPU: %llu samples", (unsigned long long)c->all.samples);
	for (i = 0; i < sizeof(part) / sizeof(part[0]); i++)
		if (c->by_state[part[i].state].samples)
			printf(", %s %.1f%%", part[i].name,
			       100 * (double)c->by_state[part[i].state].samples /
				   (double)c->all.samples);
	printf("\n");
}

static void print_list(const struct options *o, struct jt *jt, const char *location,
		       const struct list *l, uint64_t now)
{
	const struct jt_stats *st = jt_stats(jt);
	const struct row *row = l->row;
	size_t n = l->n, shown = n < o->rows ? n : o->rows, i, len;
	int width = 8;

	printf("%llu aborts, %llu stitches, %llu returns, %llu traces compiled, %llu flushes\n",
	       (unsigned long long)st->aborts, (unsigned long long)st->stitches,
	       (unsigned long long)st->returns, (unsigned long long)st->stops,
	       (unsigned long long)st->flushes);
	print_cpu(jt_costs(jt, now));
	for (i = 0; i < shown; i++) {
		len = strlen(site_at(row[i].s, 30));
		width = (int)len > width ? (int)len : width;
	}
	if (n)
		printf("%6s %6s %5s %4s %-14s %-*s %-38s %s\n", "COST%", "COUNT", "60S", "LAST",
		       "STATE", width, "ABORT AT", "REASON", "TRACE STARTED AT");
	for (i = 0; i < shown; i++) {
		if (i && row[i].s->kind == JT_SITE_STITCH && row[i - 1].s->kind == JT_SITE_ABORT &&
		    !strcmp(o->sort, "cost"))
			printf(
			    "-- stitched calls: the trace ends, a C function runs, another trace "
			    "resumes --\n");
		print_row(o, &row[i], now, width);
	}
	if (n > shown)
		printf("  ... %zu more\n", n - shown);
	if (!n)
		printf("nothing%s%s\n", location ? " at " : "",
		       location ? printable(location) : "");
	if (l->harmless)
		printf("%zu functions that end in 'return' are not shown: they are no failures\n",
		       l->harmless);
	if (l->cheap)
		printf("%zu that cost less than %g%% are not shown\n", l->cheap, o->min_cost);
	if (location)
		print_explanations(row, shown);
}

/* ---- JSON ---- */

static json_t *json_stack(const struct jt_site *s)
{
	json_t *list = json_array();
	uint32_t i;

	for (i = 0; i < s->nstack; i++)
		json_array_append_new(list, json_place(&s->stack[i]));
	return list;
}

static json_t *json_processes(const struct jt_site *s)
{
	json_t *list = json_array();
	uint32_t i;

	for (i = 0; i < s->nprocs; i++)
		json_array_append_new(list,
				      json_pack("{s:I,s:I}", "pid", (json_int_t)s->proc[i].pid,
						"count", (json_int_t)s->proc[i].count));
	return list;
}

static double seconds(const struct jt *jt, uint64_t time)
{
	uint64_t real = jt_realtime(jt, time);

	return (double)(real ? real : time) / 1e9;
}

static json_t *json_because(const struct jt_site *s)
{
	json_t *list = json_array(), *j;
	uint32_t i;

	for (i = 0; i < s->nbecause; i++) {
		j = json_pack("{s:s,s:b}", "reason", s->because[i].reason, "inferred",
			      s->because[i].inferred);
		if (j)
			json_object_set_new(j, "start", json_place(&s->because[i].start));
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *json_row(const struct options *o, const struct jt *jt, const struct row *r)
{
	static const char *const kinds[] = {"abort", "stitch", "return"};
	static const char *const trace_kinds[] = {"", "root", "side", "stitch"};
	const struct jt_site *s = r->s;
	json_t *j =
	    json_pack("{s:s,s:s,s:s,s:I,s:I,s:f,s:f,s:s,s:I,s:I}", "kind", kinds[s->kind], "reason",
		      s->reason, "subject", s->subject, "count", (json_int_t)s->count, "last_60_s",
		      (json_int_t)s->recent, "first", seconds(jt, s->first), "last",
		      seconds(jt, s->last), "state", jt_state_name(s->state), "attempts",
		      (json_int_t)s->attempts, "limit", (json_int_t)s->limit);

	if (!j)
		return NULL;
	json_object_set_new(j, "cost_percent", s->cost >= 0 ? json_real(s->cost) : json_null());
	json_object_set_new(j, "error",
			    s->err < ERR_MAX ? json_string(err_id_name(s->err)) : json_null());
	json_object_set_new(j, "at", json_place(&s->at));
	json_object_set_new(j, "start", json_place(&s->start));
	json_object_set_new(j, "from_memory", json_boolean(s->scanned));
	json_object_set_new(j, "inferred", json_boolean(s->inferred));
	json_object_set_new(j, "because_of", json_because(s));
	json_object_set_new(j, "trace_kind", json_string(trace_kinds[s->trace_kind & 3]));
	json_object_set_new(j, "parent", json_integer(s->parent));
	json_object_set_new(j, "exit", json_integer(s->exitno));
	json_object_set_new(j, "trace", json_integer(s->trace));
	json_object_set_new(j, "link", json_integer(s->link));
	json_object_set_new(j, "vms", json_integer(s->vms));
	json_object_set_new(j, "vms_given_up", json_integer(s->vms_black));
	json_object_set_new(j, "processes", json_processes(s));
	json_object_set_new(j, "low", json_boolean(site_is_low(s)));
	if (o->stacks) {
		json_object_set_new(j, "stack", json_stack(s));
		json_object_set_new(j, "stack_count", json_integer((json_int_t)s->stack_count));
	}
	return j;
}

static json_t *json_cpu(const struct jt_costs *c)
{
	json_t *j = json_pack("{s:I,s:I}", "samples", (json_int_t)c->all.samples, "charged",
			      (json_int_t)c->charged.samples),
	       *states = json_object();
	size_t i;

	for (i = 0; i < EV_STATE_MAX; i++)
		json_object_set_new(states, state_name((unsigned int)i),
				    json_integer((json_int_t)c->by_state[i].samples));
	json_object_set_new(j, "by_state", states);
	return j;
}

static void print_json_list(const struct jit_tap *t, const struct list *l)
{
	const struct jt_stats *s = jt_stats(t->jt);
	json_t *list = json_array(), *j;
	size_t i;

	for (i = 0; i < l->n; i++)
		json_array_append_new(list, json_row(t->o, t->jt, &l->row[i]));
	j = json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}",
		      "schema", "ljx.nyi/1", "starts", (json_int_t)s->starts, "only_counted",
		      (json_int_t)s->tallied, "elsewhere", (json_int_t)s->elsewhere, "aborts",
		      (json_int_t)s->aborts, "stops", (json_int_t)s->stops, "stitches",
		      (json_int_t)s->stitches, "returns", (json_int_t)s->returns, "flushes",
		      (json_int_t)s->flushes, "undefined", (json_int_t)s->undefined, "missed",
		      (json_int_t)s->missed, "dropped_sites", (json_int_t)s->dropped_sites,
		      "vms_not_watched", (json_int_t)s->unwatched, "hidden",
		      (json_int_t)l->harmless, "cheap", (json_int_t)l->cheap, "cpu",
		      json_cpu(jt_costs(t->jt, t->now)), "sites", list);
	if (!j)
		return;
	json_dumpf(j, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(j);
}

/* [LOCATION] [FILE.ljx], in any order. 0, or an exit code, printed. */
static int operands(const struct options *o, const char **location, const char **file)
{
	struct why why = {.code = 0};
	size_t i;

	*location = *file = NULL;
	for (i = 0; i < o->nargs; i++) {
		const char **to = is_recording(o->arg[i]) ? file : location;

		if (*to) {
			why_set(&why, WHY_USAGE, -EINVAL, "nyi takes one %s, not also '%s'",
				to == file ? "recording" : "location", printable(o->arg[i]));
			return complain(o, &why);
		}
		*to = o->arg[i];
	}
	return 0;
}

/* Prints the list as it is now. Returns the exit code; *n: how many are in it. */
static int print_now(struct jit_tap *t, const char *location, size_t *n)
{
	struct why why = {.code = 0};
	struct list l;

	if (choose(t->o, t->jt, t->now, location, &l)) {
		why_set(&why, WHY_INTERNAL, -ENOMEM, "out of memory");
		return complain(t->o, &why);
	}
	if (t->o->json)
		print_json_list(t, &l);
	else
		print_list(t->o, t->jt, location, &l, t->now);
	free(l.row);
	*n = l.n;
	return 0;
}

static void watch(struct jit_tap *t)
{
	const char *location, *file;
	size_t n;

	if (operands(t->o, &location, &file))
		return;
	if (!t->o->json)
		printf("%s", isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n");
	print_now(t, location, &n);
}

int verb_nyi(const struct options *o)
{
	const char *location, *file;
	struct jit_tap t;
	int code = operands(o, &location, &file), failed = 0;
	size_t n = 0;

	if (!code)
		code = jit_tap_init(&t, o, file);
	if (code)
		return code;
	t.samples = 1;
	t.tick = o->watch ? watch : NULL;
	code = jit_run(&t);
	if (!code || o->cmd)
		failed = print_now(&t, location, &n);
	code = code ? code : failed;
	jit_tap_release(&t);
	return !code && o->check && n ? FOUND_ANY : code;
}
