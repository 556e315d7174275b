// SPDX-License-Identifier: MIT
#define NCURSES_WIDECHAR 1
#include "tui/term.h"
#include "tui/terminfo.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#define PAIRS 64

struct term {
	SCREEN *screen;
	int utf8, ascii, colours, mouse;
	struct grid shown; /* what the terminal holds */
	enum palette palette;
	int pairs;
	struct {
		int fg, bg;
	} pair[PAIRS];
	int eof;
};

/* What a signal handler needs: how the terminal was. */
static struct termios saved_modes;
static volatile sig_atomic_t taken_over;

static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};

/* Leave the other screen, show the cursor, no mouse, no colours: what all terminals know. */
static const char restore_text[] = "\033[?1000l\033[?1002l\033[?1006l\033[?1049l\033[?25h\033[0m"
				   "\033[?1l\033>\r\n";

/* Only async-signal-safe calls; then the signal does what it does. */
static void on_crash(int sig)
{
	if (taken_over) {
		taken_over = 0;
		if (write(STDOUT_FILENO, restore_text, sizeof(restore_text) - 1) < 0)
			taken_over = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &saved_modes);
	}
	signal(sig, SIG_DFL);
	raise(sig);
}

static void catch_crashes(void)
{
	struct sigaction sa = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};
	size_t i;

	sigemptyset(&sa.sa_mask);
	for (i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		sigaction(crashes[i], &sa, NULL);
	sigaction(SIGQUIT, &sa, NULL);
}

int term_usable(void)
{
	const char *name = getenv("TERM");

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && name && *name &&
	       strcmp(name, "dumb") != 0 && terminfo_usable();
}

static int wants_colour(const struct term_opts *o)
{
	const char *no = getenv("NO_COLOR");

	if (o->color != TERM_AUTO)
		return o->color == TERM_ALWAYS;
	return !no || !*no;
}

static void set_up(struct term *t, const struct term_opts *o)
{
	cbreak();
	noecho();
	nonl();
	intrflush(stdscr, FALSE);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(25);
	leaveok(stdscr, FALSE);
	curs_set(0);
	if (wants_colour(o) && has_colors() && start_color() == OK) {
		use_default_colors();
		t->colours = COLORS;
	}
	t->mouse = o->mouse;
	if (o->mouse) {
		mousemask(BUTTON1_PRESSED | BUTTON1_CLICKED | BUTTON1_DOUBLE_CLICKED |
			      BUTTON4_PRESSED | BUTTON5_PRESSED,
			  NULL);
		mouseinterval(0);
	}
}

int term_open(const struct term_opts *o, struct term **out)
{
	struct term *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	setlocale(LC_CTYPE, "");
	t->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	t->ascii = o->ascii || !t->utf8;
	if (tcgetattr(STDIN_FILENO, &saved_modes)) {
		free(t);
		return -ENOTTY;
	}
	catch_crashes();
	t->screen = newterm(NULL, stdout, stdin);
	if (!t->screen) {
		free(t);
		return -ENOTTY;
	}
	taken_over = 1;
	set_up(t, o);
	*out = t;
	return 0;
}

void term_close(struct term *t)
{
	if (!t)
		return;
	if (t->mouse)
		mousemask(0, NULL);
	curs_set(1);
	endwin();
	taken_over = 0;
	delscreen(t->screen);
	grid_release(&t->shown);
	free(t);
}

void term_size(const struct term *t, int *w, int *h)
{
	(void)t;
	*w = COLS;
	*h = LINES;
}

int term_ascii(const struct term *t)
{
	return t->ascii;
}

/* The pair of these colours, made when it is first used. */
static int pair_of(struct term *t, int fg, int bg)
{
	int i;

	if (fg < 0 && bg < 0)
		return 0;
	for (i = 0; i < t->pairs; i++)
		if (t->pair[i].fg == fg && t->pair[i].bg == bg)
			return i + 1;
	if (t->pairs == PAIRS || t->pairs + 1 >= COLOR_PAIRS ||
	    init_pair((short)(t->pairs + 1), (short)fg, (short)bg) != OK)
		return 0;
	t->pair[t->pairs].fg = fg;
	t->pair[t->pairs].bg = bg;
	return ++t->pairs;
}

static attr_t attrs_of(unsigned int style)
{
	return (style & STYLE_BOLD ? A_BOLD : 0) | (style & STYLE_REVERSE ? A_REVERSE : 0) |
	       (style & STYLE_UNDERLINE ? A_UNDERLINE : 0) | (style & STYLE_DIM ? A_DIM : 0);
}

static void show_cell(struct term *t, int x, int y, const struct grid_cell *c, enum palette p)
{
	struct style s = palette_style(p, (enum grid_role)c->role, t->colours);
	wchar_t text[2] = {(wchar_t)c->cp, 0};
	cchar_t cell;

	if (!c->cp) /* the second half of a wide one */
		return;
	setcchar(&cell, text, attrs_of(s.attrs), (short)pair_of(t, s.fg, s.bg), NULL);
	mvadd_wch(y, x, &cell);
}

void term_show(struct term *t, const struct grid *g, enum palette p)
{
	int x, y, all = t->shown.w != g->w || t->shown.h != g->h || t->palette != p;

	if (all) {
		grid_resize(&t->shown, g->w, g->h);
		erase();
		t->palette = p;
	}
	for (y = 0; y < g->h && y < LINES; y++)
		for (x = 0; x < g->w && x < COLS; x++) {
			size_t i = (size_t)y * (size_t)g->w + (size_t)x;

			if (!all && t->shown.cell[i].cp == g->cell[i].cp &&
			    t->shown.cell[i].role == g->cell[i].role)
				continue;
			show_cell(t, x, y, &g->cell[i], p);
			t->shown.cell[i] = g->cell[i];
		}
	curs_set(g->cursor_x >= 0);
	if (g->cursor_x >= 0)
		move(g->cursor_y, g->cursor_x);
	refresh();
}

static const struct {
	int curses, ours;
} codes[] = {
    {KEY_UP, TK_UP},
    {KEY_DOWN, TK_DOWN},
    {KEY_LEFT, TK_LEFT},
    {KEY_RIGHT, TK_RIGHT},
    {KEY_PPAGE, TK_PGUP},
    {KEY_NPAGE, TK_PGDN},
    {KEY_HOME, TK_HOME},
    {KEY_END, TK_END},
    {KEY_BTAB, TK_BTAB},
    {KEY_DC, TK_DELETE},
    {KEY_BACKSPACE, TK_BACKSPACE},
    {KEY_ENTER, TK_ENTER},
    {KEY_RESIZE, TK_RESIZE},
};

static int mouse_event(struct key_event *out)
{
	MEVENT m;

	if (getmouse(&m) != OK)
		return TK_OTHER;
	out->x = m.x;
	out->y = m.y;
	out->wheel = m.bstate & BUTTON4_PRESSED ? -1 : m.bstate & BUTTON5_PRESSED ? 1 : 0;
	out->twice = !!(m.bstate & BUTTON1_DOUBLE_CLICKED);
	return TK_MOUSE;
}

static int translate(wint_t c, int special, struct key_event *out)
{
	size_t i;

	if (!special)
		return c == '\n' ? TK_ENTER : c == 0x7f || c == 0x08 ? TK_BACKSPACE : (int)c;
	if (c == KEY_MOUSE)
		return mouse_event(out);
	if (c >= KEY_F(1) && c <= KEY_F(10))
		return TK_F1 + (int)(c - KEY_F(1));
	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if ((wint_t)codes[i].curses == c)
			return codes[i].ours;
	return TK_OTHER;
}

int term_key(struct term *t, int ms, struct key_event *out)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	wint_t c;
	int got;

	memset(out, 0, sizeof(*out));
	got = get_wch(&c);
	if (got == ERR && ms > 0) {
		if (poll(&p, 1, ms) > 0 && (p.revents & (POLLHUP | POLLERR)))
			return -EIO;
		got = get_wch(&c);
		/* Readable and yet nothing there, again and again: the other end is gone. */
		t->eof = got == ERR && (p.revents & POLLIN) ? t->eof + 1 : 0;
		if (t->eof > 20)
			return -EIO;
	}
	if (got == ERR)
		return 0;
	out->code = translate(c, got == KEY_CODE_YES, out);
	return 1;
}

void term_copy(struct term *t, const char *text)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text), i;

	(void)t;
	fputs("\033]52;c;", stdout);
	for (i = 0; i < len; i += 3) {
		unsigned int v = (unsigned int)(unsigned char)text[i] << 16, n = 1;

		if (i + 1 < len)
			v |= (unsigned int)(unsigned char)text[i + 1] << 8, n++;
		if (i + 2 < len)
			v |= (unsigned char)text[i + 2], n++;
		putchar(digits[v >> 18]);
		putchar(digits[v >> 12 & 63]);
		putchar(n > 1 ? digits[v >> 6 & 63] : '=');
		putchar(n > 2 ? digits[v & 63] : '=');
	}
	putchar('\a');
	fflush(stdout);
}
