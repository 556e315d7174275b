// SPDX-License-Identifier: MIT
#include "bpf/dwarf.h"
#include "bpf/dwarf_int.h"
#include "bpf/helper.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define DIES_MAX 4000000u /* looked at; LuaJIT's own are some ten thousand */
#define NESTING_MAX 8	  /* of anonymous members and typedefs */
#define TYPES_MAX 16
#define CPU_SECONDS 10 /* some hundred milliseconds are usual */
#define WAIT_MS 30000

#define NOTHING "debug information"
#define REFERENCE "GCRef"

struct named_type {
	const char *name;
	Dwarf_Die die;
	int found;
};

struct search {
	Dwarf *dw;
	unsigned int dies; /* looked at */
	struct named_type type[TYPES_MAX];
	size_t ntypes;
	long long value[LAYOUT_NFIELDS]; /* of enumerators; -1: not found */
	int tarantool;			 /* its own VM states were seen */
};

static int next_die(struct search *s, Dwarf_Die *die)
{
	return ++s->dies > DIES_MAX ? 1 : dwarf_siblingof(die, die);
}

/* Through typedefs and qualifiers to a complete structure or union. */
static int peel(Dwarf_Die *die, Dwarf_Die *type)
{
	Dwarf_Attribute attr;
	int i;

	*type = *die;
	for (i = 0; i < NESTING_MAX; i++) {
		switch (dwarf_tag(type)) {
		case DW_TAG_typedef:
		case DW_TAG_const_type:
		case DW_TAG_volatile_type:
			if (!dwarf_attr_integrate(type, DW_AT_type, &attr) ||
			    !dwarf_formref_die(&attr, type))
				return 0;
			break;
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
			return !dwarf_hasattr(type, DW_AT_declaration);
		default:
			return 0;
		}
	}
	return 0;
}

/* LuaJIT's enumerators of trace states have a prefix, and REC is short. */
static int enumerator_is(const struct layout_field *f, const char *name)
{
	const char *want = strcmp(f->member, "REC") ? f->member : "RECORD";

	return !strcmp(name, f->member) ||
	       (!strncmp(name, "LJ_TRACE_", 9) && !strcmp(name + 9, want));
}

static void take_enum(struct search *s, Dwarf_Die *type)
{
	const struct layout_field *f = layout_fields();
	Dwarf_Attribute attr;
	Dwarf_Sword value;
	Dwarf_Die e;
	size_t i;

	if (dwarf_child(type, &e))
		return;
	do {
		const char *name = dwarf_diename(&e);

		if (!name || !dwarf_attr(&e, DW_AT_const_value, &attr) ||
		    dwarf_formsdata(&attr, &value))
			continue;
		s->tarantool |= !strcmp(name, "LJ_VMST_LFUNC");
		for (i = 0; i < LAYOUT_NFIELDS; i++)
			if (f[i].kind == LAYOUT_IS_ENUM && enumerator_is(&f[i], name))
				s->value[i] = value;
	} while (!next_die(s, &e));
}

static void take_type(struct search *s, Dwarf_Die *die)
{
	const char *name = dwarf_diename(die);
	size_t i;

	for (i = 0; name && i < s->ntypes; i++)
		if (!s->type[i].found && !strcmp(s->type[i].name, name))
			s->type[i].found = peel(die, &s->type[i].die);
}

/* All that is wanted of all units, in one pass. */
static void collect(struct search *s)
{
	Dwarf_Off off = 0, next;
	size_t hsize;

	for (; s->dies < DIES_MAX && !dwarf_nextcu(s->dw, off, &next, &hsize, NULL, NULL, NULL);
	     off = next) {
		Dwarf_Die cu, die;

		s->dies++;
		if (!dwarf_offdie(s->dw, off + hsize, &cu) || dwarf_child(&cu, &die))
			continue;
		do {
			if (dwarf_tag(&die) == DW_TAG_enumeration_type)
				take_enum(s, &die);
			else
				take_type(s, &die);
		} while (!next_die(s, &die));
	}
}

static struct named_type *want_type(struct search *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->ntypes; i++)
		if (!strcmp(s->type[i].name, name))
			return &s->type[i];
	s->type[i].name = name;
	return &s->type[s->ntypes++];
}

/* Offset of a member, which may be nested ("gc.total") or in an anonymous member; or -1. */
static long long member_offset(struct search *s, Dwarf_Die *type, const char *path, int depth)
{
	size_t n = strcspn(path, ".");
	Dwarf_Die m, ref, mt;

	if (depth > NESTING_MAX || dwarf_child(type, &m))
		return -1;
	do {
		const char *name = dwarf_diename(&m);
		Dwarf_Attribute attr;
		Dwarf_Word at = 0;
		long long sub;

		if (dwarf_tag(&m) != DW_TAG_member ||
		    (name && (strlen(name) != n || memcmp(name, path, n) != 0)))
			continue;
		if (dwarf_attr_integrate(&m, DW_AT_data_member_location, &attr) &&
		    dwarf_formudata(&attr, &at))
			return -1;
		if (name && !path[n])
			return (long long)at;
		if (!dwarf_attr_integrate(&m, DW_AT_type, &attr) ||
		    !dwarf_formref_die(&attr, &ref) || !peel(&ref, &mt))
			continue;
		sub = member_offset(s, &mt, name ? path + n + 1 : path, depth + 1);
		if (sub >= 0)
			return (long long)at + sub;
	} while (!next_die(s, &m));
	return -1;
}

static long long value_of(struct search *s, size_t i)
{
	const struct layout_field *f = &layout_fields()[i];
	struct named_type *t;
	Dwarf_Word size;

	if (f->kind == LAYOUT_IS_ENUM)
		return s->value[i];
	t = want_type(s, f->type);
	if (!t->found)
		return -1;
	if (f->kind == LAYOUT_IS_OFFSET)
		return member_offset(s, &t->die, f->member, 0);
	return dwarf_aggregate_size(&t->die, &size) ? -1 : (long long)size;
}

static int read_layout(struct search *s, struct layout *l, const char **missing)
{
	const struct layout_field *f = layout_fields();
	struct named_type *ref = want_type(s, REFERENCE);
	Dwarf_Word size = 0;
	size_t i;

	for (i = 0; i < LAYOUT_NFIELDS; i++) {
		s->value[i] = -1;
		if (f[i].type)
			want_type(s, f[i].type);
	}
	collect(s);
	for (i = 0; i < LAYOUT_NFIELDS; i++) {
		long long v;

		if (f[i].kind == LAYOUT_IS_FRAME || f[i].kind == LAYOUT_IS_FLAG)
			continue;
		v = value_of(s, i);
		if (v < 0 || v > UINT16_MAX) {
			*missing = f[i].name;
			return -ENOENT;
		}
		layout_set(l, &f[i], (unsigned int)v);
	}
	*missing = REFERENCE;
	if (!ref->found || dwarf_aggregate_size(&ref->die, &size) || (size != 4 && size != 8))
		return -ENOENT;
	layout_set_width(l, size == 8);
	l->vmstates = s->tarantool != 0;
	return 0;
}

int dwarf_read(const struct elfobj *eo, struct layout *out, const char **missing)
{
	struct search *s = calloc(1, sizeof(*s));
	char *image = NULL;
	size_t len;
	Elf *elf = NULL;
	int err;

	*missing = NOTHING;
	err = s ? elfobj_debug_image(eo, &image, &len) : -ENOMEM;
	if (!err) {
		elf_version(EV_CURRENT);
		elf = elf_memory(image, len);
		s->dw = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
		err = s->dw ? read_layout(s, out, missing) : -ENOENT;
		dwarf_end(s->dw);
		elf_end(elf);
	}
	free(image);
	free(s);
	return err;
}

/* What the child says. Its text is one of ours, but who knows what became of it. */
struct answer {
	int err;
	char missing[32];
	struct layout l;
};

static void serve(const void *eo, int sock)
{
	const char *missing;
	struct answer a;

	memset(&a, 0, sizeof(a));
	a.err = dwarf_read(eo, &a.l, &missing);
	snprintf(a.missing, sizeof(a.missing), "%s", missing);
	send(sock, &a, sizeof(a), MSG_NOSIGNAL);
}

/*
 * libdw follows what a file says, with more trust than we have: in a process of its own, which may
 * run for too long or crash.
 */
static int ask_child(const struct elfobj *eo, struct answer *out)
{
	static const struct helper_opts opts = {.cpu_seconds = CPU_SECONDS, .memory = 2ull << 30};
	struct helper h;
	int err = helper_start(serve, eo, &opts, &h);

	if (err)
		return err;
	err = helper_answer(&h, out, sizeof(*out), WAIT_MS) == sizeof(*out) ? out->err : -ENOENT;
	helper_end(&h);
	return err;
}

int dwarf_layout(const struct elfobj *eo, struct layout *out, const char **missing)
{
	const struct layout_field *f = layout_fields();
	struct answer a = {.missing = NOTHING};
	int err = elfobj_has_debug(eo) ? ask_child(eo, &a) : -ENOENT;
	size_t i;

	a.missing[sizeof(a.missing) - 1] = '\0';
	if (missing) {
		*missing = NOTHING;
		for (i = 0; i < LAYOUT_NFIELDS; i++)
			if (!strcmp(f[i].name, a.missing))
				*missing = f[i].name;
		if (!strcmp(a.missing, REFERENCE))
			*missing = REFERENCE;
	}
	if (!err)
		*out = a.l;
	return err;
}
