-- SPDX-License-Identifier: MIT
-- luajit tests/lua/semantics.lua SCENARIO [off]: reaches truth.spin by one kind of call, prints the
-- stack there and spins for ever. off: without the JIT compiler. No argument: lists the scenarios.
package.path = "tests/lua/?.lua;" .. package.path
local truth = require "truth"
local spin = truth.spin
local S = {}

local function recurse(n)
  if n == 0 then
    local r = spin()
    return r
  end
  local r = recurse(n - 1)
  return r + 1
end

function S.recursion()
  local r = recurse(240)
  return r
end

function S.recursion_truncated()
  local r = recurse(400)
  return r
end

-- Two functions that call each other, a frame each.
function S.mutual()
  local ping
  local function pong(n)
    local r = ping(n - 1)
    return r
  end
  function ping(n)
    local r = n > 0 and pong(n) or spin()
    return r
  end
  local r = ping(7)
  return r
end

function S.tailcall()
  local function final()
    local r = spin()
    return r
  end
  local function middle() return final() end
  local function first() return middle() end
  local r = first()
  return r
end

function S.varargs()
  local function inner(...)
    local r = spin(select("#", ...))
    return r
  end
  local function outer(...)
    local a, b = ...
    local r = inner(a, b, nil, ...)
    return r
  end
  local r = outer(3, nil, 4, {}, nil)
  return r
end

-- Vararg function beneath pcall beneath vararg function.
function S.varargs_pcall(...)
  local ok, r = pcall(function(...)
    local r = spin(...)
    return r
  end, 1, 2, ...)
  return ok, r
end

function S.pcall()
  local ok, r = pcall(function()
    local good, e = xpcall(function()
      local r = spin()
      return r
    end, debug.traceback)
    return good, e
  end)
  return ok, r
end

function S.error_handler()
  local function raise() error("on purpose") end
  local function handler(message)
    local r = spin(message)
    return r
  end
  local ok = xpcall(raise, handler)
  return ok
end

-- The VM itself raises this one.
function S.runtime_error_handler()
  local ok = xpcall(function(t)
    local r = t.field
    return r
  end, function(message)
    local r = spin(message)
    return r
  end)
  return ok
end

-- error() through two pcalls, then on.
function S.after_error()
  local ok = pcall(pcall, error, "on purpose")
  local r = spin(ok)
  return r
end

function S.methods()
  local Class = {}
  Class.__index = Class
  function Class:work(n)
    local r = n > 0 and self:work(n - 1) or spin()
    return r
  end
  function Class.static(self)
    local r = self:work(1)
    return r
  end
  local object = setmetatable({}, Class)
  local r = object.static(object)
  return r
end

-- Each metamethod calls the next.
function S.metamethods()
  local mt = {}
  local a, b = setmetatable({}, mt), setmetatable({}, mt)
  function mt.__call(self)
    local r = self .. b
    return r
  end
  function mt.__concat(x, y)
    local r = x < y
    return r
  end
  function mt.__lt(x)
    local r = x.missing
    return r
  end
  function mt.__index(x)
    local r = x + 1
    return r
  end
  function mt.__add(x)
    local r = -x
    return r
  end
  function mt.__unm(x)
    x.new = 1
    return x
  end
  function mt.__newindex(x)
    local r = x == b
    return r
  end
  function mt.__eq(x, y)
    local r = x <= y
    return r
  end
  function mt.__le(x, y)
    local r = x % y
    return r
  end
  function mt.__mod()
    local r = spin()
    return r
  end
  local r = a()
  return r
end

-- Concatenation of many operands: the metamethod is called from the middle of one instruction.
function S.concat()
  local mt = { __concat = function()
    local r = spin()
    return r
  end }
  local r = "a" .. 1 .. setmetatable({}, mt) .. "b" .. 2
  return r
end

function S.tostring()
  local object = setmetatable({}, { __tostring = function()
    local r = spin()
    return r
  end })
  local r = tostring(object)
  return r
end

function S.iterator()
  local function step(state, control)
    if control then return nil end
    local r = spin(state)
    return r
  end
  for key in step, {} do
    return key
  end
end

function S.sort()
  local list = { 3, 1, 2 }
  table.sort(list, function(a, b)
    local r = spin(a, b)
    return r
  end)
  return list
end

function S.gsub()
  local r = string.gsub("abc", "b", function(c)
    local x = spin(c)
    return x
  end)
  return r
end

-- A callback in a callback.
function S.callbacks()
  local r = ("xyz"):gsub("y", function()
    local list = { 2, 1 }
    table.sort(list, function()
      local ok = pcall(spin)
      return ok
    end)
    return "z"
  end)
  return r
end

-- The main thread's frames cannot be had from inside a coroutine: they are taken on the line that
-- resumes it. fast: the function that resumes.
local function below(fast)
  local list = truth.levels(nil, 2)
  table.insert(list, 1, { kind = "fast", name = fast })
  table.insert(truth.below, 1, list)
end

function S.coroutine_wrap()
  local inner = coroutine.wrap(function(a)
    local r = spin(a)
    return r
  end)
  below("coroutine.wrap_aux") local r = inner(1)
  return r
end

function S.coroutine_resume()
  local co = coroutine.create(function(a)
    coroutine.yield(a)
    local r = spin(a)
    return r
  end)
  coroutine.resume(co, 1)
  below("coroutine.resume") local ok, r = coroutine.resume(co)
  return ok, r
end

-- Three deep, with frames and pcalls between.
function S.coroutine_nested()
  local function third()
    local r = spin()
    return r
  end
  local function second()
    local co = coroutine.create(third)
    below("coroutine.resume") local ok, r = coroutine.resume(co)
    return ok, r
  end
  local first = coroutine.wrap(function()
    local ok, r = pcall(function()
      local next_one = coroutine.wrap(second)
      below("coroutine.wrap_aux") local r = next_one()
      return r
    end)
    return ok, r
  end)
  below("coroutine.wrap_aux") local r = first()
  return r
end

-- On the main thread again, after coroutines that ended, failed and are suspended.
function S.coroutine_after()
  local suspended = coroutine.wrap(function() coroutine.yield(1) end)
  suspended()
  local failed = coroutine.create(function() error("on purpose") end)
  coroutine.resume(failed)
  coroutine.wrap(function() return 1 end)()
  collectgarbage()
  local r = spin(suspended)
  return r
end

function S.load_string()
  local f = loadstring("local spin = ...\nlocal r = spin()\nreturn r")
  local r = f(spin)
  return r
end

function S.load_named()
  local f = loadstring("\n\nlocal spin = ...\nlocal function inner() local r = spin() return r end\n"
                       .. "local r = inner()\nreturn r", "=named(chunk)")
  local r = f(spin)
  return r
end

function S.stripped()
  local whole = loadstring("local spin = ...\nlocal function inner()\nlocal r = spin()\nreturn r\n"
                           .. "end\nlocal r = inner()\nreturn r", "=whole")
  local f = loadstring(string.dump(whole, true), "=stripped")
  local r = f(spin)
  return r
end

-- C calls Lua: libc's qsort, through the FFI.
function S.ffi_callback()
  local ffi = require "ffi"
  ffi.cdef "void qsort(void *, size_t, size_t, int (*)(const void *, const void *));"
  local list = ffi.new("int[2]")
  local function compare()
    local r = spin()
    return r
  end
  local callback = ffi.cast("int (*)(const void *, const void *)", compare)
  ffi.C.qsort(list, 2, 4, callback)
  return list
end

function S.ffi_metatype()
  local ffi = require "ffi"
  local point = ffi.metatype("struct { int x, y; }", { __index = function(_, key)
    local r = spin(key)
    return r
  end })
  local r = point(1, 2).missing
  return r
end

function S.finalizer()
  local object = newproxy(true)
  getmetatable(object).__gc = function()
    local r = spin()
    return r
  end
  object = nil
  collectgarbage()
  return object
end

function S.hook()
  local done
  debug.sethook(function()
    if not done then
      done = true
      local r = spin()
      return r
    end
  end, "l")
  local x = 1
  return x
end

function S.require()
  package.preload.something = function()
    local r = spin()
    return r
  end
  local r = require "something"
  return r
end

-- Many names for functions: upvalue, table field, global, argument.
function S.names()
  local upvalue = function()
    local r = spin()
    return r
  end
  local t = { deep = { field = function()
    local r = upvalue()
    return r
  end } }
  function a_global(argument)
    local r = t.deep.field(argument)
    return r
  end
  local function caller(parameter)
    local r = parameter()
    return r
  end
  local r = caller(function()
    local r = a_global()
    return r
  end)
  return r
end

if not arg[1] then
  local list = {}
  for name in pairs(S) do list[#list + 1] = name end
  table.sort(list)
  print(table.concat(list, "\n"))
  os.exit(0)
end
if arg[2] == "off" then jit.off() end
local r = S[arg[1]](5, nil)
return r
