// SPDX-License-Identifier: MIT
#include "jittrace/jt_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the valid UTF-8 character at s that is no control character; 0: there is none. */
static size_t character(const char *s)
{
	static const uint32_t least[] = {0, 0x20, 0xa0, 0x800, 0x10000};
	unsigned char c = (unsigned char)*s;
	size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
	uint32_t v = len > 1 ? c & (0x7fu >> len) : c;
	size_t i;

	for (i = 1; i < len; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (!len || v < least[len] || v == 0x7f || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ||
	    v == 0x2028 || v == 0x2029 || v == 0xfffe || v == 0xffff)
		return 0;
	return len;
}

void jt_clean(char *out, size_t size, const char *s)
{
	char *end = out + size - 1;

	while (*s) {
		size_t len = character(s);

		if ((size_t)(end - out) < (len ? len : 1))
			break;
		if (!len) {
			*out++ = (unsigned char)*s < 0x80 ? ' ' : '?';
			s++;
			continue;
		}
		memcpy(out, s, len);
		out += len;
		s += len;
	}
	*out = '\0';
}

/* lj_debug.c:lj_debug_shortname, but for the source text of a string: its first line. */
#define STRING_SHOWN 45u

char *jt_chunk(const char *chunk, uint32_t flags)
{
	const char *more = flags & EV_FUNC_CUT ? "..." : "";
	char raw[JT_TEXT], shown[JT_TEXT];
	size_t line = strcspn(chunk, "\r\n"), n = line < STRING_SHOWN ? line : STRING_SHOWN;

	if (flags & EV_FUNC_BUILTIN) {
		snprintf(raw, sizeof(raw), "[builtin:%s]", *chunk == '=' ? chunk + 1 : chunk);
	} else if (*chunk == '@' || *chunk == '=') {
		snprintf(raw, sizeof(raw), "%s%s", chunk[1] ? chunk + 1 : "?", more);
	} else {
		while (n < line && n && ((unsigned char)chunk[n] & 0xc0) == 0x80)
			n--; /* between characters */
		snprintf(raw, sizeof(raw), "[string \"%.*s%s\"]", (int)n, chunk,
			 chunk[n] ? "..." : "");
	}
	jt_clean(shown, sizeof(shown), raw);
	return strdup(shown);
}

int jt_loc_format(const struct jt_loc *loc, char *buf, size_t size)
{
	if (loc->kind == JT_LOC_NONE)
		return snprintf(buf, size, "[undefined]");
	if (loc->kind == JT_LOC_FUNCTION)
		return snprintf(buf, size, "%s", loc->name);
	if (!loc->line)
		return snprintf(buf, size, "%s:?", loc->file);
	return snprintf(buf, size, "%s:%u", loc->file, loc->line);
}

/* Does the path end in the len bytes of want, at a slash, or is it the same? */
static int file_matches(const char *path, const char *want, size_t len)
{
	size_t n = strlen(path);

	if (n < len || memcmp(path + n - len, want, len) != 0)
		return 0;
	return n == len || path[n - len - 1] == '/' || want[0] == '/';
}

/* "12" or "12-20" up to the end of s. */
static int line_range(const char *s, unsigned long *from, unsigned long *to)
{
	char *end;

	if (*s < '0' || *s > '9')
		return 0;
	*from = *to = strtoul(s, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		*to = strtoul(end + 1, &end, 10);
	return !*end;
}

int jt_loc_match(const struct jt_loc *loc, const char *location)
{
	const char *colon = strrchr(location, ':');
	unsigned long from, to;

	if (!strncmp(location, "func:", 5))
		return loc->kind != JT_LOC_NONE && !strcmp(loc->name, location + 5);
	if (loc->kind != JT_LOC_LUA || !*location)
		return 0;
	if (file_matches(loc->file, location, strlen(location)))
		return 1;
	if (!colon || !line_range(colon + 1, &from, &to))
		return 0;
	return colon > location && file_matches(loc->file, location, (size_t)(colon - location)) &&
	       loc->line >= from && loc->line <= to;
}

const char *jt_state_name(enum jt_state state)
{
	static const char *const text[] = {
#define TEXT(name, words) words,
	    JT_STATES(TEXT)
#undef TEXT
	};

	return (size_t)state < sizeof(text) / sizeof(*text) ? text[state] : "?";
}
