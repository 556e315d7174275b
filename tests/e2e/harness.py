# SPDX-License-Identifier: MIT
"""Starts ljx and its targets, and waits for what they say. Nothing sleeps and hopes."""
import contextlib
import json
import os
import re
import resource
import select
import signal
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LJX = os.path.abspath(os.environ.get("LJX", os.path.join(ROOT, "build/ljx")))
PROGRAMS = os.path.join(ROOT, "build/tests/c")

# Exit codes of ljx.
OK, INTERNAL, USAGE, TARGET, PERMISSION, UNSUPPORTED, KERNEL, EMPTY = range(8)

# A target that its test forgot ends by itself after so many seconds of CPU time.
CPU_LIMIT = 120


class Died(AssertionError):
    pass


def wait_until(condition, what, seconds=60):
    """Polls condition until it is true, and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)


def _limit():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))


class Process:
    """A child whose outputs are kept and can be waited for. Killed at the end of the with block."""

    def __init__(self, *cmd, cwd=ROOT, env=None, limit=True, **kwargs):
        self.cmd = [str(c) for c in cmd]
        self.text = {"out": b"", "err": b""}
        self.child = subprocess.Popen(
            self.cmd, cwd=cwd, env=dict(os.environ, **(env or {})), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_limit if limit else None,
            **kwargs)
        self.pid = self.child.pid
        self.pipes = {self.child.stdout: "out", self.child.stderr: "err"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            with contextlib.suppress(OSError):
                pipe.close()

    @property
    def out(self):
        return self.text["out"].decode(errors="replace")

    @property
    def err(self):
        return self.text["err"].decode(errors="replace")

    def pump(self, seconds):
        """Takes in what comes within that time. False when both outputs are closed."""
        ready = select.select(list(self.pipes), [], [], max(seconds, 0))[0] if self.pipes else []
        for pipe in ready:
            data = os.read(pipe.fileno(), 65536)
            if data:
                self.text[self.pipes[pipe]] += data
            else:
                del self.pipes[pipe]
        return bool(self.pipes)

    def expect(self, pattern, stream="out", seconds=60):
        """Waits until the stream matches; returns the match."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.text[stream].decode(errors="replace"), re.M)
            if match:
                return match
            if not self.pipes or (time.monotonic() > end):
                raise Died(f"no {pattern!r} from {self.cmd} (status {self.child.poll()}):\n"
                           f"{self.out[-2000:]}{self.err[-2000:]}")
            self.pump(end - time.monotonic())

    def say(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def kill(self, number=signal.SIGKILL):
        self.child.send_signal(number)

    def finish(self, seconds=60):
        """Waits for its end; returns the exit status."""
        end = time.monotonic() + seconds
        while self.pipes and time.monotonic() < end:
            self.pump(min(0.2, end - time.monotonic()))
            if self.child.poll() is not None:
                # A grandchild may hold the pipes: take what is there, and do not wait for it.
                self.pump(0)
                break
        while self.pipes and self.child.poll() is not None and self._more():
            pass
        try:
            return self.child.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Died(f"{self.cmd} does not end:\n{self.out[-2000:]}{self.err[-2000:]}") from None

    def _more(self):
        before = len(self.text["out"]) + len(self.text["err"])
        self.pump(0)
        return len(self.text["out"]) + len(self.text["err"]) > before

    def events(self, name):
        """The JSON objects it printed with that event."""
        found = []
        for line in self.out.splitlines():
            if line.startswith("{"):
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return [e for e in found if e.get("event") == name]

    def event(self, name, seconds=60):
        self.expect(r'^\{.*"event":"' + name + r'".*\}$', seconds=seconds)
        return self.events(name)[0]


def seccomp(call):
    """What to put before a command that may not make this system call: see seccomp.py."""
    return ["/usr/bin/python3", f"{ROOT}/tests/e2e/seccomp.py", call]


def luajit(*args, **kwargs):
    return Process("luajit", *args, **kwargs)


def host(kind="host", **kwargs):
    return Process(os.path.join(PROGRAMS, kind), **kwargs)


class Ljx(Process):
    """A running ljx."""

    def __init__(self, *args, **kwargs):
        super().__init__(LJX, *args, limit=False, **kwargs)

    def wait_sampling(self, seconds=60):
        """Until its progress tells of samples."""
        return self.expect(r"[1-9]\d* samples", "err", seconds)

    def samples(self):
        """How many its progress has told of; with a time of up to a minute that is each second."""
        return max(map(int, re.findall(r"(\d+) samples", self.err)), default=0)

    def interrupt(self, number=signal.SIGINT):
        """Ends it, and it must be this that does: not that its time is over."""
        self.kill(number)
        assert self.finish() == OK, self.err
        assert all(int(t) < int(d) for t, d in re.findall(r"ljx: (\d+) of (\d+) s ", self.err)), self.err

    def stop_after(self, more):
        """Ends it when its progress tells of so many more samples: on a busy machine that is later."""
        wanted = self.samples() + more
        wait_until(lambda: not self.pump(0.1) or self.samples() >= wanted, f"{wanted} samples", 90)
        assert self.pipes, f"it ended before {wanted} samples: {self.err}"
        self.interrupt()


def ljx(*args, status=OK, seconds=90, **kwargs):
    """Runs ljx to its end, checks its exit status and returns the finished process."""
    with Ljx(*args, **kwargs) as p:
        code = p.finish(seconds)
        assert status is None or code == status, \
            f"{' '.join(p.cmd)} ended with {code}, not {status}:\n{p.out[-2000:]}{p.err[-3000:]}"
        return p


def record(tmp_path, *args, seconds=1, rate=999, least=0, **kwargs):
    """Records for so long, or until it tells of so many samples, a minute at most; returns the path of
    the recording."""
    path = str(tmp_path / "record.ljx")
    if least:
        with Ljx("record", "-d", 60, "-r", rate, "-o", path, *args, **kwargs) as p:
            wait_until(lambda: not p.pump(0.1) or p.samples() >= least, f"{least} samples", 150)
            p.kill(signal.SIGINT)
            assert p.finish() == OK, p.err
    else:
        ljx("record", "-d", seconds, "-r", rate, "-o", path, *args, **kwargs)
    return path


def report(path, *args):
    """The JSON report of a recording."""
    got = json.loads(ljx("report", path, "--json", *args).out)
    assert got["schema"] == "ljx.report/1"
    return got


def folded(path, *args, **kwargs):
    """A recording as folded stacks: [(frames from root to leaf, count)]."""
    out = path + ".folded"
    ljx("report", path, "-o", out, *args, **kwargs)
    return read_folded(out)


def sampled(tmp_path, *args, least, seconds, rate, options=()):
    """Folded stacks of at least so many samples: a busy machine takes several recordings for them."""
    stacks = []
    for _ in range(30):
        path = record(tmp_path, *args, seconds=seconds, rate=rate)
        stacks += folded(path, "--lines", *options)
        if sum(n for _, n in stacks) >= least:
            return stacks
    raise AssertionError(f"less than {least} samples in 30 recordings")


def read_folded(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    stacks = []
    for line in text.splitlines():
        match = re.fullmatch(r"(.*\S.*) ([1-9]\d*)", line)
        assert match, f"not a folded line: {line!r}"
        stacks.append((match.group(1).split(";"), int(match.group(2))))
    names = [";".join(s).encode() for s, _ in stacks]
    assert names == sorted(names) or \
        text.splitlines() == sorted(text.splitlines(), key=lambda s: s.encode()), "not sorted"
    assert len(set(names)) == len(names), "a stack comes twice"
    return stacks


def cpu_seconds(pid):
    """CPU time of all its threads, from the scheduler's own count."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
    return total / 1e9


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(x) for x in f.read().split()]


def state(pid):
    """R, S, T, ...: as ps has it. Z as well when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def alive(pid):
    return state(pid) != "Z"
