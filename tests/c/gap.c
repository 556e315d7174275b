// SPDX-License-Identifier: MIT
/*
 * A target that measures what is taken from it: gap SECONDS DEPTH
 *
 * Calls through DEPTH Lua functions into a C function that reads the clock without pause for
 * SECONDS and adds up every step longer than a microsecond: interrupts, and whatever runs in them. Prints
 * "ready", and at the end "LOST_NS TOTAL_NS GAPS".
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int spin(lua_State *L)
{
	uint64_t want = (uint64_t)(luaL_checknumber(L, 1) * 1e9), start = now(), last = start,
		 lost = 0, gaps = 0, t;

	while (last - start < want) {
		t = now();
		if (t - last > 1000) {
			lost += t - last;
			gaps++;
		}
		last = t;
	}
	printf("%llu %llu %llu\n", (unsigned long long)lost, (unsigned long long)(last - start),
	       (unsigned long long)gaps);
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

	if (argc != 3 || !L) {
		fprintf(stderr, "usage: gap SECONDS DEPTH\n");
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
	if (lua_pcall(L, 3, 0, 0)) {
		fprintf(stderr, "gap: %s\n", lua_tostring(L, -1));
		return 1;
	}
	lua_close(L);
	return 0;
}
