/* SPDX-License-Identifier: MIT */
/*
 * Stacks that were folded already. Most samples have a stack that was there before, and to compare
 * it whole is much cheaper than to go down the tree frame by frame. It holds until a definition
 * comes that could make the same frames something else.
 */
#include "profiler/fold.h"
#include "profiler/native.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (32u << 20)

/* The sample without what its place in the tree does not depend on. */
static size_t make_key(const struct prof *p, const struct ev_sample *s, uint32_t nframes,
		       const struct ev_native *native, struct ev_sample *key)
{
	size_t len = sizeof(*key) + nframes * sizeof(s->f[0]);
	const ev_u64 *from;
	uint32_t n;

	memset(key, 0, sizeof(*key));
	key->h.pid = s->h.pid;
	key->g = s->g;
	key->trace = s->trace;
	key->flags = s->flags & EV_SF_TRUNCATED;
	key->state = s->state;
	key->why = s->why;
	key->nframes = (ev_u16)nframes;
	if (p->opts.split) {
		key->h.tid = s->h.tid;
		key->L = s->L;
	}
	memcpy(key->f, s->f, nframes * sizeof(s->f[0]));
	if (!native)
		return len;
	key->flags |= (1u + native->why) << 16; /* no flags of samples are there */
	n = native_base(native, &from);
	memcpy((char *)key + len, from, n * sizeof(*from));
	return len + n * sizeof(*from);
}

struct memo_entry *memo_entry(struct prof *p, const struct ev_sample *s, uint32_t nframes,
			      const struct ev_native *native)
{
	_Alignas(struct ev_sample) char buf[sizeof(struct ev_sample) +
					    EV_MAX_FRAMES * sizeof(struct ev_frame) +
					    EV_NATIVE_MAX * sizeof(ev_u64)];
	struct memo *m = &p->memo;
	struct memo_entry *entries;
	uint32_t id, before = m->keys.n;
	size_t len;

	if (nframes > EV_MAX_FRAMES || m->bytes > BYTES_MAX)
		return NULL;
	len = make_key(p, s, nframes, native, (struct ev_sample *)buf);
	/* Before the key is there, so that no key is without its entry. */
	entries = table_room(m->entries, &m->cap, (size_t)before + 2, sizeof(*entries));
	if (!entries)
		return NULL;
	m->entries = entries;
	id = pool_add(&m->keys, buf, len);
	if (!id)
		return NULL;
	if (m->keys.n != before) {
		m->bytes += len + sizeof(*entries);
		entries[id] = (struct memo_entry){.known = 0};
	}
	return &entries[id];
}

const struct ev_sample *memo_key(const struct prof *p, uint32_t id)
{
	return (const struct ev_sample *)pool_get(&p->memo.keys, id);
}

void memo_release(struct prof *p)
{
	pool_release(&p->memo.keys);
	free(p->memo.entries);
	memset(&p->memo, 0, sizeof(p->memo));
}
