// SPDX-License-Identifier: MIT
#include "bpf/helper.h"
#include "bpf/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCK 3 /* in the child */

/* The hard limit stays as it is, so that this may be called again. */
int helper_limit_cpu(unsigned int seconds)
{
	struct timespec used;
	struct rlimit lim;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) || getrlimit(RLIMIT_CPU, &lim))
		return -errno;
	lim.rlim_cur = (rlim_t)used.tv_sec + seconds;
	if (lim.rlim_cur > lim.rlim_max)
		lim.rlim_cur = lim.rlim_max;
	return setrlimit(RLIMIT_CPU, &lim) ? -errno : 0;
}

/* A copy of us is as large as we are, which says nothing of what it needs. */
static int limit_memory(uint64_t more)
{
	unsigned long long pages = 0;
	struct rlimit lim;
	FILE *f = fopen("/proc/self/statm", "re");
	int ok = f && fscanf(f, "%llu", &pages) == 1;

	if (f)
		fclose(f);
	lim.rlim_cur = lim.rlim_max = pages * (unsigned long long)getpagesize() + more;
	return ok ? setrlimit(RLIMIT_AS, &lim) : -1;
}

/* The socket first: it may be where standard output would be. */
static int keep_socket_only(int sock)
{
	int null;

	if (dup2(sock, SOCK) != SOCK)
		return -1;
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) != 0 || dup2(null, 1) != 1 || dup2(null, 2) != 2)
		return -1;
	return close_range(SOCK + 1, ~0u, 0);
}

static void set_signals(int goes_on)
{
	static const int faults[] = {SIGXCPU, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	size_t i;

	for (i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		signal(faults[i], SIG_DFL);
	for (i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		signal(ends[i], goes_on ? SIG_IGN : SIG_DFL);
}

static int confine(int sock, const struct helper_opts *opts)
{
	const struct rlimit none = {0, 0};

	set_signals(opts->goes_on);
	if (keep_socket_only(sock) || setrlimit(RLIMIT_CORE, &none))
		return -1;
	if (opts->cpu_seconds && helper_limit_cpu(opts->cpu_seconds))
		return -1;
	return opts->memory ? limit_memory(opts->memory) : 0;
}

int helper_start(helper_fn *fn, const void *ctx, const struct helper_opts *opts, struct helper *out)
{
	pid_t self = getpid(), pid;
	int sock[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock))
		return -errno;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == self && !confine(sock[1], opts))
			fn(ctx, SOCK);
		_exit(0);
	}
	err = pid < 0 ? -errno : 0;
	close(sock[1]);
	if (err) {
		close(sock[0]);
		return err;
	}
	*out = (struct helper){pid, sock[0]};
	return 0;
}

void helper_end(struct helper *h)
{
	if (!h->pid)
		return;
	kill(h->pid, SIGKILL);
	while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(h->sock);
	h->pid = 0;
}

int helper_ask(const struct helper *h, const void *msg, size_t len)
{
	return send(h->sock, msg, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

ssize_t helper_take(const struct helper *h, void *msg, size_t cap, int ms)
{
	struct pollfd p = {.fd = h->sock, .events = POLLIN};
	ssize_t n = poll(&p, 1, ms);

	if (n <= 0)
		return n ? -errno : 0;
	n = recv(h->sock, msg, cap, MSG_DONTWAIT);
	return n > 0 ? n : n ? -errno : -EPIPE;
}

ssize_t helper_answer(const struct helper *h, void *msg, size_t cap, int ms)
{
	int64_t end = clock_ms() + ms, left;
	ssize_t n = 0;

	while ((!n || n == -EINTR) && (left = end - clock_ms()) > 0)
		n = helper_take(h, msg, cap, (int)left);
	return !n || n == -EINTR ? -ETIMEDOUT : n;
}
