// SPDX-License-Identifier: MIT
#include "bpf/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SELF_STATUS "/proc/self/status"
#define HIGHEST_CAP 63

uint64_t caps_effective(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0, 0, 0}, {0, 0, 0}};

	if (syscall(SYS_capget, &h, d))
		return 0;
	return (uint64_t)d[1].effective << 32 | d[0].effective;
}

uint64_t caps_missing(uint64_t need)
{
	uint64_t have = caps_effective();

	if (have & CAPS_SYS_ADMIN)
		have |= CAPS_BPF | CAPS_PERFMON | CAPS_CHECKPOINT_RESTORE;
	return need & ~have;
}

void caps_names(uint64_t set, char *buf, size_t size)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} names[] = {{CAPS_BPF, "CAP_BPF"},
		     {CAPS_PERFMON, "CAP_PERFMON"},
		     {CAPS_SYS_PTRACE, "CAP_SYS_PTRACE"},
		     {CAPS_SYS_ADMIN, "CAP_SYS_ADMIN"},
		     {CAPS_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
		     {CAPS_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE"}};
	size_t i, n = 0;

	buf[0] = '\0';
	for (i = 0; i < sizeof(names) / sizeof(names[0]) && n < size; i++)
		if (set & names[i].bit)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? " " : "",
					      names[i].name);
}

int caps_keep(uint64_t set)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	int i;

	if (syscall(SYS_capget, &h, d))
		return -errno;
	/* Without CAP_SETPCAP there is no bounding set to lower; what is not held cannot come back
	 * without an exec, which then gives nothing either. */
	for (i = 0; i <= HIGHEST_CAP; i++)
		if (!(set >> i & 1))
			prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (i = 0; i < 2; i++) {
		uint32_t keep = (uint32_t)(set >> (32 * i));

		d[i].permitted &= keep;
		d[i].effective &= keep;
		d[i].inheritable &= keep;
	}
	return syscall(SYS_capset, &h, d) ? -errno : 0;
}

int caps_filtered(void)
{
	FILE *f = fopen(SELF_STATUS, "re");
	char line[256];
	int mode = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Seccomp: %d", &mode) == 1)
			break;
	if (f)
		fclose(f);
	return mode == 2;
}

int caps_user_namespace(void)
{
	FILE *f = fopen("/proc/self/uid_map", "re");
	unsigned long inner = 0, outer = 0, n = 0;
	int got = f ? fscanf(f, "%lu %lu %lu", &inner, &outer, &n) : 0;

	if (f)
		fclose(f);
	return got == 3 && (inner || outer || n != 4294967295u);
}

long caps_paranoid(void)
{
	FILE *f = fopen("/proc/sys/kernel/perf_event_paranoid", "re");
	long v = -2;

	if (f && fscanf(f, "%ld", &v) != 1)
		v = -2;
	if (f)
		fclose(f);
	return v;
}

void caps_hint(struct why *why, uint64_t need)
{
	uint64_t missing = caps_missing(need);
	char names[160];

	caps_names(missing, names, sizeof(names));
	if (caps_user_namespace()) {
		why_hint(why,
			 "This is a user namespace (a rootless container): its root may not do "
			 "that, whatever its capabilities.");
		why_hint(why,
			 "Run ljx on the host, with the pid that the host gives: ljx ps there.");
	} else if (!missing && caps_filtered()) {
		why_hint(why, "ljx has the capabilities, but runs under a seccomp filter "
			      "(/proc/self/status: Seccomp: 2),");
		why_hint(why, "as in a container: allow bpf, perf_event_open and process_vm_readv, "
			      "or run ljx on the host.");
	} else if (missing && !geteuid()) {
		why_hint(why, "ljx runs as root, but without %s: a container? Start it with",
			 names);
		why_hint(why, "--cap-add BPF --cap-add PERFMON --cap-add SYS_PTRACE and the pid "
			      "namespace of the target (SYS_ADMIN for a runtime that does not know "
			      "BPF), or run ljx on the host.");
	} else if (missing) {
		why_hint(why, "ljx runs as uid %u without %s. Run it with sudo, or once:",
			 (unsigned int)geteuid(), names);
		why_hint(why, "sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search,"
			      "cap_checkpoint_restore+ep /path/to/ljx");
	}
}
