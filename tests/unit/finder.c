// SPDX-License-Identifier: MIT
/*
 * finder [-s] [-e] FILE...: prints what bpf/finder.h finds in ELF files. -s ignores .symtab, -e
 * exported symbols. For tests/finder_matrix and for looking at a file by hand.
 */
#include "bpf/finder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const how[] = {"missing", "symbol", "code", "both"};
static const char args[] = "-LJG";
static const char *const regs[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
				   "r8",  "r9",	 "r10", "r11", "r12", "r13", "r14", "r15"};

static void print_func(enum finder_id id, const struct finder_func *fn)
{
	printf("%s 0x%llx %s %c +0x%llx %s %s,%s,%s, %s\n", finder_name(id),
	       (unsigned long long)fn->addr, how[fn->how & 3], args[fn->arg0 & 3],
	       (unsigned long long)(fn->probe - fn->addr), fn->emulated ? "emulated" : "stepped",
	       regs[fn->reg[0] & 15], regs[fn->reg[1] & 15], regs[fn->reg[2] & 15], fn->text);
}

static void print_anchors(const struct finder *f)
{
	static const char *const names[] = {
#define FINDER_ROW(id, ...) #id,
	    FINDER_ANCHORS(FINDER_ROW)
#undef FINDER_ROW
	};
	unsigned int i;
	int32_t v;

	printf("anchors");
	for (i = 0; i < FINDER_NANCHORS; i++)
		if (!finder_anchor(f, i, &v))
			printf(" %s=%d", names[i], v);
	printf("\nlayouts");
	if (!f->anchors)
		printf(" unknown");
}

static void print_layouts(const struct finder *f)
{
	const struct layout_row *row;
	size_t i, n;

	row = layout_rows(&n);
	for (i = 0; i < n; i++)
		if (!finder_check_layout(f, &row[i].l, NULL, 0))
			printf(" %s", row[i].name);
	printf("\n");
}

static int look(const char *path, unsigned int flags)
{
	struct finder *f = malloc(sizeof(*f));
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct why why = {.code = 0};
	struct elfobj *eo;
	unsigned int i;

	err = elfobj_open(fd, path, &eo, &why);
	close(fd);
	if (!err) {
		err = finder_run(eo, NULL, flags, f, &why);
		elfobj_free(eo);
	}
	if (err) {
		printf("error %d %s\n", err, why.text);
	} else {
		printf("file %s %s jit=%d gc64=%d bc_ofs=0x%llx %u\n", path, f->vm.version, f->jit,
		       f->vm.gc64, (unsigned long long)f->bc_ofs, f->nbc_ofs);
		for (i = 0; i < FINDER_NFUNCS; i++)
			print_func(i, &f->func[i]);
		print_anchors(f);
		print_layouts(f);
		printf("%s", f->text);
	}
	free(f);
	return err != 0;
}

int main(int argc, char **argv)
{
	unsigned int flags = 0;
	int c, ret = 0;

	while ((c = getopt(argc, argv, "se")) >= 0) {
		if (c != 's' && c != 'e')
			return 2;
		flags |= c == 's' ? FINDER_NO_SYMBOLS : FINDER_NO_EXPORTS;
	}
	for (; optind < argc; optind++)
		ret |= look(argv[optind], flags);
	return ret;
}
