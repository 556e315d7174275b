// SPDX-License-Identifier: MIT
/*
 * Is there a LuaJIT interpreter in this file, and where. Called on every file of every process, so
 * it reads little: .eh_frame_hdr, if there is one, tells which functions are large enough to be
 * one.
 */
#include "bpf/elfobj_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VM_MIN (12u << 10)
#define VM_MAX (40u << 10)
#define INS_MIN 60u
#define INS_KEPT 4096u
#define INS_LEN 18u /* of the sequence at most */
#define CHUNK (256u << 10)

/* Code that no FDE describes is searched up to this much: C programs have little, Chrome 200 MB. */
#define HOLES_MAX (32ull << 20)

/* A hostile file may claim any size, and have thousands of segments in one place: for all of them.
 */
#define SCAN_MAX (512ull << 20)

/* Without an FDE: what precedes the first dispatch, and the helpers that follow the last one. */
#define FIRST_SLACK 64u
#define LAST_SLACK 0x1400u

struct hit {
	uint64_t vaddr;
	int gc64;
};

struct scan {
	const struct elfobj *eo;
	struct hit *hits; /* INS_KEPT, ascending */
	size_t n;
	unsigned char *buf; /* CHUNK + INS_LEN */
	uint64_t left;	    /* bytes that may be looked at */
};

/*
 * The rest of macro ins_next, after its movzx ecx, ah; movzx ebp, al: add PC, 4; shr eax, 16;
 * jmp aword [DISPATCH+OP*8]. Only the register PC tells whether pointers are 64 bits wide.
 */
static int is_ins_next(const unsigned char *p, int *gc64)
{
	static const unsigned char add[] = {0x83, 0xc3, 0x04, 0xc1, 0xe8, 0x10};
	static const unsigned char jmp[] = {0x41, 0xff, 0x24, 0xee};

	p += 6;
	*gc64 = *p == 0x48;
	p += *gc64;
	if (memcmp(p, add, sizeof(add)) != 0)
		return 0;
	p += sizeof(add);
	p += *p == 0x3e; /* notrack */
	return !memcmp(p, jmp, sizeof(jmp));
}

/* Looks at what starts in the first len bytes of buf, after which INS_LEN more are readable. */
static void scan_chunk(struct scan *s, uint64_t vaddr, size_t len)
{
	static const unsigned char head[] = {0x0f, 0xb6, 0xcc, 0x0f, 0xb6, 0xe8};
	const unsigned char *p = s->buf, *end = s->buf + len + sizeof(head) - 1;
	struct hit *hit;

	while (s->n < INS_KEPT) {
		p = memmem(p, (size_t)(end - p), head, sizeof(head));
		if (!p)
			return;
		hit = &s->hits[s->n];
		if (is_ins_next(p, &hit->gc64)) {
			hit->vaddr = vaddr + (uint64_t)(p - s->buf);
			s->n++;
		}
		p++;
	}
}

/* Finds the dispatch sequences in [start, end). */
static void scan_range(struct scan *s, uint64_t start, uint64_t end)
{
	size_t want, got;

	s->n = 0;
	if (end - start > s->left)
		end = start + s->left;
	while (start < end && s->n < INS_KEPT) {
		want = end - start < CHUNK ? (size_t)(end - start) : CHUNK;
		got = eo_read_vaddr(s->eo, start, s->buf, CHUNK + INS_LEN);
		if (!got)
			return;
		memset(s->buf + got, 0, CHUNK + INS_LEN - got);
		if (want > got)
			want = got;
		scan_chunk(s, start, want);
		start += want;
		s->left -= want;
	}
}

static void set_vm(const struct hit *hits, size_t n, uint64_t start, uint64_t end,
		   struct elfobj_vm *vm)
{
	size_t i, gc64 = 0;

	for (i = 0; i < n; i++)
		gc64 += (size_t)hits[i].gc64;
	memset(vm, 0, sizeof(*vm));
	vm->asm_start = start;
	vm->asm_end = end;
	vm->gc64 = gc64 > n / 2;
	vm->ins_next = (uint32_t)n;
}

/* The interpreter as one function with an FDE. */
static int find_in_function(struct scan *s, uint64_t start, uint64_t end, struct elfobj_vm *vm)
{
	if (end - start < VM_MIN || end - start > VM_MAX)
		return -ENOENT;
	scan_range(s, start, end);
	if (s->n < INS_MIN)
		return -ENOENT;
	set_vm(s->hits, s->n, start, end, vm);
	return 0;
}

/* The interpreter in code without FDEs: its extent can only be guessed, rather too large. */
static int find_in_hole(struct scan *s, uint64_t start, uint64_t end, struct elfobj_vm *vm)
{
	const uint64_t most = VM_MAX - FIRST_SLACK - LAST_SLACK;
	uint64_t first, last;
	size_t i, j;

	scan_range(s, start, end);
	for (i = 0; i + INS_MIN <= s->n; i++) {
		first = s->hits[i].vaddr;
		if (s->hits[i + INS_MIN - 1].vaddr - first > most)
			continue;
		for (j = i + INS_MIN; j < s->n && s->hits[j].vaddr - first <= most; j++)
			;
		last = s->hits[j - 1].vaddr + LAST_SLACK;
		first = first - start > FIRST_SLACK ? (first - FIRST_SLACK) & ~15ull : start;
		set_vm(s->hits + i, j - i, first, last < end ? last : end, vm);
		return 0;
	}
	return -ENOENT;
}

/* What one walk over the large gaps between function starts does. */
struct walk {
	struct scan *s;
	int in_holes;	/* 0: try functions and add up the holes; 1: try the holes */
	uint64_t holes; /* bytes */
};

/* [start, end) has no other function's start; is_fde: entry i of the table starts it. */
static int try_gap(struct walk *w, uint64_t start, uint64_t end, int is_fde, size_t i,
		   struct elfobj_vm *vm)
{
	uint64_t fend;

	if (is_fde && !eo_fde_end(w->s->eo, i, &fend) && fend <= end) {
		if (!w->in_holes && !find_in_function(w->s, start, fend, vm))
			return 0;
		start = fend;
	}
	if (end - start < VM_MIN)
		return -ENOENT;
	w->holes += end - start;
	return w->in_holes ? find_in_hole(w->s, start, end, vm) : -ENOENT;
}

static int walk_gaps(struct walk *w, const struct eo_seg *seg, struct elfobj_vm *vm)
{
	const struct elfobj *eo = w->s->eo;
	uint64_t start = seg->vaddr, end = seg->vaddr + seg->filesz, next;
	size_t i = 0, n = eo->lazy->nfdes;
	int is_fde = 0;

	while (i < n && eo_fde_start(eo, i) < start)
		i++;
	for (; start < end; i++) {
		next = i < n && eo_fde_start(eo, i) < end ? eo_fde_start(eo, i) : end;
		if (next < start) /* not sorted: nothing holds */
			return -ENOENT;
		if (next - start >= VM_MIN && !try_gap(w, start, next, is_fde, i - 1, vm))
			return 0;
		start = next;
		is_fde = 1;
	}
	return -ENOENT;
}

static int find_vm(struct scan *s, struct elfobj_vm *vm)
{
	const struct elfobj *eo = s->eo;
	struct walk w = {.s = s};
	const struct eo_seg *seg;
	size_t i;
	int err = eo_load_fdes(eo);

	if (err)
		return err;
	for (; w.in_holes < 2; w.in_holes++) {
		for (i = 0; i < eo->nsegs; i++) {
			seg = &eo->segs[i];
			if (!(seg->flags & PF_X))
				continue;
			if (eo->lazy->nfdes
				? !walk_gaps(&w, seg, vm)
				: !find_in_hole(s, seg->vaddr, seg->vaddr + seg->filesz, vm))
				return 0;
		}
		if (!eo->lazy->nfdes || w.holes > HOLES_MAX)
			break;
	}
	return -ENOENT;
}

/* The version that starts at p, which ends in a NUL. Returns true if nothing follows it. */
static int take_version(const char *p, char *out, size_t cap)
{
	static const char chars[] =
	    "0123456789.+-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	const size_t prefix = sizeof("LuaJIT ") - 1;
	size_t len = prefix + strspn(p + prefix, chars);

	if (len >= cap)
		return 0;
	memcpy(out, p, len);
	out[len] = '\0';
	return !p[len];
}

/*
 * Takes the first "LuaJIT 2.x" that is a string of its own; the banner, which goes on after it,
 * only if there is no other.
 */
static int version_in(struct scan *s, const struct eo_seg *seg, char *out, size_t cap)
{
	static const char head[] = "LuaJIT 2.";
	uint64_t start = seg->vaddr, end = seg->vaddr + seg->filesz;
	const unsigned char *p, *stop;
	size_t got;
	char text[64];

	for (; start < end && s->left >= CHUNK; start += CHUNK / 2) {
		s->left -= CHUNK / 2;
		got = eo_read_vaddr(s->eo, start, s->buf, CHUNK);
		if (!got)
			return 0;
		s->buf[got] = '\0';
		/* What starts in the second half is whole in the next chunk, which starts there. */
		stop = s->buf + (got < CHUNK ? got : CHUNK / 2 + sizeof(head) - 2);
		for (p = s->buf; p < stop; p++) {
			p = memmem(p, (size_t)(stop - p), head, sizeof(head) - 1);
			if (!p)
				break;
			text[0] = '\0';
			if (take_version((const char *)p, text, sizeof(text))) {
				memcpy(out, text, cap < sizeof(text) ? cap : sizeof(text));
				return 1;
			}
			if (!out[0])
				memcpy(out, text, cap < sizeof(text) ? cap : sizeof(text));
		}
	}
	return 0;
}

int elfobj_luajit(const struct elfobj *eo, struct elfobj_vm *vm)
{
	struct scan s = {.eo = eo, .left = SCAN_MAX};
	size_t i;
	int err = -ENOMEM;

	s.buf = malloc(CHUNK + INS_LEN);
	s.hits = malloc(INS_KEPT * sizeof(*s.hits));
	if (s.buf && s.hits)
		err = find_vm(&s, vm);
	s.left = SCAN_MAX;
	for (i = 0; i < eo->nsegs && !err; i++)
		if (!(eo->segs[i].flags & PF_W) &&
		    version_in(&s, &eo->segs[i], vm->version, sizeof(vm->version)))
			break;
	free(s.buf);
	free(s.hits);
	return err;
}
