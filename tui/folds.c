// SPDX-License-Identifier: MIT
#include "tui/embed.h"
#include "tui/ljx.h"

#include <errno.h>
#include <string.h>

/*
 * Some formats tell of current lines in their own way and want them in the tree, the others show
 * what is in the tree and want them there only with --lines. So up to two trees are made in one go.
 */
int folds_new(const struct options *o, struct folds *f)
{
	struct prof_opts po = {.lines = o->lines,
			       .marks = o->marks,
			       .aborts = o->aborts,
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
	lined |= o->embed_source;
	*f = (struct folds){.weigh = o->by_cost};
	if (o->embed_source) {
		f->embed = embed_new(!strcmp(o->verb, "record"));
		if (!f->embed)
			return -ENOMEM;
	}
	if (o->by_cost)
		po.keep |= PROF_KEEP_PILES;
	if (o->aborts || (po.keep & PROF_KEEP_EVENTS) || o->colour == WRITE_BY_COST) {
		f->aborts = aborts_new(po.pid, o->by_cost || o->colour == WRITE_BY_COST);
		if (!f->aborts)
			goto nomem;
	}
	if (lined && plain && !o->lines) {
		po.lines = 1;
		f->lined = prof_new(&po);
		po.lines = 0;
	} else if (lined) {
		po.lines = 1;
	}
	f->plain = prof_new(&po);
	if (f->plain && (f->lined || !lined || !plain || o->lines))
		return 0;
nomem:
	folds_free(f);
	return -ENOMEM;
}

int folds_add(struct folds *f, const struct ev_hdr *h)
{
	struct prof *const profs[2] = {f->plain, f->lined};
	int err = 0;

	for (int i = 0; i < 2 && !err; i++)
		if (profs[i])
			err = prof_add(profs[i], h);
	if (!err && f->embed)
		err = embed_add(f->embed, h);
	return err || !f->aborts ? err : aborts_add(f->aborts, h, profs);
}

int folds_finish(struct folds *f)
{
	struct prof *const profs[2] = {f->plain, f->lined};
	int err = 0;

	for (int i = 0; i < 2 && !err; i++) {
		err = profs[i] ? prof_finish(profs[i]) : 0;
		if (!err && profs[i] && f->weigh)
			err = aborts_weigh(f->aborts, profs[i]);
	}
	return err;
}

void folds_free(struct folds *f)
{
	prof_free(f->plain);
	prof_free(f->lined);
	aborts_free(f->aborts);
	embed_free(f->embed);
	*f = (struct folds){.plain = NULL};
}
