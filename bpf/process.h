/* SPDX-License-Identifier: MIT */
/*
 * A process as /proc shows it: identity, mappings, and the files mapped, opened by content.
 *
 * Files are opened through /proc/PID/map_files, which is the very file that is mapped even if it
 * was deleted, replaced or lies in another mount namespace; without the right to that, through
 * /proc/PID/root with the inode compared. A struct modules caches them for all processes.
 */
#ifndef BPF_PROCESS_H
#define BPF_PROCESS_H

#include "bpf/elfobj.h"
#include "bpf/guess.h"
#include "bpf/why.h"

#include <stddef.h>
#include <stdint.h>

struct proc_info {
	int pid, ppid, nspid;
	uint64_t start; /* clock ticks since boot: pid + start is an identity */
	char state;	/* of /proc/PID/stat; 'Z': zombie */
	char comm[64];
	char exe[512];
	char cmdline[1024]; /* arguments joined by blanks */
};

/* Is there such a process, though /proc does not show it? */
int proc_hidden(int pid);

/* Reads them. 0, or -errno: -ESRCH if there is no such process. */
int proc_info_read(int pid, struct proc_info *out);

/* All pids, ascending. Returns a malloc'd array of *n, or NULL and errno. */
int *proc_list(size_t *n);

/* The threads of a process; as proc_list. */
int *proc_threads(int pid, size_t *n);

/* What one of them does, as proc_info.state; 0: it is gone. */
char proc_thread_state(int pid, int tid);

/* The children of all its threads; as proc_list. NULL also if the kernel does not tell them. */
int *proc_children(int pid, size_t *n);

/* One file with executable mappings. Owned by its struct modules, which may add symbols. */
struct module {
	struct module *next;
	uint64_t dev, inode, mtime;
	char path[512];	    /* as the target names it, without " (deleted)" */
	const char *base;   /* last part of path */
	struct elfobj *elf; /* NULL: could not be read or is no ELF */
	int has_vm;	    /* a LuaJIT VM is in it: vm is set */
	struct elfobj_vm vm;
	enum { MODULE_NOT_ASKED, MODULE_ASKED, MODULE_ANSWERED } fetch;
	struct module_lazy *lazy; /* of module_guesses, if has_vm */
};

/*
 * The layouts that the VM in this file may have, found at the first call. 0, or -ENOMEM: nothing is
 * known of them then. Borrowed from m.
 */
int module_guesses(const struct module *m, const struct guesses **out);

struct modules;

/* given: the layout that all VMs have, or NULL: as files and memory say. It is copied. */
struct modules *modules_new(const struct layout_row *given);
void modules_free(struct modules *ms);

/*
 * From now on symbols may be asked for, where files have none (bpf/fetch.h). say gets a line of
 * text when that happens.
 */
typedef void modules_say_fn(void *ctx, const char *text);
void modules_fetch(struct modules *ms, modules_say_fn *say, void *ctx);

/*
 * Asks for the symbols of m if it has none, and waits up to ms milliseconds for them; once they are
 * there, m->elf has them. Asks once only: later calls wait only.
 */
void modules_ask(struct modules *ms, const struct module *m, int wait_ms);

/* Takes in what has come meanwhile. True if a module has symbols that had none. */
int modules_poll(struct modules *ms);

enum { PROC_R = 1, PROC_W = 2, PROC_X = 4 };

struct proc_map {
	uint64_t start, end, offset, dev, inode;
	unsigned int prot;	     /* PROC_* */
	const struct module *module; /* of executable file mappings, else NULL */
	uint64_t bias;		     /* run-time address - ELF address, if module has an elf */
	char name[64];		     /* "[heap]", "[anon]", or the last part of the path */
};

#define PROC_VM_MODULES 16u

struct proc_maps {
	struct proc_map *map;
	size_t n;
	size_t denied;	/* executable files that may not be read: what is in them is not known */
	size_t skipped; /* the same, not looked at: there were too many, or they are too large */
	const struct module *vm[PROC_VM_MODULES]; /* those of the modules with has_vm, each once */
	size_t nvm;
};

/* Reads the mappings of pid, opening new files. 0 or -errno. out must be zeroed or released. */
int proc_maps_read(int pid, struct modules *ms, struct proc_maps *out);
void proc_maps_release(struct proc_maps *maps);

/* The mapping that holds addr, or NULL. */
const struct proc_map *proc_maps_at(const struct proc_maps *maps, uint64_t addr);

/* Copies a name for a terminal or file name: control bytes become '?'. */
void proc_printable(char *dst, size_t size, const char *src);

#endif
