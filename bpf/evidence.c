// SPDX-License-Identifier: MIT
#include "bpf/evidence.h"

#include "bpf/capture.h"
#include "bpf/process.h"
#include "bpf/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int scan_segment(void *ctx, uint64_t vaddr, const void *p, size_t len)
{
	(void)vaddr;
	tables_scan(ctx, p, len);
	return 0;
}

int evidence_elf(const struct elfobj *eo, const char *version, const struct layout *l,
		 struct tables *out)
{
	struct tables_evidence e = {.version = version, .layout = l};
	int err = elfobj_rodata(eo, scan_segment, &e);

	if (err)
		return err;
	tables_choose(&e, out);
	return 0;
}

int evidence_file(const char *path, struct tables *out, struct evidence_source *src,
		  struct why *why)
{
	struct elfobj_vm vm = {.version = ""};
	struct elfobj *eo = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC), err, no_vm;

	if (fd < 0)
		return why_set(why, WHY_TARGET, -errno, "cannot open '%s': %s", path,
			       strerror(errno));
	err = elfobj_open(fd, path, &eo, why);
	close(fd);
	if (err)
		return err;
	no_vm = elfobj_luajit(eo, &vm);
	err = evidence_elf(eo, vm.version, NULL, out);
	if (err)
		why_set(why, WHY_TARGET, err, "cannot read '%s': %s", path, strerror(-err));
	else if (no_vm && !out->bc)
		err = why_set(why, WHY_UNSUPPORTED, -ENOEXEC, "no LuaJIT in '%s'", path);
	if (!err) {
		memset(src, 0, sizeof(*src));
		snprintf(src->path, sizeof(src->path), "%s", path);
		memcpy(src->version, vm.version, sizeof(src->version));
	}
	elfobj_free(eo);
	return err;
}

/* The file with the VM: that of a live one if there is any, else the first that holds code. */
static const struct module *module_of(const struct proc_maps *maps, const struct vm_list *vms)
{
	if (vms->n && vms->vm[0].module)
		return vms->vm[0].module;
	return maps->nvm ? maps->vm[0] : NULL;
}

/* The tables of a process whose mappings are read. vms is filled if the file is not enough. */
static int choose(int pid, const struct proc_maps *maps, struct vm_list *vms, struct tables *out,
		  struct evidence_source *src)
{
	const struct module *m = module_of(maps, vms);
	const struct layout_row *row = NULL;
	int err;

	if (!m)
		return -ENOEXEC;
	err = evidence_elf(m->elf, m->vm.version, NULL, out);
	if (!err && (!out->bc || !out->ir) && vm_scan(pid, maps, vms, NULL) == -ENOMEM)
		err = -ENOMEM;
	if (!err && vms->n) {
		m = module_of(maps, vms);
		row = vms->vm[0].row;
		err = evidence_elf(m->elf, m->vm.version, &row->l, out);
	}
	if (err)
		return err;
	memset(src, 0, sizeof(*src));
	snprintf(src->path, sizeof(src->path), "%s", m->path);
	memcpy(src->version, m->vm.version, sizeof(src->version));
	snprintf(src->layout, sizeof(src->layout), "%s", row ? row->name : "");
	return 0;
}

int evidence_pid(int pid, struct tables *out, struct evidence_source *src, struct why *why)
{
	struct modules *ms = modules_new(NULL);
	struct proc_maps maps = {0};
	struct vm_list vms = {0};
	int err = ms ? proc_maps_read(pid, ms, &maps) : -ENOMEM;

	if (err) {
		capture_why_attach(why, pid, err);
	} else {
		err = choose(pid, &maps, &vms, out, src);
		if (err == -ENOEXEC)
			why_set(why, WHY_UNSUPPORTED, err, "process %d has no LuaJIT", pid);
		else if (err)
			why_set(why, WHY_TARGET, err, "cannot read the LuaJIT of process %d: %s",
				pid, strerror(-err));
	}
	vm_list_release(&vms);
	proc_maps_release(&maps);
	modules_free(ms);
	return err;
}
