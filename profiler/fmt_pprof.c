/* SPDX-License-Identifier: MIT */
/*
 * pprof's protocol buffer, compressed as it must be. A Profile may be cut into messages that are
 * written one after the other, so it is made in small pieces: samples first, then the locations,
 * functions and strings that they turned out to need.
 */
#include "profiler/gz.h"
#include "profiler/label.h"
#include "profiler/table.h"
#include "profiler/write.h"

#include <errno.h>
#include <inttypes.h>
#include <profile.pb-c.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 8u

struct place {
	uint32_t frame, line;
};

struct pprof {
	FILE *f;
	const struct prof *p;
	struct pool strings;   /* a number is an index of string_table */
	struct pool locations; /* places, inlined ones first; a number is the id */
	struct place *place;   /* of one location */
	uint32_t nplaces, place_cap;
	uint64_t *ids; /* of the sample's locations */
	uint32_t nids, ids_cap;
	unsigned char *packed;
	uint32_t packed_cap;
	int64_t period;
	int cpu; /* samples, which stand for CPU time too */
	int err;
};

/* Writes a piece. */
static void put(struct pprof *pp, const Pprof__Profile *piece)
{
	size_t len = pprof__profile__get_packed_size(piece);
	unsigned char *packed = table_room(pp->packed, &pp->packed_cap, len, 1);

	if (!packed) {
		pp->err = -ENOMEM;
		return;
	}
	pp->packed = packed;
	pprof__profile__pack(piece, packed);
	fwrite(packed, 1, len, pp->f);
}

static int64_t string(struct pprof *pp, const char *s)
{
	uint32_t id = *s ? pool_str(&pp->strings, s) : 0;

	if (*s && !id)
		pp->err = -ENOMEM;
	return id;
}

/* Of text that label.h has not cleaned. */
static int64_t raw_string(struct pprof *pp, const char *s)
{
	char clean[4096];

	label_clean(clean, sizeof(clean), s, 0);
	return string(pp, clean);
}

/* The id of the location that pp->place is. */
static uint64_t location(struct pprof *pp)
{
	uint32_t id = pool_add(&pp->locations, pp->place, pp->nplaces * sizeof(*pp->place));

	pp->nplaces = 0;
	if (!id)
		pp->err = -ENOMEM;
	return id;
}

static int add_place(struct pprof *pp, uint32_t frame, int32_t line)
{
	struct place *place =
	    table_room(pp->place, &pp->place_cap, (size_t)pp->nplaces + 1, sizeof(*place));

	if (!place) {
		pp->err = -ENOMEM;
		return -ENOMEM;
	}
	pp->place = place;
	place[pp->nplaces++] = (struct place){frame, (uint32_t)line};
	return 0;
}

/*
 * The locations of a stack. A line frame says where in its parent it is; a function that was
 * inlined is in the location of the one that it was inlined into.
 */
static void locate(struct pprof *pp, uint32_t stack)
{
	const struct prof_frame *line = NULL;
	uint32_t i, depth = 0;
	uint64_t *ids;

	for (i = stack; i; i = prof_parent(pp->p, i))
		depth++;
	ids = table_room(pp->ids, &pp->ids_cap, depth, sizeof(*ids));
	if (!ids && depth) {
		pp->err = -ENOMEM;
		return;
	}
	pp->ids = ids;
	pp->nids = pp->nplaces = 0;
	for (i = stack; i; i = prof_parent(pp->p, i)) {
		const struct prof_node *n = prof_stack(pp->p, i);
		const struct prof_frame *f = prof_frame(pp->p, n->frame);
		int32_t at = line ? line->line : f->kind == PROF_TRACE ? f->line : 0;

		line = f->kind == PROF_LINE ? f : NULL;
		if (line)
			continue;
		if (add_place(pp, n->frame, at))
			return;
		if (!n->inlined || !prof_parent(pp->p, i))
			ids[pp->nids++] = location(pp);
	}
}

static void number_label(Pprof__Label *label, int64_t key, int64_t n)
{
	pprof__label__init(label);
	label->key = key;
	label->num = n;
}

/* The labels of a pile; returns how many. */
static size_t put_labels(struct pprof *pp, const struct prof_pile *pile, Pprof__Label *label)
{
	const struct prof_labels *l = prof_labels(pp->p, pile->labels);
	size_t nthreads, n = 0;
	const struct prof_thread *t = &prof_threads(pp->p, &nthreads)[l->thread];

	number_label(&label[n++], string(pp, "pid"), t->pid);
	number_label(&label[n++], string(pp, "tid"), t->tid);
	if (*t->comm) {
		pprof__label__init(&label[n]);
		label[n].key = string(pp, "comm");
		label[n++].str = string(pp, t->comm);
	}
	if (l->vm)
		number_label(&label[n++], string(pp, "vm"), l->vm);
	pprof__label__init(&label[n]);
	label[n].key = string(pp, "vmstate");
	label[n++].str = string(pp, prof_state_name(l->state));
	if (l->trace)
		number_label(&label[n++], string(pp, "trace"), l->trace);
	if (*prof_phase(l->inside)) {
		pprof__label__init(&label[n]);
		label[n].key = string(pp, "phase");
		label[n++].str = string(pp, prof_phase(l->inside));
	}
	if (l->reason) {
		pprof__label__init(&label[n]);
		label[n].key = string(pp, "reason");
		label[n++].str = string(pp, prof_text(pp->p, l->reason));
	}
	return n;
}

static void put_sample(struct pprof *pp, const struct prof_pile *pile)
{
	int64_t value[2] = {(int64_t)pile->count, (int64_t)pile->count * pp->period};
	Pprof__Label label[LABELS_MAX], *labels[LABELS_MAX];
	Pprof__Profile piece = PPROF__PROFILE__INIT;
	Pprof__Sample s = PPROF__SAMPLE__INIT, *samples = &s;

	locate(pp, pile->stack);
	s.n_label = put_labels(pp, pile, label);
	for (size_t i = 0; i < s.n_label; i++)
		labels[i] = &label[i];
	if (pp->err)
		return;
	s.n_location_id = pp->nids;
	s.location_id = pp->ids;
	s.n_value = pp->cpu ? 2 : 1;
	s.value = value;
	s.label = labels;
	piece.n_sample = 1;
	piece.sample = &samples;
	put(pp, &piece);
}

static void put_location(struct pprof *pp, uint64_t id, const struct place *place, size_t n)
{
	Pprof__Profile piece = PPROF__PROFILE__INIT;
	Pprof__Location l = PPROF__LOCATION__INIT, *locations = &l;
	Pprof__Line *lines = calloc(n, sizeof(*lines)), **list = calloc(n, sizeof(*list));

	if (!lines || !list)
		pp->err = -ENOMEM;
	for (size_t i = 0; i < n && !pp->err; i++) {
		pprof__line__init(&lines[i]);
		lines[i].function_id = place[i].frame + (uint64_t)1;
		lines[i].line = place[i].line;
		list[i] = &lines[i];
	}
	l.id = id;
	l.mapping_id = 1;
	l.n_line = n;
	l.line = list;
	piece.n_location = 1;
	piece.location = &locations;
	if (!pp->err)
		put(pp, &piece);
	free(lines);
	free(list);
}

static void put_locations(struct pprof *pp)
{
	for (uint32_t id = 1; id < pp->locations.n && !pp->err; id++)
		put_location(pp, id,
			     (const struct place *)(const void *)pool_get(&pp->locations, id),
			     pp->locations.entries[id].len / sizeof(struct place));
}

/* Those of all frames: what is not needed is not in the way. */
static void put_functions(struct pprof *pp)
{
	for (uint32_t i = 0; i < prof_frames(pp->p) && !pp->err; i++) {
		const struct prof_frame *frame = prof_frame(pp->p, i);
		Pprof__Profile piece = PPROF__PROFILE__INIT;
		Pprof__Function f = PPROF__FUNCTION__INIT, *functions = &f;

		f.id = i + 1;
		f.name = f.system_name = string(pp, frame->label);
		f.filename = string(pp, frame->file);
		f.start_line = frame->line;
		piece.n_function = 1;
		piece.function = &functions;
		put(pp, &piece);
	}
}

static void put_strings(struct pprof *pp)
{
	for (uint32_t i = 0; i < (pp->strings.n ? pp->strings.n : 1) && !pp->err; i++) {
		Pprof__Profile piece = PPROF__PROFILE__INIT;
		char *s = (char *)(uintptr_t)pool_get(&pp->strings, i);

		piece.n_string_table = 1;
		piece.string_table = &s;
		put(pp, &piece);
	}
}

static void value_type(struct pprof *pp, Pprof__ValueType *v, const char *type, const char *unit)
{
	pprof__value_type__init(v);
	v->type = string(pp, type);
	v->unit = string(pp, unit);
}

static void put_head(struct pprof *pp, const struct write_info *info)
{
	const struct prof_stats *st = prof_stats(pp->p);
	Pprof__Profile piece = PPROF__PROFILE__INIT;
	Pprof__ValueType count, cpu, *types[] = {&count, &cpu};
	Pprof__Mapping m = PPROF__MAPPING__INIT, *mappings = &m;
	int64_t comments[3];
	char text[64];

	if (st->unit == PROF_LOST_MS)
		value_type(pp, &count, "lost", "milliseconds");
	else
		value_type(pp, &count, prof_unit_name(pp->p, 1), "count");
	value_type(pp, &cpu, "cpu", "nanoseconds");
	m.id = 1;
	m.filename = raw_string(pp, info->title ? info->title : "ljx");
	/* All is told: nobody needs to look for symbols. */
	m.has_functions = m.has_filenames = m.has_line_numbers = 1;
	piece.n_sample_type = pp->cpu ? 2 : 1;
	piece.sample_type = types;
	piece.n_mapping = 1;
	piece.mapping = &mappings;
	if (st->start_realtime)
		piece.time_nanos = (int64_t)(st->start_realtime + st->first_time - st->start_time);
	piece.duration_nanos = (int64_t)(st->last_time - st->first_time);
	piece.period_type = &cpu;
	piece.period = pp->period;
	piece.default_sample_type = pp->cpu ? cpu.type : count.type;
	snprintf(text, sizeof(text), "%" PRIu64 " samples lost", st->lost);
	comments[piece.n_comment++] = string(pp, text);
	if (*prof_builds(pp->p))
		comments[piece.n_comment++] = string(pp, prof_builds(pp->p));
	if (info->command)
		comments[piece.n_comment++] = raw_string(pp, info->command);
	piece.comment = comments;
	put(pp, &piece);
}

int write_pprof(FILE *f, const struct prof *p, const struct write_info *info)
{
	uint32_t rate = prof_stats(p)->rate;
	struct pprof pp = {.p = p,
			   .f = gz_fopen(f),
			   .period = 1000000000 / (rate ? rate : 1),
			   .cpu = prof_stats(p)->unit == PROF_SAMPLES};
	size_t n;
	const struct prof_pile *piles = prof_piles(p, &n);

	if (!pp.f)
		return -errno;
	put_head(&pp, info);
	for (size_t i = 0; i < n && !pp.err; i++)
		put_sample(&pp, &piles[i]);
	put_locations(&pp);
	put_functions(&pp);
	put_strings(&pp);
	errno = EIO;
	if (fclose(pp.f) && !pp.err)
		pp.err = -errno;
	pool_release(&pp.strings);
	pool_release(&pp.locations);
	free(pp.place);
	free(pp.ids);
	free(pp.packed);
	return write_end(f, pp.err);
}
