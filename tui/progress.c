// SPDX-License-Identifier: MIT
#include "tui/progress.h"

#include "tui/ljx.h"

#include <stdarg.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

void progress_init(struct progress *p, const char *what, const char *path)
{
	*p = (struct progress){.what = what, .path = path, .tty = isatty(STDERR_FILENO)};
	p->next = resolve_now() + SECOND;
}

int progress_due(struct progress *p)
{
	uint64_t now = resolve_now();

	if (now < p->next)
		return 0;
	/* A line that is written over can come more often than one that stays. */
	p->next = now + (p->tty ? SECOND / 4 : 5 * SECOND);
	return 1;
}

void progress_tell(struct progress *p, const char *fmt, ...)
{
	va_list ap;

	p->shown = 1;
	fprintf(stderr, "%sljx: %s '%s'", p->tty ? "\r" : "", p->what, printable(p->path));
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(p->tty ? "\033[K" : "\n", stderr);
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->shown && p->tty)
		fputs("\r\033[K", stderr);
	p->shown = 0;
}
