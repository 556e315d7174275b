/* SPDX-License-Identifier: MIT */
/* The LuaJIT processes of this machine, and which belong together. */
#ifndef TUI_GROUPS_H
#define TUI_GROUPS_H

#include "bpf/process.h"
#include "bpf/vm.h"
#include "bpf/why.h"

struct group_proc {
	struct proc_info info;
	int root; /* topmost ancestor that is a LuaJIT process of the same program */
	size_t nvms, refused;
	int jit;		      /* 1 on, 0 off, -1 not known; of the first VM */
	const struct layout_row *row; /* of the first VM; NULL: none verified */
	char version[64];
	char file[256]; /* that holds the VM's code */
	int readable;	/* 0: found by its mappings, its memory may not be read */
};

struct groups {
	struct group_proc *proc; /* by root, then pid */
	size_t n;
	size_t ngroups;
	size_t hidden; /* processes whose mappings may not be read */
	struct modules *modules;
};

/* Looks at all processes. 0 or -errno. */
int groups_find(struct groups *g);
void groups_release(struct groups *g);

/* Lists the groups as command lines to paste. */
void groups_hint(const struct groups *g, const char *verb, struct why *why);

#endif
