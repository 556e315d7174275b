// SPDX-License-Identifier: MIT
/*
 * Debug information from a hostile file: an input is edits of a small one made here, which has all
 * that a layout needs, and functions in functions.
 */
#include "bpf/dwarf_int.h"
#include "bpf/inlines_int.h"
#include "tests/fuzz/elf_image.h"

#include <dwarf.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 8192, NSECTIONS = 7, CODE = 0x1000 };

/* Section names, in the order of the headers. */
enum { INFO = 1, ABBREV, LINE, STR, RANGES, NAMES };
static const char names[] =
    "\0.debug_info\0.debug_abbrev\0.debug_line\0.debug_str\0.debug_ranges\0.shstrtab";

struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[1];
	Elf64_Shdr sh[NSECTIONS];
	unsigned char p[ROOM];
};

/* A section that is being written. */
struct out {
	unsigned char *p, *end;
	size_t n;
};

static void put(struct out *o, uint64_t v, unsigned int bytes)
{
	if (bytes > (size_t)(o->end - o->p) - o->n)
		abort();
	memcpy(o->p + o->n, &v, bytes);
	o->n += bytes;
}

static void put_text(struct out *o, const char *s)
{
	do
		put(o, (unsigned char)*s, 1);
	while (*s++);
}

/* A tag, whether it has children, then pairs of an attribute and its form. */
static const unsigned short abbrevs[][12] = {
    {DW_TAG_compile_unit, 1, DW_AT_name, DW_FORM_string, DW_AT_stmt_list, DW_FORM_sec_offset},
    {DW_TAG_structure_type, 1, DW_AT_name, DW_FORM_string, DW_AT_byte_size, DW_FORM_data2},
    {DW_TAG_member, 0, DW_AT_name, DW_FORM_string, DW_AT_data_member_location, DW_FORM_data2,
     DW_AT_type, DW_FORM_ref4},
    {DW_TAG_enumeration_type, 1},
    {DW_TAG_enumerator, 0, DW_AT_name, DW_FORM_string, DW_AT_const_value, DW_FORM_data2},
    {DW_TAG_typedef, 0, DW_AT_name, DW_FORM_string, DW_AT_type, DW_FORM_ref4},
    {DW_TAG_subprogram, 0, DW_AT_name, DW_FORM_strp},
    {DW_TAG_subprogram, 1, DW_AT_name, DW_FORM_string, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc,
     DW_FORM_data4},
    {DW_TAG_inlined_subroutine, 1, DW_AT_abstract_origin, DW_FORM_ref4, DW_AT_low_pc, DW_FORM_addr,
     DW_AT_high_pc, DW_FORM_data4, DW_AT_call_file, DW_FORM_data1, DW_AT_call_line, DW_FORM_data1},
    {DW_TAG_lexical_block, 1, DW_AT_ranges, DW_FORM_sec_offset},
    {DW_TAG_namespace, 1, DW_AT_name, DW_FORM_string},
    {DW_TAG_member, 0, DW_AT_data_member_location, DW_FORM_data1, DW_AT_type, DW_FORM_ref4},
};
enum {
	CU = 1,
	STRUCT,
	MEMBER,
	ENUM,
	ENUMERATOR,
	TYPEDEF,
	INLINE,
	FUNC,
	INLINED,
	BLOCK,
	SPACE,
	ANON
};

static void put_abbrevs(struct out *o)
{
	size_t i, k;

	for (i = 0; i < sizeof(abbrevs) / sizeof(*abbrevs); i++) {
		put(o, i + 1, 1);
		put(o, abbrevs[i][0], 1);
		put(o, abbrevs[i][1], 1);
		for (k = 2; k < 12 && abbrevs[i][k]; k++)
			put(o, abbrevs[i][k], 1);
		put(o, 0, 2);
	}
	put(o, 0, 1);
}

static void put_member(struct out *o, const char *name, unsigned int at, uint32_t type)
{
	put(o, MEMBER, 1);
	put_text(o, name);
	put(o, at, 2);
	put(o, type, 4);
}

/* A structure in which field i lies at i. inner: the type of one more member, without a name. */
static void put_struct(struct out *o, const char *type, uint32_t inner)
{
	const struct layout_field *f = layout_fields();
	size_t i, size = 8;

	for (i = 0; i < LAYOUT_NFIELDS; i++)
		if (f[i].kind == LAYOUT_IS_SIZE && !strcmp(f[i].type, type))
			size = i;
	put(o, STRUCT, 1);
	put_text(o, type);
	put(o, size, 2);
	for (i = 0; i < LAYOUT_NFIELDS; i++)
		if (f[i].kind == LAYOUT_IS_OFFSET && !strcmp(f[i].type, type) &&
		    strncmp(f[i].member, "gc.", 3) != 0)
			put_member(o, f[i].member, (unsigned int)i, inner);
	if (inner) {
		put(o, ANON, 1);
		put(o, 0, 1);
		put(o, inner, 4);
	}
	put(o, 0, 1);
}

/* The type of what global_State has its gc in, which has no name there. */
static uint32_t put_gc(struct out *o)
{
	const struct layout_field *f = layout_fields();
	uint32_t gc = (uint32_t)o->n, type, outer;
	size_t i;

	put(o, STRUCT, 1);
	put_text(o, "GCState");
	put(o, 8, 2);
	for (i = 0; i < LAYOUT_NFIELDS; i++)
		if (f[i].kind == LAYOUT_IS_OFFSET && !strncmp(f[i].member, "gc.", 3))
			put_member(o, f[i].member + 3, (unsigned int)i - 1, gc);
	put(o, 0, 1);
	type = (uint32_t)o->n;
	put(o, TYPEDEF, 1);
	put_text(o, "gc_t");
	put(o, gc, 4);
	outer = (uint32_t)o->n;
	put(o, STRUCT, 1);
	put_text(o, "");
	put(o, 8, 2);
	put_member(o, "gc", 1, type);
	put(o, 0, 1);
	return outer;
}

static void put_types(struct out *o)
{
	const struct layout_field *f = layout_fields();
	uint32_t gc = put_gc(o);
	size_t i, k;

	for (i = 0; i < LAYOUT_NFIELDS; i++) {
		for (k = 0; f[i].type && k < i && (!f[k].type || strcmp(f[k].type, f[i].type)); k++)
			;
		if (f[i].type && k == i)
			put_struct(o, f[i].type, strcmp(f[i].type, "global_State") ? 0 : gc);
	}
	put_struct(o, "GCRef", 0);
	put(o, ENUM, 1);
	for (i = 0; i < LAYOUT_NFIELDS; i++) {
		if (f[i].kind != LAYOUT_IS_ENUM)
			continue;
		put(o, ENUMERATOR, 1);
		put_text(o, f[i].member);
		put(o, i, 2);
	}
	put(o, 0, 1);
}

static void put_inlined(struct out *o, uint32_t what, uint64_t start, uint32_t size)
{
	put(o, INLINED, 1);
	put(o, what, 4);
	put(o, start, 8);
	put(o, size, 4);
	put(o, 1, 1);
	put(o, 7, 1);
}

/* Functions at CODE: in each other, with a block of two ranges between them. */
static void put_functions(struct out *o)
{
	uint32_t one = (uint32_t)o->n, two;

	put(o, INLINE, 1);
	put(o, 0, 4);
	two = (uint32_t)o->n;
	put(o, INLINE, 1);
	put(o, 4, 4);
	put(o, SPACE, 1);
	put_text(o, "space");
	put(o, FUNC, 1);
	put_text(o, "outer");
	put(o, CODE, 8);
	put(o, 0x100, 4);
	put_inlined(o, one, CODE + 0x10, 0x80);
	put(o, BLOCK, 1);
	put(o, 0, 4);
	put_inlined(o, two, CODE + 0x20, 0x20);
	put(o, 0, 5);
}

/* A length in front that is set last. */
static size_t begin(struct out *o, unsigned int version)
{
	put(o, 0, 4);
	put(o, version, 2);
	return o->n - 6;
}

static void end(struct out *o, size_t at)
{
	uint32_t len = (uint32_t)(o->n - at - 4);

	memcpy(o->p + at, &len, sizeof(len));
}

static void put_info(struct out *o)
{
	size_t at = begin(o, 4);

	put(o, 0, 4); /* of the abbreviations */
	put(o, 8, 1); /* bytes of an address */
	put(o, CU, 1);
	put_text(o, "a.c");
	put(o, 0, 4);
	put_functions(o);
	put_types(o);
	put(o, 0, 1);
	end(o, at);
}

/* A file and no lines. */
static void put_lines(struct out *o)
{
	static const unsigned char lengths[] = {0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1};
	size_t at = begin(o, 4), head = o->n, i;
	uint32_t len;

	put(o, 0, 4);
	put(o, 0x0d0efb010101, 6);
	for (i = 0; i < sizeof(lengths); i++)
		put(o, lengths[i], 1);
	put(o, 0, 1);
	put_text(o, "a.c");
	put(o, 0, 4);
	len = (uint32_t)(o->n - head - 4);
	memcpy(o->p + head, &len, sizeof(len));
	end(o, at);
}

static void put_strings(struct out *o)
{
	put_text(o, "one");
	put_text(o, "two");
}

static void put_ranges(struct out *o)
{
	put(o, CODE + 0x18, 8);
	put(o, CODE + 0x1c, 8);
	put(o, CODE + 0x1c, 8);
	put(o, CODE + 0x50, 8);
	put(o, 0, 8);
	put(o, 0, 8);
}

static void put_names(struct out *o)
{
	size_t i;

	for (i = 0; i < sizeof(names); i++)
		put(o, (unsigned char)names[i], 1);
}

static void make(struct image *im)
{
	static void (*const part[])(struct out *) = {
	    [INFO] = put_info,	 [ABBREV] = put_abbrevs, [LINE] = put_lines,
	    [STR] = put_strings, [RANGES] = put_ranges,	 [NAMES] = put_names};
	struct out o = {im->p, im->p + ROOM, 0};
	uint32_t name = 1;
	size_t i;

	memset(im, 0, sizeof(*im));
	elf_headers(&im->eh, sizeof(*im), im->ph, 1);
	im->eh.e_version = EV_CURRENT;
	im->eh.e_ehsize = sizeof(im->eh);
	im->eh.e_shoff = offsetof(struct image, sh);
	im->eh.e_shentsize = sizeof(im->sh[0]);
	im->eh.e_shnum = NSECTIONS;
	im->eh.e_shstrndx = NAMES;
	for (i = INFO; i <= NAMES; i++) {
		o.p += o.n;
		o.n = 0;
		part[i](&o);
		im->sh[i].sh_name = name;
		im->sh[i].sh_type = i == NAMES ? SHT_STRTAB : SHT_PROGBITS;
		im->sh[i].sh_offset = (size_t)(o.p - (unsigned char *)im);
		im->sh[i].sh_size = o.n;
		im->sh[i].sh_addralign = 1;
		name += (uint32_t)strlen(names + name) + 1;
	}
}

static void check_layout(const struct elfobj *eo, int whole)
{
	const struct layout_field *f = layout_fields();
	const char *missing = "";
	struct layout l = {0};
	int err = dwarf_read(eo, &l, &missing);
	size_t i;

	if (err > 0 || (whole && err))
		abort();
	for (i = 0; i < LAYOUT_NFIELDS && whole; i++)
		if (f[i].kind != LAYOUT_IS_FRAME && f[i].kind != LAYOUT_IS_FLAG &&
		    layout_get(&l, &f[i]) != i)
			abort();
}

/* Lines of a name, and perhaps a tab and a place. */
static void check_text(const char *text)
{
	size_t lines = 0, n;
	const char *tab;

	for (; *text; text += n + (text[n] == '\n'), lines++) {
		n = strcspn(text, "\n");
		tab = memchr(text, '\t', n);
		if (!n || n >= INLINES_LINE || tab == text)
			abort();
		if (tab && memchr(tab + 1, '\t', n - (size_t)(tab + 1 - text)))
			abort();
		if (text[n] && !text[n + 1])
			abort();
	}
	if (lines > INLINES_MAX)
		abort();
}

static void check_inlines(const struct elfobj *eo, int whole)
{
	struct inlines_dw *in = inlines_dw_new(eo);
	char text[INLINES_TEXT];
	uint64_t at;

	if (!in && whole)
		abort();
	for (at = CODE - 1; in && at < CODE + 0x102; at += 3) {
		memset(text, 'x', sizeof(text));
		inlines_dw_at(in, at, text, sizeof(text));
		if (!memchr(text, 0, sizeof(text)))
			abort();
		check_text(text);
		if (whole && at == CODE + 0x29 && strcmp(text, "two\ta.c:7\none\ta.c:7") != 0)
			abort();
	}
	inlines_dw_free(in);
}

/* Of 3 bytes each: where, and the byte there. */
static void edit(struct image *im, const uint8_t *data, size_t size)
{
	for (; size >= 3; data += 3, size -= 3)
		((unsigned char *)im)[(data[0] | (size_t)data[1] << 8) % sizeof(*im)] = data[2];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image im;
	struct elfobj *eo;
	int fd;

	make(&im);
	edit(&im, data, size);
	fd = elf_file(&im, sizeof(im));
	if (!elfobj_open(fd, "fuzz", &eo, NULL)) {
		check_layout(eo, size < 3);
		check_inlines(eo, size < 3);
		elfobj_free(eo);
	}
	close(fd);
	return 0;
}
