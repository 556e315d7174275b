/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the fold share; not for other folders. jt.c takes the events, jt_defs.c
 * remembers definitions, jt_syms.c C code addresses, jt_place.c looks frames up in both,
 * jt_traces.c and jt_sites.c keep the two tables, jt_cost.c charges samples to them, jt_scan.c adds
 * what VMs remember, jt_rescan.c forgets what they do no longer, jt_tally.c adds what was only
 * counted, jt_chain.c links starts that failed because of others, jt_format.c writes lines,
 * jt_text.c cleans and matches.
 *
 * Tables are uthash, in order of entry or, where things move to the end when used, of use: where a
 * limit is reached the head goes.
 */
#ifndef JITTRACE_JT_INT_H
#define JITTRACE_JT_INT_H

#include "jittrace/jt.h"

#include "bytecode/bc.h"
#include "bytecode/ir.h"

#define HASH_NONFATAL_OOM 1 /* then hh.tbl is NULL after an addition that failed */
#include <uthash.h>
#include <utlist.h>

/* Limits of what is remembered. */
#define JT_FUNCS_MAX 65536u
#define JT_NAMES_MAX 65536u
#define JT_SYMS_MAX 65536u /* of a process */
#define JT_CFUNCS_MAX 65536u
#define JT_STARTS_MAX 65536u
#define JT_SITES_MAX 16384u
#define JT_STACKS_MAX 32768u
#define JT_TRACES_MAX 262144u
#define JT_STACK_FRAMES 32u /* kept of a stack */
#define JT_SITE_STACKS 4u   /* different ones kept of a site */
#define JT_REGIONS_MAX 65536u

/* lj_trace.c:penalty_pc doubles 72 until it is over 60000. */
#define JT_PENALTIES 11u
/* lj_jit.h: default of the parameter tryside. */
#define JT_TRYSIDE 4u

/* The tables of a build, and where its jit.v differs from others. */
struct jt_build {
	UT_hash_handle hh;
	uint32_t id;
	const struct bc_gen *bc;
	const struct ir_table *ir;
	const struct err_table *err;
	int bare_stitch;  /* jit.v prints no "(P/stitch)" */
	char version[64]; /* of LuaJIT */
	int top_function; /* aborts in a C or fast function are reported there, not at its call */
};

/* A function by identity. The key is from k on to the end of chunk. */
struct jt_ident_key {
	uint32_t build;
	int32_t firstline, numline;
	uint32_t content;
	uint32_t flags; /* EV_FUNC_* */
};
struct jt_ident {
	UT_hash_handle hh;
	uint32_t refs;
	char *file; /* as shown */
	char *name; /* what it was called by first; NULL */
	struct ev_loop *loop;
	uint32_t nloops;
	int loops_known;
	struct jt_start *starts; /* in it, of all VMs */
	struct jt_ident_key k;
	char chunk[];
};

/* A prototype. */
struct jt_func {
	UT_hash_handle hh;
	uint32_t id;
	uint64_t pt;
	struct jt_ident *ident;
};

/* The name by which an instruction calls. */
struct jt_callname {
	UT_hash_handle hh;
	uint64_t addr; /* EV_FRAME_ADDR */
	char name[];
};

/* The name of a fast function of a build. */
struct jt_ff {
	UT_hash_handle hh;
	uint64_t key; /* build, ffid */
	char name[];
};

/*
 * A C function without a symbol. Its name is learnt from a call of it, maybe later than from the
 * first event: rows are by what is known from the start. Lives as long as jt.
 */
struct jt_cfunc {
	UT_hash_handle hh;
	char *named;	/* the same with its name; NULL: none is known */
	char unnamed[]; /* "C:?@module+0xOFFSET" */
};

struct jt_sym {
	uint64_t start, offset;
	uint32_t kind;
	char *name;		/* cleaned; module follows its NUL */
	struct jt_cfunc *cfunc; /* NULL: it has a name, or there are too many */
};

/* [start, end) belongs to a symbol. Sorted, without overlaps. */
struct jt_range {
	uint64_t start, end;
	uint32_t sym;
};

struct jt_proc {
	UT_hash_handle hh;
	uint32_t pid;
	char comm[64];
	struct jt_range *ranges;
	uint32_t nranges, ranges_cap;
	struct jt_sym *syms;
	uint32_t nsyms, syms_cap;
};

/* A frame whose definitions have been looked up. */
struct jt_place {
	enum jt_loc_kind kind;
	struct jt_ident *ident; /* LUA; borrowed */
	uint32_t pos, line;
	char text[JT_TEXT];	/* FUNCTION */
	struct jt_cfunc *cfunc; /* FUNCTION: it has no symbol; NULL */
	int undefined;
};

/* The same, to keep: it holds a reference to the function, or owns the text. */
struct jt_kept {
	enum jt_loc_kind kind;
	struct jt_ident *ident;
	uint32_t pos, line;
	char *text;
	const struct jt_cfunc *cfunc;
};

/* A number of samples: all, and by second for the last ones. */
struct jt_sum {
	uint64_t all, newest;
	uint32_t second[JT_COST_SECONDS];
};

/* Samples charged to a region while it was at one bytecode position. */
struct jt_charge {
	UT_hash_handle hh;
	uint32_t pos;
	struct jt_sum sum;
};

/* Bytecode of a function that a start of traces stands for. */
struct jt_region_key {
	struct jt_ident *ident; /* a reference */
	uint32_t first, last;
};
struct jt_region {
	UT_hash_handle hh;
	struct jt_region_key key;
	struct jt_charge *charges;
	uint32_t head; /* within jt_cost_rows: the first of its rows */
};

/* The regions of a function in which traces of a VM start, the narrowest first. */
struct jt_scope_key {
	const struct jt_vm *vm;
	const struct jt_ident *ident;
};
struct jt_scope {
	UT_hash_handle hh;
	struct jt_scope_key key;
	uint32_t n;
	struct jt_region **region;
};

/* A row while its region's cost is divided. */
#define JT_NO_ROW UINT32_MAX
struct jt_cost_row {
	const struct jt_site *site;
	uint32_t next; /* of the same region */
	double weight, samples, recent;
};

/* A place where recordings of a VM begin, and how they went. */
struct jt_start_key {
	const struct jt_vm *vm;
	struct jt_ident *ident; /* a reference */
	uint32_t pos;
	uint32_t kind; /* enum ev_trace_kind */
};
struct jt_start {
	UT_hash_handle hh;
	struct jt_start_key key;
	struct jt_start *prev, *next; /* of the same function */
	uint32_t attempts;	      /* aborts since it compiled, or since a flush */
	uint32_t state;		      /* enum jt_state */
	uint64_t time;		      /* of the last event */
	int live;		      /* aborts were seen, not only read from memory */
	uint64_t scan;	 /* the last look at the VM's memory that found it, see jt_vm */
	uint64_t memory; /* ns: attempts include those before, by the VM's memory */
	uint64_t row;	 /* serial number of the row that memory tells of; 0: none */
	int told;	 /* how much it says: 1 that it failed, 2 and why, 3 and in what */
};

/* An exit of a live trace. */
struct jt_exit_kept {
	uint32_t exitno, count;
	struct jt_kept at;
};

struct jt_live {
	UT_hash_handle hh;
	struct jt_trace pub; /* places and comm are filled in by jt_traces */
	struct jt_kept start, end;
	struct jt_region *region;   /* NULL: not known */
	struct jt_sum sum;	    /* samples in it */
	int given_up;		    /* STITCH: what would go on is blacklisted */
	uint64_t seen;		    /* ns: it was there; event, or look at the VM's memory */
	uint64_t scan;		    /* the last look that found it, see jt_vm */
	struct jt_exit_kept *exits; /* as of that */
	uint32_t nexits;
	struct jt_exit *shown; /* the same, for jt_traces() */
	uint64_t site; /* STITCH, RETURN: serial number of the row that counts it; 0: none */
};

struct jt_vm_key {
	uint64_t g;
	uint32_t pid, pad;
};
struct jt_vm {
	UT_hash_handle hh;
	struct jt_vm_key key;
	uint32_t number, build;
	uint32_t epoch;
	struct jt_live *traces; /* by number */
	/* The recording that is under way. */
	uint32_t recording; /* trace number; 0: none */
	int seen;	    /* an event: what is under way is known */
	int downrec;	    /* the last event was an abort that may restart where it ended */
	uint64_t downrec_at;
	uint32_t tryside;	  /* JIT parameter, or its default */
	struct ev_jit jit;	  /* kind 0: none came */
	uint64_t scan;		  /* ns: the last look at its memory began; 0: none */
	struct ev_frame cause[2]; /* of the start that comes next: what it failed because of */
	int at_return;		  /* the recording is such a restart: no penalties */
};

struct jt_stack {
	uint64_t hash, count;
	uint32_t n;
	struct jt_kept *f;
};

struct jt_site_int {
	UT_hash_handle hh, by_serial;
	uint64_t serial; /* 1, 2, ...; never reused */
	char *key;	 /* owned */
	struct jt_site pub;
	struct jt_kept start, at;
	struct jt_region *region; /* as of the last event; NULL: not known */
	char *reason, *subject;
	const struct jt_cfunc *cfunc; /* that subject names; NULL */
	uint32_t nstacks;
	struct jt_stack stack[JT_SITE_STACKS];
	uint32_t second[60]; /* events in each second of the last minute */
	uint64_t newest;     /* the second that came last */
};

/* What jt_add found out about the event that it took last. */
struct jt_last {
	uint64_t time, g;
	uint32_t type, trace;
	uint32_t attempts, limit, dropped;
	uint64_t site; /* serial number of the row that counts it; 0: none */
};

struct jt {
	struct jt_opts opts;
	struct jt_stats stats;
	struct jt_last last;
	uint64_t clock_time, clock_real;
	struct jt_build *builds;
	struct jt_ident *idents;
	struct jt_func *funcs;
	struct jt_callname *names;
	struct jt_ff *ffs;
	struct jt_cfunc *cfuncs;
	struct jt_proc *procs;
	struct jt_vm *vms;
	struct jt_start *starts;
	struct jt_site_int *sites, *sites_by_serial;
	uint64_t serial; /* of the newest site */
	struct jt_region *regions;
	struct jt_scope *scopes;
	struct jt_costs costs;
	struct jt_sum samples, charged, by_state[EV_STATE_MAX];
	uint64_t sample_time; /* of the last one */
	uint32_t ntraces, nstacks;
	struct jt_trace *trace_rows; /* for jt_traces() */
	struct jt_exit *exit_rows;
	struct jt_vm_info *vm_rows; /* for jt_vms() */
	struct jt_site *site_rows;  /* for jt_sites() */
	struct jt_because *because_rows;
	struct jt_loc *stack_rows;
};

/* jt_text.c */

/*
 * Copies s into out (size bytes, at least 4), cut between characters: control characters become
 * blanks, what is not valid UTF-8 becomes '?'.
 */
void jt_clean(char *out, size_t size, const char *s);

/* A chunkname as PLAIN shows it. Allocated, or NULL. */
char *jt_chunk(const char *chunk, uint32_t flags);

/* jt_defs.c */

/* Remembers a definition; other kinds are none of its business. 0 or -ENOMEM. */
int jt_defs_add(struct jt *jt, const struct ev_hdr *h);
void jt_defs_free(struct jt *jt);

/* The VM, entered if new. NULL if out of memory; jt_vm_find: also if it is not known. */
struct jt_vm *jt_vm_get(struct jt *jt, uint32_t pid, uint64_t g);
struct jt_vm *jt_vm_find(const struct jt *jt, uint32_t pid, uint64_t g);
const struct jt_build *jt_build_of(const struct jt *jt, const struct jt_vm *vm);
struct jt_proc *jt_proc_find(const struct jt *jt, uint32_t pid);
struct jt_func *jt_func_find(const struct jt *jt, uint32_t id);
struct jt_callname *jt_name_find(const struct jt *jt, uint64_t addr);
const char *jt_ff_name(const struct jt *jt, uint32_t build, uint32_t ffid);

/* Gives a reference back; NULL is allowed. */
void jt_ident_put(struct jt *jt, struct jt_ident *i);

/* jt_place.c */

/* Looks a frame of pid up. caller: the frame that called it, which may know its name; or NULL. */
void jt_place(const struct jt *jt, uint32_t pid, const struct jt_vm *vm, const struct ev_frame *f,
	      const struct ev_frame *caller, struct jt_place *out);
int jt_keep(const struct jt_place *p, struct jt_kept *out);
void jt_kept_release(struct jt *jt, struct jt_kept *k);
void jt_kept_loc(const struct jt_kept *k, struct jt_loc *out);
void jt_place_loc(const struct jt_place *p, struct jt_loc *out);

/* The functions of these frames are in use: others are forgotten first. 0 or -ENOMEM. */
int jt_defs_used(struct jt *jt, const struct ev_frame *f, uint32_t n);

/* Learns what functions are called by from a stack of pid, leaf first. 0 or -ENOMEM. */
int jt_learn_names(struct jt *jt, uint32_t pid, const struct ev_frame *f, uint32_t n);

/* jt_syms.c */

int jt_syms_add(struct jt *jt, struct jt_proc *p, const struct ev_sym *ev, const char *name,
		const char *module);
const struct jt_sym *jt_syms_find(const struct jt_proc *p, uint64_t addr);
void jt_syms_drop(struct jt_proc *p);

/* What a text shows, which may be older than the function's name. c: may be NULL. */
const char *jt_cfunc_shown(const struct jt_cfunc *c, const char *text);
int jt_cfunc_learn(struct jt_cfunc *c, const char *name); /* 0 or -ENOMEM */
void jt_cfuncs_free(struct jt *jt);

/* jt_traces.c */

/* A trace was compiled. *out: its entry, NULL if the table is full. 0 or -ENOMEM. */
int jt_traces_stop(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev,
		   const struct jt_place *start, uint32_t aborts, struct jt_live **out);
struct jt_live *jt_traces_find(const struct jt_vm *vm, uint32_t trace);
/* Forgets the traces of a VM that were not seen after a time. Returns how many there were. */
uint32_t jt_traces_drop(struct jt *jt, struct jt_vm *vm, uint64_t until);
/* Forgets those that the last look at the VM's memory did not find. */
void jt_traces_prune(struct jt *jt, struct jt_vm *vm);

/* jt_cost.c. All that return int: 0 or -ENOMEM. */

/* Traces start here: *out takes samples from now on; NULL: its region is not known. */
int jt_cost_start(struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
		  const struct jt_place *start, struct jt_region **out);
/* Forgets where traces of a VM start. */
void jt_cost_drop(struct jt *jt, const struct jt_vm *vm);
void jt_cost_free(struct jt *jt);
int jt_cost_sample(struct jt *jt, const struct ev_sample *ev, uint32_t nframes);
/* Fills in what n rows cost; region[i]: that of site[i]. */
int jt_cost_rows(struct jt *jt, struct jt_site *site, struct jt_region *const *region, size_t n,
		 uint64_t now);
struct jt_share jt_sum_share(struct jt_sum *s, uint64_t now);

/* jt_sites.c */

/* The entry of a start; NULL: there is none, or, with create, out of memory. */
struct jt_start *jt_start_get(struct jt *jt, const struct jt_vm *vm, struct jt_ident *ident,
			      uint32_t pos, uint32_t kind, int create);
void jt_start_free(struct jt *jt, struct jt_start *s);
/* Forgets how often the starts of a VM were tried until a time, but not which are blacklisted. */
void jt_starts_flush(struct jt *jt, const struct jt_vm *vm, uint64_t upto);
void jt_starts_drop(struct jt *jt, const struct jt_vm *vm);

/* Where an event ended. */
struct jt_ending {
	struct jt_place at;	      /* in Lua if that is known */
	char in[JT_TEXT];	      /* the C or fast function on top; "": none */
	const struct jt_cfunc *cfunc; /* which that is, if it has no symbol */
};

/* What is known of an abort, or of a stop by stitch or return. */
struct jt_found {
	enum jt_site_kind kind;
	const struct jt_place *start, *at;
	const char *reason, *subject;
	const struct jt_cfunc *cfunc; /* that subject names; NULL */
	enum err_id err;
	struct jt_region *region; /* of start; NULL: not known */
	int scanned;		  /* it is no event: nothing is counted */
	uint64_t n;		  /* of events */
	uint64_t time;		  /* of the last one */
};
/* Counts it. *out: its row. 0 or -ENOMEM. */
int jt_site_count(struct jt *jt, const struct ev_trace *ev, const struct jt_found *found,
		  struct jt_site_int **out);
/* Counts its stack. 0 or -ENOMEM. */
int jt_site_stack(struct jt *jt, const struct jt_vm *vm, struct jt_site_int *s,
		  const struct ev_trace *ev, uint32_t nframes);
struct jt_site_int *jt_site_find(const struct jt *jt, uint64_t serial);
/* Forgets a row that only memory tells of. */
void jt_site_forget(struct jt *jt, uint64_t serial);
void jt_sites_free(struct jt *jt);

/* jt_scan.c: what was read from a VM's memory. 0 or -ENOMEM. */
int jt_scan_trace(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev,
		  const struct jt_place *start);
int jt_scan_spot(struct jt *jt, const struct ev_spot *ev);
int jt_scan_jit(struct jt *jt, const struct ev_jit *ev);

/* jt_rescan.c: looks again at the memory of VMs, and at exits. */
int jt_rescan(struct jt *jt, const struct ev_scan *ev); /* 0 or -ENOMEM */
/* A trace was found. */
void jt_rescan_trace(const struct jt_vm *vm, struct jt_live *t, const struct ev_trace *ev);
/* The place that the start at f failed because of, if that is known. */
int jt_rescan_cause(struct jt *jt, struct jt_vm *vm, const struct ev_frame *f,
		    struct jt_place *out);
void jt_exits_drop(struct jt *jt, struct jt_live *t);
/* Fills in the exits of a VM's traces from out on. Returns what comes after them. */
struct jt_exit *jt_exits_fill(struct jt_vm *vm, struct jt_exit *out);
/* JIT parameter of a VM, or fallback. */
int32_t jt_param(const struct jt_vm *vm, const char *name, int32_t fallback);

/* jt_chain.c: why other starts were blacklisted, for n rows. 0 or -ENOMEM. */
int jt_chain(struct jt *jt, struct jt_site *site, size_t n);

/* jt_tally.c: events that were only counted. 0 or -ENOMEM. */
int jt_tally(struct jt *jt, const struct ev_tally *t);

/* jt.c: what is the same for events that are told and for those that are counted. */

/* Looks up what is told of an abort, and enters it into found. */
struct jt_failure {
	struct jt_ending end;
	char reason[JT_TEXT], subject[JT_TEXT];
};
void jt_failed(const struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
	       struct jt_failure *out, struct jt_found *found);

/* After so many aborts a start of this kind is given up; 0: never. */
uint32_t jt_attempts_limit(const struct jt_vm *vm, uint32_t kind);
/* The row of traces that end because what comes cannot be compiled. */
int jt_count_end(struct jt *jt, const struct ev_trace *ev, const struct jt_place *start,
		 const struct jt_ending *end, struct jt_region *region, uint64_t n, uint64_t time,
		 struct jt_site_int **out);
void jt_flushed(struct jt *jt, struct jt_vm *vm, const struct ev_trace *ev, uint64_t n,
		uint64_t time);
/* What a stack tells of the functions in it. */
int jt_learn(struct jt *jt, uint32_t pid, const struct ev_frame *f, uint32_t n);

/* jt_format.c */

/* Frames of an event that are really there. */
uint32_t jt_nframes(const struct ev_trace *ev);

/* Returns whether a definition is missing. */
int jt_end(const struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
	   struct jt_ending *out);

/*
 * The reason of an abort as PLAIN shows it, and what it is about ("": nothing). Returns the C
 * function that this is, if it has no symbol; else NULL.
 */
const struct jt_cfunc *jt_reason(const struct jt *jt, const struct jt_vm *vm,
				 const struct ev_trace *ev, char reason[JT_TEXT],
				 char subject[JT_TEXT]);

/* ev->error as one that no generation changes, ERR_MAX: none. */
enum err_id jt_err_id(const struct jt_build *b, const struct ev_trace *ev);

#endif
