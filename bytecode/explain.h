/* SPDX-License-Identifier: MIT */
/*
 * What the reasons of aborts and stitches mean, why they happen and what helps. Plain text in our
 * own words, static, no line breaks; checked against the sources from 2.0.0 to 2026.
 */
#ifndef BYTECODE_EXPLAIN_H
#define BYTECODE_EXPLAIN_H

#include "bytecode/tables.h"
#include "bytecode/traceerr.h"

#include <stddef.h>

/* How much a reason matters: name, meaning. */
#define EXPLAIN_CLASSES(_)                                                                     \
	_(LOW, "low", "goes away by itself, unless it ends in blacklisting")                   \
	_(NYI, "nyi", "something that LuaJIT cannot compile: it stays until the code changes") \
	_(BLACKLIST, "blacklist", "runs into code that was given up before")                   \
	_(RESOURCE, "resource", "a limit of the compiler")                                     \
	_(MCODE, "mcode", "memory for machine code")                                           \
	_(ERROR, "error", "an error, or something from outside, interrupted the recording")

enum explain_class {
#define EXPLAIN_ENUM(id, name, meaning) EXPLAIN_##id,
	EXPLAIN_CLASSES(EXPLAIN_ENUM)
#undef EXPLAIN_ENUM
	    EXPLAIN_CLASS_MAX
};

enum explain_kind { EXPLAIN_ERR, EXPLAIN_BC, EXPLAIN_FUNC, EXPLAIN_LINK };

struct explain {
	const char *key;   /* "LLEAVE", "FNEW", "string.gsub", "stitch" */
	const char *names; /* other names, with blanks between; "io.*" is all that begin so. NULL */
	enum explain_kind kind;
	enum explain_class class;
	const char *words;   /* the reason, as a sentence */
	const char *why;     /* why it happens */
	const char *effect;  /* what it does to the program */
	const char *fix;     /* what usually helps */
	const char *differs; /* where generations differ; NULL: they do not */
};

/* The explanation of a trace error: there is one for each. */
const struct explain *explain_err(enum err_id id);

/* Of an opcode that some generation cannot compile ("FNEW"); NULL: all compile it. */
const struct explain *explain_bytecode(const char *name);

/* Of a library function that stitches or aborts ("string.gsub"); NULL: it compiles. */
const struct explain *explain_function(const char *name);

/* Of how a trace ends, if that means that something did not compile ("stitch"); or NULL. */
const struct explain *explain_link(const char *name);

/*
 * All explanations that fit what a user may type: a name ("LLEAVE", "FNEW", "string.gsub"), a
 * message, whole or in part, with its argument ("NYI: bytecode 51"), a line of jit.v, a number.
 * t (or NULL) says what numbers mean; without it a number fits what it means anywhere. Up to max
 * are put into out, the best first; returns how many.
 */
size_t explain_find(const char *reason, const struct tables *t, const struct explain **out,
		    size_t max);

/* All of them, by number from 0: errors, bytecodes, functions, links. NULL: there are no more. */
const struct explain *explain_at(size_t i);

const char *explain_class_name(enum explain_class class);
const char *explain_class_meaning(enum explain_class class);

#endif
