// SPDX-License-Identifier: MIT
/* The head of the view: meters, quality, what to fix first. */
#include "tui/ui.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *brief;
	char letter;
	enum grid_role role;
} meters[] = {{"Compiled", "N", 'N', ROLE_N},
	      {"Interp", "I", 'I', ROLE_I},
	      {"C code", "C", 'C', ROLE_C},
	      {"GC", "G", 'G', ROLE_G},
	      {"JIT comp", "J", 'J', ROLE_J}};

/* "1.3k", "31.4", "118". */
static const char *number(double v, char buf[16])
{
	if (v >= 1e6)
		snprintf(buf, 16, "%.1fM", v / 1e6);
	else if (v >= 1e4)
		snprintf(buf, 16, "%.1fk", v / 1e3);
	else if (v >= 100 || v < 0.05)
		snprintf(buf, 16, "%.0f", v);
	else
		snprintf(buf, 16, "%.1f", v);
	return buf;
}

/* Events a second: of the last 10 s, or of the whole recording. */
struct rates {
	double stops, aborts, nyi, stitches;
};

static struct rates rates(const struct ui *u)
{
	const struct model_picture *pic = &u->m->pic;
	double s = pic->seconds >= 1 ? pic->seconds : 1;
	struct model_second r;
	unsigned int n = s < 10 ? (unsigned int)s : 10;

	if (!pic->query.recent || u->opts.file) {
		n = pic->age < MODEL_TIMELINE - 1 ? (unsigned int)pic->age : MODEL_TIMELINE - 1;
	}
	n = n ? n : 1;
	r = model_rate(pic, n);
	return (struct rates){r.stops / (double)n, r.aborts / (double)n, r.nyi / (double)n,
			      r.stitches / (double)n};
}

struct mcode_use {
	uint64_t used, room, most;	 /* bytes: of live traces, of areas, the limit */
	uint32_t live, flushes, retried; /* retried: exits where side traces are attempted */
	int off;			 /* VMs with the JIT off */
};

static struct mcode_use mcode(const struct ui *u)
{
	const struct model_picture *pic = &u->m->pic;
	struct mcode_use c = {.used = 0};
	size_t i;

	for (i = 0; i < pic->nvms; i++) {
		const struct jt_vm_info *v = &pic->vms[i];

		if (u->query.pid != PICK_ALL &&
		    (v->pid != u->query.pid || (u->query.g && v->g != u->query.g)))
			continue;
		c.used += v->szmcode;
		c.room += v->szallmcarea;
		c.live += v->traces;
		c.flushes += v->epoch;
		c.off += v->time && !v->on;
		if (v->nparams)
			c.most += (uint64_t)v->param[v->nparams - 1] * 1024; /* maxmcode */
	}
	for (i = 0; i < pic->ntraces; i++)
		if (u->query.pid == PICK_ALL || pic->traces[i].pid == u->query.pid)
			c.retried += pic->traces[i].nretrying;
	return c;
}

static const char *size_text(uint64_t bytes, char buf[16])
{
	if (bytes >= 1u << 20)
		snprintf(buf, 16, "%.1f MB", (double)bytes / (1u << 20));
	else
		snprintf(buf, 16, "%.0f KB", (double)bytes / 1024);
	return buf;
}

static void draw_bar(struct grid *g, int x, int y, int width, enum grid_role role, double percent)
{
	int n = (int)(percent * width / 100 + 0.5);

	if (!n && percent > 0.5)
		n = 1;
	grid_fill(g, x, y, n < width ? n : width, role, '|', '|');
}

/* The right half of a line of meters. */
static void draw_fact(struct ui *u, struct grid *g, int x, int y, int i)
{
	struct rates r = rates(u);
	struct mcode_use c = mcode(u);
	const struct model_picture *pic = &u->m->pic;
	int w = g->w - x - 1;
	char a[16], b[16], d[16];

	switch (i) {
	case 0:
		grid_printf(g, x, y, w, ROLE_NORMAL, "Traces    %u live  +%s/s  %u flush%s", c.live,
			    number(r.stops, a), c.flushes, c.flushes == 1 ? "" : "es");
		break;
	case 1:
		x = grid_printf(g, x, y, w, ROLE_NORMAL, "Aborts    %s/s   NYI %s/s",
				number(r.aborts, a), number(r.nyi, b));
		if (w >= 42)
			grid_printf(g, x, y, w, ROLE_NORMAL, "  other %s/s",
				    number(r.aborts - r.nyi, d));
		break;
	case 2:
		grid_printf(g, x, y, w,
			    u->join->black_loops + u->join->black_funcs ? ROLE_WARN : ROLE_NORMAL,
			    w >= 42 ? "Blacklist %u loop%s, %u func%s   Stitch %s/s"
				    : "Blacklist %u loop%s, %u func%s",
			    u->join->black_loops, u->join->black_loops == 1 ? "" : "s",
			    u->join->black_funcs, u->join->black_funcs == 1 ? "" : "s",
			    number(r.stitches, a));
		break;
	case 3:
		if (c.off)
			grid_printf(g, x, y, w, ROLE_ALERT, "JIT       off in %d of %zu VMs", c.off,
				    pic->nvms);
		else
			grid_printf(g, x, y, w, u->join->exits ? ROLE_WARN : ROLE_NORMAL,
				    "Exits     %u retried, %u given up", c.retried, u->join->exits);
		break;
	default:
		x = grid_printf(g, x, y, w, ROLE_NORMAL, "Mcode     %s of %s", size_text(c.used, a),
				c.most ? size_text(c.most, b) : "?");
		if (c.most && g->w - x > 16) {
			draw_bar(g, x + 2, y, 10, ROLE_NORMAL, percent_of(c.used, c.most));
			grid_printf(g, x + 13, y, 6, ROLE_NORMAL, "%3.0f%%",
				    percent_of(c.used, c.most));
		}
		break;
	}
}

static void draw_meters(struct ui *u, struct grid *g, int y)
{
	const struct pick_sum *s = &u->m->pic.sum;
	int half = g->w / 2 - 2, width = half - 20, i;

	for (i = 0; i < 5; i++) {
		double p = percent_of(s->by[i], s->samples);

		grid_printf(g, 1, y + i, 10, ROLE_NORMAL, "%-9s", meters[i].name);
		grid_fill(g, 11, y + i, 1, meters[i].role, (uint32_t)meters[i].letter,
			  meters[i].letter);
		draw_bar(g, 13, y + i, width, meters[i].role, p);
		grid_printf(g, half - 6, y + i, 7, ROLE_NORMAL, "%5.1f%%", p);
		draw_fact(u, g, half + 4, y + i, i);
	}
}

/* All in one line, where there is no room. */
static void draw_brief(struct ui *u, struct grid *g, int y)
{
	const struct pick_sum *s = &u->m->pic.sum;
	struct rates r = rates(u);
	char a[16];
	int x = 1, i;

	for (i = 0; i < 5; i++)
		x = grid_printf(g, x, y, 8, meters[i].role, "%s%.0f", meters[i].brief,
				percent_of(s->by[i], s->samples)) +
		    1;
	grid_printf(g, x, y, g->w - x - 1, ROLE_NORMAL, "| ab %s/s  tr %u  bl %u",
		    number(r.aborts, a), mcode(u).live,
		    u->join->black_loops + u->join->black_funcs);
}

void draw_quality_line(struct ui *u, struct grid *g, int y)
{
	const struct model_picture *pic = &u->m->pic;
	const struct pick_sum *s = &pic->sum;
	size_t vms = 0, i;
	double cpus = pic->prof.rate && pic->seconds > 0.1
			  ? (double)s->samples / pic->prof.rate / pic->seconds
			  : 0,
	       bad = percent_of(s->no_lua, s->samples);
	uint64_t lost = pic->lost;
	int x = 1, brief = g->w < 76;
	char own[32] = "";

	for (i = 0; i < pic->nvms; i++)
		vms += u->query.pid == PICK_ALL || (pic->vms[i].pid == u->query.pid &&
						    (!u->query.g || pic->vms[i].g == u->query.g));
	if (pic->own_cpu >= 0)
		snprintf(own, sizeof(own), "  ljx cpu %.1f%%", pic->own_cpu);
	if (!brief)
		x = grid_printf(g, x, y, 44, ROLE_DIM, "CPU %.2f of %zu VM%s   samples %llu", cpus,
				vms, vms == 1 ? "" : "s", (unsigned long long)s->samples) +
		    2;
	x = grid_printf(g, x, y, 24, lost ? ROLE_WARN : ROLE_DIM, "lost %llu",
			(unsigned long long)lost) +
	    2;
	x = grid_printf(g, x, y, 30, bad > 5 ? ROLE_WARN : ROLE_DIM,
			brief ? "unres %.1f%%" : "no Lua stack %.1f%%", bad);
	x = grid_text(g, x, y, g->w - x - 1, ROLE_DIM, own);
	if (pic->capture.lost_traces)
		grid_printf(g, x + 2, y, g->w - x - 3, ROLE_WARN, "lost events %llu",
			    (unsigned long long)pic->capture.lost_traces);
	else if (pic->live && !pic->seconds)
		grid_text(g, x + 2, y, g->w - x - 3, ROLE_DIM, "waiting for samples");
}

int draw_header(struct ui *u, struct grid *g, int compact)
{
	const struct list *l = &u->list[u->screen];
	const struct advice *a = &u->advice;
	int y = 1, here = l->cursor < 0;

	if (compact) {
		draw_brief(u, g, y++);
	} else {
		draw_meters(u, g, y);
		y += 5;
	}
	draw_quality_line(u, g, y++);
	grid_printf(g, 1, y, 2, a->warn ? ROLE_ALERT : ROLE_GOOD, "%c", a->warn ? '!' : '*');
	grid_text(g, 3, y, g->w - (here ? 12 : 4), a->warn ? ROLE_WARN : ROLE_NORMAL, a->text);
	if (here) {
		grid_text(g, g->w - 8, y, 8, ROLE_KEY, "[Enter]");
		grid_role(g, 0, y, g->w, ROLE_SELECTED);
	}
	return y + 1;
}
