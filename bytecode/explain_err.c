/* SPDX-License-Identifier: MIT */
/* Explanations of trace errors, of bytecodes and of how traces end. */
#include "bytecode/explain_texts.h"

/*
 * What every failed attempt does: LuaJIT src/lj_trace.c penalty_pc, and trace_hotside for sides.
 */
#define RETRIED                                                                                   \
	"The recording is thrown away and this code stays interpreted. LuaJIT tries again after " \
	"growing pauses; a loop or function that fails eleven times is blacklisted, a side exit " \
	"is given up after a few times."
#define WAITS "The recording is thrown away; LuaJIT tries again later, and mostly succeeds then."

#define ERR(id, cl, words_, why_, effect_, fix_, differs_) \
	[ERR_##id] = {#id, NULL, EXPLAIN_ERR, EXPLAIN_##cl, words_, why_, effect_, fix_, differs_}

const struct explain explain_errs[ERR_MAX] = {
    ERR(RECERR, ERROR, "Something interrupted the recording.",
	"A Lua error was thrown, a debug hook or an FFI callback or a finalizer ran, memory ran "
	"out, or jit.on, jit.off or jit.flush was called while the trace was recorded.",
	RETRIED,
	"Rare ones need nothing. Many of one place: do not use error() for ordinary control flow "
	"in hot code, and remove debug hooks.",
	"Since September 2021 also: a loop that looked like pairs() but runs over another "
	"iterator. The interpreter then turns it into an ordinary loop, once."),
    ERR(TRACEUV, NYI, "The trace is too short to be worth a stitch.",
	"An uncompilable call came before -Ominstitch instructions were recorded (0 by default, 3 "
	"in OpenResty's branch).",
	RETRIED,
	"Move the uncompilable call out of the hot code. ljx nyi shows which one it is: the call "
	"at this line.",
	"Not in 2.0, which has no stitching."),
    ERR(TRACEOV, RESOURCE, "The trace is too long.",
	"More instructions were recorded than -Omaxrecord allows (4000 by default, 16000 in "
	"OpenResty's branch): a very long loop body, or much inlined code.",
	RETRIED,
	"Split the body into loops or functions of their own; or raise -Omaxrecord, and "
	"-Omaxirconst for code with very many constants.",
	"Since October 2018 also when there are more constants than -Omaxirconst (500)."),
    ERR(STACKOV, RESOURCE, "The trace needs too many Lua stack slots.",
	"The frames of all inlined calls together may have 250 slots: deep calls, functions with "
	"very many locals, or very many arguments.",
	RETRIED,
	"Fewer locals and arguments in the functions on this path, or less nesting. The limit "
	"cannot be changed.",
	NULL),
    ERR(SNAPOV, RESOURCE, "The trace has too many points where it may be left.",
	"Each branch and type check that may fail needs a snapshot, and -Omaxsnap (500) are "
	"allowed.",
	RETRIED, "Split the code into several loops or functions; or raise -Omaxsnap.",
	"Some processors have a smaller limit of their own."),
    ERR(BLACKL, BLACKLIST, "The recording ran into code that is blacklisted.",
	"A loop or function on this path failed to compile so often that LuaJIT gave it up; or "
	"an FFI call goes to a C function that was seen calling back into Lua.",
	"This start is charged for it too, so that blacklisting spreads to the callers. It lasts: "
	"jit.flush() does not undo it, only jit.on() for that function or a restart does.",
	"Find what the blacklisted code failed for (ljx nyi), and repair that.", NULL),
    ERR(RETRY, LOW, "The recording is done once more, at once.",
	"The recorder learned a better size for a table that the code creates, and wrote it into "
	"the bytecode.",
	"None that lasts: the next recording starts right away and is not held against the code.",
	"None is needed.", "Only in builds with LUAJIT_ENABLE_TABLE_BUMP, since May 2015."),
    ERR(NYIBC, NYI, "LuaJIT cannot compile this bytecode.",
	"The recorder has no translation for it. Closures that are created (FNEW) or that "
	"capture a local of a block that ends (UCLO), and some uses of '...' (VARG), are what is "
	"left today.",
	RETRIED, "Move it out of the hot code: ljx explain FNEW, UCLO or VARG tells how.",
	"2.0 cannot compile CAT, TSETM, ISNEXT and ITERN either; the last two only compile since "
	"September 2021. From April 2024 on jit.v prints the bytecode's name, before that its "
	"number."),
    ERR(LLEAVE, LOW, "The loop was left while it was recorded.",
	"The recorded iteration ended the loop: it was the last one, or it left by break or "
	"return. A root trace must come back to its start.",
	WAITS " A short inner loop that goes on failing so is unrolled into the loop around it.",
	"None, unless the loop gets blacklisted: then it usually runs only once or twice, so "
	"write it without a loop, or leave it at the end of the body rather than in its middle.",
	NULL),
    ERR(LINNER, LOW, "An outer loop ran into an inner loop.",
	"Inner loops are compiled first; the outer one becomes side traces of them.", WAITS,
	"None. If the outer loop is never compiled, look why the inner one is not.", NULL),
    ERR(LUNROLL, RESOURCE, "An inner loop would be unrolled too often.",
	"The trace went through iterations of an inner loop that has no trace of its own, more "
	"than -Oloopunroll (15), or more than a short body's worth in a root trace; or it "
	"followed too many tail calls.",
	RETRIED,
	"Loops that run only a few times are worst: write out the iterations, or make them long "
	"enough to get a trace of their own. -Oloopunroll can be raised a little.",
	NULL),
    ERR(BADTYPE, ERROR, "A function got an argument of a type it cannot handle.",
	"The recorder saw a type that the library function, FFI operation or call does not take, "
	"or only after a conversion that is not compiled. Often the call is about to throw.",
	RETRIED, "Pass the type that is expected: tonumber() or tostring() before the call.", NULL),
    ERR(CJITOFF, NYI, "The JIT compiler is switched off for a function on this path.",
	"Somebody called jit.off() for it, or for the module it is in; it is called here, or "
	"returned to.",
	RETRIED " It is the caller that fails, and that may be blacklisted.",
	"Remove the jit.off(), or keep such functions out of hot code.",
	"The message was another one before 2.0.3."),
    ERR(CUNROLL, RESOURCE, "A function calls itself too deep inside one trace.",
	"It was inlined into itself more than -Ocallunroll (3) times without the trace coming "
	"back to its start.",
	WAITS " If the function had a trace of its own, that one is dropped, so that it can be "
	      "compiled as recursion.",
	"None, unless it is frequent: then turn the recursion into a loop.", NULL),
    ERR(DOWNREC, LOW, "The returns of a recursion were met; recording starts again there.",
	"A trace went up through the frames of a recursive function.",
	"None that lasts: a new recording begins at the return at once.", "None is needed.", NULL),
    ERR(NYICF, NYI, "LuaJIT cannot compile a call of a C function.",
	"What a function made with lua_pushcfunction does is not known to the compiler.", RETRIED,
	"Call it outside of the hot code, or bind the C function by the FFI, whose calls compile.",
	"In 2.0, and in alphas and the first beta of 2.1 up to August 2015. Later builds stitch: "
	"the trace ends before the call and another begins after it."),
    ERR(NYIFF, NYI, "LuaJIT cannot compile this library function.",
	"The recorder has no translation for it.", RETRIED,
	"ljx explain FUNCTION tells what to use instead.",
	"In 2.0, and in alphas and the first beta of 2.1 up to August 2015. Later builds stitch: "
	"the trace ends before the call and another begins after it."),
    ERR(NYIFFU, NYI, "LuaJIT cannot compile this way of calling a library function.",
	"The function compiles, but not with these arguments. In 2.1 it is only ffi.typeof() of a "
	"string; call it once and keep the result.",
	RETRIED, "ljx explain FUNCTION tells which forms compile.",
	"In 2.0 and the first beta of 2.1 many functions have such forms: tostring() of a table, "
	"tonumber() with a base or "
	"of text that is no number, select() with a changing number, table.insert() and "
	"table.remove() in the middle. Later builds stitch them."),
    ERR(NYIRETL, NYI, "The trace would return to a frame in a way that cannot be compiled.",
	"It returns from the function where it began through a vararg function, a pcall, a "
	"metamethod or C code; or the function ended in 'return f(...)' with a library function "
	"that changes something, such as setmetatable or ffi.new.",
	RETRIED,
	"For the last form write: local r = setmetatable(t, mt) return r. Else let the hot loop be "
	"inside the pcall or the vararg function.",
	NULL),
    ERR(STORENN, ERROR, "A table store has nil or NaN as its key.",
	"Unless a __newindex takes it, such a store throws.", RETRIED,
	"Correct the program: it is about to throw an error here.", NULL),
    ERR(NOMM, ERROR, "An operation on this type has no metamethod.",
	"For instance arithmetic on nil, or an index into nil: the interpreter throws an error.",
	RETRIED, "Correct the program, or test the value first; do not rely on pcall in hot code.",
	NULL),
    ERR(IDXLOOP, ERROR, "A chain of __index or __newindex does not end.",
	"More than 100 tables were followed, which mostly means that the chain is a circle.",
	RETRIED, "Correct the metatables.", NULL),
    ERR(NYITMIX, NYI, "A table with an array part is indexed by a number that is no array index.",
	"The key varies and is a fraction, negative or very large, so that it may belong to "
	"either part of the table.",
	RETRIED,
	"Keep such keys in a table of their own that has no array part, or make them strings.",
	NULL),
    ERR(NOCACHE, NYI, "A symbol of a C library was not looked up yet.",
	"ffi.C.name or lib.name is used for the first time on this path; only the interpreter "
	"does that.",
	WAITS, "None is needed, unless the names change all the time.", NULL),
    ERR(NYICONV, NYI, "LuaJIT cannot compile this conversion between Lua and C types.",
	"For instance a table as initializer, a bit-field, a struct by value, an initializer for a "
	"variable-length or large type, or a light userdata.",
	RETRIED,
	"Create the object without initializer and set its fields one by one; use pointers "
	"instead of values.",
	NULL),
    ERR(NYICALL, NYI, "LuaJIT cannot compile a call of a C function of this type.",
	"It passes or returns a struct by value, has more arguments than the declaration or than "
	"can be handled, or an FFI call cannot be placed here.",
	RETRIED, "Use a C wrapper that passes pointers and numbers.",
	"Calls of C functions with '...' do not compile on every processor."),
    ERR(GFAIL, NYI, "A condition in the trace can never hold.",
	"The recorded path contradicts itself once it is optimized: mostly a value or type that "
	"changes in each iteration. LuaJIT unrolls the loop -Oinstunroll (4) times to get rid of "
	"it.",
	RETRIED, "Let variables of the loop keep one type and flags one value.", NULL),
    ERR(PHIOV, RESOURCE, "Too many variables change from one iteration to the next.",
	"At most 64 values can be carried around a compiled loop.", RETRIED,
	"Fewer variables that are set in the loop; keep some of them in a table.", NULL),
    ERR(TYPEINS, NYI, "A variable does not keep its type from one iteration to the next.",
	"For instance nil first and a table later, or a number and a string by turns. LuaJIT "
	"unrolls the loop -Oinstunroll (4) times in the hope that it settles.",
	RETRIED, "Give the variable one type: false or an empty table instead of nil, and so on.",
	NULL),
    ERR(MCODEAL, MCODE, "There is no memory for machine code.",
	"The limit -Omaxmcode is reached, or the system gives no memory near enough to LuaJIT's "
	"own code for its jumps to reach.",
	"All traces are thrown away and everything is recorded again, which may go on for ever.",
	"If the limit is reached, raise -Omaxmcode, or find what makes so many traces. If not, the "
	"address space near LuaJIT is full: start the VM early, before much else is mapped.",
	"Since November 2025 a failure at the very first allocation switches the compiler off."),
    ERR(MCODEOV, MCODE, "The machine code of one trace is too long.",
	"It is longer than an area of -Osizemcode, or than 64 KB.", RETRIED,
	"Split the code; or raise -Osizemcode, if the trace is just long.",
	"The limit of 64 KB exists since 2021."),
    ERR(MCODELM, MCODE, "An area for machine code is full; assembly starts again in a new one.",
	"The rest of the current area was too small for this trace.",
	"None: it is not an abort, and jit.v does not show it.", "None is needed.", NULL),
    ERR(SPILLOV, RESOURCE, "The trace needs more than 256 spill slots.",
	"More values are alive at once than fit in registers and in the frame.", RETRIED,
	"Split the code, or use fewer locals at a time.", NULL),
    ERR(BADRA, ERROR, "The register allocator met a state it cannot handle.",
	"An internal check failed: a bug of this LuaJIT.", RETRIED,
	"Report it to the authors of this build; a newer one may do better.", NULL),
    ERR(NYIIR, NYI, "LuaJIT cannot assemble this IR instruction on this processor.",
	"The code generator for the processor lacks it.", RETRIED,
	"Find the operation at this line that needs it and write it in another way; a newer "
	"LuaJIT may have it.",
	NULL),
    ERR(NYIPHI, NYI, "The values at the end of the loop cannot be put in place.",
	"Too many variables change places between iterations for the registers there are.", RETRIED,
	"Fewer variables that are set in the loop, above all fewer that are swapped.", NULL),
    ERR(NYICOAL, NYI, "The registers of a side trace do not fit those of its parent.",
	"The side trace takes over too many values in too many places.", RETRIED,
	"Fewer locals alive where the trace leaves its parent.", NULL),
};

#define BC(name, words_, why_, effect_, fix_, differs_)                                     \
	{                                                                                   \
#name, NULL, EXPLAIN_BC, EXPLAIN_NYI, words_, why_, effect_, fix_, differs_ \
	}

const struct explain explain_bcs[] = {
    BC(FNEW, "LuaJIT cannot compile the creation of a closure.",
       "'function ... end' as an expression or a local function creates a closure each time the "
       "program comes by; only the interpreter does that.",
       RETRIED,
       "Create the function once, outside of the loop, and pass as arguments what it captured.",
       NULL),
    BC(UCLO, "LuaJIT cannot compile the end of a block whose locals a closure captured.",
       "When the block is left, the captured locals are moved from the stack into the closure. The "
       "instruction is there, and aborts, even if the closure was not created this time.",
       RETRIED,
       "Move the closure out of the loop, or pass it the value as an argument instead of "
       "capturing a local of the loop's body.",
       NULL),
    BC(VARG, "LuaJIT cannot compile this use of '...'.",
       "The number of arguments is only known where the call was recorded too. In the function "
       "where the trace began, {...}, f(...) and return ... do not compile, nor does select() with "
       "a negative number.",
       RETRIED,
       "Use fixed parameters, or select('#', ...), select(n, ...) and 'local a, b = ...', which "
       "compile; or let the hot loop be in the caller.",
       NULL),
    BC(ISNEXT, "This LuaJIT cannot compile loops over pairs() or next().",
       "The loop's first instruction checks for next(), which had no translation.", RETRIED,
       "Iterate arrays by number or ipairs(); keep hot data in arrays; or take a newer LuaJIT.",
       "Compiles since September 2021: in 2.1 rolling releases and in OpenResty's branch from "
       "20211210 on. Never on big-endian processors."),
    BC(ITERN, "This LuaJIT cannot compile loops over pairs() or next().",
       "The loop's iteration had no translation.", RETRIED,
       "Iterate arrays by number or ipairs(); keep hot data in arrays; or take a newer LuaJIT.",
       "Compiles since September 2021: in 2.1 rolling releases and in OpenResty's branch from "
       "20211210 on. Never on big-endian processors."),
    BC(CAT, "LuaJIT 2.0 cannot compile string concatenation.",
       "The '..' operator had no translation.", RETRIED,
       "Build strings outside of the hot code, or take LuaJIT 2.1, which compiles it.",
       "Only in 2.0."),
    BC(TSETM, "LuaJIT 2.0 cannot compile a table constructor that ends in a call or '...'.",
       "The number of elements that {f()} or {...} stores was not known to it.", RETRIED,
       "Store the results one by one, or take LuaJIT 2.1, which compiles it.", "Only in 2.0."),
    {.key = NULL},
};

#define LINK(name, more, words_, why_, effect_, fix_, differs_)                              \
	{                                                                                    \
		name, more, EXPLAIN_LINK, EXPLAIN_NYI, words_, why_, effect_, fix_, differs_ \
	}

const struct explain explain_links[] = {
    LINK("stitch", NULL, "The trace ends before a call that cannot be compiled.",
	 "A C function or a library function without translation is called. The trace is left, "
	 "the function runs, and another trace takes over after it.",
	 "Cheaper than an abort, but each pass leaves compiled code, and nothing is optimized "
	 "across the call.",
	 "If the call is hot, replace it: ljx explain FUNCTION tells by what.",
	 "Since 2.1, but for some months of 2015. Builds without it abort instead."),
    LINK("return", NULL, "The trace ends in a return to the interpreter.",
	 "The function where it began returns to a caller that is not part of the trace; or an "
	 "uncompilable call could not be stitched: a tail call, error(), or a call whose results "
	 "all go on as arguments or results.",
	 "Each pass goes back to the interpreter. At the end of a short function that is normal.",
	 "If it is an uncompilable call, replace it; else let the loop that calls the function be "
	 "hot, so that the function is inlined.",
	 NULL),
    LINK("interpreter", "fallback", "A side exit was given up: the trace only goes back.",
	 "Recording a side trace at this exit failed again and again (-Ohotexit, -Otryside), or "
	 "the root trace has -Omaxside (100) side traces already.",
	 "Each time this exit is taken, the rest runs interpreted.",
	 "Find why its recordings aborted (ljx nyi), and repair that.", NULL),
    {.key = NULL},
};
