// SPDX-License-Identifier: MIT
#include "bpf/container.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MOUNT "/sys/fs/cgroup"

/* "12:memory,cpu:/a/b" or "0::/a/b". */
static const char *path_of(const char *line, const char **controllers)
{
	const char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;

	*controllers = first ? first + 1 : line;
	return second && second[1] == '/' ? second + 1 : NULL;
}

/* Is path below dir, which has len bytes, or dir itself? */
static int is_below(const char *path, const char *dir, size_t len)
{
	while (len && dir[len - 1] == '/')
		len--;
	return !strncmp(path, dir, len) && (!path[len] || path[len] == '/');
}

int container_line_in_cgroup(const char *line, const char *path)
{
	const char *controllers, *own = path_of(line, &controllers), *slash;

	if (!own)
		return 0;
	if (strncmp(path, MOUNT "/", sizeof(MOUNT)) != 0)
		return is_below(own, path, strlen(path));
	path += sizeof(MOUNT) - 1;
	if (is_below(own, path, strlen(path)))
		return 1;
	/* Of version 1, a folder for each set of controllers; beside them one of version 2. */
	slash = strchr(path + 1, '/');
	if (!slash)
		return 0;
	if (*controllers == ':')
		return !strncmp(path, "/unified/", 9) && is_below(own, slash, strlen(slash));
	return !strncmp(controllers, path + 1, (size_t)(slash - path - 1)) &&
	       is_below(own, slash, strlen(slash));
}

int container_line_is(const char *line, const char *id)
{
	const char *controllers, *own = path_of(line, &controllers), *at;
	size_t len = strlen(id);

	if (!own || !len)
		return 0;
	for (at = strstr(own, id); at; at = strstr(at + 1, id)) {
		/* A whole word, or the beginning of one: an id is cut at its end only. */
		if (!isalnum((unsigned char)at[-1]))
			return 1;
	}
	return 0;
}

static int any_line(int pid, int (*match)(const char *, const char *), const char *what)
{
	char path[64], line[4096];
	int found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		found = match(line, what);
	}
	if (f)
		fclose(f);
	return found;
}

int container_in_cgroup(int pid, const char *path)
{
	return any_line(pid, container_line_in_cgroup, path);
}

int container_is(int pid, const char *id)
{
	return any_line(pid, container_line_is, id);
}
