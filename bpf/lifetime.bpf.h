/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What becomes of the processes that are followed: fork, exec, exit. Part of sampler.bpf.c. */
#ifndef BPF_LIFETIME_BPF_H
#define BPF_LIFETIME_BPF_H

/* A task's pid in the innermost of its namespaces: ljx's own, for a child of a target. */
static __always_inline u32 inner_pid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level);
	int nr = 0;

	if (level < 32) /* MAX_PID_NS_LEVEL */
		bpf_probe_read_kernel(&nr, sizeof(nr),
				      (const char *)pid + bpf_core_field_offset(pid->numbers) +
					  level * bpf_core_type_size(struct upid));
	return nr;
}

SEC("raw_tp/sched_process_fork")
int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0], *task = (void *)ctx->args[1];
	u32 tgid = BPF_CORE_READ(parent, tgid), child = BPF_CORE_READ(task, tgid);
	struct ev_fork e = {};
	struct smp_proc *proc, copy;

	if (child == tgid) /* a thread */
		return 0;
	if (config.ns_ino) {
		tgid = current_id() >> 32;
		child = inner_pid(task);
	}
	proc = bpf_map_lookup_elem(&procs, &tgid);
	if (!proc || !(proc->flags & SMP_FOLLOW))
		return 0;
	copy = *proc;
	bpf_map_update_elem(&procs, &child, &copy, BPF_ANY);
	e.h.kind = EV_FORK;
	e.h.size = sizeof(e);
	e.h.time = bpf_ktime_get_ns();
	e.h.pid = tgid;
	e.h.tid = tgid;
	e.child = child;
	if (bpf_ringbuf_output(&ring, &e, sizeof(e), BPF_RB_NO_WAKEUP))
		COUNT(lost_notes);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
	u32 tgid = current_id() >> 32;
	struct ev_exec e = {};
	struct smp_proc *proc = bpf_map_lookup_elem(&procs, &tgid);

	if (!proc)
		return 0;
	proc->flags |= SMP_IDLE; /* all addresses are void */
	e.h.kind = EV_EXEC;
	e.h.size = sizeof(e);
	e.h.time = bpf_ktime_get_ns();
	e.h.pid = tgid;
	e.h.tid = tgid;
	if (bpf_ringbuf_output(&ring, &e, sizeof(e), BPF_RB_NO_WAKEUP))
		COUNT(lost_notes);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	u64 id = current_id();
	u32 tgid = id >> 32;
	struct ev_exit e = {};

	/* The leader's exit; other threads may run on, user space looks. */
	if (tgid != (u32)id || !bpf_map_lookup_elem(&procs, &tgid))
		return 0;
	e.h.kind = EV_EXIT;
	e.h.size = sizeof(e);
	e.h.time = bpf_ktime_get_ns();
	e.h.pid = tgid;
	e.h.tid = tgid;
	e.status = -1;
	if (bpf_core_field_exists(task->exit_code))
		e.status = BPF_CORE_READ(task, exit_code);
	if (bpf_ringbuf_output(&ring, &e, sizeof(e), BPF_RB_NO_WAKEUP))
		COUNT(lost_notes);
	return 0;
}

#endif
