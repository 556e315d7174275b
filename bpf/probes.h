/* SPDX-License-Identifier: MIT */
/*
 * Probes on the trace recorder of one process: uprobes where the recorder's functions are found,
 * hardware watchpoints on jit_State otherwise. One kind per process, so that no event comes twice.
 *
 * Uprobes are at a function's entry or in its straight-line prologue, never on its return: a return
 * probe kills a LuaJIT process when an error unwinds. All are gone with probes_free, or with us.
 */
#ifndef BPF_PROBES_H
#define BPF_PROBES_H

#include "bpf/process.h"
#include "bpf/vm.h"

struct bpf_program;

/* The BPF programs (bpf/tracer.bpf.h), loaded. */
struct probe_programs {
	struct bpf_program *update, *err, *flushall, *watch;
};

enum probe_kind { PROBE_AUTO, PROBE_UPROBE, PROBE_WATCH };

/* Debug registers: two for each VM. */
#define PROBE_WATCH_VMS 2

struct probes;

/*
 * Attaches to pid. layout[i] is the index of vms->vm[i]'s layout in the programs' map. *kind is
 * what was asked for, and what was taken. text says what was done, or why not: the functions found,
 * a VM that is not watched. Returns 0 or -errno.
 */
int probes_attach(const struct probe_programs *prog, int pid, const struct proc_maps *maps,
		  const struct vm_list *vms, const uint32_t *layout, enum probe_kind *kind,
		  struct probes **out, char *text, size_t size);
void probes_free(struct probes *p);

#endif
