// SPDX-License-Identifier: MIT
#include "tui/groups.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int look(struct groups *g, int pid, struct group_proc *p)
{
	struct proc_maps maps = {.n = 0};
	struct vm_list list = {NULL, 0, 0, 0, 0};
	const struct module *mod;
	int err;

	memset(p, 0, sizeof(*p));
	err = proc_info_read(pid, &p->info);
	if (!err)
		err = proc_maps_read(pid, g->modules, &maps);
	if (err) {
		g->hidden += err == -EACCES || err == -EPERM;
		return err;
	}
	mod = maps.nvm ? maps.vm[0] : NULL;
	if (!mod) {
		g->hidden += maps.denied > 0;
		proc_maps_release(&maps);
		return -ENOENT;
	}
	snprintf(p->version, sizeof(p->version), "%s", mod->vm.version);
	proc_printable(p->file, sizeof(p->file), mod->path);
	p->jit = -1;
	err = vm_scan(pid, &maps, &list, NULL);
	p->readable = !err;
	p->nvms = list.n;
	p->refused = list.refused;
	if (list.n) {
		p->row = list.vm[0].row;
		p->jit = vm_jit_on(pid, &list.vm[0]);
	}
	vm_list_release(&list);
	proc_maps_release(&maps);
	return err == -ENOMEM ? err : 0;
}

static const struct group_proc *find(const struct groups *g, int pid)
{
	size_t i;

	for (i = 0; i < g->n; i++)
		if (g->proc[i].info.pid == pid)
			return &g->proc[i];
	return NULL;
}

/* A worker belongs to its master, a script does not belong to the shell that runs under LuaJIT. */
static int root_of(const struct groups *g, const struct group_proc *p)
{
	const struct group_proc *up;
	int depth;

	for (depth = 0; depth < 64; depth++) {
		up = find(g, p->info.ppid);
		if (!up || strcmp(up->info.comm, p->info.comm))
			break;
		p = up;
	}
	return p->info.pid;
}

static int by_root(const void *a, const void *b)
{
	const struct group_proc *x = a, *y = b;

	if (x->root != y->root)
		return x->root < y->root ? -1 : 1;
	return (x->info.pid > y->info.pid) - (x->info.pid < y->info.pid);
}

int groups_find(struct groups *g)
{
	size_t n, i;
	int *pids, self = getpid(), err = 0;

	memset(g, 0, sizeof(*g));
	g->modules = modules_new(NULL);
	pids = proc_list(&n);
	g->proc = pids ? calloc(n ? n : 1, sizeof(*g->proc)) : NULL;
	if (!g->modules || !g->proc) {
		free(pids);
		groups_release(g);
		return -ENOMEM;
	}
	for (i = 0; i < n && err != -ENOMEM; i++) {
		err = pids[i] == self ? -ESRCH : look(g, pids[i], &g->proc[g->n]);
		g->n += !err;
	}
	free(pids);
	if (err == -ENOMEM) { /* not to have seen a process is not to know that it has no LuaJIT */
		groups_release(g);
		return err;
	}
	for (i = 0; i < g->n; i++)
		g->proc[i].root = root_of(g, &g->proc[i]);
	qsort(g->proc, g->n, sizeof(*g->proc), by_root);
	for (i = 0; i < g->n; i++)
		g->ngroups += !i || g->proc[i].root != g->proc[i - 1].root;
	return 0;
}

void groups_release(struct groups *g)
{
	free(g->proc);
	modules_free(g->modules);
	memset(g, 0, sizeof(*g));
}

void groups_hint(const struct groups *g, const char *verb, struct why *why)
{
	size_t i, j;

	if (!g->n)
		why_hint(why, "No LuaJIT process is running that ljx can read%s.",
			 g->hidden && geteuid() ? "; as root it can read all" : "");
	for (i = 0; i < g->n; i = j) {
		for (j = i; j < g->n && g->proc[j].root == g->proc[i].root; j++)
			;
		if (j - i > 1)
			why_hint(why, "  ljx %s -g %d    (%s, %zu processes)", verb,
				 g->proc[i].root, g->proc[i].info.comm, j - i);
		else
			why_hint(why, "  ljx %s -p %d    (%.60s)", verb, g->proc[i].info.pid,
				 g->proc[i].info.cmdline);
	}
}
