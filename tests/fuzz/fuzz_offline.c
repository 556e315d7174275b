// SPDX-License-Identifier: MIT
/*
 * Recordings whose functions get names afterwards: any order of processes, modules, symbols and C
 * stacks, with a debug file that fits some of them.
 */
#include "bpf/offline.h"
#include "bpf/rec.h"
#include "tests/fuzz/elf_image.h"
#include "tests/fuzz/input.h"

#include <stdio.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUNCTIONS 6
#define GOOD "abcd0123"

struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	struct {
		Elf64_Nhdr head;
		char name[4];
		unsigned char id[4];
	} note;
	Elf64_Sym sym[FUNCTIONS];
	char str[32];
	Elf64_Shdr sh[4];
};

static char dir[] = "/tmp/fuzz_offline.XXXXXX";
static char path[128];

static void clean_up(void)
{
	char parent[128];

	unlink(path);
	snprintf(parent, sizeof(parent), "%s/.build-id/ab", dir);
	rmdir(parent);
	snprintf(parent, sizeof(parent), "%s/.build-id", dir);
	rmdir(parent);
	rmdir(dir);
}

static void make(struct image *im)
{
	size_t i;

	memset(im, 0, sizeof(*im));
	elf_headers(&im->eh, sizeof(*im), &im->ph, 1);
	im->eh.e_shoff = offsetof(struct image, sh);
	im->eh.e_shentsize = sizeof(im->sh[0]);
	im->eh.e_shnum = 4;
	im->ph.p_memsz = 0x1000;
	im->note.head = (Elf64_Nhdr){4, 4, NT_GNU_BUILD_ID};
	memcpy(im->note.name, "GNU", 4);
	memcpy(im->note.id, "\xab\xcd\x01\x23", 4);
	memcpy(im->str, "\0f\0_Z1gv\0h.cold", 15);
	for (i = 0; i < FUNCTIONS; i++)
		im->sym[i] = (Elf64_Sym){.st_name = "\1\3\x9\1\3\1"[i],
					 .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
					 .st_shndx = 1,
					 .st_value = 2 * i,
					 .st_size = i % 3};
	im->sh[1] = (Elf64_Shdr){.sh_type = SHT_NOTE,
				 .sh_offset = offsetof(struct image, note),
				 .sh_size = sizeof(im->note)};
	im->sh[2] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
				 .sh_offset = offsetof(struct image, sym),
				 .sh_size = sizeof(im->sym),
				 .sh_entsize = sizeof(im->sym[0]),
				 .sh_link = 3};
	im->sh[3] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
				 .sh_offset = offsetof(struct image, str),
				 .sh_size = sizeof(im->str)};
}

static void set_up(void)
{
	struct image im;
	FILE *f;

	unsetenv("DEBUGINFOD_URLS");
	make(&im);
	if (!mkdtemp(dir))
		abort();
	atexit(clean_up);
	snprintf(path, sizeof(path), "%s/.build-id", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/.build-id/ab", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/.build-id/ab/%s.debug", dir, &GOOD[2]);
	f = fopen(path, "w");
	if (!f || fwrite(&im, sizeof(im), 1, f) != 1 || fclose(f))
		abort();
}

static void say(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;
	abort(); /* nobody may be asked */
}

/* What the last SYM without a name covers: all that is added lies in it. */
static struct ev_sym given;

static int check(void *ctx, const struct ev_hdr *h)
{
	const struct ev_sym *s = (const void *)h;
	size_t *named = ctx;

	if (!rec_check(h, h->size))
		abort();
	if (h->kind != EV_SYM || s->kind != EV_SYM_FUNC)
		return 0;
	if (s->start < given.start || s->end > given.end || s->start >= s->end ||
	    s->h.pid != given.h.pid || !*rec_str(h, 0))
		abort();
	++*named;
	return 0;
}

static struct ev_hdr *next(struct input *in, uint64_t *buf, size_t cap)
{
	static const char *const ids[] = {GOOD, "", "ef", "0123456789abcdef"};
	struct ev_hdr h = {.time = 1, .pid = take(in) % 4};
	uint64_t base = number(in), len = number(in);
	const char *strs[3] = {ids[take(in) % 4], "/lib/x.so", ""};

	switch (take(in) % 5) {
	case 0: {
		struct ev_proc e = {.h = h};

		e.h.kind = EV_PROC;
		return rec_build(buf, cap, &e.h, sizeof(e), strs, 3);
	}
	case 1: {
		struct ev_module e = {.h = h, .start = base, .end = base + len, .bias = number(in)};

		e.h.kind = EV_MODULE;
		return rec_build(buf, cap, &e.h, sizeof(e), strs, 2);
	}
	case 2: {
		union {
			struct ev_native e;
			ev_u64 room[sizeof(struct ev_native) / 8 + 2];
		} e = {.e = {.h = h, .nwords = 2}};

		e.e.h.kind = EV_NATIVE;
		e.e.nkernel = (ev_u16)(number(in) % 3);
		e.e.word[0] = base;
		e.e.word[1] = len;
		return rec_build(buf, cap, &e.e.h, sizeof(e), NULL, 0);
	}
	default: {
		struct ev_sym e = {.h = h,
				   .start = base,
				   .end = base + len,
				   .offset = number(in),
				   .kind = EV_SYM_MODULE};

		e.h.kind = EV_SYM;
		given = e;
		strs[0] = "";
		return rec_build(buf, cap, &e.h, sizeof(e), strs, 2);
	}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	const struct offline_file *f;
	const struct ev_hdr *h;
	struct offline *o;
	size_t named = 0, told = 0, i;
	uint64_t buf[64];

	if (!path[0])
		set_up();
	o = offline_new(dir, 1, say, NULL);
	while (o && in.left) {
		h = next(&in, buf, sizeof(buf));
		if (!h)
			abort();
		if (rec_check(h, h->size) && offline_record(o, h, check, &named))
			abort();
	}
	for (i = 0; o && (f = offline_files(o, i)); i++) {
		if (f->named && (*f->why || strcmp(f->build_id, GOOD) != 0))
			abort();
		told += f->named;
	}
	if (told > named)
		abort();
	offline_free(o);
	return 0;
}
