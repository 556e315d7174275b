# SPDX-License-Identifier: MIT
"""How many samples come, and that the shares do not depend on how they are taken."""
import re
import time

import pytest

import recording
from frames import count, total
from harness import Ljx, PROGRAMS, Process, cpu_seconds, folded, ljx, luajit, record, report, wait_until

pytestmark = pytest.mark.privileged


def cpu_meanwhile(target, ljx_args):
    """Runs ljx; returns when, from the first progress on, the target had used how much CPU time, as
    its schedstat says."""
    seen = []
    with Ljx(*ljx_args) as p:
        p.wait_sampling()
        while p.child.poll() is None:
            seen.append((time.clock_gettime_ns(time.CLOCK_MONOTONIC), cpu_seconds(target.pid)))
            p.pump(0.1)
        assert p.finish() == 0, p.err
    return seen


@pytest.mark.parametrize("args", [["tests/lua/spin.lua"], ["tests/lua/csleep.lua", "0.4"]],
                         ids=["busy", "bursts"])
def test_rate_times_cpu_time(tmp_path, args):
    """Per thread, over seconds: within 2.5 % of the rate times the target's CPU time."""
    path = str(tmp_path / "x.ljx")
    with luajit(*args) as target:
        target.expect(r"^\{")
        seen = cpu_meanwhile(target, ["record", "--per-thread", "-p", target.pid, "-d", 6, "-r", 999,
                                      "-o", path])
    assert report(path)["lost"] == 0
    # Both of the same time: what else the machine had to do in the rest does not matter.
    times = [s.h.time for s in recording.samples(recording.records(path))]
    first, last = seen[0], [at for at in seen if at[0] <= max(times)][-1]
    delivered = sum(first[0] <= t < last[0] for t in times)
    assert delivered > 400
    expected = 999 * (last[1] - first[1])
    assert abs(delivered / expected - 1) <= 0.025, f"{delivered} samples, {expected:.0f} expected"


def test_whole_life(tmp_path):
    """All of a command's CPU time, from its exec to its end."""
    path = str(tmp_path / "x.ljx")
    run = ljx("record", "--per-thread", "-r", 499, "-o", path, "--", "luajit",
              "tests/lua/timed.lua", 5)
    cpu = run.events("cpu")[0]["seconds"]
    got = report(path)
    assert abs((got["samples"] + got["lost"]) / (499 * cpu) - 1) <= 0.025, (got["samples"], cpu)


def test_shares_per_cpu_and_per_thread(tmp_path):
    """The picture is the same in both modes, within noise: of the same time, because what else the
    machine does may change what the target spends its time with."""
    def recorded(name):
        return str(tmp_path / f"{name}.ljx")

    with luajit("examples/demo.lua") as target:
        target.expect("ready")
        with Ljx("record", "-p", target.pid, "-r", 1999, "-d", 60, "-o", recorded("cpu")) as one, \
                Ljx("record", "-p", target.pid, "-r", 1999, "-d", 60, "-o", recorded("thread"),
                    "--per-thread") as other:
            wait_until(lambda: all(p.pump(0.1) and p.samples() >= 8000 for p in (one, other)), "samples")
            one.interrupt()
            other.interrupt()
    shares = []
    for name in ("cpu", "thread"):
        stacks = folded(recorded(name))
        assert total(stacks) >= 8000
        shares.append({name: count(stacks, f"{name} examples/demo.lua:*") / total(stacks)
                       for name in ("mandelbrot", "word_count", "price_list", "rank", "cache")})
    assert sum(shares[0].values()) > 0.9
    for name, share in shares[0].items():
        assert abs(share - shares[1][name]) < 0.04, shares


@pytest.mark.parametrize("threads", [3, 12])
def test_vms_and_threads(tmp_path, threads):
    """Three VMs in each of the threads: each sample shows the right one, in shares that are those the
    program measured itself. With many of them the sampler does not look at all in each sample."""
    path = str(tmp_path / "x.ljx")
    with Process(f"{PROGRAMS}/vms", threads, 8) as target:
        for n in range(threads):
            target.expect(rf'"vm":"t{n + 1}.B"')
        ljx("record", "-p", target.pid, "-d", 600, "-r", 999, "-o", path)
        target.finish()
        truth = target.event("cpu")["vms"]
        tids = {e["tid"]: e["name"] for e in target.events("thread")}
    stacks = folded(path)
    everything = total(stacks)
    cpu = sum(truth.values())
    for vm, seconds in truth.items():
        got = sum(n for s, n in stacks if any(f.split(" ")[-1] in (f"{vm}:18", f"{vm}:25")
                                              for f in s)) / everything
        assert abs(got - seconds / cpu) < 0.04, f"{vm}: {got:.3f}, by itself {seconds / cpu:.3f}"
    # No sample mixes VMs, and none shows another thread's.
    mixed = [s for s, _ in stacks if len(set(re.findall(r"t\d+\.[ABC]", ";".join(s)))) > 1]
    assert not mixed, mixed[:2]
    recs = recording.records(path)
    chunk = {(r.h.pid, r.fields[0]): r.strings[0] for r in recording.of(recs, "func")}
    wrong = checked = 0
    for s in recording.samples(recs):
        for f in s.frames:
            name = chunk.get((s.h.pid, f.addr & 0xffffffff), "") if f.kind == recording.LUA else ""
            if name.startswith("=t"):
                checked += 1
                wrong += name[1:].split(".")[0] != tids[s.h.tid]
    assert checked > 1000 and wrong == 0, (checked, wrong)


def test_recording_is_what_the_headers_say(tmp_path):
    """Decoded by an independent reader: order, sizes, checksums, definitions before their uses."""
    with luajit("examples/demo.lua") as target:
        target.expect("ready")
        path = record(tmp_path, "-p", target.pid, least=1500)
    recs = recording.records(path)
    got = recording.samples(recs)
    known, clock = set(), 0
    for r in recs:
        if r.h.kind == recording.NUMBER["func"]:
            known.add(r.fields[0])
        if r.h.kind == recording.SAMPLE:
            assert r.h.time >= clock and r.h.pid == target.pid
            clock = r.h.time
            for f in r.frames:
                if f.kind in (recording.LUA, recording.TRACE_FRAME):
                    proto = f.addr & 0xffffffff
                    assert proto in known or proto == 0, "used before it was defined"
    seen = report(path)
    assert seen["samples"] == len(got) > 500
    assert seen["undefined"] == 0 and seen["lost"] == 0
    assert {r.strings[0] for r in recording.of(recs, "build")} == {"LuaJIT 2.1.0-beta3"}
