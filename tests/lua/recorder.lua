-- SPDX-License-Identifier: MIT
-- Makes the trace recorder say everything it can say, for a comparison with what jit.v prints.
--
--   luajit -jv=FILE recorder.lua [ROUNDS]
--
-- Prints "ready", waits for a line on its standard input, works, prints "done".

local rounds = tonumber(arg and arg[1]) or 1
local load = loadstring or load

-- ---- each builds fresh code, so that it starts with a clean slate ----

-- LuaJIT takes a chunkname from us: which decides how jit.v prints the place.
local function chunk(name, source, ...)
  return assert(load(source, name))(...)
end

local cases = {}

local function case(name, source)
  cases[#cases + 1] = {name = name, source = source}
end

-- Plain loops, with side traces.
case("loop", [[
local s = 0
for i = 1, 200 do s = s + i end
for i = 1, 400 do if i % 3 == 0 then s = s + 1 elseif i % 7 == 0 then s = s - 1 end end
local i = 0
while i < 200 do i = i + 1 end
repeat i = i - 1 until i == 0
local t = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
for _ = 1, 30 do for _, v in ipairs(t) do s = s + v end end
]])

-- Inner loops, loops that are left early, loops within loops of few rounds.
case("inner", [[
local s = 0
for i = 1, 100 do for j = 1, 100 do s = s + j end end
for i = 1, 300 do for j = 1, 2 do s = s + j end end
for i = 1, 200 do for j = 1, 3 do if j == 2 then break end s = s + 1 end end
for i = 1, 100 do local j = 1; while true do j = j + 1; if j > i % 5 then break end end end
]])

case("pairs", [[
local t, s = {}, 0
for i = 1, 40 do t["k" .. i] = i end
for _ = 1, 60 do for k, v in pairs(t) do s = s + v end end
for _ = 1, 60 do for k, v in next, t do s = s + v end end
]])

-- Calls, recursion of all kinds, returns.
case("recursion", [[
local function tail(n) if n == 0 then return 0 end return tail(n - 1) end
for _ = 1, 3 do tail(300) end
local function up(n) if n == 0 then return 0 end return 1 + up(n - 1) end
for _ = 1, 40 do up(60) end
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
fib(18)
local function tree(n) if n == 0 then return {} end return {tree(n - 1), tree(n - 1)} end
tree(9)
local function ack(m, n)
  if m == 0 then return n + 1 end
  if n == 0 then return ack(m - 1, 1) end
  return ack(m - 1, ack(m, n - 1))
end
ack(2, 20)
]])

-- A function that is called from the interpreter alone: its trace returns there.
case("return", [[
local function small(a) return a + 1 end
local f = load("local f = ...; local g = function(x) return f(x) end; for i = 1, 300 do g(i) end return 1")
f(small)
local n, co = 0, nil
local function called() n = n + 1 end
for i = 1, 300 do pcall(called) end
]])

-- What cannot be compiled.
case("fnew", [[
local t = {}
for i = 1, 500 do t[i % 7] = function() return i end end
for i = 1, 300 do local x = i; t[1] = function() x = x + 1 end end
for i = 1, 300 do local x = i; if i > 400 then t[1] = function() x = 1 end end end
]])
case("uclo", [[
local t = {}
local i = 0
while i < 300 do
  local x = i
  if i == 1000 then t[1] = function() return x end end
  i = i + 1
end
]])
case("varg", [[
local function va(...)
  local s = 0
  for i = 1, 100 do local a, b = ...; s = s + a + b end
  for i = 1, 100 do local t = {...}; s = s + #t end
  for i = 1, 100 do s = s + select("#", ...) end
  for i = 1, 100 do s = s + (select(i % 3 + 1, ...)) end
  for i = 1, 100 do s = s + math.max(...) end
  return s
end
va(1, 2, 3)
local function fixed(...) local a, b = ...; return a, b end
for i = 1, 100 do fixed(i, 2) end
local function pass(...) return fixed(...) end
for i = 1, 100 do pass(i, i) end
]])
case("retl", [[
local mt = {}
local function make() return setmetatable({}, mt) end
local function cat(a) return tostring(a) end
for i = 1, 200 do make() end
local t = {}
for i = 1, 200 do t[1] = cat(i) end
for i = 1, 300 do pcall(make) end
]])
case("joff", [[
local function off(a) return a + 1 end
jit.off(off)
local s = 0
for i = 1, 500 do s = s + off(i) end
local function caller(a) return off(a) + 1 end
for i = 1, 3000 do s = s + caller(i) end
]])
-- Given up for good, and then a caller of what was given up. Takes 11 attempts, that is many rounds.
case("blacklist", [[
local t = {}
local function bad(n) local s = 0; for i = 1, n do t[1] = function() return i end end return s end
for i = 1, 3 do bad(20000) end
local function callee(n) t[1] = function() return n end return n end
for i = 1, 30000 do callee(i) end
local s = 0
for i = 1, 2000 do s = s + bad(2) end
for i = 1, 2000 do s = s + callee(i) end
]])

-- Errors while a trace is recorded.
case("errors", [[
local function fail(i) assert(i % 3 ~= 0, "as told") return i end
for i = 1, 400 do pcall(fail, i) end
local function deep(i) local s = 0; for j = 1, i % 60 do s = s + j; assert(j < 57) end return s end
for i = 1, 200 do pcall(deep, i) end
local function raise(i) if i % 2 == 0 then error("even") end return i end
for i = 1, 400 do pcall(raise, i) end
local function obj(i) error({i}) end
for i = 1, 200 do pcall(obj, i) end
local function arith(i) local x = nil; if i % 2 == 0 then x = 1 end return x + i end
for i = 1, 400 do pcall(arith, i) end
local function index(i) local x = nil; return x.field end
for i = 1, 200 do pcall(index, i) end
local function call(i) local x = 1; return x(i) end
for i = 1, 200 do pcall(call, i) end
local function nankey(i) local t = {}; t[i - i == 0 and 0/0 or 1] = i end
for i = 1, 200 do pcall(nankey, i) end
local function nilkey(i) local t = {}; t[nil] = i end
for i = 1, 200 do pcall(nilkey, i) end
local function badarg(i) return ("x"):rep({}) end
for i = 1, 200 do pcall(badarg, i) end
local function badarg2(i) return math.floor({}) end
for i = 1, 200 do pcall(badarg2, i) end
local function badarg3(i) return string.byte(nil) end
for i = 1, 200 do pcall(badarg3, i) end
local function compare(i) return {} < {} end
for i = 1, 200 do pcall(compare, i) end
local function concat(i) return "a" .. {} end
for i = 1, 200 do pcall(concat, i) end
local function badbits(i) return bit.band("x", i) end
for i = 1, 200 do pcall(badbits, i) end
]])

-- Metamethods, of Lua and of C, and chains of them without end.
case("meta", [[
local mt = {__index = function(t, k) return k end, __add = function(a, b) return 1 end,
  __call = function(self, x) return x end, __len = function() return 3 end,
  __eq = function() return true end, __lt = function() return true end,
  __le = function() return true end, __concat = function() return "c" end,
  __newindex = function(t, k, v) end, __unm = function() return 2 end}
local a, b = setmetatable({}, mt), setmetatable({}, mt)
local s = 0
for i = 1, 100 do s = s + a[i] + (a + b) + a(i) end
for i = 1, 100 do if a == b and a < b and a <= b then s = s + 1 end end
for i = 1, 100 do local x = a .. b; a[i] = 1; s = s + -a end
local c = setmetatable({}, {__index = string.upper, __add = string.rep})
for i = 1, 100 do pcall(function() return c.x end) end
local p = setmetatable({}, {__index = function(t, k) local f = function() end; return k end})
for i = 1, 100 do s = s + p[i] end
local loop = {}
setmetatable(loop, {__index = loop})
for i = 1, 100 do pcall(function() return loop.x end) end
local chain = {}
for i = 1, 120 do chain = setmetatable({}, {__index = chain}) end
for i = 1, 100 do pcall(function() return chain.x end) end
]])

-- Calls that end a trace, after which another goes on. package.searchpath is a plain C function.
case("stitch", [[
local s = 0
for i = 1, 100 do s = s + #(string.gsub("abcabc", "b", "x")) end
for i = 1, 100 do s = s + #string.format("%s %d", "x", i) + #(("x"):gsub("x", "y")) end
for i = 1, 60 do local d = os.date("*t") s = s + d.year; local c = os.time(d) end
for i = 1, 60 do local r = package.searchpath("none", "./?.none") end
for i = 1, 100 do local a, b = string.find("hello world", "o w+"); s = s + a end
local t = {3, 1, 2}
for i = 1, 100 do table.sort(t) s = s + table.concat(t):len() end
for i = 1, 100 do s = s + (pcall(string.rep, "x", 2) and 1 or 0) end
for i = 1, 100 do s = s + select("#", unpack(t)) end
for i = 1, 100 do local f = string.gmatch("a b", "%a") s = s + #f() end
for i = 1, 100 do s = s + #string.gsub("a", "a", "b") t[4] = function() return i end end
for i = 1, 60 do local ok = pcall(function() string.gsub("x", "x", function() end) end) end
]])
-- What starts at a side exit and is never compiled: given up after some attempts.
case("fallback", [[
local t, s = {}, 0
for i = 1, 2000 do
  if i % 10 == 0 then t[1] = function() return i end end
  s = s + i
end
for i = 1, 2000 do
  if i % 4 == 0 then string.gsub("a", "a", function() end) end
  if i % 6 == 0 then local co = coroutine.wrap(function() return 1 end) s = s + co() end
  s = s + i
end
]])
case("coroutine", [[
local function gen() for i = 1, 200 do coroutine.yield(i) end end
local s = 0
for v in coroutine.wrap(gen) do s = s + v end
local co = coroutine.wrap(function(a) while true do a = coroutine.yield(a + 1) end end)
for i = 1, 200 do s = s + co(i) end
local inner = coroutine.wrap(function()
  local t = {}
  for i = 1, 200 do t[1] = function() return i end end
end)
inner()
]])

-- Limits.
case("long", [[
local src = {"local x = ...; for i = 1, 100 do local y = i "}
for i = 1, 1500 do src[#src + 1] = "y = y + x[" .. i .. "]; " end
src[#src + 1] = "end"
local t = {}
for i = 1, 1500 do t[i] = i end
loadstring(table.concat(src), "=long")(t)
local snaps = {"local x = ...; for i = 1, 100 do "}
for i = 1, 600 do snaps[#snaps + 1] = "if x[" .. i .. "] > i + 5000 then x[1] = 1 end " end
snaps[#snaps + 1] = "end"
loadstring(table.concat(snaps), "=snaps")(t)
local phis = {"local n = ... "}
for i = 1, 90 do phis[#phis + 1] = "local v" .. i .. " = n " end
phis[#phis + 1] = "for i = 1, 100 do "
for i = 1, 90 do phis[#phis + 1] = "v" .. i .. " = v" .. i .. " + i * " .. i .. " " end
phis[#phis + 1] = "end"
loadstring(table.concat(phis), "=phis")(1.5)
local f = "return function(a) return a end"
local nest = loadstring(f)()
for i = 1, 30 do local g = nest; nest = function(a) return (g(a)) end end
for i = 1, 200 do nest(i) end
local s = 0
for i = 1, 60 do for j = 1, 60 do for k = 1, 2 do for l = 1, 2 do s = s + 1 end end end end
]])
case("ffi", [[
local ok, ffi = pcall(require, "ffi")
if not ok then return end
pcall(ffi.cdef, "typedef struct { int a; double b; } ljxrec_t; int abs(int); int printf(const char *, ...); typedef struct { long q, r; } ljxdiv_t; ljxdiv_t ldiv(long, long);")
local x, s = ffi.new("ljxrec_t"), 0
for i = 1, 100 do x.a = i; x.b = i; s = s + x.a + x.b end
for i = 1, 100 do s = s + ffi.C.abs(-i) end
local C = ffi.C
for i = 1, 100 do s = s + C.abs(i) end
for i = 1, 100 do s = s + tonumber(C.ldiv(i, 3).q) end
for i = 1, 100 do local t = ffi.typeof("int[4]") end
for i = 1, 100 do local a = ffi.new("int[?]", i) end
for i = 1, 100 do pcall(function() x.none = 1 end) end
for i = 1, 100 do pcall(function() return x + {} end) end
for i = 1, 100 do local p = ffi.cast("int *", x) s = s + p[0] end
for i = 1, 100 do s = s + #ffi.string("abc", i % 3) end
local cb = ffi.cast("int (*)(int)", function(a) return a end)
for i = 1, 100 do s = s + cb(i) end
cb:free()
local big = 10LL
for i = 1, 100 do big = big + i end
for i = 1, 100 do local c = ffi.new("complex", i, 1) end
for i = 1, 100 do ffi.copy(x, "12345678") end
]])

-- Chunks by each kind of name, and what has no lines.
local body = [[
local s = 0
for i = 1, 200 do s = s + i end
local t = {}
for i = 1, 200 do t[1] = function() return i end end
local function f(a) return a + 1 end
for i = 1, 300 do pcall(f, i) end
]]
local names = {
  "@/srv/www/app/named.lua", "@named.lua", "@back\\slash.lua", "@/", "@", "@dir/",
  "=named", "=", "=" .. ("n"):rep(39), "=" .. ("n"):rep(40),
  "short", "two\nlines", ("s"):rep(40), ("s"):rep(41), ("long "):rep(60),
  "@/" .. ("d/"):rep(60) .. "deep.lua", "caf\195\169 \1\2 \255",
}

local function named()
  for _, name in ipairs(names) do chunk(name, body) end
  chunk(body, body)
  -- Stripped: no lines.
  local dump = string.dump(assert(load(body, "@stripped.lua")), true)
  assert(load(dump, "@stripped.lua"))()
  -- Lua functions of LuaJIT's own.
  local t = {}
  for i = 1, 200 do t[i] = i end
  for _ = 1, 3 do table.foreachi(t, function(_, v) end) end
  for _ = 1, 3 do table.foreach(t, function(_, v) end) end
  for i = 1, 300 do pcall(table.getn, t) end
  for i = 1, 300 do pcall(math.deg, i) end
end

-- ---- throwing everything away ----

-- No free trace number. To be run first: the table never shrinks, and up to its size it takes all.
local function table_full()
  local keep = {}
  jit.opt.start("maxtrace=20")
  for i = 1, 100 do
    keep[i] = assert(load("local s = 0 for i = 1, 100 do s = s + i end", "=full" .. i))
    keep[i]()
  end
  jit.opt.start("maxtrace=1000")
end

-- No machine code memory.
local function mcode_full()
  jit.flush()
  jit.opt.start("maxmcode=32", "sizemcode=32")
  local src = {"local s = ... for i = 1, 100 do "}
  for i = 1, 60 do src[#src + 1] = "s = s * 1.0000" .. i .. " + i / " .. i .. " " end
  src[#src + 1] = "end"
  src = table.concat(src)
  for i = 1, 60 do chunk("=mcode" .. i, src, 1.5) end
  jit.opt.start("maxmcode=512", "sizemcode=32")
  jit.flush()
end

-- In the midst of a recording.
local function flush_inside()
  chunk("=inside", [[
    for i = 1, 300 do if i == 58 or i == 120 then jit.flush() end end
    local function f(i) if i % 50 == 0 then jit.flush() end return i end
    for i = 1, 300 do f(i) end
    for i = 1, 100 do debug.sethook() end
    for i = 1, 200 do if i % 60 == 0 then debug.sethook(function() end, "", 1000) end end
    debug.sethook()
    for i = 1, 100 do jit.off(f) jit.on(f) end
    for i = 1, 100 do collectgarbage("step") end
  ]])
end

print("ready")
io.stdout:flush()
io.read()

table_full()
for round = 1, rounds do
  for _, c in ipairs(cases) do chunk("@" .. c.name .. ".lua", c.source) end
  named()
  jit.flush()
  jit.opt.start("hotloop=2", "hotexit=2")
  for _, c in ipairs(cases) do
    if c.name ~= "blacklist" then chunk("=hot" .. c.name, c.source) end
  end
  named()
  for _, level in ipairs {"-loop", "-sink", "-fold", "-cse", "-dce", "-fwd", "-abc", "0", "3"} do
    jit.opt.start(level)
    for i = 1, 6 do chunk("=opt" .. i, cases[i].source) end
  end
  jit.opt.start("3", "hotloop=56", "hotexit=10")
  for _, p in ipairs {"maxrecord=50", "maxirconst=20", "maxsnap=5", "maxside=1", "instunroll=0",
      "loopunroll=1", "callunroll=0", "recunroll=0", "tryside=1"} do
    jit.flush()
    jit.opt.start("hotloop=5", "hotexit=3", p)
    for _, c in ipairs(cases) do
      if c.name ~= "blacklist" and c.name ~= "long" then chunk("=limit" .. c.name, c.source) end
    end
    jit.opt.start("3", "maxrecord=4000", "maxirconst=500", "maxsnap=500", "maxside=100",
      "instunroll=4", "loopunroll=15", "callunroll=3", "recunroll=2", "tryside=4", "hotloop=56",
      "hotexit=10")
  end
  flush_inside()
  mcode_full()
end
print("done")
