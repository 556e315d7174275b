// SPDX-License-Identifier: MIT
/*
 * Machine code from a hostile target. An input is either the code of a function, in an ELF file
 * made here, or edits of the installed LuaJIT.
 */
#include "bpf/finder_int.h"
#include "bpf/guess.h"
#include "tests/fuzz/elf_image.h"

#include <fcntl.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIBLUAJIT "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2"
#define CODE_MAX 4096u
#define WORK 200000u

/* One segment, one function; addresses are offsets. */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	struct {
		unsigned char enc[4];
		int32_t frame;
		uint32_t count;
		int32_t table[2];
	} ehhdr;
	unsigned char cie[24];
	struct {
		uint32_t len, cie;
		int32_t start;
		uint32_t size;
		unsigned char rest[4];
	} fde;
	unsigned char code[CODE_MAX];
};

static volatile uint64_t sink;

static void make(struct image *im, const uint8_t *code, size_t size)
{
	static const unsigned char cie[24] = {20,  0,	0, 0, 0,    0,	0, 0,	1,
					      'z', 'R', 0, 1, 0x78, 16, 1, 0x1b};
	const int32_t fde = offsetof(struct image, fde), start = offsetof(struct image, code);

	memset(im, 0, sizeof(*im));
	elf_headers(&im->eh, sizeof(*im), im->ph, 2);
	elf_frame_hdr(&im->eh, &im->ph[1], im->ehhdr.enc, sizeof(im->ehhdr));
	im->ehhdr.count = 1;
	im->ehhdr.table[0] = start - (int32_t)offsetof(struct image, ehhdr);
	im->ehhdr.table[1] = fde - (int32_t)offsetof(struct image, ehhdr);
	memcpy(im->cie, cie, sizeof(cie));
	im->fde.len = 16;
	im->fde.cie = (uint32_t)(fde + 4) - offsetof(struct image, cie);
	im->fde.start = start - (fde + 8);
	im->fde.size = (uint32_t)size;
	memcpy(im->code, code, size);
}

static struct elfobj *open_bytes(const void *p, size_t len)
{
	int fd = elf_file(p, len);
	struct elfobj *eo;

	if (elfobj_open(fd, "fuzz", &eo, NULL))
		eo = NULL;
	close(fd);
	return eo;
}

static int visit(void *ctx, const struct ffunc *fn, const struct fins *ins, const struct fstate *st)
{
	(void)ctx;
	if (ins->addr - fn->start >= fn->end - fn->start || !st->reached)
		abort();
	sink += (uint64_t)ff_mem(ins, st).off + (uint64_t)ff_value(ins, st).off;
	return 0;
}

static void function(const uint8_t *data, size_t size)
{
	const uint64_t addr = offsetof(struct image, code);
	struct fwork work = {.left = WORK};
	struct fctx c = {.work = &work};
	struct finder_func f = {.addr = addr};
	static struct image im;
	struct ffunc fn;

	if (!size || size > CODE_MAX)
		return;
	make(&im, data, size);
	c.eo = open_bytes(&im, sizeof(im));
	if (!c.eo)
		abort();
	if (!fi_func(c.eo, addr, &work, &fn)) {
		ff_walk(&fn, visit, NULL);
		fi_release(&fn);
	}
	finder_probe(&c, &f, 7);
	if (f.probe < addr || f.probe >= addr + size)
		abort();
	elfobj_free((struct elfobj *)(uintptr_t)c.eo);
}

/* What is derived from such code, whether it fits a row or not. */
static void derive(const struct finder *f)
{
	static struct guesses gs;
	const struct layout_field *bad;
	size_t i;

	memset(&gs, 0, sizeof(gs));
	guess_by_code(f, &gs);
	if (gs.n > GUESSES_MAX || !memchr(gs.text, '\0', sizeof(gs.text)))
		abort();
	for (i = 0; i < gs.n; i++) {
		sink += strlen(gs.g[i].row.name) + strlen(gs.g[i].row.where);
		sink += (uint64_t)layout_sane(&gs.g[i].row.l, &bad);
	}
}

/* Of 5 bytes each: where, and the two bytes there. */
static void edits(const uint8_t *data, size_t size)
{
	static unsigned char *whole, *copy;
	static size_t len;
	struct elfobj *eo;
	struct finder f;
	struct stat st;
	uint64_t start, end;
	unsigned int i;
	size_t at;
	int fd;

	if (!whole) {
		fd = open(LIBLUAJIT, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st))
			return;
		len = (size_t)st.st_size;
		whole = malloc(len);
		copy = malloc(len);
		if (!whole || !copy || read(fd, whole, len) != (ssize_t)len)
			abort();
		close(fd);
	}
	memcpy(copy, whole, len);
	for (; size >= 5; data += 5, size -= 5) {
		at = (data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16) % (len - 1);
		memcpy(copy + at, data + 3, 2);
	}
	eo = open_bytes(copy, len);
	if (!eo)
		return;
	if (!finder_run(eo, NULL, 0, &f, NULL)) {
		derive(&f);
		for (i = 0; i < FINDER_NFUNCS; i++)
			if (f.func[i].addr && i != FINDER_VM_CPCALL &&
			    (elfobj_func_bounds(eo, f.func[i].addr, &start, &end) ||
			     start != f.func[i].addr || f.func[i].probe < start ||
			     f.func[i].probe >= end))
				abort();
	}
	elfobj_free(eo);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] == 0xff)
		edits(data + 1, size - 1);
	else
		function(data + 1, size - 1);
	return 0;
}
