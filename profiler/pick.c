/* SPDX-License-Identifier: MIT */
/* Marks of samples, what a query chooses of them, and the profile reduced to that. */
#include "profiler/pick_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RING_MAX (1u << 20) /* samples of "the last seconds" */
#define TREND_STEP UINT64_C(1000000000)
#define LINE_MASK 0xffffffu

enum prof_group pick_group(unsigned int state)
{
	static const uint32_t states[] = {
#define PICK_STATES(letter, text, mask) mask,
	    PROF_GROUPS(PICK_STATES)
#undef PICK_STATES
	};
	unsigned int g = 0;

	while (g < PROF_GROUP_O && !(states[g] >> state & 1))
		g++;
	return (enum prof_group)g;
}

struct pick *pick_new(struct prof *p, uint64_t window)
{
	struct pick *k = calloc(1, sizeof(*k));

	if (k) {
		k->p = p;
		k->window = window;
		k->coroutines = p->opts.split >> PROF_BY_COROUTINE & 1;
	}
	return k;
}

void pick_free(struct pick *k)
{
	if (!k)
		return;
	free(k->nodes);
	free(k->keys);
	map_release(&k->keys_at);
	free(k->of_frame);
	map_release(&k->spots);
	map_release(&k->places);
	map_release(&k->marks_at);
	pool_release(&k->who_ids);
	free(k->whos);
	free(k->marks);
	pool_release(&k->ids);
	free(k->ctx);
	free(k->ring);
	free(k->total);
	free(k->slots);
	free(k);
}

/* ---- nodes ---- */

/* Room for the frame in an array of numbers by frame, where new ones are 0. 0 or -ENOMEM. */
static int room_by_frame(uint32_t **array, uint32_t *cap, uint32_t frame)
{
	uint32_t old = *cap;
	uint32_t *grown = table_room(*array, cap, frame + (size_t)1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*array = grown;
	memset(grown + old, 0, (*cap - old) * sizeof(*grown));
	return 0;
}

static int new_key(struct pick *k, uint32_t frame, uint32_t group)
{
	struct pick_key *keys =
	    table_room(k->keys, &k->keys_cap, k->nkeys + (size_t)1, sizeof(*keys));

	if (!keys)
		return -ENOMEM;
	k->keys = keys;
	keys[k->nkeys++] = (struct pick_key){.frame = frame, .group = group};
	return 0;
}

static int key_of(struct pick *k, uint32_t frame, uint32_t group, uint32_t *out)
{
	uint64_t id = (uint64_t)group << 32 | frame;
	uint32_t at;

	if (!k->p->opts.split) {
		while (k->nkeys <= frame)
			if (new_key(k, k->nkeys, 0))
				return -ENOMEM;
		*out = frame;
		return 0;
	}
	at = map_get(&k->keys_at, id);
	if (!at) {
		at = k->nkeys + 1;
		if (room_by_frame(&k->of_frame, &k->of_frame_cap, frame) ||
		    map_set(&k->keys_at, id, at) || new_key(k, frame, group))
			return -ENOMEM;
		k->keys[at - 1].next = k->of_frame[frame];
		k->of_frame[frame] = at;
	}
	*out = at - 1;
	return 0;
}

static int look_at(struct pick *k, uint32_t i, struct pick_node *out)
{
	const struct prof *p = k->p;
	const struct node *n = node_at(p, i);
	enum prof_kind kind = p->frames[n->pub.frame].pub.kind;
	uint32_t up, group = i ? k->keys[k->nodes[n->parent].own].group : 0;
	int err;

	*out = i ? k->nodes[n->parent]
		 : (struct pick_node){.row = NO_KEY, .at = NO_NODE, .trace = NO_KEY};
	if (p->opts.split && rows_is_group(p, i))
		group = i;
	err = key_of(k, n->pub.frame, group, &out->own);
	if (err)
		return err;
	out->parent = n->parent;
	out->frame = n->pub.frame;
	out->depth = (uint16_t)(i ? out->depth + (out->depth < UINT16_MAX) : 0);
	/* A pseudo-frame is a row only where no function is below it. */
	if (rows_is_function(p, n) ||
	    (rows_is_row(kind) && kind != PROF_TRACE &&
	     (out->at == NO_NODE || !rows_is_function(p, node_at(p, out->at))))) {
		out->row = out->own;
		out->at = i;
	}
	if (kind == PROF_TRACE)
		out->trace = out->own;
	out->first = 1;
	for (up = i; up && out->first;) {
		up = node_at(p, up)->parent;
		out->first = k->nodes[up].frame != out->frame;
	}
	return 0;
}

int pick_look(struct pick *k)
{
	struct pick_node *nodes = table_room(k->nodes, &k->nodes_cap, k->p->nnodes, sizeof(*nodes));

	if (!nodes)
		return -ENOMEM;
	k->nodes = nodes;
	for (; k->nnodes < k->p->nnodes; k->nnodes++) {
		int err = look_at(k, k->nnodes, &k->nodes[k->nnodes]);

		if (err)
			return err;
	}
	return 0;
}

/* ---- marks ---- */

static int context_of(struct pick *k, const struct ev_sample *s, uint32_t *out)
{
	struct {
		uint64_t g;
		uint32_t pid, pad;
	} key = {s->g, s->h.pid, 0};
	uint32_t id = pool_add(&k->ids, &key, sizeof(key)), i, vms = 0;
	struct pick_context *ctx;

	if (!id)
		return -ENOMEM;
	*out = id - 1;
	if (id <= k->nctx)
		return 0;
	if (id > CTX_MAX) {
		*out = CTX_MAX; /* further ones are one */
		return 0;
	}
	ctx = table_room(k->ctx, &k->ctx_cap, (size_t)id, sizeof(*ctx));
	if (!ctx)
		return -ENOMEM;
	k->ctx = ctx;
	for (i = 0; i < k->nctx; i++)
		vms += ctx[i].pid == s->h.pid && ctx[i].g;
	ctx[k->nctx++] =
	    (struct pick_context){.pid = s->h.pid, .g = s->g, .vm = s->g ? vms + 1 : 0};
	return 0;
}

/* The current line of the function that owns the sample, if that is a Lua function. */
static uint32_t line_of(const struct ev_sample *s)
{
	uint32_t i = s->nframes && s->f[0].kind == EV_FRAME_TRACE;

	return i < s->nframes && s->f[i].kind == EV_FRAME_LUA ? s->f[i].line & LINE_MASK : 0;
}

/* The number of key in the map, the next one if it is new; 0 if out of memory. */
static uint32_t number_of(struct map *m, uint64_t key, uint32_t *n)
{
	uint32_t got = map_get(m, key);

	if (got)
		return got;
	return map_set(m, key, *n + 1) ? 0 : ++*n;
}

/* Is a sample that ended there without a Lua stack although the VM was in Lua? */
static int is_stackless(const struct pick *k, uint32_t node, unsigned int state)
{
	uint32_t row = k->nodes[node].row;

	return state != EV_STATE_OUTSIDE && row != NO_KEY &&
	       k->p->frames[k->keys[row].frame].pub.kind == PROF_OTHER;
}

/* Adds a mark to those of its row. */
static void chain(struct pick *k, uint32_t mark)
{
	uint32_t row = k->marks[mark].row;

	if (row == NO_KEY)
		return;
	k->marks[mark].next = k->keys[row].first;
	k->keys[row].first = mark + 1;
}

uint32_t pick_mark(const struct pick *k, uint32_t frame, uint32_t group, uint32_t after)
{
	uint32_t key, at;

	if (!after) {
		if (!k->p->opts.split)
			key = frame < k->nkeys ? frame + 1 : 0;
		else if (group != PICK_ALL)
			key = map_get(&k->keys_at, (uint64_t)group << 32 | frame);
		else
			key = frame < k->of_frame_cap ? k->of_frame[frame] : 0;
		at = key ? k->keys[key - 1].first : 0;
	} else {
		key = k->marks[after - 1].row + 1;
		at = k->marks[after - 1].next;
	}
	while (!at && group == PICK_ALL && key && (key = k->keys[key - 1].next))
		at = k->keys[key - 1].first;
	return at;
}

static int who_of(struct pick *k, const struct ev_sample *s, uint32_t *out)
{
	struct pick_who who = {.L = k->coroutines ? s->L : 0, .tid = s->h.tid};
	int err = context_of(k, s, &who.ctx);
	struct pick_who *whos;
	uint32_t id;

	if (err)
		return err;
	id = k->nwhos < WHO_MAX ? pool_add(&k->who_ids, &who, sizeof(who))
				: pool_find(&k->who_ids, &who, sizeof(who));
	if (!id && k->nwhos < WHO_MAX)
		return -ENOMEM;
	*out = id ? id - 1 : WHO_MAX;
	if (!id || id <= k->nwhos)
		return 0;
	whos = table_room(k->whos, &k->whos_cap, (size_t)id, sizeof(*whos));
	if (!whos)
		return -ENOMEM;
	k->whos = whos;
	whos[k->nwhos++] = who;
	return 0;
}

uint32_t pick_mark_at(struct pick *k, const struct mark *m)
{
	uint32_t spot = number_of(&k->spots, (uint64_t)m->node << 24 | m->line, &k->nspots);
	uint32_t place =
	    spot ? number_of(&k->places, (uint64_t)spot << 16 | m->number, &k->nplaces) : 0;
	uint32_t n = k->nmarks;

	/* A state and whether it was in the kernel are 8 bits, who it was 24. */
	return place ? number_of(&k->marks_at,
				 (uint64_t)place << 32 | m->who << 8 | (uint32_t)m->state << 1 |
				     m->kernel,
				 &n)
		     : 0;
}

void pick_place(struct pick *k, uint32_t mark)
{
	struct mark *m = &k->marks[mark];

	m->row = k->nodes[m->node].row;
	m->trace = k->nodes[m->node].trace;
	m->stackless = is_stackless(k, m->node, m->state) & 1;
	chain(k, mark);
}

static int mark_of(struct pick *k, const struct ev_sample *s, uint32_t *out)
{
	unsigned int state = s->state < EV_STATE_MAX ? s->state : EV_STATE_UNKNOWN;
	struct mark m = {.node = k->p->ended,
			 .line = line_of(s) & LINE_MASK,
			 .number = (uint16_t)s->trace,
			 .state = (uint8_t)state,
			 .kernel = !!(s->flags & EV_SF_KERNEL),
			 .group = pick_group(state)};
	struct mark *marks;
	uint32_t at;
	int err = who_of(k, s, &m.who);

	if (err)
		return err;
	marks = table_room(k->marks, &k->marks_cap, (size_t)k->nmarks + 1, sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	k->marks = marks;
	at = pick_mark_at(k, &m);
	if (!at)
		return -ENOMEM;
	*out = at - 1;
	if (at <= k->nmarks)
		return 0;
	marks[k->nmarks] = m;
	pick_place(k, k->nmarks++);
	return 0;
}

/* The context of a mark; NULL: there are too many. */
static struct pick_context *context_at(const struct pick *k, const struct mark *m)
{
	uint32_t ctx = m->who < k->nwhos ? k->whos[m->who].ctx : CTX_MAX;

	return ctx < k->nctx ? &k->ctx[ctx] : NULL;
}

uint32_t pick_pid(const struct pick *k, uint32_t frame, uint32_t group)
{
	uint32_t i, pid = 0;

	for (i = pick_mark(k, frame, group, 0); i; i = pick_mark(k, frame, group, i)) {
		const struct pick_context *c = context_at(k, &k->marks[i - 1]);

		if (!k->marks[i - 1].n)
			continue;
		if (!c || (pid && pid != c->pid))
			return 0;
		pid = c->pid;
	}
	return pid;
}

static struct ring_entry *ring_at(const struct pick *k, uint32_t i)
{
	return &k->ring[(k->head + i) & (k->ring_size - 1)];
}

static void ring_drop(struct pick *k)
{
	if (k->older)
		k->older--;
	else
		k->marks[ring_at(k, 0)->mark].recent--;
	k->head = (k->head + 1) & (k->ring_size - 1);
	k->count--;
}

static int ring_put(struct pick *k, uint64_t time, uint32_t mark)
{
	if (k->count == k->ring_size && k->ring_size < RING_MAX) {
		uint32_t size = k->ring_size ? k->ring_size * 2 : 1024, i;
		struct ring_entry *ring = malloc(size * sizeof(*ring));

		if (!ring)
			return -ENOMEM;
		for (i = 0; i < k->count; i++)
			ring[i] = *ring_at(k, i);
		free(k->ring);
		k->ring = ring;
		k->ring_size = size;
		k->head = 0;
	}
	if (k->count == k->ring_size)
		ring_drop(k);
	k->count++;
	*ring_at(k, k->count - 1) = (struct ring_entry){time, mark};
	k->marks[mark].recent++;
	return 0;
}

int pick_add(struct pick *k, const struct ev_hdr *h)
{
	const struct ev_sample *s = (const void *)h;
	struct pick_context *ctx;
	uint32_t mark;
	int err = prof_add(k->p, h);

	if (err || k->p->ended == UINT32_MAX)
		return err;
	err = pick_look(k);
	if (!err)
		err = mark_of(k, s, &mark);
	if (err)
		return err;
	k->marks[mark].all++;
	ctx = context_at(k, &k->marks[mark]);
	if (ctx)
		ctx->samples++;
	return ring_put(k, h->time, mark);
}

void pick_advance(struct pick *k, uint64_t now)
{
	while (k->older < k->count && ring_at(k, k->older)->time + k->window < now)
		k->marks[ring_at(k, k->older++)->mark].recent--;
	while (k->count && ring_at(k, 0)->time + PICK_TREND * TREND_STEP < now)
		ring_drop(k);
}

void pick_trend(const struct pick *k, uint32_t frame, uint32_t group, uint64_t now,
		uint32_t out[PICK_TREND])
{
	uint32_t i;

	memset(out, 0, PICK_TREND * sizeof(*out));
	for (i = 0; i < k->count; i++) {
		const struct ring_entry *e = ring_at(k, i);
		const struct mark *at = &k->marks[e->mark];
		uint64_t ago = (now - e->time) / TREND_STEP;

		if (e->time <= now && ago < PICK_TREND &&
		    (pick_is_of(k, at->row, frame, group) ||
		     pick_is_of(k, at->trace, frame, group)))
			out[PICK_TREND - 1 - ago]++;
	}
}

void pick_reset(struct pick *k)
{
	uint32_t i;

	for (i = 0; i < k->nmarks; i++)
		k->marks[i].all = k->marks[i].recent = 0;
	for (i = 0; i < k->nctx; i++)
		k->ctx[i].samples = 0;
	k->head = k->count = k->older = 0;
}

const struct pick_context *pick_contexts(const struct pick *k, size_t *n)
{
	uint32_t i;

	for (i = 0; i < k->nctx; i++) {
		uint32_t at = map_get(&k->p->procs_at, k->ctx[i].pid);

		k->ctx[i].comm =
		    at && k->p->procs[at - 1].pub.comm ? k->p->procs[at - 1].pub.comm : "";
	}
	*n = k->nctx;
	return k->ctx;
}

/* ---- queries ---- */

static int fits(const struct pick *k, const struct mark *m, const struct pick_query *q)
{
	const struct pick_context *c = context_at(k, m);

	return c && c->pid == q->pid && (!q->g || c->g == q->g);
}

/* total: of each node, where what ends there is added; or NULL. */
static void choose(struct pick *k, const struct pick_query *q, struct pick_sum *out,
		   uint64_t *total)
{
	uint32_t i;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < k->nmarks; i++) {
		struct mark *m = &k->marks[i];
		uint64_t n = q->recent ? m->recent : m->all;

		if (!n || (q->pid != PICK_ALL && !fits(k, m, q))) {
			m->n = 0;
			continue;
		}
		out->samples += n;
		out->by[m->group] += n;
		out->kernel += m->kernel ? n : 0;
		out->outside += m->state == EV_STATE_OUTSIDE ? n : 0;
		out->no_lua += m->stackless ? n : 0;
		if (q->only != PROF_GROUP_MAX && (unsigned int)q->only != m->group) {
			m->n = 0;
			continue;
		}
		m->n = n;
		if (total)
			total[m->node] += n;
	}
}

int pick_slots(struct pick *k)
{
	return room_by_frame(&k->slots, &k->slots_cap, k->p->nframes);
}

int pick_select(struct pick *k, const struct pick_query *q, struct pick_sum *out)
{
	uint64_t *total =
	    table_room(k->total, &k->total_cap, k->nnodes + (size_t)1, sizeof(*total));
	int err = pick_slots(k);
	uint32_t i;

	if (!total || err)
		return -ENOMEM;
	k->total = total;
	memset(total, 0, k->nnodes * sizeof(*total));
	k->chosen = k->nnodes;
	choose(k, q, out, total);
	/* A node's number is larger than its parent's. */
	for (i = k->nnodes; i-- > 1;)
		if (total[i])
			total[k->nodes[i].parent] += total[i];
	return 0;
}

int pick_labels(struct pick *k)
{
	return frames_finish(k->p);
}

static void count_marks(struct pick *k)
{
	struct prof *p = k->p;
	uint32_t i;

	tree_reopen(p);
	for (i = 0; i < p->nnodes; i++) {
		struct prof_node *n = &node_at(p, i)->pub;

		n->self = 0;
		memset(n->by_state, 0, sizeof(n->by_state));
	}
	for (i = 0; i < k->nmarks; i++) {
		struct prof_node *n = &node_at(p, k->marks[i].node)->pub;

		n->self += k->marks[i].n;
		n->by_state[k->marks[i].state] += k->marks[i].n;
		p->stats.by_state[k->marks[i].state] += k->marks[i].n;
		p->stats.samples += k->marks[i].n;
		p->stats.kernel += k->marks[i].kernel ? k->marks[i].n : 0;
	}
}

int pick_apply(struct pick *k, const struct pick_query *q)
{
	struct prof_stats *s = &k->p->stats;
	struct pick_sum sum;

	choose(k, q, &sum, NULL);
	k->saved = *s;
	memset(s->by_state, 0, sizeof(s->by_state));
	s->samples = s->kernel = 0;
	count_marks(k);
	return prof_finish(k->p);
}

int pick_restore(struct pick *k)
{
	static const struct pick_query all = {.pid = PICK_ALL, .only = PROF_GROUP_MAX};
	struct pick_sum sum;

	choose(k, &all, &sum, NULL);
	count_marks(k);
	k->p->stats = k->saved;
	return prof_finish(k->p);
}
