-- SPDX-License-Identifier: MIT
-- Stacks in which C and Lua take turns, for tests/e2e/test_native.py: nest.lua SCENARIO, with the module in $NEST
package.cpath = (os.getenv("NEST") or "build/tests/c") .. "/?.so;" .. package.cpath
local nest = require "nest"
local scenario = {}

local function say()
	io.write(debug.traceback("", 2), "\n.\n")
	io.flush()
end

local function leaf()
	nest.spin(say())
	return 1
end

local function middle()
	nest.call(leaf)
	return 1
end

function scenario.c()
	middle()
	return 1
end

function scenario.coroutine()
	local co = coroutine.wrap(function()
		middle()
		return 1
	end)
	nest.call(co)
	return 1
end

function scenario.resume()
	nest.resume(function()
		middle()
		return 1
	end)
	return 1
end

local code = [[
local function inner()
	nest.spin()
	return 1
end
nest.call(inner)
return 1
]]

function scenario.vm()
	nest.call(function()
		nest.vm(code)
		return 1
	end)
	return 1
end

function scenario.resume_vm()
	nest.resume(function()
		nest.resume(function()
			nest.vm("nest.resume(function() nest.vm([[nest.spin() return 1]]) return 1 end) return 1")
			return 1
		end)
		return 1
	end)
	return 1
end

function scenario.deep()
	nest.deep(50, leaf)
	return 1
end

function scenario.aligned()
	nest.aligned(leaf)
	return 1
end

function scenario.signal()
	nest.signal(leaf)
	return 1
end

function scenario.sort()
	table.sort({3, 2, 1}, function()
		leaf()
		return false
	end)
	return 1
end

function scenario.gsub()
	string.gsub("x", "x", leaf)
	return 1
end

function scenario.finalizer()
	local p = newproxy(true)
	getmetatable(p).__gc = leaf
	p = nil
	collectgarbage()
	return 1
end

scenario[arg[1]]()
