-- SPDX-License-Identifier: MIT
-- A compiled loop; each line on standard input makes it leave by one exit four times.
local ffi = require("ffi")

ffi.cdef([[
struct pollfd { int fd; short events, revents; };
int poll(struct pollfd *fds, unsigned long n, int timeout);
]])

local input = ffi.new("struct pollfd", { 0, 1, 0 })

local function spin(x, hole)
  for i = 1, 5e6 do
    x = (x * 1.0001 + i) % 1e6
    if i == hole then
      x = x + 1
    end
  end
  return x
end

local x, left = 0, 0
while true do
  if ffi.C.poll(input, 1, 0) > 0 and io.read("*l") then
    left = 4
  end
  x = spin(x, left > 0 and 1000 or -1)
  left = left - 1
end
