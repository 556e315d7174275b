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
from modes import COMPARED, MODES, WORK, jit_p_rate, library, watching
from results import spread

WORK_LUA = "tests/perf/work.lua"
OPENLOOP = os.path.join(ROOT, "build/tests/perf/openloop")
FIRST_ROUNDS = {"loop": 20, "calls": 100, "traces": 100, "alloc": 40}


# ---- the targets ----

@contextlib.contextmanager
def at_once(targets, modes):
    """Each of these targets watched by one of the modes. Several share a CPU: what else goes on in the
    machine takes from them alike."""
    with contextlib.ExitStack() as stack:
        if len(targets) > 1:
            for target in targets:
                os.sched_setaffinity(target.pid, [max(os.sched_getaffinity(0))])
        for target, mode in zip(targets, modes):
            stack.enter_context(watching(mode, target.pid, library(target.pid)))
        for target in targets:
            target.say("go")
        yield


class Script:
    """A kind of tests/perf/work.lua; its rounds are such that they take as long as wanted."""

    def __init__(self, kind, seconds):
        self.name, self.kind, self.rounds = kind, kind, FIRST_ROUNDS[kind]
        took, = self.run([MODES["nothing"]])
        self.rounds = max(1, int(self.rounds * seconds / took))

    def run(self, modes):
        """CPU seconds of a target of each mode, all at once."""
        with contextlib.ExitStack() as stack:
            targets = [stack.enter_context(luajit(WORK_LUA, self.kind, self.rounds, *(m.own or ()), limit=False))
                       for m in modes]
            for target in targets:
                target.expect("^ready$", seconds=60)
            with at_once(targets, modes):
                took = [float(t.expect(r"^[\d.]+$", seconds=120).group()) for t in targets]
            for target in targets:
                target.say("end")
                target.finish()
        return took

    def slower(self, mode, swap):
        """Percent more than the same beside it, unwatched. swap: which one is started first."""
        pair = [MODES["nothing"], mode]
        base, watched = self.run(pair[::-1])[::-1] if swap else self.run(pair)
        return 100 * (watched / base - 1)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nginx:
    """A server under wrk at full rate, or under requests at a fixed rate."""

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

    def __init__(self, seconds, depth=5):
        self.seconds, self.depth = seconds, depth
        self.lengths = {}

    def run(self, mode):
        (lost, length), = self.lost([mode])
        self.lengths.setdefault(mode.name, []).append(length)
        return lost

    def more(self, mode, base, swap):
        """What mode takes more than base, both at once. swap: which one is started first."""
        (first, _), (second, _) = self.lost([mode, base] if swap else [base, mode])
        return first - second if swap else second - first

    def lost(self, modes):
        """Of a target of each mode, all at once: percent lost, ns at a time."""
        found = []
        with contextlib.ExitStack() as stack:
            targets = [stack.enter_context(Process(os.path.join(PROGRAMS, "gap"), self.seconds, self.depth, "-",
                                                   *(m.own or ()), limit=False)) for m in modes]
            for target in targets:
                target.expect("^ready$")
            with at_once(targets, modes):
                for target in targets:
                    target.expect(r"^\d+ \d+ \d+ \d+$", seconds=60)
            for target in targets:
                lost, total, _gaps, length = map(int, target.out.split()[-4:])
                found.append((100 * lost / total, length))
        return found


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


def slowdown(results, target, modes, slower, over, last):
    """Prints how much more each mode makes a target need, and what of it is over its floor: over(mode).
    last: {mode: what else is to be said}, with a title for None."""
    print(f"  {'':20} {'slower %':>9} {'spread':>7} {'over its floor %':>17}{last[None]}")
    for mode in modes:
        own, adds = slower[mode.name], ""
        results.add(f"slowdown/{target.name}/{mode.name}", own, "%")
        if mode.floor != "nothing" and mode.floor in slower:
            more = over(mode)
            results.add(f"over floor/{target.name}/{mode.name}", more, "%")
            adds = f"{statistics.median(more):.2f}"
        print(f"  {mode.name:20} {statistics.median(own):9.2f} {spread(own):7.2f} {adds:>17}{last[mode.name]}")


def scripts(results, target, names, count):
    """A table of how much more CPU time the target needs with each of them."""
    print(f"\n{target.name}: CPU time, compared with the same beside it on one CPU, unwatched; median of {count}")
    modes = usable(names, results)
    slower = {m.name: [] for m in modes}
    for i in range(count):
        for mode in modes:
            slower[mode.name].append(target.slower(mode, i % 2))
    stars = {m.name: " *" if m.everywhere else "" for m in modes}
    slowdown(results, target, modes, slower,
             lambda mode: [a - b for a, b in zip(slower[mode.name], slower[mode.floor])], {None: "", **stars})
    if any(stars.values()):
        print("  * its events meet what is beside it, too: it is over the floor as it is")


def nginx(results, target, names, count):
    """The same of an nginx: CPU time per request, compared with nothing in the same round."""
    print(f"\n{target.name}: CPU time compared with nothing in the same round, median of {count}")
    modes = usable(names, results)
    values = rounds(target, modes, count)
    slowdown(results, target, modes, {m.name: percent(values[m.name], values["nothing"]) for m in modes},
             lambda mode: percent(values[mode.name], values[mode.floor]),
             {None: f" {'us of CPU a request':>20}",
              **{m.name: f" {statistics.median(values[m.name]):20.4g}" for m in modes}})
    for name, p99 in target.latency.items():
        results.add(f"p99/{target.name}/{name}", p99, "us")
        print(f"  {name:20} p99 {statistics.median(p99):.0f} us (spread {spread(p99):.0f})")
    target.close()


def percent(values, base):
    return [100 * (v / b - 1) for v, b in zip(values, base)]


def gaps(results, target, names, count):
    """A table of what each takes from the target."""
    print(f"\nlost by the target, % of its time, as it finds itself, median of {count}")
    modes = usable(names, results)
    values = rounds(target, modes, count)
    print(f"  {'':20} {'lost %':>8} {'spread':>7} {'us/s':>7} {'ns at a time':>13}")
    for mode in modes:
        own, lengths = values[mode.name], target.lengths[mode.name]
        results.add(f"lost/{mode.name}", own, "%")
        results.add(f"gap/{mode.name}", lengths, "ns")
        print(f"  {mode.name:20} {statistics.median(own):8.3f} {spread(own):7.3f} "
              f"{1e4 * statistics.median(own):7.0f} {statistics.median(lengths):13.0f}")


GOALS = {99: 0.1, 999: 1.0}


def side_by_side(results, target, pairs, count):
    """A table of what one takes more than another one, both at once. It tells differences that are far
    below what a machine with neighbours takes now and then."""
    print(f"\ntwo targets share a CPU: what the first loses more, % of its time, median of {count}")
    found = {m.name for m in usable(sorted({name for pair in pairs for name in pair}), results)}
    pairs = [p for p in pairs if found >= set(p)]
    values = {p: [] for p in pairs}
    for i in range(count):
        for mode, base in pairs:
            values[mode, base].append(target.more(MODES[mode], MODES[base], i % 2))
    print(f"  {'':42} {'more %':>8} {'spread':>7} {'us a sample':>12}")
    for mode, base in pairs:
        rate, more = MODES[mode].rate, values[mode, base]
        goal = None
        if mode.startswith("ljx") and MODES[base].tool:
            goal = max(spread(more), 0.01)
        elif mode.startswith("ljx") and (base.startswith("floor") or MODES[mode].everywhere):
            goal = GOALS[rate]
        miss = results.add(f"takes more/{mode}/{base}", more, "%", goal=goal)
        each = f"{1e4 * statistics.median(more) / rate:.1f}" if rate else ""
        what = "its neighbour" if MODES[mode].everywhere else base
        print(f"  {mode + ' than ' + what:42} {statistics.median(more):8.3f} {spread(more):7.3f} {each:>12}{miss}")
    for mine, theirs in COMPARED:
        if mine not in values or theirs not in values:
            continue
        rate = MODES[theirs[0]].rate
        real = jit_p_rate(rate) if MODES[theirs[0]].own else rate
        if real < 0.9 * rate:
            results.note(f"{theirs[0]} takes {real} samples a second: not compared with {mine[0]}")
            continue
        more = [a - b for a, b in zip(values[mine], values[theirs])]
        miss = results.add(f"takes more/{mine[0]}/{theirs[0]}", more, "%", goal=max(spread(more), 0.01))
        print(f"  so {mine[0]} takes {statistics.median(more):+.3f} % more than {theirs[0]} "
              f"(spread {spread(more):.3f}){miss}")
