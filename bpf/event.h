/* SPDX-License-Identifier: MIT */
/*
 * The record stream: what the BPF programs emit, what a recording holds and what the analyses
 * fold. One header for clang's BPF target, the C compiler and the tests.
 *
 * Rules: fixed-width integers only, explicit padding, sizes a multiple of 8, kinds append-only with
 * explicit numbers, arrays and strings last. A reader skips kinds that it does not know, by size.
 * Addresses are the target's and travel raw. Times are CLOCK_MONOTONIC nanoseconds
 * (bpf_ktime_get_ns). A definition precedes its first use.
 *
 * Strings: a record whose comment ends in "strings: a, b" is followed, at its sizeof, by exactly
 * that many NUL-terminated strings in that order, then by zero padding to a multiple of 8.
 */
#ifndef BPF_EVENT_H
#define BPF_EVENT_H

#ifdef __bpf__
#include <linux/types.h>
typedef __u8 ev_u8;
typedef __u16 ev_u16;
typedef __u32 ev_u32;
typedef __s32 ev_s32;
typedef __u64 ev_u64;
#else
#include <stdint.h>
typedef uint8_t ev_u8;
typedef uint16_t ev_u16;
typedef uint32_t ev_u32;
typedef int32_t ev_s32;
typedef uint64_t ev_u64;
#endif

#define EV_VERSION 1u

/*
 * number, NAME, struct. PROTO_RAW and VM_HINT go from BPF to the resolver only and are never
 * written to a recording.
 */
#define EV_KINDS(_)                                                                                \
	_(1, SAMPLE, ev_sample)                                                                    \
	_(2, PROTO_RAW, ev_proto_raw)                                                              \
	_(3, VM_HINT, ev_vm_hint)                                                                  \
	_(4, PROC, ev_proc)                                                                        \
	_(5, BUILD, ev_build)                                                                      \
	_(6, VM, ev_vm)                                                                            \
	_(7, FUNC, ev_func)                                                                        \
	_(8, NAME, ev_name)                                                                        \
	_(9, SYM, ev_sym)                                                                          \
	_(10, FORK, ev_fork)                                                                       \
	_(11, EXEC, ev_exec)                                                                       \
	_(12, EXIT, ev_exit)                                                                       \
	_(13, LOST, ev_lost)                                                                       \
	_(14, CLOCK, ev_clock)                                                                     \
	_(15, META, ev_meta)                                                                       \
	_(16, FF, ev_ff)                                                                           \
	_(17, TRACE, ev_trace)                                                                     \
	_(18, SPOT, ev_spot)                                                                       \
	_(19, JIT, ev_jit)                                                                         \
	_(20, LOOPS, ev_loops)                                                                     \
	_(21, CODE, ev_code)                                                                       \
	_(22, SCAN, ev_scan)                                                                       \
	_(23, TALLY, ev_tally)                                                                     \
	_(24, SNAPS, ev_snaps)                                                                     \
	_(26, NATIVE, ev_native)                                                                   \
	_(27, INLINE, ev_inline)                                                                   \
	_(28, MODULE, ev_module)                                                                   \
	_(29, TABLES, ev_tables)

enum ev_kind {
#define EV_ENUM(num, name, type) EV_##name = num,
	EV_KINDS(EV_ENUM)
#undef EV_ENUM
};

/* Every record starts so. pid and tid as ljx's pid namespace numbers them; 0: not of a process. */
struct ev_hdr {
	ev_u16 kind; /* EV_* */
	ev_u16 cpu;
	ev_u32 size; /* of the whole record, a multiple of 8 */
	ev_u64 time;
	ev_u32 pid;
	ev_u32 tid;
};

/* What the VM was doing: global_State.vmstate, made independent of the build. */
#define EV_STATES(_)                                                                               \
	_(0, UNKNOWN, "unknown")                                                                   \
	_(1, TRACE, "compiled")                                                                    \
	_(2, INTERP, "interpreted")                                                                \
	_(3, C, "C")                                                                               \
	_(4, GC, "GC")                                                                             \
	_(5, EXIT, "exit")                                                                         \
	_(6, RECORD, "record")                                                                     \
	_(7, OPT, "optimise")                                                                      \
	_(8, ASM, "assemble")                                                                      \
	_(9, OUTSIDE, "outside Lua")

enum ev_state {
#define EV_ENUM(num, name, text) EV_STATE_##name = num,
	EV_STATES(EV_ENUM)
#undef EV_ENUM
	EV_STATE_MAX
};

/*
 * Why a sample has no Lua stack, or only a part of one. NONE: complete. The text is what stands in
 * "[no Lua stack: TEXT]".
 */
#define EV_WHYS(_)                                                                                 \
	_(0, NONE, "")                                                                             \
	_(1, OUTSIDE, "outside Lua")                                                               \
	_(2, NO_VM, "no VM found yet")                                                             \
	_(3, READ, "memory not readable")                                                          \
	_(4, BAD_BASE, "no valid stack base")                                                      \
	_(5, BAD_FRAME, "inconsistent frame")                                                      \
	_(6, NO_REGS, "kernel: no user registers")                                                 \
	_(7, DEPTH, "deeper than can be walked")                                                   \
	_(8, NO_LUAJIT, "no LuaJIT in process")

enum ev_why {
#define EV_ENUM(num, name, text) EV_WHY_##name = num,
	EV_WHYS(EV_ENUM)
#undef EV_ENUM
	EV_WHY_MAX
};

enum ev_frame_kind {
	EV_FRAME_LUA = 1,   /* addr: EV_FRAME_ADDR(proto id, bytecode position) */
	EV_FRAME_C = 2,	    /* addr: the C function */
	EV_FRAME_FF = 3,    /* addr: the fast function's code; ffid */
	EV_FRAME_CO = 4,    /* addr: lua_State of the resumer whose frames follow; not a function */
	EV_FRAME_TRACE = 5, /* addr as LUA: the trace's start. Only as the leaf, f[0] */
};

/* The position of a frame's current instruction is not known. */
#define EV_NO_PC 0xffffffffu
#define EV_FRAME_ADDR(proto, pc) ((ev_u64)(pc) << 32 | (ev_u32)(proto))
#define EV_FRAME_PROTO(addr) ((ev_u32)(addr))
#define EV_FRAME_PC(addr) ((ev_u32)((addr) >> 32))

/* Id of a prototype whose definition could not be sent; shown as [undefined]. */
#define EV_NO_PROTO 0u

/* One frame of a Lua stack. */
struct ev_frame {
	ev_u64 addr;
	ev_u32 line; /* current line (TRACE: line of the start); 0: not known */
	ev_u8 kind;  /* enum ev_frame_kind */
	ev_u8 ffid;  /* GCfunc.ffid: 0 Lua, 1 C, else a fast function */
	ev_u16 mark; /* TRACE, of a sample: tells it from others of its number; else 0 */
};

#define EV_MAX_FRAMES 256u

/* Sample flags. */
#define EV_SF_KERNEL 1u	   /* taken in kernel mode; ip is where user mode was left */
#define EV_SF_TRUNCATED 2u /* the root side is missing: deeper than EV_MAX_FRAMES */
#define EV_SF_VMCODE 4u	   /* ip is in the VM's assembly */
#define EV_SF_MCODE 8u	   /* ip is in the machine code of the trace */
#define EV_SF_REPAIRED 16u /* base or pc were taken from a verified second source */
#define EV_SF_CALLED 32u   /* ip is in code that the trace's machine code called */

/* One CPU sample. The frames run from the leaf to the root. */
struct ev_sample {
	struct ev_hdr h;
	ev_u64 ip;     /* user mode instruction pointer */
	ev_u64 g;      /* the VM: its global_State; 0: none */
	ev_u64 L;      /* the coroutine: its lua_State */
	ev_u32 trace;  /* trace number if state is TRACE, else 0 */
	ev_u32 flags;  /* EV_SF_* */
	ev_u8 state;   /* enum ev_state */
	ev_u8 why;     /* enum ev_why */
	ev_u16 nframes;
	/* MCODE: where in the trace's machine code ip is; CALLED: where the call returns to. */
	ev_u32 mcofs;
	struct ev_frame f[];
};

/*
 * Why the C stack of a sample is not whole. NONE: it is, down to main or the start of the thread.
 * The text is what stands in "[native: TEXT]"; of NO_INFO, with the file.
 */
#define EV_NATIVE_WHYS(_)                                                                          \
	_(0, NONE, "")                                                                             \
	_(1, NO_INFO, "no unwind info")                                                            \
	_(2, READ, "stack not readable")                                                           \
	_(3, DEPTH, "deeper than can be walked")                                                   \
	_(4, LATER, "unwind info not read yet")                                                    \
	_(5, NO_MAP, "code not known yet")                                                         \
	_(6, NO_REGS, "kernel: no user registers")                                                 \
	_(7, NO_FRAME, "no frame of the VM")                                                       \
	_(8, ODD, "inconsistent frame")                                                            \
	_(9, NOT_ASKED, "not asked for")

enum ev_native_why {
#define EV_ENUM(num, name, text) EV_NATIVE_##name = num,
	EV_NATIVE_WHYS(EV_ENUM)
#undef EV_ENUM
	EV_NATIVE_WHY_MAX
};

/*
 * A word of a C stack: the address of an instruction (of a call its last byte), or, by its highest
 * byte, not of kernel addresses: the place of frames [from, to) of the sample's Lua stack; or a part
 * that is missing, and why.
 */
#define EV_NATIVE_LUA(from, to) (1ull << 56 | (ev_u64)(from) << 32 | (to))
#define EV_NATIVE_GAP(why) (2ull << 56 | (why))
#define EV_NATIVE_IS_LUA(w) ((w) >> 56 == 1)
#define EV_NATIVE_IS_GAP(w) ((w) >> 56 == 2)
#define EV_NATIVE_FROM(w) ((ev_u32)((w) >> 32) & 0xffff)
#define EV_NATIVE_TO(w) ((ev_u32)(w))
#define EV_NATIVE_WHY(w) ((ev_u32)(w)&0xff)

#define EV_KERNEL_MAX 127u /* of word[] for the kernel */
#define EV_NATIVE_MAX 511u /* of word[] in all */
/*
 * The C stack of the sample that follows, of the same time and thread, from the leaf to the root.
 * Lua frames that it does not place are below what is known of it.
 */
struct ev_native {
	struct ev_hdr h;
	ev_u16 nkernel; /* of the words: in the kernel, first */
	ev_u16 nwords;	/* of all */
	ev_u8 why;	/* enum ev_native_why: why it ends where it does */
	ev_u8 pad[3];
	ev_u64 word[];
};

/* A prototype seen for the first time, as raw bytes copied at that moment. */
#define EV_PROTO_HEAD 128u
#define EV_CHUNK_COPY 256u
struct ev_proto_raw {
	struct ev_hdr h;
	ev_u32 id;	 /* what frames name it by; never reused */
	ev_u32 chunklen; /* true length of the chunkname */
	ev_u64 g;
	ev_u64 pt;	 /* address of the GCproto */
	ev_u64 identity; /* hash of what changes when the address is reused */
	ev_u8 head[EV_PROTO_HEAD];  /* GCproto, the layout says how much of it counts */
	ev_u8 chunk[EV_CHUNK_COPY]; /* chunkname, cut there */
};

/* A VM that the samples' registers show and that the process's list lacks. */
struct ev_vm_hint {
	struct ev_hdr h;
	ev_u64 g;
};

/* A process generation begins: a new pid, or an exec. Drops all its definitions of before. */
struct ev_proc {
	struct ev_hdr h;
	ev_u64 start; /* /proc/PID/stat field 22, clock ticks since boot */
	ev_u32 ppid;
	ev_u32 nspid; /* pid as the process itself sees it */
	/* strings: comm, exe, cmdline (arguments joined by blanks) */
};

#define EV_BUILD_GC64 1u
#define EV_BUILD_FR2 2u
#define EV_BUILD_DUALNUM 4u
#define EV_BUILD_LUA52 8u
#define EV_BUILD_STRIPPED 16u
/* A LuaJIT build: one binary that holds a VM. */
struct ev_build {
	struct ev_hdr h;
	ev_u32 id; /* 1, 2, ... within the stream */
	ev_u32 flags;
	/* strings: version ("LuaJIT 2.1.0-beta3"), layout name, path in the target, build-id */
};

/*
 * The numberings of a build, as its binary and its VM tell them: names of tables that bytecode/ has,
 * or "" where they do not tell. Follows its BUILD. Recordings made before lack it, and so do those
 * of names that are not known here: there the version and the layout decide.
 */
struct ev_tables {
	struct ev_hdr h;
	ev_u32 build;
	ev_u32 pad;
	/* strings: of opcodes, of fast functions, of trace errors, of IR instructions */
};

/* A VM was found and its layout verified. (pid, g) names it until the next record for them. */
struct ev_vm {
	struct ev_hdr h;
	ev_u64 g;
	ev_u32 number; /* 1, 2, ... in order of discovery within the process */
	ev_u32 build;
};

#define EV_FUNC_MAIN 1u	    /* a main chunk */
#define EV_FUNC_VARARG 2u
#define EV_FUNC_STRIPPED 4u /* no line information */
#define EV_FUNC_CUT 8u	    /* the chunkname is longer than what is given */
#define EV_FUNC_BUILTIN 16u /* a Lua function of LuaJIT's own library */
/* A prototype, resolved. (chunk, firstline, numline, content) is the function's identity. */
struct ev_func {
	struct ev_hdr h;
	ev_u32 id; /* as in frames */
	ev_u32 flags;
	ev_u64 g;
	ev_u64 pt;
	ev_s32 firstline; /* linedefined */
	ev_s32 numline;
	ev_u32 sizebc;
	ev_u32 content; /* hash of the code without JIT patches: tells apart functions of a line */
	/* strings: chunkname as LuaJIT holds it ("@/a/b.lua", "=name", or source text) */
};

/* A loop of a prototype, by bytecode positions. */
struct ev_loop {
	ev_u32 pos;	    /* its counted instruction: where its traces start */
	ev_u32 first, last; /* condition and body, both included */
	ev_u32 pad;
};
#define EV_LOOPS_MAX 512u
/* The loops of a prototype, maybe none; follows its FUNC if its code could be read. */
struct ev_loops {
	struct ev_hdr h;
	ev_u32 id; /* of the prototype */
	ev_u32 n;
	struct ev_loop loop[];
};

#define EV_CODE_CUT 1u	 /* it goes on: only the first n instructions are given */
#define EV_CODE_NOJIT 2u /* jit.off() was applied to it */
#define EV_CODE_MAX 4096u
/*
 * The bytecode of a prototype, as the parser made it: what the JIT compiler put over it is left
 * out, where that can be told. Comes once, after its FUNC, if the stream was asked for it.
 */
struct ev_code {
	struct ev_hdr h;
	ev_u64 g;
	ev_u32 id; /* of the prototype */
	ev_u32 flags;
	ev_u32 n; /* instructions, the function's header (position 0) counted */
	ev_u32 pad;
	ev_s32 line[]; /* of each; 0: not known */
	/* strings, after line[]: n lines joined by \n: the listing's title, then each instruction as
	 * `luajit -bl` shows it */
};

enum ev_name_what {
	EV_NAME_GLOBAL = 1,
	EV_NAME_LOCAL,
	EV_NAME_METHOD,
	EV_NAME_FIELD,
	EV_NAME_UPVALUE,
	EV_NAME_METAMETHOD,
};
/* The name by which the instruction at (proto, pc) calls, as debug.getinfo's "n" finds it. */
struct ev_name {
	struct ev_hdr h;
	ev_u32 proto;
	ev_u32 pc;
	ev_u32 what; /* enum ev_name_what; 0: it gives no name */
	ev_u32 pad;
	/* strings: name */
};

/* What ffid of an EV_FRAME_FF frame is in a build, which is the one of the sample's VM. */
struct ev_ff {
	struct ev_hdr h;
	ev_u32 build;
	ev_u32 ffid;
	/* strings: name ("string.match"; empty: no table fits) */
};

enum ev_sym_kind {
	EV_SYM_FUNC = 1,   /* a C function: name from a symbol that covers the range */
	EV_SYM_MODULE = 2, /* no symbol: only the module and the offset of the range are known */
	EV_SYM_BC = 3,	   /* a bytecode handler of the VM: name is lj_BC_X */
	EV_SYM_VM = 4,	   /* other assembly of the VM: name is a symbol, or lj_vm */
	EV_SYM_ANON = 5,   /* code in no file: name is where ("[anon]", "[vdso]") */
	EV_SYM_KERNEL = 6, /* a function of the kernel, or of its module */
};
/* The file holds a VM: nameless code there that the interpreter calls is one of its helpers. */
#define EV_SYM_LUAJIT 1u
/* Code addresses [start, end) of a process; the newest definition of an address counts. */
struct ev_sym {
	struct ev_hdr h;
	ev_u64 start;
	ev_u64 end;
	ev_u64 offset; /* of the function's start in the module, as an ELF virtual address */
	ev_u32 kind;   /* enum ev_sym_kind */
	ev_u32 flags;  /* EV_SYM_LUAJIT */
	/* strings: name (may be empty), module (basename, may be empty) */
};

/*
 * The functions that the compiler put in another one, at an address of a C stack: from the innermost
 * to the outermost. Comes before the first stack that has it, if the stream was asked for it.
 */
#define EV_INLINE_MAX 16u
struct ev_inline {
	struct ev_hdr h;
	ev_u64 addr;
	ev_u32 n;
	ev_u32 pad;
	/* strings: n names joined by \n, each with where it is called behind a tab, if that is known:
	 * "name\tfile.c:17" */
};

/*
 * A file's code in a process, at [start, end): what tells later, on another machine, to which
 * function an address belongs that has no name so far. Comes before the first SYM of that code; the
 * newest of an address counts.
 */
struct ev_module {
	struct ev_hdr h;
	ev_u64 start;
	ev_u64 end;
	ev_u64 bias; /* run-time address - ELF virtual address */
	/* strings: build-id (hex, may be empty), path in the target */
};

struct ev_fork {
	struct ev_hdr h; /* pid: the parent */
	ev_u32 child;
	ev_u32 pad;
};

struct ev_exec {
	struct ev_hdr h;
};

struct ev_exit {
	struct ev_hdr h;
	ev_s32 status; /* wait status; -1: not known */
	ev_u32 pad;
};

#define EV_LOST_OLD 40u /* its size in recordings made before it had vms */
/* Counted since the previous LOST record of the stream. */
struct ev_lost {
	struct ev_hdr h;
	ev_u64 samples; /* not delivered: ring full */
	ev_u64 protos;	/* definitions not delivered: their frames are [undefined] */
	ev_u64 vms;	/* of h.pid: nobody watches their recorder, though that was asked for */
};
#define EV_LOST_VMS(lost) ((lost)->h.size < sizeof(struct ev_lost) ? 0 : (lost)->vms)

/* Pairs the stream's clock (h.time) with the wall clock. */
struct ev_clock {
	struct ev_hdr h;
	ev_u64 realtime; /* ns since 1970 */
};

#define EV_META_PER_THREAD 1u
/* How the stream was taken. The first record of a recording. */
struct ev_meta {
	struct ev_hdr h;
	ev_u32 rate; /* samples a second and CPU */
	ev_u32 flags;
	/* strings: ljx version, host name, kernel release, command line */
};

/* What the trace recorder did. */
enum ev_trace_type {
	EV_TRACE_START = 1, /* a trace is being recorded */
	EV_TRACE_STOP = 2,  /* it was compiled */
	EV_TRACE_ABORT = 3, /* it was given up */
	EV_TRACE_FLUSH = 4, /* all traces of the VM were thrown away */
	EV_TRACE_LIVE = 5,  /* no event: it was there when the VM's memory was read */
};

enum ev_trace_kind {
	EV_TRACE_ROOT = 1,
	EV_TRACE_SIDE = 2,    /* from exit exitno of trace parent */
	EV_TRACE_STITCHED = 3, /* goes on after the C function that ended trace parent */
};

enum ev_flush_cause {
	EV_FLUSH_EXPLICIT = 1, /* jit.flush() and what else calls it */
	EV_FLUSH_TABLE = 2,    /* no free trace number */
	EV_FLUSH_MCODE = 3,    /* machine code memory */
};

/* ev_trace.error when what was thrown is no trace error's number. */
#define EV_ERROR_STRING 0xffffffffu /* text has it */
#define EV_ERROR_OTHER 0xfffffffeu

/* ev_trace.flags */
#define EV_TF_WATCH 1u /* seen by the watchpoint, else by uprobes */

#define EV_TRACE_TEXT 64u
/*
 * An event of the trace recorder. Fields that an event does not have are 0. After attempts of the
 * same start that only a TALLY tells of, link of an ABORT is how often it was tried since it last
 * compiled or the last flush.
 */
struct ev_trace {
	struct ev_hdr h;
	ev_u64 g;
	ev_u64 mcode;
	ev_u64 info; /* jit_State.errinfo, a TValue: what some errors are about */
	ev_u32 trace; /* trace number; of a FLUSH: size of the trace table */
	ev_u32 parent;
	ev_u32 exitno;
	ev_u32 link; /* STOP: the trace that it goes on to; ABORT: see below */
	ev_u32 root;
	ev_u32 szmcode; /* bytes */
	ev_u32 nins;	/* IR instructions */
	ev_u32 error;	/* trace error number, or EV_ERROR_* */
	ev_u16 nsnap;
	ev_u8 type;	/* enum ev_trace_type */
	ev_u8 kind;	/* enum ev_trace_kind */
	ev_u8 linktype; /* LJ_TRLINK_* of lj_jit.h */
	ev_u8 cause;	/* enum ev_flush_cause */
	ev_u8 flags;	/* EV_TF_* */
	ev_u8 nframes;
	struct ev_frame start; /* where the recording began; kind 0: not known */
	struct ev_frame end;   /* STOP, ABORT, LIVE: where it ended: a position in Lua, or a function */
	struct ev_frame about; /* ABORT: the function in info, if it is one */
	char text[EV_TRACE_TEXT]; /* the error message, cut, if error is EV_ERROR_STRING */
	/* ABORT: the Lua stack, from the leaf to the root; LIVE: what it ended in, and its call */
	struct ev_frame f[];
};

/*
 * Events that came too fast to be told one by one: those of one place beyond a limit a second. They
 * are counted where they happen, and none is missing in the sum of both.
 */
struct ev_tally {
	struct ev_hdr h;
	ev_u64 first, last; /* ns: when they came */
	ev_u64 count;	    /* events as like, but for its numbers and addresses */
	ev_u64 starts;	    /* START events that are not told because of them */
	ev_u32 attempts;    /* ABORT: of this start as of last, as in ev_trace.link */
	ev_u32 pad;
	/* The newest of them that was told; start.kind 0: of places that nobody kept. */
	struct ev_trace like;
};

enum ev_spot_kind {
	EV_SPOT_PENALTY = 1, /* a start whose recordings were aborted: the penalty table */
	EV_SPOT_LOOP = 2,    /* a blacklisted loop */
	EV_SPOT_FUNC = 3,    /* a function that is blacklisted as a start */
	EV_SPOT_STITCH = 4,  /* trace whose continuation is blacklisted: it links to itself */
	EV_SPOT_STUB = 5,    /* side trace that only leads back to the interpreter */
};
#define EV_REASON_UNKNOWN 0xffffu
#define EV_SPOT_OPS 6u
/* What a VM's memory says of recordings that failed before we came. */
struct ev_spot {
	struct ev_hdr h;
	ev_u64 g;
	struct ev_frame at; /* the start: loop, function header, or where the trace begins */
	ev_u32 trace;	    /* STITCH, STUB: the trace */
	ev_u16 value;	    /* PENALTY: HotPenalty.val */
	ev_u16 reason;	    /* of the last abort, a trace error number, or EV_REASON_UNKNOWN */
	ev_u8 kind;	    /* enum ev_spot_kind */
	ev_u8 attempts;	    /* aborted so often, of eleven; 0: not known */
	/* Opcodes in what starts here that the build cannot compile, if that is the reason; then 0. */
	ev_u8 op[EV_SPOT_OPS];
};

#define EV_JIT_PARAMS 24u
/* The state of a VM's JIT compiler. */
struct ev_jit {
	struct ev_hdr h;
	ev_u64 g;
	ev_u64 szallmcarea; /* bytes of all machine code areas */
	ev_u32 on;
	ev_u32 traces;	  /* live ones */
	ev_u32 sizetrace; /* trace table, grown so far */
	ev_u32 nparams;
	ev_s32 param[EV_JIT_PARAMS]; /* jit_State.param, in the order of JIT_P_* */
};

/*
 * Marks what is read from a VM's memory. Between BEGIN and END come JIT, TRACE (LIVE), SPOT and
 * further SCAN records; what the VM had at BEGIN and is not among them by END is no more. A scan
 * that finds more after its END (blacklisted starts anywhere on the heap) sends those as they are.
 */
enum ev_scan_type {
	EV_SCAN_BEGIN = 1,
	EV_SCAN_END = 2,
	EV_SCAN_EXITS = 3, /* e: exits of trace that were taken, or have a side trace */
	EV_SCAN_CAUSE = 4, /* e[0].at is a start that failed because e[1].at is blacklisted */
};
#define EV_EXIT_DONE 255u /* lj_jit.h:SNAPCOUNT_DONE: a side trace is linked there */
#define EV_SCAN_MAX 256u
struct ev_scan_entry {
	struct ev_frame at; /* EXITS: where the interpreter goes on; kind 0: not known */
	ev_u32 exitno;
	ev_u32 count; /* how often it was taken while it had no side trace, or EV_EXIT_DONE */
};
struct ev_scan {
	struct ev_hdr h;
	ev_u64 g;
	ev_u32 type;	 /* enum ev_scan_type */
	ev_u32 trace;	 /* EXITS */
	ev_u32 unplaced; /* END: penalties whose function could not be found */
	ev_u32 n;
	struct ev_scan_entry e[];
};

/* A function that is active at some place of a trace. */
struct ev_snap_frame {
	struct ev_frame f; /* LUA, C or FF; kind 0: not known */
	ev_u32 caller;	   /* index + 1 of the frame that called it, which comes before it; 0: none:
			      it is the one at the VM's stack base */
	ev_u32 flags;	   /* EV_SNAP_* */
};
/* By a tail call inside the trace: the stack still has the one that it took the place of. */
#define EV_SNAP_TAIL 1u

/* From mcofs in the machine code on, to the next one's. */
struct ev_snap_range {
	ev_u32 mcofs;
	ev_u32 frame; /* index + 1 of the innermost frame; 0: not known */
};

enum ev_snaps_why {
	EV_SNAPS_KNOWN = 0,
	EV_SNAPS_NO_MCOFS = 1, /* the build's snapshots do not tell their place: no ranges */
};

#define EV_SNAPS_MAX 1024u
/*
 * What runs where in the machine code of a trace: the frames that its snapshots hold. Comes before
 * the first sample in it; (pid, g, trace, start, mark) names it, as samples do.
 */
struct ev_snaps {
	struct ev_hdr h;
	ev_u64 g;
	ev_u64 mcode;
	ev_u64 start; /* addr of the TRACE frame */
	ev_u32 trace;
	ev_u32 szmcode;
	ev_u32 mcloop; /* where its loop begins; 0: it has none */
	ev_u16 mark;
	ev_u16 why; /* enum ev_snaps_why */
	ev_u32 nranges;
	ev_u32 nframes;
	struct ev_snap_range range[]; /* in order */
	/* then nframes struct ev_snap_frame */
};

#define EV_ASSERT(type, size) _Static_assert(sizeof(struct type) == (size), "ABI of " #type)
EV_ASSERT(ev_hdr, 24);
EV_ASSERT(ev_frame, 16);
EV_ASSERT(ev_sample, 64);
EV_ASSERT(ev_proto_raw, 56 + EV_PROTO_HEAD + EV_CHUNK_COPY);
EV_ASSERT(ev_vm_hint, 32);
EV_ASSERT(ev_proc, 40);
EV_ASSERT(ev_build, 32);
EV_ASSERT(ev_tables, 32);
EV_ASSERT(ev_vm, 40);
EV_ASSERT(ev_func, 64);
EV_ASSERT(ev_name, 40);
EV_ASSERT(ev_sym, 56);
EV_ASSERT(ev_fork, 32);
EV_ASSERT(ev_exec, 24);
EV_ASSERT(ev_exit, 32);
EV_ASSERT(ev_lost, 48);
EV_ASSERT(ev_clock, 32);
EV_ASSERT(ev_meta, 32);
EV_ASSERT(ev_trace, 200);
EV_ASSERT(ev_tally, 264);
EV_ASSERT(ev_spot, 64);
EV_ASSERT(ev_jit, 152);
EV_ASSERT(ev_scan_entry, 24);
EV_ASSERT(ev_scan, 48);
EV_ASSERT(ev_ff, 32);
EV_ASSERT(ev_loop, 16);
EV_ASSERT(ev_loops, 32);
EV_ASSERT(ev_code, 48);
EV_ASSERT(ev_snap_frame, 24);
EV_ASSERT(ev_snap_range, 8);
EV_ASSERT(ev_snaps, 72);
EV_ASSERT(ev_native, 32);
EV_ASSERT(ev_inline, 40);
EV_ASSERT(ev_module, 48);

#endif
