-- SPDX-License-Identifier: MIT
-- Gives the recorder work, and has jit.v tell of it in the file that is the argument, after what is
-- there: the truth for what ljx says of the same VM. One run is about 60 events of all types.
local path = ...
local v = require("jit.v")
if not _G.logged then
  _G.logged = true
  v.on(path)
end
local function sum(n) local s = 0 for i = 1, n do s = s + i % 7 end return s end
local t = {}
for _ = 1, 3 do
  sum(300)
  for i = 1, 300 do t[i % 3] = function() return i end end
  for i = 1, 300 do t[i % 5] = string.gsub("abc", "b", "c") end
  for i = 1, 200 do if i % 3 == 0 then t[1] = i else t[2] = i end end
  jit.flush()
end
io.stdout:flush()
