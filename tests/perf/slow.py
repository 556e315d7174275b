# SPDX-License-Identifier: MIT
"""How much slower targets are while they are watched: by their own CPU time for a fixed piece of work,
or per request; and by what a gap detector in the target finds missing."""
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess

from harness import PROGRAMS, ROOT, Process, children, cpu_seconds, luajit, wait_until
from modes import ALTERNATIVES, MODES, WORK, jit_p_rate, library, watching
from results import spread

WORK_LUA = "tests/perf/work.lua"
OPENLOOP = os.path.join(ROOT, "build/tests/perf/openloop")
FIRST_ROUNDS = {"loop": 20, "calls": 100, "traces": 100, "alloc": 40}


# ---- the targets ----

class Script:
    """A kind of tests/perf/work.lua; its rounds are such that they take as long as wanted."""
    unit = "s of CPU"

    def __init__(self, kind, seconds):
        self.name, self.kind, self.rounds = kind, kind, FIRST_ROUNDS[kind]
        took = self.run(MODES["nothing"])
        self.rounds = max(1, int(self.rounds * seconds / took))

    def run(self, mode):
        with luajit(WORK_LUA, self.kind, self.rounds, *(mode.own or ()), limit=False) as target:
            target.expect("^ready$", seconds=60)
            with watching(mode, target.pid, library(target.pid)):
                target.say("go")
                took = float(target.expect(r"^[\d.]+$", seconds=120).group())
            target.say("end")
            target.finish()
        return took

    def close(self):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nginx:
    """A server under wrk at full rate, or under requests at a fixed rate."""
    unit = "us of CPU a request"

    def __init__(self, seconds, rate=0):
        self.name, self.seconds, self.rate = "nginx fixed" if rate else "nginx full", max(1, round(seconds)), rate
        self.latency = {}

    @contextlib.contextmanager
    def server(self, own):
        prefix = os.path.join(WORK, "nginx")
        shutil.rmtree(prefix, ignore_errors=True)
        os.makedirs(prefix)
        port = free_port()
        with open(os.path.join(ROOT, "tests/perf/nginx.conf")) as f:
            conf = f.read().replace("PORT", str(port))
        with open(os.path.join(prefix, "nginx.conf"), "w") as f:
            f.write(conf)
        env = {"BENCH_OWN": own} if own else {}
        with Process("nginx", "-p", prefix, "-e", "stderr", "-c", os.path.join(prefix, "nginx.conf"),
                     env=env, limit=False) as nginx:
            worker = wait_until(lambda: children(nginx.pid), "a worker")[0]
            wait_until(lambda: not connect_error(port), "the server")
            yield worker, port
            nginx.kill(15)
            nginx.finish()

    def load(self, port, seconds):
        """Answers a second."""
        if not self.rate:
            out = subprocess.run(["wrk", "-t", "1", "-c", "16", "-d", str(seconds),
                                  f"http://127.0.0.1:{port}/work"], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout
            assert "Non-2xx" not in out, out
            return float(out.split("Requests/sec:")[1].split()[0]), {}
        out = subprocess.run([OPENLOOP, str(port), "/work", str(self.rate), str(seconds), "64"],
                             check=True, text=True, stdout=subprocess.PIPE).stdout
        told = json.loads(out)
        return told["answered"] / seconds, told

    def run(self, mode):
        with self.server(mode.own_nginx) as (worker, port):
            self.load(port, 1)
            with watching(mode, worker, library(worker)):
                before = cpu_seconds(worker)
                rate, told = self.load(port, self.seconds)
                used = cpu_seconds(worker) - before
            if told:
                self.latency.setdefault(mode.name, []).append(told["p99_us"])
            self.last_rate = rate
            return 1e6 * used / (rate * self.seconds)

    def close(self):
        shutil.rmtree(os.path.join(WORK, "nginx"), ignore_errors=True)


def connect_error(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port))


class Gap:
    """A target that counts what is taken from it: percent of its time. lengths: {mode: ns at a time}."""
    name, unit = "gap", "% lost"

    def __init__(self, seconds, depth=5):
        self.seconds, self.depth = seconds, depth
        self.lengths = {}

    def run(self, mode):
        with Process(os.path.join(PROGRAMS, "gap"), self.seconds, self.depth, "-", *(mode.own or ()),
                     limit=False) as target:
            target.expect("^ready$")
            with watching(mode, target.pid, library(target.pid)):
                target.say("go")
                target.expect(r"^\d+ \d+ \d+ \d+$", seconds=60)
            lost, total, _gaps, length = map(int, target.out.split()[-4:])
        self.lengths.setdefault(mode.name, []).append(length)
        return 100 * lost / total

    def close(self):
        pass


# ---- measuring ----

def usable(names, results):
    """Those of the modes that can be measured here; of the others it is said why not."""
    found = []
    for name in names:
        mode = MODES[name]
        why = mode.missing()
        if why:
            results.note(f"{name:20} not measured: {why}")
        else:
            found.append(mode)
    return found


def rounds(target, modes, count):
    """{mode: values}: all modes in each round, the order turned from round to round."""
    values = {m.name: [] for m in modes}
    for i in range(count):
        for mode in modes[i % len(modes):] + modes[:i % len(modes)]:
            values[mode.name].append(target.run(mode))
    return values


def slowdown(results, target, names, count):
    """A table of how much more CPU time the target needs with each of them."""
    print(f"\n{target.name}: CPU time compared with nothing in the same round, median of {count}")
    modes = usable(names, results)
    values = rounds(target, modes, count)
    print(f"  {'':20} {'slower %':>9} {'spread':>7} {'over its floor %':>17} {target.unit:>20}")
    for mode in modes:
        own = values[mode.name]
        slower = percent(own, values["nothing"])
        results.add(f"slowdown/{target.name}/{mode.name}", slower, "%")
        adds = ""
        if mode.floor != "nothing" and mode.floor in values:
            over = percent(own, values[mode.floor])
            results.add(f"over floor/{target.name}/{mode.name}", over, "%")
            adds = f"{statistics.median(over):.2f}"
        print(f"  {mode.name:20} {statistics.median(slower):9.2f} {spread(slower):7.2f} {adds:>17} "
              f"{statistics.median(own):20.4g}")
    if isinstance(target, Nginx):
        for name, p99 in target.latency.items():
            results.add(f"p99/{target.name}/{name}", p99, "us")
            print(f"  {name:20} p99 {statistics.median(p99):.0f} us (spread {spread(p99):.0f})")
    target.close()


def percent(values, base):
    return [100 * (v / b - 1) for v, b in zip(values, base)]


GOALS = {99: 0.1, 999: 1.0}


def gaps(results, target, names, count):
    """A table of what each takes from the target, and over its floor."""
    print(f"\nlost by the target, % of its time, as it finds itself, median of {count}")
    modes = usable(names, results)
    values = rounds(target, modes, count)
    print(f"  {'':20} {'lost %':>8} {'spread':>7} {'us/s':>7} {'over floor %':>13} {'ns at a time':>13}")
    for mode in modes:
        own = values[mode.name]
        results.add(f"lost/{mode.name}", own, "%")
        adds = miss = ""
        if mode.gap_floor in values and mode.gap_floor != "nothing":
            over = [a - b for a, b in zip(own, values[mode.gap_floor])]
            goal = None if mode.own else GOALS[mode.rate]
            miss = results.add(f"lost over floor/{mode.name}", over, "%", goal=goal)
            adds = f"{statistics.median(over):.3f}"
        lengths = target.lengths[mode.name]
        results.add(f"gap/{mode.name}", lengths, "ns")
        print(f"  {mode.name:20} {statistics.median(own):8.3f} {spread(own):7.3f} "
              f"{1e4 * statistics.median(own):7.0f} {adds:>13} {statistics.median(lengths):13.0f}{miss}")
    for name in ALTERNATIVES:
        rate = MODES[name].rate
        if name in values and f"ljx {rate}" in values:
            real = jit_p_rate(rate) if MODES[name].own else rate
            if real < 0.9 * rate:
                results.note(f"{name} takes {real} samples a second: not compared with ljx {rate}")
                continue
            # What each takes: jit.p does from a target that is in Lua.
            base = values["in Lua" if MODES[name].own else "nothing"]
            ahead = [(mine - nothing) - (theirs - zero) for mine, nothing, theirs, zero in
                     zip(values[f"ljx {rate}"], values["nothing"], values[name], base)]
            noise = max(spread(ahead), 0.01)
            miss = results.add(f"ljx behind/{name}", ahead, "%", goal=noise)
            at_once = ""
            if rate == 999 and not MODES[name].own:
                # Most gaps are samples then, and what a machine's neighbours take is not in the median.
                more = [a - b for a, b in zip(target.lengths[f"ljx {rate}"], target.lengths[name])]
                results.add(f"ljx behind/gap/{name}", more, "ns")
                at_once = f"; {statistics.median(more):+.0f} ns at a time (spread {spread(more):.0f})"
            print(f"  ljx {rate} takes {statistics.median(ahead):+.3f} % more than {name} "
                  f"(spread {noise:.3f}){at_once}{miss}")
