// SPDX-License-Identifier: MIT
/* Loads the BPF programs, in the form that this kernel takes. */
#include "bpf/caps.h"
#include "bpf/capture_int.h"
#include "bpf/kbtf.h"
#include "bpf/probes.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <sampler_old.skel.h>

#define FIRST_PID_NS 0xeffffffcu /* PROC_PID_INIT_INO, linux/proc_ns.h */

int capture_cpus(void)
{
	int n = libbpf_num_possible_cpus();

	return n > 0 ? n : get_nprocs_conf(); /* without /sys */
}

static uint32_t ring_size(const struct capture_opts *o)
{
	uint64_t want = o->ring_bytes, size = 4u << 20;

	if (!want)
		want = 2ull * o->rate * (uint64_t)capture_cpus() * (96 + 16 * 64);
	while (size < want && size < 64u << 20)
		size *= 2;
	return (uint32_t)size;
}

static int no_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

static int kernel_is_from(unsigned int major, unsigned int minor)
{
	unsigned int is_major = 0, is_minor = 0;
	struct utsname u;

	if (uname(&u) || sscanf(u.release, "%u.%u", &is_major, &is_minor) != 2)
		return 0;
	return is_major > major || (is_major == major && is_minor >= minor);
}

/* From 6.6 to 6.9 such a link for a process saw its first thread only, unless that was mended. */
static int has_good_multi(void)
{
	return kernel_is_from(6, 10);
}

/* The programs of the trace recorder's probes, in one of the two objects. */
static void choose(struct sampler_bpf *skel, int traces)
{
	struct bpf_program *prog, *const tracer[] = {skel->progs.probe_update,
						     skel->progs.probe_err,
						     skel->progs.probe_flushall, skel->progs.watch};
	size_t i;

	bpf_object__for_each_program(prog, skel->obj) bpf_program__set_autoload(prog, !traces);
	for (i = 0; i < sizeof(tracer) / sizeof(tracer[0]); i++)
		bpf_program__set_autoload(tracer[i], traces);
}

static void configure(struct capture *c, int native)
{
	struct smp_config *config = &c->skel->rodata->config;
	struct stat ns;

	if (!stat("/proc/self/ns/pid", &ns) && ns.st_ino != FIRST_PID_NS) {
		config->ns_dev = ns.st_dev;
		config->ns_ino = ns.st_ino;
	}
	c->skel->rodata->limit = c->opts.limit;
	config->btf = (uint32_t)c->btf;
	config->blind = !c->btf || c->old;
	config->ncpus = (uint32_t)capture_cpus();
	if (native)
		config->native = (c->opts.native ? SMP_NATIVE_USER : 0) |
				 (c->opts.kernel ? SMP_NATIVE_KERNEL : 0);
	/* The last eighth is kept for trace events: they are few, and each one counts. */
	config->room = ring_size(&c->opts) / 8 * 7;
	bpf_map__set_max_entries(c->skel->maps.ring, ring_size(&c->opts));
	if (!config->blind)
		bpf_map__set_max_entries(c->skel->maps.stacks, 1);
	c->multi = !c->old && (caps_missing(CAPS_SYS_ADMIN) || has_good_multi());
	choose(c->skel, 0);
	/* A child's pid is in the kernel's structures: without them, children are polled. */
	bpf_program__set_autoload(c->skel->progs.on_fork, c->btf);
	if (!config->native) {
		bpf_program__set_autoload(c->skel->progs.native, false);
		bpf_map__set_max_entries(c->skel->maps.tables, 1);
		bpf_map__set_max_entries(c->skel->maps.unwound, 1);
	}
	if (c->opts.traces == CAPTURE_TRACES_OFF) {
		bpf_map__set_max_entries(c->skel->maps.recorders, 1);
		bpf_map__set_max_entries(c->skel->maps.starts, 1);
		bpf_map__set_max_entries(c->skel->maps.tallies, 1);
	}
	if (kernel_is_from(6, 1))
		return;
	/* Before 6.1 programs of perf events may only use maps whose memory is there. */
	bpf_map__set_map_flags(c->skel->maps.procs, 0);
	bpf_map__set_map_flags(c->skel->maps.vms, 0);
	bpf_map__set_map_flags(c->skel->maps.vm_at, 0);
	bpf_map__set_map_flags(c->skel->maps.watched, 0);
}

/* Does the map of these variables hold all that the skeleton knows, but for padding? */
static int holds(const struct bpf_map *map, size_t size)
{
	return bpf_map__value_size(map) + 7 >= size;
}

/* The skeleton of the one form, with the code of the other: both have the same programs. */
static struct sampler_bpf *open_form(int old, const struct bpf_object_open_opts *opts)
{
	struct sampler_bpf *skel = calloc(1, sizeof(*skel));
	const void *elf;
	size_t size;

	if (!skel || sampler_bpf__create_skeleton(skel)) {
		free(skel);
		return NULL;
	}
	elf = old ? sampler_old_bpf__elf_bytes(&size) : sampler_bpf__elf_bytes(&size);
	skel->skeleton->data = (void *)(uintptr_t)elf;
	skel->skeleton->data_sz = size;
	if (!bpf_object__open_skeleton(skel->skeleton, opts) &&
	    holds(skel->maps.bss, sizeof(*skel->bss)) &&
	    holds(skel->maps.rodata, sizeof(*skel->rodata)))
		return skel;
	sampler_bpf__destroy(skel);
	return NULL;
}

static int load_form(struct capture *c, int old, int native,
		     const struct bpf_object_open_opts *opts)
{
	int err;

	c->skel = open_form(old, opts);
	if (!c->skel)
		return -ENOMEM;
	c->old = old;
	configure(c, native);
	err = sampler_bpf__load(c->skel);
	if (!err && native)
		err = capture_native_init(c);
	if (err) {
		capture_native_free(c);
		c->native = NULL;
		sampler_bpf__destroy(c->skel);
		c->skel = NULL;
		return err;
	}
	c->cookies = old ? bpf_object__find_map_fd_by_name(c->skel->obj, "cookies") : -1;
	return 0;
}

/* The kernel's structures, for both objects. 0 or -errno. */
static int open_btf(struct capture *c)
{
	c->btf = !access("/sys/kernel/btf/vmlinux", R_OK);
	c->btf_file = c->btf ? kbtf_open() : kbtf_open_none();
	/* Without it libbpf may succeed with the kernel's. */
	return c->btf_file < 0 && !c->btf ? c->btf_file : 0;
}

/* The options to open an object with. */
static void options(const struct capture *c, struct bpf_object_open_opts *opts, char path[64])
{
	if (c->btf_file < 0)
		return;
	snprintf(path, 64, "/proc/self/fd/%d", c->btf_file);
	opts->btf_custom_path = path;
}

/*
 * The newer form if possible, else the older one. An earlier kernel may take the sampler's programs
 * in the newer form and refuse the trace recorder's, which are loaded later, and must be of the
 * same form.
 */
static int load_any(struct capture *c, int native, const struct bpf_object_open_opts *opts)
{
	int old = c->opts.old_bpf || !kernel_is_from(6, 12);
	int err = old ? -EINVAL : load_form(c, 0, native, opts);

	/* The second error is no better than the first one, where that tells of the user. */
	if (err && err != -EPERM && err != -ENOMEM)
		err = load_form(c, 1, native, opts);
	return err;
}

int capture_load(struct capture *c)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts);
	char path[64];
	int native = c->opts.native || c->opts.kernel, err;

	libbpf_set_print(no_print);
	err = open_btf(c);
	if (err)
		return err;
	options(c, &opts, path);
	err = load_any(c, native, &opts);
	if (err && native) /* a profile without C frames is better than none */
		err = load_any(c, 0, &opts);
	return err;
}

/* The maps of the other object, variables included. */
static int share_maps(struct sampler_bpf *skel, const struct sampler_bpf *from)
{
	struct bpf_map *map, *same;
	int err;

	bpf_object__for_each_map(map, skel->obj)
	{
		same = bpf_object__find_map_by_name(from->obj, bpf_map__name(map));
		err = same ? bpf_map__reuse_fd(map, bpf_map__fd(same)) : -ENOENT;
		if (err)
			return err;
	}
	return 0;
}

int capture_load_tracer(struct capture *c)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts);
	struct bpf_program *uprobe[3];
	char path[64];
	size_t i;
	int err;

	options(c, &opts, path);
	c->tracer = open_form(c->old, &opts);
	err = c->tracer ? share_maps(c->tracer, c->skel) : -ENOMEM;
	if (!err) {
		choose(c->tracer, 1);
		uprobe[0] = c->tracer->progs.probe_update;
		uprobe[1] = c->tracer->progs.probe_err;
		uprobe[2] = c->tracer->progs.probe_flushall;
		for (i = 0; i < sizeof(uprobe) / sizeof(uprobe[0]) && c->multi; i++)
			bpf_program__set_expected_attach_type(uprobe[i], PROBE_UPROBE_MULTI);
		err = sampler_bpf__load(c->tracer);
	}
	return err;
}
