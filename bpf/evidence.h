/* SPDX-License-Identifier: MIT */
/*
 * Which numberings a build has: gathers what bytecode/tables.h chooses by from an ELF file or from
 * the file that a process has mapped. Reads only; keeps nothing open.
 */
#ifndef BPF_EVIDENCE_H
#define BPF_EVIDENCE_H

#include "bpf/elfobj.h"
#include "bpf/why.h"
#include "bytecode/tables.h"

/* Where the evidence is from, for messages. */
struct evidence_source {
	char path[512];
	char version[64]; /* "LuaJIT 2.1.0-beta3", or "" */
	char layout[64]; /* name of the layout that the live VM verified; "": none was looked for */
};

/*
 * The tables of an ELF file with a VM in it. version: as elfobj_luajit found it; l: the layout of a
 * live VM that runs this code, or NULL. 0, or -errno if the file cannot be read.
 */
int evidence_elf(const struct elfobj *eo, const char *version, const struct layout *l,
		 struct tables *out);

/* The tables of the file called path. 0, or -errno and why. */
int evidence_file(const char *path, struct tables *out, struct evidence_source *src,
		  struct why *why);

/*
 * The tables of the LuaJIT that pid has mapped. Its memory is searched for a VM only if the file
 * does not tell everything. 0, or -errno and why.
 */
int evidence_pid(int pid, struct tables *out, struct evidence_source *src, struct why *why);

#endif
