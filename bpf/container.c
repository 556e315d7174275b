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

/* What the ids of containers have at least. */
#define HEX_ID 32u

static int is_hex_id(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len && isxdigit((unsigned char)s[i]); i++)
		;
	return i == len && len >= HEX_ID;
}

/* Folders in which container runtimes put all of theirs, or a part of each one's. */
static int holds_many(const char *id)
{
	static const char *const name[] = {"docker",	 "lxc",		  "kubepods", "burstable",
					   "besteffort", "machine",	  "system",   "user",
					   "container",	 "libpod_parent", "payload",  "init"};
	size_t i;

	for (i = 0; i < sizeof(name) / sizeof(name[0]); i++)
		if (!strcmp(id, name[i]))
			return 1;
	return 0;
}

/* Without what systemd puts behind it. */
static size_t without_unit(const char *s, size_t len)
{
	static const char *const unit[] = {".scope", ".slice", ".service"};
	size_t i, n;

	for (i = 0; i < sizeof(unit) / sizeof(unit[0]); i++) {
		n = strlen(unit[i]);
		if (len > n && !memcmp(s + len - n, unit[i], n))
			return len - n;
	}
	return len;
}

/* One name of a path: runtimes put theirs before the id. */
static enum container_match find_in_name(const char *name, size_t len, const char *id,
					 char full[CONTAINER_ID])
{
	size_t wanted = strlen(id), at, n;

	len = without_unit(name, len);
	for (at = 0; at < len; at++) {
		if (at && !strchr("-.:", name[at - 1]))
			continue;
		n = len - at;
		if (n < wanted || n >= CONTAINER_ID || memcmp(name + at, id, wanted) != 0 ||
		    (n > wanted && !is_hex_id(name + at, n)))
			continue;
		memcpy(full, name + at, n);
		full[n] = '\0';
		return n == wanted ? CONTAINER_IS : CONTAINER_BEGINS;
	}
	return CONTAINER_NO;
}

/* Like best, or better: then full is its id. */
static enum container_match find_better(const char *line, const char *id, enum container_match best,
					char full[CONTAINER_ID])
{
	const char *controllers, *name = path_of(line, &controllers);
	enum container_match match;
	char found[CONTAINER_ID];
	size_t len;

	if (!name || !*id || holds_many(id))
		return best;
	for (; *name && best != CONTAINER_IS; name += len) {
		name += *name == '/';
		len = strcspn(name, "/");
		match = find_in_name(name, len, id, found);
		if (match <= best)
			continue;
		best = match;
		memcpy(full, found, sizeof(found));
	}
	return best;
}

enum container_match container_line_find(const char *line, const char *id, char full[CONTAINER_ID])
{
	return find_better(line, id, CONTAINER_NO, full);
}

/* Calls take with each line of a process' control groups until it returns non-zero: returns that.
 */
static int each_line(int pid, int (*take)(const char *line, void *arg), void *arg)
{
	char path[64], line[4096];
	int done = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = fopen(path, "re");
	while (f && !done && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		done = take(line, arg);
	}
	if (f)
		fclose(f);
	return done;
}

struct wanted_id {
	const char *id;
	char *full;
	enum container_match best;
};

static int find_in_line(const char *line, void *arg)
{
	struct wanted_id *w = arg;

	w->best = find_better(line, w->id, w->best, w->full);
	return w->best == CONTAINER_IS;
}

static int is_in_line(const char *line, void *arg)
{
	return container_line_in_cgroup(line, *(const char **)arg);
}

int container_in_cgroup(int pid, const char *path)
{
	return each_line(pid, is_in_line, &path);
}

enum container_match container_find(int pid, const char *id, char full[CONTAINER_ID])
{
	struct wanted_id w = {.id = id, .full = full, .best = CONTAINER_NO};

	each_line(pid, find_in_line, &w);
	return w.best;
}
