/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the capture share: capture.c follows the processes, capture_events.c has the
 * perf events, capture_vms.c tells BPF about VMs, capture_tally.c reads what BPF only counted,
 * capture_scan.c has the looks at the VMs' memory, capture_why.c finds the words for failures.
 */
#ifndef BPF_CAPTURE_INT_H
#define BPF_CAPTURE_INT_H

#include "bpf/capture.h"
#include "bpf/process.h"
#include "bpf/sampler.h"
#include "bytecode/layout.h"

#define HASH_NONFATAL_OOM 1 /* then hh.tbl is NULL after an addition that failed */
#include <uthash.h>

#include <sampler.skel.h>

/* A process that we follow. */
struct follow {
	int pid;
	uint32_t vmkey;
	uint32_t nvms;
	int sampled; /* it has a verified VM */
	struct probes *probes;
	int probe_err;		 /* none could be attached: -errno */
	size_t unwatched;	 /* VMs that had no probes at some time */
	size_t dropped, skipped; /* VMs and files not looked at: as of the last look */
	struct jitscan *scan;	 /* of its VMs; NULL: none */
	int pass;		 /* its memory is to be read through again */
	uint64_t next_pass;	 /* ns: but not before */
	int hinted;		 /* a sample showed a VM that is not in the list */
	uint64_t since;		 /* ns: first seen, or exec */
	uint64_t next;		 /* ns: next look; 0: not looked at yet */
	uint64_t looked;	 /* ns of CPU time: of the look that is under way */
	uint64_t next_hinted;	 /* ns: no look because of hints before */
	uint64_t met_since;	 /* ns: met counts from then on */
	uint64_t no_vm;		 /* the last that an event showed and that is none */
	unsigned int met;	 /* how many were none */
	struct native_proc *native; /* what BPF was told for C stacks; NULL: nothing */
	UT_hash_handle hh;
};

struct capture {
	struct capture_opts opts;
	struct sampler_bpf *skel;
	struct sampler_bpf *tracer; /* with the same maps; NULL: not loaded yet */
	struct native_all *native;  /* C stacks; NULL: none */
	int btf;		    /* the kernel tells its structures */
	int btf_file;		    /* those that the programs use; negative: none */
	int old;		    /* the programs are those for older kernels */
	int multi;		    /* uprobes go by links of many, which need no CAP_SYS_ADMIN */
	int cookies;		    /* map of the probes' cookies; -1: the kernel has cookies */
	struct ring_buffer *ring;
	struct resolve *resolve;
	resolve_sink_fn *sink;
	void *ctx;
	struct follow *procs;
	const struct layout_row *row[SMP_LAYOUTS];
	uint32_t nrows, next_vmkey;
	int *fd;
	struct bpf_link **link;
	size_t nfds;
	struct bpf_link *tp[3];
	int running, consuming;
	uint64_t consume_until; /* ns */
	int over;		/* it was not enough */
	int draining;		/* there is no time for what is left: it is only counted */
	struct smp_counters drained;
	int err; /* of the sink, met inside the ring's callback */
	struct smp_counters told;
	uint64_t unwatched;			   /* of processes that are gone */
	uint64_t dropped, unsampled, skipped, cut; /* the same */
	char probe_text[1024]; /* of the last process: what was attached, or why not */
	uint64_t next_clock, next_children;
	uint64_t lost_traces; /* as of the last look at the VMs' memory */
	uint64_t next_rescan; /* ns: because of losses, not before */
	uint64_t next_look;
	int stale;	      /* the live traces are to be read, events told too little of them */
	struct told *tallies;
	uint64_t next_tally, tallied; /* when to look; the counter as of the last look */
	uint64_t untold[EV_TRACE_FLUSH + 1];
	struct capture_stats stats;
};

/*
 * capture.c: delivers what is in the ring, for a second at most: if that is not enough, the ring is
 * full most of the time, and losses are counted there. Returns whether that was all.
 */
int capture_consume(struct capture *c);

/* capture_load.c: sets c->skel and what depends on the kernel. 0 or -errno. */
int capture_load(struct capture *c);
/*
 * The same for the programs of the trace recorder's probes, c->tracer. By itself because the kernel
 * takes twice as long to verify them as the rest: samples need not wait for that.
 */
int capture_load_tracer(struct capture *c);

/* CPUs that there may ever be, or, where that cannot be known, that there are. */
int capture_cpus(void);

/* capture_events.c */
int capture_open_events(struct capture *c);
void capture_close_events(struct capture *c);

/* capture_vms.c: tells BPF the VMs of a process, and puts probes on them; none: it is not sampled.
 */
int capture_install(struct capture *c, struct follow *f, const struct vm_list *vms);
void capture_drop_vms(struct capture *c, const struct follow *f);
/* The part of capture_install that is about the trace recorder, once c->tracer is there. */
int capture_install_probes(struct capture *c, struct follow *f, const struct vm_list *vms);

/* A VM that an event shows is looked at, if it is not known. */
void capture_meet_vm(struct capture *c, struct follow *f, uint64_t g);

/* capture_native.c: C stacks; without c->native these do nothing, but for init. 0 or -errno. */
int capture_native_init(struct capture *c);
void capture_native_free(struct capture *c);
/* Tells BPF what code the process maps. */
int capture_native_add(struct capture *c, struct follow *f);
void capture_native_drop(struct capture *c, struct follow *f);
/* A C stack has come; what it lacks is looked for at the next tick. */
void capture_native_seen(struct follow *f, const struct ev_native *n);
void capture_native_tick(struct capture *c, struct follow *f, uint64_t now);
void capture_native_stats(const struct capture *c, struct capture_stats *s);

/* capture_scan.c */

/* Reads what happened to the JIT compilers of a process before; the rest is done bit by bit. */
int capture_scan(struct capture *c, struct follow *f, const struct vm_list *vms);
/* The same for VMs whose events tell of all that happened: only their state is read. */
int capture_scan_met(struct capture *c, struct follow *f, const struct vm_list *vms);
void capture_scan_drop(struct capture *c, struct follow *f);
/* Goes on with that; looks again after trace events were lost. */
int capture_scan_more(struct capture *c);

/*
 * capture_tally.c: emits what was counted since the last call, of pid or, with 0, of all. forget:
 * pid is no more what it was. 0, -errno, or what the sink returned.
 */
int capture_tallies(struct capture *c, int pid, int forget);
/* The same once a second, if there is something. */
int capture_tallies_tick(struct capture *c, uint64_t now);
void capture_tallies_free(struct capture *c);

/* capture_why.c: each returns err. */
int capture_why_probes(struct why *why, int pid, int err, const char *text);
int capture_why_load(struct why *why, int err);
int capture_why_event(struct why *why, int err);
/*
 * The process is there and readable, but no VM of it can be sampled: why not? 0 if that is only
 * because it has not made one yet.
 */
int capture_why_no_vm(struct why *why, const struct proc_info *info, const struct module *mod,
		      const struct vm_evidence *ev, int refused, size_t dropped);

#endif
