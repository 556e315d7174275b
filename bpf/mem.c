// SPDX-License-Identifier: MIT
#include "bpf/mem.h"

#include <errno.h>
#include <sys/uio.h>

long mem_read_some(int pid, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = {.iov_base = buf, .iov_len = len};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)addr, .iov_len = len};
	ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n;
}

int mem_read(int pid, uint64_t addr, void *buf, size_t len)
{
	long n = mem_read_some(pid, addr, buf, len);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EFAULT;
}
