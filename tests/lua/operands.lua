-- SPDX-License-Identifier: MIT
-- luajit tests/lua/operands.lua: functions with every kind of operand that bytecode has. Runs their
-- loops, then prints what jit.util says of each instruction that is not as the parser made it, then
-- reads lines until its input ends.
local vmdef, jutil = require "jit.vmdef", require "jit.util"
local text = "tab\t, newline\n, zero \0, escape \27, delete \127, byte \200"
local longer = "more than forty bytes of text, \27 of which only the first are shown in a listing"
local count, half, big, cell = 0, 0.5, 1e100, 12345678901LL
local inf, negative, hex = 1e999, -40000, 0xffffffff
local box = { 1, 2, 3, "four", five = { 5 }, [text] = longer, [0.25] = false }

local function upvalues(a)
  count = count + a
  half = "half"
  big = 3.25
  box = nil
  return function() return cell, count end
end

local function varargs(...)
  local a, b = ...
  local all = { a, b, n = select("#", ...), ... }
  box = all
  return select(2, ...), all, ...
end

local function compare(a, b)
  local x, y, z
  x, y = a and b, a or b
  if x ~= 8 or y ~= nil then z = x end
  if a == nil or a == true or a == "text" or a == 1.5 or a == b then return a ~= b end
  if a < b or a <= b or not (a > b) or a ~= "text" or a ~= 7 then return -a, #b, not a end
  return a .. b .. "..", a ^ b, a % b, 3 / a, 4 - a, 5 * a, a % 6, a / 0.125
end

local function tables(t, k, v)
  t.name, t[k], t[7], t[300] = v, t.name, t[k], v
  global_name = t[5]
  return { k, v }, { [1] = k }, {}, global_name
end

function box.method(self, ...)
  if self.method ~= nil then return self:method(...) end
  return self.method(...), self.method(...)
end

local function loops(n)
  local s = 0
  for i = 1, n do s = s + i end
  for i = n, 1, -2 do s = s - i end
  for k, v in pairs(_G) do if k == "print" then goto next end s = s + 1 ::next:: end
  for k, v in ipairs({ 1, 2, 3 }) do s = s + v end
  for word in ("a b c"):gmatch("%a") do s = s + #word end
  while s > 1e9 do s = s / 3 end
  repeat local inner = s; s = inner + 1; local f = function() return inner end until f() > 10
  return s
end

local function hot(n) return n + 1 end
local function recursive(n) if n < 1 then return 0 end return 1 + recursive(n - 1) end

local function with_for(n)
  local s = 0
  for i = 1, n do s = s + i end
  return s
end

local function with_while(n)
  local i = 0
  while i < n do i = hot(i) end
  return i
end

local function with_ipairs(t)
  local s = 0
  for _, v in ipairs(t) do s = s + v end
  return s
end

local function with_pairs(t)
  local s = 0
  for _, v in pairs(t) do s = s + v end
  return s
end

-- Its closure is never compiled, so the loop is tried until it is blacklisted.
local function failing(n)
  local f
  for i = 1, n do f = function() return i end end
  return f()
end

local function failing_while(n)
  local i, f = 0, nil
  while i < n do i = i + 1; f = function() return i end end
  return f
end

local function switched_off(n)
  local s = 0
  for i = 1, n do s = s + i end
  return s
end
jit.off(switched_off)

upvalues(1)
varargs(1, 2)
loops(3)
if jit.status() then
  local numbers = {}
  for i = 1, 500 do numbers[i] = i end
  for _ = 1, 300 do
    recursive(20)
    with_for(300)
    with_while(300)
    with_ipairs(numbers)
    with_pairs(numbers)
    switched_off(300)
  end
  failing(60000)
  failing_while(60000)
end

local functions = { upvalues, varargs, compare, tables, box, loops, hot, recursive, with_for,
  with_while, with_ipairs, with_pairs, failing, failing_while, switched_off }
for _, f in ipairs(functions) do
  local info = type(f) == "function" and jutil.funcinfo(f) or { bytecodes = 0 }
  for pc = 0, info.bytecodes - 1 do
    local ins = jutil.funcbc(f, pc)
    local op = ins % 256
    local name = vmdef.bcnames:sub(6 * op + 1, 6 * op + 6):gsub(" ", "")
    if name:match("^[IJ]FOR[IL]$") or name:match("^[IJ]ITERL$") or name:match("^[IJ]LOOP$") or
        name:match("^[IJ]FUNCF$") then
      print("patched", info.loc, pc, name, math.floor(ins / 65536) % 65536)
    end
  end
end
print("ready")
io.stdout:flush()
while io.read() do end
