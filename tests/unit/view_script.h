/* SPDX-License-Identifier: MIT */
/* Runs the live view on a recording without a terminal: keys come from a script, screens are text.
 */
#ifndef TESTS_UNIT_VIEW_SCRIPT_H
#define TESTS_UNIT_VIEW_SCRIPT_H

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/ui.h"

struct scene {
	struct model m;
	struct ui u;
	struct grid g;
	struct options o;
	int quit;
};

/* Memory of a process that is there although its recording is replayed; NULL: there is none. */
static mcode_read_fn *scene_memory;

static const struct {
	const char *name;
	int code;
} script_keys[] = {{"Up", TK_UP},	   {"Down", TK_DOWN},	{"Left", TK_LEFT},
		   {"Right", TK_RIGHT},	   {"PgUp", TK_PGUP},	{"PgDn", TK_PGDN},
		   {"Home", TK_HOME},	   {"End", TK_END},	{"Tab", TK_TAB},
		   {"S-Tab", TK_BTAB},	   {"Enter", TK_ENTER}, {"Esc", TK_ESC},
		   {"Back", TK_BACKSPACE}, {"Space", ' '}};

static inline void scene_key(struct scene *s, int code)
{
	struct key_event k = {.code = code};
	int flags;

	s->u.now += 5 * MODEL_SECOND; /* nobody types faster: rows are not held */
	flags = ui_key(&s->u, &k);
	assert(flags >= 0);
	s->quit |= flags & UI_QUIT;
}

/* What rows are split by: as prof_opts. */
static unsigned int scene_split;

/* "Down Down Enter F5 /=decode x": keys by name, "K=text" types text after K. */
static inline void scene_keys(struct scene *s, const char *script)
{
	char copy[512], *save = NULL, *w;
	size_t i;

	snprintf(copy, sizeof(copy), "%s", script);
	for (w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		for (i = 0; i < sizeof(script_keys) / sizeof(script_keys[0]); i++)
			if (!strcmp(w, script_keys[i].name))
				break;
		if (i < sizeof(script_keys) / sizeof(script_keys[0])) {
			scene_key(s, script_keys[i].code);
		} else if (w[0] == 'F' && isdigit((unsigned char)w[1])) {
			scene_key(s, TK_F1 - 1 + atoi(w + 1));
		} else {
			scene_key(s, w[0]);
			for (w += w[1] == '=' ? 2 : strlen(w); *w; w++)
				scene_key(s, *w);
		}
	}
}

/* Opens a recording; pieces of the view are as after its last record. */
static inline void scene_open(struct scene *s, const char *file, int w, int h, int ascii)
{
	struct model_opts mo = {.split = scene_split};
	struct ui_opts uo = {.file = file, .rate = 49, .read = scene_memory};
	struct why why = {.code = 0};
	int err;

	memset(s, 0, sizeof(*s));
	s->o.sort = "self";
	s->g.ascii = ascii;
	err = model_init(&s->m, &mo);
	assert(!err);
	s->o.quiet = 1;
	err = replay(&s->o, file, model_record, &s->m, &why);
	assert(!err);
	uo.o = &s->o;
	uo.name = s->m.comm;
	uo.pid = (int)s->m.first_pid;
	s->u.now = 1000 * MODEL_SECOND;
	err = ui_init(&s->u, &s->m, &uo) || grid_resize(&s->g, w, h);
	s->u.now = 1000 * MODEL_SECOND;
	assert(!err);
	err = ui_refresh(&s->u, 0);
	assert(!err);
	(void)err;
}

static inline void scene_close(struct scene *s)
{
	ui_release(&s->u);
	grid_release(&s->g);
	model_release(&s->m);
}

/* The screen as text, to be freed. */
static inline char *scene_draw(struct scene *s, int roles)
{
	char *text;

	ui_draw(&s->u, &s->g);
	text = grid_dump(&s->g, roles);
	assert(text);
	return text;
}

#endif
