-- SPDX-License-Identifier: MIT
-- Many prototypes, or many traces, each in use again and again: luajit many.lua protos|traces N
-- Prints "ready" once all of them were in use, then goes on for ever.

local kind, n = arg[1], tonumber(arg[2])
if kind == "traces" then
  require("jit.opt").start("maxtrace=65535", "maxmcode=131072", "maxside=1000000")
else
  jit.off()
end
local f = {}
for i = 1, n do
  f[i] = assert(loadstring("local s = 0 for i = 1, ... do s = s + i % " .. i % 97 + 2 ..
    " end return s", "=many" .. i % 1000))
end
-- The budget of a round is the same for any n, so that samples see as many of them as there are.
local function round(turns)
  local s = 0
  for i = 1, n do s = s + f[i](turns) end
  return s
end
round(200)
print("ready") io.stdout:flush()
while true do round(200) end
