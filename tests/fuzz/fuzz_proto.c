/* SPDX-License-Identifier: MIT */
/* Fuzzes the decoders of prototypes and of fast-function streams with one input for all. */
#include "bytecode/disasm.h"
#include "bytecode/ff.h"
#include "bytecode/proto.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes up to n bytes off the input, into a block of its own so that ASan sees its end. */
static void *take(const uint8_t **data, size_t *size, size_t n, size_t *got)
{
	void *p;

	*got = n < *size ? n : *size;
	p = malloc(*got ? *got : 1);
	if (!p)
		abort();
	memcpy(p, *data, *got);
	*data += *got;
	*size -= *got;
	return p;
}

static const char *get_string(void *ctx, uint32_t idx)
{
	(void)ctx;
	return idx % 3 ? "name" : NULL;
}

static void get_const(const void *ctx, uint32_t idx, struct disasm_const *out)
{
	(void)ctx;
	out->kind = idx % 5;
	out->len = idx;
	memset(out->text, (int)idx, sizeof(out->text) - 1);
	out->text[sizeof(out->text) - 1] = '\0';
}

static uint32_t get_startins(const void *ctx, uint32_t trace, uint32_t pos)
{
	(void)ctx;
	return trace % 3 ? trace << 16 | pos : 0;
}

static int see_line(void *ctx, uint32_t pos, const char *line)
{
	const struct proto *pt = ctx;

	if (pos >= pt->h.sizebc || strlen(line) >= DISASM_LINE)
		abort();
	return 0;
}

static void check_listing(struct proto *pt)
{
	static const uint64_t numbers[4] = {0, 0x3ff0000000000000, 0xfff9000000000007, 1};
	struct disasm d = {.pt = pt,
			   .place = "x.lua:1",
			   .lists_constants = 1,
			   .dualnum = pt->h.flags & 1,
			   .knum = numbers,
			   .nknum = 4,
			   .kgc = get_const,
			   .startins = get_startins};

	pt->h.sizekgc &= 0xff;
	pt->h.sizekn &= 0xff;
	if (pt->bc && pt->h.sizebc && disasm_list(&d, 1, see_line, pt))
		abort();
}

static void check(struct proto *pt)
{
	const char *name = NULL;
	volatile size_t sink;
	uint32_t pos;
	int what;

	for (pos = 0; pos < pt->h.sizebc + 2 && pos < 64; pos++) {
		sink = (size_t)proto_line(pt, pos);
		what = proto_callname(pt, pos, &name);
		if (what < 0 || what > 6)
			abort();
		if (what)
			sink = strlen(name);
	}
	sink = proto_content(pt);
	for (pos = 0; pos < 4; pos++)
		if (proto_closure_name(pt, pos, &name))
			sink = strlen(name);
	(void)sink;
	check_listing(pt);
}

/* First byte: layout, second: generation, third: instructions; then header, code and the rest. */
static void fuzz_proto(const uint8_t *data, size_t size)
{
	static const uint32_t gens[] = {93, 97, 104};
	const struct layout_row *rows;
	struct proto pt = {.kstr = get_string};
	void *head, *bc, *line, *uv, *var;
	size_t n, len, part;

	rows = layout_rows(&n);
	rows += data[0] % n;
	pt.gen = bc_gen_by_count(gens[data[1] % 3]);
	part = data[2];
	data += 3;
	size -= 3;
	head = take(&data, &size, rows->l.PT_size, &len);
	if (proto_decode_head(&rows->l, head, len, &pt.h)) {
		/* Nearly always. Go on with sizes that nobody checked, as after a change. */
		memset(&pt.h, 0, sizeof(pt.h));
		if (len >= sizeof(pt.h))
			memcpy(&pt.h, head, sizeof(pt.h));
		pt.h.fr2 &= 1;
	}
	bc = take(&data, &size, part * 4, &len);
	pt.bc = len ? bc : NULL;
	pt.h.sizebc = (uint32_t)(len / 4);
	line = take(&data, &size, part, &pt.lineinfo_len);
	uv = take(&data, &size, part / 2, &pt.uvinfo_len);
	var = take(&data, &size, size, &pt.varinfo_len);
	pt.lineinfo = line;
	pt.uvinfo = uv;
	pt.varinfo = var;
	check(&pt);
	free(head);
	free(bc);
	free(line);
	free(uv);
	free(var);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ff_table *t;
	uint32_t named;

	t = ff_choose(data, size, &named);
	if (t && (!ff_name(t, 2) || named < 100))
		abort();
	if (size >= 3)
		fuzz_proto(data, size);
	return 0;
}
