-- SPDX-License-Identifier: MIT
-- Waits for ever in a C function that Lua called.
local ffi = require "ffi"
ffi.cdef "int pause(void);"

local function parked()
  io.write('{"event":"parked"}\n')
  io.flush()
  ffi.C.pause()
end

parked()
