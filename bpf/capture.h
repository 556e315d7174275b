/* SPDX-License-Identifier: MIT */
/*
 * Live capture: loads the BPF programs, follows the target processes, and delivers the finished
 * record stream to a sink.
 *
 * Phases: capture_new (load), capture_add or capture_watch for each process, capture_start (events
 * on), capture_poll again and again, capture_stop (events off, what is left is delivered),
 * capture_free, which may come at any time. Nothing outlives the process: all kernel objects hang
 * on file descriptors. One thread.
 */
#ifndef BPF_CAPTURE_H
#define BPF_CAPTURE_H

#include "bpf/event.h"
#include "bpf/resolve.h"
#include "bpf/why.h"

enum capture_traces {
	CAPTURE_TRACES_OFF,
	CAPTURE_TRACES_AUTO, /* uprobes where they can be placed, else watchpoints */
	CAPTURE_TRACES_UPROBE,
	CAPTURE_TRACES_WATCH,
};

struct capture_opts {
	unsigned int rate; /* samples a second and CPU, or and thread; 1 to 10000 */
	int per_thread; /* an event per thread: exact counts, but a cost at each context switch */
	int follow;	/* children, present and future, belong to the target */
	int nothing;	/* for benchmarks: the same events with an empty program */
	int old_bpf;	/* for tests: the programs that older kernels get */
	int native;	/* C frames, too: EV_NATIVE; if the kernel refuses, say tells */
	int kernel;	/* and the kernel's */
	int inlines;	/* and those that the compiler inlined, by debug information */
	int no_samples; /* no sampling: trace events only */
	int code;	/* listings of the bytecode that samples and trace events show */
	enum capture_traces traces;
	int need_traces;    /* capture_new and capture_add fail if the recorder cannot be watched */
	unsigned int limit; /* attempts a second of one place that are told one by one; 0: all */
	unsigned int ring_bytes; /* 0: by the rate */
	/*
	 * Gets what the user should know while it happens, a line each: which probes a process got,
	 * that symbols are asked for. NULL: nobody is told, and nobody asked.
	 */
	void (*say)(void *ctx, const char *text);
	void *say_ctx;
	const struct layout_row *layout; /* of all targets; NULL: found by evidence */
};

struct capture_stats {
	uint64_t events;  /* perf events, of any process */
	uint64_t samples; /* of targets */
	uint64_t lost_samples, lost_protos;
	uint64_t faults;	      /* memory reads that failed in BPF */
	uint64_t traces, lost_traces; /* trace events; those of them not delivered, only counted */
	uint64_t tallied;	      /* trace events that were only counted */
	uint64_t probe_hits;
	uint64_t rescans;      /* because trace events were lost */
	unsigned int scanning; /* processes whose memory was not yet read to its end */
	uint64_t delivered;
	unsigned int targets; /* alive and being sampled */
	unsigned int watched; /* alive, without LuaJIT so far */
	unsigned int exited;
	int last_status;       /* wait status of the last target that exited, -1: not known */
	uint64_t lost_natives; /* C stacks: ring full */
	uint32_t tables;       /* for unwinding C code */
	size_t table_bytes;
	uint64_t vms, vms_refused;
	uint64_t vms_unwatched; /* without probes on their recorder, though they were asked for */
	/* What a target has too much of. */
	uint64_t vms_dropped;	/* VMs, or what looks like one: not verified */
	uint64_t vms_unsampled; /* beyond those among which a sample in C code is searched */
	uint64_t files_skipped; /* files with code: not looked at */
	uint64_t looks_cut;	/* looks at JIT compilers that were given up */
	struct resolve_stats resolve;
};

struct capture;

int capture_new(const struct capture_opts *opts, resolve_sink_fn *sink, void *ctx,
		struct capture **out, struct why *why);
void capture_free(struct capture *c);

/* Is pid there, and may it be read? To be asked first, so that the first cause is named. */
int capture_check(int pid, struct why *why);

/* The words for err (ESRCH, EPERM, ...), which reading pid told. Returns err. */
int capture_why_attach(struct why *why, int pid, int err);

/*
 * Adds a running process with LuaJIT. 0, or -errno and why: no LuaJIT, or a build whose layout does
 * not verify. If it has no Lua state yet it is watched for one, which stats.watched tells.
 */
int capture_add(struct capture *c, int pid, struct why *why);

/* Adds a process that may get its VM later, or never. 0, or -ESRCH. */
int capture_watch(struct capture *c, int pid);

/* Can uprobes be placed? For a capture that is to trace. 0 or -errno; *multi: by which way. */
int capture_try_uprobes(struct capture *c, int *multi);

/* Are there uprobes to come that only CAP_SYS_ADMIN may place? */
int capture_needs_admin(const struct capture *c);

int capture_start(struct capture *c, struct why *why);

/*
 * Waits up to ms milliseconds, delivers what has come and looks after the processes. Returns 0,
 * -errno, or what the sink returned. stats tells when no target is left.
 */
int capture_poll(struct capture *c, int ms);

int capture_stop(struct capture *c);

/*
 * Reads again, now, what the JIT compilers of all targets point at: traces, penalties, parameters.
 * Their whole memory follows bit by bit while capture_poll runs, not more often than every 10 s.
 * Without trace probes nothing is read. 0, -errno or what the sink returned.
 */
int capture_rescan(struct capture *c);

/*
 * The same without the whole memory, and not more often than every 5 s: for who shows what changes
 * without an event, as the exits that were taken.
 */
int capture_look(struct capture *c);

/* Waits, at most ms milliseconds, until the memory is read to its end (stats.scanning 0). */
int capture_scan_wait(struct capture *c, int ms);

const struct capture_stats *capture_stats(struct capture *c);

/*
 * Asks for the symbols of the files that these VMs are in, and waits for them some seconds at most,
 * longer if the recorder's functions are not found without. What a capture does before it places
 * uprobes.
 */
void capture_ask_symbols(struct resolve *r, const struct vm_list *vms);

#endif
