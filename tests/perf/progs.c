// SPDX-License-Identifier: MIT
/*
 * The BPF programs as the kernel has them: progs [off|old|PID]
 *
 * Loads ljx's programs as a capture does (all, "off": without those of the trace recorder, "old":
 * in the form for older kernels), or looks at those that a process holds. Prints as JSON how long
 * loading took, and of each program: instructions as verified and as rewritten, bytes of machine
 * code, and what kernel.bpf_stats_enabled counted.
 */
#include "bpf/capture.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The program behind a file descriptor of a process, 0 if it is none. */
static unsigned int prog_id(const char *pid, const char *fd)
{
	char path[64], line[128];
	unsigned int id = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/fdinfo/%.20s", pid, fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "prog_id: %u", &id) == 1)
			break;
	if (f)
		fclose(f);
	return id;
}

static void print_program(unsigned int id, const char *before)
{
	struct bpf_prog_info info = {};
	unsigned int len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return;
	printf("%s{\"name\": \"%s\", \"verified\": %u, \"insns\": %u, \"machine_bytes\": %u, "
	       "\"runs\": %llu, \"ns\": %llu}",
	       before, info.name, info.verified_insns, info.xlated_prog_len / 8,
	       info.jited_prog_len, (unsigned long long)info.run_cnt,
	       (unsigned long long)info.run_time_ns);
}

#define IDS_MAX 64

/* Each once: a link to a program tells its id too. */
static int print_programs(const char *pid)
{
	unsigned int seen[IDS_MAX], n = 0, id, i;
	char path[64];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	d = opendir(path);
	if (!d) {
		fprintf(stderr, "progs: cannot read '%s': %s\n", path, strerror(errno));
		return 1;
	}
	while ((e = readdir(d)) && n < IDS_MAX) {
		id = prog_id(pid, e->d_name);
		for (i = 0; i < n && seen[i] != id; i++)
			;
		if (!id || i < n)
			continue;
		print_program(id, n ? ", " : "");
		seen[n++] = id;
	}
	closedir(d);
	return 0;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	struct capture_opts opts = {.rate = 99, .limit = 1000, .traces = CAPTURE_TRACES_AUTO};
	struct capture *c = NULL;
	const char *pid = "self";
	double start = now_ms();
	struct why why = {0};
	int err = 0;

	if (*how >= '0' && *how <= '9') {
		pid = how;
	} else {
		opts.traces = strcmp(how, "off") ? CAPTURE_TRACES_AUTO : CAPTURE_TRACES_OFF;
		opts.old_bpf = !strcmp(how, "old");
		opts.need_traces = opts.traces != CAPTURE_TRACES_OFF; /* all at once */
		err = capture_new(&opts, resolve_discard, NULL, &c, &why);
	}
	if (err) {
		fprintf(stderr, "progs: %s\n", why.text);
		return 1;
	}
	printf("{\"load_ms\": %.3f, \"programs\": [", now_ms() - start);
	err = print_programs(pid);
	printf("]}\n");
	capture_free(c);
	return err;
}
