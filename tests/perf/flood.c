// SPDX-License-Identifier: MIT
/*
 * The samples of a machine with many CPUs: flood OBJECT PID FRAMES RATE SECONDS OUT
 *
 * Captures a target that runs tests/perf/deep.lua until it has enough samples with so many frames,
 * then has a BPF program push those again and again, RATE a second, into the capture's own ring,
 * while the capture reads, resolves, folds and records them as `ljx record` does. Prints as JSON
 * how many were pushed, lost and delivered, and the reader's CPU time and memory.
 */
#include "tests/perf/flood.h"
#include "bpf/capture_int.h"
#include "bpf/rec.h"
#include "profiler/prof.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define CPUS 64u /* the machine that this stands for: its ring has the size for so many */
#define RATE_OF_ONE 999u
#define STEP_NS 1000000u
#define WARM_UP_MS 20000

struct flood {
	struct prof *prof;
	struct rec_writer *writer;
	struct bpf_object *obj;
	uint32_t frames, ntemplates;
	uint64_t delivered;
	int pushing;
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "flood: %s: %s\n", what, why);
	exit(1);
}

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void keep(struct flood *f, const struct ev_sample *s)
{
	struct flood_template t = {.size = s->h.size};
	uint32_t idx = f->ntemplates;

	if (f->ntemplates == FLOOD_TEMPLATES || s->nframes != f->frames ||
	    s->h.size > sizeof(t.data))
		return;
	memcpy(t.data, s, s->h.size);
	if (bpf_map_update_elem(bpf_object__find_map_fd_by_name(f->obj, "templates"), &idx, &t, 0))
		die("templates", strerror(errno));
	f->ntemplates++;
}

static int sink(void *ctx, const struct ev_hdr *h)
{
	struct flood *f = ctx;
	int err;

	if (h->kind == EV_SAMPLE && f->pushing)
		f->delivered++;
	else if (h->kind == EV_SAMPLE)
		keep(f, (const struct ev_sample *)(const void *)h);
	err = prof_add(f->prof, h);
	return err ? err : rec_write(f->writer, h);
}

static void load(struct flood *f, const char *path, const struct capture *c)
{
	struct bpf_map *ring;

	f->obj = bpf_object__open_file(path, NULL);
	ring = f->obj ? bpf_object__find_map_by_name(f->obj, "ring") : NULL;
	if (!ring || bpf_map__reuse_fd(ring, bpf_map__fd(c->skel->maps.ring)) ||
	    bpf_object__load(f->obj))
		die(path, strerror(errno));
}

struct pushed {
	uint64_t pushed, lost, late_ns;
};

/* In a process of its own: the reader's CPU time is to be the reader's. */
static void push(const struct flood *f, double rate, double seconds, int out)
{
	int prog = bpf_program__fd(bpf_object__find_program_by_name(f->obj, "flood"));
	uint64_t start = now(CLOCK_MONOTONIC), t, all = (uint64_t)(rate * seconds), want;
	struct flood_args a = {.templates = f->ntemplates};
	struct pushed p = {0, 0, 0};

	while (p.pushed < all) {
		struct timespec wait = {.tv_nsec = STEP_NS};
		LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &a, .ctx_size_in = sizeof(a));

		nanosleep(&wait, NULL);
		t = now(CLOCK_MONOTONIC) - start;
		want = (uint64_t)((double)t * rate / 1e9);
		want = want < all ? want : all;
		if (want - p.pushed > (uint64_t)(rate / 20)) { /* we slept for long: no burst */
			p.late_ns += (uint64_t)((double)(want - p.pushed) * 1e9 / rate);
			start += (uint64_t)((double)(want - p.pushed) * 1e9 / rate);
			continue;
		}
		a.count = (uint32_t)(want - p.pushed);
		a.seed = (uint32_t)p.pushed;
		a.lost = 0;
		if (bpf_prog_test_run_opts(prog, &opts))
			die("cannot push", strerror(errno));
		p.pushed += a.count;
		p.lost += a.lost;
	}
	if (write(out, &p, sizeof(p)) != sizeof(p))
		exit(1);
}

static void measure(struct flood *f, struct capture *c, double rate, double seconds)
{
	struct pushed p = {0, 0, 0};
	struct rusage usage;
	uint64_t begun, cpu;
	int fd[2], err;
	pid_t child;

	f->pushing = 1;
	if (pipe(fd))
		die("pipe", strerror(errno));
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	begun = now(CLOCK_MONOTONIC);
	child = fork();
	if (!child) {
		push(f, rate, seconds, fd[1]);
		_exit(0);
	}
	while (!waitpid(child, NULL, WNOHANG)) {
		err = capture_poll(c, 50);
		if (err)
			die("capture", strerror(-err));
	}
	capture_consume(c);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	begun = now(CLOCK_MONOTONIC) - begun;
	if (read(fd[0], &p, sizeof(p)) != sizeof(p))
		die("the generator", "it failed");
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"frames\": %u, \"stacks\": %u, \"pushed\": %llu, \"lost\": %llu, "
	       "\"delivered\": %llu, \"seconds\": %.3f, \"cpu_seconds\": %.3f, "
	       "\"memory_mb\": %.1f, \"ring_mb\": %u}\n",
	       f->frames, f->ntemplates, (unsigned long long)p.pushed, (unsigned long long)p.lost,
	       (unsigned long long)f->delivered, (double)begun / 1e9, (double)cpu / 1e9,
	       (double)usage.ru_maxrss / 1024, bpf_map__max_entries(c->skel->maps.ring) >> 20);
}

int main(int argc, char **argv)
{
	struct capture_opts opts = {.rate = RATE_OF_ONE};
	const struct prof_opts po = {.keep = 0};
	struct flood f = {.prof = prof_new(&po)};
	struct capture *c = NULL;
	struct why why = {0};
	int fd, waited;

	if (argc != 7) {
		fprintf(stderr, "usage: flood OBJECT PID FRAMES RATE SECONDS OUT\n");
		return 2;
	}
	f.frames = (uint32_t)atoi(argv[3]);
	opts.ring_bytes = 2 * RATE_OF_ONE * CPUS * (96 + 16 * 64);
	fd = open(argv[6], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || rec_writer_new(fd, &f.writer))
		die(argv[6], strerror(errno));
	if (capture_new(&opts, sink, &f, &c, &why) || capture_add(c, atoi(argv[2]), &why))
		die("capture", why.text);
	load(&f, argv[1], c);
	if (capture_start(c, &why))
		die("capture", why.text);
	for (waited = 0; f.ntemplates < FLOOD_TEMPLATES && waited < WARM_UP_MS; waited += 50)
		capture_poll(c, 50);
	if (f.ntemplates < FLOOD_TEMPLATES / 4)
		die("the target", "too few samples of that depth");
	capture_close_events(c);
	capture_consume(c);
	measure(&f, c, atof(argv[4]), atof(argv[5]));
	rec_writer_free(f.writer);
	bpf_object__close(f.obj);
	capture_free(c);
	prof_free(f.prof);
	return 0;
}
