// SPDX-License-Identifier: MIT
/* Where recordings fail, and how often their starts were tried. */
#include "jittrace/jt_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

/* ---- starts ---- */

void jt_start_free(struct jt *jt, struct jt_start *s)
{
	HASH_DEL(jt->starts, s);
	if (s->key.ident)
		DL_DELETE(s->key.ident->starts, s);
	jt_ident_put(jt, s->key.ident);
	free(s);
}

struct jt_start *jt_start_get(struct jt *jt, const struct jt_vm *vm, struct jt_ident *ident,
			      uint32_t pos, uint32_t kind, int create)
{
	struct jt_start_key key = {vm, ident, pos, kind};
	struct jt_start *s;

	HASH_FIND(hh, jt->starts, &key, sizeof(key), s);
	if (s || !create)
		return s;
	if (HASH_COUNT(jt->starts) >= JT_STARTS_MAX) {
		jt->stats.dropped_starts++;
		jt_start_free(jt, jt->starts);
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = key;
	HASH_ADD(hh, jt->starts, key, sizeof(s->key), s);
	if (!s->hh.tbl) {
		free(s);
		return NULL;
	}
	if (ident) {
		ident->refs++;
		DL_APPEND(ident->starts, s);
	}
	return s;
}

void jt_starts_flush(struct jt *jt, const struct jt_vm *vm, uint64_t upto)
{
	struct jt_start *s, *tmp;

	HASH_ITER(hh, jt->starts, s, tmp)
	{
		/* The marks in the bytecode stay, what was noted in traces goes with them. */
		if (s->key.vm == vm && s->time <= upto &&
		    (s->state != JT_STATE_BLACKLISTED || s->key.kind != EV_TRACE_ROOT))
			jt_start_free(jt, s);
	}
}

void jt_starts_drop(struct jt *jt, const struct jt_vm *vm)
{
	struct jt_start *s, *tmp;

	HASH_ITER(hh, jt->starts, s, tmp)
	{
		if (s->key.vm == vm)
			jt_start_free(jt, s);
	}
}

/* ---- rows ---- */

/* Two strings follow it in the key: the reason, and the function at the end. */
struct key_head {
	const struct jt_ident *start, *at;
	uint32_t start_pos, at_pos;
	uint32_t kind, trace_kind;
	uint32_t err, pad;
};

#define KEY_MAX (sizeof(struct key_head) + 2 * JT_TEXT)

/* The text with another name for the function in it: in buf, or as it was if there is none. */
static const char *renamed(const char *text, const char *from, const char *to, char buf[JT_TEXT])
{
	const char *at = *from ? strstr(text, from) : NULL;

	if (!at)
		return text;
	snprintf(buf, JT_TEXT, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	return buf;
}

/* Returns its length. */
static size_t make_key(char key[KEY_MAX], const struct jt_found *found, uint32_t trace_kind)
{
	const struct jt_place *at = found->at;
	struct key_head h = {.start = found->start->ident,
			     .start_pos = found->start->pos,
			     .kind = found->kind,
			     .trace_kind = trace_kind,
			     .err = found->err};
	size_t len = sizeof(h), n;
	const char *reason = found->reason, *in;
	char buf[JT_TEXT];

	/* The place of a stitch is learnt later, and there is but one for each start. */
	if (found->kind == JT_SITE_ABORT) {
		h.at = at->ident;
		h.at_pos = at->pos;
	}
	memcpy(key, &h, sizeof(h));
	/* A name may become known only later. */
	if (found->cfunc)
		reason = renamed(reason, found->subject, found->cfunc->unnamed, buf);
	n = strlen(reason) + 1;
	memcpy(key + len, reason, n);
	len += n;
	in = at->cfunc ? at->cfunc->unnamed : at->text;
	n = found->kind == JT_SITE_ABORT && at->kind == JT_LOC_FUNCTION ? strlen(in) : 0;
	memcpy(key + len, in, n);
	return len + n;
}

static void stack_release(struct jt *jt, struct jt_stack *st)
{
	uint32_t i;

	for (i = 0; i < st->n; i++)
		jt_kept_release(jt, &st->f[i]);
	jt->nstacks -= st->f != NULL;
	free(st->f);
	*st = (struct jt_stack){.n = 0};
}

static void site_release(struct jt *jt, struct jt_site_int *s)
{
	uint32_t i;

	for (i = 0; i < s->nstacks; i++)
		stack_release(jt, &s->stack[i]);
	jt_kept_release(jt, &s->start);
	jt_kept_release(jt, &s->at);
	free(s->reason);
	free(s->subject);
	free(s->key);
	free(s);
}

static void site_free(struct jt *jt, struct jt_site_int *s)
{
	HASH_DEL(jt->sites, s);
	HASH_DELETE(by_serial, jt->sites_by_serial, s);
	site_release(jt, s);
}

void jt_sites_free(struct jt *jt)
{
	while (jt->sites)
		site_free(jt, jt->sites);
	while (jt->starts)
		jt_start_free(jt, jt->starts);
}

struct jt_site_int *jt_site_find(const struct jt *jt, uint64_t serial)
{
	struct jt_site_int *s;

	HASH_FIND(by_serial, jt->sites_by_serial, &serial, sizeof(serial), s);
	return s;
}

void jt_site_forget(struct jt *jt, uint64_t serial)
{
	struct jt_site_int *s = jt_site_find(jt, serial);

	if (s && s->pub.scanned && !s->pub.count)
		site_free(jt, s);
}

/* Enters a new row, under a key of len bytes. */
static struct jt_site_int *site_new(struct jt *jt, const char *key, size_t len,
				    const struct jt_found *found)
{
	struct jt_site_int *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->serial = ++jt->serial;
	s->key = malloc(len);
	s->reason = strdup(found->reason);
	s->subject = strdup(found->subject);
	if (!s->key || !s->reason || !s->subject || jt_keep(found->start, &s->start) ||
	    jt_keep(found->at, &s->at))
		goto fail;
	memcpy(s->key, key, len);
	s->cfunc = found->cfunc;
	s->pub.kind = found->kind;
	s->pub.err = found->err;
	HASH_ADD_KEYPTR(hh, jt->sites, s->key, len, s);
	if (!s->hh.tbl)
		goto fail;
	HASH_ADD(by_serial, jt->sites_by_serial, serial, sizeof(s->serial), s);
	if (s->by_serial.tbl)
		return s;
	HASH_DEL(jt->sites, s);
fail:
	site_release(jt, s);
	return NULL;
}

/* The row of a key; used last of all from now on. NULL if out of memory. */
static struct jt_site_int *site_get(struct jt *jt, const char *key, size_t len,
				    const struct jt_found *found)
{
	struct jt_site_int *s;

	HASH_FIND(hh, jt->sites, key, len, s);
	if (s && !s->hh.next)
		return s;
	if (s) {
		HASH_DEL(jt->sites, s);
		HASH_ADD_KEYPTR(hh, jt->sites, s->key, len, s);
		return s;
	}
	if (HASH_COUNT(jt->sites) >= JT_SITES_MAX) {
		jt->stats.dropped_sites++;
		jt->stats.dropped_site_events += jt->sites->pub.count;
		site_free(jt, jt->sites);
	}
	return site_new(jt, key, len, found);
}

static void count_proc(struct jt_site *s, uint32_t pid, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < s->nprocs && s->proc[i].pid != pid; i++)
		;
	if (i == JT_SITE_PROCS) {
		s->others += n;
		return;
	}
	if (i == s->nprocs) {
		s->nprocs++;
		s->proc[i].pid = pid;
	}
	s->proc[i].count += n;
}

/* Moves the window of a minute on to second sec. */
static void advance(struct jt_site_int *s, uint64_t sec)
{
	uint64_t i, gap;

	if (sec <= s->newest)
		return;
	gap = sec - s->newest;
	for (i = 0; i < (gap < 60 ? gap : 60); i++)
		s->second[(sec - i) % 60] = 0;
	s->newest = sec;
}

int jt_site_count(struct jt *jt, const struct ev_trace *ev, const struct jt_found *found,
		  struct jt_site_int **out)
{
	char key[KEY_MAX];
	size_t len = make_key(key, found, ev->kind);
	struct jt_site_int *s = site_get(jt, key, len, found);
	uint64_t sec = found->time / SECOND;
	struct jt_site *p;

	if (!s)
		return -ENOMEM;
	*out = s;
	p = &s->pub;
	p->trace_kind = ev->kind;
	p->parent = ev->parent;
	p->exitno = ev->exitno;
	if (found->kind != JT_SITE_ABORT) {
		p->trace = ev->trace;
		p->link = ev->link;
	}
	s->region = found->region;
	p->scanned |= found->scanned;
	if (found->scanned)
		return 0;
	p->inferred = 0; /* it was seen */
	if (!p->count)
		p->first = found->time;
	p->count += found->n;
	p->last = found->time > p->last ? found->time : p->last;
	advance(s, sec);
	if (s->newest - sec < 60)
		s->second[sec % 60] += (uint32_t)found->n;
	count_proc(p, ev->h.pid, (uint32_t)found->n);
	jt->last.site = s->serial;
	return 0;
}

/* ---- stacks ---- */

/* Of what tells frames apart in this process. FNV-1a. */
static uint64_t hash_stack(const struct ev_frame *f, uint32_t n, uint32_t pid)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	uint32_t i;

	for (i = 0; i < n; i++) {
		uint64_t v = f[i].addr ^ (f[i].kind == EV_FRAME_LUA ? 0 : (uint64_t)pid << 48);

		if (f[i].kind == EV_FRAME_CO)
			continue;
		h = (h ^ v) * UINT64_C(0x100000001b3);
		h = (h ^ f[i].kind ^ (uint64_t)f[i].ffid << 8) * UINT64_C(0x100000001b3);
	}
	return h;
}

static int fill_stack(struct jt *jt, const struct jt_vm *vm, struct jt_stack *st,
		      const struct ev_trace *ev, uint32_t n)
{
	struct jt_place p;
	uint32_t i;

	st->f = calloc(n ? n : 1, sizeof(*st->f));
	if (!st->f)
		return -ENOMEM;
	jt->nstacks++;
	for (i = 0; i < n; i++) {
		if (ev->f[i].kind == EV_FRAME_CO)
			continue;
		jt_place(jt, ev->h.pid, vm, &ev->f[i], i + 1 < n ? &ev->f[i + 1] : NULL, &p);
		if (jt_keep(&p, &st->f[st->n]))
			return -ENOMEM;
		st->n++;
	}
	return 0;
}

int jt_site_stack(struct jt *jt, const struct jt_vm *vm, struct jt_site_int *s,
		  const struct ev_trace *ev, uint32_t nframes)
{
	uint32_t n = nframes < JT_STACK_FRAMES ? nframes : JT_STACK_FRAMES, i, least = 0;
	uint64_t hash = hash_stack(ev->f, n, ev->h.pid);
	struct jt_stack *st;

	if (!n)
		return 0;
	for (i = 0; i < s->nstacks; i++) {
		if (s->stack[i].hash == hash) {
			s->stack[i].count++;
			return 0;
		}
		least = s->stack[i].count < s->stack[least].count ? i : least;
	}
	if (s->nstacks == JT_SITE_STACKS) {
		/* The rarest gives way once others came as often as it: so the frequent stay. */
		jt->stats.dropped_stacks++;
		st = &s->stack[least];
		if (--st->count)
			return 0;
		stack_release(jt, st);
	} else if (jt->nstacks >= JT_STACKS_MAX) {
		jt->stats.dropped_stacks++;
		return 0;
	} else {
		st = &s->stack[s->nstacks++];
	}
	st->hash = hash;
	st->count = 1;
	return fill_stack(jt, vm, st, ev, n);
}

/* ---- reading ---- */

/* Has the VM a trace that ends so? Of a stitch also: is it given up, and where is the call. */
static int judge_end(const struct jt_site_int *s, const struct jt_vm *vm, struct jt_site *out)
{
	const struct jt_live *t = jt_traces_find(vm, s->pub.trace), *next;

	if (!t || t->site != s->serial)
		return 0;
	out->vms++;
	if (t->given_up) {
		out->state = JT_STATE_BLACKLISTED;
		out->vms_black++;
	}
	next = out->at.kind == JT_LOC_LUA ? NULL : jt_traces_find(vm, t->pub.link);
	if (next && next != t)
		jt_kept_loc(&next->start, &out->at);
	return 1;
}

/*
 * How the starts of a row fared, over all VMs. *known: aborts of them were seen, or, of a stitch, a
 * trace that has it.
 */
static void judge(struct jt *jt, const struct jt_site_int *s, struct jt_site *out, int *known)
{
	int stitch = s->pub.kind == JT_SITE_STITCH;
	const struct jt_kept *at = stitch ? &s->at : &s->start;
	uint32_t kind = stitch ? EV_TRACE_STITCHED : s->pub.trace_kind;
	const struct jt_start *st;
	const struct jt_vm *vm;

	out->state = stitch			     ? JT_STATE_STITCH
		     : s->pub.kind == JT_SITE_RETURN ? JT_STATE_RETURN
						     : JT_STATE_NONE;
	out->limit = kind == EV_TRACE_ROOT ? JT_PENALTIES : kind == EV_TRACE_STITCHED;
	if (s->pub.kind != JT_SITE_ABORT)
		for (vm = jt->vms; vm; vm = vm->hh.next)
			*known |= judge_end(s, vm, out);
	if (s->pub.kind == JT_SITE_RETURN || !at->ident)
		return;
	for (st = at->ident->starts; st; st = st->next) {
		if (st->key.pos != at->pos || st->key.kind != kind)
			continue;
		out->vms++;
		*known |= !stitch && st->live;
		out->vms_black += st->state == JT_STATE_BLACKLISTED || st->state == JT_STATE_INTERP;
		if (st->attempts > out->attempts)
			out->attempts = st->attempts;
		if (kind == EV_TRACE_SIDE && st->key.vm->tryside > out->limit)
			out->limit = st->key.vm->tryside;
		if (st->state > out->state && (!stitch || st->state == JT_STATE_BLACKLISTED))
			out->state = (enum jt_state)st->state;
	}
	if (out->state == JT_STATE_RETRYING && !out->attempts)
		out->limit = 0; /* a restart after a return: nobody counts */
}

static uint32_t recent(struct jt_site_int *s, uint64_t now)
{
	uint32_t sum = 0, i;

	advance(s, now / SECOND);
	for (i = 0; i < 60; i++)
		sum += s->second[i];
	return sum;
}

/* The stack that came most often; NULL: none is known. */
static const struct jt_stack *best_stack(const struct jt_site_int *s)
{
	const struct jt_stack *best = NULL;
	uint32_t i;

	for (i = 0; i < s->nstacks; i++)
		if (!best || s->stack[i].count > best->count)
			best = &s->stack[i];
	return best;
}

static int latest_first(const void *a, const void *b)
{
	const struct jt_site *x = a, *y = b;

	if (x->last != y->last)
		return x->last > y->last ? -1 : 1;
	return strcmp(x->reason, y->reason);
}

/* The name of the C function that a row is about has become known. */
static int name_subject(struct jt_site_int *s)
{
	const char *now = jt_cfunc_shown(s->cfunc, s->subject);
	char *reason, *subject, buf[JT_TEXT];

	if (now == s->subject)
		return 0;
	reason = strdup(renamed(s->reason, s->subject, now, buf));
	subject = strdup(now);
	if (!reason || !subject) {
		free(reason);
		free(subject);
		return -ENOMEM;
	}
	free(s->reason);
	free(s->subject);
	s->reason = reason;
	s->subject = subject;
	return 0;
}

static size_t fill_row(struct jt *jt, struct jt_site_int *s, uint64_t now, struct jt_site *out,
		       struct jt_loc *frames, int *shown)
{
	const struct jt_stack *st = best_stack(s);
	int known = 0;
	uint32_t i;

	*out = s->pub;
	out->serial = s->serial;
	jt_kept_loc(&s->start, &out->start);
	jt_kept_loc(&s->at, &out->at);
	out->reason = s->reason;
	out->subject = s->subject;
	out->recent = recent(s, now);
	judge(jt, s, out, &known);
	/* What memory told counts for less than events of the same start, and goes with its trace.
	 */
	*shown = !s->pub.scanned || s->pub.count || known == (s->pub.kind != JT_SITE_ABORT);
	if (!st)
		return 0;
	for (i = 0; i < st->n; i++)
		jt_kept_loc(&st->f[i], &frames[i]);
	out->stack = frames;
	out->nstack = st->n;
	out->stack_count = st->count;
	return st->n;
}

const struct jt_site *jt_sites(struct jt *jt, uint64_t now, size_t *n)
{
	size_t count = HASH_COUNT(jt->sites), frames = 0;
	struct jt_region **region;
	struct jt_site_int *s;
	int err = 0;

	*n = 0;
	now = now ? now : jt->stats.last_time;
	for (s = jt->sites; s && !err; s = s->hh.next) {
		frames += s->nstacks ? best_stack(s)->n : 0;
		err = name_subject(s);
	}
	if (err)
		return NULL;
	free(jt->site_rows);
	free(jt->stack_rows);
	jt->site_rows = calloc(count + 1, sizeof(*jt->site_rows));
	jt->stack_rows = calloc(frames + 1, sizeof(*jt->stack_rows));
	region = calloc(count + 1, sizeof(*region));
	if (!jt->site_rows || !jt->stack_rows || !region) {
		free(region);
		return NULL;
	}
	frames = 0;
	for (s = jt->sites; s; s = s->hh.next) {
		int shown;

		region[*n] = s->region;
		frames += fill_row(jt, s, now, &jt->site_rows[*n], jt->stack_rows + frames, &shown);
		*n += shown != 0;
	}
	err = jt_cost_rows(jt, jt->site_rows, region, *n, now);
	free(region);
	if (err)
		return NULL;
	qsort(jt->site_rows, *n, sizeof(*jt->site_rows), latest_first);
	if (jt_chain(jt, jt->site_rows, *n))
		return NULL;
	return jt->site_rows;
}
