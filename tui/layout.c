// SPDX-License-Identifier: MIT
/* ljx layout: prints the layout of a build, and reads one that was printed. */
#include "bpf/guess.h"
#include "bpf/process.h"
#include "bpf/vm.h"
#include "tui/ljx.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCHEMA "ljx.layout/1"
#define FILE_MAX (256u << 10)

/* --- reading --- */

static int read_json(const char *path, json_t **out, struct why *why)
{
	char *buf = malloc(FILE_MAX + 1);
	json_error_t jerr;
	size_t n = 0;
	FILE *f = buf ? fopen(path, "re") : NULL;
	int err = 0;

	if (!f) {
		err = why_set(why, WHY_USAGE, -EINVAL, "cannot open '%s': %s", printable(path),
			      strerror(errno));
	} else {
		n = fread(buf, 1, FILE_MAX + 1, f);
		if (ferror(f) || n > FILE_MAX)
			err = why_set(why, WHY_USAGE, -EINVAL, "cannot read '%s': %s",
				      printable(path),
				      n > FILE_MAX ? "it is too large" : strerror(errno));
		fclose(f);
	}
	*out = err ? NULL : json_loadb(buf, n, JSON_REJECT_DUPLICATES, &jerr);
	if (!err && !*out && json_error_code(&jerr) == json_error_out_of_memory)
		err = why_set(why, WHY_INTERNAL, -ENOMEM, "out of memory");
	else if (!err && !*out)
		err = why_set(why, WHY_USAGE, -EINVAL, "'%s' is no layout: line %d: %s",
			      printable(path), jerr.line, printable(jerr.text));
	free(buf);
	return err;
}

/* Each field must be there, and nothing else. */
static int take_fields(const json_t *fields, struct layout *l, const char **bad)
{
	const struct layout_field *f = layout_fields(), *lies;
	const json_t *v;
	size_t i;

	*bad = "fields";
	if (!json_is_object(fields))
		return -EINVAL;
	memset(l, 0, sizeof(*l));
	for (i = 0; i < LAYOUT_NFIELDS; i++) {
		*bad = f[i].name;
		v = json_object_get(fields, f[i].name);
		if (!json_is_integer(v) || json_integer_value(v) < 0 ||
		    json_integer_value(v) >= 1ll << (8 * f[i].size))
			return -EINVAL;
		layout_set(l, &f[i], (unsigned int)json_integer_value(v));
	}
	*bad = "a field that is not known";
	if (json_object_size(fields) != LAYOUT_NFIELDS)
		return -EINVAL;
	if (layout_sane(l, &lies))
		return 0;
	*bad = lies->name;
	return -EINVAL;
}

/* It is printed and recorded. */
static int is_name(const char *s)
{
	return s && s[0] && strlen(s) < sizeof(((struct options *)0)->given_name) &&
	       !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+._-")];
}

int layout_read(struct options *o, const char *path, struct why *why)
{
	const char *bad = "schema", *name, *schema;
	json_t *root, *list, *one;
	int err = read_json(path, &root, why);

	if (err)
		return err;
	list = json_object_get(root, "layouts");
	one = json_array_get(list, 0);
	name = json_string_value(json_object_get(one, "name"));
	schema = json_string_value(json_object_get(root, "schema"));
	if (json_array_size(list) > 1) {
		err = why_set(why, WHY_USAGE, -EINVAL, "'%s' holds %zu layouts", printable(path),
			      json_array_size(list));
		why_hint(why, "Keep the one that is right, or take it from a process: "
			      "ljx layout -p PID --json");
	} else if (!schema || strcmp(schema, SCHEMA) != 0) {
		err = -EINVAL;
	} else {
		bad = "name";
		err = is_name(name) ? take_fields(json_object_get(one, "fields"), &o->given.l, &bad)
				    : -EINVAL;
	}
	if (!err) {
		snprintf(o->given_name, sizeof(o->given_name), "%s", name);
		o->given.name = o->given_name;
		o->given.where = "--layout";
		o->layout = &o->given;
	} else if (!why->code) {
		why_set(why, WHY_USAGE, err, "'%s' is no layout: %s is missing or wrong",
			printable(path), printable(bad));
	}
	json_decref(root);
	return err;
}

/* --- printing --- */

struct found {
	char path[512], version[64], build_id[132];
	const struct guess *g[GUESSES_MAX];
	size_t n;
	int live;
};

static json_t *to_json(const struct guess *g)
{
	const struct layout_field *f = layout_fields();
	json_t *fields = json_object(), *from = json_object();
	size_t i;

	for (i = 0; i < LAYOUT_NFIELDS; i++) {
		json_object_set_new(fields, f[i].name, json_integer(layout_get(&g->row.l, &f[i])));
		json_object_set_new(from, f[i].name, json_string(guess_from_name(g->from[i])));
	}
	return json_pack("{s:s,s:s,s:o,s:o}", "name", g->row.name, "where", g->row.where, "fields",
			 fields, "from", from);
}

static void print_all_json(const struct found *fd)
{
	json_t *list = json_array(), *root;
	size_t i;

	for (i = 0; i < fd->n; i++)
		json_array_append_new(list, to_json(fd->g[i]));
	root = json_pack("{s:s,s:s,s:s,s:s,s:b,s:o}", "schema", SCHEMA, "file", printable(fd->path),
			 "version", fd->version, "build_id", fd->build_id, "verified", fd->live,
			 "layouts", list);
	if (root)
		json_dumpf(root, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(root);
}

static void print_field(const struct guess *g, const struct layout_field *f, size_t i)
{
	char what[64];

	snprintf(what, sizeof(what), "%s%s%s", f->type ? f->type : "",
		 f->type && f->member ? "." : "", f->member ? f->member : "");
	printf("  %-15s %5u  %-8s %s%s\n", f->name, layout_get(&g->row.l, f),
	       guess_from_name(g->from[i]), f->kind == LAYOUT_IS_SIZE ? "size of " : "", what);
}

/* than (or NULL): only what differs from it. */
static void print_guess(const struct guess *g, const struct guess *than, int live)
{
	const struct layout_field *f = layout_fields();
	size_t i;

	printf("%s (%s)%s%s\n", g->row.name, g->row.where, live ? ", verified" : "",
	       than ? ", differs in" : "");
	for (i = 0; i < LAYOUT_NFIELDS; i++)
		if (!than || layout_get(&g->row.l, &f[i]) != layout_get(&than->row.l, &f[i]))
			print_field(g, &f[i], i);
}

static void print_found(const struct options *o, const struct found *fd)
{
	size_t i;

	if (o->json) {
		print_all_json(fd);
		return;
	}
	printf("%s in '%s', build-id %s\n", fd->version, printable(fd->path), fd->build_id);
	for (i = 0; i < fd->n; i++)
		print_guess(fd->g[i], i ? fd->g[0] : NULL, fd->live);
	if (fd->n > 1)
		fprintf(
		    stderr,
		    "ljx: the file allows %zu layouts; the memory of a process decides: -p PID\n",
		    fd->n);
}

static void describe(struct found *fd, const struct elfobj *eo, const char *path,
		     const struct elfobj_vm *vm)
{
	snprintf(fd->path, sizeof(fd->path), "%s", path);
	snprintf(fd->version, sizeof(fd->version), "%s", vm->version);
	snprintf(fd->build_id, sizeof(fd->build_id), "%s", elfobj_build_id(eo));
}

static int of_file(const struct options *o, struct why *why)
{
	struct guesses *gs = calloc(1, sizeof(*gs));
	struct found fd = {.n = 0};
	struct elfobj *eo = NULL;
	struct elfobj_vm vm;
	int f = open(o->file, O_RDONLY | O_CLOEXEC), err = gs ? 0 : -ENOMEM;

	if (f < 0)
		err = why_set(why, WHY_TARGET, -EINVAL, "cannot open '%s': %s", printable(o->file),
			      strerror(errno));
	if (!err)
		err = elfobj_open(f, o->file, &eo, why);
	if (f >= 0)
		close(f);
	if (!err) {
		elfobj_add_debug(eo, "");
		err = elfobj_luajit(eo, &vm);
		if (err && err != -ENOMEM)
			why_set(why, WHY_UNSUPPORTED, err, "no LuaJIT in '%s'", printable(o->file));
	}
	if (!err) {
		describe(&fd, eo, o->file, &vm);
		err = guess_layouts(eo, gs);
		for (; fd.n < gs->n; fd.n++)
			fd.g[fd.n] = &gs->g[fd.n];
		if (!err && !fd.n) {
			err = -ENOENT;
			why_set(why, WHY_UNSUPPORTED, err, "no layout fits the code of '%s'",
				printable(o->file));
			why_hint(why, "Next to it: %.*s", (int)strcspn(gs->text, "\n"), gs->text);
		}
	}
	if (err == -ENOMEM)
		why_set(why, WHY_INTERNAL, err, "out of memory");
	if (!err)
		print_found(o, &fd);
	elfobj_free(eo);
	free(gs);
	return err;
}

/* The guess that a verified VM's row belongs to. */
static const struct guess *guess_of(const struct vm *vm)
{
	const struct guesses *gs;
	size_t i;

	if (module_guesses(vm->module, &gs))
		return NULL;
	for (i = 0; i < gs->n; i++)
		if (vm->row == &gs->g[i].row)
			return &gs->g[i];
	return NULL;
}

static int of_process(const struct options *o, struct why *why)
{
	struct resolve *r = resolve_new(resolve_discard, NULL, NULL);
	const struct vm_list *vms;
	struct vm_evidence ev;
	struct found fd = {.live = 1};
	unsigned int waited_ms = 0;
	int pid = o->pid[0], err = -ENOMEM, has_code;

	if (r)
		err = resolve_look(r, pid, &waited_ms, &vms, &has_code, &ev);
	if (err) {
		capture_why_attach(why, pid, err);
	} else if (!vms->n) {
		err = why_set(why, WHY_UNSUPPORTED, -ENOENT, "no VM of process %d has a layout: %s",
			      pid, vms->refused ? "none fits" : "none found");
		if (vms->refused)
			why_hint(why, "The last one tried failed at: %.*s",
				 (int)strcspn(ev.text, "\n"), ev.text);
	} else {
		fd.g[0] = guess_of(&vms->vm[0]);
		fd.n = fd.g[0] != NULL;
		describe(&fd, vms->vm[0].module->elf, vms->vm[0].module->path,
			 &vms->vm[0].module->vm);
		print_found(o, &fd);
	}
	resolve_free(r);
	return err;
}

int verb_layout(const struct options *o)
{
	struct why why = {.code = 0};

	if ((o->npids == 1) == (o->file != NULL)) {
		fprintf(stderr, "ljx layout: give -p PID or -f FILE\n");
		return WHY_USAGE;
	}
	if (o->file ? of_file(o, &why) : of_process(o, &why))
		return complain(o, &why);
	return 0;
}
