/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What differs between kernels. The sampler is compiled twice: as it is, for newer kernels (6.12),
 * and with OLD_KERNEL for those that refuse that, from Linux 5.10 on, where
 *   - there is no bpf_loop: a loop calls a global function, which the verifier looks at once;
 *   - a global function takes numbers only;
 *   - an addition does not tell what was there before;
 *   - probes have no cookies: a map has them, by process and address.
 * Neither needs the kernel's BTF: what is found by it has another way, or is left out.
 */
#ifndef BPF_COMPAT_BPF_H
#define BPF_COMPAT_BPF_H

/* Is entry i of the vector of traces, of references of size bytes, empty? */
static __always_inline int is_free(u64 vec, u32 size, u32 i)
{
	return !(size == 8 ? rd64(vec + 8 * (u64)i) : rd32(vec + 4 * (u64)i));
}

#ifdef OLD_KERNEL

__noinline int walk_one(void)
{
	struct making *m = making_now();

	return !m || walk_step(&m->w, &m->sc);
}

/*
 * The verifier goes through each turn of a loop, on each way that leads there: so loops are nested,
 * and in functions that it looks at once.
 */
#define TURNS 32u
__noinline int walk_some(void)
{
	u32 i;

	for (i = 0; i < TURNS; i++)
		if (walk_one())
			return 1;
	return 0;
}

static __always_inline void walk_all(void)
{
	u32 i;

	for (i = 0; i < 2 * EV_MAX_FRAMES; i += TURNS)
		if (walk_some())
			break;
}

__noinline int pick_one(u32 i)
{
	struct making *m = making_now();

	return !m || pick_step(&m->p, i);
}

__noinline int pick_some(u32 from, u32 n)
{
	u32 i;

	for (i = 0; i < TURNS && from + i < n; i++)
		if (pick_one(from + i))
			return 1;
	return 0;
}

static __always_inline void pick_all(u32 n)
{
	u32 i;

	for (i = 0; i < SMP_VMS && i < n; i += TURNS)
		if (pick_some(i, n))
			break;
}

/*
 * A count for each CPU, and for the sampler and the tracer, which it may interrupt: together with
 * both a number that is given once.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u32);
} proto_ids SEC(".maps");

static __always_inline u32 new_proto_id(const struct scratch *sc)
{
	u32 who = sc->sampler & 1, *n = bpf_map_lookup_elem(&proto_ids, &who);

	if (!n)
		return EV_NO_PROTO;
	return (++*n * config.ncpus + bpf_get_smp_processor_id()) * 2 + who;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SMP_COOKIES);
	__type(key, struct smp_watch_key);
	__type(value, u64);
} cookies SEC(".maps");

static __always_inline u64 cookie_of(void *ctx, u64 addr)
{
	struct smp_watch_key key = {.addr = addr, .tgid = current_id() >> 32};
	u64 *cookie = bpf_map_lookup_elem(&cookies, &key);

	return cookie ? *cookie : PROBE_NONE;
}

#define FREE_STEPS 256u
__noinline u32 free_steps(u64 vec, u32 size, u32 trace, u32 until)
{
	u32 i;

	for (i = 0; i < FREE_STEPS && trace < until && !is_free(vec, size, trace); i++)
		trace++;
	return trace;
}

static __always_inline u32 first_free(u64 vec, u32 size, u32 trace, u32 until)
{
	u32 i, next;

	for (i = 0; i < (1u << 16) / FREE_STEPS; i++) {
		next = free_steps(vec, size, trace, until);
		if (next - trace < FREE_STEPS)
			return next;
		trace = next;
	}
	return trace;
}

#else

static long walk_cb(u32 i, void *ctx)
{
	struct making *m = making_now();

	return m ? walk_step(&m->w, &m->sc) : 1;
}

static __always_inline void walk_all(void)
{
	bpf_loop(2 * EV_MAX_FRAMES, walk_cb, 0, 0);
}

static long pick_cb(u32 i, void *ctx)
{
	struct making *m = making_now();

	return m ? pick_step(&m->p, i) : 1;
}

static __always_inline void pick_all(u32 n)
{
	bpf_loop(n < SMP_VMS ? n : SMP_VMS, pick_cb, 0, 0);
}

static __always_inline u32 new_proto_id(const struct scratch *sc)
{
	return (u32)__sync_fetch_and_add(&counters.protos, 1) + 1;
}

static __always_inline u64 cookie_of(void *ctx, u64 addr)
{
	return bpf_get_attach_cookie(ctx);
}

struct free_search {
	u64 vec;
	u32 size;
	u32 trace;
	u32 until;
	u32 pad;
};

static long free_cb(u32 i, void *ctx)
{
	struct free_search *f = ctx;

	if (f->trace >= f->until || is_free(f->vec, f->size, f->trace))
		return 1;
	f->trace++;
	return 0;
}

static __always_inline u32 first_free(u64 vec, u32 size, u32 trace, u32 until)
{
	struct free_search f = {.vec = vec, .size = size, .trace = trace, .until = until};

	bpf_loop(1u << 16, free_cb, &f, 0);
	return f.trace;
}

#endif

/* The size of a kernel stack, at whose upper end are the registers of user mode. */
#define KERNEL_STACK 16384
#define USER_CS 0x33 /* 64-bit code, arch/x86/include/asm/segment.h */

/* The registers that the current task had when it entered the kernel. 0, or -1 if not to be had. */
static __always_inline int saved_regs(struct regs *r)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	const char *stack;

	if (!config.btf)
		return -1;
#ifndef OLD_KERNEL
	stack = (const char *)bpf_task_pt_regs(bpf_get_current_task_btf());
	return bpf_probe_read_kernel(r, sizeof(*r), stack) ? -1 : 0;
#endif
	if (!bpf_core_field_exists(task->stack))
		return -1;
	stack = BPF_CORE_READ(task, stack);
	/* A kernel with larger stacks has something else there. */
	if (bpf_probe_read_kernel(r, sizeof(*r), stack + KERNEL_STACK - sizeof(*r)) ||
	    r->cs != USER_CS || r->sp >> 47)
		return -1;
	return 0;
}

#endif
