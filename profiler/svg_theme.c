/* SPDX-License-Identifier: MIT */
#include "profiler/svg.h"

#include <inttypes.h>
#include <string.h>

struct group {
	const char *class;
	char letter;
	const char *light, *dark;
	const char *text; /* in the legend; NULL: not there */
	const char *tip;
};

enum { G_KERNEL = PROF_GROUP_MAX, G_LUA_COMPILED, G_LUA_INTERP, G_ROOT, G_MAX };

static const struct group groups[G_MAX] = {
    [PROF_GROUP_N] = {"n", 'N', "#4fb58a", "#1f7a57", "compiled",
		      "native code of traces; lighter: Lua functions that run mostly compiled"},
    [PROF_GROUP_I] = {"i", 'I', "#f0a03c", "#9a5a10", "interpreted",
		      "the interpreter; lighter: Lua functions that run mostly interpreted"},
    [PROF_GROUP_C] = {"c", 'C', "#7db3e8", "#2d62a0", "C code", "C functions and fast functions"},
    [PROF_GROUP_G] = {"g", 'G', "#c9a0e0", "#7a4a9a", "GC", "the garbage collector"},
    [PROF_GROUP_J] = {"j", 'J', "#f08a7c", "#a83a30", "JIT compiler",
		      "recording, optimising and assembling traces, and leaving them"},
    [PROF_GROUP_O] = {"o", 'O', "#cfcfcf", "#5a5a5a", "other", "outside Lua, or not known"},
    [G_KERNEL] = {"k", 'K', "#b8ab98", "#6a5f50", "kernel",
		  "in the kernel: counted besides, whatever the VM was doing"},
    [G_LUA_COMPILED] = {"n2", 'N', "#9ad9bd", "#2d5d4b", NULL, NULL},
    [G_LUA_INTERP] = {"i2", 'I', "#f9cf94", "#6b4a24", NULL, NULL},
    [G_ROOT] = {"r", ' ', "#e4e4e4", "#3a3a3a", NULL, NULL},
};

const char *svg_file(const struct prof_frame *f)
{
	const char *slash = strrchr(f->file, '/');

	/* A trace's start has no folders. */
	return slash ? slash + 1 : f->file;
}

/* FNV-1a: any hash will do that is always the same. */
int svg_hue(const struct prof_frame *f)
{
	uint32_t h = 2166136261u;

	if (!*f->file)
		return -1;
	for (const char *s = svg_file(f); *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return (int)((h ^ h >> 15) % SVG_HUES);
}

static const double heats[SVG_HEATS] = {0, 0.5, 1, 2, 5, 10, 20, 40};

unsigned int svg_heat(double percent)
{
	unsigned int level = 0;

	while (percent > 0 && level < SVG_HEATS && percent >= heats[level])
		level++;
	return level;
}

double svg_heat_from(unsigned int heat)
{
	return heats[heat - 1];
}

char svg_kind(const struct prof_frame *f)
{
	static const char letters[] = {
	    [PROF_ROOT] = 'r',	[PROF_PROCESS] = 'r', [PROF_LUA] = 'l',	  [PROF_LINE] = 'l',
	    [PROF_TRACE] = 'n', [PROF_C] = 'c',	      [PROF_VM] = 'i',	  [PROF_KERNEL] = 'k',
	    [PROF_GC] = 'g',	[PROF_JIT] = 'j',     [PROF_OTHER] = 'o',
	};

	return letters[f->kind];
}

/* Red: more than before, blue: less, by how much of what there is; pale: not for certain. */
static void diff_class(const struct picture *pic, const struct prof_node *n, char out[8])
{
	unsigned int level;
	double change = prof_change(pic->p, n->before, n->total);
	double share = change < 0 ? -change : change;

	level = share < 0.05 ? 0 : share < 0.15 ? 1 : share < 0.3 ? 2 : share < 0.6 ? 3 : 4;
	if (!level || !prof_is_change(pic->p, n->before, n->total))
		strcpy(out, "e");
	else
		snprintf(out, 8, "%c%u", change > 0 ? 'u' : 'd', level);
}

void svg_class(const struct picture *pic, const struct prof_node *n, char out[8])
{
	const struct prof_frame *f = prof_frame(pic->p, n->frame);
	char kind = svg_kind(f);
	int hue = svg_hue(f);

	if (prof_is_diff(pic->p))
		diff_class(pic, n, out);
	else if (kind == 'r' || pic->info->colour == WRITE_BY_STATE)
		snprintf(out, 8, "%s",
			 kind != 'l' ? (char[2]){kind, 0}
			 : n->by_state[EV_STATE_TRACE] > n->by_state[EV_STATE_INTERP] ? "n2"
										      : "i2");
	else if (pic->info->colour == WRITE_BY_FILE && hue >= 0)
		snprintf(out, 8, "h%u", (unsigned int)hue % SVG_HUES);
	else if (pic->info->colour == WRITE_BY_COST)
		snprintf(out, 8, "w%u", pic->cost ? svg_heat(pic->cost[n->frame]) : 0);
	else
		strcpy(out, "hx");
}

/* The colours of frames in one theme. */
static void put_fills(FILE *f, const char *scope, int dark)
{
	for (int i = 0; i < G_MAX; i++)
		fprintf(f, "%s .%s rect{fill:%s}\n", scope, groups[i].class,
			dark ? groups[i].dark : groups[i].light);
	for (unsigned int i = 0; i < SVG_HUES; i++)
		fprintf(f, "%s .h%u rect{fill:hsl(%u,%s)}\n", scope, i, i * 360 / SVG_HUES,
			dark ? "40%,30%" : "60%,75%");
	for (unsigned int i = 1; i <= SVG_HEATS; i++)
		fprintf(f, "%s .w%u rect{fill:hsl(%u,%s%u%%)}\n", scope, i, 56 - 7 * i,
			dark ? "70%," : "90%,", dark ? 18 + 3 * i : 88 - 4 * i);
	for (unsigned int i = 1; i <= 4; i++)
		fprintf(f, "%s .u%u rect{fill:hsl(4,%s%u%%)}\n%s .d%u rect{fill:hsl(214,%s%u%%)}\n",
			scope, i, dark ? "60%," : "85%,", dark ? 20 + 6 * i : 92 - 8 * i, scope, i,
			dark ? "50%," : "80%,", dark ? 20 + 6 * i : 92 - 8 * i);
	fprintf(f, "%s .hx rect,%s .w0 rect,%s .e rect{fill:%s}\n", scope, scope, scope,
		dark ? "#44474e" : "#e8e8e8");
}

/* All colours of one theme, for what scope selects. */
static void put_theme(FILE *f, const char *scope, int dark)
{
	const char *ink = dark ? "#f4f4f4" : "#16181d", *paper = dark ? "#17191e" : "#ffffff";
	const char *weak = dark ? "#b4b8c2" : "#565c68", *button = dark ? "#30343d" : "#e9ebef";

	fprintf(f, "%s{color-scheme:%s;background:%s}\n", scope, dark ? "dark" : "light", paper);
	fprintf(f, "%s .paper{fill:%s}\n%s text{fill:%s}\n%s text.weak{fill:%s}\n", scope, paper,
		scope, ink, scope, weak);
	fprintf(f, "%s .button rect{fill:%s}\n", scope, button);
	fprintf(f, "%s .source{background:%s;color:%s}\n", scope, paper, ink);
	fprintf(f, "%s .f:hover rect,%s .hit rect{stroke:%s}\n", scope, scope, ink);
	put_fills(f, scope, dark);
}

void svg_style(FILE *f)
{
	static const char common[] =
	    "text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;"
	    "white-space:pre}\n"
	    "text.title{font-size:16px;font-weight:bold}\n"
	    ".f text{pointer-events:none}\n"
	    ".live .f,.button,.live .switch{cursor:pointer}\n"
	    "[data-colour=file] .states rect,[data-colour=cost] .states rect{opacity:.25}\n"
	    ".switch.off{opacity:.35;text-decoration:line-through}\n"
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
	    ".find button,.find select{font:12px monospace;padding:0 6px}\n"
	    ".find select,.find textarea{width:100%}\n"
	    ".find textarea{height:100%;font:12px monospace}\n"
	    ".source{display:flex;flex-direction:column;height:100%;box-sizing:border-box;"
	    "border-top:2px solid #6b8fd6;font:12px ui-monospace,'DejaVu Sans Mono',Menlo,"
	    "Consolas,monospace}\n"
	    ".source div:first-child{padding:4px 10px;white-space:pre-wrap}\n"
	    ".source pre{flex:1;margin:0;padding:0 10px 6px;overflow:auto;font:inherit}\n"
	    ".source .first{outline:1px solid #6b8fd6}\n"
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

uint32_t svg_entry(FILE *f, uint32_t x, const char *class, const char *tip, const char *text)
{
	fprintf(f, "<g class=\"%s\"><title>%s</title>", class ? class : "", tip);
	if (class) {
		fprintf(f, "<rect x=\"%u.%02u\"", x / 100, x % 100);
		fputs(" y=\"-10\" width=\"12\" height=\"12\" rx=\"2\"/>", f);
		x += 1700;
	}
	fprintf(f, "<text x=\"%u.%02u\">", x / 100, x % 100);
	svg_escaped(f, text);
	fputs("</text></g>\n", f);
	return x + svg_width(text) * SVG_FONT_CELL + 1800;
}

static void states_legend(const struct picture *pic)
{
	const struct prof_stats *st = prof_stats(pic->p);
	uint64_t by[PROF_GROUP_MAX];
	uint32_t x = 0;

	fputs("<g class=\"states\">\n", pic->f);
	prof_groups(st->by_state, by);
	for (int i = 0; i <= G_KERNEL; i++) {
		const struct group *g = &groups[i];
		char share[32], text[64], class[16];

		svg_percent(share, i == G_KERNEL ? st->kernel : by[i], st->samples);
		snprintf(text, sizeof(text), "%c %s %s", g->letter, g->text, share);
		snprintf(class, sizeof(class), "%s%s", g->class, i == G_KERNEL ? "" : " switch");
		x = svg_entry(pic->f, x, class, g->tip, text);
	}
	fputs("</g>\n", pic->f);
}

int svg_legend(const struct picture *pic, unsigned int x, unsigned int y, uint32_t room)
{
	uint32_t at;
	int err = 0;

	fprintf(pic->f, "<g class=\"legend\" data-y=\"%u\" transform=\"translate(%u,%u)\">\n", y, x,
		y);
	if (!prof_is_diff(pic->p)) {
		states_legend(pic);
		err = svg_colours(pic, 18, room);
	} else {
		at = svg_entry(pic->f, 0, "u4", "a larger share of the samples than before",
			       "more than before");
		at = svg_entry(pic->f, at, "d4", "a smaller share of the samples than before",
			       "less than before");
		svg_entry(pic->f, at, "e", "as before, or too few samples to tell", "no change");
	}
	fputs("</g>\n", pic->f);
	return err;
}
