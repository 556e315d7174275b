// SPDX-License-Identifier: MIT
/* ljx annotate: source and bytecode with shares of the samples, aborts and traces. */
#include "tui/annotate.h"
#include "tui/ljx.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define FILES_SHOWN 8

/* What the run feeds. */
struct sinks {
	struct prof *prof;
	struct lines *lines;
};

static int fold(struct jit_tap *t, const struct ev_hdr *h)
{
	struct sinks *f = t->ctx;
	int err = prof_add(f->prof, h);

	return err ? err : lines_add(f->lines, h);
}

/* ---- text ---- */

static const char *percent(double v, char buf[16])
{
	if (v < 0)
		return "";
	snprintf(buf, 16, "%.0f", v);
	return buf;
}

static void print_item(const struct annotate_item *i, const char *text)
{
	int code = i->kind == ANNOTATE_CODE;
	char self[16] = "", n[16], in[16], aborts[24] = "", trace[16] = "", line[16] = "";

	if (i->kind == ANNOTATE_TITLE) {
		printf("%39s%s\n", "", text);
		return;
	}
	/* A line without code has no share. */
	if (i->samples || code || i->has_code)
		snprintf(self, sizeof(self), "%.1f", i->self);
	if (code)
		snprintf(aborts, sizeof(aborts), "%s", i->stopped ? "!" : "");
	else if (i->aborts)
		snprintf(aborts, sizeof(aborts), "%llu", (unsigned long long)i->aborts);
	if (i->trace && (!code || i->root))
		snprintf(trace, sizeof(trace), "%s%u", i->root ? "*" : "", i->trace);
	if (!code)
		snprintf(line, sizeof(line), "%u", i->line);
	printf("%6s %3s %3s %6s %6s %5s   %s%s%s%s\n", self, percent(i->compiled, n),
	       percent(i->interpreted, in), aborts, trace, line, code ? "    " : "", text,
	       i->note ? (code ? "  ; " : "  -- ") : "", i->note ? i->note : "");
}

/* Bytecode is shown under the lines that are worth it, or all, or alone. */
static void print_items(const struct options *o, const struct annotate *a, int source)
{
	int show = 0;
	size_t i;

	printf("%6s %3s %3s %6s %6s %5s   %s\n", "SELF%", "N", "I", "ABRT", "TR", "LINE",
	       !source ? "BYTECODE" : "SOURCE / BYTECODE");
	for (i = 0; i < a->n; i++) {
		const struct annotate_item *item = &a->item[i];

		if (item->kind == ANNOTATE_SOURCE) {
			show = !source || o->bytecode || item->hot;
			if (source || item->has_code)
				print_item(item, source ? item->text : "");
		} else if (show) {
			print_item(item, item->text);
		}
	}
}

static void print_text(const struct options *o, const struct annotate *a,
		       const struct annotate_choice *c, const struct source *src)
{
	int source = src->n && !o->no_source;

	printf("%s%s%s", a->name, *a->name ? "  " : "", a->file);
	if (c->to < INT32_MAX)
		printf(":%u-%u", a->from, a->to);
	printf("  self %.1f%%", a->self);
	if (a->total >= 0)
		printf("  total %.1f%%", a->total);
	printf("  of %llu samples\n", (unsigned long long)a->samples);
	print_items(o, a, source);
	printf(
	    "\nN, I: percent of a line's samples in compiled code, interpreted. ABRT: recordings "
	    "that stopped\n! here. TR: trace that covers the line, * a root trace starts here. "
	    "Compiled code whose\nline in the trace is not known counts where its trace starts.\n");
	if (a->unknown >= 0.05)
		printf("%.1f%% at no known line\n", a->unknown);
	if (c->others)
		printf("%zu more match; this one has the most samples\n", c->others);
	printf("%s\n", src->status);
}

/* ---- JSON ---- */

static json_t *number(double v)
{
	return v < 0 ? json_null() : json_real(v);
}

static json_t *json_item(const struct annotate_item *i)
{
	json_t *j = json_pack("{s:s,s:I,s:f,s:o,s:o,s:I}", "text", i->text, "samples",
			      (json_int_t)i->samples, "self_percent", i->self, "compiled_percent",
			      number(i->compiled), "interpreted_percent", number(i->interpreted),
			      "aborts", (json_int_t)i->aborts);

	if (!j)
		return NULL;
	json_object_set_new(j, "trace", i->trace ? json_integer(i->trace) : json_null());
	json_object_set_new(j, "root", json_boolean(i->root));
	json_object_set_new(j, "blacklisted", json_boolean(i->black));
	json_object_set_new(j, "note", i->note ? json_string(i->note) : json_null());
	if (i->kind == ANNOTATE_SOURCE) {
		json_object_set_new(j, "line", json_integer(i->line));
		json_object_set_new(j, "code", json_array());
	} else {
		json_object_set_new(j, "position",
				    i->pos == EV_NO_PC ? json_null() : json_integer(i->pos));
		json_object_set_new(j, "stopped", json_boolean(i->stopped));
	}
	return j;
}

static void print_json_model(const struct annotate *a, const struct annotate_choice *c,
			     const struct source *src)
{
	json_t *lines = json_array(), *line = NULL, *code, *j;
	size_t i;

	for (i = 0; i < a->n; i++) {
		const struct annotate_item *item = &a->item[i];

		if (item->kind == ANNOTATE_SOURCE) {
			line = json_item(item);
			json_array_append_new(lines, line);
		} else if (item->kind == ANNOTATE_CODE) {
			code = line ? json_object_get(line, "code") : NULL;
			json_array_append_new(code, json_item(item));
		}
	}
	j = json_pack("{s:s,s:s,s:s,s:i,s:o,s:I,s:f,s:o,s:f,s:I,s:s,s:b,s:o}", "schema",
		      "ljx.annotate/1", "name", a->name, "file", a->file, "from", (int)a->from,
		      "to", c->to < INT32_MAX ? json_integer(a->to) : json_null(), "samples",
		      (json_int_t)a->samples, "self_percent", a->self, "total_percent",
		      number(a->total), "unknown_percent", a->unknown, "others",
		      (json_int_t)c->others, "source", printable(src->status), "has_source",
		      src->n != 0, "lines", lines);
	if (j)
		json_dumpf(j, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(j);
}

/* ---- the verb ---- */

/* Nothing matched: says what there is. */
static void none_found(const struct options *o, const struct annotate_input *in, struct why *why)
{
	const struct lines_func *f;
	size_t n, i, k, shown = 0;

	f = lines_funcs(in->lines, &n);
	why_set(why, WHY_EMPTY, -ENOENT, "no function of the samples matches '%s'",
		printable(o->arg[0]));
	for (i = 0; i < n && shown < FILES_SHOWN; i++) {
		const char *file = prof_frame(in->prof, f[i].frame)->file;

		for (k = 0; k < i && (!f[k].total || strcmp(f[k].chunk, f[i].chunk) != 0); k++)
			;
		if (!f[i].total || k < i)
			continue;
		why_hint(why, "%s%s",
			 shown++ ? "              " : "There were in: ", printable(file));
	}
}

static int show(const struct options *o, const struct annotate_input *in, int live, struct why *why)
{
	struct annotate_choice c = {.chunk = NULL};
	struct annotate a = {.n = 0};
	struct source src;
	int err = prof_finish(in->prof);

	if (!err)
		err = annotate_choose(in, o->arg[0], &c);
	if (err == -ENOENT)
		none_found(o, in, why);
	if (err)
		return err;
	source_read(&src, live ? c.pid : 0, jt_realtime(in->jt, prof_stats(in->prof)->first_time),
		    c.chunk, c.flags);
	err = annotate_build(in, &c, &src, &a);
	if (!err && !a.n) { /* lines that are not there */
		err = -ENOENT;
		none_found(o, in, why);
	}
	if (!err && o->json)
		print_json_model(&a, &c, &src);
	else if (!err)
		print_text(o, &a, &c, &src);
	annotate_release(&a);
	source_release(&src);
	annotate_choice_release(&c);
	return err;
}

static int run(const struct options *o, const char *file)
{
	struct why why = {.code = 0};
	struct sinks f = {NULL, NULL};
	struct prof_opts po = {.lines = 0};
	struct annotate_input in;
	struct jit_tap t;
	int code = jit_tap_init(&t, o, file), err = 0;

	if (code)
		return code;
	po.pid = t.pid;
	f.prof = prof_new(&po);
	f.lines = f.prof ? lines_new(f.prof) : NULL;
	t.ctx = &f;
	t.record = fold;
	t.samples = t.code = 1;
	if (!f.lines)
		err = -ENOMEM;
	else
		code = jit_run(&t);
	in = (struct annotate_input){f.prof, f.lines, t.jt, t.now, 0};
	if (!err && (!code || o->cmd))
		err = show(o, &in, !file, &why);
	if (err)
		why_set(&why, WHY_INTERNAL, err, "%s", strerror(-err));
	if (why.code)
		code = complain(o, &why);
	lines_free(f.lines);
	prof_free(f.prof);
	jit_tap_release(&t);
	return code;
}

int verb_annotate(const struct options *o)
{
	struct why why = {.code = 0};
	const char *file = o->nargs > 1 ? o->arg[1] : NULL;

	if (!o->nargs || is_recording(o->arg[0])) {
		why_set(&why, WHY_USAGE, -EINVAL, "annotate what?");
		why_hint(&why, "Say FILE, FILE:LINE, FILE:A-B or func:NAME, then options or a "
			       "recording.");
	} else if (o->nargs > 2 || (file && !is_recording(file))) {
		why_set(&why, WHY_USAGE, -EINVAL, "'%s' is no recording",
			printable(o->arg[o->nargs > 2 ? 2 : 1]));
	}
	return why.code ? complain(o, &why) : run(o, file);
}
