/* SPDX-License-Identifier: MIT */
/* Inside of bpf/probes*.c only. */
#ifndef BPF_PROBES_INT_H
#define BPF_PROBES_INT_H

#include "bpf/probes.h"
#include "bpf/sampler.h"

struct bpf_link;

/* The probes of one LuaJIT in the process (uprobes), or of one VM (watchpoints). */
struct probe_set {
	uint64_t key;		/* where the module lies, or the VM's global_State */
	uint64_t J;		/* of that VM */
	ev_u64 addr[2];		/* what is watched */
	ev_u64 ip[PROBE_FUNCS]; /* where uprobes are, if their cookies are in a map */
	struct bpf_link **link;
	size_t n;
	int multi[PROBE_FUNCS]; /* descriptors of links of many uprobes */
	size_t nmulti;
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

/* Appends to what is said of this update. */
__attribute__((format(printf, 2, 3))) void probes_say(const struct update *u, const char *fmt, ...);

/* Takes over a link, which NULL says could not be made: -errno. */
int probes_keep(struct probe_set *s, struct bpf_link *link);
void probes_drop_links(struct probe_set *s);

/* Copies s, whose links are then the copy's. */
int probes_add_set(struct probes *p, const struct probe_set *s);
struct probe_set *probes_find_set(const struct probes *p, uint64_t key);

/* probes_watch.c: on VMs that have none, as far as there are debug registers. 0 or -errno. */
int probes_watch(const struct update *u);

/* Tells BPF that the VM of a set is not watched any more. */
void probes_unwatch(struct probes *p, const struct probe_set *s);

#endif
