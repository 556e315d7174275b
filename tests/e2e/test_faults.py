# SPDX-License-Identifier: MIT
"""Faults of our own: whatever happens to ljx, what was recorded stays readable, its probes vanish with
it, and the target never notices."""
import contextlib
import errno
import json
import os
import random
import re
import shutil
import signal
import time

import pytest

import left_behind
import recording
from frames import total
from harness import (EMPTY, INTERNAL, KERNEL, LJX, OK, PERMISSION, PROGRAMS, ROOT, TARGET, UNSUPPORTED,
                     Ljx, Process, alive, folded, ljx, luajit, read_folded, report, wait_until)
from screen import Screen
from test_memory import EXPORTS

pytestmark = pytest.mark.privileged

SPIN = "tests/lua/spin.lua"
STORM = "while true do for i = 1, 300 do local f = function() return i end end jit.flush() end"
FAULTS = os.path.join(PROGRAMS, "faults.so")
MIXED = os.path.join(ROOT, "tests/golden/mixed.ljx")


def faulty(fault, *args, seconds=60, **env):
    """ljx with a fault of tests/c/faults.c, to its end."""
    with Ljx(*args, env=dict({"LD_PRELOAD": FAULTS, "LJX_FAULT": fault}, **env)) as p:
        p.status = p.finish(seconds)
    return p


def calls(kind, tmp_path, *args):
    """How many calls of a kind a run has in which none fails."""
    p = faulty(kind, *args, LJX_FAULT_COUNT=str(tmp_path / "count"))
    assert p.status == OK, p.err
    return int((tmp_path / "count").read_text())


@contextlib.contextmanager
def checked(tmp_path):
    """A target that checks its own results: at the end all were right, and nothing is left in it."""
    flag = tmp_path / "flag"
    flag.touch()
    with luajit("tests/lua/soak.lua", flag, limit=False) as target:
        target.expect("ready", seconds=60)
        yield target
        assert left_behind.breakpoints(target.pid) == ""
        assert left_behind.registers_free(target.pid)
        flag.unlink()
        assert target.finish() == OK, target.err


def small_disk(tmp_path, size, shell):
    """Runs a shell with a file system of that size, seen by nobody else, in tmp_path/small."""
    (tmp_path / "small").mkdir(exist_ok=True)
    return Process("unshare", "-m", "sh", "-c",
                   f"mount -t tmpfs -o size={size} none {tmp_path}/small && {shell}", limit=False)


# ---- the disk is full ----

@pytest.mark.parametrize("verb", ["record -r 999 -o", "trace --probe=watch -o", "nyi -o"],
                         ids=lambda v: v.split()[0])
def test_disk_fills_while_recording(tmp_path, verb):
    """It ends, says of which file and why, and what it had written is read."""
    with luajit("-e", STORM) as target:
        with small_disk(tmp_path, "256k", f"{LJX} {verb} {tmp_path}/small/x.ljx -p {target.pid} "
                        f"-d 60 >/dev/null; echo status $? >&2; cat {tmp_path}/small/x.ljx > "
                        f"{tmp_path}/x.ljx") as p:
            p.finish(90)
        assert alive(target.pid)
    assert f"status {INTERNAL}\n" in p.err
    assert re.search(r"^ljx: cannot write '\S+/small/x.ljx': No space left on device$", p.err, re.M), p.err
    good = re.search(r"not finished by its writer; used (\d+) bytes", ljx("report", tmp_path / "x.ljx").err)
    assert good and int(good.group(1)) > 100000
    with open(tmp_path / "x.ljx", "rb") as f, open(tmp_path / "good", "wb") as to:
        to.write(f.read(int(good.group(1))))
    assert len(list(recording.records(tmp_path / "good"))) > 100
    assert json.loads(ljx("nyi", tmp_path / "x.ljx", "--json", "-q").out)["aborts"] > 100


@pytest.mark.parametrize("name", EXPORTS)
def test_export_to_a_full_disk(tmp_path, name):
    """At whatever byte it ends, there is no half file, and one that was there stays."""
    ljx("report", "-q", MIXED, "-o", tmp_path / name)
    size = (tmp_path / name).stat().st_size
    pages = sorted({1, 2, size // 8192, max(1, size // 4096 - 1), max(1, size // 4096)} - {0})
    script = f"cd {tmp_path}/small; for n in {' '.join(map(str, pages))}; do " \
             f"rm -f *; mount -o remount,size=$((n * 4096)) . || exit 9; " \
             f"{LJX} report -q {MIXED} -o {name} && echo whole || echo failed; ls; " \
             f"echo old > {name}; {LJX} report -q {MIXED} -o {name}; cat {name} | head -c 3; done"
    with small_disk(tmp_path, "4k", script) as p:
        assert p.finish() in (OK, 1), p.err
    for part in p.out.split("failed\n")[1:]:
        assert part.startswith("old"), (p.out, p.err)
    failed = p.err.count("No space left on device")
    assert failed == p.err.count("ljx: ") >= (2 if size > 4096 else 0), p.err


def test_picture_and_recording_on_a_full_disk(tmp_path):
    """The recording takes all there is; the picture is not there, and the status tells."""
    with luajit("-e", STORM) as target:
        with small_disk(tmp_path, "128k", f"{LJX} record -r 999 -p {target.pid} -d 60 -o "
                        f"{tmp_path}/small/x.ljx -o {tmp_path}/small/x.svg; echo status $? >&2; ls "
                        f"{tmp_path}/small") as p:
            p.finish(90)
    assert f"status {INTERNAL}\n" in p.err and p.out.split() == ["x.ljx"], (p.out, p.err)


# ---- what reads ljx goes away ----

@pytest.mark.parametrize("args", [["top", "-b", "--refresh", "100ms"], ["trace"], ["nyi", "--watch"]],
                         ids=lambda a: a[0])
def test_closed_pipe(tmp_path, args):
    """Nobody reads on: it ends, and its recording is whole."""
    more = [] if args[0] == "top" else ["-o", tmp_path / "x.ljx"]
    with luajit("-e", STORM) as target:
        with Ljx(*args, *more, "-p", target.pid) as p:
            p.expect(r"\S+\n.*\S+\n")
            mine = left_behind.objects(p.pid)
            p.child.stdout.close()
            p.pipes = {p.child.stderr: "err"}
            assert p.finish() in (OK, INTERNAL), p.err
        assert alive(target.pid) and mine
    wait_until(lambda: not left_behind.living(mine), "the end of its programs")
    if more:
        assert "not finished" not in ljx("report", tmp_path / "x.ljx").err


def test_closed_stderr(tmp_path):
    """Progress that nobody reads."""
    with luajit(SPIN) as target:
        target.event("stack")
        with Ljx("record", "-p", target.pid, "-d", 2, "-r", 499, "-o", tmp_path / "x.folded") as p:
            p.child.stderr.close()
            p.pipes = {p.child.stdout: "out"}
            assert p.finish() == OK
    assert total(read_folded(tmp_path / "x.folded")) > 20


@pytest.mark.parametrize("verb", [["report"], ["report", "--json"], ["nyi"], ["trace"], ["bc"]],
                         ids=lambda v: " ".join(v))
def test_full_standard_output(verb):
    """What could not be written is told by the status."""
    what = "" if verb == ["bc"] else MIXED
    with Process("sh", "-c", f"exec {LJX} {' '.join(verb)} {what} > /dev/full") as p:
        assert p.finish() == INTERNAL
    assert "cannot write to standard output" in p.err


def test_terminal_vanishes(tmp_path):
    """ljx top, live and recording, with the terminal's end: it ends, its recording is whole, and
    nothing is left."""
    with checked(tmp_path) as target:
        out = tmp_path / "x.ljx"
        with Screen(tmp_path, "top", "-p", target.pid, "-o", out) as s:
            s.wait(r"pass +\S*soak-chunk|soak")
            pid, mine = s.ljx, left_behind.objects(s.ljx)
            s.tmux("new-session", "-d", "sleep 600")
            s.tmux("kill-session", "-t", "0")
            wait_until(lambda: not alive(pid), "the end of ljx")
        assert mine
        wait_until(lambda: not left_behind.living(mine), "the end of its programs")
    assert "not finished" not in ljx("report", out).err
    assert report(str(out))["samples"] > 0


# ---- /proc and the memory of the target ----

ACCESSES = [["record", "-q", "-r", "499", "-d", "0.3", "-f", "ljx", "-o", "/dev/null"], ["bt"],
            ["doctor"]]


@pytest.mark.parametrize("args", ACCESSES, ids=lambda a: a[0])
@pytest.mark.parametrize("err", ["EACCES", "EPERM", "ESRCH"])
def test_process_that_cannot_be_read(tmp_path, args, err):
    """From any access on: clear words, or all is as without the fault."""
    number = getattr(errno, err)
    with luajit(SPIN) as target:
        target.event("stack")
        cmd = [*args, "-p", target.pid]
        n = calls(f"deny 0 {number} {target.pid}", tmp_path, *cmd)
        assert n > 20
        for at in sorted({1, 2, 3, 5, 9, 20, n // 4, n // 2}):
            p = faulty(f"deny+ {at} {number} {target.pid}", *cmd)
            assert p.status in (OK, INTERNAL, TARGET, PERMISSION, UNSUPPORTED, EMPTY), (at, p.err)
            assert p.status == OK or "ljx: " in p.err or "FAIL" in p.out, (at, p.err)
        first = faulty(f"deny+ 1 {number} {target.pid}", *cmd)
        if args[0] != "doctor":
            wanted = PERMISSION if err in ("EACCES", "EPERM") else TARGET
            assert first.status == wanted, first.err
            assert (err in first.err if wanted == PERMISSION else str(target.pid) in first.err)
        assert alive(target.pid)


@pytest.mark.parametrize("args", ACCESSES, ids=lambda a: a[0])
def test_process_vanishes_at_each_step(tmp_path, args):
    """Its end right before any access of ours is an end like others."""
    with luajit(SPIN) as target:
        target.event("stack")
        n = calls(f"kill 0 {target.pid}", tmp_path, *args, "-p", target.pid)
    for at in sorted({1, 2, 3, 4, 6, 8, 11, 15, 30, n // 4, n // 2, n - 1}):
        with luajit(SPIN) as target:
            target.event("stack")
            env = {"LD_PRELOAD": FAULTS, "LJX_FAULT": f"kill {at} {target.pid}"}
            with Ljx(*args, "-p", target.pid, env=env) as p:
                # As its parent we take note of its end, so that it is gone and no zombie.
                wait_until(lambda: target.child.poll() is not None or p.child.poll() is not None, "it")
                status = p.finish()
        assert status in (OK, INTERNAL, TARGET, UNSUPPORTED, EMPTY), (at, status, p.err)
        assert status == OK or "ljx: " in p.err or "FAIL" in p.out, (at, p.err)
        if at == 1:
            assert status == (INTERNAL if args[0] == "doctor" else TARGET), p.err


@pytest.mark.parametrize("how", ["hidepid", "nothing"])
def test_hidden_process(tmp_path, how):
    """It is there, but /proc does not show it: that is said, and not that there is none."""
    program = tmp_path / "ljx"
    shutil.copy(LJX, program)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(folder, 0o755)
    mount = "mount -t proc -o hidepid=2 proc /proc" if how == "hidepid" else "mount -t tmpfs none /proc"
    with luajit(SPIN) as target:
        target.event("stack")
        with Process("unshare", "-m", "sh", "-c", f"{mount} && exec setpriv --reuid=65534 "
                     "--regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all "
                     f"{program} bt -p {target.pid}", limit=False) as p:
            assert p.finish() == PERMISSION, p.err
    assert f"process {target.pid}" in p.err and "hidepid" in p.err, p.err


# ---- the kernel says no ----

@pytest.mark.parametrize("args", [["record", "-q", "-r", "499", "-d", "0.2", "-o", "{}/x.ljx"],
                                  ["trace", "-q", "-d", "0.2", "--probe=uprobe"],
                                  ["trace", "-q", "-d", "0.2", "--probe=watch"]],
                         ids=lambda a: f"{a[0]}-{a[-1][-5:].strip('=')}")
@pytest.mark.parametrize("err", ["EMFILE", "ENOSPC"])
def test_kernel_refuses(tmp_path, args, err):
    """At any bpf() and perf_event_open(): clear words, nothing is left, the target does not notice."""
    number = getattr(errno, err)
    args = [a.format(tmp_path) for a in args]
    with checked(tmp_path) as target:
        cmd = [*args, "-p", target.pid]
        n = calls(f"kernel 0 {number}", tmp_path, *cmd)
        assert n > 20
        for at in sorted({1, n // 8, n // 4, n // 2, n * 3 // 4, n - 2}):
            p = faulty(f"kernel {at} {number}", *cmd)
            assert p.status in (OK, INTERNAL, KERNEL, PERMISSION), (at, p.status, p.err)
            assert p.status == OK or re.search("^ljx: .*(memory|files|space|sampler|recorder)", p.err,
                                               re.M), (at, p.err)


# ---- clocks ----

def test_clock_of_the_day_jumps(tmp_path):
    """Years to and fro at every look: durations and time stamps are as ever."""
    out, jump = tmp_path / "x.ljx", 100000000
    with luajit("-e", STORM) as target:
        start = time.monotonic()
        first = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        p = faulty(f"clock {jump}", "record", "-d", 3, "-r", 499, "-p", target.pid, "-o", out)
        last = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        assert p.status == OK and 3 <= time.monotonic() - start < 40
    recs = list(recording.records(out))
    times = [r.h.time for r in recs if r.h.kind in (recording.SAMPLE, recording.EVENT)]
    assert len(times) > 1000 and first < min(times) and max(times) < last
    assert 2.5e9 < max(times) - min(times) < 15e9
    clocks = [r.fields[0] for r in recording.of(recs, "clock")]
    assert max(clocks) - min(clocks) >= jump * 10**9, "the clock jumped"
    took = float(re.search(r"samples in ([\d.]+) s", ljx("report", out).out).group(1))
    assert 2.5 < took < 15
    ljx("report", out, "-o", tmp_path / "x.speedscope.json")
    scope = json.loads((tmp_path / "x.speedscope.json").read_text())["profiles"][0]
    assert scope["endValue"] - scope["startValue"] < 15 * 10**9


def test_time_namespace(tmp_path):
    """A container whose monotonic clock is another one, as after a migration."""
    out = tmp_path / "x.ljx"
    with luajit("-e", STORM) as target:
        first = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        with Process("unshare", "-T", "--monotonic", "1000000", LJX, "record", "-d", 2, "-r", 499, "-p",
                     target.pid, "-o", out, limit=False) as p:
            assert p.finish() == OK, p.err
        last = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    recs = list(recording.records(out))
    assert all(first <= r.h.time <= last for r in recs if r.h.time)
    took = float(re.search(r"samples in ([\d.]+) s", ljx("report", out).out).group(1))
    assert 1.5 < took < 15


# ---- ljx is stopped, and killed ----

DEEP = """local function deep(n) if n == 0 then local x = 0 while true do x = x + 1 end end
  return (deep(n - 1)) end
jit.off() io.write('ready\\n') io.flush() deep(230)"""


def test_stopped_and_continued(tmp_path):
    """What the ring buffer has no room for is counted; what comes later is as before."""
    out = str(tmp_path / "x.ljx")
    with luajit("-e", DEEP) as target:
        target.expect("ready")
        with Ljx("record", "-p", target.pid, "-d", 60, "-r", 900, "-o", out) as p:
            p.wait_sampling()
            p.kill(signal.SIGSTOP)
            used = open(f"/proc/{target.pid}/schedstat").read().split()[0]
            wait_until(lambda: int(open(f"/proc/{target.pid}/schedstat").read().split()[0]) >
                       int(used) + 3e9, "three seconds of the target", 60)
            p.kill(signal.SIGCONT)
            told = p.err.count(" samples")
            wait_until(lambda: p.pump(0.1) and p.err.count(" samples") >= told + 3, "later samples")
            p.interrupt()
        assert alive(target.pid)
    assert re.search(r" [1-9]\d* lost", p.err), p.err
    got = report(out)
    assert got["lost"] > 100, got
    recs = list(recording.records(out))
    samples = [r for r in recs if r.h.kind == recording.SAMPLE]
    lost = sum(r.fields[0] for r in recording.of(recs, "lost"))
    assert lost == got["lost"]
    # All that the event fired for is either there or counted.
    cpu = (samples[-1].h.time - samples[0].h.time) / 1e9
    assert len(samples) + lost < 900 * cpu * 1.3
    stacks = folded(out)
    whole = sum(n for s, n in stacks if sum(f.startswith("deep ") for f in s) == 231)
    assert whole / total(stacks) > 0.99


@pytest.mark.parametrize("probe", ["uprobe", "watch"])
def test_killed_at_any_moment(tmp_path, probe):
    """Recordings are readable to their last whole block; no BPF object, breakpoint or debug register
    stays; the target works on."""
    rng, mine, readable = random.Random(7), set(), 0
    with checked(tmp_path) as target:
        for i in range(16):
            out = tmp_path / f"{i}.ljx"
            verb = [["record", "-r", "999", "-o", out, "-o", tmp_path / f"{i}.svg"], ["trace", "-o", out],
                    ["nyi", "-o", out], ["annotate", "soak.lua:40", "-o", out]][i % 4]
            with Ljx(*verb, "-p", target.pid, f"--probe={probe}") as p:
                end = time.monotonic() + rng.choice([0.1, 0.5, 2.5]) * rng.random()
                while time.monotonic() < end:
                    p.pump(0.01)
                    mine |= left_behind.objects(p.pid)
                mine |= left_behind.objects(p.pid)
                p.kill()
                assert p.finish() == -signal.SIGKILL, p.err
            assert not (tmp_path / f"{i}.svg").exists()
            if out.exists():
                readable += 1
                ljx("report", out)
        wait_until(lambda: not left_behind.living(mine), "the end of the BPF objects")
        assert len(mine) > 30 and readable > 3
        assert {f.suffix for f in tmp_path.iterdir()} <= {".ljx", ""}
