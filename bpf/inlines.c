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

#define CPU_SECONDS 20
#define MEMORY_MAX (2ull << 30) /* beyond what we have ourselves */
/* An answer takes microseconds; before the first one all functions are listed. */
#define FIRST_MS 20000
#define NEXT_MS 2000

struct answer {
	uint32_t n;
	char text[INLINES_TEXT];
};

struct inlines {
	pid_t child; /* 0: there is none any more */
	int sock;    /* a message for each question, an address, and for each answer */
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

static void serve(const struct elfobj *eo, int sock)
{
	static struct answer a;
	struct inlines_dw *in = inlines_dw_new(eo);
	uint64_t vaddr;

	while (in && recv(sock, &vaddr, sizeof(vaddr), 0) == sizeof(vaddr)) {
		a.n = inlines_dw_at(in, vaddr, a.text, sizeof(a.text));
		if (send(sock, &a, offsetof(struct answer, text) + strlen(a.text) + 1,
			 MSG_NOSIGNAL) < 0)
			break;
	}
	inlines_dw_free(in);
}

/* It has nothing of ours but the socket, and ends when we do, not by a ^C of ours. */
static _Noreturn void child(const struct elfobj *eo, int sock, pid_t parent)
{
	static const int fatal[] = {SIGXCPU, SIGSEGV, SIGBUS, SIGABRT};
	const struct rlimit cpu = {CPU_SECONDS, CPU_SECONDS}, none = {0, 0};
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
	    !limit_memory() && !setrlimit(RLIMIT_CPU, &cpu) && !setrlimit(RLIMIT_CORE, &none))
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

/* Waits for an answer and believes it if it is one. */
static int take(struct inlines *in, struct answer *a)
{
	int64_t end = clock_ms() + (in->answers ? NEXT_MS : FIRST_MS), left;
	const size_t head = offsetof(struct answer, text);
	struct pollfd p = {.fd = in->sock, .events = POLLIN};
	uint32_t lines = 1;
	const char *c;
	ssize_t n = 0;

	while ((left = end - clock_ms()) > 0) {
		if (poll(&p, 1, (int)left) > 0) {
			n = recv(in->sock, a, sizeof(*a), MSG_DONTWAIT);
			break;
		}
	}
	if (n <= (ssize_t)head || strnlen(a->text, (size_t)n - head) != (size_t)n - head - 1)
		return -EIO;
	for (c = a->text; (c = strchr(c, '\n')); c++)
		lines++;
	return a->n <= INLINES_MAX && a->n == (a->text[0] ? lines : 0) ? 0 : -EIO;
}

int inlines_at(struct inlines *in, uint64_t vaddr, char text[INLINES_TEXT])
{
	struct answer a;

	if (!in->child)
		return -EIO;
	if (send(in->sock, &vaddr, sizeof(vaddr), MSG_NOSIGNAL) != sizeof(vaddr) || take(in, &a)) {
		end_child(in);
		return -EIO;
	}
	in->answers = 1;
	memcpy(text, a.text, strlen(a.text) + 1);
	return (int)a.n;
}
