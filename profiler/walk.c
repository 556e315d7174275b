/* SPDX-License-Identifier: MIT */
#include "profiler/walk.h"

#include "profiler/table.h"

#include <errno.h>
#include <stdlib.h>

void walk_release(struct walk *w)
{
	free(w->path);
	w->path = NULL;
}

struct walk_step *walk_next(struct walk *w)
{
	const struct prof_node *into = w->root;
	struct walk_step *top, *path;

	if (w->leaving && !--w->depth)
		return NULL;
	if (w->depth) {
		top = &w->path[w->depth - 1];
		w->leaving = top->next == top->node->nchildren;
		if (w->leaving)
			return top;
		into = top->node->children[top->next++];
	}
	path = table_room(w->path, &w->cap, (size_t)w->depth + 1, sizeof(*path));
	if (!path) {
		w->err = -ENOMEM;
		return NULL;
	}
	w->path = path;
	top = &path[w->depth++];
	*top = (struct walk_step){.node = into};
	return top;
}
