// SPDX-License-Identifier: MIT
#include "bpf/offline.h"
#include "bpf/clock.h"
#include "bpf/demangle.h"
#include "bpf/elfobj.h"
#include "bpf/fetch.h"
#include "bpf/inlines.h"
#include "bpf/rec.h"
#include "bpf/told.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define FILES_MAX 4096u
#define PROCS_MAX 65536u
#define RANGES_MAX 4096u  /* of a process */
#define PLACES_MAX 65536u /* told apart when they are counted */
#define READERS_MAX 64u	  /* files whose debug information is in memory */
#define SYMS_EACH_MAX 65536u
#define SYMS_MAX 4000000u
#define DEBUG_DIR "/usr/lib/debug"
/* For what servers have, of one file and of all. */
#define WAIT_MS 60000
#define WAIT_ALL_MS 120000

/* A file by its build-id; without one, by its path. */
struct file {
	struct offline_file pub;
	char *key;
	struct elfobj *elf; /* its debug file */
	int looked, asked;  /* for elf, for in */
	struct inlines *in; /* NULL: none */
	UT_hash_handle hh;
};

/* Code of a process. A process's ranges are sorted and do not overlap. */
struct range {
	uint64_t start, end, bias;
	struct file *file;
	uint32_t number; /* of all that ever were */
};

struct oproc {
	uint32_t pid;
	struct range *range;
	size_t n;
	UT_hash_handle hh;
};

/* A function that was counted. */
struct place {
	struct {
		const struct file *file;
		uint64_t offset;
	} key;
	UT_hash_handle hh;
};

struct offline {
	const char *dir;
	int inlines;
	unsigned int readers;
	struct told *told; /* addresses, by range, whose inlined functions were told */
	uint32_t ranges;   /* that ever were */
	offline_say_fn *say;
	void *say_ctx;
	struct file *files; /* in order of appearance */
	struct oproc *procs;
	struct place *places;
	struct fetch *fetch;
	int ask;	   /* there are servers, and they answer */
	int wait_ms;	   /* that all of them together may still take */
	unsigned int syms; /* that were added */
	uint64_t buf[(INLINES_TEXT + 256) / 8];
};

struct offline *offline_new(const char *dir, int inlines, offline_say_fn *say, void *ctx)
{
	struct offline *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->dir = dir;
	o->inlines = inlines;
	o->say = say;
	o->say_ctx = ctx;
	o->ask = fetch_configured();
	o->wait_ms = WAIT_ALL_MS;
	return o;
}

uint32_t offline_kinds(const struct offline *o)
{
	return 1u << EV_PROC | 1u << EV_EXEC | 1u << EV_MODULE | 1u << EV_SYM |
	       (o->inlines ? 1u << EV_NATIVE : 0);
}

static void drop_proc(struct offline *o, uint32_t pid)
{
	struct oproc *p;

	HASH_FIND(hh, o->procs, &pid, sizeof(pid), p);
	if (!p)
		return;
	HASH_DEL(o->procs, p);
	free(p->range);
	free(p);
}

void offline_free(struct offline *o)
{
	struct file *f, *next_file;
	struct place *at, *next;

	if (!o)
		return;
	told_forget(&o->told, 0);
	while (o->procs)
		drop_proc(o, o->procs->pid);
	HASH_ITER(hh, o->places, at, next)
	{
		HASH_DEL(o->places, at);
		free(at);
	}
	HASH_ITER(hh, o->files, f, next_file)
	{
		HASH_DEL(o->files, f);
		inlines_free(f->in);
		elfobj_free(f->elf);
		free(f->key);
		free(f);
	}
	fetch_free(o->fetch);
	free(o);
}

/* The file of a MODULE record. NULL: out of memory, or there are too many; *full tells. */
static struct file *file_of(struct offline *o, const struct ev_module *m, int *full)
{
	const char *id = rec_str(&m->h, 0), *path = rec_str(&m->h, 1);
	const char *key = *id ? id : path;
	size_t len = strlen(id) + 1, plen = strlen(path) + 1;
	struct file *f;

	*full = 0;
	HASH_FIND_STR(o->files, key, f);
	if (f)
		return f;
	*full = HASH_COUNT(o->files) >= FILES_MAX;
	f = *full ? NULL : calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->key = malloc(len + plen);
	if (!f->key) {
		free(f);
		return NULL;
	}
	memcpy(f->key, id, len);
	memcpy(f->key + len, path, plen);
	f->pub.build_id = f->key;
	f->pub.path = f->key + len;
	f->pub.why = "";
	key = *id ? f->pub.build_id : f->pub.path;
	HASH_ADD_KEYPTR(hh, o->files, key, strlen(key), f);
	if (!f->hh.tbl) {
		free(f->key);
		free(f);
		return NULL;
	}
	return f;
}

/* The first range that ends after addr. */
static size_t range_after(const struct oproc *p, uint64_t addr)
{
	size_t lo = 0, hi = p->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (p->range[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static struct oproc *proc_of(struct offline *o, uint32_t pid, int *full)
{
	struct oproc *p;

	*full = 0;
	HASH_FIND(hh, o->procs, &pid, sizeof(pid), p);
	if (p)
		return p;
	*full = HASH_COUNT(o->procs) >= PROCS_MAX;
	p = *full ? NULL : calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->pid = pid;
	HASH_ADD(hh, o->procs, pid, sizeof(p->pid), p);
	if (!p->hh.tbl) {
		free(p);
		return NULL;
	}
	return p;
}

static int same_range(const struct range *a, const struct range *b)
{
	return a->start == b->start && a->end == b->end && a->bias == b->bias && a->file == b->file;
}

/* What it overlaps is no more. One that is told again stays: what was told of it holds. */
static int add_module(struct offline *o, const struct ev_module *m)
{
	int full;
	struct oproc *p = proc_of(o, m->h.pid, &full);
	struct file *f = p ? file_of(o, m, &full) : NULL;
	struct range now = {m->start, m->end, m->bias, f, 0}, *bigger;
	size_t first, last;

	if (!f)
		return full ? 0 : -ENOMEM;
	first = last = range_after(p, m->start);
	while (last < p->n && p->range[last].start < m->end)
		last++;
	if (last - first == 1 && same_range(&p->range[first], &now))
		return 0;
	if (first == last && p->n >= RANGES_MAX)
		return 0;
	bigger = realloc(p->range, (p->n + 1) * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	p->range = bigger;
	memmove(bigger + first + 1, bigger + last, (p->n - last) * sizeof(*bigger));
	now.number = ++o->ranges;
	bigger[first] = now;
	p->n = p->n - (last - first) + 1;
	return 0;
}

static int open_at(const char *dir, const char *build_id)
{
	char path[4096];
	int n =
	    snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s.debug", dir, build_id, build_id + 2);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static int take(struct file *f, int fd)
{
	int err = fd < 0 ? -ENOENT : elfobj_open_debug(fd, f->pub.build_id, &f->elf);

	if (fd >= 0)
		close(fd);
	return !err;
}

/* Asks the servers, and waits. 1: f has its debug file. */
static int ask(struct offline *o, struct file *f)
{
	int64_t start = clock_ms(), left;
	int wait = o->wait_ms < WAIT_MS ? o->wait_ms : WAIT_MS, ret = 0, fd, found = 0;
	char id[FETCH_ID];

	if (!o->fetch) {
		o->say(o->say_ctx, "asking debuginfod for symbols that are missing here");
		ret = fetch_new(&o->fetch);
	}
	if (!ret)
		ret = fetch_ask(o->fetch, f->pub.build_id);
	while (!ret && (left = start + wait - clock_ms()) > 0) {
		ret = fetch_take(o->fetch, (int)left, id, &fd);
		if (ret != 1)
			continue;
		if (!strcmp(id, f->pub.build_id)) /* else of one that was waited for too long */
			found = take(f, fd);
		else if (fd >= 0)
			close(fd);
		ret = !strcmp(id, f->pub.build_id);
	}
	o->wait_ms -= (int)(clock_ms() - start);
	if (ret < 0 || o->wait_ms <= 0) {
		o->say(o->say_ctx, "debuginfod is not asked any more: it does not answer");
		o->ask = 0;
	}
	return found;
}

/* Looks for the debug file of f, once. */
static void look(struct offline *o, struct file *f)
{
	size_t len = strlen(f->pub.build_id);

	if (f->looked)
		return;
	f->looked = 1;
	if (len < 4 || len >= FETCH_ID)
		f->pub.why = "no build-id";
	else if (!(o->dir && take(f, open_at(o->dir, f->pub.build_id))) &&
		 !take(f, open_at(DEBUG_DIR, f->pub.build_id)) && !(o->ask && ask(o, f)))
		f->pub.why = "no debug file";
}

/* Was a function seen for the first time, in any process? */
static int is_new(struct offline *o, const struct file *f, uint64_t offset)
{
	struct place like = {.key = {f, offset}}, *at;

	HASH_FIND(hh, o->places, &like.key, sizeof(like.key), at);
	if (at || HASH_COUNT(o->places) >= PLACES_MAX)
		return 0;
	at = calloc(1, sizeof(*at));
	if (!at)
		return 0;
	at->key = like.key;
	HASH_ADD(hh, o->places, key, sizeof(at->key), at);
	if (!at->hh.tbl)
		free(at);
	return 1;
}

/* Sends the symbols in [start, end) of a SYM that has no name. *n: how many there are. */
static int send_names(struct offline *o, const struct ev_sym *sym, const struct range *r,
		      uint64_t end, unsigned int *n, offline_fn *fn, void *ctx)
{
	const char *strs[2] = {NULL, rec_str(&sym->h, 1)}, *mangled;
	uint64_t at = sym->start - r->bias, from, to;
	struct ev_sym e = *sym;
	const struct ev_hdr *h;
	char name[256];
	int err = 0;

	for (*n = 0; !err && at < end && *n < SYMS_EACH_MAX && o->syms < SYMS_MAX; at = to) {
		if (elfobj_symbol(r->file->elf, at, &mangled, &from, &to)) {
			if (elfobj_symbol_after(r->file->elf, at, &to))
				break;
			continue;
		}
		demangle(mangled, name, sizeof(name));
		e.start = at + r->bias;
		e.end = (to < end ? to : end) + r->bias;
		e.offset = from;
		e.kind = EV_SYM_FUNC;
		strs[0] = name;
		h = rec_build(o->buf, sizeof(o->buf), &e.h, sizeof(e), strs, 2);
		err = h ? fn(ctx, h) : 0; /* a module's name that long is none */
		++*n;
		o->syms++;
	}
	return err;
}

static const struct range *range_at(const struct offline *o, uint32_t pid, uint64_t addr)
{
	const struct oproc *p;
	size_t at;

	HASH_FIND(hh, o->procs, &pid, sizeof(pid), p);
	at = p ? range_after(p, addr) : 0;
	return p && at < p->n && p->range[at].start <= addr ? &p->range[at] : NULL;
}

static int name(struct offline *o, const struct ev_sym *sym, offline_fn *fn, void *ctx)
{
	const struct range *r = range_at(o, sym->h.pid, sym->start);
	unsigned int n = 0;
	uint64_t end;
	int err = 0;

	if (!r || sym->start >= sym->end)
		return 0;
	look(o, r->file);
	end = (sym->end < r->end ? sym->end : r->end) - r->bias;
	if (r->file->elf)
		err = send_names(o, sym, r, end, &n, fn, ctx);
	if (is_new(o, r->file, sym->offset)) {
		r->file->pub.named += n != 0;
		r->file->pub.unnamed += n == 0;
	}
	return err;
}

/* What reads the debug information of f, or NULL. */
static struct inlines *reader(struct offline *o, struct file *f)
{
	look(o, f);
	if (!f->asked && f->elf && o->readers < READERS_MAX) {
		f->asked = 1;
		if (inlines_new(f->elf, &f->in))
			f->in = NULL;
		o->readers += f->in != NULL;
	}
	return f->in;
}

static int inlined(struct offline *o, const struct ev_native *e, uint64_t addr, offline_fn *fn,
		   void *ctx)
{
	struct ev_inline one = {.h = {.kind = EV_INLINE, .time = e->h.time, .pid = e->h.pid},
				.addr = addr};
	const struct range *r;
	char text[INLINES_TEXT];
	const char *str = text;
	const struct ev_hdr *h;
	struct inlines *in;
	int n;

	r = range_at(o, e->h.pid, addr);
	if (!r || told_before(&o->told, r->number, addr))
		return 0;
	in = reader(o, r->file);
	n = in ? inlines_at(in, addr - r->bias, text) : 0;
	if (n < 0)
		r->file->pub.bad = 1;
	if (n <= 0)
		return 0;
	one.h.tid = one.h.pid;
	one.n = (ev_u32)n;
	h = rec_build(o->buf, sizeof(o->buf), &one.h, sizeof(one), &str, 1);
	return h ? fn(ctx, h) : 0;
}

int offline_record(struct offline *o, const struct ev_hdr *h, offline_fn *fn, void *ctx)
{
	int err = 0;

	if (h->kind == EV_PROC || h->kind == EV_EXEC)
		drop_proc(o, h->pid);
	else if (h->kind == EV_MODULE)
		err = add_module(o, (const struct ev_module *)h);
	if (h->kind == EV_NATIVE && o->inlines) {
		const struct ev_native *e = (const struct ev_native *)h;
		unsigned int i;

		for (i = e->nkernel; i < e->nwords && !err; i++)
			if (!(e->word[i] >> 56))
				err = inlined(o, e, e->word[i], fn, ctx);
	}
	if (!err)
		err = fn(ctx, h);
	if (!err && h->kind == EV_SYM && ((const struct ev_sym *)h)->kind == EV_SYM_MODULE)
		err = name(o, (const struct ev_sym *)h, fn, ctx);
	return err;
}

const struct offline_file *offline_files(const struct offline *o, size_t i)
{
	const struct file *f = o->files;

	while (f && i--)
		f = f->hh.next;
	return f ? &f->pub : NULL;
}
