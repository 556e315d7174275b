// SPDX-License-Identifier: MIT
#include "bpf/fetch.h"
#include "bpf/helper.h"

#include <dlfcn.h>
#include <elfutils/debuginfod.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Seconds in which a server must begin to deliver, unless the user says another number. */
#define TIMEOUT "15"

struct fetch {
	struct helper helper; /* asked for "ID", it answers with "ID PATH" or "ID" */
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
static void serve(const void *ctx, int sock)
{
	char id[FETCH_ID], answer[FETCH_ID + PATH_MAX + 1], *path;
	__typeof__(debuginfod_find_debuginfo) *find = NULL;
	debuginfod_client *client;
	ssize_t n;
	int fd;

	(void)ctx;
	setenv(DEBUGINFOD_TIMEOUT_ENV_VAR, TIMEOUT, 0);
	client = client_new(&find);
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

int fetch_new(struct fetch **out)
{
	static const struct helper_opts opts = {0};
	struct fetch *f = calloc(1, sizeof(*f));
	int err = f ? helper_start(serve, NULL, &opts, &f->helper) : -ENOMEM;

	if (err) {
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
	helper_end(&f->helper);
	free(f);
}

int fetch_ask(struct fetch *f, const char *build_id)
{
	size_t len = strlen(build_id);

	return len && len < FETCH_ID ? helper_ask(&f->helper, build_id, len) : -EINVAL;
}

int fetch_take(struct fetch *f, int ms, char build_id[FETCH_ID], int *fd)
{
	char answer[FETCH_ID + PATH_MAX + 1], *path;
	ssize_t n = helper_take(&f->helper, answer, sizeof(answer) - 1, ms);

	if (n <= 0)
		return (int)n;
	answer[n] = '\0';
	path = strchr(answer, ' ');
	if (path)
		*path++ = '\0';
	snprintf(build_id, FETCH_ID, "%.*s", FETCH_ID - 1, answer);
	*fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	return 1;
}
