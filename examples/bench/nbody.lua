-- SPDX-License-Identifier: MIT
-- Bodies that attract each other: floating point in nested loops over tables.
--
--   luajit examples/bench/nbody.lua [STEPS]
--
-- ljx trace --jv must report:
--   [TRACE NN nbody.lua:NN loop]
--   [TRACE NN (NN/NN) nbody.lua:NN -> NN]  what joins the loop of pairs to the one around it
--   -- leaving loop in root trace          the last bodies have few pairs

local steps = tonumber(arg and arg[1]) or 400

local function body(x, y, z, vx, vy, vz, mass)
  return {x = x, y = y, z = z, vx = vx, vy = vy, vz = vz, mass = mass}
end

local bodies = {body(0, 0, 0, 0, 0, 0, 40)}
for i = 1, 5 do
  local r, a = 2 * i + 1, i * 1.3
  local v = math.sqrt(40 / r)
  bodies[i + 1] = body(r * math.cos(a), r * math.sin(a), i / 10, -v * math.sin(a), v * math.cos(a), 0, 0.01 * i)
end

-- One step of dt: first all velocities, then all places.
local function advance(dt)
  local n = #bodies
  for i = 1, n do
    local a = bodies[i]
    for j = i + 1, n do
      local b = bodies[j]
      local dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
      local square = dx * dx + dy * dy + dz * dz
      local pull = dt / (square * math.sqrt(square))
      a.vx, a.vy, a.vz = a.vx - dx * b.mass * pull, a.vy - dy * b.mass * pull, a.vz - dz * b.mass * pull
      b.vx, b.vy, b.vz = b.vx + dx * a.mass * pull, b.vy + dy * a.mass * pull, b.vz + dz * a.mass * pull
    end
  end
  for i = 1, n do
    local a = bodies[i]
    a.x, a.y, a.z = a.x + dt * a.vx, a.y + dt * a.vy, a.z + dt * a.vz
  end
end

local function energy()
  local e = 0
  for i, a in ipairs(bodies) do
    e = e + 0.5 * a.mass * (a.vx ^ 2 + a.vy ^ 2 + a.vz ^ 2)
    for j = i + 1, #bodies do
      local b = bodies[j]
      e = e - a.mass * b.mass / math.sqrt((a.x - b.x) ^ 2 + (a.y - b.y) ^ 2 + (a.z - b.z) ^ 2)
    end
  end
  return e
end

local before = energy()
for _ = 1, steps do advance(0.001) end
assert(math.abs(energy() / before - 1) < 0.01, "energy is kept")
