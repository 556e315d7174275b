// SPDX-License-Identifier: MIT
#include "tui/keys.h"

#define ON_TEXT (ON_HELP | ON_EXPLAIN)
#define ON_SCROLL (ON_SCREENS | ON_TEXT)

static const struct key keys[] = {
    {{TK_F1, '?', 'h'}, "F1 ? h", ACT_HELP, ON_SCREENS, "Help", "this help"},
    {{'1'},
     "1",
     ACT_SCREEN1,
     ON_SCREENS & ~ON_FUNCTIONS,
     NULL,
     "Functions: the row's function there"},
    {{'2'}, "2", ACT_SCREEN2, ON_SCREENS & ~ON_NYI, NULL, "NYI and aborts at the row's place"},
    {{'3'}, "3", ACT_SCREEN3, ON_SCREENS & ~ON_TRACES, NULL, "Traces: those of the row's place"},
    {{'4'},
     "4",
     ACT_SCREEN4,
     ON_SCREENS & ~ON_ANNOTATE,
     NULL,
     "source and bytecode of the row's function"},
    {{'5'}, "5", ACT_SCREEN5, ON_SCREENS & ~ON_LOG, NULL, "Log of the JIT compiler"},
    {{'6', 'D'},
     "6 D",
     ACT_SCREEN6,
     ON_SCREENS & ~ON_QUALITY,
     NULL,
     "Quality: what is lost, what is not known"},
    {{TK_TAB}, "Tab", ACT_NEXT, ON_SCREENS, NULL, "next screen"},
    {{TK_BTAB}, "S-Tab", ACT_PREVIOUS, ON_SCREENS, NULL, "previous screen"},
    {{TK_UP, 'k'}, "Up k", ACT_UP, ON_SCROLL | ON_EXPORT, NULL, "up"},
    {{TK_DOWN, 'j'}, "Down j", ACT_DOWN, ON_SCROLL | ON_EXPORT, NULL, "down"},
    {{TK_PGUP}, "PgUp", ACT_PGUP, ON_SCROLL, NULL, "a page up"},
    {{TK_PGDN}, "PgDn", ACT_PGDN, ON_SCROLL, NULL, "a page down"},
    {{TK_HOME}, "Home", ACT_HOME, ON_SCROLL, NULL, "to the top; on screen 1 to what to fix first"},
    {{TK_END}, "End", ACT_END, ON_SCROLL, NULL, "to the end"},
    {{TK_ENTER},
     "Enter",
     ACT_ENTER,
     ON_FUNCTIONS,
     "Drill",
     "function: its NYI and aborts; trace: the trace; the ! line: what to fix first"},
    {{TK_ENTER}, "Enter", ACT_ENTER, ON_NYI, "Stacks", "the Lua stack at the abort"},
    {{TK_ENTER}, "Enter", ACT_ENTER, ON_TRACES, "Source", "source and bytecode where it starts"},
    {{TK_ENTER}, "Enter", ACT_ENTER, ON_LOG, "Go", "the trace, or the abort"},
    {{TK_F3, '/'}, "F3 /", ACT_FIND, ON_SCREENS, "Find", "find, while you type"},
    {{'n'}, "n", ACT_FIND_NEXT, ON_SCREENS, NULL, "find the next one"},
    {{'N'}, "N", ACT_FIND_BACK, ON_SCREENS, NULL, "find the one before"},
    {{TK_F4, '\\'},
     "F4 \\",
     ACT_FILTER,
     ON_ROWS,
     "Filter",
     "only rows that match a regular expression; Esc clears it"},
    {{TK_F5, 't'},
     "F5 t",
     ACT_TREE,
     ON_FUNCTIONS | ON_TRACES,
     "Tree",
     "flat, callees, callers; traces: tree or flat"},
    {{TK_F6, '>', '.'}, "F6 > .", ACT_SORT, ON_ROWS & ~ON_LOG, "Sort", "sort by the next column"},
    {{'<'}, "<", ACT_SORT_BACK, ON_ROWS & ~ON_LOG, NULL, "sort by the column before"},
    {{'I'}, "I", ACT_INVERT, ON_ROWS & ~ON_LOG, NULL, "invert the order"},
    {{'Z', ' '}, "Z Space", ACT_PAUSE, ON_SCREENS, "Pause", "hold the picture; sampling goes on"},
    {{'F'},
     "F",
     ACT_FOLLOW,
     ON_ROWS,
     "Follow",
     "keep the row in the middle of the screen; log: stay at the end"},
    {{'R'}, "R", ACT_RESET, ON_SCREENS, NULL, "reset: forget the samples so far"},
    {{'o'}, "o", ACT_WINDOW, ON_SCREENS, NULL, "last 5 s, or since the start"},
    {{'p'}, "p", ACT_PROCESS, ON_SCREENS, NULL, "the row's process only, or all"},
    {{TK_LEFT}, "Left", ACT_LEFT, ON_SCREENS, NULL, "process or VM before"},
    {{TK_RIGHT}, "Right", ACT_RIGHT, ON_SCREENS, NULL, "next process or VM"},
    {{'s'},
     "s",
     ACT_STATE,
     ON_FUNCTIONS,
     NULL,
     "only samples in one state: N, I, C, G, J, all again"},
    {{'L', 'f'}, "L f", ACT_LINES, ON_FUNCTIONS, NULL, "a row for each line, or for each function"},
    {{'+'}, "+", ACT_EXPAND, ON_FUNCTIONS, NULL, "tree: open the row"},
    {{'-'}, "-", ACT_COLLAPSE, ON_FUNCTIONS, NULL, "tree: close the row"},
    {{'*'}, "*", ACT_EXPAND_ALL, ON_FUNCTIONS, NULL, "tree: open all, or as before"},
    {{'%'}, "%", ACT_THRESHOLD, ON_FUNCTIONS, NULL, "hide rows below 0.1, 0.5, 1, 5 %"},
    {{'a'}, "a", ACT_ANNOTATE, ON_ROWS, "Annotate", "source and bytecode of the row's function"},
    {{'y'},
     "y",
     ACT_NYI,
     ON_FUNCTIONS | ON_TRACES | ON_ANNOTATE | ON_LOG,
     "NYI",
     "why is this not compiled: NYI and aborts at the row's place"},
    {{'x'}, "x", ACT_EXPLAIN, ON_ROWS | ON_ANNOTATE, NULL, "explain the reason of the row"},
    {{'g'}, "g", ACT_SCOPE, ON_NYI, "Scope", "the function, its file, the process"},
    {{'r'}, "r", ACT_ROOT, ON_TRACES, "Root", "only the family of the trace, or all"},
    {{'H'}, "H", ACT_HOTTEST, ON_ANNOTATE, "Hottest", "the hottest line"},
    {{']'}, "]", ACT_HOT_NEXT, ON_ANNOTATE, "Next", "next hot line"},
    {{'['}, "[", ACT_HOT_BACK, ON_ANNOTATE, NULL, "hot line before"},
    {{'!'}, "!", ACT_ABORT_NEXT, ON_ANNOTATE, "Abort", "next line where recording stopped"},
    {{'b'}, "b", ACT_BYTECODE, ON_ANNOTATE, "Bytecode", "source, bytecode, or both"},
    {{'e'}, "e", ACT_EXPORT, ON_SCREENS, "Export", "write a file: format, span, name"},
    {{'c'}, "c", ACT_COPY, ON_SCREENS, NULL, "copy the row's location (OSC 52)"},
    {{'#'}, "#", ACT_METERS, ON_FUNCTIONS, NULL, "hide the meters"},
    {{'C'}, "C", ACT_COLOURS, ON_SCREENS, NULL, "colours: default, mono, light, colour-blind"},
    {{TK_ESC}, "Esc", ACT_BACK, ON_SCREENS, NULL, "clear the filter, or back to where you were"},
    {{'q', TK_F10}, "q F10", ACT_QUIT, ON_SCREENS, "Quit", "quit"},
    /* Over the screens. */
    {{TK_ESC, 'q', TK_ENTER}, "Esc q Enter", ACT_BACK, ON_TEXT, "Back", "close this"},
    {{TK_ENTER}, "Enter", ACT_WRITE, ON_EXPORT, "Write", "write the file"},
    {{'f'}, "f", ACT_FORMAT, ON_EXPORT, "Format", "next format"},
    {{'o'}, "o", ACT_SPAN, ON_EXPORT, "Span", "since the start, or the last 5 s"},
    {{'n'}, "n", ACT_NAME, ON_EXPORT, "Name", "another file name"},
    {{TK_ESC, 'q'}, "Esc q", ACT_BACK, ON_EXPORT, "Back", "write nothing"},
};

const struct key *keys_table(size_t *n)
{
	*n = sizeof(keys) / sizeof(keys[0]);
	return keys;
}

enum action keys_action(int code, unsigned int on)
{
	size_t i, c;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		for (c = 0; c < 4 && keys[i].code[c]; c++)
			if (keys[i].code[c] == code && (keys[i].on & on))
				return keys[i].action;
	return ACT_NONE;
}
