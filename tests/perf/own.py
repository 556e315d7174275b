# SPDX-License-Identifier: MIT
"""What ljx itself needs, and how that grows: a sample in BPF, loading, the first sample, CPU time,
memory, bytes, losses; with depth, threads, processes, VMs, prototypes and traces."""
import contextlib
import json
import os
import signal
import statistics
import subprocess
import time

from harness import LJX, PROGRAMS, ROOT, Ljx, Process, luajit
from modes import WORK
from results import spread

PROGS = os.path.join(ROOT, "build/tests/perf/progs")
FLOOD = os.path.join(ROOT, "build/tests/perf/flood")
MEMORY_MB = 64


class BpfStats:
    """The kernel counts the runs of BPF programs and their time."""
    FILE = "/proc/sys/kernel/bpf_stats_enabled"

    def __enter__(self):
        with open(self.FILE) as f:
            self.before = f.read()
        self.write("1")

    def __exit__(self, *_):
        self.write(self.before)

    def write(self, text):
        with open(self.FILE, "w") as f:
            f.write(text)


def programs(pid=""):
    """How long loading took, and {name: counts} of ljx's programs, or of those that a process holds."""
    told = json.loads(subprocess.check_output([PROGS, str(pid)], text=True))
    return told["load_ms"], {p["name"]: p for p in told["programs"]}


def ran(pid, name="sample"):
    prog = programs(pid)[1][name]
    return prog["runs"], prog["ns"]


# ---- targets ----

@contextlib.contextmanager
def gap(depth):
    with Process(os.path.join(PROGRAMS, "gap"), 600, depth, limit=False) as p:
        p.expect("^ready$")
        yield p.pid


@contextlib.contextmanager
def crowd(kind, threads, vms):
    with Process(os.path.join(PROGRAMS, "crowd"), kind, threads, vms, 600, limit=False) as p:
        p.expect("^ready$", seconds=120)
        yield p.pid


@contextlib.contextmanager
def many(kind, n):
    with luajit("tests/perf/many.lua", kind, n, limit=False) as p:
        p.expect("^ready$", seconds=300)
        yield p.pid


@contextlib.contextmanager
def idle(n):
    """A busy process after n idle ones that are targets too."""
    with contextlib.ExitStack() as stack:
        pids = []
        for _ in range(n):
            p = stack.enter_context(luajit("-e", "print('ready') io.stdout:flush() io.read()"))
            p.expect("^ready$")
            pids.append(p.pid)
        pids.append(stack.enter_context(gap(5)))
        yield ",".join(map(str, pids))


# ---- one run of ljx ----

class Cost:
    """What a run of ljx cost, over some seconds after it has settled."""

    def __init__(self, target, rate, seconds, *args):
        path = os.path.join(WORK, "own.ljx")
        with Ljx("record", "-p", target, "-r", rate, "-o", path, *args) as p:
            p.wait_sampling(60)
            time.sleep(1)
            held, began, cpu = ran(p.pid), time.monotonic(), cpu_of(p.pid)
            # What is measured is this stretch of time.
            time.sleep(seconds)
            runs, ns = (a - b for a, b in zip(ran(p.pid), held))
            self.cpu_percent = 100 * (cpu_of(p.pid) - cpu) / (time.monotonic() - began)
            with open(f"/proc/{p.pid}/status") as f:
                self.memory_mb = next(int(l.split()[1]) for l in f if l.startswith("VmHWM")) / 1024
            p.kill(signal.SIGINT)
            p.finish()
        self.ns = ns / runs if runs else None
        report = json.loads(subprocess.check_output([LJX, "report", path, "--json"], text=True))
        self.samples, self.lost = report["samples"], report["lost"]
        self.bytes = os.path.getsize(path) / max(1, self.samples)
        os.unlink(path)


def cpu_of(pid):
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


def sampled(target, rate, seconds, count=3, *args):
    """Several runs with the kernel's counters on."""
    with BpfStats():
        return [Cost(target, rate, seconds, *args) for _ in range(count)]


# ---- tables ----

def loading(results, count):
    """Load and verification, and from the start of ljx to the first sample."""
    for what, arg in (("without probes", "off"), ("all programs", "")):
        runs = [programs(arg)[0] for _ in range(count)]
        results.add(f"load/{what}", runs, "ms")
        print(f"  loading and verification, {what}: {statistics.median(runs):.0f} ms "
              f"(spread {spread(runs):.0f})")
    for args in (("--probe", "off"), ()):
        values = [first_sample(*args) for _ in range(count)]
        name = " ".join(args) or "with probes"
        miss = results.add(f"first sample/{name}", values, "ms", goal=200)
        print(f"  from start to first sample, {name}: {statistics.median(values):.0f} ms "
              f"(spread {spread(values):.0f}){miss}", flush=True)


def first_sample(*args):
    path = os.path.join(WORK, "own.ljx")
    with gap(5) as pid:
        begun = time.monotonic()
        subprocess.run([LJX, "record", "-q", "-p", str(pid), "-r", "999", "-d", "0.5", "-o", path, *args],
                       check=True)
    report = json.loads(subprocess.check_output([LJX, "report", path, "--json"], text=True))
    os.unlink(path)
    return 1000 * (report["first_sample"] - begun)


def show(results, name, runs, goal_cpu=None, in_bpf=False):
    """A row of the tables; each of its numbers is a result. in_bpf: only the target's samples ran."""
    ns = [r.ns for r in runs if r.ns] if in_bpf else []
    miss = results.add(f"bpf/{name}", ns, "ns a sample") if ns else ""
    miss += results.add(f"cpu/{name}", [r.cpu_percent for r in runs], "% of a core", goal=goal_cpu)
    miss += results.add(f"memory/{name}", [r.memory_mb for r in runs], "MB", goal=MEMORY_MB)
    results.add(f"bytes/{name}", [r.bytes for r in runs], "bytes a sample")
    miss += results.add(f"lost/{name}", sum(r.lost for r in runs), "samples", goal=0)
    med = {k: statistics.median([getattr(r, k) for r in runs]) for k in ("cpu_percent", "memory_mb", "bytes")}
    print(f"  {name:34} {f'{statistics.median(ns):.0f}' if ns else '':>9} {med['cpu_percent']:8.2f} "
          f"{med['memory_mb']:8.1f} {med['bytes']:8.0f} {sum(r.lost for r in runs):6}{miss}", flush=True)


HEAD = f"  {'':34} {'ns in BPF':>9} {'CPU %':>8} {'MB':>8} {'bytes':>8} {'lost':>6}"


def busy_threads(results, counts, seconds, count):
    print("\nljx itself, against busy threads: CPU time of one core, memory, bytes recorded a sample")
    print(HEAD)
    for threads in counts:
        with crowd("lua", threads, 0) as pid:
            show(results, f"{threads} threads, 99 Hz", sampled(pid, 99, seconds, count))
            show(results, f"{threads} threads, 999 Hz", sampled(pid, 999, seconds, count))
    # Eight CPUs' worth of samples from as many as there are.
    with crowd("lua", 8, 0) as pid:
        rate = 99 * 8 // min(8, os.cpu_count())
        show(results, "8 busy CPUs' samples, 99 Hz each", sampled(pid, rate, seconds, count), 1.0)


def growth(results, seconds, count, few=False):
    """What a sample costs against all that could make it dearer."""
    print("\nhow the cost of a sample grows (999 Hz, an event per thread: only the target's samples)")
    print(HEAD)
    cases = [(f"depth {d}", gap(d)) for d in (5, 50, 250)]
    if not few:
        cases += [(f"{n} VMs, in Lua", crowd("lua", 1, n)) for n in (0, 16, 256, 1000)]
        cases += [(f"{n} VMs, in C", crowd("c", 1, n)) for n in (0, 16, 256, 1000)]
        cases += [(f"{n} idle processes", idle(n)) for n in (0, 8, 64)]
        cases += [(f"{n} prototypes", many("protos", n)) for n in (10, 1000, 10_000, 50_000)]
        cases += [(f"{n} traces", many("traces", n)) for n in (10, 1000, 10_000, 50_000)]
    for name, target in cases:
        with target as pid:
            show(results, name, sampled(pid, 999, seconds, count, "--per-thread", "--probe", "off"),
                 in_bpf=True)


def floods(results, seconds):
    """The records of 64 CPUs through the ring and its reader."""
    print("\nas many records as 64 CPUs make at 999 Hz, through the same ring and reader")
    out = os.path.join(WORK, "flood.ljx")
    for frames, rate in ((50, 64_000), (250, 8_000)):
        with luajit("tests/perf/deep.lua", frames - 3, limit=False) as target:
            target.expect("^ready$")
            told = json.loads(subprocess.check_output(
                [FLOOD, FLOOD + ".bpf.o", str(target.pid), str(frames), str(rate), str(seconds), out],
                text=True))
        os.unlink(out)
        name = f"flood/{rate} a second of {frames} frames"
        missing = told["pushed"] - told["delivered"]
        miss = results.add(f"{name}/lost", missing, "records", goal=0)
        cpu = 100 * told["cpu_seconds"] / told["seconds"]
        results.add(f"{name}/cpu", cpu, "% of a core")
        results.add(f"{name}/memory", told["memory_mb"], "MB")
        assert told["lost"] <= missing
        print(f"  {rate:6} a second of {frames:3} frames: {told['pushed']} pushed, {missing} lost; reader "
              f"{cpu:.1f} % of a core, {told['memory_mb']:.0f} MB, of them twice {told['ring_mb']} MB of "
              f"ring{miss}", flush=True)
