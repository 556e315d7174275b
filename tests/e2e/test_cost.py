# SPDX-License-Identifier: MIT
"""COST%: which samples are charged to which start of traces, on recordings made by an independent
writer. No privileges; runs under the sanitizers too."""
import json

import pytest

import recording
from harness import ljx
from recording import (ABORT, C, FLUSH, INTERP, LINK_INTERP, LINK_LOOP, LINK_ROOT, LINK_STITCH,
                       SIDE_TRACE, STITCHED_TRACE, STOP, TRACE, lua)

FNEW, VARG = 0x4049800000000000, 0x4051C00000000000  # 51.0, 71.0
NYIBC, LLEAVE = 7, 8
GC, EXIT, RECORD, OPT, ASM = 4, 5, 6, 7, 8
MAIN, LEAF, OTHER, ODD = 1, 2, 3, 4
# Loops of MAIN by bytecode: an inner one within an outer one, and one beside them.
OUTER, INNER, BESIDE = (30, 10, 30), (25, 20, 25), (45, 40, 45)
# A place in each, and in none.
IN_OUTER, IN_INNER, IN_BESIDE, IN_NONE = 12, 22, 42, 5


class Run:
    """A recording under construction."""

    def __init__(self, tmp_path):
        self.path = tmp_path / "cost.ljx"
        self.w = w = recording.Writer()
        w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
        w.define("proc", 1, 1, 4242, strs=("luajit", "/usr/bin/luajit", "luajit app.lua"))
        w.define("build", 1, 7, strs=("LuaJIT 2.1.0-beta3", "luajit2-20230119", "/bin/luajit", "ab"))
        w.define("vm", 0x1000, 1, 1)
        for number, first in ((MAIN, 0), (LEAF, 100), (OTHER, 200), (ODD, 300)):
            w.define("func", number, 0, 0x1000, 0x7000 + 256 * number, first, 60, 60, number,
                     strs=("@app.lua",))
        w.loops(MAIN, OUTER, INNER, BESIDE)
        w.loops(LEAF)
        w.loops(OTHER, (8, 4, 8))

    def abort(self, proto, pos, info=FNEW, error=NYIBC, **rest):
        self.w.event(ABORT, 1, lua(proto, pos, pos), lua(proto, pos + 1, pos + 1), error=error,
                     info=info, **rest)

    def stop(self, trace, proto, pos, linktype=LINK_LOOP, **rest):
        self.w.event(STOP, trace, lua(proto, pos, pos), linktype=linktype, **rest)

    def samples(self, n, *places, state=INTERP, **rest):
        """places: (prototype, position), leaf first."""
        for _ in range(n):
            self.w.sample([p if len(p) == 4 else lua(p[0], p[1], p[1]) for p in places],
                          state=state, **rest)

    def nyi(self, *args):
        self.path.write_bytes(self.w.bytes())
        return json.loads(ljx("nyi", self.path, "--json", *args).out)

    def costs(self):
        """{(line of the start, reason): percent}"""
        got = self.nyi()
        total = sum(s["cost_percent"] or 0 for s in got["sites"])
        assert total <= 100.001
        return {(s["start"]["line"], s["reason"]): s["cost_percent"] for s in got["sites"]}


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


NYI_FNEW, NYI_VARG = "NYI: bytecode FNEW", "NYI: bytecode VARG"


def test_loop(run):
    run.abort(MAIN, OUTER[0])
    run.samples(30, (MAIN, IN_OUTER))
    run.samples(70, (MAIN, IN_NONE))
    assert run.costs() == {(30, NYI_FNEW): 30}


def test_bounds(run):
    """A region is its bytecode, both ends included."""
    run.abort(MAIN, BESIDE[0])
    for pos in range(BESIDE[1] - 1, BESIDE[2] + 2):
        run.samples(1, (MAIN, pos))
    assert run.costs() == {(45, NYI_FNEW): pytest.approx(100 * 6 / 8)}


def test_nested(run):
    """The innermost start takes it: nothing is counted twice."""
    run.abort(MAIN, OUTER[0])
    run.abort(MAIN, INNER[0], info=VARG)
    run.samples(20, (MAIN, IN_OUTER))
    run.samples(50, (MAIN, IN_INNER))
    run.samples(30, (MAIN, IN_NONE))
    assert run.costs() == {(30, NYI_FNEW): 20, (25, NYI_VARG): 50}


def test_callee(run):
    """What a region calls is its cost, unless traces start there."""
    run.abort(MAIN, OUTER[0])
    run.samples(10, (LEAF, 5), (MAIN, IN_OUTER))
    run.samples(15, (LEAF, 5), (LEAF, 9), (MAIN, IN_OUTER))
    run.samples(25, (OTHER, 6), (LEAF, 9), (MAIN, IN_OUTER))
    assert run.costs() == {(30, NYI_FNEW): 100}
    run.stop(1, OTHER, 8)
    run.samples(50, (OTHER, 6), (LEAF, 9), (MAIN, IN_OUTER))  # a loop that has a trace
    run.samples(100, (OTHER, 2), (LEAF, 9), (MAIN, IN_OUTER))  # beside that loop
    assert run.costs() == {(30, NYI_FNEW): 75}
    run.abort(LEAF, 0, info=VARG)
    run.samples(200, (OTHER, 2), (LEAF, 9), (MAIN, IN_OUTER))  # within a function with a start
    assert run.costs() == {(30, NYI_FNEW): 37.5, (0, NYI_VARG): 50}


def test_function_start(run):
    run.abort(LEAF, 0)
    run.samples(40, (LEAF, 50))
    run.samples(60, (MAIN, IN_OUTER))
    assert run.costs() == {(0, NYI_FNEW): 40}


def test_states(run):
    """Compiled code, GC and exits cost a site nothing, C functions and the compiler do."""
    run.abort(MAIN, OUTER[0])
    for state in (INTERP, C, RECORD, OPT, ASM):
        run.samples(10, (MAIN, IN_OUTER), state=state)
    run.samples(10, (recording.CFUNC, 0x9000, 0, 1), (MAIN, IN_OUTER), state=C)
    for state in (GC, EXIT, recording.OUTSIDE):
        run.samples(10, (MAIN, IN_OUTER), state=state)
    run.samples(10, (recording.TRACE_FRAME, IN_OUTER << 32 | MAIN, 30, 0), (MAIN, IN_OUTER),
                state=TRACE, trace=7)
    got = run.nyi()
    assert got["sites"][0]["cost_percent"] == 60
    assert got["cpu"]["samples"] == 100 and got["cpu"]["charged"] == 60
    assert {k: v for k, v in got["cpu"]["by_state"].items() if v} == {
        "compiled": 10, "interpreted": 10, "C": 20, "GC": 10, "exit": 10, "record": 10,
        "optimise": 10, "assemble": 10, "outside Lua": 10}


def test_reasons_share(run):
    """Several reasons of a start share its cost by their counts."""
    run.abort(MAIN, OUTER[0])
    for _ in range(3):
        run.abort(MAIN, OUTER[0], error=LLEAVE)
    run.samples(80, (MAIN, IN_OUTER))
    run.samples(20, (MAIN, IN_NONE))
    assert run.costs() == {(30, NYI_FNEW): 20, (30, "leaving loop in root trace"): 60}


def test_reasons_share_recent(run):
    """By those of the last minute; by all where there are none."""
    for _ in range(9):
        run.abort(MAIN, OUTER[0])
    run.w.time += 100_000_000_000
    run.samples(100, (MAIN, IN_OUTER))
    assert run.costs() == {(30, NYI_FNEW): 100}
    run.abort(MAIN, OUTER[0], error=LLEAVE)
    assert run.costs() == {(30, NYI_FNEW): 0, (30, "leaving loop in root trace"): 100}


def test_side_exit(run):
    """A side exit stands for the region of its parent's start; a side trace of one, too."""
    run.stop(1, MAIN, OUTER[0])
    run.abort(MAIN, IN_NONE, kind=SIDE_TRACE, parent=1, exitno=3)
    run.samples(40, (MAIN, IN_OUTER))
    run.samples(60, (MAIN, IN_NONE))
    assert run.costs() == {(5, NYI_FNEW): 40}
    run.stop(2, LEAF, 7, kind=SIDE_TRACE, parent=1, exitno=4, linktype=LINK_ROOT, link=1)
    run.abort(LEAF, 9, kind=SIDE_TRACE, parent=2, exitno=1, info=VARG)
    got = run.costs()
    assert got == {(5, NYI_FNEW): 20, (9, NYI_VARG): 20}


def test_unknown_parent(run):
    run.abort(MAIN, IN_OUTER, kind=SIDE_TRACE, parent=9, exitno=3)
    run.samples(10, (MAIN, IN_OUTER))
    assert run.costs() == {(12, NYI_FNEW): None}


def test_unknown_loops(run):
    """Of a function whose code could not be read the loops are not known."""
    run.abort(ODD, 7)
    run.abort(ODD, 0, info=VARG)
    run.samples(10, (ODD, 7))
    assert run.costs() == {(7, NYI_FNEW): None, (0, NYI_VARG): 100}


def test_stitch(run):
    """What runs at the call of a stitch is the stitch's, the rest the aborts'."""
    gsub = (recording.FAST, 0x9000, 0, 85)
    run.w.define("ff", 1, 85, strs=("string.gsub",))
    run.stop(1, MAIN, OUTER[0], linktype=LINK_STITCH, end=gsub)
    run.w.event(recording.START, 2, lua(MAIN, 15, 15), kind=STITCHED_TRACE, parent=1)
    run.stop(2, MAIN, 15, kind=STITCHED_TRACE, parent=1, linktype=LINK_ROOT, link=1)
    run.samples(30, gsub, (MAIN, 15), state=C)
    run.samples(10, (MAIN, 14))
    run.samples(60, (MAIN, IN_NONE))
    assert run.costs() == {(30, "string.gsub"): 40}
    run.abort(MAIN, OUTER[0])
    assert run.costs() == {(30, "string.gsub"): 30, (30, NYI_FNEW): 10}


def test_processes(run):
    """A start of one process takes nothing of another; costs add up over both."""
    w = run.w
    w.define("proc", 1, 1, 4343, strs=("luajit", "/usr/bin/luajit", "luajit app.lua"), pid=4343)
    w.define("vm", 0x1000, 1, 1, pid=4343)
    w.define("func", 11, 0, 0x1000, 0x7100, 0, 60, 60, MAIN, strs=("@app.lua",), pid=4343)
    run.abort(MAIN, OUTER[0])
    run.samples(10, (MAIN, IN_OUTER))
    run.samples(30, (11, IN_OUTER), pid=4343)
    assert run.costs() == {(30, NYI_FNEW): 25}
    w.event(ABORT, 1, lua(11, OUTER[0], 30), lua(11, 31, 31), error=NYIBC, info=FNEW, pid=4343)
    run.samples(60, (11, IN_OUTER), pid=4343)
    assert run.costs() == {(30, NYI_FNEW): 70}
    assert run.nyi("-p", 4242)["sites"][0]["cost_percent"] == 100


def test_flush_keeps(run):
    run.abort(MAIN, OUTER[0])
    run.w.event(FLUSH, 1000, cause=1)
    run.samples(10, (MAIN, IN_OUTER))
    assert run.costs() == {(30, NYI_FNEW): 100}


def test_min_cost(run):
    run.abort(MAIN, OUTER[0])
    run.abort(MAIN, BESIDE[0], info=VARG)
    run.samples(99, (MAIN, IN_OUTER))
    run.samples(1, (MAIN, IN_BESIDE))
    got = run.nyi("--min-cost", 2)
    assert [s["cost_percent"] for s in got["sites"]] == [99] and got["cheap"] == 1
    text = ljx("nyi", run.path, "--min-cost", 2).out
    assert " 99.0 " in text and "1 that cost less than 2% are not shown" in text


def test_no_samples(run):
    run.abort(MAIN, OUTER[0])
    assert run.costs() == {(30, NYI_FNEW): None}


def test_traces(run):
    """SELF% of a trace is its share of the samples; its number is not the next one's."""
    run.stop(1, MAIN, OUTER[0])
    run.stop(2, MAIN, IN_NONE, kind=SIDE_TRACE, parent=1, exitno=1, linktype=LINK_INTERP)
    run.samples(30, (MAIN, IN_OUTER), state=TRACE, trace=1)
    run.samples(20, (MAIN, IN_OUTER), state=TRACE, trace=2)
    run.samples(50, (MAIN, IN_NONE))
    run.path.write_bytes(run.w.bytes())
    got = json.loads(ljx("traces", run.path, "--json").out)["traces"]
    assert [(t["trace"], t["self_percent"]) for t in got] == [(1, 30), (2, 20)]
    run.w.event(FLUSH, 1000, cause=1)
    run.stop(1, MAIN, BESIDE[0])
    run.path.write_bytes(run.w.bytes())
    got = json.loads(ljx("traces", run.path, "--json").out)["traces"]
    assert [(t["trace"], t["self_percent"]) for t in got] == [(1, 0)]
