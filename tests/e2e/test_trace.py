# SPDX-License-Identifier: MIT
"""Trace events of live processes, against what jit.v says of itself in the same process."""
import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from harness import OK, Ljx, alive, host, ljx, luajit, wait_until

pytestmark = pytest.mark.privileged

RECORDER = "tests/lua/recorder.lua"
FOUND_ANY = 10
PROBES = {"uprobe": "uprobes", "watch": "watchpoints"}

# Form of a line -> how many of it a comparison must have had at least.
FORMS = {
    r"^\[TRACE +\d+ \S+:\d+ loop\]$": 300,
    r"^\[TRACE +\d+ \(\d+/\d+\) \S+:\d+ -> \d+\]$": 300,
    r"^\[TRACE +\d+ \(\d+/\d+\) \S+:\d+ -> \d+ loop\]$": 2,
    r" return\]$": 100,
    r" tail-recursion\]$": 5,
    r" up-recursion\]$": 20,
    r" down-recursion\]$": 5,
    r" -- fallback to interpreter\]$": 30,
    r"^\[TRACE +\d+ \S+:\d+ stitch [a-z]+\.[a-z_]+\]$": 20,
    r" stitch C:[0-9a-f]+\]$": 2,
    r"^\[TRACE +\d+ \(\d+/stitch\) ": 10,
    r"^\[TRACE --- \(\d+/stitch\) ": 5,
    r"^\[TRACE flush\]$": 15,
    r"^\[TRACE +(\d+|---) 0x[0-9a-f]{8,}:\d+ ": 4,
    r'^\[TRACE +\d+ "short":\d+ ': 2,
    r"^\[TRACE +(\d+|---) (\(\d+/\d+\) )?builtin:": 4,
    r"^\[TRACE +\d+ stripped.lua:0 ": 2,
    r"-- NYI: bytecode 51": 100,   # FNEW
    r"-- NYI: bytecode 50": 30,    # UCLO
    r"-- NYI: bytecode 71": 20,    # VARG
    r"-- NYI: return to lower frame": 30,
    r"-- NYI: unsupported variant of FastFunc ffi.typeof": 5,
    r"-- NYI: unsupported C function type": 4,
    r"-- blacklisted": 50,
    r"-- JIT compilation disabled for function": 2,
    r"-- bad argument type": 50,
    r"-- missing metamethod": 50,
    r"-- error thrown or hook called during recording": 30,
    r"-- leaving loop in root trace": 30,
    r"-- inner loop in root trace": 20,
    r"-- loop unroll limit reached": 2,
    r"-- call unroll limit reached": 40,
    r"-- down-recursion, restarting": 30,
    r"-- store with nil or NaN key": 30,
    r"-- looping index lookup": 5,
    r"-- guard would always fail": 10,
    r"-- trace too long": 20,
    r"-- too many snapshots": 1,
    r"-- too many PHIs": 1,
    r"-- failed to allocate mcode memory": 2,
    r" at string\.[a-z]+\]$": 2,
}


def attach(target, *args, probe="auto"):
    """ljx trace on the target, once it is attached."""
    p = Ljx("trace", "-p", target.pid, f"--probe={probe}", *args)
    p.expect(r"uprobes|watchpoints", "err")
    return p


def missing_forms(text):
    """Forms that came too seldom."""
    lines = text.splitlines()
    counts = {form: sum(1 for line in lines if re.search(form, line)) for form in FORMS}
    return {form: n for form, n in counts.items() if n < FORMS[form]}


def both_logs(mine, theirs, probe):
    """A run's trace events as ljx prints and records them, and what it said; jit.v logs them, too."""
    with luajit(f"-jv={theirs}", RECORDER, "2") as target:
        target.expect("^ready$")
        with attach(target, "--jv", "-o", mine, probe=probe) as p:
            assert PROBES[probe] in p.err
            target.say("go")
            target.expect("^done$", seconds=120)
            assert target.finish() == 0
            assert p.finish() == OK, p.err
            return p.text["out"], p.err


@pytest.mark.parametrize("probe", PROBES)
def test_jv_identity(tmp_path, probe):
    """What ljx prints is what jit.v printed, byte for byte, thousands of lines."""
    mine, theirs = tmp_path / "ljx.ljx", tmp_path / "jit.v"
    got, err = both_logs(mine, theirs, probe)
    if "the ring buffer was full" in err:  # as it may be on a busy machine, but not always
        print(err)
        got, err = both_logs(mine, theirs, probe)
    assert "lost" not in err and "undefined" not in err and "missing" not in err
    want = theirs.read_bytes()
    text = want.decode("latin-1")
    for i, (a, b) in enumerate(zip(got.splitlines(), want.splitlines())):
        assert a == b, f"line {i + 1}"
    assert got == want
    assert want.count(b"\n") > 7000, "too few lines to tell"
    assert not missing_forms(text)
    # The recording says the same.
    assert ljx("trace", "--jv", mine).text["out"] == want


def test_json_counts(tmp_path):
    theirs = tmp_path / "jit.v"
    with luajit(f"-jv={theirs}", RECORDER) as target:
        target.expect("^ready$")
        with attach(target, "--json") as p:
            target.say("go")
            target.finish()
            assert p.finish() == OK, p.err
            rows = [json.loads(line) for line in p.out.splitlines()]
    lines = theirs.read_text(encoding="latin-1")
    types = [r["type"] for r in rows]
    assert types.count("flush") == lines.count("[TRACE flush]")
    assert types.count("abort") == lines.count("[TRACE --- ")
    assert types.count("stop") == len(re.findall(r"^\[TRACE +\d", lines, re.M))
    causes = [r["cause"] for r in rows if r["type"] == "flush"]
    assert causes.count("table") >= 2 and causes.count("mcode") >= 1 and causes.count("explicit") >= 10
    assert {r["pid"] for r in rows} == {target.pid}
    assert len([r for r in rows if r["type"] == "stop" and r["mcode_bytes"] > 0 and r["ir"] > 0]) \
        == types.count("stop")


# A loop that can never be compiled, and one that can.
NEVER = """
print("ready") io.stdout:flush() io.read()
local t = {}
for i = 1, 100000 do
  t[1] = function() return i end
end
local s = 0
for i = 1, 1000 do s = s + i end
print("done") io.stdout:flush() io.read()
"""


@pytest.mark.parametrize("probe", PROBES)
def test_eleven_aborts(tmp_path, probe):
    """A loop that can never compile aborts exactly eleven times, and then is blacklisted."""
    script = tmp_path / "never.lua"
    script.write_text(NEVER)
    with luajit(script) as target:
        target.expect("^ready$")
        path = tmp_path / "never.ljx"
        with attach(target, "-o", path, probe=probe) as p:
            target.say("go")
            target.expect("^done$")
            p.expect(rf"stop \d+ {script}:8 loop")
            p.kill(signal.SIGINT)
            assert p.finish() == OK, p.err
        assert len(re.findall(rf" abort \d+ {script}:4 -- NYI: bytecode FNEW at {script}:5 \[\d+/11",
                              p.out)) == 11
        assert p.out.count("[11/11: blacklisted]") == 1
        got = json.loads(ljx("nyi", "never.lua:5", path, "--json", "--stacks").out)
        site, = got["sites"]
        assert site["count"] == 11 and site["state"] == "BLACKLISTED"
        assert site["stack"][0]["line"] == 5
        ljx("nyi", path, "--check", status=FOUND_ANY)
        traces = json.loads(ljx("traces", path, "--json").out)["traces"]
        assert [t["start"]["line"] for t in traces] == [8]
        # The target goes on as if nothing had been.
        target.say("end")
        assert target.finish() == 0


# What failed long before ljx comes: line numbers are those below.
EARLIER = """
local t = {}
for i = 1, 100000 do t[i % 4] = function() return i end end
local function off() local s = 0 for i = 1, 1e5 do s = s + i end return s end
jit.off(off) off()
local function f(a) local g = function() return a end return g end
for i = 1, 200000 do f(i) end
for i = 1, 1000 do t[i % 3] = function() return i end end
print("ready") io.stdout:flush() io.read()
jit.flush()
print("flushed") io.stdout:flush() io.read()
"""


def test_what_was_before(tmp_path):
    """A late attach finds what is blacklisted, and why, in the target's memory."""
    script = tmp_path / "earlier.lua"
    script.write_text(EARLIER)
    with luajit(script) as target:
        def states():
            got = json.loads(ljx("nyi", "-p", target.pid, "-d", "0.2", "--json", "-q").out)
            return {row["start"]["line"]: row for row in got["sites"]}

        target.expect("^ready$")
        before = states()
        assert {line: row["state"] for line, row in before.items()} == {
            3: "BLACKLISTED", 6: "BLACKLISTED", 7: "BLACKLISTED", 8: "retrying"}
        assert before[8]["attempts"] == 5
        assert all(row["reason"].startswith("NYI: bytecode") for row in before.values())
        # A flush forgets the penalties, but does not take the blacklisting back.
        target.say("go")
        target.expect("^flushed$")
        after = states()
        assert {line: row["state"] for line, row in after.items()} == {
            3: "BLACKLISTED", 6: "BLACKLISTED", 7: "BLACKLISTED"}
        assert not any(row["reason"].startswith("NYI: bytecode") for row in after.values())
        target.say("end")
        assert target.finish() == 0


STORM = """local t = {}
for n = 1, 30 do
  for i = 1, 300 do t[i % 4] = function() return i end end
  for i = 1, 300 do t[i % 4] = i end
  jit.flush()
  pcall(function() for i = 1, 100 do error('x') end end)
end
"""
ENDINGS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


def program_ids(pid):
    """Ids of the BPF programs that a process holds."""
    ids = set()
    for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
        with contextlib.suppress(OSError), open(path) as f:
            ids |= {line.split()[1] for line in f if line.startswith("prog_id:")}
    return ids


def loaded():
    shown = subprocess.run(["bpftool", "-j", "prog", "show"], stdout=subprocess.PIPE, check=True,
                           env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin")).stdout
    return {str(prog["id"]) for prog in json.loads(shown)}


class Driver(threading.Thread):
    """Makes a VM in the target, runs the script in it and closes it, again and again."""

    def __init__(self, target, script):
        super().__init__(daemon=True)
        self.target, self.script, self.vms, self.stop = target, script, 0, False
        self.start()

    def run(self):
        while not self.stop:
            self.vms += 1
            name = f"vm{self.vms}"
            self.target.say(f"new {name}\nhere {name} {self.script} x\nclose {name}")
            self.target.expect(f"ok close {name}$", seconds=60)

    def finish(self):
        self.stop = True
        self.join(60)
        assert not self.is_alive()
        return self.vms


@pytest.mark.parametrize("probe", PROBES)
def test_survives_ljx(tmp_path, probe):
    """Attached, detached and killed at any moment, while its VMs compile, abort, flush and close:
    the target goes on, and nothing is left behind."""
    script = tmp_path / "storm.lua"
    script.write_text(STORM)
    ours = set()
    with host("states") as target:
        target.expect("ok ready")
        target.say("new stays")
        target.expect("ok new stays")
        driver = Driver(target, script)
        for rounds in range(21):
            with Ljx("nyi", "-p", target.pid, f"--probe={probe}") as p:
                if rounds % 2:  # at some moment of the attachment, or when it is done
                    wait_until(lambda: program_ids(p.pid) or p.child.poll() is not None, "programs")
                else:
                    p.expect(PROBES[probe], "err")
                ours |= program_ids(p.pid)
                p.kill(ENDINGS[rounds % 3])
                p.finish()
            assert alive(target.pid)
        vms = driver.finish()
        target.child.stdin.close()
        assert target.finish() == 0
    assert vms > 8, "too few VMs came and went to tell"
    assert len(ours) > 40
    wait_until(lambda: not ours & loaded(), "the end of the programs")


def test_count_and_interrupt(tmp_path):
    script = tmp_path / "never.lua"
    script.write_text(NEVER)
    with luajit(script) as target:
        target.expect("^ready$")
        with attach(target, "-N", 3) as p:
            target.say("go")
            assert p.finish() == OK
            assert p.out.count("\n") == 3
        target.expect("^done$")
        target.say("end")
        assert target.finish() == 0


def test_nyi_live(tmp_path):
    script = tmp_path / "never.lua"
    script.write_text(NEVER)
    with luajit(script) as target:
        target.expect("^ready$")
        with Ljx("nyi", "-p", target.pid, "-d", 600, "--check") as p:
            p.expect(r"uprobes|watchpoints", "err")
            target.say("go")
            target.expect("^done$")
            p.kill(signal.SIGINT)
            assert p.finish() == FOUND_ANY
            assert re.search(r"11 .*BLACKLISTED +never.lua:5 +NYI: bytecode FNEW", p.out), p.out
