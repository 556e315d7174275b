/* SPDX-License-Identifier: MIT */
/* What the parts of the resolver share: resolve.c, resolve_proto.c, resolve_sym.c. */
#ifndef BPF_RESOLVE_INT_H
#define BPF_RESOLVE_INT_H

#include "bpf/resolve.h"
#include "bpf/told.h"
#include "bytecode/proto.h"
#include "bytecode/tables.h"

#define HASH_NONFATAL_OOM 1 /* then hh.tbl is NULL after an addition that failed */
#include <uthash.h>

/* A file that holds a VM, with the id its BUILD record got. */
struct rbuild {
	struct rbuild *next;
	uint32_t id;
	const struct module *module;
	const struct layout_row *row;
};

/* An address range whose SYM record was sent. */
struct rrange {
	uint64_t start, end;
};

struct rproc {
	int pid;
	struct proc_info info;
	struct proc_maps maps;
	uint64_t maps_time; /* ns */
	struct vm_list vms;
	struct vm_search *search; /* for new ones, under way; NULL: none */
	struct vm_list found;	  /* by it, so far */
	uint32_t vms_seen;	  /* creation numbers given */
	unsigned int code;	  /* how often what code is mapped has changed */
	struct rrange *range;	  /* sorted */
	size_t nranges;
	uint64_t *told; /* starts of mappings whose MODULE record was sent */
	size_t ntold;
	UT_hash_handle hh;
};

/* A prototype as BPF saw it. The body is read on demand and may be dropped. */
struct rproto {
	uint32_t id;
	int pid;
	uint64_t g, pt;
	const struct layout *l;
	struct proto_head h;
	unsigned char head[EV_PROTO_HEAD];
	unsigned char chunk[EV_CHUNK_COPY];
	unsigned char *body; /* the whole object, h.sizept bytes */
	int gone;	     /* it was freed: nothing more can be read */
	int listed;	     /* its listing was sent, or cannot be */
	UT_hash_handle hh;
};

/*
 * The content hash of functions by what is known of a prototype that was freed before it could be
 * read, so that a short-lived copy of a known function is counted with it.
 */
struct rshape {
	struct {
		uint64_t chunk; /* hash of the chunkname */
		int32_t firstline, numline;
		uint32_t sizebc, sizekgc, sizekn, sizept;
	} key;
	uint32_t content;
	int many; /* more than one function has this shape: it tells nothing */
	UT_hash_handle hh;
};

/* A call site that was looked at. */
struct rname {
	uint64_t key; /* EV_FRAME_ADDR of the caller */
	UT_hash_handle hh;
};

struct rtrace;
struct rinside;

struct resolve {
	resolve_sink_fn *sink;
	void *ctx;
	struct modules *modules;
	struct rproc *procs;
	struct rproto *protos; /* in order of definition: the oldest goes first */
	struct rshape *shapes;
	struct rname *names;
	struct rbuild *builds;
	uint32_t nbuilds;
	uint32_t next_id; /* of prototypes that BPF did not see */
	size_t body_bytes;
	uint64_t body_since; /* ns: the second in which body_read bytes were read */
	uint32_t body_read;
	int ask_ms; /* what waiting for symbols of others than LuaJIT may still take */
	struct resolve_stats stats;
	struct rtrace *traces;	/* that were looked into */
	struct rinside *inside; /* VMs whose traces are */
	uint64_t snaps_seen;	/* ns: when snaps_ns was right */
	uint64_t snaps_ns;	/* what that took, less what it may take */
	int want_code;
	struct ev_code *code;	 /* the same for CODE, NULL: none was sent so far */
	struct rnative *natives; /* of resolve_native.c */
	struct kallsyms *kallsyms;
	int want_inline;
	struct told *inlined; /* addresses, of resolve_inline.c */
	struct rdebug *debug;
	uint64_t buf[8192]; /* records under construction */
};

struct rproc *resolve_proc(struct resolve *r, int pid);
const struct vm *resolve_vm_at(const struct rproc *p, uint64_t g);

/* Reads the mappings again; drops the known ranges if code moved. */
int resolve_read_maps(struct resolve *r, struct rproc *p);

/* Builds a record with strings and hands it to the sink. */
int resolve_emit(struct resolve *r, struct ev_hdr *h, size_t fixed, const char *const *strs,
		 unsigned int n);

/* resolve_native.c: 0, -errno or what the sink returned. */

/* Keeps a C stack until its sample comes. */
int resolve_native_keep(struct resolve *r, const struct ev_native *e);
/* Sends the one of a sample, if there is one. */
int resolve_native(struct resolve *r, const struct ev_sample *s);
void resolve_natives_free(struct resolve *r);

/* resolve_inline.c */
int resolve_inline(struct resolve *r, struct rproc *p, uint64_t addr, uint64_t time);
void resolve_inlines_free(struct resolve *r);

/* resolve_proto.c */
int resolve_proto_raw(struct resolve *r, const struct ev_proto_raw *raw);
int resolve_names(struct resolve *r, const struct ev_hdr *h, const struct ev_frame *f,
		  unsigned int nframes);
void resolve_protos_drop(struct resolve *r, int pid); /* pid 0: all */

/* May a body of so many bytes be read now? There is a limit for each second. */
int resolve_body_allowed(struct resolve *r, uint32_t size);

/*
 * Is the prototype at pt, of the VM at g, still the one whose header was copied? To be asked after
 * what belongs to it was read: that counts if it is.
 */
int resolve_lives(int pid, const struct layout *l, uint64_t g, uint64_t pt,
		  const unsigned char *head);

/* Reads header and chunkname again: 1 if it is still what BPF saw. */
int resolve_still_there(const struct rproto *p);

/* resolve_code.c: the listings that a record needs. */
int resolve_code(struct resolve *r, const struct ev_hdr *h);
/* That of a frame's function; h: a SAMPLE or TRACE. */
int resolve_code_of(struct resolve *r, const struct ev_hdr *h, const struct ev_frame *f);

/* resolve_snaps.c: what runs where in the trace that the sample is in. */
int resolve_snaps(struct resolve *r, const struct ev_sample *s);
void resolve_snaps_drop(struct resolve *r, int pid); /* pid 0: all */

/* resolve_sym.c */
int resolve_sym(struct resolve *r, struct rproc *p, uint64_t addr, uint64_t time);
/* Is there a SYM record for addr? */
int resolve_is_known(const struct rproc *p, uint64_t addr);
/* Sends one that addr is in, cut so that no two overlap. strs: as in the record. */
int resolve_add_range(struct resolve *r, struct rproc *p, struct ev_sym *e, uint64_t addr,
		      const char *const strs[2]);

#endif
