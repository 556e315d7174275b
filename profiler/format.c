/* SPDX-License-Identifier: MIT */
#include "profiler/write.h"

#include <errno.h>
#include <string.h>

const struct format formats[] = {
    {"folded", ".folded .txt", "folded stacks", 0, 0, 1, 0, write_folded},
    {"speedscope", ".speedscope.json", "for speedscope, in order of time", PROF_KEEP_TICKS, 0, 0, 0,
     write_speedscope},
    {"pprof", ".pb.gz", "for go tool pprof, with labels", PROF_KEEP_PILES, 1, 0, 0, write_pprof},
    {"firefox", ".firefox.json .json", "for profiler.firefox.com",
     PROF_KEEP_TICKS | PROF_KEEP_EVENTS, 1, 0, 1, write_firefox},
    {"callgrind", ".callgrind callgrind.out.*", "for callgrind_annotate and KCachegrind", 0, 1, 0,
     0, write_callgrind},
    {"json", ".ljx.json", "all of it; ljx --json-schema ljx.profile/1 tells how", PROF_KEEP_PILES,
     0, 0, 1, write_json},
    {"csv", ".csv", "functions, a row each", 0, 0, 0, 0, write_csv},
    {"svg", ".svg", "flame graph, to be looked at in a browser", PROF_KEEP_PILES, 0, 1, 1,
     write_svg},
    {"html", ".html", "the same as a page", PROF_KEEP_PILES, 0, 1, 1, write_html},
    {NULL, NULL, NULL, 0, 0, 0, 0, NULL},
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

static const struct format *by_name(const char *name)
{
	const char *s;
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

const struct format *format_by_file(const char *path, int *packed)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t len = strlen(name);
	const struct format *f = by_name(name);
	char inner[256];

	*packed = !f && len > 3 && len < sizeof(inner) && !strcmp(name + len - 3, ".gz");
	if (*packed) {
		memcpy(inner, name, len - 3);
		inner[len - 3] = '\0';
		f = by_name(inner);
	}
	return f;
}

int write_end(FILE *f, int err)
{
	if (err)
		return err;
	errno = EIO;
	return fflush(f) || ferror(f) ? -errno : 0;
}
