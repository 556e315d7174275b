// SPDX-License-Identifier: MIT
/* What the compiler inlined at the addresses of C stacks, each told once. */
#include "bpf/inlines.h"
#include "bpf/resolve_int.h"

#include <stdlib.h>

#define MODULES_MAX 64u /* whose debug information is in memory at a time */

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

void resolve_inlines_free(struct resolve *r)
{
	struct rdebug *d;

	told_forget(&r->inlined, 0);
	while ((d = r->debug)) {
		r->debug = d->next;
		inlines_free(d->in);
		free(d);
	}
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

	if (!r->want_inline || told_before(&r->inlined, (ev_u32)p->pid, addr))
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
