/* SPDX-License-Identifier: MIT */
/*
 * Explanations of library functions that some generation does not compile: those without a recorder
 * in LuaJIT src/lib_*.c, and those whose recorder in src/lj_ffrecord.c gives up on some arguments.
 */
#include "bytecode/explain_texts.h"

#define STITCH                                                                                  \
	"In 2.1 the trace ends before the call (a stitch, or a return to the interpreter) and " \
	"another one takes over after it. In 2.0 the recording aborts, each time."
#define ABORT "The recording aborts, each time."
#define C_CODE "It is written in C, and the recorder has no translation for it."

#define FUNC(key_, names_, words_, why_, effect_, fix_, differs_)                              \
	{                                                                                      \
		key_, names_, EXPLAIN_FUNC, EXPLAIN_NYI, words_, why_, effect_, fix_, differs_ \
	}

const struct explain explain_funcs[] = {
    FUNC("string.gsub", "string.match string.gmatch string.gmatch_aux",
	 "Lua patterns are never compiled.",
	 "The matcher is a C function; there is no translation for it in any version.", STITCH,
	 "For fixed text use string.find(s, text, 1, true); for characters string.byte and "
	 "string.sub. In nginx, ngx.re.match and its like with the options \"jo\" compile, "
	 "if lua-resty-core is loaded.",
	 NULL),
    FUNC("string.find", NULL, "Only a search for fixed text compiles.",
	 "If the pattern has special characters and the fourth argument is not true, the C "
	 "matcher is needed.",
	 STITCH, "Give true as fourth argument if the text is meant literally.",
	 "In 2.0 it does not compile at all."),
    FUNC("string.format", NULL, "Some formats do not compile.",
	 "%s only compiles for a string, not for a number or an object, and %p not at all. A "
	 "trace is made for one format string: others leave it.",
	 STITCH, "For %s write tostring(n), which compiles; keep the format string constant.",
	 "In 2.0 it does not compile at all."),
    FUNC("string.dump", NULL, "It is never compiled.", C_CODE, STITCH, "Keep it out of hot code.",
	 NULL),
    FUNC("string.rep", "string.char string.lower string.upper string.reverse",
	 "LuaJIT 2.0 does not compile it.", C_CODE, ABORT, "Take LuaJIT 2.1, which compiles it.",
	 "Only in 2.0."),
    FUNC("tostring", NULL, "Only numbers, strings, booleans and nil compile.",
	 "The text of a table, function or userdata is its address, which only C code prints. A "
	 "__tostring that is compilable compiles.",
	 STITCH, "Do not make strings of such values in hot code.", NULL),
    FUNC("tonumber", NULL, "Some forms do not compile.",
	 "A base other than 10, and text that is no number.", STITCH,
	 "Test the text first, for instance by its first byte, or convert outside of the hot "
	 "code.",
	 NULL),
    FUNC("select", NULL, "Only a constant first argument compiles everywhere.",
	 "With a number that changes, or a negative one where the number of arguments is not "
	 "known, there is no translation.",
	 STITCH, "Pack the arguments once, local t = {...}, outside of the hot loop, and index t.",
	 "select(n, ...) with a changing n compiles where '...' is that of the function in which "
	 "the trace began."),
    FUNC("unpack", "table.unpack", "It does not compile in most versions.",
	 C_CODE " The number of its results is not known in advance.", STITCH,
	 "If the number is known, write them out: f(t[1], t[2], t[3]).",
	 "Compiles in upstream LuaJIT since August 2026."),
    FUNC("next", NULL, "It does not compile in older versions.", C_CODE, STITCH,
	 "Iterate arrays by number; for a test whether a table is empty keep a count; or take a "
	 "newer LuaJIT.",
	 "Compiles since September 2021: in 2.1 rolling releases and in OpenResty's branch from "
	 "20211210 on. Never on big-endian processors."),
    FUNC("pairs", NULL, "LuaJIT 2.0 does not compile the call, older 2.1 not the loop over it.",
	 "The call itself compiles since 2.1, but the loop's bytecodes ISNEXT and ITERN had no "
	 "translation: see ljx explain ISNEXT.",
	 "The recording aborts at the loop; in 2.0 at the call.",
	 "Iterate arrays by number or ipairs(), or take a newer LuaJIT.",
	 "The loop compiles since September 2021."),
    FUNC("table.sort", NULL, "It is never compiled.",
	 "It is C code that calls back into Lua for its comparisons, which are interpreted or "
	 "run as traces of their own.",
	 STITCH, "Sort less often, or write the sort in Lua: that compiles.", NULL),
    FUNC("table.concat", NULL, "LuaJIT 2.0 does not compile it.", C_CODE, ABORT,
	 "Take LuaJIT 2.1, which compiles it.", "Only in 2.0."),
    FUNC("table.insert", NULL, "Only appending compiles.",
	 "An insertion in the middle moves the rest by C code.", STITCH,
	 "Write t[#t + 1] = v, or keep the count yourself.", NULL),
    FUNC("table.remove", NULL, "LuaJIT 2.0 only compiles the removal of the last element.",
	 "To remove in the middle the rest is moved by C code.", ABORT,
	 "Take LuaJIT 2.1, where it is Lua code and compiles.", "Only in 2.0."),
    FUNC("table.maxn", "table.pack", "It is never compiled.", C_CODE, STITCH,
	 "Keep the count yourself; for table.pack write {n = select('#', ...), ...} outside of "
	 "the hot code.",
	 NULL),
    FUNC("table.foreach", "table.foreachi", "LuaJIT 2.0 does not compile it.", C_CODE, ABORT,
	 "Write the loop with for.", "In 2.1 it is Lua code."),
    FUNC("print", NULL, "It is never compiled.", C_CODE, STITCH,
	 "io.write compiles; or collect the text and print it once.", NULL),
    FUNC("io.open",
	 "io.popen io.tmpfile io.close io.read io.lines io.input io.output io.type "
	 "io.method.close io.method.read io.method.seek io.method.setvbuf io.method.lines "
	 "io.method.__gc io.method.__tostring",
	 "Of the io library only write and flush are compiled.", C_CODE, STITCH,
	 "Read large pieces, or a whole file, outside of the hot loop.", NULL),
    FUNC("os.time", "os.*", "Nothing of the os library is compiled.", C_CODE, STITCH,
	 "Ask once and keep the value; for the time use a function that is bound by the FFI "
	 "(ngx.now in nginx with lua-resty-core).",
	 NULL),
    FUNC("coroutine.resume", "coroutine.*", "Switches between coroutines are never compiled.",
	 "A trace belongs to one coroutine. What runs inside of each one is compiled as usual.",
	 STITCH,
	 "Do more work between two switches; do not use a coroutine as an iterator in hot "
	 "code.",
	 NULL),
    FUNC(
	"error", NULL, "It is never compiled, and never stitched.",
	"It leaves the code by unwinding the stack.",
	"In 2.1 the trace returns to the interpreter before the call. In 2.0 the recording aborts.",
	"Return nil and a message instead, if it happens often.", NULL),
    FUNC("pcall", "xpcall", "It compiles if what it calls compiles, with one exception.",
	 "A trace that began inside of the called function cannot return through the pcall: see "
	 "ljx explain NYIRETL.",
	 "The recording aborts with 'return to lower frame'; an error that is thrown leaves the "
	 "trace.",
	 "Let the hot loop contain the pcall, or be all inside of it.", NULL),
    FUNC("setfenv", "debug.setfenv", "It is never compiled.", C_CODE, STITCH,
	 "Set environments when the code is loaded.", NULL),
    FUNC("getfenv", "debug.getfenv", "Only getfenv(0) compiles.", C_CODE, STITCH,
	 "Ask once and keep the table.", "In 2.0 it does not compile at all."),
    FUNC("loadstring", "load loadfile dofile", "It is never compiled.",
	 "It runs the parser; and each new function must get hot before it is compiled.", STITCH,
	 "Load once, keep the function and call it.", NULL),
    FUNC("collectgarbage", "gcinfo newproxy", "It is never compiled.", C_CODE, STITCH,
	 "Keep it out of hot code.", NULL),
    FUNC("debug.traceback", "debug.*", "The debug library is not compiled.",
	 C_CODE " Much of it looks at the stack, which a trace does not keep.", STITCH,
	 "Keep it out of hot code.",
	 "debug.getmetatable compiles since 2.1. debug.sethook is never stitched either."),
    FUNC("jit.util.funcinfo", "jit.*", "The jit library is never compiled.",
	 C_CODE " jit.flush, jit.on and jit.off end any recording.", STITCH,
	 "Keep it out of hot code.", NULL),
    FUNC("math.randomseed", NULL, "It is never compiled.", C_CODE, STITCH,
	 "Seed once; math.random compiles.", NULL),
    FUNC("bit.tohex", NULL, "LuaJIT 2.0 does not compile it.", C_CODE, ABORT,
	 "Take LuaJIT 2.1, which compiles it.", "Only in 2.0."),
    FUNC("ffi.typeof", NULL, "Only ffi.typeof(cdata) compiles.",
	 "A C declaration in a string must be parsed.",
	 "The recording aborts with 'unsupported variant of FastFunc', in 2.1 too.",
	 "Call it once, at the start of the module, and keep the type in a local.", NULL),
    FUNC("ffi.cdef",
	 "ffi.load ffi.metatype ffi.typeinfo ffi.callback.free ffi.callback.set ffi.clib.__gc "
	 "ffi.meta.__tostring ffi.meta.__pairs ffi.meta.__ipairs",
	 "It is never compiled.", "It parses declarations, or changes what the FFI knows.", STITCH,
	 "Call it once, when the module is loaded.", NULL),
    FUNC("buffer.new", "buffer.method.free buffer.method.__gc",
	 "Creating or freeing a string buffer does not compile.", C_CODE, STITCH,
	 "Create one buffer and use it again: reset, put, get and the like compile.",
	 "String buffers exist since 2021."),
    FUNC("C function", "C", "A call of a C function does not compile.",
	 "What a function made with lua_pushcfunction does is not known to the compiler.", STITCH,
	 "Bind it by the FFI, whose calls compile, or call it less often.", NULL),
    {.key = NULL},
};
