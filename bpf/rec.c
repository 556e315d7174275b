// SPDX-License-Identifier: MIT
#include "bpf/rec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK_AIM (64u << 10) /* when a disk gets full or we are killed a block is what is lost */
#define REC_STR_MAX 65535u    /* bytes of a string without its NUL */

_Static_assert(sizeof(struct rec_head) == 32, "file format");
_Static_assert(sizeof(struct rec_block) == 8, "file format");
_Static_assert(sizeof(REC_MAGIC) - 1 == sizeof(((struct rec_head *)0)->magic), "file format");

/* How many strings follow each kind; a kind of event.h that lacks here does not compile. */
#define REC_STRS_SAMPLE 0
#define REC_STRS_PROTO_RAW 0
#define REC_STRS_VM_HINT 0
#define REC_STRS_PROC 3
#define REC_STRS_BUILD 4
#define REC_STRS_VM 0
#define REC_STRS_FUNC 1
#define REC_STRS_NAME 1
#define REC_STRS_SYM 2
#define REC_STRS_FORK 0
#define REC_STRS_EXEC 0
#define REC_STRS_EXIT 0
#define REC_STRS_LOST 0
#define REC_STRS_CLOCK 0
#define REC_STRS_META 4
#define REC_STRS_FF 1
#define REC_STRS_TRACE 0
#define REC_STRS_SPOT 0
#define REC_STRS_JIT 0
#define REC_STRS_LOOPS 0
#define REC_STRS_CODE 1
#define REC_STRS_SCAN 0
#define REC_STRS_TALLY 0
#define REC_STRS_SNAPS 0
#define REC_STRS_NATIVE 0
#define REC_STRS_INLINE 1
#define REC_STRS_MODULE 2
#define REC_STRS_TABLES 4

static const struct shape {
	uint32_t size;
	uint32_t nstrs;
} shapes[] = {
#define SHAPE(num, name, type) [num] = {sizeof(struct type), REC_STRS_##name},
    EV_KINDS(SHAPE)
#undef SHAPE
};

/* NULL for a kind of a newer writer. */
static const struct shape *shape_of(const struct ev_hdr *h)
{
	if (h->kind >= sizeof(shapes) / sizeof(shapes[0]) || !shapes[h->kind].size)
		return NULL;
	return &shapes[h->kind];
}

static int head_ok(const struct ev_hdr *h, size_t avail)
{
	return avail >= sizeof(*h) && h->kind && h->size >= sizeof(*h) && h->size % 8 == 0 &&
	       h->size <= avail && h->size <= REC_BLOCK_MAX;
}

/* n strings and then less than 8 zero bytes fill [p, end). */
static int strings_ok(const char *p, const char *end, unsigned int n)
{
	const char *nul;

	for (; n; n--) {
		nul = memchr(p, '\0', (size_t)(end - p));
		if (!nul)
			return 0;
		p = nul + 1;
	}
	if (end - p >= 8)
		return 0;
	for (; p < end; p++)
		if (*p)
			return 0;
	return 1;
}

/* Where the strings of a record begin: after its array, if it has both. */
static size_t strings_at(const struct ev_hdr *h, const struct shape *s)
{
	if (h->kind == EV_CODE)
		return s->size + sizeof(ev_s32) * (size_t)((const struct ev_code *)h)->n;
	return s->size;
}

/* As many lines as instructions. */
static int code_ok(const struct ev_code *c)
{
	size_t at = sizeof(*c) + sizeof(c->line[0]) * (size_t)c->n;
	const char *p = (const char *)c + at, *end = (const char *)c + c->h.size;
	uint32_t lines = 1;

	if (!c->n || c->n > EV_CODE_MAX || at >= c->h.size || !strings_ok(p, end, 1))
		return 0;
	for (; *p; p++)
		lines += *p == '\n';
	return lines == c->n;
}

static int trace_ok(const struct ev_trace *t)
{
	return t->h.size == sizeof(*t) + t->nframes * sizeof(t->f[0]) &&
	       memchr(t->text, '\0', sizeof(t->text));
}

/* It ends in another record. */
static int tally_ok(const struct ev_tally *t)
{
	return t->like.h.kind == EV_TRACE &&
	       t->like.h.size == t->h.size - offsetof(struct ev_tally, like) && trace_ok(&t->like);
}

/* Ranges in order, of frames that are there; callers before those that they call. */
static int snaps_ok(const struct ev_snaps *s)
{
	const struct ev_snap_frame *f;
	uint32_t i;

	if (s->nranges > EV_SNAPS_MAX || s->nframes > EV_SNAPS_MAX ||
	    s->h.size != sizeof(*s) + s->nranges * sizeof(s->range[0]) +
			     s->nframes * sizeof(*f))
		return 0;
	for (i = 0; i < s->nranges; i++)
		if (s->range[i].frame > s->nframes ||
		    (i && s->range[i].mcofs <= s->range[i - 1].mcofs))
			return 0;
	f = (const struct ev_snap_frame *)(const void *)(s->range + s->nranges);
	for (i = 0; i < s->nframes; i++)
		if (f[i].caller > i)
			return 0;
	return 1;
}

/* Its addresses, and places that are in a Lua stack of any length. */
static int native_ok(const struct ev_native *n)
{
	uint64_t w;
	unsigned int i;

	if (n->nwords > EV_NATIVE_MAX || n->nkernel > n->nwords ||
	    n->h.size != sizeof(*n) + n->nwords * sizeof(n->word[0]))
		return 0;
	for (i = n->nkernel; i < n->nwords; i++) {
		w = n->word[i];
		if (EV_NATIVE_IS_LUA(w) && (EV_NATIVE_FROM(w) > EV_NATIVE_TO(w) ||
					    EV_NATIVE_TO(w) > EV_MAX_FRAMES))
			return 0;
	}
	return 1;
}

/* Addresses in order, and an id that cannot lead to another folder. */
static int module_ok(const struct ev_module *m)
{
	const char *id = (const char *)(m + 1);

	return m->start < m->end && strings_ok(id, (const char *)m + m->h.size, 2) &&
	       !id[strspn(id, "0123456789abcdef")];
}

int rec_check(const struct ev_hdr *h, size_t avail)
{
	const struct shape *s;
	const struct ev_sample *sample;
	const struct ev_loops *loops;
	const struct ev_scan *scan;

	if (!head_ok(h, avail))
		return 0;
	s = shape_of(h);
	if (!s)
		return 1;
	if (h->size < (h->kind == EV_LOST ? EV_LOST_OLD : s->size))
		return 0;
	if (h->kind == EV_SAMPLE) {
		sample = (const struct ev_sample *)h;
		return sample->nframes <= EV_MAX_FRAMES &&
		       h->size == sizeof(*sample) + sample->nframes * sizeof(sample->f[0]);
	}
	if (h->kind == EV_TRACE)
		return trace_ok((const struct ev_trace *)h);
	if (h->kind == EV_TALLY)
		return tally_ok((const struct ev_tally *)h);
	if (h->kind == EV_NATIVE)
		return native_ok((const struct ev_native *)h);
	if (h->kind == EV_LOOPS) {
		loops = (const struct ev_loops *)h;
		return loops->n <= EV_LOOPS_MAX &&
		       h->size == sizeof(*loops) + loops->n * sizeof(loops->loop[0]);
	}
	if (h->kind == EV_CODE)
		return code_ok((const struct ev_code *)h);
	if (h->kind == EV_MODULE)
		return module_ok((const struct ev_module *)h);
	if (h->kind == EV_SNAPS)
		return snaps_ok((const struct ev_snaps *)h);
	if (h->kind == EV_SCAN) {
		scan = (const struct ev_scan *)h;
		return scan->n <= EV_SCAN_MAX &&
		       h->size == sizeof(*scan) + scan->n * sizeof(scan->e[0]);
	}
	if (!s->nstrs)
		return 1;
	return strings_ok((const char *)h + s->size, (const char *)h + h->size, s->nstrs);
}

const char *rec_str(const struct ev_hdr *h, unsigned int idx)
{
	const struct shape *s = shape_of(h);
	const char *p;

	if (!s || idx >= s->nstrs)
		return "";
	for (p = (const char *)h + strings_at(h, s); idx; idx--)
		p += strlen(p) + 1;
	return p;
}

struct ev_hdr *rec_build(void *buf, size_t cap, const struct ev_hdr *h, size_t fixed,
			 const char *const *strs, unsigned int nstrs)
{
	struct ev_hdr *out = buf;
	char *base = buf;
	size_t len, used = fixed;
	unsigned int i;

	if (cap > REC_BLOCK_MAX)
		cap = REC_BLOCK_MAX;
	cap -= cap % 8;
	if (fixed < sizeof(*h) || fixed > cap)
		return NULL;
	memmove(buf, h, fixed);
	for (i = 0; i < nstrs; i++) {
		len = strs[i] ? strnlen(strs[i], REC_STR_MAX) : 0;
		if (len >= cap - used)
			return NULL;
		if (len)
			memcpy(base + used, strs[i], len);
		base[used + len] = '\0';
		used += len + 1;
	}
	while (used % 8)
		base[used++] = '\0';
	out->size = (ev_u32)used;
	return out;
}

struct rec_writer {
	int fd;
	int err; /* the first error: what follows a torn block could not be read anyway */
	size_t used;
	struct rec_block head; /* directly before buf, so that one write takes both */
	unsigned char buf[REC_BLOCK_MAX];
};

_Static_assert(offsetof(struct rec_writer, buf) ==
		   offsetof(struct rec_writer, head) + sizeof(struct rec_block),
	       "head and buf are written as one");

static int write_all(int fd, const void *p, size_t len)
{
	const char *c = p;
	ssize_t n;

	while (len) {
		n = write(fd, c, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		c += n;
		len -= (size_t)n;
	}
	return 0;
}

int rec_writer_new(int fd, struct rec_writer **out)
{
	const struct rec_head head = {
	    .magic = REC_MAGIC, .order = REC_ORDER, .version = EV_VERSION};
	struct rec_writer *w;
	int err;

	w = malloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->fd = fd;
	w->err = 0;
	w->used = 0;
	err = write_all(fd, &head, sizeof(head));
	if (err) {
		free(w);
		return err;
	}
	*out = w;
	return 0;
}

int rec_flush(struct rec_writer *w)
{
	if (w->err || !w->used)
		return w->err;
	w->head.len = (ev_u32)w->used;
	w->head.crc = (ev_u32)crc32(crc32(0, NULL, 0), w->buf, (uInt)w->used);
	w->err = write_all(w->fd, &w->head, sizeof(w->head) + w->used);
	w->used = 0;
	return w->err;
}

int rec_write(struct rec_writer *w, const struct ev_hdr *h)
{
	if (w->err)
		return w->err;
	if (!rec_check(h, h->size))
		return -EINVAL;
	if (w->used >= BLOCK_AIM || h->size > sizeof(w->buf) - w->used)
		rec_flush(w);
	if (w->err)
		return w->err;
	memcpy(w->buf + w->used, h, h->size);
	w->used += h->size;
	return 0;
}

int rec_writer_free(struct rec_writer *w)
{
	int err;

	if (!w)
		return 0;
	err = rec_flush(w);
	free(w);
	return err;
}

struct rec_reader {
	int fd;
	int done;
	size_t pos, len; /* of the block in buf */
	struct rec_end end;
	_Alignas(8) unsigned char buf[REC_BLOCK_MAX];
};

/* Reads until len or the end of the file. Returns how much, or -errno. */
static ssize_t read_full(int fd, void *p, size_t len)
{
	char *c = p;
	size_t got = 0;
	ssize_t n;

	while (got < len) {
		n = read(fd, c + got, len - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int check_head(const struct rec_head *head, ssize_t got, const char *name, struct why *why)
{
	if (got < 0)
		return why_set(why, WHY_INTERNAL, (int)got, "cannot read '%s': %s", name,
			       strerror((int)-got));
	if ((size_t)got < sizeof(*head) || memcmp(head->magic, REC_MAGIC, sizeof(head->magic)) != 0)
		return why_set(why, WHY_INTERNAL, -EINVAL, "not an ljx recording: '%s'", name);
	if (head->order == __builtin_bswap32(REC_ORDER))
		return why_set(why, WHY_INTERNAL, -EINVAL,
			       "'%s' was written on a machine of another byte order", name);
	if (head->order != REC_ORDER || !head->version)
		return why_set(why, WHY_INTERNAL, -EINVAL, "not an ljx recording: '%s'", name);
	if (head->version > EV_VERSION)
		return why_set(why, WHY_INTERNAL, -EINVAL,
			       "'%s' was written by a newer ljx (format %u, this ljx reads %u)",
			       name, head->version, EV_VERSION);
	return 0;
}

int rec_reader_new(int fd, const char *name, struct rec_reader **out, struct why *why)
{
	struct rec_head head;
	struct rec_reader *r;
	int err;

	err = check_head(&head, read_full(fd, &head, sizeof(head)), name, why);
	if (err)
		return err;
	r = malloc(sizeof(*r));
	if (!r)
		return why_set(why, WHY_INTERNAL, -ENOMEM, "cannot read '%s': out of memory", name);
	r->fd = fd;
	r->done = 0;
	r->pos = r->len = 0;
	memset(&r->end, 0, sizeof(r->end));
	r->end.good_bytes = sizeof(head);
	*out = r;
	return 0;
}

void rec_reader_free(struct rec_reader *r)
{
	free(r);
}

static int fail_read(struct rec_reader *r, ssize_t got)
{
	r->end.truncated = 1;
	if (got < 0)
		r->end.error = (int)got;
	return -1;
}

static int fail_corrupt(struct rec_reader *r)
{
	r->end.corrupt = 1;
	return -1;
}

/* Do the sizes of the records add up? Their contents are rec_check's matter, one by one. */
static int framing_ok(const unsigned char *p, size_t len)
{
	const struct ev_hdr *h;
	size_t pos;

	for (pos = 0; pos < len; pos += h->size) {
		h = (const struct ev_hdr *)(const void *)(p + pos);
		if (len - pos < sizeof(*h) || h->size < sizeof(*h) || h->size % 8 ||
		    h->size > len - pos)
			return 0;
	}
	return 1;
}

/* Reads the next block into buf. 0, or -1 at the end, whose cause is then in r->end. */
static int next_block(struct rec_reader *r)
{
	struct rec_block head;
	ssize_t got;

	got = read_full(r->fd, &head, sizeof(head));
	if (!got)
		return -1;
	if (got != sizeof(head))
		return fail_read(r, got);
	if (!head.len || head.len > sizeof(r->buf) || head.len % 8)
		return fail_corrupt(r);
	got = read_full(r->fd, r->buf, head.len);
	if (got != (ssize_t)head.len)
		return fail_read(r, got);
	if (crc32(crc32(0, NULL, 0), r->buf, head.len) != head.crc)
		return fail_corrupt(r);
	if (!framing_ok(r->buf, head.len))
		return fail_corrupt(r);
	r->pos = 0;
	r->len = head.len;
	r->end.good_bytes += sizeof(head) + head.len;
	return 0;
}

const struct ev_hdr *rec_next(struct rec_reader *r)
{
	const struct ev_hdr *h;

	while (!r->done) {
		if (r->pos == r->len && next_block(r)) {
			r->done = 1;
			break;
		}
		h = (const struct ev_hdr *)(const void *)(r->buf + r->pos);
		r->pos += h->size;
		if (rec_check(h, h->size))
			return h;
		r->end.bad_records++;
	}
	return NULL;
}

const struct rec_end *rec_reader_end(const struct rec_reader *r)
{
	return &r->end;
}
