/* SPDX-License-Identifier: MIT */
/*
 * An ELF file of the target, read once: symbols, function bounds, build-id, and whether a LuaJIT VM
 * is in it. Knows it by content, never by name.
 *
 * The file is hostile: every offset is checked, and it may be cut while we read it. All addresses
 * are ELF virtual addresses (the caller adds the load bias). What is costly is read at its first
 * use, so one elfobj is not for several threads. What its getters return is borrowed until
 * elfobj_free.
 */
#ifndef BPF_ELFOBJ_H
#define BPF_ELFOBJ_H

#include "bpf/why.h"

#include <stddef.h>
#include <stdint.h>

struct elfobj;

/*
 * Opens the file behind fd (which stays the caller's and may be closed at once). name is for
 * messages. Returns 0 or -errno; -ENOEXEC if it is no x86-64 ELF executable or shared object.
 */
int elfobj_open(int fd, const char *name, struct elfobj **out, struct why *why);
void elfobj_free(struct elfobj *eo);

/* Where a file's symbols are from. Only one is used, the first in this order. */
enum elfobj_source {
	ELFOBJ_NO_SYMBOLS,
	ELFOBJ_SYMTAB,	   /* its own .symtab */
	ELFOBJ_DEBUG_FILE, /* a separate file */
	ELFOBJ_MINIDEBUG,  /* its .gnu_debugdata: functions only */
	ELFOBJ_DEBUGINFOD,
};
enum elfobj_source elfobj_source(const struct elfobj *eo);
const char *elfobj_source_name(enum elfobj_source source);

/*
 * Adds the symbols of a separate debug file, if one with the same build-id lies under root
 * (usr/lib/debug/.build-id/xx/yyyy.debug) and it has none of its own. root: directory ("" for /).
 * Returns how many it has.
 */
size_t elfobj_add_debug(struct elfobj *eo, const char *root);

/* The same with the debug file behind fd, which was fetched from a server; fd stays the caller's.
 */
size_t elfobj_add_fetched(struct elfobj *eo, int fd);

/*
 * Opens a debug file by itself, without the program that it is of: the symbols are all that is
 * asked of it. build_id: what it must have. 0, -ENOENT if it is another one's or has no symbols, or
 * -errno. The fd stays the caller's.
 */
int elfobj_open_debug(int fd, const char *build_id, struct elfobj **out);
/*
 * A copy of the file that has the debug information (.debug_info): this one or the debug file that
 * was added. 0, *buf to be freed by the caller and *len; -ENOENT if there is none, or -errno.
 */
int elfobj_debug_image(const struct elfobj *eo, char **buf, size_t *len);
/* Is there such a file? */
int elfobj_has_debug(const struct elfobj *eo);

/* Lower-case hex, or "". */
const char *elfobj_build_id(const struct elfobj *eo);

/* File offset -> virtual address by the program headers. 0 or -ENOENT. */
int elfobj_vaddr(const struct elfobj *eo, uint64_t offset, uint64_t *vaddr);

/* Virtual address -> file offset, where the file has its bytes. 0 or -ENOENT. */
int elfobj_offset(const struct elfobj *eo, uint64_t vaddr, uint64_t *offset);

/* Virtual address of the first PT_LOAD, page-aligned down: the bias is map start - this. */
uint64_t elfobj_first_vaddr(const struct elfobj *eo);

/*
 * The function that covers vaddr, by a symbol whose [st_value, st_value + st_size) holds it. Of
 * several at one address the best name wins: no leading underscore, no suffix (.cold, @@GLIBC),
 * then the shortest: sqrt, not f32xsqrtf64. 0 or -ENOENT; never the nearest symbol of another
 * function.
 */
int elfobj_symbol(const struct elfobj *eo, uint64_t vaddr, const char **name, uint64_t *start,
		  uint64_t *end);

/* Where the first symbol after vaddr begins. 0 or -ENOENT. */
int elfobj_symbol_after(const struct elfobj *eo, uint64_t vaddr, uint64_t *start);

/*
 * Bounds of the function at vaddr from .eh_frame_hdr's table and its FDE. 0 or -ENOENT. Needs no
 * symbols.
 */
int elfobj_func_bounds(const struct elfobj *eo, uint64_t vaddr, uint64_t *start, uint64_t *end);

/* The first function of .eh_frame_hdr's table that starts at vaddr or later. 0 or -ENOENT. */
int elfobj_next_func(const struct elfobj *eo, uint64_t vaddr, uint64_t *start, uint64_t *end);

/* What the CFA, the stack pointer of the caller after its call, is. */
enum elfobj_cfa {
	ELFOBJ_CFA_NONE,   /* not known: no function, or none that is understood */
	ELFOBJ_CFA_SP,	   /* rsp + off */
	ELFOBJ_CFA_BP,	   /* rbp + off */
	ELFOBJ_CFA_AT_BP,  /* what is at rbp + off */
	ELFOBJ_CFA_PLT,	   /* rsp + 8, and 8 more if the last 4 bits of rip are off or above */
	ELFOBJ_CFA_SIGNAL, /* rsp is at the kernel's record of all registers */
	ELFOBJ_CFA_END,	   /* the outermost frame */
};

/* Where the caller's rbp is. */
enum elfobj_bp {
	ELFOBJ_BP_SAME,	 /* still in rbp */
	ELFOBJ_BP_SAVED, /* at the CFA + bp_off */
	ELFOBJ_BP_AT_BP, /* at rbp */
	ELFOBJ_BP_LOST,
};

/* How to unwind from pc on, up to the next row. The return address is at the CFA - 8. */
struct elfobj_row {
	uint64_t pc;
	enum elfobj_cfa cfa;
	enum elfobj_bp bp;
	int64_t off, bp_off;
};

/*
 * The call frame information of all functions: fn is called with each row, ascending by pc; one of
 * ELFOBJ_CFA_NONE after each function. Stops when fn returns non-zero and returns that. 0; also if
 * there is none.
 */
typedef int elfobj_row_fn(void *ctx, const struct elfobj_row *row);
int elfobj_cfi(const struct elfobj *eo, elfobj_row_fn *fn, void *ctx);

/* Value of a defined symbol by exact name, .dynsym last. 0 or -ENOENT. */
int elfobj_lookup(const struct elfobj *eo, const char *name, uint64_t *vaddr, uint64_t *size);

/* The same of .dynsym alone. */
int elfobj_export(const struct elfobj *eo, const char *name, uint64_t *vaddr, uint64_t *size);

/*
 * Values of the functions that are called name, exports aside, or are a compiler's clone of it:
 * name.isra.0, name.constprop.0.part.1, name.llvm.123; not its name.cold. Returns how many there
 * are, of which at most max are stored.
 */
size_t elfobj_clones(const struct elfobj *eo, const char *name, uint64_t *vaddr, size_t max);

/* Names of the imported function that the PLT entry at vaddr calls ("memcpy"); NULL: not a PLT. */
const char *elfobj_plt_name(const struct elfobj *eo, uint64_t vaddr);

/* What is known of a LuaJIT VM in a file. */
struct elfobj_vm {
	uint64_t asm_start, asm_end; /* lj_vm_asm_begin .. end of its FDE */
	int gc64;		     /* by the width of the instructions */
	uint32_t ins_next;	     /* how often the dispatch sequence was found */
	char version[64];	     /* "LuaJIT 2.1.0-beta3", or "" */
};

/*
 * Looks for the interpreter: at least 60 copies of the DynASM sequence that ends each bytecode's
 * handler (src/vm_x64.dasc, macro ins_NEXT) inside one function of 12 to 40 KB. 0 or -ENOENT.
 */
int elfobj_luajit(const struct elfobj *eo, struct elfobj_vm *vm);

/*
 * Up to max bytes at a virtual address, as far as the file's part of its segment goes. Returns how
 * many, 0 if there are none.
 */
size_t elfobj_read(const struct elfobj *eo, uint64_t vaddr, void *buf, size_t max);

/* The executable part of the file that holds vaddr: [start, end). 0 or -ENOENT. */
int elfobj_text(const struct elfobj *eo, uint64_t vaddr, uint64_t *start, uint64_t *end);

/*
 * The bytes of the file's loaded read-only segments, one after the other, those with code last: fn
 * is called with each PT_LOAD that is not writable; stops when it returns non-zero and returns that.
 * Else 0, or -errno if a segment cannot be read.
 */
typedef int elfobj_bytes_fn(void *ctx, uint64_t vaddr, const void *p, size_t len);
int elfobj_rodata(const struct elfobj *eo, elfobj_bytes_fn *fn, void *ctx);

#endif
