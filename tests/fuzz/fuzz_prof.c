// SPDX-License-Identifier: MIT
/*
 * The fold of a hostile recording: records whose sizes and strings are right, as rec_check has it,
 * and whose content is anything. Most numbers are small, so that records refer to each other.
 */
#include "bpf/rec.h"
#include "profiler/ips.h"
#include "profiler/lines.h"
#include "profiler/prof.h"
#include "profiler/write.h"
#include "tests/fuzz/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A string of the input: up to 15 bytes, often not UTF-8. */
static const char *text(struct input *in, char *buf)
{
	size_t len = take(in) & 15;

	for (size_t i = 0; i < len; i++) {
		buf[i] = (char)take(in);
		if (!buf[i])
			buf[i] = '\n';
	}
	buf[len] = '\0';
	return buf;
}

static struct ev_sample *sample(struct input *in, unsigned int n)
{
	struct ev_sample *s = calloc(1, sizeof(*s) + n * sizeof(s->f[0]));

	if (!s)
		abort();
	s->ip = number(in);
	s->g = number(in);
	s->trace = (ev_u32)number(in);
	s->flags = take(in);
	s->mcofs = take(in);
	s->state = take(in) % 12;
	s->why = take(in) % 12;
	s->nframes = (ev_u16)n;
	for (unsigned int i = 0; i < n; i++) {
		uint64_t pc = number(in);

		s->f[i].kind = take(in) % 7;
		s->f[i].addr = EV_FRAME_ADDR(number(in), pc == 15 ? EV_NO_PC : pc);
		s->f[i].line = (ev_u32)number(in);
		s->f[i].ffid = (ev_u8)number(in);
	}
	return s;
}

static size_t fixed_size(unsigned int kind)
{
	switch (kind) {
#define FIXED_SIZE(num, name, type) \
	case num:                   \
		return sizeof(struct type);
		EV_KINDS(FIXED_SIZE)
#undef FIXED_SIZE
	default:
		return sizeof(struct ev_hdr);
	}
}

/* A definition: its structure is 32-bit numbers, but for the first of some, which are addresses. */
static struct ev_hdr *definition(struct input *in, unsigned int kind)
{
	_Alignas(8) unsigned char fixed[512] = {0}, buf[1024];
	char strs[4][16];
	const char *list[4];
	size_t size = fixed_size(kind);
	struct ev_hdr h, *built;

	for (size_t at = sizeof(h); at < size; at += 4) {
		ev_u32 v = (ev_u32)number(in);

		memcpy(fixed + at, &v, 4);
		/* The high half of an address; bytes of copied memory need no more variety. */
		if (kind == EV_SYM && at < 48)
			at += 4;
		if (kind == EV_PROTO_RAW)
			break;
	}
	for (int i = 0; i < 4; i++)
		list[i] = text(in, strs[i]);
	memset(&h, 0, sizeof(h));
	h.kind = (ev_u16)kind;
	memcpy(fixed, &h, sizeof(h));
	built = rec_build(buf, sizeof(buf), (struct ev_hdr *)fixed, size, list, 4);
	if (!built)
		return NULL;
	h = *built;
	built = malloc(h.size);
	if (!built)
		abort();
	memcpy(built, buf, h.size);
	return built;
}

/* A listing; what its lines say is nobody's business. */
static struct ev_hdr *code(struct input *in)
{
	unsigned int n = take(in) & 15, i;
	size_t at = sizeof(struct ev_code) + n * sizeof(ev_s32);
	struct ev_code *e = calloc(1, at + 64);
	char *p = (char *)e + at;

	if (!e)
		abort();
	e->id = (ev_u32)number(in);
	e->flags = take(in);
	e->n = n;
	for (i = 0; i < n; i++)
		e->line[i] = (ev_s32)number(in);
	for (i = 1; i < n; i++) {
		if (take(in) & 1)
			*p++ = (char)(take(in) | 1);
		*p++ = '\n';
	}
	e->h.size = (ev_u32)((size_t)(p - (char *)e) / 8 * 8 + 8);
	e->h.kind = EV_CODE;
	return &e->h;
}

/* Those of a window are some of all. */
static void check_window(struct lines *l, uint64_t all)
{
	const struct lines_query recent = {.recent = 1, .now = UINT64_MAX >> 1},
				 since = {.recent = 0};
	const struct lines_func *f;
	uint64_t sum = 0, self;
	size_t n, i, k;

	if (lines_choose(l, &recent))
		abort();
	f = lines_funcs(l, &n);
	for (i = 0; i < n; i++) {
		if (lines_positions(l, &f[i]))
			abort();
		self = 0;
		for (k = 0; k < f[i].npos; k++)
			self += f[i].pos[k].self;
		if (self > f[i].self)
			abort();
		sum += self;
	}
	if (sum > all || lines_choose(l, &since))
		abort();
}

/* What runs in a trace: ranges and frames that hold together. */
static struct ev_hdr *snaps(struct input *in)
{
	unsigned int n = take(in) & 7, m = take(in) & 15, i;
	struct ev_snap_frame *f;
	struct ev_snaps *e = calloc(1, sizeof(*e) + n * sizeof(e->range[0]) + m * sizeof(*f));
	uint32_t at = 0;

	if (!e)
		abort();
	e->g = number(in);
	e->mcode = number(in);
	e->start = number(in);
	e->trace = (ev_u32)number(in);
	e->mcloop = take(in);
	e->why = take(in) & 1;
	e->nranges = n;
	e->nframes = m;
	for (i = 0; i < n; i++, at += 1 + take(in) % 16)
		e->range[i] = (struct ev_snap_range){at, m ? take(in) % (m + 1) : 0};
	f = (struct ev_snap_frame *)(void *)(e->range + n);
	for (i = 0; i < m; i++) {
		f[i].f.addr = EV_FRAME_ADDR(number(in), number(in));
		f[i].f.kind = take(in) % 7;
		f[i].f.line = (ev_u32)number(in);
		f[i].caller = take(in) % (i + 1);
		f[i].flags = take(in);
	}
	e->h.size = (ev_u32)(sizeof(*e) + n * sizeof(e->range[0]) + m * sizeof(*f));
	e->h.kind = EV_SNAPS;
	return &e->h;
}

/* The C stack of the next sample: places of few Lua frames, gaps and addresses near the symbols'.
 */
static struct ev_hdr *native(struct input *in)
{
	unsigned int n = take(in) & 31, i;
	struct ev_native *e = calloc(1, sizeof(*e) + n * sizeof(e->word[0]));

	if (!e)
		abort();
	e->nwords = (ev_u16)n;
	e->nkernel = n ? (ev_u16)(take(in) % n) : 0;
	e->why = take(in);
	for (i = 0; i < n; i++) {
		unsigned int what = take(in);

		if (what < 64)
			e->word[i] = EV_NATIVE_LUA(take(in) & 15, take(in) & 31);
		else if (what < 80)
			e->word[i] = EV_NATIVE_GAP(take(in));
		else
			e->word[i] = number(in);
	}
	e->h.kind = EV_NATIVE;
	e->h.size = (ev_u32)(sizeof(*e) + n * sizeof(e->word[0]));
	return &e->h;
}

/* At an address of such a stack, lines of anything. */
static struct ev_hdr *inlined(struct input *in)
{
	struct ev_inline *e = calloc(1, sizeof(*e) + 16);
	char *text = (char *)(e + 1);
	int i;

	if (!e)
		abort();
	e->addr = number(in);
	for (i = 0; i < 15; i++)
		text[i] = take(in) & 1 ? '\n' : (char)take(in);
	e->h.kind = EV_INLINE;
	e->h.size = sizeof(*e) + 16;
	return &e->h;
}

/* No function has more than all samples, or less at its positions than they. */
static void check_lines(struct lines *l, uint64_t samples, int whole)
{
	const struct lines_func *f;
	uint64_t all = 0, self;
	size_t n, i, k;

	/* They count all samples, the profile only those that it was asked for. */
	if (!whole)
		return;
	f = lines_funcs(l, &n);
	for (i = 0; i < n; i++) {
		if (lines_positions(l, &f[i]))
			abort();
		self = 0;
		for (k = 0; k < f[i].npos; k++) {
			self += f[i].pos[k].self;
			if (f[i].pos[k].self > f[i].pos[k].total ||
			    f[i].pos[k].total > f[i].total ||
			    (k && f[i].pos[k].pos <= f[i].pos[k - 1].pos))
				abort();
		}
		if (self != f[i].self || f[i].self > f[i].total || f[i].total > samples)
			abort();
		for (k = 0; k < f[i].ncode; k++)
			if (strchr(f[i].code[k], '\n'))
				abort();
		all += self;
	}
	if (all + lines_stats(l)->no_lua != samples)
		abort();
	check_window(l, all);
}

static void output(struct prof *p, FILE *null, uint8_t how)
{
	struct write_info info = {.title = "fuzz",
				  .command = "fuzz",
				  .icicle = how & 1,
				  .reverse = how >> 1 & 1,
				  .colour = how >> 3 & 1 ? WRITE_BY_FILE : WRITE_BY_STATE};
	uint64_t self = 0;
	size_t n;
	struct prof_row *rows;

	if (prof_finish(p))
		abort();
	rows = prof_rows(p, &n);
	for (size_t i = 0; i < n; i++)
		if (prof_frame(p, rows[i].frame)->kind != PROF_TRACE)
			self += rows[i].self;
	/* Each sample is in one row, and all are below the root. */
	if (self != prof_stats(p)->samples || prof_root(p)->total != self)
		abort();
	free(rows);
	for (const struct format *f = formats; f->name; f++)
		if (f->write(null, p, &info))
			abort();
}

/* The profile against lines of anything, 40 bytes each. */
static void compare(struct prof *p, FILE *null, uint8_t how, unsigned int split,
		    const uint8_t *data, size_t size)
{
	struct write_info info = {.title = "fuzz", .reverse = how & 1};
	struct prof *d = diff_new(split);
	struct diff_row *rows;
	char line[41];
	size_t n;

	if (!d || diff_add(d, DIFF_BEFORE, p))
		abort();
	for (size_t at = 0; at < size; at += n) {
		n = size - at < 40 ? size - at : 40;
		memcpy(line, data + at, n);
		line[n] = '\0';
		if (diff_add_line(d, DIFF_AFTER, line) == -ENOMEM)
			abort();
	}
	if (prof_finish(d) || prof_root(d)->before != prof_root(p)->total)
		abort();
	rows = diff_rows(d, &n);
	free(rows);
	for (const struct format *f = formats; f->name; f++)
		if (f->diffs && f->write(null, d, &info))
			abort();
	prof_free(d);
}

/* What a trace event is about, as its text would have it. */
static int event(struct prof *p, struct input *in, const struct ev_hdr *h)
{
	char reason[16], start[16];
	struct prof_about about = {.reason = text(in, reason),
				   .start = take(in) & 1 ? text(in, start) : NULL,
				   .site = take(in) & 7,
				   .times = number(in) % 1000 + 1};

	return prof_event(p, (const struct ev_trace *)(const void *)h, &about);
}

/* By weights of anything but what is not finite. */
static void weigh(struct prof *p, struct input *in)
{
	double weight[4] = {take(in), take(in) / 256.0, 0, 1e6};

	if (prof_finish(p))
		abort();
	prof_weigh(p, weight, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t how = take(&in), more = take(&in);
	struct prof_opts opts = {.lines = how & 1,
				 .split = how & 2 ? take(&in) : 0,
				 .keep = (how >> 5 & 3) | (more & PROF_KEEP_EVENTS),
				 .aborts = more & 1,
				 .states = more & 2 ? take(&in) : 0,
				 .from = more & 8 ? number(&in) : 0,
				 .to = more & 16 ? number(&in) : 0,
				 .room = more & 32 ? 1u << 14 : 0,
				 .pid = how >> 2 & 1};
	struct prof *p = prof_new(&opts);
	struct lines *l = p ? lines_new(p) : NULL;
	struct ips *ips = p ? ips_new(p, 5) : NULL;
	FILE *null = fopen("/dev/null", "w");

	int whole = !opts.aborts && !opts.states && !opts.from && !opts.to;

	if (!l || !null || !ips)
		abort();
	lines_window(l, opts.from + 1);
	while (in.left) {
		unsigned int kind = take(&in) % 28, deep = kind == EV_SAMPLE ? take(&in) % 48 : 0;
		struct ev_hdr *h;

		if (kind == EV_CODE) {
			h = code(&in);
		} else if (kind == EV_SNAPS) {
			h = snaps(&in);
		} else if (kind == EV_NATIVE) {
			h = native(&in);
		} else if (kind == EV_INLINE) {
			h = inlined(&in);
		} else if (kind >= 18 || kind == EV_SAMPLE) {
			h = (struct ev_hdr *)sample(&in, deep);
			h->kind = EV_SAMPLE;
			h->size =
			    (ev_u32)(sizeof(struct ev_sample) + deep * sizeof(struct ev_frame));
		} else {
			h = definition(&in, kind);
		}
		if (!h)
			continue;
		h->pid = take(&in) & 3;
		if (rec_check(h, h->size) &&
		    (prof_add(p, h) || lines_add(l, h) || ips_add(ips, h) ||
		     (h->kind == EV_TRACE && event(p, &in, h))))
			abort();
		free(h);
		if (how & 8 && !(take(&in) & 31)) {
			output(p, null, how);
			check_lines(l, prof_stats(p)->samples, whole);
		}
		if (how & 16 && !(take(&in) & 63)) {
			if (prof_reset(p))
				abort();
			lines_reset(l);
		}
	}
	output(p, null, how);
	check_lines(l, prof_stats(p)->samples, whole);
	if (opts.aborts && opts.keep) {
		weigh(p, &in);
		output(p, null, how);
	}
	if (how & 128)
		compare(p, null, how, opts.split, data, size);
	fclose(null);
	lines_free(l);
	ips_free(ips);
	prof_free(p);
	return 0;
}
