# SPDX-License-Identifier: MIT
"""What runs inside traces: the stacks of compiled code are those of the same script interpreted,
the shares of inlined functions and lines are those that they were built to have, and what a trace
calls belongs to the line that calls it."""
import json
import re
import subprocess
from collections import Counter

import pytest

from frames import C_LEAF, LEAF
from harness import Ljx, folded, ljx, luajit, report
from recording import CALLED, IN_MCODE, TRACE, all_snaps, records, samples
from test_matrix import Build
from test_svg import after, drawn

pytestmark = [pytest.mark.privileged, pytest.mark.beside(3)]

SCRIPT = "tests/lua/inside.lua"
TRACE_FRAME = re.compile(r"trace#\d+:inside\.lua:\d+")
LINE = re.compile(r"tests/lua/inside\.lua:(\d+)")
# Those whose stacks are few enough that a run shows all of them.
SCENARIOS = ["chain", "side", "tail", "tailloop", "lower", "stitch", "closures", "varargs", "pcall",
             "metamethods", "methods", "coroutine", "lines"]


def sample(tmp_path, target, count, name="run"):
    """Records a target that is ready until there are so many samples. Two percent are at least four
    standard deviations of a share of 20,000, and of the difference of two."""
    path = str(tmp_path / f"{name}.ljx")
    target.event("ready", seconds=60)
    with Ljx("record", "-p", target.pid, "-r", 9999 if count > 9999 else 3999, "-d", 60, "-o", path) as p:
        p.stop_after(count)
    return path


def run(tmp_path, scenario, mode="on", count=1000):
    with luajit(SCRIPT, scenario, mode) as target:
        return sample(tmp_path, target, count, f"{scenario}-{mode}")


def stack(frames):
    """(functions and lines, was it in a trace): without what stands above the innermost line."""
    at = next((i for i, f in enumerate(frames) if TRACE_FRAME.fullmatch(f)), None)
    frames = list(frames if at is None else frames[:at])
    while frames and (LEAF.fullmatch(frames[-1]) or C_LEAF.fullmatch(frames[-1]) or
                      ":" not in frames[-1]):
        frames.pop()
    return tuple(frames), at is not None


def is_placed(frames):
    return frames and LINE.fullmatch(frames[-1])


@pytest.mark.parametrize("name", SCENARIOS)
def test_stacks_are_those_of_the_interpreter(tmp_path, name):
    want = {stack(f)[0] for f, _ in folded(run(tmp_path, name, "off", 2000), "--lines")}
    # Of lower some 11 % are placed: so many that this is told from a tenth.
    path = run(tmp_path, name, count=20000 if name == "lower" else 1000)
    got, all_of_them = Counter(), 0
    for frames, n in folded(path, "--lines"):
        frames, compiled = stack(frames)
        all_of_them += n if compiled else 0
        if compiled and is_placed(frames):
            got[frames] += n
    placed = sum(got.values())
    wrong = Counter({f: n for f, n in got.items() if f not in want})
    text = "\n".join(f"{n:5} {';'.join(f)}" for f, n in wrong.most_common(9))
    # Of a run's rare stacks the other one may have none.
    assert sum(wrong.values()) <= 0.02 * placed + 3, text
    # Returning to the interpreter is the VM's code, but the trace's state.
    assert placed >= {"lower": 0.1, "stitch": 0.7}.get(name, 0.97) * all_of_them
    assert placed > {"stitch": 20, "lower": 50}.get(name, 300)


def test_recursion(tmp_path):
    """Up and down: each frame is called by the one below it, at one of the two lines that do."""
    calls, leaf = {"117", "119"}, {str(n) for n in range(111, 123)}
    good = bad = 0
    for frames, n in folded(run(tmp_path, "recursion"), "--lines"):
        frames, compiled = stack(frames)
        if not compiled or not is_placed(frames):
            continue
        at = next(i for i, f in enumerate(frames) if f.startswith("run "))
        lines = [LINE.fullmatch(f).group(1) for f in frames[at + 1::2]]
        inner = set(f for f in frames[at + 2::2])
        ok = lines[0] == "126" and inner <= {"fib tests/lua/inside.lua:111"} and len(lines) <= 14 \
            and set(lines[1:-1]) <= calls and (len(lines) == 1 or lines[-1] in leaf)
        good, bad = good + n * ok, bad + n * (not ok)
    assert good > 300 and bad <= 0.01 * good


def shares(rows, names):
    """Their parts of the self time of all of them, in percent."""
    found = {r["name"]: r["self"] for r in rows if r["name"] in names}
    return {n: 100 * found[n] / sum(found.values()) for n in names}, sum(found.values())


def test_shares_of_inlined_functions(tmp_path):
    """Equal code, called once, twice and four times: by construction and by the interpreter."""
    path = run(tmp_path, "shares", count=20000)
    rows = report(path)
    assert rows["by_state"]["compiled"] > 0.99 * rows["samples"]
    got, total = shares(rows["functions"], ["one", "two", "four"])
    assert total > 0.97 * rows["samples"]
    for name, times in {"one": 1, "two": 2, "four": 4}.items():
        assert abs(got[name] - 100 * times / 7) < 2, got
    other, _ = shares(report(run(tmp_path, "shares", "off", 20000))["functions"], list(got))
    assert all(abs(got[n] - other[n]) < 2 for n in got), (got, other)


def test_lines_of_an_inlined_function(tmp_path):
    """What was planted is what annotate shows, line by line."""
    path = run(tmp_path, "lines", count=20000)
    doc = json.loads(ljx("annotate", "func:work", path, "--json").out)
    of_line = {line["line"]: line["samples"] for line in doc["lines"]}
    first = min(n for n, self in of_line.items() if self)
    got = [of_line[first], of_line[first + 1], of_line[first + 2],
           of_line[first + 3] + of_line[first + 4]]
    total = sum(of_line.values())
    assert total > 5000
    for times, self in zip((1, 2, 4, 8), got):
        assert abs(100 * self / total - 100 * times / 15) < 2, got


def test_helpers_belong_to_their_line(tmp_path):
    """Strings, tables and barriers that a trace calls are on the stack of the line that does."""
    with open(SCRIPT, encoding="utf-8") as f:
        text = f.read().splitlines()
    want = {n for n, line in enumerate(text, 1)
            if re.search(r'"key" \.\. x|\{ x, x \}|new\[x\] = x|last = s$', line)}
    path = run(tmp_path, "helpers", count=2000)
    recs = [s for s in samples(records(path)) if s.state == TRACE and not s.flags & IN_MCODE]
    placed = sum(1 for s in recs if s.flags & CALLED)
    assert placed >= 0.97 * len(recs) and placed > 1000
    of_line = Counter()
    for frames, n in folded(path, "--lines"):
        at = next((i for i, f in enumerate(frames) if TRACE_FRAME.fullmatch(f)), len(frames))
        if any(not f.startswith("[") for f in frames[at + 1:]):
            of_line[int((LINE.fullmatch(frames[at - 1]) or [0, 0])[1])] += n
    right = sum(n for line, n in of_line.items() if line in want)
    assert right >= 0.95 * sum(of_line.values()), of_line


def test_each_trace_is_told_once(tmp_path):
    """Its ranges are in order, its frames are defined, its loop is where samples are."""
    path = run(tmp_path, "side")
    recs = records(path)
    told = all_snaps(recs)
    assert len({(s.trace, s.start, s.mark) for s in told}) == len(told) > 3
    protos = {r.fields[0] for r in recs if r.h.kind == 7}
    for s in told:
        assert s.why == 0 and s.ranges[0][0] == 0 and s.ranges[-1][0] < s.szmcode
        assert s.mcloop < s.szmcode
        assert all(f.frame.addr & 0xffffffff in protos for f in s.frames if f.frame.kind == 1)
    doc = report(path)["compiled"]
    assert doc["loop"] and doc["head"] and sum(doc.values()) == report(path)["by_state"]["compiled"]


def test_marks(tmp_path):
    """As viewers expect them: _[i] and _[j] on request, inline lines in pprof, JSON says so."""
    path = run(tmp_path, "chain")
    with open(SCRIPT, encoding="utf-8") as f:
        line = next(n for n, text in enumerate(f, 1) if "function inner(x, t)" in text)
    name = f"inner {SCRIPT}:{line}"
    plain = folded(path)
    marked = folded(path, "--annotate-frames")
    assert any(name in f and any(TRACE_FRAME.fullmatch(x) for x in f) for f, _ in plain)
    assert not any("_[" in x for f, _ in plain for x in f)
    assert any(name + "_[i]" in f and re.fullmatch(r"trace#.*_\[j\]", f[f.index(name + "_[i]") + 1])
               for f, _ in marked)
    assert sum(n for _, n in plain) == sum(n for _, n in marked)
    out = str(tmp_path / "x.ljx.json")
    ljx("report", path, "-o", out)
    with open(out, encoding="utf-8") as f:
        doc = json.load(f)
    inlined = {doc["frames"][s["frame"]]["name"] for s in doc["stacks"] if s["inlined"]}
    assert {"mid", "inner"} <= inlined <= {"mid", "inner", "run"}
    assert {c["phase"] for c in doc["counts"]} >= {"loop"}
    svg = tmp_path / "x.svg"
    ljx("report", path, "-o", svg)
    first = sorted(drawn(svg))
    assert any("inlined in its trace" in tip for *_, tip in first)
    assert sorted(after(svg, ["key('r'); key('r');"])[0]) == first
    pprof = str(tmp_path / "x.pb.gz")
    ljx("report", path, "-o", pprof)
    text = subprocess.run(["go", "tool", "pprof", "-traces", pprof], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=True).stdout
    assert re.search(re.escape(name) + r" \(inline\)\n\s+mid .* \(inline\)\n\s+run ", text)


@pytest.mark.parametrize("name,want", [("gc32", True), ("gc32-dualnum", True), ("dualnum", True),
                                       ("sid", True), ("beta3", False)])
def test_builds(tmp_path, name, want):
    """32-bit references and integers too; a build without SnapShot.mcofs says that it has none."""
    build = Build(name)
    off, on = {}, {}
    for mode, stacks in (("off", off), ("on", on)):
        with build.run(SCRIPT, "metamethods", mode) as target:
            path = sample(tmp_path, target, 1000, mode)
        for frames, n in folded(path, "--lines"):
            frames, compiled = stack(frames)
            if compiled or mode == "off":
                stacks[frames] = stacks.get(frames, 0) + n
    got = report(path)["compiled"]
    if not want:
        assert set(got) <= {"start only", "unknown"} and got["start only"] > 500
        assert "this LuaJIT keeps no more" in ljx("report", path).out
        return
    assert got.get("loop", 0) + got.get("head", 0) > 0.97 * sum(got.values())
    wrong = {f: n for f, n in on.items() if f not in off and is_placed(f)}
    assert sum(wrong.values()) <= 0.02 * sum(on.values()), wrong
