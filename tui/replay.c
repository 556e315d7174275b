// SPDX-License-Identifier: MIT
#include "bpf/offline.h"
#include "bpf/rec.h"
#include "tui/ljx.h"
#include "tui/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_SHOWN 5 /* files without names */

int is_recording(const char *arg)
{
	size_t len = strlen(arg);

	return !strcmp(arg, "-") || (len > 4 && !strcmp(arg + len - 4, ".ljx"));
}

/* Tells what is wrong with the file. */
static int judge(const struct rec_end *end, const char *path, struct why *why)
{
	if (end->truncated)
		fprintf(stderr, "ljx: '%s' was not finished by its writer; used %llu bytes\n",
			printable(path), (unsigned long long)end->good_bytes);
	if (end->bad_records)
		fprintf(stderr, "ljx: '%s': %llu malformed records skipped\n", printable(path),
			(unsigned long long)end->bad_records);
	return end->corrupt
		   ? why_set(why, WHY_INTERNAL, -EBADMSG, "'%s' is corrupt after byte %llu",
			     printable(path), (unsigned long long)end->good_bytes)
		   : 0;
}

static void tell(struct progress *p, int fd, off_t size, unsigned int records)
{
	if (size)
		progress_tell(p, " %3.0f%%, %u records",
			      100 * (double)lseek(fd, 0, SEEK_CUR) / (double)size, records);
	else
		progress_tell(p, ", %u records", records);
}

/* What has no name, and why: one line, of the files that have the most of it. */
static void tell_names(const struct options *o, const struct offline *names)
{
	unsigned long named = 0, unnamed = 0, files = 0, bad = 0;
	const struct offline_file *f, *most[NAMES_SHOWN] = {NULL};
	size_t i, at;

	if (o->quiet)
		return;
	for (i = 0; (f = offline_files(names, i)); i++) {
		named += f->named;
		unnamed += f->unnamed;
		files += f->unnamed != 0;
		bad += f->bad != 0;
		for (at = NAMES_SHOWN; at && (!most[at - 1] || f->unnamed > most[at - 1]->unnamed);
		     at--)
			if (at < NAMES_SHOWN)
				most[at] = most[at - 1];
		if (f->unnamed && at < NAMES_SHOWN)
			most[at] = f;
	}
	if (bad)
		fprintf(stderr,
			"ljx: %lu files have debug information that could not be read: what was "
			"inlined there is not known\n",
			bad);
	if (named)
		fprintf(stderr, "ljx: %lu C functions have their names from debug files here\n",
			named);
	if (!unnamed)
		return;
	fprintf(stderr, "ljx: %lu C functions have no name:", unnamed);
	for (i = 0; i < NAMES_SHOWN && most[i]; i++) {
		const char *base = strrchr(most[i]->path, '/');

		fprintf(stderr, "%s %lu in %s", i ? "," : "", most[i]->unnamed,
			printable(base ? base + 1 : most[i]->path));
		fprintf(stderr, most[i]->why[0] ? " (%s" : "%s", most[i]->why);
		if (most[i]->why[0])
			fprintf(stderr, "%s%s)", *most[i]->build_id ? " of " : "",
				printable(most[i]->build_id));
	}
	fprintf(stderr, files > i ? ", and %lu more files\n" : "\n", files - i);
}

void tell_unwatched(const struct options *o, uint64_t vms)
{
	if (vms && !o->quiet)
		fprintf(stderr, "ljx: %llu VM%s not watched: what %s not known\n",
			(unsigned long long)vms, vms == 1 ? " was" : "s were",
			vms == 1 ? "it compiles is" : "they compile is");
}

int replay(const struct options *o, const char *path, record_fn *fn, void *ctx, struct why *why)
{
	int fd = !strcmp(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	struct rec_reader *r = NULL;
	const struct ev_hdr *h;
	struct offline *names;
	unsigned int records = 0;
	uint64_t unwatched = 0;
	struct progress p;
	struct stat st;
	uint32_t kinds;
	off_t size;
	int err;

	if (fd < 0)
		return why_set(why, WHY_INTERNAL, -errno, "cannot read '%s': %s", printable(path),
			       strerror(errno));
	names = offline_new(o->debug_dir, o->inlines, say_unless_quiet, (void *)(uintptr_t)o);
	err = names ? rec_reader_new(fd, printable(path), &r, why) : -ENOMEM;
	kinds = names ? offline_kinds(names) : 0;
	size = !fstat(fd, &st) && S_ISREG(st.st_mode) ? st.st_size : 0;
	progress_init(&p, "reading", path);
	while (!err && (h = rec_next(r))) {
		err = h->kind < 32 && kinds >> h->kind & 1 ? offline_record(names, h, fn, ctx)
							   : fn(ctx, h);
		if (h->kind == EV_LOST)
			unwatched += EV_LOST_VMS((const struct ev_lost *)(const void *)h);
		if (!o->quiet && ++records % 8192 == 0 && progress_due(&p))
			tell(&p, fd, size, records);
	}
	progress_end(&p);
	if (!err)
		err = judge(rec_reader_end(r), path, why);
	if (!err || err == -EBADMSG) {
		tell_unwatched(o, unwatched);
		tell_names(o, names);
	}
	offline_free(names);
	rec_reader_free(r);
	close(fd);
	if (err == -ENOMEM)
		why_set(why, WHY_INTERNAL, err, "out of memory");
	return err;
}
