# SPDX-License-Identifier: MIT
"""What a late attach learns from a VM's memory, against what jit.v logged while it happened."""
import json
import re
import signal

import pytest

import recording
from harness import Ljx, host, ljx, luajit

pytestmark = pytest.mark.privileged

OPCODES = {"50": "UCLO", "51": "FNEW", "71": "VARG"}

# The numbers of the live traces, as the VM itself tells them.
LIVE = """
local function live()
  local t = {}
  for i = 1, 8000 do if require("jit.util").traceinfo(i) then t[#t + 1] = i end end
  return table.concat(t, " ")
end
local function say(word)
  jit.off(live) print(word .. " " .. live()) io.stdout:flush() io.read()
end
jit.off(say)
"""

READY = '\nprint("ready") io.stdout:flush() io.read()\n'


def run(tmp_path, source):
    """A target that logs by jit.v; its log, and its script."""
    script, log = tmp_path / "late.lua", tmp_path / "jit.v"
    script.write_text(source)
    return luajit(f"-jv={log}", script), log


def look(target, verb, *args):
    return json.loads(ljx(verb, "-p", target.pid, "-d", "0.2", "--json", "-q", *args).out)


def logged_traces(log):
    """Number -> (parent, exit, how it ends), of the last trace that had it."""
    traces = {}
    for line in log.read_text(encoding="latin-1").splitlines():
        if line == "[TRACE flush]":
            traces = {}
        match = re.match(r"\[TRACE +(\d+) (?:\((\d+)/(\w+)\) )?\S+:(\d+) (.*)\]$", line)
        if match:
            number, parent, exitno, at, end = match.groups()
            traces[int(number)] = (parent, exitno, int(at), end)
    return traces


def last_aborts(log):
    """Line of a root start -> (how often, reason, line where it ended) of its last abort."""
    aborts = {}
    for line in log.read_text(encoding="latin-1").splitlines():
        match = re.match(r"\[TRACE --- \S+?:(\d+) -- (.*?)(?: at \S+:(\d+))?\]$", line)
        if match:
            at, reason, end = match.groups()
            count = aborts.get(int(at), (0,))[0]
            aborts[int(at)] = (count + 1, reason, int(end or at))
    return aborts


TREES = LIVE + """
local s = 0
local function g(i) if i % 3 == 0 then s = s + 1 elseif i % 5 == 0 then s = s + 2 end return s end
for i = 1, 100000 do g(i) if i % 7 == 0 then s = s - 1 elseif i % 11 == 0 then s = s - 3 end end
local t = {}
for i = 1, 40 do t["k" .. i] = i end
for _ = 1, 60 do for k, v in pairs(t) do s = s + v end end
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
fib(22)
local function tail(n) if n == 0 then return 0 end return tail(n - 1) end
for _ = 1, 3 do tail(300) end
local co = coroutine.wrap(function() while true do coroutine.yield(1) end end)
for i = 1, 1000 do s = s + co() end
for i = 1, 300 do local x = tostring(i):rep(2):reverse() s = s + #x:match("%d+") end
local function inlined(i) return os.time() + #io.type(io.stdout) end
for i = 1, 300 do s = s + inlined(i) s = s + select("#", unpack({1, 2, 3})) end
for i = 1, 2000 do s = s + #(("x"):gsub("x", "y")) if i % 90 == 2 then t[1] = function() return i end end end
for i = 1, 300 do s = s + #tostring(os.time()) end
say("ready")
"""


def test_trees_and_calls(tmp_path):
    check_trees(*run(tmp_path, TREES))


def check_trees(target, log, all_parents=True):
    """Parents and exits of side traces, and the calls that traces end in, as jit.v logged them.
    all_parents: none of them may be unknown."""
    with target:
        numbers = target.expect(r"^ready (.*)$").group(1).split()
        got, nyi = look(target, "traces"), look(target, "nyi")
    want = logged_traces(log)
    assert [str(t["trace"]) for t in got["traces"]] == numbers and len(numbers) > 25
    sides = 0
    for t in got["traces"]:
        parent, exitno, line, end = want[t["trace"]]
        assert t["start"]["line"] == line
        if t["kind"] == "side":
            if t["parent_known"] or all_parents:
                sides += 1
                assert (str(t["parent"]), str(t["exit"])) == (parent, exitno)
        elif t["kind"] == "stitch":
            assert exitno == "stitch" and str(t["parent"]) == parent
        else:
            assert parent is None
        if end.startswith("stitch "):
            assert t["linktype"] == "stitch"
            name = end.split()[1]
            assert (t["end"] or {}).get("function") == name or name == "coroutine.wrap_aux"
    assert sides > 12
    # Each child is one of its parent's exits.
    byno = {t["trace"]: t for t in got["traces"]}
    for t in got["traces"]:
        if t["kind"] == "side" and t["parent_known"]:
            ex, = [e for e in byno[t["parent"]]["exits"] if e["exit"] == t["exit"]]
            assert ex["side_trace"] and ex["child"] == t["trace"] and ex["count"] is None
    rows = {r["trace"]: r for r in nyi["sites"] if r["kind"] in ("stitch", "return")}
    stitches = {no: w for no, w in want.items() if w[3].startswith("stitch ") and str(no) in numbers}
    assert len(stitches) >= 5
    for no, (_, _, line, end) in stitches.items():
        name = end.split()[1]
        assert rows[no]["reason"] == ("[call of co]" if name == "coroutine.wrap_aux" else name)
        after = [w[2] for w in want.values() if w[:2] == (str(no), "stitch")]
        if after:
            assert rows[no]["at"]["line"] == after[0]
        assert rows[no]["start"]["line"] == line
    given_up = [r for r in rows.values() if r["state"] == "BLACKLISTED"]
    assert [r["reason"] for r in given_up] == ["string.gsub"] and given_up[0]["at"]["line"] > 0
    assert any(r["kind"] == "return" and r["reason"] == "os.time" for r in rows.values())


OPS = """
local t, keep = {}, {}
for i = 1, 3000 do t[i % 4] = function() return i end end
local function f(a) local g = function() return a end return g end
for i = 1, 300 do f(i) end
local function va(...) for i = 1, 300 do t[1] = {...} end end
va(1, 2)
local i = 0
while i < 3000 do
  local x = i
  if i == 100000 then t[1] = function() return x end end
  i = i + 1
end
local function up(n) for i = 1, n do local h = f(i) t[1] = h end end
up(300)
keep.make = f
for i = 1, 300 do local h = keep.make(i) t[1] = h end
local k = 0 while k < 300 do k = k + 1 if k < 1000 then t[1] = function() return t end end end
repeat i = i - 1 local y = i t[3] = function() return y end until i < 2000
""" + READY


def test_opcodes(tmp_path):
    """What a start could not compile follows from its code, and is what jit.v said."""
    target, log = run(tmp_path, OPS)
    with target:
        target.expect("^ready")
        rows = {r["start"]["line"]: r for r in look(target, "nyi")["sites"]
                if r["error"] == "NYIBC"}
        text = ljx("nyi", "-p", target.pid, "-d", "0.2", "-q").out
    want = {line: OPCODES[reason.split()[-1]] for line, (_, reason, _) in last_aborts(log).items()
            if reason.startswith("NYI: bytecode")}
    assert want == {3: "FNEW", 4: "FNEW", 5: "FNEW", 6: "VARG", 9: "UCLO", 14: "FNEW", 17: "FNEW",
                    18: "FNEW", 19: "FNEW"}
    for line, op in want.items():
        if line == 17:  # called by way of a table's field
            assert rows[line]["reason"] == "NYI: bytecode ?" and not rows[line]["inferred"]
            continue
        assert rows[line]["inferred"], line
        found = rows[line]["subject"].split(" or ")
        assert op in found
        # Where a closure is made on a side way, the way around it has another obstacle.
        assert found == [op] or line == 9 and set(found) == {"FNEW", "UCLO"}
    assert re.search(r"NYI: bytecode FNEW \(inferred\) +late.lua:3 loop", text)
    assert re.search(r"NYI: bytecode \? +late.lua:17 loop", text)


CHAIN = """
%s
local function leaf(a) local g = function() return a end return g end
local function mid(a) local r = leaf(a) return r end
local function outer(a) local r = mid(a) return r end
for i = 1, 400000 do leaf(i) end
for i = 1, 400000 do mid(i) end
for i = 1, 400000 do outer(i) end
""" + READY
CHAIN_LINES = {"leaf": 3, "mid": 4, "outer": 5, "loop": 8}


def check_chain(rows, log, inferred):
    """Each blacklisted caller leads to what it ran into, up to the one with a reason of its own."""
    want = last_aborts(log)
    leaf = CHAIN_LINES["leaf"]
    assert want[leaf][1] == "NYI: bytecode 51"
    for caller in (CHAIN_LINES[n] for n in ("mid", "outer", "loop")):
        chain, at = [], caller
        while at != leaf:
            _, reason, at = want[at]
            assert reason == "blacklisted"
            chain.insert(0, at)
        row, = [r for r in rows if r["start"]["line"] == caller and r["error"] == "BLACKL"]
        got = [b["start"]["line"] for b in row["because_of"]]
        assert row["state"] == "BLACKLISTED" and row["inferred"] == inferred
        assert row["at"]["line"] == got[-1] and got[0] == leaf
        # Memory shows what it runs into now: that may have been given up after it.
        assert got == chain or inferred and [x for x in got if x in chain] == chain
        assert row["because_of"][0]["reason"] == "NYI: bytecode FNEW"
        assert [b["inferred"] for b in row["because_of"]] == [inferred] * len(got)
    assert len(got) >= 2


def test_chain_late(tmp_path):
    target, log = run(tmp_path, CHAIN % "")
    with target:
        target.expect("^ready")
        rows = look(target, "nyi")["sites"]
        text = ljx("nyi", "-p", target.pid, "-d", "0.2", "-q").out
    check_chain(rows, log, True)
    assert re.search(r"because of \w+ \(late.lua:5\) <- \w+ \(late.lua:4\) <- \w+ \(late.lua:3\): "
                     r"NYI: bytecode FNEW \(inferred\)", text)


def test_chain_live(tmp_path):
    target, log = run(tmp_path, CHAIN % 'print("start") io.stdout:flush() io.read()')
    with target:
        target.expect("^start$")
        with Ljx("nyi", "-p", target.pid, "--json") as p:
            p.expect("uprobes|watchpoints", "err")
            target.say("go")
            target.expect("^ready")
            p.kill(signal.SIGINT)
            p.finish()
            rows = json.loads(p.out)["sites"]
    check_chain(rows, log, False)
    assert [r["count"] for r in rows if r["start"]["line"] == CHAIN_LINES["mid"]] == [11]


EXITS = """
local t = {}
for i = 1, 1250 do
  t[2] = i
  if i % 100 == 0 then t[1] = function() return t end end
  if i % 150 == 120 then t[3] = i end
end
""" + READY


def test_exits(tmp_path):
    """Twelve exits: three attempts of four have failed, after two more it is given up."""
    target, log = run(tmp_path, EXITS)
    with target:
        target.expect("^ready")
        trace, = look(target, "traces")["traces"]
        row, = look(target, "nyi")["sites"]
        text = ljx("traces", "1", "-p", target.pid, "-d", "0.2", "-q").out
        assert "[exits being retried: 1]" in ljx("traces", "-p", target.pid, "-d", "0.2", "-q").out
    aborts = re.findall(r"\[TRACE --- \(1/(\d+)\) ", log.read_text())
    assert len(aborts) == 3 and len(set(aborts)) == 1
    hot, = [e for e in trace["exits"] if e["exit"] == int(aborts[0])]
    assert hot["count"] == 12 and hot["left"] == 2 and hot["retrying"] and not hot["side_trace"]
    assert hot["at"]["line"] == 5
    cold, = [e for e in trace["exits"] if e["count"] == 8]
    assert not cold["retrying"] and cold["left"] == 6
    assert (row["state"], row["attempts"], row["limit"]) == ("retrying", 3, 4)
    assert (row["parent"], row["exit"], row["start"]["line"]) == (1, hot["exit"], 5)
    assert re.search(rf"^ +{hot['exit']} +12  retrying, given up after 2 more +late.lua:5$", text, re.M)


def test_limits(tmp_path):
    target, _ = run(tmp_path, 'jit.opt.start("hotloop=20", "maxtrace=500") '
                    "local s = 0 for i = 1, 100 do s = s + i end" + READY)
    with target:
        target.expect("^ready")
        vm, = look(target, "traces")["vms"]
        text = ljx("traces", "-p", target.pid, "-d", "0.2", "-q").out
    assert vm["jit_on"] and vm["traces"] == 1 and vm["mcode_area_bytes"] >= vm["mcode_bytes"] > 0
    assert vm["params"]["hotloop"] == 20 and vm["params"]["maxtrace"] == 500
    assert vm["params"]["hotexit"] == 10 and len(vm["params"]) == 15
    assert re.search(r"^  JIT on; 1 traces, 0% of maxtrace 500; \d+ KB of machine code areas, "
                     r"\d+% of maxmcode \d+ KB$", text, re.M)
    assert " hotloop=20 " in text


STORM = LIVE + """
local function storm(n)
  for i = 1, n do
    local f = load("local s = 0 for i = 1, 60 do s = s + i end local t = {} " ..
                   "for i = 1, 60 do t[1] = function() return i end end return s")
    f()
    if i %% 50 == 0 then jit.flush() end
  end
  jit.flush()
  local s = 0
  for i = 1, 1000 do s = s + i end
  return s
end
jit.off(storm)
local s = 0
for i = 1, 1000 do s = s + i end
for i = 1, 1000 do if i %% 2 == 0 then s = s + i end end
say("before")
storm(%d)
s = 0
for i = 1, 1000 do s = s + i end
say("after")
"""


def test_lost_events(tmp_path):
    """After losses the table of traces is read anew: what is not there any more is not shown."""
    target, _ = run(tmp_path, STORM % 60000)
    with target:
        before = target.expect(r"^before (.*)$").group(1).split()
        with Ljx("traces", "-p", target.pid, "--json", "-o", tmp_path / "lost.ljx") as p:
            p.expect("uprobes|watchpoints", "err")
            p.kill(signal.SIGSTOP)
            target.say("go")
            after = target.expect(r"^after (.*)$", seconds=60).group(1).split()
            p.kill(signal.SIGCONT)
            p.expect("memory is read again", "err")
            p.kill(signal.SIGINT)
            p.finish()
            assert re.search(r"lost [1-9]\d* of \d+ trace events", p.err)
            live = [str(t["trace"]) for t in json.loads(p.out)["traces"]]
    assert len(before) >= 2 and before != after
    assert live == after
    # The recording has it too: each look whole, and the last after the losses.
    marks = [r.type for r in recording.records(tmp_path / "lost.ljx")
             if r.h.kind == recording.SCAN and r.type in (recording.SCAN_BEGIN, recording.SCAN_END)]
    assert len(marks) >= 4 and marks == [recording.SCAN_BEGIN, recording.SCAN_END] * (len(marks) // 2)
    again = json.loads(ljx("traces", tmp_path / "lost.ljx", "--json").out)["traces"]
    assert [str(t["trace"]) for t in again] == after


EVICTED = """
local t, kept = {}, {}
for k = 1, 70 do
  kept[k] = loadstring(("\\n"):rep(k) ..
                       "local t = ... for i = 1, 100000 do t[1] = function() return i end end", "@ev.lua")
  kept[k](t)
end
io.stdout:write("all done\\n") io.stdout:flush()
while true do end
"""


def test_evicted(tmp_path):
    """More than the penalty table holds; and of two VMs it is the right one that has given up."""
    evicted, idle = tmp_path / "evicted.lua", tmp_path / "idle.lua"
    evicted.write_text(EVICTED)
    idle.write_text("while true do end")
    with host() as target:
        for name, script in (("a", idle), ("b", evicted), ("c", idle)):
            target.say(f"thread {name} {script}")
        target.expect("^all done$", seconds=60)
        rows = [r for r in look(target, "nyi")["sites"] if r["start"]["file"] == "ev.lua"]
    assert sorted(r["start"]["line"] for r in rows) == list(range(2, 72))
    assert {(r["state"], r["vms"], r["vms_given_up"]) for r in rows} == {("BLACKLISTED", 1, 1)}
    unknown = [r for r in rows if r["reason"] == "reason no longer known"]
    assert len(unknown) >= 6 and not any(r["inferred"] for r in unknown)
    assert all(r["reason"] == "NYI: bytecode FNEW" for r in rows if r not in unknown)
