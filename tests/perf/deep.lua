-- SPDX-License-Identifier: MIT
-- Stacks of one depth that differ at each level: luajit deep.lua DEPTH
-- Prints "ready", then goes on for ever.

jit.off()
local depth, x = tonumber(arg[1]), 1

local function down(n, way)
  if n == 0 then
    for i = 1, 3000 do x = (x * 5 + i) % 65521 end
    return 0
  elseif way % 2 == 0 then
    return 1 + down(n - 1, (way - way % 2) / 2 + way % 7)
  else
    return 2 + down(n - 1, (way - 1) / 2 + way % 11)
  end
end

print("ready") io.stdout:flush()
while true do
  x = (x * 16807 + 1) % 2147483647
  down(depth, x * 64)
end
