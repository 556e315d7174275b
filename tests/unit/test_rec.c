// SPDX-License-Identifier: MIT
/* bpf/rec.c: what is written is read back; what is damaged is told apart and never believed. */
#include "bpf/rec.h"
#include "tests/unit/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

static struct ev_hdr *build(void *buf, size_t cap, int kind, size_t fixed, const char *const *strs,
			    unsigned int nstrs)
{
	_Alignas(8) unsigned char rec[512] = {0};
	struct ev_hdr *h = (struct ev_hdr *)(void *)rec;

	h->kind = (ev_u16)kind;
	h->time = 1;
	h->pid = 2;
	h->tid = 3;
	return rec_build(buf, cap, h, fixed, strs, nstrs);
}

static struct ev_hdr *build_sym(void *buf, size_t cap)
{
	static const char *const strs[] = {"sqrt", "libm.so.6"};

	return build(buf, cap, EV_SYM, sizeof(struct ev_sym), strs, 2);
}

static struct ev_sample *build_sample(void *buf, unsigned int nframes)
{
	struct ev_sample *s = buf;

	memset(s, 0, sizeof(*s) + nframes * sizeof(s->f[0]));
	s->h.kind = EV_SAMPLE;
	s->h.size = (ev_u32)(sizeof(*s) + nframes * sizeof(s->f[0]));
	s->nframes = (ev_u16)nframes;
	return s;
}

/* Writes a sample of each depth 0..n-1, flushing after every per_block. Returns the file's bytes.
 */
static unsigned char *record(unsigned int n, unsigned int per_block, size_t *len)
{
	_Alignas(8) unsigned char buf[sizeof(struct ev_sample) + 256 * sizeof(struct ev_frame)];
	int fd = memfile("", 0);
	struct rec_writer *w;
	unsigned char *p;
	unsigned int i;

	assert_int_equal(rec_writer_new(fd, &w), 0);
	for (i = 0; i < n; i++) {
		assert_int_equal(rec_write(w, &build_sample(buf, i)->h), 0);
		if (i % per_block == per_block - 1)
			assert_int_equal(rec_flush(w), 0);
	}
	assert_int_equal(rec_writer_free(w), 0);
	*len = (size_t)lseek(fd, 0, SEEK_END);
	p = malloc(*len);
	assert_non_null(p);
	assert_int_equal(pread(fd, p, *len, 0), *len);
	close(fd);
	return p;
}

/* Reads all of a file that holds what record() wrote, or a damaged copy of it. */
static unsigned int replay(const void *p, size_t len, struct rec_end *end)
{
	int fd = memfile(p, len);
	const struct ev_hdr *h;
	struct rec_reader *r;
	unsigned int n = 0;

	assert_int_equal(rec_reader_new(fd, "x.ljx", &r, NULL), 0);
	while ((h = rec_next(r))) {
		assert_int_equal((uintptr_t)h % 8, 0);
		assert_int_equal(h->kind, EV_SAMPLE);
		assert_int_equal(((const struct ev_sample *)h)->nframes, n);
		n++;
	}
	assert_null(rec_next(r));
	*end = *rec_reader_end(r);
	rec_reader_free(r);
	close(fd);
	return n;
}

static void test_round_trip(void **state)
{
	struct rec_end end;
	unsigned char *p;
	size_t len;

	(void)state;
	p = record(200, 7, &len);
	assert_int_equal(replay(p, len, &end), 200);
	assert_false(end.truncated || end.corrupt || end.bad_records || end.error);
	assert_int_equal(end.good_bytes, len);
	free(p);
	p = record(0, 1, &len);
	assert_int_equal(len, sizeof(struct rec_head));
	assert_int_equal(replay(p, len, &end), 0);
	assert_false(end.truncated || end.corrupt);
	free(p);
}

/* More than one full block, without a flush by the caller. */
static void test_blocks_fill(void **state)
{
	_Alignas(8) static unsigned char buf[sizeof(struct ev_sample) + 256 * 16];
	int i, n = 1000, fd = memfile("", 0);
	const struct ev_sample *s;
	struct rec_writer *w;
	struct rec_reader *r;

	(void)state;
	assert_int_equal(rec_writer_new(fd, &w), 0);
	for (i = 0; i < n; i++) {
		build_sample(buf, 256)->ip = (ev_u64)i;
		assert_int_equal(rec_write(w, (struct ev_hdr *)(void *)buf), 0);
	}
	assert_int_equal(rec_writer_free(w), 0);
	assert_true(lseek(fd, 0, SEEK_END) > 4 * REC_BLOCK_MAX - 65536);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(rec_reader_new(fd, "x.ljx", &r, NULL), 0);
	for (i = 0; i < n; i++) {
		s = (const struct ev_sample *)rec_next(r);
		assert_non_null(s);
		assert_int_equal(s->ip, i);
	}
	assert_null(rec_next(r));
	rec_reader_free(r);
	close(fd);
}

/* Cut at any byte: all whole blocks are read, and only a cut between blocks looks complete. */
static void test_truncated(void **state)
{
	size_t len, cut, at = sizeof(struct rec_head), good = at;
	struct rec_block block;
	unsigned int n, whole = 0;
	struct rec_end end;
	unsigned char *p;

	(void)state;
	p = record(12, 3, &len);
	for (cut = at; cut <= len; cut++) {
		if (cut == at && cut < len) {
			good = at;
			whole = at == sizeof(struct rec_head) ? 0 : whole + 3;
			memcpy(&block, p + at, sizeof(block));
			at += sizeof(block) + block.len;
		} else if (cut == len) {
			good = len;
			whole += 3;
		}
		n = replay(p, cut, &end);
		assert_int_equal(n, whole);
		assert_int_equal(end.truncated, cut != good);
		assert_false(end.corrupt);
		assert_int_equal(end.good_bytes, good);
	}
	free(p);
}

/* A flipped byte ends the reading as corrupt or truncated, and nothing wrong comes out before. */
static void test_flipped(void **state)
{
	struct rec_end end;
	unsigned char *p;
	size_t len, i;
	int bit;

	(void)state;
	p = record(9, 3, &len);
	for (i = sizeof(struct rec_head); i < len; i++) {
		for (bit = (int)(i % 5); bit < 8; bit += 5) {
			p[i] ^= (unsigned char)(1 << bit);
			assert_true(replay(p, len, &end) < 9);
			assert_true(end.truncated || end.corrupt);
			assert_true(end.good_bytes <= i);
			p[i] ^= (unsigned char)(1 << bit);
		}
	}
	free(p);
}

static void refused(const void *p, size_t len, const char *text)
{
	struct why why = {0};
	struct rec_reader *r = NULL;
	int fd = memfile(p, len);

	assert_int_equal(rec_reader_new(fd, "x.ljx", &r, &why), -EINVAL);
	assert_null(r);
	assert_string_equal(why.text, text);
	assert_int_equal(why.code, WHY_INTERNAL);
	close(fd);
}

static void test_head(void **state)
{
	struct rec_head head = {.magic = REC_MAGIC, .order = REC_ORDER, .version = EV_VERSION};
	const char *not_ours = "not an ljx recording: 'x.ljx'";
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(head); len++)
		refused(&head, len, not_ours);
	head.magic[0] ^= 1;
	refused(&head, sizeof(head), not_ours);
	head.magic[0] ^= 1;
	head.version = 2;
	refused(&head, sizeof(head),
		"'x.ljx' was written by a newer ljx (format 2, this ljx reads 1)");
	head.version = 0;
	refused(&head, sizeof(head), not_ours);
	head.version = EV_VERSION;
	head.order = 0x04030201;
	refused(&head, sizeof(head), "'x.ljx' was written on a machine of another byte order");
	head.order = 0;
	refused(&head, sizeof(head), not_ours);
}

static void test_not_readable(void **state)
{
	struct why why = {0};
	struct rec_reader *r;
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(rec_reader_new(fd, "/", &r, &why), -EISDIR);
	assert_string_equal(why.text, "cannot read '/': Is a directory");
	close(fd);
	rec_reader_free(NULL);
}

/* A block with a right checksum whose contents are these. Returns the reader's verdict. */
static struct rec_end one_block(const void *p, size_t len, unsigned int *n)
{
	struct {
		struct rec_head head;
		struct rec_block block;
		unsigned char buf[1024];
	} file = {.head = {.magic = REC_MAGIC, .order = REC_ORDER, .version = EV_VERSION}};
	struct rec_reader *r;
	struct rec_end end;
	int fd;

	assert_true(len <= sizeof(file.buf));
	memcpy(file.buf, p, len);
	file.block.len = (ev_u32)len;
	file.block.crc = (ev_u32)crc32(0, file.buf, (uInt)len);
	fd = memfile(&file, offsetof(typeof(file), buf) + len);
	assert_int_equal(rec_reader_new(fd, "x.ljx", &r, NULL), 0);
	for (*n = 0; rec_next(r); (*n)++)
		;
	end = *rec_reader_end(r);
	rec_reader_free(r);
	close(fd);
	return end;
}

static void test_bad_records(void **state)
{
	_Alignas(8) unsigned char buf[1024] = {0};
	struct ev_hdr *h;
	struct rec_end end;
	unsigned int n;
	size_t first;

	(void)state;
	/* malformed between two good ones: skipped and counted */
	first = build_sample(buf, 1)->h.size;
	h = &build_sample(buf + first, 2)->h;
	((struct ev_sample *)h)->nframes = 1;
	build_sample(buf + first + h->size, 0);
	end = one_block(buf, first + h->size + sizeof(struct ev_sample), &n);
	assert_int_equal(n, 2);
	assert_int_equal(end.bad_records, 1);
	assert_false(end.corrupt || end.truncated);
	/* sizes that do not add up: nothing of the block is believed */
	h->size += 8;
	end = one_block(buf, first + sizeof(struct ev_sample) + 32, &n);
	assert_int_equal(n, 0);
	assert_true(end.corrupt);
	h->size = 0;
	assert_true(one_block(buf, first + 96, &n).corrupt);
	/* empty, and not a multiple of 8 */
	assert_true(one_block(buf, 0, &n).corrupt);
	assert_true(one_block(buf, 28, &n).corrupt);
}

static void test_check_header(void **state)
{
	_Alignas(8) unsigned char buf[64] = {0};
	struct ev_hdr *h = (struct ev_hdr *)(void *)buf;

	(void)state;
	h->kind = 60000; /* a newer writer's */
	h->size = 24;
	assert_true(rec_check(h, 24));
	assert_true(rec_check(h, 64));
	assert_string_equal(rec_str(h, 0), "");
	assert_false(rec_check(h, 23));
	assert_false(rec_check(h, 0));
	h->size = 28;
	assert_false(rec_check(h, 64));
	h->size = 16;
	assert_false(rec_check(h, 64));
	h->size = 72;
	assert_false(rec_check(h, 64));
	h->size = REC_BLOCK_MAX + 8;
	assert_false(rec_check(h, SIZE_MAX));
	h->size = 24;
	h->kind = 0;
	assert_false(rec_check(h, 64));
}

static void test_check_sample(void **state)
{
	_Alignas(8) unsigned char buf[sizeof(struct ev_sample) + 257 * 16];
	struct ev_sample *s = build_sample(buf, 3);

	(void)state;
	assert_true(rec_check(&s->h, sizeof(buf)));
	s->nframes = 2;
	assert_false(rec_check(&s->h, sizeof(buf)));
	s->nframes = 4;
	assert_false(rec_check(&s->h, sizeof(buf)));
	s->nframes = 0xffff;
	assert_false(rec_check(&s->h, sizeof(buf)));
	s = build_sample(buf, 256);
	assert_true(rec_check(&s->h, sizeof(buf)));
	s = build_sample(buf, 257);
	assert_false(rec_check(&s->h, sizeof(buf)));
}

static void test_check_scan(void **state)
{
	_Alignas(8) unsigned char
	    buf[sizeof(struct ev_scan) + (EV_SCAN_MAX + 1) * sizeof(struct ev_scan_entry)] = {0};
	struct ev_scan *s = (struct ev_scan *)buf;

	(void)state;
	s->h.kind = EV_SCAN;
	s->h.size = sizeof(*s) + 3 * sizeof(s->e[0]);
	s->n = 3;
	assert_true(rec_check(&s->h, sizeof(buf)));
	s->n = 4;
	assert_false(rec_check(&s->h, sizeof(buf)));
	s->n = 0x80000003;
	assert_false(rec_check(&s->h, sizeof(buf)));
	s->n = EV_SCAN_MAX;
	s->h.size = (ev_u32)(sizeof(*s) + s->n * sizeof(s->e[0]));
	assert_true(rec_check(&s->h, sizeof(buf)));
	s->n++;
	s->h.size += sizeof(s->e[0]);
	assert_false(rec_check(&s->h, sizeof(buf)));
}

static void test_check_snaps(void **state)
{
	struct {
		struct ev_snaps e;
		struct ev_snap_range range[2];
		struct ev_snap_frame f[2];
	} s = {.e = {.h = {.kind = EV_SNAPS, .size = sizeof(s)}, .nranges = 2, .nframes = 2},
	       .range = {{0, 1}, {10, 2}},
	       .f = {{.caller = 0}, {.caller = 1}}};

	(void)state;
	assert_true(rec_check(&s.e.h, sizeof(s)));
	s.range[1].frame = 3; /* there is none */
	assert_false(rec_check(&s.e.h, sizeof(s)));
	s.range[1].frame = 0;
	assert_true(rec_check(&s.e.h, sizeof(s)));
	s.range[1].mcofs = 0; /* not in order */
	assert_false(rec_check(&s.e.h, sizeof(s)));
	s.range[1].mcofs = 1;
	s.f[1].caller = 2; /* calls itself */
	assert_false(rec_check(&s.e.h, sizeof(s)));
	s.f[1].caller = 0;
	assert_true(rec_check(&s.e.h, sizeof(s)));
	s.e.nframes = 3;
	assert_false(rec_check(&s.e.h, sizeof(s)));
	s.e.nframes = 0x80000002;
	assert_false(rec_check(&s.e.h, sizeof(s)));
}

/* Each kind at its structure's size, with as many empty strings as it takes. */
static void test_check_kinds(void **state)
{
	static const struct {
		int kind;
		size_t size;
		unsigned int nstrs;
	} kinds[] = {
	    {EV_PROTO_RAW, sizeof(struct ev_proto_raw), 0},
	    {EV_SNAPS, sizeof(struct ev_snaps), 0},
	    {EV_VM_HINT, sizeof(struct ev_vm_hint), 0},
	    {EV_PROC, sizeof(struct ev_proc), 3},
	    {EV_BUILD, sizeof(struct ev_build), 4},
	    {EV_VM, sizeof(struct ev_vm), 0},
	    {EV_FUNC, sizeof(struct ev_func), 1},
	    {EV_NAME, sizeof(struct ev_name), 1},
	    {EV_SYM, sizeof(struct ev_sym), 2},
	    {EV_FORK, sizeof(struct ev_fork), 0},
	    {EV_EXEC, sizeof(struct ev_exec), 0},
	    {EV_EXIT, sizeof(struct ev_exit), 0},
	    {EV_CLOCK, sizeof(struct ev_clock), 0},
	    {EV_META, sizeof(struct ev_meta), 4},
	    {EV_FF, sizeof(struct ev_ff), 1},
	    {EV_TABLES, sizeof(struct ev_tables), 4},
	};
	static const char *const strs[] = {"a", "bc", "", "\x80 d"};
	_Alignas(8) unsigned char buf[1024];
	struct ev_hdr *h;
	unsigned int i, k;

	(void)state;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		h = build(buf, sizeof(buf), kinds[i].kind, kinds[i].size, strs, kinds[i].nstrs);
		assert_non_null(h);
		assert_true(rec_check(h, sizeof(buf)));
		for (k = 0; k < 5; k++)
			assert_string_equal(rec_str(h, k), k < kinds[i].nstrs ? strs[k] : "");
		h->size -= 8;
		assert_false(kinds[i].nstrs < 3 && rec_check(h, sizeof(buf)));
		if (!kinds[i].nstrs)
			continue;
		h = build(buf, sizeof(buf), kinds[i].kind, kinds[i].size, strs, 0);
		assert_false(rec_check(h, sizeof(buf)));
	}
}

/* A field came later: records without it are good and have none of it. */
static void test_lost(void **state)
{
	struct ev_lost e = {.h = {.kind = EV_LOST, .size = sizeof(e)}, .samples = 1, .vms = 7};

	(void)state;
	assert_true(rec_check(&e.h, sizeof(e)));
	assert_int_equal(EV_LOST_VMS(&e), 7);
	e.h.size = EV_LOST_OLD;
	assert_int_equal(e.h.size, offsetof(struct ev_lost, vms));
	assert_true(rec_check(&e.h, sizeof(e)));
	assert_int_equal(EV_LOST_VMS(&e), 0);
	e.h.size -= 8;
	assert_false(rec_check(&e.h, sizeof(e)));
}

static struct ev_code *build_code(void *buf, ev_u32 n, const char *text)
{
	struct ev_code *e = buf;
	size_t at = sizeof(*e) + n * sizeof(e->line[0]), len = strlen(text) + 1;

	memset(buf, 0, 256);
	e->h.kind = EV_CODE;
	e->h.size = (ev_u32)((at + len + 7) & ~7ul);
	e->n = n;
	memcpy((char *)buf + at, text, len);
	return e;
}

/* The words end with the record; places are in a stack of any length. */
static void test_check_native(void **state)
{
	struct {
		struct ev_native e;
		ev_u64 word[4];
	} r = {.e = {.h = {.kind = EV_NATIVE, .size = sizeof(r)}, .nkernel = 1, .nwords = 4}};

	(void)state;
	r.word[0] = 0xffffffff81000000;
	r.word[1] = 0x1000;
	r.word[2] = EV_NATIVE_LUA(0, EV_MAX_FRAMES);
	r.word[3] = EV_NATIVE_GAP(EV_NATIVE_NO_INFO);
	assert_true(rec_check(&r.e.h, sizeof(r)));
	r.e.nwords = 3;
	assert_false(rec_check(&r.e.h, sizeof(r)));
	r.e.nwords = EV_NATIVE_MAX + 1;
	assert_false(rec_check(&r.e.h, sizeof(r)));
	r.e.nwords = 4;
	r.e.nkernel = 5;
	assert_false(rec_check(&r.e.h, sizeof(r)));
	r.e.nkernel = 0;
	r.word[2] = EV_NATIVE_LUA(0, EV_MAX_FRAMES + 1);
	assert_false(rec_check(&r.e.h, sizeof(r)));
	r.word[2] = EV_NATIVE_LUA(2, 1);
	assert_false(rec_check(&r.e.h, sizeof(r)));
	r.word[2] = EV_NATIVE_LUA(2, 2);
	assert_true(rec_check(&r.e.h, sizeof(r)));
}

/* As many lines as instructions, and the text ends with the record. */
static void test_check_code(void **state)
{
	_Alignas(8) unsigned char buf[256];
	struct ev_code *e = build_code(buf, 3, "title\none\ntwo");

	(void)state;
	assert_true(rec_check(&e->h, sizeof(buf)));
	assert_string_equal(rec_str(&e->h, 0), "title\none\ntwo");
	assert_string_equal(rec_str(&e->h, 1), "");
	e->n = 2;
	assert_false(rec_check(&e->h, sizeof(buf)));
	e->n = 4;
	assert_false(rec_check(&e->h, sizeof(buf)));
	e->n = 0xffffffff;
	assert_false(rec_check(&e->h, sizeof(buf)));
	e = build_code(buf, 1, "");
	assert_true(rec_check(&e->h, sizeof(buf)));
	e = build_code(buf, 0, "");
	assert_false(rec_check(&e->h, sizeof(buf)));
	e = build_code(buf, 1, "a\nb");
	assert_false(rec_check(&e->h, sizeof(buf)));
	e = build_code(buf, 2, "a\nb");
	e->h.size += 8;
	assert_false(rec_check(&e->h, sizeof(buf)));
	e->h.size -= 16;
	assert_false(rec_check(&e->h, sizeof(buf)));
	e->h.size = sizeof(*e) + 2 * sizeof(e->line[0]);
	assert_false(rec_check(&e->h, sizeof(buf)));
}

static void test_check_strings(void **state)
{
	_Alignas(8) unsigned char buf[256];
	struct ev_hdr *h = build_sym(buf, sizeof(buf));
	size_t used = sizeof(struct ev_sym) + sizeof("sqrt") + sizeof("libm.so.6");

	(void)state;
	assert_int_equal(h->size, (used + 7) / 8 * 8);
	assert_true(rec_check(h, h->size));
	buf[h->size - 1] = 1; /* padding */
	assert_false(rec_check(h, h->size));
	memset(buf + used - 1, 'x', h->size - used + 1); /* not terminated */
	assert_false(rec_check(h, h->size));
	h = build_sym(buf, sizeof(buf));
	memset(buf + h->size, 0, 8);
	h->size += 8; /* one string too many */
	assert_false(rec_check(h, h->size));
	/* without any room for strings */
	h->size = sizeof(struct ev_sym);
	assert_false(rec_check(h, h->size));
}

static void test_build(void **state)
{
	static char huge[70000];
	static _Alignas(8) unsigned char buf[1 << 18];
	const char *const strs[] = {huge, NULL};
	struct ev_hdr *h;
	size_t cap;

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	h = build(buf, sizeof(buf), EV_SYM, sizeof(struct ev_sym), strs, 2);
	assert_non_null(h);
	assert_true(rec_check(h, h->size));
	assert_int_equal(strlen(rec_str(h, 0)), 65535);
	assert_string_equal(rec_str(h, 1), "");
	assert_int_equal(h->pid, 2);
	/* every capacity: fits exactly or not at all */
	for (cap = 0; cap < 128; cap++) {
		h = build_sym(buf, cap);
		assert_int_equal(h != NULL, cap >= 72);
		assert_true(!h || h->size == 72);
	}
	assert_null(build(buf, sizeof(buf), EV_SYM, 16, strs, 0));
}

static void test_writer_refuses(void **state)
{
	_Alignas(8) unsigned char buf[256];
	int fd = memfile("", 0);
	struct rec_writer *w;
	struct ev_hdr *h;

	(void)state;
	assert_int_equal(rec_writer_new(fd, &w), 0);
	h = build_sym(buf, sizeof(buf));
	h->size -= 8;
	assert_int_equal(rec_write(w, h), -EINVAL);
	h = build_sym(buf, sizeof(buf));
	assert_int_equal(rec_write(w, h), 0);
	assert_int_equal(rec_writer_free(w), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 32 + 8 + 72);
	close(fd);
	assert_int_equal(rec_writer_free(NULL), 0);
}

static void test_disk_full(void **state)
{
	_Alignas(8) unsigned char buf[256];
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), fd = memfile("", 0);
	struct rec_writer *w = NULL;

	(void)state;
	assert_true(full >= 0);
	assert_int_equal(rec_writer_new(full, &w), -ENOSPC);
	assert_null(w);
	assert_int_equal(rec_writer_new(fd, &w), 0);
	assert_int_equal(rec_write(w, build_sym(buf, sizeof(buf))), 0);
	assert_true(dup2(full, fd) == fd);
	assert_int_equal(rec_flush(w), -ENOSPC);
	/* for good, even if there is room again: the file ends in a torn block */
	assert_int_equal(rec_write(w, build_sym(buf, sizeof(buf))), -ENOSPC);
	assert_int_equal(rec_flush(w), -ENOSPC);
	assert_int_equal(rec_writer_free(w), -ENOSPC);
	close(full);
	close(fd);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* Through a pipe: short reads and writes, and a timer that interrupts both ends. */
static void test_pipe(void **state)
{
	const struct itimerval timer = {{0, 500}, {0, 500}}, off = {0};
	struct sigaction sa = {.sa_handler = on_alarm}, old;
	_Alignas(8) static unsigned char buf[sizeof(struct ev_sample) + 256 * 16];
	int fds[2], status, i, n = 600;
	struct rec_writer *w;
	struct rec_reader *r;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(sigaction(SIGALRM, &sa, &old), 0);
	pid = fork();
	assert_true(pid >= 0);
	setitimer(ITIMER_REAL, &timer, NULL);
	if (!pid) {
		close(fds[1]);
		if (rec_reader_new(fds[0], "-", &r, NULL))
			_exit(1);
		for (i = 0; rec_next(r); i++)
			;
		_exit(i != n || rec_reader_end(r)->truncated || rec_reader_end(r)->corrupt);
	}
	close(fds[0]);
	assert_int_equal(rec_writer_new(fds[1], &w), 0);
	build_sample(buf, 256);
	for (i = 0; i < n; i++)
		assert_int_equal(rec_write(w, (struct ev_hdr *)(void *)buf), 0);
	assert_int_equal(rec_writer_free(w), 0);
	close(fds[1]);
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),	 cmocka_unit_test(test_blocks_fill),
	    cmocka_unit_test(test_truncated),	 cmocka_unit_test(test_flipped),
	    cmocka_unit_test(test_head),	 cmocka_unit_test(test_not_readable),
	    cmocka_unit_test(test_bad_records),	 cmocka_unit_test(test_check_header),
	    cmocka_unit_test(test_check_sample), cmocka_unit_test(test_check_scan),
	    cmocka_unit_test(test_check_snaps),	 cmocka_unit_test(test_check_kinds),
	    cmocka_unit_test(test_check_code),	 cmocka_unit_test(test_lost),
	    cmocka_unit_test(test_check_native), cmocka_unit_test(test_check_strings),
	    cmocka_unit_test(test_build),	 cmocka_unit_test(test_writer_refuses),
	    cmocka_unit_test(test_disk_full),	 cmocka_unit_test(test_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
