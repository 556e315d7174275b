// SPDX-License-Identifier: MIT
/* Which processes the command line means. */
#include "bpf/container.h"
#include "bpf/hold.h"
#include "bpf/process.h"
#include "bpf/resolve.h"
#include "tui/groups.h"
#include "tui/ljx.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELD_NS 5000000000ull /* our command is not held longer, attached or not */

static void add_pid(struct targets *t, int pid)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (t->pid[i] == pid)
			return;
	if (t->n < TARGETS_MAX)
		t->pid[t->n++] = pid;
}

/* pid and all its descendants, by the parents of all processes. */
static void add_tree(struct targets *t, int root)
{
	size_t n, i, j, before;
	int *pids = proc_list(&n);
	struct proc_info info;
	int *ppid = pids ? calloc(n, sizeof(*ppid)) : NULL;

	add_pid(t, root);
	for (i = 0; ppid && i < n; i++)
		ppid[i] = proc_info_read(pids[i], &info) ? 0 : info.ppid;
	do {
		before = t->n;
		for (i = 0; ppid && i < n; i++)
			for (j = 0; j < t->n; j++)
				if (ppid[i] == t->pid[j]) {
					add_pid(t, pids[i]);
					break;
				}
	} while (t->n > before);
	free(ppid);
	free(pids);
}

static int by_glob(const struct options *o, struct targets *t)
{
	struct why why = {.code = 0};
	struct groups g;
	char pattern[512];
	size_t i;
	int err;

	err = groups_find(&g);
	if (err) {
		why_set(&why, WHY_INTERNAL, err, "cannot list the processes: %s", strerror(-err));
		return complain(o, &why);
	}
	/* A name matches as a whole, a command line anywhere. */
	snprintf(pattern, sizeof(pattern), "*%s*", o->glob);
	for (i = 0; i < g.n; i++)
		if (!fnmatch(o->glob, g.proc[i].info.comm, 0) ||
		    !fnmatch(pattern, g.proc[i].info.cmdline, 0))
			add_pid(t, g.proc[i].info.pid);
	if (!t->n) {
		why_set(&why, WHY_TARGET, -ESRCH, "nothing matches -n '%s'", printable(o->glob));
		groups_hint(&g, o->verb, &why);
	}
	groups_release(&g);
	return t->n ? 0 : complain(o, &why);
}

/* Does a process belong to the control group, or else to the container with this id? */
static int is_inside(const struct options *o, const char *id, int pid)
{
	char full[CONTAINER_ID];

	return o->cgroup ? container_in_cgroup(pid, o->cgroup)
			 : container_find(pid, id, full) == CONTAINER_IS;
}

/* Containers whose ids begin with what was given. */
#define CANDIDATES 8u
struct candidates {
	char id[CANDIDATES][CONTAINER_ID];
	size_t n, more;
};

static void add_candidate(struct candidates *c, const char *id)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (!strcmp(c->id[i], id))
			return;
	if (c->n == CANDIDATES)
		c->more++; /* or the same once more: who knows */
	else
		snprintf(c->id[c->n++], CONTAINER_ID, "%s", id);
}

/* The id that the one given is, or begins. "": no process is in such a container. */
static int whole_id(const struct options *o, const int *pids, size_t n, char id[CONTAINER_ID])
{
	struct candidates c = {.n = 0};
	struct why why = {.code = 0};
	char full[CONTAINER_ID];
	size_t i;

	id[0] = '\0';
	for (i = 0; i < n; i++) {
		switch (container_find(pids[i], o->container, full)) {
		case CONTAINER_IS:
			memcpy(id, full, CONTAINER_ID);
			return 0;
		case CONTAINER_BEGINS:
			add_candidate(&c, full);
			break;
		case CONTAINER_NO:
			break;
		}
	}
	if (c.n == 1)
		memcpy(id, c.id[0], CONTAINER_ID);
	if (c.n <= 1)
		return 0;
	why_set(&why, WHY_TARGET, -EINVAL,
		"the ids of several containers begin with '%s', pick one", printable(o->container));
	for (i = 0; i < c.n; i++)
		why_hint(&why, "  --container %s", printable(c.id[i]));
	if (c.more)
		why_hint(&why, "  and others");
	return complain(o, &why);
}

/* All processes of a container or control group; with -p only those with these pids inside it. */
static int by_container(const struct options *o, struct targets *t)
{
	const char *name = o->cgroup ? o->cgroup : o->container;
	struct why why = {.code = 0};
	char id[CONTAINER_ID] = "";
	struct proc_info info;
	size_t n, i, j, inside = 0;
	int *pids = proc_list(&n), self = getpid(), code;

	code = pids && !o->cgroup ? whole_id(o, pids, n, id) : 0;
	if (code) {
		free(pids);
		return code;
	}
	for (i = 0; pids && i < n; i++) {
		if (pids[i] == self || !is_inside(o, id, pids[i]))
			continue;
		inside++;
		if (!o->npids) {
			add_pid(t, pids[i]);
			continue;
		}
		for (j = 0; j < o->npids && !proc_info_read(pids[i], &info); j++)
			if (info.nspid == o->pid[j])
				add_pid(t, pids[i]);
	}
	free(pids);
	if (t->n) {
		t->follow = !o->npids;
		t->must = o->npids != 0;
		return 0;
	}
	if (inside)
		why_set(&why, WHY_TARGET, -ESRCH, "none of the %zu processes of '%s' has that pid",
			inside, printable(name));
	else
		why_set(&why, WHY_TARGET, -ESRCH, "no process in %s '%s'",
			o->cgroup ? "control group" : "container", printable(name));
	if (!inside && o->container)
		why_hint(&why,
			 "Docker and Kubernetes call it by its id, which docker ps or crictl ps "
			 "shows, not by its name.");
	why_hint(&why, "cat /proc/PID/cgroup tells where a process belongs; ljx ps lists them.");
	return complain(o, &why);
}

/* No such process: but maybe in a container, where pids are others. */
static int no_process(const struct options *o, int pid)
{
	struct why why = {.code = 0};
	struct proc_info info;
	size_t n, i, shown = 0;
	int *pids;

	if (proc_hidden(pid)) {
		capture_why_attach(&why, pid, -ESRCH);
		return complain(o, &why);
	}
	why_set(&why, WHY_TARGET, -ESRCH, "no process %d", pid);
	pids = proc_list(&n);
	for (i = 0; pids && i < n && shown < 4; i++)
		if (!proc_info_read(pids[i], &info) && info.nspid == pid && info.pid != pid) {
			why_hint(&why, "%s  ljx %s -p %d    (%s)",
				 shown++ ? "" : "In a container that is\n", o->verb, info.pid,
				 info.comm);
		}
	free(pids);
	if (!shown)
		why_hint(&why, "Did it exit? ljx ps lists what runs here.");
	return complain(o, &why);
}

/* Nothing said: the one group there is. */
static int the_only_one(const struct options *o, struct targets *t)
{
	struct why why = {.code = 0};
	struct groups g;
	int root, err;

	err = groups_find(&g);
	if (err) {
		why_set(&why, WHY_INTERNAL, err, "cannot list the processes: %s", strerror(-err));
		return complain(o, &why);
	}
	root = g.ngroups == 1 ? g.proc[0].root : 0;
	if (!g.ngroups) {
		why_set(&why, WHY_TARGET, -ESRCH, "no LuaJIT process is running that ljx can read");
		why_hint(&why, "Name one with -p PID, or start one: ljx %s -- luajit script.lua",
			 o->verb);
	} else if (!root) {
		why_set(&why, WHY_TARGET, -EINVAL, "%zu LuaJIT groups are running, pick one",
			g.ngroups);
		groups_hint(&g, o->verb, &why);
	}
	groups_release(&g);
	if (!root)
		return complain(o, &why);
	fprintf(stderr, "ljx: the only LuaJIT group is that of pid %d\n", root);
	t->follow = 1;
	t->must = 0;
	add_tree(t, root);
	return 0;
}

/* What execvp would run. 0 or -errno. */
static int find_program(const char *cmd, char *path, size_t size)
{
	const char *dirs = getenv("PATH"), *end;
	int err = -ENOENT;

	if (strchr(cmd, '/')) {
		if ((size_t)snprintf(path, size, "%s", cmd) >= size)
			return -ENAMETOOLONG;
		return access(path, X_OK) ? -errno : 0;
	}
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; *dirs; dirs = *end ? end + 1 : end) {
		end = dirs + strcspn(dirs, ":");
		if ((size_t)snprintf(path, size, "%.*s%s%s", (int)(end - dirs), dirs,
				     end > dirs ? "/" : "", cmd) >= size)
			continue;
		if (!access(path, X_OK))
			return 0;
		if (errno == EACCES)
			err = -EACCES;
	}
	return err;
}

#define CANNOT_RUN "cannot run '%s': %s"

static enum why_code run_code(int err)
{
	return err == -ENOENT ? WHY_NO_COMMAND : WHY_CANNOT_RUN;
}

int command_check(const struct options *o)
{
	struct why why = {.code = 0};
	char path[PATH_MAX];
	int err = o->cmd ? find_program(o->cmd[0], path, sizeof(path)) : 0;

	if (!err)
		return 0;
	why_set(&why, run_code(err), err, CANNOT_RUN, printable(o->cmd[0]), strerror(-err));
	return complain(o, &why);
}

/* What the command prints goes nowhere, unless it was redirected, and it reads nothing. */
static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd;

	for (fd = 0; null >= 0 && fd <= 2; fd++)
		if (isatty(fd))
			dup2(null, fd);
}

/* Starts the command; it waits on a pipe until it may run. */
static int spawn(const struct options *o, struct targets *t)
{
	struct why why = {.code = 0};
	int fd[2];
	char go;

	if (pipe(fd) || (t->child = fork()) < 0) {
		why_set(&why, WHY_INTERNAL, -errno, "cannot start '%s': %s", printable(o->cmd[0]),
			strerror(errno));
		return complain(o, &why);
	}
	if (!t->child) {
		/* If ljx is killed while it holds the command, nobody else would let it go on. */
		prctl(PR_SET_PDEATHSIG, SIGCONT);
		close(fd[1]);
		if (read(fd[0], &go, 1) != 1)
			_exit(125); /* ljx gave up */
		close(fd[0]);
		if (o->screens)
			leave_terminal();
		execvp(o->cmd[0], o->cmd);
		fprintf(stderr, "ljx: " CANNOT_RUN "\n", printable(o->cmd[0]), strerror(errno));
		_exit(run_code(-errno));
	}
	close(fd[0]);
	t->release_fd = fd[1];
	t->follow = 1;
	t->must = 0;
	add_pid(t, t->child);
	return 0;
}

static void name_targets(const struct options *o, struct targets *t)
{
	struct proc_info info;
	const char *slash;

	t->main_pid = t->n ? t->pid[0] : 0;
	if (o->cmd) {
		slash = strrchr(o->cmd[0], '/');
		proc_printable(t->name, sizeof(t->name), slash ? slash + 1 : o->cmd[0]);
	} else if (!proc_info_read(t->main_pid, &info)) {
		snprintf(t->name, sizeof(t->name), "%s", info.comm);
	}
	if (!t->name[0])
		snprintf(t->name, sizeof(t->name), "pid");
}

int targets_find(const struct options *o, struct targets *t)
{
	struct proc_info info;
	int code = 0;
	size_t i;

	memset(t, 0, sizeof(*t));
	t->release_fd = -1;
	t->must = 1;
	if (o->cmd) {
		code = spawn(o, t);
	} else if (o->group) {
		if (proc_info_read(o->group, &info))
			return no_process(o, o->group);
		t->follow = 1;
		t->must = 0;
		add_tree(t, o->group);
	} else if (o->glob) {
		code = by_glob(o, t);
	} else if (o->cgroup || o->container) {
		code = by_container(o, t);
	} else if (o->npids) {
		for (i = 0; i < o->npids; i++) {
			if (proc_info_read(o->pid[i], &info) == -ESRCH)
				return no_process(o, o->pid[i]);
			add_pid(t, o->pid[i]);
		}
	} else {
		code = the_only_one(o, t);
	}
	if (!code)
		name_targets(o, t);
	return code;
}

void targets_hold(const struct options *o, struct targets *t)
{
	char path[PATH_MAX];

	int probes = o->probe == CAPTURE_TRACES_AUTO || o->probe == CAPTURE_TRACES_UPROBE;

	if (t->child && probes && !o->nothing && !find_program(o->cmd[0], path, sizeof(path)) &&
	    hold_new(t->child, path, &t->hold))
		t->hold = NULL;
}

static void let_go(struct targets *t)
{
	hold_free(t->hold);
	t->hold = NULL;
}

void targets_attached(struct targets *t, int attached)
{
	uint64_t now = resolve_now();

	if (!t->hold)
		return;
	if (!t->held && hold_stopped(t->hold))
		t->held = now;
	if (attached || (t->held && now - t->held > HELD_NS))
		let_go(t);
}

void targets_release(struct targets *t)
{
	if (t->release_fd < 0)
		return;
	if (write(t->release_fd, "g", 1) != 1)
		fprintf(stderr, "ljx: the command died before it could run\n");
	close(t->release_fd);
	t->release_fd = -1;
}

int targets_wait(struct targets *t)
{
	int status = 0;

	let_go(t);
	if (!t->child)
		return 0;
	if (t->release_fd >= 0)
		close(t->release_fd);
	t->release_fd = -1;
	while (waitpid(t->child, &status, 0) < 0 && errno == EINTR && stop_requested < 2)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
