-- SPDX-License-Identifier: MIT
-- luajit tests/lua/inside.lua SCENARIO [off]: runs loops whose calls the JIT compiler inlines, for
-- ever, and prints {"event":"ready"} when they are compiled. off: without the compiler. The stacks
-- that both have are the same. No argument: lists the scenarios.
local S = {}
local unpack = unpack

-- Calls in calls, each with work of its own before and after.
function S.chain()
  local function inner(x, t)
    t[1] = x
    t[2] = x + 1
    t[3] = x + 2
    return #t + x
  end
  local function mid(x, t)
    t[4] = x
    local a = inner(x, t)
    t[5] = a
    t[6] = a + 1
    return a
  end
  return function(n)
    local t, s = {}, 0
    for i = 1, n do
      t[7] = i
      s = s + mid(i, t)
      t[8] = s
    end
    return s
  end
end

-- Branches that are taken now and then: side traces that begin in inlined functions.
function S.side()
  local function pick(x, t)
    t[1] = x
    if x % 3 == 0 then
      t[2] = x
      t[3] = x + 1
    elseif x % 5 == 0 then
      t[4] = x
      t[5] = x + 1
    else
      t[6] = x
    end
    t[7] = x
    return x
  end
  local function twice(x, t)
    local a = pick(x, t)
    t[8] = a
    local b = pick(x + 1, t)
    t[9] = b
    return a + b
  end
  return function(n)
    local t, s = {}, 0
    for i = 1, n do
      s = s + twice(i, t)
      t[10] = s
    end
    return s
  end
end

-- The function that calls is not on the stack any more, in the loop's own call too.
function S.tail()
  local function last(x, t)
    t[1] = x
    t[2] = x + 1
    t[3] = x + 2
    return x
  end
  local function first(x, t)
    t[4] = x
    t[5] = x + 1
    return last(x, t)
  end
  return function(n)
    local t, s = {}, 0
    for i = 1, n do
      s = s + first(i, t)
      t[6] = s
    end
    return s
  end
end

-- A function that loops by calling itself at its end.
function S.tailloop()
  local function count(n, t)
    t[1] = n
    t[2] = n + 1
    if n == 0 then
      return t
    end
    t[3] = n
    return count(n - 1, t)
  end
  return function(n)
    local t = {}
    count(n, t)
    return t
  end
end

-- Recursion: traces that go up, and others that return to frames below where they began.
function S.recursion()
  local t = {}
  local function fib(n)
    t[1] = n
    if n < 2 then
      t[2] = n
      return 1
    end
    local a = fib(n - 1)
    t[3] = a
    local b = fib(n - 2)
    t[4] = b
    return a + b
  end
  return function(n)
    local s = 0
    for _ = 1, n / 2000 do
      s = s + fib(12)
    end
    return s
  end
end

-- Hot functions that are called where nothing can be compiled: their traces return to it.
function S.lower()
  local function leaf(x, t)
    t[1] = x
    t[2] = x + 1
    t[3] = x + 2
    return x
  end
  local function work(x, t)
    t[4] = x
    local a = leaf(x, t)
    t[5] = a
    local b = leaf(a, t)
    t[6] = b
    return b
  end
  local function caller(n, t)
    local s = 0
    for i = 1, n do
      s = s + work(i, t)
      t[7] = s
    end
    return s
  end
  jit.off(caller)
  return function(n)
    return (caller(n, {}))
  end
end

-- The trace ends in a function that cannot be compiled, and another one goes on after it.
function S.stitch()
  local clock = os.clock
  local function part(x, t)
    t[1] = x
    for i = 2, 40 do
      t[i] = x + i
    end
    local c = clock()
    t[41] = c
    for i = 42, 80 do
      t[i] = x + i
    end
    return x
  end
  return function(n)
    local t, s = {}, 0
    for i = 1, n / 100 do
      s = s + part(i, t)
      t[81] = s
    end
    return s
  end
end

-- Closures of one prototype: the compiler knows the prototype, not the function.
function S.closures()
  local function make(k)
    return function(x, t)
      t[1] = x
      t[2] = x + k
      t[3] = x - k
      return x
    end
  end
  local list = {}
  for i = 1, 40 do
    list[i] = make(i)
  end
  return function(n)
    local t, s = {}, 0
    for i = 1, n do
      s = s + list[i % 40 + 1](i, t)
      t[4] = s
    end
    return s
  end
end

function S.varargs()
  local function three(t, ...)
    local a, b, c = ...
    t[1] = a
    t[2] = b
    t[3] = c
    return a
  end
  local function pass(t, ...)
    t[4] = 1
    local a = three(t, ...)
    t[5] = a
    return a
  end
  return function(n)
    local t, s = {}, 0
    for i = 1, n do
      s = s + pass(t, i, i + 1, i + 2)
      t[6] = s
    end
    return s
  end
end

function S.pcall()
  local function safe(x, t)
    t[1] = x
    t[2] = x + 1
    t[3] = x + 2
    return x
  end
  return function(n)
    local t, s = {}, 0
    for i = 1, n do
      local ok, a = pcall(safe, i, t)
      t[4] = a
      s = ok and s + a or 0
      t[5] = s
    end
    return s
  end
end

-- Functions that the VM calls: with a continuation under them.
function S.metamethods()
  local out = {}
  local meta = {}
  function meta.__index(_, key)
    out[1] = key
    out[2] = key
    out[3] = key
    return key
  end
  function meta.__add(a, b)
    out[4] = 1
    out[5] = 2
    out[6] = 3
    return a.n + b
  end
  return function(n)
    local o, s = setmetatable({ n = 1 }, meta), 0
    for i = 1, n do
      local v = o[i]
      out[7] = v
      s = s + (o + v)
      out[8] = s
    end
    return s
  end
end

-- A method found by __index tables, an iterator, an upvalue that is written.
function S.methods()
  local class = {}
  class.__index = class
  local calls = 0
  function class:set(x)
    self.x = x
    self.y = x + 1
    calls = calls + 1
    return self
  end
  local function iter(o, i)
    o.z = i
    o.w = i
    if i < 30 then
      return i + 1
    end
  end
  return function(n)
    local o = setmetatable({ x = 0, y = 0, z = 0, w = 0 }, class)
    for i = 1, n / 30 do
      for k in iter, o, 0 do
        o:set(k)
        o.x = i
      end
    end
    return o
  end
end

-- A coroutine whose body is compiled.
function S.coroutine()
  local function leaf(x, t)
    t[1] = x
    t[2] = x + 1
    t[3] = x + 2
    return x
  end
  local function body(n)
    while true do
      local t, s = {}, 0
      for i = 1, n do
        s = s + leaf(i, t)
        t[4] = s
      end
      n = coroutine.yield(s)
    end
  end
  local resume = coroutine.wrap(body)
  return function(n)
    local s = resume(n)
    return s
  end
end

-- Functions of equal cost, called one, two and four times in the loop, each step waiting for the one
-- before. Vararg functions begin no traces, so that it is the loop that is compiled.
function S.shares()
  local function one(x, ...)
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    return x
  end
  local function two(x, ...)
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    return x
  end
  local function four(x, ...)
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    return x
  end
  return function(n)
    local x = 1
    for _ = 1, n / 10 do
      x = one(x)
      x = two(two(x))
      x = four(four(four(four(x))))
    end
    return x
  end
end

-- Lines of known cost: 1, 2, 4, 8 and 16 times the same, in an inlined function.
function S.lines()
  local function work(x)
    x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
      x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5 x = x * 0.99 + 0.5
    return x
  end
  return function(n)
    local x = 1
    for _ = 1, n / 10 do
      x = work(x)
    end
    return x
  end
end

-- What traces call: strings, tables, their growth, the barrier of an upvalue. Comparisons between
-- them, because only there it is certain what belongs to which line.
function S.helpers()
  local last = ""
  local function join(x, t)
    if t[1] > x then return "" end
    local s = "key" .. x
    if t[2] > x then return "" end
    return s
  end
  local function grow(x, t)
    if t[3] > x then return t end
    local new = { x, x }
    if t[4] > x then return new end
    new[x] = x
    if t[5] > x then return new end
    t[6] = new
    return new
  end
  local function keep(s, x, t)
    if t[7] > x then return t end
    last = s
    if t[8] > x then return t end
    return last
  end
  return function(n)
    local t = { 0, 0, 0, 0, 0, 0, 0, 0 }
    for i = 10, n / 10 do
      keep(join(i, t), i, t)
      t[1] = i - 1
      grow(i, t)
      t[3] = i - 1
    end
    return t
  end
end

local function ready()
  io.stdout:write('{"event":"ready"}\n')
  io.stdout:flush()
end

local function main(name, mode)
  if mode == "off" then jit.off() end
  local run = S[name]()
  local size = mode == "off" and 2e4 or 2e5
  for _ = 1, 20 do run(size) end
  ready()
  while true do run(size) end
end

if arg[1] then
  main(arg[1], arg[2])
else
  local names = {}
  for name in pairs(S) do names[#names + 1] = name end
  table.sort(names)
  print(table.concat(names, " "))
end
