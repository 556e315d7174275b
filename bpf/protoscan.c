// SPDX-License-Identifier: MIT
#include "bpf/protoscan.h"

#include "bpf/mem.h"
#include "bpf/memscan.h"

#define GCT_PROTO 7
#define GCT_STR 4

struct scan {
	int pid;
	const struct layout *l;
	int own_allocator; /* lj_alloc.c: a chunk tells whether it is in use */
	protoscan_fn *fn;
	void *ctx;
};

int protoscan_check(int pid, const struct layout *l, int own_allocator, uint64_t pt,
		    const void *head, struct proto_head *h)
{
	uint64_t size = 0;
	unsigned char str[16];

	if (proto_decode_head(l, head, l->PT_size, h) || h->k <= pt || h->k - pt > h->sizept ||
	    mem_read(pid, h->chunkname, str, sizeof(str)) || str[layout_gct(l)] != GCT_STR)
		return 0;
	/* lj_alloc.c: the size of a chunk in use, before it, has CINUSE_BIT. */
	if (own_allocator &&
	    (mem_read(pid, pt - 8, &size, 8) || !(size & 2) || (size & ~7ull) < h->sizept))
		return 0;
	return 1;
}

static int look(void *ctx, uint64_t addr, const uint64_t *word, size_t own, size_t n)
{
	struct scan *s = ctx;
	struct proto_head h;
	size_t i;
	int err = 0;

	for (i = 0; i < own && !err; i++) {
		if (i + 1 >= n ||
		    ((const unsigned char *)(word + i))[layout_gct(s->l)] != GCT_PROTO)
			continue;
		if ((n - i) * 8 >= s->l->PT_size &&
		    protoscan_check(s->pid, s->l, s->own_allocator, addr + 8 * i, word + i, &h))
			err = s->fn(s->ctx, addr + 8 * i, &h);
	}
	return err;
}

/*
 * g->allocf and allocd are the first fields of global_State. LuaJIT's own lies in the file that
 * holds the VM and has a heap as its data; a build with LUAJIT_USE_SYSMALLOC has a function for
 * realloc in that file, without any (lib_aux.c:luaL_newstate).
 */
int protoscan_own_allocator(int pid, const struct proc_maps *maps, const struct vm *vm)
{
	const struct proc_map *m = proc_maps_at(maps, mem_u64(pid, vm->g));

	return m && m->module == vm->module && mem_u64(pid, vm->g + 8);
}

int protoscan(int pid, const struct proc_maps *maps, const struct vm *vm, protoscan_fn *fn,
	      void *ctx)
{
	struct scan s = {.pid = pid, .l = &vm->row->l, .fn = fn, .ctx = ctx};
	uint64_t bytes = 0;

	s.own_allocator = protoscan_own_allocator(pid, maps, vm);
	return memscan(pid, maps, look, &s, &bytes);
}
