-- SPDX-License-Identifier: MIT
-- Makes the trace recorder give up as often as it can, and counts what it does by itself.
--
--   luajit storm.lua CASE SECONDS [-]
--
-- Prints "ready", waits for a line on its standard input, works for that long, prints what the
-- recorder did as JSON, waits for another line. With "-" it does not count.

local util, vmdef = require("jit.util"), require("jit.vmdef")

-- ---- the truth ----

local count = {start = 0, stop = 0, abort = 0, flush = 0}
local sites, from = {}, nil

local function place(func, pc)
  local info = util.funcinfo(func, pc)
  return info.loc or vmdef.ffnames[info.ffid] or "?"
end

local function note(what, _, func, pc, err)
  count[what] = count[what] + 1
  if what == "start" then
    from = place(func, pc)
  elseif what == "abort" then
    local key = from .. " " .. place(func, pc) .. " " .. vmdef.traceerr[err]:match("^[^%%]*")
    sites[key] = (sites[key] or 0) + 1
  end
end

-- ---- the storms ----

local cases = {}

-- One line that is always new code.
function cases.one()
  local source = "local t = {} for i = 1, 8 do t[1] = function() return i end end"
  return function() loadstring(source, "@one.lua")() end
end

-- The same code again and again: what was given up is forgotten each time.
function cases.flush()
  local t = {}
  local f = loadstring("local t = ... for i = 1, 80 do\nt[1] = function() return i end end", "@flush.lua")
  return function() f(t) jit.flush() end
end

-- Many places, of several kinds; two of them on one line.
function cases.many()
  local sources = {
    "local t = {} for i = 1, 8 do\nt[1] = function() return i end end",
    "local function f(...) for i = 1, 8 do\nlocal a, b = ... end end f(1, 2)",
    "local t = {} for i = 1, 8 do local x = i\nif i == 9 then t[1] = function() x = 1 end end end",
    "for i = 1, 8 do\npcall(error, {}) end",
    "local t = {} for i = 1, 3 do for j = 1, 8 do t[j] = function() return i end end end "
      .. "for i = 1, 8 do t[i] = function() return t end end",
    "for i = 1, 8 do\nstring.gsub('a', 'a', 'b') io.type(i) end",
  }
  local chunks = {}
  for i = 1, 300 do chunks[i] = {sources[i % #sources + 1], "@many" .. i .. ".lua"} end
  return function()
    for i = 1, #chunks do loadstring(chunks[i][1], chunks[i][2])() end
  end
end

-- Traces that are compiled and thrown away, with side traces and stitches.
function cases.compile()
  local f = loadstring([[
local s, gsub = 0, string.gsub
for i = 1, 60 do if i > 30 then s = s + 1 end end
for i = 1, 30 do gsub("a", "a", "b") end]], "@compile.lua")
  return function() f() jit.flush() end
end

-- No storm: it was compiled long ago.
function cases.warm()
  local f = loadstring("local s = 0 for i = 1, 1000 do s = s + i % 7 end return s", "@warm.lua")
  for _ = 1, 100 do f() end
  return f
end

-- A storm whose end leaves traces behind.
function cases.rest()
  local storm = cases.compile()
  local keep = loadstring("local s = 0 for i = 1, 100 do s = s + i end", "@rest.lua")
  return storm, keep
end

local storm, last = cases[arg[1]]()
jit.opt.start("hotloop=2", "hotexit=2")
print("ready") io.stdout:flush() io.read()
if arg[3] ~= "-" then jit.attach(note, "trace") end
local from_clock, rounds = os.clock(), 0
repeat
  storm()
  rounds = rounds + 1
until os.clock() - from_clock > tonumber(arg[2])
if last then last() end
jit.attach(note)
jit.off()
local spent = os.clock() - from_clock
local out = {}
for key, n in pairs(sites) do out[#out + 1] = ("%q: %d"):format(key, n) end
print(('{"event":"storm", "start": %d, "stop": %d, "abort": %d, "flush": %d, "seconds": %.3f, '
  .. '"rounds": %d, "sites": {%s}}'):format(count.start, count.stop, count.abort, count.flush, spent,
  rounds, table.concat(out, ", ")))
io.stdout:flush() io.read()
