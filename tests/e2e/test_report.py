# SPDX-License-Identifier: MIT
"""ljx report on recordings made by an independent writer: needs no privileges, runs under the
sanitizers too. Bad recordings give an error or what is good in them, never a crash."""
import contextlib
import csv
import fcntl
import os
import random
import re
import struct
import subprocess

import pytest

import formats
import recording
from frames import count, total
from harness import INTERNAL, OK, USAGE, Ljx, folded, ljx, read_folded, report

BASE = ["main chunk app.lua", "work app.lua:5", "helper gen:e rated:7:17"]
# Signals, and what the sanitizers' reports end with.
CRASH = re.compile(r"Sanitizer|runtime error|Assertion|core dumped")


def test_folded(example):
    stacks = folded(example)
    assert total(stacks) == 16
    assert count(stacks, "main chunk app.lua", "work app.lua:5") == 14
    assert count(stacks, "[no Lua stack: outside Lua]") == 1
    assert count(stacks, "[truncated]", "work app.lua:5") == 1
    assert count(stacks, *BASE[:2], "trace#1:app.lua:6") == 4
    assert count(stacks, *BASE[:2], "string.match", "[kernel]") == 1
    assert count(stacks, *BASE[:2], "C:say@module.so+0x*") == 3


def test_labels_are_safe(example):
    """Neither ';' nor a control character nor a trailing count gets into a frame."""
    for frames, _ in folded(example):
        for f in frames:
            assert f.isprintable() and not re.search(r"\s\d+$", f), f
    assert any("gen:e rated" in f for frames, _ in folded(example) for f in frames)


def test_lines(example):
    stacks = folded(example, "--lines")
    assert total(stacks) == 16
    assert count(stacks, "main chunk app.lua", "app.lua:25", "work app.lua:5", "app.lua:9") == 14


def test_json(example):
    got = report(example)
    assert (got["samples"], got["lost"], got["kernel"], got["truncated"]) == (16, 5, 1, 1)
    assert got["by_why"]["outside Lua"] == 1
    assert got["by_state"]["compiled"] == 4 and got["by_state"]["C"] == 4
    assert got["rate"] == 99
    assert [p["pid"] for p in got["processes"]] == [4242]
    rows = {f["name"]: f for f in got["functions"]}
    assert rows["work"]["total"] == 15 and rows["work"]["line"] == 5
    assert rows["work"]["file"] == "app.lua"
    assert sum(f["self"] for f in got["functions"] if "trace#" not in f["label"]) == 16


def test_text(example):
    out = ljx("report", example).out
    assert "work" in out and "app.lua:5" in out and "\x1b" not in out


def test_filter_by_pid(example):
    assert total(folded(example, "--pid", "4242")) == 16


def test_split(example):
    """Each split is a frame at the root, in one order, and no sample goes lost."""
    for by, root in (("process", "luajit:4242"), ("thread", "thread:4242"), ("vm", "VM:1"),
                     ("coroutine", "coroutine:0x2000"), ("state", "[compiled]"),
                     ("trace", "trace:1")):
        stacks = folded(example, "--split", by)
        assert total(stacks) == 16
        assert root in {frames[0] for frames, _ in stacks}, by
    assert folded(example, "--split", "process") == folded(example, "--per-process")
    both = folded(example, "--split", "state,process")
    assert count(both, "luajit:4242", "[compiled]") == 4
    assert sum(n for frames, n in both if frames[1] == "[C]") == 4


def test_filter_by_state(example):
    assert total(folded(example, "--state", "N")) == 4
    assert total(folded(example, "--state", "IO")) == 8
    assert total(folded(example, "--state", "NICGJO")) == 16
    assert report(example, "--state", "C")["by_state"] == {"C": 4}


def test_filter_by_time(example):
    """The example has a record each 2 ms; the first sample is at 30 ms."""
    assert total(folded(example, "--time", "30ms-")) == 16
    assert total(folded(example, "--time", "-30ms")) == 0
    assert total(folded(example, "--time", "30ms-32ms")) == 1
    first = total(folded(example, "--time", "-40ms"))
    assert 0 < first < 16 and first + total(folded(example, "--time", "40ms-")) == 16


def test_twice_the_same(example, tmp_path):
    """Writers are deterministic."""
    for ext in ("svg", "folded"):
        out = tmp_path / f"x.{ext}"
        ljx("report", example, "-o", out)
        first = out.read_bytes()
        ljx("report", example, "-o", out)
        assert out.read_bytes() == first


def test_svg_is_valid(example, tmp_path):
    svg = tmp_path / "x.svg"
    ljx("report", example, "-o", svg)
    subprocess.run(["xmllint", "--noout", "--nonet", svg], check=True)


def survives(path, tmp_path, *args):
    """Reports; returns the exit status, which must be ljx's own and not a crash."""
    p = ljx("report", path, "-o", tmp_path / "out.folded", *args, status=None)
    code = p.child.returncode
    assert 0 <= code <= 7 and not CRASH.search(p.err), f"{code}\n{p.err[-3000:]}"
    assert code == 0 or "ljx: " in p.err, p.err
    return code, p.err


def test_truncated_recording(tmp_path):
    """Cut anywhere: what is whole before the cut is reported, with a warning."""
    data = recording.example()
    ends = [32]
    while ends[-1] < len(data):
        ends.append(ends[-1] + 8 + struct.unpack_from("<I", data, ends[-1])[0])
    path = tmp_path / "cut.ljx"
    # At and around the ends of blocks, and at some places within.
    cuts = {e + d for e in ends for d in (-1, 0, 1, 9)} | set(range(0, len(data), 97))
    for cut in sorted(c for c in cuts if 0 <= c < len(data)):
        path.write_bytes(data[:cut])
        code, err = survives(path, tmp_path)
        if cut < 32:
            assert code != 0
        if cut >= ends[1] and cut not in ends:
            assert code == 0 and "truncated" in err, (cut, err)
            whole = total(folded(str(path)))
            assert whole >= 6


def test_corrupted_recording(tmp_path):
    """A wrong byte in the second block: the first one is kept, and the user is told."""
    data = bytearray(recording.example())
    first = 32 + 8 + struct.unpack_from("<I", data, 32)[0]
    data[first + 100] ^= 0x40
    path = tmp_path / "bad.ljx"
    path.write_bytes(data)
    code, err = survives(path, tmp_path)
    assert code in (OK, INTERNAL) and "corrupt" in err, err
    assert total(read_folded(tmp_path / "out.folded")) == 6


def test_hostile_recording(tmp_path):
    """Wrong bytes under right checksums: the records themselves are checked."""
    rng = random.Random(1)
    good = recording.example()
    path = tmp_path / "hostile.ljx"
    for _ in range(60):
        data, at = bytearray(good), 32
        out = bytes(data[:32])
        while at < len(data):
            length = struct.unpack_from("<I", data, at)[0]
            block = bytearray(data[at + 8:at + 8 + length])
            for _ in range(rng.randint(1, 4)):
                block[rng.randrange(len(block))] = rng.choice((0, 1, 0x7f, 0x80, 0xff))
            out += struct.pack("<II", length, recording.zlib.crc32(bytes(block))) + bytes(block)
            at += 8 + length
        path.write_bytes(out)
        survives(path, tmp_path)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"LJXREC\r\n", b"#!/bin/sh\n" * 50,
                                  b"main;foo 12\n"])
def test_no_recording(tmp_path, data):
    path = tmp_path / "x.ljx"
    path.write_bytes(data)
    code, err = survives(path, tmp_path)
    assert code != 0 and "x.ljx" in err


def test_newer_recording(tmp_path):
    data = bytearray(recording.example())
    struct.pack_into("<I", data, 12, 99)
    path = tmp_path / "new.ljx"
    path.write_bytes(data)
    code, err = survives(path, tmp_path)
    assert code != 0 and "99" in err


def test_unknown_records_are_skipped(tmp_path):
    w = recording.Writer()
    w.put(999, b"from the future!")
    path = tmp_path / "x.ljx"
    path.write_bytes(recording.example() + w.bytes()[32:])
    assert total(folded(str(path))) == 16


def test_undefined_is_counted(tmp_path):
    w = recording.Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    w.sample([recording.lua(77, 1, 3)])
    path = tmp_path / "x.ljx"
    path.write_bytes(w.bytes())
    assert report(str(path))["undefined"] == 1
    assert count(folded(str(path)), "[undefined]") == 1


# --- usage ---

@pytest.mark.parametrize("args", [
    ["recrod"], ["record", "--no-such-option"], ["record", "-p"], ["record", "-p", "x1"],
    ["record", "-p", "1", "-r", "0"], ["record", "-p", "1", "-d", "soon"],
    ["record", "-p", "1", "-o", "file.unknown"], ["report"], ["report", "x.ljx", "--no-such-option"],
    ["record", "-p", "1", "-g", "1"], ["report", "x.ljx", "--time", "5"],
    ["report", "x.ljx", "--time", "9s-5s"], ["report", "x.ljx", "--state", "X"],
    ["report", "x.ljx", "--split", "colour"], ["report", "x.ljx", "-f", "xml"]])
def test_usage(args, tmp_path):
    p = ljx(*args, status=USAGE, cwd=tmp_path)
    assert p.err.startswith("ljx") and len(p.err) < 1500, p.err
    assert not p.out


def test_help_and_version():
    assert len(ljx(status=None).err + ljx(status=None).out) > 100
    assert "record" in ljx("--help").out
    assert "-p" in ljx("record", "--help").out
    assert re.search(r"\d+\.\d+", ljx("version").out)


def test_unknown_format(example, tmp_path):
    p = ljx("report", example, "-o", tmp_path / "x.unknown", status=USAGE)
    assert "x.unknown" in p.err and ".svg" in p.err


def test_missing_recording(tmp_path):
    p = ljx("report", tmp_path / "none.ljx", status=None)
    assert p.child.returncode not in (0, None) and "none.ljx" in p.err


def test_unwritable_output(example, tmp_path):
    for out in (tmp_path / "none" / "x.folded", tmp_path, "/dev/full"):
        p = ljx("report", example, "-o", out, status=None)
        assert p.child.returncode in (INTERNAL, USAGE), (out, p.err)
        assert str(out) in p.err


def test_layers_are_checked(tmp_path):
    """The layer check finds what it is there for."""
    bad = {
        "bytecode/a.c": '#include "bpf/event.h"\n', "profiler/a.c": '#include "bpf/mem.h"\n',
        "profiler/b.c": '#include "jittrace/x.h"\n', "jittrace/a.c": "#include <unistd.h>\n",
        "bpf/a.c": 'void f(void) { printf("x"); }\n', "bpf/b.c": "void f(void) { exit(1); }\n",
        "profiler/c.c": "void f(void) { fputs(\"\", stderr); }\n", "bpf/c.h": "int x;\n",
    }
    good = {"bpf/ok.c": '/* printf(x); exit(1) */ const char *s = "stdout exit(1)";\n'}
    for name, text in {**bad, **good}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("/* SPDX-License-Identifier: MIT */\n" + text)
    (tmp_path / "bpf/nolicence.c").write_text("int y;\n")
    done = subprocess.run(["tests/check_layers", tmp_path], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 1
    for name in [*bad, "bpf/nolicence.c"]:
        assert f"{name}:" in done.stdout, name
    assert "ok.c" not in done.stdout


SPLITS = ("process", "thread", "vm", "coroutine", "state", "trace", "state,process,trace")


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_split(tmp_path, split):
    """Tables have a row for each function and group: together they are what they are unsplit, and each
    group has the samples that its folded stacks have."""
    path = tmp_path / "x.ljx"
    path.write_bytes(recording.example())
    want = {f["label"]: (f["self"], f["total"]) for f in report(path)["functions"]}
    rows = report(path, "--split", split)["functions"]
    formats.schema("ljx.report/1").validate(report(path, "--split", split))
    got, groups = {}, {}
    for r in rows:
        self, total = got.get(r["label"], (0, 0))
        got[r["label"]] = (self + r["self"], total + r["total"])
        if not r["label"].startswith("trace#"):
            groups[r["split"]] = groups.get(r["split"], 0) + r["self"]
    assert got == want
    stacks, depth = {}, split.count(",") + 1
    for frames, n in folded(str(path), "--split", split):
        group = ";".join(frames[:depth])
        stacks[group] = stacks.get(group, 0) + n
    assert groups == stacks
    ljx("report", path, "--split", split, "-o", tmp_path / "x.csv")
    with open(tmp_path / "x.csv", encoding="utf-8", newline="") as f:
        assert [(r["split"], r["function"], int(r["self"])) for r in csv.DictReader(f)] == \
            [(r["split"], r["label"], r["self"]) for r in rows]
    text = ljx("report", path, "--split", split, "--rows", "100").out
    assert all(f"{r['label']}  ({r['split']})\n" in text for r in rows)


def test_progress_of_writing(example, tmp_path):
    """Who waits for more than a second is told how far it is: here a slow reader makes it last."""
    out = tmp_path / "x.html"
    os.mkfifo(out)
    fd = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 4096)
    with Ljx("report", example, "-o", out) as p:
        while "writing" not in p.err:
            assert p.pump(0.2), p.err
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 1024)
        os.set_blocking(fd, True)
        while os.read(fd, 65536):
            pass
        os.close(fd)
        assert p.finish() == OK
    assert re.search(r"^ljx: writing '.*x\.html', \d+\.\d MB$", p.err, re.M)
