/* SPDX-License-Identifier: MIT */
/*
 * Comma-separated values as RFC 4180 has them: a row for each function, those of `top`. Texts are
 * always quoted. One that a spreadsheet would take for a formula gets an apostrophe before it.
 */
#include "profiler/label.h"
#include "profiler/write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void put_text(FILE *f, const char *s)
{
	putc('"', f);
	if (*s && strchr("=+-@", *s))
		putc('\'', f);
	for (; *s; s++) {
		if (*s == '"')
			putc('"', f);
		putc(*s, f);
	}
	putc('"', f);
}

int write_csv(FILE *f, const struct prof *p, const struct write_info *info)
{
	size_t n;
	struct prof_row *rows = prof_rows(p, &n);

	(void)info; /* the format has no place for it */
	if (!rows)
		return -ENOMEM;
	if (prof_is_split(p))
		fputs("split,", f);
	fputs("function,name,file,line,self,total", f);
	for (unsigned int s = 0; s < EV_STATE_MAX; s++) {
		fputs(",self ", f);
		fputs(prof_state_name(s), f);
	}
	fputs("\r\n", f);
	for (size_t i = 0; i < n; i++) {
		char group[PROF_SPLIT_TEXT];
		const struct prof_frame *frame = prof_frame(p, rows[i].frame);

		if (prof_is_split(p)) {
			put_text(f, prof_group_label(p, rows[i].group, group, sizeof(group)));
			putc(',', f);
		}
		put_text(f, frame->label);
		putc(',', f);
		put_text(f, frame->name);
		putc(',', f);
		put_text(f, frame->file);
		fprintf(f, ",%" PRId32 ",%" PRIu64 ",%" PRIu64, frame->line, rows[i].self,
			rows[i].total);
		for (unsigned int s = 0; s < EV_STATE_MAX; s++)
			fprintf(f, ",%" PRIu64, rows[i].by_state[s]);
		fputs("\r\n", f);
	}
	free(rows);
	return write_end(f, 0);
}
