// SPDX-License-Identifier: MIT
#include "bpf/why.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum why_code why_code_of(int err)
{
	switch (err) {
	case -ESRCH:
	case -ENOENT:
		return WHY_TARGET;
	case -EPERM:
	case -EACCES:
		return WHY_PERMISSION;
	default:
		return WHY_INTERNAL;
	}
}

int why_set(struct why *why, enum why_code code, int err, const char *fmt, ...)
{
	va_list ap;

	if (!why || why->code)
		return err;
	why->code = code;
	why->hint[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return err;
}

void why_hint(struct why *why, const char *fmt, ...)
{
	size_t n;
	va_list ap;

	if (!why)
		return;
	n = strlen(why->hint);
	if (n && n + 1 < sizeof(why->hint))
		why->hint[n++] = '\n';
	va_start(ap, fmt);
	vsnprintf(why->hint + n, sizeof(why->hint) - n, fmt, ap);
	va_end(ap);
}
