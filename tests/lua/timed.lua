-- SPDX-License-Identifier: MIT
-- luajit tests/lua/timed.lua SECONDS [STATUS]: uses so much CPU time, says how much, and ends.
local seconds, status = tonumber(arg[1]), tonumber(arg[2] or 0)

local function work()
  local x = 0
  for i = 1, 1e6 do x = x + i % 7 end
  return x
end

while os.clock() < seconds do work() end
io.write(('{"event":"cpu","seconds":%.6f}\n'):format(os.clock()))
io.flush()
os.exit(status)
