/* SPDX-License-Identifier: MIT */
/*
 * Where the fields of LuaJIT's structures lie, one row per distinct layout.
 *
 * The rows are made by bytecode/mklayouts.c from DWARF and from bytecode/layouts.json; they are
 * static and const, nobody frees them. A row is only a claim: bpf/vm.c verifies it against the live
 * process before anything is read by it. Structures: LuaJIT src/lj_obj.h, lj_jit.h, lj_dispatch.h,
 * lj_frame.h. All offsets are in bytes.
 *
 * Also compiled for BPF: a struct layout is copied as it is into the programs' map.
 */
#ifndef BYTECODE_LAYOUT_H
#define BYTECODE_LAYOUT_H

#ifdef __bpf__
#include <linux/types.h>
typedef __u8 layout_u8;
typedef __u16 layout_u16;
typedef __u64 layout_u64;
#else
#include <stddef.h>
#include <stdint.h>
typedef uint8_t layout_u8;
typedef uint16_t layout_u16;
typedef uint64_t layout_u64;
#endif

/* field, structure in DWARF and in the data, member there */
#define LAYOUT_OFFSETS(_)                                                                          \
	_(GG_g, "GG_State", "g")                                                                   \
	_(GG_J, "GG_State", "J")                                                                   \
	_(GG_hotcount, "GG_State", "hotcount")                                                     \
	_(GG_dispatch, "GG_State", "dispatch")                                                     \
	_(GG_bcff, "GG_State", "bcff")                                                             \
	_(L_glref, "lua_State", "glref")                                                           \
	_(L_status, "lua_State", "status")                                                         \
	_(L_base, "lua_State", "base")                                                             \
	_(L_top, "lua_State", "top")                                                               \
	_(L_maxstack, "lua_State", "maxstack")                                                     \
	_(L_stack, "lua_State", "stack")                                                           \
	_(L_cframe, "lua_State", "cframe")                                                         \
	_(L_env, "lua_State", "env")                                                               \
	_(L_stacksize, "lua_State", "stacksize")                                                   \
	_(G_cur_L, "global_State", "cur_L")                                                        \
	_(G_jit_base, "global_State", "jit_base")                                                  \
	_(G_vmstate, "global_State", "vmstate")                                                    \
	_(G_mainthref, "global_State", "mainthref")                                                \
	_(G_hookmask, "global_State", "hookmask")                                                  \
	_(G_dispatchmode, "global_State", "dispatchmode")                                          \
	_(G_registrytv, "global_State", "registrytv")                                              \
	_(G_gc_total, "global_State", "gc.total")                                                  \
	_(G_gc_state, "global_State", "gc.state")                                                  \
	_(G_bc_cfunc_int, "global_State", "bc_cfunc_int")                                          \
	_(J_cur, "jit_State", "cur")                                                               \
	_(J_L, "jit_State", "L")                                                                   \
	_(J_pc, "jit_State", "pc")                                                                 \
	_(J_fn, "jit_State", "fn")                                                                 \
	_(J_pt, "jit_State", "pt")                                                                 \
	_(J_flags, "jit_State", "flags")                                                           \
	_(J_state, "jit_State", "state")                                                           \
	_(J_trace, "jit_State", "trace")                                                           \
	_(J_freetrace, "jit_State", "freetrace")                                                   \
	_(J_sizetrace, "jit_State", "sizetrace")                                                   \
	_(J_param, "jit_State", "param")                                                           \
	_(J_penalty, "jit_State", "penalty")                                                       \
	_(J_startpc, "jit_State", "startpc")                                                       \
	_(J_parent, "jit_State", "parent")                                                         \
	_(J_exitno, "jit_State", "exitno")                                                         \
	_(J_szmcarea, "jit_State", "szmcarea")                                                     \
	_(J_szallmcarea, "jit_State", "szallmcarea")                                               \
	_(J_errinfo, "jit_State", "errinfo")                                                       \
	_(T_traceno, "GCtrace", "traceno")                                                         \
	_(T_link, "GCtrace", "link")                                                               \
	_(T_linktype, "GCtrace", "linktype")                                                       \
	_(T_root, "GCtrace", "root")                                                               \
	_(T_nextroot, "GCtrace", "nextroot")                                                       \
	_(T_nextside, "GCtrace", "nextside")                                                       \
	_(T_nchild, "GCtrace", "nchild")                                                           \
	_(T_startpt, "GCtrace", "startpt")                                                         \
	_(T_startpc, "GCtrace", "startpc")                                                         \
	_(T_startins, "GCtrace", "startins")                                                       \
	_(T_mcode, "GCtrace", "mcode")                                                             \
	_(T_szmcode, "GCtrace", "szmcode")                                                         \
	_(T_mcloop, "GCtrace", "mcloop")                                                           \
	_(T_nins, "GCtrace", "nins")                                                               \
	_(T_nk, "GCtrace", "nk")                                                                   \
	_(T_ir, "GCtrace", "ir")                                                                   \
	_(T_nsnap, "GCtrace", "nsnap")                                                             \
	_(T_snap, "GCtrace", "snap")                                                               \
	_(PT_numparams, "GCproto", "numparams")                                                    \
	_(PT_framesize, "GCproto", "framesize")                                                    \
	_(PT_sizebc, "GCproto", "sizebc")                                                          \
	_(PT_k, "GCproto", "k")                                                                    \
	_(PT_uv, "GCproto", "uv")                                                                  \
	_(PT_sizekgc, "GCproto", "sizekgc")                                                        \
	_(PT_sizekn, "GCproto", "sizekn")                                                          \
	_(PT_sizept, "GCproto", "sizept")                                                          \
	_(PT_sizeuv, "GCproto", "sizeuv")                                                          \
	_(PT_flags, "GCproto", "flags")                                                            \
	_(PT_trace, "GCproto", "trace")                                                            \
	_(PT_chunkname, "GCproto", "chunkname")                                                    \
	_(PT_firstline, "GCproto", "firstline")                                                    \
	_(PT_numline, "GCproto", "numline")                                                        \
	_(PT_lineinfo, "GCproto", "lineinfo")                                                      \
	_(PT_uvinfo, "GCproto", "uvinfo")                                                          \
	_(PT_varinfo, "GCproto", "varinfo")                                                        \
	_(F_ffid, "GCfuncL", "ffid")                                                               \
	_(F_pc, "GCfuncL", "pc")                                                                   \
	_(C_f, "GCfuncC", "f")                                                                     \
	_(STR_len, "GCstr", "len")

/* field, structure: sizes of structures */
#define LAYOUT_SIZES(_)                                                                            \
	_(GG_size, "GG_State")                                                                     \
	_(L_size, "lua_State")                                                                     \
	_(PT_size, "GCproto")                                                                      \
	_(T_size, "GCtrace")                                                                       \
	_(STR_size, "GCstr")                                                                       \
	_(PENALTY_size, "HotPenalty")

/* field, enumerator in the data: values that moved over time */
#define LAYOUT_ENUMS(_)                                                                            \
	_(ST_RECORD, "REC")                                                                        \
	_(ST_START, "START")                                                                       \
	_(ST_END, "END")                                                                           \
	_(ST_ASM, "ASM")                                                                           \
	_(ST_ERR, "ERR")                                                                           \
	_(bc_max, "BC__MAX")                                                                       \
	_(ir_max, "IR__MAX")                                                                       \
	_(jit_p_max, "JIT_P__MAX")

/* x64 C frame of the VM, offsets from its stack pointer: LuaJIT src/lj_frame.h CFRAME_*. */
#define LAYOUT_CFRAME(_)                                                                           \
	_(CF_nres)                                                                                 \
	_(CF_L)                                                                                    \
	_(CF_pc)                                                                                   \
	_(CF_prev)                                                                                 \
	_(CF_size)

#define LAYOUT_FLAGS(_)                                      \
	_(gc64)	    /* 64-bit GCRef and MRef, else 32-bit */ \
	_(fr2)	    /* LJ_FR2: a frame takes two slots */    \
	_(dualnum)  /* integers have a tag of their own: a mode of any layout */   \
	_(vmstates) /* numbering of vmstate: 0 LuaJIT's, 1 Tarantool's */

struct layout {
#define LAYOUT_FIELD(field, ...) layout_u16 field;
	LAYOUT_OFFSETS(LAYOUT_FIELD)
	LAYOUT_SIZES(LAYOUT_FIELD)
	LAYOUT_ENUMS(LAYOUT_FIELD)
	LAYOUT_CFRAME(LAYOUT_FIELD)
#undef LAYOUT_FIELD
#define LAYOUT_FIELD(field) layout_u8 field;
	LAYOUT_FLAGS(LAYOUT_FIELD)
#undef LAYOUT_FIELD
};

#define LAYOUT_INLINE static inline __attribute__((always_inline))

/* GCRef, MRef: bytes that one takes, and its value by the 8 bytes that begin with it. */
LAYOUT_INLINE unsigned int layout_ref_size(const struct layout *l)
{
	return 4u + 4u * l->gc64;
}

LAYOUT_INLINE layout_u64 layout_ref(const struct layout *l, layout_u64 word)
{
	return word & ((0 - (layout_u64)l->gc64) | 0xffffffffu); /* no branch: two paths for BPF */
}

/* Where an object has its type, and a function its ffid: after a GCRef and a byte. */
LAYOUT_INLINE unsigned int layout_gct(const struct layout *l)
{
	return layout_ref_size(l) + 1;
}

#ifndef __bpf__
struct layout_row {
	const char *name;  /* short and stable: the hash of ../layouts.json, or its build's name */
	const char *where; /* a point of history or a build that has it */
	struct layout l;
};

/* All rows, *n of them. */
const struct layout_row *layout_rows(size_t *n);

/*
 * The row called name, or NULL. What was derived from a row is called by the row's name, "+" and
 * more.
 */
const struct layout_row *layout_by_name(const char *name);

/* What a field of struct layout is. */
enum layout_kind {
	LAYOUT_IS_OFFSET, /* of member in type */
	LAYOUT_IS_SIZE,	  /* of type */
	LAYOUT_IS_ENUM,	  /* value of the enumerator member */
	LAYOUT_IS_FRAME,  /* of the C frame: no debug information has it */
	LAYOUT_IS_FLAG,
};

struct layout_field {
	const char *name;
	const char *type, *member; /* as DWARF and layouts.json call them; NULL: has none */
	enum layout_kind kind;
	layout_u16 at, size; /* in struct layout */
};

/* All fields in their order. */
enum {
#define LAYOUT_FIELD(field, ...) LAYOUT_##field,
	LAYOUT_OFFSETS(LAYOUT_FIELD) LAYOUT_SIZES(LAYOUT_FIELD) LAYOUT_ENUMS(LAYOUT_FIELD)
	    LAYOUT_CFRAME(LAYOUT_FIELD) LAYOUT_FLAGS(LAYOUT_FIELD)
#undef LAYOUT_FIELD
		LAYOUT_NFIELDS
};
const struct layout_field *layout_fields(void);
unsigned int layout_get(const struct layout *l, const struct layout_field *f);
void layout_set(struct layout *l, const struct layout_field *f, unsigned int value);

/*
 * Does each field lie in its structure, and are the structures of a size that LuaJIT's can have?
 * Whatever a file or debug information says, what passes may be used to read copies of them by. *bad
 * (may be NULL) gets the first field that does not.
 */
int layout_sane(const struct layout *l, const struct layout_field **bad);

/* Sets what follows from the width of references on x64: C frame, gc64, fr2. */
void layout_set_width(struct layout *l, int gc64);
#endif

#endif
