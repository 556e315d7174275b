// SPDX-License-Identifier: MIT
/* What the compiler inlined at the addresses of C stacks, each told once. */
#include "bpf/demangle.h"
#include "bpf/inlines.h"
#include "bpf/resolve_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* The debug information of a file, or none. */
struct rdebug {
	struct rdebug *next;
	const struct module *module;
	struct inlines *in;
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

static struct inlines *debug_of(struct resolve *r, const struct module *m)
{
	unsigned int n = 0;
	struct rdebug *d;

	for (d = r->debug; d; d = d->next, n++)
		if (d->module == m)
			return d->in;
	d = n < MODULES_MAX ? calloc(1, sizeof(*d)) : NULL;
	if (!d)
		return NULL;
	d->module = m;
	d->in = inlines_new(m->elf);
	d->next = r->debug;
	r->debug = d;
	return d->in;
}

int resolve_inline(struct resolve *r, struct rproc *p, uint64_t addr, uint64_t time)
{
	struct ev_inline e = {.h = {.kind = EV_INLINE, .time = time, .pid = (ev_u32)p->pid},
			      .addr = addr};
	const struct proc_map *m;
	const char *names[INLINES_MAX], *str;
	char one[256], text[INLINES_MAX * sizeof(one)];
	struct inlines *in;
	size_t n, i, len = 0;
	char *c;

	if (!r->want_inline || is_known(r, p->pid, addr))
		return 0;
	m = proc_maps_at(&p->maps, addr);
	if (!m || !m->module || !m->module->elf)
		return 0;
	in = debug_of(r, m->module);
	n = in ? inlines_at(in, addr - m->bias, names) : 0;
	if (!n)
		return 0;
	text[0] = '\0';
	for (i = 0; i < n; i++) {
		demangle(names[i], one, sizeof(one));
		for (c = one; (c = strchr(c, '\n')); c++)
			*c = ' ';
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? "\n" : "", one);
	}
	e.h.tid = e.h.pid;
	e.n = (ev_u32)n;
	str = text;
	return resolve_emit(r, &e.h, sizeof(e), &str, 1);
}
