-- SPDX-License-Identifier: MIT
-- What a profiler must see, told by the target itself: prints its stack as debug.getinfo gives it,
-- one JSON object a line on stdout, then spins in a function that never calls anything.
local M = {}

-- tostring(f) -> name of a fast function ("builtin#N" tells those from C functions).
local fast = {}
for lib, t in pairs(package.loaded) do
  for key, f in pairs(type(t) == "table" and t or {}) do
    if type(f) == "function" and tostring(f):find("builtin#", 1, true) then
      fast[tostring(f)] = lib == "_G" and key or lib .. "." .. key
    end
  end
end
fast[tostring(loadstring)] = "loadstring"
fast[tostring(coroutine.wrap(function() end))] = "coroutine.wrap_aux"
fast[tostring((ipairs {}))] = "ipairs_aux"
fast[tostring(string.gmatch("", ""))] = "string.gmatch_aux"
fast[tostring(debug.getmetatable(require "ffi".C).__index)] = "ffi.clib.__index"
require "ffi".cdef "int abs(int);"
fast[tostring(debug.getmetatable(require "ffi".C.abs).__call)] = "ffi.meta.__call"

local function json(v)
  if type(v) == "table" then
    local out = {}
    if v[1] ~= nil or next(v) == nil then
      for i, x in ipairs(v) do out[i] = json(x) end
      return "[" .. table.concat(out, ",") .. "]"
    end
    for k, x in pairs(v) do out[#out + 1] = json(k) .. ":" .. json(x) end
    return "{" .. table.concat(out, ",") .. "}"
  elseif type(v) == "string" then
    return '"' .. v:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
  end
  return tostring(v)
end

function M.emit(object)
  io.stdout:write(json(object) .. "\n") -- in one piece: threads share it
  io.stdout:flush()
end

-- A level of a stack, as data. Lines of 0 or less: not known.
local function frame(info)
  local name = info.namewhat ~= "" and info.name or nil
  if info.what == "C" then
    local builtin = fast[tostring(info.func)]
    if not builtin and tostring(info.func):find("builtin#", 1, true) then
      builtin = tostring(info.func)
    end
    return { kind = builtin and "fast" or "C", name = builtin or name }
  end
  local file = info.source:match("^[@=](.*)") or info.short_src
  -- Lines tell functions apart, but for those of stripped code.
  local id = info.linedefined == 0 and tostring(info.func) or nil
  return { kind = info.what == "main" and "main" or "Lua", name = name, file = file, id = id,
           plain = info.source:sub(1, 1) == "=", line = info.linedefined,
           last = info.lastlinedefined, current = info.currentline }
end
M.frame = frame

-- The frames of a coroutine (nil: the running one, from level first as its caller counts), leaf
-- first. In a coroutine that resumed another, level 0 is the function that did it.
function M.levels(co, first)
  local list, level = {}, co and first or first + 1
  while true do
    local info
    if co then info = debug.getinfo(co, level, "nSlf") else info = debug.getinfo(level, "nSlf") end
    if not info then return list end
    list[#list + 1] = frame(info)
    level = level + 1
  end
end

-- What is beneath the running coroutine: lists of frames, the nearest resumer first.
M.below = {}

local function stack()
  local list = M.levels(nil, 2)
  for _, part in ipairs(M.below) do
    for _, f in ipairs(part) do list[#list + 1] = f end
  end
  return list
end

-- Prints the stack of its caller, which is to spin.
function M.here()
  local list = stack()
  table.remove(list, 1)
  M.emit { event = "stack", frames = list }
end

-- Prints the stack, then never returns.
function M.spin()
  M.emit { event = "stack", frames = stack() }
  local x = 0
  for i = 1, 1e15 do x = x + i % 7 end
  return x
end

-- Prints the stack, calls body once under a call hook to learn each edge of its calls (caller, its
-- line, callee), prints those, then calls body for ever. JIT-compiled code calls no hooks.
function M.storm(body)
  M.emit { event = "stack", frames = stack() }
  local seen, list = {}, {}
  local function hook()
    local to, from = debug.getinfo(2, "nSlf"), debug.getinfo(3, "nSlf")
    if not to then return end
    -- Nothing beneath: a coroutine begins, and only wrap is used in storms.
    local edge = { from = from and frame(from) or { kind = "fast", name = "coroutine.wrap_aux" },
                   to = frame(to) }
    local key = json { edge.from.name or "", edge.from.file or "", edge.from.line or 0,
                       edge.from.current or 0, edge.to.name or "", edge.to.file or "",
                       edge.to.line or 0 }
    if not seen[key] then
      seen[key] = true
      list[#list + 1] = edge
    end
  end
  debug.sethook(hook, "c")
  while true do
    body()
    if hook then
      debug.sethook()
      hook = nil
      M.emit { event = "edges", edges = list }
    end
  end
end

return M
