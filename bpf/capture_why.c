// SPDX-License-Identifier: MIT
#include "bpf/caps.h"
#include "bpf/capture_int.h"

#include <errno.h>
#include <string.h>

static const char *why_errno(int err)
{
	return err == -EPERM ? "EPERM" : "EACCES";
}

/* The kernel said no to a BPF object: the first cause, by errno. */
int capture_why_load(struct why *why, int err)
{
	uint64_t need = CAPS_BPF | CAPS_PERFMON;
	char names[96];

	if (err == -EPERM || err == -EACCES) {
		caps_names(caps_missing(need), names, sizeof(names));
		why_set(why, WHY_PERMISSION, err,
			"the kernel refused to load the sampler: bpf(): %s%s%s", why_errno(err),
			names[0] ? ", missing: " : "", names);
		caps_hint(why, need | CAPS_SYS_PTRACE);
		if (!names[0] && !caps_filtered() && !caps_user_namespace())
			why_hint(why, "Linux before 5.11 wants CAP_SYS_RESOURCE too.");
		return err;
	}
	if (err == -ENOMEM)
		return why_set(why, WHY_INTERNAL, err, "cannot load the sampler: out of memory");
	why_set(why, WHY_KERNEL, err, "the kernel cannot load the sampler: %s", strerror(-err));
	why_hint(why, "ljx needs Linux 5.10 or newer. ljx doctor tells more.");
	return err;
}

int capture_why_attach(struct why *why, int pid, int err)
{
	switch (err) {
	case -ESRCH:
		if (proc_hidden(pid)) {
			why_set(why, WHY_PERMISSION, err,
				"process %d is there, but /proc does not show it", pid);
			why_hint(why, "Is it mounted with hidepid, or not at all? CAP_SYS_PTRACE "
				      "sees through hidepid.");
			return err;
		}
		why_set(why, WHY_TARGET, err, "no process %d", pid);
		why_hint(
		    why,
		    "Did it exit? A pid from inside a container is another one outside: ljx ps");
		return err;
	case -EPERM:
	case -EACCES:
		why_set(why, WHY_PERMISSION, err, "no permission to read process %d: %s", pid,
			why_errno(err));
		caps_hint(why, CAPS_NEEDED);
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
		why_hint(why, "Uprobes need CAP_SYS_ADMIN before Linux 6.6");
	why_hint(why, "--probe auto takes what works, uprobes or watchpoints");
	return err;
}

int capture_why_no_vm(struct why *why, const struct proc_info *info, const struct module *mod,
		      const struct vm_evidence *ev, int refused, size_t dropped)
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
	if (!refused && dropped)
		return why_set(why, WHY_UNSUPPORTED, err,
			       "pid %d (%s): no Lua state was found in time, and %zu places that "
			       "look like one were not verified",
			       info->pid, info->comm, dropped);
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
	long paranoid;

	if (err != -EACCES && err != -EPERM)
		return why_set(why, WHY_KERNEL, err, "perf_event_open: %s", strerror(-err));
	paranoid = caps_paranoid();
	if (paranoid > 2 && !caps_missing(CAPS_PERFMON)) {
		why_set(why, WHY_PERMISSION, err,
			"perf_event_open: %s although CAP_PERFMON is set: this kernel needs "
			"kernel.perf_event_paranoid <= 2 (now %ld)",
			why_errno(err), paranoid);
		why_hint(why, "Run: sudo sysctl kernel.perf_event_paranoid=2, or ljx as root.");
		return err;
	}
	why_set(why, WHY_PERMISSION, err, "perf_event_open: %s", why_errno(err));
	caps_hint(why, CAPS_PERFMON);
	return err;
}
