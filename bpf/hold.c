// SPDX-License-Identifier: MIT
#include "bpf/hold.h"

#include "bpf/finder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct hold {
	int pid, fd;
};

/* Where in the file the probe goes. 0 or -errno. */
static int find_place(const char *path, uint64_t *off)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct finder *f = calloc(1, sizeof(*f));
	struct elfobj *eo = NULL;
	struct elfobj_vm vm;

	err = fd < 0 ? -errno : f ? elfobj_open(fd, path, &eo, NULL) : -ENOMEM;
	if (fd >= 0)
		close(fd);
	if (!err)
		err = elfobj_luajit(eo, &vm);
	if (!err) {
		elfobj_add_debug(eo, "");
		err = finder_run(eo, NULL, 0, f, NULL);
	}
	if (!err)
		err = f->func[FINDER_DISPATCH_UPDATE].addr
			  ? elfobj_offset(eo, f->func[FINDER_DISPATCH_UPDATE].probe, off)
			  : -ENOENT;
	elfobj_free(eo);
	free(f);
	return err;
}

static int pmu_type(void)
{
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	int type = -1;

	if (f && fscanf(f, "%d", &type) != 1)
		type = -1;
	if (f)
		fclose(f);
	return type;
}

/* The first hit sends the process a signal, as if it were the event's owner that wants to know. */
static int arm(int fd, int pid)
{
	if (fcntl(fd, F_SETOWN, pid) || fcntl(fd, F_SETSIG, SIGSTOP) ||
	    fcntl(fd, F_SETFL, O_ASYNC) || ioctl(fd, PERF_EVENT_IOC_REFRESH, 1))
		return -errno;
	return 0;
}

int hold_new(int pid, const char *path, struct hold **out)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
				       .sample_period = 1,
				       .wakeup_events = 1,
				       .disabled = 1,
				       .uprobe_path = (uintptr_t)path};
	struct hold *h;
	uint64_t off;
	int type = pmu_type(), err = type < 0 ? -EOPNOTSUPP : find_place(path, &off);

	if (err)
		return err;
	attr.type = (uint32_t)type;
	attr.probe_offset = off;
	h = malloc(sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->pid = pid;
	h->fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	err = h->fd < 0 ? -errno : arm(h->fd, pid);
	if (err) {
		if (h->fd >= 0)
			close(h->fd);
		free(h);
		return err;
	}
	*out = h;
	return 0;
}

int hold_stopped(const struct hold *h)
{
	uint64_t hits;

	return read(h->fd, &hits, sizeof(hits)) == sizeof(hits) && hits;
}

void hold_free(struct hold *h)
{
	if (!h)
		return;
	ioctl(h->fd, PERF_EVENT_IOC_DISABLE, 0);
	/* It may not have got its SIGSTOP yet: this takes that back. */
	if (hold_stopped(h))
		kill(h->pid, SIGCONT);
	close(h->fd);
	free(h);
}
