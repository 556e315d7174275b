// SPDX-License-Identifier: MIT
#include "bpf/capture_int.h"
#include "bpf/clock.h"
#include "bpf/jitscan.h"
#include "bpf/probes.h"
#include "bpf/rec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define TICK_MS 50
#define MS 1000000ull /* ns */
/* A process without a VM is looked at often while it is young, then rarely. */
#define YOUNG_NS (2000 * MS)
#define YOUNG_EVERY (100 * MS)
#define OLD_EVERY (1000 * MS)
/* One with a VM, for more of them. Samples that show an unknown VM ask for it sooner. */
#define SAMPLED_EVERY (5000 * MS)
#define HINTED_EVERY (1000 * MS)
/* Looking for new VMs takes at most this share of our time; of a young process, that of its first.
 */
#define SCAN_SHARE 100
#define YOUNG_SHARE 10
#define CLOCK_EVERY (60000 * MS)
#define CHILDREN_EVERY (100 * MS)
/* Of a look for new VMs, in each round. */
#define LOOK_NS (30 * MS)
/* One round of delivering, and how many of them at the end. */
#define CONSUME_NS (1000 * MS)
#define LAST_CONSUMES 5

static int deliver(void *ctx, const struct ev_hdr *h)
{
	struct capture *c = ctx;

	if (h->kind == EV_SAMPLE)
		c->stats.delivered++;
	return c->sink(c->ctx, h);
}

int capture_new(const struct capture_opts *opts, resolve_sink_fn *sink, void *ctx,
		struct capture **out, struct why *why)
{
	struct capture *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return why_set(why, WHY_INTERNAL, -ENOMEM, "out of memory");
	c->opts = *opts;
	c->sink = sink;
	c->ctx = ctx;
	c->stats.last_status = -1;
	c->btf_file = -1;
	c->resolve = resolve_new(deliver, c, opts->layout);
	if (!c->resolve) {
		capture_free(c);
		return why_set(why, WHY_INTERNAL, -ENOMEM, "out of memory");
	}
	if (opts->say)
		resolve_fetch(c->resolve, opts->say, opts->say_ctx);
	resolve_want_code(c->resolve, opts->code);
	resolve_want_inline(c->resolve, opts->inlines);
	err = opts->kernel ? resolve_want_kernel(c->resolve) : 0;
	if (!err)
		err = capture_load(c);
	if (!err && opts->native + opts->kernel && !c->native && opts->say)
		opts->say(opts->say_ctx, "no C frames: this kernel refuses the program for them");
	if (!err && opts->need_traces)
		err = capture_load_tracer(c);
	if (err) {
		capture_free(c);
		return capture_why_load(why, err);
	}
	*out = c;
	return 0;
}

void capture_free(struct capture *c)
{
	struct follow *f, *tmp;

	if (!c)
		return;
	capture_close_events(c);
	capture_tallies_free(c);
	ring_buffer__free(c->ring);
	sampler_bpf__destroy(c->tracer);
	HASH_ITER(hh, c->procs, f, tmp)
	{
		HASH_DEL(c->procs, f);
		capture_native_drop(c, f);
		capture_scan_drop(c, f);
		free(f);
	}
	capture_native_free(c);
	sampler_bpf__destroy(c->skel);
	resolve_free(c->resolve);
	if (c->btf_file >= 0)
		close(c->btf_file);
	free(c);
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
	if (!f->hh.tbl) {
		free(f);
		return NULL;
	}
	return f;
}

static void forget(struct capture *c, struct follow *f)
{
	int err = c->running ? capture_tallies(c, f->pid, 1) : 0;

	c->err = c->err ? c->err : err;
	capture_drop_vms(c, f);
	c->unwatched += f->unwatched;
	c->dropped += f->dropped;
	c->unsampled += f->nvms > SMP_VMS ? f->nvms - SMP_VMS : 0;
	c->skipped += f->skipped;
	probes_free(f->probes);
	capture_scan_drop(c, f);
	capture_native_drop(c, f);
	bpf_map_delete_elem(bpf_map__fd(c->skel->maps.procs), &f->pid);
	resolve_drop(c->resolve, f->pid);
	HASH_DEL(c->procs, f);
	free(f);
}

/* When a process is looked at next; took: ns of the last look; found: it found something new. */
static void plan(struct follow *f, uint64_t took, int found)
{
	uint64_t now = resolve_now();
	int young = !f->sampled && now - f->since < YOUNG_NS;
	uint64_t pause = took * (young ? YOUNG_SHARE : SCAN_SHARE);
	/* Samples and uprobes show a new VM; before a watchpoint is on it, nothing does. */
	int blind = f->probes && probes_kind(f->probes) != PROBE_UPROBE;
	uint64_t every = f->sampled ? (blind ? HINTED_EVERY : SAMPLED_EVERY)
			 : young    ? YOUNG_EVERY
				    : OLD_EVERY;

	f->next = now + (pause > every ? pause : every);
	f->next_hinted = now + (found || pause > HINTED_EVERY ? pause : HINTED_EVERY);
	f->hinted = 0;
}

static void note_excess(const struct capture *c, struct follow *f, const struct vm_list *vms)
{
	const struct proc_maps *maps = resolve_maps(c->resolve, f->pid);

	f->dropped = vms->dropped;
	f->skipped = maps ? maps->skipped : 0;
}

static int attach(struct capture *c, struct follow *f, int *has_code, struct vm_evidence *ev)
{
	uint64_t start = clock_cpu();
	const struct vm_list *vms;
	int err = resolve_attach(c->resolve, f->pid, &vms, has_code, ev);

	if (err)
		return err;
	c->stats.vms += vms->n;
	c->stats.vms_refused += vms->refused;
	note_excess(c, f, vms);
	capture_scan_drop(c, f);
	err = capture_install(c, f, vms);
	plan(f, clock_cpu() - start, 1);
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
	return err ? capture_why_attach(why, pid, err) : 0;
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
		capture_why_attach(why, pid, err);
	else if (!f->sampled && !(err = proc_info_read(pid, &info)))
		err = capture_why_no_vm(why, &info, resolve_vm_module(c->resolve, pid), &ev,
					c->stats.vms_refused > refused, f->dropped);
	else if (f->probe_err && c->opts.need_traces)
		err = capture_why_probes(why, pid, f->probe_err, c->probe_text);
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
	int err = capture_tallies(c, f->pid, 1);

	c->err = c->err ? c->err : err;
	probes_free(f->probes);
	f->probes = NULL;
	f->probe_err = 0;
	capture_scan_drop(c, f);
	capture_native_drop(c, f);
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
	if (c->draining) {
		c->drained.lost_samples += h->kind == EV_SAMPLE;
		c->drained.lost_protos += h->kind == EV_PROTO_RAW;
		c->drained.lost_traces += h->kind == EV_TRACE;
		return 0;
	}
	/* What it takes to name things must not keep us from all else. */
	if (resolve_now() >= c->consume_until)
		c->over = 1;
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
	if (f && h->kind == EV_NATIVE)
		capture_native_seen(f, data);
	if (f && f->sampled && h->kind == EV_TRACE)
		capture_meet_vm(c, f, ((const struct ev_trace *)data)->g);
	else if (f && f->sampled && h->kind == EV_PROTO_RAW)
		capture_meet_vm(c, f, ((const struct ev_proto_raw *)data)->g);
	if (!c->err)
		c->err = resolve_record(c->resolve, h);
	return c->over ? -EAGAIN : 0;
}

int capture_consume(struct capture *c)
{
	if (c->consuming) /* called for one of its records: those before are delivered */
		return 1;
	c->consuming = 1;
	c->consume_until = resolve_now() + CONSUME_NS;
	c->over = 0;
	ring_buffer__consume(c->ring);
	c->consuming = 0;
	return !c->over;
}

/* The last time: what cannot be delivered any more counts as lost. */
static void consume_rest(struct capture *c)
{
	int i;

	for (i = 0; i < LAST_CONSUMES && !capture_consume(c); i++)
		;
	c->draining = 1;
	capture_consume(c);
	c->draining = 0;
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

/* Puts probes on the recorders of all processes, if that was not done when they were added. */
static int start_tracing(struct capture *c, struct why *why)
{
	const struct vm_list *vms;
	struct follow *f, *tmp;
	int err;

	if (c->opts.traces == CAPTURE_TRACES_OFF || c->tracer)
		return 0;
	err = capture_load_tracer(c);
	if (err)
		return capture_why_load(why, err);
	HASH_ITER(hh, c->procs, f, tmp)
	{
		vms = f->sampled ? resolve_vms(c->resolve, f->pid) : NULL;
		err = vms ? capture_install_probes(c, f, vms) : 0;
		if (err)
			return err;
	}
	return c->err;
}

int capture_start(struct capture *c, struct why *why)
{
	int err;

	c->ring = ring_buffer__new(bpf_map__fd(c->skel->maps.ring), on_record, c, NULL);
	if (!c->ring)
		return why_set(why, WHY_INTERNAL, -errno, "cannot map the ring buffer: %s",
			       strerror(errno));
	attach_tracepoints(c);
	err = c->opts.no_samples ? 0 : capture_open_events(c);
	if (err == -ESRCH)
		return why_set(why, WHY_TARGET, err, "the target exited while ljx attached to it");
	if (err)
		return capture_why_event(why, err);
	c->running = 1;
	err = emit_clock(c);
	return err ? err : start_tracing(c, why);
}

/* Passes losses on as a record. */
static int emit_lost(struct capture *c)
{
	const struct smp_counters *now = (const void *)&c->skel->bss->counters;
	struct ev_lost e = {
	    .h = {.kind = EV_LOST, .size = sizeof(e), .time = resolve_now()},
	    .samples = now->lost_samples - c->told.lost_samples + c->drained.lost_samples,
	    .protos = now->lost_protos - c->told.lost_protos + c->drained.lost_protos};

	if (!e.samples && !e.protos)
		return 0;
	c->told = *now;
	return c->sink(c->ctx, &e.h);
}

/* Looks at a process: is it alive, has it a VM, has it new ones? */
static void look_after(struct capture *c, struct follow *f)
{
	uint64_t start = clock_cpu();
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
			plan(f, clock_cpu() - start, 0);
		return;
	}
	err = resolve_rescan(c->resolve, f->pid, LOOK_NS, &vms, &changed);
	if (!err && changed) {
		c->stats.vms = c->stats.vms - f->nvms + vms->n;
		capture_install(c, f, vms);
	}
	f->looked += clock_cpu() - start;
	if (err == 1) /* it goes on in the next round */
		return;
	if (!err)
		note_excess(c, f, vms);
	plan(f, f->looked, changed);
	f->looked = 0;
}

/* Where the kernel does not tell of forks. */
static int poll_children(struct capture *c, int pid)
{
	struct ev_fork e = {.h = {.kind = EV_FORK,
				  .size = sizeof(e),
				  .time = resolve_now(),
				  .pid = (uint32_t)pid,
				  .tid = (uint32_t)pid}};
	size_t n, i;
	int *child = proc_children(pid, &n), err = 0;

	for (i = 0; child && i < n && !err; i++) {
		if (find(c, child[i]) || capture_watch(c, child[i]))
			continue;
		e.child = (uint32_t)child[i];
		err = resolve_record(c->resolve, &e.h);
	}
	free(child);
	return err;
}

static int poll_all_children(struct capture *c)
{
	uint64_t now = resolve_now();
	struct follow *f, *tmp;
	int err = 0;

	if (c->btf || !c->opts.follow || now < c->next_children)
		return 0;
	c->next_children = now + CHILDREN_EVERY;
	HASH_ITER(hh, c->procs, f, tmp)
	{
		err = poll_children(c, f->pid);
		if (err)
			break;
	}
	return err;
}

static int housekeeping(struct capture *c)
{
	uint64_t now = resolve_now();
	struct follow *f, *tmp;
	int err;

	err = poll_all_children(c);
	if (err)
		return err;
	resolve_poll(c->resolve);
	HASH_ITER(hh, c->procs, f, tmp)
	{
		f->no_vm = 0; /* its address may be a VM's by the next time */
		capture_native_tick(c, f, now);
		if (f->next <= now || (f->hinted && f->next_hinted <= now))
			look_after(c, f);
	}
	err = emit_lost(c);
	if (!err)
		err = capture_tallies_tick(c, now);
	if (!err)
		err = capture_scan_more(c);
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
		capture_consume(c);
		err = housekeeping(c);
	} while (!err && ms > 0);
	return err;
}

int capture_stop(struct capture *c)
{
	struct follow *f, *tmp;
	int err;

	if (!c->running)
		return 0;
	c->running = 0;
	capture_close_events(c);
	HASH_ITER(hh, c->procs, f, tmp)
	{
		probes_free(f->probes);
		f->probes = NULL;
	}
	consume_rest(c);
	err = emit_lost(c);
	if (!err)
		err = capture_tallies(c, 0, 0);
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
	s->lost_samples = n->lost_samples + c->drained.lost_samples;
	s->lost_protos = n->lost_protos + c->drained.lost_protos;
	s->lost_natives = n->lost_natives;
	s->faults = n->faults;
	s->traces = n->traces;
	s->lost_traces = n->lost_traces + c->drained.lost_traces;
	s->tallied = n->tallied;
	s->probe_hits = n->probes;
	s->targets = s->watched = s->scanning = 0;
	s->vms_unwatched = c->unwatched;
	s->vms_dropped = c->dropped;
	s->vms_unsampled = c->unsampled;
	s->files_skipped = c->skipped;
	s->looks_cut = c->cut;
	HASH_ITER(hh, c->procs, f, tmp)
	{
		s->scanning += f->scan && jitscan_running(f->scan);
		s->targets += f->sampled ? 1 : 0;
		s->watched += f->sampled ? 0 : 1;
		s->vms_unwatched += f->unwatched;
		s->vms_dropped += f->dropped;
		s->vms_unsampled += f->nvms > SMP_VMS ? f->nvms - SMP_VMS : 0;
		s->files_skipped += f->skipped;
		s->looks_cut += f->scan ? jitscan_cut(f->scan) : 0;
	}
	s->resolve = *resolve_stats(c->resolve);
	capture_native_stats(c, s);
	return s;
}
