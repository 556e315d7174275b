-- SPDX-License-Identifier: MIT
-- Text is built, cut into words, counted and put together again: library functions that are compiled,
-- and such that end a trace.
--
--   luajit examples/bench/strings.lua [ROUNDS]
--
-- ljx trace --jv must report:
--   stitch string.gsub
--   stitch string.gmatch_aux                     the iterator that string.gmatch made
--   [TRACE NN (NN/stitch) strings.lua:NN -> NN]
--   [TRACE NN strings.lua:NN loop]               the bytes

local rounds = tonumber(arg and arg[1]) or 60

local WORDS = {"alpha", "beta", "gamma", "delta", "epsilon"}

local function text(n)
  local parts = {}
  for i = 1, n do parts[i] = WORDS[i % #WORDS + 1] .. i % 7 end
  return table.concat(parts, " ")
end

local function frequencies(s)
  local seen = {}
  for word in s:gmatch("%a+") do seen[word] = (seen[word] or 0) + 1 end
  return seen
end

local function shout(s)
  return (s:gsub("%a+", string.upper))
end

-- Escapes by hand, byte for byte.
local function escape(s)
  local out = {}
  for i = 1, #s do
    local c = s:byte(i)
    out[i] = c == 32 and "%20" or string.char(c)
  end
  return table.concat(out)
end

local lines = {}
for i = 1, rounds do
  local s = text(20 + i % 5)
  assert(frequencies(s).alpha >= 4)
  assert(shout(s):find("ALPHA%d"))
  lines[i] = function() return #escape(s) end
end
local total = 0
for i = 1, rounds do total = total + lines[i]() end
assert(total > 100 * rounds)
