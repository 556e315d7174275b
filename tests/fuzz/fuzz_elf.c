// SPDX-License-Identifier: MIT
/*
 * ELF files from a hostile target. An input is either a whole file or edits of a small one made
 * here, which has a bit of everything and so leads deep.
 */
#include "bpf/elfobj.h"
#include "tests/fuzz/elf_image.h"

#include <lzma.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	VM_SIZE = 12 << 10,
	NFDES = 2,
	NSYMS = 6,
	NSECTIONS = 9,
	MINI_SIZE = 600,
};

/* All at its own offset; addresses are offsets. */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[4];
	struct {
		Elf64_Nhdr head;
		char name[4];
		unsigned char id[20];
	} note;
	struct {
		unsigned char enc[4];
		int32_t frame;
		uint32_t count;
		int32_t table[NFDES][2];
	} ehhdr;
	unsigned char cie[24];
	struct {
		uint32_t len, cie;
		int32_t start;
		uint32_t size;
		unsigned char rest[4];
	} fde[NFDES];
	unsigned char plt[32];
	Elf64_Rela rela[2];
	uint64_t got[2];
	Elf64_Sym sym[NSYMS];
	char str[64];
	char shstr[64];
	char version[32];
	Elf64_Shdr sh[NSECTIONS];
	unsigned char mini[MINI_SIZE]; /* an .xz file with an ELF file */
	_Alignas(16) unsigned char vm[VM_SIZE];
	unsigned char after[64];
};

static volatile uint64_t sink;

static void make_code(struct image *im)
{
	static const unsigned char next[] = {0x0f, 0xb6, 0xcc, 0x0f, 0xb6, 0xe8, 0x48, 0x83, 0xc3,
					     0x04, 0xc1, 0xe8, 0x10, 0x41, 0xff, 0x24, 0xee};
	static const unsigned char cie[24] = {20,  0,	0, 0, 0,    0,	0, 0,	1,
					      'z', 'R', 0, 1, 0x78, 16, 1, 0x1b};
	static const unsigned char plt[] = {0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25};
	const size_t hdr = offsetof(struct image, ehhdr);
	size_t i, fde, start;
	int32_t disp;

	for (i = 0; i < 70; i++)
		memcpy(im->vm + i * 160, next, sizeof(next));
	memcpy(im->cie, cie, sizeof(cie));
	im->ehhdr.count = NFDES;
	for (i = 0; i < NFDES; i++) {
		fde = offsetof(struct image, fde) + i * sizeof(im->fde[0]);
		start = offsetof(struct image, vm) + i * VM_SIZE;
		im->fde[i].len = 16;
		im->fde[i].cie = (uint32_t)(fde + 4 - offsetof(struct image, cie));
		im->fde[i].start = (int32_t)(start - (fde + 8));
		im->fde[i].size = i ? sizeof(im->after) : VM_SIZE;
		im->ehhdr.table[i][0] = (int32_t)(start - hdr);
		im->ehhdr.table[i][1] = (int32_t)(fde - hdr);
		memcpy(im->plt + 16 * i, plt, sizeof(plt));
		disp = (int32_t)(offsetof(struct image, got) + 8 * i -
				 (offsetof(struct image, plt) + 16 * i + 10));
		memcpy(im->plt + 16 * i + 6, &disp, sizeof(disp));
		im->rela[i].r_offset = offsetof(struct image, got) + 8 * i;
		im->rela[i].r_info = ELF64_R_INFO(i + 1, R_X86_64_JUMP_SLOT + i);
	}
	strcpy(im->version, "LuaJIT 2.1.0-beta3");
}

static void section(struct image *im, unsigned int i, uint32_t name, uint32_t type, size_t off,
		    size_t size, size_t entsize, uint32_t link)
{
	im->sh[i].sh_name = name;
	im->sh[i].sh_type = type;
	im->sh[i].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
	im->sh[i].sh_addr = im->sh[i].sh_offset = off;
	im->sh[i].sh_size = size;
	im->sh[i].sh_entsize = entsize;
	im->sh[i].sh_link = link;
}

#define WHOLE(field) offsetof(struct image, field), sizeof(((struct image *)0)->field)

static void make_sections(struct image *im)
{
	static const char str[] = "\0memcpy@@V2\0_x\0f.cold\0lj_vm_asm_begin";
	static const unsigned char names[NSYMS] = {0, 1, 12, 15, 22, 8};
	unsigned int i;

	memcpy(im->str, str, sizeof(str));
	memcpy(im->shstr, "\0.plt\0.text", 12);
	memcpy(im->shstr + 32, ".eh_frame", 10);
	section(im, 1, 1, SHT_PROGBITS, WHOLE(plt), 16, 0);
	section(im, 2, 6, SHT_PROGBITS, WHOLE(vm), 0, 0);
	section(im, 3, 0, SHT_SYMTAB, WHOLE(sym), sizeof(Elf64_Sym), 5);
	section(im, 4, 0, SHT_DYNSYM, WHOLE(sym), sizeof(Elf64_Sym), 5);
	section(im, 5, 0, SHT_STRTAB, WHOLE(str), 0, 0);
	section(im, 6, 0, SHT_RELA, WHOLE(rela), sizeof(Elf64_Rela), 4);
	section(im, 7, 0, SHT_STRTAB, WHOLE(shstr), 0, 0);
	section(im, 8, 32, SHT_PROGBITS, offsetof(struct image, cie),
		sizeof(im->cie) + sizeof(im->fde), 0, 0);
	for (i = 0; i < NSYMS; i++) {
		im->sym[i].st_name = names[i];
		im->sym[i].st_info = ELF64_ST_INFO(STB_GLOBAL, i & 1 ? STT_FUNC : STT_NOTYPE);
		im->sym[i].st_shndx = 2;
		im->sym[i].st_value = offsetof(struct image, vm) + (i & 6) * 32;
		im->sym[i].st_size = i % 3 * 40;
	}
}

/* The symbols in place of .symtab, packed without a checksum so that edits get through. */
static void make_mini(struct image *im)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Shdr sh[3];
		Elf64_Sym sym[NSYMS];
		char str[64];
	} in;
	size_t size = 0;

	memset(&in, 0, sizeof(in));
	in.eh = im->eh;
	in.eh.e_phnum = in.eh.e_shstrndx = 0;
	in.eh.e_shnum = 3;
	in.eh.e_shoff = sizeof(in.eh);
	in.sh[1] = im->sh[3];
	in.sh[1].sh_link = 2;
	in.sh[1].sh_offset = (size_t)((char *)in.sym - (char *)&in);
	in.sh[2] = im->sh[5];
	in.sh[2].sh_offset = (size_t)(in.str - (char *)&in);
	memcpy(in.sym, im->sym, sizeof(in.sym));
	memcpy(in.str, im->str, sizeof(in.str));
	if (lzma_easy_buffer_encode(0, LZMA_CHECK_NONE, NULL, (uint8_t *)&in, sizeof(in), im->mini,
				    &size, MINI_SIZE) != LZMA_OK)
		abort();
	memcpy(im->shstr + 16, ".gnu_debugdata", 15);
	section(im, 3, 16, SHT_PROGBITS, offsetof(struct image, mini), size, 0, 0);
}

static void make(struct image *im)
{
	memset(im, 0, sizeof(*im));
	elf_headers(&im->eh, sizeof(*im), im->ph, 3);
	im->eh.e_shoff = offsetof(struct image, sh);
	im->eh.e_shentsize = sizeof(im->sh[0]);
	im->eh.e_shnum = NSECTIONS;
	im->eh.e_shstrndx = 7;
	im->ph[1].p_type = PT_NOTE;
	im->ph[1].p_offset = offsetof(struct image, note);
	im->ph[1].p_filesz = sizeof(im->note);
	elf_frame_hdr(&im->eh, &im->ph[2], im->ehhdr.enc, sizeof(im->ehhdr));
	im->note.head.n_namesz = 4;
	im->note.head.n_descsz = 20;
	im->note.head.n_type = NT_GNU_BUILD_ID;
	memcpy(im->note.name, "GNU", 4);
	make_code(im);
	make_sections(im);
}

static int bytes(void *ctx, uint64_t vaddr, const void *p, size_t len)
{
	(void)ctx;
	sink += vaddr + ((const unsigned char *)p)[len - 1];
	return 0;
}

static void ask(const struct elfobj *eo, uint64_t addr)
{
	uint64_t start = 0, end = 0;
	const char *name;

	if (!elfobj_symbol(eo, addr, &name, &start, &end)) {
		sink += strlen(name);
		if (addr < start || addr >= end)
			abort();
	}
	if (!elfobj_func_bounds(eo, addr, &start, &end) && (addr < start || addr >= end))
		abort();
	name = elfobj_plt_name(eo, addr);
	sink += name ? strlen(name) : 0;
	elfobj_vaddr(eo, addr, &start);
}

/* Without edits the functions are known, with a table of them and without. */
static void know(const struct elfobj *eo)
{
	const uint64_t vm = offsetof(struct image, vm);
	uint64_t start = 0, end = 0;

	if (elfobj_func_bounds(eo, vm + 1, &start, &end) || start != vm || end != vm + VM_SIZE)
		abort();
	if (elfobj_next_func(eo, vm + 1, &start, &end) || start != offsetof(struct image, after))
		abort();
}

static void use(int fd, int whole, int unpacks)
{
	struct elfobj_vm vm;
	struct elfobj *eo;
	uint64_t addr, size;

	if (elfobj_open(fd, "fuzz", &eo, NULL))
		return;
	sink += strlen(elfobj_build_id(eo)) + elfobj_first_vaddr(eo);
	if (!elfobj_luajit(eo, &vm)) {
		sink += strlen(vm.version);
		if (vm.asm_start >= vm.asm_end)
			abort();
	}
	if (elfobj_source(eo) != ELFOBJ_MINIDEBUG && unpacks)
		abort();
	if (whole)
		know(eo);
	for (addr = 0; addr < sizeof(struct image); addr += 100)
		ask(eo, elfobj_first_vaddr(eo) + addr);
	ask(eo, UINT64_MAX);
	elfobj_lookup(eo, "memcpy", &addr, &size);
	elfobj_rodata(eo, bytes, NULL);
	elfobj_free(eo);
}

/* A debug file from a server, for a program without symbols that has its build-id. */
static void reply(const struct image *answer)
{
	static struct image im;
	struct elfobj *eo;
	uint64_t addr;
	int fd[2];

	make(&im);
	im.sh[3].sh_type = SHT_NULL;
	fd[0] = elf_file(&im, sizeof(im));
	fd[1] = elf_file(answer, sizeof(*answer));
	if (elfobj_open(fd[0], "fuzz", &eo, NULL) || elfobj_source(eo))
		abort();
	if (elfobj_add_fetched(eo, fd[1]) && elfobj_source(eo) != ELFOBJ_DEBUGINFOD)
		abort();
	for (addr = 0; addr < sizeof(im); addr += 100)
		ask(eo, addr);
	elfobj_has_debug(eo);
	elfobj_free(eo);
	close(fd[0]);
	close(fd[1]);
}

/* A debug file by itself, for a recording. */
static void alone(int fd)
{
	struct elfobj *eo;
	uint64_t addr, at;
	char *p = NULL;
	size_t len;

	if (elfobj_open_debug(fd, "0000000000000000000000000000000000000000", &eo))
		return;
	for (addr = 0; addr < sizeof(struct image); addr += 100) {
		ask(eo, addr);
		if (!elfobj_symbol_after(eo, addr, &at) && at <= addr)
			abort();
	}
	if (!elfobj_debug_image(eo, &p, &len))
		free(p);
	elfobj_free(eo);
}

/* Edits of 4 bytes each: where, in the part with the headers and tables, and the byte or two there.
 */
static void edit(struct image *im, const uint8_t *data, size_t size)
{
	unsigned char *p = (unsigned char *)im;
	size_t off;

	_Static_assert(offsetof(struct image, vm) < 0x1000, "tables are within the edits' reach");
	for (; size >= 4; data += 4, size -= 4) {
		off = data[0] | (size_t)(data[1] & 0x0f) << 8;
		p[off] = data[2];
		if (data[1] & 0x80)
			p[off + 1] = data[3];
	}
}

/*
 * The first byte's lowest bit chooses: edits, or a file; the next, where the symbols are; the
 * third, that it is a server's answer; the fourth, that it is a debug file alone; the fifth, that
 * .eh_frame has no table.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image im;
	int fd;

	if (!size)
		return 0;
	make(&im);
	if (data[0] & 2)
		make_mini(&im);
	if (data[0] & 16)
		im.ph[2].p_type = PT_NULL;
	edit(&im, data + 1, size - 1);
	if (data[0] & 4) {
		reply(&im);
		return 0;
	}
	fd = data[0] & 1 ? elf_file(&im, sizeof(im)) : elf_file(data + 1, size - 1);
	if (data[0] & 8)
		alone(fd);
	else
		use(fd, data[0] & 1 && size == 1, data[0] & 1 && data[0] & 2 && size == 1);
	close(fd);
	return 0;
}
