// SPDX-License-Identifier: MIT
#include "profiler/gz.h"
#include "tui/embed.h"
#include "tui/ljx.h"
#include "tui/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int output_is_format(const char *name)
{
	return !strcmp(name, "ljx") || format_by_name(name);
}

void output_help(FILE *f, const char *verb)
{
	int diff = !strcmp(verb, "diff");
	const struct format *fmt;

	fprintf(f, "\nFormats, by name and by how names of files end or begin:\n");
	if (strcmp(verb, "report") && !diff)
		fprintf(f, "  %-11s %-30s recording, the source of all others\n", "ljx", ".ljx");
	for (fmt = formats; fmt->name; fmt++)
		if (!diff || fmt->diffs)
			fprintf(f, "  %-11s %-30s %s\n", fmt->name, fmt->files, fmt->what);
}

static int is_named(const char *path, const char *ending)
{
	size_t len = strlen(path), n = strlen(ending);

	return len > n && !strcmp(path + len - n, ending);
}

/* Does the name alone not tell enough? */
static int is_open(const char *path)
{
	int packed;

	return !format_by_file(path, &packed) || is_named(path, ".json") || is_named(path, ".txt");
}

const struct format *output_format(const struct options *o, const char *path)
{
	int packed;

	if (is_named(path, ".ljx"))
		return NULL;
	return o->format && is_open(path) ? format_by_name(o->format)
					  : format_by_file(path, &packed);
}

/* Is there a format for it? 0, or -EINVAL and why. */
static int has_format(const struct options *o, const char *path, struct why *why)
{
	if (output_format(o, path) || o->format || is_named(path, ".ljx"))
		return 0;
	why_set(why, WHY_USAGE, -EINVAL, "cannot tell the format of '%s'", printable(path));
	why_hint(why, "Name it .ljx, .folded or .svg, or say -f FORMAT; "
		      "ljx report --help lists all.");
	return -EINVAL;
}

int output_check(const struct options *o, struct why *why)
{
	int sources = 0;

	if (o->format && !o->nouts) {
		why_set(why, WHY_USAGE, -EINVAL, "-f %s is the format of no file",
			printable(o->format));
		why_hint(why, "Name one with -o, or -o - for standard output.");
		return -EINVAL;
	}
	for (size_t i = 0; i < o->nouts; i++) {
		const struct format *f = output_format(o, o->out[i]);

		if (has_format(o, o->out[i], why))
			return -EINVAL;
		sources |= f && f->sources;
	}
	if (!o->embed_source || sources)
		return 0;
	why_set(why, WHY_USAGE, -EINVAL, "no output has a place for source");
	why_hint(why, "Name one .html, .svg, .firefox.json or .ljx.json.");
	return -EINVAL;
}

static int cannot_write(struct why *why, const char *path, int err)
{
	return why_set(why, WHY_INTERNAL, err, "cannot write '%s': %s", printable(path),
		       strerror(-err));
}

/* A file without a name in path's folder: whatever happens, nothing is left behind. */
static int open_unnamed(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644) : -1;

	free(copy);
	return fd;
}

int output_open(const struct options *o, const char *path, struct output *out, struct why *why)
{
	struct stat st;

	memset(out, 0, sizeof(*out));
	out->fd = -1;
	out->path = path;
	out->format = output_format(o, path);
	if (has_format(o, path, why))
		return -EINVAL;
	if (!strcmp(path, "-")) {
		out->fd = dup(STDOUT_FILENO);
	} else if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
		out->fd = open(path, O_WRONLY | O_CLOEXEC); /* a device or pipe: no renaming */
	} else {
		if (asprintf(&out->temp, "%s.tmp%d", path, (int)getpid()) < 0)
			return why_set(why, WHY_INTERNAL, -ENOMEM, "out of memory");
		out->fd = open_unnamed(path);
		out->unnamed = out->fd >= 0;
		if (out->fd < 0)
			out->fd = open(out->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	}
	if (out->fd < 0) {
		int err = -errno;

		free(out->temp);
		out->temp = NULL;
		return cannot_write(why, path, err);
	}
	return 0;
}

static char *command_line(const struct options *o)
{
	size_t len = 1, i;
	char *s;

	for (i = 0; i < (size_t)o->argc; i++)
		len += strlen(o->argv[i]) + 1;
	s = malloc(len);
	if (!s)
		return NULL;
	s[0] = '\0';
	for (i = 0; i < (size_t)o->argc; i++) {
		if (i)
			strcat(s, " ");
		strcat(s, i ? o->argv[i] : "ljx");
	}
	return s;
}

/* A file, and why writing to it failed: what a stream tells at its end may be anything. */
struct sink {
	int fd, err;
	int quiet;
	size_t written;
	struct progress progress;
};

static ssize_t sink_write(void *cookie, const char *data, size_t len)
{
	struct sink *s = cookie;
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = write(s->fd, data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			s->err = n ? -errno : -EIO;
			return 0;
		}
		done += (size_t)n;
	}
	s->written += len;
	if (!s->quiet && progress_due(&s->progress))
		progress_tell(&s->progress, ", %.1f MB", (double)s->written / 1e6);
	return (ssize_t)len;
}

int output_profile(struct output *out, const struct options *o, const struct folds *folds,
		   const char *title, struct why *why)
{
	const struct prof *p = out->format->lines && folds->lined ? folds->lined : folds->plain;
	struct write_info info = {.title = title,
				  .version = LJX_VERSION,
				  .icicle = o->icicle,
				  .reverse = o->reverse,
				  .colour = o->colour};
	/* In the view the terminal is not for messages. */
	struct sink sink = {.fd = out->fd, .quiet = o->quiet || o->screens};
	FILE *f = fopencookie(&sink, "w", (cookie_io_functions_t){.write = sink_write}), *z = NULL;
	char *command = command_line(o);
	struct write_cost *costs = NULL;
	int err = f ? 0 : -errno, packed;

	progress_init(&sink.progress, "writing", out->path);
	format_by_file(out->path, &packed);
	if (f && packed) {
		z = gz_fopen(f);
		err = z ? 0 : -errno;
	}
	info.command = command;
	if (!err && !command)
		err = -ENOMEM;
	if (folds->aborts && o->colour == WRITE_BY_COST)
		info.costs = costs = aborts_costs(folds->aborts, &info.ncosts);
	if (!err && folds->embed && out->format->sources)
		err = embed_into(folds->embed, folds->plain,
				 folds->lined ? folds->lined : folds->plain, o->quiet, &info);
	if (!err)
		err = out->format->write(z ? z : f, p, &info);
	if (z && fclose(z) && !err)
		err = -errno;
	if (f && fclose(f) && !err)
		err = -errno;
	progress_end(&sink.progress);
	err = sink.err ? sink.err : err;
	free(command);
	free(costs);
	return err ? cannot_write(why, out->path, err) : 0;
}

/* Under sudo the files belong to the one who ran it. */
static void give_back(int fd)
{
	const char *uid = getenv("SUDO_UID"), *gid = getenv("SUDO_GID");

	if (geteuid() || !uid || !gid)
		return;
	if (fchown(fd, (uid_t)strtoul(uid, NULL, 10), (gid_t)strtoul(gid, NULL, 10)))
		return; /* it stays root's: readable all the same */
}

int output_publish(struct output *out, struct why *why)
{
	char self[64];
	int err = 0;

	if (!out->temp)
		return 0;
	give_back(out->fd);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", out->fd);
	if (out->unnamed && linkat(AT_FDCWD, self, AT_FDCWD, out->temp, AT_SYMLINK_FOLLOW))
		err = cannot_write(why, out->path, -errno);
	if (!err && rename(out->temp, out->path))
		err = cannot_write(why, out->path, -errno);
	if (err) {
		unlink(out->temp);
		return err;
	}
	free(out->temp);
	out->temp = NULL;
	return 0;
}

int output_commit(struct output *out, struct why *why)
{
	int err = output_publish(out, why);

	output_abort(out);
	return err;
}

void output_abort(struct output *out)
{
	if (out->temp && !out->unnamed)
		unlink(out->temp);
	free(out->temp);
	out->temp = NULL;
	if (out->fd >= 0)
		close(out->fd);
	out->fd = -1;
}

int output_all(const struct options *o, const struct folds *folds, const char *title,
	       struct why *why)
{
	struct output out;
	size_t i;
	int err;

	for (i = 0; i < o->nouts; i++) {
		err = output_open(o, o->out[i], &out, why);
		if (err)
			return err;
		if (!out.format)
			err = why_set(why, WHY_USAGE, -EINVAL, "'%s' is a recording already",
				      printable(o->arg[0]));
		else
			err = output_profile(&out, o, folds, title, why);
		if (!err)
			err = output_commit(&out, why);
		output_abort(&out);
		if (err)
			return err;
		if (!o->quiet && strcmp(o->out[i], "-"))
			fprintf(stderr, "ljx: wrote %s\n", printable(o->out[i]));
	}
	return 0;
}
