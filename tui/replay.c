// SPDX-License-Identifier: MIT
#include "bpf/rec.h"
#include "tui/ljx.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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

int replay(const char *path, record_fn *fn, void *ctx, struct why *why)
{
	int fd = !strcmp(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	struct rec_reader *r = NULL;
	const struct ev_hdr *h;
	int err;

	if (fd < 0)
		return why_set(why, WHY_INTERNAL, -errno, "cannot read '%s': %s", printable(path),
			       strerror(errno));
	err = rec_reader_new(fd, printable(path), &r, why);
	while (!err && (h = rec_next(r)))
		err = fn(ctx, h);
	if (!err)
		err = judge(rec_reader_end(r), path, why);
	rec_reader_free(r);
	close(fd);
	if (err == -ENOMEM)
		why_set(why, WHY_INTERNAL, err, "out of memory");
	return err;
}
