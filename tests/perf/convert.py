# SPDX-License-Identifier: MIT
"""Recordings with much in them: written in each format, and shown in the live view; which should not
use any CPU time when there is nothing to show."""
import json
import os
import pathlib
import subprocess
import tempfile
import time

import big
from harness import LJX, ROOT, cpu_seconds, luajit, wait_until
from modes import WORK
from screen import Screen

VIEW = os.path.join(ROOT, "build/tests/perf/view")
ENDINGS = (".svg", ".html", ".folded", ".speedscope.json", ".pb.gz", ".firefox.json", ".callgrind",
           ".ljx.json", ".csv")


def formats(results, count):
    """A million samples of 20,000 stacks, to each format; the best of the runs."""
    print("\na million samples of 20,000 stacks converted")
    path = os.path.join(WORK, "big.ljx")
    big.recording(path)
    for ending in ENDINGS:
        out, runs = path + ending, []
        for _ in range(count):
            begun = time.monotonic()
            ljx = subprocess.Popen([LJX, "report", "-q", path, "-o", out])
            _, status, usage = os.wait4(ljx.pid, 0)
            ljx.returncode = status
            assert status == 0, f"{ending} failed"
            runs.append((time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))
        wall, cpu, memory = (min(r[k] for r in runs) for k in range(3))
        miss = results.add(f"convert/{ending}", wall, "s", goal=2 if ending == ".svg" else 5)
        results.add(f"convert cpu/{ending}", cpu, "s")
        miss += results.add(f"convert memory/{ending}", memory, "MB", goal=300)
        print(f"  {ending:>16}  {wall:5.2f} s  CPU {cpu:5.2f} s  memory {memory:5.1f} MB  "
              f"file {os.path.getsize(out) / 1e6:5.1f} MB{miss}", flush=True)
        os.unlink(out)
    os.unlink(path)


def live_view(results, count):
    """The screens with much data, in milliseconds of CPU time; the best of the runs."""
    runs = [json.loads(subprocess.run([VIEW], stdout=subprocess.PIPE, text=True).stdout)
            for _ in range(count)]
    r = runs[0]
    print(f"\nthe live view: {r['functions']} functions, {r['traces']} traces, {r['vms']} VMs")
    for key, what, goal in (("refresh_ms", "refresh", 50), ("refresh_recent_ms", "refresh of the last 5 s", 50),
                            ("key_ms", "slowest key", 20)):
        value = min(run[key] for run in runs)
        miss = results.add(f"view/{what}", value, "ms", goal=goal)
        print(f"  {what:24} {value:5.1f} ms{miss}")


def idle_view(results, seconds):
    """What ljx top uses, in a terminal, while its target sleeps."""
    with luajit("tests/lua/csleep.lua") as target, tempfile.TemporaryDirectory() as folder, \
            Screen(pathlib.Path(folder), "top", "-p", target.pid) as s:
        s.wait("F1Help")
        begun, used = time.monotonic(), cpu_seconds(s.ljx)
        wait_until(lambda: time.monotonic() > begun + seconds, "the time", seconds + 10)
        used = cpu_seconds(s.ljx) - used
        percent = 100 * used / (time.monotonic() - begun)
    miss = results.add("view/of an idle target", percent, "% of a core", goal=0.5)
    print(f"  {'of an idle target':24} {percent:5.2f} % of a core{miss}")
