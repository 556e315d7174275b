/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the flame graph share: svg.c draws, svg_theme.c colours, svg_data.c puts the
 * profile itself beside the picture, from which svg.js makes other views of it.
 */
#ifndef PROFILER_SVG_H
#define PROFILER_SVG_H

#include "profiler/prof.h"
#include "profiler/write.h"

#include <stdio.h>

struct picture {
	FILE *f;
	const struct prof *p;	  /* whose tree is drawn */
	const struct prof *whole; /* the same, not turned round */
	const struct write_info *info;
	uint64_t total;
	uint32_t levels;   /* that are drawn */
	uint64_t left_out; /* frames that are not */
	uint32_t ghosts;   /* lines below the frames: what a comparison has lost */
	double *cost;	   /* by frame: percent of the CPU that its aborts cost */
};

/* Writes the <svg> element. 0 or -errno. */
int svg_element(FILE *f, const struct prof *p, const struct write_info *info);

/* Escapes for XML, attributes too. */
void svg_escaped(FILE *f, const char *s);

/* As much of s (valid UTF-8, at most size - 3 bytes) as fits room cells, ".." at the cut. */
void svg_clip(char *out, size_t size, const char *s, uint64_t room);

/* Its width in cells; 1/100 px: that of a character, a little more than any fixed font has. */
uint32_t svg_width(const char *s);
#define SVG_FONT_CELL 725u

/* n of total in percent, one digit after the point. */
void svg_percent(char out[32], uint64_t n, uint64_t total);

/* ---- svg_theme.c ---- */

/* The classes that a frame can be coloured by. */
#define SVG_HUES 18u
#define SVG_HEATS 8u

/* Hue of a file's frames, -1: no file. */
int svg_hue(const struct prof_frame *f);

/* The file's name without its folders, which is what it has its hue by. */
const char *svg_file(const struct prof_frame *f);

/* 0: costs nothing, else up to SVG_HEATS. */
unsigned int svg_heat(double percent);

/* The percent from which on the heat is that, 1 to SVG_HEATS. */
double svg_heat_from(unsigned int heat);

/* Letter of the frame's class by kind; 'l': Lua, which depends on the node. */
char svg_kind(const struct prof_frame *f);

/* The class of a node, by what the picture is coloured by. */
void svg_class(const struct picture *pic, const struct prof_node *n, char out[8]);

void svg_style(FILE *f);

/* The legend at y, in room 1/100 px; percent of what the picture shows. 0 or -ENOMEM. */
int svg_legend(const struct picture *pic, unsigned int x, unsigned int y, uint32_t room);

/*
 * One entry at x; class NULL: it has no colour. Returns the x of the next, in 1/100 px.
 */
uint32_t svg_entry(FILE *f, uint32_t x, const char *class, const char *tip, const char *text);

/* ---- svg_legend.c ---- */

/* What the colours mean, below the legend by y. 0 or -ENOMEM. */
int svg_colours(const struct picture *pic, unsigned int y, uint32_t room);

/* ---- svg_data.c ---- */

/* Did the profile keep all that is in its tree? */
int svg_has_data(const struct prof *p);

/* The profile as JSON in a <metadata> element. */
void svg_data(const struct picture *pic, const struct prof *p);

#endif
