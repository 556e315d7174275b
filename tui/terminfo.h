/* SPDX-License-Identifier: MIT */
/* What terminfo says of the terminal that TERM names. <term.h> and tui/term.h do not go together. */
#ifndef TUI_TERMINFO_H
#define TUI_TERMINFO_H

/* Is it described at all, and can its cursor be moved? */
int terminfo_usable(void);

#endif
