// SPDX-License-Identifier: MIT
#include "bpf/probes.h"

#include "bpf/finder.h"
#include "bpf/sampler.h"

#include <asm/ptrace.h>
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/libbpf.h>

struct probes {
	struct bpf_link **link;
	size_t n;
};

struct attach {
	const struct probe_programs *prog;
	int pid;
	const struct proc_maps *maps;
	const struct vm_list *vms;
	const uint32_t *layout;
	struct probes *p;
	char *text;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static void say(const struct attach *a, const char *fmt, ...)
{
	size_t n = strlen(a->text);
	va_list ap;

	if (n && n + 2 < a->size) {
		strcpy(a->text + n, "; ");
		n += 2;
	}
	va_start(ap, fmt);
	vsnprintf(a->text + n, a->size - n, fmt, ap);
	va_end(ap);
}

static int keep(struct probes *p, struct bpf_link *link)
{
	struct bpf_link **bigger;

	if (!link)
		return -errno;
	bigger = realloc(p->link, (p->n + 1) * sizeof(*bigger));
	if (!bigger) {
		bpf_link__destroy(link);
		return -ENOMEM;
	}
	p->link = bigger;
	p->link[p->n++] = link;
	return 0;
}

static void drop_links(struct probes *p)
{
	while (p->n)
		bpf_link__destroy(p->link[--p->n]);
	free(p->link);
	p->link = NULL;
}

void probes_free(struct probes *p)
{
	if (!p)
		return;
	drop_links(p);
	free(p);
}

static uint32_t arg_of(const struct finder_func *f)
{
	return f->arg0 == FINDER_ARG_L	 ? PROBE_ARG_L
	       : f->arg0 == FINDER_ARG_G ? PROBE_ARG_G
					 : PROBE_ARG_J;
}

/* Where struct pt_regs has a register, in words, by its machine number. */
static uint64_t regs_index(uint8_t reg)
{
#define AT(r) offsetof(struct pt_regs, r) / 8
	static const uint8_t at[16] = {AT(rax), AT(rcx), AT(rdx), AT(rbx), AT(rsp), AT(rbp),
				       AT(rsi), AT(rdi), AT(r8),  AT(r9),  AT(r10), AT(r11),
				       AT(r12), AT(r13), AT(r14), AT(r15)};
#undef AT

	return at[reg & 15];
}

static uint64_t cookie_of(const struct finder_func *f, uint32_t layout)
{
	return layout | arg_of(f) << 8 | regs_index(f->reg[0]) << 16 | regs_index(f->reg[1]) << 24;
}

/* One uprobe in this process, at an address of the module that vm runs in. */
static int uprobe(struct attach *a, struct bpf_program *prog, const struct vm *vm, uint32_t layout,
		  const struct finder_func *f)
{
	const struct proc_map *m = proc_maps_at(a->maps, f->probe + vm->bias);
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = cookie_of(f, layout));
	char path[640];
	int err;

	if (!m || m->module != vm->module)
		return -ENOENT;
	/* The very file that is mapped, whatever its name leads to by now. */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", a->pid,
		 (unsigned long long)m->start, (unsigned long long)m->end);
	err =
	    keep(a->p, bpf_program__attach_uprobe_opts(
			   prog, a->pid, path, f->probe + vm->bias - m->start + m->offset, &opts));
	if (err != -EPERM && err != -EACCES)
		return err;
	snprintf(path, sizeof(path), "/proc/%d/root%s", a->pid, vm->module->path);
	return keep(a->p,
		    bpf_program__attach_uprobe_opts(
			prog, a->pid, path, f->probe + vm->bias - m->start + m->offset, &opts));
}

/* The probes of one LuaJIT in the process; several VMs share them. */
static int uprobes_of(struct attach *a, const struct vm *vm, uint32_t layout)
{
	static const enum finder_id need[] = {FINDER_DISPATCH_UPDATE, FINDER_TRACE_ERR,
					      FINDER_TRACE_FLUSHALL};
	struct bpf_program *prog[] = {a->prog->update, a->prog->err, a->prog->flushall};
	struct finder *f = calloc(1, sizeof(*f));
	size_t i;
	int err;

	if (!f)
		return -ENOMEM;
	err = finder_run(vm->module->elf, &vm->row->l, 0, f, NULL);
	if (!err && !f->jit)
		err = -EOPNOTSUPP;
	for (i = 0; !err && i < sizeof(need) / sizeof(need[0]); i++) {
		if (!f->func[need[i]].how || f->func[need[i]].arg0 == FINDER_ARG_UNKNOWN) {
			say(a, "%s not found: %s", finder_name(need[i]), f->func[need[i]].text);
			err = -ENOENT;
		}
	}
	for (i = 0; !err && i < sizeof(need) / sizeof(need[0]); i++) {
		err = uprobe(a, prog[i], vm, layout, &f->func[need[i]]);
		if (err)
			say(a, "uprobe on %s: %s", finder_name(need[i]), strerror(-err));
	}
	free(f);
	return err;
}

static int uprobes(struct attach *a)
{
	size_t i, j;
	int err = 0;

	for (i = 0; i < a->vms->n && !err; i++) {
		for (j = 0; j < i && a->vms->vm[j].bias != a->vms->vm[i].bias; j++)
			;
		if (j == i)
			err = uprobes_of(a, &a->vms->vm[i], a->layout[i]);
	}
	if (err)
		drop_links(a->p);
	else
		say(a, "uprobes");
	return err;
}

/* A watchpoint in one thread and those that it will start. */
static int watch(struct attach *a, int tid, uint64_t addr, uint64_t cookie)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
				       .type = PERF_TYPE_BREAKPOINT,
				       .bp_type = HW_BREAKPOINT_W,
				       .bp_addr = addr,
				       .bp_len = HW_BREAKPOINT_LEN_4,
				       .sample_period = 1,
				       .exclude_kernel = 1,
				       .exclude_hv = 1,
				       .inherit = 1};
	LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = cookie);
	int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = keep(a->p, bpf_program__attach_perf_event_opts(a->prog->watch, fd, &opts));
	if (err)
		close(fd);
	return err;
}

static int watch_vm(struct attach *a, const struct vm *vm, uint32_t layout, const int *tid,
		    size_t ntids)
{
	const struct layout *l = &vm->row->l;
	uint64_t J = vm_main(vm) + l->GG_J;
	size_t i;
	int err = 0;

	for (i = 0; i < ntids && !err; i++) {
		err = watch(a, tid[i], J + l->J_state, layout);
		if (!err)
			err = watch(a, tid[i], J + l->J_freetrace, layout | 1u << 8);
		if (err == -ESRCH) /* this one has just ended */
			err = 0;
	}
	return err;
}

static int watches(struct attach *a)
{
	size_t n, i;
	int *tid = proc_threads(a->pid, &n), err = tid ? 0 : -ESRCH;

	for (i = 0; !err && i < a->vms->n && i < PROBE_WATCH_VMS; i++)
		err = watch_vm(a, &a->vms->vm[i], a->layout[i], tid, n);
	free(tid);
	if (err) {
		say(a, "watchpoint: %s", strerror(-err));
		drop_links(a->p);
		return err;
	}
	say(a, "watchpoints");
	if (a->vms->n > PROBE_WATCH_VMS)
		say(a, "%zu of %zu VMs are not watched", a->vms->n - PROBE_WATCH_VMS, a->vms->n);
	return 0;
}

int probes_attach(const struct probe_programs *prog, int pid, const struct proc_maps *maps,
		  const struct vm_list *vms, const uint32_t *layout, enum probe_kind *kind,
		  struct probes **out, char *text, size_t size)
{
	struct attach a = {.prog = prog,
			   .pid = pid,
			   .maps = maps,
			   .vms = vms,
			   .layout = layout,
			   .p = calloc(1, sizeof(*a.p)),
			   .text = text,
			   .size = size};
	int err = -ENOENT;

	text[0] = '\0';
	if (!a.p)
		return -ENOMEM;
	if (*kind != PROBE_WATCH) {
		err = uprobes(&a);
		if (!err)
			*kind = PROBE_UPROBE;
	}
	if (err && *kind != PROBE_UPROBE) {
		err = watches(&a);
		if (!err)
			*kind = PROBE_WATCH;
	}
	if (err) {
		probes_free(a.p);
		return err;
	}
	*out = a.p;
	return 0;
}
