// SPDX-License-Identifier: MIT
#include "bpf/memscan.h"

#include "bpf/clock.h"
#include "bpf/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define CHUNK (256u * PAGE)
#define WORK_NS 10000000u
#define PAUSE_MAX_NS 100000000u

struct range {
	uint64_t start, end;
};

struct memscan {
	int pid, pagemap;
	memscan_fn *fn;
	void *ctx;
	struct range *range;
	size_t nranges, at; /* the range that is being read */
	uint64_t next, bytes;
	uint64_t worked; /* ns of CPU time since the last pause */
	uint64_t buf[(CHUNK + MEMSCAN_OVERLAP) / 8];
};

/* Which pages of a chunk are in memory: /proc/PID/pagemap bit 63. All, if it cannot be read. */
static void present(const struct memscan *s, uint64_t addr, size_t pages, unsigned char *here)
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
static int scan_chunk(struct memscan *s, uint64_t addr, size_t len)
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
		s->bytes += own;
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

struct memscan *memscan_new(int pid, const struct proc_maps *maps)
{
	struct memscan *s = calloc(1, sizeof(*s));
	char path[64];
	size_t i;

	if (!s)
		return NULL;
	s->range = calloc(maps->n ? maps->n : 1, sizeof(*s->range));
	if (!s->range) {
		free(s);
		return NULL;
	}
	s->pid = pid;
	for (i = 0; i < maps->n; i++)
		if (is_heap(&maps->map[i]))
			s->range[s->nranges++] =
			    (struct range){maps->map[i].start, maps->map[i].end};
	s->next = s->nranges ? s->range[0].start : 0;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	s->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	return s;
}

void memscan_free(struct memscan *s)
{
	if (!s)
		return;
	if (s->pagemap >= 0)
		close(s->pagemap);
	free(s->range);
	free(s);
}

/* What is read competes with the target for CPU and memory, and holds its mappings' lock. */
static void pause_for(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u),
			     .tv_nsec = (long)(ns % 1000000000u)};

	nanosleep(&t, NULL); /* a signal ends it: the caller may want to stop */
}

int memscan_step(struct memscan *s, memscan_fn *fn, void *ctx)
{
	const struct range *r = &s->range[s->at];
	uint64_t a = s->next, start = clock_cpu();
	int err;

	if (s->at >= s->nranges)
		return 1;
	s->fn = fn;
	s->ctx = ctx;
	s->next = r->end - a > CHUNK ? a + CHUNK : r->end;
	if (s->next == r->end && ++s->at < s->nranges)
		s->next = r[1].start;
	err = scan_chunk(s, a, r->end - a < CHUNK ? r->end - a : CHUNK);
	s->worked += clock_cpu() - start;
	if (s->worked >= WORK_NS) {
		pause_for(s->worked < PAUSE_MAX_NS ? s->worked : PAUSE_MAX_NS);
		s->worked = 0;
	}
	return err;
}

uint64_t memscan_bytes(const struct memscan *s)
{
	return s->bytes;
}

int memscan(int pid, const struct proc_maps *maps, memscan_fn *fn, void *ctx, uint64_t *bytes)
{
	struct memscan *s = memscan_new(pid, maps);
	int err = 0;

	if (!s)
		return -ENOMEM;
	while (!err)
		err = memscan_step(s, fn, ctx);
	*bytes += s->bytes;
	memscan_free(s);
	return err == 1 ? 0 : err;
}
