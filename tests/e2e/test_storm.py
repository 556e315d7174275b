# SPDX-License-Identifier: MIT
"""Storms of trace events: what is not told one by one is counted, exactly."""
import json
import re
import signal

import pytest

from harness import OK, Ljx, ljx, luajit
from test_trace import PROBES

pytestmark = pytest.mark.privileged

FAST = 10000  # events a second of the target's CPU time that make it a storm
EVENTS = {"start": "starts", "stop": "stops", "abort": "aborts", "flush": "flushes"}


def storm(name, probe, path, *args, seconds=3, stall=False):
    """Counts a storm live and records it. The storm's own account, ljx's, and ljx's stderr."""
    with luajit("tests/lua/storm.lua", name, seconds) as target:
        target.expect("^ready$")
        with Ljx("nyi", "-p", target.pid, f"--probe={probe}", "--json", "-o", path, *args) as p:
            p.expect(PROBES[probe], "err")
            target.say("go")
            if stall:
                p.expect("event stream limited", "err")
                p.kill(signal.SIGSTOP)
            truth = target.event("storm", seconds=60)
            p.kill(signal.SIGCONT)
            target.say("end")
            assert target.finish() == 0
            assert p.finish() == OK, p.err
            return truth, json.loads(p.out), p.err


def by_place(rows):
    """Aborts as the storm itself names them."""
    def loc(place):
        return place.get("function") or f"{place['file'].split('/')[-1]}:{place['line']}"

    found = {}
    for row in rows:
        if row["kind"] == "abort" and row["count"]:  # not what only memory tells of
            reason = re.sub(r"^(NYI: bytecode ).*", r"\1", row["reason"])
            key = f"{loc(row['start'])} {loc(row['at'])} {reason}"
            found[key] = found.get(key, 0) + row["count"]
    return found


def check(got, truth):
    assert {k: got[name] for k, name in EVENTS.items()} == {k: truth[k] for k in EVENTS}
    assert by_place(got["sites"]) == truth["sites"]
    assert got["elsewhere"] == 0


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("name, limit", [("one", 1000), ("flush", 1000), ("many", 20),
                                         ("compile", 1000)])
def test_counts_are_exact(tmp_path, name, limit, probe):
    """Totals, and counts by place, are those that the target counted itself."""
    path = tmp_path / "x.ljx"
    truth, got, err = storm(name, probe, path, "--limit", limit)
    if name in ("one", "flush"):
        assert truth["abort"] > FAST * truth["seconds"], "this is no storm"
    check(got, truth)
    assert got["missed"] == 0 and got["undefined"] == 0 and "lost" not in err
    # What is missing in the stream is told, and how much.
    assert re.search(r"^ljx: \d+ aborts/s: event stream limited to %d/s per location, "
                     r"counters stay exact$" % limit, err, re.M)
    only = int(re.search(r"^ljx: (\d+) of \d+ trace events are only in the counts$", err, re.M)[1])
    assert only == got["only_counted"] > 0
    # The recording says the same, event by event and line by line.
    check(json.loads(ljx("nyi", path, "--json", "-q").out), truth)
    log = ljx("trace", path, "--only", "start,stop,abort,flush").out
    for what in ("stop", "abort", "flush"):
        more = sum(int(n) for n in re.findall(rf" {what} \.\.\. and (\d+) more like it: ", log))
        assert more + len(re.findall(rf" {what} (\d|--)", log)) == truth[what]
    tallies = [r for r in map(json.loads, ljx("trace", path, "--json").out.splitlines())
               if r["type"] == "tally"]
    assert sum(r["count"] + r["starts"] for r in tallies) == only


@pytest.mark.parametrize("probe", PROBES)
def test_counts_survive_a_full_ring(tmp_path, probe):
    """Even if ljx gets no CPU while all events are to be told, none is missing in the sums."""
    truth, got, err = storm("one", probe, tmp_path / "x.ljx", "--limit", 5000, seconds=5, stall=True)
    check(got, truth)
    assert re.search(r"^ljx: lost \d+ of \d+ trace events: the ring buffer was full; the counts have "
                     r"them$", err, re.M)


@pytest.mark.parametrize("probe", PROBES)
def test_traces_after_a_storm(tmp_path, probe):
    """The traces that live when it is over are known, though most were only counted."""
    path = tmp_path / "x.ljx"
    truth, got, _ = storm("rest", probe, path)
    check(got, truth)
    traces = json.loads(ljx("traces", path, "--json").out)["traces"]
    assert [t["generation"] for t in traces if t["start"]["file"].endswith("rest.lua")] \
        == [truth["flush"] + 1]
    assert not [t for t in traces if t["start"]["file"].endswith("compile.lua")]


def test_limit(tmp_path):
    """--limit 1 tells next to nothing, --limit 0 all that fits; the sums are the same."""
    for limit in (0, 1):
        truth, got, _ = storm("one", "uprobe", tmp_path / f"{limit}.ljx", "--limit", limit,
                              seconds=1)
        check(got, truth)
        told = truth["start"] + truth["abort"] - got["only_counted"]
        assert told < 100 if limit else told > FAST
