# SPDX-License-Identifier: MIT
"""Probes on the trace recorder: storms of events and a warmed-up target, with them and without."""
import json
import statistics
import subprocess

from harness import LJX, luajit
from own import BpfStats, programs
from results import spread

KINDS = ("nothing", "uprobe", "watch")


def storm(name, probe, stats=False):
    """A storm (tests/lua/storm.lua) under ljx nyi with such probes, or with none. What it did a second
    of its CPU time, how many events a second that were, and the programs."""
    with luajit("tests/lua/storm.lua", name, 2, "-", limit=False) as target:
        target.expect("^ready$")
        ljx = None
        if probe != "nothing":
            ljx = subprocess.Popen([LJX, "nyi", "-p", str(target.pid), f"--probe={probe}", "--json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            while not ljx.stderr.readline().startswith(("ljx: uprobes", "ljx: watchpoints")):
                assert ljx.poll() is None
        target.say("go")
        told = target.event("storm", seconds=60)
        held = programs(ljx.pid)[1] if stats else {}
        target.say("end")
        target.finish()
    events = 0
    if ljx:
        got = json.loads(ljx.communicate()[0])
        events = got["starts"] + got["stops"] + got["aborts"] + got["flushes"]
    return told["rounds"] / told["seconds"], events / told["seconds"], held


def probe_costs(results, names, count):
    """How much slower the target is, in alternating runs, and what a hit of each program costs."""
    print("\nprobes on the trace recorder: how many times slower the target is; a hit in BPF")
    print(f"  {'target':>8} {'probe':>8} {'events/s':>9} {'slower':>7} {'spread':>7}")
    for name in names:
        speed, events = {k: [] for k in KINDS}, {k: [] for k in KINDS}
        for _ in range(count):
            for kind in KINDS:
                rounds, rate, _ = storm(name, kind)
                speed[kind].append(rounds)
                events[kind].append(rate)
        for kind in KINDS:
            ratio = [n / k for n, k in zip(speed["nothing"], speed[kind])]
            hits = ""
            if kind != "nothing":
                results.add(f"probes/{name}/{kind}", ratio, "times slower")
                with BpfStats():
                    held = storm(name, kind, stats=True)[2]
                hits = ", ".join(f"{p['name']} {p['ns'] / p['runs']:.0f} ns x {p['runs']}"
                                 for p in held.values()
                                 if p["runs"] and p["name"].startswith(("watch", "probe_")))
            print(f"  {name:>8} {kind:>8} {statistics.median(events[kind]):9.0f} "
                  f"{statistics.median(ratio):7.3f} {spread(ratio):7.3f}  {hits}", flush=True)
