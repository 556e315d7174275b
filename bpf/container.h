/* SPDX-License-Identifier: MIT */
/* Which container or control group a process belongs to, by /proc/PID/cgroup. */
#ifndef BPF_CONTAINER_H
#define BPF_CONTAINER_H

/*
 * Is the process in the control group path, or in one below? path is as /proc/PID/cgroup has it, or
 * a folder under /sys/fs/cgroup.
 */
int container_in_cgroup(int pid, const char *path);

/*
 * Is it in the container with that id? An id, or its beginning, is a part of the name of one of its
 * control groups: docker-ID.scope, /docker/ID, cri-containerd-ID.scope, libpod-ID.scope, /lxc/ID.
 */
int container_is(int pid, const char *id);

/* The same for a line of /proc/PID/cgroup, without its newline. */
int container_line_in_cgroup(const char *line, const char *path);
int container_line_is(const char *line, const char *id);

#endif
