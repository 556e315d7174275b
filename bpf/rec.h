/* SPDX-License-Identifier: MIT */
/*
 * Recordings: the record stream of bpf/event.h in a file.
 *
 * A file is a header (struct rec_head), then blocks: struct rec_block with length and CRC32 of what
 * follows, then whole records. A block is written at least each second, so that a crash costs at
 * most the last one; there is no footer. Little-endian; readers refuse another byte order or a
 * newer major version.
 */
#ifndef BPF_REC_H
#define BPF_REC_H

#include "bpf/event.h"
#include "bpf/why.h"

#include <stddef.h>

#define REC_MAGIC "LJXREC\r\n"
#define REC_ORDER 0x01020304u
#define REC_BLOCK_MAX (1u << 20)

struct rec_head {
	char magic[8];
	ev_u32 order;	/* REC_ORDER */
	ev_u32 version; /* EV_VERSION */
	ev_u64 reserved[2];
};

struct rec_block {
	ev_u32 len; /* of the records that follow, at most REC_BLOCK_MAX */
	ev_u32 crc; /* zlib's crc32 of them */
};

struct rec_writer;

/*
 * Starts a recording on fd, which stays the caller's and must be open for writing at offset 0.
 * Returns 0 or -errno.
 */
int rec_writer_new(int fd, struct rec_writer **out);

/* Appends a record, which must be well-formed (rec_check). 0 or -errno of a failed write. */
int rec_write(struct rec_writer *w, const struct ev_hdr *h);

/* Writes out what is buffered, as a block. To be called each second. */
int rec_flush(struct rec_writer *w);

/* Flushes and frees. NULL is allowed. Returns 0 or the first error of this writer's life. */
int rec_writer_free(struct rec_writer *w);

struct rec_reader;

struct rec_end {
	int truncated;	    /* the last block is not whole: the writer did not finish */
	int corrupt;	    /* a block whose checksum or records are wrong; reading stopped there */
	ev_u64 good_bytes;  /* file bytes up to the end of the last good block */
	ev_u64 bad_records; /* skipped: malformed though the checksum is right */
	int error;	    /* -errno of a failed read, with truncated set */
};

/* Opens a recording on fd (the caller's). name is for messages. */
int rec_reader_new(int fd, const char *name, struct rec_reader **out, struct why *why);
void rec_reader_free(struct rec_reader *r);

/*
 * The next record, borrowed until the next call; NULL at the end. Every record returned passed
 * rec_check. Unknown kinds are returned too.
 */
const struct ev_hdr *rec_next(struct rec_reader *r);

/* How it ended; meaningful after rec_next returned NULL. */
const struct rec_end *rec_reader_end(const struct rec_reader *r);

/*
 * Is this record, of which avail bytes are readable, well-formed: size within avail, a multiple of
 * 8 and at least its structure's; counts within the size; every string terminated. Unknown kinds
 * need only a sane header. The one gate for records from files and from rings.
 */
int rec_check(const struct ev_hdr *h, size_t avail);

/* String idx of a record that passed rec_check ("strings:" in bpf/event.h), or "". */
const char *rec_str(const struct ev_hdr *h, unsigned int idx);

/*
 * Builds a record with strings in buf: h has kind and everything but size filled; fixed is the size
 * of its structure, which is copied. Returns the record in buf, or NULL if it does not fit cap.
 * Strings are cut to fit 65535 bytes each.
 */
struct ev_hdr *rec_build(void *buf, size_t cap, const struct ev_hdr *h, size_t fixed,
			 const char *const *strs, unsigned int nstrs);

#endif
