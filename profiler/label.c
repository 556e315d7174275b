/* SPDX-License-Identifier: MIT */
#include "profiler/label.h"

#include "bpf/event.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A character shrinks to a third at most, so more than this is cut whatever it holds. */
#define RAW_MAX (LABEL_MAX * 4)

#define REPLACEMENT "\xef\xbf\xbd"

size_t label_utf8(const char *s, uint32_t *cp)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char c = (unsigned char)*s;
	size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
	uint32_t v = len > 1 ? c & (0x7fu >> len) : c;

	for (size_t i = 1; i < len; i++) {
		/* A NUL is no continuation, so this stops at the end of the string. */
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (!len || v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 0;
	*cp = v;
	return len;
}

/* Controls (C0, DEL, C1) and the two separators that some readers take for the end of a line. */
static int is_control(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029;
}

/* "worker 4242" -> "worker:4242"; also "x 1.5", which flamegraph.pl takes for a count. */
static void hide_count(char *s)
{
	char *p = s + strlen(s);

	while (p > s && p[-1] >= '0' && p[-1] <= '9')
		p--;
	if (p > s && p[-1] == '.') {
		for (p--; p > s && p[-1] >= '0' && p[-1] <= '9';)
			p--;
		if (*p == '.')
			return;
	}
	if (*p && p > s && p[-1] == ' ')
		p[-1] = ':';
}

void label_clean(char *out, size_t size, const char *text, unsigned int flags)
{
	char *o = out, *end = out + size - 1;

	while (*text) {
		uint32_t cp = 0;
		size_t len = label_utf8(text, &cp);
		const char *from = text;
		size_t n = len;

		if (!len || cp == 0xfffe || cp == 0xffff) {
			from = REPLACEMENT;
			n = sizeof(REPLACEMENT) - 1;
		} else if (is_control(cp)) {
			from = " ";
			n = 1;
		} else if (cp == ';' && (flags & TEXT_NO_SEMICOLON)) {
			from = ":";
		}
		if (n > (size_t)(end - o))
			break;
		memcpy(o, from, n);
		o += n;
		text += len ? len : 1;
	}
	*o = '\0';
	if (flags & TEXT_NO_COUNT)
		hide_count(out);
}

void label_format(char out[LABEL_MAX + 1], const char *fmt, ...)
{
	char raw[RAW_MAX];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(raw, sizeof(raw), fmt, ap) < 0)
		raw[0] = '\0';
	va_end(ap);
	label_clean(out, LABEL_MAX + 1, raw, TEXT_NO_SEMICOLON | TEXT_NO_COUNT);
}

/* Room for text in [string "text"]: lj_obj.h:LUA_IDSIZE less what stands around it. */
#define STRING_MAX 48u
#define STRING_CUT 45u

static void string_shown(char out[LABEL_MAX + 1], const char *text)
{
	char line[STRING_MAX * 4], shown[STRING_MAX * 4];
	size_t len = 0, cut = 0, n;
	uint32_t cp;

	while ((unsigned char)text[len] >= ' ' && len < sizeof(line) - 1)
		len++;
	memcpy(line, text, len);
	line[len] = '\0';
	label_clean(shown, sizeof(shown), line, TEXT_NO_SEMICOLON);
	if (!text[len] && strlen(shown) <= STRING_MAX) {
		snprintf(out, LABEL_MAX + 1, "[string \"%s\"]", shown);
		return;
	}
	while ((n = label_utf8(shown + cut, &cp)) && shown[cut] && cut + n <= STRING_CUT)
		cut += n;
	snprintf(out, LABEL_MAX + 1, "[string \"%.*s...\"]", (int)cut, shown);
}

void label_chunk(char out[LABEL_MAX + 1], const char *chunk, uint32_t flags)
{
	char raw[RAW_MAX];
	const char *more = flags & EV_FUNC_CUT ? "..." : "";

	if (flags & EV_FUNC_BUILTIN) {
		snprintf(raw, sizeof(raw), "[builtin:%s]", *chunk == '=' ? chunk + 1 : chunk);
	} else if (*chunk == '@' || *chunk == '=') {
		snprintf(raw, sizeof(raw), "%s%s", chunk[1] ? chunk + 1 : "?", more);
	} else {
		string_shown(out, chunk);
		return;
	}
	label_clean(out, LABEL_MAX + 1, raw, TEXT_NO_SEMICOLON);
}

/* lj_debug.c:lj_debug_pushloc prints no more than this of a string chunk. */
#define LOC_STRING_MAX 40u

void label_trace_start(char file[LABEL_MAX + 1], const char *chunk, uint32_t flags)
{
	char raw[LOC_STRING_MAX + 3];
	size_t len = strlen(chunk), base = len;

	if (flags & EV_FUNC_BUILTIN) {
		label_format(file, "builtin:%s", *chunk == '=' ? chunk + 1 : chunk);
	} else if (*chunk == '@' && !(flags & EV_FUNC_CUT)) {
		while (base > 1 && chunk[base - 1] != '/' && chunk[base - 1] != '\\')
			base--;
		label_clean(file, LABEL_MAX + 1, chunk[base] ? chunk + base : "?",
			    TEXT_NO_SEMICOLON);
	} else if (*chunk == '@' || *chunk == '=' || len > LOC_STRING_MAX) {
		label_chunk(file, chunk, flags);
	} else {
		snprintf(raw, sizeof(raw), "\"%s\"", chunk);
		label_clean(file, LABEL_MAX + 1, raw, TEXT_NO_SEMICOLON);
	}
}
