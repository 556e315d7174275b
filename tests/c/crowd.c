// SPDX-License-Identifier: MIT
/*
 * Busy threads among idle VMs: crowd lua|c|churn THREADS VMS SECONDS
 *
 * Makes VMS idle VMs, then THREADS threads with a VM each that work for SECONDS in Lua, or in a C
 * function that uses the register by which a VM is known for its own purposes. With churn they make
 * a VM, work for some milliseconds in it, and close it, again and again. Prints "ready" when all of
 * them are there.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double stop_at;

static int is_over(lua_State *L)
{
	lua_pushboolean(L, now() > stop_at);
	return 1;
}

static int spin(lua_State *L)
{
	(void)L;
	while (now() < stop_at)
		for (volatile int i = 0; i < 100000; i++)
			__asm__ volatile("xor %%r14d, %%r14d" ::: "r14");
	return 0;
}

static const char code[] =
    "local is_over, spin, kind = ...\n"
    "local function leaf(a, b) return a * 3 % (b + 1) end\n"
    "local function work(n) local x = 1 for i = 1, n do x = x + leaf(i, x) end return x end\n"
    "local function run() if kind == 'c' then spin() end\n"
    "  repeat work(1000) until kind == 'churn' or is_over() end\n"
    "run()\n";

struct job {
	pthread_t thread;
	lua_State *L;
	const char *kind;
};

static lua_State *new_vm(void)
{
	lua_State *L = luaL_newstate();

	if (L)
		luaL_openlibs(L);
	if (!L || luaL_loadbuffer(L, code, sizeof(code) - 1, "=crowd")) {
		fprintf(stderr, "crowd: cannot make a VM\n");
		exit(1);
	}
	return L;
}

static void *run(void *arg)
{
	struct job *j = arg;

	do {
		if (!j->L)
			j->L = new_vm();
		lua_pushcfunction(j->L, is_over);
		lua_pushcfunction(j->L, spin);
		lua_pushstring(j->L, j->kind);
		if (lua_pcall(j->L, 3, 0, 0)) {
			fprintf(stderr, "crowd: %s\n", lua_tostring(j->L, -1));
			exit(1);
		}
		lua_close(j->L);
		j->L = NULL;
	} while (now() < stop_at);
	return NULL;
}

int main(int argc, char **argv)
{
	int threads, vms, i;
	struct job *jobs;

	if (argc != 5 ||
	    (strcmp(argv[1], "lua") && strcmp(argv[1], "c") && strcmp(argv[1], "churn"))) {
		fprintf(stderr, "usage: crowd lua|c|churn THREADS VMS SECONDS\n");
		return 2;
	}
	threads = atoi(argv[2]);
	vms = atoi(argv[3]);
	jobs = calloc((size_t)threads + 1, sizeof(*jobs));
	if (threads < 1 || !jobs)
		return 2;
	for (i = 0; i < vms; i++) {
		lua_State *L = new_vm();

		if (luaL_dostring(L, "local t = {} for i = 1, 100 do t[i] = i end"))
			return 1;
	}
	for (i = 0; i < threads; i++) {
		jobs[i].L = new_vm();
		jobs[i].kind = argv[1];
	}
	stop_at = now() + atof(argv[4]);
	for (i = 0; i < threads; i++)
		if (pthread_create(&jobs[i].thread, NULL, run, &jobs[i]))
			return 1;
	puts("ready");
	fflush(stdout);
	for (i = 0; i < threads; i++)
		pthread_join(jobs[i].thread, NULL);
	return 0;
}
