// SPDX-License-Identifier: MIT
/* bpf/container.h: lines of /proc/PID/cgroup as Docker, Kubernetes, Podman and systemd make them.
 */
#include "bpf/container.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ID "3f29c1a8b7d64e5f90a1b2c3d4e5f60718293a4b5c6d7e8f9012345678901234"

static void test_id(void **state)
{
	static const char *const in[] = {
	    "0::/system.slice/docker-" ID ".scope",
	    "0::/docker/" ID,
	    "12:memory:/docker/" ID "/nested",
	    "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/"
	    "cri-containerd-" ID ".scope",
	    "4:cpu,cpuacct:/kubepods/besteffort/pod77/" ID,
	    "0::/machine.slice/libpod-" ID ".scope/container",
	    "0::/../../" ID,
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		assert_true(container_line_is(in[i], ID));
		assert_true(container_line_is(in[i], "3f29c1a8b7d6"));
		assert_false(container_line_is(in[i], "9f29c1a8b7d6"));
		/* From the middle of an id. */
		assert_false(container_line_is(in[i], "29c1a8b7d64e"));
	}
	assert_true(container_line_is("0::/lxc/web", "web"));
	assert_false(container_line_is("0::/lxc/myweb", "web"));
	assert_false(container_line_is("0::/", "web"));
	assert_false(container_line_is("0::/x", ""));
	assert_false(container_line_is("", "x"));
	assert_false(container_line_is("garbage", "garbage"));
	assert_false(container_line_is("1:a", "a"));
}

static void test_cgroup(void **state)
{
	const char *v2 = "0::/system.slice/nginx.service/worker", *v1 = "5:cpu,cpuacct:/app/web";

	(void)state;
	assert_true(container_line_in_cgroup(v2, "/system.slice/nginx.service"));
	assert_true(container_line_in_cgroup(v2, "/system.slice/nginx.service/"));
	assert_true(container_line_in_cgroup(v2, "/sys/fs/cgroup/system.slice/nginx.service"));
	assert_true(container_line_in_cgroup(v2, "/"));
	assert_false(container_line_in_cgroup(v2, "/system.slice/nginx"));
	assert_false(container_line_in_cgroup(v2, "/nginx.service"));
	assert_false(container_line_in_cgroup(v2, "/sys/fs/cgroup/other"));
	assert_true(container_line_in_cgroup(v1, "/app"));
	assert_true(container_line_in_cgroup(v1, "/sys/fs/cgroup/cpu,cpuacct/app/web"));
	assert_true(container_line_in_cgroup(v1, "/sys/fs/cgroup/cpu/app"));
	assert_false(container_line_in_cgroup(v1, "/sys/fs/cgroup/memory/app"));
	assert_true(container_line_in_cgroup("0::/app/x", "/sys/fs/cgroup/unified/app"));
	assert_false(container_line_in_cgroup("0::/app/x", "/sys/fs/cgroup/unified/web"));
	assert_false(container_line_in_cgroup(v1, "/sys/fs/cgroup/unified/app/web"));
	assert_false(container_line_in_cgroup("", "/"));
	assert_false(container_line_in_cgroup("::", "/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_id),
	    cmocka_unit_test(test_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
