-- SPDX-License-Identifier: MIT
-- Run by tests/c/vms.c in each of its VMs: name, mode ("lua", "off" or "C"), and a function that runs
-- another VM, or nil. Returns what the C program calls again and again.
package.path = "tests/lua/?.lua;" .. package.path
local truth = require "truth"
local name, mode, nested = ...
local told = false

if mode == "off" then jit.off() end

local function tell()
  if told then return end
  told = true
  local frames = truth.levels(nil, 2)
  truth.emit { event = "stack", vm = name, frames = frames }
end

local function burn_lua(n)
  tell()
  local x = 0
  for i = 1, n do x = x + i % 7 end
  return x
end

local function burn_c(n)
  tell()
  local s = ("ab"):rep(n)
  local r = s:gsub("b", "c")
  return r
end

return function()
  if mode == "C" then
    burn_c(30000)
  else
    burn_lua(300000)
  end
  if nested then nested() end
end
