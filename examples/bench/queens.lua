-- SPDX-License-Identifier: MIT
-- Queens on a board, none of which threatens another: search with backtracking, a callback for each
-- solution and a closure that is made within the recursion.
--
--   luajit examples/bench/queens.lua [SIZE]
--
-- ljx trace --jv must report:
--   -- NYI: bytecode 51               the closure (FNEW)
--   -- NYI: mixed sparse/dense table  keys of both signs
--   -- fallback to interpreter        exits that were tried too often
--   [TRACE NN queens.lua:NN loop]

local size = tonumber(arg and arg[1]) or 7

local column, up, down = {}, {}, {}

local function try(row, found)
  if row > size then return found(column) end
  for c = 1, size do
    local free = true
    for r = 1, row - 1 do
      local other = column[r]
      if other == c or math.abs(other - c) == row - r then
        free = false
        break
      end
    end
    if free then
      column[row] = c
      try(row + 1, function(solution) return found(solution) end)
      column[row] = nil
    end
  end
end

local solutions = 0
try(1, function(solution)
  assert(#solution == size)
  solutions = solutions + 1
end)
assert(size ~= 7 or solutions == 40)

-- The same, by sets of diagonals.
local function count(row)
  if row > size then return 1 end
  local n = 0
  for c = 1, size do
    if not (column[-c] or up[row + c] or down[row - c]) then
      column[-c], up[row + c], down[row - c] = true, true, true
      n = n + count(row + 1)
      column[-c], up[row + c], down[row - c] = nil, nil, nil
    end
  end
  return n
end
assert(count(1) == solutions)
