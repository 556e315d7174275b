/* SPDX-License-Identifier: MIT */
/* What the generator of records and its BPF program share. */
#ifndef PERF_FLOOD_H
#define PERF_FLOOD_H

#include "bpf/event.h"

#define FLOOD_TEMPLATES 1024u
#define FLOOD_BYTES (sizeof(struct ev_sample) + EV_MAX_FRAMES * sizeof(struct ev_frame))

/* A sample to be sent again and again. */
struct flood_template {
	ev_u32 size;
	ev_u32 pad;
	ev_u64 data[(64 + EV_MAX_FRAMES * 16) / 8];
};

_Static_assert(sizeof(((struct flood_template *)0)->data) == FLOOD_BYTES, "a sample fits");

struct flood_args {
	ev_u32 count;	  /* records to push */
	ev_u32 templates; /* that there are */
	ev_u32 seed;
	ev_u32 lost; /* set: of them those for which the ring had no room */
};

#endif
