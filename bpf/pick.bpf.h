/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Which VM a thread is in, if its registers do not tell: the one whose C frame is the innermost on
 * the thread's C stack. Part of sampler.bpf.c.
 */
#ifndef BPF_PICK_BPF_H
#define BPF_PICK_BPF_H

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SMP_ALL_VMS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct smp_vmid);
	__type(value, u32);
} vm_at SEC(".maps");

/* By thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SMP_NEAR_THREADS);
	__type(key, u32);
	__type(value, struct smp_near);
} near SEC(".maps");

/* Choosing a VM by the C stack: the innermost C frame above sp. */
struct pick {
	struct smp_vmkey key;
	u64 sp;
	u64 g, dist;
	u64 any; /* a VM at all, for samples outside Lua */
	u32 layout, any_layout;
	u32 busy;  /* VMs that some thread is in */
	u32 nnear; /* choose among the first of near; 0: among all of the process */
	struct smp_near near;
};

/* The layout of a VM that is in the list, or NULL. */
static __always_inline const u32 *vm_known(u32 key, u64 g)
{
	struct smp_vmid id = {.g = g, .key = key};

	return bpf_map_lookup_elem(&vm_at, &id);
}

static __always_inline int pick_step(struct pick *p, u32 i)
{
	const struct layout *l;
	const struct smp_vm *vm;
	const u32 *near;
	u64 g, L = 0, cf, s[WALK_L_WORDS] = {};
	struct walk_L th;
	u32 layout;

	if (p->nnear) {
		g = p->near.g[i & (SMP_NEAR - 1)];
		near = vm_known(p->key.key, g);
		if (!near)
			return 0;
		layout = *near;
	} else {
		p->key.idx = i;
		vm = bpf_map_lookup_elem(&vms, &p->key);
		if (!vm)
			return 0;
		g = vm->g;
		layout = vm->layout;
	}
	l = bpf_map_lookup_elem(&layouts, &layout);
	if (!l || peek(&L, 8, g + l->G_cur_L))
		return 0;
	L = layout_ref(l, L);
	if (!L || peek(s, sizeof(s), L))
		return 0;
	th = walk_L(l, s);
	if (th.g != g)
		return 0;
	p->any = g;
	p->any_layout = layout;
	cf = th.cframe;
	p->busy += cf != 0;
	if (cf >= p->sp && cf - p->sp < p->dist) {
		p->dist = cf - p->sp;
		p->g = g;
		p->layout = layout;
	}
	return 0;
}

/* pick_step for 0 to n - 1: compat.bpf.h */
static __always_inline void pick_all(u32 n);

/* The thread is, or was, in VM g; now: 0, or when all were looked at. */
static __always_inline void remember_near(struct pick *p, u32 key, u64 g, u64 now)
{
	u32 tid = (u32)bpf_get_current_pid_tgid(), i;
	struct smp_near *n = bpf_map_lookup_elem(&near, &tid);

	if (!n || n->key != key) {
		/* Not on the stack, which has little room. */
		__builtin_memset(&p->near, 0, sizeof(p->near));
		p->near.looked = now;
		p->near.key = key;
		p->near.n = 1;
		p->near.g[0] = g;
		bpf_map_update_elem(&near, &tid, &p->near, BPF_ANY);
		return;
	}
	if (now)
		n->looked = now;
	for (i = 0; i < SMP_NEAR && i < n->n; i++)
		if (n->g[i] == g)
			return;
	if (n->n < SMP_NEAR)
		n->g[n->n & (SMP_NEAR - 1)] = g;
	if (n->n <= SMP_NEAR)
		n->n++;
}

/*
 * The innermost VM by the C stack. What that costs must not grow with the VMs of the process: where
 * there are many, those that the thread was seen in are looked at, and all only now and then.
 */
static __always_inline void pick_by_stack(struct pick *p, const struct smp_proc *proc, u64 now,
					  int blind)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct smp_near *n;

	if (blind || proc->nvms <= SMP_NEAR) {
		pick_all(proc->nvms);
		return;
	}
	n = bpf_map_lookup_elem(&near, &tid);
	if (n && n->key == proc->vmkey && n->n <= SMP_NEAR && now - n->looked < SMP_LOOK_EVERY) {
		__builtin_memcpy(&p->near, n, sizeof(p->near));
		p->nnear = n->n;
		pick_all(n->n);
		if (p->any)
			return;
		p->nnear = 0;
	}
	pick_all(proc->nvms);
	if (p->any)
		remember_near(p, proc->vmkey, p->g ? p->g : p->any, now);
}

#endif
