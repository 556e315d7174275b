-- SPDX-License-Identifier: MIT
-- Loops of every form. A line that ends in "--> NAME" opens a loop, "--< NAME" closes it; every
-- line between, and no other, has its bytecode. Prints, per function, its line of definition and
-- the line of each bytecode position, then runs all of them until its input ends.
local util = require("jit.util")

local function numeric(n)
	local x = 0
	for i = 1, n do --> a
		x = x + i
		for j = n, 1, -1 do --> b
			x = x - j
			if x > 5 then
				x = 0
			end
		end --< b
		x = x + 1
	end --< a
	return x
end

local function iterators(t)
	local x = 0
	for k, v in pairs(t) do --> c
		x = x + v
		for _, w in ipairs(t) do --> d
			if w > 3 then
				x = x + w
			end
		end --< d
		x = x * 1
	end --< c
	for w in
		string.gmatch("a b c", "%a")
	do --> e
		x = x + #w
	end --< e
	return x
end

local function bounded(n)
	local x = 0
	while
		x < n
	do --> f
		x = x + 1
		while true do --> g
			x = x + 2
			if x > n then
				break
			end
		end --< g
		x = x + 1
	end --< f
	x = 0
	repeat --> h
		x = x + 1
		local y = x
	until y > n --< h
	repeat --> i
		x = x - 1
		while x > n do --> j
			x = x - 1
			x = x - 1
		end --< j
		local z = function()
			return x
		end
		x = z() - 1
	until x < 0 --< i
	return x
end

local function jumping(n)
	local x = 0
	::top:: --> k
	x = x + 1
	if x >= n then
		return x
	end
	x = x + 1
	goto top --< k
end

local all = {numeric, iterators, bounded, jumping}
for _, f in ipairs(all) do
	local info = util.funcinfo(f)
	local lines = {}
	for pc = 1, info.bytecodes - 1 do
		lines[#lines + 1] = util.funcinfo(f, pc).currentline
	end
	print(info.linedefined .. ":" .. table.concat(lines, ","))
end
print("ready")
io.stdout:flush()

local t = {}
for i = 1, 20 do
	t[i] = i
end
local stop = os.clock() + 3
while os.clock() < stop do
	numeric(40)
	iterators(t)
	bounded(50)
	jumping(60)
end
