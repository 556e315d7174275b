-- SPDX-License-Identifier: MIT
-- Binary trees, made and counted by recursion: tables, the garbage collector, recursion of two kinds.
--
--   luajit examples/bench/trees.lua [DEPTH]
--
-- ljx trace --jv must report:
--   [TRACE NN trees.lua:NN up-recursion]
--   [TRACE NN trees.lua:NN tail-recursion]
--   [TRACE NN trees.lua:NN down-recursion]
--   -- call unroll limit reached

local depth = tonumber(arg and arg[1]) or 9

local function grow(n)
  if n == 0 then return {} end
  return {left = grow(n - 1), right = grow(n - 1)}
end

local function count(tree)
  if not tree.left then return 1 end
  return 1 + count(tree.left) + count(tree.right)
end

-- Goes down on one side.
local function leftmost(tree, n)
  if not tree.left then return n end
  return leftmost(tree.left, n + 1)
end

for d = 4, depth do
  local tree = grow(d)
  assert(count(tree) == 2 ^ (d + 1) - 1)
  for _ = 1, 200 do assert(leftmost(tree, 0) == d) end
end
