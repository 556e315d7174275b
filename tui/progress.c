// SPDX-License-Identifier: MIT
#include "tui/progress.h"

#include "tui/ljx.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void progress_init(struct progress *p, const char *what, const char *path)
{
	*p = (struct progress){.what = what, .path = path, .tty = isatty(STDERR_FILENO)};
	p->start = seconds_now();
	p->next = p->start + 1;
}

int progress_due(struct progress *p)
{
	double now = seconds_now();

	if (now < p->next)
		return 0;
	/* A line that is written over can come more often than one that stays. */
	p->next = now + (p->tty ? 0.25 : 5);
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
