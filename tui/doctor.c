// SPDX-License-Identifier: MIT
/* ljx doctor: what works here, and what to do about what does not. */
#include "bpf/caps.h"
#include "bpf/capture.h"
#include "bpf/mem.h"
#include "bpf/probes.h"
#include "tui/ljx.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SHOWN_VMS 16

struct doctor {
	const struct options *o;
	json_t *list;
	unsigned int failed;
	char first[512];	/* the check that failed first, and why */
	unsigned int waited_ms; /* for VMs */
};

/* Neither: what was found is right, but not all of it was looked at. */
#define NOTE 2

__attribute__((format(printf, 5, 6))) static void tell(struct doctor *d, const char *what, int ok,
						       const char *fix, const char *fmt, ...)
{
	char text[2 * VM_EVIDENCE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!ok && !d->failed++)
		snprintf(d->first, sizeof(d->first), "%s: %.*s", what, (int)strcspn(text, "\n"),
			 text);
	if (d->o->json) {
		json_array_append_new(d->list,
				      json_pack("{s:s,s:b,s:s,s:s}", "check", what, "ok", !!ok,
						"result", text, "fix", ok ? "" : fix));
		return;
	}
	printf("%-4s %-18s %s\n", ok == NOTE ? "note" : ok ? "ok" : "FAIL", what, text);
	for (; !ok && *fix; fix += *fix == '\n') {
		printf("     -> %.*s\n", (int)strcspn(fix, "\n"), fix);
		fix += strcspn(fix, "\n");
	}
}

/* Told, not judged: what is lacking may not be needed, and what is needed fails below. */
static void tell_caps(struct doctor *d)
{
	uint64_t missing = caps_missing(CAPS_NEEDED);
	char names[160];

	caps_names(missing, names, sizeof(names));
	tell(d, "capabilities", 1, "", "%s%s", missing ? "missing: " : "all that is needed", names);
	tell(d, "seccomp", 1, "", "%s", caps_filtered() ? "a filter is set" : "no filter");
	tell(d, "user namespace", 1, "", "%s",
	     caps_user_namespace() ? "not the first one: root here is nobody outside"
				   : "the first one");
}

static void check_kernel(struct doctor *d)
{
	struct utsname u;
	unsigned int major = 0, minor = 0;
	int btf = !access("/sys/kernel/btf/vmlinux", R_OK);

	if (!uname(&u))
		sscanf(u.release, "%u.%u", &major, &minor);
	tell(d, "kernel", major > 5 || (major == 5 && minor >= 10), "ljx needs Linux 5.10 or newer",
	     "%s %s", u.release, u.machine);
	tell(d, "BTF", 1, "", "%s",
	     btf ? "/sys/kernel/btf/vmlinux"
		 : "none: new children are seen with a delay, some samples in the kernel have no "
		   "Lua stack");
	tell(d, "perf_event_paranoid", 1, "", "%ld (counts only without CAP_PERFMON)",
	     caps_paranoid());
}

/* Loads and attaches the real programs against ourselves. */
static void check_sampler(struct doctor *d)
{
	struct capture_opts co = {
	    .rate = 99, .old_bpf = d->o->old_bpf, .traces = CAPTURE_TRACES_AUTO, .need_traces = 1};
	struct why why = {.code = 0};
	struct capture *c = NULL;
	uint64_t t = resolve_now();
	int err = capture_new(&co, resolve_discard, NULL, &c, &why), multi;

	tell(d, "BPF sampler", !err, why.hint, "%s", err ? why.text : "loads");
	if (err)
		return;
	err = capture_start(c, &why);
	if (!err)
		err = capture_poll(c, 100);
	tell(d, "cpu-clock events", !err && capture_stats(c)->events > 0, why.hint,
	     "%s (%llu in 0.1 s; ready after %.0f ms)", err ? why.text : "fire",
	     (unsigned long long)capture_stats(c)->events, (double)(resolve_now() - t) / 1e6 - 100);
	err = capture_try_uprobes(c, &multi);
	/* No failure: there are watchpoints. */
	if (err)
		tell(d, "uprobes", 1, "",
		     "no: %s; the trace recorder is seen by watchpoints, of two VMs a process "
		     "(CAP_SYS_ADMIN, or Linux 6.6, allows uprobes)",
		     strerror(-err));
	else
		tell(d, "uprobes", 1, "", "can be placed%s", multi ? ", by uprobe_multi" : "");
	capture_free(c);
}

static void check_vm(struct doctor *d, int pid, const struct vm *vm)
{
	const struct layout *l = &vm->row->l;
	int jit = vm_jit_on(pid, vm);

	tell(d, "VM", 1, "", "global_State %#llx, layout %s, JIT %s, vmstate %d",
	     (unsigned long long)vm->g, vm->row->name,
	     jit < 0 ? "?"
	     : jit   ? "on"
		     : "off",
	     (int)(uint32_t)mem_u64(pid, vm->g + l->G_vmstate));
}

/* Where the recorder's functions are, and from where that is known. */
static void check_recorder(struct doctor *d, const struct vm *vm)
{
	static const char *const regs[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					   "r8",  "r9",	 "r10", "r11", "r12", "r13", "r14", "r15"};
	struct finder *f = calloc(1, sizeof(*f));
	char where[64];
	size_t i;

	if (!f || finder_run(vm->module->elf, &vm->row->l, 0, f, NULL)) {
		free(f);
		return;
	}
	for (i = 0; i < PROBE_FUNCS; i++) {
		const struct finder_func *fn = &f->func[probe_func[i]];

		finder_where(vm->module->elf, fn, where, sizeof(where));
		if (fn->how)
			tell(d, "recorder", 1, "",
			     "%s at %#llx %s; probe at +%#llx, %s, argument in %s",
			     finder_name(probe_func[i]), (unsigned long long)fn->addr, where,
			     (unsigned long long)(fn->probe - fn->addr),
			     fn->emulated ? "emulated by the kernel" : "stepped over",
			     regs[fn->reg[0] & 15]);
		else
			tell(d, "recorder", 1, "", "%s %s: %s; watchpoints are used",
			     finder_name(probe_func[i]), where, printable(fn->text));
	}
	free(f);
}

/* The VMs, and once for each LuaJIT in the process its recorder. */
static void check_vms(struct doctor *d, int pid, const struct vm_list *vms)
{
	size_t i, j;

	for (i = 0; i < vms->n; i++) {
		for (j = 0; j < i && vms->vm[j].module != vms->vm[i].module; j++)
			;
		if (j == i)
			check_recorder(d, &vms->vm[i]);
	}
	for (i = 0; i < vms->n && i < SHOWN_VMS; i++)
		check_vm(d, pid, &vms->vm[i]);
	if (vms->n > SHOWN_VMS)
		tell(d, "VM", 1, "", "%zu more", vms->n - SHOWN_VMS);
}

static void check_target(struct doctor *d, int pid)
{
	struct resolve *r = resolve_new(resolve_discard, NULL, d->o->layout);
	struct vm_evidence ev = {0, 0, ""};
	const struct vm_list *vms = NULL;
	const struct proc_maps *maps;
	struct proc_info info;
	int err = r ? proc_info_read(pid, &info) : -ENOMEM, has_code = 0;
	struct why why = {.code = 0};
	size_t i;

	tell(d, "process", !err, "ljx ps lists what runs here", "%d %s", pid,
	     err ? strerror(-err) : info.cmdline);
	if (!err) {
		resolve_fetch(r, say_unless_quiet, (void *)(uintptr_t)d->o);
		err = resolve_look(r, pid, &d->waited_ms, &vms, &has_code, &ev);
		if (!err)
			capture_ask_symbols(r, vms);
		if (err)
			capture_why_attach(&why, pid, err);
		tell(d, "memory", !err, why.hint, "%s", err ? why.text : "readable");
	}
	maps = err ? NULL : resolve_maps(r, pid);
	for (i = 0; maps && i < maps->nvm; i++) {
		const struct module *m = maps->vm[i];

		tell(d, "LuaJIT", 1, "",
		     "%s in '%s', build-id %s, %s, symbols: %s, interpreter %#llx-%#llx",
		     m->vm.version, printable(m->path), elfobj_build_id(m->elf),
		     m->vm.gc64 ? "GC64" : "32-bit GCRef",
		     elfobj_source_name(elfobj_source(m->elf)), (unsigned long long)m->vm.asm_start,
		     (unsigned long long)m->vm.asm_end);
	}
	if (maps && maps->skipped)
		tell(d, "files", vms && vms->n ? NOTE : 0, "",
		     "%zu were not looked at: too many, or too large", maps->skipped);
	if (maps && !has_code)
		tell(d, "LuaJIT", 0, "this is not a LuaJIT process; ljx ps lists those",
		     "not in any of its %zu mappings", maps->n);
	if (vms)
		check_vms(d, pid, vms);
	if (vms && vms->dropped)
		tell(d, "VM", vms->n ? NOTE : 0, "",
		     "%zu more, or what looks like them, were not looked at: too many",
		     vms->dropped);
	if (vms && has_code && !vms->n)
		tell(d, "VM", 0,
		     vms->refused ? "please report this with the output of --json"
				  : "the program has not created a Lua state yet",
		     vms->refused ? "found, but no layout verifies: %s" : "none found%s", ev.text);
	resolve_free(r);
}

int verb_doctor(const struct options *o)
{
	struct doctor d = {.o = o, .list = json_array(), .failed = 0};
	size_t i;

	check_kernel(&d);
	tell_caps(&d);
	for (i = 0; i < o->npids; i++)
		check_target(&d, o->pid[i]);
	check_sampler(&d);
	if (o->json) {
		json_t *j = json_pack("{s:s,s:b,s:s,s:O}", "schema", "ljx.doctor/1", "ok",
				      !d.failed, "first", d.first, "checks", d.list);

		if (j)
			json_dumpf(j, stdout, JSON_INDENT(1));
		putchar('\n');
		json_decref(j);
	}
	if (d.failed && !o->json)
		printf("\nThe first cause: %s\n", d.first);
	json_decref(d.list);
	return d.failed ? WHY_INTERNAL : 0;
}
