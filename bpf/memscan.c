// SPDX-License-Identifier: MIT
#include "bpf/memscan.h"

#include "bpf/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096u
#define CHUNK (256u * PAGE)

struct scan {
	int pid, pagemap;
	memscan_fn *fn;
	void *ctx;
	uint64_t *bytes;
	uint64_t buf[(CHUNK + MEMSCAN_OVERLAP) / 8];
};

/* Which pages of a chunk are in memory: /proc/PID/pagemap bit 63. All, if it cannot be read. */
static void present(const struct scan *s, uint64_t addr, size_t pages, unsigned char *here)
{
	uint64_t pm[CHUNK / PAGE + 1];
	size_t i;

	memset(here, 1, pages);
	if (s->pagemap < 0 ||
	    pread(s->pagemap, pm, pages * 8, (off_t)(addr / PAGE * 8)) != (ssize_t)(pages * 8))
		return;
	for (i = 0; i < pages; i++)
		here[i] = pm[i] >> 63;
}

/* The runs of present pages of a chunk. */
static int scan_chunk(struct scan *s, uint64_t addr, size_t len)
{
	unsigned char here[CHUNK / PAGE + 1]; /* one more: may we read a little further? */
	size_t pages = len / PAGE, i = 0, first, own;
	long got;
	int err = 0;

	present(s, addr, pages + 1, here);
	while (i < pages && !err) {
		if (!here[i]) {
			i++;
			continue;
		}
		for (first = i; i < pages && here[i]; i++)
			;
		own = (i - first) * PAGE;
		got = mem_read_some(s->pid, addr + first * PAGE, s->buf,
				    own + (here[i] ? MEMSCAN_OVERLAP : 0));
		if (got == -ESRCH || got == -EPERM)
			return (int)got;
		if (got <= 0)
			continue;
		if (own > (size_t)got)
			own = (size_t)got;
		*s->bytes += own;
		err = s->fn(s->ctx, addr + first * PAGE, s->buf, own / 8, (size_t)got / 8);
	}
	return err;
}

/* Memory an allocator may have: private, writable, of no file (or shown as [heap]). */
static int is_heap(const struct proc_map *m)
{
	return (m->prot & (PROC_R | PROC_W)) == (PROC_R | PROC_W) && !m->inode &&
	       strcmp(m->name, "[stack]") && strcmp(m->name, "[vvar]");
}

int memscan(int pid, const struct proc_maps *maps, memscan_fn *fn, void *ctx, uint64_t *bytes)
{
	struct scan *s = calloc(1, sizeof(*s));
	char path[64];
	uint64_t a;
	size_t i;
	int err = 0;

	if (!s)
		return -ENOMEM;
	s->pid = pid;
	s->fn = fn;
	s->ctx = ctx;
	s->bytes = bytes;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	s->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	for (i = 0; i < maps->n && !err; i++) {
		const struct proc_map *m = &maps->map[i];

		for (a = m->start; is_heap(m) && a < m->end && !err; a += CHUNK)
			err = scan_chunk(s, a, m->end - a < CHUNK ? m->end - a : CHUNK);
	}
	if (s->pagemap >= 0)
		close(s->pagemap);
	free(s);
	return err;
}
