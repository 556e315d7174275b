/* SPDX-License-Identifier: MIT */
/*
 * Turns raw records into self-contained ones: reads from the live processes what names a frame, the
 * first time it is seen, and emits it as a definition before the sample.
 *
 * What names a frame was copied by BPF with the sample (chunkname, lines), or is read here and
 * verified after reading: if the prototype is not the same any more, there is no name rather than a
 * wrong one. It owns the processes it knows and bounds what it remembers.
 */
#ifndef BPF_RESOLVE_H
#define BPF_RESOLVE_H

#include "bpf/event.h"
#include "bpf/process.h"
#include "bpf/vm.h"
#include "bpf/why.h"

/* Gets every record of the finished stream, in order. Non-zero stops: it is what capture returns.
 */
typedef int resolve_sink_fn(void *ctx, const struct ev_hdr *h);

struct resolve_stats {
	uint64_t protos;      /* definitions made */
	uint64_t protos_gone; /* freed before their code could be read: lines known, content not */
	uint64_t protos_bad;  /* raw bytes that are no prototype */
	uint64_t codes;	      /* listings sent */
	uint64_t names;
	uint64_t names_gone; /* call sites whose prototype was freed before they were named */
	uint64_t snaps;	     /* traces of which is known what runs where */
	uint64_t snaps_gone; /* flushed before they could be read */
	uint64_t snaps_bad;  /* whose snapshots are not understood */
	uint64_t debug_bad;  /* files with debug information that could not be read */
};

struct resolve;

/* A sink for those who want no records. */
int resolve_discard(void *ctx, const struct ev_hdr *h);

/* given: the layout of all targets, or NULL; see modules_new. */
struct resolve *resolve_new(resolve_sink_fn *sink, void *ctx, const struct layout_row *given);

/*
 * Whether CODE records are sent: of the function at the leaf of each sample, and of those where
 * traces start and end. Off at first.
 */
void resolve_want_code(struct resolve *r, int on);
void resolve_free(struct resolve *r);

/* Whether INLINE records are sent, for C stacks. Off at first. */
void resolve_want_inline(struct resolve *r, int on);

/*
 * The kernel's functions get names. To be called while there are the rights to know their addresses.
 * 0 or -ENOMEM.
 */
int resolve_want_kernel(struct resolve *r);

/*
 * Begins a generation of pid: reads /proc, finds its VMs, emits PROC, BUILD and VM records. 0 also
 * if it has no LuaJIT: then vms->n is 0, and *has_code tells whether a file with a VM is mapped.
 * -errno if it is gone or may not be read. vms is borrowed until the next call for this pid.
 */
int resolve_attach(struct resolve *r, int pid, const struct vm_list **vms, int *has_code,
		   struct vm_evidence *ev);

/*
 * resolve_attach for those that do not look again later. While there is code of LuaJIT and no VM it
 * is repeated for a second: the first look may miss both the old VM and the new one of a process
 * that replaces it just then, as nginx's master does at a reload. *waited_ms adds up over calls.
 */
int resolve_look(struct resolve *r, int pid, unsigned int *waited_ms, const struct vm_list **vms,
		 int *has_code, struct vm_evidence *ev);

/*
 * Looks for VMs again, for about ns; to be called until it says that it is done. *changed: the list
 * is another one. As resolve_attach, but no new generation. 1: there is more to look at; 0: that
 * was all; or -errno.
 */
int resolve_rescan(struct resolve *r, int pid, uint64_t ns, const struct vm_list **vms,
		   int *changed);

/*
 * A record tells of a VM that may not be in the list yet: verifies it and announces it. 0: it was
 * added; 1: it is gone already, and is taken for one like the others until the next rescan;
 * -EEXIST: it is known; -ENOENT: that is no VM.
 */
int resolve_add_vm(struct resolve *r, int pid, uint64_t g, const struct vm_list **vms);

/* Forgets pid: it ended or became another program. */
void resolve_drop(struct resolve *r, int pid);

/* The file with a VM's code that pid maps, or NULL. */
const struct module *resolve_vm_module(struct resolve *r, int pid);

/*
 * Lets symbols be asked for that files lack (modules_fetch), within limits: no call here waits for
 * long. Call it before anything is attached.
 */
void resolve_fetch(struct resolve *r, modules_say_fn *say, void *ctx);

/* Waits up to ms for those of a module. */
void resolve_ask(struct resolve *r, const struct module *m, int wait_ms);

/* Takes in those that have come: addresses get better names from now on. */
void resolve_poll(struct resolve *r);

/* Reads the mappings again. 0 or -errno. */
int resolve_refresh_maps(struct resolve *r, int pid);

/* Another number after the process mapped code, or unmapped it, as far as that was looked at. */
unsigned int resolve_code_changes(struct resolve *r, int pid);

/* The mappings and the VMs as of the last look, or NULL. */
const struct proc_maps *resolve_maps(struct resolve *r, int pid);
const struct vm_list *resolve_vms(struct resolve *r, int pid);

/* Passes a record on, after its definitions. Raw kinds are consumed. 0, or what the sink said. */
int resolve_record(struct resolve *r, const struct ev_hdr *h);

/* Emits the name by which the instruction at site (an EV_FRAME_ADDR) calls, unless it was before.
 */
int resolve_call(struct resolve *r, const struct ev_hdr *h, uint64_t site);

/* An id for a prototype that BPF did not see; never one of BPF's. */
uint32_t resolve_new_id(struct resolve *r);

/* The stream's clock: CLOCK_MONOTONIC, ns. */
uint64_t resolve_now(void);

const struct resolve_stats *resolve_stats(const struct resolve *r);

#endif
