// SPDX-License-Identifier: MIT
#include "bpf/capture.h"

#include "bpf/rec.h"
#include "bpf/sampler.h"
#include "bytecode/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <sampler.skel.h>

#define TICK_MS 50
#define FIRST_PID_NS 0xeffffffcu /* PROC_PID_INIT_INO, linux/proc_ns.h */
#define MS 1000000ull /* ns */
/* A process without a VM is looked at often while it is young, then rarely. */
#define YOUNG_NS (2000 * MS)
#define YOUNG_EVERY (100 * MS)
#define OLD_EVERY (1000 * MS)
/* One with a VM, for more of them. Samples that show an unknown VM ask for it sooner. */
#define SAMPLED_EVERY (5000 * MS)
#define HINTED_EVERY (1000 * MS)
/* Looking for new VMs takes at most this share of our time. */
#define SCAN_SHARE 100
#define CLOCK_EVERY (60000 * MS)

/* A process that we follow. */
struct follow {
	int pid;
	uint32_t vmkey;
	uint32_t nvms;
	int sampled;	      /* it has a verified VM */
	int hinted;	      /* a sample showed a VM that is not in the list */
	uint64_t since;	      /* ns: first seen, or exec */
	uint64_t next;	      /* ns: next look; 0: not looked at yet */
	uint64_t next_hinted; /* ns: no look because of hints before */
	UT_hash_handle hh;
};

struct capture {
	struct capture_opts opts;
	struct sampler_bpf *skel;
	struct ring_buffer *ring;
	struct resolve *resolve;
	resolve_sink_fn *sink;
	void *ctx;
	struct follow *procs;
	const struct layout_row *row[SMP_LAYOUTS];
	uint32_t nrows, next_vmkey;
	int *fd;
	struct bpf_link **link;
	size_t nfds;
	struct bpf_link *tp[3];
	int running;
	int err; /* of the sink, met inside the ring's callback */
	struct smp_counters told;
	uint64_t next_clock;
	struct capture_stats stats;
};

static int deliver(void *ctx, const struct ev_hdr *h)
{
	struct capture *c = ctx;

	if (h->kind == EV_SAMPLE)
		c->stats.delivered++;
	return c->sink(c->ctx, h);
}

static uint32_t ring_size(const struct capture_opts *o)
{
	uint64_t want = o->ring_bytes, size = 4u << 20;

	if (!want)
		want = 2ull * o->rate * (uint64_t)libbpf_num_possible_cpus() * (96 + 16 * 64);
	while (size < want && size < 64u << 20)
		size *= 2;
	return (uint32_t)size;
}

static int no_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

/* The kernel said no to a BPF object: the first cause, by errno. */
static int why_load(struct why *why, int err)
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
	if (err == -ESRCH && access("/sys/kernel/btf/vmlinux", R_OK)) {
		why_set(why, WHY_KERNEL, err,
			"this kernel has no BTF (/sys/kernel/btf/vmlinux is missing)");
		why_hint(why, "Use a kernel built with CONFIG_DEBUG_INFO_BTF=y.");
		return err;
	}
	why_set(why, WHY_KERNEL, err, "the kernel cannot load the sampler: %s", strerror(-err));
	why_hint(why, "ljx needs Linux 5.17 or newer (bpf_loop). ljx doctor tells more.");
	return err;
}

int capture_new(const struct capture_opts *opts, resolve_sink_fn *sink, void *ctx,
		struct capture **out, struct why *why)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct stat ns;
	int err;

	if (!c)
		return why_set(why, WHY_INTERNAL, -ENOMEM, "out of memory");
	c->opts = *opts;
	c->sink = sink;
	c->ctx = ctx;
	c->stats.last_status = -1;
	libbpf_set_print(no_print);
	c->resolve = resolve_new(deliver, c);
	c->skel = sampler_bpf__open();
	if (!c->resolve || !c->skel) {
		capture_free(c);
		return why_set(why, WHY_INTERNAL, -ENOMEM, "out of memory");
	}
	bpf_map__set_max_entries(c->skel->maps.ring, ring_size(opts));
	if (!stat("/proc/self/ns/pid", &ns) && ns.st_ino != FIRST_PID_NS) {
		c->skel->rodata->ns_dev = ns.st_dev;
		c->skel->rodata->ns_ino = ns.st_ino;
	}
	err = sampler_bpf__load(c->skel);
	if (err) {
		capture_free(c);
		return why_load(why, err);
	}
	*out = c;
	return 0;
}

static void close_events(struct capture *c)
{
	size_t i;

	for (i = 0; i < c->nfds; i++)
		bpf_link__destroy(c->link[i]); /* closes the event too */
	free(c->link);
	free(c->fd);
	c->link = NULL;
	c->fd = NULL;
	c->nfds = 0;
	for (i = 0; i < sizeof(c->tp) / sizeof(c->tp[0]); i++) {
		bpf_link__destroy(c->tp[i]);
		c->tp[i] = NULL;
	}
}

void capture_free(struct capture *c)
{
	struct follow *f, *tmp;

	if (!c)
		return;
	close_events(c);
	ring_buffer__free(c->ring);
	sampler_bpf__destroy(c->skel);
	resolve_free(c->resolve);
	HASH_ITER(hh, c->procs, f, tmp)
	{
		HASH_DEL(c->procs, f);
		free(f);
	}
	free(c);
}

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

static void drop_vms(struct capture *c, const struct follow *f)
{
	struct smp_vmkey key = {.key = f->vmkey};

	for (key.idx = 0; key.idx < f->nvms; key.idx++)
		bpf_map_delete_elem(bpf_map__fd(c->skel->maps.vms), &key);
}

/* Tells BPF the VMs of a process; none: it is not sampled. */
static int install(struct capture *c, struct follow *f, const struct vm_list *vms)
{
	struct smp_proc p = {.flags = c->opts.follow ? SMP_FOLLOW : 0};
	struct smp_vmkey key;
	struct smp_vm v;
	size_t i;
	int err = 0;

	drop_vms(c, f);
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
	return err;
}

static struct follow *find(struct capture *c, int pid)
{
	struct follow *f;

	HASH_FIND_INT(c->procs, &pid, f);
	return f;
}

static struct follow *remember(struct capture *c, int pid)
{
	struct follow *f = find(c, pid);

	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->pid = pid;
	f->since = resolve_now();
	HASH_ADD_INT(c->procs, pid, f);
	return f;
}

static void forget(struct capture *c, struct follow *f)
{
	drop_vms(c, f);
	bpf_map_delete_elem(bpf_map__fd(c->skel->maps.procs), &f->pid);
	resolve_drop(c->resolve, f->pid);
	HASH_DEL(c->procs, f);
	free(f);
}

/* When a process is looked at next; took: ns of the last look; found: it found something new. */
static void plan(struct follow *f, uint64_t took, int found)
{
	uint64_t now = resolve_now(), pause = took * SCAN_SHARE;
	uint64_t every = f->sampled		     ? SAMPLED_EVERY
			 : now - f->since < YOUNG_NS ? YOUNG_EVERY
						     : OLD_EVERY;

	f->next = now + (pause > every ? pause : every);
	f->next_hinted = now + (found || pause > HINTED_EVERY ? pause : HINTED_EVERY);
	f->hinted = 0;
}

static int attach(struct capture *c, struct follow *f, int *has_code, struct vm_evidence *ev)
{
	uint64_t start = resolve_now();
	const struct vm_list *vms;
	int err = resolve_attach(c->resolve, f->pid, &vms, has_code, ev);

	if (err)
		return err;
	c->stats.vms += vms->n;
	c->stats.vms_refused += vms->refused;
	err = install(c, f, vms);
	plan(f, resolve_now() - start, 1);
	return err;
}

static int why_attach(struct why *why, int pid, int err)
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

/*
 * The process is there and readable, but no VM of it can be sampled: why not? 0 if that is only
 * because it has not made one yet.
 */
static int no_vm(struct why *why, const struct proc_info *info, const struct module *mod,
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
	if (!mod->vm.gc64) {
		why_set(why, WHY_UNSUPPORTED, err,
			"cannot attach to pid %d (%s): its LuaJIT, '%s', is built with 32-bit GCRef",
			info->pid, info->comm, mod->base);
		why_hint(why, "This ljx reads builds with GC64 only.");
	} else if (!refused) {
		return 0;
	} else {
		why_set(why, WHY_UNSUPPORTED, err,
			"LuaJIT in pid %d (%s) was found, but no known layout fits it", info->pid,
			info->comm);
		why_hint(why, "The last one tried failed at: %.*s", len, ev->text);
	}
	why_hint(why, "All evidence: ljx doctor -p %d", info->pid);
	return err;
}

int capture_check(int pid, struct why *why)
{
	struct proc_info info;
	char path[64];
	int err = proc_info_read(pid, &info), fd;

	if (!err && info.state == 'Z')
		err = -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = err ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (!err && fd < 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err ? why_attach(why, pid, err) : 0;
}

int capture_add(struct capture *c, int pid, struct why *why)
{
	struct follow *f = remember(c, pid);
	uint64_t refused = c->stats.vms_refused;
	struct proc_info info = {.pid = pid, .comm = "?"};
	struct vm_evidence ev = {0, 0, ""};
	int err, has_code = 0;

	if (!f)
		return why_set(why, WHY_INTERNAL, -ENOMEM, "out of memory");
	err = attach(c, f, &has_code, &ev);
	if (err)
		why_attach(why, pid, err);
	else if (!f->sampled && !(err = proc_info_read(pid, &info)))
		err = no_vm(why, &info, resolve_vm_module(c->resolve, pid), &ev,
			    c->stats.vms_refused > refused);
	if (err)
		forget(c, f);
	return err;
}

int capture_watch(struct capture *c, int pid)
{
	struct smp_proc p = {.flags = SMP_IDLE | (c->opts.follow ? SMP_FOLLOW : 0)};
	struct follow *f = remember(c, pid);

	if (!f)
		return -ENOMEM;
	f->next = 0;
	return bpf_map_update_elem(bpf_map__fd(c->skel->maps.procs), &pid, &p, BPF_NOEXIST);
}

/* A process became another program: nothing known of it counts any more. */
static void on_exec(struct capture *c, struct follow *f)
{
	f->sampled = 0;
	f->since = resolve_now();
	f->next = 0;
	resolve_drop(c->resolve, f->pid);
}

/* The main thread ended: most likely the process too, so look at once. */
static void on_exit_of(struct capture *c, struct follow *f, const struct ev_exit *e)
{
	c->stats.last_status = e->status;
	if (f->next > 1)
		f->next = 1;
}

/* One of the ring's records. */
static int on_record(void *ctx, void *data, size_t size)
{
	struct capture *c = ctx;
	const struct ev_hdr *h = data;
	struct follow *f;
	int has_code;

	if (c->err || !rec_check(h, size))
		return 0;
	f = find(c, (int)h->pid);
	if (h->kind == EV_FORK)
		f = remember(c, (int)((const struct ev_fork *)data)->child);
	else if (h->kind == EV_VM_HINT && f)
		f->hinted = 1;
	else if (h->kind == EV_EXEC && f)
		on_exec(c, f);
	else if (h->kind == EV_EXIT && f)
		on_exit_of(c, f, data);
	else if (f && !f->sampled && !f->next) /* a child that ran before we looked at it */
		attach(c, f, &has_code, NULL);
	c->err = resolve_record(c->resolve, h);
	return 0;
}

static int open_event(const struct capture *c, int pid, int cpu)
{
	struct perf_event_attr a = {.size = sizeof(a),
				    .type = PERF_TYPE_SOFTWARE,
				    .config = PERF_COUNT_SW_CPU_CLOCK,
				    .freq = 1,
				    .sample_freq = c->opts.rate,
				    .inherit = pid > 0};
	int fd = (int)syscall(SYS_perf_event_open, &a, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int add_event(struct capture *c, int pid, int cpu)
{
	struct bpf_program *prog =
	    c->opts.nothing ? c->skel->progs.sample_nothing : c->skel->progs.sample;
	struct bpf_link **links, *link;
	int fd = open_event(c, pid, cpu);

	if (fd < 0)
		return fd;
	links = realloc(c->link, (c->nfds + 1) * sizeof(*links));
	if (!links) {
		close(fd);
		return -ENOMEM;
	}
	c->link = links;
	link = bpf_program__attach_perf_event(prog, fd);
	if (!link) {
		int err = -errno;

		close(fd);
		return err;
	}
	c->link[c->nfds++] = link;
	return 0;
}

static int add_thread_events(struct capture *c, int pid)
{
	size_t n, i;
	int *tid = proc_threads(pid, &n), err = tid ? 0 : -ESRCH;

	for (i = 0; tid && i < n && !err; i++) {
		err = add_event(c, tid[i], -1);
		if (err == -ESRCH) /* this one has just ended */
			err = 0;
	}
	free(tid);
	return err;
}

static int add_events(struct capture *c)
{
	int cpu, n = libbpf_num_possible_cpus(), err = 0;
	struct follow *f, *tmp;

	if (c->opts.per_thread) {
		HASH_ITER(hh, c->procs, f, tmp)
		{
			err = add_thread_events(c, f->pid);
			if (err && err != -ESRCH)
				return err;
		}
		return c->nfds ? 0 : -ESRCH;
	}
	for (cpu = 0; cpu < n; cpu++) {
		err = add_event(c, -1, cpu);
		if (err && err != -ENODEV) /* an offline CPU */
			return err;
	}
	return c->nfds ? 0 : -ENODEV;
}

/* fork, exec and exit. Without them only new processes go unnoticed. */
static void attach_tracepoints(struct capture *c)
{
	c->tp[0] = bpf_program__attach(c->skel->progs.on_fork);
	c->tp[1] = bpf_program__attach(c->skel->progs.on_exec);
	c->tp[2] = bpf_program__attach(c->skel->progs.on_exit);
}

static int emit_clock(struct capture *c)
{
	struct ev_clock e = {.h = {.kind = EV_CLOCK, .size = sizeof(e), .time = resolve_now()}};
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	e.realtime = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	c->next_clock = e.h.time + CLOCK_EVERY;
	return c->sink(c->ctx, &e.h);
}

static int why_event(struct why *why, int err)
{
	if (err != -EACCES && err != -EPERM)
		return why_set(why, WHY_KERNEL, err, "perf_event_open: %s", strerror(-err));
	why_set(why, WHY_PERMISSION, err, "perf_event_open: %s",
		err == -EPERM ? "EPERM" : "EACCES");
	why_hint(why, "Run ljx as root, or: sysctl kernel.perf_event_paranoid=2");
	return err;
}

int capture_start(struct capture *c, struct why *why)
{
	int err;

	c->ring = ring_buffer__new(bpf_map__fd(c->skel->maps.ring), on_record, c, NULL);
	if (!c->ring)
		return why_set(why, WHY_INTERNAL, -errno, "cannot map the ring buffer: %s",
			       strerror(errno));
	attach_tracepoints(c);
	err = add_events(c);
	if (err == -ESRCH)
		return why_set(why, WHY_TARGET, err, "the target exited while ljx attached to it");
	if (err)
		return why_event(why, err);
	c->running = 1;
	return emit_clock(c);
}

/* Passes losses on as a record. */
static int emit_lost(struct capture *c)
{
	const struct smp_counters *now = (const void *)&c->skel->bss->counters;
	struct ev_lost e = {.h = {.kind = EV_LOST, .size = sizeof(e), .time = resolve_now()},
			    .samples = now->lost_samples - c->told.lost_samples,
			    .protos = now->lost_protos - c->told.lost_protos};

	if (!e.samples && !e.protos)
		return 0;
	c->told = *now;
	return c->sink(c->ctx, &e.h);
}

/* Looks at a process: is it alive, has it a VM, has it new ones? */
static void look_after(struct capture *c, struct follow *f)
{
	uint64_t start = resolve_now();
	const struct vm_list *vms;
	struct proc_info info;
	int err, has_code, changed = 0;

	err = proc_info_read(f->pid, &info);
	if (err || info.state == 'Z') {
		c->stats.exited++;
		forget(c, f);
		return;
	}
	if (!f->sampled) {
		err = attach(c, f, &has_code, NULL);
		if (err)
			plan(f, resolve_now() - start, 0);
		return;
	}
	err = resolve_rescan(c->resolve, f->pid, &vms, &changed);
	if (!err && changed) {
		c->stats.vms = c->stats.vms - f->nvms + vms->n;
		install(c, f, vms);
	}
	plan(f, resolve_now() - start, changed);
}

static int housekeeping(struct capture *c)
{
	uint64_t now = resolve_now();
	struct follow *f, *tmp;
	int err;

	HASH_ITER(hh, c->procs, f, tmp)
	if (f->next <= now || (f->hinted && f->next_hinted <= now))
		look_after(c, f);
	err = emit_lost(c);
	if (!err && now >= c->next_clock)
		err = emit_clock(c);
	return err ? err : c->err;
}

int capture_poll(struct capture *c, int ms)
{
	int wait, err;

	do {
		wait = ms < TICK_MS ? ms : TICK_MS;
		if (wait > 0 && poll(NULL, 0, wait) < 0 && errno == EINTR)
			ms = 0; /* a signal: let the caller look */
		ms -= wait;
		ring_buffer__consume(c->ring);
		err = housekeeping(c);
	} while (!err && ms > 0);
	return err;
}

int capture_stop(struct capture *c)
{
	int err;

	if (!c->running)
		return 0;
	c->running = 0;
	close_events(c);
	ring_buffer__consume(c->ring);
	err = emit_lost(c);
	if (!err)
		err = emit_clock(c);
	return err ? err : c->err;
}

const struct capture_stats *capture_stats(struct capture *c)
{
	const struct smp_counters *n = (const void *)&c->skel->bss->counters;
	struct capture_stats *s = &c->stats;
	struct follow *f, *tmp;

	s->events = n->events;
	s->samples = n->samples;
	s->lost_samples = n->lost_samples;
	s->lost_protos = n->lost_protos;
	s->faults = n->faults;
	s->targets = s->watched = 0;
	HASH_ITER(hh, c->procs, f, tmp)
	{
		s->targets += f->sampled ? 1 : 0;
		s->watched += f->sampled ? 0 : 1;
	}
	s->resolve = *resolve_stats(c->resolve);
	return s;
}
