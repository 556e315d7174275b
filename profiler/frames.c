/* SPDX-License-Identifier: MIT */
/* Frames: one number for each identity, and the label by the grammar of prof.h. */
#include "profiler/fold.h"
#include "profiler/label.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What makes two frames the same. Compared as bytes, so fields that a type has no use for are 0. */
struct identity {
	uint32_t type; /* enum frame_type */
	uint32_t kind; /* enum prof_kind */
	uint32_t text[2];
	uint32_t number[4];
	uint64_t offset;
};

_Static_assert(sizeof(struct identity) == 40, "no padding: it is hashed");

/*
 * The frame of this identity. *fresh: it is new, then its label is to be made, with set_text, and
 * its other fields are 0.
 */
static int frame_of(struct prof *p, const struct identity *id, uint32_t *out, int *fresh)
{
	struct frame *frames;
	uint32_t n;

	*fresh = 0;
	if (p->full) {
		n = pool_find(&p->ids, id, sizeof(*id));
		*out = n - 1;
		return n ? 0 : -ENOSPC;
	}
	/* Room first: the numbers of ids and frames run in step. */
	frames = table_room(p->frames, &p->frames_cap, (size_t)p->nframes + 1, sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	p->frames = frames;
	n = pool_add(&p->ids, id, sizeof(*id));
	if (!n || n > FRAMES_MAX)
		return -ENOMEM;
	*fresh = n > p->nframes;
	if (*fresh) {
		frames[n - 1] = (struct frame){
		    .pub = {.kind = (enum prof_kind)id->kind, .label = "", .name = "", .file = ""},
		    .type = id->type};
		p->nframes = n;
	}
	*out = n - 1;
	return 0;
}

static int set_text(struct prof *p, const char **to, const char *text)
{
	uint32_t id = pool_str(&p->strs, text);

	if (!id)
		return -ENOMEM;
	*to = pool_get(&p->strs, id);
	return 0;
}

/* name: NULL: the label. */
static int set_label(struct prof *p, struct frame *f, const char *label, const char *name)
{
	char clean[LABEL_MAX + 1];
	int err = set_text(p, &f->pub.label, label);

	f->pub.name = f->pub.label;
	if (err || !name)
		return err;
	label_clean(clean, sizeof(clean), name, TEXT_NO_SEMICOLON);
	return set_text(p, &f->pub.name, clean);
}

int frames_fixed(struct prof *p, enum prof_kind kind, const char *label, uint32_t *out)
{
	struct identity id = {.type = FRAME_FIXED, .kind = kind};
	char clean[LABEL_MAX + 1];
	int err, fresh;

	label_format(clean, "%s", label);
	id.text[0] = room_text(p, clean);
	if (!id.text[0])
		return room_error(p);
	err = frame_of(p, &id, out, &fresh);
	if (!err && fresh)
		err = set_label(p, &p->frames[*out], clean, NULL);
	return err;
}

/* With the name that f->name says. */
static int label_lua(struct prof *p, struct frame *f)
{
	const char *name = pool_get(&p->strs, f->name), *gap = f->name ? " " : "";
	const char *file = f->pub.file;
	char label[LABEL_MAX + 1];

	if (f->flags & EV_FUNC_MAIN) {
		int bare = *pool_get(&p->strs, f->chunk) == '=';

		label_format(label, "%s%s", bare ? "" : "main chunk ", file);
		return set_label(p, f, label, "main chunk");
	}
	if (f->flags & EV_FUNC_BUILTIN)
		label_format(label, "%s%s%s", name, gap, file);
	else
		label_format(label, "%s%s%s:%" PRId32, name, gap, file, f->pub.line);
	return set_label(p, f, label, f->name ? name : NULL);
}

int frames_lua(struct prof *p, const struct ev_func *ev, uint32_t build, uint32_t *out)
{
	const char *chunk = defs_string(&ev->h, sizeof(*ev), 0);
	struct identity id = {.type = FRAME_LUA, .kind = PROF_LUA};
	char shown[LABEL_MAX + 1];
	struct frame *f;
	int err, fresh;

	id.text[0] = build;
	id.text[1] = pool_str(&p->strs, chunk);
	if (!id.text[1])
		return -ENOMEM;
	id.number[0] = (uint32_t)ev->firstline;
	id.number[1] = (uint32_t)ev->numline;
	id.number[2] = ev->content;
	err = frame_of(p, &id, out, &fresh);
	if (err || !fresh)
		return err;
	f = &p->frames[*out];
	f->flags = ev->flags;
	f->chunk = id.text[1];
	f->pub.line = ev->firstline > 0 ? ev->firstline : 0;
	label_chunk(shown, chunk, ev->flags);
	err = set_text(p, &f->pub.file, shown);
	return err ? err : label_lua(p, f);
}

int frames_trace(struct prof *p, uint32_t number, uint32_t func, const struct ev_frame *ef,
		 uint32_t *out)
{
	struct identity id = {.type = FRAME_TRACE, .kind = PROF_TRACE};
	char file[LABEL_MAX + 1] = "", label[LABEL_MAX + 1], name[32];
	struct frame *f;
	int err, fresh;

	id.number[0] = number;
	id.number[1] = func;
	if (ef) {
		id.number[2] = ef->line;
		id.number[3] = EV_FRAME_PC(ef->addr);
	}
	err = frame_of(p, &id, out, &fresh);
	if (err || !fresh)
		return err;
	f = &p->frames[*out];
	snprintf(name, sizeof(name), "trace#%" PRIu32, number);
	if (ef && func != NO_FRAME) {
		const struct frame *start = &p->frames[func];

		label_trace_start(file, pool_get(&p->strs, start->chunk), start->flags);
		f->pub.line = ef->line <= INT32_MAX ? (int32_t)ef->line : 0;
		if (start->flags & EV_FUNC_BUILTIN)
			label_format(label, "%s:%s", name, file);
		else
			label_format(label, "%s:%s:%" PRId32, name, file, f->pub.line);
	} else {
		label_format(label, "%s%s", name, ef ? ":[undefined]" : "");
	}
	err = set_text(p, &f->pub.file, file);
	return err ? err : set_label(p, f, label, name);
}

/* "C:NAME@module+0xOFFSET" with the name that f->name says. */
static int label_module(struct prof *p, struct frame *f)
{
	const char *name = f->name ? pool_get(&p->strs, f->name) : "?";
	char label[LABEL_MAX + 1];

	label_format(label, "C:%s@%s+0x%" PRIx64, name, f->pub.file, f->offset);
	return set_label(p, f, label, f->name ? name : NULL);
}

/* By its symbol's name or, without one, by module and offset. */
static int cfunc(struct prof *p, const struct sym *sym, uint32_t *out)
{
	const char *name = pool_get(&p->strs, sym->name), *module = pool_get(&p->strs, sym->module);
	int named = sym->kind != EV_SYM_MODULE && *name;
	struct identity id = {.type = named ? FRAME_SYM : FRAME_MODULE, .kind = PROF_C};
	char clean[LABEL_MAX + 1];
	struct frame *f;
	int err, fresh;

	id.text[0] = named ? sym->name : 0;
	id.text[1] = sym->module;
	id.offset = sym->offset;
	err = frame_of(p, &id, out, &fresh);
	if (err || !fresh)
		return err;
	f = &p->frames[*out];
	f->offset = sym->offset;
	label_clean(clean, sizeof(clean), *module || named ? module : "?", TEXT_NO_SEMICOLON);
	err = set_text(p, &f->pub.file, clean);
	if (err || !named)
		return err ? err : label_module(p, f);
	label_format(clean, "C:%s", name);
	return set_label(p, f, clean, name);
}

int frames_cfunc(struct prof *p, struct sym *sym, uint32_t *out)
{
	int vm = sym->kind == EV_SYM_BC || sym->kind == EV_SYM_VM, err;
	char label[LABEL_MAX + 1];

	/* What is remembered of the VM's code is its bare name. */
	if (sym->frame != NO_FRAME && !vm) {
		*out = sym->frame;
		return 0;
	}
	if (sym->kind == EV_SYM_ANON) {
		const char *name = pool_get(&p->strs, sym->name);

		label_format(label, "C:?@%s", *name ? name : "[anon]");
		err = frames_fixed(p, PROF_C, label, out);
	} else {
		err = cfunc(p, sym, out);
	}
	if (!err && !vm)
		sym->frame = *out;
	return err;
}

int frames_vmcode(struct prof *p, struct sym *sym, uint32_t *out)
{
	const char *name = pool_get(&p->strs, sym->name);
	int err;

	if (sym->frame != NO_FRAME) {
		*out = sym->frame;
		return 0;
	}
	err = frames_fixed(p, PROF_VM, *name ? name : "lj_vm", out);
	if (!err)
		sym->frame = *out;
	return err;
}

int frames_ff(struct prof *p, uint32_t build, uint32_t ffid, const char *name, uint32_t *out)
{
	uint64_t key = (uint64_t)build << 32 | ffid;
	uint32_t known = map_get(&p->ffs, key);
	char number[32];
	int err;

	if (known && !name) {
		*out = known - 1;
		return 0;
	}
	snprintf(number, sizeof(number), "fastfunc#%" PRIu32, ffid);
	err = frames_fixed(p, PROF_C, name && *name ? name : number, out);
	return err ? err : map_set(&p->ffs, key, *out + 1);
}

int frames_line(struct prof *p, uint32_t func, uint32_t line, uint32_t *out)
{
	struct identity id = {.type = FRAME_LINE, .kind = PROF_LINE, .number = {func, line}};
	char label[LABEL_MAX + 1];
	struct frame *f;
	int err, fresh;

	err = frame_of(p, &id, out, &fresh);
	if (err || !fresh)
		return err;
	f = &p->frames[*out];
	f->pub.file = p->frames[func].pub.file;
	f->pub.line = line <= INT32_MAX ? (int32_t)line : 0;
	label_format(label, "%s:%" PRIu32, f->pub.file, line);
	return set_label(p, f, label, NULL);
}

static int label_marked(struct prof *p, struct frame *f)
{
	const struct frame *of = &p->frames[f->chunk];
	char label[LABEL_MAX + 1];

	/* It stays a label's end, even of one that is as long as any may be. */
	label_format(label, "%.*s_[%c]", (int)LABEL_MAX - 4, of->pub.label, (char)f->offset);
	return set_label(p, f, label, of->pub.name);
}

int frames_marked(struct prof *p, uint32_t frame, char mark, uint32_t *out)
{
	struct identity id = {.type = FRAME_MARKED,
			      .kind = p->frames[frame].pub.kind,
			      .number = {frame, (uint32_t)mark}};
	struct frame *f;
	int err, fresh;

	err = frame_of(p, &id, out, &fresh);
	if (err || !fresh)
		return err;
	f = &p->frames[*out];
	f->pub.file = p->frames[frame].pub.file;
	f->pub.line = p->frames[frame].pub.line;
	f->chunk = frame;
	f->offset = (uint64_t)mark;
	return label_marked(p, f);
}

/* Does vote a win over b? */
static int wins(const struct prof *p, const struct vote *a, const struct vote *b)
{
	if (a->count != b->count)
		return a->count > b->count;
	return strcmp(pool_get(&p->strs, a->name), pool_get(&p->strs, b->name)) < 0;
}

int frames_vote(struct prof *p, uint32_t frame, uint32_t name, uint64_t times)
{
	struct frame *f = &p->frames[frame];
	uint64_t key = (uint64_t)name << 32 | frame;
	struct vote *votes;
	uint32_t at;
	int err;

	if ((f->type != FRAME_LUA && f->type != FRAME_MODULE) || (f->flags & EV_FUNC_MAIN))
		return 0;
	at = map_get(&p->votes_at, key);
	if (at) {
		p->votes[at - 1].count += times;
	} else if (p->full) {
		return 0;
	} else {
		votes = table_room(p->votes, &p->votes_cap, (size_t)p->nvotes + 1, sizeof(*votes));
		if (!votes)
			return -ENOMEM;
		p->votes = votes;
		votes[p->nvotes++] = (struct vote){frame, name, times};
		at = p->nvotes;
		err = map_set(&p->votes_at, key, at);
		if (err)
			return err;
	}
	/* Counts only grow: nobody but the one that grew can overtake. */
	if (f->best != at && (!f->best || wins(p, &p->votes[at - 1], &p->votes[f->best - 1])))
		f->best = at;
	return 0;
}

int frames_finish(struct prof *p)
{
	int err = 0;

	for (uint32_t i = 0; i < p->nframes && !err; i++) {
		struct frame *f = &p->frames[i];

		if (!f->best || f->name == p->votes[f->best - 1].name)
			continue;
		f->name = p->votes[f->best - 1].name;
		err = f->type == FRAME_LUA ? label_lua(p, f) : label_module(p, f);
	}
	for (uint32_t i = 0; i < p->nframes && !err && p->opts.marks; i++)
		if (p->frames[i].type == FRAME_MARKED)
			err = label_marked(p, &p->frames[i]);
	return err;
}
