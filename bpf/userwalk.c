// SPDX-License-Identifier: MIT
#include "bpf/userwalk.h"

#include "bpf/mem.h"
#include "bpf/resolve_int.h"

#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;

#define WALK_INLINE static inline
#define WALK_FN static
#define WALK_STEP static
#define walk_cut(w) ((void)(w)) /* of interest to C stacks only */
#include "bpf/walk.h"

/* A VM may have any number of prototypes, or claim so. */
#define SEEN_MAX 65536u
#define STR_HEAD_MAX 32u

struct seen {
	struct seen_key key;
	u32 id;
	UT_hash_handle hh;
};

struct userwalk {
	struct resolve *r;
	int pid, err;
	const struct vm *vm;
	struct seen *seen;
	userwalk_alive_fn *alive;
	void *alive_ctx;
	struct scratch sc;
};

/* walk.h's callbacks have no context of their own: the walk that runs in this thread. */
static _Thread_local struct userwalk *now;

static int peek(void *dst, u32 size, u64 addr)
{
	return mem_read(now->pid, addr, dst, size);
}

static int rd(void *dst, u32 size, u64 addr)
{
	return peek(dst, size, addr);
}

static const struct layout *layout_at(u32 idx)
{
	(void)idx;
	return &now->vm->row->l;
}

static u32 proto_seen(const struct scratch *sc, const struct seen_key *key, u64 *like)
{
	struct seen *s;

	(void)sc;
	*like = 0;
	HASH_FIND(hh, now->seen, key, sizeof(*key), s);
	return s ? s->id : EV_NO_PROTO;
}

/* Only storms need it, and they are none of this walk's business. */
static u64 proto_like(struct scratch *sc, u64 code, u32 sizebc, u64 shape)
{
	(void)sc;
	(void)code;
	(void)sizebc;
	return shape;
}

/*
 * Copies the name that the prototype's chunk has. 0 if there is a whole string, and the prototype
 * outlasted the copying, as far as can be told.
 */
static int copy_chunk(struct ev_proto_raw *raw, u64 chunkname)
{
	const struct layout *l = &now->vm->row->l;
	unsigned char str[STR_HEAD_MAX + EV_CHUNK_COPY];
	u32 len = raw->chunklen, n = len < EV_CHUNK_COPY ? len : EV_CHUNK_COPY - 1;
	struct proto_head h;

	if (l->STR_size > STR_HEAD_MAX || proto_decode_head(l, raw->head, sizeof(raw->head), &h) ||
	    mem_read(now->pid, chunkname - l->STR_size, str, l->STR_size + n + 1) ||
	    str[layout_gct(l)] != GCT_STR || mem_get32(str, l->STR_len) != len ||
	    (n == len && str[l->STR_size + n]))
		return -1;
	memset(raw->chunk, 0, sizeof(raw->chunk));
	memcpy(raw->chunk, str + l->STR_size, n);
	return !resolve_lives(now->pid, l, raw->g, raw->pt, raw->head) ||
	       (now->alive && !now->alive(now->alive_ctx));
}

static u32 define_proto(struct scratch *sc, const struct seen_key *key, u64 chunkname)
{
	struct ev_proto_raw *raw = &sc->raw;

	memcpy(raw->head, proto_head(sc), sizeof(raw->head));
	raw->pt = key->pt;
	if (copy_chunk(raw, chunkname)) {
		now->r->stats.protos_gone++;
		return EV_NO_PROTO;
	}
	raw->h.kind = EV_PROTO_RAW;
	raw->h.size = sizeof(*raw);
	raw->h.time = resolve_now();
	raw->h.pid = raw->h.tid = (u32)now->pid;
	raw->id = resolve_new_id(now->r);
	raw->identity = key->identity;
	now->err = resolve_record(now->r, &raw->h);
	return raw->id;
}

static void forget(struct userwalk *u)
{
	struct seen *s, *tmp;

	HASH_ITER(hh, u->seen, s, tmp)
	{
		HASH_DEL(u->seen, s);
		free(s);
	}
}

static void remember_proto(const struct seen_key *key, u32 id, u64 like)
{
	struct seen *s;

	(void)like;
	if (HASH_COUNT(now->seen) >= SEEN_MAX)
		forget(now);
	s = calloc(1, sizeof(*s));
	if (!s)
		return; /* then it is defined again */
	s->key = *key;
	s->id = id;
	HASH_ADD(hh, now->seen, key, sizeof(s->key), s);
	if (!s->hh.tbl)
		free(s);
}

struct userwalk *userwalk_new(struct resolve *r, int pid, const struct vm *vm)
{
	struct userwalk *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->r = r;
	u->pid = pid;
	u->vm = vm;
	u->sc.raw.g = vm->g;
	return u;
}

void userwalk_free(struct userwalk *u)
{
	if (!u)
		return;
	forget(u);
	free(u);
}

void userwalk_while(struct userwalk *u, userwalk_alive_fn *alive, void *ctx)
{
	u->alive = alive;
	u->alive_ctx = ctx;
}

int userwalk_error(const struct userwalk *u)
{
	return u->err;
}

static struct walk walk_init(struct userwalk *u)
{
	struct walk w = {.g = u->vm->g, .tgid = (u32)u->pid};

	now = u;
	return w;
}

const struct ev_sample *userwalk_stack(struct userwalk *u, uint64_t L, int current)
{
	const struct layout *l = &u->vm->row->l;
	struct ev_sample *s = sample_of(&u->sc);
	struct walk w = walk_init(u);
	struct walk_trace t = {0, 0, 0, 0, 0};
	u32 vmstate = 0, i;
	u64 base, jit_base;

	memset(s, 0, sizeof(*s));
	base = enter(&w, L);
	if (!base)
		return NULL;
	s->h.kind = EV_SAMPLE;
	s->h.time = resolve_now();
	s->h.pid = (u32)u->pid;
	s->g = u->vm->g;
	s->L = L;
	if (current && !rd(&vmstate, 4, s->g + l->G_vmstate))
		s->state = w.cf ? state_of(l, (s32)vmstate) : EV_STATE_OUTSIDE;
	start_saved(l, &w, base);
	if (s->state == EV_STATE_TRACE) {
		s->trace = vmstate;
		emit_trace(l, &w, &u->sc, vmstate, &t);
		jit_base = rdref(l, s->g + l->G_jit_base);
		start_at(&w, jit_base ? jit_base : base, 0);
	}
	if (w.frame > w.bottom && judge_base(l, &w, &u->sc, w.frame + 8, 0) == BASE_NOT)
		w.why = EV_WHY_BAD_BASE;
	for (i = 0; !w.why && i < 2 * EV_MAX_FRAMES && !walk_step(&w, &u->sc); i++)
		;
	if (!w.n && !current)
		return NULL;
	s->why = w.why;
	s->nframes = (u16)w.n;
	s->flags = w.truncated ? EV_SF_TRUNCATED : 0;
	s->h.size = (u32)(sizeof(*s) + w.n * sizeof(struct ev_frame));
	return s;
}

/* A place in a prototype that has no id is none. */
static void drop_unknown(struct ev_frame *f)
{
	if (f->kind == EV_FRAME_LUA && EV_FRAME_PROTO(f->addr) == EV_NO_PROTO)
		memset(f, 0, sizeof(*f));
}

void userwalk_position(struct userwalk *u, uint64_t pt, uint64_t pc, struct ev_frame *out)
{
	struct walk w = walk_init(u);

	memset(out, 0, sizeof(*out));
	emit_position(&u->vm->row->l, &w, &u->sc, pt, pc, out);
	drop_unknown(out);
}

void userwalk_function(struct userwalk *u, uint64_t fn, uint64_t pc, struct ev_frame *out)
{
	struct walk w = walk_init(u);

	memset(out, 0, sizeof(*out));
	emit_function(&u->vm->row->l, &w, &u->sc, fn, pc, out);
	drop_unknown(out);
}
