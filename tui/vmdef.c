// SPDX-License-Identifier: MIT
/* What a jit/vmdef.lua says, against the tables that were chosen. */
#include "bpf/vmdef_file.h"
#include "tui/names.h"

#include <string.h>

static const char *const what[VMDEF_LISTS] = {"bytecode", "fast function", "trace error",
					      "IR instruction"};

/* Where a list differs. */
static void tell_list(const struct vmdef_file *f, const struct tables *t, enum vmdef_list list,
		      uint32_t at, const char *using)
{
	const char *ours = vmdef_ours(t, list, at);
	char theirs[96];

	if (at < f->def.list[list].n)
		vmdef_name(&f->def, list, at, theirs, sizeof(theirs));
	else
		snprintf(theirs, sizeof(theirs), "not there");
	fprintf(stderr, "ljx: '%s' says %s %u is %s, the tables %s: using %s\n", printable(f->path),
		what[list], at, theirs, ours ? ours : "that there is none", using);
}

/* Returns how many lists differ. */
static unsigned int tell(const struct vmdef_file *f, const struct tables *t, const char *using)
{
	unsigned int i, n = 0;
	int64_t at;

	for (i = 0; i < VMDEF_LISTS; i++) {
		at = vmdef_differs(&f->def, (enum vmdef_list)i, t);
		if (at < 0)
			continue;
		n++;
		tell_list(f, t, (enum vmdef_list)i, (uint32_t)at, using);
	}
	return n;
}

void vmdef_check(int pid, const char *module, const struct tables *t, int quiet)
{
	struct vmdef_file *f;

	if (vmdef_file_of(pid, module, &f))
		return;
	if (!tell(f, t, "the tables") && !quiet)
		fprintf(stderr, "ljx: the target's '%s' says the same\n", printable(f->path));
	vmdef_file_free(f);
}

/* Takes over what the file decides: the tables that say what it says. */
static void override(struct tables *t, const struct vmdef_file *f)
{
	struct tables by;

	vmdef_tables(&f->def, &by);
	if (f->def.list[VMDEF_BC].n) {
		t->bc = by.bc;
		memcpy(t->bc_why, by.bc_why, sizeof(t->bc_why));
	}
	if (f->def.list[VMDEF_FF].n) {
		t->ff = by.ff;
		memcpy(t->ff_why, by.ff_why, sizeof(t->ff_why));
	}
	if (f->def.list[VMDEF_ERR].n) {
		t->err = by.err;
		memcpy(t->err_why, by.err_why, sizeof(t->err_why));
	}
	if (f->def.list[VMDEF_IR].n) {
		t->ir = by.ir;
		memcpy(t->ir_why, by.ir_why, sizeof(t->ir_why));
	}
}

int vmdef_override(const char *path, struct tables *t, struct evidence_source *src, struct why *why)
{
	struct vmdef_file *f;
	int err = vmdef_file_read(path, &f, why);

	if (err)
		return err;
	tell(f, t, "the file");
	override(t, f);
	if (!src->path[0])
		snprintf(src->path, sizeof(src->path), "%s", path);
	vmdef_file_free(f);
	return 0;
}
