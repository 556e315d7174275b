// SPDX-License-Identifier: MIT
#include "bpf/probes.h"

#include "bpf/mem.h"
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

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Threads that start while watchpoints are set: so often it is begun again. */
#define WATCH_TRIES 5

const enum finder_id probe_func[PROBE_FUNCS] = {FINDER_DISPATCH_UPDATE, FINDER_TRACE_ERR,
						FINDER_TRACE_FLUSHALL};

/* The probes of one LuaJIT in the process (uprobes), or of one VM (watchpoints). */
struct probe_set {
	uint64_t key;	/* where the module lies, or the VM's global_State */
	uint64_t J;	/* of that VM */
	ev_u64 addr[2]; /* what is watched */
	struct bpf_link **link;
	size_t n;
	int seen;
};

struct probes {
	struct probe_programs prog;
	int pid;
	enum probe_kind asked, kind; /* kind: taken; PROBE_AUTO: none yet */
	struct probe_set *set;
	size_t nsets, unwatched;
};

struct update {
	struct probes *p;
	const struct proc_maps *maps;
	const struct vm_list *vms;
	const uint32_t *layout;
	char *text;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static void say(const struct update *u, const char *fmt, ...)
{
	size_t n = strlen(u->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(u->text + n, u->size - n, fmt, ap);
	va_end(ap);
}

static int keep(struct probe_set *s, struct bpf_link *link)
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

static void drop_links(struct probe_set *s)
{
	while (s->n)
		bpf_link__destroy(s->link[--s->n]);
	free(s->link);
	s->link = NULL;
}

static void forget_recorder(struct probes *p, uint64_t J)
{
	struct smp_recorder_key key = {.J = J, .tgid = (ev_u32)p->pid};

	bpf_map_delete_elem(p->prog.recorders, &key);
}

static void unwatch(struct probes *p, struct probe_set *s)
{
	struct smp_watch_key key = {.tgid = (ev_u32)p->pid};
	int i;

	for (i = 0; i < 2 && s->J; i++) {
		key.addr = s->addr[i];
		bpf_map_delete_elem(p->prog.watched, &key);
	}
}

static void drop_set(struct probes *p, size_t i)
{
	struct probe_set *s = &p->set[i];

	drop_links(s);
	unwatch(p, s);
	if (s->J)
		forget_recorder(p, s->J);
	*s = p->set[--p->nsets];
}

static int add_set(struct probes *p, const struct probe_set *s)
{
	struct probe_set *bigger = realloc(p->set, (p->nsets + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	p->set = bigger;
	p->set[p->nsets++] = *s;
	return 0;
}

static struct probe_set *find_set(const struct probes *p, uint64_t key)
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

/* One uprobe in this process, at an address of the module that vm runs in. */
static int uprobe(const struct update *u, struct probe_set *s, struct bpf_program *prog,
		  const struct vm *vm, uint32_t layout, const struct finder_func *f)
{
	const struct proc_map *m = proc_maps_at(u->maps, f->probe + vm->bias);
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = cookie_of(f, layout));
	int err, pid = u->p->pid;
	char path[640];
	uint64_t off;

	if (!m || m->module != vm->module)
		return -ENOENT;
	off = f->probe + vm->bias - m->start + m->offset;
	/* The very file that is mapped, whatever its name leads to by now. */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid,
		 (unsigned long long)m->start, (unsigned long long)m->end);
	err = keep(s, bpf_program__attach_uprobe_opts(prog, pid, path, off, &opts));
	if (err != -EPERM && err != -EACCES)
		return err;
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, vm->module->path);
	return keep(s, bpf_program__attach_uprobe_opts(prog, pid, path, off, &opts));
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
		say(u, "%s%s %s", i ? ", " : "", finder_name(probe_func[i]), where);
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
		say(u, "no uprobes: built without the JIT compiler; ");
	else if (err)
		say(u, "no uprobes: %s is not found; ", missing ? missing : "the VM's code");
	for (i = 0; !err && i < PROBE_FUNCS; i++) {
		err = uprobe(u, &s, at[i], vm, layout, &f->func[probe_func[i]]);
		if (err)
			say(u, "no uprobes: %s refused: %s; ", finder_name(probe_func[i]),
			    strerror(-err));
	}
	if (!err)
		err = add_set(u->p, &s);
	if (err) {
		drop_links(&s);
	} else {
		say(u, "uprobes: ");
		say_found(u, vm, f);
		say(u, "; ");
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
		if (j < i || find_set(u->p, u->vms->vm[i].bias))
			continue;
		ret = uprobe_module(u, &u->vms->vm[i], u->layout[i]);
		err = err ? err : ret;
	}
	return err;
}

/* A watchpoint in one thread and those that it will start, but not in other processes. */
static int watch_thread(struct probes *p, struct probe_set *s, int tid, uint64_t addr)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
				       .type = PERF_TYPE_BREAKPOINT,
				       .bp_type = HW_BREAKPOINT_W,
				       .bp_addr = addr,
				       .bp_len = HW_BREAKPOINT_LEN_4,
				       .sample_period = 1,
				       .exclude_kernel = 1,
				       .exclude_hv = 1,
				       .inherit = 1,
				       .inherit_thread = 1};
	int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = keep(s, bpf_program__attach_perf_event(p->prog.watch, fd));
	if (err)
		close(fd);
	return err;
}

/* Are all of a's threads in b? */
static int same_threads(const int *a, size_t na, const int *b, size_t nb)
{
	size_t i, j = 0;

	for (i = 0; i < na; i++) {
		while (j < nb && b[j] < a[i])
			j++;
		if (j == nb || b[j] != a[i])
			return 0;
	}
	return 1;
}

/* In all threads. 1: others have started meanwhile, of which it is not known who started them. */
static int watch_threads(struct probes *p, struct probe_set *s)
{
	size_t n, after, i;
	int *tid = proc_threads(p->pid, &n), *now, err = tid ? 0 : -ESRCH;

	for (i = 0; i < 2 * n && !err; i++) {
		err = watch_thread(p, s, tid[i / 2], s->addr[i % 2]);
		if (err == -ESRCH) /* this one has just ended */
			err = 0;
	}
	now = err ? NULL : proc_threads(p->pid, &after);
	if (now)
		err = !same_threads(now, after, tid, n);
	free(now);
	free(tid);
	return err;
}

static int watch_vm(const struct update *u, const struct vm *vm, uint32_t layout)
{
	const struct layout *l = &vm->row->l;
	struct probes *p = u->p;
	struct probe_set s = {.key = vm->g, .J = vm_main(vm) + l->GG_J};
	struct smp_watch_key key = {.tgid = (ev_u32)p->pid};
	int err = 0, i, tries;

	s.addr[0] = s.J + l->J_state;
	s.addr[1] = s.J + l->J_freetrace;
	forget_recorder(p, s.J);
	for (i = 0; i < 2 && !err; i++) {
		ev_u32 what = layout | (ev_u32)i << 8;

		key.addr = s.addr[i];
		err = bpf_map_update_elem(p->prog.watched, &key, &what, BPF_ANY);
	}
	for (tries = 0; !err && tries < WATCH_TRIES; tries++) {
		drop_links(&s);
		err = watch_threads(p, &s);
		if (err <= 0)
			break;
		err = 0;
	}
	if (!err)
		err = add_set(p, &s);
	if (err) {
		drop_links(&s);
		unwatch(p, &s);
	}
	return err;
}

/* How much a VM has to tell: with the JIT compiler on, by the number its next trace gets. */
static uint32_t activity(int pid, const struct vm *vm)
{
	const struct layout *l = &vm->row->l;
	uint32_t next;

	if (vm_jit_on(pid, vm) != 1 ||
	    mem_read(pid, vm_main(vm) + l->GG_J + l->J_freetrace, &next, sizeof(next)))
		return 0;
	return next < UINT32_MAX ? next + 1 : next;
}

/* The one without watchpoints that is most active; of equals the first found. */
static size_t next_vm(const struct update *u)
{
	size_t i, best = u->vms->n;
	uint32_t most = 0, a;

	for (i = 0; i < u->vms->n; i++) {
		if (find_set(u->p, u->vms->vm[i].g))
			continue;
		a = activity(u->p->pid, &u->vms->vm[i]);
		if (best == u->vms->n || a > most) {
			best = i;
			most = a;
		}
	}
	return best;
}

static int watches(const struct update *u)
{
	int err = 0, more = 0;
	size_t i;

	/* One text for all processes that are alike: numbers, but no pid. */
	while (!err && u->p->nsets < PROBE_WATCH_VMS) {
		i = next_vm(u);
		if (i == u->vms->n)
			break;
		err = watch_vm(u, &u->vms->vm[i], u->layout[i]);
		if (!err)
			say(u, "%s VM %u", more++ ? "," : "watchpoints on", u->vms->vm[i].number);
	}
	if (more)
		say(u, "; ");
	if (err == -ENOSPC || err == -EBUSY)
		say(u,
		    "no %swatchpoints: a thread's debug registers are taken, by a debugger or "
		    "another tracer; ",
		    u->p->nsets ? "more " : "");
	else if (err)
		say(u, "no %swatchpoints: %s; ", u->p->nsets ? "more " : "", strerror(-err));
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
		n += !find_set(u->p, u->vms->vm[i].g) && !find_set(u->p, u->vms->vm[i].bias);
	if (n && n != u->p->unwatched) {
		say(u, "%zu of %zu VMs of pid %d not watched:", n, u->vms->n, u->p->pid);
		for (i = 0; i < u->vms->n && shown < 8; i++) {
			const struct vm *vm = &u->vms->vm[i];

			if (find_set(u->p, vm->g) || find_set(u->p, vm->bias))
				continue;
			say(u, "%s VM %u", shown++ ? "," : "", vm->number);
		}
		say(u, "%s; ", shown < n ? ", ..." : "");
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
		err = watches(&u);
		if (p->nsets)
			p->kind = PROBE_WATCH;
	}
	say_unwatched(&u);
	n = strlen(text);
	if (n >= 2 && !strcmp(text + n - 2, "; "))
		text[n - 2] = '\0';
	return p->nsets ? 0 : err;
}
