// SPDX-License-Identifier: MIT
#include "bpf/capture_int.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The kernel said no to a BPF object: the first cause, by errno. */
int capture_why_load(struct why *why, int err)
{
	if (err == -EPERM || err == -EACCES) {
		why_set(why, WHY_PERMISSION, err,
			"the kernel refused to load the sampler: bpf(): %s",
			err == -EPERM ? "EPERM" : "EACCES");
		why_hint(why,
			 "Run ljx as root, or give it CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE.");
		why_hint(why, "ljx doctor tells what is missing.");
		return err;
	}
	why_set(why, WHY_KERNEL, err, "the kernel cannot load the sampler: %s", strerror(-err));
	why_hint(why, "ljx needs Linux 5.10 or newer. ljx doctor tells more.");
	return err;
}

int capture_why_attach(struct why *why, int pid, int err)
{
	switch (err) {
	case -ESRCH:
		why_set(why, WHY_TARGET, err, "no process %d", pid);
		why_hint(
		    why,
		    "Did it exit? A pid from inside a container is another one outside: ljx ps");
		return err;
	case -EPERM:
	case -EACCES:
		why_set(why, WHY_PERMISSION, err, "no permission to read process %d: %s", pid,
			err == -EPERM ? "EPERM" : "EACCES");
		why_hint(why, geteuid() ? "Run ljx with sudo, or give it CAP_SYS_PTRACE."
					: "This root lacks CAP_SYS_PTRACE: a container?");
		return err;
	default:
		return why_set(why, WHY_INTERNAL, err, "cannot attach to pid %d: %s", pid,
			       strerror(-err));
	}
}

int capture_why_probes(struct why *why, int pid, int err, const char *text)
{
	enum why_code code = err == -EPERM || err == -EACCES	    ? WHY_PERMISSION
			     : err == -ENOENT || err == -EOPNOTSUPP ? WHY_UNSUPPORTED
								    : WHY_KERNEL;

	why_set(why, code, err, "cannot watch the trace recorder of process %d: %s", pid,
		*text ? text : strerror(-err));
	if (code == WHY_PERMISSION)
		why_hint(why, "Uprobes need root or CAP_SYS_ADMIN");
	why_hint(why, "--probe auto takes what works, uprobes or watchpoints");
	return err;
}

int capture_why_no_vm(struct why *why, const struct proc_info *info, const struct module *mod,
		      const struct vm_evidence *ev, int refused)
{
	const int err = -ENOEXEC;
	int len = (int)strcspn(ev->text, "\n");

	if (!mod) {
		why_set(why, WHY_UNSUPPORTED, err,
			"cannot attach to pid %d (%s): no LuaJIT in '/proc/%d/maps'", info->pid,
			info->comm, info->pid);
		why_hint(why, "ljx ps lists the processes that have one.");
		return err;
	}
	if (!refused)
		return 0;
	why_set(why, WHY_UNSUPPORTED, err,
		"LuaJIT in pid %d (%s) was found, but no known layout fits it", info->pid,
		info->comm);
	why_hint(why, "The last one tried failed at: %.*s", len, ev->text);
	why_hint(why, "All evidence: ljx doctor -p %d", info->pid);
	return err;
}

int capture_why_event(struct why *why, int err)
{
	if (err != -EACCES && err != -EPERM)
		return why_set(why, WHY_KERNEL, err, "perf_event_open: %s", strerror(-err));
	why_set(why, WHY_PERMISSION, err, "perf_event_open: %s",
		err == -EPERM ? "EPERM" : "EACCES");
	why_hint(why, "Run ljx as root, or: sysctl kernel.perf_event_paranoid=2");
	return err;
}
