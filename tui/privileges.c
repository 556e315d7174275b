// SPDX-License-Identifier: MIT
/* What ljx gives up once it is attached. */
#include "tui/ljx.h"

#include "bpf/caps.h"

#include <string.h>

/*
 * Kept: what later processes, VMs and threads need, for they are attached as the first ones were.
 * All of it reads; but to name files under other users' folders is to write there.
 */
void drop_privileges(const struct live *l, int will_write)
{
	uint64_t keep = CAPS_NEEDED | CAPS_DAC_READ_SEARCH | CAPS_CHECKPOINT_RESTORE;
	int err;

	if (l->o->no_drop)
		return;
	if (capture_needs_admin(l->capture))
		keep |= CAPS_SYS_ADMIN;
	if (will_write)
		keep |= CAPS_DAC_OVERRIDE | CAPS_CHOWN;
	err = caps_keep(keep);
	if (err && !l->o->quiet)
		fprintf(stderr, "ljx: cannot drop privileges: %s\n", strerror(-err));
}
