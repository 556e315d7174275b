// SPDX-License-Identifier: MIT
#include "bpf/demangle.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <libiberty/demangle.h>

#define NAME_MAX_LEN 1024   /* of what is looked at: some compilers write longer ones, for nobody */
#define TEXT_MAX 65536	    /* a short name may stand for a text without end */
#define BINDER_DIGITS_MAX 3 /* of the number, to the base of 62 */

struct text {
	char *out;
	size_t size, len;
	int owned; /* the piece may be memory that is freed when append() returns */
	jmp_buf full;
};

static int is_ascii(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] >= 0x80)
			return 0;
	return 1;
}

/*
 * A jump is the only way to stop it. It has its memory on the stack, but for a Rust identifier
 * with letters beyond ASCII, which it gives in one piece: the next piece stops it then.
 */
static void append(const char *s, size_t n, void *ctx)
{
	struct text *t = ctx;
	size_t room;

	if (!n)
		return; /* of no text, which may be NULL */
	if (t->len + 1 < t->size) {
		room = t->size - 1 - t->len;
		memcpy(t->out + t->len, s, room < n ? room : n);
	}
	t->len += n;
	if (t->len > TEXT_MAX && !(t->owned && !is_ascii(s, n)))
		longjmp(t->full, 1);
}

static int is_mangled(const char *name)
{
	return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

/*
 * A binder of Rust says how many lifetimes it has, and they are counted also where no text is told
 * that would stop it. What only looks like a binder, in an identifier, counts too.
 */
static int has_large_binder(const char *name)
{
	static const char base62[] =
	    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	for (const char *p = strchr(name, 'G'); p; p = strchr(p + 1, 'G')) {
		size_t digits = strspn(p + 1, base62);

		if (digits > BINDER_DIGITS_MAX && p[1 + digits] == '_')
			return 1;
	}
	return 0;
}

/* Is it a name of the one language or the other? */
static int try_all(struct text *t, const char *name)
{
	if (setjmp(t->full))
		return 0;
	t->owned = 1;
	if (name[1] == 'R' && has_large_binder(name))
		return 0;
	if (rust_demangle_callback(name, DMGL_NO_OPTS, append, t))
		return t->len > 0;
	t->len = 0;
	t->owned = 0;
	return cplus_demangle_v3_callback(name, DMGL_NO_OPTS, append, t) && t->len > 0;
}

void demangle(const char *name, char *out, size_t size)
{
	struct text t = {.out = out, .size = size};

	if (is_mangled(name) && strnlen(name, NAME_MAX_LEN) < NAME_MAX_LEN && try_all(&t, name))
		out[t.len < size ? t.len : size - 1] = '\0';
	else
		snprintf(out, size, "%s", name);
}
