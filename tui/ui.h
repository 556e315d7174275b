/* SPDX-License-Identifier: MIT */
/*
 * The live view without its terminal: takes keys, draws into a grid. Pure but for the files that
 * an export writes: time is what the caller says. view.c runs it in a terminal, tests without.
 *
 * A screen is a table of functions. What a key does is told by flags, on which only ui_key acts.
 */
#ifndef TUI_UI_H
#define TUI_UI_H

#include "tui/grid.h"
#include "tui/join.h"
#include "tui/keys.h"
#include "tui/list.h"
#include "tui/model.h"

#include "bpf/mcode.h"
#include "bytecode/explain.h"
#include "tui/ljx.h"

#define UI_TEXT 256

/* Something in the program that screens can show: what stays when another screen is opened. */
struct place {
	char file[UI_TEXT]; /* "": none */
	char name[96];
	int32_t firstline, lastline; /* of the function; lastline 0: not known */
	uint32_t line;		     /* 0: none */
	uint32_t frame;		     /* of the profile; PICK_ALL: not known */
	uint32_t group;		     /* as pick_row.s, of a split profile; 0: any */
	uint32_t pid, vm, trace;     /* trace 0: none; pid 0: any */
};

/* What a key leads to. */
#define UI_DRAW 1u
#define UI_ARRANGE 2u /* rows are to be filtered and sorted again */
#define UI_LOAD 4u    /* another question to the model */
#define UI_QUIT 8u
#define UI_SCREEN 16u /* another screen: its rows are to be taken from the picture */

struct ui;
struct screen_ops {
	const char *name;
	unsigned int on; /* ON_* */
	int above;	 /* the cursor may be on a line above the rows */
	/* Takes rows from the model's picture. 0 or -ENOMEM. */
	int (*load)(struct ui *u);
	/* Filters and sorts them, fills the list. 0 or -ENOMEM. */
	int (*arrange)(struct ui *u);
	/* Draws everything but the lines of keys. */
	void (*draw)(struct ui *u, struct grid *g);
	/* The text of a row, in which find and filter look. */
	const char *(*text)(struct ui *u, size_t row, char buf[UI_TEXT]);
	/* What the row under the cursor is about; 0: nothing. */
	int (*place)(struct ui *u, struct place *out);
	/* Shows that. */
	void (*go)(struct ui *u, const struct place *to);
	unsigned int (*act)(struct ui *u, enum action a);
	/* Columns to sort by; NULL: none. */
	const char *const *columns;
	void (*release)(struct ui *u);
};
extern const struct screen_ops screen_functions, screen_nyi, screen_traces, screen_annotate,
    screen_log, screen_quality;

enum prompt { PROMPT_NONE, PROMPT_FIND, PROMPT_FILTER, PROMPT_NAME };
enum scope { SCOPE_LOCATION, SCOPE_FILE, SCOPE_PROCESS };
enum tree { TREE_FLAT, TREE_CALLEES, TREE_CALLERS };

struct ui_opts {
	const struct options *o; /* for exports */
	const char *file;	 /* the recording; NULL: live */
	const char *name;	 /* of the target */
	int pid;
	unsigned int rate;
	mcode_read_fn *read; /* reads a target's memory; NULL: nobody is there */
};

/* What to fix now. */
struct advice {
	char text[512];
	int warn;
	int screen; /* where Enter goes */
	struct place place;
};

struct back {
	int screen;
	struct place place;
};

struct ui {
	struct model *m;
	struct ui_opts opts;
	uint64_t now; /* ns, of any steady clock */
	int w, h;
	int screen;
	unsigned int over; /* ON_HELP, ON_EXPORT, ON_EXPLAIN, ON_MACHINE; 0: nothing */
	long over_top;
	struct list list[SCREENS];
	void *rows[SCREENS];	      /* of the screens */
	unsigned int loaded[SCREENS]; /* generation of the picture */
	char filter[SCREENS][UI_TEXT];
	int sort[SCREENS], invert[SCREENS];
	char find[UI_TEXT];
	enum prompt prompt;
	char input[UI_TEXT];
	struct back back[16];
	int nback;
	struct pick_query query;
	enum tree tree;
	struct place to_row; /* where the cursor is to go when rows come; frame PICK_ALL: nowhere */
	uint32_t callers_of; /* TREE_CALLERS: only of this function; PICK_ALL: of all */
	int lines, threshold, expand_all, no_meters, tree_flat;
	uint64_t *flipped; /* rows of the tree that were opened or closed by hand */
	size_t nflipped;
	struct place at; /* what NYI, Traces and Annotate are about */
	enum scope scope;
	uint32_t family; /* Traces: root of the one family that is shown; 0: all */
	int paused, palette;
	char ended[128]; /* what happened to the target; "": it lives */
	char message[UI_TEXT];
	uint64_t message_until;
	char copy[UI_TEXT]; /* to be sent to the clipboard by the caller, who empties it */
	const struct explain *explain;
	char explain_text[UI_TEXT]; /* the reason, if nothing explains it */
	struct join *join;	    /* what sites say of functions */
	struct pick_row *flat;	    /* rows by function, of what the query chose */
	size_t nflat, flat_left;    /* and how many are too light to be there */
	unsigned int join_of;	    /* generation of these; and the advice is of it */
	struct advice advice;
	struct export *export;
	struct machine *machine;
	int perf_map; /* the caller is to keep maps for perf */
	int list_y;   /* first row of the list on the screen */
	struct {
		int y, x0, x1, key;
		int sort; /* column to sort by; < 0: the key */
	} hot[64];	  /* what a mouse may click */
	size_t nhot;
	char wrote[4][UI_TEXT]; /* files, the last ones */
	unsigned int nwrote;
};

int ui_init(struct ui *u, struct model *m, const struct ui_opts *o);
void ui_release(struct ui *u);

/* New data: takes the model's picture, unless paused. 0 or -ENOMEM. */
int ui_refresh(struct ui *u, uint64_t stream_now);

/* 0, or UI_QUIT; < 0: -ENOMEM. */
int ui_key(struct ui *u, const struct key_event *k);

/* Draws everything into g, whose size it takes. */
void ui_draw(struct ui *u, struct grid *g);

__attribute__((format(printf, 2, 3))) void ui_message(struct ui *u, const char *fmt, ...);

/* ---- what screens share (ui_draw.c, ui.c) ---- */

const struct screen_ops *ui_screen(int i);

/* Opens a screen for a place; Esc comes back. */
unsigned int ui_open(struct ui *u, int screen, const struct place *at);

/* The rows between y and y + height of the current list. */
typedef void row_fn(struct ui *u, struct grid *g, int y, size_t row);
void ui_rows(struct ui *u, struct grid *g, int y, int height, row_fn *draw);

/* Does text match the screen's filter? */
struct filter;
struct filter *filter_new(const char *pattern);
void filter_free(struct filter *f);
int filter_match(const struct filter *f, const char *text);

/* The title line. */
__attribute__((format(printf, 3, 4))) void draw_title(struct ui *u, struct grid *g, const char *fmt,
						      ...);
void draw_tabs(struct ui *u, struct grid *g, int y);
/* Meters, quality and what to fix first; returns the next free line. */
int draw_header(struct ui *u, struct grid *g, int compact);
void draw_quality_line(struct ui *u, struct grid *g, int y);
void draw_rule(struct grid *g, int y, const char *text);
/* The heads of columns that are marked when sorted by. */
void draw_head(struct ui *u, struct grid *g, int y, int x, int width, int right, int column,
	       const char *name);
void draw_over(struct ui *u, struct grid *g);
/* A box in the middle, at most w x h; then x, y, w and h are what is inside. */
void draw_box(struct grid *g, int *x, int *y, int *w, int *h, const char *title);
/* Text in lines of at most width; returns the line after it. */
int draw_wrapped(struct grid *g, int x, int y, int width, int lines, enum grid_role role,
		 const char *text);
/* "file:line", the head cut if it is too long. */
void draw_location(struct grid *g, int x, int y, int width, enum grid_role role, const char *file,
		   long line);

/* Text, the head cut if it is too long. */
void draw_tail(struct grid *g, int x, int y, int width, enum grid_role role, const char *text);

double percent_of(uint64_t part, uint64_t whole);
/* Opens the explanation of a site's reason; NULL: of nothing. */
void ui_explain(struct ui *u, const struct jt_site *s);
void ui_explain_link(struct ui *u, const struct jt_trace *t);
void place_of_loc(struct place *p, const struct jt_loc *loc);
void place_of_frame(const struct ui *u, struct place *p, uint32_t frame, uint32_t line);

/* advice.c */
void advice_make(struct ui *u, struct advice *out);

/* machine.c */
struct machine;
void machine_free(struct machine *m);
/* Shows the machine code of a trace, or says why it cannot; NULL: there is no trace. */
unsigned int machine_open(struct ui *u, const struct jt_trace *t);
void machine_hottest(struct ui *u);
void machine_draw(struct ui *u, struct grid *g);
/* Percent of a looping trace's samples that are in its loop; < 0: not known. */
double machine_loop_share(struct ui *u, const struct jt_trace *t);

/* export.c */
void export_free(struct export *e);
unsigned int export_open(struct ui *u);
unsigned int export_act(struct ui *u, enum action a);
void export_draw(struct ui *u, struct grid *g);
void export_rename(struct ui *u, const char *name);
/* Writes path as its extension says, of all since the start. 0, or -errno and a message. */
int export_to(struct ui *u, const char *path);

#endif
