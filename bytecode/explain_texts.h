/* SPDX-License-Identifier: MIT */
/* The texts behind bytecode/explain.c, by kind. */
#ifndef BYTECODE_EXPLAIN_TEXTS_H
#define BYTECODE_EXPLAIN_TEXTS_H

#include "bytecode/explain.h"

extern const struct explain explain_errs[ERR_MAX]; /* by enum err_id */
extern const struct explain explain_bcs[];	   /* these end with a NULL key */
extern const struct explain explain_funcs[];
extern const struct explain explain_links[];

#endif
