// SPDX-License-Identifier: MIT
/* The part that asks libdw, which follows what a file says with more trust than we have. */
#include "bpf/demangle.h"
#include "bpf/inlines_int.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_MAX (512u << 20)
#define DIES_MAX 8000000u    /* looked at for the list of functions */
#define DIES_EACH_MAX 20000u /* and for one address */
#define FUNCTIONS_MAX 1000000u
#define SPACES_MAX 16 /* namespaces in each other */

/* A function's code; without it in one piece there is an entry for each. */
struct function {
	uint64_t start, end;
	Dwarf_Off die;
};

struct inlines_dw {
	char *image;
	Elf *elf;
	Dwarf *dw;
	struct function *f; /* sorted */
	size_t n, cap;
	unsigned int dies;
};

static int add_function(struct inlines_dw *in, uint64_t start, uint64_t end, Dwarf_Die *die)
{
	struct function *bigger;

	if (start >= end || in->n == FUNCTIONS_MAX)
		return 0;
	if (in->n == in->cap) {
		in->cap = in->cap ? 2 * in->cap : 1024;
		bigger = realloc(in->f, in->cap * sizeof(*bigger));
		if (!bigger)
			return -1;
		in->f = bigger;
	}
	in->f[in->n++] = (struct function){start, end, dwarf_dieoffset(die)};
	return 0;
}

static int add_pieces(struct inlines_dw *in, Dwarf_Die *die)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;
	int i, err = 0;

	for (i = 0; i < 64 && !err; i++) {
		at = dwarf_ranges(die, at, &base, &start, &end);
		if (at <= 0)
			break;
		err = add_function(in, start, end, die);
	}
	return err;
}

/* Functions below a unit, and in its namespaces and types. */
static int list_below(struct inlines_dw *in, Dwarf_Die *parent, int depth)
{
	Dwarf_Die die;
	int err = 0, more;

	if (depth > SPACES_MAX || dwarf_child(parent, &die))
		return 0;
	do {
		int tag = dwarf_tag(&die);

		if (++in->dies > DIES_MAX)
			return -1;
		if (tag == DW_TAG_subprogram)
			err = add_pieces(in, &die);
		else if (tag == DW_TAG_namespace || tag == DW_TAG_structure_type ||
			 tag == DW_TAG_class_type)
			err = list_below(in, &die, depth + 1);
		more = !err && !dwarf_siblingof(&die, &die);
	} while (more);
	return err;
}

static int by_start(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->die > y->die) - (x->die < y->die);
}

/* All functions of all units; of a file with too many those that come first. */
static void list_functions(struct inlines_dw *in)
{
	Dwarf_Off off = 0, next;
	Dwarf_Die cu;
	size_t head;

	for (; !dwarf_nextcu(in->dw, off, &next, &head, NULL, NULL, NULL); off = next) {
		if (++in->dies > DIES_MAX)
			break;
		if (dwarf_offdie(in->dw, off + head, &cu) && list_below(in, &cu, 0))
			break;
	}
	if (in->n)
		qsort(in->f, in->n, sizeof(*in->f), by_start);
}

struct inlines_dw *inlines_dw_new(const struct elfobj *eo)
{
	struct inlines_dw *in = calloc(1, sizeof(*in));
	size_t len = 0;

	if (!in)
		return NULL;
	if (!elfobj_debug_image(eo, &in->image, &len) && len <= IMAGE_MAX) {
		elf_version(EV_CURRENT);
		in->elf = elf_memory(in->image, len);
		in->dw = in->elf ? dwarf_begin_elf(in->elf, DWARF_C_READ, NULL) : NULL;
	}
	if (!in->dw) {
		inlines_dw_free(in);
		return NULL;
	}
	list_functions(in);
	return in;
}

void inlines_dw_free(struct inlines_dw *in)
{
	if (!in)
		return;
	dwarf_end(in->dw);
	elf_end(in->elf);
	free(in->image);
	free(in->f);
	free(in);
}

/* The last function that starts at or before vaddr, if it goes as far. */
static const struct function *function_at(const struct inlines_dw *in, uint64_t vaddr)
{
	size_t lo = 0, hi = in->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (in->f[mid].start <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && vaddr < in->f[lo - 1].end ? &in->f[lo - 1] : NULL;
}

/* Its name, mangled if it has one so: that tells the class. */
static const char *name_of(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr))
		name = dwarf_formstring(&attr);
	return name ? name : dwarf_diename(die);
}

/* "nest.c:17": where a function that was inlined is called; "" if that is not told. */
static void call_place(Dwarf_Die *die, char *out, size_t size)
{
	Dwarf_Attribute attr;
	Dwarf_Word file, line;
	const char *path, *base;
	Dwarf_Files *files;
	Dwarf_Die cu;
	size_t n;

	*out = '\0';
	if (!dwarf_attr(die, DW_AT_call_line, &attr) || dwarf_formudata(&attr, &line) ||
	    !dwarf_attr(die, DW_AT_call_file, &attr) || dwarf_formudata(&attr, &file) ||
	    !dwarf_diecu(die, &cu, NULL, NULL) || dwarf_getsrcfiles(&cu, &files, &n) || file >= n)
		return;
	path = dwarf_filesrc(files, file, NULL, NULL);
	base = path ? strrchr(path, '/') : NULL;
	base = base ? base + 1 : path;
	if (base && *base)
		snprintf(out, size, "%s:%llu", base, (unsigned long long)line);
}

/* A line of text; what would end it is taken out. */
static void describe(Dwarf_Die *die, const char *name, char *out, size_t size)
{
	char clean[256], place[256], *c;

	demangle(name, clean, sizeof(clean));
	call_place(die, place, sizeof(place));
	for (c = clean; (c = strpbrk(c, "\n\t")); c++)
		*c = ' ';
	for (c = place; (c = strpbrk(c, "\n\t")); c++)
		*c = ' ';
	snprintf(out, size, "%s%s%s", clean, *place ? "\t" : "", place);
}

/* Of the blocks below die the one that has vaddr: into child. 0: none has. */
static int block_at(Dwarf_Die *die, uint64_t vaddr, unsigned int *looked, Dwarf_Die *child)
{
	if (dwarf_child(die, child))
		return 0;
	do {
		int tag = dwarf_tag(child);

		if (++*looked >= DIES_EACH_MAX)
			return 0;
		if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block) &&
		    dwarf_haspc(child, vaddr) == 1)
			return 1;
	} while (!dwarf_siblingof(child, child));
	return 0;
}

void inlines_dw_at(struct inlines_dw *in, uint64_t vaddr, char *text, size_t size)
{
	const struct function *f = function_at(in, vaddr);
	unsigned int looked = 0, depth = 0, i;
	char line[INLINES_MAX][INLINES_LINE];
	Dwarf_Die die, child;
	const char *name;
	size_t len = 0;

	text[0] = '\0';
	if (!f || !dwarf_offdie(in->dw, f->die, &die))
		return;
	for (; depth < INLINES_MAX && block_at(&die, vaddr, &looked, &child); die = child) {
		name = dwarf_tag(&child) == DW_TAG_inlined_subroutine ? name_of(&child) : NULL;
		if (name && *name)
			describe(&child, name, line[depth++], sizeof(line[0]));
	}
	for (i = depth; i-- && len < size;)
		len += (size_t)snprintf(text + len, size - len, "%s%s", line[i], i ? "\n" : "");
}
