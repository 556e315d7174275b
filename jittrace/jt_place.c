// SPDX-License-Identifier: MIT
/* Frames, looked up in the definitions; places to keep; what functions are called. */
#include "jittrace/jt_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name by which the caller calls, if it is known. */
static const char *callname(const struct jt *jt, const struct ev_frame *caller)
{
	const struct jt_callname *n;

	if (!caller || caller->kind != EV_FRAME_LUA || EV_FRAME_PC(caller->addr) == EV_NO_PC)
		return NULL;
	n = jt_name_find(jt, caller->addr);
	return n ? n->name : NULL;
}

static void place_c(const struct jt *jt, uint32_t pid, const struct ev_frame *f,
		    const struct ev_frame *caller, struct jt_place *out)
{
	const struct jt_proc *p = jt_proc_find(jt, pid);
	const struct jt_sym *s = p ? jt_syms_find(p, f->addr) : NULL;
	const char *called = callname(jt, caller);

	out->cfunc = s ? s->cfunc : NULL;
	if (out->cfunc && !called) {
		snprintf(out->text, sizeof(out->text), "%s",
			 jt_cfunc_shown(out->cfunc, out->cfunc->unnamed));
		return;
	}
	called = called ? called : "?";
	if (!s) {
		snprintf(out->text, sizeof(out->text), "C:0x%" PRIx64, f->addr);
		out->undefined = 1;
	} else if (s->kind == EV_SYM_ANON) {
		snprintf(out->text, sizeof(out->text), "C:%s@%s", called,
			 *s->name ? s->name : "[anon]");
	} else if (*s->name) {
		snprintf(out->text, sizeof(out->text), "C:%s", s->name);
	} else {
		snprintf(out->text, sizeof(out->text), "C:%s@%s+0x%" PRIx64, called,
			 s->name + strlen(s->name) + 1, s->offset);
	}
}

void jt_place(const struct jt *jt, uint32_t pid, const struct jt_vm *vm, const struct ev_frame *f,
	      const struct ev_frame *caller, struct jt_place *out)
{
	const struct jt_func *func;
	const char *name;

	*out = (struct jt_place){.kind = JT_LOC_FUNCTION, .line = f->line};
	switch (f->kind) {
	case EV_FRAME_LUA:
	case EV_FRAME_TRACE:
		func = jt_func_find(jt, EV_FRAME_PROTO(f->addr));
		out->kind = func ? JT_LOC_LUA : JT_LOC_NONE;
		out->ident = func ? func->ident : NULL;
		out->pos = EV_FRAME_PC(f->addr);
		out->undefined = !func;
		return;
	case EV_FRAME_C:
		place_c(jt, pid, f, caller, out);
		return;
	case EV_FRAME_FF:
		name = jt_ff_name(jt, vm ? vm->build : 0, f->ffid);
		out->undefined = !name;
		if (name)
			snprintf(out->text, sizeof(out->text), "%s", name);
		else
			snprintf(out->text, sizeof(out->text), "fastfunc#%u", f->ffid);
		return;
	default:
		out->kind = JT_LOC_NONE;
		out->undefined = 1;
	}
}

int jt_keep(const struct jt_place *p, struct jt_kept *out)
{
	*out = (struct jt_kept){.kind = p->kind, .ident = p->ident, .pos = p->pos, .line = p->line};
	if (p->kind == JT_LOC_FUNCTION) {
		out->cfunc = p->cfunc;
		out->text = strdup(p->text);
		if (!out->text) {
			out->kind = JT_LOC_NONE;
			return -ENOMEM;
		}
	}
	if (out->ident)
		out->ident->refs++;
	return 0;
}

void jt_kept_release(struct jt *jt, struct jt_kept *k)
{
	jt_ident_put(jt, k->ident);
	free(k->text);
	*k = (struct jt_kept){.kind = JT_LOC_NONE};
}

void jt_kept_loc(const struct jt_kept *k, struct jt_loc *out)
{
	const struct jt_ident *i = k->ident;

	*out = (struct jt_loc){
	    .kind = k->kind, .file = "", .name = k->text ? jt_cfunc_shown(k->cfunc, k->text) : ""};
	if (!i)
		return;
	out->line = k->line;
	out->pos = k->pos;
	out->firstline = i->k.firstline;
	out->lastline = (int32_t)((uint32_t)i->k.firstline + (uint32_t)i->k.numline);
	out->main = !!(i->k.flags & EV_FUNC_MAIN);
	out->file = i->file;
	out->name = i->name ? i->name : "";
	out->key = i;
	out->content = i->k.content;
}

void jt_place_loc(const struct jt_place *p, struct jt_loc *out)
{
	struct jt_kept k = {.kind = p->kind, .ident = p->ident, .pos = p->pos, .line = p->line};

	jt_kept_loc(&k, out);
	if (p->kind == JT_LOC_FUNCTION)
		out->name = p->text;
}

/* Moves a prototype that is in use away from the end where the limit takes its toll. */
static int touch(struct jt *jt, const struct ev_frame *f)
{
	struct jt_func *func = f->kind == EV_FRAME_LUA || f->kind == EV_FRAME_TRACE
				   ? jt_func_find(jt, EV_FRAME_PROTO(f->addr))
				   : NULL;

	if (!func || !func->hh.next)
		return 0;
	HASH_DEL(jt->funcs, func);
	HASH_ADD(hh, jt->funcs, id, sizeof(func->id), func);
	if (func->hh.tbl)
		return 0;
	jt_ident_put(jt, func->ident);
	free(func);
	return -ENOMEM;
}

int jt_defs_used(struct jt *jt, const struct ev_frame *f, uint32_t n)
{
	uint32_t i;
	int err = 0;

	if (HASH_COUNT(jt->funcs) < JT_FUNCS_MAX / 2) /* far from the limit */
		return 0;
	for (i = 0; i < n && !err; i++)
		err = touch(jt, &f[i]);
	return err;
}

static int learn_lua(struct jt *jt, const struct ev_frame *f, const struct ev_frame *caller)
{
	const struct jt_func *func = jt_func_find(jt, EV_FRAME_PROTO(f->addr));
	const char *name;

	if (!func || func->ident->name || func->ident->k.flags & EV_FUNC_MAIN)
		return 0;
	name = callname(jt, caller);
	if (!name)
		return 0;
	func->ident->name = strdup(name);
	return func->ident->name ? 0 : -ENOMEM;
}

static int learn_c(struct jt *jt, uint32_t pid, const struct ev_frame *f,
		   const struct ev_frame *caller)
{
	const struct jt_proc *p = jt_proc_find(jt, pid);
	const struct jt_sym *s = p ? jt_syms_find(p, f->addr) : NULL;
	const char *name;

	if (!s || !s->cfunc || s->cfunc->named)
		return 0;
	name = callname(jt, caller);
	return name ? jt_cfunc_learn(s->cfunc, name) : 0;
}

int jt_learn_names(struct jt *jt, uint32_t pid, const struct ev_frame *f, uint32_t n)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i + 1 < n && !err; i++) {
		if (f[i].kind == EV_FRAME_LUA)
			err = learn_lua(jt, &f[i], &f[i + 1]);
		else if (f[i].kind == EV_FRAME_C && jt->cfuncs)
			err = learn_c(jt, pid, &f[i], &f[i + 1]);
	}
	return err;
}
