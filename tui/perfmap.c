// SPDX-License-Identifier: MIT
#include "tui/perfmap.h"

#include "tui/ljx.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A process's map. */
struct map_file {
	uint32_t pid;
	int dir; /* its /tmp */
	char name[64];
	ino_t inode;  /* of what we wrote; 0: nothing yet */
	uint64_t sum; /* of what is in it */
};

struct perfmap {
	struct map_file *file;
	size_t n;
	void (*say)(void *ctx, const char *text);
	void *ctx;
};

struct perfmap *perfmap_new(void (*say)(void *ctx, const char *text), void *ctx)
{
	struct perfmap *m = calloc(1, sizeof(*m));

	if (m) {
		m->say = say;
		m->ctx = ctx;
	}
	return m;
}

__attribute__((format(printf, 2, 3))) static void tell(const struct perfmap *m, const char *fmt,
						       ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	m->say(m->ctx, text);
}

/* A path seen from another process's root, which no link of it can lead out of. */
static int open_inside(int root, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* The pid as the process itself sees it. */
static uint32_t inner_pid(uint32_t pid)
{
	char path[64], line[256], *last;
	unsigned long n = pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "NSpid:", 6)) {
			last = strrchr(line, '\t');
			n = last ? strtoul(last + 1, NULL, 10) : n;
		}
	if (f)
		fclose(f);
	return (uint32_t)n;
}

/* The process's map, begun if it is new; NULL: out of memory. */
static struct map_file *find_map(struct perfmap *m, uint32_t pid)
{
	struct map_file *file;
	char path[64];
	int root;

	for (size_t i = 0; i < m->n; i++)
		if (m->file[i].pid == pid)
			return &m->file[i];
	file = realloc(m->file, (m->n + 1) * sizeof(*file));
	if (!file)
		return NULL;
	m->file = file;
	file = &m->file[m->n++];
	*file = (struct map_file){.pid = pid, .dir = -1};
	snprintf(file->name, sizeof(file->name), "perf-%" PRIu32 ".map", inner_pid(pid));
	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/root", pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0) {
		file->dir = open_inside(root, "tmp");
		close(root);
	}
	if (file->dir < 0)
		tell(m, "no map for process %" PRIu32 ": cannot open its /tmp: %s", pid,
		     strerror(errno));
	return file;
}

static void put_trace(FILE *f, const struct jt_trace *t)
{
	fprintf(f, "%" PRIx64 " %" PRIx32 " trace#%" PRIu32 ":%s\n", t->mcode, t->szmcode, t->trace,
		short_place(&t->start, 0));
}

/* What the lines of a process depend on. */
static uint64_t sum_up(const struct jt_trace *t, size_t n, uint32_t pid)
{
	uint64_t sum = 1;

	for (size_t i = 0; i < n; i++)
		if (t[i].pid == pid)
			sum = (sum ^ t[i].mcode ^ t[i].szmcode ^ (uint64_t)t[i].trace << 48) *
			      UINT64_C(0x100000001b3);
	return sum;
}

/* Writes the map beside itself, then puts it in place: a reader sees a whole one. */
static int write_map(const struct perfmap *m, struct map_file *file, const struct jt_trace *t,
		     size_t n)
{
	char temp[96];
	struct stat st;
	int fd, err;
	FILE *f;

	snprintf(temp, sizeof(temp), ".%s.%d", file->name, (int)getpid());
	if (!file->inode && !fstatat(file->dir, file->name, &st, AT_SYMLINK_NOFOLLOW))
		tell(m, "/tmp/%s of process %" PRIu32 " was there: it is replaced", file->name,
		     file->pid);
	fd = openat(file->dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f)
		return -errno;
	for (size_t i = 0; i < n; i++)
		if (t[i].pid == file->pid && t[i].mcode && t[i].szmcode)
			put_trace(f, &t[i]);
	err = fflush(f) || fstat(fd, &st) ? -errno : 0;
	if (fclose(f) && !err)
		err = -errno;
	if (!err && renameat(file->dir, temp, file->dir, file->name))
		err = -errno;
	if (err)
		unlinkat(file->dir, temp, 0);
	else
		file->inode = st.st_ino;
	return err;
}

int perfmap_update(struct perfmap *m, const struct jt_trace *t, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		struct map_file *file;
		uint64_t sum;

		if (i && t[i].pid == t[i - 1].pid)
			continue;
		file = find_map(m, t[i].pid);
		if (!file)
			return -ENOMEM;
		sum = sum_up(t, n, t[i].pid);
		if (file->dir < 0 || file->sum == sum)
			continue;
		file->sum = sum;
		err = write_map(m, file, t, n);
		if (!err)
			tell(m, "wrote /tmp/%s of process %" PRIu32, file->name, file->pid);
	}
	return err;
}

void perfmap_free(struct perfmap *m, int keep)
{
	for (size_t i = 0; m && i < m->n; i++) {
		struct map_file *file = &m->file[i];
		struct stat st;

		if (file->inode && !keep &&
		    !fstatat(file->dir, file->name, &st, AT_SYMLINK_NOFOLLOW) &&
		    st.st_ino == file->inode)
			unlinkat(file->dir, file->name, 0);
		if (file->dir >= 0)
			close(file->dir);
	}
	if (m)
		free(m->file);
	free(m);
}

/* ---- the verb ---- */

struct run {
	struct jit_tap tap; /* first: the tap's callbacks find us by it */
	struct perfmap *maps;
	int err;
};

static void say(void *ctx, const char *text)
{
	const struct options *o = ctx;

	if (!o->quiet || strncmp(text, "wrote ", 6) != 0)
		fprintf(stderr, "ljx: %s\n", text);
}

static void refresh(struct jit_tap *tap)
{
	struct run *r = (struct run *)tap;
	size_t n;
	const struct jt_trace *t = jt_traces(tap->jt, &n);

	if (t && !r->err)
		r->err = perfmap_update(r->maps, t, n);
	tap->done |= r->err != 0;
}

/* Of a recording: to standard output. */
static int print_map(const struct options *o, struct jt *jt)
{
	uint32_t pid = o->npids ? (uint32_t)o->pid[0] : 0;
	struct why why = {.code = 0};
	size_t n;
	const struct jt_trace *t = jt_traces(jt, &n);

	for (size_t i = 0; t && i < n; i++) {
		if (!pid)
			pid = t[i].pid;
		if (t[i].pid == pid || o->npids)
			continue;
		why_set(&why, WHY_USAGE, -EINVAL, "'%s' has traces of several processes",
			printable(o->arg[0]));
		why_hint(&why, "Say --pid PID.");
		return complain(o, &why);
	}
	for (size_t i = 0; t && i < n; i++)
		if (t[i].pid == pid && t[i].mcode && t[i].szmcode)
			put_trace(stdout, &t[i]);
	return 0;
}

int verb_perfmap(const struct options *o)
{
	const char *file = o->nargs ? o->arg[0] : NULL;
	struct run r = {.err = 0};
	struct why why = {.code = 0};
	int code;

	if (o->nargs > 1 || (file && !is_recording(file))) {
		why_set(&why, WHY_USAGE, -EINVAL, "perfmap takes a recording or a target");
		return complain(o, &why);
	}
	code = jit_tap_init(&r.tap, o, file);
	if (code)
		return code;
	r.maps = perfmap_new(say, (void *)(uintptr_t)o);
	r.err = r.maps ? 0 : -ENOMEM;
	r.tap.tick = refresh;
	r.tap.writes = 1;
	code = r.err ? 0 : jit_run(&r.tap);
	if (!code && file)
		code = print_map(o, r.tap.jt);
	if (r.err && !code) {
		why_set(&why, WHY_INTERNAL, r.err, "cannot write the map: %s", strerror(-r.err));
		code = complain(o, &why);
	}
	perfmap_free(r.maps, o->keep);
	jit_tap_release(&r.tap);
	return code;
}
