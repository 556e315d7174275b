-- SPDX-License-Identifier: MIT
-- luajit tests/lua/mixed.lua [SECONDS]: a bit of everything that a live view shows. decode creates a
-- closure in its loop (NYI FNEW: blacklisted), escape stitches at string.gsub, mandel is compiled,
-- price makes garbage and sorts through a comparison function, a string chunk runs, and after two
-- seconds of CPU time all traces are flushed.
local function decode(s)
  local out = {}
  for i = 1, #s do
    local put = function(v) out[#out + 1] = v end
    put(s:byte(i))
  end
  return out
end

local function mandel(n)
  local x = 0
  for i = 1, n do x = (x * 1.0001 + i) % 1e6 end
  return x
end

local function price(n)
  local t = {}
  for i = 1, n do t[i] = { i, tostring(i) } end
  table.sort(t, function(a, b) return a[1] > b[1] end)
  return t
end

local function escape(s)
  return (s:gsub("[<>&]", "x"))
end

local chunk = load("local n = ... local x = 0 for i = 1, n do x = x + i % 7 end return x")

local function work(s)
  for _ = 1, 30 do decode(s) end
  mandel(100000)
  price(200)
  for _ = 1, 50 do escape(s) end
  chunk(50000)
end

local seconds = tonumber(arg and arg[1]) or 1e9
local start = os.clock()
local flushed
while os.clock() - start < seconds do
  work(("abc<def>&"):rep(20))
  if not flushed and os.clock() - start > 2 then
    flushed = true
    jit.flush()
  end
end
