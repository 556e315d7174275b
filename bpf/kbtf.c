// SPDX-License-Identifier: MIT
#include "bpf/kbtf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/btf.h>

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"
#define SIZE_MAX_BTF (256u << 20)

/* The file, mapped if the kernel can (since 6.16), which saves reading most of it. */
struct file {
	const uint8_t *p;
	size_t size;
	int mapped;
};

static int read_file(int fd, size_t size, struct file *f)
{
	uint8_t *p = malloc(size);
	size_t done = 0;
	ssize_t n = 1;

	if (!p)
		return -ENOMEM;
	while (done < size && (n = read(fd, p + done, size - done)) > 0)
		done += (size_t)n;
	if (done < size) {
		n = n < 0 ? -errno : -EIO;
		free(p);
		return (int)n;
	}
	*f = (struct file){p, size, 0};
	return 0;
}

static int file_open(struct file *f)
{
	int fd = open(KERNEL_BTF, O_RDONLY | O_CLOEXEC), err = 0;
	struct stat st;
	void *p;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_size <= 0 || st.st_size > SIZE_MAX_BTF) {
		close(fd);
		return -EIO;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p != MAP_FAILED)
		*f = (struct file){p, (size_t)st.st_size, 1};
	else
		err = read_file(fd, (size_t)st.st_size, f);
	close(fd);
	return err;
}

static void file_close(struct file *f)
{
	if (f->mapped)
		munmap((void *)(uintptr_t)f->p, f->size);
	else
		free((void *)(uintptr_t)f->p);
}

/* What is used, as the programs declare it; their arrays and structures are below. */
enum member_kind { M_INT, M_POINTER, M_THREAD, M_UPIDS };

#define MEMBERS 6
struct wanted {
	const char *name;
	struct {
		const char *name;
		enum member_kind kind;
	} m[MEMBERS];
};

enum { W_UPID, W_THREAD, W_PID, W_TASK, W_N }; /* those inside of others first */
static const struct wanted wanted[W_N] = {
    {"upid", {{"nr", M_INT}}},
    {"thread_struct", {{"fsbase", M_INT}}},
    {"pid", {{"level", M_INT}, {"numbers", M_UPIDS}}},
    {"task_struct",
     {{"stack", M_POINTER},
      {"pid", M_INT},
      {"tgid", M_INT},
      {"exit_code", M_INT},
      {"thread_pid", M_POINTER},
      {"thread", M_THREAD}}},
};

/* Where the kernel has it. */
struct found {
	int have;
	uint32_t size;
	uint32_t bits[MEMBERS];
};

/* The two sections, in the file's bounds. */
struct sections {
	const uint8_t *types, *end;
	const char *strings;
	uint32_t nstrings;
};

static int sections_of(const struct file *f, struct sections *s)
{
	struct btf_header h;
	uint64_t body;

	if (f->size < sizeof(h))
		return -EINVAL;
	memcpy(&h, f->p, sizeof(h));
	if (h.magic != BTF_MAGIC || h.hdr_len > f->size)
		return -EINVAL;
	body = f->size - h.hdr_len;
	if ((uint64_t)h.type_off + h.type_len > body || (uint64_t)h.str_off + h.str_len > body ||
	    h.type_off % 4 || h.hdr_len % 4 || !h.str_len)
		return -EINVAL;
	s->types = f->p + h.hdr_len + h.type_off;
	s->end = s->types + h.type_len;
	s->strings = (const char *)f->p + h.hdr_len + h.str_off;
	s->nstrings = h.str_len;
	return s->strings[h.str_len - 1] ? -EINVAL : 0; /* each of them ends */
}

static const char *string_at(const struct sections *s, uint32_t off)
{
	return off < s->nstrings ? s->strings + off : "";
}

/* Bytes that follow a type. -1: a kind that is not known. */
static int64_t rest_of(const struct btf_type *t)
{
	uint32_t n = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return (int64_t)n * (int64_t)sizeof(struct btf_member);
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO:
		return (int64_t)n * 8;
	case BTF_KIND_DATASEC:
	case BTF_KIND_ENUM64:
		return (int64_t)n * 12;
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return 0;
	}
	return -1;
}

/* All of its members that are wanted. 0 or -ENOENT. */
static int read_struct(const struct sections *s, const struct btf_type *t, const struct wanted *w,
		       struct found *f)
{
	const struct btf_member *m = (const struct btf_member *)(t + 1);
	uint32_t n = BTF_INFO_VLEN(t->info), i, k;

	for (k = 0; k < MEMBERS && w->m[k].name; k++) {
		for (i = 0; i < n; i++)
			if (!strcmp(string_at(s, m[i].name_off), w->m[k].name))
				break;
		if (i == n)
			return -ENOENT;
		f->bits[k] =
		    BTF_INFO_KFLAG(t->info) ? BTF_MEMBER_BIT_OFFSET(m[i].offset) : m[i].offset;
	}
	f->size = t->size;
	f->have++;
	return 0;
}

static int find_all(const struct sections *s, struct found *found)
{
	const struct btf_type *t;
	const uint8_t *p = s->types;
	const char *name;
	int64_t rest;
	int i, err = 0;

	while (!err && s->end - p >= (int64_t)sizeof(*t)) {
		t = (const struct btf_type *)p;
		rest = rest_of(t);
		p += sizeof(*t);
		if (rest < 0 || rest > s->end - p)
			return -EINVAL;
		p += rest;
		if (BTF_INFO_KIND(t->info) != BTF_KIND_STRUCT || !t->name_off)
			continue;
		name = string_at(s, t->name_off);
		for (i = 0; i < W_N && !err; i++)
			if (!strcmp(name, wanted[i].name))
				err = read_struct(s, t, &wanted[i], &found[i]);
	}
	for (i = 0; i < W_N && !err; i++)
		err = found[i].have == 1 ? 0 : -ENOENT; /* of two, which? */
	return err;
}

/* Adds the structures to btf. Their members' types need only be of the same kind. */
static int build(struct btf *btf, const struct found *found)
{
	int integer = btf__add_int(btf, "long", 8, BTF_INT_SIGNED), pointer = btf__add_ptr(btf, 0);
	int type[] = {[M_INT] = integer, [M_POINTER] = pointer, [M_THREAD] = 0, [M_UPIDS] = 0};
	int i, k, id, err = 0;

	for (i = 0; i < W_N && !err; i++) {
		id = btf__add_struct(btf, wanted[i].name, found[i].size);
		if (id < 0)
			return id;
		for (k = 0; k < MEMBERS && wanted[i].m[k].name && !err; k++)
			err = btf__add_field(btf, wanted[i].m[k].name, type[wanted[i].m[k].kind],
					     found[i].bits[k], 0);
		if (i == W_THREAD)
			type[M_THREAD] = id;
		else if (i == W_UPID && !err)
			type[M_UPIDS] = btf__add_array(btf, integer, id, 1);
	}
	return err;
}

/* Into a file, and frees it. */
static int to_file(struct btf *btf)
{
	int fd = btf ? memfd_create("btf", MFD_CLOEXEC) : -1;
	const void *raw;
	uint32_t size = 0;

	raw = btf ? btf__raw_data(btf, &size) : NULL;
	if (fd >= 0 && (!raw || write(fd, raw, size) != (ssize_t)size)) {
		close(fd);
		fd = -1;
	}
	btf__free(btf);
	return fd < 0 ? -EIO : fd;
}

int kbtf_open_none(void)
{
	return to_file(btf__new_empty());
}

int kbtf_open(void)
{
	struct found found[W_N] = {{0}};
	struct sections s;
	struct btf *btf;
	struct file f = {NULL, 0, 0};
	int err = file_open(&f);

	if (err)
		return err;
	err = sections_of(&f, &s);
	if (!err)
		err = find_all(&s, found);
	file_close(&f);
	if (err)
		return err;
	btf = btf__new_empty();
	err = btf ? build(btf, found) : -ENOMEM;
	if (err) {
		btf__free(btf);
		return err;
	}
	return to_file(btf);
}
