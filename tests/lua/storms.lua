-- SPDX-License-Identifier: MIT
-- luajit tests/lua/storms.lua NAME [off]: prints its stack, then runs for ever without leaving Lua.
-- off: without the JIT compiler. The loops stay in one function; the storms print which calls are
-- possible. No argument: lists the names.
package.path = "tests/lua/?.lua;" .. package.path
local truth = require "truth"
local Loop, Storm = {}, {}

local sin, floor = math.sin, math.floor

-- Each loop is a function of its own, whose stack it prints first.
function Loop.plain()
  truth.here()
  local x = 0
  for i = 1, 1e15 do x = x + i end
  return x
end

function Loop.while_table()
  truth.here()
  local t, i = { 1, 2, 3, 4 }, 0
  while true do
    i = i + 1
    t[i % 4 + 1] = t[(i + 1) % 4 + 1] * 0.5 + i
  end
end

-- The interpreter's helper for % keeps the stack pointer elsewhere.
function Loop.modulo()
  truth.here()
  local x, y = 0, 7.5
  for i = 1, 1e15 do x = (x + i % y) % 1e6 end
  return x
end

-- These leave L->base stale while libm runs.
function Loop.sin()
  truth.here()
  local x = 0
  for i = 1, 1e15 do x = x + sin(i) end
  return x
end

function Loop.pow()
  truth.here()
  local x = 0
  for i = 1, 1e15 do x = x + i ^ 0.7 end
  return x
end

-- Calls between Lua functions: recursion, varargs, methods, tail calls, upvalues.
function Storm.calls()
  local function fib(n)
    if n < 2 then return n end
    local r = fib(n - 1) + fib(n - 2)
    return r
  end
  local function pass(...)
    return ...
  end
  local function vararg(a, ...)
    local x, y = pass(a, ...)
    return x, y
  end
  local function last(n) return n end
  local function tail(n) return last(n + 1) end
  local object = {}
  function object:method(n)
    if n == 0 then return self end
    local r = self:method(n - 1)
    return r
  end
  local function body()
    fib(12)
    for i = 1, 20 do
      vararg(i, i, i)
      tail(i)
      object:method(5)
    end
  end
  truth.storm(body)
end

function Storm.metamethods()
  local mt = {}
  function mt.__index(_, key) return key end
  function mt.__add(a) return a end
  function mt.__lt() return true end
  function mt.__call(self, n) return n end
  function mt.__newindex() end
  local object = setmetatable({}, mt)
  local other = setmetatable({}, mt)
  local function body()
    for i = 1, 50 do
      local x = object[i]
      local y = object + other
      local z = object < other
      y.new = object(i)
      object = z and y or x
    end
  end
  truth.storm(body)
end

function Storm.pcall()
  local function quiet(n) return n end
  local function fails() error("on purpose", 0) end
  local function handler(e) return e end
  local function body()
    for i = 1, 20 do
      pcall(quiet, i)
      xpcall(quiet, handler)
      pcall(fails)
      xpcall(fails, handler)
    end
  end
  truth.storm(body)
end

function Storm.callbacks()
  local list = {}
  local function less(a, b) return a < b end
  local function swap(c) return c end
  local function body()
    for i = 1, 64 do list[i] = i * 37 % 64 end
    table.sort(list, less)
    local r = string.gsub("the quick brown fox", "%w", swap)
    return r
  end
  truth.storm(body)
end

function Storm.coroutines()
  local yield, wrap = coroutine.yield, coroutine.wrap
  local function produce()
    for i = 1, 20 do yield(i) end
  end
  local function body()
    local step = wrap(produce)
    for _ = 1, 20 do step() end
  end
  truth.storm(body)
end

-- Fast functions that run in the interpreter or in C.
function Storm.library()
  local byte, rep, concat = string.byte, string.rep, table.concat
  local t = {}
  local function body()
    for i = 1, 50 do
      t[i] = floor(i / 3) + byte("abc", 2)
    end
    local s = concat(t, ",")
    return rep(s, 2)
  end
  truth.storm(body)
end

local name = arg[1]
if not name then
  for _, set in ipairs { Loop, Storm } do
    for key in pairs(set) do print((set == Loop and "loop " or "storm ") .. key) end
  end
  os.exit(0)
end
if arg[2] == "off" then jit.off() end
local run = Loop[name] or Storm[name]
run()
os.exit(0)
