# SPDX-License-Identifier: MIT
"""What it costs a target to be switched to and away from: per-thread events and watchpoints are put into
the CPU and taken out of it each time."""
import statistics

from harness import luajit
from modes import MODES, library, watching
from results import spread

BATCHES = 100
WAYS = ("nothing", "ljx 99", "ljx 99 thread", "ljx 99 uprobes", "ljx 99 watchpoints")
GOAL_US = 2.0  # a switch, of watchpoints


def turn(mode):
    """Nanoseconds of a turn, two switches each way, in the batch that was disturbed least."""
    with luajit("tests/perf/switch.lua", BATCHES, limit=False) as target:
        target.expect("^ready$", seconds=60)
        with watching(mode, target.pid, library(target.pid)):
            target.say("go")
            told = target.expect("^turns (.*)$", seconds=120).group(1)
        target.say("end")
        target.finish()
    return min(map(float, told.split()))


def switches(results, count):
    """A table of what each adds to a switch to the target and away from it."""
    print(f"\na target that passes a byte to another process and back, one CPU, median of {count}")
    values = {name: [] for name in WAYS}
    for i in range(count):
        for name in WAYS[i % len(WAYS):] + WAYS[:i % len(WAYS)]:
            values[name].append(turn(MODES[name]))
    print(f"  {'':20} {'us a turn':>9} {'adds us a switch':>17} {'spread':>7}")
    for name in WAYS:
        # The target is switched to once a turn.
        adds = [(own - base) / 1e3 for own, base in zip(values[name], values["nothing"])]
        goal = GOAL_US if name.endswith("watchpoints") else None
        miss = results.add(f"switch/{name}", adds, "us a switch", goal=goal) if name != "nothing" else ""
        print(f"  {name:20} {statistics.median(values[name]) / 1e3:9.2f} {statistics.median(adds):17.2f} "
              f"{spread(adds):7.2f}{miss}", flush=True)
