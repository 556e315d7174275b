/* SPDX-License-Identifier: MIT */
/* The front end's own interface: options, verbs, and what several verbs use. */
#ifndef TUI_LJX_H
#define TUI_LJX_H

#include "bpf/capture.h"
#include "bpf/event.h"
#include "bpf/why.h"
#include "jittrace/jt.h"
#include "profiler/prof.h"
#include "profiler/write.h"
#include "tui/term.h"

struct embed;
struct explain;

#include <signal.h>
#include <stddef.h>
#include <stdio.h>

#define LJX_VERSION "0.1.0"
#define OPT_PIDS_MAX 256
#define OPT_OUTS_MAX 16

/* What the command line says. Set once, then passed down as const. */
struct options {
	const char *verb;
	char *const *argv; /* the whole command line, for the record */
	int argc;
	int pid[OPT_PIDS_MAX];
	size_t npids;
	int group; /* -g: this process and all its descendants */
	const char *glob;
	const char *cgroup, *container; /* targets; with pid: as they are numbered in there */
	char *const *cmd; /* after --; NULL: none */
	unsigned int rate;
	double duration; /* seconds; 0: until interrupted */
	const char *out[OPT_OUTS_MAX];
	size_t nouts;
	const char *format; /* for -o - */
	const char *file;   /* an ELF file to look at */
	const char *gen;    /* a generation or build by name */
	const char *vmdef;  /* a jit/vmdef.lua */
	const char *debug_dir;
	const char *filter; /* regular expression for `top` */
	const char *sort;
	unsigned int frames; /* top -N; 0: no end */
	double refresh;
	unsigned int rows;
	unsigned int split; /* 1 << PROF_BY_* */
	uint32_t states;    /* 1 << EV_STATE_*; 0: all */
	uint64_t from, to;  /* of --time, ns from the start; to 0: no end */
	enum write_colour colour;
	int icicle, reverse, keep;
	int aborts, by_cost; /* --aborts, --aborts=cost */
	int embed_source;
	int batch, lines, marks, per_thread, json, quiet, nothing, stacks, check, watch;
	int old_bpf, no_drop, native, kernel, inlines;
	double min_cost;	 /* percent */
	int list;		 /* bc -l */
	int bytecode, no_source; /* annotate */
	int no_mouse, ascii;
	int screens; /* the terminal is ours: a command of ours must not use it */
	enum term_color color;
	const char *jv;		 /* --jv: "", "name" or "number"; NULL: not given */
	unsigned int only;	 /* trace: bits 1 << EV_TRACE_* */
	enum capture_traces probe;
	unsigned int limit;		 /* recordings a second and place that are told; 0: all */
	const struct layout_row *layout; /* --layout FILE: &given; NULL: not given */
	struct layout_row given;
	char given_name[48];
	const char *arg[8]; /* operands */
	size_t nargs;
};

/* Parses the command line of verb into o. 0, or prints why and returns the exit code. */
int options_parse(struct options *o, int argc, char *const *argv, const char *verb,
		  const char *accepts);

/* Reads a layout that verb_layout printed as JSON into o->given (layout.c). 0, or -errno and why.
 */
int layout_read(struct options *o, const char *path, struct why *why);

/* A verb: returns the exit code. */
typedef int verb_fn(const struct options *o);
verb_fn verb_record, verb_report, verb_top, verb_ps, verb_bt, verb_doctor, verb_version;
verb_fn verb_diff, verb_perfmap, verb_trace, verb_traces, verb_nyi, verb_annotate;
verb_fn verb_bc, verb_ff, verb_err, verb_ir, verb_explain, verb_layout;

/* Set by SIGINT, SIGTERM and SIGHUP: 1 stop and write; 2 and more: quit now. */
extern volatile sig_atomic_t stop_requested;
void stop_on_signals(void);

/* Prints "ljx: ..." and its hints to stderr, or as JSON to stdout. Returns why->code. */
int complain(const struct options *o, const struct why *why);

/* What modules say by the way, on stderr. ctx: the options, for quiet. */
void say_unless_quiet(void *ctx, const char *text);

/* ---- targets (target.c) ---- */

enum { TARGETS_MAX = 4096 };

struct hold;

struct targets {
	int pid[TARGETS_MAX];
	size_t n;
	int follow; /* later children too */
	int must;   /* each must have LuaJIT now; else only one of them */
	int child;  /* pid of the command we started, held until targets_release; 0: none */
	int release_fd;
	struct hold *hold;  /* stops it when it has a VM; NULL: nothing does, or not any more */
	uint64_t held;	    /* ns: since when it is stopped; 0: it is not */
	int main_pid; /* for file names and messages */
	char name[64];
};

/* Is there a program for the command, if there is one? 0 or an exit code, printed. */
int command_check(const struct options *o);

/* Finds the target processes that the options name. 0 or an exit code, printed. */
int targets_find(const struct options *o, struct targets *t);

/* Before our command is let run: it is to stop once when it has a VM, if that is possible. */
void targets_hold(const struct options *o, struct targets *t);

/* Lets it go on from there if it was attached, or if that takes too long. */
void targets_attached(struct targets *t, int attached);

/* Lets a held command run. */
void targets_release(struct targets *t);

/* Waits for our command. Its exit code as a shell gives it. */
int targets_wait(struct targets *t);

/* ---- profiles (folds.c) ---- */

/* What the outputs of a run are made from. */
struct folds {
	struct aborts *aborts; /* NULL: not needed */
	struct embed *embed;   /* NULL: not wanted */
	int weigh;	       /* aborts by what they cost */
	struct prof *plain;    /* as the options have it, and for those that want lines if all do */
	struct prof *lined;    /* with lines, for the formats that want them; NULL: not needed */
};

/* 0 or -ENOMEM, as those below. */
int folds_new(const struct options *o, struct folds *f);
int folds_add(struct folds *f, const struct ev_hdr *h);
int folds_finish(struct folds *f);
void folds_free(struct folds *f);

/* ---- trace events beside profiles (aborts.c) ---- */

struct aborts;

/* costs: samples are passed, too, and what aborts cost is to be known. NULL: out of memory. */
struct aborts *aborts_new(uint32_t pid, int costs);
void aborts_free(struct aborts *a);

/* Takes a record after the profiles, and tells these what it says. 0 or -ENOMEM, as the next. */
int aborts_add(struct aborts *a, const struct ev_hdr *h, struct prof *const profs[2]);

/* Makes a finished profile of aborts count what they cost. */
int aborts_weigh(struct aborts *a, struct prof *p);

/* What aborts cost by function, to be freed; the strings live as long as a. NULL: no memory. */
struct write_cost *aborts_costs(struct aborts *a, size_t *n);

/* ---- output files (output.c) ---- */

struct output {
	const struct format *format; /* NULL: a recording */
	const char *path;	     /* as given; "-": stdout */
	char *temp; /* a name beside path on the way there; NULL: it has its name */
	int fd;
	int unnamed; /* it has not even the temporary name yet */
};

/* The format by the file's name, or by o->format. NULL: a recording, or it cannot be told. */
const struct format *output_format(const struct options *o, const char *path);

/* Can the outputs hold what the options ask for? 0, or -errno and why. */
int output_check(const struct options *o, struct why *why);

/* Opens the file that will become path, without touching what is there. 0, or -errno and why. */
int output_open(const struct options *o, const char *path, struct output *out, struct why *why);

/* Is this a name of a format, or "ljx"? */
int output_is_format(const char *name);

/* Prints the formats, one a line, for the help. */
void output_help(FILE *f, const char *verb);

/* Writes what was folded (not for a recording). */
int output_profile(struct output *out, const struct options *o, const struct folds *folds,
		   const char *title, struct why *why);

/* Writes all that -o names. 0, or -errno and why. */
int output_all(const struct options *o, const struct folds *folds, const char *title,
	       struct why *why);

/* Gives the file its name; and its owner, under sudo. It stays open: a recording grows. */
int output_publish(struct output *out, struct why *why);

/* The same, and closes it. */
int output_commit(struct output *out, struct why *why);

/* Removes what was not committed. */
void output_abort(struct output *out);

/* ---- recordings (replay.c) ---- */

/*
 * Passes each record of a recording ("-": standard input) to fn until that returns non-zero. What
 * the file lacks is told on stderr, and how far it is if that takes more than a second. 0, what fn
 * returned, or -errno and why; -EBADMSG: it is corrupt, and all up to the damage was passed.
 */
typedef int record_fn(void *ctx, const struct ev_hdr *h);
int replay(const struct options *o, const char *path, record_fn *fn, void *ctx, struct why *why);

/* Says at the end of a stream that there were so many VMs without probes; nothing of none. */
void tell_unwatched(const struct options *o, uint64_t vms);

/* Is this operand a recording, by its name? */
int is_recording(const char *arg);

/* ---- trace events (jitrun.c) ---- */

struct jit_tap {
	struct jt *jt;						     /* gets every record */
	void (*event)(struct jit_tap *t, const struct ev_trace *ev); /* and then this; or NULL */
	void (*tally)(struct jit_tap *t, const struct ev_tally *ev); /* or this */
	void (*tick)(struct jit_tap *t); /* live: each o->refresh seconds; or NULL */
	int (*record)(struct jit_tap *t, const struct ev_hdr *h); /* gets them all too; or NULL */
	void *ctx;						  /* of the hooks' owner */
	int done; /* set by event: it wants no more */
	const struct options *o;
	int writes;	  /* files other than the recording */
	int samples;	  /* CPU samples are wanted too */
	int code;	  /* and the bytecode that they show */
	const char *file; /* the recording, or NULL: live */
	uint32_t pid;	  /* only this process; 0: all */
	unsigned int shown;
	uint64_t now; /* time of the last record */
};

/* file: an operand that is a recording, or NULL. 0, or an exit code, printed. */
int jit_tap_init(struct jit_tap *t, const struct options *o, const char *file);
void jit_tap_release(struct jit_tap *t);

/* Takes one record. 0 or -ENOMEM. */
int jit_tap_record(struct jit_tap *t, const struct ev_hdr *h);

/*
 * Feeds the tap from its recording or from the live targets, until their end, the time is up or it
 * is done. 0 or an exit code, printed; what came is in the tap.
 */
int jit_run(struct jit_tap *t);

/* A place as the tables show it: the path without its folders, cut to width (0: not). */
const char *short_place(const struct jt_loc *loc, size_t width);

/* A place for JSON documents. */
struct json_t *json_place(const struct jt_loc *loc);

/* jitvm.c: the limits of a trace's VM, the exits of a trace; in text and as JSON. */
void print_vm_limits(const struct jt_vm_info *vm);
struct json_t *json_vm(const struct jt_vm_info *vm);
void print_exits(const struct jt_trace *t);
struct json_t *json_exits(const struct jt_trace *t);

/* ---- rows of sites (nyi.c) ---- */

/* The explanation of what a row is about; NULL: none. */
const struct explain *explain_site(const struct jt_site *s);

/* Does it go away by itself, unless it ends in blacklisting? */
int site_is_low(const struct jt_site *s);

/* The columns STATE, LAST, ABORT AT and TRACE STARTED AT. */
void site_state(const struct jt_site *s, char buf[24]);
void site_last(uint64_t last, uint64_t now, char buf[16]);
const char *site_at(const struct jt_site *s, int width);
void site_started(const struct jt_site *s, char buf[128]);

/* ---- rows of traces (traces.c) ---- */

void trace_link_text(const struct jt_trace *t, char buf[48]);
/* "(17/5)", "(17/stitch)", "loop", "func". */
void trace_from_text(const struct jt_trace *t, char buf[48]);
/* Below which trace it is shown. */
uint32_t trace_parent(const struct jt_trace *t);

/* ---- a live run (live.c) ---- */

struct live {
	const struct options *o;
	struct targets targets;
	struct capture *capture;
	struct folds folds;
	struct prof *prof;	   /* folds.plain */
	struct rec_writer *writer; /* NULL: nothing is recorded */
	struct jit_tap *tap;	   /* NULL: none */
	record_fn *to;		   /* gets all records instead of prof; NULL: prof does */
	void *to_ctx;
	uint64_t start;		   /* ns */
	char said[1024];	   /* what capture said last */
};

#define LIVE_SAMPLES 1u
#define LIVE_TRACES 2u
#define LIVE_CODE 4u /* listings of the bytecode that they show; a recording always gets them */

/*
 * Finds and attaches the targets and starts what is wanted, LIVE_*. tap, writer: they get all
 * records, or NULL. 0 or an exit code, printed.
 */
int live_start(struct live *l, const struct options *o, unsigned int what,
	       struct rec_writer *writer, struct jit_tap *tap);

/* The same, but to gets all records, and no profile is folded. */
int live_start_to(struct live *l, const struct options *o, unsigned int what,
		  struct rec_writer *writer, record_fn *to, void *ctx);

/*
 * Gives up all capabilities that what follows does not need, unless --no-drop-root. will_write:
 * outputs are still to be named. (privileges.c)
 */
void drop_privileges(const struct live *l, int will_write);

/* Says on stderr what is missing at the end. */
void live_tell_losses(const struct live *l);

/* Samples for up to ms. 1: go on; 0: no target is left; < 0: -errno. */
int live_poll(struct live *l, int ms);
int live_stop(struct live *l);
void live_free(struct live *l);
double live_seconds(const struct live *l);

/* ---- schemas (schema.c) ---- */

/* Prints the schema of JSON documents of this name, or the names. Returns an exit code. */
int print_schema(const char *name);

/* ---- tables (table.c) ---- */

/* Prints the hot functions of a finished profile, at most rows of them. */
void print_rows(FILE *f, const struct prof *p, const struct prof_row *row, size_t n, size_t rows,
		uint64_t base);

/* One line on what is in the profile and what it lacks. */
void print_quality(FILE *f, const struct prof *p);

/* The report as JSON, schema ljx.report/1. 0 or -ENOMEM. */
int print_json(FILE *f, const struct prof *p);

/* Name of an enum ev_state. */
const char *state_name(unsigned int state);

/* Text from outside for a terminal: control bytes become '?'. Returns a static rotating buffer. */
const char *printable(const char *s);

#endif
