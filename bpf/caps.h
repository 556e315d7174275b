/* SPDX-License-Identifier: MIT */
/*
 * What this process may do: its capabilities, and what else the kernel asks before it lets us. The
 * words for a refusal are found here, so that each verb and `ljx doctor` name the same cause.
 */
#ifndef BPF_CAPS_H
#define BPF_CAPS_H

#include "bpf/why.h"

#include <stddef.h>
#include <stdint.h>

/* As bits of a set: linux/capability.h, which does not know all of them everywhere. */
#define CAPS_BIT(n) (1ull << (n))
#define CAPS_CHOWN CAPS_BIT(0)
#define CAPS_DAC_OVERRIDE CAPS_BIT(1)
#define CAPS_DAC_READ_SEARCH CAPS_BIT(2)
#define CAPS_SYS_PTRACE CAPS_BIT(19)
#define CAPS_SYS_ADMIN CAPS_BIT(21)
#define CAPS_PERFMON CAPS_BIT(38)
#define CAPS_BPF CAPS_BIT(39)
#define CAPS_CHECKPOINT_RESTORE CAPS_BIT(40)

/* To load the programs, to sample, and to read other users' processes. */
#define CAPS_NEEDED (CAPS_BPF | CAPS_PERFMON | CAPS_SYS_PTRACE)

/* The effective set. */
uint64_t caps_effective(void);

/* Those of need that are missing. CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON too. */
uint64_t caps_missing(uint64_t need);

/* "CAP_BPF CAP_PERFMON" */
void caps_names(uint64_t set, char *buf, size_t size);

/* Gives up all capabilities but these, for good. 0 or -errno. */
int caps_keep(uint64_t set);

/* Is a seccomp filter on this process? */
int caps_filtered(void);

/* Is this process in a user namespace of its own, where root is nobody outside? */
int caps_user_namespace(void);

/* kernel.perf_event_paranoid; -2: not known. */
long caps_paranoid(void);

/* Adds to why what to do about the lack of need, which err (EPERM, EACCES) told. */
void caps_hint(struct why *why, uint64_t need);

#endif
