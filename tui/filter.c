// SPDX-License-Identifier: MIT
/* Filters of rows: a regular expression, or plain text, which is found faster. */
#include "tui/ui.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

struct filter {
	const char *plain; /* NULL: re */
	regex_t re;
};

struct filter *filter_new(const char *pattern)
{
	struct filter *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	if (!strpbrk(pattern, "\\^$.[]|()*+?{}"))
		f->plain = pattern;
	else if (regcomp(&f->re, pattern, REG_EXTENDED | REG_ICASE | REG_NOSUB))
		f->plain = pattern;
	return f;
}

void filter_free(struct filter *f)
{
	if (f && !f->plain)
		regfree(&f->re);
	free(f);
}

int filter_match(const struct filter *f, const char *text)
{
	if (f->plain)
		return strcasestr(text, f->plain) != NULL;
	return !regexec(&f->re, text, 0, NULL, 0);
}
