/* SPDX-License-Identifier: MIT */
#include "profiler/jsonw.h"

#include "profiler/label.h"

#include <string.h>

/* Decimal digits of n, from the end of buf back. */
static char *digits_of(char *end, uint64_t n)
{
	do
		*--end = (char)('0' + n % 10);
	while (n /= 10);
	return end;
}

void jw_quote(FILE *f, const char *s)
{
	putc_unlocked('"', f);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			putc_unlocked('\\', f);
		/* So that neither "</" nor "]]>" ends what such text stands in. */
		if (c < ' ' || c == 0x7f || c == '<' || c == '>')
			fprintf(f, "\\u%04x", c);
		else
			putc_unlocked(c, f);
	}
	putc_unlocked('"', f);
}

/* What stands before a value. */
static void lead(struct jsonw *w, const char *key)
{
	if (w->comma)
		putc_unlocked(',', w->f);
	w->comma = 1;
	if (!key)
		return;
	jw_quote(w->f, key);
	putc_unlocked(':', w->f);
}

void jw_begin(struct jsonw *w, const char *key, char bracket)
{
	lead(w, key);
	putc_unlocked(bracket, w->f);
	w->comma = 0;
}

void jw_end(struct jsonw *w, char bracket)
{
	putc_unlocked(bracket, w->f);
	w->comma = 1;
}

void jw_string(struct jsonw *w, const char *key, const char *s)
{
	lead(w, key);
	jw_quote(w->f, s);
}

void jw_clean(struct jsonw *w, const char *key, const char *s)
{
	char clean[4096];

	label_clean(clean, sizeof(clean), s, 0);
	jw_string(w, key, clean);
}

void jw_uint(struct jsonw *w, const char *key, uint64_t n)
{
	char buf[24], *end = buf + sizeof(buf), *s = digits_of(end, n);

	lead(w, key);
	fwrite(s, 1, (size_t)(end - s), w->f);
}

void jw_int(struct jsonw *w, const char *key, int64_t n)
{
	char buf[24], *end = buf + sizeof(buf);
	char *s = digits_of(end, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);

	if (n < 0)
		*--s = '-';
	lead(w, key);
	fwrite(s, 1, (size_t)(end - s), w->f);
}

void jw_null(struct jsonw *w, const char *key)
{
	jw_raw(w, key, "null", 4);
}

void jw_bool(struct jsonw *w, const char *key, int on)
{
	jw_raw(w, key, on ? "true" : "false", on ? 4 : 5);
}

void jw_fixed(struct jsonw *w, const char *key, uint64_t n, unsigned int digits)
{
	char buf[48], *end = buf + sizeof(buf), *s = end;

	for (; digits; digits--, n /= 10)
		*--s = (char)('0' + n % 10);
	if (s != end)
		*--s = '.';
	s = digits_of(s, n);
	lead(w, key);
	fwrite(s, 1, (size_t)(end - s), w->f);
}

void jw_raw(struct jsonw *w, const char *key, const char *json, size_t len)
{
	lead(w, key);
	fwrite(json, 1, len, w->f);
}

void jw_newline(struct jsonw *w)
{
	putc_unlocked('\n', w->f);
}
