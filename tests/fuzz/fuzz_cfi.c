// SPDX-License-Identifier: MIT
/*
 * Call frame information from a hostile target. The first byte chooses: the rest is all of
 * .eh_frame; or the instructions of a CIE, as many as the second byte says, and of its FDE.
 */
#include "bpf/elfobj.h"
#include "bpf/sampler.h"
#include "bpf/unwind.h"
#include "tests/fuzz/elf_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CODE = 4096, FRAME = 1024, NFDES = 3 };

/* All at its own offset; addresses are offsets. */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	struct {
		unsigned char enc[4];
		int32_t frame;
		uint32_t count;
		int32_t table[NFDES][2];
	} ehhdr;
	_Alignas(8) unsigned char frame[FRAME];
	_Alignas(16) unsigned char code[CODE];
};

static volatile uint64_t sink;

static void make(struct image *im)
{
	const size_t hdr = offsetof(struct image, ehhdr);
	int i;

	memset(im, 0, sizeof(*im));
	elf_headers(&im->eh, sizeof(*im), im->ph, 2);
	elf_frame_hdr(&im->eh, &im->ph[1], im->ehhdr.enc, sizeof(im->ehhdr));
	im->ehhdr.count = NFDES;
	for (i = 0; i < NFDES; i++) {
		im->ehhdr.table[i][0] =
		    (int32_t)(offsetof(struct image, code) + 1000 * (size_t)i - hdr);
		im->ehhdr.table[i][1] =
		    (int32_t)(offsetof(struct image, frame) + 256 * (size_t)i - hdr);
	}
}

static void put32(struct image *im, size_t at, uint32_t v)
{
	memcpy(im->frame + at, &v, sizeof(v));
}

/* A CIE at 512, the first FDE at 0. */
static void make_frame(struct image *im, const uint8_t *data, size_t size)
{
	static const unsigned char head[] = {1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b};
	size_t ncie = size ? data[0] % 128 : 0, nfde;

	if (size < 1 + ncie)
		return;
	data++;
	size--;
	put32(im, 512, (uint32_t)(4 + sizeof(head) + ncie));
	memcpy(im->frame + 520, head, sizeof(head));
	memcpy(im->frame + 520 + sizeof(head), data, ncie);
	nfde = size - ncie < 480 ? size - ncie : 480;
	put32(im, 0, (uint32_t)(13 + nfde));
	put32(im, 4, (uint32_t)(4 - 512));
	put32(im, 8, (uint32_t)(offsetof(struct image, code) - offsetof(struct image, frame) - 8));
	put32(im, 12, 900);
	memcpy(im->frame + 17, data + ncie, nfde);
}

struct seen {
	uint64_t last;
	size_t n;
};

static int row(void *ctx, const struct elfobj_row *r)
{
	struct seen *s = ctx;

	if (r->pc < s->last || r->cfa > ELFOBJ_CFA_END || r->bp > ELFOBJ_BP_LOST)
		abort();
	s->last = r->pc;
	s->n++;
	return 0;
}

static void check_table(const struct elfobj *eo)
{
	struct unwind_table t;
	uint32_t i;

	if (unwind_build(eo, &t))
		return;
	for (i = 0; i < t.index && t.nrows; i++)
		if (t.word[i] >= t.nrows || (i && t.word[i] < t.word[i - 1]))
			abort();
	for (i = 1; i < t.nrows; i++)
		if (SMP_ROW_PC(t.word[t.index + i]) <= SMP_ROW_PC(t.word[t.index + i - 1]))
			abort();
	sink += t.nrows;
	if (t.nrows)
		free(t.word);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image im;
	struct seen seen = {0, 0};
	struct elfobj *eo;
	int fd;

	if (!size)
		return 0;
	make(&im);
	if (data[0] & 1)
		make_frame(&im, data + 1, size - 1);
	else
		memcpy(im.frame, data + 1, size - 1 < FRAME ? size - 1 : FRAME);
	fd = elf_file(&im, sizeof(im));
	if (!elfobj_open(fd, "fuzz", &eo, NULL)) {
		elfobj_cfi(eo, row, &seen);
		if (seen.n > 3 * (FRAME + 2))
			abort();
		check_table(eo);
		elfobj_free(eo);
	}
	close(fd);
	return 0;
}
