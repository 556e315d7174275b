// SPDX-License-Identifier: MIT
#include "bpf/snapshot.h"

#include "bpf/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;

#define WALK_INLINE static inline
#define WALK_FN static
#include "bpf/walk.h"

/* Coroutines of one process; more are not shown. */
#define THREADS_MAX 65536
/* Ids of prototypes, apart from those of BPF. */
#define FIRST_ID 0x80000000u

/* What walk.h's callbacks, which have no context of their own, work on. */
static _Thread_local struct {
	struct resolve *r;
	int pid, err;
	const struct layout *layout;
	struct {
		struct seen_key key;
		u32 id;
	} * seen;
	u32 nseen;
} now;

static int peek(void *dst, u32 size, u64 addr)
{
	return mem_read(now.pid, addr, dst, size);
}

static int rd(void *dst, u32 size, u64 addr)
{
	return peek(dst, size, addr);
}

static const struct layout *layout_at(u32 idx)
{
	(void)idx;
	return now.layout;
}

static u32 proto_seen(const struct seen_key *key)
{
	u32 i;

	for (i = 0; i < now.nseen; i++)
		if (now.seen[i].key.pt == key->pt && now.seen[i].key.identity == key->identity)
			return now.seen[i].id;
	return EV_NO_PROTO;
}

static u32 define_proto(struct scratch *sc, const struct seen_key *key, u64 chunkname)
{
	struct ev_proto_raw *raw = &sc->raw;
	void *bigger;
	long n;

	if ((now.nseen & (now.nseen - 1)) == 0) {
		bigger = realloc(now.seen, (now.nseen ? 2 * now.nseen : 1) * sizeof(*now.seen));
		if (!bigger)
			return EV_NO_PROTO;
		now.seen = bigger;
	}
	raw->h.kind = EV_PROTO_RAW;
	raw->h.size = sizeof(*raw);
	raw->h.time = resolve_now();
	raw->h.pid = raw->h.tid = (u32)now.pid;
	raw->id = FIRST_ID + now.nseen;
	raw->pt = key->pt;
	raw->identity = key->identity;
	memset(raw->chunk, 0, sizeof(raw->chunk));
	n = mem_read_some(now.pid, chunkname, raw->chunk, sizeof(raw->chunk) - 1);
	if (n > 0)
		memset(raw->chunk + strnlen((char *)raw->chunk, (size_t)n), 0,
		       sizeof(raw->chunk) - strnlen((char *)raw->chunk, (size_t)n));
	now.err = resolve_record(now.r, &raw->h);
	now.seen[now.nseen].key = *key;
	now.seen[now.nseen++].id = raw->id;
	return raw->id;
}

/* Walks one coroutine. cur: it is the VM's current one, whose state and traces count. */
static int walk_one(struct scratch *sc, const struct vm *vm, u64 L, int cur)
{
	const struct layout *l = &vm->row->l;
	struct ev_sample *s = sample_of(sc);
	struct walk w = {.g = vm->g, .tgid = (u32)now.pid};
	u32 vmstate = 0, flags = 0, i;
	u64 base, jit_base;

	memset(s, 0, sizeof(*s));
	base = enter(l, &w, L);
	if (!base)
		return 0;
	s->h.kind = EV_SAMPLE;
	s->h.time = resolve_now();
	s->h.pid = (u32)now.pid;
	s->g = vm->g;
	s->L = L;
	if (cur && !rd(&vmstate, 4, vm->g + l->G_vmstate))
		s->state = w.cf ? state_of((s32)vmstate) : EV_STATE_OUTSIDE;
	start_saved(l, &w, base);
	if (s->state == EV_STATE_TRACE) {
		s->trace = vmstate;
		emit_trace(l, &w, sc, vmstate, 0, &flags);
		jit_base = rd64(vm->g + l->G_jit_base);
		start_at(&w, jit_base ? jit_base : base, 0);
	}
	if (w.frame > w.bottom && judge(&w, w.frame + 8, 0) == BASE_NOT)
		w.why = EV_WHY_BAD_BASE;
	for (i = 0; !w.why && i < 2 * EV_MAX_FRAMES && !walk_step(&w, sc); i++)
		;
	s->why = w.why;
	s->nframes = (u16)w.n;
	if (w.truncated)
		s->flags |= EV_SF_TRUNCATED;
	if (!w.n && !cur)
		return 0;
	s->h.size = (u32)(sizeof(*s) + w.n * sizeof(struct ev_frame));
	return now.err ? now.err : resolve_record(now.r, &s->h);
}

/* The coroutine below which the resumed ones were already shown has its frames in theirs. */
static int shown_before(const struct scratch *sc, u32 n, u64 L)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (sc->f[i].kind == EV_FRAME_CO && sc->f[i].addr == L)
			return 1;
	return 0;
}

static int one_vm(struct scratch *sc, const struct proc_maps *maps, const struct vm *vm)
{
	const struct layout *l = &vm->row->l;
	u64 cur = mem_u64(now.pid, vm->g + l->G_cur_L), *thread;
	struct ev_frame *first = NULL;
	size_t n, i;
	u32 nfirst;
	int err;

	now.layout = l;
	sc->raw.g = vm->g;
	err = walk_one(sc, vm, cur, 1);
	if (err)
		return err;
	/* Remember which resumers the current stack passed through. */
	nfirst = sample_of(sc)->nframes;
	first = malloc((nfirst + 1) * sizeof(*first));
	thread = vm_threads(now.pid, maps, vm, THREADS_MAX, &n);
	if (!first || !thread) {
		free(first);
		free(thread);
		return -ENOMEM;
	}
	memcpy(first, sc->f, nfirst * sizeof(*first));
	for (i = 0; i < n && !err; i++) {
		memcpy(sc->f, first, nfirst * sizeof(*first));
		if (thread[i] != cur && !shown_before(sc, nfirst, thread[i]))
			err = walk_one(sc, vm, thread[i], 0);
	}
	free(first);
	free(thread);
	return err;
}

int snapshot(struct resolve *r, int pid, const struct vm_list *vms)
{
	struct scratch *sc = calloc(1, sizeof(*sc));
	size_t i;
	int err = 0;

	if (!sc)
		return -ENOMEM;
	memset(&now, 0, sizeof(now));
	now.r = r;
	now.pid = pid;
	for (i = 0; i < vms->n && !err; i++)
		err = one_vm(sc, resolve_maps(r, pid), &vms->vm[i]);
	free(now.seen);
	free(sc);
	return err;
}
