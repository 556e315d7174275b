/* SPDX-License-Identifier: MIT */
/*
 * vms THREADS SECONDS: each thread runs three VMs in turn: A (Lua; it calls, from a C function, the
 * VM C on the same C stack), and B (C code: string.gsub). The VMs' chunks are named t1.A, t1.B, ...
 * Each VM prints its stack once, as tests/lua/truth.lua does. At the end a line
 * {"event":"cpu","vms":{"t1.A":SECONDS,...}} tells which VM used how much CPU time by itself, and
 * {"event":"thread","name":"t1","tid":N} at the start which thread is whose.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define MAX_THREADS 16

struct vm {
	char name[16];
	lua_State *L;
	double cpu; /* seconds in this VM, without the VM nested in it */
	struct vm *nested;
};

struct thread {
	pthread_t thread;
	int number;
	struct vm a, b, c;
};

static double stop_at;

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "vms: %s: %s\n", what, why);
	exit(1);
}

/* Calls the function that the VM's script returned. It stays at index 1. */
static void run(struct vm *vm)
{
	double start = now(CLOCK_THREAD_CPUTIME_ID), nested = vm->nested ? vm->nested->cpu : 0;

	lua_pushvalue(vm->L, 1);
	if (lua_pcall(vm->L, 0, 0, 0))
		die(vm->name, lua_tostring(vm->L, -1));
	vm->cpu += now(CLOCK_THREAD_CPUTIME_ID) - start;
	if (vm->nested)
		vm->cpu -= vm->nested->cpu - nested;
}

static int run_nested(lua_State *L)
{
	run(lua_touserdata(L, lua_upvalueindex(1)));
	return 0;
}

static void new_vm(struct vm *vm, int number, const char *letter, const char *mode,
		   struct vm *nested)
{
	static const char script[] = "tests/lua/vm.lua";
	char chunk[32];
	char text[4096];
	FILE *f = fopen(script, "r");
	size_t len;

	if (!f)
		die(script, strerror(errno));
	len = fread(text, 1, sizeof(text), f);
	fclose(f);
	snprintf(vm->name, sizeof(vm->name), "t%d.%s", number, letter);
	snprintf(chunk, sizeof(chunk), "=%s", vm->name);
	vm->nested = nested;
	vm->L = luaL_newstate();
	luaL_openlibs(vm->L);
	if (luaL_loadbuffer(vm->L, text, len, chunk))
		die(script, lua_tostring(vm->L, -1));
	lua_pushstring(vm->L, vm->name);
	lua_pushstring(vm->L, mode);
	if (nested) {
		lua_pushlightuserdata(vm->L, nested);
		lua_pushcclosure(vm->L, run_nested, 1);
	} else {
		lua_pushnil(vm->L);
	}
	if (lua_pcall(vm->L, 3, 1, 0))
		die(script, lua_tostring(vm->L, -1));
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	/* In an order of memory that differs from the order of use. */
	new_vm(&t->c, t->number, "C", t->number % 2 ? "off" : "lua", NULL);
	new_vm(&t->a, t->number, "A", "off", &t->c);
	new_vm(&t->b, t->number, "B", "C", NULL);
	printf("{\"event\":\"thread\",\"name\":\"t%d\",\"tid\":%ld}\n", t->number,
	       syscall(SYS_gettid));
	fflush(stdout);
	while (now(CLOCK_MONOTONIC) < stop_at) {
		run(&t->a);
		run(&t->b);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct thread threads[MAX_THREADS];
	int n = argc > 2 ? atoi(argv[1]) : 0;

	if (n < 1 || n > MAX_THREADS)
		die("usage", "vms THREADS SECONDS");
	stop_at = now(CLOCK_MONOTONIC) + atof(argv[2]);
	for (int i = 0; i < n; i++) {
		threads[i].number = i + 1;
		if (pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]))
			die("thread", "cannot be made");
	}
	for (int i = 0; i < n; i++)
		pthread_join(threads[i].thread, NULL);
	printf("{\"event\":\"cpu\",\"vms\":{");
	for (int i = 0; i < n; i++) {
		struct thread *t = &threads[i];

		printf("%s\"%s\":%.3f,\"%s\":%.3f,\"%s\":%.3f", i ? "," : "", t->a.name, t->a.cpu,
		       t->b.name, t->b.cpu, t->c.name, t->c.cpu);
	}
	printf("}}\n");
	return 0;
}
