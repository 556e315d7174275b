// SPDX-License-Identifier: MIT
/*
 * Files of text, whoever wrote them: what --layout names, what /proc says of a process (whose names
 * are its own), sources, the kernel's symbols. The input's first byte chooses.
 *
 * The readers open files by name; here every name is the same file in memory.
 */
#include "bpf/container.h"
#include "bpf/kallsyms.h"
#include "bpf/mem.h"
#include "bpf/process.h"
#include "bpf/vm_check.h"
#include "tests/fuzz/input.h"
#include "tui/ljx.h"
#include "tui/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *text; /* NULL: files are what they are */
static size_t text_len;
static volatile uint64_t sink;

/* In place of the library's, while a reader runs; the memory files of a process are no text. */
int open(const char *path, int flags, ...)
{
	int mode, fd;
	va_list ap;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	if (!text)
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (strstr(path, "/map_files/") || strstr(path, "/root") || strstr(path, "pagemap")) {
		errno = ENOENT;
		return -1;
	}
	fd = memfd_create("text", MFD_CLOEXEC);
	if (fd < 0 || write(fd, text, text_len) != (ssize_t)text_len || lseek(fd, 0, SEEK_SET))
		abort();
	return fd;
}

FILE *fopen(const char *path, const char *mode)
{
	int flags =
	    *mode == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | (*mode == 'w' ? O_TRUNC : O_APPEND);
	int fd = open(path, flags, 0644);

	return fd < 0 ? NULL : fdopen(fd, mode);
}

/* The memory of a process that a layout is tried on: the input, over and over. */
long mem_read_some(int pid, uint64_t addr, void *buf, size_t len)
{
	size_t i;

	(void)pid;
	for (i = 0; i < len; i++)
		((unsigned char *)buf)[i] = text_len ? text[(addr + i) % text_len] : 0;
	return (long)len;
}

int mem_read(int pid, uint64_t addr, void *buf, size_t len)
{
	mem_read_some(pid, addr, buf, len);
	return 0;
}

static void read_layout(void)
{
	static struct options o;
	struct why why = {.code = 0};
	struct vm_evidence ev = {0, 0, ""};

	o.layout = NULL;
	if (layout_read(&o, "layout", &why)) {
		if (!why.code || !why.text[0] || o.layout)
			abort();
		return;
	}
	if (!o.layout || !layout_sane(&o.layout->l, NULL))
		abort();
	vm_check(1, &o.layout->l, 0x10000, 0x400000, 1u << 20, &ev);
	if (!memchr(ev.text, '\0', sizeof(ev.text)))
		abort();
}

/* One that is good but for edits of 4 bytes each: which field, and what it says. */
static void read_edited(struct input *in)
{
	static char json[32768];
	const struct layout_field *f = layout_fields();
	const struct layout_row *rows;
	long value[LAYOUT_NFIELDS];
	size_t n, i, at;

	rows = layout_rows(&n);
	rows += take(in) % n;
	for (i = 0; i < LAYOUT_NFIELDS; i++)
		value[i] = layout_get(&rows->l, &f[i]);
	while (in->left >= 4) {
		i = take(in) % LAYOUT_NFIELDS;
		n = take(in);
		value[i] = (long)(take(in) | (n & 0x80 ? take(in) << 8 : 0));
		if (n & 0x40)
			value[i] = -value[i];
	}
	at = (size_t)snprintf(
	    json, sizeof(json),
	    "{\"schema\":\"ljx.layout/1\",\"layouts\":[{\"name\":\"x\",\"fields\":{");
	for (i = 0; i < LAYOUT_NFIELDS; i++)
		at += (size_t)snprintf(json + at, sizeof(json) - at, "%s\"%s\":%ld", i ? "," : "",
				       f[i].name, value[i]);
	at += (size_t)snprintf(json + at, sizeof(json) - at, "}}]}");
	if (at >= sizeof(json))
		abort();
	text = (const uint8_t *)json;
	text_len = at;
	read_layout();
}

static void read_process(void)
{
	struct modules *ms = modules_new(NULL);
	struct proc_maps maps = {.n = 0};
	char full[CONTAINER_ID];
	struct proc_info info;
	size_t i;

	if (!ms)
		abort();
	if (!proc_info_read(1, &info))
		sink += strlen(info.comm) + strlen(info.cmdline) + strlen(info.exe);
	if (!proc_maps_read(1, ms, &maps))
		for (i = 0; i < maps.n; i++)
			sink += strlen(maps.map[i].name);
	proc_maps_at(&maps, 0x1000);
	proc_maps_release(&maps);
	modules_free(ms);
	sink += (uint64_t)container_in_cgroup(1, "/sys/fs/cgroup/unified/a/b");
	if (container_find(1, "3f29", full) && strncmp(full, "3f29", 4) != 0)
		abort();
}

static void read_source(void)
{
	struct source s;
	const char *p;
	size_t i;

	source_read(&s, 0, 0, "@file.lua", 0);
	if (!memchr(s.status, '\0', sizeof(s.status)))
		abort();
	for (i = 0; i < s.n; i++)
		for (p = s.line[i]; *p; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				abort();
	source_release(&s);
}

static void read_kallsyms(void)
{
	struct kallsyms *k = kallsyms_parse((const char *)text, text_len);
	struct kallsyms_sym sym;
	uint64_t addr;

	if (!k)
		abort();
	for (addr = 1; addr; addr <<= 1)
		if (!kallsyms_find(k, addr, &sym)) {
			sink += strlen(sym.name) + strlen(sym.module);
			if (addr < sym.start || addr >= sym.end)
				abort();
		}
	kallsyms_free(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned int which = take(&in) % 5;

	text = in.p;
	text_len = in.left;
	switch (which) {
	case 0:
		read_layout();
		break;
	case 1:
		read_edited(&in);
		break;
	case 2:
		read_process();
		break;
	case 3:
		read_source();
		break;
	default:
		read_kallsyms();
	}
	text = NULL;
	return 0;
}
