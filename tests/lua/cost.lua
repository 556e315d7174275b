-- SPDX-License-Identifier: MIT
-- luajit tests/lua/cost.lua SECONDS: parts that cannot be compiled take planned shares of the CPU
-- time, the rest is compiled. On "go" it runs and tells what each took by its own clock.
-- Nothing here allocates: GC time is nobody's. No period is near that of the samples.
local clock = os.clock
local plan = {one = 0.30, outer = 0.10, inner = 0.25}
local spent = {one = 0, outer = 0, inner = 0, rest = 0}
local began

-- No trace starts here or passes through: what calls it cannot be compiled.
local function spin(n)
	local x = 0
	for i = 1, n do x = x + i % 7 end
	return x
end
jit.off(spin)

local function one(n)
	for _ = 1, n do spin(1000) end -- one
end

local function nested(n)
	for _ = 1, n do -- outer
		local a = clock()
		spin(190000)
		local b = clock()
		for _ = 1, 470 do spin(1000) end -- inner
		spent.outer = spent.outer + (b - a)
		spent.inner = spent.inner + (clock() - b)
	end
end

local function rest(n)
	local x = 0
	for i = 1, n do x = x + i % 7 end
	return x
end

local function behind(name)
	return spent[name] < plan[name] * (clock() - began)
end

print("ready")
io.stdout:flush()
io.read()
began = clock()
while clock() - began < tonumber(arg[1]) do
	local a = clock()
	if behind("one") then
		one(300)
		spent.one = spent.one + (clock() - a)
	elseif behind("outer") or behind("inner") then
		nested(1)
	else
		rest(2e6)
		spent.rest = spent.rest + (clock() - a)
	end
end
local total = clock() - began
for name, seconds in pairs(spent) do
	print(("share %s %.4f"):format(name, seconds / total))
end
io.stdout:flush()
