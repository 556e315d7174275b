/* SPDX-License-Identifier: MIT */
/*
 * Reads a jit/vmdef.lua: a file, or the one that a process's LuaJIT would load. Which that is, the
 * package.path tells that was compiled into the binary (LuaJIT src/luaconf.h:LUA_PATH_DEFAULT).
 */
#ifndef BPF_VMDEF_FILE_H
#define BPF_VMDEF_FILE_H

#include "bpf/why.h"
#include "bytecode/vmdef.h"

struct vmdef_file {
	char path[512]; /* as the target names it */
	char *text;
	struct vmdef def;
};

/* The file called path. 0, or -errno and why. The caller frees. */
int vmdef_file_read(const char *path, struct vmdef_file **out, struct why *why);

/*
 * The target's own, through its root directory; module: path of the file that it runs LuaJIT from.
 * 0, or -ENOENT: it has none, or none that can be read.
 */
int vmdef_file_of(int pid, const char *module, struct vmdef_file **out);

void vmdef_file_free(struct vmdef_file *f);

#endif
