/* SPDX-License-Identifier: MIT */
/*
 * Probes on the trace recorder of one process: uprobes where the recorder's functions are found,
 * hardware watchpoints on jit_State otherwise. One kind per process, so that no event comes twice.
 *
 * Uprobes are at a function's entry or in its straight-line prologue, never on its return: a return
 * probe kills a LuaJIT process when an error unwinds. One set of them serves all VMs that run the
 * same code, also those that come later. Watchpoints are two for each VM, of the four that a thread
 * has, so they serve two VMs; threads that come later inherit them.
 *
 * All are gone with probes_free, or with us.
 */
#ifndef BPF_PROBES_H
#define BPF_PROBES_H

#include "bpf/finder.h"
#include "bpf/process.h"
#include "bpf/vm.h"

struct bpf_program;

/* The BPF programs (bpf/tracer.bpf.h), loaded, and their maps. */
struct probe_programs {
	struct bpf_program *update, *err, *flushall, *watch;
	int recorders, watched; /* descriptors */
	int cookies;		/* a map that tells uprobes their cookies; -1: the kernel does */
	int multi;		/* the uprobe programs are loaded for PROBE_UPROBE_MULTI */
};

/*
 * BPF_TRACE_UPROBE_MULTI, Linux 6.6: uprobes as a link, which CAP_BPF and CAP_PERFMON may make;
 * as perf events they need CAP_SYS_ADMIN. Not in the headers of Debian 12.
 */
#define PROBE_UPROBE_MULTI 48

enum probe_kind { PROBE_AUTO, PROBE_UPROBE, PROBE_WATCH };

#define PROBE_WATCH_VMS 2

/* The functions that uprobes need, all of them. */
#define PROBE_FUNCS 3
extern const enum finder_id probe_func[PROBE_FUNCS];

struct probes;

/* kind is what is asked for; auto is decided by the first probes_update. NULL: out of memory. */
struct probes *probes_new(const struct probe_programs *prog, int pid, enum probe_kind kind);
void probes_free(struct probes *p);

/*
 * Follows the process's VMs: puts probes on those that have none yet, takes them from those that
 * are gone, and leaves the others alone, so that nothing is lost. layout[i] is the index of
 * vms->vm[i]'s layout in the programs' map. What was done is said in text, or why it could not be;
 * "" if nothing changed. Returns 0, or -errno if no VM of the process has probes now.
 */
int probes_update(struct probes *p, const struct proc_maps *maps, const struct vm_list *vms,
		  const uint32_t *layout, char *text, size_t size);

/* How many VMs had no probes after the last update. */
size_t probes_unwatched(const struct probes *p);

/* What was taken; PROBE_AUTO: nothing yet. */
enum probe_kind probes_kind(const struct probes *p);

/* Puts a uprobe on a function of this very process and takes it away again. 0 or -errno. */
int probes_try(const struct probe_programs *prog);

/* True if uprobes cannot be placed in the code that vm runs because a function is not found. */
int probes_lack_functions(const struct vm *vm);

#endif
