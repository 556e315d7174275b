// SPDX-License-Identifier: MIT
/* What the compiler inlined at the addresses of C stacks, each told once. */
#include "bpf/inlines.h"
#include "bpf/resolve_int.h"

#include <stdlib.h>

#define KNOWN_MAX 65536u
#define MODULES_MAX 64u /* whose debug information is in memory at a time */

/* An address that was looked at. */
struct rinline {
	struct {
		uint64_t addr;
		int pid, pad;
	} key;
	UT_hash_handle hh;
};

/* The debug information of a file; in NULL: it has none. */
struct rdebug {
	struct rdebug *next;
	const struct module *module;
	struct inlines *in;
	int failed;
};

void resolve_want_inline(struct resolve *r, int on)
{
	r->want_inline = on;
}

/* pid 0: all */
void resolve_inlines_drop(struct resolve *r, int pid)
{
	struct rinline *k, *tmp;

	HASH_ITER(hh, r->inlined, k, tmp)
	{
		if (pid && k->key.pid != pid)
			continue;
		HASH_DEL(r->inlined, k);
		free(k);
	}
}

void resolve_inlines_free(struct resolve *r)
{
	struct rdebug *d;

	resolve_inlines_drop(r, 0);
	while ((d = r->debug)) {
		r->debug = d->next;
		inlines_free(d->in);
		free(d);
	}
}

/* Was it looked at before? From now on it was. */
static int is_known(struct resolve *r, int pid, uint64_t addr)
{
	struct rinline *k, like = {.key = {.addr = addr, .pid = pid}};

	HASH_FIND(hh, r->inlined, &like.key, sizeof(like.key), k);
	if (k)
		return 1;
	if (HASH_COUNT(r->inlined) >= KNOWN_MAX)
		resolve_inlines_drop(r, 0);
	k = calloc(1, sizeof(*k));
	if (!k)
		return 1;
	k->key = like.key;
	HASH_ADD(hh, r->inlined, key, sizeof(k->key), k);
	return 0;
}

static struct rdebug *debug_of(struct resolve *r, const struct module *m)
{
	unsigned int n = 0;
	struct rdebug *d;

	for (d = r->debug; d; d = d->next, n++)
		if (d->module == m)
			return d;
	d = n < MODULES_MAX ? calloc(1, sizeof(*d)) : NULL;
	if (!d)
		return NULL;
	d->module = m;
	if (inlines_new(m->elf, &d->in))
		d->in = NULL;
	d->next = r->debug;
	r->debug = d;
	return d;
}

int resolve_inline(struct resolve *r, struct rproc *p, uint64_t addr, uint64_t time)
{
	struct ev_inline e = {.h = {.kind = EV_INLINE, .time = time, .pid = (ev_u32)p->pid},
			      .addr = addr};
	char text[INLINES_TEXT];
	const char *str = text;
	const struct proc_map *m;
	struct rdebug *d;
	int n;

	if (!r->want_inline || is_known(r, p->pid, addr))
		return 0;
	m = proc_maps_at(&p->maps, addr);
	if (!m || !m->module || !m->module->elf)
		return 0;
	d = debug_of(r, m->module);
	n = d && d->in ? inlines_at(d->in, addr - m->bias, text) : 0;
	if (n < 0 && !d->failed) {
		d->failed = 1;
		r->stats.debug_bad++;
	}
	if (n <= 0)
		return 0;
	e.h.tid = e.h.pid;
	e.n = (ev_u32)n;
	return resolve_emit(r, &e.h, sizeof(e), &str, 1);
}
