/* SPDX-License-Identifier: MIT */
/* Decoding of prototypes, from bytes made by hand. tests/unit/test_protolive.c asks LuaJIT. */
#include "bytecode/proto.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GLOBAL = 1, LOCAL, METHOD, FIELD, UPVALUE, META };

/* --- the header --- */

struct head {
	uint8_t b[128];
	const struct layout *l;
};

static void set(struct head *h, size_t at, uint64_t v, size_t size)
{
	memcpy(h->b + at, &v, size);
}

/* A prototype at 0x10000: 4 instructions, 3 and 2 constants, 1 upvalue, 40 bytes of debug info. */
static void make_head(struct head *h, const char *row)
{
	size_t ref, ofsk, ofsdbg;

	h->l = &layout_by_name(row)->l;
	ref = h->l->gc64 ? 8 : 4;
	memset(h->b, 0, sizeof(h->b));
	ofsk = (h->l->PT_size + 4 * 4 + 3 * ref + 7) & ~7UL;
	ofsdbg = ofsk + 2 * 8 + 4;
	set(h, ref + 1, 7, 1);
	set(h, h->l->PT_numparams, 2, 1);
	set(h, h->l->PT_framesize, 5, 1);
	set(h, h->l->PT_sizebc, 4, 4);
	set(h, h->l->PT_sizekgc, 3, 4);
	set(h, h->l->PT_sizekn, 2, 4);
	set(h, h->l->PT_sizeuv, 1, 1);
	set(h, h->l->PT_flags, PROTO_VARARG, 1);
	set(h, h->l->PT_sizept, ofsdbg + 40, 4);
	set(h, h->l->PT_k, 0x10000 + ofsk, ref);
	set(h, h->l->PT_chunkname, 0x20000, ref);
	set(h, h->l->PT_firstline, 100, 4);
	set(h, h->l->PT_numline, 9, 4);
	set(h, h->l->PT_lineinfo, 0x10000 + ofsdbg, ref);
	set(h, h->l->PT_uvinfo, 0x10000 + ofsdbg + 3, ref);
	set(h, h->l->PT_varinfo, 0x10000 + ofsdbg + 10, ref);
}

static void head_is_decoded(void **state)
{
	static const char *const rows[] = {"luajit2-20230119", "3149cd5e09"};
	struct proto_head out;
	struct head h;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		make_head(&h, rows[i]);
		assert_int_equal(proto_decode_head(h.l, h.b, h.l->PT_size, &out), 0);
		assert_int_equal(out.sizebc, 4);
		assert_int_equal(out.sizekgc, 3);
		assert_int_equal(out.sizekn, 2);
		assert_int_equal(out.sizeuv, 1);
		assert_int_equal(out.numparams, 2);
		assert_int_equal(out.framesize, 5);
		assert_int_equal(out.flags, PROTO_VARARG);
		assert_int_equal(out.chunkname, 0x20000);
		assert_int_equal(out.firstline, 100);
		assert_int_equal(out.numline, 9);
		assert_int_equal(out.uvinfo, out.lineinfo + 3);
		assert_int_equal(out.varinfo, out.lineinfo + 10);
		assert_int_equal(out.fr2, h.l->gc64);
		assert_int_equal(proto_lineinfo_size(&out), 3);
	}
}

static void rejected(struct head *h)
{
	struct proto_head out, before;

	memset(&out, 0xa5, sizeof(out));
	before = out;
	assert_int_equal(proto_decode_head(h->l, h->b, h->l->PT_size, &out), -EINVAL);
	assert_memory_equal(&out, &before, sizeof(out));
	make_head(h, "luajit2-20230119");
}

static void lies_are_rejected(void **state)
{
	struct proto_head out;
	struct head h;

	(void)state;
	make_head(&h, "luajit2-20230119");
	assert_int_equal(proto_decode_head(h.l, h.b, h.l->PT_size - 1, &out), -EINVAL);
	set(&h, 9, 8, 1); /* a function's tag */
	rejected(&h);
	set(&h, h.l->PT_sizebc, 0, 4);
	rejected(&h);
	set(&h, h.l->PT_sizebc, 0xffffffff, 4);
	rejected(&h);
	set(&h, h.l->PT_sizekgc, 0x10001, 4);
	rejected(&h);
	set(&h, h.l->PT_sizekn, 100, 4); /* beyond sizept */
	rejected(&h);
	set(&h, h.l->PT_sizept, 0xffffffff, 4);
	rejected(&h);
	set(&h, h.l->PT_numparams, 6, 1); /* more than framesize */
	rejected(&h);
	set(&h, h.l->PT_numline, 0xffffffff, 4);
	rejected(&h);
	set(&h, h.l->PT_k, 8, 8);
	rejected(&h);
	set(&h, h.l->PT_lineinfo, 0x10000, 8); /* in the header */
	rejected(&h);
	set(&h, h.l->PT_varinfo, 0x20000, 8); /* outside */
	rejected(&h);
	assert_int_equal(proto_decode_head(h.l, h.b, h.l->PT_size, &out), 0);
	set(&h, h.l->PT_lineinfo, 0, 8); /* stripped */
	set(&h, h.l->PT_uvinfo, 0, 8);
	set(&h, h.l->PT_varinfo, 0, 8);
	assert_int_equal(proto_decode_head(h.l, h.b, h.l->PT_size, &out), 0);
}

/* --- lines --- */

static void lines_of_each_width(void **state)
{
	static const uint8_t one[] = {1, 2, 255};
	static const uint8_t two[] = {1, 0, 2, 1, 0xff, 0xff};
	static const uint8_t four[] = {1, 0, 0, 0, 2, 0, 1, 0, 3, 0, 0, 0};
	struct proto pt = {.h = {.sizebc = 4, .firstline = 10, .numline = 255}};

	(void)state;
	assert_int_equal(proto_line(&pt, 0), 0);
	pt.lineinfo = one;
	pt.lineinfo_len = sizeof(one);
	assert_int_equal(proto_line(&pt, 0), 10);
	assert_int_equal(proto_line(&pt, 1), 11);
	assert_int_equal(proto_line(&pt, 3), 265);
	assert_int_equal(proto_line(&pt, 4), 265);
	assert_int_equal(proto_line(&pt, 5), 0);
	assert_int_equal(proto_line(&pt, UINT32_MAX), 0);
	pt.lineinfo_len = 2;
	assert_int_equal(proto_line(&pt, 2), 12);
	assert_int_equal(proto_line(&pt, 3), 0);
	pt.h.numline = 256;
	assert_int_equal(proto_lineinfo_size(&pt.h), 6);
	pt.lineinfo = two;
	pt.lineinfo_len = sizeof(two);
	assert_int_equal(proto_line(&pt, 2), 10 + 258);
	assert_int_equal(proto_line(&pt, 3), 10 + 65535);
	pt.h.numline = 65536;
	assert_int_equal(proto_lineinfo_size(&pt.h), 12);
	pt.lineinfo = four;
	pt.lineinfo_len = 11;
	assert_int_equal(proto_line(&pt, 2), 10 + 65538);
	assert_int_equal(proto_line(&pt, 3), 0);
	assert_int_equal(proto_line(&pt, 4), 10 + 65536);
}

/* --- names --- */

static const char *const strings[] = {"s0", "s1", "s2", "s3"};

static const char *get_string(void *ctx, uint32_t idx)
{
	(void)ctx;
	return idx < 4 ? strings[idx] : NULL;
}

static uint32_t abc(uint32_t op, uint32_t a, uint32_t b, uint32_t c)
{
	return op | a << 8 | b << 24 | c << 16;
}

static uint32_t ad(uint32_t op, uint32_t a, uint32_t d)
{
	return op | a << 8 | d << 16;
}

/* Opcode by name in G21. */
static uint32_t op(const char *name)
{
	const struct bc_gen *g = bc_gen_by_name("G21");
	uint32_t i;

	for (i = 0; i < g->n && strcmp(bc_name(g, i), name); i++)
		;
	assert_true(i < g->n);
	return i;
}

static struct proto code(const uint32_t *bc, uint32_t n)
{
	struct proto pt = {
	    .h = {.sizebc = n, .sizekgc = 4, .sizeuv = 2, .fr2 = 1, .framesize = 8},
	    .gen = bc_gen_by_name("G21"),
	    .bc = bc,
	    .kstr = get_string,
	};

	return pt;
}

static void check_name(const struct proto *pt, uint32_t pos, int what, const char *name)
{
	const char *got = "untouched";

	assert_int_equal(proto_callname(pt, pos, &got), what);
	assert_string_equal(got, what ? name : "untouched");
}

static void names_by_what_loads_the_function(void **state)
{
	const uint32_t bc[] = {
	    ad(op("FUNCF"), 8, 0),     ad(op("GGET"), 0, 1),	  abc(op("CALL"), 0, 1, 1),
	    ad(op("MOV"), 4, 1),       abc(op("TGETS"), 2, 1, 2), abc(op("CALL"), 2, 1, 2),
	    ad(op("MOV"), 3, 1),       abc(op("TGETS"), 2, 1, 3), abc(op("CALL"), 2, 1, 2),
	    ad(op("UGET"), 5, 1),      abc(op("CALL"), 5, 1, 1),  ad(op("KSHORT"), 1, 7),
	    abc(op("CALL"), 1, 1, 1),  ad(op("GGET"), 0, 9),	  abc(op("CALL"), 0, 1, 1),
	    abc(op("TGETV"), 0, 1, 2), abc(op("CALL"), 0, 1, 1),
	};
	struct proto pt = code(bc, sizeof(bc) / sizeof(*bc));

	(void)state;
	pt.uvinfo = "up\0other";
	pt.uvinfo_len = 9;
	check_name(&pt, 2, GLOBAL, "s1");
	check_name(&pt, 5, METHOD, "s2");
	check_name(&pt, 8, FIELD, "s3"); /* without FR2 this would be a method */
	check_name(&pt, 10, UPVALUE, "other");
	check_name(&pt, 12, 0, NULL);
	check_name(&pt, 14, 0, NULL); /* no such constant */
	check_name(&pt, 16, 0, NULL);
	check_name(&pt, 15, META, "__index");
	check_name(&pt, 3, 0, NULL);
	check_name(&pt, 17, 0, NULL);
	check_name(&pt, UINT32_MAX, 0, NULL);
	pt.h.fr2 = 0;
	check_name(&pt, 8, METHOD, "s3");
	check_name(&pt, 5, FIELD, "s2");
	/* Stripped: an upvalue has an empty name, as in LuaJIT. Cut off: none. */
	pt.uvinfo = NULL;
	check_name(&pt, 10, UPVALUE, "");
	pt.h.uvinfo = 1;
	check_name(&pt, 10, 0, NULL);
	pt.uvinfo = "up\0other";
	pt.uvinfo_len = 8;
	check_name(&pt, 10, 0, NULL);
	pt.kstr = NULL;
	check_name(&pt, 2, 0, NULL);
	pt.bc = NULL;
	check_name(&pt, 2, 0, NULL);
}

static void names_through_moves_and_clobbers(void **state)
{
	const uint32_t bc[] = {
	    ad(op("FUNCF"), 8, 0),
	    ad(op("GGET"), 1, 1),
	    ad(op("MOV"), 2, 1),
	    ad(op("MOV"), 3, 2),
	    abc(op("CALL"), 3, 1, 1),
	    ad(op("KNIL"), 1, 2),
	    abc(op("CALL"), 1, 1, 1),
	    ad(op("GGET"), 7, 2),
	    ad(op("KNIL"), 1, 2),
	    abc(op("CALL"), 7, 1, 1),
	    abc(op("CALL"), 4, 1, 1),
	    abc(op("CALL"), 7, 1, 1),
	    200,
	    abc(op("CALL"), 0, 1, 1),
	};
	struct proto pt = code(bc, sizeof(bc) / sizeof(*bc));

	(void)state;
	check_name(&pt, 4, GLOBAL, "s1");
	check_name(&pt, 6, 0, NULL);	  /* set to nil */
	check_name(&pt, 9, GLOBAL, "s2"); /* KNIL ends below */
	check_name(&pt, 11, 0, NULL);	  /* a call clobbers all above its base */
	check_name(&pt, 12, 0, NULL);	  /* no opcode */
	check_name(&pt, 13, 0, NULL);
}

static void names_of_locals(void **state)
{
	/* "f" from 1 for 10, "(for generator)" from 2 for 3, "g" from 2 for 300. */
	static const uint8_t vars[] = {'f', 0, 1, 10, 4, 1, 3, 'g', 0, 0, 0xac, 2, 0};
	const uint32_t bc[] = {
	    ad(op("FUNCF"), 8, 0),     abc(op("CALL"), 0, 1, 1),  abc(op("CALL"), 1, 1, 1),
	    abc(op("CALL"), 2, 1, 1),  abc(op("CALL"), 3, 1, 1),  abc(op("CALL"), 1, 1, 1),
	    abc(op("ITERC"), 3, 1, 1), abc(op("ITERC"), 2, 1, 1),
	};
	struct proto pt = code(bc, sizeof(bc) / sizeof(*bc));

	(void)state;
	pt.varinfo = vars;
	pt.varinfo_len = sizeof(vars);
	check_name(&pt, 1, LOCAL, "f");
	check_name(&pt, 2, LOCAL, "(for generator)");
	check_name(&pt, 3, LOCAL, "g");
	check_name(&pt, 4, 0, NULL);
	check_name(&pt, 5, LOCAL, "g"); /* the generator's range is over */
	check_name(&pt, 6, LOCAL, "f"); /* slot 3 - 3 */
	check_name(&pt, 7, 0, NULL);	/* below the frame */
}

static void broken_locals_give_no_name(void **state)
{
	static const uint8_t endless[] = {'f', 'f', 'f'};
	static const uint8_t overflow[] = {'f', 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 0};
	static const uint8_t big[] = {'f', 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0};
	static const uint8_t cut[] = {'f', 0, 1, 0x80};
	const uint32_t bc[] = {ad(op("FUNCF"), 8, 0), ad(op("GGET"), 0, 1),
			       abc(op("CALL"), 0, 1, 1)};
	struct proto pt = code(bc, 3);

	(void)state;
	check_name(&pt, 2, GLOBAL, "s1");
	pt.varinfo = endless;
	pt.varinfo_len = sizeof(endless);
	check_name(&pt, 2, 0, NULL);
	pt.varinfo = overflow;
	pt.varinfo_len = sizeof(overflow);
	check_name(&pt, 2, 0, NULL);
	pt.varinfo = big;
	pt.varinfo_len = sizeof(big);
	check_name(&pt, 2, 0, NULL);
	pt.varinfo = cut;
	pt.varinfo_len = sizeof(cut);
	check_name(&pt, 2, 0, NULL);
	pt.varinfo = NULL;
	pt.h.varinfo = 1; /* it has some, but nobody could read it */
	check_name(&pt, 2, 0, NULL);
}

/* --- content --- */

static uint32_t content(uint32_t loop, uint32_t init, uint32_t iter, uint32_t next, uint32_t ret)
{
	const uint32_t bc[] = {
	    ad(op("FUNCF"), 8, 0), init, ad(op("GGET"), 0, 1), loop, next, iter, ret,
	};
	struct proto pt = code(bc, sizeof(bc) / sizeof(*bc));

	return proto_content(&pt);
}

static void content_survives_patches(void **state)
{
	uint32_t fori = ad(op("FORI"), 1, 0x8003), forl = ad(op("FORL"), 1, 0x7ffd);
	uint32_t itern = abc(op("ITERN"), 4, 3, 3), next = ad(op("ISNEXT"), 4, 0x8001);
	uint32_t ret = ad(op("RET1"), 0, 2);
	uint32_t plain = content(forl, fori, itern, next, ret);

	(void)state;
	assert_int_equal(
	    plain, content(ad(op("JFORL"), 1, 77), ad(op("JFORI"), 1, 0x8003), itern, next, ret));
	assert_int_equal(plain, content(ad(op("IFORL"), 1, 0x7ffd), fori, itern, next, ret));
	assert_int_equal(plain, content(forl, fori, ad(op("JLOOP"), 9, 5), next, ret));
	assert_int_equal(
	    plain, content(forl, fori, abc(op("ITERC"), 4, 3, 3), ad(op("JMP"), 4, 0x8001), ret));
	assert_int_equal(plain, content(forl, fori, itern, next, ad(op("JLOOP"), 9, 6)));
	assert_int_not_equal(plain, content(forl, ad(op("FORI"), 2, 0x8003), itern, next, ret));
	assert_int_not_equal(plain, content(forl, fori, itern, ad(op("KSHORT"), 0, 1), ret));
}

static void content_tells_functions_apart(void **state)
{
	uint32_t a[] = {ad(op("FUNCF"), 8, 0), ad(op("KSTR"), 0, 0), ad(op("RET1"), 0, 2)};
	uint32_t b[] = {ad(op("FUNCF"), 8, 0), ad(op("KSTR"), 0, 1), ad(op("RET1"), 0, 2)};
	struct proto pa = code(a, 3), pb = code(b, 3);
	uint32_t plain = proto_content(&pa);

	(void)state;
	assert_int_not_equal(plain, proto_content(&pb));
	a[0] = ad(op("JFUNCF"), 8, 3);
	assert_int_equal(plain, proto_content(&pa));
	a[0] = ad(op("IFUNCF"), 8, 0);
	pa.h.flags = PROTO_NOJIT | PROTO_ILOOP | 0xe0;
	pa.h.firstline = 99;
	pa.h.k = 0x1234;
	assert_int_equal(plain, proto_content(&pa));
	pa.h.flags = PROTO_VARARG;
	assert_int_not_equal(plain, proto_content(&pa));
	pa.h.flags = 0;
	pa.kstr = NULL;
	assert_int_not_equal(plain, proto_content(&pa));
	pa.bc = NULL;
	pb.bc = NULL;
	assert_int_equal(proto_content(&pa), proto_content(&pb));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(head_is_decoded),
	    cmocka_unit_test(lies_are_rejected),
	    cmocka_unit_test(lines_of_each_width),
	    cmocka_unit_test(names_by_what_loads_the_function),
	    cmocka_unit_test(names_through_moves_and_clobbers),
	    cmocka_unit_test(names_of_locals),
	    cmocka_unit_test(broken_locals_give_no_name),
	    cmocka_unit_test(content_survives_patches),
	    cmocka_unit_test(content_tells_functions_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
