/* SPDX-License-Identifier: MIT */
/*
 * Inside of bpf/finder*.c and guess.c only: instructions, functions, and what values flow through
 * them.
 */
#ifndef BPF_FINDER_INT_H
#define BPF_FINDER_INT_H

#include "bpf/finder.h"

/* Registers by their numbers in machine code. */
enum freg {
	FR_AX,
	FR_CX,
	FR_DX,
	FR_BX,
	FR_SP,
	FR_BP,
	FR_SI,
	FR_DI,
	FR_8,
	FR_14 = 14,
	FR_15,
	FR_COUNT,
	FR_IP = FR_COUNT,
	FR_NONE,
	FR_OTHER, /* vectors, segments */
};

/* What kind of instruction, as far as the finder cares. */
enum fop {
	FO_OTHER,
	FO_MOV,	  /* moves 4 or 8 bytes, or an immediate to memory of any size */
	FO_MOVZX, /* or movsx */
	FO_LEA,
	FO_ADD,
	FO_SUB,
	FO_AND,
	FO_XOR,
	FO_TEST, /* or cmp */
	FO_PUSH,
	FO_POP,
	FO_NOP, /* of any length */
	FO_CALL,
	FO_JMP,
	FO_JCC,
	FO_STOP, /* ret, ud2, int3, hlt: the next instruction does not follow */
};

struct fins {
	uint64_t addr;
	uint64_t target; /* of a direct call or jump; what [rip + disp] names; else 0 */
	int64_t imm;	 /* if has_imm */
	int32_t disp;
	uint16_t reads, writes; /* a bit for each register, hidden operands included */
	uint8_t len;
	uint8_t op;	       /* enum fop */
	uint8_t dst, src;      /* registers of the first two operands, or FR_NONE */
	uint8_t base, index;   /* of the memory operand, if msize */
	uint8_t scale, msize;  /* msize: bytes of the memory operand, for lea 8; 0: none */
	uint8_t mwrite, mread; /* the memory operand is written, read */
	uint8_t has_imm;
	uint8_t wide;	  /* as how many bytes dst is written, if 4 or 8; else 0 */
	uint8_t emulated; /* the kernel's uprobes emulate it */
};

/* What one file may cost: instructions decoded and followed. LuaJIT takes below half a million. */
#define FINDER_WORK (8u << 20)

/* Shared by all functions of a file. */
struct fwork {
	uint64_t left; /* FINDER_WORK at first */
	int no_memory; /* something could not be looked at: what is missing may be there */
};

struct ffunc {
	uint64_t start, end;
	struct fwork *work;
	struct fins *ins;
	size_t n;
};

/* 0, or -EINVAL if the bytes are no instruction. */
int fi_decode(const uint8_t *p, size_t len, uint64_t addr, struct fins *ins);

/*
 * Decodes [start, end), all of it. 0; -EINVAL if that is not possible, -ENOMEM, -E2BIG when there
 * is no work left. fi_release frees it, and takes one that is zeroed.
 */
int fi_range(const struct elfobj *eo, uint64_t start, uint64_t end, struct fwork *work,
	     struct ffunc *fn);
/* The function that starts at addr, by its FDE. */
int fi_func(const struct elfobj *eo, uint64_t addr, struct fwork *work, struct ffunc *fn);
void fi_release(struct ffunc *fn);

/* Index of the instruction at addr, or fn->n. */
size_t fi_index(const struct ffunc *fn, uint64_t addr);

/* True if it leaves fn for a known place: a call, or a jump to another function. */
int fi_leaves(const struct ffunc *fn, const struct fins *ins);

/* What a register holds, in terms of the function's arguments. */
enum fkind {
	FV_ANY,	  /* not known */
	FV_ARG,	  /* argument arg + off */
	FV_LOAD,  /* *(argument arg + load) + off */
	FV_CONST, /* off */
	FV_STACK, /* the stack pointer at the entry + off */
};

struct fval {
	uint8_t kind;
	uint8_t arg;
	int32_t load;
	int64_t off;
};

#define FV_ARGS FINDER_ARGS
#define FV_UNSAVED INT32_MAX

struct fstate {
	struct fval r[FR_COUNT];
	int32_t saved[FV_ARGS]; /* where on the stack an argument is, as FV_STACK's off */
	int reached;
};

/* Called for each instruction that is reached, with what holds before it. Non-zero stops. */
typedef int ff_visit(void *ctx, const struct ffunc *fn, const struct fins *ins,
		     const struct fstate *st);

/* 0, what visit returned, -ENOMEM, -E2BIG when there is no work left. */
int ff_walk(const struct ffunc *fn, ff_visit *visit, void *ctx);

/* The address of ins's memory operand; FV_ANY if it has an index. */
struct fval ff_mem(const struct fins *ins, const struct fstate *st);
/* The value that ins stores or compares with; FV_ANY if not known. */
struct fval ff_value(const struct fins *ins, const struct fstate *st);
int ff_same(const struct fval *a, const struct fval *b);

/* Accesses that a function must make. */
#define FW_READ 1
#define FW_WRITE 2
#define FW_VALUE 4 /* of this value */
struct fwant {
	struct fval at;
	uint8_t size; /* 0: any */
	uint8_t how;
	int64_t value;
};

/* Which of want (at most 32) fn makes, as bits; negative: as ff_walk. */
int64_t ff_match(const struct ffunc *fn, const struct fwant *want, size_t n);

/* A set of addresses without duplicates. What does not fit is left out. */
#define FS_MAX 1024
struct fset {
	uint64_t v[FS_MAX];
	size_t n;
};

struct fctx {
	const struct elfobj *eo;
	const struct layout *l; /* or NULL */
	unsigned int flags;
	struct finder *f;
	struct ffunc vm;
	struct fwork *work;
	/* The code around the VM, the only one that is searched as a whole. */
	uint64_t text_start, text_end;
	uint8_t *text;
	unsigned int conflicts; /* cross-checks that failed */
	uint64_t hot[4];	/* what calls that look like lj_trace_hot's lead to */
	size_t nhot;
	uint64_t throw_fn; /* lj_err_throw, or 0 */
};

/* Sets an anchor, or notes that it has another value already. */
void fc_anchor(struct fctx *c, enum finder_anchor_id id, int64_t value, const char *where);
int fc_has(const struct fctx *c, enum finder_anchor_id id);
int32_t fc_get(const struct fctx *c, enum finder_anchor_id id);
/* G2J: jit_State relative to global_State. Needs DISP2J and G2DISP. */
int32_t fc_g2j(const struct fctx *c);
__attribute__((format(printf, 2, 3))) void fc_conflict(struct fctx *c, const char *fmt, ...);

/* Function found by code; its text says by what. */
__attribute__((format(printf, 4, 5))) void fc_found(struct fctx *c, enum finder_id id,
						    uint64_t addr, const char *fmt, ...);
__attribute__((format(printf, 3, 4))) void fc_missing(struct fctx *c, enum finder_id id,
						      const char *fmt, ...);
/* Entry of a function found so far, or 0. */
uint64_t fc_addr(const struct fctx *c, enum finder_id id);
/* Entry of an exported function, or 0. */
uint64_t fc_export(const struct fctx *c, const char *name);
int fc_in_vm(const struct fctx *c, uint64_t addr);
/* True if a function starts at addr. */
int fc_is_func(const struct fctx *c, uint64_t addr);

/* Direct calls and jumps to addr in the text. */
size_t fc_callers(const struct fctx *c, uint64_t addr);

void fs_add(struct fset *s, uint64_t v);
int fs_has(const struct fset *s, uint64_t v);
/* Adds what the function at addr calls or jumps to, the VM left out. */
void fc_callees(const struct fctx *c, uint64_t addr, struct fset *out);

/* finder_vm.c: the VM's assembly. */
void finder_vm(struct fctx *c);
void finder_bc_ofs(struct fctx *c);
/* finder_err.c: lj_trace_err, lj_trace_err_info. */
void finder_err(struct fctx *c);
/* finder_rec.c: lj_trace_hot, lj_trace_ins, trace_state; then what these call. */
void finder_rec(struct fctx *c);
void finder_callees(struct fctx *c);

/* What the first argument of the function at addr is, by what it does. */
enum finder_arg finder_err_arg(const struct fctx *c, uint64_t addr);
enum finder_arg finder_flush_arg(const struct fctx *c, uint64_t addr);

/* finder_probe.c: sets probe, reg, emulated and end of a function that has addr. */
void finder_probe(struct fctx *c, struct finder_func *fn, unsigned int args);

#endif
