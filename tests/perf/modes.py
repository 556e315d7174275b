# SPDX-License-Identifier: MIT
"""What watches a target while it works: nothing, ljx, and what else people use."""
import contextlib
import os
import shutil
import signal
import subprocess
import time

from harness import LJX, ROOT, Died, Process, luajit, wait_until

WORK = os.path.join(ROOT, "build/bench")


class Mode:
    """command(pid, lib): watches from outside; own: arguments for tests/perf/work.lua and
    tests/c/gap.c, own_nginx: the variable of tests/perf/nginx.conf, for what runs inside the target.
    floor: what it is compared with. Rates are samples a second. everywhere: its events are not the
    target's own, but also meet what runs beside it, which so pays what the floor is."""

    def __init__(self, name, rate=0, command=None, tool=None, own=None, own_nginx=None, floor="nothing",
                 says=None, everywhere=False):
        self.name, self.rate, self.command, self.tool = name, rate, command, tool
        self.own, self.own_nginx, self.floor, self.says = own, own_nginx, floor, says
        self.everywhere = everywhere

    def missing(self):
        """Why it cannot be measured here, or None."""
        return f"{self.tool} is not installed" if self.tool and not shutil.which(self.tool) else None


def ljx(rate, *args):
    return lambda pid, lib: [LJX, "record", "-p", pid, "-r", rate, "-o", "/dev/null", "-f", "ljx", *args]


def perf(rate):
    return lambda pid, lib: ["perf", "record", "-q", "-e", "cpu-clock", "-F", rate, "-g", "-p", pid, "-o",
                             os.path.join(WORK, "perf.data")]


def bpftrace(rate):
    return lambda pid, lib: ["bpftrace", "-e",
                             f"profile:hz:{rate} /pid == {pid}/ {{ @[ustack] = count(); }}"]


def uprobes(pid, lib):
    return ["bpftrace", "-p", pid, "-e", " ".join(
        f"uprobe:{lib}:{name} {{ @[ustack] = count(); }}" for name in ("lua_pcall", "lua_resume"))]


def p_args(rate):
    return ["p", str(rate), os.path.join(WORK, "own.p")]


MODES = {m.name: m for m in (
    Mode("nothing"),
    Mode("floor 99", 99, ljx(99, "--nothing", "--probe", "off"), everywhere=True),
    Mode("floor 999", 999, ljx(999, "--nothing", "--probe", "off"), everywhere=True),
    Mode("ljx 99", 99, ljx(99, "--probe", "off"), floor="floor 99", everywhere=True),
    Mode("ljx 999", 999, ljx(999, "--probe", "off"), floor="floor 999", everywhere=True),
    Mode("ljx 99 uprobes", 99, ljx(99, "--probe", "uprobe"), floor="floor 99", everywhere=True,
         says="uprobes"),
    Mode("ljx 99 watchpoints", 99, ljx(99, "--probe", "watch"), floor="floor 99", everywhere=True,
         says="watchpoints"),
    Mode("floor 99 thread", 99, ljx(99, "--nothing", "--probe", "off", "--per-thread")),
    Mode("floor 999 thread", 999, ljx(999, "--nothing", "--probe", "off", "--per-thread")),
    Mode("ljx 99 thread", 99, ljx(99, "--probe", "off", "--per-thread"), floor="floor 99 thread"),
    Mode("ljx 999 thread", 999, ljx(999, "--probe", "off", "--per-thread"), floor="floor 999 thread"),
    Mode("perf -g 99", 99, perf(99), "perf"),
    Mode("perf -g 999", 999, perf(999), "perf"),
    Mode("bpftrace 99", 99, bpftrace(99), "bpftrace", everywhere=True),
    Mode("bpftrace 999", 999, bpftrace(999), "bpftrace", everywhere=True),
    Mode("uprobe lua_pcall", 0, uprobes, "bpftrace"),
    # The gap detector in Lua, as it is under the three that follow.
    Mode("in Lua", own=["lua"]),
    Mode("jit.p 99", 99, own=p_args(99), own_nginx="99"),
    Mode("jit.p 999", 999, own=p_args(999), own_nginx="999"),
    Mode("jit.v", 0, own=["v", os.path.join(WORK, "own.v")], own_nginx="v"),
)}
ALONE = [n for n in MODES if not n.endswith(" thread")]
OUTSIDE = [n for n in ALONE if n != "in Lua"]
# Beside another target: with events of their own where that can be had.
BESIDE = [n for n in MODES if f"{n} thread" not in MODES and n != "in Lua"]

# What is told apart side by side. A watchpoint is not: it costs by the context switch, of which two
# targets on one CPU have many.
SIDE_BY_SIDE_FEW = [("ljx 99 thread", "floor 99 thread"), ("ljx 999 thread", "floor 999 thread"),
                    ("ljx 99 thread", "perf -g 99"), ("ljx 999 thread", "perf -g 999"),
                    ("ljx 99 thread", "nothing"), ("jit.p 99", "in Lua"), ("jit.v", "in Lua")]
SIDE_BY_SIDE = [("nothing", "nothing"), *SIDE_BY_SIDE_FEW, ("ljx 99", "nothing"), ("ljx 999", "nothing"),
                ("ljx 99 uprobes", "nothing"), ("bpftrace 99", "nothing"), ("bpftrace 999", "nothing"),
                ("ljx 999 thread", "nothing"), ("jit.p 999", "in Lua")]
# Which of these tell what ljx takes more than an alternative.
COMPARED = [(("ljx 99", "nothing"), ("bpftrace 99", "nothing")),
            (("ljx 999", "nothing"), ("bpftrace 999", "nothing")),
            (("ljx 99 thread", "nothing"), ("jit.p 99", "in Lua")),
            (("ljx 999 thread", "nothing"), ("jit.p 999", "in Lua"))]


# It asks for a signal by CPU time, which many kernels send at ticks only.
JIT_P_RATE = """
local profile, n = require("jit.profile"), 0
profile.start("i%d", function(_, samples) n = n + samples end)
local start = os.clock()
while os.clock() - start < 1 do end
profile.stop()
print(n)
"""


def jit_p_rate(rate):
    """Samples a second that jit.p takes at this rate."""
    with luajit("-e", JIT_P_RATE % (1000 // rate)) as target:
        return int(target.expect(r"^\d+$").group())


def probes_held(pid):
    """How many perf events and BPF links a process holds."""
    n = 0
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                n += os.readlink(f"/proc/{pid}/fd/{fd}") in ("anon_inode:[perf_event]",
                                                             "anon_inode:bpf_link")
    return n


@contextlib.contextmanager
def watching(mode, pid, lib):
    """The tool of the mode at work on pid; yields its process, or None."""
    if not mode.command:
        yield None
        return
    with Process(*mode.command(pid, lib), limit=False) as tool:
        # Some are attached bit by bit: until nothing is added any more.
        held = 0
        while not held or held != probes_held(tool.pid):
            assert tool.child.poll() is None, f"{mode.name} ended: {tool.out[-500:]}{tool.err[-500:]}"
            held = probes_held(tool.pid)
            tool.pump(0.1)
        if mode.says:
            tool.expect(mode.says, "err")
        yield tool
        tool.kill(signal.SIGINT)
        # bpftrace may look for names for minutes: what it took from the target is known.
        with contextlib.suppress(*[Died] if mode.tool else []):
            tool.finish(20)


def settle():
    """Until nobody else uses the CPUs, if that comes: measuring waits for it, but not for ever."""
    end = time.monotonic() + 3
    while time.monotonic() < end and busy() > 0.5:
        pass


def busy(seconds=0.2):
    """CPUs in use."""
    def used():
        with open("/proc/stat") as f:
            values = [int(x) for x in f.readline().split()[1:]]
        return sum(values) - values[3] - values[4], sum(values)
    before = used()
    time.sleep(seconds)
    after = used()
    return os.cpu_count() * (after[0] - before[0]) / max(1, after[1] - before[1])


def library(pid):
    """The file in which a process has LuaJIT, for probes by name."""
    with open(f"/proc/{pid}/maps") as f:
        paths = [line.split(None, 5)[5].strip() for line in f if len(line.split(None, 5)) > 5]
    for path in paths:
        if "libluajit" in path:
            return path
    return os.readlink(f"/proc/{pid}/exe")
