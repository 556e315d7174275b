-- SPDX-License-Identifier: MIT
-- Coroutines that pass a token around, and a pipeline of generators: what the compiler cannot follow.
--
--   luajit examples/bench/ring.lua [MEMBERS]
--
-- ljx trace --jv must report:
--   stitch coroutine.resume
--   stitch coroutine.yield
--   stitch coroutine.wrap_aux                 the call of what coroutine.wrap made
--   [TRACE NN (NN/stitch) ring.lua:NN -> NN]  the loop goes on after it

local members = tonumber(arg and arg[1]) or 30

local ring = {}
for i = 1, members do
  ring[i] = coroutine.create(function(token)
    while true do token = coroutine.yield(token + i) end
  end)
end

local token = 0
for _ = 1, 10 do
  for i = 1, members do
    local ok, passed = coroutine.resume(ring[i], token)
    assert(ok)
    token = passed
  end
end
assert(token == 10 * members * (members + 1) / 2)

local function numbers(n)
  return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end)
end
local function only(source, wanted)
  return coroutine.wrap(function() for v in source do if wanted(v) then coroutine.yield(v) end end end)
end
local sum = 0
for v in only(numbers(200), function(v) return v % 3 == 0 end) do sum = sum + v end
assert(sum == 3 * 66 * 67 / 2)
