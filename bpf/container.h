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
 * Is it in the container id? The name of one of its control groups has the id, or ends with it:
 * docker-ID.scope, /docker/ID, cri-containerd-ID.scope, libpod-ID.scope, lxc.payload.ID. Of an id
 * of hexadecimal digits its beginning will do. Then full is all of it.
 */
enum container_match { CONTAINER_NO, CONTAINER_BEGINS, CONTAINER_IS };
#define CONTAINER_ID 256 /* bytes, the NUL included: more than a file name has */
enum container_match container_find(int pid, const char *id, char full[CONTAINER_ID]);

/* The same for a line of /proc/PID/cgroup, without its newline. */
int container_line_in_cgroup(const char *line, const char *path);
enum container_match container_line_find(const char *line, const char *id, char full[CONTAINER_ID]);

#endif
