// SPDX-License-Identifier: MIT
#include "bpf/capture_int.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/libbpf.h>

void capture_close_events(struct capture *c)
{
	size_t i;

	for (i = 0; i < c->nfds; i++)
		bpf_link__destroy(c->link[i]); /* closes the event too */
	free(c->link);
	free(c->fd);
	c->link = NULL;
	c->fd = NULL;
	c->nfds = 0;
	for (i = 0; i < sizeof(c->tp) / sizeof(c->tp[0]); i++) {
		bpf_link__destroy(c->tp[i]);
		c->tp[i] = NULL;
	}
}

static int open_event(const struct capture *c, int pid, int cpu)
{
	struct perf_event_attr a = {.size = sizeof(a),
				    .type = PERF_TYPE_SOFTWARE,
				    .config = PERF_COUNT_SW_CPU_CLOCK,
				    .freq = 1,
				    .sample_freq = c->opts.rate,
				    .inherit = pid > 0};
	int fd = (int)syscall(SYS_perf_event_open, &a, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int add_event(struct capture *c, int pid, int cpu)
{
	struct bpf_program *prog =
	    c->opts.nothing ? c->skel->progs.sample_nothing : c->skel->progs.sample;
	struct bpf_link **links, *link;
	int fd = open_event(c, pid, cpu);

	if (fd < 0)
		return fd;
	links = realloc(c->link, (c->nfds + 1) * sizeof(*links));
	if (!links) {
		close(fd);
		return -ENOMEM;
	}
	c->link = links;
	link = bpf_program__attach_perf_event(prog, fd);
	if (!link) {
		int err = -errno;

		close(fd);
		return err;
	}
	c->link[c->nfds++] = link;
	return 0;
}

static int add_thread_events(struct capture *c, int pid)
{
	size_t n, i;
	int *tid = proc_threads(pid, &n), err = tid ? 0 : errno == ENOMEM ? -ENOMEM : -ESRCH;

	for (i = 0; tid && i < n && !err; i++) {
		err = add_event(c, tid[i], -1);
		if (err == -ESRCH) /* this one has just ended */
			err = 0;
	}
	free(tid);
	return err;
}

int capture_open_events(struct capture *c)
{
	int cpu, n = capture_cpus(), err = 0;
	struct follow *f, *tmp;

	if (c->opts.per_thread) {
		HASH_ITER(hh, c->procs, f, tmp)
		{
			err = add_thread_events(c, f->pid);
			if (err && err != -ESRCH)
				return err;
		}
		return c->nfds ? 0 : -ESRCH;
	}
	for (cpu = 0; cpu < n; cpu++) {
		err = add_event(c, -1, cpu);
		if (err && err != -ENODEV) /* an offline CPU */
			return err;
	}
	return c->nfds ? 0 : -ENODEV;
}
