// SPDX-License-Identifier: MIT
#include "profiler/ticks.h"

#include <errno.h>
#include <stdlib.h>

void ticks_release(struct ticks *t)
{
	free(t->tick);
	*t = (struct ticks){.window = t->window};
}

static void drop_first(struct ticks *t)
{
	t->first = (t->first + 1) % t->size;
	t->n--;
}

void ticks_drop(struct ticks *t, uint64_t now)
{
	while (t->n && t->tick[t->first].time + t->window < now)
		drop_first(t);
}

/* Twice the room, in order. */
static int grow(struct ticks *t)
{
	uint32_t size = t->size ? t->size * 2 : 1024, i;
	struct tick *to = malloc(size * sizeof(*to));

	if (!to)
		return -ENOMEM;
	for (i = 0; i < t->n; i++)
		to[i] = *ticks_at(t, i);
	free(t->tick);
	t->tick = to;
	t->size = size;
	t->first = 0;
	return 0;
}

int ticks_add(struct ticks *t, const struct tick *tick)
{
	int err = 0;

	if (!t->window)
		return 0;
	ticks_drop(t, tick->time);
	if (t->n == TICKS_MAX)
		drop_first(t);
	else if (t->n == t->size)
		err = grow(t);
	if (!err)
		t->tick[(t->first + t->n++) % t->size] = *tick;
	return err;
}
