# SPDX-License-Identifier: MIT
"""COST% and SELF% of a live process, against what the target measured of itself."""
import json
import re

import pytest

from harness import OK, ROOT, Ljx, ljx, luajit

pytestmark = pytest.mark.privileged
SCRIPT = "tests/lua/cost.lua"
SECONDS = 8


def line_of(mark):
    with open(f"{ROOT}/{SCRIPT}") as f:
        return next(n for n, text in enumerate(f, 1) if text.rstrip().endswith(mark))


def cost(nyi, name):
    """What the rows of a loop cost together: those of its start, and of stitches in its body."""
    first = line_of(f"-- {name}")
    lines = range(first, first + 4) if name == "outer" else [first]
    return sum(s["cost_percent"] for s in nyi["sites"] if s["start"]["line"] in lines)


def run(tmp_path, verb, *args):
    """Runs the script under ljx; its shares by its own clock, and ljx's output."""
    file = tmp_path / "cost.ljx"
    # Under a limit of CPU time the kernel counts that time by ticks: too coarse here.
    with luajit(SCRIPT, SECONDS, limit=False) as target:
        target.expect("^ready$")
        with Ljx(verb, "-p", target.pid, "-r", 999, "-o", file, *args) as p:
            p.expect("uprobes|watchpoints", "err")
            target.say("go")
            target.finish(180)
            assert p.finish() == OK, p.err
            shares = {k: 100 * float(v) for k, v in re.findall(r"share (\w+) ([\d.]+)", target.out)}
            return file, p, shares


@pytest.mark.parametrize("probe", ["uprobe", "watch"])
def test_known_cost(tmp_path, probe):
    """One loop of 30 %, and two nested ones; each is told apart from the other."""
    file, p, truth = run(tmp_path, "nyi", "--json", "--probe", probe)
    assert 28 < truth["one"] < 35, truth
    live = json.loads(p.out)
    for got in (live, json.loads(ljx("nyi", file, "--json").out)):
        for name in ("one", "outer", "inner"):
            assert abs(cost(got, name) - truth[name]) < 2, (name, got["sites"], truth)
        states = {s["start"]["line"]: s["state"] for s in got["sites"] if s["error"] == "BLACKL"}
        assert states[line_of("-- one")] == states[line_of("-- inner")] == "BLACKLISTED"
        assert sum(s["cost_percent"] or 0 for s in got["sites"]) <= 100.001
        cpu = got["cpu"]
        assert abs(100 * cpu["charged"] / cpu["samples"] - truth["one"] - truth["outer"] -
                   truth["inner"]) < 2
        assert cpu["samples"] > SECONDS * 999 * 0.9
    traces = json.loads(ljx("traces", file, "--json").out)["traces"]
    assert abs(sum(t["self_percent"] for t in traces) - truth["rest"]) < 2, (traces, truth)
    # The same list from a recording says the same.
    assert json.loads(ljx("nyi", file, "--json").out)["cpu"] == live["cpu"]


def test_record_holds_all(tmp_path):
    """record keeps samples and trace events together; each verb reads its part back."""
    file, _, truth = run(tmp_path, "record")
    report = json.loads(ljx("report", file, "--json").out)
    nyi = json.loads(ljx("nyi", file, "--json").out)
    traces = json.loads(ljx("traces", file, "--json").out)
    log = [json.loads(line) for line in ljx("trace", file, "--json").out.splitlines()]
    assert nyi["cpu"]["samples"] == report["samples"]
    assert {k: v for k, v in nyi["cpu"]["by_state"].items() if v} == \
        {k: v for k, v in report["by_state"].items() if v}
    types = [e["type"] for e in log]
    assert types.count("abort") == nyi["aborts"] > 20 and types.count("stop") == nyi["stops"] > 0
    assert len(traces["traces"]) == types.count("stop")
    assert abs(cost(nyi, "one") - truth["one"]) < 2


def test_record_without_probes(tmp_path):
    file = tmp_path / "plain.ljx"
    with luajit(SCRIPT, 2) as target:
        target.expect("^ready$")
        with Ljx("record", "-p", target.pid, "-o", file, "--probe", "off", "-d", 60) as p:
            p.expect("samples", "err")
            target.say("go")
            target.finish(180)
            assert p.finish() == OK, p.err
            assert "the target exited after" in p.err
            assert "uprobes" not in p.err and "watchpoints" not in p.err
    assert ljx("trace", file).out == ""
    assert json.loads(ljx("report", file, "--json").out)["samples"] > 100
