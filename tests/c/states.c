/* SPDX-License-Identifier: MIT */
/*
 * A program whose VMs come and go as its standard input says, a command a line, each answered by
 * "ok ..." on standard output when it is done:
 *
 *   new NAME               a VM
 *   here NAME SCRIPT ARG   runs the file in that VM on the main thread, with that argument
 *   run NAME SCRIPT ARG    the same on a new thread, which ends then
 *   close NAME             the VM's end
 *
 * "ok new" also tells the address of its main thread.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define MAX_VMS 64

struct job {
	char name[32];
	lua_State *L;
	const char *script, *arg;
};

static struct job jobs[MAX_VMS];

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "states: %s: %s\n", what, why);
	exit(1);
}

static struct job *find(const char *name)
{
	for (int i = 0; i < MAX_VMS; i++)
		if (!strcmp(jobs[i].name, name))
			return &jobs[i];
	die(name, "no such VM, or too many");
}

static void new_vm(const char *name)
{
	struct job *job = find("");

	snprintf(job->name, sizeof(job->name), "%s", name);
	job->L = luaL_newstate();
	if (!job->L)
		die(name, "out of memory");
	luaL_openlibs(job->L);
	printf("ok new %s %p\n", name, (void *)job->L);
}

static void *run(void *arg)
{
	struct job *job = arg;

	lua_settop(job->L, 0);
	if (luaL_loadfile(job->L, job->script))
		die(job->script, lua_tostring(job->L, -1));
	lua_pushstring(job->L, job->arg);
	if (lua_pcall(job->L, 1, 0, 0))
		die(job->script, lua_tostring(job->L, -1));
	return NULL;
}

static void command(const char *what, const char *name, const char *script, const char *arg)
{
	pthread_t thread;
	struct job *job;

	if (!strcmp(what, "new")) {
		new_vm(name);
		return;
	}
	job = find(name);
	job->script = script;
	job->arg = arg;
	if (!strcmp(what, "close")) {
		lua_close(job->L);
		memset(job, 0, sizeof(*job));
	} else if (!strcmp(what, "here")) {
		run(job);
	} else if (!strcmp(what, "run")) {
		if (pthread_create(&thread, NULL, run, job) || pthread_join(thread, NULL))
			die("thread", "cannot be made");
	} else {
		die(what, "no such command");
	}
	printf("ok %s %s\n", what, name);
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ok ready");
	while (getline(&line, &cap, stdin) > 0) {
		char what[16], name[32], script[256] = "", arg[256] = "";

		if (sscanf(line, "%15s %31s %255s %255s", what, name, script, arg) < 2)
			die(line, "a command and a name are needed");
		command(what, name, script, arg);
	}
	free(line);
	return 0;
}
