// SPDX-License-Identifier: MIT
#include "bpf/vmdef_file.h"

#include "bpf/elfobj.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MARK "/?.lua" /* of a template of package.path */
#define PATHS_MAX 32u

void vmdef_file_free(struct vmdef_file *f)
{
	if (!f)
		return;
	free(f->text);
	free(f);
}

static int read_all(int fd, char *buf, size_t size, size_t *len)
{
	ssize_t n;

	for (*len = 0; *len < size; *len += (size_t)n) {
		n = read(fd, buf + *len, size - *len);
		if (n < 0)
			return -errno;
		if (!n)
			break;
	}
	return 0;
}

/* Takes fd over. */
static int parse(int fd, const char *path, struct vmdef_file **out)
{
	struct vmdef_file *f = calloc(1, sizeof(*f));
	struct stat st;
	size_t len = 0;
	int err = f ? 0 : -ENOMEM;

	if (!err && (fstat(fd, &st) || !S_ISREG(st.st_mode)))
		err = -EINVAL;
	if (!err && (uint64_t)st.st_size > VMDEF_SIZE_MAX)
		err = -E2BIG;
	if (!err) {
		f->text = malloc(VMDEF_SIZE_MAX);
		err = f->text ? read_all(fd, f->text, VMDEF_SIZE_MAX, &len) : -ENOMEM;
	}
	if (!err)
		err = vmdef_parse(f->text, len, &f->def);
	close(fd);
	if (err) {
		vmdef_file_free(f);
		return err;
	}
	snprintf(f->path, sizeof(f->path), "%s", path);
	*out = f;
	return 0;
}

int vmdef_file_read(const char *path, struct vmdef_file **out, struct why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;

	if (fd < 0)
		return why_set(why, WHY_TARGET, -errno, "cannot open '%s': %s", path,
			       strerror(errno));
	err = parse(fd, path, out);
	if (err == -EINVAL)
		return why_set(why, WHY_UNSUPPORTED, err, "'%s' is no jit/vmdef.lua", path);
	return err ? why_set(why, WHY_TARGET, err, "cannot read '%s': %s", path, strerror(-err))
		   : 0;
}

struct search {
	int root;
	unsigned int tried;
	struct vmdef_file **out;
};

/* Tries one template, "/usr/share/luajit-2.1/?.lua". Links lead nowhere but into the same root. */
static int try_path(struct search *s, const char *template, size_t len)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	char path[512];
	int fd;

	if (len < strlen(MARK) || len > 400 || template[0] != '/' ||
	    memcmp(template + len - strlen(MARK), MARK, strlen(MARK)) != 0 ||
	    s->tried++ >= PATHS_MAX)
		return 0;
	snprintf(path, sizeof(path), "%.*s/jit/vmdef.lua", (int)(len - strlen(MARK)), template);
	fd = (int)syscall(SYS_openat2, s->root, path, &how, sizeof(how));
	return fd >= 0 && !parse(fd, path, s->out);
}

/* Is the string around at[0..] a package.path? Tries its templates. */
static int try_string(struct search *s, const char *p, size_t len, size_t at)
{
	size_t from = at, end = at, part;

	while (from && p[from - 1])
		from--;
	while (end < len && p[end])
		end++;
	if (end == len || end - from > 4096)
		return 0;
	for (; from < end; from += part + 1) {
		for (part = 0; from + part < end && p[from + part] != ';'; part++)
			;
		if (try_path(s, p + from, part))
			return 1;
	}
	return 0;
}

static int scan(void *ctx, uint64_t vaddr, const void *data, size_t len)
{
	struct search *s = ctx;
	const char *p = data, *hit;
	size_t at = 0;

	(void)vaddr;
	while (s->tried < PATHS_MAX && (hit = memmem(p + at, len - at, MARK, strlen(MARK)))) {
		at = (size_t)(hit - p);
		if (try_string(s, p, len, at))
			return 1;
		while (at < len && p[at])
			at++;
	}
	return 0;
}

int vmdef_file_of(int pid, const char *module, struct vmdef_file **out)
{
	struct search s = {.out = out};
	struct elfobj *eo = NULL;
	char path[640];
	int fd, found = 0;

	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	s.root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, module);
	fd = s.root < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && !elfobj_open(fd, module, &eo, NULL))
		found = elfobj_rodata(eo, scan, &s) == 1;
	elfobj_free(eo);
	if (fd >= 0)
		close(fd);
	if (s.root >= 0)
		close(s.root);
	return found ? 0 : -ENOENT;
}
