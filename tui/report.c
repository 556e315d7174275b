// SPDX-License-Identifier: MIT
#include "tui/ljx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int fold(void *ctx, const struct ev_hdr *h)
{
	return folds_add(ctx, h);
}

/* 0 or -ENOMEM. */
static int print(const struct options *o, const struct prof *p)
{
	struct prof_row *row;
	size_t n;

	if (o->json)
		return print_json(stdout, p);
	row = prof_rows(p, &n);
	if (!row)
		return -ENOMEM;
	if (*prof_builds(p))
		printf("%s\n", prof_builds(p));
	print_quality(stdout, p);
	print_rows(stdout, p, row, n, o->rows, prof_stats(p)->samples);
	if (!n)
		printf("(no samples%s)\n",
		       o->npids || o->from || o->to || o->states ? " that match" : "");
	free(row);
	return 0;
}

int verb_report(const struct options *o)
{
	struct why why = {.code = 0};
	struct folds folds;
	int corrupt, err;

	if (o->nargs != 1) {
		why_set(&why, WHY_USAGE, -EINVAL, "report needs one recording");
		why_hint(&why, "ljx report FILE.ljx -o FILE.svg");
		return complain(o, &why);
	}
	if (output_check(o, &why))
		return complain(o, &why);
	if (folds_new(o, &folds))
		return complain(o, (why_set(&why, WHY_INTERNAL, -ENOMEM, "out of memory"), &why));
	err = replay(o, o->arg[0], fold, &folds, &why);
	/* Up to the damage all is good: show it, and then fail. */
	corrupt = err == -EBADMSG;
	if (!err || corrupt) {
		struct why later = {.code = 0};

		err = folds_finish(&folds);
		if (!err && o->nouts)
			err = output_all(o, &folds, o->arg[0], &later);
		else if (!err)
			err = print(o, folds.plain);
		if (later.code)
			why = later;
	}
	folds_free(&folds);
	if (err && !why.code)
		why_set(&why, WHY_INTERNAL, err, "%s", strerror(-err));
	return why.code ? complain(o, &why) : 0;
}
