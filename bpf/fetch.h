/* SPDX-License-Identifier: MIT */
/*
 * Asks debuginfod servers for the debug files of programs, if $DEBUGINFOD_URLS names any.
 *
 * A child process does it, so that ljx never waits longer than it wants to, whatever a server or a
 * resolver does. What is fetched is kept in debuginfod's own cache; its other variables hold too
 * ($DEBUGINFOD_CACHE_PATH, $DEBUGINFOD_TIMEOUT). The child ends with fetch_free, or with us.
 */
#ifndef BPF_FETCH_H
#define BPF_FETCH_H

struct fetch;

#define FETCH_ID 136 /* a build-id in hex and its NUL */

/* Is there anybody to ask? */
int fetch_configured(void);

/* Starts the child. 0 or -errno. */
int fetch_new(struct fetch **out);
void fetch_free(struct fetch *f);

/* Asks for the debug file of a build-id, without waiting. 0, or -errno: nothing more can be asked.
 */
int fetch_ask(struct fetch *f, const char *build_id);

/*
 * Waits up to ms for an answer. 1: *fd is the debug file of that build-id, the caller's to close,
 * or -1 if nobody has it. 0: no answer yet. -EINTR: a signal came; another -errno: there will be
 * none.
 */
int fetch_take(struct fetch *f, int ms, char build_id[FETCH_ID], int *fd);

#endif
