# SPDX-License-Identifier: MIT
"""Which probes a process gets, and what happens when there are none; VMs and threads that come and go
while ljx watches. The truth is jit.v in each VM."""
import contextlib
import json
import re
import shutil
import struct

import pytest

from harness import KERNEL, LJX, OK, PERMISSION, PROGRAMS, UNSUPPORTED, Ljx, Process, host, ljx, luajit, \
    seccomp, wait_until

pytestmark = pytest.mark.privileged

STORM = "while true do for i = 1, 300 do local f = function() return i end end jit.flush() end"
TAKEN = "a thread's debug registers are taken"
# BPF_LINK_CREATE, which uprobe_multi takes, is refused; perf's uprobes need the right to administrate.
NO_UPROBES = [*seccomp("321:28"), "setpriv", "--bounding-set=-all,+bpf,+perfmon,+sys_ptrace,+dac_override"]


@contextlib.contextmanager
def registers_taken(pid):
    with Process(f"{PROGRAMS}/registers", pid) as p:
        p.expect("^ready$")
        yield


@pytest.fixture
def storm(tmp_path):
    script = tmp_path / "storm.lua"
    script.write_text("print('ready') io.stdout:flush() " + STORM)
    with luajit(script) as target:
        target.expect("^ready$")
        yield target


def events_of(pid, *args, before=()):
    """ljx trace for some events; what it said on stderr."""
    with Process(*before, LJX, "trace", "-p", pid, "-N", 50, *args, limit=False) as p:
        assert p.finish() == OK, p.err
        assert p.out.count("\n") == 50
        return p.err


# --- what is taken, and why ---

def test_auto_takes_uprobes(storm):
    assert re.search("^ljx: uprobes: lj_dispatch_update ", events_of(storm.pid), re.M)


def test_registers_taken(storm):
    """Watchpoints are refused in words; auto does not need them."""
    with registers_taken(storm.pid):
        p = ljx("trace", "-p", storm.pid, "--probe=watch", status=KERNEL)
        assert f"cannot watch the trace recorder of process {storm.pid}: no watchpoints: {TAKEN}" in p.err
        assert "--probe auto" in p.err
        assert "ljx: uprobes: " in events_of(storm.pid)
    assert "ljx: watchpoints on VM 1" in events_of(storm.pid, "--probe=watch")


def test_uprobes_refused(storm):
    """Without the right to place uprobes auto takes watchpoints, and says why."""
    err = events_of(storm.pid, before=NO_UPROBES)
    assert re.search(r"^ljx: no uprobes: lj_dispatch_update refused: .*; watchpoints on VM 1$", err, re.M)
    with Process(*NO_UPROBES, LJX, "trace", "-p", storm.pid, "--probe=uprobe", limit=False) as p:
        assert p.finish() == PERMISSION
        assert "no uprobes: lj_dispatch_update refused: " in p.err and "CAP_SYS_ADMIN" in p.err


def test_both_refused(storm, tmp_path):
    with registers_taken(storm.pid), \
         Process(*NO_UPROBES, LJX, "nyi", "-p", storm.pid, "-d", 1, limit=False) as p:
        assert p.finish() == KERNEL
        assert re.search(f"no uprobes: .* refused: .*; no watchpoints: {TAKEN}", p.err), p.err
    # A profile does not need them: it goes on, and says what is missing in it.
    with registers_taken(storm.pid), \
         Process(*NO_UPROBES, LJX, "record", "-p", storm.pid, "-d", 1, "-o", tmp_path / "x.ljx",
                 limit=False) as p:
        assert p.finish() == OK, p.err
        assert TAKEN in p.err and "1 VM was not watched" in p.err


def without_function(source, path, addr):
    """A copy that does not tell where the function at addr begins: no entry for it in .eh_frame_hdr."""
    shutil.copy(source, path)
    with open(path, "r+b") as f:
        data = f.read()
        phoff, = struct.unpack_from("<Q", data, 32)
        phnum, = struct.unpack_from("<H", data, 56)
        for i in range(phnum):
            kind, _, off, vaddr = struct.unpack_from("<IIQQ", data, phoff + 56 * i)
            if kind == 0x6474e550:  # PT_GNU_EH_FRAME
                break
        count, = struct.unpack_from("<I", data, off + 8)
        entries = [struct.unpack_from("<ii", data, off + 12 + 8 * i) for i in range(count)]
        at, = [i for i, (start, _) in enumerate(entries) if (start + vaddr) & (1 << 64) - 1 == addr]
        f.seek(off + 12 + 8 * at)
        f.write(struct.pack("<ii", *entries[at - 1]))


def test_functions_not_found(tmp_path):
    """A build in which they cannot be found gets watchpoints, and its text says which is missing."""
    script = tmp_path / "storm.lua"
    script.write_text("print('ready') io.stdout:flush() " + STORM)
    with luajit(script) as target:
        target.expect("^ready$")
        text = ljx("doctor", "-p", target.pid).out
        addr = int(re.search("lj_dispatch_update at 0x([0-9a-f]+)", text).group(1), 16)
    program = tmp_path / "luajit"
    without_function(shutil.which("luajit"), program, addr)
    with Process(program, script) as target:
        target.expect("^ready$")
        err = events_of(target.pid)
        assert "ljx: no uprobes: lj_dispatch_update is not found; watchpoints on VM 1\n" in err
        p = ljx("trace", "-p", target.pid, "--probe=uprobe", status=UNSUPPORTED)
        assert "lj_dispatch_update is not found" in p.err
        assert re.search(r"recorder +lj_dispatch_update \(not found\): .*; watchpoints are used",
                         ljx("doctor", "-p", target.pid).out)


# --- several VMs ---

class States:
    """tests/c/states: VMs that come, run tests/lua/jitv.lua and go. want: what jit.v said in all of
    them, in the order of the runs."""

    def __init__(self, process, folder):
        self.process, self.folder = process, folder
        self.lines, self.want = {}, []
        self.process.expect("^ok ready$")

    def command(self, *words):
        done = self.process.out.count("\n")
        self.process.say(" ".join(words))
        wait_until(lambda: self.process.pump(0.01) and self.process.out.count("\n") > done, words)
        assert self.process.out.splitlines()[-1].split()[:3] == ["ok", *words[:2]][:3]

    def new(self, *names):
        for name in names:
            self.command("new", name)

    def run(self, name, how="here"):
        """What jit.v said this time."""
        path = self.folder / name
        self.command(how, name, "tests/lua/jitv.lua", str(path))
        lines = path.read_text().splitlines()
        got = lines[self.lines.get(name, 0):]
        self.lines[name] = len(lines)
        self.want += got
        return got


@contextlib.contextmanager
def states(folder):
    with host("states") as process:
        yield States(process, folder)


def watch(target, *args, probe="auto"):
    p = Ljx("trace", "-p", target.process.pid, f"--probe={probe}", *args)
    p.expect("uprobes|watchpoints", "err")
    return p


def end(target, p):
    target.process.child.stdin.close()
    assert target.process.finish() == 0
    assert p.finish() == OK, p.err
    assert "undefined" not in p.err and "missing" not in p.err and "lost" not in p.err, p.err
    return p.out.splitlines()


@pytest.mark.parametrize("probe", ["uprobe", "watch"])
def test_new_threads(tmp_path, probe):
    """A VM whose code runs on threads that start after ljx came."""
    with states(tmp_path) as target:
        target.new("a")
        with watch(target, "--jv", probe=probe) as p:
            for how in ("here", "run", "run", "here", "run"):
                target.run("a", how)
            assert end(target, p) == target.want
            assert len(target.want) > 60


def test_vms_over_time_uprobes(tmp_path):
    """VMs that come while ljx is there, on the main thread and on others, and go at once when they
    are done: all their events, none twice."""
    with states(tmp_path) as target:
        target.new("a")
        with watch(target, "--jv", probe="uprobe") as p:
            for i, name in enumerate("bcdefghijkl"):
                target.new(name)
                target.run(name, "run")
                target.run("a")
                target.run(name)
                if i % 3 == 1:
                    target.command("close", name)
            assert end(target, p) == target.want
            assert len(target.want) > 500
            assert p.err.count("uprobes") == 1


def test_vms_over_time_watchpoints(tmp_path):
    """The second VM is watched when it is found; a third one when a place is free."""
    with states(tmp_path) as target:
        target.new("a")
        with watch(target, "--jv", probe="watch") as p:
            target.run("a")
            target.new("b")
            p.expect("^ljx: watchpoints on VM 2$", "err")
            target.run("b", "run")
            target.run("a", "run")
            target.new("c")
            p.expect(rf"^ljx: 1 of 3 VMs of pid {target.process.pid} not watched: VM 3$", "err")
            want, target.want = target.want, []
            target.run("c")
            target.want = want
            target.run("b")
            target.command("close", "a")
            p.expect("^ljx: watchpoints on VM 3$", "err")
            target.run("c", "run")
            target.run("b")
            assert end(target, p) == target.want
            assert "1 VM was not watched" in p.err


def test_four_vms(tmp_path):
    """The two that have the most traces are watched; the others are counted and named."""
    with states(tmp_path) as target:
        target.new("a", "b", "c", "d")
        script = tmp_path / "busy.lua"
        script.write_text("for k = 1, 30 do load('for i = 1, 100 do end')() end\n")
        for name in "bd":
            target.command("here", name, str(script), "-")
        pid = target.process.pid
        with watch(target, "--json", probe="watch") as p, \
             Ljx("nyi", "-p", pid, "--json", "--probe=uprobe") as nyi:
            nyi.expect("uprobes", "err")
            on = re.search(r"^ljx: watchpoints on VM (\d), VM (\d); "
                           rf"2 of 4 VMs of pid {pid} not watched: VM (\d), VM (\d)$", p.err, re.M)
            assert on and {int(n) for n in on.groups()} == {1, 2, 3, 4}, p.err
            want = {name: target.run(name) for name in "abcd"}
            rows = [json.loads(line) for line in end(target, p)]
            assert nyi.finish() == OK
        assert rows.pop() == {"schema": "ljx.trace/1", "type": "not_watched", "vms": 2}
        assert "2 VMs were not watched" in p.err
        assert {r["vm"] for r in rows} == {int(n) for n in on.groups()[:2]}
        count = [r["type"] for r in rows].count
        watched = want["b"] + want["d"]
        assert count("abort") == sum("---" in line for line in watched)
        assert count("stop") == sum(bool(re.match(r"\[TRACE +\d", line)) for line in watched)
        assert count("flush") == watched.count("[TRACE flush]") == 6
        # Uprobes need no debug register: all four.
        got = json.loads(nyi.out)
        every = [line for name in "abcd" for line in want[name]]
        assert got["vms_not_watched"] == 0
        assert got["aborts"] == sum("---" in line for line in every)
        assert got["stops"] == sum(bool(re.match(r"\[TRACE +\d", line)) for line in every)


def test_four_vms_nyi(tmp_path):
    with states(tmp_path) as target:
        target.new("a", "b", "c", "d")
        path = tmp_path / "four.ljx"
        with Ljx("nyi", "-p", target.process.pid, "--json", "--probe=watch", "-o", path) as p:
            p.expect("watchpoints on", "err")
            target.process.child.stdin.close()
            assert p.finish() == OK
    assert json.loads(p.out)["vms_not_watched"] == 2
    said = "ljx: 2 VMs were not watched: what they compile is not known\n"
    assert said in p.err
    # What the recording says of it is the same.
    again = ljx("nyi", path, "--json")
    assert json.loads(again.out)["vms_not_watched"] == 2 and said in again.err
    assert json.loads(ljx("trace", path, "--json").out.splitlines()[-1]) == \
        {"schema": "ljx.trace/1", "type": "not_watched", "vms": 2}
    assert said in ljx("report", path).err
    assert ljx("report", path, "--quiet").err == ""
    assert json.loads(ljx("nyi", path, "--json", "-p", 1).out)["vms_not_watched"] == 0
