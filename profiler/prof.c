/* SPDX-License-Identifier: MIT */
/*
 * The fold. A sample goes down the tree from the root, frame by frame, by the grammar of prof.h,
 * and is counted at its last node only.
 */
#include "profiler/fold.h"
#include "profiler/label.h"
#include "profiler/native.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const why_text[EV_WHY_MAX] = {
#define WHY_TEXT(num, name, text) [num] = text,
    EV_WHYS(WHY_TEXT)
#undef WHY_TEXT
};

/* Where a sample has got to on its way down. */
struct cursor {
	struct prof *p;
	struct proc *proc;
	const struct ev_sample *s;
	uint32_t nframes;   /* of s->f */
	uint32_t node;	    /* the tree's, reached so far */
	uint32_t top;	    /* frame of the last function pushed, or NO_FRAME */
	unsigned int state; /* of s, in range */
	unsigned int why;   /* of s, in range */
	int real;	    /* functions of s->f were pushed */
	int undefined;	    /* one of them is [undefined] */
	int counted;	    /* prof_count_names() will count the names on the stack */
	enum prof_inside inside;
	const struct ev_native *native; /* its C stack, or NULL */
	uint32_t extra;			/* frames of s->f behind the first that it got here */
};

/* The mark of a frame, 0: it has none. */
static char mark_of(const struct cursor *c, uint32_t frame, uint32_t leaf)
{
	enum prof_kind kind = c->p->frames[frame].pub.kind;

	if (leaf & NODE_INLINED)
		return 'i';
	return kind == PROF_TRACE ? 'j' : kind == PROF_KERNEL ? 'k' : 0;
}

static int push(struct cursor *c, uint32_t frame, uint32_t leaf)
{
	char mark = c->p->opts.marks ? mark_of(c, frame, leaf) : 0;
	int err = mark ? frames_marked(c->p, frame, mark, &frame) : 0;

	return err ? err : tree_child(c->p, &c->node, frame, leaf);
}

static int push_fixed(struct cursor *c, enum prof_kind kind, const char *label)
{
	uint32_t frame;
	int err = frames_fixed(c->p, kind, label, &frame);

	return err ? err : push(c, frame, 0);
}

/* The function of frame f, or *out = p->undefined. */
static int resolve(struct cursor *c, const struct ev_frame *f, uint32_t *out)
{
	struct prof *p = c->p;
	struct sym *sym;
	uint32_t func;

	*out = p->undefined;
	switch (f->kind) {
	case EV_FRAME_LUA:
		func = recent_get(&p->funcs, EV_FRAME_PROTO(f->addr));
		if (func)
			*out = func - 1;
		return 0;
	case EV_FRAME_C:
		sym = defs_sym(c->proc, f->addr);
		return sym ? frames_cfunc(p, sym, out) : 0;
	case EV_FRAME_FF:
		return frames_ff(p, defs_build(p, c->proc, c->s->g), f->ffid, NULL, out);
	default:
		return 0;
	}
}

/* Counts the name that the caller of f[i] uses. Only Lua code has names for what it calls. */
static int vote(struct cursor *c, uint32_t i, uint32_t frame, uint64_t times)
{
	const struct ev_frame *caller = &c->s->f[i + 1];
	uint32_t name;

	if (i + 1 >= c->nframes || caller->kind != EV_FRAME_LUA ||
	    EV_FRAME_PC(caller->addr) == EV_NO_PC)
		return 0;
	name = defs_name(c->p, caller->addr);
	return name ? frames_vote(c->p, frame, name, times) : 0;
}

static int push_trace(struct cursor *c, const struct ev_frame *f)
{
	uint32_t func = NO_FRAME, frame;
	int err;

	if (f) {
		func = recent_get(&c->p->funcs, EV_FRAME_PROTO(f->addr)) - 1; /* 0: NO_FRAME */
		c->undefined |= func == NO_FRAME;
	}
	err = frames_trace(c->p, c->s->trace, func, f, &frame);
	return err ? err : push(c, frame, 0);
}

static int push_function(struct cursor *c, uint32_t i)
{
	const struct ev_frame *f = &c->s->f[i];
	uint32_t frame, line;
	int err = resolve(c, f, &frame);

	if (!err && !c->counted)
		err = vote(c, i, frame, 1);
	if (!err)
		err = push(c, frame, f->mark & INSIDE_INLINED ? NODE_INLINED : 0);
	if (err)
		return err;
	c->top = frame;
	c->real = 1;
	c->undefined |= frame == c->p->undefined;
	if (!c->p->opts.lines || f->kind != EV_FRAME_LUA || !f->line || frame == c->p->undefined)
		return 0;
	err = frames_line(c->p, frame, f->line, &line);
	return err ? err : push(c, line, 0);
}

/* A frame of the VM's stack. */
static int push_frame(struct cursor *c, uint32_t i)
{
	const struct ev_frame *f = &c->s->f[i];

	if (f->kind == EV_FRAME_CO)
		return 0;
	return !i && f->kind == EV_FRAME_TRACE ? push_trace(c, f) : push_function(c, i);
}

static int push_items(struct cursor *c, const struct native_items *items)
{
	int err = 0;

	for (uint32_t i = 0; i < items->n && !err; i++) {
		const struct native_item *it = &items->item[i];

		err = it->frame == NO_FRAME ? push_frame(c, it->lua) : push(c, it->frame, it->leaf);
	}
	c->undefined |= items->undefined;
	return err;
}

/* Does it say where the Lua frames are among those of C? */
static int has_native(const struct cursor *c)
{
	return c->native && native_has_user(c->native);
}

/* Does it say more of a sample outside Lua than that it is one? */
static int has_code(const struct cursor *c)
{
	return c->native && native_has_code(c->native);
}

/* Does it say what C code the innermost Lua frame is in? */
static int has_leaf(const struct cursor *c)
{
	const ev_u64 *base;

	return has_native(c) &&
	       native_base(c->native, &base) + c->native->nkernel < c->native->nwords;
}

/* The frames of the VM's stack, root first, and those of C between and below them. */
static int push_stack(struct cursor *c)
{
	struct native_items items;
	int err = 0;

	if (has_native(c)) {
		err = native_stack(c->p, c->proc, c->s, c->nframes, c->extra, c->native, &items);
		return err ? err : push_items(c, &items);
	}
	for (uint32_t i = c->nframes; i-- && !err;)
		err = push_frame(c, i);
	return err;
}

/* Does the stack have functions? A trace's start is none. */
static int has_functions(const struct cursor *c)
{
	for (uint32_t i = 0; i < c->nframes; i++)
		if (c->s->f[i].kind != EV_FRAME_CO && (i || c->s->f[i].kind != EV_FRAME_TRACE))
			return 1;
	return 0;
}

/* What goes before the stack: what it is split by, and why the stack is not whole. */
static int push_head(struct cursor *c)
{
	int err = split_descend(c->p, c->proc, c->s, c->state, &c->node);

	/* A whole walk found nothing: no Lua function is active. With a trace that cannot be. */
	if (c->why == EV_WHY_NONE && !has_functions(c))
		c->why =
		    c->state == EV_STATE_TRACE || c->nframes ? EV_WHY_BAD_FRAME : EV_WHY_OUTSIDE;
	if (!err && c->why != EV_WHY_NONE && !(c->why == EV_WHY_OUTSIDE && has_code(c))) {
		char label[LABEL_MAX + 1];

		snprintf(label, sizeof(label), "[no Lua stack: %s]", why_text[c->why]);
		err = push_fixed(c, PROF_OTHER, label);
	}
	if (!err && (c->s->flags & EV_SF_TRUNCATED))
		err = push_fixed(c, PROF_OTHER, "[truncated]");
	return err;
}

/* The head and the stack: as it was the last time, if there was one. */
static int fold_stack(struct cursor *c)
{
	struct memo_entry *e = memo_entry(c->p, c->s, c->nframes, has_native(c) ? c->native : NULL);
	int err;

	if (e && e->known) {
		e->hits++;
		c->node = e->node;
		c->top = e->top;
		c->why = e->why;
		c->real = e->real;
		c->undefined = e->undefined;
		return 0;
	}
	c->counted = !!e;
	err = push_head(c);
	if (!err)
		err = push_stack(c);
	if (e && !err)
		*e = (struct memo_entry){.known = 1,
					 .hits = 1,
					 .node = c->node,
					 .top = c->top,
					 .why = c->why,
					 .real = c->real,
					 .undefined = c->undefined};
	return err;
}

/* The names by which the functions of known stacks were called, of all times that are not counted
 * yet. */
int prof_count_names(struct prof *p)
{
	int err = 0;

	for (uint32_t id = 1; id < p->memo.keys.n && !err; id++) {
		struct memo_entry *e = &p->memo.entries[id];
		struct cursor c = {.p = p, .s = memo_key(p, id)};

		c.proc = e->hits ? defs_proc(p, c.s->h.pid) : NULL;
		c.nframes = c.proc ? c.s->nframes : 0;
		for (uint32_t i = 0; i < c.nframes && !err; i++) {
			uint32_t frame;

			if (c.s->f[i].kind == EV_FRAME_CO ||
			    (!i && c.s->f[i].kind == EV_FRAME_TRACE))
				continue;
			err = resolve(&c, &c.s->f[i], &frame);
			if (!err)
				err = vote(&c, i, frame, e->hits);
		}
		e->hits = 0;
	}
	return err;
}

/* The C function at the instruction pointer, unless the stack ends in it. */
static int push_c_leaf(struct cursor *c)
{
	struct sym *sym = defs_sym(c->proc, c->s->ip);
	uint32_t frame;
	int err;

	if (has_leaf(c) || !sym || sym->kind != EV_SYM_FUNC)
		return 0;
	err = frames_cfunc(c->p, sym, &frame);
	return err || frame == c->top ? err : push(c, frame, NODE_LEAF);
}

/* What C code the innermost Lua frame is in. */
static int push_native_leaf(struct cursor *c)
{
	struct native_items items;
	int err = native_leaf(c->p, c->proc, c->s, c->nframes, c->extra, c->native, &items);

	return err ? err : push_items(c, &items);
}

/* Is this LuaJIT's own C code, nameless, that the interpreter or a trace called? */
static int is_helper(const struct sym *sym)
{
	return sym->kind == EV_SYM_MODULE && (sym->flags & EV_SYM_LUAJIT);
}

/* Where in or below the VM the instruction pointer is. */
static int push_vm_leaf(struct cursor *c)
{
	struct sym *sym = defs_sym(c->proc, c->s->ip);
	uint32_t frame;
	int err;

	if (has_leaf(c) || (!sym && !(c->s->flags & EV_SF_VMCODE)))
		return 0;
	if (!sym || is_helper(sym))
		err = frames_fixed(c->p, PROF_VM, "lj_vm", &frame);
	else if (sym->kind == EV_SYM_BC || sym->kind == EV_SYM_VM)
		err = frames_vmcode(c->p, sym, &frame);
	else if (sym->kind == EV_SYM_FUNC || sym->kind == EV_SYM_MODULE)
		err = frames_cfunc(c->p, sym, &frame);
	else
		return 0;
	return err ? err : push(c, frame, NODE_LEAF);
}

/* What goes on top of the stack: what the VM was doing. */
static int push_state(struct cursor *c)
{
	uint32_t flags = c->s->flags;
	int kernel = !!(flags & EV_SF_KERNEL);

	switch (c->state) {
	case EV_STATE_TRACE:
		if (!c->nframes || c->s->f[0].kind != EV_FRAME_TRACE) {
			int err = push_trace(c, NULL);

			if (err)
				return err;
		}
		return flags & EV_SF_MCODE ? 0 : push_vm_leaf(c);
	case EV_STATE_INTERP:
		return kernel ? 0 : push_vm_leaf(c);
	case EV_STATE_C:
	case EV_STATE_OUTSIDE:
		return kernel ? 0 : push_c_leaf(c);
	case EV_STATE_GC:
		return push_fixed(c, PROF_GC, "[GC]");
	case EV_STATE_EXIT:
		return push_fixed(c, PROF_JIT, "[exit]");
	case EV_STATE_RECORD:
		return push_fixed(c, PROF_JIT, "[JIT] record");
	case EV_STATE_OPT:
		return push_fixed(c, PROF_JIT, "[JIT] optimise");
	case EV_STATE_ASM:
		return push_fixed(c, PROF_JIT, "[JIT] assemble");
	default:
		return 0;
	}
}

static int push_kernel(struct cursor *c)
{
	struct native_items items;
	int err = push_fixed(c, PROF_KERNEL, "[kernel]");

	if (err || !c->native)
		return err;
	err = native_kernel(c->p, c->proc, c->native, &items);
	return err ? err : push_items(c, &items);
}

static void count(struct cursor *c, uint64_t times)
{
	struct prof_stats *st = &c->p->stats;
	const struct ev_sample *s = c->s;
	struct node *n = node_at(c->p, c->node);
	int crowded = c->node == c->p->crowd;

	c->p->ended = c->node;
	n->pub.self += times;
	n->pub.by_state[c->state] += times;
	if (!st->samples || s->h.time < st->first_time)
		st->first_time = s->h.time;
	if (!st->samples || s->h.time > st->last_time)
		st->last_time = s->h.time;
	st->samples += times;
	st->with_lua += c->real && !crowded ? times : 0;
	st->crowded += crowded ? times : 0;
	st->kernel += !!(s->flags & EV_SF_KERNEL);
	st->truncated += !!(s->flags & EV_SF_TRUNCATED);
	st->repaired += !!(s->flags & EV_SF_REPAIRED);
	st->undefined += !!c->undefined;
	st->by_state[c->state] += times;
	st->by_why[c->why] += times;
	st->by_inside[c->inside] += times;
}

static int is_wanted(const struct prof *p, const struct ev_sample *s, unsigned int state)
{
	const struct prof_opts *o = &p->opts;
	uint64_t at = s->h.time > p->stats.start_time ? s->h.time - p->stats.start_time : 0;

	return (!o->pid || o->pid == s->h.pid) && (!o->states || (o->states & 1u << state)) &&
	       at >= o->from && (!o->to || at < o->to);
}

/* The labels of a sample. */
static int keep(struct cursor *c, const struct prof_about *about)
{
	struct prof_place at = {.node = c->node, .state = c->state, .inside = c->inside};

	return c->p->opts.keep ? samples_add(c->p, c->proc, c->s, &at, about) : 0;
}

/* Counts it where it got to, unless err says why it got nowhere. */
static int settle(struct cursor *c, int err, const struct prof_about *about)
{
	uint64_t times = about ? about->times : 1;

	if (!err)
		err = keep(c, about);
	if (err == -ENOSPC) {
		c->node = c->p->crowd;
		err = keep(c, about);
	}
	if (!err)
		count(c, times);
	return err;
}

static int add_sample(struct prof *p, const struct ev_sample *s)
{
	struct cursor c = {.p = p, .s = s, .top = NO_FRAME};
	struct inside whole;
	size_t room = (s->h.size - sizeof(*s)) / sizeof(s->f[0]);
	int err;

	c.proc = defs_proc(p, s->h.pid);
	if (!c.proc)
		return -ENOMEM;
	c.proc->pub.samples++;
	c.state = s->state < EV_STATE_MAX ? s->state : EV_STATE_UNKNOWN;
	if (!is_wanted(p, s, c.state))
		return 0;
	inside_expand(p, s, s->nframes < room ? s->nframes : (uint32_t)room, &whole);
	c.s = whole.s;
	c.nframes = whole.nframes;
	c.extra = c.nframes > s->nframes ? c.nframes - s->nframes : 0;
	c.inside = whole.what;
	c.why = s->why < EV_WHY_MAX ? s->why : EV_WHY_BAD_FRAME;
	c.native = native_of(p, s);
	err = fold_stack(&c);
	if (!err)
		err = push_state(&c);
	if (!err && has_native(&c))
		err = push_native_leaf(&c);
	if (!err && (s->flags & EV_SF_KERNEL))
		err = push_kernel(&c);
	err = settle(&c, err, NULL);
	if (!err && c.native)
		native_count(&p->stats, c.native);
	return err;
}

int abort_again(struct prof *p, const struct ev_sample *s, const struct prof_about *about,
		uint32_t stack)
{
	struct cursor c = {.p = p, .s = s, .node = stack, .state = s->state, .why = s->why};

	if (!p->opts.aborts)
		return 0;
	c.proc = defs_proc(p, s->h.pid);
	if (!c.proc)
		return -ENOMEM;
	c.proc->pub.samples += about->times;
	c.real = s->why == EV_WHY_NONE;
	return settle(&c, 0, about);
}

static int push_unseen(struct cursor *c, const struct prof_about *about)
{
	char label[LABEL_MAX + 1];
	int err = split_descend(c->p, c->proc, c->s, c->state, &c->node);

	label_format(label, "%s", about->start);
	if (!err)
		err = push_fixed(c, PROF_OTHER, "[before ljx came]");
	return err ? err : push_fixed(c, PROF_OTHER, label);
}

int abort_add(struct prof *p, const struct ev_sample *s, const struct prof_about *about,
	      uint32_t *stack)
{
	struct cursor c = {.p = p, .s = s, .top = NO_FRAME, .state = s->state, .why = s->why};
	char label[LABEL_MAX + 1];
	int err;

	c.proc = defs_proc(p, s->h.pid);
	if (!c.proc)
		return -ENOMEM;
	c.nframes = s->nframes;
	err = about->unseen ? push_unseen(&c, about) : push_head(&c);
	if (!err && !about->unseen)
		err = push_stack(&c);
	label_format(label, "[abort] %s", about->reason ? about->reason : "");
	if (!err && p->opts.aborts)
		err = push_fixed(&c, PROF_JIT, label);
	if (err == -ENOSPC) {
		c.node = p->crowd;
		err = 0;
	}
	*stack = c.node;
	return err ? err : abort_again(p, s, about, c.node);
}

/* A definition: the frames of known stacks may be others from now on. */
static int define(struct prof *p, const struct ev_hdr *h)
{
	int err = 0;

	/* Of a full profile, only what makes old definitions void. */
	if (p->full && h->kind != EV_PROC && h->kind != EV_EXEC && h->kind != EV_EXIT)
		return 0;
	if (p->memo.keys.n && defs_changes(p, h)) {
		err = prof_count_names(p);
		memo_release(p);
	}
	return err ? err : defs_add(p, h);
}

int prof_add(struct prof *p, const struct ev_hdr *h)
{
	int err = room_check(p);

	if (err)
		return err;
	tree_reopen(p);
	p->ended = UINT32_MAX;
	if (!p->stats.start_time)
		p->stats.start_time = h->time;
	switch (h->kind) {
	case EV_SAMPLE:
		return p->opts.aborts ? 0 : add_sample(p, (const struct ev_sample *)h);
	case EV_NATIVE:
		return native_add(p, (const struct ev_native *)h);
	case EV_LOST:
		p->stats.lost += ((const struct ev_lost *)h)->samples;
		return 0;
	case EV_CLOCK:
		/* The first pairing of the clocks, carried back to the start. */
		if (!p->stats.start_realtime)
			p->stats.start_realtime = ((const struct ev_clock *)h)->realtime -
						  (h->time - p->stats.start_time);
		return 0;
	case EV_META:
		p->stats.rate = ((const struct ev_meta *)h)->rate;
		return 0;
	case EV_SNAPS:
		return inside_add(p, (const struct ev_snaps *)h);
	default:
		return define(p, h);
	}
}

int prof_finish(struct prof *p)
{
	struct prof_process *processes =
	    realloc(p->processes, (p->nprocs + (size_t)1) * sizeof(*processes));
	int err;

	if (!processes)
		return -ENOMEM;
	p->processes = processes;
	for (uint32_t i = 0; i < p->nprocs; i++)
		processes[i] = p->procs[i].pub;
	err = prof_count_names(p);
	if (!err)
		err = frames_finish(p);
	if (!err)
		err = samples_finish(p);
	return err ? err : tree_finish(p);
}

struct prof *prof_new(const struct prof_opts *opts)
{
	struct prof *p = calloc(1, sizeof(*p));
	uint32_t root;

	if (!p)
		return NULL;
	p->opts = *opts;
	p->crowd = p->samples.crowd = UINT32_MAX;
	p->opts.split &= (1u << PROF_BY_MAX) - 1;
	p->stats.unit = opts->aborts ? PROF_ABORTS : PROF_SAMPLES;
	if (frames_fixed(p, PROF_ROOT, "all", &root) || tree_root(p, root) ||
	    frames_fixed(p, PROF_OTHER, "[undefined]", &p->undefined)) {
		prof_free(p);
		return NULL;
	}
	return p;
}

int prof_reset(struct prof *p)
{
	struct prof_stats old = p->stats;
	uint32_t root;
	int err;

	tree_release(p);
	memo_release(p);
	samples_release(p);
	events_release(p);
	p->full = 0;
	p->crowd = UINT32_MAX;
	map_release(&p->votes_at);
	p->nvotes = 0;
	for (uint32_t i = 0; i < p->nframes; i++)
		p->frames[i].best = 0;
	p->stats = (struct prof_stats){.rate = old.rate,
				       .unit = p->opts.aborts ? PROF_ABORTS : PROF_SAMPLES,
				       .start_time = old.start_time,
				       .start_realtime = old.start_realtime};
	for (uint32_t i = 0; i < p->nprocs; i++)
		p->procs[i].pub.samples = 0;
	err = frames_fixed(p, PROF_ROOT, "all", &root);
	return err ? err : tree_root(p, root);
}

void prof_free(struct prof *p)
{
	if (!p)
		return;
	defs_release(p);
	memo_release(p);
	native_release(p);
	samples_release(p);
	events_release(p);
	inside_release(p);
	pool_release(&p->strs);
	pool_release(&p->ids);
	map_release(&p->votes_at);
	tree_release(p);
	free(p->frames);
	free(p->votes);
	free(p->processes);
	free(p);
}
