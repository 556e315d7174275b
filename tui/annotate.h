/* SPDX-License-Identifier: MIT */
/*
 * Source and bytecode with what samples and trace events say of each line: a model that the text
 * printer and the screen draw. Made anew from the folds whenever it is wanted.
 *
 * A line's numbers are of all functions that have code there. Strings are clean and owned by the
 * model; what the sites and traces tell is copied.
 */
#ifndef TUI_ANNOTATE_H
#define TUI_ANNOTATE_H

#include "jittrace/jt.h"
#include "profiler/lines.h"
#include "profiler/prof.h"
#include "tui/source.h"

enum annotate_kind {
	ANNOTATE_SOURCE, /* a line of the file; text: "" if there is no source */
	ANNOTATE_TITLE,	 /* before code: whose it is, where a line has code of several functions */
	ANNOTATE_CODE,	 /* an instruction of the line above */
};

struct annotate_item {
	enum annotate_kind kind;
	uint32_t line;
	uint32_t pos;		      /* CODE: bytecode position, EV_NO_PC: not known */
	uint64_t samples;	      /* self */
	double self;		      /* percent of all samples */
	double compiled, interpreted; /* percent of samples; -1: there are none */
	uint64_t aborts;	      /* recordings that stopped here */
	uint32_t trace;		      /* that covers it; 0: none */
	uint32_t pid, vm;	      /* of that trace */
	int root;		      /* '*': a root trace starts here */
	int stopped;		      /* '!': the recorder stopped here, CODE only */
	int black;		      /* traces that start here are blacklisted */
	int has_code;		      /* SOURCE: there are instructions of it */
	int hot;		      /* SOURCE: its bytecode is worth a look */
	char *text;
	char *note; /* a comment: reason, BLACKLISTED loop, jit.off; NULL: none */
};

/* What LOCATION means. */
struct annotate_choice {
	char *chunk;	   /* as LuaJIT holds it */
	uint32_t flags;	   /* EV_FUNC_* */
	int pid;	   /* a process that has it */
	size_t function;   /* index in lines_funcs(), SIZE_MAX: lines of a file */
	uint32_t from, to; /* lines */
	size_t others;	   /* other functions, or files, that LOCATION means too */
};

struct annotate {
	struct annotate_item *item;
	size_t n;
	uint32_t cap;
	char *name, *file; /* name: of the function, "" if it is none or has none */
	uint32_t from, to;
	uint64_t samples;   /* of the target */
	double self, total; /* of the function; of lines: self alone, total -1 */
	double unknown;	    /* percent of the function's samples at no known line */
};

/* What both steps work on; prof must be finished. */
struct annotate_input {
	struct prof *prof;
	struct lines *lines;
	struct jt *jt;
	uint64_t now;
	uint64_t samples; /* 100 %, if lines counts only some; 0: all of prof */
};

/*
 * Finds what "file", "file:line", "file:a-b" or "func:NAME" means: of several the one with most
 * samples; a line means the innermost function that has it. 0; -ENOENT: nothing; -ENOMEM.
 */
int annotate_choose(const struct annotate_input *in, const char *location,
		    struct annotate_choice *out);
void annotate_choice_release(struct annotate_choice *c);

/* src: as source_read found it. 0 or -ENOMEM; out must be zeroed or released. */
int annotate_build(const struct annotate_input *in, const struct annotate_choice *c,
		   const struct source *src, struct annotate *out);
void annotate_release(struct annotate *a);

#endif
