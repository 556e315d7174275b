-- SPDX-License-Identifier: MIT
-- For tests of ljx annotate. Lines that the tests look for end in a comment: "-- @NAME".
--
--   luajit -joff tests/lua/lines.lua planted SECONDS: prints {"event":"cpu",...}: the CPU time that
--     each line took, then ends.
--   luajit tests/lua/lines.lua jit: prints "ready" and waits for a line; recordings that abort,
--     traces, blacklisted loops; prints "done"; then it runs them without end.
--   luajit tests/lua/lines.lua jit once: the same, but waits for another line, and ends.
local clock = os.clock
local spent = { a = 0, b = 0, c = 0, d = 0, e = 0 }
local text = ("some text, and more of it "):rep(20)

local function callee(n)
  local x = 0
  for i = 1, n do x = x + i % 7 end -- @e
  return x
end

-- Of no fixed length, so that it cannot run in step with the sampler.
local function planted(r)
  local x = 0
  local t0 = clock()
  for i = 1, 40000 * r do x = x + i % 7 end -- @a
  local t1 = clock()
  for i = 1, 15000 * r do x = x * 0.5 + i end -- @b
  local t2 = clock()
  for i = 1, 40 * r do x = x + #text:gsub("e", "E") end -- @c
  local t3 = clock()
  local t = {} for i = 1, 5000 * r do t[i % 100 + 1] = { i } end -- @d
  local t4 = clock()
  x = x + callee(10000 * r) -- @call
  local t5 = clock()
  spent.a, spent.b, spent.c = spent.a + t1 - t0, spent.b + t2 - t1, spent.c + t3 - t2
  spent.d, spent.e = spent.d + t4 - t3, spent.e + t5 - t4
  return x
end

if arg[1] == "planted" then
  local seconds = tonumber(arg[2])
  while clock() < seconds do planted(0.5 + math.random()) end
  io.write(('{"event":"cpu","seconds":%.6f'):format(clock()))
  for name, t in pairs(spent) do io.write((',"%s":%.6f'):format(name, t)) end
  print("}")
  os.exit(0)
end

-- The closure stops the recorder, each time, until the loop is given up.
local function closures(n)
  local f
  for i = 1, n do -- @black
    f = function() return i end -- @fnew
  end
  return f
end

local function compiled(n)
  local x = 0
  for i = 1, n do -- @root
    x = x + i % 7
    if i % 3 == 0 then
      x = x - 1 -- @side
    end
  end
  return x
end

local function stitched(n)
  local x = 0
  for i = 1, n do
    x = x + #text:gsub("e", "E") -- @stitch
  end
  return x
end

local function given_up(n) -- @func
  local f = function() return n end -- @func_fnew
  return f
end

jit.off(callee)
print("ready")
io.stdout:flush()
io.read()
closures(70000)
compiled(3000)
stitched(300)
for _ = 1, 3000 do given_up(1) end
print("done")
io.stdout:flush()
if arg[2] == "once" then io.read() os.exit(0) end
while true do
  compiled(1000)
  callee(300)
  closures(100)
end
