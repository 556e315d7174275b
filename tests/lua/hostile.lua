-- SPDX-License-Identifier: MIT
-- luajit tests/lua/hostile.lua [SECONDS]: functions whose names and files hold what a terminal would
-- obey, invalid UTF-8, wide characters, and more than fits.
local body = [[
local name, seconds = ...
local start = os.clock()
local t = {}
t[name] = function(n)
  local x = 0
  for i = 1, n do x = x + i % 3; local f = function() return i end end
  return x
end
while os.clock() - start < seconds do t[name](20000) end
]]
local seconds = (tonumber(arg and arg[1]) or 1e9) / 6
local names = {
  { "\27[2J\27[31mred\7", "@/srv/\27]0;title\7/evil\n.lua" },
  { "\155c\128\255", "@/srv/\128\255.lua" },
  { "\230\151\165\230\156\172\232\170\158", "@/srv/\230\151\165\230\156\172\232\170\158/\240\159\152\128.lua" },
  { "\226\128\174olleh", "@/srv/\226\128\174txt.lua" },
  { ("long"):rep(60), "@/srv/" .. ("deep/"):rep(60) .. "end.lua" },
  { "%s%n%d", "=" .. ("x"):rep(300) },
}
for _, n in ipairs(names) do
  assert(load(body, n[2]))(n[1], seconds)
end
