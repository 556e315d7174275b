# SPDX-License-Identifier: MIT
"""The map of traces' machine code: against where samples of the same traces were, and as perf reads
it."""
import os
import re
import subprocess

import pytest

import recording
from harness import USAGE, Ljx, ljx, luajit, record, wait_until

MCODE = 8


def lines(text):
    return [(int(a, 16), int(b, 16), name)
            for a, b, name in re.findall(r"^([0-9a-f]+) ([0-9a-f]+) (trace#\d+:\S.*)$", text, re.M)]


@pytest.fixture
def spin():
    with luajit("tests/lua/spin.lua") as target:
        target.expect("ready|.")
        yield target


@pytest.mark.privileged
def test_samples_lie_in_it(spin, tmp_path):
    path = f"/tmp/perf-{spin.pid}.map"
    with Ljx("perfmap", "-p", spin.pid, "--refresh", "0.1") as p:
        wait_until(lambda: os.path.exists(path), path)
        with open(path) as f:
            found = lines(f.read())
        made = record(tmp_path, "-p", spin.pid, least=400)
        p.kill(2)
        assert p.finish() == 0
    assert not os.path.exists(path) and f"wrote {path}" in p.err
    recs = recording.records(made)
    inside = [s for s in recording.samples(recs) if s.state == recording.TRACE and s.flags & MCODE
              and not s.flags & recording.KERNEL]
    assert len(inside) > 100
    for s in inside:
        (name,) = {n for start, size, n in found if start <= s.ip < start + size}
        assert name.startswith(f"trace#{s.trace}:truth.lua:"), (name, s.trace)
    # The recording holds the same.
    assert set(lines(ljx("perfmap", made).out)) == set(found)


@pytest.mark.privileged
def test_keep_and_replace(spin):
    path = f"/tmp/perf-{spin.pid}.map"
    with open(path, "w") as f:
        f.write("1000 10 theirs\n")
    p = ljx("perfmap", "-p", spin.pid, "-d", 2, "--keep")
    assert "is replaced" in p.err
    with open(path) as f:
        text = f.read()
    os.unlink(path)
    assert lines(text) and "theirs" not in text
    assert not [name for name in os.listdir("/tmp") if f"perf-{spin.pid}.map" in name]


@pytest.mark.privileged
def test_link_is_not_followed(spin, tmp_path):
    """Whoever may write there must not make us overwrite another file."""
    path, victim = f"/tmp/perf-{spin.pid}.map", tmp_path / "victim"
    victim.write_text("whole")
    os.symlink(victim, path)
    ljx("perfmap", "-p", spin.pid, "-d", 2)
    assert victim.read_text() == "whole" and not os.path.lexists(path)


@pytest.mark.privileged
def test_as_perf_reads_it(spin, tmp_path):
    path, data = f"/tmp/perf-{spin.pid}.map", tmp_path / "perf.data"
    with Ljx("perfmap", "-p", spin.pid, "--refresh", "0.1") as p:
        wait_until(lambda: os.path.exists(path), path)
        subprocess.run(["perf", "record", "-q", "-e", "cpu-clock:u", "-o", data, "-p",
                        str(spin.pid), "sleep", "1"], check=True, stdin=subprocess.DEVNULL)
        text = subprocess.run(["perf", "report", "--stdio", "-q", "-i", data], check=True, text=True,
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout
        p.kill(2)
        p.finish()
    share = sum(float(n) for n in re.findall(r"^ +([\d.]+)%.*trace#\d+:truth\.lua", text, re.M))
    assert share > 80, text


def test_several_processes(tmp_path):
    w = recording.Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    for pid in (7, 8):
        w.define("proc", 1, 1, pid, strs=("luajit", "/x", "x"), pid=pid)
        w.define("build", 1, 3, strs=("LuaJIT 2.1.0-beta3", "luajit2-20230119", "/x", "ab"))
        w.define("vm", 0x1000, 1, 1, pid=pid)
        w.define("func", pid, 0, 0x1000, 0x9000, 3, 9, 40, pid, strs=("@/srv/a b.lua",), pid=pid)
        w.event(recording.STOP, 5, start=recording.lua(pid, 2, 4), pid=pid, mcode=0x7f0000 + pid,
                szmcode=0x80, linktype=recording.LINK_LOOP, link=5)
    path = tmp_path / "x.ljx"
    path.write_bytes(w.bytes())
    assert "--pid" in ljx("perfmap", path, status=USAGE).err
    assert ljx("perfmap", path, "--pid", 8).out == "7f0008 80 trace#5:a b.lua:4\n"
    ljx("perfmap", path, path, status=USAGE)
