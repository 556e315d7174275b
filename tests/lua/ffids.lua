-- SPDX-License-Identifier: MIT
-- Prints number and name of the fast functions that Lua can get hold of.
local info = require("jit.util").funcinfo

local function say(name, f)
  local id = info(f).ffid
  if id and id > 1 then print("ff", id, name) end
end

local function list(prefix, t)
  for k, v in pairs(t) do
    if type(k) == "string" and type(v) == "function" then say(prefix .. k, v) end
  end
end

list("", _G)
for _, lib in ipairs { "bit", "coroutine", "debug", "ffi", "io", "jit", "jit.opt", "jit.profile", "jit.util",
                       "math", "os", "string", "table", "thread" } do
  local ok, t = pcall(require, lib)
  if ok then list(lib .. ".", t) end
end
for _, name in ipairs { "table.new", "table.clear", "table.clone", "table.isarray", "table.isempty",
                        "table.nkeys", "thread.exdata", "thread.exdata2" } do
  local ok, f = pcall(require, name)
  if ok then say(name, f) end
end
list("io.method.", getmetatable(io.stdout))
local ok, buffer = pcall(require, "string.buffer")
if ok then
  list("buffer.", buffer)
  local method = debug.getmetatable(buffer.new())
  list("buffer.method.", type(method.__index) == "table" and method.__index or method)
end
say("ipairs_aux", (ipairs {}))
say("string.gmatch_aux", string.gmatch("", ""))
say("coroutine.wrap_aux", coroutine.wrap(list))
print("done")
