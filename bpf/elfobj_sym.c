// SPDX-License-Identifier: MIT
/* Symbols: which function covers an address, what a PLT entry calls. */
#include "bpf/elfobj_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A hostile file may claim any number, and let all names be one of a megabyte. A larger table is as
 * if it were not there; a longer name, too.
 */
#define SYMS_MAX (2u << 20)
#define STRINGS_MAX (128ull << 20)
#define NAME_MAX 8192u
#define SLOTS_MAX (1u << 20)
#define REACH_MAX 4096u /* symbols that begin before an address, looked at */

/* In our copy of a symbol: "name@VERSION", which is not what "name" links to. */
#define OTHER_OLD_VERSION 0x80

void eo_free_syms(struct eo_lazy *lz)
{
	free(lz->symtab.sym);
	free(lz->symtab.str);
	free(lz->dynsym.sym);
	free(lz->dynsym.str);
	free(lz->syms);
	free(lz->slots);
}

/* NULL: none, or not within the strings. */
static const char *sym_name(const struct eo_symtab *tab, const Elf64_Sym *sym)
{
	const char *name;

	if (!sym->st_name || sym->st_name >= tab->strsz)
		return NULL;
	name = tab->str + sym->st_name;
	return strnlen(name, NAME_MAX) < NAME_MAX ? name : NULL;
}

/*
 * Cuts the version from names as the linker puts them into .symtab ("memcpy@@GLIBC_2.14"). In two
 * passes, since names may share their tails.
 */
static void cut_versions(struct eo_symtab *tab)
{
	const char *name, *at;
	size_t i;

	for (i = 0; i < tab->n; i++) {
		tab->sym[i].st_other = 0;
		name = sym_name(tab, &tab->sym[i]);
		at = name ? strchr(name, '@') : NULL;
		if (at && at[1] != '@')
			tab->sym[i].st_other = OTHER_OLD_VERSION;
	}
	for (i = 0; i < tab->strsz; i++)
		if (tab->str[i] == '@')
			tab->str[i] = '\0';
}

/* The first table of this type, SHT_SYMTAB or SHT_DYNSYM, if it looks like one. */
static const Elf64_Shdr *find_symtab(const struct elfobj *eo, uint32_t type)
{
	const Elf64_Shdr *sh;
	size_t i;

	eo_load_sections(eo);
	for (i = 0; i < eo->lazy->nsh; i++) {
		sh = &eo->lazy->sh[i];
		if (sh->sh_type == type && sh->sh_entsize == sizeof(Elf64_Sym) &&
		    sh->sh_link < eo->lazy->nsh)
			return sh;
	}
	return NULL;
}

size_t eo_count_symtab(const struct elfobj *eo)
{
	const Elf64_Shdr *sh = find_symtab(eo, SHT_SYMTAB);

	return sh ? sh->sh_size / sizeof(Elf64_Sym) : 0;
}

/* Reads a table. Once; tab->n is 0 if there is none. */
static void load_symtab(const struct elfobj *eo, uint32_t type, struct eo_symtab *tab)
{
	const Elf64_Shdr *sh, *str;

	if (tab->have)
		return;
	tab->have = 1;
	sh = find_symtab(eo, type);
	if (!sh)
		return;
	str = &eo->lazy->sh[sh->sh_link];
	if (sh->sh_size > SYMS_MAX * sizeof(*tab->sym) || str->sh_size > STRINGS_MAX)
		return;
	if (str->sh_type != SHT_STRTAB || eo_load(eo, str->sh_offset, str->sh_size, &tab->str))
		return;
	tab->strsz = str->sh_size;
	if (eo_load(eo, sh->sh_offset, sh->sh_size, &tab->sym))
		return;
	tab->n = sh->sh_size / sizeof(*tab->sym);
	cut_versions(tab);
}

/* By this the best of several names of one address is chosen: the smallest. */
static uint32_t rank_of(const Elf64_Sym *sym, const char *name)
{
	size_t under = strspn(name, "_"), len = strlen(name);
	uint32_t rank;

	rank = under > 3 ? 3 : (uint32_t)under;
	rank = rank << 1 | (sym->st_other == OTHER_OLD_VERSION || strchr(name + 1, '.') != NULL);
	rank = rank << 1 | (ELF64_ST_TYPE(sym->st_info) == STT_NOTYPE);
	return rank << 16 | (uint32_t)(len > 0xffff ? 0xffff : len);
}

/* Only code counts. Assembly's symbols may have no type; mapping symbols and local labels go. */
static int is_function(const struct elfobj *eo, const Elf64_Sym *sym, const char *name)
{
	unsigned int type = ELF64_ST_TYPE(sym->st_info);
	const struct eo_seg *seg;

	if (!name || !*name || *name == '.' || *name == '$')
		return 0;
	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE)
		return 0;
	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return 0;
	seg = eo_seg_at(eo, sym->st_value);
	return seg && seg->flags & PF_X;
}

static void add_syms(const struct elfobj *eo, const struct eo_symtab *tab)
{
	const struct eo_seg *seg;
	const Elf64_Sym *sym;
	struct eo_sym *out;
	const char *name;
	uint64_t room;
	size_t i;

	for (i = 0; i < tab->n; i++) {
		sym = &tab->sym[i];
		name = sym_name(tab, sym);
		if (!is_function(eo, sym, name))
			continue;
		seg = eo_seg_at(eo, sym->st_value);
		room = seg->memsz - (sym->st_value - seg->vaddr);
		out = &eo->lazy->syms[eo->lazy->nsyms++];
		out->start = sym->st_value;
		out->end = sym->st_value + (sym->st_size < room ? sym->st_size : room);
		out->name = name;
		out->rank = rank_of(sym, name);
	}
}

static int cmp_syms(const void *va, const void *vb)
{
	const struct eo_sym *a = va, *b = vb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank > b->rank ? -1 : 1;
	return a->name == b->name ? 0 : -strncmp(a->name, b->name, 256);
}

static void load_symtabs(const struct elfobj *eo)
{
	struct eo_lazy *lz = eo->lazy;

	load_symtab(eo, SHT_SYMTAB, &lz->symtab);
	load_symtab(eo, SHT_DYNSYM, &lz->dynsym);
	eo_load_mini(eo);
	if (lz->debug)
		load_symtab(lz->debug, SHT_SYMTAB, &lz->debug->lazy->symtab);
}

static void load_syms(const struct elfobj *eo)
{
	struct eo_lazy *lz = eo->lazy;
	uint64_t reach = 0;
	size_t i, n;

	if (lz->have_syms)
		return;
	lz->have_syms = 1;
	load_symtabs(eo);
	n = lz->symtab.n + lz->dynsym.n + (lz->debug ? lz->debug->lazy->symtab.n : 0);
	lz->syms = n ? calloc(n, sizeof(*lz->syms)) : NULL;
	if (!lz->syms)
		return;
	add_syms(eo, &lz->symtab);
	if (lz->debug)
		add_syms(eo, &lz->debug->lazy->symtab);
	add_syms(eo, &lz->dynsym);
	qsort(lz->syms, lz->nsyms, sizeof(*lz->syms), cmp_syms);
	for (i = 0; i < lz->nsyms; i++) {
		if (lz->syms[i].end > reach)
			reach = lz->syms[i].end;
		lz->syms[i].reach = reach;
	}
}

/* How many symbols start at or before vaddr. */
static size_t syms_upto(const struct eo_lazy *lz, uint64_t vaddr)
{
	size_t lo = 0, hi = lz->nsyms, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (lz->syms[mid].start <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* A symbol without a size counts up to the next one, but not beyond its function. */
static int sizeless_symbol(const struct elfobj *eo, size_t upto, uint64_t vaddr, uint64_t *end)
{
	const struct eo_lazy *lz = eo->lazy;
	const struct eo_sym *sym = &lz->syms[upto - 1];
	uint64_t fstart, fend;

	if (sym->end != sym->start || elfobj_func_bounds(eo, vaddr, &fstart, &fend) ||
	    sym->start < fstart)
		return -ENOENT;
	*end = upto < lz->nsyms && lz->syms[upto].start < fend ? lz->syms[upto].start : fend;
	return 0;
}

int elfobj_symbol(const struct elfobj *eo, uint64_t vaddr, const char **name, uint64_t *start,
		  uint64_t *end)
{
	const struct eo_lazy *lz = eo->lazy;
	const struct eo_sym *sym = NULL;
	size_t upto, i;
	uint64_t e;

	load_syms(eo);
	upto = syms_upto(lz, vaddr);
	for (i = upto; i > 0 && upto - i < REACH_MAX && lz->syms[i - 1].reach > vaddr; i--) {
		if (lz->syms[i - 1].end > vaddr) {
			sym = &lz->syms[i - 1];
			e = sym->end;
			break;
		}
	}
	if (!sym) {
		if (!upto || sizeless_symbol(eo, upto, vaddr, &e))
			return -ENOENT;
		sym = &lz->syms[upto - 1];
	}
	*name = sym->name;
	*start = sym->start;
	*end = e;
	return 0;
}

int elfobj_symbol_after(const struct elfobj *eo, uint64_t vaddr, uint64_t *start)
{
	size_t at;

	load_syms(eo);
	at = syms_upto(eo->lazy, vaddr);
	if (at == eo->lazy->nsyms)
		return -ENOENT;
	*start = eo->lazy->syms[at].start;
	return 0;
}

static const Elf64_Sym *find_name(const struct eo_symtab *tab, const char *name)
{
	const Elf64_Sym *sym, *old = NULL;
	const char *s;
	unsigned int type;
	size_t i;

	for (i = 0; i < tab->n; i++) {
		sym = &tab->sym[i];
		type = ELF64_ST_TYPE(sym->st_info);
		s = sym_name(tab, sym);
		if (!s || strcmp(s, name) != 0 || sym->st_shndx == SHN_UNDEF ||
		    sym->st_shndx >= SHN_LORESERVE || type == STT_TLS || type == STT_SECTION ||
		    type == STT_FILE)
			continue;
		if (sym->st_other != OTHER_OLD_VERSION)
			return sym;
		old = sym;
	}
	return old;
}

int elfobj_lookup(const struct elfobj *eo, const char *name, uint64_t *vaddr, uint64_t *size)
{
	struct eo_lazy *lz = eo->lazy;
	const Elf64_Sym *sym;

	load_symtabs(eo);
	sym = find_name(&lz->symtab, name);
	if (!sym && lz->debug)
		sym = find_name(&lz->debug->lazy->symtab, name);
	if (!sym)
		sym = find_name(&lz->dynsym, name);
	if (!sym)
		return -ENOENT;
	*vaddr = sym->st_value;
	*size = sym->st_size;
	return 0;
}

int elfobj_export(const struct elfobj *eo, const char *name, uint64_t *vaddr, uint64_t *size)
{
	const Elf64_Sym *sym;

	load_symtabs(eo);
	sym = find_name(&eo->lazy->dynsym, name);
	if (!sym)
		return -ENOENT;
	*vaddr = sym->st_value;
	*size = sym->st_size;
	return 0;
}

/* s follows a function's name: is it nothing, or what gcc or clang append to a clone's? */
static int is_clone_suffix(const char *s)
{
	static const char *const kinds[] = {".isra", ".constprop", ".part", ".llvm"};
	size_t i, len;

	while (*s) {
		for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
			len = strlen(kinds[i]);
			if (!strncmp(s, kinds[i], len))
				break;
		}
		if (i == sizeof(kinds) / sizeof(*kinds))
			return 0;
		s += len;
		if (*s == '.')
			s += 1 + strspn(s + 1, "0123456789");
	}
	return 1;
}

static size_t clones_in(const struct elfobj *eo, const struct eo_symtab *tab, const char *name,
			uint64_t *vaddr, size_t max)
{
	size_t i, j, n = 0, len = strlen(name);
	const char *s;

	for (i = 0; i < tab->n; i++) {
		s = sym_name(tab, &tab->sym[i]);
		if (!s || strncmp(s, name, len) != 0 || !is_clone_suffix(s + len) ||
		    !is_function(eo, &tab->sym[i], s))
			continue;
		for (j = 0; j < n && j < max; j++)
			if (vaddr[j] == tab->sym[i].st_value)
				break;
		if (j < n && j < max)
			continue;
		if (n < max)
			vaddr[n] = tab->sym[i].st_value;
		n++;
	}
	return n;
}

size_t elfobj_clones(const struct elfobj *eo, const char *name, uint64_t *vaddr, size_t max)
{
	struct eo_lazy *lz = eo->lazy;
	size_t n;

	load_symtabs(eo);
	n = clones_in(eo, &lz->symtab, name, vaddr, max);
	if (!n && lz->debug)
		n = clones_in(eo, &lz->debug->lazy->symtab, name, vaddr, max);
	return n;
}

static int cmp_slots(const void *va, const void *vb)
{
	const struct eo_slot *a = va, *b = vb;

	return a->vaddr < b->vaddr ? -1 : a->vaddr > b->vaddr;
}

/* Takes from one section of relocations those that put a function's address into the GOT. */
static void add_slots(const struct elfobj *eo, const Elf64_Shdr *sh)
{
	const struct eo_symtab *tab = &eo->lazy->dynsym;
	struct eo_lazy *lz = eo->lazy;
	struct eo_slot *grown;
	const char *name;
	Elf64_Rela *rela;
	size_t i, n, idx, keep = 0;

	if (sh->sh_entsize != sizeof(*rela) || sh->sh_size / sizeof(*rela) > SLOTS_MAX - lz->read ||
	    eo_load(eo, sh->sh_offset, sh->sh_size, &rela))
		return;
	n = sh->sh_size / sizeof(*rela);
	lz->read += n;
	for (i = 0; i < n; i++)
		if (ELF64_R_TYPE(rela[i].r_info) == R_X86_64_JUMP_SLOT ||
		    ELF64_R_TYPE(rela[i].r_info) == R_X86_64_GLOB_DAT)
			rela[keep++] = rela[i];
	grown = keep ? realloc(lz->slots, (lz->nslots + keep) * sizeof(*grown)) : NULL;
	if (grown)
		lz->slots = grown;
	for (i = 0; i < keep && grown; i++) {
		idx = ELF64_R_SYM(rela[i].r_info);
		name = idx < tab->n ? sym_name(tab, &tab->sym[idx]) : NULL;
		if (name) {
			lz->slots[lz->nslots].vaddr = rela[i].r_offset;
			lz->slots[lz->nslots++].name = name;
		}
	}
	free(rela);
}

static void load_slots(const struct elfobj *eo)
{
	struct eo_lazy *lz = eo->lazy;
	size_t i;

	if (lz->have_slots)
		return;
	lz->have_slots = 1;
	load_symtab(eo, SHT_DYNSYM, &lz->dynsym);
	for (i = 0; i < lz->nsh; i++)
		if (lz->sh[i].sh_type == SHT_RELA && lz->sh[i].sh_flags & SHF_ALLOC)
			add_slots(eo, &lz->sh[i]);
	if (lz->nslots)
		qsort(lz->slots, lz->nslots, sizeof(*lz->slots), cmp_slots);
}

/* The start of the PLT entry that holds vaddr, and its size. 0 or -ENOENT. */
static int plt_entry(const struct elfobj *eo, uint64_t vaddr, uint64_t *start, size_t *size)
{
	const Elf64_Shdr *sh;
	const char *name;
	size_t i;

	eo_load_sections(eo);
	for (i = 0; i < eo->lazy->nsh; i++) {
		sh = &eo->lazy->sh[i];
		if (vaddr - sh->sh_addr >= sh->sh_size || !(sh->sh_flags & SHF_EXECINSTR))
			continue;
		name = eo_section_name(eo, sh);
		if (strcmp(name, ".plt") && strcmp(name, ".plt.sec") && strcmp(name, ".plt.got"))
			return -ENOENT;
		*size = sh->sh_entsize == 8 ? 8 : 16;
		*start = vaddr - (vaddr - sh->sh_addr) % *size;
		return 0;
	}
	return -ENOENT;
}

const char *elfobj_plt_name(const struct elfobj *eo, uint64_t vaddr)
{
	static const unsigned char endbr[] = {0xf3, 0x0f, 0x1e, 0xfa};
	struct eo_slot key, *slot;
	size_t size, len, pos = 0;
	unsigned char p[16];
	uint64_t start;
	int32_t disp;

	if (plt_entry(eo, vaddr, &start, &size))
		return NULL;
	len = eo_read_vaddr(eo, start, p, size);
	if (len >= sizeof(endbr) && !memcmp(p, endbr, sizeof(endbr)))
		pos += sizeof(endbr);
	if (pos < len && p[pos] == 0xf2) /* bnd */
		pos++;
	if (pos + 6 > len || p[pos] != 0xff || p[pos + 1] != 0x25)
		return NULL;
	memcpy(&disp, p + pos + 2, sizeof(disp));
	load_slots(eo);
	key.vaddr = start + pos + 6 + (uint64_t)(int64_t)disp;
	if (!eo->lazy->nslots)
		return NULL;
	slot = bsearch(&key, eo->lazy->slots, eo->lazy->nslots, sizeof(key), cmp_slots);
	return slot ? slot->name : NULL;
}
