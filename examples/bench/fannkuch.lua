-- SPDX-License-Identifier: MIT
-- How many flips of a prefix of a pack of cards bring the 1 to the front, at most, over all packs.
-- Loops that are short, and leave at different exits: a tree of side traces.
--
--   luajit examples/bench/fannkuch.lua [CARDS]
--
-- ljx trace --jv must report:
--   [TRACE NN (NN/NN) fannkuch.lua:NN -> NN]  side traces of short loops
--   -- inner loop in root trace
--   -- leaving loop in root trace             loops of one or two rounds
--   -- down-recursion, restarting             the permutations

local cards = tonumber(arg and arg[1]) or 7

local pack, copy, most = {}, {}, 0

local function flips()
  local n = 0
  for i = 1, cards do copy[i] = pack[i] end
  while copy[1] ~= 1 do
    local low, high = 1, copy[1]
    while low < high do
      copy[low], copy[high] = copy[high], copy[low]
      low, high = low + 1, high - 1
    end
    n = n + 1
  end
  return n
end

local function permute(k)
  if k == 1 then
    local n = flips()
    if n > most then most = n end
    return
  end
  for i = 1, k do
    permute(k - 1)
    local j = k % 2 == 0 and i or 1
    pack[j], pack[k] = pack[k], pack[j]
  end
end

for i = 1, cards do pack[i] = i end
permute(cards)
assert(cards ~= 7 or most == 16)
