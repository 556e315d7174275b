// SPDX-License-Identifier: MIT
#include "tui/source.h"

#include "bpf/event.h"
#include "bpf/process.h"
#include "profiler/label.h"
#include "tui/ljx.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SIZE_MAX_SHOWN (8u << 20)
#define TAB 8u
#define LINE_SHOWN 2048u /* bytes of a line */

__attribute__((format(printf, 2, 3))) static int none(struct source *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->status, sizeof(s->status), fmt, ap);
	va_end(ap);
	return -ENOENT;
}

/* ---- opening ---- */

/* Below root, whatever links say. */
static int open_below(int root, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static int same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/*
 * The working directory of pid as its own root names it. What the kernel tells us is the path from
 * our root: it is right if the same directory lies there below the process's root.
 */
static int cwd_below(int pid, int root, char *buf, size_t size)
{
	char link[64], target[PATH_MAX], base[PATH_MAX];
	const char *path = target;
	ssize_t n, len;
	int fd, ok;

	snprintf(link, sizeof(link), "/proc/%d/root", pid);
	len = readlink(link, base, sizeof(base) - 1);
	snprintf(link, sizeof(link), "/proc/%d/cwd", pid);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0 || len < 0)
		return -errno;
	target[n] = '\0';
	if (len > 1 && n >= len && !memcmp(target, base, (size_t)len))
		path = target + len; /* chroot */
	fd = open_below(root, *path ? path : "/", O_PATH | O_DIRECTORY);
	if (fd < 0)
		return fd;
	ok = same_file(fd, link);
	close(fd);
	if (!ok)
		return -ENOENT;
	return (size_t)snprintf(buf, size, "%s", path) < size ? 0 : -ENAMETOOLONG;
}

/* shown: the path for the status. A file descriptor or -errno. */
static int open_live(int pid, const char *path, char *shown, size_t size)
{
	char name[64], cwd[PATH_MAX] = "", full[2 * PATH_MAX];
	int root, fd = 0;

	snprintf(name, sizeof(name), "/proc/%d/root", pid);
	root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	if (*path != '/')
		fd = cwd_below(pid, root, cwd, sizeof(cwd));
	snprintf(full, sizeof(full), "%s%s%s", cwd, *path == '/' ? "" : "/", path);
	snprintf(shown, size, "/proc/%d/root%s", pid, full);
	if (!fd)
		fd = open_below(root, full, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	close(root);
	return fd;
}

/* ---- is it what was loaded? ---- */

static uint64_t ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

/* Wall clock of a process's start, at the end of the clock tick that is known; 0: not known. */
static uint64_t started(int pid)
{
	uint64_t tick = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
	struct timespec real, boot;
	struct proc_info info;

	if (proc_info_read(pid, &info) || clock_gettime(CLOCK_REALTIME, &real) ||
	    clock_gettime(CLOCK_BOOTTIME, &boot))
		return 0;
	return ns(&real) - ns(&boot) + (info.start + 1) * tick;
}

static void when(uint64_t t, char buf[32])
{
	time_t s = (time_t)(t / 1000000000u);
	struct tm tm;

	if (!localtime_r(&s, &tm) || !strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(buf, 32, "?");
}

/* What the times tell; negative: the text is another one. */
static int judge(struct source *s, const char *shown, const struct stat *st, int pid,
		 uint64_t recorded)
{
	uint64_t since = pid ? started(pid) : recorded, changed = ns(&st->st_mtim);
	const char *event = pid ? "process started" : "samples were taken";
	char a[32], b[32];

	if (since && changed > since) {
		when(changed, a);
		when(since, b);
		return none(s,
			    "no source: '%s' was modified at %s, after the %s at %s: what runs may "
			    "be another text",
			    printable(shown), a, event, b);
	}
	snprintf(s->status, sizeof(s->status), "source: %s (%s%s%s)", printable(shown),
		 pid ? "" : "source from this machine, ", since ? "not modified since the " : "",
		 since ? event : "when it was modified is not known");
	return 0;
}

/* ---- text ---- */

/* One line for a terminal, allocated. */
static char *shown_line(const char *p, size_t len)
{
	char raw[LINE_SHOWN + 8], clean[LINE_SHOWN + 8];
	size_t i, at = 0;

	if (len && p[len - 1] == '\r')
		len--;
	for (i = 0; i < len && at < LINE_SHOWN; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c == '\t') {
			do
				raw[at++] = ' ';
			while (at % TAB && at < LINE_SHOWN);
		} else if (c < ' ' || c == 0x7f) {
			raw[at++] = '^';
			raw[at++] = (char)(c ^ 0x40);
		} else {
			raw[at++] = (char)c;
		}
	}
	raw[at] = '\0';
	label_clean(clean, sizeof(clean), raw, 0);
	return strdup(clean);
}

static int split(struct source *s, const char *text, size_t len)
{
	const char *p = text, *end = text + len, *nl;
	size_t n = 0;

	for (nl = p; nl < end && (nl = memchr(nl, '\n', (size_t)(end - nl))); nl++)
		n++;
	s->line = calloc(n + 1, sizeof(*s->line));
	if (!s->line)
		return -ENOMEM;
	for (; p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (!nl)
			nl = end;
		s->line[s->n] = shown_line(p, (size_t)(nl - p));
		if (!s->line[s->n])
			return -ENOMEM;
		s->n++;
		if (nl == end)
			break;
	}
	return 0;
}

static int read_text(struct source *s, int fd, size_t size)
{
	char *text = malloc(size + 1);
	size_t got = 0;
	ssize_t n = 1;
	int err;

	while (text && got < size && (n = read(fd, text + got, size - got)) > 0)
		got += (size_t)n;
	err = !text ? -ENOMEM : n < 0 ? -errno : split(s, text, got);
	free(text);
	if (err)
		source_release(s);
	return err;
}

static void read_file(struct source *s, int pid, uint64_t recorded, const char *path)
{
	char shown[2 * PATH_MAX + 64];
	struct stat st;
	int fd, err;

	snprintf(shown, sizeof(shown), "%s", path);
	fd = pid ? open_live(pid, path, shown, sizeof(shown)) : -ESRCH;
	if (pid && fd < 0) { /* gone? then its files may still be here */
		char proc[64];

		snprintf(proc, sizeof(proc), "/proc/%d/root/", pid);
		if (access(proc, F_OK)) {
			pid = 0;
			fd = -ESRCH;
		}
	}
	if (!pid) {
		snprintf(shown, sizeof(shown), "%s", path);
		fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	}
	if (fd < 0) {
		none(s, "no source: cannot open '%s': %s", printable(shown), strerror(-fd));
		return;
	}
	err = fstat(fd, &st) ? -errno : 0;
	if (err || !S_ISREG(st.st_mode))
		none(s, "no source: '%s' is no regular file", printable(shown));
	else if ((uint64_t)st.st_size > SIZE_MAX_SHOWN)
		none(s, "no source: '%s' is too big: %llu bytes", printable(shown),
		     (unsigned long long)st.st_size);
	else if (!judge(s, shown, &st, pid, recorded) &&
		 (err = read_text(s, fd, (size_t)st.st_size)))
		none(s, "no source: cannot read '%s': %s", printable(shown), strerror(-err));
	close(fd);
}

void source_read(struct source *out, int pid, uint64_t recorded, const char *chunk, uint32_t flags)
{
	memset(out, 0, sizeof(*out));
	if (flags & EV_FUNC_BUILTIN)
		none(out, "no source: a function of LuaJIT's own library");
	else if (*chunk == '=')
		none(out, "no source: the chunk is called '%s', which is not a file's name",
		     printable(chunk + 1));
	else if (*chunk != '@')
		none(out, "no source: the chunk was loaded from a string");
	else if (flags & EV_FUNC_CUT)
		none(out, "no source: the file's name is too long");
	else
		read_file(out, pid, recorded, chunk + 1);
}

void source_release(struct source *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		free(s->line[i]);
	free(s->line);
	s->line = NULL;
	s->n = 0;
}
