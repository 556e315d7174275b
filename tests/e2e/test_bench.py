# SPDX-License-Identifier: MIT
"""tests/bench_compare, on results that are made up; the records of 64 CPUs through the ring."""
import json
import struct
import subprocess
import sys

import pytest

from harness import ROOT, Process, luajit
from recording import SAMPLE


def row(name, value, spread=0.0, better="lower", holds=None):
    return {"name": name, "value": value, "unit": "ns", "spread": spread, "better": better,
            "goal": None, "holds": holds}


OLD = [row("a", 100), row("rate", 1000, better="higher"), row("tiny", 0.02, spread=0.05),
       row("kept", 1.5, holds=True)]


def compare(tmp_path, old, new, *args):
    for name, rows in (("old", old), ("new", new)):
        (tmp_path / name).write_text(json.dumps({"schema": "ljx.bench/2", "machine": "m", "rows": rows}))
    done = subprocess.run([sys.executable, "-B", f"{ROOT}/tests/bench_compare", *args, tmp_path / "old",
                           tmp_path / "new"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout + done.stderr


def changed(**rows):
    return [rows.get(r["name"], r) for r in OLD]


def test_same(tmp_path):
    assert compare(tmp_path, OLD, OLD) == (0, "4 rows: 0 worse, 0 missing, 0 miss their goal now, 0 better\n")


def test_within_tolerance(tmp_path):
    code, out = compare(tmp_path, OLD, changed(a=row("a", 109), rate=row("rate", 910, better="higher")))
    assert code == 0, out


@pytest.mark.parametrize("name, value, better", [("a", 111, "lower"), ("rate", 890, "higher")])
def test_worse(tmp_path, name, value, better):
    code, out = compare(tmp_path, OLD, changed(**{name: row(name, value, better=better)}))
    assert code == 1 and f"worse: {name}: " in out and "1 worse, 0 missing" in out, out
    code, out = compare(tmp_path, OLD, changed(**{name: row(name, value, better=better)}),
                        "--tolerance", "12")
    assert code == 0, out


@pytest.mark.parametrize("name, value, better", [("a", 80, "lower"), ("rate", 1200, "higher")])
def test_better(tmp_path, name, value, better):
    code, out = compare(tmp_path, OLD, changed(**{name: row(name, value, better=better)}))
    assert code == 0 and f"better: {name}: " in out, out


def test_scatter_is_no_change(tmp_path):
    """Three times as much, but each run scatters by more than that."""
    code, out = compare(tmp_path, OLD, changed(tiny=row("tiny", 0.06, spread=0.01)))
    assert code == 0, out
    code, out = compare(tmp_path, OLD, changed(tiny=row("tiny", 0.08)))
    assert code == 1 and "worse: tiny: 0.02 -> 0.08 ns (x4.00)" in out, out


def test_goal(tmp_path):
    """Hardly worse, but over the goal."""
    code, out = compare(tmp_path, OLD, changed(kept=row("kept", 1.51, holds=False)))
    assert code == 1 and "misses its goal: kept" in out, out


def test_missing_and_new(tmp_path):
    code, out = compare(tmp_path, OLD, OLD[1:] + [row("fresh", 1)])
    assert code == 1 and "missing: a\n" in out and "new: fresh\n" in out, out


def test_bad_files(tmp_path):
    for text in ("", "[]", '{"schema": "ljx.bench/1", "rows": []}', '{"schema": "ljx.bench/2"}',
                 '{"schema": "ljx.bench/2", "rows": [{"name": "a", "value": "x", "spread": 0}]}'):
        bad = tmp_path / "bad"
        bad.write_text(text)
        done = subprocess.run([sys.executable, "-B", f"{ROOT}/tests/bench_compare", bad, bad],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2 and done.stderr.startswith("bench_compare: "), (text, done)


@pytest.mark.privileged
@pytest.mark.parametrize("frames, rate", [(50, 64_000), (250, 8_000)])
def test_flood(tmp_path, frames, rate):
    """As many records as 64 CPUs make: none is lost, and all are in the recording."""
    flood = f"{ROOT}/build/tests/perf/flood"
    with luajit("tests/perf/deep.lua", frames - 3, limit=False) as target:
        target.expect("^ready$")
        with Process(flood, flood + ".bpf.o", target.pid, frames, rate, 2, tmp_path / "x.ljx") as p:
            assert p.finish() == 0, p.err
    told = json.loads(p.out)
    assert told["pushed"] == 2 * rate and told["lost"] == 0 and told["stacks"] > 250
    assert told["delivered"] == told["pushed"]
    with open(tmp_path / "x.ljx", "rb") as f:
        assert sum(1 for _ in samples_of(f.read(), frames)) >= told["pushed"]


def samples_of(data, frames):
    """The recording's samples with so many frames, block by block."""
    at = 32
    while at < len(data):
        length, = struct.unpack_from("<I", data, at)
        end, at = at + 8 + length, at + 8
        while at < end:
            kind, _, size = struct.unpack_from("<HHI", data, at)
            if kind == SAMPLE and size == 64 + 16 * frames:
                yield at
            at += size
