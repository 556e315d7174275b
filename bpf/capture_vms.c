// SPDX-License-Identifier: MIT
#include "bpf/capture_int.h"
#include "bpf/jitscan.h"
#include "bpf/probes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

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

void capture_drop_vms(struct capture *c, const struct follow *f)
{
	struct smp_vmkey key = {.key = f->vmkey};

	for (key.idx = 0; key.idx < f->nvms; key.idx++)
		bpf_map_delete_elem(bpf_map__fd(c->skel->maps.vms), &key);
}

/* Puts probes on the recorders of a process's VMs, in place of those of before. */
static void attach_probes(struct capture *c, struct follow *f, const struct vm_list *vms)
{
	const struct probe_programs prog = {c->skel->progs.probe_update, c->skel->progs.probe_err,
					    c->skel->progs.probe_flushall, c->skel->progs.watch};
	enum probe_kind kind = c->opts.traces == CAPTURE_TRACES_UPROBE	? PROBE_UPROBE
			       : c->opts.traces == CAPTURE_TRACES_WATCH ? PROBE_WATCH
									: PROBE_AUTO;
	uint32_t *layout;
	size_t i;

	probes_free(f->probes);
	f->probes = NULL;
	if (c->opts.traces == CAPTURE_TRACES_OFF || !vms->n)
		return;
	layout = calloc(vms->n, sizeof(*layout));
	for (i = 0; layout && i < vms->n; i++)
		layout_index(c, vms->vm[i].row, &layout[i]);
	if (layout)
		probes_attach(&prog, f->pid, resolve_maps(c->resolve, f->pid), vms, layout, &kind,
			      &f->probes, c->probe_text, sizeof(c->probe_text));
	free(layout);
	/* What was there before; after the probes, so that nothing falls between. */
	for (i = 0; i < vms->n && !c->err; i++)
		c->err = jitscan(c->resolve, f->pid, &vms->vm[i]);
	if (c->err == -ESRCH || c->err == -EPERM) /* it has just ended */
		c->err = 0;
}

int capture_install(struct capture *c, struct follow *f, const struct vm_list *vms)
{
	struct smp_proc p = {.flags = c->opts.follow ? SMP_FOLLOW : 0};
	struct smp_vmkey key;
	struct smp_vm v;
	size_t i;
	int err = 0;

	capture_drop_vms(c, f);
	f->nvms = 0;
	/* A key of its own: forked children share the old one until we get to them. */
	f->vmkey = key.key = ++c->next_vmkey;
	for (i = 0; i < vms->n && !err; i++) {
		memset(&v, 0, sizeof(v));
		v.g = vms->vm[i].g;
		key.idx = (uint32_t)i;
		err = layout_index(c, vms->vm[i].row, &v.layout);
		if (!err)
			err = add_module(&p, &vms->vm[i], v.layout);
		if (!err)
			err =
			    bpf_map_update_elem(bpf_map__fd(c->skel->maps.vms), &key, &v, BPF_ANY);
		if (!err)
			f->nvms++;
	}
	p.vmkey = f->vmkey;
	p.nvms = f->nvms;
	if (!f->nvms)
		p.flags |= SMP_IDLE;
	f->sampled = f->nvms > 0;
	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(c->skel->maps.procs), &f->pid, &p, BPF_ANY);
	if (!err)
		attach_probes(c, f, vms);
	return err;
}
