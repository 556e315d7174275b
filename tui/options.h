/* SPDX-License-Identifier: MIT */
/*
 * The options of all verbs, by name. What getopt_long gives for one is its place in the table, so
 * that no two can be taken for each other; a letter that two have does not compile (options.c).
 */
#ifndef TUI_OPTIONS_H
#define TUI_OPTIONS_H

#include "tui/ljx.h"

#include <stddef.h>

/* Identifier, name, letter or 0, and the field of struct options that it sets to 1. */
#define FLAG_OPTIONS(X)                                                                  \
	X(ANNOTATE_FRAMES, "annotate-frames", 0, marks)                                  \
	X(ASCII, "ascii", 0, ascii)                                                      \
	X(BATCH, "batch", 'b', batch)                                                    \
	X(BYTECODE, "bytecode", 0, bytecode)                                             \
	X(CHECK, "check", 0, check)                                                      \
	X(EMBED_SOURCE, "embed-source", 0, embed_source)                                 \
	X(ICICLE, "icicle", 0, icicle)                                                   \
	X(INLINE, "inline", 0, inlines)                                                  \
	X(JSON, "json", 0, json)                                                         \
	X(KEEP, "keep", 0, keep)                                                         \
	X(LINES, "lines", 0, lines)                                                      \
	X(LIST, "list", 'l', list)                                                       \
	X(NATIVE, "native", 0, native)                                                   \
	X(KERNEL, "kernel", 0, kernel)                                                   \
	X(NO_DROP_ROOT, "no-drop-root", 0, no_drop)                                      \
	X(NO_MOUSE, "no-mouse", 0, no_mouse)                                             \
	X(NO_SOURCE, "no-source", 0, no_source)                                          \
	X(NOTHING, "nothing", 0, nothing) /* for benchmarks: the events alone */         \
	X(OLD_BPF, "old-bpf", 0, old_bpf) /* for tests: the programs of older kernels */ \
	X(PER_THREAD, "per-thread", 0, per_thread)                                       \
	X(QUIET, "quiet", 'q', quiet)                                                    \
	X(REVERSE, "reverse", 0, reverse)                                                \
	X(STACKS, "stacks", 0, stacks)                                                   \
	X(WATCH, "watch", 0, watch)

/* The same of those whose value is the field. */
#define TEXT_OPTIONS(X)                                                \
	X(DEBUG_DIR, "debug-dir", 0, debug_dir)                        \
	X(FILE, "file", 0, file) /* -f too, for verbs that read one */ \
	X(FILTER, "filter", 0, filter)                                 \
	X(GEN, "gen", 0, gen)                                          \
	X(NAME, "name", 'n', glob)                                     \
	X(VMDEF, "vmdef", 0, vmdef)

/* Identifier, name, letter or 0, and has_arg of getopt_long; options_set.c has a case for each. */
#define VALUE_OPTIONS(X)                                \
	X(ABORTS, "aborts", 0, optional_argument)       \
	X(CGROUP, "cgroup", 0, required_argument)       \
	X(COLOR, "color", 0, required_argument)         \
	X(COLOR_BY, "color-by", 0, required_argument)   \
	X(CONTAINER, "container", 0, required_argument) \
	X(COUNT, "count", 0, required_argument)         \
	X(DURATION, "duration", 'd', required_argument) \
	X(FORMAT, "format", 'f', required_argument)     \
	X(FRAMES, "frames", 'N', required_argument)     \
	X(GROUP, "group", 'g', required_argument)       \
	X(JV, "jv", 0, optional_argument)               \
	X(LAYOUT, "layout", 0, required_argument)       \
	X(LIMIT, "limit", 0, required_argument)         \
	X(MIN_COST, "min-cost", 0, required_argument)   \
	X(ONLY, "only", 0, required_argument)           \
	X(OUTPUT, "output", 'o', required_argument)     \
	X(PER_PROCESS, "per-process", 0, no_argument)   \
	X(PID, "pid", 'p', required_argument)           \
	X(PROBE, "probe", 0, required_argument)         \
	X(RATE, "rate", 'r', required_argument)         \
	X(REFRESH, "refresh", 0, required_argument)     \
	X(ROWS, "rows", 0, required_argument)           \
	X(SORT, "sort", 's', required_argument)         \
	X(SPLIT, "split", 0, required_argument)         \
	X(STATE, "state", 0, required_argument)         \
	X(TIME, "time", 0, required_argument)

enum option_id {
#define OPTION(id, name, letter, more) OPT_##id,
	FLAG_OPTIONS(OPTION) TEXT_OPTIONS(OPTION) VALUE_OPTIONS(OPTION)
#undef OPTION
	    OPT_MAX
};

#define OPTIONS_COMMAND "--" /* among a verb's options: a command to run */

const char *options_name(enum option_id id);

/* The letter of an option; 0: it has none. */
int options_letter(enum option_id id);

/* Is name among those that a verb accepts, which are separated by blanks? */
int options_accept(const char *accepts, const char *name);

/* Levenshtein distance of short words, for "did you mean". */
size_t options_distance(const char *a, const char *b);

/* Does accepts name nothing but options? */
int options_known(const char *accepts);

/*
 * Puts a value into its field; arg NULL: the option was given without one. 0; or -errno; or an exit
 * code, printed.
 */
int options_set(struct options *o, enum option_id id, const char *arg);

#endif
