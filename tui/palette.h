/* SPDX-License-Identifier: MIT */
/* How roles look: colours and attributes, by palette and by what the terminal can do. */
#ifndef TUI_PALETTE_H
#define TUI_PALETTE_H

#include "tui/grid.h"

enum palette { PALETTE_DEFAULT, PALETTE_MONO, PALETTE_LIGHT, PALETTE_BLIND, PALETTES };

#define STYLE_BOLD 1u
#define STYLE_REVERSE 2u
#define STYLE_UNDERLINE 4u
#define STYLE_DIM 8u

/* Colours as of the 256; -1: the terminal's own. */
struct style {
	int fg, bg;
	unsigned int attrs; /* STYLE_* */
};

/* colours: how many the terminal has. With fewer than 8 none are used, whatever the palette. */
struct style palette_style(enum palette p, enum grid_role role, int colours);
const char *palette_name(enum palette p);

#endif
