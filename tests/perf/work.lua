-- SPDX-License-Identifier: MIT
-- A fixed piece of work of one kind, timed by its own CPU time:
--
--   luajit work.lua KIND ROUNDS [p HZ FILE | v FILE]
--
-- Warms up, prints "ready", waits for a line on its standard input, works, prints the CPU seconds
-- that it took, waits for another line. With p it runs under its own jit.p, with v under jit.v.

local kinds = {}

-- One loop, compiled.
function kinds.loop(rounds)
  local x = 0
  for _ = 1, rounds do
    for i = 1, 1000000 do x = (x * 1.25 + i) % 8191 end
  end
  return x
end

-- Many small functions, interpreted.
function kinds.calls(rounds)
  local function leaf(a, b) return a + b end
  local function mid(a, b) return leaf(a, b) + leaf(b, a) end
  local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
  jit.off(true, true)
  jit.off(fib) jit.off(mid) jit.off(leaf)
  local x = 0
  for _ = 1, rounds do
    for i = 1, 20000 do x = x + mid(i, x % 7) end
    x = x + fib(19)
  end
  return x
end

-- The compiler does most of the work: code that is new in each round.
function kinds.traces(rounds)
  local x = 0
  for r = 1, rounds do
    for f = 1, 40 do
      local code = loadstring("local x = ... for i = 1, 120 do if i % " .. f % 5 + 2 ..
        " == 0 then x = x + i else x = x - " .. r .. " end end return x", "=new")
      x = code(x) % 65536
    end
    jit.flush()
  end
  return x
end

-- Short-lived tables, closures and strings.
function kinds.alloc(rounds)
  local keep, x = {}, 0
  for r = 1, rounds do
    for i = 1, 20000 do
      local t = {i, r, name = "n" .. i % 100}
      keep[i % 500] = function() return t end
      x = x + #t
    end
  end
  return x
end

local kind, rounds, own = kinds[arg[1]], tonumber(arg[2]), arg[3]
if own == "p" then
  require("jit.p").start("fi" .. math.floor(1000 / tonumber(arg[4])), arg[5])
elseif own == "v" then
  require("jit.v").on(arg[4])
end
kind(math.ceil(rounds / 20))
io.stdout:write("ready\n") io.stdout:flush()
io.read()
local start = os.clock()
kind(rounds)
io.stdout:write(("%.6f\n"):format(os.clock() - start)) io.stdout:flush()
io.read()
if own == "p" then require("jit.p").stop() end
