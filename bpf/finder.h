/* SPDX-License-Identifier: MIT */
/*
 * Finds the functions of LuaJIT's recorder and the struct offsets that its code uses, in a file
 * with or without symbols.
 *
 * The interpreter is assembly written by hand: its bytes depend on the version only, not on the C
 * compiler. It calls lj_trace_hot and lj_trace_exit and holds most offsets; everything else hangs
 * off these two. A function is reported only if all that is known of it agrees: a probe at the
 * wrong address may crash the target, a missing one only costs events.
 *
 * Nothing is kept of the file and nothing is allocated for the caller. All addresses are ELF
 * virtual addresses.
 */
#ifndef BPF_FINDER_H
#define BPF_FINDER_H

#include "bpf/elfobj.h"
#include "bytecode/layout.h"

#include <stddef.h>
#include <stdint.h>

/*
 * id, name, arguments that must still be in some register at the probe: 1 rdi, 2 rsi, 4 rdx.
 * Mirrors LuaJIT src/lj_trace.c and lj_dispatch.c.
 */
#define FINDER_FUNCS(_)                                                                 \
	_(TRACE_HOT, "lj_trace_hot", 3)		    /* (jit_State *, const BCIns *) */  \
	_(TRACE_EXIT, "lj_trace_exit", 3)	    /* (jit_State *, void *) */         \
	_(TRACE_STATE, "trace_state", 5)	    /* (lua_State *, -, jit_State *) */ \
	_(TRACE_INS, "lj_trace_ins", 3)		    /* the same; missing if inlined */  \
	_(TRACE_START, "trace_start", 1)	    /* (jit_State *) */                 \
	_(TRACE_ERR, "lj_trace_err", 3)		    /* (jit_State *, TraceError) */     \
	_(TRACE_ERR_INFO, "lj_trace_err_info", 3)   /* (see arg0, TraceError) */        \
	_(DISPATCH_UPDATE, "lj_dispatch_update", 1) /* (global_State *) */              \
	_(TRACE_FLUSHALL, "lj_trace_flushall", 1)   /* (see arg0) */                    \
	_(VM_CPCALL, "lj_vm_cpcall", 0)

#define FINDER_ARGS 3

/* name, what a struct layout says of it */
#define FINDER_ANCHORS(_)                            \
	_(DISP2J, l->GG_J - l->GG_dispatch)          \
	_(DISP2HOT, l->GG_hotcount - l->GG_dispatch) \
	_(G2DISP, l->GG_dispatch - l->GG_g)          \
	_(L_glref, l->L_glref)                       \
	_(L_base, l->L_base)                         \
	_(L_top, l->L_top)                           \
	_(L_stack, l->L_stack)                       \
	_(L_cframe, l->L_cframe)                     \
	_(G_hookmask, l->G_hookmask)                 \
	_(G_vmstate, l->G_vmstate)                   \
	_(G_cur_L, l->G_cur_L)                       \
	_(G_jit_base, l->G_jit_base)                 \
	_(J_L, l->J_L)                               \
	_(J_state, l->J_state)                       \
	_(J_trace, l->J_trace)                       \
	_(J_parent, l->J_parent)                     \
	_(J_exitno, l->J_exitno)                     \
	_(J_errinfo, l->J_errinfo)                   \
	_(T_mcode, l->T_mcode)                       \
	_(ST_ERR, l->ST_ERR)

enum finder_id {
#define FINDER_ID(id, ...) FINDER_##id,
	FINDER_FUNCS(FINDER_ID)
#undef FINDER_ID
	    FINDER_NFUNCS
};

enum finder_anchor_id {
#define FINDER_ID(id, ...) FINDER_A_##id,
	FINDER_ANCHORS(FINDER_ID)
#undef FINDER_ID
	    FINDER_NANCHORS
};

/* How a function was found; both bits: the two agree. */
#define FINDER_BY_SYMBOL 1
#define FINDER_BY_CODE 2

/* What the first argument is, where builds differ: clones that a compiler made have their own. */
enum finder_arg { FINDER_ARG_UNKNOWN, FINDER_ARG_L, FINDER_ARG_J, FINDER_ARG_G };

struct finder_func {
	uint64_t addr; /* entry; 0: missing */
	uint64_t end;  /* after its last byte; 0 if not known */
	/*
	 * Where to put a uprobe: the entry, or the first instruction after it that the kernel
	 * emulates instead of stepping over it, if each call comes there once, the arguments are
	 * still in registers and nothing but the stack was written.
	 */
	uint64_t probe;
	uint8_t
	    reg[FINDER_ARGS]; /* which register holds an argument there, by its machine number */
	uint8_t emulated;     /* the instruction at probe is one of those */
	uint8_t how;	      /* FINDER_BY_*; 0: missing */
	uint8_t arg0;	      /* enum finder_arg */
	char text[200];	      /* the evidence, or why it is missing */
};

struct finder {
	struct elfobj_vm vm;
	int jit;	  /* 0: built without the JIT compiler */
	int dualnum;	  /* its arithmetic is on integers, too: LJ_DUALNUM */
	uint32_t anchors; /* bit for each enum finder_anchor_id that was found */
	int32_t anchor[FINDER_NANCHORS];
	uint64_t bc_ofs;  /* lj_bc_ofs: offsets into the VM, uint16_t each; 0: not found */
	uint32_t nbc_ofs; /* entries that ascend: the opcodes and a few more */
	struct finder_func func[FINDER_NFUNCS];
	char text[1024]; /* cross-checks of anchors that failed, a line each; or why there are none
			  */
};

/* For tests: as if .symtab, or the exported symbols, were not there. */
#define FINDER_NO_SYMBOLS 1
#define FINDER_NO_EXPORTS 2
/* Anchors only, which takes a fifth of the time. Functions are found as far as anchors need them. */
#define FINDER_ONLY_ANCHORS 4

/*
 * Looks through eo. l (may be NULL) is the target's layout as far as it is known by other means:
 * anchors that it contradicts make a function missing. flags: FINDER_NO_*. Returns 0, whatever was
 * found; -ENOENT if there is no LuaJIT VM in the file, -ENOMEM.
 */
int finder_run(const struct elfobj *eo, const struct layout *l, unsigned int flags,
	       struct finder *out, struct why *why);

const char *finder_name(enum finder_id id);

/* How a function was found, in words: "(in the code and by .symtab)"; eo: the file. */
void finder_where(const struct elfobj *eo, const struct finder_func *fn, char *buf, size_t size);

/* 0 and the anchor's value, or -ENOENT. */
int finder_anchor(const struct finder *f, enum finder_anchor_id id, int32_t *value);

/*
 * Compares a layout with all anchors found. Returns how many disagree, -ENOENT if nothing was found
 * to compare it with. text (may be NULL if size is 0) gets a line for each that disagrees.
 */
int finder_check_layout(const struct finder *f, const struct layout *l, char *text, size_t size);

#endif
