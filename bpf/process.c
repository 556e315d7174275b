// SPDX-License-Identifier: MIT
#include "bpf/process.h"

#include "bpf/clock.h"
#include "bpf/fetch.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* Mappings of one process that are looked at; more is a runaway, not a program. */
#define MAPS_MAX 262144
/* Files that are remembered, and ns of CPU time that those of one process may take. */
#define MODULES_MAX 8192u
#define FILES_NS 3000000000ull

struct modules {
	struct module *list;
	struct fetch *fetch; /* started when it is needed */
	modules_say_fn *say; /* NULL: not to be asked, or not any more */
	void *say_ctx;
	int arrived;		  /* a module got symbols since the last modules_poll */
	struct layout_row *given; /* for all modules, or NULL */
	size_t n;
	uint64_t until; /* ns of our CPU time: no more files of this process */
};

/* Filled at its first use, although its module is const. */
struct module_lazy {
	int have;
	const struct layout_row *given;
	struct guesses guesses;
};

int module_guesses(const struct module *m, const struct guesses **out)
{
	struct module_lazy *lz = m->lazy;
	int err = 0;

	if (!lz->have && lz->given)
		err = guess_given(m->elf, lz->given, &lz->guesses);
	else if (!lz->have)
		err = guess_layouts(m->elf, &lz->guesses);
	if (err == -ENOMEM)
		return err;
	lz->have = 1;
	*out = &lz->guesses;
	return 0;
}

static long read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;
	int err;

	if (fd < 0)
		return -errno;
	while (n < size - 1 && (got = read(fd, buf + n, size - 1 - n)) != 0) {
		if (got < 0) {
			err = -errno;
			close(fd);
			return err;
		}
		n += (size_t)got;
	}
	close(fd);
	buf[n] = '\0';
	return (long)n;
}

void proc_printable(char *dst, size_t size, const char *src)
{
	size_t i;

	for (i = 0; i + 1 < size && src[i]; i++)
		dst[i] = (unsigned char)src[i] < ' ' || src[i] == 0x7f ? '?' : src[i];
	dst[i] = '\0';
}

/* comm may hold blanks and parentheses: it ends at the last one. */
static int parse_stat(const char *buf, struct proc_info *out)
{
	const char *open = strchr(buf, '('), *close = strrchr(buf, ')');
	char comm[64] = "";
	unsigned long long start;

	if (!open || !close || close < open)
		return -EINVAL;
	snprintf(comm, sizeof(comm), "%.*s", (int)(close - open - 1), open + 1);
	proc_printable(out->comm, sizeof(out->comm), comm);
	if (sscanf(
		close + 1,
		" %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		&out->state, &out->ppid, &start) != 3)
		return -EINVAL;
	out->start = start;
	return 0;
}

/* The innermost pid of the NSpid line. */
static int read_nspid(int pid)
{
	char path[64], buf[8192];
	const char *p, *end;
	int nspid = pid;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (read_file(path, buf, sizeof(buf)) < 0)
		return pid;
	p = strstr(buf, "\nNSpid:");
	if (!p)
		return pid;
	p += 7;
	end = p + strcspn(p, "\n");
	while (p < end) {
		nspid = atoi(p);
		p += strspn(p, " \t");
		p += strcspn(p, " \t\n");
	}
	return nspid;
}

int proc_hidden(int pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	return access(path, F_OK) && (!kill(pid, 0) || errno == EPERM);
}

int proc_info_read(int pid, struct proc_info *out)
{
	char path[64], buf[1024];
	long n, i;
	int err;

	memset(out, 0, sizeof(*out));
	out->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	n = read_file(path, buf, sizeof(buf));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	err = parse_stat(buf, out);
	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, buf, sizeof(buf) - 1);
	if (n > 0) {
		buf[n] = '\0';
		proc_printable(out->exe, sizeof(out->exe), buf);
	}
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	n = read_file(path, buf, sizeof(buf));
	for (i = 0; i + 1 < n; i++)
		if (!buf[i])
			buf[i] = ' ';
	proc_printable(out->cmdline, sizeof(out->cmdline), n > 0 ? buf : "");
	out->nspid = read_nspid(pid);
	return 0;
}

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static int *numbers_in(const char *path, size_t *n)
{
	size_t cap = 256;
	int *v = malloc(cap * sizeof(*v)), *bigger;
	DIR *d = opendir(path);
	struct dirent *e;

	*n = 0;
	while (v && d && (e = readdir(d))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		if (*n == cap) {
			cap *= 2;
			bigger = realloc(v, cap * sizeof(*v));
			if (!bigger)
				free(v);
			v = bigger;
			if (!v)
				break;
		}
		v[(*n)++] = atoi(e->d_name);
	}
	if (!d) {
		free(v);
		return NULL;
	}
	closedir(d);
	if (v)
		qsort(v, *n, sizeof(*v), by_number);
	else
		errno = ENOMEM;
	return v;
}

int *proc_list(size_t *n)
{
	return numbers_in("/proc", n);
}

int *proc_threads(int pid, size_t *n)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	return numbers_in(path, n);
}

char proc_thread_state(int pid, int tid)
{
	struct proc_info info;
	char path[64], buf[1024];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	return read_file(path, buf, sizeof(buf)) < 0 || parse_stat(buf, &info) ? 0 : info.state;
}

/* Appends the numbers in a file. 0, or -errno. */
static int append_numbers(const char *path, int **v, size_t *n)
{
	FILE *f = fopen(path, "re");
	int one, *bigger;

	if (!f)
		return -errno;
	while (fscanf(f, "%d", &one) == 1) {
		bigger = realloc(*v, (*n + 1) * sizeof(**v));
		if (!bigger)
			break;
		*v = bigger;
		(*v)[(*n)++] = one;
	}
	fclose(f);
	return 0;
}

int *proc_children(int pid, size_t *n)
{
	size_t threads, i;
	int *tid = proc_threads(pid, &threads), *v = NULL;
	char path[64];

	*n = 0;
	for (i = 0; tid && i < threads; i++) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid[i]);
		append_numbers(path, &v, n);
	}
	free(tid);
	return v;
}

struct modules *modules_new(const struct layout_row *given)
{
	struct modules *ms = calloc(1, sizeof(*ms));

	if (ms && given) {
		ms->given = malloc(sizeof(*given));
		if (!ms->given) {
			free(ms);
			return NULL;
		}
		*ms->given = *given;
	}
	return ms;
}

static void module_free(struct module *m)
{
	elfobj_free(m->elf);
	free(m->lazy);
	free(m);
}

void modules_free(struct modules *ms)
{
	struct module *m, *next;

	if (!ms)
		return;
	fetch_free(ms->fetch);
	for (m = ms->list; m; m = next) {
		next = m->next;
		module_free(m);
	}
	free(ms->given);
	free(ms);
}

void modules_fetch(struct modules *ms, modules_say_fn *say, void *ctx)
{
	ms->say = fetch_configured() ? say : NULL;
	ms->say_ctx = ctx;
}

/* There will be no more answers. */
static void stop_fetch(struct modules *ms, const char *text)
{
	fetch_free(ms->fetch);
	ms->fetch = NULL;
	ms->say(ms->say_ctx, text);
	ms->say = NULL;
}

static void take_answer(struct modules *ms, const char *build_id, int fd)
{
	struct module *m;

	for (m = ms->list; m; m = m->next) {
		if (m->fetch != MODULE_ASKED || strcmp(elfobj_build_id(m->elf), build_id) != 0)
			continue;
		m->fetch = MODULE_ANSWERED;
		if (fd >= 0 && elfobj_add_fetched(m->elf, fd))
			ms->arrived = 1;
	}
}

/* Waits up to ms for one answer. 1: one came. */
static int await_answer(struct modules *ms, int wait_ms)
{
	char id[FETCH_ID];
	int fd, ret = fetch_take(ms->fetch, wait_ms, id, &fd);

	if (ret == 1) {
		take_answer(ms, id, fd);
		if (fd >= 0)
			close(fd);
	} else if (ret < 0 && ret != -EINTR) {
		stop_fetch(ms, "debuginfod cannot be asked any more");
	}
	return ret;
}

static void ask(struct modules *ms, struct module *m)
{
	int err = 0;

	if (!ms->fetch) {
		err = fetch_new(&ms->fetch);
		if (!err)
			ms->say(ms->say_ctx, "asking debuginfod for symbols that are missing here");
	}
	if (!err)
		err = fetch_ask(ms->fetch, elfobj_build_id(m->elf));
	if (!err)
		m->fetch = MODULE_ASKED;
	else if (err != -EAGAIN)
		stop_fetch(ms, "debuginfod cannot be asked");
}

void modules_ask(struct modules *ms, const struct module *mod, int wait_ms)
{
	int64_t end = clock_ms() + wait_ms, left;
	struct module *m = ms->list;

	while (m && m != mod)
		m = m->next;
	if (!ms->say || !m || !m->elf || !*elfobj_build_id(m->elf) || elfobj_source(m->elf))
		return;
	if (m->fetch == MODULE_NOT_ASKED)
		ask(ms, m);
	while (ms->say && m->fetch == MODULE_ASKED && (left = end - clock_ms()) > 0)
		if (await_answer(ms, (int)left) < 0)
			break;
}

int modules_poll(struct modules *ms)
{
	int arrived;

	while (ms->fetch && await_answer(ms, 0) == 1)
		;
	arrived = ms->arrived;
	ms->arrived = 0;
	return arrived;
}

/* Opens the file behind a mapping. The fd, or -errno. */
static int open_mapped(int pid, const struct proc_map *m, const char *path)
{
	char link[640];
	struct stat st;
	int fd;

	snprintf(link, sizeof(link), "/proc/%d/map_files/%llx-%llx", pid,
		 (unsigned long long)m->start, (unsigned long long)m->end);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		snprintf(link, sizeof(link), "/proc/%d/root%s", pid, path);
		fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (fd < 0)
		return -errno;
	/* The device differs between overlayfs's view and the mapping's: the inode counts. */
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_ino != m->inode) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

/*
 * A file's contents. 0: the interpreter is in it, or it is none of ours. -ENOMEM; -EPERM: we may
 * not read memory at all, not even our own.
 */
static int look_into(const struct modules *ms, struct module *mod, int fd)
{
	int err = elfobj_open(fd, mod->path, &mod->elf, NULL);

	if (!err)
		err = elfobj_luajit(mod->elf, &mod->vm);
	if (err)
		return err == -ENOMEM || err == -EPERM ? err : 0;
	mod->lazy = calloc(1, sizeof(*mod->lazy));
	if (!mod->lazy)
		return -ENOMEM;
	mod->lazy->given = ms->given;
	mod->has_vm = 1;
	return 0;
}

static int module_load(const struct modules *ms, int fd, int pid, const struct proc_map *m,
		       const char *path, uint64_t mtime, struct module **out)
{
	struct module *mod = calloc(1, sizeof(*mod));
	size_t len = strlen(path);
	const char *slash;
	char root[32];
	int err;

	if (!mod)
		return -ENOMEM;
	if (len > 10 && !strcmp(path + len - 10, " (deleted)"))
		len -= 10;
	snprintf(mod->path, sizeof(mod->path), "%.*s", (int)len, path);
	slash = strrchr(mod->path, '/');
	mod->base = slash ? slash + 1 : mod->path;
	mod->dev = m->dev;
	mod->inode = m->inode;
	mod->mtime = mtime;
	err = look_into(ms, mod, fd);
	if (err) {
		module_free(mod);
		return err;
	}
	snprintf(root, sizeof(root), "/proc/%d/root", pid);
	if (mod->elf && !elfobj_add_debug(mod->elf, root))
		elfobj_add_debug(mod->elf, "");
	*out = mod;
	return 0;
}

/* The module behind an executable file mapping, if the file can be had. Errors: see look_into. */
static int module_of(struct modules *ms, int pid, struct proc_map *m, const char *path,
		     struct proc_maps *maps)
{
	struct module *mod;
	uint64_t mtime;
	struct stat st;
	int fd, err = 0;

	if (clock_cpu() >= ms->until) {
		maps->skipped++;
		return 0;
	}
	fd = open_mapped(pid, m, path);
	if (fd < 0) {
		maps->denied += fd == -EACCES || fd == -EPERM;
		return 0;
	}
	mtime = fstat(fd, &st)
		    ? 0
		    : (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
	for (mod = ms->list; mod; mod = mod->next)
		if (mod->inode == m->inode && mod->dev == m->dev && mod->mtime == mtime)
			break;
	if (!mod && ms->n >= MODULES_MAX) {
		maps->skipped++;
	} else if (!mod) {
		err = module_load(ms, fd, pid, m, path, mtime, &mod);
		if (!err) {
			mod->next = ms->list;
			ms->list = mod;
			ms->n++;
		}
	}
	close(fd);
	m->module = mod;
	return err;
}

static int parse_map(const char *line, struct proc_map *m, const char **path)
{
	unsigned long long start, end, offset, inode;
	unsigned int major, minor;
	char prot[8];
	int at = 0;

	if (sscanf(line, "%llx-%llx %7s %llx %x:%x %llu %n", &start, &end, prot, &offset, &major,
		   &minor, &inode, &at) < 7)
		return -EINVAL;
	memset(m, 0, sizeof(*m));
	m->start = start;
	m->end = end;
	m->offset = offset;
	m->dev = makedev(major, minor);
	m->inode = inode;
	m->prot = (prot[0] == 'r' ? PROC_R : 0u) | (prot[1] == 'w' ? PROC_W : 0u) |
		  (prot[2] == 'x' ? PROC_X : 0u);
	*path = at ? line + at : "";
	return 0;
}

static int add_map(struct proc_maps *maps, const struct proc_map *m)
{
	struct proc_map *bigger;

	if ((maps->n & (maps->n - 1)) == 0) { /* a power of two: full */
		bigger = realloc(maps->map, (maps->n ? 2 * maps->n : 1) * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		maps->map = bigger;
	}
	maps->map[maps->n++] = *m;
	return 0;
}

static void add_vm_module(struct proc_maps *maps, const struct module *mod)
{
	size_t i;

	for (i = 0; i < maps->nvm && maps->vm[i] != mod; i++)
		;
	if (i == PROC_VM_MODULES)
		maps->skipped++;
	else if (i == maps->nvm)
		maps->vm[maps->nvm++] = mod;
}

static int fill_map(struct modules *ms, int pid, struct proc_map *m, const char *path,
		    struct proc_maps *maps)
{
	const char *slash;
	uint64_t vaddr;
	int err;

	if (path[0] != '/') {
		proc_printable(m->name, sizeof(m->name), path[0] ? path : "[anon]");
		return 0;
	}
	slash = strrchr(path, '/');
	proc_printable(m->name, sizeof(m->name), slash + 1);
	if (!(m->prot & PROC_X) || !m->inode)
		return 0;
	err = module_of(ms, pid, m, path, maps);
	if (m->module && m->module->has_vm)
		add_vm_module(maps, m->module);
	if (m->module && m->module->elf && !elfobj_vaddr(m->module->elf, m->offset, &vaddr))
		m->bias = m->start - vaddr;
	return err;
}

int proc_maps_read(int pid, struct modules *ms, struct proc_maps *out)
{
	char path[64], *line = NULL;
	size_t cap = 0;
	struct proc_map m;
	const char *name;
	ssize_t len = 0;
	FILE *f;
	int err = 0;

	proc_maps_release(out);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	ms->until = clock_cpu() + FILES_NS;
	while (!err && out->n < MAPS_MAX && (len = getline(&line, &cap, f)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (parse_map(line, &m, &name))
			continue;
		err = fill_map(ms, pid, &m, name, out);
		if (!err)
			err = add_map(out, &m);
	}
	/* The process may have ended between two lines, or a line not fit the memory. */
	if (!err && len < 0 && !feof(f))
		err = errno ? -errno : -EIO;
	free(line);
	fclose(f);
	if (err)
		proc_maps_release(out);
	return err;
}

void proc_maps_release(struct proc_maps *maps)
{
	free(maps->map);
	maps->map = NULL;
	maps->n = maps->nvm = 0;
	maps->denied = maps->skipped = 0;
}

const struct proc_map *proc_maps_at(const struct proc_maps *maps, uint64_t addr)
{
	size_t lo = 0, hi = maps->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (addr < maps->map[mid].start)
			hi = mid;
		else if (addr >= maps->map[mid].end)
			lo = mid + 1;
		else
			return &maps->map[mid];
	}
	return NULL;
}
