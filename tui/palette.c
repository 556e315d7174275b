// SPDX-License-Identifier: MIT
#include "tui/palette.h"

/* Of a role: its colours of 256 and of 16, and its attributes. */
struct look {
	short fg, bg, fg16, bg16;
	unsigned short attrs;
};

/* What is there without colours; marks and letters tell the rest. */
static const unsigned short plain[ROLE_MAX] = {
    [ROLE_TITLE] = STYLE_REVERSE,
    [ROLE_HEAD] = STYLE_BOLD,
    [ROLE_SORTED] = STYLE_BOLD | STYLE_UNDERLINE,
    [ROLE_TAB_ON] = STYLE_BOLD,
    [ROLE_SELECTED] = STYLE_REVERSE,
    [ROLE_MATCH] = STYLE_UNDERLINE,
    [ROLE_WARN] = STYLE_BOLD,
    [ROLE_ALERT] = STYLE_REVERSE | STYLE_BOLD,
    [ROLE_KEY] = STYLE_BOLD,
    [ROLE_LABEL] = STYLE_REVERSE,
    [ROLE_INPUT] = STYLE_UNDERLINE,
};

#define NONE                      \
	{                         \
		-1, -1, -1, -1, 0 \
	}

static const struct look dark[ROLE_MAX] = {
    [ROLE_NORMAL] = NONE,
    [ROLE_TITLE] = {231, 24, 15, 4, STYLE_BOLD},
    [ROLE_HEAD] = {231, 236, 15, -1, STYLE_BOLD},
    [ROLE_SORTED] = {16, 214, 0, 3, STYLE_BOLD},
    [ROLE_TAB] = {250, -1, -1, -1, 0},
    [ROLE_TAB_ON] = {16, 110, 0, 6, STYLE_BOLD},
    [ROLE_N] = {78, -1, 10, -1, 0},
    [ROLE_I] = {214, -1, 11, -1, 0},
    [ROLE_C] = {75, -1, 12, -1, 0},
    [ROLE_G] = {176, -1, 13, -1, 0},
    [ROLE_J] = {203, -1, 9, -1, 0},
    [ROLE_SELECTED] = {16, 153, 0, 6, 0},
    [ROLE_MATCH] = {16, 229, 0, 3, 0},
    [ROLE_WARN] = {221, -1, 11, -1, 0},
    [ROLE_ALERT] = {231, 160, 15, 1, STYLE_BOLD},
    [ROLE_GOOD] = {114, -1, 10, -1, 0},
    [ROLE_DIM] = {245, -1, 8, -1, 0},
    [ROLE_KEY] = {231, -1, 15, -1, STYLE_BOLD},
    [ROLE_LABEL] = {16, 73, 0, 6, 0},
    [ROLE_INPUT] = {16, 229, 0, 3, 0},
};

static const struct look light[ROLE_MAX] = {
    [ROLE_NORMAL] = NONE,
    [ROLE_TITLE] = {231, 25, 15, 4, STYLE_BOLD},
    [ROLE_HEAD] = {16, 253, 0, 7, STYLE_BOLD},
    [ROLE_SORTED] = {231, 166, 15, 1, STYLE_BOLD},
    [ROLE_TAB] = {240, -1, 0, -1, 0},
    [ROLE_TAB_ON] = {231, 31, 15, 4, STYLE_BOLD},
    [ROLE_N] = {28, -1, 2, -1, STYLE_BOLD},
    [ROLE_I] = {130, -1, 1, -1, STYLE_BOLD},
    [ROLE_C] = {25, -1, 4, -1, STYLE_BOLD},
    [ROLE_G] = {91, -1, 5, -1, STYLE_BOLD},
    [ROLE_J] = {160, -1, 1, -1, STYLE_BOLD},
    [ROLE_SELECTED] = {16, 153, 0, 6, 0},
    [ROLE_MATCH] = {16, 222, 0, 3, 0},
    [ROLE_WARN] = {130, -1, 1, -1, STYLE_BOLD},
    [ROLE_ALERT] = {231, 160, 15, 1, STYLE_BOLD},
    [ROLE_GOOD] = {28, -1, 2, -1, 0},
    [ROLE_DIM] = {242, -1, 0, -1, 0},
    [ROLE_KEY] = {16, -1, 0, -1, STYLE_BOLD},
    [ROLE_LABEL] = {231, 31, 15, 4, 0},
    [ROLE_INPUT] = {16, 222, 0, 3, 0},
};

/* Blue against orange, in steps of brightness: no red against green. */
static const struct look blind[ROLE_MAX] = {
    [ROLE_NORMAL] = NONE,
    [ROLE_TITLE] = {231, 25, 15, 4, STYLE_BOLD},
    [ROLE_HEAD] = {231, 236, 15, -1, STYLE_BOLD},
    [ROLE_SORTED] = {16, 220, 0, 3, STYLE_BOLD},
    [ROLE_TAB] = {250, -1, -1, -1, 0},
    [ROLE_TAB_ON] = {16, 117, 0, 6, STYLE_BOLD},
    [ROLE_N] = {39, -1, 12, -1, 0},
    [ROLE_I] = {208, -1, 11, -1, STYLE_BOLD},
    [ROLE_C] = {153, -1, 14, -1, 0},
    [ROLE_G] = {252, -1, 15, -1, 0},
    [ROLE_J] = {222, -1, 11, -1, 0},
    [ROLE_SELECTED] = {16, 153, 0, 6, 0},
    [ROLE_MATCH] = {16, 229, 0, 3, 0},
    [ROLE_WARN] = {214, -1, 11, -1, STYLE_BOLD},
    [ROLE_ALERT] = {16, 214, 0, 3, STYLE_BOLD},
    [ROLE_GOOD] = {117, -1, 14, -1, 0},
    [ROLE_DIM] = {246, -1, 8, -1, 0},
    [ROLE_KEY] = {231, -1, 15, -1, STYLE_BOLD},
    [ROLE_LABEL] = {16, 75, 0, 6, 0},
    [ROLE_INPUT] = {16, 229, 0, 3, 0},
};

struct style palette_style(enum palette p, enum grid_role role, int colours)
{
	const struct look *l = p == PALETTE_LIGHT ? light : p == PALETTE_BLIND ? blind : dark;
	struct style s;

	if (p == PALETTE_MONO || colours < 8)
		return (struct style){-1, -1, plain[role]};
	l += role;
	if (colours >= 256)
		return (struct style){l->fg, l->bg, l->attrs};
	s = (struct style){l->fg16, l->bg16, l->attrs};
	/* With 8 colours the bright ones are bold ones. */
	if (colours < 16 && s.fg >= 8) {
		s.fg -= 8;
		s.attrs |= s.fg ? STYLE_BOLD : 0;
		s.fg = s.fg ? s.fg : -1;
	}
	return s;
}

const char *palette_name(enum palette p)
{
	static const char *const names[PALETTES] = {"default", "mono", "light", "colour-blind"};

	return names[p];
}
