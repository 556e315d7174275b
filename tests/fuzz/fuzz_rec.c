// SPDX-License-Identifier: MIT
/*
 * Recordings from anywhere. The first byte chooses: the rest is a whole file; or the payload of
 * blocks with right checksums; or one record as it comes from a ring.
 */
#include "bpf/rec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sink;

/* Touches all that a reader may rely on. */
static void use(const struct ev_hdr *h)
{
	const struct ev_sample *s = (const struct ev_sample *)h;
	const struct ev_native *e = (const struct ev_native *)h;
	unsigned int i;

	if ((uintptr_t)h % 8)
		abort();
	for (i = 0; i < 6; i++)
		sink += strlen(rec_str(h, i));
	if (h->kind == EV_SAMPLE)
		for (i = 0; i < s->nframes; i++)
			sink += s->f[i].addr;
	if (h->kind == EV_LOST)
		sink += EV_LOST_VMS((const struct ev_lost *)h);
	if (h->kind == EV_NATIVE)
		for (i = 0; i < e->nwords; i++)
			sink += e->word[i];
}

static void read_file(int fd)
{
	const struct rec_end *end;
	const struct ev_hdr *h;
	struct rec_reader *r;

	if (lseek(fd, 0, SEEK_SET) || rec_reader_new(fd, "fuzz", &r, NULL))
		return;
	while ((h = rec_next(r))) {
		if (!rec_check(h, h->size))
			abort();
		use(h);
	}
	end = rec_reader_end(r);
	if (end->good_bytes > (ev_u64)lseek(fd, 0, SEEK_END))
		abort();
	rec_reader_free(r);
}

static void put(int fd, const void *p, size_t len)
{
	if (len && write(fd, p, len) != (ssize_t)len)
		abort();
}

/* Blocks of the length that the first byte gives, in units of 8; 0: one block. */
static void put_blocks(int fd, const uint8_t *data, size_t size)
{
	const struct rec_head head = {
	    .magic = REC_MAGIC, .order = REC_ORDER, .version = EV_VERSION};
	size_t len, unit = size ? data[0] * 8u : 0;
	struct rec_block block;

	put(fd, &head, sizeof(head));
	for (data++, size -= !!size; size; data += len, size -= len) {
		len = unit && unit < size ? unit : size;
		block.len = (ev_u32)len;
		block.crc = (ev_u32)crc32(0, data, (uInt)len);
		put(fd, &block, sizeof(block));
		put(fd, data, len);
	}
}

static void check_one(const uint8_t *data, size_t size)
{
	void *copy = malloc(size ? size : 1);

	if (!copy)
		return;
	memcpy(copy, data, size);
	if (rec_check(copy, size))
		use(copy);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd;

	if (!size)
		return 0;
	if (data[0] % 4 == 0) {
		check_one(data + 1, size - 1);
		return 0;
	}
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0)
		abort();
	if (data[0] % 4 == 1)
		put(fd, data + 1, size - 1);
	else
		put_blocks(fd, data + 1, size - 1);
	read_file(fd);
	close(fd);
	return 0;
}
