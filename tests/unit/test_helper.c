// SPDX-License-Identifier: MIT
/* bpf/helper.c: a child that answers, and children that do not. */
#include "bpf/helper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS 60000 /* it comes at once, unless the machine is busy */

static const struct helper_opts plain;

static void start(helper_fn *fn, const void *ctx, const struct helper_opts *opts, struct helper *h)
{
	assert_int_equal(helper_start(fn, ctx, opts, h), 0);
	assert_true(h->pid > 0);
}

static void echo(const void *ctx, int sock)
{
	char msg[16];
	ssize_t n;

	memcpy(msg, ctx, 1);
	while ((n = recv(sock, msg + 1, sizeof(msg) - 1, 0)) > 0)
		send(sock, msg, (size_t)n + 1, MSG_NOSIGNAL);
}

static void test_answers(void **state)
{
	struct helper h, none = {0};
	char msg[16];

	(void)state;
	start(echo, ">", &plain, &h);
	assert_int_equal(helper_take(&h, msg, sizeof(msg), 0), 0);
	assert_int_equal(helper_ask(&h, "one", 3), 0);
	assert_int_equal(helper_ask(&h, "three", 5), 0);
	assert_int_equal(helper_answer(&h, msg, sizeof(msg), LONG_MS), 4);
	assert_memory_equal(msg, ">one", 4);
	assert_int_equal(helper_take(&h, msg, 3, LONG_MS), 3);
	assert_memory_equal(msg, ">th", 3);
	assert_int_equal(helper_answer(&h, msg, sizeof(msg), 1), -ETIMEDOUT);
	helper_end(&h);
	assert_int_equal(h.pid, 0);
	helper_end(&h);
	helper_end(&none);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void test_interrupted(void **state)
{
	struct sigaction sa = {.sa_handler = on_alarm}, old;
	struct helper h;
	char msg[16];

	(void)state;
	start(echo, ">", &plain, &h);
	sigaction(SIGALRM, &sa, &old);
	ualarm(10000, 10000);
	assert_int_equal(helper_take(&h, msg, sizeof(msg), LONG_MS), -EINTR);
	assert_int_equal(helper_answer(&h, msg, sizeof(msg), 100), -ETIMEDOUT);
	ualarm(0, 0);
	sigaction(SIGALRM, &old, NULL);
	helper_end(&h);
}

static void end_at_once(const void *ctx, int sock)
{
	(void)ctx;
	(void)sock;
}

static void crash(const void *ctx, int sock)
{
	(void)sock;
	raise(*(const int *)ctx);
}

static void no_answer(struct helper *h)
{
	char msg[16];

	assert_int_equal(helper_answer(h, msg, sizeof(msg), LONG_MS), -EPIPE);
	assert_true(helper_ask(h, "x", 1) < 0);
	helper_end(h);
}

static void test_ends(void **state)
{
	static const int faults[] = {SIGSEGV, SIGABRT, SIGFPE, SIGINT, SIGTERM};
	struct helper h;
	size_t i;

	(void)state;
	start(end_at_once, NULL, &plain, &h);
	no_answer(&h);
	for (i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		start(crash, &faults[i], &plain, &h);
		no_answer(&h);
	}
}

/* With this option it goes on at what would end us. */
static void test_goes_on(void **state)
{
	const struct helper_opts opts = {.goes_on = 1};
	struct helper h;
	char msg[16];

	(void)state;
	start(echo, ">", &opts, &h);
	helper_ask(&h, "x", 1);
	assert_int_equal(helper_answer(&h, msg, sizeof(msg), LONG_MS), 2);
	kill(h.pid, SIGINT);
	kill(h.pid, SIGHUP);
	helper_ask(&h, "y", 1);
	assert_int_equal(helper_answer(&h, msg, sizeof(msg), LONG_MS), 2);
	helper_end(&h);
}

struct seen {
	int fds, null, mapped, core;
};

static void look(const void *ctx, int sock)
{
	struct seen s = {0};
	struct dirent *e;
	struct rlimit lim;
	char to[64] = "";
	DIR *d = opendir("/proc/self/fd");

	while (d && (e = readdir(d)))
		s.fds += *e->d_name != '.' && atoi(e->d_name) != dirfd(d);
	s.null = readlink("/proc/self/fd/1", to, sizeof(to) - 1) > 0 && !strcmp(to, "/dev/null");
	s.mapped = mmap(NULL, *(const size_t *)ctx, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0) != MAP_FAILED;
	s.core = getrlimit(RLIMIT_CORE, &lim) || lim.rlim_max;
	send(sock, &s, sizeof(s), MSG_NOSIGNAL);
}

static void test_confined(void **state)
{
	const struct helper_opts opts = {.memory = 64 << 20};
	struct seen s;
	struct helper h;
	size_t size = 32 << 20, i;

	(void)state;
	for (i = 0; i < 2; i++, size *= 4) {
		start(look, &size, &opts, &h);
		assert_int_equal(helper_answer(&h, &s, sizeof(s), LONG_MS), sizeof(s));
		assert_int_equal(s.fds, 4);
		assert_true(s.null);
		assert_int_equal(s.mapped, !i);
		assert_false(s.core);
		helper_end(&h);
	}
}

static void spin(const void *ctx, int sock)
{
	volatile unsigned int n = 0;

	(void)ctx;
	(void)sock;
	for (;;)
		n++;
}

/* A second of CPU time, and no more. */
static void test_cpu(void **state)
{
	const struct helper_opts opts = {.cpu_seconds = 1};
	struct helper h;

	(void)state;
	start(spin, NULL, &opts, &h);
	no_answer(&h);
}

/* It ends with us, and not only when it is asked again. */
static void test_ends_with_us(void **state)
{
	int fd[2], status;
	struct helper h;
	pid_t child;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(fd), 0);
	child = fork();
	if (!child) {
		if (!helper_start(spin, NULL, &plain, &h) &&
		    write(fd[1], &h.pid, sizeof(h.pid)) == sizeof(h.pid))
			_exit(0);
		_exit(1);
	}
	close(fd[1]);
	assert_int_equal(read(fd[0], &h.pid, sizeof(h.pid)), sizeof(h.pid));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(waitpid(h.pid, &status, 0), h.pid);
	/* By the kernel, or by itself if it was late. */
	assert_true((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) || !status);
	close(fd[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answers),	 cmocka_unit_test(test_interrupted),
	    cmocka_unit_test(test_ends),	 cmocka_unit_test(test_goes_on),
	    cmocka_unit_test(test_confined),	 cmocka_unit_test(test_cpu),
	    cmocka_unit_test(test_ends_with_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
