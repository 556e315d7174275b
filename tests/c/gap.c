// SPDX-License-Identifier: MIT
/*
 * A target that measures what is taken from it: gap SECONDS DEPTH [-]
 *
 * Calls through DEPTH Lua functions into a C function that reads the clock without pause for
 * SECONDS and adds up every step longer than a microsecond: interrupts, and whatever runs in them.
 * The time that others had the CPU does not count. Prints "ready", and at the end "LOST_NS TOTAL_NS
 * GAPS". With "-" it waits for a line before it begins.
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

static int spin(lua_State *L)
{
	uint64_t want = (uint64_t)(luaL_checknumber(L, 1) * 1e9), lost = 0, gaps = 0, cpu, away, t;
	uint64_t start = now(CLOCK_MONOTONIC), last = start;

	cpu = now(CLOCK_THREAD_CPUTIME_ID);
	while (last - start < want) {
		t = now(CLOCK_MONOTONIC);
		if (t - last > 1000) {
			lost += t - last;
			gaps++;
		}
		last = t;
	}
	cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	away = last - start > cpu ? last - start - cpu : 0;
	printf("%llu %llu %llu\n", (unsigned long long)(lost > away ? lost - away : 0),
	       (unsigned long long)(last - start - away), (unsigned long long)gaps);
	return 0;
}

static const char code[] = "local spin, seconds, depth = ...\n"
			   "local function down(n)\n"
			   "  if n > 0 then down(n - 1) else spin(seconds) end\n"
			   "  return n\n"
			   "end\n"
			   "down(depth)\n";

int main(int argc, char **argv)
{
	lua_State *L = luaL_newstate();

	if (argc < 3 || !L) {
		fprintf(stderr, "usage: gap SECONDS DEPTH [-]\n");
		return 2;
	}
	luaL_openlibs(L);
	if (luaL_loadbuffer(L, code, sizeof(code) - 1, "=gap")) {
		fprintf(stderr, "gap: %s\n", lua_tostring(L, -1));
		return 1;
	}
	lua_pushcfunction(L, spin);
	lua_pushnumber(L, atof(argv[1]));
	lua_pushnumber(L, atof(argv[2]));
	puts("ready");
	fflush(stdout);
	if (argc > 3 && getchar() == EOF)
		return 1;
	if (lua_pcall(L, 3, 0, 0)) {
		fprintf(stderr, "gap: %s\n", lua_tostring(L, -1));
		return 1;
	}
	lua_close(L);
	return 0;
}
