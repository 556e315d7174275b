// SPDX-License-Identifier: MIT
/*
 * C stacks: tells BPF which code the processes map, and how to unwind it.
 *
 * Tables are made at a process's attach as far as that takes no longer than BUDGET_MS; later ones,
 * and those of code that is mapped later, when a sample has come to where they are missing.
 */
#include "bpf/capture_int.h"
#include "bpf/mem.h"
#include "bpf/unwind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define MS 1000000ull /* ns */
#define BUDGET_MS 300
#define TABLES_BYTES (256u << 20)
#define VDSO_MAX (1u << 20)
/* What samples ask for is looked at so often; less often, if it was for nothing. */
#define AGAIN_FIRST (50 * MS)
#define AGAIN_LAST (10000 * MS)

/* What of a process is told to BPF. */
struct native_proc {
	const struct unwind_ref **ref; /* held */
	size_t nrefs;
	size_t later, ranges; /* of them without a table so far */
	int wanted;	      /* a sample lacked something */
	unsigned int code;    /* resolve_code_changes() when it was told */
	uint64_t next, pause; /* ns */
};

struct native_all {
	struct unwind_store *store;
	struct elfobj *vdso; /* the kernel's code in each process; NULL: none, or not yet met */
	int tables, unwound; /* maps */
};

static int fill(int fd, const void *values, uint32_t n)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint32_t *key = malloc(n * sizeof(*key)), i, count = n;
	int err;

	if (!key)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		key[i] = i;
	err = bpf_map_update_batch(fd, key, values, &count, &opts);
	free(key);
	return err;
}

/* An array of n values for the map in which such arrays are. */
static int put_array(int outer, uint32_t key, const void *values, size_t size, uint32_t n)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_INNER_MAP);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ljx_unwind", 4, (uint32_t)size, n, &opts);
	int err;

	if (fd < 0)
		return -errno;
	err = fill(fd, values, n);
	if (!err)
		err = bpf_map_update_elem(outer, &key, &fd, BPF_ANY);
	close(fd); /* the outer map holds it */
	return err;
}

static int put_table(void *ctx, uint32_t slot, const struct unwind_table *t)
{
	const struct native_all *na = ctx;

	return put_array(na->tables, slot, t->word, sizeof(*t->word), t->index + t->nrows);
}

static void drop_table(void *ctx, uint32_t slot)
{
	const struct native_all *na = ctx;

	bpf_map_delete_elem(na->tables, &slot);
}

int capture_native_init(struct capture *c)
{
	struct native_all *na = calloc(1, sizeof(*na));
	struct unwind_ops ops = {put_table, drop_table, na};
	uint32_t key = 0;
	int prog;

	if (!na)
		return -ENOMEM;
	c->native = na;
	na->tables = bpf_map__fd(c->skel->maps.tables);
	na->unwound = bpf_map__fd(c->skel->maps.unwound);
	na->store = unwind_store_new(&ops, SMP_TABLES, TABLES_BYTES);
	if (!na->store)
		return -ENOMEM;
	prog = bpf_program__fd(c->skel->progs.native);
	return bpf_map_update_elem(bpf_map__fd(c->skel->maps.then), &key, &prog, BPF_ANY);
}

void capture_native_free(struct capture *c)
{
	if (!c->native)
		return;
	unwind_store_free(c->native->store);
	elfobj_free(c->native->vdso);
	free(c->native);
}

/* The vDSO is in no file, but it is an ELF file in memory, and the same for all. */
static const struct elfobj *vdso_of(struct native_all *na, int pid, const struct proc_map *m)
{
	size_t len = m->end - m->start;
	char *buf;
	int fd;

	if (na->vdso || len > VDSO_MAX)
		return na->vdso;
	buf = malloc(len);
	fd = memfd_create("vdso", MFD_CLOEXEC);
	if (buf && fd >= 0 && !mem_read(pid, m->start, buf, len) &&
	    write(fd, buf, len) == (ssize_t)len && elfobj_open(fd, "[vdso]", &na->vdso, NULL))
		na->vdso = NULL;
	if (fd >= 0)
		close(fd);
	free(buf);
	return na->vdso;
}

static uint64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / MS;
}

/* The range of a mapping with code. np gets the reference that it holds. */
static int make_range(struct native_all *na, struct native_proc *np, const struct proc_map *m,
		      const struct elfobj *eo, uint64_t bias, uint64_t until, struct smp_range *r)
{
	const struct unwind_ref *ref;
	int err;

	*r = (struct smp_range){.start = m->start, .end = m->end, .table = SMP_NO_TABLE};
	if (!eo)
		return 0;
	if (!unwind_is_known(na->store, eo) && cpu_ms() >= until) {
		r->table = SMP_LATER;
		np->later++;
		return 0;
	}
	err = unwind_take(na->store, eo, &ref);
	if (err)
		return err == -ENOMEM ? err : 0;
	np->ref[np->nrefs++] = ref;
	r->base = ref->base + bias;
	r->table = ref->slot;
	r->index = ref->index;
	r->nrows = ref->nrows;
	return 0;
}

static void give_refs(struct native_all *na, struct native_proc *np)
{
	while (np->nrefs)
		unwind_give(na->store, np->ref[--np->nrefs]);
	free(np->ref);
	np->ref = NULL;
}

/* Makes the ranges of a process and tells them. */
static int tell_ranges(struct capture *c, struct follow *f, const struct proc_maps *maps)
{
	struct native_all *na = c->native;
	struct native_proc np = {.ranges = 0}, *old = f->native;
	struct smp_range *r = calloc(maps->n + 1, sizeof(*r));
	uint64_t until = cpu_ms() + BUDGET_MS;
	size_t i, n = 0;
	int err = 0;

	np.ref = calloc(maps->n + 1, sizeof(struct unwind_ref *));
	if (!r || !np.ref)
		err = -ENOMEM;
	for (i = 0; i < maps->n && n < SMP_RANGES - 1 && !err; i++) {
		const struct proc_map *m = &maps->map[i];
		const struct elfobj *eo = m->module ? m->module->elf : NULL;
		uint64_t bias = m->bias;

		if (!(m->prot & PROC_X))
			continue;
		if (!strcmp(m->name, "[vdso]")) {
			eo = vdso_of(na, f->pid, m);
			bias = eo ? m->start - elfobj_first_vaddr(eo) : 0;
		} else if (!m->module) {
			continue; /* machine code that was made at run time */
		}
		err = make_range(na, &np, m, eo, bias, until, &r[++n]);
	}
	if (!err) {
		r[0].start = n;
		err = put_array(na->unwound, (uint32_t)f->pid, r, sizeof(*r), (uint32_t)n + 1);
	}
	free(r);
	np.ranges = n;
	np.code = resolve_code_changes(c->resolve, f->pid);
	if (err) {
		give_refs(na, &np);
		return err;
	}
	if (old) {
		give_refs(na, old);
		np.pause = old->ranges == n && old->later == np.later ? old->pause : 0;
		*old = np;
	} else {
		f->native = malloc(sizeof(np));
		if (!f->native) {
			give_refs(na, &np);
			return -ENOMEM;
		}
		*f->native = np;
	}
	return 0;
}

int capture_native_add(struct capture *c, struct follow *f)
{
	const struct proc_maps *maps = c->native ? resolve_maps(c->resolve, f->pid) : NULL;

	return maps ? tell_ranges(c, f, maps) : 0;
}

void capture_native_drop(struct capture *c, struct follow *f)
{
	if (!f->native)
		return;
	bpf_map_delete_elem(c->native->unwound, &f->pid);
	give_refs(c->native, f->native);
	free(f->native);
	f->native = NULL;
}

static int lacks(unsigned int why)
{
	return why == EV_NATIVE_LATER || why == EV_NATIVE_NO_MAP;
}

void capture_native_seen(struct follow *f, const struct ev_native *n)
{
	unsigned int i;

	if (!f->native)
		return;
	f->native->wanted |= lacks(n->why);
	for (i = n->nkernel; i < n->nwords; i++)
		if (EV_NATIVE_IS_GAP(n->word[i]))
			f->native->wanted |= lacks(EV_NATIVE_WHY(n->word[i]));
}

void capture_native_tick(struct capture *c, struct follow *f, uint64_t now)
{
	struct native_proc *np = f->native;

	if (np && np->code != resolve_code_changes(c->resolve, f->pid))
		capture_native_add(c, f);
	if (!np || !np->wanted || now < np->next)
		return;
	np->wanted = 0;
	if (!resolve_refresh_maps(c->resolve, f->pid))
		capture_native_add(c, f);
	/* It may be code that is in no file, and asks for ever. */
	np->pause = np->pause ? 2 * np->pause : AGAIN_FIRST;
	if (np->pause > AGAIN_LAST)
		np->pause = AGAIN_LAST;
	np->next = now + np->pause;
}

void capture_native_stats(const struct capture *c, struct capture_stats *s)
{
	struct unwind_stats u;

	if (!c->native)
		return;
	unwind_stats(c->native->store, &u);
	s->tables = u.tables;
	s->table_bytes = u.bytes;
}
