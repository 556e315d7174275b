// SPDX-License-Identifier: MIT
#include "tui/groups.h"
#include "tui/ljx.h"

#include <jansson.h>
#include <string.h>
#include <unistd.h>

static const char *role(const struct groups *g, size_t i)
{
	int more = (i + 1 < g->n && g->proc[i + 1].root == g->proc[i].root) ||
		   (i > 0 && g->proc[i - 1].root == g->proc[i].root);

	return !more ? "-" : g->proc[i].info.pid == g->proc[i].root ? "master" : "worker";
}

static const char *jit(const struct group_proc *p)
{
	return p->jit < 0 ? "?" : p->jit ? "on" : "off";
}

static void print_table(const struct groups *g)
{
	size_t i;

	printf("%7s %7s %-6s %-16s %-21s %-5s %-17s %4s %-3s  %s\n", "PID", "GROUP", "ROLE", "NAME",
	       "VERSION", "GC64", "LAYOUT", "VMS", "JIT", "COMMAND");
	for (i = 0; i < g->n; i++) {
		const struct group_proc *p = &g->proc[i];

		printf("%7d %7d %-6s %-16s %-21s %-5s %-17s %4zu %-3s  %.60s\n", p->info.pid,
		       p->root, role(g, i), p->info.comm,
		       !strncmp(p->version, "LuaJIT ", 7) ? p->version + 7 : p->version,
		       p->row ? p->row->l.gc64 ? "yes" : "no" : "?",
		       p->row	    ? p->row->name
		       : p->refused ? "not known"
				    : "-",
		       p->nvms, jit(p), p->info.cmdline);
	}
	if (!g->n)
		printf("(no LuaJIT process)\n");
	if (g->hidden)
		fprintf(stderr, "ljx: %zu process%s may not be read%s\n", g->hidden,
			g->hidden > 1 ? "es" : "", geteuid() ? "; as root all can" : "");
}

static void print_all_json(const struct groups *g)
{
	json_t *list = json_array(), *o;
	size_t i;

	for (i = 0; i < g->n; i++) {
		const struct group_proc *p = &g->proc[i];

		json_array_append_new(
		    list,
		    json_pack("{s:i,s:i,s:s,s:s,s:s,s:s,s:s?,s:o,s:I,s:s,s:s}", "pid", p->info.pid,
			      "group", p->root, "role", role(g, i), "comm", p->info.comm, "version",
			      p->version, "file", p->file, "layout", p->row ? p->row->name : NULL,
			      "gc64", p->row ? json_boolean(p->row->l.gc64) : json_null(), "vms",
			      (json_int_t)p->nvms, "jit", jit(p), "cmdline", p->info.cmdline));
	}
	o = json_pack("{s:s,s:o,s:I}", "schema", "ljx.ps/1", "processes", list, "hidden",
		      (json_int_t)g->hidden);
	if (o)
		json_dumpf(o, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(o);
}

int verb_ps(const struct options *o)
{
	struct why why = {.code = 0};
	struct groups g;
	int err = groups_find(&g);

	if (err) {
		why_set(&why, WHY_INTERNAL, err, "cannot list the processes: %s", strerror(-err));
		return complain(o, &why);
	}
	if (o->json)
		print_all_json(&g);
	else
		print_table(&g);
	groups_release(&g);
	return 0;
}
