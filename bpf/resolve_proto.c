// SPDX-License-Identifier: MIT
#include "bpf/mem.h"
#include "bpf/resolve_int.h"
#include "bpf/vm_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is remembered: prototypes, call sites, and bytes of prototypes' bodies. */
#define PROTOS_MAX 16384
#define NAMES_MAX 65536
#define SHAPES_MAX 65536
#define BODY_MAX (4u << 20)
#define BODIES_MAX (8u << 20)
#define KSTR_MAX 256
/* Bytes of bodies read in a second: prototypes may claim to be large, and there may be many. */
#define BODY_RATE (64u << 20)

static void drop_body(struct resolve *r, struct rproto *p)
{
	if (p->body)
		r->body_bytes -= p->h.sizept;
	free(p->body);
	p->body = NULL;
}

static void free_proto(struct resolve *r, struct rproto *p)
{
	HASH_DEL(r->protos, p);
	drop_body(r, p);
	free(p);
}

static void names_drop(struct resolve *r)
{
	struct rname *n, *tmp;

	HASH_ITER(hh, r->names, n, tmp)
	{
		HASH_DEL(r->names, n);
		free(n);
	}
}

static void shapes_drop(struct resolve *r)
{
	struct rshape *s, *tmp;

	HASH_ITER(hh, r->shapes, s, tmp)
	{
		HASH_DEL(r->shapes, s);
		free(s);
	}
}

/* The shape's entry, made if create is set and there is none; NULL: none, or out of memory. */
static struct rshape *shape_of(struct resolve *r, const struct rproto *p, int create)
{
	struct rshape k, *s;
	size_t i;

	memset(&k, 0, sizeof(k));
	k.key.chunk = 14695981039346656037ull; /* FNV-1a */
	for (i = 0; i < sizeof(p->chunk) && p->chunk[i]; i++)
		k.key.chunk = (k.key.chunk ^ p->chunk[i]) * 1099511628211ull;
	k.key.firstline = p->h.firstline;
	k.key.numline = p->h.numline;
	k.key.sizebc = p->h.sizebc;
	k.key.sizekgc = p->h.sizekgc;
	k.key.sizekn = p->h.sizekn;
	k.key.sizept = p->h.sizept;
	HASH_FIND(hh, r->shapes, &k.key, sizeof(k.key), s);
	if (s || !create)
		return s;
	if (HASH_COUNT(r->shapes) >= SHAPES_MAX)
		shapes_drop(r);
	s = malloc(sizeof(*s));
	if (!s)
		return NULL;
	*s = k;
	HASH_ADD(hh, r->shapes, key, sizeof(s->key), s);
	if (!s->hh.tbl) {
		free(s);
		return NULL;
	}
	return s;
}

void resolve_protos_drop(struct resolve *r, int pid)
{
	struct rproto *p, *tmp;

	HASH_ITER(hh, r->protos, p, tmp)
	if (!pid || p->pid == pid)
		free_proto(r, p);
	if (pid)
		return;
	names_drop(r);
	shapes_drop(r);
}

/* Is the header a copy of the same prototype? Only what never changes in its life is compared. */
static int same_proto(const struct layout *l, const unsigned char *a, const unsigned char *b)
{
	const unsigned int wide[] = {l->PT_k,	     l->PT_uv,	   l->PT_chunkname,
				     l->PT_lineinfo, l->PT_uvinfo, l->PT_varinfo};
	const unsigned int half[] = {l->PT_sizebc, l->PT_sizekgc,   l->PT_sizekn,
				     l->PT_sizept, l->PT_firstline, l->PT_numline};
	size_t i;

	for (i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
		if (vm_get_ref(l, a, wide[i]) != vm_get_ref(l, b, wide[i]))
			return 0;
	for (i = 0; i < sizeof(half) / sizeof(half[0]); i++)
		if (mem_get32(a, half[i]) != mem_get32(b, half[i]))
			return 0;
	return a[layout_gct(l)] == b[layout_gct(l)] && a[l->PT_numparams] == b[l->PT_numparams] &&
	       a[l->PT_framesize] == b[l->PT_framesize] && a[l->PT_sizeuv] == b[l->PT_sizeuv];
}

int resolve_lives(int pid, const struct layout *l, uint64_t g, uint64_t pt,
		  const unsigned char *head)
{
	unsigned char now[EV_PROTO_HEAD];

	return !vm_read_living(pid, l, g, pt, now, l->PT_size) && same_proto(l, now, head);
}

int resolve_still_there(const struct rproto *p)
{
	unsigned char chunk[EV_CHUNK_COPY];
	size_t len = strnlen((const char *)p->chunk, sizeof(p->chunk));

	if (len < sizeof(p->chunk))
		len++;
	return !mem_read(p->pid, p->h.chunkname + p->l->STR_size, chunk, len) &&
	       !memcmp(chunk, p->chunk, len) && resolve_lives(p->pid, p->l, p->g, p->pt, p->head);
}

int resolve_body_allowed(struct resolve *r, uint32_t size)
{
	uint64_t now = resolve_now();

	if (now - r->body_since >= 1000000000u) {
		r->body_since = now;
		r->body_read = 0;
	}
	if (size > BODY_RATE - r->body_read)
		return 0;
	r->body_read += size;
	return 1;
}

/* Copies the prototype with all that is stored along with it: bytecode, constants, debug info. */
static int load_body(struct resolve *r, struct rproto *p)
{
	struct rproto *q, *tmp;

	if (p->body)
		return 0;
	if (p->gone || p->h.sizept > BODY_MAX || !resolve_body_allowed(r, p->h.sizept))
		return -ENOENT;
	if (r->body_bytes + p->h.sizept > BODIES_MAX)
		HASH_ITER(hh, r->protos, q, tmp)
	drop_body(r, q);
	p->body = malloc(p->h.sizept);
	if (!p->body)
		return -ENOMEM;
	r->body_bytes += p->h.sizept;
	if (mem_read(p->pid, p->pt, p->body, p->h.sizept) || !same_proto(p->l, p->body, p->head) ||
	    !resolve_still_there(p)) {
		p->gone = 1;
		drop_body(r, p);
		return -ENOENT;
	}
	return 0;
}

struct kstr_ctx {
	const struct rproto *p;
	char text[KSTR_MAX];
};

/* proto_kgc(pt, ~idx) of lj_obj.h: collectable constants lie before k. */
static const char *kstr(void *ctx, uint32_t idx)
{
	struct kstr_ctx *c = ctx;
	const struct rproto *p = c->p;
	uint64_t k = p->h.k - p->pt, off = layout_ref_size(p->l) * (idx + 1ull), str;
	unsigned char head[32];
	uint32_t len;

	if (idx >= p->h.sizekgc || k > p->h.sizept || k < off)
		return NULL;
	str = vm_get_ref(p->l, p->body, k - off);
	if (p->l->STR_size > sizeof(head) || mem_read(p->pid, str, head, p->l->STR_size) ||
	    head[layout_gct(p->l)] != 4)
		return NULL;
	len = mem_get32(head, p->l->STR_len);
	if (len > KSTR_MAX - 1)
		len = KSTR_MAX - 1;
	if (mem_read(p->pid, str + p->l->STR_size, c->text, len))
		return NULL;
	c->text[len] = '\0';
	return c->text;
}

/* The part of the body from address from up to end of the object, if it lies inside. */
static const void *part(const struct rproto *p, uint64_t from, size_t *len)
{
	uint64_t off = from - p->pt;

	*len = 0;
	if (!from || off < p->l->PT_size || off >= p->h.sizept)
		return NULL;
	*len = p->h.sizept - off;
	return p->body + off;
}

/* Presents the body to the decoder. */
static int view(struct rproto *p, struct kstr_ctx *c, struct proto *out)
{
	memset(out, 0, sizeof(*out));
	c->p = p;
	out->h = p->h;
	out->gen = bc_gen_by_count(p->l->bc_max);
	if ((uint64_t)p->l->PT_size + 4ull * p->h.sizebc > p->h.sizept || !out->gen)
		return -EINVAL;
	out->bc = (const uint32_t *)(const void *)(p->body + p->l->PT_size);
	out->lineinfo = part(p, p->h.lineinfo, &out->lineinfo_len);
	out->uvinfo = part(p, p->h.uvinfo, &out->uvinfo_len);
	out->varinfo = part(p, p->h.varinfo, &out->varinfo_len);
	out->kstr = kstr;
	out->kstr_ctx = c;
	return 0;
}

/* The hash of the code; 0 if the prototype did not outlast the reading of its constants. */
static uint32_t read_content(struct resolve *r, struct rproto *p)
{
	uint32_t content;
	struct kstr_ctx c;
	struct proto pt;

	if (load_body(r, p) || view(p, &c, &pt))
		return 0;
	content = proto_content(&pt);
	return resolve_still_there(p) ? content : 0;
}

/* What tells a function from others: its code, or what its like had when it could be read. */
static uint32_t content_of(struct resolve *r, struct rproto *p)
{
	uint32_t content = read_content(r, p);
	struct rshape *s = shape_of(r, p, content != 0);

	if (!content) {
		r->stats.protos_gone++;
		return s && !s->many ? s->content : 0;
	}
	if (s && s->content && s->content != content)
		s->many = 1;
	if (s)
		s->content = content;
	return content;
}

static int emit_func(struct resolve *r, const struct ev_proto_raw *raw, struct rproto *p)
{
	struct ev_func e = {.h = raw->h, .id = raw->id, .g = raw->g, .pt = raw->pt};
	char chunk[EV_CHUNK_COPY + 1];
	const char *strs[] = {chunk};

	memcpy(chunk, raw->chunk, EV_CHUNK_COPY);
	chunk[EV_CHUNK_COPY] = '\0';
	e.h.kind = EV_FUNC;
	e.firstline = p->h.firstline;
	e.numline = p->h.numline;
	e.sizebc = p->h.sizebc;
	/* lj_debug.c:lj_debug_getinfo, 'S': what. */
	if (!p->h.firstline && p->h.numline)
		e.flags |= EV_FUNC_MAIN;
	if (p->h.flags & PROTO_VARARG)
		e.flags |= EV_FUNC_VARARG;
	if (!p->h.lineinfo)
		e.flags |= EV_FUNC_STRIPPED;
	if (p->h.firstline == -1)
		e.flags |= EV_FUNC_BUILTIN;
	if (raw->chunklen > strlen(chunk))
		e.flags |= EV_FUNC_CUT;
	e.content = content_of(r, p);
	r->stats.protos++;
	return resolve_emit(r, &e.h, sizeof(e), strs, 1);
}

static int emit_loops(struct resolve *r, const struct ev_hdr *h, struct rproto *p)
{
	uint64_t buf[(sizeof(struct ev_loops) + EV_LOOPS_MAX * sizeof(struct ev_loop)) / 8];
	struct ev_loops *e = (void *)buf;
	struct proto_loop loop[EV_LOOPS_MAX];
	struct kstr_ctx c;
	struct proto pt;
	size_t n, i;

	if (load_body(r, p) || view(p, &c, &pt))
		return 0;
	n = proto_loops(&pt, loop, EV_LOOPS_MAX);
	*e = (struct ev_loops){.h = *h, .id = p->id, .n = (ev_u32)n};
	e->h.kind = EV_LOOPS;
	e->h.size = (ev_u32)(sizeof(*e) + n * sizeof(e->loop[0]));
	for (i = 0; i < n; i++)
		e->loop[i] = (struct ev_loop){loop[i].pos, loop[i].first, loop[i].last, 0};
	return r->sink(r->ctx, &e->h);
}

int resolve_proto_raw(struct resolve *r, const struct ev_proto_raw *raw)
{
	struct rproc *proc = resolve_proc(r, (int)raw->h.pid);
	const struct vm *vm = proc ? resolve_vm_at(proc, raw->g) : NULL;
	struct rproto *p;
	struct proto_head h;
	int err;

	if (!vm || proto_decode_head(&vm->row->l, raw->head, sizeof(raw->head), &h)) {
		r->stats.protos_bad++;
		return 0;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (HASH_COUNT(r->protos) >= PROTOS_MAX)
		free_proto(r, r->protos);
	p->id = raw->id;
	p->pid = (int)raw->h.pid;
	p->g = raw->g;
	p->pt = raw->pt;
	p->l = &vm->row->l;
	p->h = h;
	memcpy(p->head, raw->head, sizeof(p->head));
	memcpy(p->chunk, raw->chunk, sizeof(p->chunk));
	HASH_ADD(hh, r->protos, id, sizeof(p->id), p);
	if (!p->hh.tbl) {
		free(p);
		return -ENOMEM;
	}
	err = emit_func(r, raw, p);
	return err ? err : emit_loops(r, &raw->h, p);
}

/* Names the call at a site. What was read counts only if the prototype is still the same after. */
static int emit_name(struct resolve *r, const struct ev_hdr *h, uint64_t site)
{
	struct ev_name e = {.h = *h, .proto = EV_FRAME_PROTO(site), .pc = EV_FRAME_PC(site)};
	char text[KSTR_MAX] = "";
	const char *name = text, *found;
	struct rproto *p;
	struct kstr_ctx c;
	struct proto pt;

	HASH_FIND(hh, r->protos, &e.proto, sizeof(e.proto), p);
	if (!p || load_body(r, p) || view(p, &c, &pt)) {
		r->stats.names_gone++;
		return 0;
	}
	e.what = (ev_u32)proto_callname(&pt, e.pc, &found);
	if (e.what)
		strncat(text, found, sizeof(text) - 1);
	if (!resolve_still_there(p)) {
		p->gone = 1;
		drop_body(r, p);
		r->stats.names_gone++;
		return 0;
	}
	e.h.kind = EV_NAME;
	e.h.cpu = 0;
	r->stats.names++;
	return resolve_emit(r, &e.h, sizeof(e), &name, 1);
}

int resolve_call(struct resolve *r, const struct ev_hdr *h, uint64_t site)
{
	ev_u32 proto = EV_FRAME_PROTO(site);
	struct rproto *p;
	struct rname *n;

	HASH_FIND(hh, r->names, &site, sizeof(site), n);
	if (n)
		return 0;
	/* On a busy machine a definition may be late: then the next one to come here asks again. */
	HASH_FIND(hh, r->protos, &proto, sizeof(proto), p);
	if (!p) {
		r->stats.names_gone++;
		return 0;
	}
	if (HASH_COUNT(r->names) >= NAMES_MAX)
		names_drop(r);
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->key = site;
	HASH_ADD(hh, r->names, key, sizeof(n->key), n);
	if (!n->hh.tbl) {
		free(n);
		return -ENOMEM;
	}
	return emit_name(r, h, site);
}

int resolve_names(struct resolve *r, const struct ev_hdr *h, const struct ev_frame *f,
		  unsigned int nframes)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i + 1u < nframes && !err; i++, f++) {
		const struct ev_frame *caller = f + 1;

		if ((f->kind != EV_FRAME_LUA && f->kind != EV_FRAME_C) ||
		    caller->kind != EV_FRAME_LUA || EV_FRAME_PC(caller->addr) == EV_NO_PC)
			continue;
		err = resolve_call(r, h, caller->addr);
	}
	return err;
}
