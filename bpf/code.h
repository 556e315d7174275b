/* SPDX-License-Identifier: MIT */
/*
 * Copies of live prototypes, complete enough to list their bytecode. One read of the whole object;
 * its constants are read when they are asked for. What moved or was freed meanwhile is refused or
 * shown as not known.
 */
#ifndef BPF_CODE_H
#define BPF_CODE_H

#include "bpf/vm.h"
#include "bytecode/disasm.h"
#include "bytecode/proto.h"

#define CODE_CHUNK 4096u /* a longer chunkname is cut */

struct code {
	int pid;
	uint64_t addr; /* of the GCproto */
	const struct layout *l;
	const struct vm_list *vms; /* whose traces count; borrowed */
	struct proto pt;	   /* points into body */
	unsigned char *body;	   /* h.sizept bytes, owned */
	char *chunk;		   /* chunkname, cut at CODE_CHUNK, owned */
	size_t chunklen;	   /* its true length */
};

/* Reads the prototype at addr. 0; -ENOENT: there is none, or no more; -errno. */
int code_read(int pid, const struct vm_list *vms, const struct layout *l, uint64_t addr,
	      struct code *out);
void code_release(struct code *c);

/* Line of the instruction at pos; 0: not known. */
int32_t code_line(const struct code *c, uint32_t pos);

/* The prototype that is constant idx, or 0: it is something else. */
uint64_t code_child(const struct code *c, uint32_t idx);

/*
 * The name that the code gives to the closure that it makes of constant idx: of a global, field,
 * local or upvalue. Copied into buf; 0: found, -ENOENT: none.
 */
int code_child_name(const struct code *c, uint32_t idx, char *buf, size_t size);

/* Its listing, see disasm_list. lists_constants, notes: as there. */
int code_list(const struct code *c, int lists_constants, int notes, disasm_fn *fn, void *ctx);

#endif
