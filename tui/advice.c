// SPDX-License-Identifier: MIT
/* The one sentence that says what is the most expensive thing to fix now. */
#include "tui/ui.h"

#include <stdlib.h>
#include <string.h>

#define WORTH 1.0 /* percent of the CPU; less is not worth a warning */

static const char *base(const char *file)
{
	const char *slash = *file == '[' ? NULL : strrchr(file, '/');

	return slash ? slash + 1 : file;
}

/* "decode (json.lua:40)" */
static void name_of(const struct jt_loc *loc, char buf[160])
{
	if (*loc->file == '[' && strlen(loc->file) > 30)
		snprintf(buf, 160, "%.24s...\"]:%d", loc->file, loc->firstline);
	else if (*loc->name)
		snprintf(buf, 160, "%.70s (%.70s:%d)", loc->name, base(loc->file), loc->firstline);
	else
		snprintf(buf, 160, "%.120s:%d", base(loc->file), loc->firstline);
}

static const struct jt_site *most_expensive(const struct ui *u, double *cost)
{
	const struct model_picture *pic = &u->m->pic;
	const struct jt_site *best = NULL;
	size_t i;

	*cost = WORTH;
	for (i = 0; i < pic->nsites; i++) {
		double c = join_cost(&pic->sites[i], pic->query.recent);

		if (c >= *cost && !join_is_harmless(&pic->sites[i]) &&
		    pic->sites[i].start.kind == JT_LOC_LUA) {
			*cost = c;
			best = &pic->sites[i];
		}
	}
	return best;
}

static void say_site(const struct jt_site *s, double cost, struct advice *out)
{
	char who[160], at[48] = "", why[128];

	name_of(&s->start, who);
	if (!strncmp(s->reason, "NYI: bytecode ", 14))
		snprintf(why, sizeof(why), "NYI %.90s", s->reason + 14);
	else
		snprintf(why, sizeof(why), "%.90s", s->reason);
	if (s->at.kind == JT_LOC_LUA && s->at.line)
		snprintf(at, sizeof(at), " at :%u", s->at.line);
	if (s->kind == JT_SITE_STITCH)
		snprintf(
		    out->text, sizeof(out->text),
		    "%.0f%% of CPU goes through %.60s, which %s calls%s and traces cannot hold",
		    cost, s->subject, who, at);
	else if (s->state == JT_STATE_BLACKLISTED || s->state == JT_STATE_INTERP)
		snprintf(out->text, sizeof(out->text),
			 "%.0f%% of CPU is not compiled because %s was given up: %s%s", cost, who,
			 why, at);
	else
		snprintf(out->text, sizeof(out->text),
			 "%.0f%% of CPU is not compiled because %s keeps aborting: %s%s", cost, who,
			 why, at);
	out->warn = 1;
	out->screen = 1;
	place_of_loc(&out->place, &s->start);
}

/* The Lua function with most samples in a group of states; group < 0: in any. */
static int hottest(const struct ui *u, int group, struct pick_row *out)
{
	const struct pick_row *best = NULL;
	uint64_t most = 0;
	size_t i;

	for (i = 0; i < u->nflat; i++) {
		const struct pick_row *r = &u->flat[i];
		uint64_t w = group < 0 ? r->self : r->by[group];

		if (w > most && prof_frame(u->m->prof, r->frame)->kind == PROF_LUA) {
			most = w;
			best = r;
		}
	}
	if (best)
		*out = *best;
	return best != NULL;
}

static void say_class(struct ui *u, int class, const char *what, struct advice *out)
{
	const struct pick_sum *s = &u->m->pic.sum;
	struct pick_row row;

	snprintf(out->text, sizeof(out->text), "%.0f%% of CPU is %s",
		 percent_of(s->by[class], s->samples), what);
	out->warn = 1;
	if (hottest(u, class, &row)) {
		size_t len = strlen(out->text);

		snprintf(out->text + len, sizeof(out->text) - len, ", most of it in %.120s",
			 prof_frame(u->m->prof, row.frame)->label);
		place_of_frame(u, &out->place, row.frame, 0);
	}
}

void advice_make(struct ui *u, struct advice *out)
{
	const struct pick_sum *s = &u->m->pic.sum;
	const struct jt_site *site;
	struct pick_row row;
	double cost;

	memset(out, 0, sizeof(*out));
	out->place.frame = PICK_ALL;
	site = most_expensive(u, &cost);
	if (!s->samples) {
		snprintf(out->text, sizeof(out->text), "%s",
			 !u->m->pic.live || *u->ended ? "no samples"
			 : u->m->pic.seconds < 2
			     ? "no samples so far"
			     : "no samples: the target uses no CPU. Send it load");
		out->screen = 5;
		return;
	}
	if (percent_of(s->by[PROF_GROUP_J], s->samples) > (site ? cost : 5)) {
		say_class(u, PROF_GROUP_J, "the JIT compiler at work", out);
		out->screen = 2;
	} else if (site) {
		say_site(site, cost, out);
	} else if (percent_of(s->by[PROF_GROUP_G], s->samples) > 25) {
		say_class(u, PROF_GROUP_G, "garbage collection", out);
		out->screen = 3;
	} else if (!hottest(u, -1, &row)) {
		snprintf(out->text, sizeof(out->text), "nothing aborts that costs much%s",
			 u->query.only == PROF_GROUP_MAX ? ""
							 : "; no Lua function in this state (s)");
		out->screen = 5;
	} else {
		snprintf(out->text, sizeof(out->text),
			 "nothing aborts that costs much; hottest is %.120s with %.0f%%",
			 prof_frame(u->m->prof, row.frame)->label,
			 percent_of(row.self, s->samples));
		place_of_frame(u, &out->place, row.frame, 0);
		out->screen = 3;
	}
}
