# SPDX-License-Identifier: MIT
"""Results of the benchmarks: rows with a name, for tests/bench_compare, and the tables."""
import json
import os
import platform
import re
import statistics
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCHEMA = "ljx.bench/2"


def spread(values):
    """What the middle half of the values spans."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // (1 << 20)
    return f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}, {memory + 1} GB, " \
           f"Linux {platform.release()}"


class Results:
    def __init__(self):
        self.rows, self.notes = [], []

    def add(self, name, values, unit, goal=None, better="lower"):
        """values: one, or those of several runs, whose median counts. goal: the worst that is allowed.
        Returns how a table shows it."""
        values = values if isinstance(values, list) else [values]
        value = statistics.median(values)
        holds = None if goal is None else (value <= goal if better == "lower" else value >= goal)
        self.rows.append({"name": name, "value": value, "unit": unit, "spread": spread(values),
                          "runs": len(values), "better": better, "goal": goal, "holds": holds})
        return "  MISSES " + f"{goal:g}" if holds is False else ""

    def note(self, text):
        """What is not measured, and why."""
        self.notes.append(text)
        print(f"  {text}", flush=True)

    def misses(self):
        return [r for r in self.rows if r["holds"] is False]

    def write(self, path, load):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"schema": SCHEMA, "machine": machine(), "date": time.strftime("%Y-%m-%d"),
                       "load_average": load, "notes": self.notes, "rows": self.rows}, f, indent=1)
            f.write("\n")
