// SPDX-License-Identifier: MIT
/* bpf/container.h: lines of /proc/PID/cgroup as Docker, Kubernetes, Podman and systemd make them.
 */
#include "bpf/container.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define ID "3f29c1a8b7d64e5f90a1b2c3d4e5f60718293a4b5c6d7e8f9012345678901234"

/* CONTAINER_IS: want is the id. CONTAINER_BEGINS: it begins with id, and is want. */
static void check(const char *line, const char *id, enum container_match match, const char *want)
{
	char full[CONTAINER_ID] = "";

	assert_int_equal(container_line_find(line, id, full), match);
	assert_string_equal(full, want);
}

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
	    "0::/system.slice/system-x.slice:cri-containerd:" ID,
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		check(in[i], ID, CONTAINER_IS, ID);
		check(in[i], "3f29c1a8b7d6", CONTAINER_BEGINS, ID);
		check(in[i], "3", CONTAINER_BEGINS, ID);
		check(in[i], "9f29c1a8b7d6", CONTAINER_NO, "");
		check(in[i], ID "0", CONTAINER_NO, "");
		/* From the middle of an id. */
		check(in[i], "29c1a8b7d64e", CONTAINER_NO, "");
		/* What all of a runtime's containers have in common. */
		check(in[i], "docker", CONTAINER_NO, "");
		check(in[i], "docker-", CONTAINER_NO, "");
		check(in[i], "doc", CONTAINER_NO, "");
		check(in[i], "cri", CONTAINER_NO, "");
		check(in[i], "libpod", CONTAINER_NO, "");
		check(in[i], "container", CONTAINER_NO, "");
		check(in[i], "kubepods", CONTAINER_NO, "");
	}
}

static void test_name(void **state)
{
	char longest[CONTAINER_ID + 16] = "0::/";

	(void)state;
	check("0::/lxc/web", "web", CONTAINER_IS, "web");
	check("0::/lxc.payload.web/system.slice/x.service", "web", CONTAINER_IS, "web");
	check("0::/machine.slice/machine-web.scope/payload", "web", CONTAINER_IS, "web");
	check("0::/kubepods/pod77/x", "pod77", CONTAINER_IS, "pod77");
	/* Only ids are shortened. */
	check("0::/lxc/web", "we", CONTAINER_NO, "");
	check("0::/lxc/cafe", "caf", CONTAINER_NO, "");
	check("0::/lxc/myweb", "web", CONTAINER_NO, "");
	check("0::/lxc/web", "lxc", CONTAINER_NO, "");
	check("0::/", "web", CONTAINER_NO, "");
	check("0::/x", "", CONTAINER_NO, "");
	check("0::/.scope/-/x-", "x", CONTAINER_NO, "");
	check("", "x", CONTAINER_NO, "");
	check("garbage", "garbage", CONTAINER_NO, "");
	check("1:a", "a", CONTAINER_NO, "");
	/* A name that begins with what another one is. */
	check("0::/" ID "/3f29c1a8", "3f29c1a8", CONTAINER_IS, "3f29c1a8");
	/* Longer than any name. */
	memset(longest + 4, 'a', CONTAINER_ID);
	check(longest, "a", CONTAINER_NO, "");
	check(longest, longest + 4, CONTAINER_NO, "");
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
	    cmocka_unit_test(test_name),
	    cmocka_unit_test(test_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
