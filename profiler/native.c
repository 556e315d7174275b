/* SPDX-License-Identifier: MIT */
#include "profiler/native.h"
#include "profiler/label.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const why_text[EV_NATIVE_WHY_MAX] = {
#define WHY_TEXT(num, name, text) [num] = text,
    EV_NATIVE_WHYS(WHY_TEXT)
#undef WHY_TEXT
};

int native_add(struct prof *p, const struct ev_native *e)
{
	if (e->h.size > sizeof(*e) + EV_NATIVE_MAX * sizeof(e->word[0]))
		return 0;
	if (!p->native)
		p->native = malloc(sizeof(*e) + EV_NATIVE_MAX * sizeof(e->word[0]));
	if (!p->native)
		return -ENOMEM;
	memcpy(p->native, e, e->h.size);
	return 0;
}

void native_release(struct prof *p)
{
	free(p->native);
}

const struct ev_native *native_of(const struct prof *p, const struct ev_sample *s)
{
	const struct ev_native *e = p->native;

	return e && e->h.time == s->h.time && e->h.pid == s->h.pid && e->h.tid == s->h.tid ? e
											   : NULL;
}

int native_has_user(const struct ev_native *e)
{
	return e->nwords > e->nkernel;
}

int native_has_code(const struct ev_native *e)
{
	for (uint32_t i = e->nkernel; i < e->nwords; i++)
		if (!EV_NATIVE_IS_LUA(e->word[i]))
			return 1;
	return 0;
}

uint32_t native_base(const struct ev_native *e, const ev_u64 **from)
{
	uint32_t i = e->nkernel;

	while (i < e->nwords && !EV_NATIVE_IS_LUA(e->word[i]))
		i++;
	*from = &e->word[i];
	return e->nwords - i;
}

static void put(struct native_items *out, uint32_t frame, uint32_t lua, uint32_t leaf)
{
	if (out->n < NATIVE_ITEMS)
		out->item[out->n++] = (struct native_item){frame, lua, leaf};
}

/* "[native: no unwind info in libx.so]": what is known ends at the address before it. */
static int put_gap(struct prof *p, const struct proc *proc, unsigned int why, uint64_t addr,
		   struct native_items *out)
{
	const struct sym *sym = why == EV_NATIVE_NO_INFO ? defs_sym(proc, addr) : NULL;
	const char *module = sym ? pool_get(&p->strs, sym->module) : "";
	char label[LABEL_MAX + 1];
	uint32_t frame;
	int err;

	if (sym && !*module)
		module = pool_get(&p->strs, sym->name);
	label_format(label, "[native: %s%s%s]",
		     why < EV_NATIVE_WHY_MAX ? why_text[why] : "not known", *module ? " in " : "",
		     module);
	err = frames_fixed(p, PROF_OTHER, label, &frame);
	if (!err)
		put(out, frame, 0, 0);
	return err;
}

/* "C:name (inlined at file.c:17)" of a line of an INLINE record. */
static void inline_label(char label[LABEL_MAX + 1], const char *line, int len)
{
	const char *tab = memchr(line, '\t', (size_t)len);
	int name = tab ? (int)(tab - line) : len;

	if (tab)
		label_format(label, "C:%.*s (inlined at %.*s)", name, line, len - name - 1,
			     tab + 1);
	else
		label_format(label, "C:%.*s (inlined)", name, line);
}

/* What was inlined at an address, from the outermost to the innermost. */
static int put_inlines(struct prof *p, const struct proc *proc, uint64_t addr, uint32_t leaf,
		       struct native_items *out)
{
	const char *names = defs_inlines(p, proc, addr), *end, *from;
	char label[LABEL_MAX + 1];
	uint32_t frame;
	int err = 0;

	if (!names)
		return 0;
	for (end = names + strlen(names); !err && end > names; end = from - 1) {
		for (from = end; from > names && from[-1] != '\n';)
			from--;
		if (out->n >= NATIVE_ITEMS - EV_NATIVE_MAX - EV_MAX_FRAMES - 2)
			break;
		inline_label(label, from, (int)(end - from));
		err = frames_fixed(p, PROF_C, label, &frame);
		if (!err)
			put(out, frame, 0, leaf);
		if (from == names)
			break;
	}
	return err;
}

static int put_address(struct prof *p, const struct proc *proc, uint64_t addr, struct sym *sym,
		       uint32_t leaf, struct native_items *out)
{
	uint32_t frame = p->undefined;
	int err = 0;

	if (!sym)
		out->undefined = 1;
	else
		err = frames_cfunc(p, sym, &frame);
	if (!err)
		put(out, frame, 0, leaf);
	return err ? err : put_inlines(p, proc, addr, leaf, out);
}

/* Where frame i of the sample as it was taken is now. */
static uint32_t shifted(uint32_t i, uint32_t extra)
{
	return i ? i + extra : 0;
}

/*
 * Is this C code the function that the Lua frames [from, ...) begin with? The VM knows it, too, and
 * that with a better name.
 */
static int is_same(const struct sym *sym, const struct ev_sample *s, uint32_t from, uint32_t to)
{
	while (from < to && s->f[from].kind == EV_FRAME_CO)
		from++;
	return sym && from < to && s->f[from].addr == sym->start &&
	       (s->f[from].kind == EV_FRAME_C || s->f[from].kind == EV_FRAME_FF);
}

/* The word before i, nearer to the leaf, is the C function that Lua code called. */
static int is_callee(const struct ev_native *e, uint32_t i, const struct sym *sym,
		     const struct ev_sample *s, uint32_t nframes, uint32_t extra)
{
	uint64_t w;
	uint32_t to;

	if (i + 1 >= e->nwords || !EV_NATIVE_IS_LUA(e->word[i + 1]))
		return 0;
	w = e->word[i + 1];
	to = shifted(EV_NATIVE_TO(w), extra);
	return is_same(sym, s, shifted(EV_NATIVE_FROM(w), extra), to < nframes ? to : nframes);
}

/* Those that no place is known of: below what is known of the C stack. */
static void put_left(const struct ev_native *e, uint32_t nframes, uint32_t extra,
		     struct native_items *out)
{
	unsigned char placed[EV_MAX_FRAMES] = {0};
	uint32_t i, k;

	for (i = e->nkernel; i < e->nwords; i++) {
		uint64_t w = e->word[i];

		if (!EV_NATIVE_IS_LUA(w))
			continue;
		for (k = shifted(EV_NATIVE_FROM(w), extra);
		     k < shifted(EV_NATIVE_TO(w), extra) && k < EV_MAX_FRAMES; k++)
			placed[k] = 1;
	}
	for (i = nframes < EV_MAX_FRAMES ? nframes : EV_MAX_FRAMES; i--;)
		if (!placed[i])
			put(out, NO_FRAME, i, 0);
}

int native_stack(struct prof *p, const struct proc *proc, const struct ev_sample *s,
		 uint32_t nframes, uint32_t extra, const struct ev_native *e,
		 struct native_items *out)
{
	const ev_u64 *base;
	uint32_t first = e->nwords - native_base(e, &base), i, k;
	int err = 0;

	out->n = 0;
	out->undefined = 0;
	put_left(e, nframes, extra, out);
	if (e->why != EV_NATIVE_NONE)
		err = put_gap(p, proc, e->why, e->nwords ? e->word[e->nwords - 1] : 0, out);
	for (i = e->nwords; i-- > first && !err;) {
		uint64_t w = e->word[i];

		if (EV_NATIVE_IS_LUA(w)) {
			for (k = shifted(EV_NATIVE_TO(w), extra);
			     k-- > shifted(EV_NATIVE_FROM(w), extra);)
				if (k < nframes)
					put(out, NO_FRAME, k, 0);
		} else if (EV_NATIVE_IS_GAP(w)) {
			err = put_gap(p, proc, EV_NATIVE_WHY(w), i ? e->word[i - 1] : 0, out);
		} else {
			struct sym *sym = defs_sym(proc, w);

			err = is_callee(e, i, sym, s, nframes, extra)
				  ? put_inlines(p, proc, w, 0, out)
				  : put_address(p, proc, w, sym, 0, out);
		}
	}
	return err;
}

int native_leaf(struct prof *p, const struct proc *proc, const struct ev_sample *s,
		uint32_t nframes, uint32_t extra, const struct ev_native *e,
		struct native_items *out)
{
	const ev_u64 *base;
	uint32_t nbase = native_base(e, &base), first = e->nwords - nbase, i, leaf = 0;
	/* C functions that Lua code called count for themselves, the VM's helpers do not. */
	int in_vm = nbase && s->state != EV_STATE_C && s->state != EV_STATE_OUTSIDE, err = 0;

	out->n = 0;
	out->undefined = 0;
	for (i = first; i-- > e->nkernel && !err;) {
		uint64_t w = e->word[i];
		struct sym *sym;

		if (EV_NATIVE_IS_GAP(w)) {
			err = put_gap(p, proc, EV_NATIVE_WHY(w), i ? e->word[i - 1] : 0, out);
			continue;
		}
		sym = defs_sym(proc, w);
		if (in_vm && i + 1 == first && sym && sym->flags & EV_SYM_LUAJIT)
			leaf = NODE_LEAF;
		err = is_callee(e, i, sym, s, nframes, extra)
			  ? put_inlines(p, proc, w, leaf, out)
			  : put_address(p, proc, w, sym, leaf, out);
	}
	return err;
}

int native_kernel(struct prof *p, const struct proc *proc, const struct ev_native *e,
		  struct native_items *out)
{
	char label[LABEL_MAX + 1];
	uint32_t i, frame;
	int err = 0;

	out->n = 0;
	out->undefined = 0;
	for (i = e->nkernel; i-- && !err;) {
		const struct sym *sym = defs_sym(proc, e->word[i]);

		label_format(label, "kernel:%s", sym ? pool_get(&p->strs, sym->name) : "?");
		err = frames_fixed(p, PROF_KERNEL, label, &frame);
		if (!err)
			put(out, frame, 0, 0);
	}
	return err;
}

void native_count(struct prof_stats *st, const struct ev_native *e)
{
	unsigned int why = e->why < EV_NATIVE_WHY_MAX ? e->why : EV_NATIVE_ODD;
	uint32_t i;

	if (why == EV_NATIVE_NOT_ASKED)
		return;
	/* What is missing in between tells more than how it ends. */
	for (i = e->nkernel; i < e->nwords && why == EV_NATIVE_NONE; i++)
		if (EV_NATIVE_IS_GAP(e->word[i]) && EV_NATIVE_WHY(e->word[i]) < EV_NATIVE_WHY_MAX)
			why = EV_NATIVE_WHY(e->word[i]);
	st->native++;
	st->by_native[why]++;
}
