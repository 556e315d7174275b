-- SPDX-License-Identifier: MIT
-- Functions that are defined by themselves: Fibonacci's, Ackermann's, Takeuchi's and Hanoi's.
--
--   luajit examples/bench/recursion.lua [N]
--
-- ljx trace --jv must report:
--   [TRACE NN recursion.lua:NN up-recursion]
--   [TRACE NN recursion.lua:NN down-recursion]
--   [TRACE NN recursion.lua:NN return]
--   -- call unroll limit reached
--   -- down-recursion, restarting

local n = tonumber(arg and arg[1]) or 16

local function fib(k)
  if k < 2 then return k end
  return fib(k - 1) + fib(k - 2)
end

local function ack(m, k)
  if m == 0 then return k + 1 end
  if k == 0 then return ack(m - 1, 1) end
  return ack(m - 1, ack(m, k - 1))
end

local function tak(x, y, z)
  if y >= x then return z end
  return tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y))
end

local function hanoi(k, from, to, by)
  if k == 0 then return 0 end
  return hanoi(k - 1, from, by, to) + 1 + hanoi(k - 1, by, to, from)
end

assert(fib(n) == (n == 16 and 987 or fib(n - 1) + fib(n - 2)))
assert(ack(2, n) == 2 * n + 3)
assert(tak(n - 4, 6, 3) == tak(n - 4, 6, 3))
assert(hanoi(n - 6, "a", "b", "c") == 2 ^ (n - 6) - 1)
