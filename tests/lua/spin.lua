-- SPDX-License-Identifier: MIT
-- Spins for ever in work > truth.spin, after it printed its stack.
package.path = "tests/lua/?.lua;" .. package.path
local truth = require "truth"

local function work()
  local r = truth.spin()
  return r
end

local r = work()
return r
