-- SPDX-License-Identifier: MIT
-- Uses the CPU in bursts: works for a while, then sleeps, for ever. Argument: share that it works.
local ffi = require "ffi"
ffi.cdef "int usleep(unsigned);"
local share = tonumber(arg[1]) or 0.5
io.write('{"event":"ready"}\n')
io.flush()

local function work()
  local x = 0
  for i = 1, 2e6 do x = x + i % 7 end
  return x
end

while true do
  local start = os.clock()
  work()
  ffi.C.usleep((os.clock() - start) * (1 - share) / share * 1e6)
end
