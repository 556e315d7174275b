-- SPDX-License-Identifier: MIT
-- Known cost: foo takes two thirds of the time and bar one third, in trace#N:heavy.lua:7.
local M, N = {}, 1e7

local function heavy()
  local sum = 0
  for i = 1, N do -- the compiled loop is named after this line
    sum = sum + i
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

-- luajit examples/heavy.lua [off] runs until killed; nginx calls main (examples/nginx/nginx.conf).
--
-- ljx must report, with the JIT compiler on:
--   main > foo > heavy > trace#N:heavy.lua:7   66.7 %
--   main > bar > heavy > trace#N:heavy.lua:7   33.3 %
-- off (jit.off()): the same stacks, whose leaves are lj_BC_ADDVV and lj_BC_IFORL instead.
-- With --lines: foo at lines 14 and 15 alike, bar at 20, main at 26 and 27.
if not ngx then
  if arg[1] == "off" then jit.off() end
  while true do M.main() end
end

return M
