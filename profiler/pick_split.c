/* SPDX-License-Identifier: MIT */
/*
 * Another split of the samples that are there: the tree is made anew from the marks, which know all
 * that samples can be split by.
 */
#include "profiler/pick_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct move {
	struct pick *k;
	uint32_t *leaf;	   /* of each old node: NODE_* or 0 */
	uint32_t *to;	   /* of each mark: its new node */
	struct map groups; /* what samples are split by -> node + 1 */
	struct map moved;  /* group, old node -> new node */
	uint32_t *path, path_cap;
	unsigned int levels; /* what the old tree was split by */
};

/* What is needed of the old tree when the new one is there. */
static int keep_old(struct move *mv)
{
	const struct pick *k = mv->k;
	uint32_t i;

	mv->leaf = malloc((k->nnodes + (size_t)1) * sizeof(*mv->leaf));
	mv->to = malloc((k->nmarks + (size_t)1) * sizeof(*mv->to));
	if (!mv->leaf || !mv->to)
		return -ENOMEM;
	for (i = 0; i < k->nnodes; i++)
		mv->leaf[i] = node_at(k->p, i)->leaf;
	return 0;
}

/* The node where what is split as the mark's samples are begins. */
static int new_group(struct move *mv, const struct mark *m, uint32_t *out)
{
	static const struct pick_who nobody;
	const struct pick *k = mv->k;
	const struct pick_who *who = m->who < k->nwhos ? &k->whos[m->who] : &nobody;
	const struct pick_context *ctx = who->ctx < k->nctx ? &k->ctx[who->ctx] : NULL;
	struct ev_sample s = {.h = {.pid = ctx ? ctx->pid : 0, .tid = who->tid},
			      .g = ctx ? ctx->g : 0,
			      .L = who->L,
			      .trace = m->number};
	struct proc *proc = defs_proc(k->p, s.h.pid);

	*out = 0;
	return proc ? split_descend(k->p, proc, &s, m->state, out) : -ENOMEM;
}

static int group_of(struct move *mv, const struct mark *m, uint32_t *out)
{
	unsigned int split = mv->k->p->opts.split,
		     of_mark = 1u << PROF_BY_STATE | 1u << PROF_BY_TRACE;
	uint64_t key = split & ~of_mark ? (uint64_t)m->who << 32 : 0;
	int err;

	key |= split & 1u << PROF_BY_TRACE ? (uint64_t)m->number << 8 : 0;
	key |= split & 1u << PROF_BY_STATE ? m->state : 0;
	*out = map_get(&mv->groups, key);
	if (*out) {
		--*out;
		return 0;
	}
	err = new_group(mv, m, out);
	return err ? err : map_set(&mv->groups, key, *out + 1);
}

/* Where old node i is now, below the node group. */
static int move_node(struct move *mv, uint32_t i, uint32_t group, uint32_t *out)
{
	uint32_t n = 0, node = 0;
	int err = 0;

	for (; !node; i = mv->k->nodes[i].parent) {
		uint32_t *path;

		node = mv->k->nodes[i].depth <= mv->levels
			   ? group
			   : map_get(&mv->moved, (uint64_t)group << 32 | i);
		if (node || mv->k->nodes[i].depth <= mv->levels)
			break;
		path = table_room(mv->path, &mv->path_cap, (size_t)n + 1, sizeof(*path));
		if (!path)
			return -ENOMEM;
		mv->path = path;
		path[n++] = i;
	}
	while (n-- && !err) {
		uint32_t old = mv->path[n];

		err = tree_child(mv->k->p, &node, mv->k->nodes[old].frame, mv->leaf[old]);
		if (!err)
			err = map_set(&mv->moved, (uint64_t)group << 32 | old, node);
	}
	*out = node;
	return err;
}

/* Finds all marks' new nodes, as long as there is room for them. */
static int move_marks(struct move *mv)
{
	struct pick *k = mv->k;
	int err = 0;

	for (uint32_t i = 0; i < k->nmarks && !err; i++) {
		const struct mark *m = &k->marks[i];
		uint32_t group;

		if (room_is_used(k->p))
			return -ENOSPC;
		err = group_of(mv, m, &group);
		if (!err)
			err = move_node(mv, m->node, group, &mv->to[i]);
	}
	return err;
}

/* They are there now, and their samples count there. */
static void settle(const struct move *mv)
{
	struct pick *k = mv->k;

	for (uint32_t i = 0; i < k->nmarks; i++) {
		struct mark *m = &k->marks[i];
		struct prof_node *n = &node_at(k->p, mv->to[i])->pub;

		m->node = mv->to[i];
		n->self += m->all;
		n->by_state[m->state] += m->all;
	}
}

/* Without memory for what is known of it there are no samples. */
static void forget(struct pick *k)
{
	map_release(&k->spots);
	map_release(&k->places);
	map_release(&k->marks_at);
	k->nmarks = k->nspots = k->nplaces = 0;
	k->head = k->count = k->older = 0;
}

/* What is known of nodes and of marks by their node. */
static int look_again(struct pick *k)
{
	uint32_t n = k->nmarks;
	int err;

	map_release(&k->keys_at);
	map_release(&k->spots);
	map_release(&k->places);
	map_release(&k->marks_at);
	if (k->of_frame)
		memset(k->of_frame, 0, k->of_frame_cap * sizeof(*k->of_frame));
	k->nnodes = k->nkeys = k->nspots = k->nplaces = 0;
	err = pick_look(k);
	/* They get the numbers that they have: no two of them are alike. */
	for (k->nmarks = 0; k->nmarks < n && !err;) {
		k->marks[k->nmarks].next = 0;
		if (!pick_mark_at(k, &k->marks[k->nmarks]))
			err = -ENOMEM;
		else
			pick_place(k, k->nmarks++);
	}
	k->nmarks = n;
	return err;
}

/* Makes the tree anew, or leaves the old one. */
static int turn(struct move *mv, unsigned int split)
{
	struct prof *p = mv->k->p;
	unsigned int was = p->opts.split;
	struct tree old = tree_take(p);
	int err = tree_root(p, mv->k->nodes[0].frame);

	p->opts.split = split & ((1u << PROF_BY_MAX) - 1);
	if (!err)
		err = move_marks(mv);
	if (err) {
		tree_put(p, &old);
		p->opts.split = was;
		return err;
	}
	settle(mv);
	memo_release(p); /* it leads to nodes of the old one */
	p->ended = UINT32_MAX;
	tree_drop(&old);
	return 0;
}

int pick_split(struct pick *k, unsigned int split)
{
	struct move mv = {.k = k, .levels = (unsigned int)__builtin_popcount(k->p->opts.split)};
	int err = k->p->full ? -ENOSPC : pick_look(k); /* without samples the root is new */

	if (!err)
		err = prof_count_names(k->p);
	if (!err)
		err = keep_old(&mv);
	if (!err)
		err = turn(&mv, split);
	if (!err && look_again(k)) {
		forget(k);
		err = -ENOMEM;
	}
	free(mv.leaf);
	free(mv.to);
	free(mv.path);
	map_release(&mv.groups);
	map_release(&mv.moved);
	return err;
}

int pick_keeps_coroutines(const struct pick *k)
{
	return k->coroutines;
}
