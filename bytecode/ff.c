/* SPDX-License-Identifier: MIT */
/*
 * Fast functions by number.
 *
 * Each library of LuaJIT has a stream of bytes in read-only data: the id of its first function, how
 * many functions in assembler precede it, how many keys its table gets, then items until END.
 * Writer: src/host/buildvm_lib.c, reader: src/lj_lib.c:lj_lib_register. The streams of one build
 * continue each other's ids without a gap, from 2 to the number of fast functions.
 */
#include "bytecode/ff.h"

#include "bytecode/ff_tables.h"

#include <stdbool.h>
#include <string.h>

#define N_TABLES (sizeof(ff_tables) / sizeof(*ff_tables))
#define ALL_TABLES (~0ULL >> (64 - N_TABLES))
_Static_assert(N_TABLES <= 64, "a set of tables is a uint64_t");

/* Items of a stream: src/lj_lib.h LIBINIT_*. Up to 0xbf: a function, length of its name below. */
#define LEN_MASK 0x3f
#define STRING 0xc0
#define STRING_MAX 0xf8
enum { LUA = 0xf9, SET, NUMBER, COPY, LASTCL, FFID, END };

#define FIRST_ID 2	/* src/lj_ff.h: 0 is a Lua, 1 a C function */
#define MAX_IDS 256	/* an id is a byte */
#define MAX_STREAM 8192 /* buildvm's buffer */
#define MAX_PUSHED 32	/* values pushed before a function or SET takes them */
#define MAX_STREAMS 256 /* a build has about twenty */
#define STRONG 4	/* a stream of so many names cannot be chance */
#define MIN_NAMED 100	/* fewer names of a whole build are no evidence; real ones have 180 */
#define NAME_WORK 64	/* to compare a name with all tables */

/* What a parsed stream says. */
struct stream {
	unsigned int first, end; /* ids */
	unsigned int named;	 /* functions with names */
	uint64_t agree;		 /* the set of tables that have these names at these ids */
};

struct cursor {
	const uint8_t *p, *end;
	size_t work; /* steps done, whatever their size */
};

static size_t left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

static bool skip(struct cursor *c, size_t n)
{
	c->work++;
	if (left(c) < n)
		return false;
	c->p += n;
	return true;
}

static bool get_uleb(struct cursor *c, uint32_t *out)
{
	unsigned int shift;
	uint32_t v = 0;

	c->work++;
	for (shift = 0; shift < 35 && c->p < c->end; shift += 7) {
		uint8_t b = *c->p++;

		v |= (uint32_t)(b & 0x7f) << shift;
		if (b < 0x80) {
			*out = v;
			return true;
		}
	}
	return false;
}

static bool skip_ulebs(struct cursor *c, unsigned int n)
{
	uint32_t v;

	while (n--)
		if (!get_uleb(c, &v))
			return false;
	return true;
}

/* A key or value of a constant table: src/lj_bcread.c:bcread_ktabk. */
static bool skip_ktabk(struct cursor *c)
{
	uint32_t type;

	if (!get_uleb(c, &type))
		return false;
	if (type >= 5)
		return skip(c, type - 5);	    /* string */
	return type < 3 || skip_ulebs(c, type - 2); /* integer: one, number: two */
}

/* src/lj_bcread.c:bcread_kgc. A child would need a prototype before it: there is none. */
static bool skip_kgc(struct cursor *c)
{
	uint32_t type, narray, nhash, i;

	if (!get_uleb(c, &type))
		return false;
	if (type >= 5)
		return skip(c, type - 5);
	if (type != 1)
		return type && skip_ulebs(c, type == 4 ? 4 : 2); /* complex or 64-bit integer */
	if (!get_uleb(c, &narray) || !get_uleb(c, &nhash))
		return false;
	if (narray > left(c) || nhash > left(c))
		return false;
	for (i = 0; i < narray + 2 * nhash; i++)
		if (!skip_ktabk(c))
			return false;
	return true;
}

/* A dumped prototype without debug information: src/lj_bcread.c:lj_bcread_proto. */
static bool skip_proto(struct cursor *c)
{
	uint32_t sizekgc, sizekn, sizebc, i;
	uint8_t sizeuv;

	if (left(c) < 4)
		return false;
	sizeuv = c->p[3];
	c->p += 4;
	if (!get_uleb(c, &sizekgc) || !get_uleb(c, &sizekn) || !get_uleb(c, &sizebc))
		return false;
	if (sizebc > left(c) || !skip(c, sizebc * (size_t)4 + sizeuv * (size_t)2))
		return false;
	for (i = 0; i < sizekgc; i++)
		if (!skip_kgc(c))
			return false;
	for (i = 0; i < sizekn; i++) {
		/* The lowest bit of the first byte tells a number, two words, from an integer. */
		if (!left(c) || !skip_ulebs(c, *c->p & 1 ? 2 : 1))
			return false;
	}
	return true;
}

static bool is_identifier(const uint8_t *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		uint8_t lower = s[i] | 0x20;

		if ((lower < 'a' || lower > 'z') && s[i] != '_' &&
		    (i == 0 || s[i] < '0' || s[i] > '9'))
			return false;
	}
	return len > 0;
}

/* Whether a table's name is this one, after the name of its library and a dot or alone. */
static bool name_agrees(const char *full, const uint8_t *name, size_t len)
{
	size_t n = strlen(full);

	return n >= len && !memcmp(full + n - len, name, len) &&
	       (n == len || full[n - len - 1] == '.');
}

/* Leaves those tables in the set that have that name at that id. */
static uint64_t keep_agreeing(uint64_t set, unsigned int id, const uint8_t *name, size_t len)
{
	size_t t;

	for (t = 0; t < N_TABLES; t++)
		if (set >> t & 1 &&
		    (id >= ff_tables[t].n || !name_agrees(ff_tables[t].names[id], name, len)))
			set &= ~(1ULL << t);
	return set;
}

/* State while a stream is read. */
struct parse {
	struct cursor c;
	struct stream s;
	unsigned int keys;   /* that its table has got */
	unsigned int pushed; /* values on the stack of lj_lib_register */
};

/* A function: with a name it gets a key, without one only an id. */
static bool parse_function(struct parse *ps, size_t len)
{
	struct cursor *c = &ps->c;

	if (len && (left(c) < len || !is_identifier(c->p, len)))
		return false;
	if (len) {
		c->work += ps->s.agree ? NAME_WORK : len;
		ps->s.agree = keep_agreeing(ps->s.agree, ps->s.end, c->p, len);
		ps->s.named++;
		ps->keys++;
		c->p += len;
	}
	ps->s.end++;
	ps->pushed = 0;
	return true;
}

static bool parse_lua(struct parse *ps)
{
	size_t len = left(&ps->c) ? *ps->c.p : 0;

	if (!skip(&ps->c, 1 + len) || !is_identifier(ps->c.p - len, len))
		return false;
	ps->keys++;
	return skip_proto(&ps->c);
}

static bool parse_item(struct parse *ps, uint8_t tag)
{
	if (tag < STRING)
		return parse_function(ps, tag & LEN_MASK);
	if (tag <= STRING_MAX) {
		ps->pushed++;
		return skip(&ps->c, tag & LEN_MASK);
	}
	switch (tag) {
	case LUA:
		return parse_lua(ps);
	case SET:
		ps->keys++;
		ps->pushed -= ps->pushed < 2 ? ps->pushed : 2;
		return true;
	case FFID:
		ps->s.end++;
		return true;
	case NUMBER:
		ps->pushed++;
		return skip(&ps->c, sizeof(double));
	case COPY:
		ps->pushed++;
		return skip(&ps->c, 1);
	default: /* LASTCL */
		ps->pushed++;
		return true;
	}
}

/* Reads a stream at the cursor; false: there is none. Moves the cursor in either case. */
static bool parse_stream(struct parse *ps)
{
	const uint8_t *head = ps->c.p;
	unsigned int keys = head[2];

	ps->s.first = ps->s.end = head[0];
	ps->c.p += 3;
	while (left(&ps->c)) {
		uint8_t tag = *ps->c.p++;

		ps->c.work++;
		if (tag == END)
			return ps->keys == keys && ps->s.named;
		if (!parse_item(ps, tag) || ps->keys > keys || ps->s.end > MAX_IDS ||
		    ps->pushed > MAX_PUSHED)
			return false;
	}
	return false;
}

struct scan {
	struct stream streams[MAX_STREAMS];
	size_t n;
	uint64_t agree;	      /* tables that all strong streams agree with */
	unsigned int n_named; /* names in strong streams */
};

/* False: too many. */
static bool keep_stream(struct scan *sc, const struct stream *s)
{
	size_t i;

	if (s->named >= STRONG) {
		sc->agree &= s->agree;
		sc->n_named += s->named;
	}
	/* A short one that fits nowhere is chance, not a stream. */
	if (!s->agree)
		return true;
	for (i = 0; i < sc->n; i++)
		if (sc->streams[i].first == s->first && sc->streams[i].end == s->end &&
		    sc->streams[i].named == s->named && sc->streams[i].agree == s->agree)
			return true;
	if (sc->n == MAX_STREAMS)
		return false;
	sc->streams[sc->n++] = *s;
	return true;
}

/* Whether a stream may begin here: its header, and its first item (four bytes and one more). */
static bool plausible(const uint8_t *p)
{
	/* Before the first id there are not so many functions in assembler; the table has keys. */
	if (p[0] < FIRST_ID || p[1] > p[0] - FIRST_ID || !p[2] || p[3] == END)
		return false;
	return p[3] >= STRING || !(p[3] & LEN_MASK) || is_identifier(p + 4, 1);
}

/*
 * Finds all streams. Tries each byte, as nothing aligns them surely; header and first item turn
 * nearly all down. The budget keeps the work on hostile data linear; real files take up to two
 * steps per byte. False: it ran out, or there are too many streams.
 */
static bool find_streams(struct scan *sc, const uint8_t *data, size_t len)
{
	size_t budget = 4 * len + 65536, i;

	for (i = 0; i + 4 < len; i++) {
		size_t max = len - i < MAX_STREAM ? len - i : MAX_STREAM;
		struct parse ps;

		if (!plausible(data + i))
			continue;
		ps = (struct parse){.c = {data + i, data + i + max, 0}, .s = {.agree = ALL_TABLES}};
		if (parse_stream(&ps) && !keep_stream(sc, &ps.s))
			return false;
		if (ps.c.work > budget)
			return false;
		budget -= ps.c.work;
	}
	return true;
}

/* Names in the streams that make up table t, from its first id to its last; 0: they do not. */
static unsigned int chain(const struct scan *sc, size_t t)
{
	unsigned int named[MAX_IDS + 1] = {0}, id;
	bool reached[MAX_IDS + 1] = {0};
	size_t i;

	reached[FIRST_ID] = true;
	for (id = FIRST_ID; id < ff_tables[t].n; id++) {
		for (i = 0; reached[id] && i < sc->n; i++) {
			const struct stream *s = &sc->streams[i];
			unsigned int sum = named[id] + s->named;

			if (s->first != id || !(s->agree >> t & 1) || s->end == id)
				continue;
			reached[s->end] = true;
			if (sum > named[s->end])
				named[s->end] = sum;
		}
	}
	return reached[ff_tables[t].n] ? named[ff_tables[t].n] : 0;
}

const struct ff_table *ff_choose(const void *rodata, size_t len, uint32_t *n_named)
{
	struct scan sc = {.agree = ALL_TABLES};
	const struct ff_table *found = NULL;
	unsigned int best = 0;
	size_t t;

	*n_named = 0;
	if (!find_streams(&sc, rodata, len))
		return NULL;
	*n_named = sc.n_named;
	for (t = 0; t < N_TABLES; t++) {
		unsigned int named = sc.agree >> t & 1 ? chain(&sc, t) : 0;

		/* One table may continue another: then the longer chain explains more. */
		if (named < MIN_NAMED || named < best)
			continue;
		/* Two may differ only where no stream has a name: no telling. */
		found = named == best ? NULL : &ff_tables[t];
		best = named;
	}
	if (found)
		*n_named = best;
	return found;
}

const struct ff_table *ff_all(size_t *n)
{
	*n = N_TABLES;
	return ff_tables;
}

const struct ff_table *ff_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < N_TABLES; i++)
		if (!strcmp(ff_tables[i].name, name))
			return &ff_tables[i];
	return NULL;
}

const char *ff_name(const struct ff_table *t, uint32_t id)
{
	return t && id < t->n ? t->names[id] : NULL;
}
