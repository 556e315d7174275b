// SPDX-License-Identifier: MIT
/* ljx bc -l: the bytecode of prototypes of a live process. */
#include "bpf/code.h"
#include "bpf/evidence.h"
#include "bpf/protoscan.h"
#include "bpf/snapshot.h"
#include "profiler/label.h"
#include "tui/names.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define FOUND_MAX 65536 /* prototypes of a process that are looked at */
#define DEPTH_MAX 256	/* functions in functions; LuaJIT's parser allows fewer */
#define RUNNING_MS 100
#define FILES_SHOWN 8

/* A prototype of the process. */
struct found {
	uint64_t pt;
	const struct layout *l;
	char *chunk; /* as shown; NULL: it is gone */
	char *name;  /* by what its parent stores it in; NULL: not known */
	int32_t firstline, lastline;
	uint64_t *child;
	size_t nchildren;
	int wanted, inner, done; /* inner: a wanted one lists it */
	UT_hash_handle hh;
};

struct finder {
	const struct options *o;
	int pid;
	struct resolve *resolve;
	const struct vm_list *vms;
	const struct layout *l; /* of what the scan finds */
	struct found *all;
	size_t dropped;
};

static struct found *find(struct finder *f, uint64_t pt)
{
	struct found *p;

	HASH_FIND(hh, f->all, &pt, sizeof(pt), p);
	return p;
}

static int remember(struct finder *f, uint64_t pt, const struct layout *l)
{
	struct found *p = find(f, pt);

	if (p)
		return 0;
	if (HASH_COUNT(f->all) >= FOUND_MAX) {
		f->dropped++;
		return 0;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->pt = pt;
	p->l = l;
	HASH_ADD(hh, f->all, pt, sizeof(p->pt), p);
	return 0;
}

static void release(struct finder *f)
{
	struct found *p, *tmp;

	HASH_ITER(hh, f->all, p, tmp)
	{
		HASH_DEL(f->all, p);
		free(p->chunk);
		free(p->name);
		free(p->child);
		free(p);
	}
	resolve_free(f->resolve);
}

/* ---- which there are ---- */

/* The definitions that come with stacks. */
static int on_stack(void *ctx, const struct ev_hdr *h)
{
	const struct ev_func *e = (const void *)h;
	struct finder *f = ctx;
	size_t i;

	if (h->kind != EV_FUNC || (int)h->pid != f->pid || !f->vms)
		return 0;
	for (i = 0; i < f->vms->n; i++)
		if (f->vms->vm[i].g == e->g)
			return remember(f, e->pt, &f->vms->vm[i].row->l);
	return 0;
}

static int in_memory(void *ctx, uint64_t pt, const struct proto_head *h)
{
	struct finder *f = ctx;

	(void)h;
	return remember(f, pt, f->l);
}

/* What runs Lua code at this moment has its stack in registers: only samples tell. */
static void sample_running(struct finder *f)
{
	struct capture_opts co = {.rate = 999};
	struct capture *c;

	if (capture_new(&co, on_stack, f, &c, NULL))
		return;
	if (!capture_add(c, f->pid, NULL) && !capture_start(c, NULL) &&
	    !capture_poll(c, RUNNING_MS))
		capture_stop(c);
	capture_free(c);
}

/* All in the process's memory, once for each layout that its VMs have. */
static int scan(struct finder *f)
{
	size_t i, j;
	int err = 0;

	for (i = 0; i < f->vms->n && !err; i++) {
		for (j = 0; j < i && f->vms->vm[j].row != f->vms->vm[i].row; j++)
			;
		if (j < i)
			continue;
		f->l = &f->vms->vm[i].row->l;
		err = protoscan(f->pid, resolve_maps(f->resolve, f->pid), &f->vms->vm[i], in_memory,
				f);
	}
	return err;
}

static int gather(struct finder *f, struct why *why)
{
	unsigned int waited_ms = 0;
	int has_code = 0, err;

	f->resolve = resolve_new(on_stack, f, NULL);
	err = f->resolve ? resolve_look(f->resolve, f->pid, &waited_ms, &f->vms, &has_code, NULL)
			 : -ENOMEM;
	if (err)
		return capture_why_attach(why, f->pid, err);
	if (!f->vms->n)
		return why_set(why, WHY_UNSUPPORTED, -ENOEXEC, "pid %d %s", f->pid,
			       has_code ? "has no Lua state that could be verified"
					: "is not a LuaJIT process");
	sample_running(f);
	err = snapshot(f->resolve, f->pid, f->vms);
	if (!err && f->o->nargs)
		err = scan(f);
	if (err)
		return why_set(why, WHY_INTERNAL, err, "cannot read the memory of pid %d: %s",
			       f->pid, strerror(-err));
	return 0;
}

/* ---- which are meant ---- */

static int read_code(const struct finder *f, const struct found *p, struct code *c)
{
	return code_read(f->pid, f->vms, p->l, p->pt, c);
}

/* Does it have an instruction that LOCATION means? */
static int has_line(const struct found *p, const struct code *c, const char *location)
{
	struct jt_loc loc = {.kind = JT_LOC_LUA, .file = p->chunk, .name = ""};
	uint32_t pos;

	for (pos = 0; pos < c->pt.h.sizebc; pos++) {
		uint32_t line = (uint32_t)code_line(c, pos);

		if (pos && line == loc.line)
			continue;
		loc.line = line;
		if (jt_loc_match(&loc, location))
			return 1;
	}
	return 0;
}

static void name_child(struct finder *f, const struct code *c, uint32_t idx, uint64_t pt)
{
	struct found *child = find(f, pt);
	char name[256];

	if (child && !child->name && !code_child_name(c, idx, name, sizeof(name)))
		child->name = strdup(name);
}

static int examine(struct finder *f, struct found *p)
{
	uint32_t i;
	char shown[LABEL_MAX + 1];
	struct code c;
	uint64_t pt;
	int err = read_code(f, p, &c);

	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	label_chunk(shown, c.chunk, c.pt.h.firstline == -1 ? EV_FUNC_BUILTIN : 0);
	p->chunk = strdup(shown);
	p->child = calloc(c.pt.h.sizekgc + 1u, sizeof(*p->child));
	p->firstline = c.pt.h.firstline;
	p->lastline = (int32_t)((uint32_t)p->firstline + (uint32_t)c.pt.h.numline);
	err = p->chunk && p->child ? 0 : -ENOMEM;
	for (i = 0; i < c.pt.h.sizekgc && !err; i++) {
		pt = code_child(&c, i);
		if (!pt)
			continue;
		p->child[p->nchildren++] = pt;
		name_child(f, &c, i, pt);
	}
	if (!err)
		p->wanted = !f->o->nargs || has_line(p, &c, f->o->arg[0]);
	code_release(&c);
	return err;
}

static int choose(struct finder *f)
{
	const char *location = f->o->nargs ? f->o->arg[0] : NULL;
	struct found *p, *q, *tmp;
	size_t i;
	int err;

	HASH_ITER(hh, f->all, p, tmp)
	{
		err = examine(f, p);
		if (err)
			return err;
	}
	HASH_ITER(hh, f->all, p, tmp)
	if (p->chunk && p->name && location && !strncmp(location, "func:", 5))
		p->wanted = !strcmp(p->name, location + 5);
	HASH_ITER(hh, f->all, p, tmp)
	for (i = 0; p->wanted && i < p->nchildren; i++) {
		q = find(f, p->child[i]);
		if (q && q != p)
			q->inner = 1;
	}
	return 0;
}

static int by_place(const struct found *a, const struct found *b)
{
	int c = strcmp(a->chunk ? a->chunk : "", b->chunk ? b->chunk : "");

	if (c)
		return c;
	if (a->firstline != b->firstline)
		return a->firstline < b->firstline ? -1 : 1;
	if (a->lastline != b->lastline)
		return a->lastline < b->lastline ? -1 : 1;
	return a->pt < b->pt ? -1 : a->pt > b->pt;
}

/* ---- output ---- */

struct listing {
	uint64_t hash;
	UT_hash_handle hh;
};

struct printer {
	struct finder *f;
	int constants;
	json_t *json; /* NULL: text */
	struct listing *seen;
	size_t printed, copies;
	/* the listing under way */
	char *text;
	size_t len, cap;
};

static int add_line(void *ctx, uint32_t pos, const char *line)
{
	struct printer *out = ctx;
	const char *clean = printable(line);
	size_t n = strlen(clean), cap;
	char *text;

	(void)pos;
	if (out->len + n + 2 > out->cap) {
		cap = 2 * (out->len + n + 2);
		text = realloc(out->text, cap);
		if (!text)
			return -ENOMEM;
		out->text = text;
		out->cap = cap;
	}
	memcpy(out->text + out->len, clean, n);
	out->len += n;
	out->text[out->len++] = '\n';
	out->text[out->len] = '\0';
	return 0;
}

/* 1: this text was printed already; 0, or -ENOMEM. */
static int printed_before(struct printer *out)
{
	uint64_t hash = 14695981039346656037ull; /* FNV-1a */
	struct listing *l;
	size_t i;

	for (i = 0; i < out->len; i++)
		hash = (hash ^ (unsigned char)out->text[i]) * 1099511628211ull;
	HASH_FIND(hh, out->seen, &hash, sizeof(hash), l);
	if (l)
		return 1;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->hash = hash;
	HASH_ADD(hh, out->seen, hash, sizeof(l->hash), l);
	return 0;
}

static void add_json(struct printer *out, const struct found *p, const struct code *c)
{
	json_t *lines = json_array();
	char *save = NULL, *line;
	char clean[DISASM_LINE + 1];

	for (line = strtok_r(out->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		label_clean(clean, sizeof(clean), line, 0);
		json_array_append_new(lines, json_string(clean));
	}
	label_clean(clean, sizeof(clean), p->name ? p->name : "", 0);
	json_array_append_new(out->json,
			      json_pack("{s:s,s:s,s:i,s:i,s:b,s:o}", "file", p->chunk, "name",
					clean, "linedefined", (int)p->firstline, "lastlinedefined",
					(int)p->lastline, "jit_off",
					(c->pt.h.flags & PROTO_NOJIT) != 0, "listing", lines));
}

static int print_one(struct printer *out, struct found *p)
{
	struct code c;
	int err = read_code(out->f, p, &c);

	if (err == -ENOENT) /* freed since */
		return 0;
	if (err)
		return err;
	out->len = 0;
	err = code_list(&c, out->constants, 1, add_line, out);
	if (!err)
		err = printed_before(out);
	if (!err) {
		out->printed++;
		if (out->json)
			add_json(out, p, &c);
		else
			printf("%s\n", out->text);
	} else if (err > 0) {
		out->copies++;
	}
	code_release(&c);
	return err < 0 ? err : 0;
}

/* As bc.lua: what a function contains, then itself. */
static int print_tree(struct printer *out, struct found *p, unsigned int depth)
{
	struct found *child;
	size_t i;
	int err = 0;

	if (p->done || depth > DEPTH_MAX)
		return 0;
	p->done = 1;
	for (i = 0; i < p->nchildren && !err; i++) {
		child = find(out->f, p->child[i]);
		if (child && child->wanted)
			err = print_tree(out, child, depth + 1);
	}
	return err ? err : print_one(out, p);
}

static int print_all(struct printer *out)
{
	struct found *p, *tmp;
	int pass, err = 0;

	HASH_SORT(out->f->all, by_place);
	for (pass = 0; pass < 2 && !err; pass++) /* then those that only contain each other */
		HASH_ITER(hh, out->f->all, p, tmp)
	if (!err && p->wanted && (pass || !p->inner))
		err = print_tree(out, p, 0);
	return err;
}

static void printer_release(struct printer *out)
{
	struct listing *l, *tmp;

	HASH_ITER(hh, out->seen, l, tmp)
	{
		HASH_DEL(out->seen, l);
		free(l);
	}
	free(out->text);
	json_decref(out->json);
}

/* Nothing matched: says what there is. */
static void none_found(struct finder *f, struct why *why)
{
	struct found *p, *tmp;
	const char *last = "";
	size_t n = 0;

	if (!f->o->nargs) {
		why_set(why, WHY_EMPTY, -ENOENT, "no Lua function is on a stack of pid %d", f->pid);
		why_hint(why, "Name one: ljx bc -l FILE:LINE -p %d", f->pid);
		return;
	}
	why_set(why, WHY_EMPTY, -ENOENT, "no prototype of pid %d matches '%s'", f->pid,
		printable(f->o->arg[0]));
	HASH_SORT(f->all, by_place);
	HASH_ITER(hh, f->all, p, tmp)
	{
		if (!p->chunk || !strcmp(p->chunk, last) || p->chunk[0] == '[')
			continue;
		last = p->chunk;
		if (n++ < FILES_SHOWN)
			why_hint(why, "%s%s", n == 1 ? "It has loaded: " : "               ",
				 printable(last));
	}
	if (n > FILES_SHOWN)
		why_hint(why, "               and %zu more", n - FILES_SHOWN);
}

static int run(struct finder *f, int constants, struct why *why)
{
	struct printer out = {
	    .f = f, .constants = constants, .json = f->o->json ? json_array() : NULL};
	json_t *j;
	int err;

	err = gather(f, why);
	if (!err) {
		err = choose(f);
		if (!err)
			err = print_all(&out);
		if (err)
			why_set(why, WHY_INTERNAL, err, "%s", strerror(-err));
		else if (!out.printed)
			none_found(f, why);
	}
	if (out.json && !why->code) {
		j = json_pack("{s:s,s:i,s:O}", "schema", "ljx.code/1", "pid", f->pid, "functions",
			      out.json);
		if (j)
			json_dumpf(j, stdout, JSON_INDENT(1));
		putchar('\n');
		json_decref(j);
	}
	if (out.copies && !f->o->quiet)
		fprintf(stderr, "ljx: %zu more with the same listing\n", out.copies);
	if (f->dropped && !f->o->quiet)
		fprintf(stderr, "ljx: %zu prototypes were not looked at\n", f->dropped);
	printer_release(&out);
	return err;
}

int list_code(const struct options *o)
{
	struct finder f = {.o = o, .pid = o->npids ? o->pid[0] : 0};
	struct evidence_source src;
	struct why why = {.code = 0};
	struct tables t;

	if (o->file || o->gen) {
		why_set(&why, WHY_USAGE, -EINVAL,
			"-l lists a live process, not a %s: an ELF file holds no prototypes of a "
			"program",
			o->file ? "file" : "build");
		why_hint(&why, "Say ljx bc -l %s -p PID", o->nargs ? printable(o->arg[0]) : "");
	} else if (o->npids != 1 || o->nargs > 1) {
		why_set(&why, WHY_USAGE, -EINVAL, "-l takes one process and at most one location");
		why_hint(&why, "Say ljx bc -l [FILE | FILE:LINE | FILE:A-B | func:NAME] -p PID");
	}
	if (!why.code && !evidence_pid(f.pid, &t, &src, &why))
		run(&f, t.ff && disasm_lists_constants(t.ff->names, t.ff->n), &why);
	release(&f);
	return why.code ? complain(o, &why) : 0;
}
