# SPDX-License-Identifier: MIT
"""ljx without memory: the n-th allocation fails, or that and all later ones, or there is a limit. It
ends with a message that says so, or it does what it does with memory; it never crashes.

LJX_FAULT_STEPS is how many places of each run are tried (12; by hand 100000 tries them all)."""
import os
import re

import pytest

from harness import EMPTY, INTERNAL, LJX, OK, PROGRAMS, ROOT, Ljx, Process, luajit

FAULTS = os.path.join(PROGRAMS, "faults.so")
STEPS = int(os.environ.get("LJX_FAULT_STEPS", "12"))
MIXED = os.path.join(ROOT, "tests/golden/mixed.ljx")
EXPORTS = ["x.folded", "x.svg", "x.html", "x.speedscope.json", "x.pb.gz", "x.firefox.json.gz",
           "callgrind.out.x", "x.ljx.json", "x.csv"]

# Not that they need to be; but a sanitizer, under which the others run too, has an allocator of its own.
pytestmark = [pytest.mark.privileged, pytest.mark.beside(1)]


def run(fault, count, *args):
    """ljx with that fault, to its end; and how many calls of the kind it made."""
    count.unlink(missing_ok=True)
    env = {"LD_PRELOAD": FAULTS, "LJX_FAULT": fault, "LJX_FAULT_COUNT": str(count)}
    with Ljx(*args, env=env) as p:
        p.status = p.finish(60)
    return p, int(count.read_text()) if count.exists() else 0


def steps(n):
    """The first calls, and some among the others."""
    first = min(n, max(STEPS // 2, 1))
    return sorted(set(range(1, first + 1)) | set(range(first, n + 1, max(1, n // STEPS))))


def is_clear(p, words="memory"):
    """It ended by itself, with one cause, in words."""
    assert p.status > 0, f"{p.cmd} ended with {p.status}: {p.err}"
    said = p.err if "doctor" not in p.cmd else p.err + p.out
    assert re.search(rf"^(ljx: |FAIL ).*{words}", said, re.M), said


@pytest.mark.parametrize("kind", ["alloc", "alloc+"])
@pytest.mark.parametrize("args", [
    ["report"], ["report", "--json"], ["report", "--lines", "--per-process"], ["nyi"],
    ["nyi", "--json", "--stacks"], ["traces"], ["traces", "--json"], ["trace"], ["trace", "--json"],
    ["annotate", "func:decode"], ["annotate", "func:decode", "--json"], ["diff", MIXED]],
    ids=lambda v: " ".join(v[:2]).replace(MIXED, "") if isinstance(v, list) else v)
def test_recordings(tmp_path, kind, args):
    """What is printed is whole, or the status is not 0."""
    cmd = [*args, MIXED] if args[0] != "annotate" else [*args[:2], MIXED, *args[2:]]
    whole, n = run("alloc 0", tmp_path / "n", *cmd)
    assert whole.status == OK and n > 100
    # Among them the last, when all is read and is to be printed.
    for i in sorted({*steps(n), *range(n - STEPS // 2, n + 1)}):
        p, _ = run(f"{kind} {i}", tmp_path / "n", *cmd)
        if p.status != OK:
            is_clear(p)
            assert p.status == INTERNAL
        else:
            # The source may be missing, but then that is printed.
            assert p.out == whole.out or re.search("no source: .* memory", p.out), f"{kind} {i}"


@pytest.mark.parametrize("name", EXPORTS)
def test_exports(tmp_path, name):
    """A file is whole or not there."""
    out = tmp_path / name
    whole, n = run("alloc 0", tmp_path / "n", "report", "-q", MIXED, "-o", out)
    assert whole.status == OK
    wanted = out.read_bytes()
    for kind in ("alloc", "alloc+"):
        for i in steps(n):
            out.unlink(missing_ok=True)
            p, _ = run(f"{kind} {i}", tmp_path / "n", "report", "-q", MIXED, "-o", out)
            if p.status != OK:
                is_clear(p)
                assert not out.exists()
            else:
                assert out.read_bytes() == wanted, f"{kind} {i}"
    assert {f.name for f in tmp_path.iterdir()} <= {name, "n"}


@pytest.mark.parametrize("args", [["record", "-o", "x.ljx"], ["nyi"], ["top", "-b"], ["bt"], ["doctor"],
                                  ["annotate", "func:decode"]], ids=lambda a: a[0])
def test_live(tmp_path, args):
    """At whatever step of an attachment, the target does not notice."""
    args = [str(tmp_path / a) if a == "x.ljx" else a for a in args]
    time = [] if args[0] in ("bt", "doctor") else ["-d", "0.2"]
    flag = tmp_path / "flag"
    flag.touch()
    with luajit("tests/lua/soak.lua", flag) as target:
        target.expect("ready", seconds=60)
        cmd = [*args, "-p", target.pid, *time]
        if args[0] == "annotate":
            cmd[1] = "soak.lua:40"
        whole, n = run("alloc 0", tmp_path / "n", *cmd)
        assert whole.status in (OK, EMPTY), whole.err
        for i in steps(n):
            p, _ = run(f"alloc+ {i}", tmp_path / "n", *cmd)
            if p.status not in (OK, EMPTY):
                is_clear(p)
        flag.unlink()
        assert target.finish() == OK, target.err


def test_one_failed_allocation(tmp_path):
    """Whichever it is: the layout is told, or that there was no memory; never that there is no LuaJIT."""
    cmd = ["layout", "-f", "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2"]
    whole, n = run("alloc 0", tmp_path / "n", *cmd)
    assert whole.status == OK and n > 100
    for i in steps(n):
        p, _ = run(f"alloc {i}", tmp_path / "n", *cmd)
        if p.status != OK:
            is_clear(p)
        else:
            assert p.out == whole.out, f"alloc {i}"


@pytest.mark.parametrize("megabytes", [24, 40, 48, 56, 64, 96, 128])
def test_limit(tmp_path, megabytes):
    """A limit of the address space, as of a service: as far as it suffices."""
    with luajit("tests/lua/spin.lua") as target:
        target.event("stack")
        shell = f"ulimit -v {megabytes << 10} && exec {LJX} record -q -p {target.pid} -d 0.5 -r 499 " \
                f"-o {tmp_path}/x.folded"
        with Process("sh", "-c", shell, limit=False) as p:
            p.status = p.finish()
        assert target.child.poll() is None
    if "error while loading shared libraries" in p.err or p.status == 127:
        return  # not even the loader had enough
    if p.status not in (OK, EMPTY):
        is_clear(p)
    assert (tmp_path / "x.folded").exists() == (p.status == OK)


def test_file_size_limit(tmp_path):
    """A signal of the kernel is no end: the file is not there, and the message says why."""
    shell = f"ulimit -f 2 && exec {LJX} report {MIXED} -o {tmp_path}/x.svg"
    with Process("sh", "-c", shell) as p:
        p.status = p.finish()
    is_clear(p, "File too large")
    assert list(tmp_path.iterdir()) == []
