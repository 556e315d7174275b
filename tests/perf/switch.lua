-- SPDX-License-Identifier: MIT
-- What a context switch costs: luajit switch.lua BATCHES
-- Passes a byte to a child and back, both on one CPU, in BATCHES of so many turns that one takes a few
-- milliseconds. Prints "ready", waits for a line, and prints for each batch the nanoseconds of a
-- turn: two switches to this process and away. The fastest of them was disturbed least.

local ffi = require("ffi")
ffi.cdef [[
int pipe(int fd[2]);
int fork(void);
long read(int fd, void *buf, size_t n);
long write(int fd, const void *buf, size_t n);
int close(int fd);
int sched_getaffinity(int pid, size_t size, unsigned long *mask);
int sched_setaffinity(int pid, size_t size, const unsigned long *mask);
void _exit(int status);
struct turn_time { long sec, ns; };
int clock_gettime(int clock, struct turn_time *t);
]]
local C = ffi.C
local TURNS, WORDS, MONOTONIC = 1000, 128, 1

-- The last CPU that we may use.
local mask = ffi.new("unsigned long[?]", WORDS)
assert(C.sched_getaffinity(0, 8 * WORDS, mask) == 0)
local bit = require("bit")
for i = 8 * 8 * WORDS - 1, 0, -1 do
  local w, b = math.floor(i / 64), i % 64
  if bit.band(bit.rshift(mask[w], b), 1) ~= 0 then
    ffi.fill(mask, 8 * WORDS)
    mask[w] = bit.lshift(1ULL, b)
    break
  end
end
assert(C.sched_setaffinity(0, 8 * WORDS, mask) == 0)

local there, back, byte = ffi.new("int[2]"), ffi.new("int[2]"), ffi.new("char[1]")
assert(C.pipe(there) == 0 and C.pipe(back) == 0)
if C.fork() == 0 then
  C.close(there[1])
  C.close(back[0])
  while C.read(there[0], byte, 1) == 1 and C.write(back[1], byte, 1) == 1 do end
  C._exit(0)
end

local t = ffi.new("struct turn_time")
local function now()
  C.clock_gettime(MONOTONIC, t)
  return tonumber(t.sec) * 1e9 + tonumber(t.ns)
end

local function batch()
  local start = now()
  for _ = 1, TURNS do
    C.write(there[1], byte, 1)
    C.read(back[0], byte, 1)
  end
  return (now() - start) / TURNS
end

batch()
print("ready") io.stdout:flush()
io.read()
local all = {}
for i = 1, tonumber(arg[1]) do all[i] = ("%.1f"):format(batch()) end
print("turns " .. table.concat(all, " ")) io.stdout:flush()
io.read()
