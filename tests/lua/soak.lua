-- SPDX-License-Identifier: MIT
-- Compiles, aborts, flushes, allocates and yields without end, and checks its own results: whoever
-- looks on must not change them.
--
--   luajit tests/lua/soak.lua FILE       until FILE is gone; prints "rounds N" then
--   luajit tests/lua/soak.lua - ROUNDS   so many rounds
local name, rounds = arg and arg[1] or "-", tonumber(arg and arg[2] or ...) or 3
local source = [[
local n, sum = ...
for i = 1, 300 do sum = sum + i % 7 end
for i = 1, 200 do if i % 3 == 0 then sum = sum + 1 elseif i % 5 == 0 then sum = sum - 2 end end
local t = {}
for i = 1, 60 do t[i % 4] = function() return i + n end end   -- aborts: FNEW
for i = 0, 3 do sum = sum + t[i]() end
local s = ("x"):rep(n % 10):gsub("x", "yz")                    -- stitched
sum = sum + #s
local co = coroutine.wrap(function(a) for i = 1, 40 do a = a + coroutine.yield(a) end return a end)
sum = sum + co(n)
for i = 1, 20 do sum = sum + co(i) % 11 end
local ok, why = pcall(function() for i = 1, 100 do if i == 90 then error("x" .. i, 0) end end end)
return sum + (ok and 1 or #why)
]]

local function pass(n)
  return assert(loadstring(source, "@soak-chunk.lua"))(n, 0)
end

local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

jit.off()
local expected = {}
for n = 1, 20 do expected[n] = pass(n) end
jit.on()
local done = 0
repeat
  for n = 1, 20 do
    local got = pass(n)
    if got ~= expected[n] then
      io.stderr:write(("round %d: %s, not %s\n"):format(done, tostring(got), tostring(expected[n])))
      os.exit(9)
    end
  end
  if done % 7 == 0 then jit.flush() end
  done = done + 1
  if done == 1 then io.write("ready\n") io.flush() end
until name == "-" and done >= rounds or name ~= "-" and not exists(name)
if name ~= "-" then io.write("rounds ", done, "\n") end
