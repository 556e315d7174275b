// SPDX-License-Identifier: MIT
/*
 * The fold of a hostile recording's trace events: records whose sizes and strings are right, as
 * rec_check has it, and whose content is anything. Most numbers are small, so that records refer to
 * each other.
 */
#include "bpf/rec.h"
#include "jittrace/jt.h"
#include "tests/fuzz/input.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A string of the input, or one that something is made of. */
static const char *text(struct input *in, char *buf, size_t size)
{
	static const char *const known[] = {
	    "LuaJIT 2.1.0-beta3",
	    "LuaJIT 2.1.1720049189",
	    "LuaJIT 2.0.5",
	    "luajit2-20230119",
	    "801f2670f6",
	    "G21",
	    "tarantool HEAD",
	    "upstream 2.1 2024-04-19",
	    "upstream 2020-05-22",
	    "@/srv/a.lua",
	    "=name",
	    "@",
	    "0123456789012345678901234567890123456789+",
	};
	uint8_t how = take(in);
	size_t len = how & 15;

	if (how >= 0xc0)
		return known[how % (sizeof(known) / sizeof(*known))];
	if (how >= 0xb0) /* long */
		len = size - 1;
	for (size_t i = 0; i < len; i++) {
		buf[i] = (char)take(in);
		if (!buf[i])
			buf[i] = '\n';
	}
	buf[len] = '\0';
	return buf;
}

static void fill_frame(struct input *in, struct ev_frame *f)
{
	uint64_t pc = number(in);

	f->kind = take(in) % 7;
	f->addr = EV_FRAME_ADDR(number(in), pc == 15 ? EV_NO_PC : pc);
	f->line = (ev_u32)number(in);
	f->ffid = (ev_u8)number(in);
}

static struct ev_hdr *trace(struct input *in)
{
	unsigned int n = take(in) % 20;
	size_t size = sizeof(struct ev_trace) + n * sizeof(struct ev_frame);
	struct ev_trace *e = calloc(1, size);

	if (!e)
		abort();
	e->h.kind = EV_TRACE;
	e->h.size = (ev_u32)size;
	e->h.time = number(in) << (take(in) & 31);
	e->g = number(in) & 3;
	e->type = take(in) % 7;
	e->kind = take(in) % 5;
	e->trace = (ev_u32)number(in);
	e->parent = (ev_u32)number(in);
	e->exitno = (ev_u32)number(in);
	e->link = (ev_u32)number(in);
	e->linktype = take(in) % 12;
	e->cause = take(in) & 7;
	e->error = (ev_u32)number(in);
	if (e->error == 15)
		e->error = EV_ERROR_STRING;
	e->info = number(in) << (take(in) & 63);
	for (size_t i = 0; i < sizeof(e->text) && e->error == EV_ERROR_STRING; i++)
		e->text[i] = (char)take(in);
	fill_frame(in, &e->start);
	fill_frame(in, &e->end);
	fill_frame(in, &e->about);
	for (unsigned int i = 0; i < n; i++)
		fill_frame(in, &e->f[i]);
	e->nframes = (ev_u8)n;
	return &e->h;
}

/* Events that were only counted, around one of them. */
static struct ev_hdr *tally(struct input *in)
{
	struct ev_hdr *like = trace(in);
	size_t head = offsetof(struct ev_tally, like), size = head + like->size;
	struct ev_tally *t = calloc(1, size);

	if (!t)
		abort();
	memcpy(&t->like, like, like->size);
	free(like);
	t->like.h.pid = take(in) & 3;
	t->h.kind = EV_TALLY;
	t->h.size = (ev_u32)size;
	t->first = number(in) << (take(in) & 31);
	t->last = number(in) << (take(in) & 31);
	t->count = number(in) << (take(in) & 63);
	t->starts = number(in);
	t->attempts = (ev_u32)number(in);
	return &t->h;
}

static struct ev_hdr *sample(struct input *in)
{
	unsigned int n = take(in) % 20;
	size_t size = sizeof(struct ev_sample) + n * sizeof(struct ev_frame);
	struct ev_sample *s = calloc(1, size);

	if (!s)
		abort();
	s->h.kind = EV_SAMPLE;
	s->h.size = (ev_u32)size;
	s->nframes = (ev_u16)n;
	for (unsigned int i = 0; i < n; i++)
		fill_frame(in, &s->f[i]);
	return &s->h;
}

static struct ev_hdr *scan(struct input *in)
{
	unsigned int n = take(in) % 8, i;
	size_t size = sizeof(struct ev_scan) + n * sizeof(struct ev_scan_entry);
	struct ev_scan *s = calloc(1, size);

	if (!s)
		abort();
	s->h.kind = EV_SCAN;
	s->h.size = (ev_u32)size;
	s->h.time = number(in) << (take(in) & 31);
	s->g = number(in) & 3;
	s->type = take(in) % 6;
	s->trace = (ev_u32)number(in);
	s->unplaced = take(in) & 1;
	s->n = n;
	for (i = 0; i < n; i++) {
		fill_frame(in, &s->e[i].at);
		s->e[i].exitno = (ev_u32)number(in);
		s->e[i].count = take(in);
	}
	return &s->h;
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
	_Alignas(8) unsigned char fixed[512] = {0}, buf[4096];
	char strs[4][300];
	const char *list[4];
	size_t size = fixed_size(kind);
	struct ev_hdr h, *built;

	for (size_t at = sizeof(h); at < size; at += 4) {
		ev_u32 v = (ev_u32)number(in);

		memcpy(fixed + at, &v, 4);
		if (kind == EV_SYM && at < 48) /* the high half of an address */
			at += 4;
		if (kind == EV_PROTO_RAW)
			break;
	}
	for (int i = 0; i < 4; i++)
		list[i] = text(in, strs[i], sizeof(strs[i]));
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

/* All styles, into room that may be too small. */
static void format(const struct jt *jt, const struct ev_trace *ev, size_t room)
{
	char *line = malloc(JT_LINE);
	struct jt_event e;
	int len;

	if (!line)
		abort();
	for (int style = JT_PLAIN; style <= JT_JV_NUMBER; style++) {
		len = jt_format(jt, ev, (enum jt_style)style, line, JT_LINE);
		if (len < 0 || (size_t)len >= JT_LINE || strlen(line) != (size_t)len)
			abort();
		jt_format(jt, ev, (enum jt_style)style, line, room);
		if (room && memchr(line, 0, room) == NULL)
			abort();
	}
	jt_describe(jt, ev, &e);
	free(line);
}

static void format_tally(const struct jt *jt, const struct ev_tally *t, size_t room)
{
	char *line = malloc(JT_LINE);
	int len;

	if (!line)
		abort();
	len = jt_format_tally(jt, t, line, JT_LINE);
	if (len < 0 || (size_t)len >= JT_LINE || strlen(line) != (size_t)len)
		abort();
	jt_format_tally(jt, t, line, room);
	if (room && memchr(line, 0, room) == NULL)
		abort();
	free(line);
}

static void read_tables(struct jt *jt, uint64_t now)
{
	const struct jt_site *s;
	const struct jt_trace *t;
	uint64_t events = 0;
	size_t n, i;
	uint32_t f;

	s = jt_sites(jt, now, &n);
	for (i = 0; s && i < n; i++) {
		events += s[i].count;
		jt_loc_match(&s[i].at, s[i].start.file);
		for (f = 0; f < s[i].nbecause; f++)
			if (!s[i].because[f].reason || !s[i].because[f].start.key)
				abort();
		for (f = 0; f < s[i].nstack; f++)
			if (!s[i].stack[f].file || !s[i].stack[f].name)
				abort();
	}
	/* Each is in one row. */
	if (events + jt_stats(jt)->dropped_site_events + jt_stats(jt)->elsewhere !=
	    jt_stats(jt)->aborts + jt_stats(jt)->stitches + jt_stats(jt)->returns)
		abort();
	t = jt_traces(jt, &n);
	for (i = 1; t && i < n; i++)
		if (t[i].pid == t[i - 1].pid && t[i].trace < t[i - 1].trace &&
		    t[i].vm == t[i - 1].vm)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t how = take(&in);
	struct jt_opts opts = {.pid = how & 1};
	struct jt *jt = jt_new(&opts);

	if (!jt)
		abort();
	while (in.left) {
		unsigned int kind = take(&in) % 30;
		struct ev_hdr *h;

		if (kind == EV_SCAN)
			h = scan(&in);
		else if (kind == EV_TALLY)
			h = tally(&in);
		else if ((kind >= 20 && kind != EV_TABLES) || kind == EV_TRACE)
			h = trace(&in);
		else if (kind == EV_SAMPLE)
			h = sample(&in);
		else
			h = definition(&in, kind);
		if (!h)
			continue;
		h->pid = take(&in) & 3;
		if (rec_check(h, h->size)) {
			if (jt_add(jt, h))
				abort();
			if (h->kind == EV_TRACE)
				format(jt, (const struct ev_trace *)h, take(&in) & 63);
			if (h->kind == EV_TALLY)
				format_tally(jt, (const struct ev_tally *)h, take(&in) & 63);
		}
		free(h);
		if (how & 2 && !(take(&in) & 31))
			read_tables(jt, number(&in));
	}
	read_tables(jt, 0);
	jt_free(jt);
	return 0;
}
