// SPDX-License-Identifier: MIT
#include "bpf/inlines.h"
#include "bpf/clock.h"
#include "bpf/inlines_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CPU_SECONDS 20		/* for an answer */
#define MEMORY_MAX (2ull << 30) /* beyond what we have ourselves */
/* An answer takes microseconds; before the first one all functions are listed. */
#define FIRST_MS 20000
#define NEXT_MS 2000

struct inlines {
	pid_t child; /* 0: there is none any more */
	int sock;    /* a message for each question, an address, and for each answer, its text */
	int answers;
};

/* Our own size is no bound for a child that is a copy of us. */
static int limit_memory(void)
{
	unsigned long long pages = 0;
	struct rlimit lim;
	FILE *f = fopen("/proc/self/statm", "re");
	int ok = f && fscanf(f, "%llu", &pages) == 1;

	if (f)
		fclose(f);
	lim.rlim_cur = lim.rlim_max = pages * (unsigned long long)getpagesize() + MEMORY_MAX;
	return ok ? setrlimit(RLIMIT_AS, &lim) : -1;
}

/* So much from now on: how many questions there will be is not known. */
static int limit_cpu(void)
{
	struct timespec used;
	struct rlimit lim;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) || getrlimit(RLIMIT_CPU, &lim))
		return -1;
	lim.rlim_cur = (rlim_t)used.tv_sec + CPU_SECONDS;
	if (lim.rlim_cur > lim.rlim_max)
		lim.rlim_cur = lim.rlim_max;
	return setrlimit(RLIMIT_CPU, &lim);
}

static void serve(const struct elfobj *eo, int sock)
{
	static char text[INLINES_TEXT];
	struct inlines_dw *in = inlines_dw_new(eo);
	uint64_t vaddr;

	while (in && recv(sock, &vaddr, sizeof(vaddr), 0) == sizeof(vaddr) && !limit_cpu()) {
		inlines_dw_at(in, vaddr, text, sizeof(text));
		if (send(sock, text, strlen(text) + 1, MSG_NOSIGNAL) < 0)
			break;
	}
	inlines_dw_free(in);
}

/* It has nothing of ours but the socket, and ends when we do, not by a ^C of ours. */
static _Noreturn void child(const struct elfobj *eo, int sock, pid_t parent)
{
	static const int fatal[] = {SIGXCPU, SIGSEGV, SIGBUS, SIGABRT};
	const struct rlimit none = {0, 0};
	int null = open("/dev/null", O_RDWR);
	size_t i;

	for (i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
		signal(fatal[i], SIG_DFL);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent && null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
	    dup2(null, 2) == 2 && dup2(sock, 3) == 3 && !close_range(4, ~0u, 0) &&
	    !limit_memory() && !limit_cpu() && !setrlimit(RLIMIT_CORE, &none))
		serve(eo, 3);
	_exit(0);
}

int inlines_new(const struct elfobj *eo, struct inlines **out)
{
	pid_t self = getpid();
	struct inlines *in;
	int sock[2], err;

	if (!elfobj_has_debug(eo))
		return -ENOENT;
	in = calloc(1, sizeof(*in));
	if (!in)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock)) {
		err = -errno;
		free(in);
		return err;
	}
	in->child = fork();
	if (!in->child)
		child(eo, sock[1], self);
	err = in->child < 0 ? -errno : 0;
	close(sock[1]);
	in->sock = sock[0];
	if (err) {
		close(in->sock);
		free(in);
		return err;
	}
	*out = in;
	return 0;
}

static void end_child(struct inlines *in)
{
	if (!in->child)
		return;
	kill(in->child, SIGKILL);
	while (waitpid(in->child, NULL, 0) < 0 && errno == EINTR)
		;
	in->child = 0;
}

void inlines_free(struct inlines *in)
{
	if (!in)
		return;
	end_child(in);
	close(in->sock);
	free(in);
}

/* Waits for an answer and believes it if it is one: how many lines it has, or -EIO. */
static int take(struct inlines *in, char text[INLINES_TEXT])
{
	int64_t end = clock_ms() + (in->answers ? NEXT_MS : FIRST_MS), left;
	struct pollfd p = {.fd = in->sock, .events = POLLIN};
	ssize_t len = 0;
	const char *c;
	int n;

	while ((left = end - clock_ms()) > 0) {
		if (poll(&p, 1, (int)left) > 0) {
			len = recv(in->sock, text, INLINES_TEXT, MSG_DONTWAIT);
			break;
		}
	}
	if (len <= 0 || strnlen(text, (size_t)len) != (size_t)len - 1)
		return -EIO;
	n = *text != '\0';
	for (c = text; (c = strchr(c, '\n')); c++)
		n++;
	return n <= INLINES_MAX ? n : -EIO;
}

int inlines_at(struct inlines *in, uint64_t vaddr, char text[INLINES_TEXT])
{
	char answer[INLINES_TEXT];
	int n = -EIO;

	if (!in->child)
		return -EIO;
	if (send(in->sock, &vaddr, sizeof(vaddr), MSG_NOSIGNAL) == sizeof(vaddr))
		n = take(in, answer);
	if (n < 0) {
		end_child(in);
		return n;
	}
	in->answers = 1;
	memcpy(text, answer, strlen(answer) + 1);
	return n;
}
