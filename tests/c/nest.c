/* SPDX-License-Identifier: MIT */
/*
 * A Lua module whose functions go through a known number of C functions, back into Lua or to a loop
 * that never ends: require "nest" with build/tests/c in package.cpath.
 *
 *   nest.call(f)        call_3, call_2, call_1, which calls f
 *   nest.resume(f)      resume_1, which resumes a new coroutine with f
 *   nest.vm(code)       vm_1, which runs the code in a new VM, where nest is there, too
 *   nest.deep(n, f)     deep_1, n of it, the last of which calls f
 *   nest.aligned(f)     aligned_1, whose stack is aligned to 64 bytes, calls f
 *   nest.signal(f)      on_signal, on a signal that raise_1 raises, calls f
 *   nest.spin()         inlined_2, which says so on standard output; inlined_1, nest::turn and
 *                       nest::loop, which loops
 */
#include <signal.h>
#include <stdio.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define FRAME __attribute__((noinline, noclone))
/* Something to do after a call, or it would be a jump. */
#define NOT_LAST __asm__ volatile("" ::: "memory")
/* Room on the stack that is not optimised away. */
#define USE(room) __asm__ volatile("" ::"r"(room) : "memory")

int luaopen_nest(lua_State *L);

static volatile unsigned long turns;
static lua_State *signalled;

static FRAME void call_1(lua_State *L)
{
	lua_call(L, 0, 0);
	NOT_LAST;
}

static FRAME void call_2(lua_State *L)
{
	char room[200];

	USE(room);
	call_1(L);
	USE(room);
}

static FRAME void call_3(lua_State *L)
{
	call_2(L);
	NOT_LAST;
}

static FRAME int l_call(lua_State *L)
{
	lua_settop(L, 1);
	call_3(L);
	NOT_LAST;
	return 0;
}

static FRAME int resume_1(lua_State *co)
{
	int status = lua_resume(co, 0);

	NOT_LAST;
	return status;
}

static FRAME int l_resume(lua_State *L)
{
	lua_State *co = lua_newthread(L);

	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	if (resume_1(co))
		return luaL_error(L, "%s", lua_tostring(co, -1));
	return 0;
}

static FRAME void vm_1(lua_State *L)
{
	lua_call(L, 0, LUA_MULTRET);
	NOT_LAST;
}

static FRAME int l_vm(lua_State *L)
{
	lua_State *other = luaL_newstate();

	if (!other)
		return luaL_error(L, "no memory");
	luaL_openlibs(other);
	lua_pushcfunction(other, luaopen_nest);
	lua_call(other, 0, 1);
	lua_setglobal(other, "nest");
	if (luaL_loadstring(other, luaL_checkstring(L, 1)))
		return luaL_error(L, "%s", lua_tostring(other, -1));
	vm_1(other);
	lua_close(other);
	return 0;
}

static FRAME void deep_1(lua_State *L, long n)
{
	char room[40];

	USE(room);
	if (n > 1)
		deep_1(L, n - 1);
	else
		call_1(L);
	USE(room);
}

static FRAME int l_deep(lua_State *L)
{
	deep_1(L, luaL_checklong(L, 1));
	NOT_LAST;
	return 0;
}

static FRAME void aligned_1(lua_State *L)
{
	_Alignas(64) char room[128];

	USE(room);
	call_1(L);
	USE(room);
}

static FRAME int l_aligned(lua_State *L)
{
	aligned_1(L);
	NOT_LAST;
	return 0;
}

static FRAME void on_signal(int number)
{
	(void)number;
	call_1(signalled);
	NOT_LAST;
}

static FRAME void raise_1(void)
{
	raise(SIGUSR2);
	NOT_LAST;
}

static FRAME int l_signal(lua_State *L)
{
	signalled = L;
	signal(SIGUSR2, on_signal);
	raise_1();
	NOT_LAST;
	return 0;
}

/* As C++ and Rust would call them. */
FRAME void loop(void) __asm__("_ZN4nest4loopEv");
FRAME void turn(void) __asm__("_RNvCsbVXqutUjNVO_4nest4turn");

void loop(void)
{
	for (;;)
		turns++;
}

void turn(void)
{
	loop();
	NOT_LAST;
}

static inline __attribute__((always_inline)) void inlined_1(void)
{
	turn();
	NOT_LAST;
}

static inline __attribute__((always_inline)) void inlined_2(void)
{
	puts("spinning");
	fflush(stdout);
	inlined_1();
}

static FRAME int l_spin(lua_State *L)
{
	(void)L;
	inlined_2();
	return 0;
}

int luaopen_nest(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"call", l_call},	    {"resume", l_resume}, {"vm", l_vm},	    {"deep", l_deep},
	    {"aligned", l_aligned}, {"signal", l_signal}, {"spin", l_spin}, {NULL, NULL}};

	lua_newtable(L);
	luaL_register(L, NULL, functions);
	return 1;
}
