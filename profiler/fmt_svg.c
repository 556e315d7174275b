/* SPDX-License-Identifier: MIT */
/*
 * The flame graph. All positions, colours and texts are in the file as they are to be seen, so that
 * viewers without scripts show it right; svg.js makes it move. Numbers are formatted from
 * integers, because a locale may have a decimal comma.
 */
#include "profiler/label.h"
#include "profiler/svg.h"
#include "profiler/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 1200u
#define PAD 10u
#define ROW 18u
#define TOP 118u /* of the first frame, below the head; with a line for colours more */
#define COLOURS 18u
#define MIN_SHARE 1000u	 /* what is narrower than 1/1000 of all is not drawn */
#define MAX_LEVELS 1024u /* nor is what is deeper */

/* It stands in CDATA, so the end mark of that must not occur in it. */
static const char script[] =
#include <profiler/svg.js.h>
    ;

/* Of a walk's step, in samples from the left. */
enum { START, NEXT_CHILD };

void svg_escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\'':
			fputs("&#39;", f);
			break;
		default:
			putc(*s, f);
		}
	}
}

void svg_percent(char out[32], uint64_t n, uint64_t total)
{
	uint64_t tenths = total ? (uint64_t)((double)n * 1000 / (double)total + 0.5) : 0;

	snprintf(out, 32, "%" PRIu64 ".%u%%", tenths / 10, (unsigned int)(tenths % 10));
}

/* Where the frames begin: a comparison can be coloured by nothing else. */
static uint32_t top_of(const struct picture *pic)
{
	return prof_is_diff(pic->p) ? TOP : TOP + COLOURS;
}

/* Pixels from the left of what is n samples from the left, in 1/100. */
static uint64_t to_x(const struct picture *pic, uint64_t n)
{
	return PAD * 100 + (uint64_t)((double)n * (WIDTH - 2 * PAD) * 100 / (double)pic->total);
}

static void put_px(FILE *f, const char *attribute, uint64_t hundredths)
{
	fprintf(f, " %s=\"%" PRIu64 ".%02u\"", attribute, hundredths / 100,
		(unsigned int)(hundredths % 100));
}

/* Cells that a character takes in a fixed-width font; the script has the same ranges. */
static unsigned int cells(uint32_t cp)
{
	return cp >= 0x1100 && (cp < 0x1160 || (cp >= 0x2e80 && cp < 0xa4d0) ||
				(cp >= 0xac00 && cp < 0xd7a4) || (cp >= 0xf900 && cp < 0xfb00) ||
				(cp >= 0xfe30 && cp < 0xfe70) || (cp >= 0xff00 && cp < 0xff61) ||
				(cp >= 0x1f300 && cp < 0x1fb00) || cp >= 0x20000)
		   ? 2
		   : 1;
}

uint32_t svg_width(const char *s)
{
	uint32_t width = 0, cp = 0;
	size_t len;

	for (; *s && (len = label_utf8(s, &cp)); s += len)
		width += cells(cp);
	return width;
}

void svg_clip(char *out, size_t size, const char *s, uint64_t room)
{
	size_t cut = 0, at = 0, len;
	uint64_t used = 0;
	uint32_t cp = 0;

	for (; s[at] && (len = label_utf8(s + at, &cp)) && at + len < size - 2; at += len) {
		used += cells(cp);
		if (used + 2 <= room)
			cut = at + len;
	}
	if (used <= room && !s[at])
		cut = at;
	memcpy(out, s, cut);
	strcpy(out + cut, used <= room && !s[at] ? "" : room < 3 ? "" : "..");
	if (used > room && room < 3)
		out[0] = '\0';
}

/* How the samples of the node split by state, and what the aborts of its frame cost. */
static void put_groups(const struct picture *pic, const struct prof_node *n)
{
	static const char *const names[] = {
#define GROUP_NAME(letter, text, states) #letter " " text,
	    PROF_GROUPS(GROUP_NAME)
#undef GROUP_NAME
	};
	double cost = pic->cost ? pic->cost[n->frame] : 0;
	uint64_t by[PROF_GROUP_MAX];
	char share[32];

	prof_groups(n->by_state, by);
	for (int i = 0; i < PROF_GROUP_MAX; i++) {
		svg_percent(share, by[i], n->total);
		if (by[i])
			fprintf(pic->f, "%s %s  ", names[i], share);
	}
	if (cost > 0)
		fprintf(pic->f, "\naborts cost %d.%d%%", (int)cost, (int)(cost * 10) % 10);
}

static void put_before(const struct picture *pic, const struct prof_node *n)
{
	char before[32], after[32];

	svg_percent(before, n->before, prof_root(pic->p)->before);
	svg_percent(after, n->total, prof_root(pic->p)->total);
	fprintf(pic->f, "before %" PRIu64 ", %s; after %" PRIu64 ", %s", n->before, before,
		n->total, after);
}

static void put_tip(const struct picture *pic, const struct prof_node *n)
{
	char share[32], self[32];

	svg_percent(share, n->total, pic->total);
	svg_percent(self, n->self, pic->total);
	fputs("<title>", pic->f);
	svg_escaped(pic->f, prof_frame(pic->p, n->frame)->label);
	fprintf(pic->f, "\n%" PRIu64 " %s, %s\nself %" PRIu64 ", %s\n", n->total,
		prof_unit_name(pic->p, n->total != 1), share, n->self, self);
	if (prof_is_diff(pic->p))
		put_before(pic, n);
	else
		put_groups(pic, n);
	if (n->inlined)
		fputs("\ninlined in its trace", pic->f);
	fputs("</title>", pic->f);
}

static void put_frame(const struct picture *pic, const struct walk_step *step, uint32_t level)
{
	const struct prof_node *n = step->node;
	uint64_t x = to_x(pic, step->aux[START]);
	uint64_t width = to_x(pic, step->aux[START] + n->total) - x;
	uint32_t y = top_of(pic) + ROW * (pic->info->icicle ? level : pic->levels - 1 - level);
	char text[LABEL_MAX + 3], class[8];

	svg_clip(text, sizeof(text), prof_frame(pic->p, n->frame)->label,
		 width > 600 ? (width - 600) / SVG_FONT_CELL : 0);
	svg_class(pic, n, class);
	fprintf(pic->f,
		"<g class=\"f %s\" data-x=\"%" PRIu64 "\" data-n=\"%" PRIu64 "\" data-d=\"%" PRIu32
		"\">",
		class, step->aux[START], n->total, level);
	put_tip(pic, n);
	fputs("<rect", pic->f);
	put_px(pic->f, "x", x);
	fprintf(pic->f, " y=\"%" PRIu32 "\"", y);
	put_px(pic->f, "width", width > 80 ? width - 50 : 30);
	fprintf(pic->f, " height=\"%u\" rx=\"2\"/><text", ROW - 1);
	put_px(pic->f, "x", x + 300);
	fprintf(pic->f, " y=\"%" PRIu32 "\">", y + ROW - 5);
	svg_escaped(pic->f, text);
	fputs("</text></g>\n", pic->f);
}

static int is_drawn(const struct picture *pic, const struct walk *w, const struct prof_node *n)
{
	/* Below one that is not drawn all are as narrow or as deep. */
	return n->total && n->total >= (pic->total + MIN_SHARE - 1) / MIN_SHARE &&
	       w->depth <= MAX_LEVELS;
}

/* What the picture will hold. */
static int measure(struct picture *pic)
{
	struct walk w = {.root = prof_root(pic->p)};
	const struct walk_step *step;

	pic->total = w.root->total;
	while ((step = walk_next(&w))) {
		if (w.leaving)
			continue;
		if (!is_drawn(pic, &w, step->node))
			pic->left_out += !!step->node->total;
		else if (w.depth > pic->levels)
			pic->levels = w.depth;
	}
	walk_release(&w);
	return w.err;
}

static int put_frames(const struct picture *pic)
{
	struct walk w = {.root = prof_root(pic->p)};
	struct walk_step *step;

	while ((step = walk_next(&w))) {
		if (w.leaving)
			continue;
		if (w.depth > 1) {
			step->aux[START] = step[-1].aux[NEXT_CHILD];
			step[-1].aux[NEXT_CHILD] += step->node->total;
		}
		step->aux[NEXT_CHILD] = step->aux[START];
		if (is_drawn(pic, &w, step->node))
			put_frame(pic, step, w.depth - 1);
	}
	walk_release(&w);
	return w.err;
}

#define GHOSTS_MAX 16u

static int is_ghost(const struct prof *p, const struct diff_row *row)
{
	return !row->total[DIFF_AFTER] && prof_is_change(p, row->total[DIFF_BEFORE], 0);
}

/* "  (thread:42)": what the samples of a split profile's row have in common. */
static void put_group(const struct picture *pic, uint32_t group)
{
	char label[512];

	if (!prof_is_split(pic->p))
		return;
	fputs("  (", pic->f);
	svg_escaped(pic->f, prof_group_label(pic->p, group, label, sizeof(label)));
	putc(')', pic->f);
}

/* What was there before and has no width now, the most first. Counts only, unless draw. */
static int put_ghosts(struct picture *pic, int draw)
{
	uint32_t y = top_of(pic) + ROW * (pic->levels + 1), shown = 0;
	struct diff_row *rows;
	size_t n;

	if (!prof_is_diff(pic->p) || pic->info->reverse)
		return 0;
	rows = diff_rows(pic->p, &n);
	if (!rows)
		return -ENOMEM;
	for (size_t i = n; i-- && shown < GHOSTS_MAX;) {
		char share[32];

		if (!is_ghost(pic->p, &rows[i]))
			continue;
		svg_percent(share, rows[i].total[DIFF_BEFORE], prof_root(pic->p)->before);
		if (draw) {
			fprintf(pic->f, "<text class=\"ghost\" x=\"%u\" y=\"%" PRIu32 "\">", PAD,
				y + ROW * shown);
			fprintf(pic->f, "vanished, was %6s  ", share);
			svg_escaped(pic->f, prof_frame(pic->p, rows[i].frame)->label);
			put_group(pic, rows[i].group);
			fputs("</text>\n", pic->f);
		}
		shown++;
	}
	free(rows);
	pic->ghosts = shown ? shown + 1 : 0;
	return 0;
}

/* A text of the head: whole for the script, clipped for those that run none. */
static void put_line(const struct picture *pic, const char *class, uint32_t y, unsigned int cell,
		     const char *text)
{
	char clean[4096], shown[4096];

	label_clean(clean, sizeof(clean) - 4, text, 0);
	svg_clip(shown, sizeof(shown), clean, (WIDTH - 2 * PAD) * 100 / cell);
	fprintf(pic->f, "<text class=\"%s\" x=\"%u\" y=\"%" PRIu32 "\" data-full=\"", class, PAD,
		y);
	svg_escaped(pic->f, clean);
	fputs("\">", pic->f);
	svg_escaped(pic->f, shown);
	fputs("</text>\n", pic->f);
}

/* "13512 samples at 99 Hz in 41.2 s, 0 lost, ..." */
static void put_facts(const struct picture *pic, uint32_t y)
{
	const struct prof_stats *st = prof_stats(pic->p);
	uint64_t ms = (st->last_time - st->first_time) / 1000000;
	char text[512], part[32];
	size_t n;

	if (prof_is_diff(pic->p)) {
		snprintf(text, sizeof(text),
			 "%" PRIu64 " samples before, %" PRIu64
			 " after; widths are after, colours compare the shares",
			 prof_root(pic->p)->before, st->samples);
		put_line(pic, "weak", y, SVG_FONT_CELL, text);
		return;
	}
	if (st->unit != PROF_SAMPLES) {
		snprintf(text, sizeof(text),
			 "%" PRIu64 " %s%s, by the stacks where recordings failed", st->samples,
			 prof_unit_name(pic->p, 1),
			 st->unit == PROF_ABORTS ? "" : " of CPU that aborts cost");
		put_line(pic, "weak", y, SVG_FONT_CELL, text);
		return;
	}
	svg_percent(part, st->samples - st->with_lua, st->samples);
	n = (size_t)snprintf(text, sizeof(text), "%" PRIu64 " samples", st->samples);
	if (st->rate)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " at %" PRIu32 " Hz", st->rate);
	n += (size_t)snprintf(text + n, sizeof(text) - n, " in %" PRIu64 ".%u s", ms / 1000,
			      (unsigned int)(ms % 1000 / 100));
	n += (size_t)snprintf(text + n, sizeof(text) - n,
			      ", %" PRIu64 " lost, %s without a Lua stack", st->lost, part);
	if (st->truncated)
		n += (size_t)snprintf(text + n, sizeof(text) - n, ", %" PRIu64 " truncated",
				      st->truncated);
	if (st->undefined)
		n += (size_t)snprintf(text + n, sizeof(text) - n, ", %" PRIu64 " undefined",
				      st->undefined);
	if (st->crowded)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      ", %" PRIu64 " without their stack: the profile was full",
				      st->crowded);
	if (pic->left_out)
		snprintf(text + n, sizeof(text) - n, ", %" PRIu64 " frames too small to draw",
			 pic->left_out);
	put_line(pic, "weak", y, SVG_FONT_CELL, text);
}

static int put_head(const struct picture *pic)
{
	const struct write_info *info = pic->info;
	const char *builds = prof_builds(pic->p);
	uint32_t top = top_of(pic);
	char text[4096];
	int err;

	fputs("<g class=\"head\">\n", pic->f);
	fprintf(pic->f, "<rect class=\"paper\" width=\"%u\" height=\"%u\"/>\n", WIDTH, top - 4);
	put_line(pic, "title", 26, SVG_FONT_CELL * 16 / 12, info->title ? info->title : "ljx");
	put_facts(pic, 46);
	snprintf(text, sizeof(text), "%s%s%s%s%s",
		 *builds		? builds
		 : prof_is_diff(pic->p) ? "comparison"
					: "no LuaJIT seen",
		 info->command ? " \u00b7 " : "", info->command ? info->command : "",
		 info->version ? " \u00b7 ljx " : "", info->version ? info->version : "");
	put_line(pic, "weak", 62, SVG_FONT_CELL, text);
	err = svg_legend(pic, PAD, 82, (WIDTH - 2 * PAD) * 100);
	fprintf(pic->f, "<text class=\"status\" x=\"%u\" y=\"%u\"></text>\n</g>\n", PAD, top - 14);
	return err;
}

/* What the frames' aborts cost; NULL: nothing is known, or no memory. */
static double *frame_costs(const struct prof *p, const struct write_info *info)
{
	double *cost = info->ncosts ? calloc(prof_frames(p), sizeof(*cost)) : NULL;

	for (uint32_t i = 0; cost && i < prof_frames(p); i++) {
		const struct prof_frame *f = prof_frame(p, i);

		for (size_t k = 0; f->kind == PROF_LUA && k < info->ncosts; k++)
			if (info->costs[k].line == f->line && !strcmp(info->costs[k].file, f->file))
				cost[i] += info->costs[k].percent;
	}
	return cost;
}

/* The frames, or what is there instead. */
static int put_body(struct picture *pic)
{
	int err = pic->total ? put_frames(pic) : 0;

	if (!err)
		err = put_ghosts(pic, 1);
	if (!pic->total)
		fprintf(pic->f, "<text x=\"%u\" y=\"%u\">no %s</text>\n", PAD, top_of(pic) + 13,
			prof_stats(pic->p)->unit == PROF_SAMPLES ? "samples" : "aborts");
	return err;
}

static void put_open(const struct picture *pic)
{
	static const char *const colours[] = {"state", "file", "cost"};
	uint32_t levels = pic->levels ? pic->levels : 1, height;

	height = top_of(pic) + ROW * (levels + pic->ghosts) + PAD;
	fprintf(
	    pic->f,
	    "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ljx\" width=\"%u\" height=\"%" PRIu32
	    "\" viewBox=\"0 0 %u %" PRIu32 "\"\n data-pad=\"%u\" data-row=\"%u\" data-top=\"%u\""
	    " data-levels=\"%" PRIu32 "\" data-total=\"%" PRIu64 "\"",
	    WIDTH, height, WIDTH, height, PAD, ROW, top_of(pic), levels, pic->total);
	fprintf(pic->f, " data-one=\"%s\" data-many=\"%s\"", prof_unit_name(pic->p, 0),
		prof_unit_name(pic->p, 1));
	fprintf(pic->f, " data-ghosts=\"%" PRIu32 "\" data-colour=\"%s\"%s%s>\n", pic->ghosts,
		colours[pic->info->colour], pic->info->icicle ? " data-icicle=\"1\"" : "",
		pic->info->reverse ? " data-reverse=\"1\"" : "");
}

int svg_element(FILE *f, const struct prof *p, const struct write_info *info)
{
	struct prof *reversed = info->reverse ? prof_reversed(p) : NULL;
	struct picture pic = {.f = f, .p = reversed ? reversed : p, .whole = p, .info = info};
	int err = info->reverse && !reversed ? -ENOMEM : measure(&pic);

	if (!err)
		err = put_ghosts(&pic, 0);
	if (!err) {
		pic.cost = frame_costs(p, info);
		put_open(&pic);
		svg_style(f);
		fputs("<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n", f);
		err = put_body(&pic);
		if (!err)
			err = put_head(&pic);
		if (svg_has_data(p))
			svg_data(&pic, p);
		fprintf(f, "<script><![CDATA[\n%s]]></script>\n</svg>\n", script);
	}
	free(pic.cost);
	prof_free_reversed(reversed);
	return err;
}

int write_svg(FILE *f, const struct prof *p, const struct write_info *info)
{
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", f);
	return write_end(f, svg_element(f, p, info));
}

int write_html(FILE *f, const struct prof *p, const struct write_info *info)
{
	char title[512];
	int err;

	/* XHTML in HTML's clothes: any reader of either takes it. */
	label_clean(title, sizeof(title), info->title ? info->title : "ljx", 0);
	fputs("<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n"
	      "<meta charset=\"utf-8\"/>\n<title>",
	      f);
	svg_escaped(f, title);
	fputs("</title>\n<style>html,body{margin:0}svg{display:block}</style>\n</head>\n"
	      "<body class=\"ljx-page\">\n",
	      f);
	err = svg_element(f, p, info);
	fputs("</body>\n</html>\n", f);
	return write_end(f, err);
}
