// SPDX-License-Identifier: MIT
/*
 * The machine code of a trace, over a screen, with the samples of each instruction; and how much of
 * a trace's time goes to its loop. Both read the target's memory, so a recording has neither.
 */
#include "bpf/mcode.h"
#include "bytecode/jitnames.h"
#include "profiler/table.h"
#include "tui/ui.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOPS_MAX 20000u /* traces whose loop is remembered */

struct machine {
	struct mcode code;
	struct jt_trace t; /* numbers only: its strings are not kept */
	uint64_t *hits;	   /* samples, of each instruction */
	uint64_t samples;  /* of all */
	char title[UI_TEXT], why[UI_TEXT];
	struct map loops; /* of looping traces: offset of the loop + 1; MCODE_NONE: unknown */
};

static struct machine *machine(struct ui *u)
{
	if (!u->machine)
		u->machine = calloc(1, sizeof(*u->machine));
	return u->machine;
}

static void forget(struct machine *m)
{
	mcode_release(&m->code);
	free(m->hits);
	m->hits = NULL;
	m->samples = 0;
	*m->why = '\0';
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	forget(m);
	map_release(&m->loops);
	free(m);
}

static const struct ips_hit *hits_of(const struct ui *u, const struct jt_trace *t, size_t *n)
{
	return ips_get(u->m->ips, t->pid, t->g, t->trace, n);
}

/* ---- the share of the loop ---- */

static uint64_t key_of(const struct jt_trace *t)
{
	return ((uint64_t)t->pid << 40 ^ (uint64_t)t->epoch << 20 ^ t->trace) *
		   UINT64_C(0x9e3779b97f4a7c15) ^
	       t->mcode;
}

/* Where its loop begins; MCODE_NONE: not known. Code is read once, while it is there. */
static uint32_t loop_of(struct ui *u, struct machine *m, const struct jt_trace *t)
{
	uint32_t at = map_get(&m->loops, key_of(t)), loop = MCODE_NONE;
	uint64_t mcode;

	if (!ips_code(u->m->ips, t->pid, t->g, t->trace, &mcode, &loop) && mcode == t->mcode)
		return loop ? loop : MCODE_NONE;
	loop = MCODE_NONE;
	if (at)
		return at == MCODE_NONE ? MCODE_NONE : at - 1;
	if (!u->opts.read || *u->ended || u->paused)
		return MCODE_NONE;
	if (mcode_loop(u->opts.read, (int)t->pid, t->mcode, t->szmcode, &loop))
		loop = MCODE_NONE;
	if (m->loops.n >= LOOPS_MAX) {
		map_release(&m->loops);
		memset(&m->loops, 0, sizeof(m->loops));
	}
	/* Without memory it is read again. */
	if (map_set(&m->loops, key_of(t), loop == MCODE_NONE ? MCODE_NONE : loop + 1))
		return loop;
	return loop;
}

double machine_loop_share(struct ui *u, const struct jt_trace *t)
{
	struct machine *m = machine(u);
	const struct ips_hit *h;
	uint64_t in = 0, all = 0;
	uint32_t loop;
	size_t n, i;

	if (!m || t->linktype != LINK_LOOP || !t->mcode || !t->szmcode)
		return -1;
	h = hits_of(u, t, &n);
	loop = n ? loop_of(u, m, t) : MCODE_NONE;
	if (loop == MCODE_NONE)
		return -1;
	for (i = 0; i < n; i++) {
		if (h[i].ip - t->mcode >= t->szmcode)
			continue;
		all += h[i].samples;
		in += h[i].ip - t->mcode >= loop ? h[i].samples : 0;
	}
	return all ? percent_of(in, all) : -1;
}

/* ---- the code ---- */

/* Is it still there, by what came since the picture was taken? */
static int lives(const struct ui *u, const struct jt_trace *t)
{
	const struct jt_trace *now;
	size_t n, i;

	now = jt_traces(u->m->jt, &n);
	for (i = 0; now && i < n; i++)
		if (now[i].pid == t->pid && now[i].vm == t->vm && now[i].trace == t->trace &&
		    now[i].epoch == t->epoch && now[i].mcode == t->mcode)
			return 1;
	return 0;
}

static int count_hits(const struct ui *u, struct machine *m)
{
	const struct ips_hit *h;
	size_t n, i, k = 0;

	m->hits = calloc(m->code.n + 1, sizeof(*m->hits));
	if (!m->hits)
		return -ENOMEM;
	h = hits_of(u, &m->t, &n);
	for (i = 0; i < n; i++) {
		uint64_t off = h[i].ip - m->code.addr;

		if (off >= m->code.size)
			continue;
		while (k + 1 < m->code.n && m->code.ins[k + 1].off <= off)
			k++;
		m->hits[k] += h[i].samples;
		m->samples += h[i].samples;
	}
	return 0;
}

static void read_code(struct ui *u, struct machine *m, const struct jt_trace *t)
{
	int err;

	if (!t->mcode || !t->szmcode)
		snprintf(m->why, UI_TEXT, "where its code is did not come through");
	else if (!u->opts.read)
		snprintf(m->why, UI_TEXT,
			 "a recording has no machine code: this needs the live process");
	else if (*u->ended)
		snprintf(m->why, UI_TEXT, "the process is gone, and its machine code with it");
	else if (!lives(u, t))
		snprintf(m->why, UI_TEXT, "the trace was thrown away meanwhile");
	if (*m->why)
		return;
	err = mcode_read(u->opts.read, (int)t->pid, t->mcode, t->szmcode, &m->code);
	if (!err)
		err = count_hits(u, m);
	if (err)
		snprintf(m->why, UI_TEXT, "its machine code cannot be read: %s", strerror(-err));
}

unsigned int machine_open(struct ui *u, const struct jt_trace *t)
{
	struct machine *m = machine(u);
	char from[48];

	if (!m)
		return UI_DRAW;
	if (!t) {
		ui_message(u, u->screen == 2 ? "no trace is chosen" : "no trace covers this line");
		return UI_DRAW;
	}
	forget(m);
	trace_from_text(t, from);
	snprintf(m->title, UI_TEXT, "Machine code of trace %u  %.120s %s", t->trace,
		 short_place(&t->start, 0), from);
	m->t = *t;
	read_code(u, m, t);
	u->over = ON_MACHINE;
	u->over_top = 0;
	return UI_DRAW;
}

/* The line that marks the loop stands before this instruction; behind all: there is none. */
static size_t mark_of(const struct machine *m)
{
	size_t i = 0;

	while (i < m->code.n && (m->code.loop == MCODE_NONE || m->code.ins[i].off < m->code.loop))
		i++;
	return i;
}

void machine_hottest(struct ui *u)
{
	const struct machine *m = u->machine;
	size_t i, best = 0;

	for (i = 0; i < m->code.n; i++)
		if (m->hits[i] > m->hits[best])
			best = i;
	best += best >= mark_of(m);
	u->over_top = best > 3 ? (long)best - 3 : 0;
}

/* ---- drawing ---- */

/* Where a jump or call leads to, as far as that is known. */
static void target_text(const struct ui *u, const struct machine *m, const struct mcode_ins *i,
			char buf[UI_TEXT])
{
	const struct model_picture *pic = &u->m->pic;
	size_t k;

	*buf = '\0';
	if (i->exitno != MCODE_NONE) {
		snprintf(buf, UI_TEXT, "-> exit %u", i->exitno);
		return;
	}
	if (i->target == m->code.addr + m->code.loop && m->code.loop != MCODE_NONE)
		snprintf(buf, UI_TEXT, "-> loop");
	else if (i->target - m->code.addr < m->code.size)
		snprintf(buf, UI_TEXT, "-> +%04llx",
			 (unsigned long long)(i->target - m->code.addr));
	for (k = 0; i->target && k < pic->ntraces; k++)
		if (pic->traces[k].mcode == i->target && pic->traces[k].pid == m->t.pid &&
		    pic->traces[k].trace != m->t.trace)
			snprintf(buf, UI_TEXT, "-> trace %u", pic->traces[k].trace);
}

static void draw_ins(const struct ui *u, struct grid *g, int x, int y, int w, size_t at)
{
	const struct machine *m = u->machine;
	const struct mcode_ins *i = &m->code.ins[at];
	double p = percent_of(m->hits[at], m->samples);
	char to[UI_TEXT];

	if (m->hits[at])
		grid_printf(g, x, y, 6,
			    p >= 5   ? ROLE_ALERT
			    : p >= 1 ? ROLE_WARN
				     : ROLE_NORMAL,
			    "%6.1f", p);
	grid_printf(g, x + 8, y, 6, ROLE_DIM, "+%04x", i->off);
	target_text(u, m, i, to);
	x = grid_text(g, x + 15, y, w - 15, m->hits[at] ? ROLE_NORMAL : ROLE_DIM, i->text);
	grid_text(g, x + 2, y, g->w - x - 4, ROLE_N, to);
}

static void draw_sum(struct ui *u, struct grid *g, int x, int y, int w)
{
	const struct machine *m = u->machine;
	double loop = machine_loop_share(u, &m->t);
	char text[64] = "";

	if (loop >= 0)
		snprintf(text, sizeof(text), ", %.0f%% of them in its loop", loop);
	else if (m->code.loop == MCODE_NONE)
		snprintf(text, sizeof(text), ", it does not loop");
	grid_printf(g, x, y, w, ROLE_NORMAL, "%u bytes at 0x%llx, %zu instructions; %llu samples%s",
		    m->code.size, (unsigned long long)m->code.addr, m->code.n,
		    (unsigned long long)m->samples, text);
}

void machine_draw(struct ui *u, struct grid *g)
{
	const struct machine *m = u->machine;
	size_t mark = mark_of(m), lines = m->code.n + (mark < m->code.n), at;
	int x, y, w = g->w, h = *m->why ? 5 : g->h, rows, i;

	draw_box(g, &x, &y, &w, &h, m->title);
	if (*m->why) {
		draw_wrapped(g, x, y, w, h, ROLE_WARN, m->why);
		return;
	}
	draw_sum(u, g, x, y++, w);
	grid_text(g, x, y++, w, ROLE_HEAD, " SELF%  OFFSET INSTRUCTION");
	rows = h - 2;
	if (u->over_top > (long)lines - rows)
		u->over_top = (long)lines > rows ? (long)lines - rows : 0;
	for (i = 0; i < rows && (size_t)(u->over_top + i) < lines; i++) {
		at = (size_t)(u->over_top + i);
		if (at == mark)
			grid_text(g, x + 8, y + i, w - 8, ROLE_N, "------ loop:");
		else
			draw_ins(u, g, x, y + i, w, at - (at > mark));
	}
}
