// SPDX-License-Identifier: MIT
/* Snapshots of anything, in memory that ends where they are said to end. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct snap_trace t = {.gc64 = take(&in) & 1};
	enum snap_form form = SNAP_SHORT + take(&in) % 3;
	void *k, *snap, *map;

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
