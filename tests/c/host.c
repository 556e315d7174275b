/* SPDX-License-Identifier: MIT */
/*
 * A program that embeds LuaJIT and does what its standard input says, a command a line, each
 * answered by "ok ..." on standard output:
 *
 *   vm                  a VM that stays idle
 *   thread NAME SCRIPT  a thread with a VM of its own that runs the file, as chunk "=NAME"
 *   main NAME SCRIPT    the same on the main thread: no more commands
 *   burn                a thread without a VM that uses CPU time for ever
 *   fork NAME SCRIPT    a child that runs the file in a VM made before the fork; answers its pid
 *   exec PROGRAM ARG... replaces itself
 *   quit STATUS         ends
 *
 * Scripts have the C function cspin(n), which burns CPU time in C.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define MAX_WORDS 16

struct job {
	char name[64];
	char script[256];
	lua_State *L;
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "host: %s: %s\n", what, why);
	exit(1);
}

/* A symbol of its own, so that a profiler can name it. */
static __attribute__((noinline)) int host_cspin(lua_State *L)
{
	volatile double x = 0;
	double n = luaL_checknumber(L, 1);

	for (double i = 0; i < n; i++)
		x = x + i;
	lua_pushnumber(L, x);
	return 1;
}

static lua_State *new_vm(void)
{
	lua_State *L = luaL_newstate();

	if (!L)
		die("cannot make a VM", "out of memory");
	luaL_openlibs(L);
	lua_pushcfunction(L, host_cspin);
	lua_setglobal(L, "cspin");
	return L;
}

static void run(struct job *job)
{
	char chunk[80];
	char *text = NULL;
	size_t cap = 0;
	FILE *f = fopen(job->script, "r");
	ssize_t len;

	if (!f)
		die(job->script, strerror(errno));
	len = getdelim(&text, &cap, EOF, f);
	fclose(f);
	snprintf(chunk, sizeof(chunk), "=%s", job->name);
	if (luaL_loadbuffer(job->L, text, len > 0 ? (size_t)len : 0, chunk))
		die(job->script, lua_tostring(job->L, -1));
	free(text);
	if (lua_pcall(job->L, 0, 0, 0))
		die(job->script, lua_tostring(job->L, -1));
}

static void *thread_main(void *arg)
{
	struct job *job = arg;

	job->L = new_vm();
	run(job);
	return NULL;
}

static struct job *new_job(char *const *words, int n)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job || n < 3)
		die(words[0], "needs NAME and SCRIPT");
	snprintf(job->name, sizeof(job->name), "%s", words[1]);
	snprintf(job->script, sizeof(job->script), "%s", words[2]);
	return job;
}

static void start_thread(char *const *words, int n)
{
	pthread_t thread;
	struct job *job = new_job(words, n);

	if (pthread_create(&thread, NULL, thread_main, job))
		die("thread", "cannot be made");
	pthread_detach(thread);
	puts("ok thread");
}

static void *burn_main(void *arg)
{
	volatile double x = 0;

	(void)arg;
	for (;;)
		x = x + 1;
	return NULL;
}

static void start_burning(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, burn_main, NULL))
		die("burn", "cannot make a thread");
	pthread_detach(thread);
	puts("ok burn");
}

static void start_child(char *const *words, int n)
{
	struct job *job = new_job(words, n);
	pid_t child;

	job->L = new_vm();
	fflush(stdout);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, 9);
		run(job);
		_exit(0);
	}
	printf("ok fork %d\n", (int)child);
}

static void command(char **words, int n)
{
	if (!strcmp(words[0], "vm")) {
		new_vm();
		puts("ok vm");
	} else if (!strcmp(words[0], "thread")) {
		start_thread(words, n);
	} else if (!strcmp(words[0], "main")) {
		struct job *job = new_job(words, n);

		puts("ok main");
		fflush(stdout);
		job->L = new_vm();
		run(job);
	} else if (!strcmp(words[0], "burn")) {
		start_burning();
	} else if (!strcmp(words[0], "fork")) {
		start_child(words, n);
	} else if (!strcmp(words[0], "exec") && n > 1) {
		puts("ok exec");
		fflush(stdout);
		execvp(words[1], words + 1);
		die(words[1], strerror(errno));
	} else if (!strcmp(words[0], "quit")) {
		exit(n > 1 ? atoi(words[1]) : 0);
	} else {
		die(words[0], "no such command");
	}
	fflush(stdout);
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ok ready");
	while (getline(&line, &cap, stdin) > 0) {
		char *words[MAX_WORDS + 1] = { NULL };
		int n = 0;

		for (char *w = strtok(line, " \n"); w && n < MAX_WORDS; w = strtok(NULL, " \n"))
			words[n++] = w;
		if (n)
			command(words, n);
	}
	free(line);
	return 0;
}
