// SPDX-License-Identifier: MIT
#include "tui/ljx.h"

#include <errno.h>

/*
 * Some formats tell of current lines in their own way and want them in the tree, the others show
 * what is in the tree and want them there only with --lines. So up to two trees are made in one go.
 */
int folds_new(const struct options *o, struct folds *f)
{
	struct prof_opts po = {.lines = o->lines,
			       .split = o->split,
			       .pid = o->npids ? (uint32_t)o->pid[0] : 0,
			       .states = o->states,
			       .from = o->from,
			       .to = o->to};
	int plain = !o->nouts, lined = 0;
	size_t i;

	for (i = 0; i < o->nouts; i++) {
		const struct format *format = output_format(o, o->out[i]);

		if (!format)
			continue;
		po.keep |= format->keep;
		plain |= !format->lines;
		lined |= format->lines;
	}
	f->plain = f->lined = NULL;
	if (lined && plain && !o->lines) {
		po.lines = 1;
		f->lined = prof_new(&po);
		if (!f->lined)
			return -ENOMEM;
		po.lines = 0;
	} else if (lined) {
		po.lines = 1;
	}
	f->plain = prof_new(&po);
	if (!f->plain)
		folds_free(f);
	return f->plain ? 0 : -ENOMEM;
}

int folds_add(struct folds *f, const struct ev_hdr *h)
{
	int err = prof_add(f->plain, h);

	return err || !f->lined ? err : prof_add(f->lined, h);
}

int folds_finish(struct folds *f)
{
	int err = prof_finish(f->plain);

	return err || !f->lined ? err : prof_finish(f->lined);
}

void folds_free(struct folds *f)
{
	prof_free(f->plain);
	prof_free(f->lined);
	f->plain = f->lined = NULL;
}
