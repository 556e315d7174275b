// SPDX-License-Identifier: MIT
#include "bpf/fetch.h"

#include <dlfcn.h>
#include <elfutils/debuginfod.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds in which a server must begin to deliver, unless the user says another number. */
#define TIMEOUT "15"

struct fetch {
	pid_t child;
	int sock; /* a message for each question, "ID", and for each answer, "ID PATH" or "ID" */
};

int fetch_configured(void)
{
	const char *urls = getenv(DEBUGINFOD_URLS_ENV_VAR);

	return urls && *urls;
}

/*
 * Loaded by who asks only: it needs curl and thirty more libraries, and to load them takes every
 * start of ljx longer than to load all others.
 */
#define LIBRARY "libdebuginfod.so.1"

static debuginfod_client *client_new(__typeof__(debuginfod_find_debuginfo) **find)
{
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	__typeof__(debuginfod_begin) *begin = NULL;

	if (!lib)
		return NULL;
	begin = (__typeof__(begin))dlsym(lib, "debuginfod_begin");
	*find = (__typeof__(*find))dlsym(lib, "debuginfod_find_debuginfo");
	return begin && *find ? begin() : NULL;
}

/* Answers until nobody asks any more. */
static void serve(int sock)
{
	char id[FETCH_ID], answer[FETCH_ID + PATH_MAX + 1], *path;
	__typeof__(debuginfod_find_debuginfo) *find = NULL;
	debuginfod_client *client = client_new(&find);
	ssize_t n;
	int fd;

	while (client && (n = recv(sock, id, sizeof(id) - 1, 0)) > 0) {
		id[n] = '\0';
		path = NULL;
		fd = find(client, (const unsigned char *)id, 0, &path);
		n = fd < 0 ? snprintf(answer, sizeof(answer), "%s", id)
			   : snprintf(answer, sizeof(answer), "%s %s", id, path);
		if (fd >= 0)
			close(fd);
		free(path);
		if (n >= (ssize_t)sizeof(answer) || send(sock, answer, (size_t)n, MSG_NOSIGNAL) < 0)
			break;
	}
}

/* The child has nothing of ours but the socket, above all no probe, and writes nowhere. */
static _Noreturn void run_child(int sock)
{
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	if (null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2 &&
	    dup2(sock, 3) == 3 && !close_range(4, ~0u, 0)) {
		setenv(DEBUGINFOD_TIMEOUT_ENV_VAR, TIMEOUT, 0);
		serve(3);
	}
	_exit(0);
}

int fetch_new(struct fetch **out)
{
	struct fetch *f = calloc(1, sizeof(*f));
	int sock[2], err;

	if (!f)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock)) {
		err = -errno;
		free(f);
		return err;
	}
	f->child = fork();
	if (!f->child)
		run_child(sock[1]);
	close(sock[1]);
	f->sock = sock[0];
	if (f->child < 0) {
		err = -errno;
		close(f->sock);
		free(f);
		return err;
	}
	*out = f;
	return 0;
}

void fetch_free(struct fetch *f)
{
	if (!f)
		return;
	kill(f->child, SIGKILL);
	while (waitpid(f->child, NULL, 0) < 0 && errno == EINTR)
		;
	close(f->sock);
	free(f);
}

int fetch_ask(struct fetch *f, const char *build_id)
{
	size_t len = strlen(build_id);

	if (!len || len >= FETCH_ID)
		return -EINVAL;
	return send(f->sock, build_id, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int fetch_take(struct fetch *f, int ms, char build_id[FETCH_ID], int *fd)
{
	char answer[FETCH_ID + PATH_MAX + 1], *path;
	struct pollfd p = {.fd = f->sock, .events = POLLIN};
	ssize_t n = poll(&p, 1, ms);

	if (n <= 0)
		return n ? -errno : 0;
	n = recv(f->sock, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	if (n <= 0)
		return n ? -errno : -EPIPE;
	answer[n] = '\0';
	path = strchr(answer, ' ');
	if (path)
		*path++ = '\0';
	snprintf(build_id, FETCH_ID, "%.*s", FETCH_ID - 1, answer);
	*fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	return 1;
}
