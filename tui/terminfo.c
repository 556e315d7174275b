// SPDX-License-Identifier: MIT
#include "tui/terminfo.h"

#include <curses.h>
#include <term.h>
#include <unistd.h>

int terminfo_usable(void)
{
	char cup[] = "cup", *move;
	int err, found;

	if (setupterm(NULL, STDOUT_FILENO, &err) != OK)
		return 0;
	move = tigetstr(cup);
	found = move && move != (char *)-1; /* what it says of names that are none */
	del_curterm(set_curterm(NULL));
	return found;
}
