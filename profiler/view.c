/* SPDX-License-Identifier: MIT */
/* Other trees of the same samples. */
#include "profiler/fold.h"

#include <stdlib.h>

/* What ends in node i, split by state. */
static void self_states(const struct prof *p, uint32_t i, uint64_t out[EV_STATE_MAX])
{
	const struct prof_node *n = &node_at(p, i)->pub;

	for (int s = 0; s < EV_STATE_MAX; s++) {
		out[s] = n->by_state[s];
		for (uint32_t k = 0; k < n->nchildren; k++)
			out[s] -= n->children[k]->by_state[s];
	}
}

static int add_reversed(struct prof *to, const struct prof *p, uint32_t stack)
{
	uint64_t by_state[EV_STATE_MAX];
	uint32_t at = 0;
	struct node *n;
	int err = 0;

	for (uint32_t i = stack; i && !err; i = node_at(p, i)->parent)
		err = tree_child(to, &at, node_at(p, i)->pub.frame,
				 node_at(p, i)->leaf & NODE_INLINED);
	if (err)
		return err;
	n = node_at(to, at);
	n->pub.self += node_at(p, stack)->pub.self;
	n->pub.before_self += node_at(p, stack)->pub.before_self;
	self_states(p, stack, by_state);
	for (int s = 0; s < EV_STATE_MAX; s++)
		n->pub.by_state[s] += by_state[s];
	return 0;
}

struct prof *prof_reversed(const struct prof *p)
{
	struct prof *to = calloc(1, sizeof(*to));
	int err;

	if (!to)
		return NULL;
	to->opts = p->opts;
	to->stats = p->stats;
	to->frames = p->frames;
	to->nframes = p->nframes;
	to->is_diff = p->is_diff;
	to->builds_shown = p->builds_shown;
	err = tree_root(to, prof_root(p)->frame);
	for (uint32_t i = 0; i < p->nnodes && !err; i++)
		if (node_at(p, i)->pub.self || node_at(p, i)->pub.before_self)
			err = add_reversed(to, p, i);
	if (!err)
		err = tree_finish(to);
	if (err) {
		prof_free_reversed(to);
		to = NULL;
	}
	return to;
}

void prof_free_reversed(struct prof *reversed)
{
	if (reversed)
		tree_release(reversed);
	free(reversed);
}
