-- SPDX-License-Identifier: MIT
-- heavy.lua with a C function called through the FFI in its loop.
local M, N = {}, 1e7
local ffi = require "ffi"
local C = ffi.C
ffi.cdef "double sqrt(double);"

local function heavy()
  local sum = 0
  for i = 1, N do
    sum = sum + C.sqrt(i)
  end
  return sum
end

local function foo()
  local a = heavy()
  a = a + heavy()
  return a
end

local function bar()
  return (heavy())
end

local say = ngx and ngx.say or function(x) return x end

function M.main()
  say(foo())
  say(bar())
end

-- luajit examples/heavy_ffi.lua [off] runs until killed; nginx calls main.
--
-- ljx must report C:sqrt above trace#N:heavy_ffi.lua:11, both under foo (66.7 %) and bar (33.3 %).
-- luajit needs libm's sqrt in the process: Debian's luajit and nginx both have it.
if not ngx then
  if arg[1] == "off" then jit.off() end
  while true do M.main() end
end

return M
