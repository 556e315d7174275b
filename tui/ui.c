// SPDX-License-Identifier: MIT
/* What keys do, on all screens. */
#include "tui/ui.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_TIME 5000000000ull

static const struct screen_ops *const screens[SCREENS] = {
    &screen_functions, &screen_nyi, &screen_traces, &screen_annotate, &screen_log, &screen_quality};

const struct screen_ops *ui_screen(int i)
{
	return screens[i];
}

static struct list *current(struct ui *u)
{
	return &u->list[u->screen];
}

int ui_init(struct ui *u, struct model *m, const struct ui_opts *o)
{
	static const char *const sorts[] = {"self", "total", "name", NULL};
	int i;

	memset(u, 0, sizeof(*u));
	u->m = m;
	u->opts = *o;
	u->w = 80;
	u->h = 24;
	u->at.frame = u->to_row.frame = u->callers_of = PICK_ALL;
	u->query = (struct pick_query){.recent = !o->file, .pid = PICK_ALL, .only = PROF_GROUP_MAX};
	for (i = 0; i < SCREENS; i++) {
		u->list[i].above = screens[i]->above ? -1 : 0;
		u->list[i].cursor = u->list[i].above;
	}
	u->list[4].follow = 1; /* the log stays at its end */
	for (i = 0; o->o->sort && sorts[i]; i++)
		if (!strcmp(o->o->sort, sorts[i]))
			u->sort[0] = i == 2 ? 8 : i;
	if (o->o->filter)
		snprintf(u->filter[0], UI_TEXT, "%s", o->o->filter);
	return 0;
}

void ui_release(struct ui *u)
{
	int i;

	for (i = 0; i < SCREENS; i++) {
		if (screens[i]->release)
			screens[i]->release(u);
		list_release(&u->list[i]);
	}
	join_free(u->join);
	export_free(u->export);
	machine_free(u->machine);
	free(u->flat);
	free(u->flipped);
	u->flipped = NULL;
}

void ui_message(struct ui *u, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(u->message, sizeof(u->message), fmt, ap);
	va_end(ap);
	u->message_until = u->now + MESSAGE_TIME;
}

/* ---- data ---- */

/* The rows of the screen that is open, from the model's picture. */
static int load(struct ui *u)
{
	const struct screen_ops *s = screens[u->screen];
	unsigned int generation = u->m->pic.generation;
	int err;

	if (u->join_of != generation || !u->join) {
		join_free(u->join);
		free(u->flat);
		u->join = join_new(&u->m->pic);
		u->flat = pick_rows(u->m->pick, 0, &u->nflat, &u->flat_left);
		u->join_of = generation;
		if (!u->join || !u->flat)
			return -ENOMEM;
		advice_make(u, &u->advice);
	}
	u->loaded[u->screen] = generation;
	err = s->load(u);
	return err ? err : s->arrange(u);
}

/* Asks for other samples, whatever the pause: the user wants to see something else. */
static int query(struct ui *u)
{
	int err = model_select(u->m, &u->query);

	return err ? err : load(u);
}

int ui_refresh(struct ui *u, uint64_t stream_now)
{
	int err;

	if (u->paused)
		return 0;
	err = model_refresh(u->m, &u->query, stream_now);
	return err ? err : load(u);
}

/* ---- going from screen to screen ---- */

unsigned int ui_open(struct ui *u, int screen, const struct place *at)
{
	struct back *b;

	if (u->nback == (int)(sizeof(u->back) / sizeof(u->back[0])))
		memmove(u->back, u->back + 1, (size_t)--u->nback * sizeof(*b));
	b = &u->back[u->nback++];
	*b = (struct back){.screen = u->screen, .place = u->at};
	u->screen = screen;
	if (at && screens[screen]->go)
		screens[screen]->go(u, at);
	return UI_SCREEN;
}

static unsigned int go_back(struct ui *u)
{
	const struct back *b;

	if (*u->filter[u->screen]) {
		*u->filter[u->screen] = '\0';
		return UI_ARRANGE;
	}
	if (!u->nback)
		return 0;
	b = &u->back[--u->nback];
	u->screen = b->screen;
	u->at = b->place;
	return UI_SCREEN;
}

static int place_here(struct ui *u, struct place *p)
{
	*p = (struct place){.frame = PICK_ALL, .group = u->at.group};
	return screens[u->screen]->place && screens[u->screen]->place(u, p);
}

static unsigned int open_screen(struct ui *u, int screen)
{
	struct place p;

	if (screen == u->screen)
		return 0;
	if (place_here(u, &p))
		return ui_open(u, screen, &p);
	return ui_open(u, screen, NULL);
}

/* ---- processes ---- */

/* Is this the first context of its process, or one of several VMs of it? */
static int is_choice(const struct model_picture *pic, size_t i, int *vm)
{
	const struct pick_context *c = &pic->contexts[i];
	size_t j, vms = 0, first = 1;

	for (j = 0; j < pic->ncontexts; j++) {
		vms += pic->contexts[j].pid == c->pid && pic->contexts[j].g;
		first &= !(j < i && pic->contexts[j].pid == c->pid);
	}
	*vm = vms > 1 && c->g;
	return first || *vm;
}

/* All, then each process, then, where it has several, its VMs. */
static unsigned int step_process(struct ui *u, int by)
{
	const struct model_picture *pic = &u->m->pic;
	struct pick_query *list = calloc(pic->ncontexts * 2 + 1, sizeof(*list));
	size_t n = 1, i, at = 0;

	if (!list)
		return 0;
	list[0].pid = PICK_ALL;
	for (i = 0; i < pic->ncontexts; i++) {
		const struct pick_context *c = &pic->contexts[i];
		int vm;

		if (!is_choice(pic, i, &vm))
			continue;
		if (n == 1 || list[n - 1].pid != c->pid)
			list[n++] = (struct pick_query){.pid = c->pid};
		if (vm)
			list[n++] = (struct pick_query){.pid = c->pid, .g = c->g};
	}
	for (i = 0; i < n; i++)
		if (list[i].pid == u->query.pid && list[i].g == u->query.g)
			at = i;
	at = (at + n + (size_t)(by + (int)n)) % n;
	u->query.pid = list[at].pid;
	u->query.g = list[at].g;
	free(list);
	return UI_LOAD;
}

static unsigned int toggle_process(struct ui *u)
{
	struct place p;

	if (u->query.pid != PICK_ALL) {
		u->query.pid = PICK_ALL;
		u->query.g = 0;
		return UI_LOAD;
	}
	if (!place_here(u, &p) || !p.pid)
		return step_process(u, 1);
	u->query.pid = p.pid;
	return UI_LOAD;
}

/* ---- find ---- */

static unsigned int find(struct ui *u, int by, int from_here)
{
	struct list *l = current(u);
	long n = (long)l->n, i, at;
	char buf[UI_TEXT];

	if (!*u->find || !screens[u->screen]->text || !n)
		return UI_DRAW;
	for (i = from_here ? 0 : 1; i <= n; i++) {
		at = ((l->cursor < 0 ? 0 : l->cursor) + by * i) % n;
		if (at < 0)
			at += n;
		if (strcasestr(screens[u->screen]->text(u, (size_t)at, buf), u->find)) {
			list_go(l, at, u->now);
			return UI_DRAW;
		}
	}
	ui_message(u, "nothing like '%s'", u->find);
	return UI_DRAW;
}

/* ---- text that is typed ---- */

static unsigned int prompt_open(struct ui *u, enum prompt p, const char *text)
{
	u->prompt = p;
	snprintf(u->input, sizeof(u->input), "%s", text);
	return UI_DRAW;
}

static unsigned int prompt_changed(struct ui *u)
{
	if (u->prompt == PROMPT_FIND) {
		snprintf(u->find, sizeof(u->find), "%s", u->input);
		return find(u, 1, 1);
	}
	if (u->prompt == PROMPT_FILTER) {
		snprintf(u->filter[u->screen], UI_TEXT, "%s", u->input);
		return UI_ARRANGE;
	}
	return UI_DRAW;
}

static void type(struct ui *u, int code)
{
	size_t n = strlen(u->input);

	if (code == TK_BACKSPACE || code == TK_DELETE) {
		while (n && ((unsigned char)u->input[n - 1] & 0xc0) == 0x80)
			n--;
		u->input[n ? n - 1 : 0] = '\0';
	} else if (code >= ' ' && code < 0x7f && n + 2 < sizeof(u->input)) {
		u->input[n] = (char)code;
		u->input[n + 1] = '\0';
	} else if (code >= 0xa0 && code < 0x800 && n + 3 < sizeof(u->input)) {
		snprintf(u->input + n, 3, "%c%c", 0xc0 | code >> 6, 0x80 | (code & 0x3f));
	} else if (code >= 0x800 && code < 0x10000 && n + 4 < sizeof(u->input)) {
		snprintf(u->input + n, 4, "%c%c%c", 0xe0 | code >> 12, 0x80 | (code >> 6 & 0x3f),
			 0x80 | (code & 0x3f));
	}
}

static unsigned int prompt_key(struct ui *u, int code)
{
	enum prompt p = u->prompt;

	if (code == TK_ESC) {
		u->prompt = PROMPT_NONE;
		if (p != PROMPT_FILTER)
			return UI_DRAW;
		*u->filter[u->screen] = '\0';
		return UI_ARRANGE;
	}
	if (code == TK_ENTER) {
		u->prompt = PROMPT_NONE;
		if (p == PROMPT_NAME)
			export_rename(u, u->input);
		return UI_DRAW;
	}
	if (p == PROMPT_FIND && (code == TK_F3 || code == TK_DOWN))
		return find(u, 1, 0);
	if (p == PROMPT_FIND && code == TK_UP)
		return find(u, -1, 0);
	type(u, code);
	return prompt_changed(u);
}

/* ---- actions ---- */

static unsigned int scroll_over(struct ui *u, enum action a)
{
	static const struct {
		enum action a;
		long by;
	} moves[] = {{ACT_UP, -1},   {ACT_DOWN, 1},	  {ACT_PGUP, -10},
		     {ACT_PGDN, 10}, {ACT_HOME, -100000}, {ACT_END, 100000}};
	size_t i;

	for (i = 0; i < sizeof(moves) / sizeof(moves[0]); i++)
		if (moves[i].a == a)
			u->over_top += moves[i].by;
	if (u->over_top < 0)
		u->over_top = 0;
	if (a == ACT_HOTTEST)
		machine_hottest(u);
	if (a == ACT_BACK) {
		u->over = 0;
		u->over_top = 0;
	}
	return UI_DRAW;
}

static unsigned int move(struct ui *u, enum action a)
{
	struct list *l = current(u);
	long page = l->height > 1 ? l->height - 1 : 1;

	switch (a) {
	case ACT_UP:
		list_move(l, -1, u->now);
		break;
	case ACT_DOWN:
		list_move(l, 1, u->now);
		break;
	case ACT_PGUP:
		list_move(l, -page, u->now);
		break;
	case ACT_PGDN:
		list_move(l, page, u->now);
		break;
	case ACT_HOME:
		list_go(l, l->above, u->now);
		break;
	default:
		list_go(l, (long)l->n - 1, u->now);
		break;
	}
	/* Who scrolls up in the log wants to read. */
	if (u->screen == 4)
		l->follow = l->cursor + 1 >= (long)l->n;
	else
		l->follow = 0;
	return UI_DRAW;
}

static unsigned int sort(struct ui *u, enum action a)
{
	const char *const *columns = screens[u->screen]->columns;
	int n = 0, *now = &u->sort[u->screen];

	while (columns && columns[n])
		n++;
	if (!n)
		return 0;
	if (a == ACT_INVERT)
		u->invert[u->screen] ^= 1;
	else
		*now = (*now + (a == ACT_SORT ? 1 : n - 1)) % n;
	current(u)->moved = 0; /* at once */
	ui_message(u, "sorted by %s%s", columns[*now],
		   u->invert[u->screen] ? ", the other way round" : "");
	return UI_ARRANGE;
}

static unsigned int pause_or_go_on(struct ui *u)
{
	u->paused = !u->paused;
	ui_message(u, u->paused ? "paused: sampling goes on" : "live again");
	return u->paused ? UI_DRAW : UI_LOAD;
}

static unsigned int copy(struct ui *u)
{
	struct place p;

	if (!place_here(u, &p) || !*p.file) {
		ui_message(u, "this row has no location");
		return UI_DRAW;
	}
	snprintf(u->copy, sizeof(u->copy), "%.200s:%u", p.file,
		 p.line ? p.line : (uint32_t)p.firstline);
	ui_message(u, "copied %.200s", u->copy);
	return UI_DRAW;
}

/* Actions that lead to another screen, with the row's place. */
static unsigned int go(struct ui *u, enum action a)
{
	switch (a) {
	case ACT_NEXT:
		return open_screen(u, (u->screen + 1) % SCREENS);
	case ACT_PREVIOUS:
		return open_screen(u, (u->screen + SCREENS - 1) % SCREENS);
	case ACT_ANNOTATE:
		return open_screen(u, 3);
	case ACT_NYI:
		return open_screen(u, 1);
	default:
		return open_screen(u, (int)(a - ACT_SCREEN1));
	}
}

static unsigned int act(struct ui *u, enum action a)
{
	if (a >= ACT_UP && a <= ACT_END)
		return move(u, a);
	if ((a >= ACT_NEXT && a <= ACT_SCREEN6) || a == ACT_ANNOTATE || a == ACT_NYI)
		return go(u, a);
	switch (a) {
	case ACT_HELP:
		u->over = ON_HELP;
		return UI_DRAW;
	case ACT_QUIT:
		return UI_QUIT;
	case ACT_LEFT:
	case ACT_RIGHT:
		return step_process(u, a == ACT_LEFT ? -1 : 1);
	case ACT_PROCESS:
		return toggle_process(u);
	case ACT_FIND:
		return prompt_open(u, PROMPT_FIND, "");
	case ACT_FIND_NEXT:
	case ACT_FIND_BACK:
		return find(u, a == ACT_FIND_NEXT ? 1 : -1, 0);
	case ACT_FILTER:
		return prompt_open(u, PROMPT_FILTER, u->filter[u->screen]);
	case ACT_SORT:
	case ACT_SORT_BACK:
	case ACT_INVERT:
		return sort(u, a);
	case ACT_PAUSE:
		return pause_or_go_on(u);
	case ACT_FOLLOW:
		current(u)->follow ^= 1;
		if (u->screen == 4 && current(u)->follow)
			list_go(current(u), (long)current(u)->n - 1, u->now);
		ui_message(u, current(u)->follow ? "following the row" : "not following");
		return UI_DRAW;
	case ACT_RESET:
		model_reset(u->m);
		ui_message(u, "samples forgotten: counting from now");
		return UI_LOAD;
	case ACT_WINDOW:
		u->query.recent ^= 1;
		return UI_LOAD;
	case ACT_EXPORT:
		return export_open(u);
	case ACT_COPY:
		return copy(u);
	case ACT_COLOURS:
		u->palette++;
		return UI_DRAW;
	case ACT_BACK:
		return go_back(u);
	default:
		return screens[u->screen]->act ? screens[u->screen]->act(u, a) : 0;
	}
}

static unsigned int mouse(struct ui *u, const struct key_event *k)
{
	struct list *l = current(u);
	long row = k->y - u->list_y + l->top;

	if (k->wheel && u->over)
		return scroll_over(u, k->wheel < 0 ? ACT_UP : ACT_DOWN);
	if (k->wheel) {
		list_move(l, k->wheel * 3, u->now);
		return UI_DRAW;
	}
	if (k->y >= 0 && k->y < u->h && k->x >= 0 && k->x < u->w && u->nhot) {
		size_t i;

		for (i = 0; i < u->nhot; i++)
			if (u->hot[i].y == k->y && k->x >= u->hot[i].x0 && k->x < u->hot[i].x1) {
				struct key_event e = {.code = u->hot[i].key};

				if (u->hot[i].sort < 0)
					return e.code ? (unsigned int)ui_key(u, &e) | UI_DRAW : 0;
				u->invert[u->screen] =
				    u->sort[u->screen] == u->hot[i].sort && !u->invert[u->screen];
				u->sort[u->screen] = u->hot[i].sort;
				l->moved = 0;
				return UI_ARRANGE;
			}
	}
	if (u->over || k->y < u->list_y || row < 0 || row >= (long)l->n ||
	    k->y >= u->list_y + l->height)
		return 0;
	list_go(l, row, u->now);
	return k->twice ? act(u, ACT_ENTER) : UI_DRAW;
}

int ui_key(struct ui *u, const struct key_event *k)
{
	enum action a;
	unsigned int flags;
	int err = 0;

	u->message_until = 0;
	if (k->code == TK_MOUSE)
		flags = mouse(u, k);
	else if (u->prompt != PROMPT_NONE)
		flags = prompt_key(u, k->code);
	else if (a = keys_action(k->code, u->over ? u->over : screens[u->screen]->on), !a)
		flags = 0;
	else if (u->over == ON_EXPORT)
		flags = export_act(u, a);
	else if (u->over)
		flags = scroll_over(u, a);
	else
		flags = act(u, a);
	if (flags & UI_QUIT)
		return UI_QUIT;
	if (flags & UI_LOAD)
		err = query(u);
	else if (flags & UI_SCREEN)
		err = load(u);
	else if (flags & UI_ARRANGE)
		err = screens[u->screen]->arrange(u);
	return err;
}
