/* SPDX-License-Identifier: MIT */
/*
 * The tree. While samples come, a node counts only what ends at it; totals are summed up at the end
 * and taken apart again when more come. The order of the nodes makes both a plain loop: a node's
 * number is larger than its parent's.
 */
#include "profiler/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Adds a node below parent; leaf is NODE_* or 0. */
static int new_node(struct prof *p, uint32_t parent, uint32_t frame, uint32_t leaf, uint32_t *out)
{
	struct node *n;

	if (p->nnodes == UINT32_MAX)
		return -ENOMEM;
	if (p->nnodes >> NODES_LOG2 == p->nblocks) {
		struct node **blocks =
		    table_room(p->blocks, &p->blocks_cap, (size_t)p->nblocks + 1, sizeof(*blocks));

		if (!blocks)
			return -ENOMEM;
		p->blocks = blocks;
		blocks[p->nblocks] = calloc(NODES_BLOCK, sizeof(**blocks));
		if (!blocks[p->nblocks])
			return -ENOMEM;
		p->nblocks++;
	}
	if (p->nnodes && map_set(&p->edges, (uint64_t)parent << 32 | leaf | frame, p->nnodes))
		return -ENOMEM;
	n = node_at(p, p->nnodes);
	n->pub.frame = frame;
	n->parent = parent;
	n->leaf = leaf;
	n->pub.inlined = (leaf & NODE_INLINED) != 0;
	*out = p->nnodes++;
	return 0;
}

int tree_root(struct prof *p, uint32_t frame)
{
	uint32_t root;

	return new_node(p, 0, frame, 0, &root);
}

int tree_child(struct prof *p, uint32_t *node, uint32_t frame, uint32_t leaf)
{
	uint32_t child = map_get(&p->edges, (uint64_t)*node << 32 | leaf | frame);

	if (!child)
		return p->full ? -ENOSPC : new_node(p, *node, frame, leaf, node);
	*node = child;
	return 0;
}

/* More samples after a finish: by_state of all is to be self's again. */
void tree_reopen(struct prof *p)
{
	if (!p->finished)
		return;
	/* A child's own numbers are still totals when they leave its parent's: it comes later. */
	for (uint32_t i = 1; i < p->nnodes; i++) {
		const struct node *n = node_at(p, i);
		struct node *parent = node_at(p, n->parent);

		for (int k = 0; k < EV_STATE_MAX; k++)
			parent->pub.by_state[k] -= n->pub.by_state[k];
	}
	p->finished = 0;
}

static int by_label(const void *a, const void *b, void *ctx)
{
	const struct prof_node *const *x = a, *const *y = b;
	const struct prof *p = ctx;
	int order = strcmp(p->frames[(*x)->frame].pub.label, p->frames[(*y)->frame].pub.label);

	if (order)
		return order;
	/* Different functions of one label: any order, but always the same. */
	if ((*x)->frame != (*y)->frame)
		return (*x)->frame < (*y)->frame ? -1 : 1;
	return ((*x)->inlined > (*y)->inlined) - ((*x)->inlined < (*y)->inlined);
}

/* Sums up from the leaves to the root and counts children. */
static void sum_up(struct prof *p)
{
	for (uint32_t i = 0; i < p->nnodes; i++) {
		struct node *n = node_at(p, i);

		n->pub.total = n->pub.self;
		n->pub.before = n->pub.before_self;
		n->pub.nchildren = 0;
	}
	for (uint32_t i = p->nnodes; --i;) {
		const struct node *n = node_at(p, i);
		struct node *parent = node_at(p, n->parent);

		parent->pub.total += n->pub.total;
		parent->pub.before += n->pub.before;
		parent->pub.nchildren++;
		for (int k = 0; k < EV_STATE_MAX; k++)
			parent->pub.by_state[k] += n->pub.by_state[k];
	}
}

/* All the nodes' lists of children, one after the other in one array. */
static int list_children(struct prof *p)
{
	struct prof_node **all = realloc(p->children, p->nnodes * sizeof(*all));
	size_t used = 0;

	if (!all)
		return -ENOMEM;
	p->children = all;
	for (uint32_t i = 0; i < p->nnodes; i++) {
		struct node *n = node_at(p, i);

		n->pub.children = all + used;
		used += n->pub.nchildren;
		n->pub.nchildren = 0;
	}
	for (uint32_t i = 1; i < p->nnodes; i++) {
		struct node *n = node_at(p, i);
		struct prof_node *parent = &node_at(p, n->parent)->pub;

		parent->children[parent->nchildren++] = &n->pub;
	}
	for (uint32_t i = 0; i < p->nnodes; i++) {
		struct prof_node *n = &node_at(p, i)->pub;

		qsort_r(n->children, n->nchildren, sizeof(*n->children), by_label, p);
	}
	return 0;
}

int tree_finish(struct prof *p)
{
	tree_reopen(p);
	sum_up(p);
	p->finished = 1;
	return list_children(p);
}

struct tree tree_take(struct prof *p)
{
	struct tree t = {.blocks = p->blocks,
			 .nblocks = p->nblocks,
			 .blocks_cap = p->blocks_cap,
			 .nnodes = p->nnodes,
			 .edges = p->edges,
			 .children = p->children,
			 .finished = p->finished};

	p->edges = (struct map){.n = 0};
	p->blocks = NULL;
	p->children = NULL;
	p->nblocks = p->blocks_cap = p->nnodes = 0;
	p->finished = 0;
	return t;
}

void tree_drop(struct tree *t)
{
	map_release(&t->edges);
	for (uint32_t i = 0; i < t->nblocks; i++)
		free(t->blocks[i]);
	free(t->blocks);
	free(t->children);
}

void tree_put(struct prof *p, const struct tree *t)
{
	tree_release(p);
	p->blocks = t->blocks;
	p->nblocks = t->nblocks;
	p->blocks_cap = t->blocks_cap;
	p->nnodes = t->nnodes;
	p->edges = t->edges;
	p->children = t->children;
	p->finished = t->finished;
}

void tree_release(struct prof *p)
{
	struct tree t = tree_take(p);

	tree_drop(&t);
}
