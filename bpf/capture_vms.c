// SPDX-License-Identifier: MIT
#include "bpf/capture_int.h"
#include "bpf/probes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* For symbols of the VM's file: if they can be done without, and if not. */
#define ASK_FIRST_MS 2000
#define ASK_NEEDED_MS 10000
/* So often events that show what is no VM are followed: in so many ns. */
#define MEET_MAX 50
#define MEET_EVERY 1000000000ull

/* The index of a layout in the programs' map, entered at its first use. */
static int layout_index(struct capture *c, const struct layout_row *row, uint32_t *idx)
{
	uint32_t i;

	for (i = 0; i < c->nrows; i++) {
		if (c->row[i] == row) {
			*idx = i;
			return 0;
		}
	}
	if (c->nrows >= SMP_LAYOUTS)
		return -ENOSPC;
	c->row[i] = row;
	*idx = c->nrows++;
	return bpf_map_update_elem(bpf_map__fd(c->skel->maps.layouts), &i, &row->l, BPF_ANY);
}

static int add_module(struct smp_proc *p, const struct vm *vm, uint32_t layout)
{
	uint64_t start = vm->module->vm.asm_start + vm->bias;
	uint32_t i;

	for (i = 0; i < p->nmodules; i++)
		if (p->module[i].asm_start == start)
			return 0;
	if (p->nmodules >= SMP_MODULES)
		return -ENOSPC;
	p->module[i].asm_start = start;
	p->module[i].asm_end = vm->module->vm.asm_end + vm->bias;
	p->module[i].layout = layout;
	p->nmodules++;
	return 0;
}

static void drop_list(struct capture *c, uint32_t vmkey, uint32_t n)
{
	int vms = bpf_map__fd(c->skel->maps.vms), at = bpf_map__fd(c->skel->maps.vm_at);
	struct smp_vmkey key = {.key = vmkey};
	struct smp_vmid id = {.key = vmkey};
	struct smp_vm v;

	for (key.idx = 0; key.idx < n; key.idx++) {
		if (bpf_map_lookup_elem(vms, &key, &v))
			continue;
		id.g = v.g;
		bpf_map_delete_elem(at, &id);
		bpf_map_delete_elem(vms, &key);
	}
}

/* Entry idx of a list. 0 or -errno. */
static int add_to_list(struct capture *c, uint32_t vmkey, uint32_t idx, const struct smp_vm *v)
{
	struct smp_vmid id = {.g = v->g, .key = vmkey};
	struct smp_vmkey key = {.key = vmkey, .idx = idx};
	int err = bpf_map_update_elem(bpf_map__fd(c->skel->maps.vm_at), &id, &v->layout, BPF_ANY);

	return err ? err : bpf_map_update_elem(bpf_map__fd(c->skel->maps.vms), &key, v, BPF_ANY);
}

void capture_drop_vms(struct capture *c, const struct follow *f)
{
	drop_list(c, f->vmkey, f->nvms);
}

/* The first wait is for a server that has the answer at hand: symbols and code can be compared. */
void capture_ask_symbols(struct resolve *r, const struct vm_list *vms)
{
	size_t i;

	for (i = 0; i < vms->n; i++) {
		if (i && vms->vm[i].module == vms->vm[i - 1].module)
			continue;
		if (vms->vm[i].module->fetch != MODULE_NOT_ASKED)
			continue;
		resolve_ask(r, vms->vm[i].module, ASK_FIRST_MS);
		if (!elfobj_source(vms->vm[i].module->elf) && probes_lack_functions(&vms->vm[i]))
			resolve_ask(r, vms->vm[i].module, ASK_NEEDED_MS);
	}
}

static struct probe_programs programs(const struct capture *c)
{
	return (struct probe_programs){c->tracer->progs.probe_update,
				       c->tracer->progs.probe_err,
				       c->tracer->progs.probe_flushall,
				       c->tracer->progs.watch,
				       bpf_map__fd(c->skel->maps.recorders),
				       bpf_map__fd(c->skel->maps.watched),
				       c->cookies,
				       c->multi};
}

int capture_try_uprobes(struct capture *c, int *multi)
{
	const struct probe_programs prog = programs(c);

	*multi = c->multi;
	return probes_try(&prog);
}

int capture_needs_admin(const struct capture *c)
{
	return !c->multi && c->opts.traces != CAPTURE_TRACES_OFF &&
	       c->opts.traces != CAPTURE_TRACES_WATCH;
}

/* Counts those that came without probes, here and in the stream. */
static void tell_unwatched(struct capture *c, struct follow *f)
{
	size_t n = probes_unwatched(f->probes);
	struct ev_lost e = {
	    .h = {
		.kind = EV_LOST, .size = sizeof(e), .time = resolve_now(), .pid = (ev_u32)f->pid}};
	int err;

	if (n <= f->unwatched)
		return;
	e.vms = n - f->unwatched;
	f->unwatched = n;
	err = c->sink(c->ctx, &e.h);
	c->err = c->err ? c->err : err;
}

/* Puts probes on the recorders of those of a process's VMs that have none. */
static int update_probes(struct capture *c, struct follow *f, const struct vm_list *vms)
{
	const struct probe_programs prog = programs(c);
	enum probe_kind kind = c->opts.traces == CAPTURE_TRACES_UPROBE	? PROBE_UPROBE
			       : c->opts.traces == CAPTURE_TRACES_WATCH ? PROBE_WATCH
									: PROBE_AUTO;
	uint32_t *layout = calloc(vms->n + 1, sizeof(*layout));
	size_t i;
	int err;

	if (!f->probes)
		f->probes = probes_new(&prog, f->pid, kind);
	if (!layout || !f->probes) {
		free(layout);
		return -ENOMEM;
	}
	if (kind != PROBE_WATCH)
		capture_ask_symbols(c->resolve, vms);
	for (i = 0; i < vms->n; i++)
		layout_index(c, vms->vm[i].row, &layout[i]);
	err = probes_update(f->probes, resolve_maps(c->resolve, f->pid), vms, layout, c->probe_text,
			    sizeof(c->probe_text));
	free(layout);
	tell_unwatched(c, f);
	return err;
}

/* The list that BPF uses, as a whole: a sample finds the old one or the new one. */
static int install_list(struct capture *c, struct follow *f, const struct vm_list *vms)
{
	struct smp_proc p = {.flags = c->opts.follow ? SMP_FOLLOW : 0};
	uint32_t old_key = f->vmkey, old_n = f->nvms;
	struct smp_vm v;
	size_t i;
	int err = 0;

	f->nvms = 0;
	/* A key of its own: forked children share the old one until we get to them. */
	f->vmkey = ++c->next_vmkey;
	for (i = 0; i < vms->n && !err; i++) {
		memset(&v, 0, sizeof(v));
		v.g = vms->vm[i].g;
		err = layout_index(c, vms->vm[i].row, &v.layout);
		if (!err)
			err = add_module(&p, &vms->vm[i], v.layout);
		if (!err)
			err = add_to_list(c, f->vmkey, (uint32_t)i, &v);
		if (!err)
			f->nvms++;
	}
	p.vmkey = f->vmkey;
	p.nvms = f->nvms;
	p.first_vm = f->nvms ? vms->vm[0].g : 0;
	if (!f->nvms)
		p.flags |= SMP_IDLE;
	f->sampled = f->nvms > 0;
	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(c->skel->maps.procs), &f->pid, &p, BPF_ANY);
	drop_list(c, old_key, old_n);
	return err;
}

int capture_install(struct capture *c, struct follow *f, const struct vm_list *vms)
{
	int err = install_list(c, f, vms);

	if (!err && vms->n && !f->native)
		err = capture_native_add(c, f);
	return err || !c->tracer ? err : capture_install_probes(c, f, vms);
}

int capture_install_probes(struct capture *c, struct follow *f, const struct vm_list *vms)
{
	if (!vms->n && !f->probes)
		return 0;
	f->probe_err = update_probes(c, f, vms);
	/* What was there before; after the probes, so that nothing falls between. */
	if (!c->err)
		c->err = capture_scan(c, f, vms);
	/* Last: who waits for it, to start something, must not be met in the scan. */
	if (c->opts.say && *c->probe_text && (!f->probe_err || c->running || !c->opts.need_traces))
		c->opts.say(c->opts.say_ctx, c->probe_text);
	return 0;
}

void capture_meet_vm(struct capture *c, struct follow *f, uint64_t g)
{
	const struct vm_list *vms;
	uint64_t now;
	int err;

	if (g == f->no_vm)
		return;
	now = resolve_now();
	if (now - f->met_since > MEET_EVERY) {
		f->met_since = now;
		f->met = 0;
	}
	if (f->met >= MEET_MAX)
		return;
	err = resolve_add_vm(c->resolve, f->pid, g, &vms);
	if (!err) {
		c->stats.vms++;
		/* Its past is in the events that follow: a scan would tell of it twice. */
		c->err = capture_scan_met(c, f, vms);
		capture_install(c, f, vms);
	} else if (err < 0 && err != -EEXIST) {
		f->no_vm = g;
		f->met++;
	}
}
