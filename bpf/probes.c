// SPDX-License-Identifier: MIT
#include "bpf/probes_int.h"

#include <asm/ptrace.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

const enum finder_id probe_func[PROBE_FUNCS] = {FINDER_DISPATCH_UPDATE, FINDER_TRACE_ERR,
						FINDER_TRACE_FLUSHALL};

void probes_say(const struct update *u, const char *fmt, ...)
{
	size_t n = strlen(u->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(u->text + n, u->size - n, fmt, ap);
	va_end(ap);
}

int probes_keep(struct probe_set *s, struct bpf_link *link)
{
	struct bpf_link **bigger;

	if (!link)
		return -errno;
	bigger = realloc(s->link, (s->n + 1) * sizeof(*bigger));
	if (!bigger) {
		bpf_link__destroy(link);
		return -ENOMEM;
	}
	s->link = bigger;
	s->link[s->n++] = link;
	return 0;
}

void probes_drop_links(struct probe_set *s)
{
	while (s->n)
		bpf_link__destroy(s->link[--s->n]);
	free(s->link);
	s->link = NULL;
	while (s->nmulti)
		close(s->multi[--s->nmulti]);
}

static void forget_cookies(struct probes *p, const struct probe_set *s)
{
	struct smp_watch_key key = {.tgid = (ev_u32)p->pid};
	int i;

	for (i = 0; i < PROBE_FUNCS && p->prog.cookies >= 0; i++) {
		key.addr = s->ip[i];
		if (key.addr)
			bpf_map_delete_elem(p->prog.cookies, &key);
	}
}

static void drop_set(struct probes *p, size_t i)
{
	struct probe_set *s = &p->set[i];

	probes_drop_links(s);
	forget_cookies(p, s);
	probes_unwatch(p, s);
	*s = p->set[--p->nsets];
}

int probes_add_set(struct probes *p, const struct probe_set *s)
{
	struct probe_set *bigger = realloc(p->set, (p->nsets + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	p->set = bigger;
	p->set[p->nsets++] = *s;
	return 0;
}

struct probe_set *probes_find_set(const struct probes *p, uint64_t key)
{
	size_t i;

	for (i = 0; i < p->nsets; i++)
		if (p->set[i].key == key)
			return &p->set[i];
	return NULL;
}

struct probes *probes_new(const struct probe_programs *prog, int pid, enum probe_kind kind)
{
	struct probes *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->prog = *prog;
	p->pid = pid;
	p->asked = kind;
	return p;
}

void probes_free(struct probes *p)
{
	if (!p)
		return;
	while (p->nsets)
		drop_set(p, p->nsets - 1);
	free(p->set);
	free(p);
}

size_t probes_unwatched(const struct probes *p)
{
	return p->unwatched;
}

enum probe_kind probes_kind(const struct probes *p)
{
	return p->kind;
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

/*
 * Tells the programs the cookie of the probe at addr, if the kernel does not: then *cookie becomes
 * 0, for a kernel that does not know of cookies refuses others.
 */
static int tell_cookie(const struct probes *p, uint64_t addr, ev_u64 *told, uint64_t *cookie)
{
	struct smp_watch_key key = {.addr = addr, .tgid = (ev_u32)p->pid};
	int err;

	if (p->prog.cookies < 0)
		return 0;
	err = bpf_map_update_elem(p->prog.cookies, &key, cookie, BPF_ANY);
	if (err)
		return err;
	*told = addr;
	*cookie = 0;
	return 0;
}

/* What bpf(BPF_LINK_CREATE) takes for uprobes, linux/bpf.h since 6.6. */
struct multi_attr {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, multi_flags, pid, pad;
};

static int multi_link(struct probe_set *s, int prog, int pid, const char *path, uint64_t off,
		      uint64_t cookie)
{
	struct multi_attr a = {.prog_fd = (uint32_t)prog,
			       .attach_type = PROBE_UPROBE_MULTI,
			       .path = (uintptr_t)path,
			       .offsets = (uintptr_t)&off,
			       .cookies = (uintptr_t)&cookie,
			       .cnt = 1,
			       .pid = (uint32_t)pid};
	int fd;

	if (s->nmulti >= PROBE_FUNCS)
		return -ENOSPC;
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &a, sizeof(a));
	if (fd < 0)
		return -errno;
	s->multi[s->nmulti++] = fd;
	return 0;
}

static int attach(const struct update *u, struct probe_set *s, struct bpf_program *prog,
		  const char *path, uint64_t off, uint64_t cookie)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = cookie);
	int err;

	if (u->p->prog.multi) {
		err = multi_link(s, bpf_program__fd(prog), u->p->pid, path, off, cookie);
		if (err != -EINVAL) /* that: the kernel does not know it */
			return err;
	}
	return probes_keep(s, bpf_program__attach_uprobe_opts(prog, u->p->pid, path, off, &opts));
}

/* One uprobe in this process, the which-th of its set, at an address of the module that vm runs in.
 */
static int uprobe(const struct update *u, struct probe_set *s, size_t which,
		  struct bpf_program *prog, const struct vm *vm, uint32_t layout,
		  const struct finder_func *f)
{
	const struct proc_map *m = proc_maps_at(u->maps, f->probe + vm->bias);
	uint64_t cookie = cookie_of(f, layout);
	int err, pid = u->p->pid;
	char path[640];
	uint64_t off;

	if (!m || m->module != vm->module)
		return -ENOENT;
	err = tell_cookie(u->p, f->probe + vm->bias, &s->ip[which], &cookie);
	if (err)
		return err;
	off = f->probe + vm->bias - m->start + m->offset;
	/* The very file that is mapped, whatever its name leads to by now. */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid,
		 (unsigned long long)m->start, (unsigned long long)m->end);
	err = attach(u, s, prog, path, off, cookie);
	if (err != -EPERM && err != -EACCES)
		return err;
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, vm->module->path);
	return attach(u, s, prog, path, off, cookie);
}

int probes_try(const struct probe_programs *prog)
{
	uint64_t addr = (uintptr_t)probes_try;
	struct probes *p = probes_new(prog, getpid(), PROBE_UPROBE);
	struct modules *ms = modules_new(NULL);
	struct proc_maps maps = {.n = 0};
	struct update u = {.p = p};
	struct probe_set s = {.key = 0};
	uint64_t cookie = PROBE_NONE;
	const struct proc_map *m;
	int err = p && ms ? proc_maps_read(getpid(), ms, &maps) : -ENOMEM;

	m = err ? NULL : proc_maps_at(&maps, addr);
	if (!err)
		err = m ? tell_cookie(p, addr, &s.ip[0], &cookie) : -ENOENT;
	if (!err)
		err = attach(&u, &s, prog->flushall, "/proc/self/exe", addr - m->start + m->offset,
			     cookie);
	probes_drop_links(&s);
	if (p)
		forget_cookies(p, &s);
	proc_maps_release(&maps);
	modules_free(ms);
	probes_free(p);
	return err;
}

/* All that uprobes need. text gets why not. 0 or -errno. */
static int find_functions(const struct vm *vm, struct finder *f, const char **missing)
{
	size_t i;
	int err = finder_run(vm->module->elf, &vm->row->l, 0, f, NULL);

	*missing = NULL;
	if (!err && !f->jit)
		err = -EOPNOTSUPP;
	for (i = 0; !err && i < PROBE_FUNCS; i++) {
		if (!f->func[probe_func[i]].how ||
		    f->func[probe_func[i]].arg0 == FINDER_ARG_UNKNOWN) {
			*missing = finder_name(probe_func[i]);
			err = -ENOENT;
		}
	}
	return err;
}

int probes_lack_functions(const struct vm *vm)
{
	struct finder *f = calloc(1, sizeof(*f));
	const char *missing;
	int lack = f && find_functions(vm, f, &missing) == -ENOENT;

	free(f);
	return lack;
}

static void say_found(const struct update *u, const struct vm *vm, const struct finder *f)
{
	char where[64];
	size_t i;

	for (i = 0; i < PROBE_FUNCS; i++) {
		finder_where(vm->module->elf, &f->func[probe_func[i]], where, sizeof(where));
		probes_say(u, "%s%s %s", i ? ", " : "", finder_name(probe_func[i]), where);
	}
}

/* The probes of one LuaJIT in the process; several VMs share them. */
static int uprobe_module(const struct update *u, const struct vm *vm, uint32_t layout)
{
	const struct probe_programs *prog = &u->p->prog;
	struct bpf_program *at[PROBE_FUNCS] = {prog->update, prog->err, prog->flushall};
	struct probe_set s = {.key = vm->bias};
	struct finder *f = calloc(1, sizeof(*f));
	const char *missing;
	size_t i;
	int err;

	if (!f)
		return -ENOMEM;
	err = find_functions(vm, f, &missing);
	if (err == -EOPNOTSUPP)
		probes_say(u, "no uprobes: built without the JIT compiler; ");
	else if (err)
		probes_say(u, "no uprobes: %s is not found; ", missing ? missing : "the VM's code");
	for (i = 0; !err && i < PROBE_FUNCS; i++) {
		err = uprobe(u, &s, i, at[i], vm, layout, &f->func[probe_func[i]]);
		if (err)
			probes_say(u, "no uprobes: %s refused: %s; ", finder_name(probe_func[i]),
				   strerror(-err));
	}
	if (!err)
		err = probes_add_set(u->p, &s);
	if (err) {
		probes_drop_links(&s);
		forget_cookies(u->p, &s);
	} else {
		probes_say(u, "uprobes: ");
		say_found(u, vm, f);
		probes_say(u, "; ");
	}
	free(f);
	return err;
}

/* All LuaJITs in the process that have no uprobes yet. */
static int uprobes(const struct update *u)
{
	int err = 0, ret;
	size_t i, j;

	for (i = 0; i < u->vms->n; i++) {
		for (j = 0; j < i && u->vms->vm[j].bias != u->vms->vm[i].bias; j++)
			;
		if (j < i || probes_find_set(u->p, u->vms->vm[i].bias))
			continue;
		ret = uprobe_module(u, &u->vms->vm[i], u->layout[i]);
		err = err ? err : ret;
	}
	return err;
}

/* Takes the probes from what is gone. */
static void drop_gone(const struct update *u)
{
	struct probes *p = u->p;
	size_t i, j;

	for (i = p->nsets; i-- > 0;) {
		for (j = 0; j < u->vms->n; j++)
			if (p->set[i].key == u->vms->vm[j].g || p->set[i].key == u->vms->vm[j].bias)
				break;
		if (j == u->vms->n)
			drop_set(p, i);
	}
}

/* Counts and names the VMs without probes. */
static void say_unwatched(const struct update *u)
{
	size_t i, n = 0, shown = 0;

	for (i = 0; i < u->vms->n; i++)
		n += !probes_find_set(u->p, u->vms->vm[i].g) &&
		     !probes_find_set(u->p, u->vms->vm[i].bias);
	if (n && n != u->p->unwatched) {
		probes_say(u, "%zu of %zu VMs of pid %d not watched:", n, u->vms->n, u->p->pid);
		for (i = 0; i < u->vms->n && shown < 8; i++) {
			const struct vm *vm = &u->vms->vm[i];

			if (probes_find_set(u->p, vm->g) || probes_find_set(u->p, vm->bias))
				continue;
			probes_say(u, "%s VM %u", shown++ ? "," : "", vm->number);
		}
		probes_say(u, "%s; ", shown < n ? ", ..." : "");
	}
	u->p->unwatched = n;
}

int probes_update(struct probes *p, const struct proc_maps *maps, const struct vm_list *vms,
		  const uint32_t *layout, char *text, size_t size)
{
	const struct update u = {p, maps, vms, layout, text, size};
	enum probe_kind want = p->kind ? p->kind : p->asked;
	int err = -ENOENT;
	size_t n;

	text[0] = '\0';
	drop_gone(&u);
	p->unwatched = vms->n ? p->unwatched : 0;
	if (!vms->n)
		return 0;
	if (want != PROBE_WATCH) {
		err = uprobes(&u);
		if (!err || p->kind == PROBE_UPROBE)
			p->kind = PROBE_UPROBE;
		else
			while (p->nsets)
				drop_set(p, p->nsets - 1);
	}
	if (err && want != PROBE_UPROBE) {
		err = probes_watch(&u);
		if (p->nsets)
			p->kind = PROBE_WATCH;
	}
	say_unwatched(&u);
	n = strlen(text);
	if (n >= 2 && !strcmp(text + n - 2, "; "))
		text[n - 2] = '\0';
	return p->nsets ? 0 : err;
}
