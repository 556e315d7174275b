-- SPDX-License-Identifier: MIT
-- The largest eigenvalue of a matrix that is given by a formula, by repeated multiplication.
--
--   luajit examples/bench/spectral.lua [SIZE]
--
-- ljx trace --jv must report:
--   [TRACE NN spectral.lua:NN loop]           the sums
--   [TRACE NN (NN/NN) spectral.lua:NN -> NN]  the rows around them

local size = tonumber(arg and arg[1]) or 60

local function entry(row, col)
  local d = row + col
  return 1 / (d * (d + 1) / 2 + row + 1)
end

-- out = A v, or, by columns, its transpose times v.
local function multiply(v, out, transposed)
  for i = 0, size - 1 do
    local sum = 0
    if transposed then
      for j = 0, size - 1 do sum = sum + entry(j, i) * v[j] end
    else
      for j = 0, size - 1 do sum = sum + entry(i, j) * v[j] end
    end
    out[i] = sum
  end
end

local u, v, half = {}, {}, {}
for i = 0, size - 1 do u[i] = 1 end
for _ = 1, 8 do
  multiply(u, half, false)
  multiply(half, v, true)
  multiply(v, half, false)
  multiply(half, u, true)
end
local uv, vv = 0, 0
for i = 0, size - 1 do
  uv = uv + u[i] * v[i]
  vv = vv + v[i] * v[i]
end
assert(math.abs(math.sqrt(uv / vv) - 1.274) < 0.001)
