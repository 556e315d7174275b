// SPDX-License-Identifier: MIT
/* ljx traces: the traces that were compiled and live, as a tree. */
#include "bytecode/jitnames.h"
#include "tui/ljx.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 20u

struct view {
	const struct options *o;
	uint64_t samples; /* of the target */
	const struct jt_trace *t;
	size_t n;
	const struct jt_vm_info *vm;
	size_t nvms;
	unsigned int shown;
};

static int same_vm(const struct jt_trace *a, const struct jt_trace *b)
{
	return a->pid == b->pid && a->vm == b->vm;
}

/* Trace number of the same VM as like; they are sorted by VM and number. */
static const struct jt_trace *find(const struct view *v, const struct jt_trace *like,
				   uint32_t number)
{
	size_t lo = 0, hi = v->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct jt_trace *t = &v->t[mid];
		int less = t->pid != like->pid ? t->pid < like->pid
			   : t->vm != like->vm ? t->vm < like->vm
					       : t->trace < number;

		if (less)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->n && same_vm(&v->t[lo], like) && v->t[lo].trace == number ? &v->t[lo] : NULL;
}

void trace_link_text(const struct jt_trace *t, char buf[48])
{
	const char *name = trace_link_name(t->linktype);

	if (t->linktype == LINK_INTERP)
		snprintf(buf, 48, "interpreter");
	else if (t->linktype == LINK_STITCH)
		snprintf(buf, 48, t->link ? "stitch %u" : "stitch", t->link);
	else if (t->link == t->trace || !t->link)
		snprintf(buf, 48, "%s", name ? name : "?");
	else
		snprintf(buf, 48, "-> %u", t->link);
}

/* "(17/5)", "(17/stitch)", "loop", "func". */
void trace_from_text(const struct jt_trace *t, char buf[48])
{
	if (t->kind == EV_TRACE_SIDE && !t->parent) /* memory did not tell */
		snprintf(buf, 48, "(?, root %u)", t->root);
	else if (t->kind == EV_TRACE_SIDE)
		snprintf(buf, 48, "(%u/%u)", t->parent, t->exitno);
	else if (t->kind == EV_TRACE_STITCHED)
		snprintf(buf, 48, "(%u/stitch)", t->parent);
	else
		snprintf(buf, 48, "%s", t->at_return ? "return" : t->start.pos ? "loop" : "func");
}

static void self_text(const struct view *v, const struct jt_trace *t, char buf[16])
{
	snprintf(buf, 16, v->samples ? "%.1f" : "-",
		 100 * (double)t->samples.samples / (double)v->samples);
}

static void print_trace(struct view *v, const struct jt_trace *t, unsigned int depth)
{
	char number[32], link[48], from[48], self[16], retrying[48] = "";

	if (v->shown++ >= v->o->rows)
		return;
	trace_link_text(t, link);
	trace_from_text(t, from);
	self_text(v, t, self);
	if (t->nretrying)
		snprintf(retrying, sizeof(retrying), " [exits being retried: %u]", t->nretrying);
	snprintf(number, sizeof(number), "%*s%s%u", (int)(depth < 6 ? depth : 6), "",
		 depth ? "`" : "", t->trace);
	printf(" %-10s %3u %5s %-14s %5u %7u %4u %6u %s %s  %s%s\n", number, t->epoch + 1, self,
	       link, t->nins, t->szmcode, t->nsnap, t->aborts, short_place(&t->start, 40), from,
	       t->start.name, retrying);
}

/* Below which trace it is shown. */
uint32_t trace_parent(const struct jt_trace *t)
{
	return t->parent ? t->parent : t->root;
}

static void print_tree(struct view *v, const struct jt_trace *t, unsigned int depth)
{
	const struct jt_trace *c;

	print_trace(v, t, depth);
	if (depth >= DEPTH_MAX || v->shown >= v->o->rows)
		return;
	for (c = v->t; c < v->t + v->n; c++)
		if (trace_parent(c) == t->trace && c != t && same_vm(c, t))
			print_tree(v, c, depth + 1);
}

static int is_root(const struct view *v, const struct jt_trace *t)
{
	return !trace_parent(t) || trace_parent(t) == t->trace || !find(v, t, trace_parent(t));
}

/* The VM of a trace. NULL: out of memory. */
static const struct jt_vm_info *vm_of(const struct view *v, const struct jt_trace *t)
{
	size_t i;

	for (i = 0; i < v->nvms; i++)
		if (v->vm[i].pid == t->pid && v->vm[i].vm == t->vm)
			return &v->vm[i];
	return NULL;
}

static void print_vm_head(const struct view *v, const struct jt_trace *t)
{
	const struct jt_vm_info *vm = vm_of(v, t);
	uint64_t mcode = 0, live = 0;
	const struct jt_trace *c;

	for (c = t; c < v->t + v->n && same_vm(c, t); c++) {
		mcode += c->szmcode;
		live++;
	}
	printf("%s %u", t->comm, t->pid);
	if (t->vm > 1)
		printf(" VM %u", t->vm);
	printf(": %llu live, %u flushes, machine code %.1f KB\n", (unsigned long long)live,
	       t->epoch, (double)mcode / 1024);
	if (vm)
		print_vm_limits(vm);
	printf(" %-10s %3s %5s %-14s %5s %7s %4s %6s %s\n", "TRACE", "GEN", "SELF%", "LINK", "IR",
	       "MCODE", "SNAP", "ABORTS", "START, FUNCTION");
}

static void print_all(struct view *v)
{
	const struct jt_trace *t;

	for (t = v->t; t < v->t + v->n; t++) {
		if (v->shown >= v->o->rows) /* count the rest, which is not printed */
			break;
		if (t == v->t || !same_vm(t, t - 1))
			print_vm_head(v, t);
		if (is_root(v, t))
			print_tree(v, t, 0);
	}
	if (v->n > v->o->rows)
		printf("  ... %zu more\n", v->n - v->o->rows);
	if (!v->n)
		printf("no traces\n");
}

static void print_one(const struct view *v, const struct jt_trace *t)
{
	const struct jt_trace *c;
	char at[JT_TEXT], link[48], from[48], self[16];

	jt_loc_format(&t->start, at, sizeof(at));
	trace_link_text(t, link);
	trace_from_text(t, from);
	printf("trace %u of %s %u%s, generation %u\n", t->trace, t->comm, t->pid,
	       t->vm > 1 ? " (not its first VM)" : "", t->epoch + 1);
	printf("  Starts    %s %s%s%s\n", at, from, *t->start.name ? " in " : "", t->start.name);
	jt_loc_format(&t->end, at, sizeof(at));
	printf("  Ends      %s%s%s\n", link, t->end.kind == JT_LOC_NONE ? "" : " at ",
	       t->end.kind == JT_LOC_NONE ? "" : at);
	if (t->root)
		printf("  Root      %u\n", t->root);
	printf("  Size      %u IR instructions, %u bytes of machine code at 0x%llx, %u snapshots\n",
	       t->nins, t->szmcode, (unsigned long long)t->mcode, t->nsnap);
	self_text(v, t, self);
	printf("  CPU       %s%% of the samples\n", self);
	printf("  History   %u attempts failed before it compiled\n", t->aborts);
	for (c = v->t; c < v->t + v->n; c++)
		if (trace_parent(c) == t->trace && c != t && same_vm(c, t)) {
			trace_link_text(c, link);
			trace_from_text(c, from);
			printf("  Child     %u %s %s, %s\n", c->trace, from,
			       short_place(&c->start, 0), link);
		}
	print_exits(t);
}

static json_t *json_trace(const struct view *v, const struct jt *jt, const struct jt_trace *t)
{
	static const char *const kinds[] = {"", "root", "side", "stitch"};
	uint64_t real = jt_realtime(jt, t->time);
	const char *link = trace_link_name(t->linktype);
	json_t *j = json_pack(
	    "{s:I,s:I,s:I,s:I,s:s,s:I,s:I,s:I,s:I,s:s,s:I,s:I,s:I,s:I,s:I,s:f}", "pid",
	    (json_int_t)t->pid, "vm", (json_int_t)t->vm, "trace", (json_int_t)t->trace,
	    "generation", (json_int_t)t->epoch + 1, "kind", kinds[t->kind & 3], "parent",
	    (json_int_t)t->parent, "exit", (json_int_t)t->exitno, "root", (json_int_t)t->root,
	    "link", (json_int_t)t->link, "linktype", link ? link : "", "ir", (json_int_t)t->nins,
	    "mcode_bytes", (json_int_t)t->szmcode, "snapshots", (json_int_t)t->nsnap, "children",
	    (json_int_t)t->children, "aborts_before", (json_int_t)t->aborts, "time",
	    (double)(real ? real : t->time) / 1e9);

	if (!j)
		return NULL;
	json_object_set_new(j, "start", json_place(&t->start));
	json_object_set_new(j, "end", json_place(&t->end));
	json_object_set_new(j, "parent_known", json_boolean(t->kind != EV_TRACE_SIDE || t->parent));
	json_object_set_new(j, "exits", json_exits(t));
	json_object_set_new(j, "self_percent",
			    v->samples
				? json_real(100 * (double)t->samples.samples / (double)v->samples)
				: json_null());
	return j;
}

static void print_json_traces(const struct view *v, const struct jt *jt, uint32_t only)
{
	const struct jt_stats *s = jt_stats(jt);
	json_t *list = json_array(), *vms = json_array(), *j;
	size_t i;

	for (i = 0; i < v->nvms; i++)
		json_array_append_new(vms, json_vm(&v->vm[i]));
	for (i = 0; i < v->n; i++)
		if (!only || v->t[i].trace == only)
			json_array_append_new(list, json_trace(v, jt, &v->t[i]));
	j = json_pack("{s:s,s:I,s:I,s:I,s:I,s:o,s:o}", "schema", "ljx.traces/1", "aborts",
		      (json_int_t)s->aborts, "flushes", (json_int_t)s->flushes, "missed",
		      (json_int_t)s->missed, "dropped_traces", (json_int_t)s->dropped_traces, "vms",
		      vms, "traces", list);
	if (!j)
		return;
	json_dumpf(j, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(j);
}

/* [NUMBER] [FILE.ljx]. 0, or an exit code, printed. */
static int operands(const struct options *o, uint32_t *number, const char **file)
{
	struct why why = {.code = 0};
	size_t i;

	*number = 0;
	*file = NULL;
	for (i = 0; i < o->nargs; i++) {
		char *end;
		unsigned long v = strtoul(o->arg[i], &end, 10);

		if (is_recording(o->arg[i]) && !*file) {
			*file = o->arg[i];
		} else if (!*number && !*end && v && v < 65536) {
			*number = (uint32_t)v;
		} else {
			why_set(&why, WHY_USAGE, -EINVAL, "traces takes no operand '%s'",
				printable(o->arg[i]));
			return complain(o, &why);
		}
	}
	return 0;
}

static int show(const struct options *o, struct jt *jt, uint32_t number)
{
	struct view v = {.o = o, .samples = jt_costs(jt, 0)->all.samples};
	struct why why = {.code = 0};
	size_t i, found = 0;

	v.t = jt_traces(jt, &v.n);
	v.vm = jt_vms(jt, &v.nvms);
	if (!v.t || !v.vm) {
		why_set(&why, WHY_INTERNAL, -ENOMEM, "out of memory");
		return complain(o, &why);
	}
	if (o->json) {
		print_json_traces(&v, jt, number);
		return 0;
	}
	if (!number) {
		print_all(&v);
		return 0;
	}
	for (i = 0; i < v.n; i++)
		if (v.t[i].trace == number) {
			print_one(&v, &v.t[i]);
			found++;
		}
	if (found)
		return 0;
	why_set(&why, WHY_EMPTY, -ENOENT, "no trace %u lives", number);
	return complain(o, &why);
}

int verb_traces(const struct options *o)
{
	const char *file;
	struct jit_tap t;
	uint32_t number;
	int code = operands(o, &number, &file), shown;

	if (!code)
		code = jit_tap_init(&t, o, file);
	if (code)
		return code;
	t.samples = 1;
	code = jit_run(&t);
	shown = !code || o->cmd ? show(o, t.jt, number) : 0;
	jit_tap_release(&t);
	return code ? code : shown;
}
