-- SPDX-License-Identifier: MIT
-- Sorting: by hand, by the library with a comparison in Lua, and with a comparison that may fail.
--
--   luajit examples/bench/sort.lua [N]
--
-- ljx trace --jv must report:
--   [TRACE NN sort.lua:NN return]  a comparison: C calls it, so its trace returns there
--   [TRACE NN sort.lua:NN loop]
--   -- inner loop in root trace
--   -- leaving loop in root trace

local n = tonumber(arg and arg[1]) or 300

local function shuffled()
  local t, seed = {}, 17
  for i = 1, n do t[i] = i end
  for i = n, 2, -1 do
    seed = (seed * 1103 + 12345) % 65536
    local j = seed % i + 1
    t[i], t[j] = t[j], t[i]
  end
  return t
end

local function quick(t, low, high)
  while low < high do
    local pivot, i, j = t[math.floor((low + high) / 2)], low, high
    while i <= j do
      while t[i] < pivot do i = i + 1 end
      while t[j] > pivot do j = j - 1 end
      if i <= j then
        t[i], t[j] = t[j], t[i]
        i, j = i + 1, j - 1
      end
    end
    quick(t, low, j)
    low = i
  end
end

local function check(t)
  for i = 1, n do assert(t[i] == i) end
end

local t = shuffled()
quick(t, 1, n)
check(t)

t = shuffled()
table.sort(t, function(a, b) return a < b end)
check(t)

local function guarded(a, b)
  if a == 1 then error("one") end
  return a < b
end
local failed = 0
for _ = 1, 80 do
  if not pcall(guarded, 1, 2) then failed = failed + 1 end
end
assert(failed == 80)

local words = {}
for i = 1, 60 do words[i] = {key = ("k%03d"):format(i * 37 % 61)} end
for _ = 1, 4 do
  table.sort(words, function(a, b) return a.key < b.key end)
  table.sort(words, function(a, b) return a.key > b.key end)
end
assert(words[1].key > words[60].key)
