/* SPDX-License-Identifier: MIT */
/*
 * What GCC's unwinder asks of glibc, for musl, which has no such function: so that a LuaJIT made
 * with Debian's compiler and Debian's musl can throw errors. From the manual of _dl_find_object.
 */
#include <link.h>
#include <string.h>

struct found {
	unsigned long long flags;
	void *start, *end, *map, *eh_frame;
	unsigned long long reserved[7];
};

int _dl_find_object(void *pc, struct found *out);

struct ask {
	ElfW(Addr) pc;
	struct found *out;
};

/* One object. 1: the address is in it. */
static int look(struct dl_phdr_info *info, size_t size, void *ctx)
{
	const ElfW(Phdr) *table = NULL;
	struct ask *a = ctx;
	int in = 0;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		ElfW(Addr) start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && a->pc - start < ph->p_memsz) {
			a->out->start = (void *)start;
			a->out->end = (void *)(start + ph->p_memsz);
			in = 1;
		}
		if (ph->p_type == PT_GNU_EH_FRAME)
			table = ph;
	}
	if (in && table)
		a->out->eh_frame = (void *)(info->dlpi_addr + table->p_vaddr);
	return in;
}

int _dl_find_object(void *pc, struct found *out)
{
	struct ask a = {.pc = (ElfW(Addr))pc, .out = out};

	memset(out, 0, sizeof(*out));
	return dl_iterate_phdr(look, &a) && out->eh_frame ? 0 : -1;
}
