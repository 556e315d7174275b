/* SPDX-License-Identifier: MIT */
/*
 * The flame graph. All positions, colours and texts are in the file as they are to be seen, so that
 * viewers without scripts show it right; svg_script.h makes it move. Numbers are formatted from
 * integers, because a locale may have a decimal comma.
 */
#include "profiler/label.h"
#include "profiler/svg_script.h"
#include "profiler/walk.h"
#include "profiler/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 1200u
#define PAD 10u
#define ROW 18u
#define TOP 118u	 /* of the first frame, below the head */
#define FONT_CELL 725u	 /* 1/100 px: width of a character, a little more than any fixed font has */
#define MIN_SHARE 1000u	 /* what is narrower than 1/1000 of all is not drawn */
#define MAX_LEVELS 1024u /* nor is what is deeper */

/* Where the time goes, as this picture tells it: letter, colours and name. */
struct group {
	const char *class;
	char letter;
	const char *light, *dark;
	const char *text; /* in the legend; NULL: not there */
	const char *tip;
	uint32_t states; /* 1 << EV_STATE_* of which it is made */
};

#define STATE(name) (1u << EV_STATE_##name)

enum {
	G_COMPILED,
	G_INTERP,
	G_C,
	G_GC,
	G_JIT,
	G_OTHER,
	G_STATES, /* the groups above split all samples */
	G_KERNEL = G_STATES,
	G_LUA_COMPILED,
	G_LUA_INTERP,
	G_ROOT,
	G_MAX
};

static const struct group groups[G_MAX] = {
    [G_COMPILED] = {"n", 'N', "#4fb58a", "#1f7a57", "compiled",
		    "native code of traces; lighter: Lua functions that run mostly compiled",
		    STATE(TRACE)},
    [G_INTERP] = {"i", 'I', "#f0a03c", "#9a5a10", "interpreted",
		  "the interpreter; lighter: Lua functions that run mostly interpreted",
		  STATE(INTERP)},
    [G_C] = {"c", 'C', "#7db3e8", "#2d62a0", "C code", "C functions and fast functions", STATE(C)},
    [G_GC] = {"g", 'G', "#c9a0e0", "#7a4a9a", "GC", "the garbage collector", STATE(GC)},
    [G_JIT] = {"j", 'J', "#f08a7c", "#a83a30", "JIT compiler",
	       "recording, optimising and assembling traces, and leaving them",
	       STATE(EXIT) | STATE(RECORD) | STATE(OPT) | STATE(ASM)},
    [G_OTHER] = {"o", 'O', "#cfcfcf", "#5a5a5a", "other", "outside Lua, or not known",
		 STATE(OUTSIDE) | STATE(UNKNOWN)},
    [G_KERNEL] = {"k", 'K', "#b8ab98", "#6a5f50", "kernel",
		  "in the kernel: counted besides, whatever the VM was doing", 0},
    [G_LUA_COMPILED] = {"n2", 'N', "#9ad9bd", "#2d5d4b", NULL, NULL, 0},
    [G_LUA_INTERP] = {"i2", 'I', "#f9cf94", "#6b4a24", NULL, NULL, 0},
    [G_ROOT] = {"r", ' ', "#e4e4e4", "#3a3a3a", NULL, NULL, 0},
};

struct picture {
	FILE *f;
	const struct prof *p;
	uint64_t total;
	uint32_t levels;   /* that are drawn */
	uint64_t left_out; /* frames that are not */
};

/* Of a walk's step, in samples from the left. */
enum { START, NEXT_CHILD };

static void put_escaped(FILE *f, const char *s)
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

/* n of total in percent, one digit after the point. */
static void percent(char out[32], uint64_t n, uint64_t total)
{
	uint64_t tenths = total ? (uint64_t)((double)n * 1000 / (double)total + 0.5) : 0;

	snprintf(out, 32, "%" PRIu64 ".%u%%", tenths / 10, (unsigned int)(tenths % 10));
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

/* As much of s (valid UTF-8, at most size - 3 bytes) as fits room cells, ".." at the cut. */
static void clip(char *out, size_t size, const char *s, uint64_t room)
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

static uint64_t group_count(const uint64_t *by_state, const struct group *g)
{
	uint64_t n = 0;

	for (int i = 0; i < EV_STATE_MAX; i++)
		if (g->states & 1u << i)
			n += by_state[i];
	return n;
}

static const struct group *group_of(const struct picture *pic, const struct prof_node *n)
{
	switch (prof_frame(pic->p, n->frame)->kind) {
	case PROF_ROOT:
	case PROF_PROCESS:
		return &groups[G_ROOT];
	case PROF_LUA:
	case PROF_LINE:
		return &groups[n->by_state[EV_STATE_TRACE] > n->by_state[EV_STATE_INTERP]
				   ? G_LUA_COMPILED
				   : G_LUA_INTERP];
	case PROF_TRACE:
		return &groups[G_COMPILED];
	case PROF_VM:
		return &groups[G_INTERP];
	case PROF_C:
		return &groups[G_C];
	case PROF_GC:
		return &groups[G_GC];
	case PROF_JIT:
		return &groups[G_JIT];
	case PROF_KERNEL:
		return &groups[G_KERNEL];
	default:
		return &groups[G_OTHER];
	}
}

static void put_tip(const struct picture *pic, const struct prof_node *n)
{
	char share[32], self[32];

	percent(share, n->total, pic->total);
	percent(self, n->self, pic->total);
	fputs("<title>", pic->f);
	put_escaped(pic->f, prof_frame(pic->p, n->frame)->label);
	fprintf(pic->f, "\n%" PRIu64 " sample%s, %s\nself %" PRIu64 ", %s\n", n->total,
		n->total == 1 ? "" : "s", share, n->self, self);
	for (int i = 0; i < G_STATES; i++) {
		uint64_t part = group_count(n->by_state, &groups[i]);

		percent(share, part, n->total);
		if (part)
			fprintf(pic->f, "%c %s %s  ", groups[i].letter, groups[i].text, share);
	}
	fputs("</title>", pic->f);
}

static void put_frame(const struct picture *pic, const struct walk_step *step, uint32_t level)
{
	const struct prof_node *n = step->node;
	uint64_t x = to_x(pic, step->aux[START]);
	uint64_t width = to_x(pic, step->aux[START] + n->total) - x;
	uint32_t y = TOP + ROW * (pic->levels - 1 - level);
	char text[LABEL_MAX + 3];

	clip(text, sizeof(text), prof_frame(pic->p, n->frame)->label,
	     width > 600 ? (width - 600) / FONT_CELL : 0);
	fprintf(pic->f,
		"<g class=\"f %s\" data-x=\"%" PRIu64 "\" data-n=\"%" PRIu64 "\" data-d=\"%" PRIu32
		"\">",
		group_of(pic, n)->class, step->aux[START], n->total, level);
	put_tip(pic, n);
	fputs("<rect", pic->f);
	put_px(pic->f, "x", x);
	fprintf(pic->f, " y=\"%" PRIu32 "\"", y);
	put_px(pic->f, "width", width > 80 ? width - 50 : 30);
	fprintf(pic->f, " height=\"%u\" rx=\"2\"/><text", ROW - 1);
	put_px(pic->f, "x", x + 300);
	fprintf(pic->f, " y=\"%" PRIu32 "\">", y + ROW - 5);
	put_escaped(pic->f, text);
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

/* The colours of one theme, for what scope selects. */
static void put_theme(FILE *f, const char *scope, int dark)
{
	const char *ink = dark ? "#f4f4f4" : "#16181d", *paper = dark ? "#17191e" : "#ffffff";
	const char *weak = dark ? "#b4b8c2" : "#565c68", *button = dark ? "#30343d" : "#e9ebef";

	fprintf(f, "%s{color-scheme:%s;background:%s}\n", scope, dark ? "dark" : "light", paper);
	fprintf(f, "%s .paper{fill:%s}\n%s text{fill:%s}\n%s text.weak{fill:%s}\n", scope, paper,
		scope, ink, scope, weak);
	fprintf(f, "%s .button rect{fill:%s}\n", scope, button);
	fprintf(f, "%s .f:hover rect,%s .hit rect{stroke:%s}\n", scope, scope, ink);
	for (int i = 0; i < G_MAX; i++)
		fprintf(f, "%s .%s rect{fill:%s}\n", scope, groups[i].class,
			dark ? groups[i].dark : groups[i].light);
}

static void put_style(FILE *f)
{
	static const char common[] =
	    "text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;"
	    "white-space:pre}\n"
	    "text.title{font-size:16px;font-weight:bold}\n"
	    ".f text{pointer-events:none}\n"
	    ".live .f,.button{cursor:pointer}\n"
	    ".f:hover rect{stroke-width:1}\n"
	    ".dim{opacity:.55}\n"
	    ".searched .f:not(.hit){opacity:.4}\n"
	    ".searched .f.hit{opacity:1}\n"
	    ".hit rect{stroke-width:1}\n"
	    ".hit text{font-weight:bold}\n"
	    ".current rect{stroke-width:3}\n"
	    ".button text{font-size:11px}\n"
	    ".button:focus{outline:none}\n"
	    ".button:focus rect,.button:hover rect{stroke:#6b8fd6;stroke-width:1.5}\n"
	    ".find{display:flex;gap:4px;height:22px}\n"
	    ".find input{flex:1;min-width:0;font:12px monospace;padding:1px 6px}\n"
	    ".find button{font:12px monospace;padding:0 6px}\n"
	    ".find input.bad{outline:2px solid #d33}\n";

	fputs("<style><![CDATA[\n", f);
	fputs(common, f);
	put_theme(f, ".ljx", 0);
	fputs("@media (prefers-color-scheme:dark){\n", f);
	put_theme(f, ".ljx:not(.light)", 1);
	fputs("}\n", f);
	put_theme(f, ".ljx.dark", 1);
	fputs("]]></style>\n", f);
}

/* A text of the head: whole for the script, clipped for those that run none. */
static void put_line(const struct picture *pic, const char *class, uint32_t y, unsigned int cell,
		     const char *text)
{
	char clean[4096], shown[4096];

	label_clean(clean, sizeof(clean) - 4, text, 0);
	clip(shown, sizeof(shown), clean, (WIDTH - 2 * PAD) * 100 / cell);
	fprintf(pic->f, "<text class=\"%s\" x=\"%u\" y=\"%" PRIu32 "\" data-full=\"", class, PAD,
		y);
	put_escaped(pic->f, clean);
	fputs("\">", pic->f);
	put_escaped(pic->f, shown);
	fputs("</text>\n", pic->f);
}

/* "13512 samples at 99 Hz in 41.2 s, 0 lost, ..." */
static void put_facts(const struct picture *pic, uint32_t y)
{
	const struct prof_stats *st = prof_stats(pic->p);
	uint64_t ms = (st->last_time - st->first_time) / 1000000;
	char text[512], part[32];
	size_t n;

	percent(part, st->samples - st->with_lua, st->samples);
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
	if (pic->left_out)
		snprintf(text + n, sizeof(text) - n, ", %" PRIu64 " frames too small to draw",
			 pic->left_out);
	put_line(pic, "weak", y, FONT_CELL, text);
}

static void put_legend(const struct picture *pic, uint32_t y)
{
	const struct prof_stats *st = prof_stats(pic->p);
	uint32_t x = 0;

	fprintf(pic->f,
		"<g class=\"legend\" data-y=\"%" PRIu32 "\" transform=\"translate(%u,%" PRIu32
		")\">\n",
		y, PAD, y);
	for (int i = 0; i <= G_KERNEL; i++) {
		const struct group *g = &groups[i];
		char share[32], text[64];
		int n;

		percent(share, i == G_KERNEL ? st->kernel : group_count(st->by_state, g),
			st->samples);
		n = snprintf(text, sizeof(text), "%c %s %s", g->letter, g->text, share);
		fprintf(pic->f, "<g class=\"%s\"><title>%s</title><rect", g->class, g->tip);
		put_px(pic->f, "x", x);
		fputs(" y=\"-10\" width=\"12\" height=\"12\" rx=\"2\"/><text", pic->f);
		put_px(pic->f, "x", x + 1700);
		fprintf(pic->f, ">%s</text></g>\n", text);
		x += 1700 + (unsigned int)n * FONT_CELL + 1800;
	}
	fputs("</g>\n", pic->f);
}

static void put_head(const struct picture *pic, const struct write_info *info)
{
	const char *builds = prof_builds(pic->p);
	char text[4096];

	fputs("<g class=\"head\">\n", pic->f);
	fprintf(pic->f, "<rect class=\"paper\" width=\"%u\" height=\"%u\"/>\n", WIDTH, TOP - 4);
	put_line(pic, "title", 26, FONT_CELL * 16 / 12, info->title ? info->title : "ljx");
	put_facts(pic, 46);
	snprintf(text, sizeof(text), "%s%s%s%s%s", *builds ? builds : "no LuaJIT seen",
		 info->command ? " \u00b7 " : "", info->command ? info->command : "",
		 info->version ? " \u00b7 ljx " : "", info->version ? info->version : "");
	put_line(pic, "weak", 62, FONT_CELL, text);
	put_legend(pic, 82);
	fprintf(pic->f, "<text class=\"status\" x=\"%u\" y=\"%u\"></text>\n</g>\n", PAD, TOP - 14);
}

int write_svg(FILE *f, const struct prof *p, const struct write_info *info)
{
	struct picture pic = {.f = f, .p = p};
	uint32_t height;
	int err = measure(&pic);

	if (err)
		return err;
	height = TOP + ROW * (pic.levels ? pic.levels : 1) + PAD;
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", f);
	fprintf(
	    f,
	    "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ljx\" width=\"%u\" height=\"%" PRIu32
	    "\" viewBox=\"0 0 %u %" PRIu32 "\"\n data-pad=\"%u\" data-row=\"%u\" data-top=\"%u\""
	    " data-levels=\"%" PRIu32 "\" data-total=\"%" PRIu64 "\">\n",
	    WIDTH, height, WIDTH, height, PAD, ROW, TOP, pic.levels, pic.total);
	put_style(f);
	fputs("<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n", f);
	if (pic.total)
		err = put_frames(&pic);
	else
		fprintf(f, "<text x=\"%u\" y=\"%u\">no samples</text>\n", PAD, TOP + 13);
	put_head(&pic, info);
	fprintf(f, "<script><![CDATA[\n%s]]></script>\n</svg>\n", svg_script);
	return write_end(f, err);
}
