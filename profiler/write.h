/* SPDX-License-Identifier: MIT */
/* Writers over a finished profile. They write to a stream that the caller opened and closes. */
#ifndef PROFILER_WRITE_H
#define PROFILER_WRITE_H

#include "profiler/prof.h"

#include <stdio.h>

/* What a picture or report says about its making. Strings may be NULL. */
struct write_info {
	const char *title;
	const char *command;
	const char *version;
};

/*
 * Folded stacks: `root;...;leaf COUNT`, one line per distinct stack, in LC_ALL=C order. Returns 0
 * or -errno of the stream.
 */
int write_folded(FILE *f, const struct prof *p);

/*
 * A self-contained SVG flame graph: valid XML, no external reference, a correct picture without
 * scripts; with them zoom, search, icicle, dark mode, keys. Returns 0 or -errno of the stream.
 */
int write_svg(FILE *f, const struct prof *p, const struct write_info *info);

#endif
