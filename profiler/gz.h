/* SPDX-License-Identifier: MIT */
/* A stream that compresses what is written to it. */
#ifndef PROFILER_GZ_H
#define PROFILER_GZ_H

#include <stdio.h>

/*
 * What is written to the returned stream goes to f as gzip; fclose ends it, and flushes f, which
 * stays the caller's. The same input gives the same bytes. NULL and errno: out of memory. Errors
 * of f show as those of the stream.
 */
FILE *gz_fopen(FILE *f);

#endif
