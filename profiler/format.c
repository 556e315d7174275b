/* SPDX-License-Identifier: MIT */
#include "profiler/write.h"

#include <errno.h>
#include <string.h>

const struct format formats[] = {
    {"folded", ".folded .txt", "folded stacks", 0, 0, write_folded},
    {"svg", ".svg", "flame graph, to be looked at in a browser", 0, 0, write_svg},
    {NULL, NULL, NULL, 0, 0, NULL},
};

const struct format *format_by_name(const char *name)
{
	const struct format *f = formats;

	while (f->name && strcmp(f->name, name))
		f++;
	return f->name ? f : NULL;
}

/* How many characters of the name a pattern of len characters matches, 0: it does not. */
static size_t match(const char *name, const char *pattern, size_t len)
{
	size_t have = strlen(name);

	if (pattern[len - 1] == '*')
		return have >= len && !strncmp(name, pattern, len - 1) ? len : 0;
	return have > len && !memcmp(name + have - len, pattern, len) ? len : 0;
}

const struct format *format_by_file(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *s;
	const struct format *best = NULL;
	size_t most = 0, len, n;

	/* The longest match: x.speedscope.json ends in .json too. */
	for (const struct format *f = formats; f->name; f++) {
		for (s = f->files; *s; s += len + strspn(s + len, " ")) {
			len = strcspn(s, " ");
			n = match(name, s, len);
			if (n > most) {
				most = n;
				best = f;
			}
		}
	}
	return best;
}

int write_end(FILE *f, int err)
{
	if (err)
		return err;
	errno = EIO;
	return fflush(f) || ferror(f) ? -errno : 0;
}
