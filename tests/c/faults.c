/* SPDX-License-Identifier: MIT */
/*
 * To be preloaded (LD_PRELOAD): makes what a program asks of its library and the kernel fail, as
 * LJX_FAULT says, between the start and the end of its main():
 *
 *   alloc N        the N-th allocation fails
 *   alloc+ N       and all that follow
 *   kernel N E     the N-th bpf() or perf_event_open() fails with errno E; kernel+, perf+: onward
 *   perf N E       of perf_event_open() alone
 *   deny N E PID   the N-th access to process PID (its files in /proc, its memory) fails so
 *   deny+ N E PID  and all that follow
 *   kill N PID     the process PID is killed, and gone, right before that access
 *   clock S        the clock of the day jumps S seconds to and fro, at every look at it
 *
 * With N = 0 nothing fails. The number of such calls goes to the file that LJX_FAULT_COUNT names.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

static struct {
	char what[16];
	long at, jump;
	int err, pid;
	int armed, onward;
	long seen;
} fault;

/* Is it this call's turn? */
static int due(void)
{
	long n = __atomic_add_fetch(&fault.seen, 1, __ATOMIC_RELAXED);

	return fault.at && (n == fault.at || (fault.onward && n > fault.at));
}

static int is(const char *what)
{
	return fault.armed && !strcmp(fault.what, what);
}

/* The function that the program would have got. */
static void *next(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (!p)
		abort();
	return p;
}

/* ---- allocations ---- */

static int no_memory(void)
{
	if (!is("alloc") || !due())
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t n)
{
	return no_memory() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return no_memory() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return n && no_memory() ? NULL : __libc_realloc(p, n);
}

/* ---- a process ---- */

static void kill_it(void)
{
	kill(fault.pid, SIGKILL);
	for (int i = 0; i < 2000 && !kill(fault.pid, 0); i++)
		usleep(1000); /* until its parent has taken note */
}

/* Before an access to the process: true if that must fail. */
static int access_fails(void)
{
	if (is("kill") && due())
		kill_it();
	if (!is("deny") || !due())
		return 0;
	errno = fault.err;
	return 1;
}

static int path_fails(const char *path)
{
	char mine[32];
	int n;

	if (!fault.armed || !fault.pid)
		return 0;
	n = snprintf(mine, sizeof(mine), "/proc/%d", fault.pid);
	return !strncmp(path, mine, (size_t)n) && (path[n] == '/' || !path[n]) && access_fails();
}

int open(const char *path, int flags, ...)
{
	static int (*real)(const char *, int, ...);
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	if (!real)
		real = (int (*)(const char *, int, ...))next("open");
	return path_fails(path) ? -1 : real(path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	static FILE *(*real)(const char *, const char *);

	if (!real)
		real = (FILE * (*)(const char *, const char *)) next("fopen");
	return path_fails(path) ? NULL : real(path, mode);
}

DIR *opendir(const char *path)
{
	static DIR *(*real)(const char *);

	if (!real)
		real = (DIR * (*)(const char *)) next("opendir");
	return path_fails(path) ? NULL : real(path);
}

ssize_t readlink(const char *path, char *buf, size_t size)
{
	static ssize_t (*real)(const char *, char *, size_t);

	if (!real)
		real = (ssize_t(*)(const char *, char *, size_t))next("readlink");
	return path_fails(path) ? -1 : real(path, buf, size);
}

ssize_t process_vm_readv(pid_t pid, const struct iovec *to, unsigned long nto,
			 const struct iovec *from, unsigned long nfrom, unsigned long flags)
{
	static ssize_t (*real)(pid_t, const struct iovec *, unsigned long, const struct iovec *,
			       unsigned long, unsigned long);

	if (!real)
		real = (ssize_t(*)(pid_t, const struct iovec *, unsigned long, const struct iovec *,
				   unsigned long, unsigned long))next("process_vm_readv");
	if (fault.armed && pid == fault.pid && access_fails())
		return -1;
	return real(pid, to, nto, from, nfrom, flags);
}

/* ---- the kernel ---- */

long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long a[6];
	va_list ap;
	int i;

	va_start(ap, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (!real)
		real = (long (*)(long, ...))next("syscall");
	if (((is("kernel") && number == SYS_bpf) ||
	     ((is("kernel") || is("perf")) && number == SYS_perf_event_open)) &&
	    due()) {
		errno = fault.err;
		return -1;
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- the clock ---- */

static time_t jump(void)
{
	return is("clock") ? fault.jump * (++fault.seen % 3 - 1) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);
	int err;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))next("clock_gettime");
	err = real(clock, t);
	if (!err && clock == CLOCK_REALTIME)
		t->tv_sec += jump();
	return err;
}

time_t time(time_t *out)
{
	struct timespec t = {0, 0};

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec t = {0, 0};

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	out->tv_sec = t.tv_sec;
	out->tv_usec = t.tv_nsec / 1000;
	return 0;
}

/* ---- main ---- */

static int (*real_main)(int, char **, char **);

static void done(void)
{
	const char *name = getenv("LJX_FAULT_COUNT");
	FILE *f;

	fault.armed = 0;
	f = name ? fopen(name, "w") : NULL;
	if (f) {
		fprintf(f, "%ld\n", fault.seen);
		fclose(f);
	}
}

static int wrapped_main(int argc, char **argv, char **envp)
{
	const char *s = getenv("LJX_FAULT");
	char *plus;
	int code;

	if (s) {
		sscanf(s, "%15s %ld %d %d", fault.what, &fault.at, &fault.err, &fault.pid);
		fault.jump = fault.at;
		if (!strcmp(fault.what, "kill"))
			fault.pid = fault.err;
		plus = strchr(fault.what, '+');
		if (plus)
			*plus = '\0';
		fault.onward = plus != NULL;
		unsetenv("LD_PRELOAD"); /* of children */
		fault.armed = 1;
	}
	code = real_main(argc, argv, envp);
	done();
	return code;
}

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
		      void (*fini)(void), void (*rtld_fini)(void), void *stack_end);

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
		      void (*fini)(void), void (*rtld_fini)(void), void *stack_end)
{
	int (*real)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
		    void (*)(void), void *);

	real = (int (*)(int (*)(int, char **, char **), int, char **, void (*)(void),
			void (*)(void), void (*)(void), void *))next("__libc_start_main");
	real_main = main;
	return real(wrapped_main, argc, argv, init, fini, rtld_fini, stack_end);
}
