/* SPDX-License-Identifier: MIT */
/*
 * proto_* against LuaJIT itself, loaded into this process: what debug.getinfo says is the truth.
 * LJX_TWIN=libluajit.so names the library; its layout must be the row TWIN_ROW (test_bytecode.c
 * checks that). Skips without it.
 */
#include "bytecode/proto.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TWIN_ROW "luajit2-20230119"
#define GLOBALS (-10002)

typedef struct lua_State lua_State;

/* What is used of LuaJIT's C API. */
#define API(_)                                                                     \
	_(lua_State *, luaL_newstate, (void))                                      \
	_(void, luaL_openlibs, (lua_State *))                                      \
	_(int, luaL_loadbuffer, (lua_State *, const char *, size_t, const char *)) \
	_(int, lua_pcall, (lua_State *, int, int, int))                            \
	_(void, lua_call, (lua_State *, int, int))                                 \
	_(void, lua_getfield, (lua_State *, int, const char *))                    \
	_(void, lua_setfield, (lua_State *, int, const char *))                    \
	_(void, lua_pushinteger, (lua_State *, ptrdiff_t))                         \
	_(void, lua_pushstring, (lua_State *, const char *))                       \
	_(void, lua_pushcclosure, (lua_State *, int (*)(lua_State *), int))        \
	_(const char *, lua_tolstring, (lua_State *, int, size_t *))               \
	_(ptrdiff_t, lua_tointeger, (lua_State *, int))                            \
	_(const void *, lua_topointer, (lua_State *, int))                         \
	_(void, lua_settop, (lua_State *, int))                                    \
	_(void, lua_close, (lua_State *))
#define POINTER(ret, name, args) static ret(*name) args;
API(POINTER)

static const struct layout *l;
static lua_State *L;
static unsigned int n_checked, n_kinds[7];

static uint64_t word(const void *base, ptrdiff_t at)
{
	uint64_t v;

	memcpy(&v, (const char *)base + at, sizeof(v));
	return v;
}

/* Lengths as the reader of a target would find them: up to the end of the prototype. */
static const char *get_string(void *ctx, uint32_t idx)
{
	const struct proto *pt = ctx;
	const char *str = (const char *)word((const void *)pt->h.k, -8 * ((ptrdiff_t)idx + 1));

	return str[9] == 4 ? str + l->STR_size : NULL; /* ~LJ_TSTR */
}

static void read_proto(const char *at, struct proto *pt)
{
	memset(pt, 0, sizeof(*pt));
	assert_int_equal(proto_decode_head(l, at, l->PT_size, &pt->h), 0);
	pt->gen = bc_gen_by_count(l->bc_max);
	pt->bc = (const void *)(at + l->PT_size);
	pt->lineinfo = (const void *)pt->h.lineinfo;
	pt->lineinfo_len = proto_lineinfo_size(&pt->h);
	pt->uvinfo = (const void *)pt->h.uvinfo;
	pt->uvinfo_len = pt->h.uvinfo ? (size_t)(at + pt->h.sizept - pt->uvinfo) : 0;
	pt->varinfo = (const void *)pt->h.varinfo;
	pt->varinfo_len =
	    pt->h.varinfo ? (size_t)(at + pt->h.sizept - (const char *)pt->varinfo) : 0;
	pt->kstr = get_string;
	pt->kstr_ctx = pt;
}

static const char *func_proto(const void *func)
{
	return (const char *)word(func, l->F_pc) - l->PT_size;
}

/*
 * The caller of the C function on top, and where in it: src/lj_frame.h and
 * src/lj_debug.c:debug_framepc, for two-slot frames. False: its caller is no Lua function.
 */
static bool caller(struct proto *pt, uint32_t *pos)
{
	uint64_t base = word(L, l->L_base), ftsz = word((const void *)base, -8);
	uint64_t prev, func, pc;
	uint32_t call;

	if ((ftsz & 3) == 0) { /* called from Lua: ftsz is the return address */
		pc = ftsz;
		memcpy(&call, (const char *)pc - 4, sizeof(call));
		prev = base - 8 * (2 + bc_a(call));
	} else if ((ftsz & 3) == 2) { /* continuation of a metamethod */
		pc = word((const void *)base, -24);
		prev = base - (ftsz & ~7ULL);
	} else {
		return false;
	}
	func = word((const void *)prev, -16) & ((1ULL << 47) - 1);
	if (*((const uint8_t *)func + l->F_ffid) != 0)
		return false;
	read_proto(func_proto((const void *)func), pt);
	*pos = (uint32_t)((const uint32_t *)pc - pt->bc) - 1;
	return true;
}

/* Pushes field of debug.getinfo(level, what). */
static void getinfo(int level, const char *what, const char *field)
{
	lua_getfield(L, GLOBALS, "debug");
	lua_getfield(L, -1, "getinfo");
	lua_pushinteger(L, level);
	lua_pushstring(L, what);
	lua_call(L, 2, 1);
	lua_getfield(L, -1, field);
}

/* Called from the script in each way there is. */
static int probe(lua_State *state)
{
	static const char *const kinds[] = {"",	     "global",	"local",     "method",
					    "field", "upvalue", "metamethod"};
	const char *name = NULL, *want, *want_name;
	struct proto pt;
	uint32_t pos;
	int what;

	(void)state;
	if (!caller(&pt, &pos))
		return 0;
	getinfo(1, "n", "namewhat");
	want = lua_tolstring(L, -1, NULL);
	getinfo(1, "n", "name");
	want_name = lua_tolstring(L, -1, NULL);
	what = proto_callname(&pt, pos, &name);
	assert_string_equal(kinds[what], want);
	if (what)
		assert_string_equal(name, want_name);
	else
		assert_null(want_name);
	getinfo(2, "l", "currentline");
	if (pt.h.lineinfo)
		assert_int_equal(proto_line(&pt, pos), lua_tointeger(L, -1));
	n_checked++;
	n_kinds[what]++;
	return 0;
}

static uint32_t content_of(const char *global)
{
	struct proto pt;

	lua_getfield(L, GLOBALS, global);
	read_proto(func_proto(lua_topointer(L, -1)), &pt);
	return proto_content(&pt);
}

static void run(const char *script, size_t len)
{
	if (luaL_loadbuffer(L, script, len, "=script") || lua_pcall(L, 0, 0, 0))
		fail_msg("%s", lua_tolstring(L, -1, NULL));
}

static int setup(void **state)
{
	const char *path = getenv("LJX_TWIN");
	void *lib = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;

	(void)state;
	if (!lib || !layout_by_name(TWIN_ROW))
		return 0;
#define RESOLVE(ret, name, args)             \
	*(void **)&name = dlsym(lib, #name); \
	if (!name)                           \
		return -1;
	/* clang-format off */
	API(RESOLVE)
	/* clang-format on */
	l = &layout_by_name(TWIN_ROW)->l;
	L = luaL_newstate();
	if (!L)
		return -1;
	luaL_openlibs(L);
	lua_pushcclosure(L, probe, 0);
	lua_setfield(L, GLOBALS, "probe");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (L)
		lua_close(L);
	return 0;
}

static const char names_script[] =
    "jit.off()\n"
    "local up = probe\n"
    "local obj = {m = probe, t = {f = probe}}\n"
    "local function calls(par, ...)\n"
    "  probe()\n"
    "  local loc = probe; loc()\n"
    "  up(); par(); obj.m(); obj:m(1, 2); obj.t.f(); obj.t:f()\n"
    "  local x = (probe)(); local y = {probe()}; local z = obj['m'](...)\n"
    "  do local a, b, c = 1, 2, probe; c(a, b); local d = c; d() end\n"
    "  for i = 1, 2 do probe(i); up(i); obj:m(i) end\n"
    "  for k in probe do end\n"
    "  for k in obj.m, 1, 2 do end\n"
    "  for k, v in pairs(obj.t) do v(); local w = v; w(k) end\n"
    "  for k, v in next, obj.t do v() end\n"
    "  obj[1] = probe; obj[1](); local i = 1; obj[i]()\n"
    "  probe(probe(), probe(...)); if not probe() then up() end\n"
    "  while true do local q = probe; q(); break end\n"
    "  probe((function() return probe() or 1 end)())\n"
    "  return 1\n"
    "end\n"
    "calls(probe, 1, 2, 3); calls(probe)\n"
    "local mt = {__index = probe, __newindex = probe, __add = probe, __sub = probe,\n"
    "  __mul = probe, __div = probe, __mod = probe, __pow = probe, __unm = probe,\n"
    "  __concat = probe, __eq = probe, __lt = probe, __le = probe, __call = probe,\n"
    "  __len = probe}\n"
    "local a, b = setmetatable({}, mt), setmetatable({}, mt)\n"
    "local function meta()\n"
    "  local r = a.x; r = a[1]; r = a[r or 'y']; a.x = 1; a[1] = 2; a[b] = 3\n"
    "  r = a + b; r = a - 1; r = 2 * a; r = a / b; r = a % b; r = a ^ b; r = -a\n"
    "  r = a .. 'x'; r = 'x' .. a; r = a == b; r = a ~= b; r = a < b; r = a <= b\n"
    "  r = a > b; if a >= b then r = 1 end; a(1); r = #a\n"
    "end\n"
    "meta()\n"
    "local s = loadstring(string.dump(calls, true))\n"
    "debug.setupvalue(s, 1, probe); debug.setupvalue(s, 2, obj); s(probe, 1)\n";

/* Long functions: lines of two bytes. */
static void run_long(void)
{
	size_t cap = 1 << 16, len = 0, i;
	char *s = malloc(cap);

	assert_non_null(s);
	len += (size_t)snprintf(s, cap, "jit.off() local function f(p)\n");
	for (i = 0; i < 400; i++)
		len += (size_t)snprintf(s + len, cap - len, "%s\n", i % 7 ? "" : "p() probe()");
	len += (size_t)snprintf(s + len, cap - len, "end f(probe)");
	run(s, len);
	free(s);
}

static void names_and_lines(void **state)
{
	size_t i;

	(void)state;
	if (!L)
		skip();
	run(names_script, sizeof(names_script) - 1);
	run_long();
	assert_true(n_checked > 200);
	for (i = 0; i < 7; i++)
		assert_true(n_kinds[i] > 2);
}

static const char content_script[] =
    "jit.on(); jit.flush(); jit.opt.start('hotloop=2', 'hotexit=2')\n"
    "local t = {}; for i = 1, 9 do t[i] = i; t['k' .. i] = i end\n"
    "function loops(n, f) local s = 0 for i = 1, n do s = s + i end\n"
    "  local i = 0 while i < n do i = i + 1 s = s + f(i) end\n"
    "  for k, v in pairs(t) do s = s + v end for k, v in ipairs(t) do s = s + v end\n"
    "  return s end\n"
    "function down(n) if n == 0 then return 0 end return 1 + down(n - 1) end\n"
    "function odd(t) local s = 0 for k, v in pairs(t) do s = s + v end return s end\n"
    "function bad(n) local s = 0 for i = 1, n do s = s + #string.dump(down) end return s end\n"
    "function other(n) if n == 0 then return 1 end return 1 + down(n - 1) end\n";

static const char hot_script[] =
    "for i = 1, 200 do loops(50, function(x) return x end) down(60) odd(t or {}) bad(50) end\n"
    "local p = pairs; pairs = function(t) return function() end, t end\n"
    "odd({1, 2, 3}); pairs = p; odd({1, 2})\n";

static uint32_t n_patched(const char *global)
{
	static const uint8_t ids[] = {BC_ID_JFORI,  BC_ID_JFORL,  BC_ID_IFORL,
				      BC_ID_JLOOP,  BC_ID_ILOOP,  BC_ID_JFUNCF,
				      BC_ID_IFUNCF, BC_ID_JITERL, BC_ID_IITERL};
	struct proto pt;
	uint32_t i, n = 0;
	size_t k;

	lua_getfield(L, GLOBALS, global);
	read_proto(func_proto(lua_topointer(L, -1)), &pt);
	for (i = 0; i < pt.h.sizebc; i++)
		for (k = 0; k < sizeof(ids); k++)
			n += bc_op(pt.bc[i]) == pt.gen->of[ids[k]];
	return n;
}

static void content_outlives_the_compiler(void **state)
{
	static const char *const names[] = {"loops", "down", "odd", "bad"};
	uint32_t before[4], n = 0;
	size_t i;

	(void)state;
	if (!L)
		skip();
	run(content_script, sizeof(content_script) - 1);
	for (i = 0; i < 4; i++) {
		before[i] = content_of(names[i]);
		assert_int_equal(n_patched(names[i]), 0);
	}
	assert_int_not_equal(before[1], content_of("other"));
	run(hot_script, sizeof(hot_script) - 1);
	for (i = 0; i < 4; i++) {
		n += n_patched(names[i]) > 0;
		assert_int_equal(before[i], content_of(names[i]));
	}
	assert_true(n >= 3);
	lua_settop(L, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_and_lines),
	    cmocka_unit_test(content_outlives_the_compiler),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
