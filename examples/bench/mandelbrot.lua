-- SPDX-License-Identifier: MIT
-- Which points of a grid stay near the origin under z*z + c: a hot loop that ends after any number of
-- rounds, and bits put together by the bit library.
--
--   luajit examples/bench/mandelbrot.lua [SIZE]
--
-- ljx trace --jv must report:
--   [TRACE NN mandelbrot.lua:NN loop]
--   [TRACE NN (NN/NN) mandelbrot.lua:NN -> NN]

local bit = require("bit")

local size = tonumber(arg and arg[1]) or 48

local function inside(cr, ci)
  local zr, zi = 0, 0
  for _ = 1, 50 do
    local rr, ii = zr * zr, zi * zi
    if rr + ii > 4 then return false end
    zr, zi = rr - ii + cr, 2 * zr * zi + ci
  end
  return true
end

local bytes, dots = {}, 0
for y = 0, size - 1 do
  local byte = 0
  for x = 0, size - 1 do
    byte = bit.lshift(byte, 1)
    if inside(3 * x / size - 2, 2 * y / size - 1) then
      byte = bit.bor(byte, 1)
      dots = dots + 1
    end
    if x % 8 == 7 then
      bytes[#bytes + 1] = string.char(bit.band(byte, 255))
      byte = 0
    end
  end
end
assert(#table.concat(bytes) == size * math.floor(size / 8))
assert(dots > size * size / 6 and dots < size * size / 3)
