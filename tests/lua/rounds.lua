-- SPDX-License-Identifier: MIT
-- Runs a program again and again in one VM, for more trace events than it has by itself.
--
--   luajit -jv=FILE rounds.lua ROUNDS PROGRAM
--
-- Prints "ready", waits for a line on its standard input, prints "done".

local rounds, program = tonumber(arg[1]), arg[2]
local source = assert(io.open(program)):read("*a")
arg = nil
print("ready") io.stdout:flush() io.read()
for i = 1, rounds do
  assert(loadstring(source, "@" .. program))()
  if i % 3 == 0 then jit.flush() end
end
print("done") io.stdout:flush()
