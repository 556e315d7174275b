// SPDX-License-Identifier: MIT
/*
 * A target that measures what is taken from it:
 *
 *   gap SECONDS DEPTH [- [lua | p HZ FILE | v FILE]]
 *
 * Calls through DEPTH Lua functions into a C function that reads the clock without pause for
 * SECONDS and adds up every step longer than a microsecond: interrupts, and whatever runs in them.
 * The time that others had the CPU does not count. Prints "ready", and at the end "LOST_NS TOTAL_NS
 * GAPS MEDIAN_NS", the last being a gap's length. With "-" it waits for a line before it begins.
 *
 * With "lua" the innermost function is one of Lua, which calls a C function for each step: so that
 * what runs inside the VM, between two instructions, is found too. p and v: the same, under its own
 * jit.p or jit.v.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The search for gaps. The first ones are kept, which is all of them for minutes. */
#define KEPT (1u << 20)
static struct {
	uint64_t start, last, want, cpu, lost, gaps;
	uint32_t length[KEPT]; /* ns */
} found;

static void begin(double seconds)
{
	found.want = (uint64_t)(seconds * 1e9);
	found.start = found.last = now(CLOCK_MONOTONIC);
	found.cpu = now(CLOCK_THREAD_CPUTIME_ID);
}

/* Whether it goes on. */
static int step(void)
{
	uint64_t t = now(CLOCK_MONOTONIC);

	if (t - found.last > 1000) {
		found.lost += t - found.last;
		if (found.gaps < KEPT)
			found.length[found.gaps] = (uint32_t)(t - found.last);
		found.gaps++;
	}
	found.last = t;
	return t - found.start < found.want;
}

static int shorter(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t median(void)
{
	size_t n = found.gaps < KEPT ? found.gaps : KEPT;

	qsort(found.length, n, sizeof(*found.length), shorter);
	return found.length[n / 2];
}

static void tell(void)
{
	uint64_t cpu = now(CLOCK_THREAD_CPUTIME_ID) - found.cpu, all = found.last - found.start;
	uint64_t away = all > cpu ? all - cpu : 0;

	printf("%llu %llu %llu %u\n",
	       (unsigned long long)(found.lost > away ? found.lost - away : 0),
	       (unsigned long long)(all - away), (unsigned long long)found.gaps, median());
}

static int spin(lua_State *L)
{
	begin(luaL_checknumber(L, 1));
	while (step())
		;
	tell();
	return 0;
}

static int lua_begin(lua_State *L)
{
	begin(luaL_checknumber(L, 1));
	return 0;
}

static int lua_step(lua_State *L)
{
	lua_pushboolean(L, step());
	return 1;
}

static int lua_tell(lua_State *L)
{
	(void)L;
	tell();
	return 0;
}

static const char code[] =
    "local spin, begin, step, tell, seconds, depth, _, own, x, file = ...\n"
    "local stop\n"
    "if own == 'p' then\n"
    "  stop = require('jit.p').stop\n"
    "  require('jit.p').start('fi' .. math.floor(1000 / tonumber(x)), file)\n"
    "elseif own == 'v' then\n"
    "  require('jit.v').on(x)\n"
    "end\n"
    "if own then\n"
    "  spin = function()\n"
    "    begin(seconds)\n"
    "    while step() do end\n"
    "    tell()\n"
    "  end\n"
    "  jit.off(spin)\n"
    "end\n"
    "local function down(n)\n"
    "  if n > 0 then down(n - 1) else spin(seconds) end\n"
    "  return n\n"
    "end\n"
    "down(tonumber(depth))\n"
    "if stop then stop() end\n";

int main(int argc, char **argv)
{
	static const lua_CFunction functions[] = {spin, lua_begin, lua_step, lua_tell};
	lua_State *L = luaL_newstate();
	int i, n = (int)(sizeof(functions) / sizeof(functions[0]));

	if (argc < 3 || !L) {
		fprintf(stderr, "usage: gap SECONDS DEPTH [- [lua | p HZ FILE | v FILE]]\n");
		return 2;
	}
	luaL_openlibs(L);
	if (luaL_loadbuffer(L, code, sizeof(code) - 1, "=gap")) {
		fprintf(stderr, "gap: %s\n", lua_tostring(L, -1));
		return 1;
	}
	for (i = 0; i < n; i++)
		lua_pushcfunction(L, functions[i]);
	for (i = 1; i < argc && i < 7; i++)
		lua_pushstring(L, argv[i]);
	puts("ready");
	fflush(stdout);
	if (argc > 3 && getchar() == EOF)
		return 1;
	if (lua_pcall(L, n + i - 1, 0, 0)) {
		fprintf(stderr, "gap: %s\n", lua_tostring(L, -1));
		return 1;
	}
	lua_close(L);
	return 0;
}
