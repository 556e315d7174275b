// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Pushes samples into ljx's ring as its sampler does: same map, same flags, same reserve. */
#include "tests/perf/flood.h"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

typedef __u32 u32;
typedef __u64 u64;

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Replaced by the capture's. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOOD_TEMPLATES);
	__type(key, u32);
	__type(value, struct flood_template);
} templates SEC(".maps");

static long push(u32 i, struct flood_args *a)
{
	struct flood_template *t;
	struct ev_hdr *h;
	u32 idx, size;

	if (!a->templates)
		return 1;
	idx = (a->seed + i * 2654435761u) % a->templates;
	t = bpf_map_lookup_elem(&templates, &idx);
	if (!t)
		return 1;
	size = t->size;
	if (size > sizeof(t->data))
		return 1;
	h = (struct ev_hdr *)t->data;
	h->time = bpf_ktime_get_ns();
	h->cpu = bpf_get_smp_processor_id();
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >
		bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE) / 8 * 7 ||
	    bpf_ringbuf_output(&ring, t->data, size, BPF_RB_NO_WAKEUP))
		a->lost++;
	return 0;
}

SEC("syscall")
int flood(struct flood_args *args)
{
	struct flood_args a = *args;

	bpf_loop(a.count, push, &a, 0);
	args->lost = a.lost;
	return 0;
}
