/* SPDX-License-Identifier: MIT */
/*
 * Holds a process that is about to run a program, one that we started: it is stopped at the moment
 * when its first VM is complete, before it runs any Lua, so that what it does from then on is seen.
 *
 * A uprobe of perf's own kind on lj_dispatch_update, which luaopen_jit calls, sends it one SIGSTOP.
 * Only for a LuaJIT that is in the program itself: other files are not mapped yet.
 */
#ifndef BPF_HOLD_H
#define BPF_HOLD_H

struct hold;

/*
 * pid: waits to exec the file at path. 0, or -errno, with nothing to be held: -ENOENT if there is no
 * LuaJIT in the file.
 */
int hold_new(int pid, const char *path, struct hold **out);

/* Has it been stopped? */
int hold_stopped(const struct hold *h);

/* Lets it go on if it was stopped, and never stops it any more. Takes NULL. */
void hold_free(struct hold *h);

#endif
