// SPDX-License-Identifier: MIT
/* Listings of bytecode: CODE records, one for each prototype that a record points into. */
#include "bpf/code.h"
#include "bpf/resolve_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 61440u
#define RECORD_MAX (sizeof(struct ev_code) + EV_CODE_MAX * sizeof(ev_s32) + TEXT_MAX + 16)

struct listing {
	const struct code *code;
	struct ev_code *e;
	char *text; /* of TEXT_MAX bytes, behind the place where all lines would end */
	size_t len;
};

/* Control bytes would pass for the end of a line, or of the text. */
static void clean(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

/* 1: there is no more room. */
static int add_line(void *ctx, uint32_t pos, const char *line)
{
	struct listing *l = ctx;
	size_t n = strlen(line);

	if (pos >= EV_CODE_MAX || l->len + n + 2 > TEXT_MAX) {
		l->e->flags |= EV_CODE_CUT;
		return 1;
	}
	if (l->len)
		l->text[l->len++] = '\n';
	memcpy(l->text + l->len, line, n + 1);
	clean(l->text + l->len);
	l->len += n;
	l->e->line[l->e->n++] = code_line(l->code, pos);
	return 0;
}

/* The record that holds the listing of c; NULL: out of memory, or of an instruction to show. */
static struct ev_code *build(struct resolve *r, const struct ev_hdr *h, const struct code *c,
			     const struct rproto *p, uint64_t g)
{
	struct ev_code *e = r->code;
	struct listing l = {.code = c};
	size_t at;

	if (!e)
		e = r->code = malloc(RECORD_MAX);
	if (!e)
		return NULL;
	*e = (struct ev_code){.h = *h, .g = g, .id = p->id};
	e->h.kind = EV_CODE;
	e->h.cpu = 0;
	if (c->pt.h.flags & PROTO_NOJIT)
		e->flags |= EV_CODE_NOJIT;
	l.e = e;
	l.text = (char *)e + RECORD_MAX - TEXT_MAX - 8;
	if (code_list(c, 0, 0, add_line, &l) < 0 || !e->n)
		return NULL;
	at = sizeof(*e) + e->n * sizeof(e->line[0]);
	memmove((char *)e + at, l.text, l.len + 1);
	for (at += l.len + 1; at % 8; at++)
		((char *)e)[at] = '\0';
	e->h.size = (ev_u32)at;
	return e;
}

static uint64_t vm_of(const struct ev_hdr *h)
{
	return h->kind == EV_SAMPLE ? ((const struct ev_sample *)(const void *)h)->g
				    : ((const struct ev_trace *)(const void *)h)->g;
}

static int emit(struct resolve *r, const struct ev_hdr *h, struct rproto *p)
{
	struct rproc *proc = resolve_proc(r, p->pid);
	struct ev_code *e = NULL;
	struct code c;

	p->listed = 1;
	if (!proc || p->gone || !resolve_body_allowed(r, p->h.sizept) ||
	    code_read(p->pid, &proc->vms, p->l, p->pt, &c))
		return 0;
	if (resolve_still_there(p))
		e = build(r, h, &c, p, vm_of(h));
	code_release(&c);
	if (!e || !resolve_still_there(p))
		return 0;
	r->stats.codes++;
	return r->sink(r->ctx, &e->h);
}

static int of_frame(struct resolve *r, const struct ev_hdr *h, const struct ev_frame *f)
{
	uint32_t id = EV_FRAME_PROTO(f->addr);
	struct rproto *p;

	if (f->kind != EV_FRAME_LUA && f->kind != EV_FRAME_TRACE)
		return 0;
	HASH_FIND(hh, r->protos, &id, sizeof(id), p);
	return p && !p->listed ? emit(r, h, p) : 0;
}

/* Up to the innermost Lua function, which may have been called by a trace that is listed too. */
static int of_sample(struct resolve *r, const struct ev_sample *s)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < s->nframes && !err; i++) {
		err = of_frame(r, &s->h, &s->f[i]);
		if (s->f[i].kind == EV_FRAME_LUA)
			break;
	}
	return err;
}

int resolve_code_of(struct resolve *r, const struct ev_hdr *h, const struct ev_frame *f)
{
	return r->want_code ? of_frame(r, h, f) : 0;
}

int resolve_code(struct resolve *r, const struct ev_hdr *h)
{
	const struct ev_trace *t = (const struct ev_trace *)(const void *)h;
	int err;

	if (!r->want_code)
		return 0;
	if (h->kind == EV_SAMPLE)
		return of_sample(r, (const struct ev_sample *)(const void *)h);
	err = of_frame(r, h, &t->start);
	return err ? err : of_frame(r, h, &t->end);
}
