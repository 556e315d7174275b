// SPDX-License-Identifier: MIT
/* Snapshots and code of anything, in memory that ends where they are said to end. */
#include "bytecode/path.h"
#include "bytecode/snap.h"
#include "tests/fuzz/input.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* n bytes of the input, or zeroes, in a block of their own so that ASan sees its end. */
static void *block(struct input *in, size_t n)
{
	unsigned char *p = calloc(1, n ? n : 1);
	size_t i;

	if (!p)
		abort();
	for (i = 0; i < n && in->left; i++)
		p[i] = take(in);
	return p;
}

static void check(const struct snap_trace *t, enum snap_form form)
{
	static const int op[3] = {24, 25, -1};
	struct snap_frame f[SNAP_FRAMES_MAX];
	uint64_t value;
	uint32_t i, n;
	int tail = 0;

	for (i = 0; i < t->nsnap; i++) {
		n = snap_frames(t, form, i, f, &tail);
		if (n > SNAP_FRAMES_MAX)
			abort();
	}
	for (i = 0; i < t->nconst; i++)
		snap_const(t, i, op, &value);
}

static void visit(void *ctx, uint32_t pos, unsigned int works)
{
	const struct path_code *c = ctx;

	if (pos >= c->n || works > 16)
		abort();
}

static void check_path(struct input *in)
{
	struct path_code c = {.gen = bc_gen_by_count(take(in) & 1 ? 97 : 104), .n = take(in) & 63};
	uint32_t from = (uint32_t)number(in), to = (uint32_t)number(in), at = 0, next = 0;
	enum path_end end = take(in) & 3;
	uint32_t *bc = block(in, 4 * (size_t)c.n);

	c.bc = bc;
	if (path_walk(&c, from, to, end, visit, &c, &at, &next) == PATH_COMPARED &&
	    (at >= c.n || (end != PATH_COMPARE)))
		abort();
	free(bc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct snap_trace t = {.gc64 = take(&in) & 1};
	enum snap_form form = SNAP_SHORT + take(&in) % 3;
	void *k, *snap, *map;

	if (take(&in) & 1) {
		check_path(&in);
		return 0;
	}
	t.szmcode = (uint32_t)number(&in);
	t.nconst = take(&in) & 31;
	t.nk = take(&in) & 1 ? SNAP_REF_BASE - t.nconst : (uint32_t)number(&in);
	t.nsnap = take(&in) & 15;
	t.nmap = take(&in);
	t.snap = snap = block(&in, t.nsnap * snap_size(form));
	t.map = map = block(&in, 4 * (size_t)t.nmap);
	t.k = k = block(&in, 8 * (size_t)t.nconst);
	snap_form(&t, t.nsnap * snap_size(form));
	check(&t, form);
	free(snap);
	free(map);
	free(k);
	return 0;
}
