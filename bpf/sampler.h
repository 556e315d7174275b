/* SPDX-License-Identifier: MIT */
/* What the sampler's BPF program and its loader share besides the records: maps and counters. */
#ifndef BPF_SAMPLER_H
#define BPF_SAMPLER_H

#include "bpf/event.h"

#define SMP_LAYOUTS 16u	   /* builds in one run */
#define SMP_MODULES 2u	   /* LuaJIT builds in one process */
#define SMP_VMS 1024u	   /* VMs of a process that are looked at per sample */
#define SMP_PROCS 16384u   /* processes */
#define SMP_ALL_VMS 65536u /* VMs of all processes */

/* A mapped file that holds a VM's code. */
struct smp_module {
	ev_u64 asm_start, asm_end; /* the interpreter, run-time addresses */
	ev_u32 layout;		   /* index in the layouts map */
	ev_u32 pad;
};

#define SMP_FOLLOW 1u /* children belong to the target too */
#define SMP_IDLE 2u   /* no LuaJIT found yet: not sampled */

/* A process that is sampled; key: its pid. A forked child starts with its parent's. */
struct smp_proc {
	ev_u32 flags; /* SMP_* */
	ev_u32 vmkey; /* the list of VMs; shared with forked children */
	ev_u32 nvms;
	ev_u32 nmodules;
	ev_u64 first_vm; /* of the list: most processes have no other. 0: none */
	struct smp_module module[SMP_MODULES];
};

struct smp_vmkey {
	ev_u32 key;
	ev_u32 idx;
};

struct smp_vm {
	ev_u64 g;
	ev_u32 layout;
	ev_u32 pad;
};

/* A VM of a list by its address; the value is its layout's index. */
struct smp_vmid {
	ev_u64 g;
	ev_u32 key;
	ev_u32 pad;
};

/*
 * The VMs that a thread was seen in, of a process that has more of them: those of its C stack are
 * among these, but for one that it has just entered, which the next look at all of them finds.
 */
#define SMP_NEAR 16u		     /* a power of two */
#define SMP_LOOK_EVERY 1000000000ull /* ns */
#define SMP_NEAR_THREADS 4096u
struct smp_near {
	ev_u64 looked; /* ns: at all VMs of the process */
	ev_u32 key;    /* the list that they are of */
	ev_u32 n;      /* more than SMP_NEAR: not all are here, so look at all every time */
	ev_u64 g[SMP_NEAR];
};

/*
 * The cookie of a probe: which layout, and how its function passes the VM. Arguments differ between
 * builds: in an amalgamated one the compiler passes to static functions what they really use. At
 * the probe they may have moved to other registers: PROBE_REG is where the first or second is,
 * counted in struct pt_regs from its start.
 */
#define PROBE_LAYOUT(cookie) ((ev_u32)(cookie)&0xff)
#define PROBE_ARG(cookie) ((ev_u32)(cookie) >> 8 & 0xff)
#define PROBE_REG(cookie, n) ((ev_u32)((cookie) >> (16 + 8 * (n))) & 15)
enum { PROBE_ARG_J = 0, PROBE_ARG_L = 1, PROBE_ARG_G = 2 };

#define SMP_RECORDERS 4096u /* VMs whose recorder is followed */
#define SMP_WATCHED 16384u  /* addresses with watchpoints */

struct smp_recorder_key {
	ev_u64 J;
	ev_u32 tgid;
	ev_u32 pad;
};

/*
 * What a watchpoint is on: a layout and argument as in a cookie, argument 0 jit_State.state, 1
 * jit_State.freetrace. Not in a cookie, which threads that inherit the event would not have.
 */
struct smp_watch_key {
	ev_u64 addr;
	ev_u32 tgid;
	ev_u32 pad;
};

/*
 * Storms: a place where more recordings a second start than limit is told of by counts. If all
 * places together have more than SMP_BUDGET a second, those with more than SMP_SHARE are, too.
 */
#define SMP_BUDGET 20000u
#define SMP_SHARE 10u
#define SMP_STARTS 65536u
#define SMP_TALLIES 8192u

/* What is counted together: events of one VM that say the same. */
struct smp_tally_key {
	ev_u64 g;
	ev_u64 site; /* hash of all that they say but for addresses and trace numbers */
	ev_u32 tgid;
	ev_u32 type; /* enum ev_trace_type */
};

#define SMP_TALLY_FRAMES 8u /* kept of a stack: that has a Lua function in it */
/* Only the thread that runs the VM writes it. */
struct smp_tally {
	ev_u64 first, last; /* ns: of those only counted */
	ev_u64 count;	    /* events that were not sent; never reset */
	ev_u64 starts;	    /* START events that were not sent because of them */
	ev_u32 attempts;
	ev_u32 pad;
	ev_u64 like[sizeof(struct ev_trace) / 8]; /* the newest event that was sent */
	struct ev_frame f[SMP_TALLY_FRAMES];
};

/* No cookie: the probe is not known. No layout has that index. */
#define PROBE_NONE 0xffu

#define SMP_COOKIES 16384u /* of uprobes, by smp_watch_key, where the kernel has none */
#define SMP_THREADS 16384u /* whose place on the C stack is remembered */

#define SMP_NATIVE_USER 1u   /* C frames are wanted */
#define SMP_NATIVE_KERNEL 2u /* and those of the kernel */

/* What the loader tells the programs. */
struct smp_config {
	/* ljx's pid namespace, if it is not the first one: pids are to be those that ljx sees. */
	ev_u64 ns_dev, ns_ino;
	ev_u32 btf;    /* the kernel tells its structures */
	ev_u32 blind;  /* kernel mode samples may come without the registers of user mode */
	ev_u32 ncpus;  /* that there may ever be */
	ev_u32 native; /* SMP_NATIVE_* */
	ev_u32 room;   /* bytes of the ring that samples may fill */
	ev_u32 pad;
};

/*
 * Unwinding of C frames. A row says how from its address on: bits 32 to 63 are the address, counted
 * from the table's base; 16 to 31 an offset in words; 8 to 15 where the caller's rbp is; 0 to 7
 * what the CFA is, as in elfobj.h.
 */
#define SMP_CFA_NONE 0u
#define SMP_CFA_SP 1u
#define SMP_CFA_BP 2u
#define SMP_CFA_AT_BP 3u
#define SMP_CFA_PLT 4u
#define SMP_CFA_SIGNAL 5u
#define SMP_CFA_END 6u

#define SMP_BP_SAME 0u /* else so many words below the CFA, or: */
#define SMP_BP_AT_BP 254u
#define SMP_BP_LOST 255u

#define SMP_ROW(pc, kind, off, bp) \
	((ev_u64)(pc) << 32 | (ev_u64)(off) << 16 | (ev_u64)(bp) << 8 | (kind))
#define SMP_ROW_PC(row) ((ev_u32)((row) >> 32))
#define SMP_ROW_RULE(row) ((ev_u32)(row))
#define SMP_ROW_OFF(row) ((ev_s32)(ev_u32)(row) >> 16)
#define SMP_ROW_BP(row) ((ev_u32)(row) >> 8 & 0xff)
#define SMP_ROW_KIND(row) ((ev_u32)(row)&0xff)

#define SMP_UNWIND_STEP 256u /* bytes of code for each word of a table's index */
#define SMP_TABLES 4096u
#define SMP_RANGES 4096u	 /* of code in a process */
#define SMP_UNWOUND 1024u	 /* processes with ranges */
#define SMP_NO_TABLE 0xffffffffu /* there is none: the file has no call frame information */
#define SMP_LATER 0xfffffffeu	 /* not made yet */

/*
 * A mapping with code, of a process. They are in an array, ascending; the first element is none and
 * has their number in start.
 */
struct smp_range {
	ev_u64 start, end;
	ev_u64 base;	     /* run-time address that the rows count from */
	ev_u32 table;	     /* slot, SMP_NO_TABLE or SMP_LATER */
	ev_u32 index, nrows; /* words of the table */
	ev_u32 pad;
};

/* Counted in BPF since it was loaded. */
struct smp_counters {
	ev_u64 events;	     /* perf events, of any process */
	ev_u64 samples;	     /* of a target, while it has LuaJIT */
	ev_u64 lost_samples; /* ring full */
	ev_u64 lost_protos;
	ev_u64 lost_natives;
	ev_u64 lost_notes;  /* fork, exec, exit, hints */
	ev_u64 faults;	    /* reads of user memory that failed */
	ev_u64 probes;	    /* hits of recorder probes */
	ev_u64 traces;	    /* trace events */
	ev_u64 lost_traces; /* of them not delivered: ring full */
	ev_u64 tallied;	    /* trace events only counted */
	/* Of them those without a tally, for want of room, by EV_TRACE_*. */
	ev_u64 untold[EV_TRACE_FLUSH + 1];
	ev_u64 protos; /* ids given to prototypes; not where the kernel cannot count so */
};

#endif
