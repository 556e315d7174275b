-- SPDX-License-Identifier: MIT
-- A storm of generated functions, each run once and then garbage. Function fN of chunk cN begins on
-- line N: name, chunk and line of a frame must agree, whatever was collected meanwhile.
local LINES = 400
io.write('{"event":"ready"}\n')
io.flush()
local n = 0
while true do
  n = n + 1
  local id = n % LINES + 1
  local source = ("\n"):rep(id - 1) .. ("local function f%d(a) local x = 0 for i = 1, 3000 do x = x + i %% a end return x end local r = f%d(7) return r"):format(id, id)
  local chunk = assert(loadstring(source, ("=c%d.x"):format(id)))
  chunk()
end
