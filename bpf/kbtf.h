/* SPDX-License-Identifier: MIT */
/*
 * BTF of the few structures of the kernel that the BPF programs use. libbpf would parse all of the
 * kernel's 150,000 types for them, in each object anew.
 */
#ifndef BPF_KBTF_H
#define BPF_KBTF_H

/*
 * A file to be read as the kernel's BTF; the caller closes it. Or -errno: the kernel has none, or
 * has these structures in another way, which libbpf may understand.
 */
int kbtf_open(void);

/* One that knows no structure: the programs find that out and do without. */
int kbtf_open_none(void);

#endif
