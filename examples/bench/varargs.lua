-- SPDX-License-Identifier: MIT
-- Functions of any number of arguments, objects with metamethods, and goto: what a small library does.
--
--   luajit examples/bench/varargs.lua [N]
--
-- ljx trace --jv must report:
--   -- NYI: bytecode 50             a captured local of a loop (UCLO)
--   -- NYI: bytecode 51             a closure for each round (FNEW)
--   -- leaving loop in root trace   loops over few arguments
--   [TRACE NN varargs.lua:NN loop]

local n = tonumber(arg and arg[1]) or 120

local function pack(...) return {n = select("#", ...), ...} end
local function sum(...)
  local s = 0
  for i = 1, select("#", ...) do s = s + (select(i, ...)) end
  return s
end
local function curry(f, ...)
  local first = pack(...)
  return function(...)
    local all = {unpack(first, 1, first.n)}
    for i = 1, select("#", ...) do all[first.n + i] = (select(i, ...)) end
    return f(unpack(all))
  end
end

local Vector = {}
Vector.__index = Vector
function Vector.__add(a, b) return setmetatable({x = a.x + b.x, y = a.y + b.y}, Vector) end
function Vector.__eq(a, b) return a.x == b.x and a.y == b.y end
function Vector.__call(v, k) return v.x * k, v.y * k end
function Vector:length() return math.sqrt(self.x * self.x + self.y * self.y) end

local add, total = curry(sum, 1, 2), 0
for i = 1, n do total = total + add(i, i) + pack(i, nil, i).n end
assert(total == n * 6 + n * (n + 1))

local v = setmetatable({x = 0, y = 0}, Vector)
local one = setmetatable({x = 3, y = 4}, Vector)
for i = 1, n do
  v = v + one
  local x, y = v(2)
  assert(x + y == 14 * i and v:length() == 5 * i and v ~= one or i == 1)
end

local made = {}
local i = 0
while i < n do
  i = i + 1
  local k = i
  if k % 50 == 0 then made[#made + 1] = function() return k end end
end
assert(made[1]() == 50)

local failed = 0
for k = 1, n do
  local ok = pcall(function(a) return a.missing.field + k end, k % 3 == 0 and {} or {missing = {field = 1}})
  if not ok then failed = failed + 1 end
end
assert(failed == math.floor(n / 3))
