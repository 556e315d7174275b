-- SPDX-License-Identifier: MIT
-- Spins in first() until a line comes on standard input, then in second().
local ffi = require("ffi")

ffi.cdef([[
struct pollfd { int fd; short events, revents; };
int poll(struct pollfd *fds, unsigned long n, int timeout);
]])

local input = ffi.new("struct pollfd", { 0, 1, 0 })

local function first(x)
  for i = 1, 5e6 do x = (x * 1.0001 + i) % 1e6 end
  return x
end

local function second(x)
  for i = 1, 5e6 do x = (x * 1.0002 + i) % 1e6 end
  return x
end

local x = 0
repeat
  x = first(x)
until ffi.C.poll(input, 1, 0) > 0
while true do
  x = second(x)
end
