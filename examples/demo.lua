-- SPDX-License-Identifier: MIT
-- A small program with five different costs, for `make demo`. Runs until it is killed.
--
--   luajit examples/demo.lua
--
-- ljx must report, each under main chunk > tick:
--   mandelbrot   compiled: trace#N:demo.lua:NN is its leaf
--   word_count   interpreted and C: string.gsub with a callback, which cannot be compiled
--   price_list   interpreted: makes a closure for each item (bytecode FNEW), which stops the compiler
--   rank         C: table.sort, with its comparison in Lua above it
--   cache        the garbage collector: [GC]

local WORDS = ("the quick brown fox jumps over the lazy dog while all the others look on "):rep(30)

local function mandelbrot(size)
  local inside = 0
  for y = 0, size - 1 do
    for x = 0, size - 1 do
      local cr, ci = 2.5 * x / size - 2, 2.5 * y / size - 1.25
      local zr, zi, n = 0, 0, 0
      while n < 60 and zr * zr + zi * zi < 4 do
        zr, zi = zr * zr - zi * zi + cr, 2 * zr * zi + ci
        n = n + 1
      end
      if n == 60 then inside = inside + 1 end
    end
  end
  return inside
end

local function word_count(text)
  local count = {}
  local function add(word)
    count[word] = (count[word] or 0) + 1
    return nil
  end
  text:gsub("%a+", add)
  return count
end

local function price_list(items)
  local list = {}
  for i = 1, items do
    local base = i * 1.1
    list[i] = function(amount) return base * amount end
  end
  local total = 0
  for i = 1, items do
    total = total + list[i](2)
  end
  return total
end

local function rank(items)
  local list = {}
  for i = 1, items do
    list[i] = { key = i * 7919 % items }
  end
  table.sort(list, function(a, b) return a.key < b.key end)
  return list[1].key
end

local old = {}

local function cache(items)
  for i = 1, items do
    old[i % 5000] = { id = i, next = old[(i + 1) % 5000], tag = { i } }
    if old[i % 5000].next then old[i % 5000].next.next = nil end
  end
end

local function tick()
  mandelbrot(200)
  for _ = 1, 12 do word_count(WORDS) end
  price_list(15000)
  rank(3000)
  cache(6000)
end

print "demo: ready"
io.stdout:flush()
while true do
  tick()
end
